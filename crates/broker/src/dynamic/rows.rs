//! Which settings there are: their names in Kafka 4.1, their types, and what they do.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use commitlog::{
    ConfigType::{self, Boolean, Int, List, Long, String as Text},
    groups::{ConsumerTimes, GroupSettings},
};

use crate::BrokerSettings;

/// Why a setting cannot be changed so.
pub(crate) type Reason = String;

type Set<S> = fn(&mut S, &str) -> Result<(), Reason>;

/// A setting of `S`.
pub(crate) struct Row<S> {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigType,
    pub(crate) doc: &'static str,
    pub(crate) get: fn(&S) -> String,
    /// `None`: it is what the node was started with.
    set: Option<Set<S>>,
}

impl<S> Row<S> {
    const fn new(
        name: &'static str,
        kind: ConfigType,
        doc: &'static str,
        get: fn(&S) -> String,
        set: Option<Set<S>>,
    ) -> Self {
        Self { name, kind, doc, get, set }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.set.is_none()
    }

    pub(crate) fn set(&self, settings: &mut S, value: &str) -> Result<(), Reason> {
        let Some(set) = self.set else {
            return Err(format!(
                "`{}` cannot be changed while the broker runs: it comes from the node's settings",
                self.name
            ));
        };
        set(settings, value.trim()).map_err(|why| {
            let value: String = value.chars().take(100).collect();
            format!("`{}` cannot be `{}`: {why}", self.name, value.escape_debug())
        })
    }
}

/// Times that the consumer protocol allows (`group.consumer.{min,max}.{session.timeout,heartbeat.interval}.ms`).
const SESSION_MS: (i64, i64) = (45_000, 60_000);
const HEARTBEAT_MS: (i64, i64) = (5_000, 15_000);
const INT_MAX: i64 = i32::MAX as i64;

/// Settings of the door.
pub(crate) const DOOR: [Row<BrokerSettings>; 12] = [
    Row::new(
        "auto.create.topics.enable",
        Boolean,
        "Topics are made when a client asks for their metadata and allows it.",
        |door| door.auto_create_topics.to_string(),
        Some(|door, value| boolean(value).map(|it| door.auto_create_topics = it)),
    ),
    Row::new(
        "connection.failed.authentication.delay.ms",
        Int,
        "How long a client waits for the answer that its login failed.",
        |door| ms(door.failed_login_delay),
        Some(|door, value| millis(value, 0, 10_000).map(|it| door.failed_login_delay = it)),
    ),
    Row::new(
        "connections.max.idle.ms",
        Long,
        "A connection without any request for this long is closed.",
        |door| ms(door.idle_max),
        Some(|door, value| millis(value, 1000, i64::MAX).map(|it| door.idle_max = it)),
    ),
    Row::new(
        "fetch.max.bytes",
        Int,
        "Most bytes of records in one Fetch response.",
        |door| door.fetch_bytes_max.to_string(),
        Some(|door, value| whole(value, 1024, INT_MAX).map(|it| door.fetch_bytes_max = it as usize)),
    ),
    Row::new(
        "max.connections",
        Int,
        "Connections open at once; further ones are closed at once. A few are kept for the machine itself.",
        |door| door.connections_max.to_string(),
        Some(|door, value| whole(value, 1, INT_MAX).map(|it| door.connections_max = it as usize)),
    ),
    Row::new(
        "max.connections.per.ip",
        Int,
        "Connections open at once from one address; further ones are closed at once.",
        |door| door.connections_per_ip_max.to_string(),
        Some(|door, value| whole(value, 0, INT_MAX).map(|it| door.connections_per_ip_max = it as usize)),
    ),
    Row::new(
        "max.connections.per.ip.overrides",
        Text,
        "Addresses with another limit: address:count, commas between.",
        |door| {
            let each = door.connections_per_ip_overrides.iter().map(|(ip, count)| format!("{ip}:{count}"));
            each.collect::<Vec<_>>().join(",")
        },
        Some(|door, value| per_ip(value).map(|it| door.connections_per_ip_overrides = it)),
    ),
    Row::new(
        "max.incremental.fetch.session.cache.slots",
        Int,
        "Fetch sessions kept at once.",
        |door| door.fetch_sessions_max.to_string(),
        None,
    ),
    Row::new(
        "num.partitions",
        Int,
        "Partitions of topics made without a number.",
        |door| door.partitions_default.to_string(),
        Some(|door, value| whole(value, 1, 10_000).map(|it| door.partitions_default = it as i32)),
    ),
    Row::new(
        "queued.max.request.bytes",
        Long,
        "Bytes of requests that are being received or answered; at the limit sockets are not read.",
        |door| door.in_flight_bytes_max.to_string(),
        None,
    ),
    Row::new(
        "sasl.server.max.receive.size",
        Int,
        "Largest request of a client that has not logged in.",
        |_| crate::login::FRAME_BYTES_MAX.to_string(),
        None,
    ),
    Row::new(
        "socket.request.max.bytes",
        Int,
        "Largest Produce request.",
        |door| door.request_bytes_max.to_string(),
        None,
    ),
];

