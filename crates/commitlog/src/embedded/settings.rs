//! Settings of the embedded log.

use std::time::Duration;

/// Few, with defaults we stand behind.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Partitions of a topic that does not say how many (`num.partitions`).
    pub default_partitions: i32,
    /// Acknowledge from the page cache for topics that do not say otherwise (`lakehead.unsafe.ack.before.fsync`).
    pub unsafe_ack_before_fsync: bool,
    /// Above this many bytes waiting to be written, [`crate::Log::writable`] waits; above four times as many,
    /// appends are refused with LH0116.
    pub queue_bytes_max: usize,
    /// Size of one file of the write-ahead log.
    pub wal_file_bytes: u64,
    /// A checkpoint begins when this much was written since the last one; what needs nothing of the write-ahead log counts an
    /// eighth.
    pub checkpoint_bytes: u64,
    /// … or this long after the first write since.
    pub checkpoint_interval: Duration,
    /// How often retention looks for segments to remove (`log.retention.check.interval.ms`).
    pub retention_interval: Duration,
    /// How long the files of removed segments stay for readers that are still on them (`file.delete.delay.ms`).
    pub file_delete_delay: Duration,
    /// How often the log looks for partitions that are worth compacting (`log.cleaner.backoff.ms`).
    pub compaction_interval: Duration,
    /// Most memory for the keys of a run (`log.cleaner.dedupe.buffer.size`): 24 bytes each. What does not fit waits for the next
    /// run, which goes over the partition again.
    pub compaction_map_bytes: usize,
    /// Most bytes that compaction reads and writes in a second (`log.cleaner.io.max.bytes.per.second`).
    pub compaction_bytes_per_second: u64,
    /// Idle producers are forgotten after this (`producer.id.expiration.ms`).
    pub producer_expiry: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            default_partitions: 4,
            unsafe_ack_before_fsync: false,
            queue_bytes_max: 16 << 20,
            wal_file_bytes: 16 << 20,
            checkpoint_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(20),
            retention_interval: Duration::from_secs(300),
            file_delete_delay: Duration::from_secs(60),
            compaction_interval: Duration::from_secs(15),
            compaction_map_bytes: 32 << 20,
            compaction_bytes_per_second: 64 << 20,
            producer_expiry: Duration::from_secs(24 * 3600),
        }
    }
}
