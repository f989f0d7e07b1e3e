//! Rows deleted by position, and rows added, in one instant.

use std::collections::HashSet;

use iceberg::spec::{ManifestContentType, ManifestFile, Operation};
use model::{Error, Result, error::codes};

use super::{Attempt, Counts, Manifest, NewSnapshot, Proposal, RowDelta};

pub(crate) struct RowDeltaWork {
    delta: RowDelta,
    deletes: Manifest,
    added: Manifest,
}

impl RowDeltaWork {
    pub(crate) fn new(delta: RowDelta) -> Self {
        Self { delta, deletes: Manifest::default(), added: Manifest::default() }
    }

    pub(super) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        [&self.deletes, &self.added].into_iter()
    }

    pub(super) async fn propose(&mut self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let delta = &self.delta;
        if delta.deletes.is_empty() && delta.added.is_empty() {
            return Ok(Proposal::Nothing);
        }
        let mut manifests = attempt.base_manifests().await?;
        if attempt.base.metadata().current_snapshot_id() != Some(delta.base_snapshot_id) {
            validate(attempt, delta, &manifests).await?;
        }
        let mut counts = Counts::default();
        delta.deletes.iter().chain(&delta.added).for_each(|file| counts.add(file));
        if !delta.added.is_empty() {
            let content = ManifestContentType::Data;
            manifests.push(self.added.of(attempt, content, delta.spec_id, &delta.added, None).await?);
        }
        if !delta.deletes.is_empty() {
            let content = ManifestContentType::Deletes;
            manifests.push(self.deletes.of(attempt, content, delta.spec_id, &delta.deletes, None).await?);
        }
        Ok(Proposal::Snapshot(NewSnapshot {
            operation: if delta.added.is_empty() { Operation::Delete } else { Operation::Overwrite },
            manifests,
            counts,
            progress: attempt.base.progress()?,
            properties: delta.properties.clone(),
        }))
    }
}

/// The table moved on since the rows were found. The rows must be where they were, and as they were.
async fn validate(attempt: &Attempt<'_>, delta: &RowDelta, manifests: &[ManifestFile]) -> Result<()> {
    let table = attempt.base;
    let conflict = |why: String| {
        Err(Error::new(codes::COMMIT_CONFLICT, format!("could not change rows of `{}`", table.name())).detail(why))
    };
    let Some(base) = table.metadata().snapshot_by_id(delta.base_snapshot_id) else {
        return conflict(format!("the snapshot it started from, {}, is gone", delta.base_snapshot_id));
    };
    let mut touched: HashSet<String> = delta.deletes.iter().filter_map(|file| file.referenced_data_file()).collect();
    let all_touched = touched.clone();
    for manifest in manifests {
        let recent = manifest.sequence_number > base.sequence_number();
        // Old manifests matter only for the files that must still be there.
        if !recent && touched.is_empty() {
            continue;
        }
        for entry in attempt.tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
            let new = entry.sequence_number().is_some_and(|number| number > base.sequence_number());
            match manifest.content {
                ManifestContentType::Data => {
                    touched.remove(entry.file_path());
                    if new && delta.serializable {
                        return conflict("rows were added meanwhile that might be meant too".to_owned());
                    }
                }
                ManifestContentType::Deletes if new => {
                    // Deletes that do not say which file they are for may be for any.
                    let hits = entry.data_file().referenced_data_file().is_none_or(|path| all_touched.contains(&path));
                    if hits {
                        return conflict("some of the rows were changed meanwhile".to_owned());
                    }
                }
                ManifestContentType::Deletes => {}
            }
        }
    }
    match touched.into_iter().next() {
        None => Ok(()),
        Some(gone) => conflict(format!("`{gone}` was rewritten or removed meanwhile")),
    }
}
