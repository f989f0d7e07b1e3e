//! The settings of this broker under Kafka's names: what the node was started with, and what was changed since.

use std::collections::BTreeMap;

use commitlog::{
    ConfigType::{self, Boolean, Double, Int, List, Long, String as Text},
    TopicConfig,
};
use security::Protocol;

use super::{Described, SOURCE_ALL_BROKERS, SOURCE_DEFAULT, SOURCE_STATIC_BROKER, Said, changed, given};
use crate::{
    NODE_ID,
    dispatch::Context,
    dynamic::{
        Holder,
        rows::{DOOR, GROUPS, OF_TOPICS, Row},
    },
};

/// Name, type, value and documentation of what no setting changes: tools ask for these, and some do not go on without.
const FIXED: [(&str, ConfigType, &str, &str); 37] = [
    ("background.threads", Int, "1", "Background work has threads of its own."),
    ("connections.max.reauth.ms", Long, "0", "Sessions end when the node's settings or a token say so."),
    ("controlled.shutdown.enable", Boolean, "true", "A node that is told to stop brings everything to disk first."),
    ("default.replication.factor", Int, "1", "One node keeps each partition."),
    ("delete.topic.enable", Boolean, "true", "Topics can be deleted."),
    ("fetch.purgatory.purge.interval.requests", Int, "1000", "Fetches that wait take no place in a queue."),
    ("group.coordinator.rebalance.protocols", List, "classic,consumer", "Protocols that groups may speak."),
    ("inter.broker.protocol.version", Text, "4.1-IV1", "The versions of APIs are those of Apache Kafka 4.1."),
    ("log.cleaner.backoff.ms", Long, "15000", "How often the log looks for partitions that are worth compacting."),
    ("log.cleaner.dedupe.buffer.size", Long, "33554432", "Memory for the keys of a run of the compactor."),
    ("log.cleaner.enable", Boolean, "true", "Topics whose policy says so are compacted."),
    ("log.cleaner.io.max.bytes.per.second", Double, "67108864", "What the compactor reads and writes in a second."),
    ("log.cleaner.threads", Int, "1", "One thread compacts."),
    ("log.dir", Text, "/lakehead", "There is one directory; DescribeLogDirs calls it so."),
    ("log.dirs", Text, "/lakehead", "There is one directory; DescribeLogDirs calls it so."),
    ("log.flush.offset.checkpoint.interval.ms", Int, "20000", "How often the log writes down what is on disk."),
    (
        "log.flush.scheduler.interval.ms",
        Long,
        "9223372036854775807",
        "Every batch is on disk before it is acknowledged.",
    ),
    ("log.retention.check.interval.ms", Long, "300000", "How often retention looks for segments to remove."),
    ("log.retention.hours", Int, "168", "Seen only if log.retention.ms is not set, and that has a default here."),
    ("log.roll.hours", Int, "168", "Seen only if log.roll.ms is not set, and that has a default here."),
    ("log.roll.jitter.hours", Int, "0", "Seen only if log.roll.jitter.ms is not set, and that has a default here."),
    ("metadata.log.dir", Text, "/lakehead", "There is one directory."),
    ("offsets.retention.check.interval.ms", Long, "600000", "How often offsets that are too old are looked for."),
    ("offsets.topic.compression.codec", Int, "0", "Offsets are kept as they are."),
    ("offsets.topic.num.partitions", Int, "1", "One node keeps all offsets."),
    ("offsets.topic.replication.factor", Int, "1", "One node keeps each partition."),
    ("offsets.topic.segment.bytes", Int, "4194304", "Size of the segments of the offsets topic."),
    ("producer.id.expiration.ms", Int, "86400000", "Idle producers are forgotten after this."),
    ("quota.window.num", Int, "11", "Quotas are averages over this many windows."),
    ("quota.window.size.seconds", Int, "1", "Length of a window of quotas."),
    ("remote.log.storage.system.enable", Boolean, "false", "Tiered storage is not offered."),
    ("request.timeout.ms", Int, "30000", "Time for what is left of a request that has begun."),
    ("transaction.max.timeout.ms", Int, "900000", "Longest transaction.timeout.ms a producer may ask for."),
    ("transaction.partition.verification.enable", Boolean, "true", "Writes are checked against the open transaction."),
    ("transaction.state.log.num.partitions", Int, "1", "One node keeps all transactions."),
    ("transaction.state.log.replication.factor", Int, "1", "One node keeps each partition."),
    ("transactional.id.expiration.ms", Int, "604800000", "Transactional ids nobody uses are forgotten after this."),
];

