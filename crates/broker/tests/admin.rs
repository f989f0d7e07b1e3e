//! What admins ask of a cluster that is one node: moves to where things are, a quorum of one, transactions that hang.

mod common;

use bytes::Bytes;
use commitlog::{
    Append, Log,
    record::{BatchBuilder, Codec},
};
use common::{guarded::text, *};
use kafka_protocol::{messages::*, protocol::StrBytes};

const NOTHING: i16 = 0;
const UNKNOWN_SERVER_ERROR: i16 = -1;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const INVALID_GROUP_ID: i16 = 24;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const LOG_DIR_NOT_FOUND: i16 = 57;
const GROUP_ID_NOT_FOUND: i16 = 69;
const ELECTION_NOT_NEEDED: i16 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
const INVALID_UPDATE_VERSION: i16 = 95;

#[tokio::test]
async fn partitions_come_with_as_many_assignments_as_there_are_new_ones() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    use create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let grown = |name: &str, count, brokers: Option<&[i32]>| {
        let to = |id: &i32| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(*id)]);
        let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count);
        topic.with_assignments(brokers.map(|ids| ids.iter().map(to).collect()))
    };
    for (topics, expected) in [
        (vec![grown("t", 4, Some(&[1]))], vec![INVALID_REPLICA_ASSIGNMENT]),
        (vec![grown("t", 4, Some(&[1, 2]))], vec![INVALID_REPLICA_ASSIGNMENT]),
        (vec![grown("none", 4, Some(&[2]))], vec![UNKNOWN_TOPIC_OR_PARTITION]),
        (vec![grown("t", 2, Some(&[]))], vec![INVALID_PARTITIONS]),
        (vec![grown("t", 3, None), grown("t", 4, None)], vec![INVALID_REQUEST; 2]),
        (vec![grown("t", 4, Some(&[1, 1]))], vec![NOTHING]),
    ] {
        let answer = client.ask(3, &CreatePartitionsRequest::default().with_topics(topics)).await;
        let codes: Vec<_> = answer.results.iter().map(|row| row.error_code).collect();
        assert_eq!(codes, expected);
    }
    assert_eq!(server.log.topic("t").expect("there").partitions, 4);
    server.stop().await;
}

/// `ReplicaManager.isListOffsetsTimestampUnsupported`
#[tokio::test]
async fn times_that_are_none_are_known_from_their_versions_on() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    for (timestamp, from) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 99), (0, 1)] {
        let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = list_offsets_request::ListOffsetsTopic::default().with_name(topic_name("t"));
        let request = ListOffsetsRequest::default().with_topics(vec![topic.with_partitions(vec![partition])]);
        for version in 1..=10 {
            let code = client.ask(version, &request).await.topics[0].partitions[0].error_code;
            assert_eq!(code, if version < from { UNSUPPORTED_VERSION } else { NOTHING }, "{timestamp} v{version}");
        }
    }
    server.stop().await;
}

/// `ListOffsetsRequest.duplicatePartitions`: before anything else is asked, and told once, wherever in the request they are.
#[tokio::test]
async fn a_partition_named_twice_has_no_offset_at_a_time() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 3).await;
    client.create_topic("u", 3).await;
    let at = |name: &str, wanted: &[(i32, i64)]| {
        let partition = |&(index, timestamp): &(i32, i64)| {
            let row = list_offsets_request::ListOffsetsPartition::default().with_partition_index(index);
            row.with_timestamp(timestamp)
        };
        let topic = list_offsets_request::ListOffsetsTopic::default().with_name(topic_name(name));
        topic.with_partitions(wanted.iter().map(partition).collect())
    };
    // Neither a time that is not known nor a partition that does not exist comes before it.
    let topics = vec![
        at("t", &[(0, -1), (1, -1), (1, -2)]),
        at("u", &[(1, -1), (9, -6), (9, -6)]),
        at("t", &[(0, -6), (2, -1)]),
    ];
    let request = ListOffsetsRequest::default().with_topics(topics);
    for version in 1..=10 {
        let answer = client.ask(version, &request).await;
        let mut rows = Vec::new();
        for topic in &answer.topics {
            let row = |p: &list_offsets_response::ListOffsetsPartitionResponse| {
                assert_eq!((p.offset, p.timestamp), (if p.error_code == NOTHING { 0 } else { -1 }, -1));
                (topic.name.to_string(), p.partition_index, p.error_code)
            };
            rows.extend(topic.partitions.iter().map(row));
        }
        let row = |name: &str, index, code| (name.to_owned(), index, code);
        let expected = [
            row("t", 0, INVALID_REQUEST),
            row("t", 1, INVALID_REQUEST),
            row("u", 1, NOTHING),
            row("u", 9, INVALID_REQUEST),
            row("t", 2, NOTHING),
        ];
        assert_eq!(rows, expected, "v{version}");
    }
    server.stop().await;
}

