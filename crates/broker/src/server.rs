//! The door itself: settings in, a listening socket and a handle out.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use commitlog::{Log, groups::Groups, transactions::Transactions};
use model::{Error, Result, error::codes};
use security::Security;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use world::{TaskKind, World};

use crate::{
    admission::{Admission, Place},
    connection,
    dynamic::Dynamic,
    fetch::Sessions,
    login,
    quotas::{self, CONNECT_WAIT_MAX, Quotas},
    seldom::Seldom,
    settings::BrokerSettings,
    stats::{Stats, StatsSnapshot},
};

/// Batches that are compressed anew at a time.
const COMPRESSING_MAX: usize = 2;

/// What the door needs.
pub struct BrokerParts {
    pub log: Arc<dyn Log>,
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
    pub world: World,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub settings: BrokerSettings,
}

/// Starts the door.
pub struct Broker;

/// An open door.
#[derive(Clone)]
pub struct BrokerHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) world: World,
    /// As the node was started; [`Dynamic::door`] has them as they are now.
    pub(crate) settings: BrokerSettings,
    pub(crate) dynamic: Dynamic,
    pub(crate) security: Arc<Security>,
    pub(crate) stats: Stats,
    /// Topics that clients asked for, and could not be made.
    pub(crate) not_made: Seldom,
    /// Batches that the disk has changed.
    pub(crate) damaged: Seldom,
    pub(crate) quotas: Quotas,
    pub(crate) admission: Admission,
    pub(crate) sessions: Sessions,
    /// Host and port that clients are told.
    pub(crate) advertised: (String, i32),
    /// Bytes of requests that may still be taken in.
    pub(crate) in_flight: Arc<Semaphore>,
    /// Bytes of requests that may still be taken in from those who are not in yet.
    pub(crate) login_frames: Semaphore,
    /// Turns for batches that are compressed anew: each takes a processor, and the memory of what it holds.
    pub(crate) compressing: Semaphore,
    /// Bytes of records that may still be put into responses.
    pub(crate) responses: Arc<Semaphore>,
}

impl Broker {
    /// Listens on return; connections are served until the world's tasks stop.
    pub async fn start(parts: BrokerParts) -> Result<BrokerHandle> {
        let BrokerParts { log, groups, transactions, world, listen, settings } = parts;
        settings.check()?;
        settings.security.check(listen)?;
        let security = Security::open(log.clone(), world.clone(), settings.security.clone()).await?;
        let unavailable = |e: std::io::Error| {
            Error::new(codes::ADDRESS_UNAVAILABLE, format!("the Kafka door cannot listen on {listen}"))
                .detail(e.to_string())
        };
        let listener = TcpListener::bind(listen).await.map_err(unavailable)?;
        let addr = listener.local_addr().map_err(unavailable)?;
        let shared = Arc::new(Shared {
            advertised: settings.advertised(addr)?,
            in_flight: Arc::new(Semaphore::new(settings.in_flight_bytes_max)),
            responses: Arc::new(Semaphore::new(settings.responses_bytes_max)),
            sessions: Sessions::new(settings.fetch_sessions_max, world.random.clone()),
            stats: Stats::new(),
            not_made: Seldom::default(),
            damaged: Seldom::default(),
            admission: Admission::default(),
            dynamic: Dynamic::open(log.clone(), groups.clone(), world.clone(), &settings).await?,
            quotas: Quotas::open(log.clone(), world.clone()).await?,
            log,
            groups,
            transactions,
            compressing: Semaphore::new(COMPRESSING_MAX),
            login_frames: Semaphore::new(login::FRAMES_BYTES_MAX),
            world,
            settings,
            security,
        });
        let tasks = shared.world.tasks.clone();
        tasks.spawn(TaskKind::Listener, accept(shared.clone(), listener));
        Ok(BrokerHandle { addr, shared })
    }
}

impl BrokerHandle {
    /// Users, rules and decisions, for other doors.
    pub fn security(&self) -> Arc<Security> {
        self.shared.security.clone()
    }

    /// The door's counters now. Topics that are gone are left out, and forgotten.
    pub fn stats(&self) -> StatsSnapshot {
        self.shared.stats.retain(|topic| self.shared.log.topic(topic).is_some());
        self.shared.stats.snapshot()
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(&shared, stream, peer),
            Err(error) => {
                // Out of file descriptors, most likely: connections that end make room.
                tracing::warn!(%error, "cannot accept a Kafka connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let stats = &shared.stats;
    let place = match shared.admission.enter(peer.ip(), &shared.dynamic.door()) {
        Ok(place) => place,
        Err(why) => {
            stats.connections_refused.fetch_add(1, Relaxed);
            tracing::warn!(%peer, %why, "Kafka connection closed");
            return;
        }
    };
    stats.connections.fetch_add(1, Relaxed);
    stats.connections_open.fetch_add(1, Relaxed);
    let open = Open(shared.clone(), place);
    let serve = async move {
        let open = open;
        let wait = open.0.quotas.connect(peer.ip());
        if wait > CONNECT_WAIT_MAX {
            // An address far beyond its quota must not fill the places of others by waiting in them.
            open.0.stats.connections_refused.fetch_add(1, Relaxed);
            return;
        }
        let clock = &*open.0.world.clock;
        quotas::until(clock, clock.monotonic() + wait).await;
        connection::serve(open.0.clone(), stream, peer).await;
    };
    // Boxed: a task keeps room for what is moved through it.
    shared.world.tasks.spawn(TaskKind::Connection, Box::pin(serve));
}

/// Counts a connection as open, however it ends.
struct Open(Arc<Shared>, #[expect(dead_code, reason = "held, not looked at")] Place);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stats.connections_open.fetch_sub(1, Relaxed);
    }
}
