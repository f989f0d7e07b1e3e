//! One connection writes; changes that wait for it share a transaction.

use std::sync::Arc;

use model::{Error, Result};
use parking_lot::Mutex;
use sqlx::{Acquire as _, Connection as _, SqliteConnection};
use tokio::sync::oneshot;
use world::TaskKind;

use crate::{
    Catalog, Names,
    change::{Change, Done},
    store::failed,
};

/// Changes in one transaction at most, so that the first of them does not wait for ever.
const BATCH_MAX: usize = 512;

pub(crate) struct Writer {
    /// Bounded by the number of callers: each waits for its answer.
    queue: Mutex<Queue>,
    /// `None` once closed.
    connection: tokio::sync::Mutex<Option<SqliteConnection>>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Whether a task is at work that will look at the queue again before it ends.
    draining: bool,
}

struct Job {
    change: Change,
    answer: oneshot::Sender<Result<Done>>,
}

impl Writer {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self { queue: Mutex::default(), connection: tokio::sync::Mutex::new(Some(connection)) }
    }

    /// Queues a change. Whoever asked may go away: what was queued is done all the same, by a task of its own, so that
    /// a dropped future never leaves a transaction open.
    pub(crate) fn submit(self: &Arc<Self>, change: Change, catalog: &Catalog) -> oneshot::Receiver<Result<Done>> {
        let (answer, receiver) = oneshot::channel();
        let start = {
            let mut queue = self.queue.lock();
            queue.jobs.push(Job { change, answer });
            !std::mem::replace(&mut queue.draining, true)
        };
        if start {
            let catalog = catalog.clone();
            catalog.0.world.tasks.clone().spawn(TaskKind::Background, async move { drain(&catalog).await });
        }
        receiver
    }

    pub(crate) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the catalog did not close cleanly");
        }
    }

    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut queue = self.queue.lock();
        if queue.jobs.is_empty() {
            queue.draining = false;
            return None;
        }
        let rest = queue.jobs.len().min(BATCH_MAX);
        Some(queue.jobs.drain(..rest).collect())
    }
}

async fn drain(catalog: &Catalog) {
    let writer = &catalog.0.writer;
    let mut connection = writer.connection.lock().await;
    while let Some(jobs) = writer.next_batch() {
        let Some(connection) = connection.as_mut() else {
            for job in jobs {
                let closed = Error::new(model::error::codes::SHUTTING_DOWN, "the catalog is closed");
                let _gone = job.answer.send(Err(closed));
            }
            continue;
        };
        let touches_names = jobs.iter().any(|job| job.change.touches_names());
        let committed = commit(connection, jobs).await;
        // The names must be right before the caller goes on.
        if touches_names {
            match Names::read(connection).await {
                Ok(names) => catalog.set_names(names),
                Err(error) => tracing::error!(%error, "could not read the catalog's names"),
            }
        }
        for (answer, result) in committed {
            // The caller may have gone away.
            let _gone = answer.send(result);
        }
    }
}

type Answer = (oneshot::Sender<Result<Done>>, Result<Done>);

/// All jobs in one transaction, each in a savepoint of its own.
async fn commit(connection: &mut SqliteConnection, jobs: Vec<Job>) -> Vec<Answer> {
    let (changes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.change, job.answer)).unzip();
    let results = match try_commit(connection, &changes).await {
        Ok(results) => results,
        Err(error) => changes.iter().map(|_| Err(error.clone())).collect(),
    };
    answers.into_iter().zip(results).collect()
}

async fn try_commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Result<Done>>> {
    let mut transaction =
        connection.begin_with("BEGIN IMMEDIATE").await.map_err(|e| failed("begin a change of the catalog", &e))?;
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        let mut savepoint = transaction.begin().await.map_err(|e| failed("begin a change of the catalog", &e))?;
        let result = change.apply(&mut savepoint).await;
        let ended = match result {
            Ok(_) => savepoint.commit().await,
            Err(_) => savepoint.rollback().await,
        };
        ended.map_err(|e| failed("end a change of the catalog", &e))?;
        results.push(result);
    }
    transaction.commit().await.map_err(|e| failed("commit to the catalog", &e))?;
    Ok(results)
}
