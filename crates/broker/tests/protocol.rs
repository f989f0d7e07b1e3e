//! The protocol over a real socket: versions, order, waiting, and what must not be answered.

mod common;

use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use commitlog::record::{Codec, Records, batches};
use common::*;
use kafka_protocol::{
    messages::{fetch_request::FetchPartition, fetch_request::FetchTopic, *},
    protocol::{Decodable, Request, StrBytes},
};
use tokio::io::AsyncWriteExt;

fn fetch(topic: &str, id: uuid::Uuid, version: i16, offset: i64, wait_ms: i32) -> FetchRequest {
    let partition =
        FetchPartition::default().with_partition(0).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = match version {
        13.. => FetchTopic::default().with_topic_id(id),
        _ => FetchTopic::default().with_topic(topic_name(topic)),
    };
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

fn values(records: Option<bytes::Bytes>) -> Vec<String> {
    let mut values = Vec::new();
    for batch in batches(records.unwrap_or_default()) {
        let batch = batch.expect("whole batches");
        batch.check_crc().expect("unharmed");
        let block = batch.decompress(1 << 20).expect("decompresses");
        for record in Records::new(&batch.header, &block) {
            let value = record.expect("record").value.expect("a value").to_vec();
            values.push(String::from_utf8(value).expect("text"));
        }
    }
    values
}

#[tokio::test]
async fn every_version_on_offer_is_answered_in_its_own_format() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    let offers = client
        .ask(
            3,
            &ApiVersionsRequest::default()
                .with_client_software_name("t".into())
                .with_client_software_version("1".into()),
        )
        .await;
    assert_eq!(offers.error_code, 0);
    let mut checked = 0;

    macro_rules! all {
        ($($request:ty: $fill:expr),* $(,)?) => { $({
            let offer = offers.api_keys.iter().find(|o| o.api_key == <$request>::KEY).expect("on offer");
            for version in offer.min_version..=offer.max_version {
                let fill: fn(i16) -> $request = $fill;
                client.ask(version, &fill(version)).await;
            }
            checked += 1;
        })* };
    }
    fn name(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }
    all! {
        FetchRequest: |v| fetch("t", uuid::Uuid::from_u128(1), v, 0, 0),
        ListOffsetsRequest: |_| ListOffsetsRequest::default().with_topics(vec![
            list_offsets_request::ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![
                list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1),
                list_offsets_request::ListOffsetsPartition::default().with_partition_index(9).with_timestamp(5),
            ]),
        ]),
        MetadataRequest: |v| {
            let named = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name("t")));
            let unknown = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name("..")));
            let by_id = metadata_request::MetadataRequestTopic::default().with_name(None).with_topic_id(uuid::Uuid::from_u128(1));
            let mut topics = vec![named, unknown];
            if v >= 12 { topics.push(by_id); }
            MetadataRequest::default().with_topics(Some(topics))
        },
        OffsetCommitRequest: |_| OffsetCommitRequest::default().with_group_id(GroupId(name("g"))).with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![
                offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(3),
            ]),
        ]),
        OffsetFetchRequest: |v| if v >= 8 {
            OffsetFetchRequest::default().with_groups(vec![offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(name("g"))).with_topics(None)])
        } else {
            OffsetFetchRequest::default().with_group_id(GroupId(name("g"))).with_topics(Some(vec![
                offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 7]),
            ]))
        },
        FindCoordinatorRequest: |v| if v >= 4 {
            FindCoordinatorRequest::default().with_coordinator_keys(vec![name("g")])
        } else {
            FindCoordinatorRequest::default().with_key(name("g"))
        },
        JoinGroupRequest: |_| JoinGroupRequest::default().with_group_id(GroupId(name("g"))).with_session_timeout_ms(1),
        HeartbeatRequest: |_| HeartbeatRequest::default().with_group_id(GroupId(name("g"))),
        LeaveGroupRequest: |v| if v >= 3 {
            LeaveGroupRequest::default().with_members(vec![leave_group_request::MemberIdentity::default().with_member_id(name("m"))])
        } else {
            LeaveGroupRequest::default().with_member_id(name("m"))
        },
        SyncGroupRequest: |_| SyncGroupRequest::default().with_group_id(GroupId(name("g"))),
        DescribeGroupsRequest: |_| DescribeGroupsRequest::default().with_groups(vec![GroupId(name("g")), GroupId(name("none"))]),
        ListGroupsRequest: |_| ListGroupsRequest::default(),
        ConsumerGroupHeartbeatRequest: |_| ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(name("modern")))
            .with_member_id(name("m"))
            .with_rebalance_timeout_ms(1000)
            .with_subscribed_topic_names(Some(vec![topic_name("t")]))
            .with_topic_partitions(Some(vec![])),
        ConsumerGroupDescribeRequest: |_| ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![GroupId(name("modern")), GroupId(name("none"))]),
        ApiVersionsRequest: |_| ApiVersionsRequest::default(),
        CreateTopicsRequest: |_| CreateTopicsRequest::default().with_validate_only(true).with_topics(vec![
            create_topics_request::CreatableTopic::default().with_name(topic_name("new")).with_num_partitions(1).with_replication_factor(1),
            create_topics_request::CreatableTopic::default().with_name(topic_name("bad name")).with_num_partitions(1).with_replication_factor(1),
        ]),
        DeleteTopicsRequest: |v| if v >= 6 {
            DeleteTopicsRequest::default().with_topics(vec![
                delete_topics_request::DeleteTopicState::default().with_name(Some(topic_name("none"))),
                delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(uuid::Uuid::from_u128(1)),
            ])
        } else {
            DeleteTopicsRequest::default().with_topic_names(vec![topic_name("none")])
        },
        DeleteRecordsRequest: |_| DeleteRecordsRequest::default().with_topics(vec![
            delete_records_request::DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![
                delete_records_request::DeleteRecordsPartition::default().with_offset(-1),
            ]),
        ]),
        InitProducerIdRequest: |_| InitProducerIdRequest::default().with_transactional_id(None),
        AddPartitionsToTxnRequest: |_| AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(TransactionalId(name("x")))
            .with_v3_and_below_topics(vec![
                add_partitions_to_txn_request::AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(vec![0, 9]),
            ]),
        AddOffsetsToTxnRequest: |_| AddOffsetsToTxnRequest::default().with_transactional_id(TransactionalId(name("x"))),
        EndTxnRequest: |_| EndTxnRequest::default().with_transactional_id(TransactionalId(name("x"))),
        TxnOffsetCommitRequest: |_| TxnOffsetCommitRequest::default().with_transactional_id(TransactionalId(name("x")))
            .with_group_id(GroupId(name("g"))).with_topics(vec![
                txn_offset_commit_request::TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![
                    txn_offset_commit_request::TxnOffsetCommitRequestPartition::default(),
                ]),
            ]),
        DescribeProducersRequest: |_| DescribeProducersRequest::default().with_topics(vec![
            describe_producers_request::TopicRequest::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 9]),
        ]),
        DescribeTransactionsRequest: |_| DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(name("x"))]),
        SaslHandshakeRequest: |_| SaslHandshakeRequest::default().with_mechanism(name("PLAIN")),
        SaslAuthenticateRequest: |_| SaslAuthenticateRequest::default(),
        DescribeAclsRequest: |_| DescribeAclsRequest::default().with_pattern_type_filter(1).with_resource_name_filter(Some(name("t"))),
        CreateAclsRequest: |_| CreateAclsRequest::default().with_creations(vec![create_acls_request::AclCreation::default()
            .with_resource_pattern_type(3)]),
        DeleteAclsRequest: |_| DeleteAclsRequest::default().with_filters(vec![delete_acls_request::DeleteAclsFilter::default()
            .with_pattern_type_filter(3)]),
        DescribeUserScramCredentialsRequest: |_| DescribeUserScramCredentialsRequest::default().with_users(Some(vec![
            describe_user_scram_credentials_request::UserName::default().with_name(name("u")),
        ])),
        AlterUserScramCredentialsRequest: |_| AlterUserScramCredentialsRequest::default().with_deletions(vec![
            alter_user_scram_credentials_request::ScramCredentialDeletion::default().with_name(name("u")).with_mechanism(1),
        ]),
        ListTransactionsRequest: |_| ListTransactionsRequest::default().with_state_filters(vec![name("Ongoing")])
            .with_transactional_id_pattern(None),
        OffsetForLeaderEpochRequest: |_| OffsetForLeaderEpochRequest::default().with_topics(vec![
            offset_for_leader_epoch_request::OffsetForLeaderTopic::default().with_topic(topic_name("t")).with_partitions(vec![
                offset_for_leader_epoch_request::OffsetForLeaderPartition::default().with_current_leader_epoch(-1),
            ]),
        ]),
        DescribeConfigsRequest: |_| DescribeConfigsRequest::default().with_include_synonyms(true).with_resources(vec![
            describe_configs_request::DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name("t")).with_configuration_keys(None),
            describe_configs_request::DescribeConfigsResource::default().with_resource_type(4).with_resource_name(name("1")).with_configuration_keys(None),
            describe_configs_request::DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name("none")).with_configuration_keys(None),
        ]),
        AlterConfigsRequest: |_| AlterConfigsRequest::default().with_validate_only(true).with_resources(vec![
            alter_configs_request::AlterConfigsResource::default().with_resource_type(2).with_resource_name(name("t")),
        ]),
        IncrementalAlterConfigsRequest: |_| IncrementalAlterConfigsRequest::default().with_resources(vec![
            incremental_alter_configs_request::AlterConfigsResource::default().with_resource_type(2).with_resource_name(name("t")),
        ]),
        DescribeLogDirsRequest: |_| DescribeLogDirsRequest::default().with_topics(None),
        CreatePartitionsRequest: |_| CreatePartitionsRequest::default().with_topics(vec![
            create_partitions_request::CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(1).with_assignments(None),
        ]),
        DeleteGroupsRequest: |_| DeleteGroupsRequest::default().with_groups_names(vec![GroupId(name("none"))]),
        OffsetDeleteRequest: |_| OffsetDeleteRequest::default().with_group_id(GroupId(name("none"))),
        ElectLeadersRequest: |_| ElectLeadersRequest::default().with_topic_partitions(Some(vec![
            elect_leaders_request::TopicPartitions::default().with_topic(topic_name("t")).with_partitions(vec![0, 9]),
        ])),
        AlterPartitionReassignmentsRequest: |_| AlterPartitionReassignmentsRequest::default(),
        ListPartitionReassignmentsRequest: |_| ListPartitionReassignmentsRequest::default().with_topics(None),
        AlterReplicaLogDirsRequest: |_| AlterReplicaLogDirsRequest::default().with_dirs(vec![
            alter_replica_log_dirs_request::AlterReplicaLogDir::default().with_path(name("/lakehead")),
        ]),
        DescribeQuorumRequest: |_| DescribeQuorumRequest::default().with_topics(vec![
            describe_quorum_request::TopicData::default().with_topic_name(topic_name("__cluster_metadata"))
                .with_partitions(vec![Default::default()]),
        ]),
        WriteTxnMarkersRequest: |_| WriteTxnMarkersRequest::default().with_markers(vec![
            write_txn_markers_request::WritableTxnMarker::default(),
        ]),
        ListConfigResourcesRequest: |_| ListConfigResourcesRequest::default(),
        DescribeClientQuotasRequest: |_| DescribeClientQuotasRequest::default().with_components(vec![
            describe_client_quotas_request::ComponentData::default().with_entity_type(name("user")).with_match_type(2).with_match(None),
        ]),
        AlterClientQuotasRequest: |_| AlterClientQuotasRequest::default().with_entries(vec![
            alter_client_quotas_request::EntryData::default()
                .with_entity(vec![alter_client_quotas_request::EntityData::default().with_entity_type(name("user"))])
                .with_ops(vec![alter_client_quotas_request::OpData::default().with_key(name("producer_byte_rate")).with_value(1e9)]),
        ]),
        UpdateFeaturesRequest: |_| UpdateFeaturesRequest::default(),
        DescribeClusterRequest: |_| DescribeClusterRequest::default(),
        DescribeTopicPartitionsRequest: |_| DescribeTopicPartitionsRequest::default().with_response_partition_limit(1),
    }
    assert_eq!(checked + 1, offers.api_keys.len(), "every API on offer but Produce, which has its own test");
    server.stop().await;
}

