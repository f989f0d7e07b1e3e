//! Settings of brokers, groups and topics: changed while the broker runs, in force at once, kept over restarts.

mod common;

use std::time::Duration;

use commitlog::record::{Batch, Codec};
use common::{Client, coded_batch, guarded::text, produce, serve, topic_name};
use kafka_protocol::messages::{incremental_alter_configs_request as alter, *};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

/// Code and text of the answer.
async fn change(
    client: &mut Client,
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> (i16, String) {
    let configs = changes.iter().map(|(name, operation, value)| {
        alter::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = alter::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
    let row = client.ask(1, &request).await.responses.remove(0);
    (row.error_code, row.error_message.map(|why| why.to_string()).unwrap_or_default())
}

async fn set(client: &mut Client, kind: i8, name: &str, config: &str, value: &str) -> (i16, String) {
    change(client, kind, name, &[(config, SET, Some(value))], false).await
}

/// Everything that is shown of a resource.
async fn described(
    client: &mut Client,
    kind: i8,
    name: &str,
) -> Vec<describe_configs_response::DescribeConfigsResourceResult> {
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    let mut response = client.ask(4, &request).await;
    assert_eq!(response.results[0].error_code, 0, "{:?}", response.results[0].error_message);
    response.results.remove(0).configs
}

/// What is said of a setting, by whom: name, value and source of each synonym.
async fn said(client: &mut Client, kind: i8, name: &str, config: &str) -> Vec<(String, String, i8)> {
    let row = described(client, kind, name).await.into_iter().find(|row| *row.name == *config).expect("listed");
    let synonyms: Vec<_> = row
        .synonyms
        .iter()
        .map(|s| (s.name.to_string(), s.value.as_ref().expect("a value").to_string(), s.source))
        .collect();
    assert_eq!((row.value.expect("a value").to_string(), row.config_source), (synonyms[0].1.clone(), synonyms[0].2));
    synonyms
}

fn row(name: &str, value: &str, source: i8) -> (String, String, i8) {
    (name.to_owned(), value.to_owned(), source)
}

#[tokio::test]
async fn what_is_said_of_brokers_is_what_topics_get_and_lasts() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    assert_eq!(set(&mut client, BROKER, "", "log.retention.ms", "1000").await.0, 0);
    assert_eq!(set(&mut client, BROKER, "1", "log.retention.ms", "2000").await.0, 0);
    client.create_topic("u", 1).await;
    assert_eq!(set(&mut client, TOPIC, "u", "retention.ms", "3000").await.0, 0);
    let by_broker = [
        row("log.retention.ms", "2000", 2),
        row("log.retention.ms", "1000", 3),
        row("log.retention.ms", "604800000", 5),
    ];
    assert_eq!(said(&mut client, BROKER, "1", "log.retention.ms").await, by_broker);
    assert_eq!(said(&mut client, TOPIC, "t", "retention.ms").await, by_broker);
    let own = [&[row("retention.ms", "3000", 1)][..], &by_broker].concat();
    assert_eq!(said(&mut client, TOPIC, "u", "retention.ms").await, own);
    let of_all = described(&mut client, BROKER, "").await;
    assert_eq!(of_all.len(), 1, "only what was said of all: {of_all:?}");
    assert_eq!(of_all[0].value.as_deref(), Some("1000"));
    drop(client);
    server.stop().await;

    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(said(&mut client, TOPIC, "u", "retention.ms").await, own);
    assert_eq!(commitlog::Log::topic(&*server.log, "t").expect("there").config.retention_ms, 2000);
    // The house's own topics do not follow.
    assert_eq!(commitlog::Log::topic(&*server.log, "__configs").expect("there").config.retention_ms, 604_800_000);
    assert_eq!(change(&mut client, BROKER, "1", &[("log.retention.ms", DELETE, None)], false).await.0, 0);
    assert_eq!(commitlog::Log::topic(&*server.log, "t").expect("there").config.retention_ms, 1000);
    assert_eq!(change(&mut client, BROKER, "", &[("log.retention.ms", DELETE, None)], false).await.0, 0);
    assert_eq!(said(&mut client, TOPIC, "t", "retention.ms").await, [row("log.retention.ms", "604800000", 5)]);
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_apply_is_refused_by_name_and_nothing_of_it_is_kept() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    for (kind, name, config, value, why) in [
        (BROKER, "1", "sasl.kerberos.min.time.before.relogin", "58000", "Kerberos is not offered"),
        (BROKER, "1", "log.cleaner.threads", "2", "come from the node"),
        (BROKER, "1", "socket.request.max.bytes", "1000", "comes from the node's settings"),
        (BROKER, "1", "no.such.setting", "1", "no setting of a broker"),
        (BROKER, "1", "log.retention.ms", "soon", "whole number"),
        (BROKER, "", "min.insync.replicas", "2", "only its default"),
        (BROKER, "1", "group.consumer.session.timeout.ms", "1000", "between 45000 and 60000"),
        (BROKER, "1", "max.connections.per.ip.overrides", "a.host:5", "no address"),
        (GROUP, "g", "share.session.timeout.ms", "45000", "share groups are not offered"),
        (GROUP, "g", "consumer.session.timeout.ms", "1", "between 45000 and 60000"),
        (GROUP, "g", "retention.ms", "1", "no setting of a group"),
    ] {
        let (code, text) = set(&mut client, kind, name, config, value).await;
        assert_eq!(code, INVALID_CONFIG, "{config}: {text}");
        let named = if config == "log.retention.ms" { "retention.ms" } else { config };
        assert!(text.contains(named) && text.contains(why), "{config}: {text}");
    }
    let half = [("log.retention.ms", SET, Some("5")), ("no.such.setting", SET, Some("5"))];
    assert_eq!(change(&mut client, BROKER, "1", &half, false).await.0, INVALID_CONFIG);
    assert_eq!(change(&mut client, BROKER, "1", &[("log.retention.ms", SET, Some("5"))], true).await.0, 0);
    assert_eq!(said(&mut client, BROKER, "1", "log.retention.ms").await, [row("log.retention.ms", "604800000", 5)]);
    assert!(!server.log_has("__configs"));
    for (kind, name) in [(BROKER, "2"), (GROUP, ""), (8, "1"), (16, "m"), (99, "x")] {
        assert_eq!(set(&mut client, kind, name, "log.retention.ms", "5").await.0, 42, "{kind} {name}");
    }
    // A topic's own settings exclude what would be said of all.
    client.create_topic("t", 1).await;
    assert_eq!(set(&mut client, TOPIC, "t", "min.compaction.lag.ms", "1000").await.0, 0);
    let (code, text) = set(&mut client, BROKER, "", "log.cleaner.max.compaction.lag.ms", "10").await;
    assert_eq!(code, INVALID_CONFIG);
    assert!(text.contains("`t`"), "{text}");
    server.stop().await;
}

/// A change begins with what is said already, so another one must not come in between.
#[tokio::test]
async fn of_changes_that_meet_none_is_lost() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let settings =
        ["retention.ms", "retention.bytes", "segment.ms", "flush.ms", "segment.bytes", "min.compaction.lag.ms"];
    let change = async |kind, name: &str, config: String| {
        let mut client = server.client().await;
        assert_eq!(set(&mut client, kind, name, &config, "20000").await, (0, String::new()), "{config}");
    };
    futures::future::join_all(settings.map(|config| change(TOPIC, "t", config.to_owned()))).await;
    let of_broker = ["retention.ms", "retention.bytes", "roll.ms", "flush.interval.ms", "segment.bytes"];
    futures::future::join_all(of_broker.map(|config| change(BROKER, "1", format!("log.{config}")))).await;
    for config in settings {
        let value = said(&mut client, TOPIC, "t", config).await[0].1.clone();
        assert_eq!(value, "20000", "{config}");
    }
    for config in of_broker {
        let value = said(&mut client, BROKER, "1", &format!("log.{config}")).await[0].1.clone();
        assert_eq!(value, "20000", "{config}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_request_says_twice_or_without_a_value_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    assert_eq!(set(&mut client, TOPIC, "t", "retention.ms", "5000").await.0, 0);
    assert_eq!(change(&mut client, TOPIC, "t", &[("segment.ms", SET, None)], false).await.0, INVALID_REQUEST);
    let twice = [("segment.ms", SET, Some("1000")), ("segment.ms", DELETE, None)];
    assert_eq!(change(&mut client, TOPIC, "t", &twice, false).await.0, INVALID_REQUEST);

    use alter_configs_request as replace;
    let resource = |configs: &[(&str, Option<&str>)]| {
        let config = |(name, value): &(&str, Option<&str>)| {
            replace::AlterableConfig::default().with_name(text(name)).with_value(value.map(text))
        };
        replace::AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(configs.iter().map(config).collect())
    };
    let ordinary = resource(&[("segment.ms", Some("1000"))]);
    for resources in [
        vec![resource(&[("segment.ms", Some("1000")), ("retention.ms", None)])],
        vec![resource(&[("segment.ms", Some("1000")), ("segment.ms", Some("2000"))])],
        vec![ordinary.clone(), ordinary],
    ] {
        let answer = client.ask(2, &AlterConfigsRequest::default().with_resources(resources)).await;
        assert!(answer.responses.iter().all(|row| row.error_code == INVALID_REQUEST), "{answer:?}");
    }
    assert_eq!(said(&mut client, TOPIC, "t", "retention.ms").await[0], row("retention.ms", "5000", 1));
    assert_eq!(said(&mut client, TOPIC, "t", "segment.ms").await[0].2, 5);
    server.stop().await;
}

#[tokio::test]
async fn groups_have_settings_of_their_own() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let heartbeat = |group: &str| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(1000)
            .with_subscribed_topic_names(Some(vec![topic_name("t")]))
            .with_topic_partitions(Some(vec![]))
    };
    assert_eq!(client.ask(1, &heartbeat("g")).await.heartbeat_interval_ms, 5000);
    assert_eq!(set(&mut client, GROUP, "g", "consumer.heartbeat.interval.ms", "7000").await.0, 0);
    assert_eq!(set(&mut client, GROUP, "g", "consumer.session.timeout.ms", "50000").await.0, 0);
    assert_eq!(client.ask(1, &heartbeat("g")).await.heartbeat_interval_ms, 7000);
    assert_eq!(client.ask(1, &heartbeat("other")).await.heartbeat_interval_ms, 5000);
    assert_eq!(set(&mut client, BROKER, "", "group.consumer.heartbeat.interval.ms", "6000").await.0, 0);
    assert_eq!(client.ask(1, &heartbeat("other")).await.heartbeat_interval_ms, 6000);
    let expected = [row("consumer.session.timeout.ms", "50000", 8), row("consumer.session.timeout.ms", "45000", 5)];
    assert_eq!(said(&mut client, GROUP, "g", "consumer.session.timeout.ms").await, expected);
    let listed = client.ask(1, &ListConfigResourcesRequest::default().with_resource_types(vec![GROUP])).await;
    let names: Vec<_> = listed.config_resources.iter().map(|resource| &*resource.resource_name).collect();
    assert_eq!(names, ["g"]);
    server.stop().await;
}

#[tokio::test]
async fn the_door_and_the_coordinator_change_while_they_run() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(set(&mut client, BROKER, "1", "num.partitions", "7").await.0, 0);
    let topic = create_topics_request::CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(-1)
        .with_replication_factor(-1);
    let made = client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
    assert_eq!(made.topics[0].num_partitions, 7);

    assert_eq!(set(&mut client, BROKER, "1", "auto.create.topics.enable", "false").await.0, 0);
    let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name("new")));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(true);
    assert_eq!(client.ask(9, &request).await.topics[0].error_code, 3);

    assert_eq!(set(&mut client, BROKER, "1", "max.connections.per.ip.overrides", "127.0.0.1:1").await.0, 0);
    assert!(server.client().await.receive_frame().await.is_none(), "closed at once");
    assert_eq!(set(&mut client, BROKER, "1", "max.connections.per.ip.overrides", "127.0.0.1:2").await.0, 0);
    server.client().await.ask(0, &ApiVersionsRequest::default()).await;

    assert_eq!(set(&mut client, BROKER, "1", "group.initial.rebalance.delay.ms", "700").await.0, 0);
    let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let began = server.world.clock.monotonic();
    assert_eq!(client.ask(3, &join).await.error_code, 0);
    let waited = server.world.clock.monotonic() - began;
    assert!(waited >= Duration::from_millis(700), "the first generation waits for company, not {waited:?}");

    assert_eq!(set(&mut client, BROKER, "1", "connections.max.idle.ms", "1000").await.0, 0);
    let mut idle = server.client().await;
    assert!(idle.receive_frame().await.is_none(), "idle for too long");
    server.stop().await;
}

