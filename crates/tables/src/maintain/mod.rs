//! Upkeep: compaction, expiry, orphans, and the sweeper that deletes what nobody reaches any more.

mod compact;
mod orphans;
mod sweep;
mod unfinished;

use std::time::Duration;

use model::{Result, TableName, TimestampMs};

use crate::{
    Tables,
    commit::{ExpireWork, Work},
};

/// What upkeep may do to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePolicy {
    /// Compaction aims at files of this size.
    pub target_file_bytes: u64,
    /// A group of small files is rewritten once it has this many.
    pub small_files_min: usize,
    /// Bytes rewritten in one go at most.
    pub rewrite_bytes_max: u64,
    /// Snapshots kept at least this long, unless there are too many.
    pub snapshot_age_max: Duration,
    /// Snapshots kept at most; `None`: as many as commits keep, which depends on the table.
    pub snapshots_max: Option<usize>,
    /// Files nobody refers to are removed once they are older than this.
    pub orphan_age_min: Duration,
    /// Whether to look for orphans at all. It lists the table's folder, and is done once per `orphan_age_min`.
    pub remove_orphans: bool,
    /// How long to wait for statements that are changing rows of the table; then compaction leaves it for another time.
    pub patience: Duration,
}

/// What upkeep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    pub files_compacted: usize,
    pub files_written: usize,
    pub bytes_rewritten: u64,
    pub snapshots_expired: usize,
    pub files_queued_for_deletion: usize,
    pub orphans_removed: usize,
    /// Statements were changing rows, so files were left as they are.
    pub yielded: bool,
}

/// What the sweeper did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    pub deleted: usize,
    pub failed: usize,
    /// Whether more is due already.
    pub more: bool,
}

impl Default for MaintenancePolicy {
    fn default() -> Self {
        Self {
            target_file_bytes: 128 << 20,
            small_files_min: 8,
            rewrite_bytes_max: 512 << 20,
            snapshot_age_max: Duration::from_secs(5 * 24 * 3600),
            snapshots_max: None,
            orphan_age_min: Duration::from_secs(24 * 3600),
            remove_orphans: true,
            patience: Duration::from_millis(100),
        }
    }
}

impl Tables {
    /// Compaction, expiry and (when asked for) removal of orphans. Does nothing where nothing is to be done; a lost race
    /// is left for next time.
    pub async fn maintain(
        &self,
        name: &TableName,
        policy: &MaintenancePolicy,
        now: TimestampMs,
    ) -> Result<MaintenanceReport> {
        let mut report = MaintenanceReport::default();
        compact::compact(self, name, policy, &mut report).await?;
        self.expire(name, policy, &mut report).await?;
        if policy.remove_orphans && self.orphans_due(name, policy.orphan_age_min, now) {
            report.orphans_removed = orphans::remove(self, name, policy.orphan_age_min, now).await?;
        }
        Ok(report)
    }

    async fn expire(&self, name: &TableName, policy: &MaintenancePolicy, report: &mut MaintenanceReport) -> Result<()> {
        let (age_max, count_max) = (policy.snapshot_age_max, policy.snapshots_max);
        let mut work = ExpireWork { age_max, count_max, expired: 0, unreachable: 0 };
        self.commit(name, Work::Expire(&mut work)).await?;
        report.snapshots_expired = work.expired;
        report.files_queued_for_deletion = work.unreachable;
        Ok(())
    }
}
