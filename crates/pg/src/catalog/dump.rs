//! What `datafusion-pg-catalog` adds: PostgreSQL's own types, operators and casts. It is told of an empty database,
//! because what is here is described by [`super::live`].

use async_trait::async_trait;
use datafusion::{arrow::datatypes::SchemaRef, datasource::TableType, error::Result};
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;

#[derive(Clone, Debug)]
pub(super) struct Nothing;

#[async_trait]
impl CatalogInfo for Nothing {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn schema_names(&self, _database: &str) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn table_names(&self, _database: &str, _schema: &str) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    async fn table_schema(&self, _database: &str, _schema: &str, _table: &str) -> Result<Option<SchemaRef>> {
        Ok(None)
    }

    async fn table_type(&self, _database: &str, _schema: &str, _table: &str) -> Result<Option<TableType>> {
        Ok(None)
    }
}
