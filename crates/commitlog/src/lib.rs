//! Partitions, segments, producers and groups: the replayable log.
//!
//! Knows nothing of SQL, Iceberg or the Kafka *wire* protocol; it does know Kafka's record batch, because batches are kept
//! byte for byte as clients sent them.

mod compact;
pub mod compaction;
pub mod embedded;
pub mod groups;
pub mod log;
mod own_topic;
mod partitioner;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(not(feature = "planted"))]
mod planted;
pub mod record;
pub mod topic;
pub mod transactions;

pub use embedded::{EmbeddedLog, LogSettings, Steps};
pub use log::{
    Aborted, ActiveProducer, Append, Appended, Bounds, CompactionStats, EpochEnd, Isolation, Log, NameClaim, OffsetAt,
    PartitionCompaction, SharedNames, Slice, Subscription, TimeQuery, TopicSpec, partitions, wait_beyond,
};
pub use partitioner::partition_of;
pub use topic::{Cleanup, ConfigEntry, ConfigType, Topic, TopicConfig};
