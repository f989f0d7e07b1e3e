//! The commit engine against a real catalog and real files.

mod commits;
mod histories;
mod moved;
mod turns;
mod upkeep;
mod writers;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use catalog::Catalog;
use files::Files;
use futures::TryStreamExt;
use model::TableName;
use world::World;

use crate::{
    Append, MaintenancePolicy, NewTable, Progress, RowDelta, Table, Tables,
    iceberg::{DataContentType, DataFile},
};

struct Fixture {
    _dir: tempfile::TempDir,
    world: World,
    tables: Tables,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("temporary directory");
    let world = World::real();
    let tables = open(&dir, &world).await;
    Fixture { _dir: dir, world, tables }
}

async fn open(dir: &tempfile::TempDir, world: &World) -> Tables {
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), world.clone()).await;
    let files = Files::open(&format!("file://{}/files", dir.path().display()), world.clone());
    Tables::new(catalog.expect("catalog"), files.expect("files"), world.clone())
}

fn name() -> TableName {
    TableName::public("t")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

/// Rows `ids`, with names made of them.
fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids = Int64Array::from_iter_values(ids);
    let names: StringArray = ids.values().iter().map(|id| Some(format!("name-{id}"))).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names)]).expect("columns fit")
}

impl Fixture {
    async fn create(&self) -> Arc<Table> {
        self.tables.create(&name(), NewTable::new(schema())).await.expect("create")
    }

    async fn create_with(&self, properties: &[(&str, &str)]) -> Arc<Table> {
        let new = properties.iter().fold(NewTable::new(schema()), |new, (key, value)| new.with_property(*key, *value));
        self.tables.create(&name(), new).await.expect("create")
    }

    async fn table(&self) -> Arc<Table> {
        self.tables.get(&name()).await.expect("table")
    }

    async fn write(&self, batch: RecordBatch) -> Vec<DataFile> {
        let mut writer = self.tables.writer(&self.table().await).expect("writer");
        writer.write(batch).await.expect("write");
        writer.close().await.expect("close")
    }

    async fn append(&self, ids: impl IntoIterator<Item = i64>) -> Arc<Table> {
        let files = self.write(rows(ids)).await;
        self.tables.append(&name(), Append::new(&*self.table().await, files)).await.expect("append")
    }

    /// All ids in the table, read by Iceberg's own reader: an opinion other than our scan's.
    async fn ids(&self) -> Vec<i64> {
        let table = self.table().await;
        self.ids_of(&table).await
    }

    async fn ids_of(&self, table: &Table) -> Vec<i64> {
        let iceberg = ::iceberg::table::Table::builder()
            .file_io(self.tables.file_io().clone())
            .metadata(table.metadata().clone())
            .identifier(::iceberg::TableIdent::from_strs(["public", "t"]).expect("identifier"))
            .runtime(::iceberg::Runtime::try_current().expect("runtime"))
            .build()
            .expect("table");
        let scan = iceberg.scan().select(["id"]).build().expect("scan");
        let batches: Vec<RecordBatch> = scan.to_arrow().await.expect("scan").try_collect().await.expect("rows");
        let mut ids: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        ids.sort_unstable();
        ids
    }

    /// Live files of the newest state, by path.
    async fn live(&self, content: DataContentType) -> BTreeMap<String, DataFile> {
        let table = self.table().await;
        let mut live = BTreeMap::new();
        let Some(snapshot) = table.current_snapshot() else { return live };
        for manifest in self.tables.manifests().list(snapshot).await.expect("list").entries() {
            for entry in self.tables.manifests().entries(manifest).await.expect("manifest").iter() {
                if entry.is_alive() && entry.content_type() == content {
                    let before = live.insert(entry.file_path().to_owned(), entry.data_file().clone());
                    assert!(before.is_none(), "{} is listed twice", entry.file_path());
                }
            }
        }
        live
    }

    /// Every file in the table's folder.
    async fn stored(&self) -> Vec<String> {
        let files = self.tables.files().list(self.table().await.metadata().location()).await.expect("list");
        files.into_iter().map(|file| file.location).collect()
    }
}

/// Deletes rows by id, found in the state `base`.
async fn delete(f: &Fixture, base: &Arc<Table>, ids: &[i64], serializable: bool) -> model::Result<Arc<Table>> {
    // Files hold ascending ids: their bounds say which file a row is in and where.
    let mut rows = Vec::new();
    for (path, file) in f.live(DataContentType::Data).await {
        let bound =
            |datum: Option<&crate::iceberg::Datum>| datum.expect("bounds").to_string().parse::<i64>().expect("long");
        let (low, high) = (bound(file.lower_bounds().get(&1)), bound(file.upper_bounds().get(&1)));
        let positions: Vec<u64> =
            ids.iter().filter(|id| (low..=high).contains(*id)).map(|id| (id - low) as u64).collect();
        if !positions.is_empty() {
            rows.push((path, positions));
        }
    }
    let deletes = f.tables.write_position_deletes(base, rows).await?;
    let delta = RowDelta {
        deletes,
        added: vec![],
        spec_id: 0,
        base_snapshot_id: base.metadata().current_snapshot_id().expect("has data"),
        serializable,
        properties: vec![],
    };
    f.tables.row_delta(&name(), delta).await
}

fn progress(next: i64) -> Progress {
    [("0".to_owned(), next)].into_iter().collect()
}

fn total(table: &Table, key: &str) -> i64 {
    let summary = table.current_snapshot().expect("has data").summary();
    summary.additional_properties.get(key).map_or(0, |value| value.parse().expect("a number"))
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn eager() -> MaintenancePolicy {
    MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() }
}
