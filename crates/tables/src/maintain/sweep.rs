//! Deleting files: those whose grace time is over, and those of a dropped table.

use futures::{StreamExt, stream};
use model::{Result, TimestampMs};

use super::SweepReport;
use crate::{Table, Tables};

/// Files looked at in one go.
const BATCH: u32 = 500;
/// Deletions under way at once.
const CONCURRENCY: usize = 8;

impl Tables {
    /// Deletes files whose grace time is over; call again at once if there is [`SweepReport::more`]. A file that cannot
    /// be deleted stays on the list.
    pub async fn sweep(&self, now: TimestampMs) -> Result<SweepReport> {
        let due = self.catalog().due_deletes(now, BATCH).await?;
        let more = due.len() == BATCH as usize;
        let attempts = stream::iter(due)
            .map(|location| async move {
                let result = self.files().delete(&location).await;
                (location, result)
            })
            .buffer_unordered(CONCURRENCY);
        let mut report = SweepReport::default();
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
        report.deleted = deleted.len();
        // A batch of failures only must not be asked for again at once.
        report.more = more && report.deleted > 0;
        if !deleted.is_empty() {
            self.catalog().forget_deletes(deleted).await?;
        }
        Ok(report)
    }

    /// Queues everything in the folder of a table that is no longer in the catalog; running queries may still read it.
    pub(crate) async fn purge(&self, table: &Table) -> Result<()> {
        let not_before =
            self.world().clock.now_ms() + table.property(crate::commit::GRACE_PROPERTY, crate::commit::GRACE_MS);
        let location = table.metadata().location();
        let keep_data = !table.property("gc.enabled", true);
        let data = format!("{location}/data/");
        let files = self.files().list(location).await?;
        let deletes: Vec<_> = files
            .into_iter()
            .filter(|file| !(keep_data && file.location.starts_with(&data)))
            .map(|file| (file.location, not_before))
            .collect();
        self.catalog().queue_deletes(&deletes).await
    }
}