/// Settings of the group coordinator.
pub(crate) const GROUPS: [Row<GroupSettings>; 15] = [
    Row::new(
        "group.consumer.assignors",
        List,
        "Assignors of the consumer protocol.",
        |_| "uniform,range".to_owned(),
        None,
    ),
    Row::new(
        "group.consumer.heartbeat.interval.ms",
        Int,
        "How often members of the consumer protocol are told to say that they are alive.",
        |groups| ms(groups.consumer_heartbeat_interval),
        Some(|groups, value| {
            millis(value, HEARTBEAT_MS.0, HEARTBEAT_MS.1).map(|it| groups.consumer_heartbeat_interval = it)
        }),
    ),
    Row::new(
        "group.consumer.max.heartbeat.interval.ms",
        Int,
        "Longest heartbeat interval that a group may be given.",
        |_| HEARTBEAT_MS.1.to_string(),
        None,
    ),
    Row::new(
        "group.consumer.max.session.timeout.ms",
        Int,
        "Longest session that a group of the consumer protocol may be given.",
        |_| SESSION_MS.1.to_string(),
        None,
    ),
    Row::new("group.consumer.max.size", Int, "Most members of a group.", |groups| groups.members_max.to_string(), None),
    Row::new(
        "group.consumer.migration.policy",
        Text,
        "A group changes between the classic and the consumer protocol only while it is empty.",
        |_| "disabled".to_owned(),
        None,
    ),
    Row::new(
        "group.consumer.min.heartbeat.interval.ms",
        Int,
        "Shortest heartbeat interval that a group may be given.",
        |_| HEARTBEAT_MS.0.to_string(),
        None,
    ),
    Row::new(
        "group.consumer.min.session.timeout.ms",
        Int,
        "Shortest session that a group of the consumer protocol may be given.",
        |_| SESSION_MS.0.to_string(),
        None,
    ),
    Row::new(
        "group.consumer.session.timeout.ms",
        Int,
        "A member of the consumer protocol that is silent for this long is removed.",
        |groups| ms(groups.consumer_session_timeout),
        Some(|groups, value| millis(value, SESSION_MS.0, SESSION_MS.1).map(|it| groups.consumer_session_timeout = it)),
    ),
    Row::new(
        "group.initial.rebalance.delay.ms",
        Int,
        "How long the first generation of an empty group waits for more members.",
        |groups| ms(groups.initial_rebalance_delay),
        Some(|groups, value| millis(value, 0, 300_000).map(|it| groups.initial_rebalance_delay = it)),
    ),
    Row::new(
        "group.max.session.timeout.ms",
        Int,
        "Longest session timeout.",
        |groups| ms(groups.session_timeout_max),
        Some(|groups, value| millis(value, 1, INT_MAX).map(|it| groups.session_timeout_max = it)),
    ),
    Row::new(
        "group.max.size",
        Int,
        "Most members of a group.",
        |groups| groups.members_max.to_string(),
        Some(|groups, value| whole(value, 1, INT_MAX).map(|it| groups.members_max = it as usize)),
    ),
    Row::new(
        "group.min.session.timeout.ms",
        Int,
        "Shortest session timeout.",
        |groups| ms(groups.session_timeout_min),
        Some(|groups, value| millis(value, 1, INT_MAX).map(|it| groups.session_timeout_min = it)),
    ),
    Row::new(
        "offset.metadata.max.bytes",
        Int,
        "Longest text of a commit.",
        |groups| groups.metadata_bytes_max.to_string(),
        Some(|groups, value| whole(value, 0, 1 << 20).map(|it| groups.metadata_bytes_max = it as usize)),
    ),
    Row::new(
        "offsets.retention.minutes",
        Int,
        "How long offsets outlive their group.",
        |groups| (groups.offsets_retention.as_secs() / 60).to_string(),
        Some(|groups, value| {
            whole(value, 1, INT_MAX).map(|it| groups.offsets_retention = Duration::from_secs(60 * it as u64))
        }),
    ),
];

