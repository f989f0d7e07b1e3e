//! Upkeep of the topics' tables: one at a time, and only while the lake keeps up.

use std::sync::Arc;

use model::TableName;

use crate::lake::Parts;

/// Tables looked after per round at most.
const TABLES_PER_ROUND: usize = 64;

pub(crate) async fn run(parts: Arc<Parts>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(parts.settings.maintenance_interval) => {}
            () = parts.world.tasks.stopping() => return,
        }
        // A lake that is behind has better things to do.
        if parts.budget.is_exceeded() {
            continue;
        }
        round(&parts).await;
    }
}

/// Looks after the tables that were committed to since the last round.
pub(crate) async fn round(parts: &Parts) {
    let changed: Vec<_> = {
        let mut changed = parts.changed.lock();
        let some: Vec<_> = changed.iter().take(TABLES_PER_ROUND).cloned().collect();
        some.iter().for_each(|topic| _ = changed.remove(topic));
        some
    };
    let now = parts.world.clock.now_ms();
    for topic in changed {
        if parts.world.tasks.is_stopping() {
            return;
        }
        let table = TableName::public(&topic);
        match parts.tables.maintain(&table, &parts.settings.maintenance, now).await {
            Ok(report) => tracing::debug!(%table, ?report, "looked after a table"),
            Err(error) if error.kind() == model::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%table, %error, "could not look after a table"),
        }
    }
    match parts.tables.sweep(now).await {
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "could not delete files whose time has come"),
    }
}
