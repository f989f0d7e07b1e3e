//! Files in a table's folder that no state of the table reaches: what lost races and crashes leave behind.

use std::{collections::HashSet, time::Duration};

use model::{Result, TableName, TimestampMs};

use crate::{
    Table, Tables,
    commit::{GRACE_MS, GRACE_PROPERTY},
};

/// Queues orphans older than `age_min` for deletion; younger ones may belong to a commit under way. The queue, because
/// what expired a moment ago is unreachable too and still has its grace time.
pub(super) async fn remove(tables: &Tables, name: &TableName, age_min: Duration, now: TimestampMs) -> Result<usize> {
    let age_min = i64::try_from(age_min.as_millis()).unwrap_or(i64::MAX);
    // Listed before the table is read: what a commit adds in between is young, or reachable.
    let table = tables.get(name).await?;
    let files = tables.files().list(table.metadata().location()).await?;
    let old: Vec<_> = files.into_iter().filter(|file| now.saturating_sub(file.modified_ms) > age_min).collect();
    let table = tables.get(name).await?;
    let mut removed = tables.files().remove_abandoned(table.metadata().location(), now, age_min).await?;
    if old.is_empty() {
        return Ok(removed);
    }
    let reachable = reachable(tables, &table).await?;
    let not_before = now.saturating_add(table.property(GRACE_PROPERTY, GRACE_MS));
    let orphans: Vec<_> =
        old.into_iter().filter(|f| !reachable.contains(&f.location)).map(|f| (f.location, not_before)).collect();
    removed += orphans.len();
    tables.catalog().queue_deletes(&orphans).await?;
    Ok(removed)
}

/// Everything any kept state of the table refers to.
async fn reachable(tables: &Tables, table: &Table) -> Result<HashSet<String>> {
    let metadata = table.metadata();
    let mut reachable: HashSet<String> = HashSet::new();
    reachable.insert(table.metadata_location().to_owned());
    reachable.extend(metadata.metadata_log().iter().map(|log| log.metadata_file.clone()));
    reachable.extend(metadata.statistics_iter().map(|file| file.statistics_path.clone()));
    reachable.extend(metadata.partition_statistics_iter().map(|file| file.statistics_path.clone()));
    let mut manifests = HashSet::new();
    for snapshot in metadata.snapshots() {
        reachable.insert(snapshot.manifest_list().to_owned());
        for manifest in tables.manifests().list(snapshot).await?.entries() {
            if manifests.insert(manifest.manifest_path.clone()) {
                let entries = tables.manifests().entries(manifest).await?;
                reachable.extend(entries.iter().filter(|e| e.is_alive()).map(|entry| entry.file_path().to_owned()));
            }
        }
    }
    reachable.extend(manifests);
    // The folder's list has the names of today.
    Ok(reachable.into_iter().map(|location| tables.files().current(&location).into_owned()).collect())
}