/// Settings of a group of the consumer protocol (`GroupConfig.java`). What they are if nobody says is the coordinator's.
pub(crate) const GROUP_ROWS: [Row<ConsumerTimes>; 2] = [
    Row::new(
        "consumer.heartbeat.interval.ms",
        Int,
        "How often members of the group are told to say that they are alive.",
        |times| times.heartbeat_interval.map_or_else(String::new, ms),
        Some(|times, value| {
            millis(value, HEARTBEAT_MS.0, HEARTBEAT_MS.1).map(|it| times.heartbeat_interval = Some(it))
        }),
    ),
    Row::new(
        "consumer.session.timeout.ms",
        Int,
        "A member of the group that is silent for this long is removed.",
        |times| times.session_timeout.map_or_else(String::new, ms),
        Some(|times, value| millis(value, SESSION_MS.0, SESSION_MS.1).map(|it| times.session_timeout = Some(it))),
    ),
];

/// What each row of [`GROUP_ROWS`] is called where it is said for all groups.
pub(crate) const GROUP_SYNONYMS: [&str; 2] =
    ["group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"];

/// What topics without a setting of their own get: the broker's name for it and the topic's (`ServerTopicConfigSynonyms.java`).
pub(crate) const OF_TOPICS: [(&str, &str); 30] = [
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.type", "compression.type"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.local.retention.bytes", "local.retention.bytes"),
    ("log.local.retention.ms", "local.retention.ms"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.preallocate", "preallocate"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.roll.ms", "segment.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("remote.log.copy.disable", "remote.log.copy.disable"),
    ("remote.log.delete.on.disable", "remote.log.delete.on.disable"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

/// What the broker calls a topic's setting.
pub(crate) fn synonym(of_topic: &str) -> Option<&'static str> {
    OF_TOPICS.iter().find(|(_, name)| *name == of_topic).map(|(broker, _)| *broker)
}

/// Families of names that mean nothing on a single node, or belong to something that is not offered.
const ELSEWHERE: [(&str, &str); 15] = [
    ("controller.", "there is no controller beside the broker"),
    ("delegation.token.", "delegation tokens are not offered"),
    ("follower.replication.", "one node keeps each partition, so nothing is replicated"),
    ("leader.replication.", "one node keeps each partition, so nothing is replicated"),
    ("listener.", "there is one listener, and it comes from the node's settings"),
    ("log.cleaner.", "the compactor's limits come from the node"),
    ("remote.log.", "tiered storage is not offered"),
    ("replica.", "one node keeps each partition, so nothing is replicated"),
    ("sasl.kerberos.", "Kerberos is not offered"),
    ("sasl.", "logins come from the node's settings"),
    ("share.", "share groups are not offered"),
    ("ssl.", "certificates are files of the node's settings, and are read again when they change"),
    ("streams.", "streams groups are not offered"),
    ("group.share.", "share groups are not offered"),
    ("group.streams.", "streams groups are not offered"),
];

/// Why a broker cannot have a setting that is in none of the tables.
pub(crate) fn not_offered(name: &str) -> Reason {
    let shown: String = name.chars().take(100).collect();
    match ELSEWHERE.iter().find(|(family, _)| name.starts_with(family)) {
        Some((_, why)) => format!("`{}` cannot be changed here: {why}", shown.escape_debug()),
        None => format!("`{}` is no setting of a broker that can be changed while it runs", shown.escape_debug()),
    }
}

/// Why a group cannot have it.
pub(crate) fn not_of_groups(name: &str) -> Reason {
    let shown: String = name.chars().take(100).collect();
    match ELSEWHERE.iter().find(|(family, _)| name.starts_with(family)) {
        Some((_, why)) => format!("`{}` cannot be set: {why}", shown.escape_debug()),
        None => format!(
            "`{}` is no setting of a group: consumer.session.timeout.ms and consumer.heartbeat.interval.ms are",
            shown.escape_debug()
        ),
    }
}

fn boolean(value: &str) -> Result<bool, Reason> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("it is true or false".to_owned()),
    }
}

