//! Follows one topic for as long as it exists.

use std::{sync::Arc, time::Duration};

use commitlog::Subscription;
use model::{Error, ErrorKind, Result};
use tokio::sync::{Notify, oneshot};
use world::TaskKind;

use super::{commit, exceptions};
use crate::{
    lake::Parts,
    tail::read::{advance, rejects_too_many},
    topic::TopicState,
};

/// First and longest wait after something failed.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Runs until the topic is gone or the node stops.
pub(crate) async fn follow(parts: Arc<Parts>, state: Arc<TopicState>) {
    let waker = state.nudge.clone();
    // Wakes come from here on; what is there already is found by looking.
    let Ok(_subscriptions) = subscribe(&parts, &state, &waker) else { return };
    let mut retry = RETRY_FIRST;
    let mut begun = false;
    let mut pace = Pace::default();
    let mut running: Option<Running> = None;
    while !parts.world.tasks.is_stopping() && !state.is_gone() {
        let result = match begun {
            false => commit::begin(&parts, &state).await.map(|()| true),
            true => decode_some(&parts, &state).await,
        };
        begun |= result.is_ok();
        let more = match result {
            Ok(more) => more,
            Err(error) if matches!(error.kind(), ErrorKind::TopicNotFound | ErrorKind::TopicIdUnknown) => break,
            Err(error) => {
                tracing::warn!(topic = %state.topic.name, %error, "could not decode records; trying again");
                state.failed(&error);
                pause(&parts, retry).await;
                retry = (retry * 2).min(RETRY_LONGEST);
                continue;
            }
        };
        let now = parts.world.clock.monotonic();
        let (pending, bytes) = state.pending();
        if pending > 0 && begun && pace.is_due(now, &parts, bytes) && running.is_none() {
            running = Some(start_commit(&parts, &state));
        }
        if more && running.is_none() {
            tokio::task::yield_now().await;
            continue;
        }
        let due = if running.is_some() { None } else { pace.wait(now, &parts, pending, bytes) };
        tokio::select! {
            biased;
            result = end_of(&mut running) => {
                running = None;
                match result {
                    Ok(committed) => {
                        pace.since = None;
                        pace.soon = committed.more;
                        retry = RETRY_FIRST;
                    }
                    Err(error) => {
                        if state.is_gone() { break }
                        tracing::warn!(topic = %state.topic.name, %error, "could not commit; trying again");
                        state.failed(&error);
                        pace.since = Some(now);
                        pace.not_before = now + retry;
                        retry = (retry * 2).min(RETRY_LONGEST);
                    }
                }
            }
            () = std::future::ready(()), if more => tokio::task::yield_now().await,
            () = waker.notified() => {}
            () = sleep_or_never(due) => {}
            () = parts.world.tasks.stopping() => break,
        }
    }
    if running.is_some()
        && let Err(error) = end_of(&mut running).await
        && !state.is_gone()
    {
        tracing::warn!(topic = %state.topic.name, %error, "the last commit failed; the next start makes it");
    }
}

/// A commit under way.
type Running = oneshot::Receiver<Result<commit::Commit>>;

fn start_commit(parts: &Arc<Parts>, state: &Arc<TopicState>) -> Running {
    let (done, running) = oneshot::channel();
    let (parts, state) = (parts.clone(), state.clone());
    let tasks = parts.world.tasks.clone();
    tasks.spawn(TaskKind::Background, async move {
        let result = commit::commit(&parts, &state).await;
        if let Err(Err(error)) = done.send(result) {
            tracing::warn!(topic = %state.topic.name, %error, "a commit failed that nobody waited for");
        }
    });
    running
}

/// How the commit under way ends, even if by a panic; waits for ever if there is none.
async fn end_of(running: &mut Option<Running>) -> Result<commit::Commit> {
    match running {
        Some(running) => running.await.unwrap_or_else(|_| Err(Error::internal("a commit was cut short"))),
        None => std::future::pending().await,
    }
}

/// When to commit.
#[derive(Default)]
struct Pace {
    /// When the first record came that is not in the table.
    since: Option<Duration>,
    /// A failed commit is tried again no sooner.
    not_before: Duration,
    /// The last commit left something behind.
    soon: bool,
}

impl Pace {
    fn is_due(&mut self, now: Duration, parts: &Parts, bytes: usize) -> bool {
        self.since.get_or_insert(now);
        self.due_at(parts, bytes).is_some_and(|due| due <= now)
    }

    /// How long nothing needs to be done but for new records; `None`: for ever.
    fn wait(&self, now: Duration, parts: &Parts, pending: i64, bytes: usize) -> Option<Duration> {
        if pending == 0 {
            return None;
        }
        Some(self.due_at(parts, bytes)?.saturating_sub(now).max(Duration::from_millis(1)))
    }

    fn due_at(&self, parts: &Parts, bytes: usize) -> Option<Duration> {
        let full = bytes >= parts.settings.commit_bytes || parts.budget.is_pressed_by(bytes);
        let due = if self.soon || full { Duration::ZERO } else { self.since? + parts.settings.commit_interval };
        Some(due.max(self.not_before))
    }
}

/// Decodes one slice of each partition that has news. True if there may be more.
async fn decode_some(parts: &Parts, state: &Arc<TopicState>) -> Result<bool> {
    let mut more = false;
    for partition in &state.partitions {
        let end = partition.tail(|tail| tail.end());
        let bounds = parts.log.bounds(&partition.at)?;
        // Room comes with the commit that is under way or due.
        let full = parts.budget.is_exceeded() && parts.budget.is_pressed_by(state.pending().1);
        if bounds.last_stable > end && !full && !rejects_too_many(partition) {
            more |= advance(parts, state, partition, bounds.log_start.max(end)).await?;
        }
    }
    if state.has_rejected() {
        // While a commit runs it writes them itself.
        if let Ok(mut writer) = state.writer.try_lock() {
            let mark = writer.mark.clone().flatten();
            exceptions::write(parts, state, mark.as_ref(), &mut writer.exceptions).await?;
        }
    }
    Ok(more)
}

fn subscribe(parts: &Parts, state: &TopicState, waker: &Arc<Notify>) -> Result<Vec<Subscription>> {
    state.partitions.iter().map(|partition| parts.log.subscribe(&partition.at, waker.clone())).collect()
}

async fn pause(parts: &Parts, patience: Duration) {
    tokio::select! {
        () = tokio::time::sleep(patience) => {}
        () = parts.world.tasks.stopping() => {}
    }
}

async fn sleep_or_never(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