/// Values and codec of what a topic holds.
async fn held(server: &common::Server, topic: &str) -> Vec<(Codec, Vec<String>)> {
    let place = model::TopicPartition::new(model::TopicName::new(topic).expect("legal"), 0);
    let slice = commitlog::Log::read(&*server.log, &place, 0, 64 << 20, commitlog::Isolation::Uncommitted).await;
    let read = |batch: Batch| {
        let block = batch.decompress(1 << 20).expect("decompresses");
        let value = |record: commitlog::record::Record<'_>| {
            String::from_utf8(record.value.expect("a value").to_vec()).expect("text")
        };
        let records = commitlog::record::Records::new(&batch.header, &block);
        (batch.header.codec().expect("known"), records.map(|record| value(record.expect("a record"))).collect())
    };
    commitlog::record::batches(slice.expect("reads").records).map(|batch| read(batch.expect("whole"))).collect()
}

#[tokio::test]
async fn batches_are_compressed_as_their_topic_says_and_in_order() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let long = "x".repeat(100_000);
    let wanted =
        [("gzip", Codec::Gzip), ("zstd", Codec::Zstd), ("uncompressed", Codec::None), ("producer", Codec::Lz4)];
    let mut expected = Vec::new();
    for (name, codec) in wanted {
        assert_eq!(set(&mut client, TOPIC, "t", "compression.type", name).await.0, 0);
        for value in [name, &long] {
            let answer = client.ask(9, &produce("t", coded_batch(Codec::Lz4, &[value]), -1)).await;
            let row = &answer.responses[0].partition_responses[0];
            assert_eq!((row.error_code, row.base_offset), (0, expected.len() as i64), "{:?}", row.error_message);
            expected.push((codec, vec![value.to_owned()]));
        }
    }
    assert_eq!(held(&server, "t").await, expected);
    // What is no batch is refused as it would be anyway, and nothing follows from it.
    assert_eq!(set(&mut client, TOPIC, "t", "compression.type", "gzip").await.0, 0);
    let mut damaged = coded_batch(Codec::Lz4, &["damaged"]).to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    let answer = client.ask(9, &produce("t", damaged.into(), -1)).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 2);
    assert_eq!(held(&server, "t").await, expected);
    server.stop().await;
}

