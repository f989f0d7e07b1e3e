//! What they may do who got in: rules, and every API that asks for them.

mod common;

use common::{guarded::*, *};
use kafka_protocol::{
    messages::*,
    protocol::{Request, StrBytes},
};
use security::scram::ScramHash;

fn rule(
    kind: i8,
    name: &str,
    pattern: i8,
    user: &str,
    operation: i8,
    permission: i8,
) -> create_acls_request::AclCreation {
    create_acls_request::AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_resource_pattern_type(pattern)
        .with_principal(text(user))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(permission)
}

async fn make_rules(client: &mut Client, rules: Vec<create_acls_request::AclCreation>) -> Vec<i16> {
    let made = client.ask(3, &CreateAclsRequest::default().with_creations(rules)).await;
    made.results.iter().map(|row| row.error_code).collect()
}

const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;
const CLUSTER_ACTION: i8 = 9;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

#[tokio::test]
async fn rules_are_made_obeyed_found_kept_over_restarts_and_taken_away() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "alice", "a").await;
    for topic in ["team.a", "team.secret", "other"] {
        root.create_topic(topic, 1).await;
    }
    let mut alice = server.client_of("alice", "a").await;
    let written = async |client: &mut Client, topic: &str| {
        let answer = client.ask(9, &produce(topic, batch(&["x"]), -1)).await;
        answer.responses[0].partition_responses[0].error_code
    };
    assert_eq!(written(&mut alice, "team.a").await, 29);
    let codes = make_rules(
        &mut root,
        vec![
            rule(TOPIC, "team.", PREFIXED, "User:alice", WRITE, ALLOW),
            rule(TOPIC, "team.secret", LITERAL, "User:*", ALL, DENY),
            rule(CLUSTER, "other-name", LITERAL, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", 1, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", LITERAL, "alice", ALL, ALLOW),
            rule(TOPIC, "", LITERAL, "User:alice", ALL, ALLOW),
            rule(TOPIC, "t", LITERAL, "User:alice", 1, ALLOW),
        ],
    )
    .await;
    assert_eq!(codes, [0, 0, 42, 42, 42, 42, 42]);
    assert_eq!(written(&mut alice, "team.a").await, 0);
    assert_eq!(written(&mut alice, "team.secret").await, 29);
    assert_eq!(written(&mut alice, "other").await, 29);
    assert_eq!(written(&mut alice, "no such topic").await, 29, "names do not leak");

    let listed = async |client: &mut Client| {
        let answer = client
            .ask(8, &MetadataRequest::default().with_topics(None).with_include_topic_authorized_operations(true))
            .await;
        let row = |topic: metadata_response::MetadataResponseTopic| {
            (topic.name.expect("a name").to_string(), topic.topic_authorized_operations)
        };
        answer.topics.into_iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut alice).await, [("team.a".to_owned(), 1 << WRITE | 1 << DESCRIBE)]);
    drop((root, alice));
    server.stop().await;

    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    let mut alice = server.client_of("alice", "a").await;
    assert_eq!(written(&mut alice, "team.a").await, 0);
    assert_eq!(written(&mut alice, "team.secret").await, 29);
    let find = |pattern: i8, name: Option<&str>| {
        DescribeAclsRequest::default()
            .with_resource_type_filter(TOPIC)
            .with_resource_name_filter(name.map(text))
            .with_pattern_type_filter(pattern)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(1)
            .with_permission_type(1)
    };
    let names = async |client: &mut Client, request: &DescribeAclsRequest| {
        let answer = client.ask(3, request).await;
        assert_eq!(answer.error_code, 0);
        answer.resources.iter().map(|resource| resource.resource_name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut root, &find(1, None)).await, ["team.", "team.secret"]);
    assert_eq!(names(&mut root, &find(2, Some("team.secret"))).await, ["team.", "team.secret"], "all that apply to it");
    assert_eq!(names(&mut root, &find(2, Some("team.x"))).await, ["team."]);
    assert_eq!(names(&mut root, &find(LITERAL, None)).await, ["team.secret"]);
    assert_eq!(alice.ask(3, &find(1, None)).await.error_code, 31);

    let filter = delete_acls_request::DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(Some(text("team.")))
        .with_pattern_type_filter(PREFIXED)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let delete = DeleteAclsRequest::default().with_filters(vec![filter]);
    assert_eq!(alice.ask(3, &delete).await.filter_results[0].error_code, 31);
    let gone = root.ask(3, &delete).await;
    assert_eq!(gone.filter_results[0].matching_acls.len(), 1);
    assert_eq!(written(&mut alice, "team.a").await, 29, "at once");
    server.stop().await;
}

