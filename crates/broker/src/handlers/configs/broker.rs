//! The settings of this broker under Kafka's names. They come from the node's settings and cannot be changed from here.

use std::{collections::BTreeMap, time::Duration};

use commitlog::{
    ConfigType::{self, Boolean, Int, List, Long, String as Text},
    TopicConfig,
    groups::GroupSettings,
};

use super::{Described, SOURCE_DEFAULT, SOURCE_STATIC_BROKER};
use crate::{BrokerSettings, NODE_ID, dispatch::Context};

/// Name, value, type and documentation of a setting.
type Row<S> = (&'static str, fn(&S) -> String, ConfigType, &'static str);

const DOOR: [Row<BrokerSettings>; 6] = [
    (
        "auto.create.topics.enable",
        |door| door.auto_create_topics.to_string(),
        Boolean,
        "Topics are made when a client asks for their metadata and allows it.",
    ),
    (
        "connections.max.idle.ms",
        |door| ms(door.idle_max),
        Long,
        "A connection without any request for this long is closed.",
    ),
    ("fetch.max.bytes", |door| door.fetch_bytes_max.to_string(), Int, "Most bytes of records in one Fetch response."),
    ("max.connections", |door| door.connections_max.to_string(), Int, "Connections open at once."),
    ("num.partitions", |door| door.partitions_default.to_string(), Int, "Partitions of topics made without a number."),
    ("socket.request.max.bytes", |door| door.request_bytes_max.to_string(), Int, "Largest Produce request."),
];

const GROUPS: [Row<GroupSettings>; 6] = [
    (
        "group.initial.rebalance.delay.ms",
        |groups| ms(groups.initial_rebalance_delay),
        Int,
        "How long the first generation of an empty group waits for more members.",
    ),
    ("group.max.session.timeout.ms", |groups| ms(groups.session_timeout_max), Int, "Longest session timeout."),
    ("group.max.size", |groups| groups.members_max.to_string(), Int, "Most members of a group."),
    ("group.min.session.timeout.ms", |groups| ms(groups.session_timeout_min), Int, "Shortest session timeout."),
    ("offset.metadata.max.bytes", |groups| groups.metadata_bytes_max.to_string(), Int, "Longest text of a commit."),
    (
        "offsets.retention.minutes",
        |groups| (groups.offsets_retention.as_secs() / 60).to_string(),
        Int,
        "How long offsets outlive their group.",
    ),
];

/// What topics without a setting of their own get: the broker's name for it and the topic's.
const TOPICS: [(&str, &str); 12] = [
    ("compression.type", "compression.type"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
];

/// Every setting, by name.
pub(super) fn settings(context: &Context) -> Vec<Described> {
    let (host, port) = &context.shared.advertised;
    let address = format!("PLAINTEXT://{host}:{port}");
    let node = NODE_ID.to_string();
    // Nobody's default: they are what they are on this broker.
    let set =
        |name, value: &str, kind, doc| Described { source: SOURCE_STATIC_BROKER, ..fixed(name, value, kind, doc) };
    let mut all = vec![
        set("advertised.listeners", &address, Text, "What clients are told to connect to."),
        set("broker.id", &node, Int, "There is one broker."),
        fixed("default.replication.factor", "1", Int, "One node keeps each partition."),
        fixed("log.cleaner.enable", "true", Boolean, "Topics whose policy says so are compacted."),
        fixed("delete.topic.enable", "true", Boolean, "Topics can be deleted."),
        set("listeners", &address, List, "Where the door listens."),
        set("node.id", &node, Int, "There is one broker."),
    ];
    all.extend(described(&DOOR, &context.shared.settings));
    all.extend(described(&GROUPS, context.shared.groups.settings()));
    let of_topics = TopicConfig::defaults(false).describe(&BTreeMap::new());
    all.extend(TOPICS.iter().filter_map(|&(name, of_topic)| {
        let entry = of_topics.iter().find(|entry| entry.name == of_topic)?.clone();
        Some(Described { name, read_only: true, ..entry.into() })
    }));
    all.sort_by_key(|setting| setting.name);
    all
}

fn described<S: Default>(rows: &[Row<S>], settings: &S) -> impl Iterator<Item = Described> {
    let defaults = S::default();
    rows.iter().map(move |&(name, value, kind, doc)| {
        let (value, default) = (value(settings), value(&defaults));
        let source = if value == default { SOURCE_DEFAULT } else { SOURCE_STATIC_BROKER };
        Described { name, value, default, source, kind, doc, read_only: true }
    })
}

fn fixed(name: &'static str, value: &str, kind: ConfigType, doc: &'static str) -> Described {
    let value = value.to_owned();
    Described { name, default: value.clone(), value, source: SOURCE_DEFAULT, kind, doc, read_only: true }
}

fn ms(time: Duration) -> String {
    time.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_setting_named_here_is_one() {
        let known = TopicConfig::defaults(false).describe(&BTreeMap::new());
        for (_, of_topic) in TOPICS {
            assert!(known.iter().any(|entry| entry.name == of_topic), "{of_topic}");
        }
    }
}
