//! Files replaced by others with the same rows.

use std::collections::HashSet;

use iceberg::spec::{ManifestContentType, ManifestFile, Operation};
use model::{Error, Result, error::codes};

use super::{Attempt, Counts, Manifest, NewSnapshot, Proposal, Rewrite};

pub(crate) struct RewriteWork {
    rewrite: Rewrite,
    inputs: HashSet<String>,
    pub(super) manifest: Manifest,
}

impl RewriteWork {
    pub(crate) fn new(rewrite: Rewrite) -> Self {
        let inputs = rewrite.inputs.iter().cloned().collect();
        Self { rewrite, inputs, manifest: Manifest::default() }
    }

    pub(super) async fn propose(&mut self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let rewrite = &self.rewrite;
        if self.inputs.is_empty() {
            return Ok(Proposal::Nothing);
        }
        let written: u64 = rewrite.outputs.iter().map(|file| file.record_count()).sum();
        if written != rewrite.rows {
            return Err(mismatch(attempt, format!("{} rows were read, {written} written", rewrite.rows)));
        }
        let base_manifests = attempt.base_manifests().await?;
        let removed = self.validate(attempt, &base_manifests).await?;

        let mut counts = Counts::default();
        rewrite.outputs.iter().for_each(|file| counts.add(file));
        let mut manifests = Vec::with_capacity(base_manifests.len() + 1);
        let mut touched = Vec::new();
        for manifest in base_manifests {
            let entries = attempt.tables.manifests().entries(&manifest).await?;
            match entries.iter().any(|entry| entry.is_alive() && removed.contains(entry.file_path())) {
                true => touched.push(manifest),
                false => manifests.push(manifest),
            }
        }
        for group in attempt.to_merge(touched) {
            manifests.push(without(attempt, group, &removed, &mut counts).await?);
        }
        if !rewrite.outputs.is_empty() {
            let sequence = Some(rewrite.base_sequence_number);
            let content = ManifestContentType::Data;
            manifests.push(self.manifest.of(attempt, content, rewrite.spec_id, &rewrite.outputs, sequence).await?);
        }
        Ok(Proposal::Snapshot(NewSnapshot {
            operation: Operation::Replace,
            manifests,
            counts,
            progress: attempt.base.progress()?,
            properties: Vec::new(),
        }))
    }

    /// All inputs are there, nobody deleted rows of them since they were read, and no row is lost. Returns the files to
    /// remove: the inputs, and deletes that concern nothing else.
    async fn validate(&self, attempt: &Attempt<'_>, manifests: &[ManifestFile]) -> Result<HashSet<String>> {
        let conflict = |why: String| {
            let name = attempt.base.name();
            Err(Error::new(codes::COMMIT_CONFLICT, format!("could not replace files of `{name}`")).detail(why))
        };
        let mut removed = HashSet::with_capacity(self.inputs.len());
        let (mut rows, mut rows_deleted_max) = (0, 0);
        for manifest in manifests {
            for entry in attempt.tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
                let path = entry.file_path();
                match manifest.content {
                    ManifestContentType::Data if self.inputs.contains(path) => {
                        removed.insert(path.to_owned());
                        rows += entry.record_count();
                    }
                    ManifestContentType::Data => {}
                    ManifestContentType::Deletes => {
                        let referenced = entry.data_file().referenced_data_file();
                        let own = referenced.as_ref().is_some_and(|path| self.inputs.contains(path));
                        let unclear = referenced.is_none();
                        let new = entry.sequence_number().is_some_and(|n| n > self.rewrite.base_sequence_number);
                        if new && (own || unclear) {
                            return conflict("rows of its files were deleted meanwhile".to_owned());
                        }
                        if own {
                            removed.insert(path.to_owned());
                        }
                        if own || unclear {
                            rows_deleted_max += entry.record_count();
                        }
                    }
                }
            }
        }
        if let Some(gone) = self.inputs.iter().find(|path| !removed.contains(*path)) {
            return conflict(format!("`{gone}` was rewritten or removed meanwhile"));
        }
        let kept = self.rewrite.rows;
        if kept > rows || kept + rows_deleted_max < rows {
            let why = format!(
                "its files hold {rows} rows, of which at most {rows_deleted_max} are deleted; {kept} were read"
            );
            return Err(mismatch(attempt, why));
        }
        Ok(removed)
    }
}

/// One manifest in place of `group`, all of one kind, where the removed files are marked so: files of many commits often go
/// together, and a manifest for each that says no more than that would cost every reader of the list.
async fn without(
    attempt: &Attempt<'_>,
    group: Vec<ManifestFile>,
    removed: &HashSet<String>,
    counts: &mut Counts,
) -> Result<ManifestFile> {
    let first = group.first().expect("groups hold manifests");
    let mut writer = attempt.manifest(first.content, first.partition_spec_id)?;
    for manifest in &group {
        let entries = attempt.tables.manifests().entries(manifest).await?;
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            if removed.contains(entry.file_path()) {
                writer.remove(entry)?;
                counts.remove(entry.data_file());
            } else {
                writer.keep(entry)?;
            }
        }
    }
    writer.write().await
}

fn mismatch(attempt: &Attempt<'_>, why: String) -> Error {
    Error::new(codes::MAINTENANCE_MISMATCH, format!("could not replace files of `{}`", attempt.base.name())).detail(why)
}