#[tokio::test]
async fn every_setting_has_a_type_a_text_and_something_said_of_it() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    for (kind, name, least) in [(BROKER, "1", 100), (TOPIC, "t", 33), (GROUP, "g", 2)] {
        let rows = described(&mut client, kind, name).await;
        assert!(rows.len() >= least, "{kind}: {}", rows.len());
        assert!(rows.is_sorted_by(|a, b| a.name < b.name), "each once, in order");
        for row in rows {
            assert!(row.config_type > 0 && row.documentation.is_some_and(|text| !text.is_empty()), "{}", row.name);
            assert!(!row.synonyms.is_empty() && row.value.is_some() && !row.is_sensitive, "{}", row.name);
        }
    }
    // Naming no settings is asking for all.
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("t"))
        .with_configuration_keys(Some(vec![]));
    let all = client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    assert!(all.results[0].configs.len() >= 33);
    // Lists can grow by one; what is in them stays where it is.
    let grow = [("cleanup.policy", APPEND, Some("compact"))];
    assert_eq!(change(&mut client, TOPIC, "t", &grow, false).await.0, 0);
    for value in ["compact", "delete"] {
        let grow = [("log.cleanup.policy", APPEND, Some(value))];
        assert_eq!(change(&mut client, BROKER, "1", &grow, false).await.0, 0);
    }
    let shown = &said(&mut client, BROKER, "1", "log.cleanup.policy").await[0].1;
    assert_eq!(shown, "delete,compact");
    server.stop().await;
}
