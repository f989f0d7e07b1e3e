//! A topic for DataFusion: what its Iceberg table holds, and after it the tail of the log.
//!
//! ```text
//!   partition 0   ├──── in the table, up to its mark ────┼──── tail ────┤ high watermark of the pin
//!   partition 1   ├──────────── in the table ────────────┼─ tail ─┤
//! ```
//! The pin (see [`lake::TopicPin`]) fixes both halves at once; they are disjoint by offset, so no row comes twice and none
//! is missing.

use std::{any::Any, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    datasource::TableType,
    error::{DataFusionError, Result},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
};
use lake::{Lake, TopicPin, columns::pseudo};
use tables::{Table, Tables, Version};

use super::tail::TailExec;

/// Which pseudo-columns a statement names: those it can see, and `*` never shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pseudo(u8);

const ORDER: [&str; pseudo::COUNT] =
    [pseudo::PARTITION, pseudo::OFFSET, pseudo::TIMESTAMP, pseudo::KEY, pseudo::HEADERS];

impl Pseudo {
    pub(crate) const NONE: Self = Self(0);

    /// Notes that the statement names `word`.
    pub(crate) fn note(&mut self, word: &str) {
        if let Some(index) = ORDER.iter().position(|name| name.eq_ignore_ascii_case(word)) {
            self.0 |= 1 << index;
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        ORDER.into_iter().enumerate().filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, name)| name)
    }

    /// Columns of `schema` to show: all that are not pseudo, and the pseudo ones named.
    fn visible(self, schema: &Schema) -> Vec<usize> {
        let shown = |name: &str| !pseudo::is_pseudo(name) || self.names().any(|named| named == name);
        (0..schema.fields().len()).filter(|index| shown(schema.field(*index).name())).collect()
    }
}

/// One pinned state of a topic, with the columns the statement may see.
pub(crate) struct TopicProvider {
    lake: Arc<Lake>,
    tables: Tables,
    pin: Arc<TopicPin>,
    /// The topic's schema as queries see it: strings are views, which group, join and compare faster.
    all: SchemaRef,
    /// Of `all`, the columns shown.
    visible: Vec<usize>,
    schema: SchemaRef,
}

impl TopicProvider {
    pub(crate) fn new(lake: Arc<Lake>, tables: Tables, pin: Arc<TopicPin>, named: Pseudo) -> Self {
        let all = tables::scan::with_string_views(&pin.topic.schema);
        let visible = named.visible(&all);
        let schema = all.project(&visible).expect("positions come from the schema itself");
        Self { lake, tables, pin, all, visible, schema: Arc::new(schema) }
    }
}

impl std::fmt::Debug for TopicProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicProvider").field("topic", &self.pin.topic.topic).finish()
    }
}

#[async_trait]
impl TableProvider for TopicProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters prune files, row groups and parts of the tail; rows are filtered above the union.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            Some(projection) => projection.iter().map(|index| self.visible[*index]).collect(),
            None => self.visible.clone(),
        };
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        if let Some(table) = &self.pin.table
            && table.current_snapshot().is_some()
        {
            let provider = tables::scan::provider_as(&self.tables, table.clone(), Version::Current, self.all.clone())
                .map_err(external)?;
            inputs.push(provider.scan(state, Some(&columns), filters, limit).await?);
        }
        if self.pin.tail.iter().any(|offsets| !offsets.is_empty()) {
            inputs.push(Arc::new(TailExec::new(
                self.lake.clone(),
                self.pin.clone(),
                &self.all,
                columns.clone(),
                filters,
                limit,
            )?));
        }
        match inputs.len() {
            0 => Ok(Arc::new(EmptyExec::new(Arc::new(self.all.project(&columns)?)))),
            1 => Ok(inputs.pop().expect("one input: checked above")),
            _ => UnionExec::try_new(inputs),
        }
    }
}

/// What the table of a topic held at `version`: the history alone, without the tail.
pub(crate) fn versioned(
    tables: &Tables,
    table: Arc<Table>,
    version: Version,
    named: Pseudo,
) -> model::Result<Arc<dyn TableProvider>> {
    let at = table.arrow_schema_at(&version)?;
    let schema = tables::scan::with_string_views(&at);
    let schema = schema.project(&named.visible(&schema)).expect("positions come from the schema itself");
    tables::scan::provider_as(tables, table, version, Arc::new(schema))
}

pub(crate) fn external(error: model::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
