//! Zones as DataFusion's schemas, for `information_schema` and for catalogs of the doors.
//!
//! Statements do not come through here: they are bound by [`crate::bind`], with one pin a statement. What is listed here
//! hides the pseudo-columns of topics, as PostgreSQL hides its system columns.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use catalog::Catalog;
use dashmap::DashMap;
use datafusion::{
    catalog::{CatalogProvider, SchemaProvider, TableProvider},
    error::{DataFusionError, Result},
};
use model::TableName;

use super::Pseudo;
use crate::{Engine, bind::Binder};

/// Name of the one catalog.
pub(crate) const CATALOG: &str = "lakehead";

pub(crate) struct Zones {
    engine: Weak<Engine>,
    catalog: Catalog,
    /// Registered by doors: `pg_catalog`.
    others: DashMap<String, Arc<dyn SchemaProvider>>,
}

impl Zones {
    pub(crate) fn new(engine: Weak<Engine>, catalog: Catalog) -> Self {
        Self { engine, catalog, others: DashMap::new() }
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zones")
    }
}

impl CatalogProvider for Zones {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema_names(&self) -> Vec<String> {
        let names = self.catalog.names();
        let zones = names.namespaces.keys().map(|name| name.to_string());
        zones.chain(self.others.iter().map(|other| other.key().clone())).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some(other) = self.others.get(name) {
            return Some(other.value().clone());
        }
        self.catalog.names().namespace(name)?;
        Some(Arc::new(Zone { engine: self.engine.clone(), name: name.to_owned() }))
    }

    fn register_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Option<Arc<dyn SchemaProvider>>> {
        Ok(self.others.insert(name.to_owned(), schema))
    }
}

struct Zone {
    engine: Weak<Engine>,
    name: String,
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

#[async_trait]
impl SchemaProvider for Zone {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        let Some(engine) = self.engine.upgrade() else { return Vec::new() };
        engine.names_in(&self.name, false).iter().map(|name| name.to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(engine) = self.engine.upgrade() else { return Ok(None) };
        let name = TableName::new(&self.name, name);
        let state = engine.context().state();
        let binder = Binder::new(&engine, &state, &self.name);
        match binder.provider(&name, Pseudo::NONE).await {
            Ok(found) => Ok(found),
            // A view over what is gone must not hide all the others from `information_schema`.
            Err(error) if matches!(error.kind(), model::ErrorKind::NotFound | model::ErrorKind::Unresolved) => {
                tracing::debug!(table = %name, %error, "not listed: cannot be planned");
                Ok(None)
            }
            Err(error) => Err(DataFusionError::External(Box::new(error))),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.names_in(&self.name, true).contains(name))
    }
}
