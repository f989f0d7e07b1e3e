//! Topics and their settings.

use std::{collections::BTreeMap, sync::Arc};

use model::{TopicId, TopicName};

/// A topic as it is now. Changes make a new one.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: TopicName,
    pub id: TopicId,
    pub partitions: i32,
    /// Settings given for this topic, by Kafka's names, as text.
    pub overrides: BTreeMap<String, String>,
    /// All settings, parsed: overrides over defaults.
    pub config: Arc<TopicConfig>,
}

/// Settings of a topic (Kafka 4.1's names and defaults unless said otherwise).
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `retention.ms`: segments whose newest record is older go. −1: kept for ever.
    pub retention_ms: i64,
    /// `retention.bytes`: oldest segments go while the partition is larger. −1: no limit.
    pub retention_bytes: i64,
    /// `segment.bytes`
    pub segment_bytes: u64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `max.message.bytes`: largest batch taken.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type=LogAppendTime`
    pub log_append_time: bool,
    /// `lakehead.unsafe.ack.before.fsync`: acknowledge from the page cache, as Kafka does by default; a power cut then
    /// loses acknowledged records. Default false.
    pub unsafe_ack_before_fsync: bool,
}