#[tokio::test]
async fn what_one_version_produces_every_version_fetches() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let metadata = client.ask(12, &MetadataRequest::default().with_topics(None)).await;
    let id = metadata.topics[0].topic_id;
    let mut written = Vec::new();
    for version in 3..=13 {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            let value = format!("v{version} {}", codec.name());
            let mut request = produce("t", coded_batch(codec, &[&value, &value]), -1);
            if version >= 13 {
                request.topic_data[0].name = topic_name("");
                request.topic_data[0].topic_id = id;
            }
            let response = client.ask(version, &request).await;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!((partition.error_code, partition.base_offset), (0, written.len() as i64), "v{version}");
            written.extend([value.clone(), value]);
        }
    }
    for version in 4..=18 {
        let response = client.ask(version, &fetch("t", id, version, 0, 500)).await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark), (0, written.len() as i64), "v{version}");
        assert_eq!(values(partition.records.clone()), written, "v{version}");
        let beyond = client.ask(version, &fetch("t", id, version, 10_000, 500)).await;
        assert_eq!(beyond.responses[0].partitions[0].error_code, 1, "v{version}");
        let unknown = client.ask(version, &fetch("none", uuid::Uuid::from_u128(5), version, 0, 500)).await;
        assert_eq!(unknown.responses[0].partitions[0].error_code, if version >= 13 { 100 } else { 3 });
    }
    let stats = server.handle.stats();
    assert_eq!((stats.records_in, stats.batches_in), (written.len() as u64, written.len() as u64 / 2));
    assert_eq!(stats.topics[0].records_in, written.len() as u64);
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_answered_in_order() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let mut burst = BytesMut::new();
    for i in 0..200 {
        burst.put(frame(9, 1000 + i, &produce("t", batch(&["x"]), if i % 10 == 9 { 0 } else { -1 })));
        if i % 50 == 0 {
            burst.put(frame(3, 5000 + i, &ListOffsetsRequest::default()));
        }
    }
    client.stream.write_all(&burst).await.expect("sends");
    for i in 0..200 {
        if i % 10 != 9 {
            let mut body = client.receive_frame().await.expect("open");
            ResponseHeader::decode(&mut body, 1).expect("header");
            let response = ProduceResponse::decode(&mut body, 9).expect("produce response");
            assert_eq!(response.responses[0].partition_responses[0].base_offset, i64::from(i));
        }
        if i % 50 == 0 {
            assert_eq!(client.receive_frame().await.expect("open").get_i32(), 5000 + i);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_waiting_fetch_wakes_for_records_and_for_deletion() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let (mut reader, mut writer) = (server.client().await, server.client().await);
    writer.create_topic("t", 1).await;
    let clock = server.world.clock.clone();
    let began = clock.monotonic();
    reader.send(11, &fetch("t", uuid::Uuid::nil(), 11, 0, 15_000)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    writer.produce("t", &["hello"]).await;
    let response = reader.receive::<FetchRequest>(11).await;
    assert_eq!(values(response.responses[0].partitions[0].records.clone()), ["hello"]);

    reader.send(11, &fetch("t", uuid::Uuid::nil(), 11, 1, 15_000)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]);
    assert_eq!(writer.ask(5, &delete).await.responses[0].error_code, 0);
    let response = reader.receive::<FetchRequest>(11).await;
    assert_eq!(response.responses[0].partitions[0].error_code, 3);
    assert!(clock.monotonic() - began < Duration::from_secs(10), "neither waited its time out");

    let nothing = reader.ask(11, &fetch("t", uuid::Uuid::nil(), 11, 0, 0)).await;
    assert_eq!(nothing.responses.len(), 1, "even a fetch that does not wait answers for its partitions");
    server.stop().await;
}

#[tokio::test]
async fn without_memory_for_responses_readers_still_get_on() {
    let dir = tempfile::tempdir().expect("directory");
    let settings = broker::BrokerSettings { responses_bytes_max: 0, ..Default::default() };
    let server = serve_with(dir.path(), settings).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let large = "x".repeat(500_000);
    for _ in 0..3 {
        client.produce("t", &[&large]).await;
    }
    for offset in 0..3 {
        let response = client.ask(11, &fetch("t", uuid::Uuid::nil(), 11, offset, 500)).await;
        assert_eq!(values(response.responses[0].partitions[0].records.clone()), [large.as_str()], "one at a time");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_fetch_session_tells_only_what_changed() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    client.produce("t", &["a"]).await;
    let opened = client.ask(11, &fetch("t", uuid::Uuid::nil(), 11, 0, 100).with_session_epoch(0)).await;
    assert!(opened.session_id != 0 && opened.responses.len() == 1);
    let next = |epoch| {
        FetchRequest::default()
            .with_session_id(opened.session_id)
            .with_session_epoch(epoch)
            .with_min_bytes(1)
            .with_max_wait_ms(50)
    };
    let mut moved = fetch("t", uuid::Uuid::nil(), 11, 1, 50).with_session_id(opened.session_id).with_session_epoch(1);
    moved.min_bytes = 1;
    assert!(client.ask(11, &moved).await.responses.is_empty(), "read to its end");
    client.produce("t", &["b"]).await;
    let news = client.ask(11, &next(2)).await;
    assert_eq!(values(news.responses[0].partitions[0].records.clone()), ["b"]);
    assert_eq!(client.ask(11, &next(7)).await.error_code, 71, "an epoch out of turn");
    server.stop().await;
}

#[tokio::test]
async fn bad_batches_are_refused_one_by_one_and_leave_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let good = batch(&["good"]);
    let broken = |at: usize, to: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = to;
        bytes.into()
    };
    let twice = [&good[..], &good[..]].concat().into();
    let cases: [(&str, bytes::Bytes, i16, i16); 8] = [
        ("damaged", broken(good.len() - 1, 0xff), 9, 2),
        ("two batches", twice, 9, 87),
        ("old magic", broken(16, 1), 9, 87),
        ("cut short", good.slice(..good.len() - 2), 9, 87),
        ("tiny", good.slice(..20), 9, 87),
        ("nothing", bytes::Bytes::new(), 9, 87),
        ("zstd for an old client", coded_batch(Codec::Zstd, &["z"]), 6, 76),
        ("too large", coded_batch(Codec::None, &[&"x".repeat(2_000_000)]), 9, 10),
    ];
    for (what, bytes, version, code) in cases {
        let response = client.ask(version, &produce("t", bytes, -1)).await;
        let found = response.responses[0].partition_responses[0].error_code;
        assert!(found == code || (what == "cut short" && found == 2), "{what}: {found}, not {code}");
    }
    let response = client.ask(9, &produce("t", good.clone(), 2)).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 21, "acks=2");
    let response = client.ask(9, &produce("none", good.clone(), -1)).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 3);
    let response = client.ask(9, &produce("__consumer_offsets", good, -1)).await;
    assert_ne!(response.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(client.produce("t", &["first"]).await, 0);

    client.send(9, &produce("none", batch(&["x"]), 0)).await;
    assert!(client.receive_frame().await.is_none(), "acks=0 learns of an error by being closed");
    server.stop().await;
}

