//! Opens the port and takes connections.

use std::{sync::Arc, time::Duration};

use model::{Error, Result, error::codes};
use tokio::{net::TcpListener, sync::Semaphore};
use world::{TaskKind, World};

use crate::{PgHandle, PgParts, PgSettings, cancel::Cancels, dialect::Dialect, session};

/// Clients on their way in or being sent away, beside those that are served.
const NEWCOMERS_MAX: usize = 64;

/// What all connections share.
pub(crate) struct Door {
    pub(crate) engine: Arc<sql::Engine>,
    pub(crate) settings: PgSettings,
    pub(crate) world: World,
    pub(crate) cancels: Cancels,
    pub(crate) dialect: Dialect,
    /// One permit for each connection that is served.
    pub(crate) connections: Arc<Semaphore>,
}

pub(crate) async fn open(parts: PgParts) -> Result<PgHandle> {
    let PgParts { engine, catalog, listen, settings, world } = parts;
    let unavailable = |e: std::io::Error| {
        Error::new(codes::ADDRESS_UNAVAILABLE, format!("could not open the PostgreSQL door at {listen}"))
            .detail(e.to_string())
    };
    let listener = TcpListener::bind(listen).await.map_err(unavailable)?;
    let addr = listener.local_addr().map_err(unavailable)?;
    crate::catalog::register(engine.context(), &catalog)?;
    let sockets = Arc::new(Semaphore::new(settings.connections_max + NEWCOMERS_MAX));
    let door = Arc::new(Door {
        connections: Arc::new(Semaphore::new(settings.connections_max)),
        engine,
        settings,
        world: world.clone(),
        cancels: Cancels::default(),
        dialect: Dialect::default(),
    });

    let tasks = world.tasks.clone();
    world.tasks.spawn(TaskKind::Listener, async move {
        loop {
            let permit = sockets.clone().acquire_owned().await.expect("this semaphore is never closed");
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or the peer was gone already: both pass.
                    tracing::warn!(%error, "could not accept a PostgreSQL connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "could not set TCP_NODELAY");
            }
            let door = door.clone();
            tasks.spawn(TaskKind::Connection, async move {
                session::serve(stream, door).await;
                drop(permit);
            });
        }
    });
    Ok(PgHandle { addr })
}