#[tokio::test]
async fn every_api_on_offer_refuses_somebody_without_rights_or_shows_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "eve", "e").await;
    root.create_topic("t", 1).await;
    root.produce("t", &["secret"]).await;
    let id = root.ask(12, &MetadataRequest::default().with_topics(None)).await.topics[0].topic_id;
    assert!(!id.is_nil());
    let mut eve = server.client_of("eve", "e").await;
    let offers = eve.ask(0, &ApiVersionsRequest::default()).await.api_keys;
    let mut checked = std::collections::BTreeSet::new();

    macro_rules! refused {
        ($($request:ty, $expected:expr, $fill:expr, $codes:expr;)*) => { $({
            let offer = offers.iter().find(|offer| offer.api_key == <$request>::KEY).expect("on offer");
            for version in offer.min_version.max(if <$request>::KEY == 0 { 3 } else { 0 })..=offer.max_version {
                let fill: &dyn Fn(i16) -> $request = &$fill;
                let answer = eve.ask(version, &fill(version)).await;
                let codes: fn(_, i16) -> Vec<i16> = $codes;
                assert_eq!(codes(answer, version), $expected, "{} v{version}", stringify!($request));
            }
            checked.insert(<$request>::KEY);
        })* };
    }
    let group = || GroupId(text("g"));
    let tid = || TransactionalId(text("x"));
    const NOTHING: [i16; 0] = [];
    // An empty text would stand in the place of the client's own for the code.
    fn unexplained(code: i16, why: Option<StrBytes>) -> Vec<i16> {
        assert_eq!(why, None);
        vec![code]
    }
    refused! {
        ProduceRequest, [29], |v| {
            let mut request = produce("t", batch(&["x"]), -1);
            if v >= 13 { request.topic_data[0].topic_id = id; request.topic_data[0].name = Default::default(); }
            request
        }, |a: ProduceResponse, _| vec![a.responses[0].partition_responses[0].error_code];
        FetchRequest, [29], |v| {
            let mut topic = fetch_request::FetchTopic::default();
            if v >= 13 { topic.topic_id = id } else { topic.topic = topic_name("t") }
            topic.partitions = vec![fetch_request::FetchPartition::default().with_partition_max_bytes(1000)];
            FetchRequest::default().with_max_bytes(1000).with_topics(vec![topic])
        }, |a: FetchResponse, _| vec![a.responses[0].partitions[0].error_code];
        ListOffsetsRequest, [29], |_| ListOffsetsRequest::default().with_topics(vec![
            list_offsets_request::ListOffsetsTopic::default().with_name(topic_name("t"))
                .with_partitions(vec![list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1)]),
        ]), |a: ListOffsetsResponse, _| vec![a.topics[0].partitions[0].error_code];
        OffsetForLeaderEpochRequest, [29], |_| OffsetForLeaderEpochRequest::default().with_topics(vec![
            offset_for_leader_epoch_request::OffsetForLeaderTopic::default().with_topic(topic_name("t"))
                .with_partitions(vec![Default::default()]),
        ]), |a: OffsetForLeaderEpochResponse, _| vec![a.topics[0].partitions[0].error_code];
        MetadataRequest, [29, 29], |_| MetadataRequest::default().with_topics(Some(["t", "none"].map(|name| {
            metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)))
        }).into())), |a: MetadataResponse, _| a.topics.iter().map(|topic| topic.error_code).collect();
        DescribeTopicPartitionsRequest, [29], |_| DescribeTopicPartitionsRequest::default().with_topics(vec![
            describe_topic_partitions_request::TopicRequest::default().with_name(topic_name("t")),
        ]), |a: DescribeTopicPartitionsResponse, _| a.topics.iter().map(|topic| topic.error_code).collect();
        FindCoordinatorRequest, [30], |v| if v >= 4 {
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")])
        } else { FindCoordinatorRequest::default().with_key(text("g")) },
            |a: FindCoordinatorResponse, v| if v >= 4 { vec![a.coordinators[0].error_code] } else { vec![a.error_code] };
        JoinGroupRequest, [30], |_| JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(10000)
            .with_member_id(text("m")),
            |a: JoinGroupResponse, _| { assert!(a.member_id.is_empty()); vec![a.error_code] };
        SyncGroupRequest, [30], |v| {
            let request = SyncGroupRequest::default().with_group_id(group());
            if v >= 5 { request.with_protocol_type(Some(text("p"))).with_protocol_name(Some(text("p"))) } else { request }
        }, |a: SyncGroupResponse, _| vec![a.error_code];
        HeartbeatRequest, [30], |_| HeartbeatRequest::default().with_group_id(group()), |a: HeartbeatResponse, _| vec![a.error_code];
        LeaveGroupRequest, [30], |_| LeaveGroupRequest::default().with_group_id(group()), |a: LeaveGroupResponse, _| vec![a.error_code];
        OffsetCommitRequest, [30], |_| OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![
            offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: OffsetCommitResponse, _| vec![a.topics[0].partitions[0].error_code];
        OffsetFetchRequest, [30], |v| if v >= 8 {
            let wanted = offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
            OffsetFetchRequest::default().with_groups(vec![wanted])
        } else {
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![
                offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0]),
            ]))
        }, |a: OffsetFetchResponse, v| match v {
            8.. => vec![a.groups[0].error_code],
            2.. => vec![a.error_code],
            _ => vec![a.topics[0].partitions[0].error_code],
        };
        DescribeGroupsRequest, [30], |_| DescribeGroupsRequest::default().with_groups(vec![group()]),
            |a: DescribeGroupsResponse, _| vec![a.groups[0].error_code];
        ListGroupsRequest, NOTHING, |_| ListGroupsRequest::default(), |a: ListGroupsResponse, _| a.groups.iter().map(|_| 0).collect();
        DeleteGroupsRequest, [30], |_| DeleteGroupsRequest::default().with_groups_names(vec![group()]),
            |a: DeleteGroupsResponse, _| vec![a.results[0].error_code];
        OffsetDeleteRequest, [30], |_| OffsetDeleteRequest::default().with_group_id(group()), |a: OffsetDeleteResponse, _| vec![a.error_code];
        CreateTopicsRequest, [29], |_| CreateTopicsRequest::default().with_topics(vec![
            create_topics_request::CreatableTopic::default().with_name(topic_name("new")).with_num_partitions(1).with_replication_factor(1),
        ]), |a: CreateTopicsResponse, _| vec![a.topics[0].error_code];
        DeleteTopicsRequest, [29], |v| if v >= 6 {
            DeleteTopicsRequest::default().with_topics(vec![delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(id)])
        } else { DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]) },
            |a: DeleteTopicsResponse, v| {
                assert!(v < 6 || a.responses[0].name.is_none(), "names do not leak");
                vec![a.responses[0].error_code]
            };
        DeleteRecordsRequest, [29], |_| DeleteRecordsRequest::default().with_topics(vec![
            delete_records_request::DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: DeleteRecordsResponse, _| vec![a.topics[0].partitions[0].error_code];
        CreatePartitionsRequest, [29], |_| CreatePartitionsRequest::default().with_topics(vec![
            create_partitions_request::CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(9),
        ]), |a: CreatePartitionsResponse, _| vec![a.results[0].error_code];
        DescribeConfigsRequest, [29, 31, 30], |_| DescribeConfigsRequest::default().with_resources([(2, "t"), (4, "1"), (32, "g")].map(|(kind, name)| {
            describe_configs_request::DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: DescribeConfigsResponse, _| a.results.iter().map(|row| row.error_code).collect();
        AlterConfigsRequest, [29, 31], |_| AlterConfigsRequest::default().with_resources([(2, "t"), (4, "1")].map(|(kind, name)| {
            alter_configs_request::AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: AlterConfigsResponse, _| a.responses.iter().map(|row| row.error_code).collect();
        IncrementalAlterConfigsRequest, [29, 31], |_| IncrementalAlterConfigsRequest::default().with_resources([(2, "t"), (4, "1")].map(|(kind, name)| {
            incremental_alter_configs_request::AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name))
        }).into()), |a: IncrementalAlterConfigsResponse, _| a.responses.iter().map(|row| row.error_code).collect();
        ListConfigResourcesRequest, [31], |_| ListConfigResourcesRequest::default(), |a: ListConfigResourcesResponse, _| vec![a.error_code];
        DescribeLogDirsRequest, NOTHING, |_| DescribeLogDirsRequest::default().with_topics(None), |a: DescribeLogDirsResponse, v| {
            assert!(v < 3 || a.error_code == 31);
            a.results.iter().map(|_| 0).collect()
        };
        ElectLeadersRequest, NOTHING, |_| ElectLeadersRequest::default().with_topic_partitions(None), |a: ElectLeadersResponse, v| {
            assert!(v < 1 || a.error_code == 31);
            a.replica_election_results.iter().map(|_| 0).collect()
        };
        AlterPartitionReassignmentsRequest, [31], |_| AlterPartitionReassignmentsRequest::default(),
            |a: AlterPartitionReassignmentsResponse, _| unexplained(a.error_code, a.error_message);
        ListPartitionReassignmentsRequest, [31], |_| ListPartitionReassignmentsRequest::default(),
            |a: ListPartitionReassignmentsResponse, _| unexplained(a.error_code, a.error_message);
        AlterReplicaLogDirsRequest, [31], |_| AlterReplicaLogDirsRequest::default().with_dirs(vec![
            alter_replica_log_dirs_request::AlterReplicaLogDir::default().with_path(text("/lakehead")).with_topics(vec![
                alter_replica_log_dirs_request::AlterReplicaLogDirTopic::default().with_name(topic_name("t")).with_partitions(vec![0]),
            ]),
        ]), |a: AlterReplicaLogDirsResponse, _| vec![a.results[0].partitions[0].error_code];
        UpdateFeaturesRequest, [31], |_| UpdateFeaturesRequest::default(), |a: UpdateFeaturesResponse, _| vec![a.error_code];
        DescribeQuorumRequest, [31], |_| DescribeQuorumRequest::default(), |a: DescribeQuorumResponse, _| vec![a.error_code];
        WriteTxnMarkersRequest, [31], |_| WriteTxnMarkersRequest::default().with_markers(vec![
            write_txn_markers_request::WritableTxnMarker::default().with_topics(vec![
                write_txn_markers_request::WritableTxnMarkerTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0]),
            ]),
        ]), |a: WriteTxnMarkersResponse, _| vec![a.markers[0].topics[0].partitions[0].error_code];
        InitProducerIdRequest, [53], |_| InitProducerIdRequest::default().with_transactional_id(Some(tid())).with_transaction_timeout_ms(1000),
            |a: InitProducerIdResponse, _| vec![a.error_code];
        InitProducerIdRequest, [31], |_| InitProducerIdRequest::default().with_transactional_id(None),
            |a: InitProducerIdResponse, _| vec![a.error_code];
        AddPartitionsToTxnRequest, [53], |_| AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(tid())
            .with_v3_and_below_topics(vec![add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic_name("t")).with_partitions(vec![0])]),
            |a: AddPartitionsToTxnResponse, _| vec![a.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code];
        AddOffsetsToTxnRequest, [53], |_| AddOffsetsToTxnRequest::default().with_transactional_id(tid()).with_group_id(group()),
            |a: AddOffsetsToTxnResponse, _| vec![a.error_code];
        EndTxnRequest, [53], |_| EndTxnRequest::default().with_transactional_id(tid()), |a: EndTxnResponse, _| vec![a.error_code];
        TxnOffsetCommitRequest, [53], |_| TxnOffsetCommitRequest::default().with_transactional_id(tid()).with_group_id(group()).with_topics(vec![
            txn_offset_commit_request::TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![Default::default()]),
        ]), |a: TxnOffsetCommitResponse, _| vec![a.topics[0].partitions[0].error_code];
        DescribeProducersRequest, [29], |_| DescribeProducersRequest::default().with_topics(vec![
            describe_producers_request::TopicRequest::default().with_name(topic_name("t")).with_partition_indexes(vec![0]),
        ]), |a: DescribeProducersResponse, _| vec![a.topics[0].partitions[0].error_code];
        DescribeTransactionsRequest, [53], |_| DescribeTransactionsRequest::default().with_transactional_ids(vec![tid()]),
            |a: DescribeTransactionsResponse, _| vec![a.transaction_states[0].error_code];
        ListTransactionsRequest, NOTHING, |_| ListTransactionsRequest::default(), |a: ListTransactionsResponse, _| a.transaction_states.iter().map(|_| 0).collect();
        DescribeAclsRequest, [31], |_| DescribeAclsRequest::default().with_pattern_type_filter(1).with_resource_type_filter(1)
            .with_operation(1).with_permission_type(1), |a: DescribeAclsResponse, _| vec![a.error_code];
        CreateAclsRequest, [31], |_| CreateAclsRequest::default().with_creations(vec![rule(TOPIC, "t", LITERAL, "User:eve", ALL, ALLOW)]),
            |a: CreateAclsResponse, _| vec![a.results[0].error_code];
        DeleteAclsRequest, [31], |_| DeleteAclsRequest::default().with_filters(vec![
            delete_acls_request::DeleteAclsFilter::default().with_pattern_type_filter(1).with_resource_type_filter(1).with_operation(1).with_permission_type(1),
        ]), |a: DeleteAclsResponse, _| vec![a.filter_results[0].error_code];
        DescribeUserScramCredentialsRequest, [31], |_| DescribeUserScramCredentialsRequest::default(),
            |a: DescribeUserScramCredentialsResponse, _| unexplained(a.error_code, a.error_message);
        AlterUserScramCredentialsRequest, [31], |_| AlterUserScramCredentialsRequest::default()
            .with_upsertions(vec![upsertion("eve", ScramHash::Sha512, "x", 4096)]),
            |a: AlterUserScramCredentialsResponse, _| vec![a.results[0].error_code];
        ConsumerGroupHeartbeatRequest, [30], |_| ConsumerGroupHeartbeatRequest::default().with_group_id(group()),
            |a: ConsumerGroupHeartbeatResponse, _| vec![a.error_code];
        ConsumerGroupDescribeRequest, [30], |_| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]),
            |a: ConsumerGroupDescribeResponse, _| vec![a.groups[0].error_code];
        DescribeClientQuotasRequest, [31], |_| DescribeClientQuotasRequest::default(),
            |a: DescribeClientQuotasResponse, _| unexplained(a.error_code, a.error_message);
        AlterClientQuotasRequest, [31], |_| AlterClientQuotasRequest::default().with_entries(vec![
            alter_client_quotas_request::EntryData::default(),
        ]), |a: AlterClientQuotasResponse, _| vec![a.entries[0].error_code];
        // What needs no rights.
        DescribeClusterRequest, [0], |_| DescribeClusterRequest::default(), |a: DescribeClusterResponse, _| vec![a.error_code];
        SaslHandshakeRequest, [34], |_| handshake("PLAIN"), |a: SaslHandshakeResponse, _| vec![a.error_code];
        SaslAuthenticateRequest, [34], |_| token("x"), |a: SaslAuthenticateResponse, _| vec![a.error_code];
        ApiVersionsRequest, [0], |v| if v >= 3 {
            ApiVersionsRequest::default().with_client_software_name(text("t")).with_client_software_version(text("1"))
        } else { ApiVersionsRequest::default() }, |a: ApiVersionsResponse, _| vec![a.error_code];
    }
    let unchecked: Vec<_> = offers.iter().map(|offer| offer.api_key).filter(|key| !checked.contains(key)).collect();
    assert_eq!(unchecked, NOTHING, "say in `access` what these APIs need, and check it here");

    // Nothing was listed, made or lost.
    assert_eq!(eve.ask(8, &MetadataRequest::default().with_topics(None)).await.topics, []);
    assert_eq!(
        eve.ask(0, &DescribeTopicPartitionsRequest::default().with_response_partition_limit(10)).await.topics,
        []
    );
    let topics: Vec<_> = root.ask(8, &MetadataRequest::default().with_topics(None)).await.topics;
    let names: Vec<_> = topics
        .iter()
        .filter(|t| !t.name.as_ref().expect("named").starts_with('_'))
        .map(|t| t.name.clone().expect("named").to_string())
        .collect();
    assert_eq!(names, ["t"]);
    // Groups and topics are asked for singly: a right to one is none to the other.
    make_rules(&mut root, vec![rule(GROUP, "g", LITERAL, "User:eve", READ, ALLOW)]).await;
    let commit = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![
        offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(vec![Default::default()]),
    ]);
    assert_eq!(eve.ask(8, &commit).await.topics[0].partitions[0].error_code, 29);
    // Followers ask for the ends of epochs, too (`KafkaApis.handleOffsetForLeaderEpochRequest`).
    let epochs = OffsetForLeaderEpochRequest::default().with_topics(vec![
        offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(topic_name("t"))
            .with_partitions(vec![Default::default()]),
    ]);
    assert_eq!(eve.ask(4, &epochs).await.topics[0].partitions[0].error_code, 29);
    make_rules(&mut root, vec![rule(CLUSTER, "kafka-cluster", LITERAL, "User:eve", CLUSTER_ACTION, ALLOW)]).await;
    assert_eq!(eve.ask(4, &epochs).await.topics[0].partitions[0].error_code, 0);
    make_rules(&mut root, vec![rule(TOPIC, "t", LITERAL, "User:eve", READ, ALLOW)]).await;
    assert_eq!(eve.ask(8, &commit).await.topics[0].partitions[0].error_code, 0);
    server.stop().await;
}