fn whole(value: &str, min: i64, max: i64) -> Result<i64, Reason> {
    match value.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) => Err(format!("it is between {min} and {max}")),
        Err(_) => Err("it is a whole number".to_owned()),
    }
}

fn millis(value: &str, min: i64, max: i64) -> Result<Duration, Reason> {
    Ok(Duration::from_millis(whole(value, min, max)?.unsigned_abs()))
}

/// Kafka also takes names of hosts; what they resolve to would change unseen.
fn per_ip(value: &str) -> Result<BTreeMap<IpAddr, usize>, Reason> {
    let entry = |entry: &str| {
        let (ip, count) = entry.rsplit_once(':').ok_or("each is address:count")?;
        let ip: IpAddr = ip.trim().trim_matches(['[', ']']).parse().map_err(|_| format!("`{ip}` is no address"))?;
        Ok((ip.to_canonical(), whole(count.trim(), 0, INT_MAX)? as usize))
    };
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(entry).collect()
}

fn ms(time: Duration) -> String {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use commitlog::TopicConfig;

    use super::*;

    #[test]
    fn every_topic_setting_named_here_is_one_and_none_is_missing() {
        let known = TopicConfig::defaults(false).describe(&BTreeMap::new());
        for (_, of_topic) in OF_TOPICS {
            assert!(known.iter().any(|entry| entry.name == of_topic), "{of_topic}");
        }
        // Only these have no name in Kafka that is said of all topics.
        let alone: Vec<_> = known.iter().map(|entry| entry.name).filter(|name| synonym(name).is_none()).collect();
        assert_eq!(
            alone,
            [
                "follower.replication.throttled.replicas",
                "lakehead.unsafe.ack.before.fsync",
                "leader.replication.throttled.replicas",
                "remote.storage.enable"
            ]
        );
    }

    #[test]
    fn what_is_shown_can_be_set_and_changes_nothing() {
        fn check<S: Default + Clone>(rows: &[Row<S>], same: impl Fn(&S, &S) -> bool) {
            for row in rows.iter().filter(|row| !row.is_read_only()) {
                let mut settings = S::default();
                let shown = (row.get)(&settings);
                row.set(&mut settings, &shown).expect(row.name);
                assert!(same(&settings, &S::default()), "{}", row.name);
                assert!(row.set(&mut settings, "-1").is_err(), "{}", row.name);
                let why = row.set(&mut settings, "soon").expect_err(row.name);
                assert!(why.contains(row.name), "{why}");
            }
        }
        check(&DOOR, |a, b| format!("{a:?}") == format!("{b:?}"));
        check(&GROUPS, |a, b| format!("{a:?}") == format!("{b:?}"));
    }

    #[test]
    fn addresses_have_limits_of_their_own() {
        let limits = per_ip("10.0.0.1:5, [::1]:7,::ffff:10.0.0.2:0").expect("limits");
        let limit = |ip: &str| limits.get(&ip.parse().expect("an address")).copied();
        assert_eq!((limit("10.0.0.1"), limit("::1"), limit("10.0.0.2")), (Some(5), Some(7), Some(0)));
        for bad in ["10.0.0.1", "host:5", "10.0.0.1:-1", "10.0.0.1:x"] {
            assert!(per_ip(bad).is_err(), "{bad}");
        }
    }
}
