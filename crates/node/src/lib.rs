//! The composition root: settings become roles, roles are started and stopped in order.
//!
//! The only crate that knows everyone. Start order is the order of dependencies (stores, then the lake, then SQL, then the
//! doors); a door opens only when everything behind it answers, so nobody has to be told "not ready yet". Stop order is
//! the reverse.

mod limits;
mod ports;
mod roles;
mod settings;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use commitlog::{EmbeddedLog, Log, groups::Groups, transactions::Transactions};
use lake::Lake;
use model::Result;
use sql::Engine;
use world::World;

pub use settings::{Role, Settings, SettingsFile};

/// How long stopping may take before the node gives up waiting for stragglers.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A node that is up.
pub struct Node {
    settings: Settings,
    world: World,
    log: Arc<EmbeddedLog>,
    lake: Arc<Lake>,
    addresses: Addresses,
}

/// Where the doors are. A door whose role is off has no address.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg: Option<SocketAddr>,
}

/// What the doors stand before.
pub(crate) struct House {
    pub world: World,
    pub log: Arc<dyn Log>,
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
    pub catalog: catalog::Catalog,
    pub tables: tables::Tables,
    pub registry: Arc<lake::registry::RegistryStore>,
    pub lake: Arc<Lake>,
    pub engine: Arc<Engine>,
}

impl Node {
    /// Starts everything the settings ask for. On return all doors answer and `run/ports.json` names them.
    pub async fn start(settings: Settings) -> Result<Self> {
        settings.check()?;
        let world = World::real();
        limits::raise_open_files();
        let (house, log) = roles::stores::open(&settings, &world).await?;
        // Only now is the directory ours: before, the file may be that of the node that is up.
        ports::forget(&settings, &world)?;
        if settings.has(Role::Lake) {
            house.lake.start_writer();
        }

        let mut addresses = Addresses::default();
        let mut metrics = Vec::new();
        if settings.has(Role::Broker) {
            let broker = roles::broker::start(&settings, &house).await?;
            addresses.kafka = Some(broker.addr);
            house.engine.keep_rules(broker.security());
            metrics.push(roles::broker::metrics(broker));
            metrics.push(roles::broker::compaction_metrics(house.log.clone()));
        }
        if settings.has(Role::Gateway) {
            addresses.pg = Some(roles::pg::start(&settings, &house).await?);
            addresses.http = Some(roles::gateway::start(&settings, &house, &addresses, metrics).await?);
        }
        ports::publish(&settings, &world, &addresses)?;
        tracing::info!(data = %settings.data.display(), "node is up");
        Ok(Self { settings, world, log, lake: house.lake, addresses })
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Stops doors, roles and stores, in that order. What was acknowledged is on disk already; a clean stop only makes
    /// the next start quicker.
    pub async fn stop(self) -> Result<()> {
        ports::forget(&self.settings, &self.world)?;
        let in_time = self.world.tasks.stop(STOP_PATIENCE).await;
        if !in_time {
            tracing::warn!(patience_s = STOP_PATIENCE.as_secs(), "some tasks did not end in time");
        }
        drop(self.lake);
        self.log.close().await
    }
}