#[tokio::test]
async fn what_lakehead_keeps_itself_is_not_a_clients_to_make() {
    const INVALID_TOPIC: i16 = 17;
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    for name in
        ["__consumer_offsets", "__users", "__lakehead", "_schemas", "_exceptions", "__consumer.offsets", ".audit"]
    {
        let topic = create_topics_request::CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let created = client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(created.topics[0].error_code, INVALID_TOPIC, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn underscores_in_front_make_no_topic_ours() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("__debezium-heartbeat.shop", 1).await;
    assert_eq!(client.produce("__debezium-heartbeat.shop", &["{}"]).await, 0);
    let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name("__made_by_asking")));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(true);
    let topic = &client.ask(12, &request).await.topics[0];
    assert_eq!((topic.error_code, topic.is_internal), (0, false));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("__debezium-heartbeat.shop")]);
    assert_eq!(client.ask(5, &delete).await.responses[0].error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_partition_is_placed_where_there_is_a_broker() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    for (broker, code) in [(7, 39), (1, 0)] {
        let assignment =
            create_partitions_request::CreatePartitionsAssignment::default().with_broker_ids(vec![broker.into()]);
        let topic = create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic_name("t"))
            .with_count(2)
            .with_assignments(Some(vec![assignment]));
        let answer = client.ask(3, &CreatePartitionsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(answer.results[0].error_code, code, "{:?}", answer.results[0].error_message);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_offered_closes_the_connection() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    for (key, version) in [(0i16, 2i16), (1, 3), (3, 99), (24, 4), (26, 6), (28, 6), (68, 1), (999, 0), (-1, 0)] {
        let mut client = server.client().await;
        let mut request = BytesMut::new();
        request.put_i32(10);
        request.put_i16(key);
        request.put_i16(version);
        request.put_i32(7);
        request.put_i16(-1);
        client.stream.write_all(&request).await.expect("sends");
        assert!(client.receive_frame().await.is_none(), "key {key} v{version}");
    }
    // But an unknown version of ApiVersions is answered in the oldest format.
    let mut client = server.client().await;
    let mut request = BytesMut::new();
    request.put_i32(30);
    request.put_i16(18);
    request.put_i16(77);
    request.put_i32(42);
    request.put_bytes(0xee, 22);
    client.stream.write_all(&request).await.expect("sends");
    let mut body = client.receive_frame().await.expect("answered");
    assert_eq!(body.get_i32(), 42);
    let response = ApiVersionsResponse::decode(&mut body, 0).expect("version 0");
    assert_eq!(response.error_code, 35);
    assert!(response.api_keys.iter().any(|o| o.api_key == 18 && o.max_version == 4));
    server.stop().await;
}

#[tokio::test]
async fn topics_are_made_when_asked_about_if_that_is_allowed() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let about = |name: &str| vec![metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)))];
    let asked = MetadataRequest::default().with_topics(Some(about("new"))).with_allow_auto_topic_creation(false);
    assert_eq!(client.ask(9, &asked).await.topics[0].error_code, 3);
    let asked = asked.with_allow_auto_topic_creation(true);
    let made = client.ask(9, &asked).await;
    assert_eq!((made.topics[0].error_code, made.topics[0].partitions.len()), (0, 4), "made before the answer");
    let asked = asked.with_topics(Some(about("no/name")));
    assert_eq!(client.ask(9, &asked).await.topics[0].error_code, 17);
    server.stop().await;
}

