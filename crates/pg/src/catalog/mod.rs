//! `pg_catalog`: what clients ask to find out what there is.
//!
//! Tables that describe what is here are made from the live catalog at each query ([`live`]); those that describe
//! PostgreSQL itself (types, operators, casts) are the dump of a real server in `datafusion-pg-catalog`. Functions it
//! lacks are in [`functions`].

mod dump;
mod functions;
mod live;

use std::{fmt, sync::Arc};

use ::catalog::Catalog;
use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableFunctionImpl, TableProvider},
    error::DataFusionError,
    logical_expr::Expr,
    prelude::SessionContext,
};
use datafusion_pg_catalog::pg_catalog::{
    PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables, context::EmptyContextProvider,
};
use model::{Error, Result};
use parking_lot::Mutex;

use self::{dump::Nothing, live::Live};

const SCHEMA: &str = "pg_catalog";

/// Makes `pg_catalog` and its functions part of every session that starts from `context`.
pub(crate) fn register(context: &SessionContext, catalog: &Catalog) -> Result<()> {
    let failed = |e: DataFusionError| Error::internal("could not set up pg_catalog").detail(e.to_string());
    let name = context.state().config_options().catalog.default_catalog.clone();
    let provider = context.catalog(&name).ok_or_else(|| Error::internal("the engine has no default catalog"))?;
    let live = Live { provider: provider.clone(), database: name, catalog: catalog.clone() };
    let tables = Arc::new(PgCatalog { live, dump: Mutex::default() });
    provider.register_schema(SCHEMA, tables.clone()).map_err(failed)?;
    context.register_udtf("pg_get_keywords", Arc::new(Keywords(tables)));
    functions::register(context);
    Ok(())
}

type Dump = (Arc<PgCatalogSchemaProvider<Nothing, EmptyContextProvider>>, Arc<PgCatalogStaticTables>);

/// The schema. The dump is unpacked when somebody first asks, so that a node that serves no such client starts
/// without it.
struct PgCatalog {
    live: Live,
    dump: Mutex<Option<Dump>>,
}

impl PgCatalog {
    fn unpacked(&self) -> Result<Dump, DataFusionError> {
        let mut dump = self.dump.lock();
        if let Some(unpacked) = &*dump {
            return Ok(unpacked.clone());
        }
        let statics = Arc::new(PgCatalogStaticTables::try_new()?);
        let tables = PgCatalogSchemaProvider::try_new(Nothing, statics.clone(), EmptyContextProvider)?;
        Ok(dump.insert((Arc::new(tables), statics)).clone())
    }
}

impl fmt::Debug for PgCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pg_catalog")
    }
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        PG_CATALOG_TABLES.iter().chain(live::TABLES).map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.live.table(name).await? {
            Some(table) => Ok(Some(table)),
            None => self.unpacked()?.0.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        PG_CATALOG_TABLES.contains(&name) || live::TABLES.contains(&name)
    }
}

/// `pg_get_keywords()`
#[derive(Debug)]
struct Keywords(Arc<PgCatalog>);

impl TableFunctionImpl for Keywords {
    fn call(&self, arguments: &[Expr]) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        self.0.unpacked()?.1.pg_get_keywords.call(arguments)
    }
}
