//! Settings of the lake.

use std::time::Duration;

use tables::MaintenancePolicy;

/// Few, with defaults we stand behind.
#[derive(Clone, Debug)]
pub struct LakeSettings {
    /// Records are in the Iceberg table at the latest this long after they came (they are visible to SQL at once).
    pub commit_interval: Duration,
    /// A topic with this many decoded bytes waiting is committed before its interval is over.
    pub commit_bytes: usize,
    /// Decoded records of all topics kept in memory; beyond it the oldest are decoded again when somebody reads them.
    pub tail_bytes_max: usize,
    /// Bytes read from the log and decoded in one step.
    pub decode_bytes: usize,
    /// Commits under way at the same time.
    pub commits_max: usize,
    /// How often tables that changed are compacted and expired.
    pub maintenance_interval: Duration,
    pub maintenance: MaintenancePolicy,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(10),
            commit_bytes: 64 << 20,
            tail_bytes_max: 256 << 20,
            decode_bytes: 1 << 20,
            commits_max: 2,
            maintenance_interval: Duration::from_secs(60),
            maintenance: MaintenancePolicy::default(),
        }
    }
}
