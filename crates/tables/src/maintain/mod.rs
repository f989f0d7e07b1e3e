//! Upkeep: compaction, expiry, orphans.

use std::time::Duration;

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
    /// Snapshots kept at most.
    pub snapshots_max: usize,
    /// Files nobody refers to are removed once they are older than this.
    pub orphan_age_min: Duration,
    /// Whether to look for orphans at all: it lists the table's folder.
    pub remove_orphans: bool,
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
}

/// What the sweeper did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    pub deleted: usize,
    pub failed: usize,
    /// Whether more is due already.
    pub more: bool,
}
