//! Quotas over the wire: kept, described, and felt by those who are over theirs and by nobody else.

mod common;

use std::time::Duration;

use broker::BrokerSettings;
use bytes::BytesMut;
use common::{Client, batch, produce, serve, serve_by_hand, topic_name};
use kafka_protocol::{
    messages::{
        AlterClientQuotasRequest, CreateTopicsRequest, DescribeClientQuotasRequest, FetchRequest, MetadataRequest,
        alter_client_quotas_request::{EntityData, EntryData, OpData},
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        describe_client_quotas_request::ComponentData,
        fetch_request::{FetchPartition, FetchTopic},
    },
    protocol::{Encodable, StrBytes},
};

const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
const EXACT: i8 = 0;
const ANY: i8 = 2;

/// Sets (`None`: takes away) a quota and returns the error code.
async fn set(client: &mut Client, kind: &str, name: Option<&str>, key: &str, value: Option<f64>) -> i16 {
    let entity = EntityData::default()
        .with_entity_type(kind.to_owned().into())
        .with_entity_name(name.map(|n| n.to_owned().into()));
    let op =
        OpData::default().with_key(key.to_owned().into()).with_value(value.unwrap_or(0.0)).with_remove(value.is_none());
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let response = client.ask(1, &AlterClientQuotasRequest::default().with_entries(vec![entry])).await;
    response.entries[0].error_code
}

/// Names and limits of the entities of a kind.
async fn described(client: &mut Client, kind: &str, how: i8, name: Option<&str>) -> Vec<(Option<StrBytes>, f64)> {
    let component = ComponentData::default()
        .with_entity_type(kind.to_owned().into())
        .with_match_type(how)
        .with_match(name.map(|n| n.to_owned().into()));
    let request = DescribeClientQuotasRequest::default().with_components(vec![component]).with_strict(true);
    let response = client.ask(1, &request).await;
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let entries = response.entries.expect("entries").into_iter();
    entries.map(|entry| (entry.entity[0].entity_name.clone(), entry.values[0].value)).collect()
}

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name("t")).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![topic])
}

#[tokio::test]
async fn quotas_are_kept_described_and_checked() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(set(&mut client, "client-id", Some("a"), "producer_byte_rate", Some(1024.0)).await, 0);
    assert_eq!(set(&mut client, "client-id", None, "consumer_byte_rate", Some(2048.0)).await, 0);
    assert_eq!(set(&mut client, "user", Some("ann"), "request_percentage", Some(12.5)).await, 0);
    for (kind, key, value) in [
        ("client-id", "producer_byte_rate", 0.5),
        ("client-id", "speed", 1.0),
        ("colour", "producer_byte_rate", 1.0),
        ("ip", "producer_byte_rate", 1.0),
    ] {
        assert_eq!(set(&mut client, kind, Some("127.0.0.1"), key, Some(value)).await, INVALID_REQUEST, "{kind} {key}");
    }
    server.stop().await;
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let all = described(&mut client, "client-id", ANY, None).await;
    assert_eq!(all, [(None, 2048.0), (Some("a".into()), 1024.0)]);
    assert_eq!(described(&mut client, "user", EXACT, Some("ann")).await, [(Some("ann".into()), 12.5)]);
    // `ClientQuotasImage.describe`
    for (kinds, code) in [
        (&["user", "client-id"][..], 0),
        (&["ip"], 0),
        (&["user", "ip"], INVALID_REQUEST),
        (&["ip", "client-id"], INVALID_REQUEST),
        (&["user", "user"], INVALID_REQUEST),
        (&[""], INVALID_REQUEST),
        (&["colour"], UNSUPPORTED_VERSION),
    ] {
        let any =
            |kind: &&str| ComponentData::default().with_entity_type((*kind).to_owned().into()).with_match_type(ANY);
        let components = kinds.iter().map(any).map(|component| component.with_match(None)).collect();
        let response = client.ask(1, &DescribeClientQuotasRequest::default().with_components(components)).await;
        assert_eq!((response.error_code, response.entries.is_some()), (code, code == 0), "{kinds:?}");
    }
    assert_eq!(set(&mut client, "user", Some("ann"), "request_percentage", None).await, 0);
    assert_eq!(described(&mut client, "user", ANY, None).await, []);
    server.stop().await;
}

