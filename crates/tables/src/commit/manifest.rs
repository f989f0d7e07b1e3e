//! Manifests of a commit: new ones, and old ones merged.

use std::collections::BTreeMap;

use iceberg::spec::{
    DataFile, ManifestContentType, ManifestEntryRef, ManifestFile, ManifestWriter, ManifestWriterBuilder,
};
use model::{Error, Result};

use super::Attempt;
use crate::error::internal;

/// A manifest that is written once and used by every attempt.
#[derive(Default)]
pub(super) struct Manifest(Option<ManifestFile>);

impl Manifest {
    /// The manifest of `files`, staged if this is the first attempt.
    pub(super) async fn of(
        &mut self,
        attempt: &Attempt<'_>,
        content: ManifestContentType,
        spec_id: i32,
        files: &[DataFile],
        sequence_number: Option<i64>,
    ) -> Result<ManifestFile> {
        if let Some(manifest) = &self.0 {
            return Ok(manifest.clone());
        }
        let mut writer = attempt.manifest(content, spec_id)?;
        for file in files {
            // Without a number the file inherits that of the snapshot, whichever attempt makes it.
            writer.add(file.clone(), sequence_number.unwrap_or(-1))?;
        }
        let manifest = writer.write().await?;
        self.0 = Some(manifest.clone());
        Ok(manifest)
    }

    pub(super) fn path(&self) -> Option<&str> {
        self.0.as_ref().map(|manifest| manifest.manifest_path.as_str())
    }

    pub(super) fn reuses(&self, location: &str) -> bool {
        self.path() == Some(location)
    }
}

/// A manifest being written.
pub(super) struct Writer {
    inner: ManifestWriter,
    table: String,
}

impl Writer {
    fn add(&mut self, file: DataFile, sequence_number: i64) -> Result<()> {
        let added = self.inner.add_file(file, sequence_number);
        self.check(added)
    }

    /// An entry that stays.
    pub(super) fn keep(&mut self, entry: &ManifestEntryRef) -> Result<()> {
        let (Some(snapshot), Some(sequence)) = (entry.snapshot_id, entry.sequence_number) else {
            return Err(self.lacking(entry));
        };
        let kept =
            self.inner.add_existing_file(entry.data_file.clone(), snapshot, sequence, entry.file_sequence_number);
        self.check(kept)
    }

    /// An entry that goes in this snapshot.
    pub(super) fn remove(&mut self, entry: &ManifestEntryRef) -> Result<()> {
        let Some(sequence) = entry.sequence_number else { return Err(self.lacking(entry)) };
        let removed = self.inner.add_delete_file(entry.data_file.clone(), sequence, entry.file_sequence_number);
        self.check(removed)
    }

    pub(super) async fn write(self) -> Result<ManifestFile> {
        let table = self.table;
        let written = self.inner.write_manifest_file().await;
        written.map_err(|e| internal(format!("could not write a manifest of `{table}`"), e))
    }

    fn check(&self, result: iceberg::Result<()>) -> Result<()> {
        result.map_err(|e| internal(format!("could not write a manifest of `{}`", self.table), e))
    }

    fn lacking(&self, entry: &ManifestEntryRef) -> Error {
        Error::internal(format!("could not write a manifest of `{}`", self.table))
            .detail(format!("the entry of `{}` has no sequence number", entry.file_path()))
    }
}

/// Java's names and defaults.
const MERGE_ENABLED: &str = "commit.manifest-merge.enabled";
const MERGE_COUNT_MIN: &str = "commit.manifest.min-count-to-merge";
const MERGE_TARGET_BYTES: &str = "commit.manifest.target-size-bytes";