/// `KafkaApis.handleTopicMetadataRequest`, `ControllerApis.deleteTopics`.
#[tokio::test]
async fn topics_are_asked_for_by_id_and_deleted_with_a_right_to_the_cluster_as_by_kafka() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "eve", "e").await;
    for topic in ["t", "u"] {
        root.create_topic(topic, 1).await;
    }
    let ids = root.ask(12, &MetadataRequest::default().with_topics(None)).await.topics;
    let id = ids.iter().find(|topic| topic.name.as_ref().is_some_and(|name| **name == *"t")).expect("t").topic_id;
    let mut eve = server.client_of("eve", "e").await;
    let by_id = |id| {
        let topic = metadata_request::MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    let told = eve.ask(12, &by_id(id)).await.topics.remove(0);
    assert_eq!((told.error_code, told.name, told.topic_id), (29, None, id), "ids are no secret, names are");
    assert_eq!(eve.ask(12, &by_id(uuid::Uuid::from_u128(7))).await.topics[0].error_code, 100);

    let state = |name: Option<&str>, id| {
        delete_topics_request::DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id)
    };
    let nil = uuid::Uuid::nil();
    let delete = |topics| DeleteTopicsRequest::default().with_topics(topics);
    let codes = |answer: DeleteTopicsResponse| answer.responses.iter().map(|row| row.error_code).collect::<Vec<_>>();
    assert_eq!(codes(eve.ask(6, &delete(vec![state(Some("t"), nil)])).await), [29]);
    make_rules(&mut root, vec![rule(CLUSTER, "kafka-cluster", LITERAL, "User:eve", ALL, ALLOW)]).await;
    let nonsense = vec![state(Some("t"), id), state(None, nil), state(Some("u"), nil), state(Some("u"), nil)];
    assert_eq!(codes(eve.ask(6, &delete(nonsense)).await), [42; 4]);
    assert_eq!(codes(eve.ask(6, &delete(vec![state(None, id), state(Some("u"), nil)])).await), [0, 0]);
    assert!(!server.log_has("t") && !server.log_has("u"));
    server.stop().await;
}

