//! Which topics are followed: one task for each, started and ended as topics come and go.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use model::{Result, SCHEMAS_TOPIC, TopicId, TopicName};
use tokio::task::JoinHandle;
use world::TaskKind;

use super::{HOLDER, follow::follow, maintain};
use crate::{
    lake::{Parts, is_left_behind},
    topic::TopicState,
};

/// Topics that are bookkeeping of the node: they can be read as raw records but have no table.
pub(crate) fn has_table(topic: &TopicName) -> bool {
    !topic.is_bookkeeping() && &**topic != SCHEMAS_TOPIC
}

struct Follower {
    state: Arc<TopicState>,
    task: JoinHandle<()>,
}

/// Starts following. Holds are in place when this returns, so retention may run.
pub(crate) fn start(parts: &Arc<Parts>) {
    let changes = parts.log.topics_changed();
    for topic in parts.log.topics().iter().filter(|topic| has_table(&topic.name)) {
        commitlog::partitions(topic).for_each(|at| parts.log.hold(&at, HOLDER, Some(0)));
    }
    parts.world.tasks.spawn(TaskKind::Background, supervise(parts.clone(), changes));
    parts.world.tasks.spawn(TaskKind::Background, maintain::run(parts.clone()));
}

async fn supervise(parts: Arc<Parts>, mut changes: tokio::sync::watch::Receiver<u64>) {
    let mut followers = HashMap::new();
    match parts.tables.relocate_all().await {
        Ok(0) => {}
        Ok(tables) => tracing::info!(tables, "the data directory was moved: wrote the tables' metadata anew"),
        Err(error) => tracing::warn!(%error, "could not look for tables that were moved"),
    }
    if let Err(error) = drop_orphans(&parts).await {
        tracing::warn!(%error, "could not look for tables of deleted topics");
    }
    loop {
        changes.borrow_and_update();
        reconcile(&parts, &mut followers).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = parts.world.tasks.stopping() => break,
        }
    }
    for follower in followers.into_values() {
        follower.state.nudge.notify_one();
        // A follower that panicked has said so already.
        let _ = follower.task.await;
    }
}

/// Followers for all topics there are, none for others.
async fn reconcile(parts: &Arc<Parts>, followers: &mut HashMap<TopicId, Follower>) {
    let topics: HashMap<_, _> =
        parts.log.topics().into_iter().filter(|t| has_table(&t.name)).map(|topic| (topic.id, topic)).collect();
    let is_current = |id: &TopicId, follower: &Follower| {
        topics.get(id).is_some_and(|topic| topic.partitions == follower.state.topic.partitions)
    };
    let over: Vec<TopicId> = followers.iter().filter(|(id, f)| !is_current(id, f)).map(|(id, _)| *id).collect();
    for id in over {
        let Some(follower) = followers.remove(&id) else { continue };
        let state = follower.state;
        let is_deleted = !topics.contains_key(&id);
        state.gone.store(true, Ordering::Release);
        state.nudge.notify_one();
        // A follower that panicked has said so already.
        let _ = follower.task.await;
        parts.forget(&state);
        if is_deleted {
            tracing::info!(topic = %state.topic.name, "the topic was deleted: dropping its table");
            if let Err(error) = drop_table_of(parts, &state).await {
                tracing::warn!(topic = %state.topic.name, %error, "could not drop the table of a deleted topic");
            }
        }
    }
    for (id, topic) in topics {
        followers.entry(id).or_insert_with(|| {
            commitlog::partitions(&topic).for_each(|at| parts.log.hold(&at, HOLDER, Some(0)));
            let state = parts.state_of(&topic);
            let task = parts.world.tasks.spawn(TaskKind::Background, follow(parts.clone(), state.clone()));
            Follower { state, task }
        });
    }
}

async fn drop_table_of(parts: &Parts, state: &TopicState) -> Result<()> {
    let _claim = parts.names.claim(&state.table_name()).await;
    // Whoever made a topic of the same name meanwhile has a table with another id.
    if state.load_table(parts).await?.is_some() {
        parts.tables.drop(&state.table_name(), true).await?;
    }
    Ok(())
}

/// Drops tables whose topics were deleted from this very log while nobody looked.
async fn drop_orphans(parts: &Parts) -> Result<()> {
    for name in parts.catalog.tables(model::TableName::DEFAULT_NAMESPACE).await? {
        let _claim = parts.names.claim(&name).await;
        let Some(table) = parts.tables.load(&name).await? else { continue };
        if is_left_behind(&*parts.log, &table) {
            tracing::info!(table = %name, "its topic was deleted: dropping the table");
            parts.tables.drop(&name, true).await?;
        }
    }
    Ok(())
}
