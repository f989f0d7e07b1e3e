//! Topics and their settings.
//!
//! Every setting of Apache Kafka is known by name. Those we obey are typed in [`TopicConfig`]; the others may only be
//! given their default, because a setting that is stored and not obeyed is a lie.

mod known;

use std::{collections::BTreeMap, sync::Arc};

use model::{Error, Result, TopicId, TopicName, error::codes::TOPIC_CONFIG_INVALID};

use self::known::{KNOWN, Known};
use crate::record::{Codec, Compression};

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
    /// `segment.jitter.ms`: segments end up to this much before [`Self::segment_ms`].
    pub segment_jitter_ms: i64,
    /// `flush.messages`, `flush.ms`: records that are acknowledged are on disk, which is within any such limit.
    pub flush_messages: i64,
    pub flush_ms: i64,
    /// `compression.type`: what batches are compressed with before they are appended. `None`: as they come.
    pub compression: Option<Codec>,
    /// `compression.gzip.level`, `compression.zstd.level`
    pub gzip_level: i32,
    pub zstd_level: i32,
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

/// `compression.gzip.level` that leaves it to gzip.
const GZIP_LEVEL_DEFAULT: i32 = -1;

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
            segment_jitter_ms: 0,
            flush_messages: if unsafe_ack_before_fsync { i64::MAX } else { 1 },
            flush_ms: i64::MAX,
            compression: None,
            gzip_level: GZIP_LEVEL_DEFAULT,
            zstd_level: 3,
            batch_bytes_max: 1_048_588,
            log_append_time: false,
            timestamp_before_ms_max: i64::MAX,
            timestamp_after_ms_max: 3_600_000,
            unsafe_ack_before_fsync,
        }
    }

    /// `overrides` over the defaults. Refuses what is unknown, malformed or not offered, by name.
    pub fn parse(overrides: &BTreeMap<String, String>, unsafe_ack_before_fsync: bool) -> Result<Self> {
        Self::defaults(unsafe_ack_before_fsync).with(overrides)
    }

    /// `overrides` over these. Refuses what is unknown, malformed or not offered, by name.
    pub fn with(&self, overrides: &BTreeMap<String, String>) -> Result<Self> {
        let mut config = self.clone();
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
        if config.unsafe_ack_before_fsync != self.unsafe_ack_before_fsync && !overrides.contains_key("flush.messages") {
            config.flush_messages = Self::defaults(config.unsafe_ack_before_fsync).flush_messages;
        }
        if config.unsafe_ack_before_fsync && (config.flush_ms, config.flush_messages) != (i64::MAX, i64::MAX) {
            let name = if config.flush_ms == i64::MAX { "flush.messages" } else { "flush.ms" };
            return Err(Error::new(TOPIC_CONFIG_INVALID, format!("topic setting `{name}` contradicts another"))
                .detail(format!("`{UNSAFE_ACK}` leaves it to the node when records come to disk"))
                .hint("leave one of the two at its default"));
        }
        Ok(config)
    }

    /// Age at which a new segment begins. What is being written is never compacted, so it must not become too old (KIP-354).
    /// `seed`: another one for each segment, which its share of the jitter is taken from.
    pub fn segment_ms_max(&self, seed: impl FnOnce() -> u32) -> i64 {
        let jitter = match self.segment_jitter_ms.min(self.segment_ms) {
            0 => 0,
            most => i64::from(seed()) * 0x9e37 % most,
        };
        let due = self.segment_ms - jitter;
        if self.cleanup.compact { due.min(self.compaction_lag_ms_max) } else { due }
    }

    /// What batches are to be compressed with, if not as they come.
    pub fn compression(&self) -> Option<Compression> {
        let codec = self.compression?;
        let level = match codec {
            Codec::Gzip if self.gzip_level != GZIP_LEVEL_DEFAULT => Some(self.gzip_level),
            Codec::Zstd => Some(self.zstd_level),
            _ => None,
        };
        Some(Compression { codec, level })
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
            "segment.jitter.ms" => self.segment_jitter_ms = integer(known, value, 0, i64::MAX)?,
            "flush.messages" => self.flush_messages = integer(known, value, 1, i64::MAX)?,
            "flush.ms" => self.flush_ms = integer(known, value, 0, i64::MAX)?,
            "compression.type" => {
                self.compression = match value {
                    "producer" => None,
                    "uncompressed" => Some(Codec::None),
                    // Kafka has another word for no compression here than elsewhere.
                    name => Some(Codec::from_name(name).filter(|codec| *codec != Codec::None).ok_or_else(|| {
                        refused(known, value, "it is producer, uncompressed, gzip, snappy, lz4 or zstd")
                    })?),
                }
            }
            "compression.gzip.level" => {
                self.gzip_level = match integer(known, value, -1, 9)? as i32 {
                    0 => return Err(refused(known, value, "it is 1 to 9, or -1 for gzip's default")),
                    level => level,
                }
            }
            "compression.zstd.level" => self.zstd_level = integer(known, value, -131_072, 22)? as i32,
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
                    read_only: obeyed.is_none(),
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
            "segment.jitter.ms" => self.segment_jitter_ms.to_string(),
            "flush.ms" => self.flush_ms.to_string(),
            "compression.type" => match self.compression {
                None => "producer".to_owned(),
                Some(Codec::None) => "uncompressed".to_owned(),
                Some(codec) => codec.name().to_owned(),
            },
            "compression.gzip.level" => self.gzip_level.to_string(),
            "compression.zstd.level" => self.zstd_level.to_string(),
            "max.message.bytes" => self.batch_bytes_max.to_string(),
            "message.timestamp.before.max.ms" => self.timestamp_before_ms_max.to_string(),
            "message.timestamp.after.max.ms" => self.timestamp_after_ms_max.to_string(),
            "message.timestamp.type" if self.log_append_time => "LogAppendTime".to_owned(),
            "message.timestamp.type" => "CreateTime".to_owned(),
            UNSAFE_ACK => self.unsafe_ack_before_fsync.to_string(),
            "flush.messages" => self.flush_messages.to_string(),
            _ => return None,
        })
    }
}

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
            ("compression.type", "none"),
            ("compression.gzip.level", "0"),
            ("compression.zstd.level", "23"),
            ("compression.lz4.level", "3"),
            ("min.insync.replicas", "2"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("segment.bytes", "3000000000"),
            ("message.timestamp.type", "createtime"),
            ("flush.messages", "0"),
            ("flush.ms", "-1"),
            ("no.such.setting", "1"),
        ] {
            let error = parse(name, value).expect_err(name);
            assert_eq!(error.kind().kafka_code(), 40, "{name}");
            assert!(error.message().contains(name), "{error}");
        }
    }

    /// All of `LogConfig.java` 4.1, with a value that is not the default.
    const KAFKA: [(&str, &str, Fate); 36] = [
        ("cleanup.policy", "compact", Fate::Obeyed),
        ("compression.gzip.level", "9", Fate::Obeyed),
        ("compression.lz4.level", "1", Fate::Refused),
        ("compression.type", "zstd", Fate::Obeyed),
        ("compression.zstd.level", "-7", Fate::Obeyed),
        ("delete.retention.ms", "900", Fate::Obeyed),
        ("file.delete.delay.ms", "1", Fate::Refused),
        ("flush.messages", "1000", Fate::Obeyed),
        ("flush.ms", "12345678", Fate::Obeyed),
        ("follower.replication.throttled.replicas", "*", Fate::Refused),
        ("index.interval.bytes", "1", Fate::Refused),
        ("leader.replication.throttled.replicas", "0:1", Fate::Refused),
        ("local.retention.bytes", "1", Fate::Refused),
        ("local.retention.ms", "1", Fate::Refused),
        ("max.compaction.lag.ms", "3600000", Fate::Obeyed),
        ("max.message.bytes", "1000", Fate::Obeyed),
        ("message.timestamp.after.max.ms", "1", Fate::Obeyed),
        ("message.timestamp.before.max.ms", "1", Fate::Obeyed),
        ("message.timestamp.type", "LogAppendTime", Fate::Obeyed),
        ("min.cleanable.dirty.ratio", "0.1", Fate::Obeyed),
        ("min.compaction.lag.ms", "1", Fate::Obeyed),
        ("min.insync.replicas", "2", Fate::Refused),
        ("preallocate", "true", Fate::Refused),
        ("remote.log.copy.disable", "true", Fate::Refused),
        ("remote.log.delete.on.disable", "true", Fate::Refused),
        ("remote.storage.enable", "true", Fate::Refused),
        ("retention.bytes", "1", Fate::Obeyed),
        ("retention.ms", "-1", Fate::Obeyed),
        ("segment.bytes", "1048576", Fate::Obeyed),
        ("segment.index.bytes", "4", Fate::Refused),
        ("segment.jitter.ms", "1000", Fate::Obeyed),
        ("segment.ms", "1000", Fate::Obeyed),
        ("unclean.leader.election.enable", "true", Fate::Refused),
        // Gone since Kafka 4.0, and unknown to it.
        ("message.downconversion.enable", "false", Fate::Unknown),
        ("message.format.version", "3.0-IV1", Fate::Unknown),
        ("message.timestamp.difference.max.ms", "1", Fate::Unknown),
    ];

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Obeyed,
        Refused,
        Unknown,
    }

    #[test]
    fn every_setting_of_kafka_is_obeyed_or_refused_by_name() {
        let defaults = TopicConfig::defaults(false);
        let known: Vec<_> = KNOWN.iter().map(|known| known.name).filter(|name| *name != UNSAFE_ACK).collect();
        let named = KAFKA.iter().filter(|(_, _, fate)| *fate != Fate::Unknown).map(|(name, ..)| *name);
        assert_eq!(known, named.collect::<Vec<_>>());
        for (name, value, fate) in KAFKA {
            match (fate, parse(name, value)) {
                (Fate::Obeyed, Ok(config)) => {
                    assert_ne!(config, defaults, "{name}");
                    assert_eq!(config.get(name).as_deref(), Some(value), "{name}: shown as given");
                }
                (Fate::Refused | Fate::Unknown, Err(error)) => {
                    assert_eq!(error.kind().kafka_code(), 40, "{name}");
                    assert!(error.message().contains(name), "{error}");
                }
                (_, parsed) => panic!("{name}: {fate:?}, but {parsed:?}"),
            }
        }
    }

    #[test]
    fn segments_end_up_to_their_jitter_early_and_not_all_at_once() {
        let config = parse("segment.jitter.ms", "1000").expect("fine");
        let ends: std::collections::BTreeSet<_> = (0..1000).map(|seed| config.segment_ms_max(|| seed)).collect();
        assert!(ends.iter().all(|end| (604_799_000..=604_800_000).contains(end)), "{ends:?}");
        assert!(ends.len() > 100, "{}", ends.len());
        let huge = parse("segment.jitter.ms", "9223372036854775807").expect("fine");
        assert!((0..1000).all(|seed| (1..=604_800_000).contains(&huge.segment_ms_max(|| seed * 4_000_000))));
    }

    #[test]
    fn what_is_acknowledged_before_it_is_on_disk_has_no_flush_interval() {
        let with = |flush: &str| {
            let both = [(UNSAFE_ACK, "true"), ("flush.ms", flush)];
            TopicConfig::parse(&both.map(|(k, v)| (k.to_owned(), v.to_owned())).into(), false)
        };
        assert_eq!(with("1000").expect_err("contradiction").kind().kafka_code(), 40);
        let config = with("9223372036854775807").expect("fine");
        assert_eq!(config.get("flush.messages").as_deref(), Some("9223372036854775807"));
        let safe = TopicConfig::parse(&[(UNSAFE_ACK.to_owned(), "false".to_owned())].into(), true).expect("fine");
        assert_eq!(safe.get("flush.messages").as_deref(), Some("1"));
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