/// A name is short and what it stands for may not be: who names it a hundred thousand times must not be sent it as often.
#[tokio::test]
async fn what_is_named_again_is_not_told_again() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    let group = |name: &str| GroupId(text(name));
    let groups = || ["g", "none", "g", "g", "none"].map(group).to_vec();
    let partition = offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(7);
    let topic = offset_commit_request::OffsetCommitRequestTopic::default().with_name(topic_name("t"));
    let commit = OffsetCommitRequest::default().with_group_id(group("g")).with_generation_id_or_member_epoch(-1);
    let commit = commit.with_topics(vec![topic.with_partitions(vec![partition])]);
    assert_eq!(client.ask(8, &commit).await.topics[0].partitions[0].error_code, NOTHING);

    let topic = |name: &str| metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let asked = MetadataRequest::default().with_topics(Some(["t", "none", "t", "none"].map(topic).to_vec()));
    let topics = client.ask(12, &asked.with_allow_auto_topic_creation(false)).await.topics;
    let id = topics[0].topic_id;
    let told: Vec<_> = topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
    assert_eq!(told, [(NOTHING, 2), (UNKNOWN_TOPIC_OR_PARTITION, 0)]);
    let by_id = |name: Option<&str>| {
        let topic = metadata_request::MetadataRequestTopic::default().with_name(name.map(topic_name));
        topic.with_topic_id(id)
    };
    let asked = MetadataRequest::default().with_topics(Some([None, Some(""), Some("a"), None].map(by_id).to_vec()));
    assert_eq!(client.ask(12, &asked).await.topics.len(), 1);

    let asked = DescribeGroupsRequest::default().with_groups(groups());
    let told: Vec<_> = client.ask(5, &asked).await.groups.into_iter().map(|row| row.group_id).collect();
    assert_eq!(told, ["g", "none"].map(group));
    let asked = ConsumerGroupDescribeRequest::default().with_group_ids(groups());
    let told: Vec<_> = client.ask(1, &asked).await.groups.into_iter().map(|row| row.group_id).collect();
    assert_eq!(told, ["g", "none"].map(group));
    let ids = ["x", "y", "x"].map(|name| TransactionalId(text(name))).to_vec();
    let asked = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let states = client.ask(0, &asked).await.transaction_states;
    assert_eq!(states.iter().map(|row| row.transactional_id.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    let topic = |numbers: &[i32]| {
        let topic = describe_producers_request::TopicRequest::default().with_name(topic_name("t"));
        topic.with_partition_indexes(numbers.to_vec())
    };
    let asked = DescribeProducersRequest::default().with_topics(vec![topic(&[1, 0, 1]), topic(&[0, 0])]);
    let topics = client.ask(0, &asked).await.topics;
    let numbers = |p: &[describe_producers_response::PartitionResponse]| -> Vec<i32> {
        p.iter().map(|row| row.partition_index).collect()
    };
    assert_eq!(topics.iter().map(|topic| numbers(&topic.partitions)).collect::<Vec<_>>(), [vec![1, 0], vec![]]);

    let topic = |numbers: &[i32]| {
        let topic = offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic_name("t"));
        topic.with_partition_indexes(numbers.to_vec())
    };
    let asked = OffsetFetchRequest::default().with_group_id(group("g"));
    let found = client.ask(7, &asked.with_topics(Some(vec![topic(&[0, 0, 1]), topic(&[1, 0])]))).await;
    let told = |p: &[offset_fetch_response::OffsetFetchResponsePartition]| -> Vec<_> {
        p.iter().map(|row| (row.partition_index, row.committed_offset)).collect()
    };
    let told: Vec<_> = found.topics.iter().map(|topic| told(&topic.partitions)).collect();
    assert_eq!(told, [vec![(0, 7), (1, -1)], vec![]]);
    // Parts of a group may be asked for apart.
    let part = |name: &str, numbers: Option<&[i32]>| {
        let topic = |numbers: &[i32]| {
            let topic = offset_fetch_request::OffsetFetchRequestTopics::default().with_name(topic_name("t"));
            vec![topic.with_partition_indexes(numbers.to_vec())]
        };
        let part = offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group(name));
        part.with_topics(numbers.map(topic))
    };
    let asked = vec![
        part("g", Some(&[0])),
        part("none", Some(&[0])),
        part("g", Some(&[1, 0])),
        part("g", None),
        part("g", None),
    ];
    let found = client.ask(9, &OffsetFetchRequest::default().with_groups(asked)).await;
    let told = |group: &offset_fetch_response::OffsetFetchResponseGroup| -> Vec<_> {
        let rows = group.topics.iter().flat_map(|topic| &topic.partitions);
        rows.map(|row| (row.partition_index, row.committed_offset)).collect()
    };
    let told: Vec<_> = found.groups.iter().map(told).collect();
    assert_eq!(told, [vec![(0, 7)], vec![(0, -1)], vec![(1, -1)], vec![(0, 7)], vec![]]);

    let asked = DeleteGroupsRequest::default().with_groups_names(groups());
    let gone: Vec<_> =
        client.ask(2, &asked).await.results.into_iter().map(|row| (row.group_id, row.error_code)).collect();
    assert_eq!(gone, [(group("g"), NOTHING), (group("none"), GROUP_ID_NOT_FOUND)]);
    server.stop().await;
}

