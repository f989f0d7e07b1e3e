//! Reading tables with DataFusion.
//!
//! A provider is a pin: it holds one [`Table`] and one snapshot, so every use of it in a statement sees one state.
//!
//! ```text
//! filters ─┐                 prune by summaries      prune by bounds        match, load         bucket by bytes
//! snapshot ┴─> manifest list ───────────────────> manifests ────────> data files ──────> deletes ──────────────> DataSourceExec
//!                                       [bounds]            [plan]                [deletes]          [split]        [resolve]
//! ```
//!
//! Files are read by DataFusion's own Parquet source: late filters, page index, dynamic filters and statistics come with
//! it. What Iceberg adds are three things: [`deletes`] become row selections, [`resolve`] maps columns by field id so
//! that a file written before a column was added, widened or renamed still reads right, and [`bounds`] let the planner
//! skip manifests and files without opening them.

mod bounds;
mod deletes;
mod metadata;
mod plan;
mod positions;
mod provider;
mod reader;
mod resolve;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use model::Result;

pub use self::{
    metadata::{MetadataTable, provider_metadata},
    plan::PlanStats,
    positions::{FILE_COLUMN, POS_COLUMN, provider_with_positions, row_positions},
    provider::{Provider, plain_schema, with_string_views},
};
pub(crate) use self::{plan::PlannedFile, positions::live_rows};
use crate::{Table, Tables, Version};

/// `table` at `version` for DataFusion, with the version's own schema.
pub fn provider(tables: &Tables, table: Arc<Table>, version: Version) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(Provider::new(tables, table, version, None)?))
}

/// [`provider`], presented as `schema`: columns are found by name, cast where types differ and null where the table has
/// none. For a table that is one half of a union, or one whose strings shall be views.
pub fn provider_as(
    tables: &Tables,
    table: Arc<Table>,
    version: Version,
    schema: SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(Provider::new(tables, table, version, Some(schema))?))
}
