//! Manifests and manifest lists: immutable by path, so read once and shared by commits and scans.

use std::sync::Arc;

use files::Files;
use iceberg::{
    io::FileIO,
    spec::{
        DataFile, FormatVersion, ManifestEntry, ManifestEntryRef, ManifestFile, ManifestList as Parsed, ManifestStatus,
        Snapshot, UNASSIGNED_SEQUENCE_NUMBER,
    },
};
use model::Result;

use crate::{
    cache::Cache,
    error::{corrupt, unwrap_or},
    storage,
};

/// The manifests of one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestList(Vec<ManifestFile>);

impl ManifestList {
    pub fn entries(&self) -> &[ManifestFile] {
        &self.0
    }
}

/// Process-wide cache of manifests and manifest lists, bounded by bytes. Cheap to clone.
#[derive(Clone)]
pub struct Manifests(Arc<Inner>);

struct Inner {
    files: Files,
    file_io: FileIO,
    lists: Cache<Arc<str>, Arc<ManifestList>>,
    entries: Cache<Arc<str>, Arc<[ManifestEntryRef]>>,
}

/// Decoded manifests take about this much more memory than their files.
const GROWTH: usize = 4;
const LISTS_BYTES_MAX: usize = 16 << 20;
const ENTRIES_BYTES_MAX: usize = 64 << 20;
/// Memory of one manifest in a list.
const LIST_ENTRY_BYTES: usize = 400;

impl Manifests {
    pub(crate) fn new(files: &Files) -> Self {
        Self(Arc::new(Inner {
            files: files.clone(),
            file_io: storage::file_io(files),
            lists: Cache::new(LISTS_BYTES_MAX),
            entries: Cache::new(ENTRIES_BYTES_MAX),
        }))
    }

    /// The manifests of `snapshot`.
    pub async fn list(&self, snapshot: &Snapshot) -> Result<Arc<ManifestList>> {
        let path = snapshot.manifest_list();
        if let Some(list) = self.0.lists.get(path) {
            return Ok(list);
        }
        let bytes = self.0.files.get(path).await?;
        // Version 1 lists have no sequence numbers; their reader fills in 0.
        let list = Parsed::parse_with_version(&bytes, FormatVersion::V2)
            .or_else(|_| Parsed::parse_with_version(&bytes, FormatVersion::V1))
            .map_err(|e| corrupt(format!("could not read the manifest list `{path}`"), e))?;
        Ok(self.keep_list(path, list.consume_entries().into_iter().collect()))
    }

    fn keep_list(&self, path: &str, manifests: Vec<ManifestFile>) -> Arc<ManifestList> {
        let list = Arc::new(ManifestList(manifests));
        self.0.lists.insert(path.into(), list.clone(), LIST_ENTRY_BYTES * (1 + list.entries().len()));
        list
    }

    /// What a commit has just written need not be read again: its list, and the manifest of the files it added.
    pub(crate) fn remember(
        &self,
        snapshot: &Snapshot,
        mut manifests: Vec<ManifestFile>,
        added: Option<(&str, &[DataFile])>,
    ) {
        let sequence_number = snapshot.sequence_number();
        // As the list's writer does.
        for manifest in &mut manifests {
            for number in [&mut manifest.sequence_number, &mut manifest.min_sequence_number] {
                if *number == UNASSIGNED_SEQUENCE_NUMBER {
                    *number = sequence_number;
                }
            }
        }
        if let Some((path, files)) = added {
            let entries = files.iter().map(|file| {
                // As a reader does for numbers that are inherited.
                ManifestEntryRef::new(ManifestEntry {
                    status: ManifestStatus::Added,
                    snapshot_id: Some(snapshot.snapshot_id()),
                    sequence_number: Some(sequence_number),
                    file_sequence_number: Some(sequence_number),
                    data_file: file.clone(),
                })
            });
            let length = manifests.iter().find(|m| m.manifest_path == path).map_or(0, |m| m.manifest_length);
            self.0.entries.insert(path.into(), entries.collect(), weight(length));
        }
        self.keep_list(snapshot.manifest_list(), manifests);
    }

    /// The entries of `manifest`, with snapshot ids and sequence numbers inherited; also those that are not alive.
    pub async fn entries(&self, manifest: &ManifestFile) -> Result<Arc<[ManifestEntryRef]>> {
        let path = manifest.manifest_path.as_str();
        if let Some(entries) = self.0.entries.get(path) {
            return Ok(entries);
        }
        let loaded = manifest
            .load_manifest(&self.0.file_io)
            .await
            .map_err(|e| unwrap_or(&e, || corrupt(format!("could not read the manifest `{path}`"), &e)))?;
        let (entries, _) = loaded.into_parts();
        let entries: Arc<[ManifestEntryRef]> = entries.into();
        self.0.entries.insert(path.into(), entries.clone(), weight(manifest.manifest_length));
        Ok(entries)
    }

    /// Files that are gone need no memory.
    pub(crate) fn forget(&self, path: &str) {
        let path: Arc<str> = path.into();
        self.0.lists.remove(&path);
        self.0.entries.remove(&path);
    }
}

fn weight(manifest_length: i64) -> usize {
    usize::try_from(manifest_length).unwrap_or(0).saturating_mul(GROWTH)
}

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Manifests")
    }
}
