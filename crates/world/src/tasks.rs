//! Everything that runs beside the caller: named, counted and stoppable.

use std::{future::Future, time::Duration};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a task is for. One line per kind says what stopping it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Accepts connections of a door. On stop: takes no more.
    Listener,
    /// Serves one connection. On stop: dropped; its client sees the connection close and tries again.
    Connection,
    /// Keeps something tidy or flowing (retention, expiry, lake writer, maintenance). On stop: finishes the step it is in.
    Background,
    /// One query. On stop: cancelled.
    Query,
}

/// Spawns tasks and threads, and stops them together.
#[derive(Clone)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
    /// The runtime all this was made on, if it was.
    home: Option<Handle>,
    /// Blocking work shares the one thread there is.
    is_stepped: bool,
}

impl Tasks {
    pub fn new() -> Self {
        let (stop, tracker, home) = (CancellationToken::new(), TaskTracker::new(), Handle::try_current().ok());
        Self { stop, tracker, home, is_stepped: false }
    }

    /// Tasks of a simulated world: everything takes turns on the one thread of the current runtime, blocking work too, so that
    /// what comes after what is that runtime's decision and not the machine's.
    pub fn stepped() -> Self {
        Self { is_stepped: true, ..Self::new() }
    }

    /// Runs `task` on the runtime these tasks were made on, whoever asks: what a query starts outlives it, and must not
    /// share its threads. Connections and queries are dropped at stop; the others watch [`Tasks::stopping`] themselves and
    /// finish the step they are in.
    pub fn spawn<F>(&self, kind: TaskKind, task: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match &self.home {
            Some(home) => self.spawn_on(home, kind, task),
            None => self.spawn_on(&Handle::current(), kind, task),
        }
    }

    /// [`Tasks::spawn`] on another runtime.
    pub fn spawn_on<F>(&self, runtime: &Handle, kind: TaskKind, task: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        runtime.spawn(self.tracker.track_future(async move {
            match kind {
                TaskKind::Listener | TaskKind::Connection | TaskKind::Query => {
                    stop.run_until_cancelled(task).await;
                }
                TaskKind::Background => task.await,
            }
        }))
    }

    /// Runs `step`, which waits for the disk, where waiting harms nobody. It runs to its end whether or not somebody waits.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks come from")]
    pub fn blocking<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
        if self.is_stepped { tokio::spawn(async move { step() }) } else { tokio::task::spawn_blocking(step) }
    }

    /// A thread for blocking work that lasts as long as the node.
    #[expect(clippy::disallowed_methods, reason = "this is where threads come from")]
    pub fn thread(&self, name: &str, body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("the system can start a thread")
    }

    /// Resolves when the node stops.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks every task to stop and waits for them, at most `patience`. Says whether all ended in time.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}
