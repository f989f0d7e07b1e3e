//! The live catalog as `pg_class` and its kin read it: one database, its zones, their tables, topics and views.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use ::catalog::{Catalog, EntryKind};
use datafusion::{
    arrow::datatypes::SchemaRef, catalog::CatalogProvider, datasource::TableType, error::DataFusionError,
};
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;

#[derive(Clone)]
pub(super) struct Live {
    provider: Arc<dyn CatalogProvider>,
    database: String,
    catalog: Catalog,
}

impl Live {
    pub(super) fn new(provider: Arc<dyn CatalogProvider>, database: String, catalog: Catalog) -> Self {
        Self { provider, database, catalog }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.database).finish()
    }
}

/// System schemas have a namespace, but their tables are not listed: no client needs them, and each would be planned.
fn is_system(schema: &str) -> bool {
    matches!(schema, super::SCHEMA | "information_schema")
}

#[async_trait]
impl CatalogInfo for Live {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        Ok(vec![self.database.clone()])
    }

    async fn schema_names(&self, _database: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        let mut names = self.provider.schema_names();
        if !names.iter().any(|name| name == "information_schema") {
            names.push("information_schema".to_owned());
        }
        Ok(Some(names))
    }

    async fn table_names(&self, _database: &str, schema: &str) -> Result<Option<Vec<String>>, DataFusionError> {
        if is_system(schema) {
            return Ok(Some(Vec::new()));
        }
        Ok(self.provider.schema(schema).map(|s| s.table_names()))
    }

    async fn table_schema(
        &self,
        _database: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        let Some(tables) = self.provider.schema(schema) else { return Ok(None) };
        match tables.table(table).await {
            Ok(found) => Ok(found.map(|t| t.schema())),
            // One table that cannot be read must not hide all others from a client that lists them.
            Err(error) => {
                tracing::warn!(%error, schema, table, "not listed in pg_catalog");
                Ok(None)
            }
        }
    }

    async fn table_type(
        &self,
        _database: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        if self.catalog.names().namespace(schema).is_some_and(|names| names.has_entry(EntryKind::View, table)) {
            return Ok(Some(TableType::View));
        }
        Ok(Some(TableType::Base))
    }
}
