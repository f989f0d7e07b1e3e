//! One connection writes; changes that wait for it share a transaction.

use std::{path::PathBuf, sync::Arc};

use model::{Error, Result, error::codes};
use parking_lot::Mutex;
use sqlx::{Acquire as _, Connection as _, SqliteConnection};
use tokio::sync::oneshot;
use world::TaskKind;

use crate::{
    Catalog, Names,
    change::{Change, Done},
    store::{self, failed},
};

/// Changes in one transaction at most, so that the first of them does not wait for ever.
const BATCH_MAX: usize = 512;

pub(crate) struct Writer {
    /// Bounded by the number of callers: each waits for its answer.
    queue: Mutex<Queue>,
    pub(crate) connection: tokio::sync::Mutex<Connection>,
}

/// The connection that writes.
pub(crate) struct Connection {
    path: PathBuf,
    /// `None` if one failed and no other could be opened: the next change tries it.
    pub(crate) open: Option<SqliteConnection>,
    is_closed: bool,
    /// The names in memory may not be those in the database.
    names_are_stale: bool,
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
    pub(crate) fn new(path: PathBuf, connection: SqliteConnection) -> Self {
        let connection = Connection { path, open: Some(connection), is_closed: false, names_are_stale: false };
        Self { queue: Mutex::default(), connection: tokio::sync::Mutex::new(connection) }
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
        let mut connection = self.connection.lock().await;
        connection.is_closed = true;
        if let Some(open) = connection.open.take()
            && let Err(error) = open.close().await
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

impl Connection {
    async fn ready(&mut self) -> Result<&mut SqliteConnection> {
        if self.is_closed {
            return Err(Error::new(codes::SHUTTING_DOWN, "the catalog is closed"));
        }
        if self.open.is_none() {
            self.open = Some(store::connect(&self.path).await?);
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    /// After a failure nobody knows how deep in transactions the connection is: SQLite ends them by itself when the disk is
    /// full, and sqlx counts as if it had not. So another one takes its place.
    async fn give_up(&mut self) {
        // What was under way may have been done or not.
        self.names_are_stale = true;
        // First the new one: with the last one to close go files that the next could not make on a full disk.
        let new = store::connect(&self.path).await;
        if let Err(error) = &new {
            tracing::warn!(%error, "could not open the catalog again; the next change tries it");
        }
        if let Some(old) = std::mem::replace(&mut self.open, new.ok())
            && let Err(error) = old.close_hard().await
        {
            tracing::warn!(%error, "a connection to the catalog that had failed did not close cleanly");
        }
    }

    async fn names(&mut self) -> Result<Names> {
        Names::read(self.ready().await?).await
    }
}

async fn drain(catalog: &Catalog) {
    let writer = &catalog.0.writer;
    let mut connection = writer.connection.lock().await;
    while let Some(jobs) = writer.next_batch() {
        connection.names_are_stale |= jobs.iter().any(|job| job.change.touches_names());
        let committed = commit(&mut connection, jobs).await;
        // The names must be right before the caller goes on.
        if connection.names_are_stale && !connection.is_closed {
            match connection.names().await {
                Ok(names) => {
                    connection.names_are_stale = false;
                    catalog.set_names(names);
                }
                Err(error) => {
                    tracing::error!(%error, "could not read the catalog's names");
                    connection.give_up().await;
                }
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
async fn commit(connection: &mut Connection, jobs: Vec<Job>) -> Vec<Answer> {
    let (changes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.change, job.answer)).unzip();
    let tried = match connection.ready().await {
        Ok(connection) => try_commit(connection, &changes).await,
        Err(error) => Err(error),
    };
    let results = match tried {
        Ok(results) => results,
        Err(error) => {
            if !connection.is_closed {
                connection.give_up().await;
            }
            changes.iter().map(|_| Err(error.clone())).collect()
        }
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
        if let Err(error) = ended {
            // Where SQLite has undone everything by itself, the change knows why.
            return Err(result.err().unwrap_or_else(|| failed("end a change of the catalog", &error)));
        }
        results.push(result);
    }
    transaction.commit().await.map_err(|e| failed("commit to the catalog", &e))?;
    Ok(results)
}