#[tokio::test]
async fn filters_that_mean_too_many_rules_together_take_none_away() {
    const RULES: usize = 5_001;
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    let rules = (0..RULES).map(|n| rule(TOPIC, &format!("t{n}"), LITERAL, "User:eve", READ, ALLOW));
    assert_eq!(make_rules(&mut root, rules.collect()).await, [0; RULES]);
    let all = delete_acls_request::DeleteAclsFilter::default()
        .with_resource_type_filter(TOPIC)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let delete = |times| DeleteAclsRequest::default().with_filters(vec![all.clone(); times]);
    let refused = root.ask(3, &delete(2)).await.filter_results;
    assert!(refused.iter().all(|row| row.error_code != 0 && row.matching_acls.is_empty()), "{refused:?}");
    assert_eq!(root.ask(3, &delete(1)).await.filter_results[0].matching_acls.len(), RULES);
    server.stop().await;
}

/// Produce 12 adds partitions to a transaction (KIP-890): to nobody else's.
#[tokio::test]
async fn a_write_that_is_refused_adds_nothing_to_a_transaction() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "eve", "e").await;
    root.create_topic("t", 1).await;
    root.create_topic("u", 1).await;
    make_rules(&mut root, vec![rule(TOPIC, "u", LITERAL, "User:eve", WRITE, ALLOW)]).await;
    let id = TransactionalId(text("x"));
    let init =
        InitProducerIdRequest::default().with_transactional_id(Some(id.clone())).with_transaction_timeout_ms(9000);
    let identity = root.ask(5, &init).await;
    assert_eq!(identity.error_code, 0);
    let mut eve = server.client_of("eve", "e").await;
    let batch = || {
        let mut batch = batch(&["forged"]).to_vec();
        batch[22] |= 1 << 4;
        batch[43..51].copy_from_slice(&identity.producer_id.to_be_bytes());
        batch[51..53].copy_from_slice(&identity.producer_epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&0_i32.to_be_bytes());
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes::Bytes::from(batch)
    };
    let write = |topic: &str| produce(topic, batch(), -1).with_transactional_id(Some(id.clone()));
    let code = |answer: ProduceResponse| answer.responses[0].partition_responses[0].error_code;
    assert_eq!(code(eve.ask(12, &write("u")).await), 53, "the id is not hers");
    make_rules(&mut root, vec![rule(5, "x", LITERAL, "User:eve", WRITE, ALLOW)]).await;
    assert_eq!(code(eve.ask(12, &write("t")).await), 29, "the topic is not hers");
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id.clone()]);
    assert_eq!(root.ask(0, &describe).await.transaction_states[0].topics, []);
    assert_eq!(code(eve.ask(12, &write("u")).await), 0, "both are");
    assert_eq!(root.ask(0, &describe).await.transaction_states[0].topics.len(), 1);

    // With an id of her own she writes in nobody else's transaction, and outside of it neither.
    make_rules(&mut root, vec![rule(5, "mine", LITERAL, "User:eve", WRITE, ALLOW)]).await;
    let mine = TransactionalId(text("mine"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(mine.clone()));
    assert_eq!(eve.ask(5, &init.with_transaction_timeout_ms(9000)).await.error_code, 0);
    for version in [11, 12] {
        let write = produce("u", batch(), -1).with_transactional_id(Some(mine.clone()));
        assert_eq!(code(eve.ask(version, &write).await), 49, "the producer is not the id's (Produce {version})");
        assert_eq!(code(eve.ask(version, &produce("u", batch(), -1)).await), 53, "no id");
    }
    let mut outside = batch().to_vec();
    outside[22] &= !(1 << 4);
    let crc = crc32c::crc32c(&outside[21..]);
    outside[17..21].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(
        code(eve.ask(11, &produce("u", outside.into(), -1)).await),
        48,
        "the producer writes in transactions only"
    );
    server.stop().await;
}

