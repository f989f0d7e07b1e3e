//! One life of a node: log, groups and transactions as they run in production, on a runtime whose time is moved by hand.
//!
//! The runtime has one thread and a queue that is first in, first out; its time stands still until it is advanced. What comes
//! after what therefore follows from the order in which the simulator starts things and takes steps, which follows from the seed.

use std::{path::Path, sync::Arc, time::Duration};

use commitlog::{
    EmbeddedLog, LogSettings, Steps,
    groups::{GroupSettings, Groups},
    transactions::{TransactionSettings, Transactions},
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use world::{TaskKind, Tasks, World};

use crate::{
    chance::SimRandom,
    machine::{SimClock, SimDisk},
};

pub struct Node {
    pub log: Arc<EmbeddedLog>,
    pub steps: Arc<Steps>,
    pub groups: Arc<Groups>,
    pub transactions: Arc<Transactions>,
    tasks: Tasks,
    runtime: Runtime,
}

/// What a node is made of that outlives it.
pub struct Parts {
    pub clock: Arc<SimClock>,
    pub random: Arc<SimRandom>,
    pub settings: LogSettings,
}

/// Of whoever waits for the node and for nothing else.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long a member of the consumer protocol may be silent.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);

impl Node {
    /// Starts on what is on the disk.
    pub fn start(disk: &SimDisk, parts: &Parts) -> model::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets");
        let opened = runtime.block_on(async {
            let tasks = Tasks::stepped();
            let world = World {
                clock: parts.clock.clone(),
                random: parts.random.clone(),
                disk: Arc::new(disk.clone()),
                tasks: tasks.clone(),
            };
            let (log, steps) =
                EmbeddedLog::open_stepped(Path::new("/log"), parts.settings.clone(), world.clone()).await?;
            let groups = GroupSettings {
                offsets_retention: FOR_EVER,
                consumer_session_timeout: SESSION_TIMEOUT,
                ..GroupSettings::default()
            };
            let groups = Groups::open_with(log.clone(), groups, world.clone()).await?;
            let settings = TransactionSettings { id_retention: FOR_EVER, ..TransactionSettings::default() };
            let transactions = Transactions::open_with(log.clone(), groups.clone(), settings, world).await?;
            Ok::<_, model::Error>((log, steps, groups, transactions, tasks))
        });
        let (log, steps, groups, transactions, tasks) = opened?;
        disk.share_with(Arc::downgrade(&steps));
        Ok(Self { log, steps, groups, transactions, tasks, runtime })
    }

    /// Lets tasks go on for so many rounds.
    pub fn run(&self, rounds: usize) {
        self.runtime.block_on(async {
            for _ in 0..rounds {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Lets time pass.
    pub fn advance(&self, clock: &SimClock, by: Duration) {
        clock.advance(by);
        self.runtime.block_on(tokio::time::advance(by));
    }

    /// Starts a client's request; what it is told goes to `told`.
    pub fn ask<T: Send + 'static>(&self, told: &Arc<Mutex<Vec<T>>>, request: impl Future<Output = T> + Send + 'static) {
        let told = told.clone();
        // What it does when first asked it does now: the order of requests is that of calls.
        self.tasks.spawn_on(self.runtime.handle(), TaskKind::Connection, async move {
            let answer = request.await;
            told.lock().push(answer);
        });
    }

    /// Runs `work` where the node's tasks run.
    pub fn inside<T>(&self, work: impl FnOnce(&Self) -> T) -> T {
        let _runtime = self.runtime.enter();
        work(self)
    }

    /// Waits for `request` without letting time pass, except what it waits for itself.
    ///
    /// # Panics
    /// When it waits for what nobody does.
    pub fn wait<T>(&self, request: impl Future<Output = T>) -> T {
        // With nothing to do the runtime goes on to its next timer: this is the last one.
        let patient = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await });
        patient.expect("a request is answered without any more steps of the log")
    }
}
