//! Deleting files: those whose grace time is over, and those of a dropped table.

use futures::{StreamExt, stream};
use model::{Result, TimestampMs};

use super::SweepReport;
use crate::{Table, Tables};

/// Files looked at in one go, and how often in one call.
const BATCH: u32 = 1000;
const BATCHES_MAX: usize = 32;
/// Deletions under way at once.
const CONCURRENCY: usize = 8;

impl Tables {
    /// Deletes files whose grace time is over and that nobody may be reading (see [`Tables::reading`]); call again soon if
    /// there is [`SweepReport::more`]. A file that cannot be deleted stays on the list.
    pub async fn sweep(&self, now: TimestampMs) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        for _ in 0..BATCHES_MAX {
            let due = self.catalog().due_deletes(self.readers().deletable_by(now), BATCH).await?;
            report.more = due.len() == BATCH as usize;
            let failed = report.failed;
            self.delete_all(due, &mut report).await?;
            // What fails comes first next time too: leave it for later.
            if !report.more || report.failed > failed || self.world().tasks.is_stopping() {
                break;
            }
        }
        Ok(report)
    }

    async fn delete_all(&self, locations: Vec<String>, report: &mut SweepReport) -> Result<()> {
        let attempts = stream::iter(locations)
            .map(|location| async move {
                let result = self.files().delete(&location).await;
                (location, result)
            })
            .buffer_unordered(CONCURRENCY);
        let mut deleted = Vec::new();
        let mut attempts = std::pin::pin!(attempts);
        while let Some((location, result)) = attempts.next().await {
            match result {
                Ok(()) => {
                    self.manifests().forget(&location);
                    deleted.push(location);
                }
                Err(error) => {
                    tracing::warn!(%location, %error, "could not delete a file");
                    report.failed += 1;
                }
            }
        }
        report.deleted += deleted.len();
        match deleted.is_empty() {
            true => Ok(()),
            false => self.catalog().forget_deletes(deleted).await,
        }
    }

    /// Queues everything in the folder of a table that is no longer in the catalog; running queries may still read it.
    pub(crate) async fn purge(&self, table: &Table) -> Result<()> {
        let not_before =
            self.world().clock.now_ms() + table.property(crate::commit::GRACE_PROPERTY, crate::commit::GRACE_MS);
        let location = self.files().current(table.metadata().location());
        let keep_data = !table.property("gc.enabled", true);
        let data = format!("{location}/data/");
        let files = self.files().list(&location).await?;
        let deletes: Vec<_> = files
            .into_iter()
            .filter(|file| !(keep_data && file.location.starts_with(&data)))
            .map(|file| (file.location, not_before))
            .collect();
        self.catalog().queue_deletes(&deletes).await
    }
}