#[tokio::test]
async fn partitions_can_be_moved_to_where_they_are_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 2).await;
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let to = |index: i32, replicas: Option<&[i32]>| {
        ReassignablePartition::default()
            .with_partition_index(index)
            .with_replicas(replicas.map(|ids| ids.iter().copied().map(BrokerId).collect()))
    };
    let partitions = vec![to(0, Some(&[1])), to(0, Some(&[2])), to(0, Some(&[1, 2])), to(1, None), to(9, Some(&[1]))];
    let topic = ReassignableTopic::default().with_name(topic_name("t")).with_partitions(partitions);
    for version in 0..=1 {
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic.clone()]);
        let answer = client.ask(version, &request).await;
        let codes: Vec<_> = answer.responses[0].partitions.iter().map(|row| row.error_code).collect();
        let expected = [
            NOTHING,
            INVALID_REPLICA_ASSIGNMENT,
            INVALID_REPLICA_ASSIGNMENT,
            NO_REASSIGNMENT_IN_PROGRESS,
            UNKNOWN_TOPIC_OR_PARTITION,
        ];
        assert_eq!((answer.error_code, &codes[..]), (NOTHING, &expected[..]), "v{version}");
    }
    let listed = client.ask(0, &ListPartitionReassignmentsRequest::default().with_topics(None)).await;
    assert_eq!((listed.error_code, listed.topics.len()), (NOTHING, 0));

    let topic =
        elect_leaders_request::TopicPartitions::default().with_topic(topic_name("t")).with_partitions(vec![0, 9]);
    let answer = client.ask(2, &ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]))).await;
    let rows =
        answer.replica_election_results[0].partition_result.iter().map(|row| (row.error_code, &row.error_message));
    assert_eq!(rows.collect::<Vec<_>>(), [(ELECTION_NOT_NEEDED, &None), (UNKNOWN_TOPIC_OR_PARTITION, &None)]);
    let topic = elect_leaders_request::TopicPartitions::default().with_topic(topic_name("t")).with_partitions(vec![0]);
    let request = ElectLeadersRequest::default().with_election_type(5).with_topic_partitions(Some(vec![topic]));
    let answer = client.ask(2, &request).await;
    let row = &answer.replica_election_results[0].partition_result[0];
    assert_eq!((answer.error_code, row.error_code), (INVALID_REQUEST, INVALID_REQUEST));

    let dirs = client.ask(4, &DescribeLogDirsRequest::default().with_topics(None)).await;
    let path = dirs.results[0].log_dir.clone();
    use alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topic = AlterReplicaLogDirTopic::default().with_name(topic_name("t")).with_partitions(vec![0, 9]);
    let into = |path| AlterReplicaLogDir::default().with_path(path).with_topics(vec![topic.clone()]);
    let request = AlterReplicaLogDirsRequest::default().with_dirs(vec![into(path), into(text("/else"))]);
    let answer = client.ask(2, &request).await;
    let rows = answer.results.iter().flat_map(|topic| topic.partitions.iter().map(|row| row.error_code));
    let expected = [NOTHING, UNKNOWN_TOPIC_OR_PARTITION, LOG_DIR_NOT_FOUND, LOG_DIR_NOT_FOUND];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    server.stop().await;
}

