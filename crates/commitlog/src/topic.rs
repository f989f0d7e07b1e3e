//! Topics and their settings.
//!
//! Every setting of Apache Kafka is known by name. Those we obey are typed in [`TopicConfig`]; the others may only be
//! given their default, because a setting that is stored and not obeyed is a lie.

use std::{collections::BTreeMap, sync::Arc};

use model::{Error, Result, TopicId, TopicName, error::codes::TOPIC_CONFIG_INVALID};

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
    /// `message.timestamp.before.max.ms`: how far behind the clock a record's time may be.
    pub timestamp_before_ms_max: i64,
    /// `message.timestamp.after.max.ms`: how far ahead of the clock a record's time may be.
    pub timestamp_after_ms_max: i64,
    /// `lakehead.unsafe.ack.before.fsync`: acknowledge from the page cache, as Kafka does by default; a power cut then
    /// loses acknowledged records. Default false.
    pub unsafe_ack_before_fsync: bool,
}

/// Type of a setting's value, by the numbers of Kafka's DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One setting of a topic, as people and tools see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    pub name: &'static str,
    pub value: String,
    pub default: String,
    /// Not given for this topic.
    pub is_default: bool,
    pub kind: ConfigType,
    pub doc: &'static str,
    /// Known for Kafka's sake; may only be given its default.
    pub read_only: bool,
}

/// The setting that relaxes durability, with its risk in the name.
pub const UNSAFE_ACK: &str = "lakehead.unsafe.ack.before.fsync";

impl Topic {
    /// Every setting, by name.
    pub fn describe(&self) -> Vec<ConfigEntry> {
        self.config.describe(&self.overrides)
    }
}

impl TopicConfig {
    /// The defaults, with the log's own for [`UNSAFE_ACK`].
    pub fn defaults(unsafe_ack_before_fsync: bool) -> Self {
        Self {
            retention_ms: 604_800_000,
            retention_bytes: -1,
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            batch_bytes_max: 1_048_588,
            log_append_time: false,
            timestamp_before_ms_max: i64::MAX,
            timestamp_after_ms_max: 3_600_000,
            unsafe_ack_before_fsync,
        }
    }

    /// `overrides` over the defaults. Refuses what is unknown, malformed or not offered, by name.
    pub fn parse(overrides: &BTreeMap<String, String>, unsafe_ack_before_fsync: bool) -> Result<Self> {
        let mut config = Self::defaults(unsafe_ack_before_fsync);
        for (name, value) in overrides {
            let known = KNOWN.iter().find(|known| known.name == name).ok_or_else(|| {
                Error::new(TOPIC_CONFIG_INVALID, format!("there is no topic setting `{}`", name.escape_debug()))
                    .hint("the names are Apache Kafka's: retention.ms, segment.bytes, max.message.bytes, …")
            })?;
            config.set(known, value.trim())?;
        }
        Ok(config)
    }

    fn set(&mut self, known: &Known, value: &str) -> Result<()> {
        match known.name {
            "retention.ms" => self.retention_ms = integer(known, value, -1, i64::MAX)?,
            "retention.bytes" => self.retention_bytes = integer(known, value, -1, i64::MAX)?,
            // Kafka allows less; below this, files cost more than they hold. Positions in a segment are 32 bits.
            "segment.bytes" => self.segment_bytes = integer(known, value, 1024, i64::from(i32::MAX))? as u64,
            "segment.ms" => self.segment_ms = integer(known, value, 1, i64::MAX)?,
            "max.message.bytes" => self.batch_bytes_max = integer(known, value, 0, i64::from(i32::MAX))? as usize,
            "message.timestamp.before.max.ms" => self.timestamp_before_ms_max = integer(known, value, 0, i64::MAX)?,
            "message.timestamp.after.max.ms" => self.timestamp_after_ms_max = integer(known, value, 0, i64::MAX)?,
            "message.timestamp.type" => {
                self.log_append_time = match value {
                    "CreateTime" => false,
                    "LogAppendTime" => true,
                    _ => return Err(refused(known, value, "it is CreateTime or LogAppendTime")),
                }
            }
            UNSAFE_ACK => {
                self.unsafe_ack_before_fsync = match value.to_ascii_lowercase().as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(refused(known, value, "it is true or false")),
                }
            }
            _ if same(known.kind, value, known.default) => {}
            _ => return Err(refused(known, value, &format!("only its default `{}` is offered", known.default))),
        }
        Ok(())
    }

    /// Every setting by name, with the values of this configuration; `overrides` are those given for the topic.
    pub fn describe(&self, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
        KNOWN
            .iter()
            .map(|known| {
                let obeyed = self.get(known.name);
                ConfigEntry {
                    name: known.name,
                    read_only: obeyed.is_none() || known.name.starts_with("flush."),
                    value: obeyed.unwrap_or_else(|| known.default.to_owned()),
                    default: known.default.to_owned(),
                    is_default: !overrides.contains_key(known.name),
                    kind: known.kind,
                    doc: known.doc,
                }
            })
            .collect()
    }

    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "retention.ms" => self.retention_ms.to_string(),
            "retention.bytes" => self.retention_bytes.to_string(),
            "segment.bytes" => self.segment_bytes.to_string(),
            "segment.ms" => self.segment_ms.to_string(),
            "max.message.bytes" => self.batch_bytes_max.to_string(),
            "message.timestamp.before.max.ms" => self.timestamp_before_ms_max.to_string(),
            "message.timestamp.after.max.ms" => self.timestamp_after_ms_max.to_string(),
            "message.timestamp.type" if self.log_append_time => "LogAppendTime".to_owned(),
            "message.timestamp.type" => "CreateTime".to_owned(),
            UNSAFE_ACK => self.unsafe_ack_before_fsync.to_string(),
            "flush.messages" if self.unsafe_ack_before_fsync => i64::MAX.to_string(),
            _ => return None,
        })
    }
}