/// A request that is refused does nothing, even if it names nothing that could be refused one by one.
#[tokio::test]
async fn what_is_refused_does_nothing_even_if_its_list_is_empty() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "eve", "e").await;
    let id = TransactionalId(text("x"));
    let init =
        InitProducerIdRequest::default().with_transactional_id(Some(id.clone())).with_transaction_timeout_ms(9000);
    let identity = root.ask(5, &init).await;
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id.clone()]);
    let before = root.ask(0, &describe).await.transaction_states[0].transaction_state.clone();
    let mut eve = server.client_of("eve", "e").await;
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id)
        .with_v3_and_below_producer_id(identity.producer_id)
        .with_v3_and_below_producer_epoch(identity.producer_epoch);
    eve.ask(3, &add).await;
    assert_eq!(root.ask(0, &describe).await.transaction_states[0].transaction_state, before);
    let commit =
        OffsetCommitRequest::default().with_group_id(GroupId(text("hers"))).with_generation_id_or_member_epoch(-1);
    eve.ask(8, &commit).await;
    assert!(root.ask(4, &ListGroupsRequest::default()).await.groups.is_empty(), "no group was made");
    server.stop().await;
}

#[tokio::test]
async fn a_topic_with_one_writer_takes_nothing_from_others_over_restarts_until_that_is_taken_away() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_guarded(dir.path(), guarded()).await;
    let mut root = server.root().await;
    make_user(&mut root, "loader", "l").await;
    make_user(&mut root, "alice", "a").await;
    root.create_topic("t", 1).await;
    make_rules(&mut root, vec![rule(TOPIC, "t", LITERAL, "User:alice", ALL, ALLOW)]).await;
    let written = async |client: &mut Client| {
        client.ask(9, &produce("t", batch(&["x"]), -1)).await.responses[0].partition_responses[0].error_code
    };
    let (loader, by) = (security::Principal::user("loader"), security::Principal::user("root"));
    let rules = server.handle.security();
    rules.grant_exclusive("t", &loader, &by).await.expect("granted");
    rules.grant_exclusive("t", &loader, &by).await.expect("the same again is no error");
    let taken =
        rules.grant_exclusive("t", &security::Principal::user("alice"), &by).await.expect_err("it has a writer");
    assert!(taken.to_string().contains("User:loader"), "{taken}");
    rules.grant_exclusive("t2", &security::Principal::user("*"), &by).await.expect_err("everybody is not one");
    drop((root, rules));
    server.stop().await;

    // Without an authorizer the rule is kept, and waits.
    let server = serve(dir.path()).await;
    let rules = server.handle.security();
    assert_eq!((rules.exclusive_writer("t"), rules.writer_in_force("t")), (Some(loader.clone()), None));
    drop(rules);
    server.stop().await;

    let server = serve_guarded(dir.path(), guarded()).await;
    assert_eq!(server.handle.security().writer_in_force("t"), Some(loader));
    let mut root = server.root().await;
    let mut loader = server.client_of("loader", "l").await;
    let mut alice = server.client_of("alice", "a").await;
    assert_eq!(written(&mut loader).await, 0);
    assert_eq!((written(&mut alice).await, written(&mut root).await), (29, 29), "super users neither");
    let denied = server.audited_soon(|event| event["why"] == "the topic has one writer, who is somebody else").await;
    assert!(!denied.is_empty());
    let filter = DescribeAclsRequest::default()
        .with_resource_type_filter(TOPIC)
        .with_pattern_type_filter(1)
        .with_resource_name_filter(Some(text("t")))
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(WRITE)
        .with_permission_type(1);
    let shown = root.ask(3, &filter).await;
    let rows = shown.resources.iter().flat_map(|resource| &resource.acls);
    let rows: Vec<_> = rows.map(|acl| (acl.principal.to_string(), acl.permission_type)).collect();
    assert_eq!(rows, [("User:alice".to_owned(), DENY), ("User:loader".to_owned(), ALLOW)]);
    let rules = server.handle.security();
    assert_eq!(rules.exclusive_writer("t"), Some(security::Principal::user("loader")));
    assert_eq!(rules.revoke_exclusive("t").await.expect("taken away"), Some(security::Principal::user("loader")));
    assert_eq!(rules.revoke_exclusive("t").await.expect("gone already"), None);
    assert_eq!((written(&mut alice).await, written(&mut root).await, written(&mut loader).await), (0, 0, 29));
    drop(rules);
    server.stop().await;
}
