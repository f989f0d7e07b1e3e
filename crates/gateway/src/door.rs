//! Opens the port and serves connections.

use std::{net::SocketAddr, sync::Arc};

use commitlog::Log;
use lake::registry::RegistryStore;
use model::Result;
use world::World;

use crate::settings::{Doors, GatewaySettings, MetricsSource};

/// Everything the HTTP door shows.
pub struct GatewayParts {
    pub engine: Arc<sql::Engine>,
    pub lake: Arc<lake::Lake>,
    pub registry: Arc<RegistryStore>,
    pub log: Arc<dyn Log>,
    pub groups: Option<Arc<commitlog::groups::Groups>>,
    pub tables: tables::Tables,
    pub catalog: catalog::Catalog,
    /// The other doors of this node.
    pub doors: Doors,
    /// More lines for `/metrics` (the broker's counters).
    pub metrics: Vec<MetricsSource>,
    pub listen: SocketAddr,
    pub settings: GatewaySettings,
    pub world: World,
}

/// The HTTP door.
pub struct Gateway;

/// A door that is open.
pub struct GatewayHandle {
    /// Where it listens; the port is the real one even if 0 was asked for.
    pub addr: SocketAddr,
}

impl Gateway {
    /// Binds `parts.listen` and serves until the world's tasks stop.
    pub async fn start(parts: GatewayParts) -> Result<GatewayHandle> {
        let _ = parts;
        Err(model::Error::internal("starting"))
    }
}