struct Known {
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    doc: &'static str,
}

const fn known(name: &'static str, kind: ConfigType, default: &'static str, doc: &'static str) -> Known {
    Known { name, kind, default, doc }
}

/// All settings, by name.
static KNOWN: &[Known] = {
    use ConfigType::*;
    &[
        known("cleanup.policy", List, "delete", "Old segments are deleted; compaction is not offered yet."),
        known("compression.gzip.level", Int, "-1", "Batches are kept as producers compress them."),
        known("compression.lz4.level", Int, "9", "Batches are kept as producers compress them."),
        known("compression.type", String, "producer", "Batches are kept as producers compress them."),
        known("compression.zstd.level", Int, "3", "Batches are kept as producers compress them."),
        known(
            "delete.retention.ms",
            Long,
            "86400000",
            "How long compaction keeps tombstones; compaction is not offered yet.",
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
            "Every batch is on disk before it is acknowledged, whatever the number of partitions.",
        ),
        known(
            "flush.ms",
            Long,
            "9223372036854775807",
            "Every batch is on disk before it is acknowledged; no timer is needed.",
        ),
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
        known("local.retention.bytes", Long, "-2", "Tiered storage is not offered."),
        known("local.retention.ms", Long, "-2", "Tiered storage is not offered."),
        known("max.compaction.lag.ms", Long, "9223372036854775807", "Compaction is not offered yet."),
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
        known("min.cleanable.dirty.ratio", Double, "0.5", "Compaction is not offered yet."),
        known("min.compaction.lag.ms", Long, "0", "Compaction is not offered yet."),
        known("min.insync.replicas", Int, "1", "One node keeps each partition."),
        known("preallocate", Boolean, "false", "Segment files grow as records arrive."),
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
        known("segment.jitter.ms", Long, "0", "Segments begin when they are due."),
        known("segment.ms", Long, "604800000", "Age at which a new segment file begins."),
        known("unclean.leader.election.enable", Boolean, "false", "One node keeps each partition."),
    ]
};

fn integer(known: &Known, value: &str, min: i64, max: i64) -> Result<i64> {
    match value.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) => Err(refused(known, value, &format!("it is between {min} and {max}"))),
        Err(_) => Err(refused(known, value, "it is a whole number")),
    }
}

fn refused(known: &Known, value: &str, why: &str) -> Error {
    let value: String = value.chars().take(100).collect();
    Error::new(TOPIC_CONFIG_INVALID, format!("topic setting `{}` cannot be `{}`", known.name, value.escape_debug()))
        .detail(why.to_owned())
}

fn same(kind: ConfigType, a: &str, b: &str) -> bool {
    match kind {
        ConfigType::Boolean => a.eq_ignore_ascii_case(b),
        ConfigType::Double => a.parse::<f64>().ok() == b.parse::<f64>().ok(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<TopicConfig> {
        TopicConfig::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]), false)
    }

    #[test]
    fn every_default_may_be_given_and_changes_nothing() {
        let defaults = TopicConfig::defaults(false);
        for entry in defaults.describe(&BTreeMap::new()) {
            assert_eq!(parse(entry.name, &entry.default).expect(entry.name), defaults, "{}", entry.name);
            assert_eq!(entry.value, entry.default, "{}", entry.name);
        }
        assert!(KNOWN.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn what_is_not_obeyed_is_refused_by_name() {
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("compression.type", "zstd"),
            ("min.insync.replicas", "2"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("segment.bytes", "3000000000"),
            ("message.timestamp.type", "createtime"),
            ("flush.messages", "1000"),
            ("no.such.setting", "1"),
        ] {
            let error = parse(name, value).expect_err(name);
            assert_eq!(error.kind().kafka_code(), 40, "{name}");
            assert!(error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn overrides_show_as_such() {
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let config = TopicConfig::parse(&overrides, true).expect("fine");
        let entries = config.describe(&overrides);
        let entry = |name| entries.iter().find(|e| e.name == name).expect("listed");
        assert_eq!((entry("retention.ms").value.as_str(), entry("retention.ms").is_default), ("5", false));
        assert_eq!((entry(UNSAFE_ACK).value.as_str(), entry(UNSAFE_ACK).is_default), ("true", true));
    }
}
