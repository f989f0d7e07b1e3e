//! Every setting that a topic of Apache Kafka 4.1 has (`TopicConfig.java`, `LogConfig.java`), and ours, by name.

use super::{ConfigType, UNSAFE_ACK};

/// A setting, as Kafka names it.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: ConfigType,
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

const fn known(name: &'static str, kind: ConfigType, default: &'static str, doc: &'static str) -> Known {
    Known { name, kind, default, doc }
}

/// All settings, by name.
pub(super) static KNOWN: &[Known] = {
    use ConfigType::*;
    &[
        known(
            "cleanup.policy",
            List,
            "delete",
            "Old segments are deleted by age and size, or compacted so that the last record of each key stays, or both.",
        ),
        known(
            "compression.gzip.level",
            Int,
            "-1",
            "How hard gzip tries where compression.type is gzip: 1 to 9, -1 its default.",
        ),
        known("compression.lz4.level", Int, "9", "There is one level of lz4 here."),
        known(
            "compression.type",
            String,
            "producer",
            "Batches that producers sent compressed otherwise are compressed anew; producer: they are kept as they came.",
        ),
        known("compression.zstd.level", Int, "3", "How hard zstd tries where compression.type is zstd: -131072 to 22."),
        known(
            "delete.retention.ms",
            Long,
            "86400000",
            "How long compaction keeps tombstones and the markers of transactions for readers that are behind.",
        ),
        known(
            "file.delete.delay.ms",
            Long,
            "60000",
            "How long the files of removed segments stay for readers still on them.",
        ),
        known(
            "flush.messages",
            Long,
            "1",
            "Records that may wait for the disk. Every batch is on disk before it is acknowledged, so any number is kept.",
        ),
        known(
            "flush.ms",
            Long,
            "9223372036854775807",
            "Time that records may wait for the disk. Every batch is on disk before it is acknowledged, so any time is kept.",
        ),
        known("follower.replication.throttled.replicas", List, "", "One node keeps each partition."),
        known(
            "index.interval.bytes",
            Int,
            "4096",
            "Bytes of records between two entries of the offset and time index.",
        ),
        known(
            UNSAFE_ACK,
            Boolean,
            "false",
            "Acknowledge records before they are on disk, as Kafka does by default: faster, and a power cut loses acknowledged records.",
        ),
        known("leader.replication.throttled.replicas", List, "", "One node keeps each partition."),
        known("local.retention.bytes", Long, "-2", "Tiered storage is not offered."),
        known("local.retention.ms", Long, "-2", "Tiered storage is not offered."),
        known(
            "max.compaction.lag.ms",
            Long,
            "9223372036854775807",
            "Age at which records are compacted however few they are.",
        ),
        known("max.message.bytes", Int, "1048588", "Largest record batch taken, in bytes as it arrives."),
        known(
            "message.timestamp.after.max.ms",
            Long,
            "3600000",
            "How far ahead of the node's clock a record's timestamp may be.",
        ),
        known(
            "message.timestamp.before.max.ms",
            Long,
            "9223372036854775807",
            "How far behind the node's clock a record's timestamp may be.",
        ),
        known(
            "message.timestamp.type",
            String,
            "CreateTime",
            "Whose clock stamps records: the producer's (CreateTime) or the log's (LogAppendTime).",
        ),
        known(
            "min.cleanable.dirty.ratio",
            Double,
            "0.5",
            "Part of a partition that must be new before it is compacted.",
        ),
        known("min.compaction.lag.ms", Long, "0", "Age that records must have before they are compacted."),
        known("min.insync.replicas", Int, "1", "One node keeps each partition."),
        known("preallocate", Boolean, "false", "Segment files grow as records arrive."),
        known("remote.log.copy.disable", Boolean, "false", "Tiered storage is not offered."),
        known("remote.log.delete.on.disable", Boolean, "false", "Tiered storage is not offered."),
        known("remote.storage.enable", Boolean, "false", "Tiered storage is not offered."),
        known(
            "retention.bytes",
            Long,
            "-1",
            "Oldest segments are removed while a partition is larger than this; -1: no limit.",
        ),
        known(
            "retention.ms",
            Long,
            "604800000",
            "Segments are removed once their newest record is older than this; -1: never.",
        ),
        known("segment.bytes", Int, "1073741824", "Size at which a new segment file begins."),
        known("segment.index.bytes", Int, "10485760", "The index takes as much room as it needs."),
        known(
            "segment.jitter.ms",
            Long,
            "0",
            "Segments begin up to this much before segment.ms is over, so that not all do at once.",
        ),
        known("segment.ms", Long, "604800000", "Age at which a new segment file begins."),
        known("unclean.leader.election.enable", Boolean, "false", "One node keeps each partition."),
    ]
};
