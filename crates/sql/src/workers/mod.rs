//! Where queries run: on threads of their own, so that none of them can keep a door waiting.
//!
//! ```text
//!  door's runtime                        │ workers (lower priority)
//!  Session::run ── statement ────────────┼──> bind, plan, write …
//!              <── outcome ──────────────┼───
//!  Rows ("give me a batch")              │    drives the stream: operators, decoding, files
//!              <── a few batches ────────┼───
//!  dropped ─── abort, Interrupt ─────────┼──> freed at the next batch
//! ```
//!
//! Everything a session does passes through [`Workers::run`]; the rows of a `SELECT` come back through [`Rows`]. What
//! comes to life on behalf of a query but outlives it (the lake's writer of a new topic) runs where the node does, see
//! [`world::Tasks::spawn`].

mod interrupt;
mod rows;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use model::{Error, Result, error::codes};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::AbortHandle,
};
use world::{TaskKind, Tasks, World};

pub(crate) use self::{
    interrupt::{Interrupt, interruptible},
    rows::Rows,
};

/// Added to the niceness of a worker: doors, log and lake go first when the processor is short.
const NICENESS: i32 = 5;
/// The highest niceness there is.
const LOWEST: i32 = 19;

/// The threads queries run on.
pub(crate) struct Workers {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    world: World,
}

/// A call's way to its worker and back.
#[derive(Clone)]
pub(crate) struct Ticket {
    runtime: Handle,
    world: World,
    /// The caller went away.
    abandoned: Arc<AtomicBool>,
    /// The call has one statement.
    pub(crate) alone: bool,
}

/// Stops the work when it is dropped.
struct Leash {
    task: AbortHandle,
    raised: Option<Arc<AtomicBool>>,
}

impl Workers {
    pub(crate) fn start(world: &World) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let niceness = lower_priority();
        let runtime = Builder::new_multi_thread()
            .enable_all()
            // More than the machine has: an operator that works long on one batch leaves room for other queries.
            .worker_threads(cores * 2)
            .thread_name("query")
            .on_thread_start(move || give_way(niceness))
            // Steps of a query are long: newcomers are looked after at each of them, timers and files at every other. Not
            // at each: a task whose budget is spent comes back then, and ahead of all that wait in the worker's queue.
            .event_interval(2)
            .global_queue_interval(1)
            .build()
            .map_err(|e| Error::io("could not start the threads of queries", &e))?;
        Ok(Self { runtime: Some(runtime), world: world.clone() })
    }

    /// Does `work` on a worker. Dropping this future stops it.
    pub(crate) async fn run<T, F>(&self, work: impl FnOnce(Ticket) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().expect("there until it is dropped").handle().clone();
        let abandoned = Arc::new(AtomicBool::new(false));
        let ticket = Ticket { runtime, world: self.world.clone(), abandoned: abandoned.clone(), alone: true };
        let (give, take) = oneshot::channel();
        let work = Box::pin(work(ticket.clone()));
        let mut leash = ticket.spawn(async move {
            // If nobody waits any more, the leash was let go and there is nobody to tell.
            drop(give.send(work.await));
        });
        leash.raised = Some(abandoned);
        let done = take.await.unwrap_or_else(|_| Err(lost(&self.world.tasks)));
        // Rows that are still to come have a leash of their own.
        leash.raised = None;
        done
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for the threads is not allowed here: this may be one of them.
            runtime.shutdown_background();
        }
    }
}

impl Ticket {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Leash {
        let task = self.world.tasks.spawn_on(&self.runtime, TaskKind::Query, work).abort_handle();
        Leash { task, raised: None }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(raised) = &self.raised {
            raised.store(true, Ordering::Relaxed);
        }
        self.task.abort();
    }
}

/// Why work ended without a word.
fn lost(tasks: &Tasks) -> Error {
    match tasks.is_stopping() {
        true => Error::new(codes::SHUTTING_DOWN, "the node is stopping"),
        false => Error::internal("a statement failed unexpectedly"),
    }
}

/// Makes the calling thread give way to others. On Linux niceness is a thread's own; elsewhere it would be the process's.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "niceness is a thread's own on Linux only"))]
fn give_way(niceness: Option<i32>) {
    #[cfg(target_os = "linux")]
    if let Some(niceness) = niceness
        && let Err(error) = rustix::process::setpriority_process(None, niceness)
    {
        tracing::warn!(%error, "could not lower the priority of a query thread");
    }
}

/// The niceness of workers, if the system says what this thread's is. A fixed number and no step: threads inherit, and
/// workers begin others.
fn lower_priority() -> Option<i32> {
    #[cfg(target_os = "linux")]
    return rustix::process::getpriority_process(None).ok().map(|here| (here + NICENESS).min(LOWEST));
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn workers_give_way_to_the_doors() {
        let world = World::real();
        let workers = Workers::start(&world).expect("threads");
        let niceness = || rustix::process::getpriority_process(None).expect("niceness");
        let here = niceness();
        let there = workers.run(move |_| async move { Ok(niceness()) }).await.expect("runs");
        assert_eq!(there, (here + NICENESS).min(LOWEST));
        let blocking = workers
            .run(move |_| async move { Ok(tokio::task::spawn_blocking(niceness).await.expect("runs")) })
            .await
            .expect("runs");
        assert_eq!(blocking, there);
        assert_eq!(niceness(), here);
    }

    #[tokio::test]
    async fn panics_and_a_stop_are_errors_of_the_call() {
        let world = World::real();
        let workers = Workers::start(&world).expect("threads");
        let failed = workers.run(|_| async { if true { panic!("a defect") } else { Ok(()) } }).await;
        assert_eq!(failed.expect_err("an error").code().name, "LH0001");
        let stop = world.tasks.stop(Duration::from_secs(5));
        let (failed, in_time) = tokio::join!(workers.run(|_| std::future::pending::<Result<()>>()), stop);
        assert_eq!(failed.expect_err("an error").code().name, "LH0005");
        assert!(in_time);
    }

    #[tokio::test]
    async fn work_that_never_waits_leaves_room_for_what_it_began() {
        let workers = Workers::start(&World::real()).expect("threads");
        let busy = || {
            workers.run(|_| async {
                let begun = tokio::spawn(async {});
                while !begun.is_finished() {
                    tokio::task::consume_budget().await;
                }
                Ok(())
            })
        };
        let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let all = futures::future::join_all((0..threads).map(|_| busy()));
        let done = tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
        assert!(done.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_caller_that_goes_stops_its_work() {
        let workers = Workers::start(&World::real()).expect("threads");
        let (give, take) = oneshot::channel::<()>();
        let call = workers.run(|_| async move {
            let _held = give;
            std::future::pending::<Result<()>>().await
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
        let dropped = tokio::time::timeout(Duration::from_secs(5), take).await.expect("in time");
        assert!(dropped.is_err(), "what the work held is freed");
    }

    #[tokio::test]
    async fn what_a_query_starts_for_the_node_runs_with_the_node() {
        let world = World::real();
        let workers = Workers::start(&world).expect("threads");
        let tasks = world.tasks.clone();
        let home = Handle::current().id();
        let (give, take) = oneshot::channel();
        let started = workers.run(move |_| async move {
            tasks.spawn(TaskKind::Background, async move { give.send(Handle::current().id()).expect("taken") });
            Ok(Handle::current().id())
        });
        assert_ne!(started.await.expect("runs"), home);
        assert_eq!(take.await.expect("told"), home);
    }
}
