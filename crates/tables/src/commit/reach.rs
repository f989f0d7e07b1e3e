//! Files that only expired snapshots reach.
//!
//! *To delete* = reachable from expired snapshots − reachable from kept ones. In a plain line of snapshots that expires
//! from its old end, whatever the oldest kept snapshot no longer reaches, no younger one does either: engines only ever
//! carry files forward. Then one manifest list stands for all kept ones. With branches, tags or gaps all are read.

use std::collections::{HashMap, HashSet};

use iceberg::spec::{ManifestFile, SnapshotRef, TableMetadata};
use model::Result;

use super::expire::other_refs;
use crate::{Tables, table::ancestors};

/// `metadata` still holds the `expired` snapshots. `staged` is a snapshot whose files are not written yet; its parent is
/// kept, and all it reaches is reached by its parent or new.
pub(super) async fn unreachable(
    tables: &Tables,
    metadata: &TableMetadata,
    expired: &[i64],
    staged: Option<i64>,
) -> Result<Vec<String>> {
    let expired: HashSet<i64> = expired.iter().copied().collect();
    let (gone, mut kept): (Vec<&SnapshotRef>, Vec<&SnapshotRef>) =
        metadata.snapshots().partition(|snapshot| expired.contains(&snapshot.snapshot_id()));
    match frontier(metadata, &expired) {
        Some(oldest) => kept.retain(|snapshot| snapshot.snapshot_id() == oldest),
        None => kept.retain(|snapshot| Some(snapshot.snapshot_id()) != staged),
    }
    assert!(
        kept.iter().all(|snapshot| Some(snapshot.snapshot_id()) != staged),
        "the parent of a staged snapshot is kept"
    );

    // A file keeps its name through a move of the store only if names from before and after it are told as one.
    let now = |location: &str| tables.files().current(location).into_owned();
    let mut kept_manifests: HashMap<String, ManifestFile> = HashMap::new();
    for snapshot in kept {
        let list = tables.manifests().list(snapshot).await?;
        kept_manifests.extend(list.entries().iter().map(|manifest| (now(&manifest.manifest_path), manifest.clone())));
    }

    let mut unreachable: Vec<String> = Vec::new();
    let mut gone_manifests: HashMap<String, ManifestFile> = HashMap::new();
    for snapshot in gone {
        for manifest in tables.manifests().list(snapshot).await?.entries() {
            let path = now(&manifest.manifest_path);
            if !kept_manifests.contains_key(&path) {
                gone_manifests.entry(path).or_insert_with(|| manifest.clone());
            }
        }
        unreachable.push(now(snapshot.manifest_list()));
        let id = snapshot.snapshot_id();
        unreachable.extend(metadata.statistics_for_snapshot(id).map(|file| file.statistics_path.clone()));
    }

    let mut candidates: HashSet<String> = HashSet::new();
    for manifest in gone_manifests.values() {
        let entries = tables.manifests().entries(manifest).await?;
        candidates.extend(entries.iter().filter(|entry| entry.is_alive()).map(|entry| now(entry.file_path())));
    }
    // Merging moves entries to other manifests: most candidates are alive there.
    for manifest in kept_manifests.values() {
        if candidates.is_empty() {
            break;
        }
        for entry in tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
            candidates.remove(&now(entry.file_path()));
        }
    }
    unreachable.extend(gone_manifests.into_keys());
    unreachable.extend(candidates);
    unreachable.sort_unstable();
    Ok(unreachable)
}

/// The oldest kept snapshot, if kept and expired ones are one line, cut once.
fn frontier(metadata: &TableMetadata, expired: &HashSet<i64>) -> Option<i64> {
    let current = metadata.current_snapshot()?;
    let line: Vec<i64> = ancestors(metadata, current).map(|snapshot| snapshot.snapshot_id()).collect();
    let kept = line.iter().take_while(|id| !expired.contains(id)).count();
    let plain = line.len() == metadata.snapshots().len()
        && line[kept..].iter().all(|id| expired.contains(id))
        && other_refs(metadata).is_empty();
    if plain { line[..kept].last().copied() } else { None }
}
