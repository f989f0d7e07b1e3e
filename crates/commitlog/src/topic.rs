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
    /// `cleanup.policy`
    pub cleanup: Cleanup,
    /// `delete.retention.ms`: how long compaction keeps tombstones and markers for readers that are behind.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub compaction_lag_ms_min: i64,
    /// `max.compaction.lag.ms`: older ones are, however few they are (KIP-354).
    pub compaction_lag_ms_max: i64,
    /// `min.cleanable.dirty.ratio`: how much of a partition must be new before it is worth compacting, 0 to 1.
    pub dirty_ratio_min: f64,
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

/// What happens to old records (`cleanup.policy`). At least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Whole segments go, by age and size.
    pub delete: bool,
    /// Of each key the last record stays.
    pub compact: bool,
}

impl Cleanup {
    fn parse(value: &str) -> Option<Self> {
        let mut cleanup = Self { delete: false, compact: false };
        for policy in value.split(',').map(str::trim) {
            match policy {
                "delete" => cleanup.delete = true,
                "compact" => cleanup.compact = true,
                _ => return None,
            }
        }
        Some(cleanup)
    }

    fn name(self) -> &'static str {
        match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, _) => "delete",
        }
    }
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
            cleanup: Cleanup { delete: true, compact: false },
            delete_retention_ms: 86_400_000,
            compaction_lag_ms_min: 0,
            compaction_lag_ms_max: i64::MAX,
            dirty_ratio_min: 0.5,
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
        if config.compaction_lag_ms_min > config.compaction_lag_ms_max {
            return Err(Error::new(TOPIC_CONFIG_INVALID, "topic setting `min.compaction.lag.ms` is too large")
                .detail(format!(
                    "it is {}, and `max.compaction.lag.ms` is {}",
                    config.compaction_lag_ms_min, config.compaction_lag_ms_max
                ))
                .hint("records may be compacted once they are older than the smaller of the two"));
        }
        Ok(config)
    }

    /// Age at which a new segment begins. What is being written is never compacted, so it must not become too old (KIP-354).
    pub fn segment_ms_max(&self) -> i64 {
        if self.cleanup.compact { self.segment_ms.min(self.compaction_lag_ms_max) } else { self.segment_ms }
    }

    fn set(&mut self, known: &Known, value: &str) -> Result<()> {
        match known.name {
            "cleanup.policy" => {
                self.cleanup = Cleanup::parse(value)
                    .ok_or_else(|| refused(known, value, "it is `delete`, `compact`, or both with a comma between"))?;
            }
            "delete.retention.ms" => self.delete_retention_ms = integer(known, value, 0, i64::MAX)?,
            "min.compaction.lag.ms" => self.compaction_lag_ms_min = integer(known, value, 0, i64::MAX)?,
            "max.compaction.lag.ms" => self.compaction_lag_ms_max = integer(known, value, 1, i64::MAX)?,
            "min.cleanable.dirty.ratio" => {
                self.dirty_ratio_min = match value.parse::<f64>() {
                    Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
                    _ => return Err(refused(known, value, "it is a number between 0 and 1")),
                }
            }
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
            "cleanup.policy" => self.cleanup.name().to_owned(),
            "delete.retention.ms" => self.delete_retention_ms.to_string(),
            "min.compaction.lag.ms" => self.compaction_lag_ms_min.to_string(),
            "max.compaction.lag.ms" => self.compaction_lag_ms_max.to_string(),
            "min.cleanable.dirty.ratio" => self.dirty_ratio_min.to_string(),
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
        known(
            "cleanup.policy",
            List,
            "delete",
            "Old segments are deleted by age and size, or compacted so that the last record of each key stays, or both.",
        ),
        known("compression.gzip.level", Int, "-1", "Batches are kept as producers compress them."),
        known("compression.lz4.level", Int, "9", "Batches are kept as producers compress them."),
        known("compression.type", String, "producer", "Batches are kept as producers compress them."),
        known("compression.zstd.level", Int, "3", "Batches are kept as producers compress them."),
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
            ("cleanup.policy", "shrink"),
            ("cleanup.policy", "compact,"),
            ("cleanup.policy", ""),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("min.cleanable.dirty.ratio", "NaN"),
            ("max.compaction.lag.ms", "0"),
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
    fn policies_are_said_as_connect_expects_them() {
        for (given, shown) in [
            ("compact", "compact"),
            ("delete", "delete"),
            ("delete, compact", "compact,delete"),
            ("compact,delete", "compact,delete"),
        ] {
            let config = parse("cleanup.policy", given).expect(given);
            assert_eq!(config.get("cleanup.policy").as_deref(), Some(shown));
        }
    }

    #[test]
    fn a_lag_is_not_shorter_than_itself() {
        let lags = |min: &str, max: &str| {
            let both = [("min.compaction.lag.ms", min), ("max.compaction.lag.ms", max)];
            TopicConfig::parse(&both.map(|(k, v)| (k.to_owned(), v.to_owned())).into(), false)
        };
        lags("10", "10").expect("fine");
        assert_eq!(lags("11", "10").expect_err("contradiction").kind().kafka_code(), 40);
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