#[tokio::test]
async fn a_producer_over_its_quota_is_told_and_made_to_wait_and_nobody_else_is() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, clock) = serve_by_hand(dir.path(), BrokerSettings::default()).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    other.id = "other";
    client.create_topic("t", 1).await;
    assert_eq!(set(&mut client, "client-id", Some("test"), "producer_byte_rate", Some(10_000.0)).await, 0);
    let request = produce("t", batch(&[&"x".repeat(51_000)]), -1);
    let throttle = async |client: &mut Client| {
        let response = client.ask(9, &request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        response.throttle_time_ms
    };
    let mut body = BytesMut::new();
    request.encode(&mut body, 9).expect("encodes");
    assert_eq!(throttle(&mut client).await, 0, "within ten seconds' worth");
    // The clock stands still, so that the answer comes at once or never.
    let told = throttle(&mut client).await;
    assert_eq!(told, (body.len() as u32 * 2 - 100_000).div_ceil(10) as i32, "at ten bytes a millisecond");
    client.send(9, &MetadataRequest::default()).await;
    assert_eq!(throttle(&mut other).await, 0);
    assert!(client.hears_nothing().await, "not before {told} ms are over");
    clock.advance(Duration::from_millis(told as u64 - 1));
    assert!(client.hears_nothing().await, "nor a moment before");
    clock.advance(Duration::from_millis(1));
    client.receive::<MetadataRequest>(9).await;
    assert_eq!(server.handle.stats().throttled, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_over_its_quota_gets_its_records_later() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, clock) = serve_by_hand(dir.path(), BrokerSettings::default()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", &["x".repeat(60_000).as_str()]).await;
    assert_eq!(set(&mut client, "client-id", Some("test"), "consumer_byte_rate", Some(5_900.0)).await, 0);
    let got = async |client: &mut Client| {
        let response = client.ask(11, &fetch()).await;
        let bytes = response.responses[0].partitions[0].records.as_ref().map_or(0, bytes::Bytes::len);
        (bytes > 0, response.throttle_time_ms > 0)
    };
    assert_eq!(got(&mut client).await, (true, false), "a batch beyond ten seconds' worth comes all the same");
    assert_eq!(got(&mut client).await, (false, true), "then nothing until it is paid for");
    clock.advance(Duration::from_secs(11));
    assert_eq!(got(&mut client).await, (true, false));
    server.stop().await;
}

#[tokio::test]
async fn making_topics_has_a_rate_too() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(set(&mut client, "user", None, "controller_mutation_rate", Some(1.0)).await, 0);
    let create = |name: &str, partitions| {
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        CreateTopicsRequest::default().with_topics(vec![topic])
    };
    assert_eq!(client.ask(7, &create("a", 11)).await.topics[0].error_code, 0);
    let refused = client.ask(7, &create("b", 1)).await;
    assert_eq!(refused.topics[0].error_code, THROTTLING_QUOTA_EXCEEDED);
    assert!(refused.throttle_time_ms > 0);
    assert!(server.log_has("a") && !server.log_has("b"));
    let mut later = server.client().await;
    let old = later.ask(5, &create("c", 1)).await;
    assert_eq!(old.topics[0].error_code, 0, "older clients do not know the refusal");
    server.stop().await;
}

#[tokio::test]
async fn addresses_open_so_many_connections_a_second() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, clock) = serve_by_hand(dir.path(), BrokerSettings::default()).await;
    let mut client = server.client().await;
    assert_eq!(set(&mut client, "ip", Some("127.0.0.1"), "connection_creation_rate", Some(1.0)).await, 0);
    for _ in 0..10 {
        server.client().await.ask(9, &MetadataRequest::default()).await;
    }
    let mut eleventh = server.client().await;
    eleventh.send(9, &MetadataRequest::default()).await;
    assert!(eleventh.hears_nothing().await, "ten seconds' worth has been used");
    clock.advance(Duration::from_secs(1));
    eleventh.receive::<MetadataRequest>(9).await;
    server.stop().await;
}

#[tokio::test]
async fn time_is_measured_too() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 200).await;
    assert_eq!(set(&mut client, "client-id", Some("test"), "request_percentage", Some(0.001)).await, 0);
    for _ in 0..50 {
        let told = client.ask(9, &MetadataRequest::default().with_topics(None)).await.throttle_time_ms;
        if server.handle.stats().throttled > 0 {
            assert!(told > 0, "whoever has to wait hears it");
            return server.stop().await;
        }
    }
    panic!("fifty lists of two hundred partitions take more than 0.1 ms");
}

#[tokio::test]
async fn time_that_batches_take_is_the_producers() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let topic = CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![
            CreatableTopicConfig::default().with_name("compression.type".into()).with_value(Some("gzip".into())),
        ]);
    client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
    let text: String = (0..100_000).map(|n: u64| char::from(b'a' + (n * n / 7 % 26) as u8)).collect();
    // Small batches are compressed where they arrive, large ones on a thread of their own.
    for (id, size, times) in [("small", 14_000, 100), ("large", 100_000, 20)] {
        // 2 ms at once: much more than an answer takes, much less than compressing does.
        assert_eq!(set(&mut client, "client-id", Some(id), "request_percentage", Some(0.02)).await, 0);
        let mut producer = server.client().await;
        producer.id = id;
        let request = produce("t", batch(&[&text[..size]]), -1);
        let mut told = 0;
        for _ in 0..times {
            told = told.max(producer.ask(9, &request).await.throttle_time_ms);
            if told > 0 {
                break;
            }
        }
        assert!(told > 0, "{times} batches of {size} bytes");
    }
    server.stop().await;
}
