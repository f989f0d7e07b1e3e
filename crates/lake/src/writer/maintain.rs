//! Upkeep of all tables of the catalog, those of topics and those made by SQL: one at a time, and only while the lake keeps
//! up. It sleeps until a table is committed to, a file is due for deletion, or a day is over.

use std::{sync::Arc, time::Duration};

use model::Result;

use crate::lake::Parts;

/// Tables looked after per round at most.
const TABLES_PER_ROUND: usize = 64;
/// Snapshots grow old and orphans are found also where nothing is committed: so often every table is looked at.
const ALL_INTERVAL: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(parts: Arc<Parts>) {
    let clock = &parts.world.clock;
    // What was committed before the last stop, nobody may have looked after.
    let mut all_due = clock.monotonic();
    loop {
        let rest = match parts.tables.has_changed() {
            true => Duration::ZERO,
            false => rest(&parts, all_due.saturating_sub(clock.monotonic())).await,
        };
        tokio::select! {
            () = parts.tables.changed() => {}
            () = tokio::time::sleep(rest) => {}
            () = parts.world.tasks.stopping() => return,
        }
        // Commits come in bursts.
        tokio::select! {
            () = tokio::time::sleep(parts.settings.maintenance_interval) => {}
            () = parts.world.tasks.stopping() => return,
        }
        // A lake that is behind has better things to do.
        if parts.budget.is_exceeded() {
            continue;
        }
        if all_due <= clock.monotonic() {
            all_due = clock.monotonic() + ALL_INTERVAL;
            if let Err(error) = look_at_all(&parts).await {
                tracing::warn!(%error, "could not list the tables to look after");
            }
        }
        round(&parts).await;
    }
}

/// How long nothing needs to be done unless a table changes.
async fn rest(parts: &Parts, until_all: Duration) -> Duration {
    match parts.catalog.next_delete_due().await {
        Ok(None) => until_all,
        Ok(Some(due)) => {
            let wait = due.saturating_sub(parts.world.clock.now_ms());
            until_all.min(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
        }
        Err(error) => {
            tracing::warn!(%error, "could not look when files are to be deleted");
            until_all
        }
    }
}

async fn look_at_all(parts: &Parts) -> Result<()> {
    for namespace in parts.catalog.namespaces().await? {
        for table in parts.catalog.tables(&namespace).await? {
            parts.tables.look_again_at(table);
        }
    }
    Ok(())
}

/// Looks after tables that were committed to, and deletes files whose time has come.
async fn round(parts: &Parts) {
    let now = parts.world.clock.now_ms();
    for table in parts.tables.take_changed(TABLES_PER_ROUND) {
        if parts.world.tasks.is_stopping() {
            return;
        }
        match parts.tables.maintain(&table, &parts.settings.maintenance, now).await {
            Ok(report) => {
                tracing::debug!(%table, ?report, "looked after a table");
                if report.yielded {
                    parts.tables.look_again_at(table);
                }
            }
            Err(error) if error.kind() == model::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%table, %error, "could not look after a table"),
        }
    }
    match parts.tables.sweep(now).await {
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "could not delete files whose time has come"),
    }
}