#[tokio::test]
async fn one_node_is_its_own_quorum() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    use describe_quorum_request::{PartitionData, TopicData};
    let of =
        |name| TopicData::default().with_topic_name(topic_name(name)).with_partitions(vec![PartitionData::default()]);
    for version in 0..=2 {
        let request = DescribeQuorumRequest::default().with_topics(vec![of("__cluster_metadata"), of("t")]);
        let answer = client.ask(version, &request).await;
        let quorum = &answer.topics[0].partitions[0];
        let voters: Vec<_> = quorum.current_voters.iter().map(|voter| *voter.replica_id).collect();
        assert_eq!((answer.error_code, quorum.error_code, *quorum.leader_id, &voters[..]), (0, 0, 1, &[1][..]));
        assert_eq!(answer.topics[1].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(answer.nodes.len(), usize::from(version >= 2));
    }
    server.stop().await;
}

fn batch_of(producer: i64, epoch: i16) -> Bytes {
    let mut batch = BatchBuilder::new(Codec::None).producer(producer, epoch, 0).transactional();
    batch.push(world::World::real().clock.now_ms(), None, Some(b"v"), &[]);
    batch.build()
}

/// `kafka-transactions.sh abort`, which finds what to say with DescribeProducers.
#[tokio::test]
async fn a_transaction_that_hangs_is_aborted_by_hand_and_no_other() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    // Behind the coordinator's back: it knows nothing of it.
    let place = model::TopicPartition::new(model::TopicName::new("t").expect("legal"), 0);
    server.log.append(&place, batch_of(4000, 5), Append { internal: true }).await.expect("appends");
    assert_eq!(server.log.bounds(&place).expect("bounds").last_stable, 0);

    let end = async |client: &mut Client, topic: &str, producer: i64, epoch: i16, commit: bool| {
        use write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer))
            .with_producer_epoch(epoch)
            .with_transaction_result(commit)
            .with_topics(vec![topic]);
        let answer = client.ask(1, &WriteTxnMarkersRequest::default().with_markers(vec![marker])).await;
        answer.markers[0].topics[0].partitions[0].error_code
    };
    assert_eq!(end(&mut client, "t", 4000, 5, true).await, INVALID_TXN_STATE, "part of it cannot be committed");
    assert_eq!(end(&mut client, "t", 4000, 4, false).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(end(&mut client, "t", 4001, 5, false).await, INVALID_TXN_STATE, "nothing hangs");
    assert_eq!(end(&mut client, "none", 4000, 5, false).await, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(server.log.bounds(&place).expect("bounds").last_stable, 0);
    assert_eq!(end(&mut client, "t", 4000, 5, false).await, NOTHING);
    assert_eq!(server.log.bounds(&place).expect("bounds").last_stable, 2, "readers get on");
    assert_eq!(end(&mut client, "t", 4000, 5, false).await, INVALID_TXN_STATE, "once");

    // What the coordinator knows it ends itself.
    let id = || TransactionalId(text("x"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(id())).with_transaction_timeout_ms(60_000);
    let who = client.ask(5, &init).await;
    let request = produce("t", batch_of(*who.producer_id, who.producer_epoch), -1).with_transactional_id(Some(id()));
    assert_eq!(client.ask(12, &request).await.responses[0].partition_responses[0].error_code, NOTHING);
    assert_eq!(end(&mut client, "t", *who.producer_id, who.producer_epoch, false).await, INVALID_TXN_STATE);
    server.stop().await;
}

#[tokio::test]
async fn features_have_one_level_each_and_stay_there() {
    use update_features_request::FeatureUpdateKey;
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let hello =
        ApiVersionsRequest::default().with_client_software_name(text("t")).with_client_software_version(text("1"));
    let offers = client.ask(4, &hello).await;
    let levels = |(name, min, max): (&StrBytes, i16, i16)| (name.to_string(), min, max);
    let supported = offers.supported_features.iter().map(|f| (&f.name, f.min_version, f.max_version)).map(levels);
    let finalized = offers.finalized_features.iter();
    let finalized = finalized.map(|f| (&f.name, f.min_version_level, f.max_version_level)).map(levels);
    let (supported, finalized) = (supported.collect::<Vec<_>>(), finalized.collect::<Vec<_>>());
    assert_eq!(supported, finalized, "what is not switched on cannot be had");
    assert!(supported.contains(&("group.version".to_owned(), 1, 1)), "{supported:?}");

    let to = |name, level, kind| {
        let update = FeatureUpdateKey::default().with_feature(text(name)).with_max_version_level(level);
        update.with_upgrade_type(kind)
    };
    let (upgrade, downgrade) = (1, 2);
    for (updates, code) in [
        (vec![], NOTHING),
        (vec![to("group.version", 1, upgrade), to("transaction.version", 2, upgrade)], NOTHING),
        (vec![to("group.version", 1, downgrade)], NOTHING),
        (vec![to("group.version", 0, downgrade)], INVALID_UPDATE_VERSION),
        (vec![to("group.version", 2, upgrade)], INVALID_UPDATE_VERSION),
        (vec![to("group.version", -1, upgrade)], INVALID_UPDATE_VERSION),
        (vec![to("group.version", 1, 0)], INVALID_UPDATE_VERSION),
        (vec![to("group.version", 1, upgrade), to("metadata.version", 27, upgrade)], INVALID_UPDATE_VERSION),
    ] {
        for (version, validate_only) in [(1, true), (1, false), (2, true), (2, false)] {
            let request = UpdateFeaturesRequest::default().with_feature_updates(updates.clone());
            let answer = client.ask(version, &request.with_validate_only(validate_only)).await;
            assert_eq!(answer.error_code, code, "v{version} {updates:?}: {:?}", answer.error_message);
            let rows = if code == NOTHING && version < 2 { updates.len() } else { 0 };
            assert_eq!(answer.results.len(), rows, "v{version} {updates:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_committer_without_a_group_has_the_one_without_a_name() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default().with_generation_id_or_member_epoch(-1).with_topics(vec![topic]);
    assert_eq!(client.ask(7, &commit).await.topics[0].partitions[0].error_code, NOTHING);
    let fetched = client.ask(7, &OffsetFetchRequest::default().with_topics(None)).await;
    assert_eq!((fetched.error_code, fetched.topics[0].partitions[0].committed_offset), (NOTHING, 5));
    assert_eq!(client.ask(0, &OffsetDeleteRequest::default()).await.error_code, INVALID_GROUP_ID);
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![GroupId::default()]);
    for code in [NOTHING, GROUP_ID_NOT_FOUND] {
        assert_eq!(client.ask(2, &delete).await.results[0].error_code, code);
    }
    server.stop().await;
}

/// What Kafka 4.1 answers to what makes no sense, asked of it.
#[tokio::test]
async fn nonsense_is_answered_as_by_kafka() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    client.create_topic("u", 1).await;
    client.produce("t", &["a"]).await;

    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(-1);
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name("t")).with_partitions(vec![partition]);
    let answer = client.ask(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic])).await;
    let row = &answer.topics[0].partitions[0];
    assert_eq!((row.error_code, row.leader_epoch, row.end_offset), (NOTHING, -1, -1), "who knows no epoch");

    for (kinds, code) in
        [(vec![2, 4, 8, 16, 32], NOTHING), (vec![0], UNSUPPORTED_VERSION), (vec![2, 99], UNSUPPORTED_VERSION)]
    {
        let answer = client.ask(1, &ListConfigResourcesRequest::default().with_resource_types(kinds)).await;
        assert_eq!((answer.error_code, answer.config_resources.is_empty()), (code, code != NOTHING));
    }

    use incremental_alter_configs_request::AlterConfigsResource;
    for (name, code) in [("", INVALID_REQUEST), ("a b", INVALID_TOPIC), ("none", UNKNOWN_TOPIC_OR_PARTITION)] {
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(name));
        let answer = client.ask(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).await;
        assert_eq!(answer.responses[0].error_code, code, "{name:?}");
        let resource = describe_configs_request::DescribeConfigsResource::default().with_resource_type(2);
        let resource = resource.with_resource_name(text(name));
        let answer = client.ask(4, &DescribeConfigsRequest::default().with_resources(vec![resource])).await;
        let code = if name.is_empty() { INVALID_TOPIC } else { code };
        assert_eq!(answer.results[0].error_code, code, "{name:?}");
    }

    use describe_topic_partitions_request::{Cursor, TopicRequest};
    for (topic, partition, code) in [("t", 0, NOTHING), ("t", -1, INVALID_REQUEST), ("u", 0, INVALID_REQUEST)] {
        let cursor = Cursor::default().with_topic_name(topic_name(topic)).with_partition_index(partition);
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(topic_name("t"))])
            .with_response_partition_limit(10)
            .with_cursor(Some(cursor));
        let topics = client.ask(0, &request).await.topics;
        assert_eq!((topics.len(), topics[0].error_code), (1, code), "from {topic}-{partition}");
    }

    for (level, offset, error) in [(7, 0, UNKNOWN_SERVER_ERROR), (0, 50, OFFSET_OUT_OF_RANGE), (1, 0, NOTHING)] {
        let partition =
            fetch_request::FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = fetch_request::FetchTopic::default().with_topic(topic_name("t")).with_partitions(vec![partition]);
        let request = FetchRequest::default().with_isolation_level(level).with_max_bytes(1 << 20);
        let answer = client.ask(11, &request.with_topics(vec![topic])).await;
        assert_eq!(answer.error_code, error.min(0), "of all only what no partition is at fault for");
        let row = &answer.responses[0].partitions[0];
        let ends = (row.high_watermark, row.last_stable_offset, row.log_start_offset);
        let told = if error == NOTHING { (1, 1, 0) } else { (-1, -1, -1) };
        assert_eq!((row.error_code, ends), (error, told));
    }
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_isolation_level(7).with_topics(vec![topic]);
    assert_eq!(client.ask(5, &request).await.topics[0].partitions[0].error_code, UNKNOWN_SERVER_ERROR);
    server.stop().await;
}
