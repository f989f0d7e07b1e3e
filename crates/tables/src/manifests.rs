//! Manifests and manifest lists: immutable by path, so read once and shared by commits and scans.

use std::sync::Arc;

use iceberg::spec::{ManifestEntryRef, ManifestFile, ManifestList, Snapshot};
use model::Result;

/// Process-wide cache of manifests and manifest lists, bounded by bytes. Cheap to clone.
#[derive(Clone)]
pub struct Manifests {}

impl Manifests {
    /// The manifests of `snapshot`.
    pub async fn list(&self, _snapshot: &Snapshot) -> Result<Arc<ManifestList>> {
        unimplemented!()
    }

    /// The entries of `manifest`, with snapshot ids and sequence numbers inherited; also those that are not alive.
    pub async fn entries(&self, _manifest: &ManifestFile) -> Result<Arc<[ManifestEntryRef]>> {
        unimplemented!()
    }
}
