//! Laws of the scan, over tables made by the crate's own writer and commits.

mod equality;
mod evolution;
mod laws;
mod oracle;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::pretty::pretty_format_batches,
};
use datafusion::{
    catalog::TableProvider,
    prelude::{Expr, SessionConfig, SessionContext},
};
use iceberg::spec::Transform;
use model::TableName;
use world::World;

use super::{PlanStats, Provider, provider, row_positions};
use crate::{Append, NewTable, RowDelta, Table, Tables, Version, WriterOptions};

/// Tables in a directory of their own, and a session with four partitions.
struct Fixture {
    tables: Tables,
    context: SessionContext,
    name: TableName,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new(new: NewTable) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = World::real();
        let root = dir.path().canonicalize().unwrap();
        let files = files::Files::open(&format!("file://{}", root.join("files").display()), world.clone()).unwrap();
        let url = format!("sqlite://{}", root.join("catalog.db").display());
        let catalog = catalog::Catalog::open(&url, world.clone()).await.unwrap();
        let tables = Tables::new(catalog, files, world);
        let name = TableName::public("t");
        tables.create(&name, new).await.unwrap();
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4));
        Self { tables, context, name, _dir: dir }
    }

    async fn table(&self) -> Arc<Table> {
        self.tables.get(&self.name).await.unwrap()
    }

    /// One commit with the rows of `batches`.
    async fn append(&self, batches: impl IntoIterator<Item = RecordBatch>) -> Arc<Table> {
        let table = self.table().await;
        let writer = self.tables.writer(&table).unwrap();
        self.commit(table, writer, batches).await
    }

    async fn append_with(&self, options: WriterOptions, batches: impl IntoIterator<Item = RecordBatch>) -> Arc<Table> {
        let table = self.table().await;
        let writer = self.tables.writer_with(&table, options).unwrap();
        self.commit(table, writer, batches).await
    }

    async fn commit(
        &self,
        table: Arc<Table>,
        mut writer: crate::TableWriter,
        batches: impl IntoIterator<Item = RecordBatch>,
    ) -> Arc<Table> {
        for batch in batches {
            writer.write(batch).await.unwrap();
        }
        let files = writer.close().await.unwrap();
        self.tables.append(&self.name, Append::new(&table, files)).await.unwrap()
    }

    /// Deletes the rows that pass `filter`, as a DELETE does.
    async fn delete(&self, filter: Expr) -> u64 {
        let table = self.table().await;
        let rows = row_positions(&self.context, &self.tables, table.clone(), filter).await.unwrap();
        let count = rows.iter().map(|(_, positions)| positions.len() as u64).sum();
        if count > 0 {
            let deletes = self.tables.write_position_deletes(&table, rows).await.unwrap();
            let base_snapshot_id = table.current_snapshot().unwrap().snapshot_id();
            let spec_id = table.metadata().default_partition_spec_id();
            let delta = RowDelta {
                deletes,
                added: Vec::new(),
                spec_id,
                base_snapshot_id,
                serializable: true,
                properties: Vec::new(),
            };
            self.tables.row_delta(&self.name, delta).await.unwrap();
        }
        count
    }

    async fn provider(&self, version: Version) -> Arc<dyn TableProvider> {
        provider(&self.tables, self.table().await, version).unwrap()
    }

    /// What `sql` over the table, called `t`, answers.
    async fn query(&self, sql: &str) -> String {
        self.query_at(Version::Current, sql).await
    }

    async fn query_at(&self, version: Version, sql: &str) -> String {
        self.run(self.provider(version).await, sql).await
    }

    async fn run(&self, provider: Arc<dyn TableProvider>, sql: &str) -> String {
        self.context.deregister_table("t").unwrap();
        self.context.register_table("t", provider).unwrap();
        let batches = self.context.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    /// Whether filters are evaluated while Parquet is decoded, or after.
    fn late_filters(&self, on: bool) {
        let state = self.context.state_ref();
        state.write().config_mut().options_mut().execution.parquet.pushdown_filters = on;
    }

    /// What a scan with `filter` would read.
    async fn explain(&self, filter: Option<Expr>) -> PlanStats {
        let provider = self.provider(Version::Current).await;
        let provider = provider.as_any().downcast_ref::<Provider>().unwrap();
        let filters: Vec<Expr> = filter.into_iter().collect();
        provider.explain(&self.context.state(), &filters, None).await.unwrap()
    }
}

/// `|`-separated cells of the rows of a printed table, without its frame.
fn rows(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter(|line| line.starts_with('|')).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",")).collect()
}

fn id_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("n", DataType::Int32, true),
    ]))
}

/// Rows `ids`, with region `r<id % 3>` and n = id % 10.
fn ids(ids: std::ops::Range<i64>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("r{}", id % 3)))),
        Arc::new(Int32Array::from_iter_values(ids.map(|id| (id % 10) as i32))),
    ];
    RecordBatch::try_new(id_schema(), columns).unwrap()
}

fn partitioned(new: NewTable, by: &[(&str, Transform)]) -> NewTable {
    by.iter().fold(new, |new, (column, transform)| new.partitioned_by(*column, *transform))
}
