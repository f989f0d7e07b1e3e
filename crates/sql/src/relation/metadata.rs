//! `t$snapshots`, `t$files` and their kin.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use model::{Error, Result, error::codes};
use tables::{Table, Tables, scan::MetadataTable};

/// The metadata table `kind` of `table`.
pub(crate) fn provider(tables: &Tables, table: Arc<Table>, kind: &str) -> Result<Arc<dyn TableProvider>> {
    let found = MetadataTable::ALL.iter().find(|(name, _)| *name == kind);
    let Some((_, kind)) = found else {
        let kinds: Vec<&str> = MetadataTable::ALL.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no metadata table `{kind}`"))
            .hint(format!("tables have {}", kinds.iter().map(|k| format!("${k}")).collect::<Vec<_>>().join(", "))));
    };
    tables::scan::provider_metadata(tables, table, *kind)
}
