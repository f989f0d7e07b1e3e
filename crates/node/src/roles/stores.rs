//! What everyone else stands on: log, catalog, files, tables, registry, lake and SQL.

use std::{sync::Arc, time::Duration};

use catalog::Catalog;
use commitlog::{EmbeddedLog, Log, LogSettings, groups::Groups, transactions::Transactions};
use files::Files;
use lake::{Lake, LakeParts, LakeSettings, registry::RegistryStore};
use model::{Error, Result};
use sql::{Engine, EngineParts, SqlSettings};
use tables::Tables;
use world::World;

use crate::{House, Settings};

pub(crate) async fn open(settings: &Settings, world: &World) -> Result<(House, Arc<EmbeddedLog>)> {
    let data = &settings.data;
    world
        .disk
        .create_dir_all(data)
        .map_err(|error| Error::io(format!("cannot make the data directory {}", data.display()), &error))?;
    let log_settings = LogSettings {
        default_partitions: settings.default_partitions,
        unsafe_ack_before_fsync: settings.unsafe_ack_before_fsync,
        ..LogSettings::default()
    };
    // The log's lock also keeps a second node away from everything below.
    let embedded = EmbeddedLog::open(&data.join("log"), log_settings, world.clone()).await?;
    let log: Arc<dyn Log> = embedded.clone();
    let files = Files::open(&settings.files, world.clone())?;
    let catalog = Catalog::open(&settings.catalog, world.clone()).await?;
    let tables = Tables::new(catalog.clone(), files.clone(), world.clone());
    let groups = Groups::open(log.clone(), world.clone()).await?;
    let transactions = Transactions::open(log.clone(), groups.clone(), world.clone()).await?;
    let registry = RegistryStore::open(log.clone(), world.clone()).await?;
    let lake = Lake::open(LakeParts {
        log: log.clone(),
        tables: tables.clone(),
        catalog: catalog.clone(),
        registry: registry.clone(),
        world: world.clone(),
        settings: LakeSettings {
            commit_interval: Duration::from_millis(settings.commit_interval_ms),
            ..LakeSettings::default()
        },
    })
    .await?;
    let engine = Engine::new(EngineParts {
        lake: lake.clone(),
        log: log.clone(),
        tables: tables.clone(),
        catalog: catalog.clone(),
        files,
        registry: registry.clone(),
        world: world.clone(),
        settings: SqlSettings { memory_bytes: settings.query_memory_bytes, ..SqlSettings::in_dir(data) },
    })?;
    Ok((House { world: world.clone(), log, groups, transactions, catalog, tables, registry, lake, engine }, embedded))
}
