//! What the lake is doing, for the status page and for `SHOW`.

use model::{TableName, TimestampMs, TopicName};

use crate::Origin;

/// One topic.
#[derive(Clone, Debug)]
pub struct TopicStatus {
    pub topic: TopicName,
    pub table: TableName,
    pub origin: Origin,
    /// Rows in the Iceberg table.
    pub rows_committed: u64,
    /// Partition → first offset that is not in the table.
    pub mark: Vec<i64>,
    /// Records in the log that are not in the table yet.
    pub lag: u64,
    pub last_commit_ms: Option<TimestampMs>,
    /// Records since the start that could not be decoded.
    pub rejected: u64,
    /// Records that were gone from the log before they were in the table.
    pub lost: u64,
    /// The last thing that went wrong, until a commit succeeds.
    pub error: Option<String>,
}