/// Every setting, by name.
pub(super) fn settings(context: &Context) -> Vec<Described> {
    let dynamic = &context.shared.dynamic;
    let mut all = of_the_node(context);
    all.extend(FIXED.iter().map(|&(name, kind, value, doc)| fixed(name, kind, doc, value, SOURCE_DEFAULT)));
    all.extend(DOOR.iter().map(|row| described(context, row, dynamic.door_given())));
    all.extend(GROUPS.iter().map(|row| described(context, row, dynamic.groups_given())));
    let of_topics = TopicConfig::defaults(false).describe(&BTreeMap::new());
    all.extend(OF_TOPICS.iter().filter_map(|&(name, of_topic)| {
        let entry = of_topics.iter().find(|entry| entry.name == of_topic)?.clone();
        let said = changed(dynamic, name).chain(given(name, entry.value, entry.default)).collect();
        Some(Described { name, kind: entry.kind, doc: entry.doc, read_only: entry.read_only, said })
    }));
    all.sort_by_key(|setting| setting.name);
    all
}

/// What was said of all brokers.
pub(super) fn settings_of_all(context: &Context) -> Vec<Described> {
    let said = context.shared.dynamic.of(&Holder::all_brokers());
    let mut all = settings(context);
    all.retain(|setting| said.contains_key(setting.name));
    for setting in &mut all {
        setting.said.retain(|said| said.source >= SOURCE_ALL_BROKERS);
    }
    all
}

/// What the node was started with, which is nobody's default.
fn of_the_node(context: &Context) -> Vec<Described> {
    let (host, port) = &context.shared.advertised;
    let security = &context.shared.security.settings;
    let protocol = security.protocol.name();
    let address = format!("{protocol}://{host}:{port}");
    let node = NODE_ID.to_string();
    let set = |name, kind, value: &str, doc| fixed(name, kind, doc, value, SOURCE_STATIC_BROKER);
    let mechanisms = match security.protocol.has_sasl() {
        true => security.mechanisms.iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(","),
        false => String::new(),
    };
    let super_users = security.super_users.iter().map(|user| user.as_str()).collect::<Vec<_>>().join(";");
    let authorizer = if security.authorizer { "org.apache.kafka.metadata.authorizer.StandardAuthorizer" } else { "" };
    let client_auth = match (&security.tls, security.protocol) {
        (Some(tls), Protocol::Ssl | Protocol::SaslSsl) => tls.client_auth.name(),
        _ => "none",
    };
    vec![
        set("advertised.listeners", Text, &address, "What clients are told to connect to."),
        set(
            "allow.everyone.if.no.acl.found",
            Boolean,
            &security.allow_if_no_acl.to_string(),
            "Whether what no rule names is allowed.",
        ),
        set("authorizer.class.name", Text, authorizer, "Whether rules are asked for, by Kafka's name of what does so."),
        set("broker.id", Int, &node, "There is one broker."),
        set("controller.listener.names", List, "", "There is no controller beside the broker."),
        set("controller.quorum.voters", List, "", "There is no controller beside the broker."),
        set("inter.broker.listener.name", Text, protocol, "Nobody but clients connects."),
        set("listener.security.protocol.map", Text, &format!("{protocol}:{protocol}"), "There is one listener."),
        set("listeners", List, &address, "Where the door listens."),
        set("node.id", Int, &node, "There is one broker."),
        set("process.roles", List, "broker", "There is no controller beside the broker."),
        set("sasl.enabled.mechanisms", List, &mechanisms, "How clients may log in."),
        set("security.inter.broker.protocol", Text, protocol, "Nobody but clients connects."),
        set("ssl.client.auth", Text, client_auth, "Whether clients show certificates."),
        set("super.users", Text, &super_users, "Those who may everything."),
    ]
}

fn described<S: Default>(context: &Context, row: &Row<S>, as_given: &S) -> Described {
    let (value, default) = ((row.get)(as_given), (row.get)(&S::default()));
    let said = changed(&context.shared.dynamic, row.name).chain(given(row.name, value, default)).collect();
    Described { name: row.name, kind: row.kind, doc: row.doc, read_only: row.is_read_only(), said }
}

fn fixed(name: &'static str, kind: ConfigType, doc: &'static str, value: &str, source: i8) -> Described {
    Described { name, kind, doc, read_only: true, said: vec![Said { name, value: value.to_owned(), source }] }
}
