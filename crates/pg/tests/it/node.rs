//! An engine in a temporary directory with the door open before it.

use std::{sync::Arc, time::Duration};

use catalog::Catalog;
use commitlog::{EmbeddedLog, Log};
use files::Files;
use lake::{Lake, LakeParts, LakeSettings, registry::RegistryStore};
use pg::{Pg, PgParts, PgSettings};
use sql::{Engine, EngineParts, SqlSettings};
use tables::Tables;
use world::World;

use crate::client::Client;

pub struct Node {
    pub addr: std::net::SocketAddr,
    _dir: tempfile::TempDir,
}

impl Node {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let world = World::real();
        let path = dir.path().canonicalize().expect("the directory exists");
        let log: Arc<dyn Log> =
            EmbeddedLog::open(&path.join("log"), Default::default(), world.clone()).await.expect("log");
        let files = Files::open(&format!("file://{}/files", path.display()), world.clone()).expect("files");
        let catalog =
            Catalog::open(&format!("sqlite://{}/catalog.db", path.display()), world.clone()).await.expect("catalog");
        let tables = Tables::new(catalog.clone(), files.clone(), world.clone());
        let registry = RegistryStore::open(log.clone(), world.clone()).await.expect("registry");
        let lake = Lake::open(LakeParts {
            log: log.clone(),
            tables: tables.clone(),
            catalog: catalog.clone(),
            registry: registry.clone(),
            world: world.clone(),
            settings: LakeSettings { commit_interval: Duration::from_secs(3600), ..Default::default() },
        })
        .await
        .expect("lake");
        let settings = SqlSettings { target_partitions: 2, ..SqlSettings::in_dir(&path) };
        let parts = EngineParts {
            lake,
            log,
            tables,
            catalog: catalog.clone(),
            files,
            registry,
            world: world.clone(),
            settings,
        };
        let engine = Engine::new(parts).expect("engine");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let door = PgParts { engine, catalog, listen, settings: PgSettings::default(), world };
        Self { addr: Pg::start(door).await.expect("the door opens").addr, _dir: dir }
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.addr).await
    }
}
