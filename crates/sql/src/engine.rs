//! What all sessions share.

use std::sync::Arc;

use catalog::Catalog;
use commitlog::Log;
use datafusion::prelude::SessionContext;
use files::Files;
use lake::{Lake, registry::RegistryStore};
use model::Result;
use tables::Tables;
use world::World;

use crate::{Session, SessionOptions, SqlSettings};

/// What an engine is made of.
pub struct EngineParts {
    pub lake: Arc<Lake>,
    pub log: Arc<dyn Log>,
    pub tables: Tables,
    pub catalog: Catalog,
    pub files: Files,
    pub registry: Arc<RegistryStore>,
    pub world: World,
    pub settings: SqlSettings,
}

/// Runs SQL for many sessions.
pub struct Engine {
    pub(crate) parts: EngineParts,
}

impl Engine {
    pub fn new(parts: EngineParts) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { parts }))
    }

    /// A session of one client.
    pub fn session(self: &Arc<Self>, options: SessionOptions) -> Session {
        Session { engine: self.clone(), options }
    }

    /// The context all sessions start from: functions and schemas registered here (before the first session) are in
    /// every session, such as the PostgreSQL door's `pg_catalog`.
    pub fn context(&self) -> &SessionContext {
        unimplemented!()
    }

    pub fn settings(&self) -> &SqlSettings {
        &self.parts.settings
    }
}
