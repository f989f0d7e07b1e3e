//! Opens the port and serves connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use commitlog::Log;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use lake::registry::RegistryStore;
use model::{Error, Result, error::codes};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use world::{TaskKind, World};

use crate::{
    app::{self, App},
    settings::{Doors, GatewaySettings, MetricsSource},
};

/// Everything the HTTP door shows.
pub struct GatewayParts {
    pub engine: Arc<sql::Engine>,
    pub lake: Arc<lake::Lake>,
    pub registry: Arc<RegistryStore>,
    pub log: Arc<dyn Log>,
    pub groups: Option<Arc<commitlog::groups::Groups>>,
    pub tables: tables::Tables,
    pub catalog: catalog::Catalog,
    /// The node's other doors.
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
#[derive(Clone, Copy, Debug)]
pub struct GatewayHandle {
    /// Where it listens; the port is the real one even if 0 was asked for.
    pub addr: SocketAddr,
}

impl Gateway {
    /// Binds `parts.listen` and serves until the world's tasks stop.
    pub async fn start(parts: GatewayParts) -> Result<GatewayHandle> {
        let listen = parts.listen;
        let unavailable = |e: std::io::Error| {
            Error::new(codes::ADDRESS_UNAVAILABLE, format!("could not open the HTTP door at {listen}"))
                .detail(e.to_string())
        };
        let listener = TcpListener::bind(listen).await.map_err(unavailable)?;
        let addr = listener.local_addr().map_err(unavailable)?;
        let world = parts.world.clone();
        let connections = Arc::new(Semaphore::new(parts.settings.connections_max));
        let head_timeout = parts.settings.head_timeout;
        let router = app::router(App::new(parts, addr));

        let tasks = world.tasks.clone();
        world.tasks.spawn(TaskKind::Listener, async move {
            loop {
                let permit = connections.clone().acquire_owned().await.expect("this semaphore is never closed");
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, or the peer was gone already: both pass.
                        tracing::warn!(%error, "could not accept an HTTP connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let service = TowerToHyperService::new(router.clone());
                tasks.spawn(TaskKind::Connection, async move {
                    serve(stream, service, head_timeout).await;
                    drop(permit);
                });
            }
        });
        Ok(GatewayHandle { addr })
    }
}

/// One connection, until either side closes it. Dropping a client's request drops its handler and with it its query.
async fn serve(stream: TcpStream, service: TowerToHyperService<axum::Router>, head_timeout: Duration) {
    // Answers are written in whole pieces; waiting to fill packets would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
