//! Rows added.

use iceberg::spec::{DataFile, ManifestContentType, Operation};
use model::{Error, Result, error::codes};

use super::{Append, Attempt, Counts, Manifest, NewSnapshot, Proposal};

pub(crate) struct AppendWork {
    append: Append,
    pub(super) manifest: Manifest,
}

impl AppendWork {
    pub(crate) fn new(append: Append) -> Self {
        Self { append, manifest: Manifest::default() }
    }

    pub(super) fn added(&self) -> Option<(&str, &[DataFile])> {
        self.manifest.path().map(|path| (path, self.append.files.as_slice()))
    }

    pub(super) async fn propose(&mut self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let append = &self.append;
        if attempt.base.metadata().uuid() != append.table {
            let name = attempt.base.name();
            return Err(Error::new(codes::COMMIT_CONFLICT, format!("could not append to `{name}`"))
                .detail("another table has taken its place and name since the rows were written"));
        }
        let now = attempt.base.progress()?;
        let next = match &append.progress {
            // A writer without progress carries the mark of the one that has it.
            None => now,
            Some(commit) if commit.expected == now => Some(commit.next.clone()),
            Some(commit) => {
                return Err(Error::new(
                    codes::PROGRESS_CONFLICT,
                    format!("could not append to `{}`", attempt.base.name()),
                )
                .detail(format!("its progress is {now:?}, expected was {:?}", commit.expected)));
            }
        };
        if append.files.is_empty() && append.progress.is_none() {
            return Ok(Proposal::Nothing);
        }
        let mut counts = Counts::default();
        append.files.iter().for_each(|file| counts.add(file));
        let mut manifests = attempt.base_manifests().await?;
        if !append.files.is_empty() {
            let content = ManifestContentType::Data;
            manifests.push(self.manifest.of(attempt, content, append.spec_id, &append.files, None).await?);
        }
        Ok(Proposal::Snapshot(NewSnapshot {
            operation: Operation::Append,
            manifests,
            counts,
            progress: next,
            properties: append.properties.clone(),
        }))
    }
}