impl Attempt<'_> {
    pub(super) fn manifest(&self, content: ManifestContentType, spec_id: i32) -> Result<Writer> {
        let metadata = self.base.metadata();
        let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            Error::internal(format!("could not commit to `{}`", self.base.name()))
                .detail(format!("it has no partition spec {spec_id}"))
        })?;
        let output = self.stage.output(self.metadata_file(&format!("m-{}", self.snapshot_id)));
        let schema = metadata.current_schema().clone();
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec.as_ref().clone());
        let inner = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        Ok(Writer { inner, table: self.base.name().to_string() })
    }

    /// Manifests of the base that still hold something.
    pub(super) async fn base_manifests(&self) -> Result<Vec<ManifestFile>> {
        let Some(snapshot) = self.base.current_snapshot() else { return Ok(Vec::new()) };
        let list = self.tables.manifests().list(snapshot).await?;
        Ok(list.entries().iter().filter(|m| m.has_added_files() || m.has_existing_files()).cloned().collect())
    }

    /// Many small manifests become few: planning reads each, and each commit writes their list. Manifests of this very
    /// commit are left alone: they must survive a lost race.
    pub(super) async fn merge_manifests(&self, manifests: Vec<ManifestFile>) -> Result<Vec<ManifestFile>> {
        let count_min: usize = self.base.property(MERGE_COUNT_MIN, 100);
        let target_bytes: i64 = self.base.property(MERGE_TARGET_BYTES, 8 << 20);
        if !self.base.property(MERGE_ENABLED, true) || manifests.len() < count_min.max(2) {
            return Ok(manifests);
        }
        let mut kept = Vec::new();
        let mut small: BTreeMap<(i32, bool), Vec<ManifestFile>> = BTreeMap::new();
        for manifest in manifests {
            if manifest.added_snapshot_id == self.snapshot_id || manifest.manifest_length >= target_bytes {
                kept.push(manifest);
            } else {
                let group = (manifest.partition_spec_id, manifest.content == ManifestContentType::Deletes);
                small.entry(group).or_default().push(manifest);
            }
        }
        for ((spec_id, deletes), group) in small {
            if group.len() + 1 < count_min {
                kept.extend(group);
                continue;
            }
            let content = if deletes { ManifestContentType::Deletes } else { ManifestContentType::Data };
            for bin in bins(group, target_bytes) {
                kept.extend(self.merged(bin, content, spec_id).await?);
            }
        }
        Ok(kept)
    }

    /// Manifests that can be written as one, together: of one kind, up to the target size.
    pub(super) fn to_merge(&self, manifests: Vec<ManifestFile>) -> Vec<Vec<ManifestFile>> {
        if !self.base.property(MERGE_ENABLED, true) {
            return manifests.into_iter().map(|manifest| vec![manifest]).collect();
        }
        let target_bytes: i64 = self.base.property(MERGE_TARGET_BYTES, 8 << 20);
        let mut kinds: BTreeMap<(i32, bool), Vec<ManifestFile>> = BTreeMap::new();
        for manifest in manifests {
            let kind = (manifest.partition_spec_id, manifest.content == ManifestContentType::Deletes);
            kinds.entry(kind).or_default().push(manifest);
        }
        kinds.into_values().flat_map(|kind| bins(kind, target_bytes)).collect()
    }

    async fn merged(
        &self,
        mut bin: Vec<ManifestFile>,
        content: ManifestContentType,
        spec_id: i32,
    ) -> Result<Option<ManifestFile>> {
        if bin.len() == 1 {
            return Ok(bin.pop());
        }
        let mut writer = self.manifest(content, spec_id)?;
        let mut empty = true;
        for manifest in &bin {
            // Entries deleted by older snapshots are history: those snapshots keep their own manifests.
            for entry in self.tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
                writer.keep(entry)?;
                empty = false;
            }
        }
        Ok(if empty { None } else { Some(writer.write().await?) })
    }
}

/// Neighbours together, each bin up to the target.
fn bins(manifests: Vec<ManifestFile>, target_bytes: i64) -> Vec<Vec<ManifestFile>> {
    let mut bins: Vec<Vec<ManifestFile>> = Vec::new();
    let mut room = 0;
    for manifest in manifests {
        if bins.is_empty() || manifest.manifest_length > room {
            bins.push(Vec::new());
            room = target_bytes;
        }
        room -= manifest.manifest_length;
        bins.last_mut().expect("pushed above").push(manifest);
    }
    bins
}
