//! Manifests and manifest lists: immutable by path, so read once and shared by commits and scans.

use std::sync::Arc;

use files::Files;
use iceberg::{
    io::FileIO,
    spec::{FormatVersion, ManifestEntryRef, ManifestFile, ManifestList, Snapshot},
};
use model::Result;

use crate::{
    cache::Cache,
    error::{corrupt, unwrap_or},
    storage,
};

/// Process-wide cache of manifests and manifest lists, bounded by bytes. Cheap to clone.
#[derive(Clone)]
pub struct Manifests(Arc<Inner>);

struct Inner {
    files: Files,
    file_io: FileIO,
    lists: Cache<Arc<str>, Arc<ManifestList>>,
    entries: Cache<Arc<str>, Arc<[ManifestEntryRef]>>,
}

/// Decoded manifests take about this much more memory than their (deflated) files; measured on tables of 20 columns.
const GROWTH: usize = 6;
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
        let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2)
            .or_else(|_| ManifestList::parse_with_version(&bytes, FormatVersion::V1))
            .map_err(|e| corrupt(format!("could not read the manifest list `{path}`"), e))?;
        let list = Arc::new(list);
        self.0.lists.insert(path.into(), list.clone(), LIST_ENTRY_BYTES * (1 + list.entries().len()));
        Ok(list)
    }

    /// The entries of `manifest`, with snapshot ids and sequence numbers inherited; also those that are not alive.
    pub async fn entries(&self, manifest: &ManifestFile) -> Result<Arc<[ManifestEntryRef]>> {
        let path = manifest.manifest_path.as_str();
        if let Some(entries) = self.0.entries.get(path) {
            return Ok(entries);
        }
        let loaded = manifest.load_manifest(&self.0.file_io).await.map_err(|e| {
            unwrap_or(&e, || corrupt(format!("could not read the manifest `{path}`"), &e))
        })?;
        let (entries, _) = loaded.into_parts();
        let entries: Arc<[ManifestEntryRef]> = entries.into();
        let weight = usize::try_from(manifest.manifest_length).unwrap_or(0).saturating_mul(GROWTH);
        self.0.entries.insert(path.into(), entries.clone(), weight);
        Ok(entries)
    }

    /// Files that are gone need no memory.
    pub(crate) fn forget(&self, path: &str) {
        let path: Arc<str> = path.into();
        self.0.lists.remove(&path);
        self.0.entries.remove(&path);
    }
}

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Manifests")
    }
}
