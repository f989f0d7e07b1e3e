//! What all sessions share.

use std::{
    num::NonZeroUsize,
    sync::{Arc, OnceLock, Weak},
};

use catalog::Catalog;
use commitlog::Log;
use datafusion::{
    execution::{
        SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};
use files::Files;
use lake::{Lake, registry::RegistryStore};
use model::{Error, Result, TableName};
use security::Security;
use tables::Tables;
use world::World;

use crate::{
    Session, SessionOptions, SqlSettings, errors, guards,
    pushdown::physical_rules,
    relation::{CATALOG, Zones},
    rules::analyzer_rules,
    run::files::drafts,
    workers::Workers,
};

/// The time zone of sessions that set none.
pub(crate) const UTC: &str = "+00:00";

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
    pub(crate) workers: Workers,
    base: SessionContext,
    /// Rules, once the door that keeps them is open.
    security: OnceLock<Arc<Security>>,
}

impl Engine {
    /// Cheap: reads nothing, but removes what a crash left of spilled and exported rows, and starts the threads queries
    /// run on.
    pub fn new(parts: EngineParts) -> Result<Arc<Self>> {
        let settings = &parts.settings;
        let disk = &parts.world.disk;
        for dir in [settings.temp_dir.clone(), drafts(settings)] {
            disk.remove_dir_all(&dir).map_err(|e| Error::io(format!("could not empty {}", dir.display()), &e))?;
        }
        disk.create_dir_all(&settings.temp_dir).map_err(|e| {
            Error::io(format!("could not make the spill directory {}", settings.temp_dir.display()), &e)
        })?;
        let runtime = runtime(&parts)?;
        let config = config(settings);
        let workers = Workers::start(&parts.world)?;
        Ok(Arc::new_cyclic(|engine: &Weak<Self>| {
            let state = SessionStateBuilder::new()
                .with_config(config)
                .with_runtime_env(runtime)
                .with_default_features()
                .with_analyzer_rules(analyzer_rules())
                .with_physical_optimizer_rules(guards::around(physical_rules()))
                .build();
            let base = SessionContext::new_with_state(state);
            base.register_catalog(CATALOG, Arc::new(Zones::new(engine.clone(), parts.catalog.clone())));
            crate::functions::register(&base);
            Self { parts, workers, base, security: OnceLock::new() }
        }))
    }

    /// Rules to ask and to make from now on. The first who says so counts.
    pub fn keep_rules(&self, security: Arc<Security>) {
        let _first = self.security.set(security);
    }

    pub(crate) fn security(&self) -> Option<&Arc<Security>> {
        self.security.get()
    }

    /// A session of one client.
    pub fn session(self: &Arc<Self>, options: SessionOptions) -> Session {
        Session::new(self.clone(), options)
    }

    /// The context all sessions start from: functions and schemas registered here (before the first session) are in
    /// every session, such as the PostgreSQL door's `pg_catalog`.
    pub fn context(&self) -> &SessionContext {
        &self.base
    }

    pub fn settings(&self) -> &SqlSettings {
        &self.parts.settings
    }
}

fn runtime(parts: &EngineParts) -> Result<Arc<RuntimeEnv>> {
    let settings = &parts.settings;
    // Spillable operators share the pool evenly, and an error names who holds the memory.
    let pool = TrackConsumersPool::new(
        FairSpillPool::new(settings.memory_bytes),
        NonZeroUsize::new(3).expect("three is not zero"),
    );
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![settings.temp_dir.clone()]))
        .with_max_temp_directory_size(settings.spill_bytes_max);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|e| errors::map(e, None))?;
    let url = parts.files.object_store_url().parse().expect("`Files` gives a URL");
    runtime.register_object_store(&url, parts.files.object_store());
    Ok(runtime)
}

fn config(settings: &SqlSettings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, TableName::DEFAULT_NAMESPACE);
    if settings.target_partitions > 0 {
        config = config.with_target_partitions(settings.target_partitions);
    }
    let options = config.options_mut();
    // Errors point at the place in the text.
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some(UTC.to_owned());
    config
}
