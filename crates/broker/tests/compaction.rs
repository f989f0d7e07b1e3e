//! Compacted topics through the door.

mod common;

use commitlog::record::{BatchBuilder, Codec};
use common::{PATIENCE, produce, serve, topic_name};
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
        describe_configs_request::DescribeConfigsResource,
    },
    protocol::StrBytes,
};
use world::World;

const TOPIC: i8 = 2;
const INVALID_RECORD: i16 = 87;
const POLICY_VIOLATION: i16 = 44;
const INVALID_CONFIG: i16 = 40;

fn compacted(name: &str, policy: &'static str) -> CreateTopicsRequest {
    let text = StrBytes::from_static_str;
    let config = CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(Some(text(policy)));
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    CreateTopicsRequest::default().with_topics(vec![topic])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_key_are_named() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let created = client.ask(7, &compacted("keyed", "compact")).await;
    assert_eq!(created.topics[0].error_code, 0);
    let now = World::real().clock.now_ms();
    for codec in [Codec::None, Codec::Lz4] {
        let mut batch = BatchBuilder::new(codec);
        for key in [Some(&b"a"[..]), None, Some(b""), None] {
            batch.push(now, key, Some(b"v"), &[]);
        }
        let batch = batch.build();
        for version in [3, 7, 8, 11] {
            let response = client.ask(version, &produce("keyed", batch.clone(), -1)).await;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!((partition.error_code, partition.base_offset), (INVALID_RECORD, -1), "v{version}");
            let named: Vec<_> = partition.record_errors.iter().map(|error| error.batch_index).collect();
            assert_eq!(named, if version >= 8 { vec![1, 3] } else { vec![] }, "v{version}");
        }
    }
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(now, Some(b"a"), None, &[]);
    let response = client.ask(9, &produce("keyed", batch.build(), -1)).await;
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (0, 0), "nothing of what was refused is there");
    tokio::time::timeout(PATIENCE, server.stop()).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_kept_told_and_obeyed() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    for (name, policy, told, deletes) in [
        ("c", "compact", "compact", POLICY_VIOLATION),
        ("b", "compact,delete", "compact,delete", 0),
        ("r", "delete,compact", "compact,delete", 0),
        ("d", "delete", "delete", 0),
    ] {
        let created = client.ask(7, &compacted(name, policy)).await;
        assert_eq!(created.topics[0].error_code, 0, "{policy}");
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configuration_keys(Some(vec![StrBytes::from_static_str("cleanup.policy")]));
        let described = client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
        // Connect takes a topic only if this says `compact` and nothing else.
        assert_eq!(described.results[0].configs[0].value.as_deref(), Some(told));
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(0);
        let topic = DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
        let deleted = client.ask(2, &DeleteRecordsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(deleted.topics[0].partitions[0].error_code, deletes, "{policy}");
    }
    let refused = client.ask(7, &compacted("x", "shrink")).await;
    assert_eq!(refused.topics[0].error_code, INVALID_CONFIG);
    server.stop().await;
}