#[tokio::test]
async fn topics_are_found_by_id_whether_the_name_is_empty_or_null() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let topic = metadata_request::MetadataRequestTopic::default;
    let by_name = MetadataRequest::default().with_topics(Some(vec![topic().with_name(Some(topic_name("t")))]));
    let id = client.ask(12, &by_name).await.topics[0].topic_id;
    for name in [None, Some(topic_name(""))] {
        let by_id = MetadataRequest::default().with_topics(Some(vec![topic().with_name(name).with_topic_id(id)]));
        let found = client.ask(12, &by_id).await.topics.remove(0);
        assert_eq!((found.error_code, found.name), (0, Some(topic_name("t"))));
    }
    server.stop().await;
}

#[tokio::test]
async fn groups_and_offsets_survive_a_restart() {
    let dir = tempfile::tempdir().expect("directory");
    let group = || GroupId(StrBytes::from_static_str("g"));
    let commit = |offset| {
        OffsetCommitRequest::default().with_group_id(group()).with_generation_id_or_member_epoch(-1).with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(
                vec![
                    offset_commit_request::OffsetCommitRequestPartition::default()
                        .with_committed_offset(offset)
                        .with_committed_metadata(Some("why".into())),
                ],
            ),
        ])
    };
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    for offset in 0..50 {
        assert_eq!(client.ask(8, &commit(offset)).await.topics[0].partitions[0].error_code, 0);
    }
    server.stop().await;

    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let asked = OffsetFetchRequest::default().with_group_id(group()).with_topics(None);
    let found = client.ask(7, &asked).await;
    let partition = &found.topics[0].partitions[0];
    assert_eq!((partition.committed_offset, partition.metadata.as_deref()), (49, Some("why")));
    server.stop().await;
}
