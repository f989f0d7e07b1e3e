//! Transactions over the wire: what the second protocol (KIP-890) changes, and what admins see of them (KIP-664).

mod common;

use bytes::Bytes;
use commitlog::record::{BatchBuilder, Codec};
use common::{Client, produce, serve, topic_name};
use kafka_protocol::{
    messages::{
        AddPartitionsToTxnRequest, ApiVersionsRequest, DescribeProducersRequest, DescribeTransactionsRequest,
        EndTxnRequest, EndTxnResponse, FetchRequest, GroupId, InitProducerIdRequest, ListTransactionsRequest,
        OffsetFetchRequest, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest,
        add_partitions_to_txn_request, describe_producers_request,
        fetch_request::{FetchPartition, FetchTopic},
        offset_fetch_request, txn_offset_commit_request,
    },
    protocol::StrBytes,
};

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const OPERATION_NOT_ATTEMPTED: i16 = 55;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTION_ABORTABLE: i16 = 120;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

/// Who a producer is.
type Identity = (i64, i16);

fn id(text: &'static str) -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(text))
}

async fn init(client: &mut Client, name: &'static str) -> Identity {
    let request =
        InitProducerIdRequest::default().with_transactional_id(Some(id(name))).with_transaction_timeout_ms(60_000);
    let response = client.ask(5, &request).await;
    assert_eq!(response.error_code, NONE);
    (*response.producer_id, response.producer_epoch)
}

fn batch((producer, epoch): Identity, sequence: i32, value: &str) -> Bytes {
    let mut batch = BatchBuilder::new(Codec::None).producer(producer, epoch, sequence).transactional();
    batch.push(world::World::real().clock.now_ms(), None, Some(value.as_bytes()), &[]);
    batch.build()
}

/// The error code of one batch to partition 0 of `t`.
async fn write(client: &mut Client, version: i16, name: &'static str, who: Identity, sequence: i32) -> i16 {
    let request = produce("t", batch(who, sequence, "v"), -1).with_transactional_id(Some(id(name)));
    client.ask(version, &request).await.responses[0].partition_responses[0].error_code
}

async fn end(client: &mut Client, version: i16, name: &'static str, who: Identity, commit: bool) -> EndTxnResponse {
    let request = EndTxnRequest::default()
        .with_transactional_id(id(name))
        .with_producer_id(ProducerId(who.0))
        .with_producer_epoch(who.1)
        .with_committed(commit);
    client.ask(version, &request).await
}

fn became(response: &EndTxnResponse) -> Identity {
    assert_eq!(response.error_code, NONE);
    (*response.producer_id, response.producer_epoch)
}

/// End of what committed readers of partition 0 of `t` see.
async fn last_stable(client: &mut Client) -> i64 {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name("t")).with_partitions(vec![partition]);
    let request = FetchRequest::default().with_isolation_level(1).with_max_bytes(1 << 20).with_topics(vec![topic]);
    client.ask(11, &request).await.responses[0].partitions[0].last_stable_offset
}

#[tokio::test]
async fn features_are_announced_to_those_who_can_read_them() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    let request =
        || ApiVersionsRequest::default().with_client_software_name("t".into()).with_client_software_version("1".into());
    for (version, supported) in [(3, 0), (4, 2)] {
        let response = client.ask(version, &request()).await;
        let finalized: Vec<_> =
            response.finalized_features.iter().map(|f| (f.name.to_string(), f.max_version_level)).collect();
        assert_eq!(finalized, [("group.version".to_owned(), 1), ("transaction.version".to_owned(), 2)]);
        assert!(response.finalized_features_epoch >= 0, "clients ignore features of an unknown epoch");
        assert_eq!(response.supported_features.len(), supported, "v{version}");
    }
    server.stop().await;
}

#[tokio::test]
async fn writing_adds_the_partition_and_each_end_raises_the_epoch() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let first = init(&mut client, "x").await;
    assert_eq!(
        write(&mut client, 11, "x", first, 0).await,
        TRANSACTION_ABORTABLE,
        "the first protocol asks to be told"
    );
    assert_eq!(write(&mut client, 12, "x", first, 0).await, NONE);
    assert_eq!(write(&mut client, 12, "x", first, 1).await, NONE);
    assert_eq!(last_stable(&mut client).await, 0);
    let second = became(&end(&mut client, 5, "x", first, true).await);
    assert_eq!(second, (first.0, first.1 + 1));
    assert_eq!(last_stable(&mut client).await, 3, "two records and a marker");
    // The answer was lost.
    assert_eq!(became(&end(&mut client, 5, "x", first, true).await), second);
    assert_eq!(end(&mut client, 5, "x", first, false).await.error_code, INVALID_TXN_STATE);
    // KIP-890: what was under way when the transaction ended is not part of the next one.
    assert_eq!(write(&mut client, 12, "x", first, 2).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(write(&mut client, 12, "x", second, 0).await, NONE);
    assert_eq!(write(&mut client, 12, "x", first, 2).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(end(&mut client, 5, "x", first, true).await.error_code, PRODUCER_FENCED);
    let third = became(&end(&mut client, 5, "x", second, false).await);
    // Nothing was written: only an abort makes sense, because the producer cannot know.
    assert_eq!(end(&mut client, 5, "x", third, true).await.error_code, INVALID_TXN_STATE);
    let fourth = became(&end(&mut client, 5, "x", third, false).await);
    assert_eq!(fourth.1, third.1 + 1);
    // The same id with the first protocol.
    assert_eq!(end(&mut client, 4, "x", third, true).await.error_code, PRODUCER_FENCED);
    assert_eq!(write(&mut client, 12, "y", fourth, 0).await, INVALID_PRODUCER_ID_MAPPING);
    server.stop().await;
}

#[tokio::test]
async fn a_producer_that_was_replaced_is_told_so_whatever_its_successor_does() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let old = init(&mut client, "x").await;
    assert_eq!(write(&mut client, 12, "x", old, 0).await, NONE);
    let new = init(&mut client, "x").await;
    assert_eq!(new.0, old.0);
    for version in [9, 11, 12] {
        assert_eq!(
            write(&mut client, version, "x", old, 1).await,
            INVALID_PRODUCER_EPOCH,
            "nothing is open, v{version}"
        );
    }
    assert_eq!(write(&mut client, 12, "x", new, 0).await, NONE);
    assert_eq!(write(&mut client, 9, "x", old, 1).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(end(&mut client, 3, "x", new, true).await.error_code, NONE);
    assert_eq!(write(&mut client, 9, "x", old, 1).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(write(&mut client, 9, "x", new, 1).await, INVALID_TXN_STATE);
    server.stop().await;
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    assert_eq!(write(&mut client, 9, "x", old, 1).await, INVALID_PRODUCER_EPOCH, "after a restart");
    server.stop().await;
}

#[tokio::test]
async fn batches_in_flight_keep_their_order_while_the_first_adds_the_partition() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let mut who = init(&mut client, "x").await;
    for _ in 0..5 {
        for sequence in 0..5 {
            let request = produce("t", batch(who, sequence, "v"), -1).with_transactional_id(Some(id("x")));
            client.send(12, &request).await;
        }
        for sequence in 0..5 {
            let response = client.receive::<kafka_protocol::messages::ProduceRequest>(12).await;
            assert_eq!(response.responses[0].partition_responses[0].error_code, NONE, "batch {sequence}");
        }
        who = became(&end(&mut client, 5, "x", who, true).await);
    }
    assert_eq!(last_stable(&mut client).await, 30);
    server.stop().await;
}

#[tokio::test]
async fn offsets_join_by_being_committed() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let who = init(&mut client, "x").await;
    let group = || GroupId(StrBytes::from_static_str("g"));
    let commit = |who: Identity| {
        let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(id("x"))
            .with_group_id(group())
            .with_producer_id(ProducerId(who.0))
            .with_producer_epoch(who.1)
            .with_generation_id(-1)
            .with_topics(vec![topic])
    };
    let committed = |client: Client| async move {
        let mut client = client;
        let wanted = offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
        let response = client.ask(8, &OffsetFetchRequest::default().with_groups(vec![wanted])).await;
        let offset = response.groups[0].topics.first().map(|topic| topic.partitions[0].committed_offset);
        (client, offset)
    };
    let code = client.ask(4, &commit(who)).await.topics[0].partitions[0].error_code;
    assert_eq!(code, TRANSACTION_ABORTABLE, "the first protocol asks to be told");
    assert_eq!(client.ask(5, &commit(who)).await.topics[0].partitions[0].error_code, NONE);
    let (mut client, offset) = committed(client).await;
    assert_eq!(offset, None);
    let next = became(&end(&mut client, 5, "x", who, true).await);
    let (mut client, offset) = committed(client).await;
    assert_eq!(offset, Some(7));
    assert_eq!(client.ask(5, &commit(who)).await.topics[0].partitions[0].error_code, INVALID_PRODUCER_EPOCH);
    assert_eq!(client.ask(5, &commit(next)).await.topics[0].partitions[0].error_code, NONE);
    server.stop().await;
}

#[tokio::test]
async fn admins_see_who_writes_and_find_ids_by_pattern() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let who = init(&mut client, "orders-1").await;
    init(&mut client, "billing-1").await;
    assert_eq!(write(&mut client, 12, "orders-1", who, 0).await, NONE);
    let describe = DescribeProducersRequest::default().with_topics(vec![
        describe_producers_request::TopicRequest::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partition_indexes(vec![0, 1]),
    ]);
    let response = client.ask(0, &describe).await;
    let [known, unknown] = &response.topics[0].partitions[..] else { panic!("two partitions") };
    assert_eq!(unknown.error_code, 3);
    let producer = &known.active_producers[0];
    assert_eq!((*producer.producer_id, producer.producer_epoch), (who.0, i32::from(who.1)));
    assert_eq!((producer.last_sequence, producer.current_txn_start_offset), (0, 0));
    end(&mut client, 5, "orders-1", who, true).await;
    let response = client.ask(0, &describe).await;
    assert_eq!(response.topics[0].partitions[0].active_producers[0].current_txn_start_offset, -1);

    for (pattern, found) in [("orders-.*", 1), ("orders", 0), (".*-1", 2), ("", 2)] {
        let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some(pattern.into()));
        assert_eq!(client.ask(2, &request).await.transaction_states.len(), found, "{pattern}");
    }
    let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some("(".into()));
    assert_eq!(client.ask(2, &request).await.error_code, INVALID_REGULAR_EXPRESSION);
    server.stop().await;
}

/// `KafkaApis.handleInitProducerId`
#[tokio::test]
async fn half_an_identity_is_none() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    for name in [None, Some(id("x"))] {
        for (producer, epoch) in [(-1, 0), (7, -1)] {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(name.clone())
                .with_transaction_timeout_ms(60_000)
                .with_producer_id(ProducerId(producer))
                .with_producer_epoch(epoch);
            for version in 3..=5 {
                let answer = client.ask(version, &request).await;
                let told = (answer.error_code, *answer.producer_id, answer.producer_epoch);
                assert_eq!(told, (INVALID_REQUEST, -1, -1), "{name:?} {producer} {epoch} v{version}");
            }
        }
    }
    let found = client.ask(0, &ListTransactionsRequest::default()).await.transaction_states;
    assert_eq!(found, [], "no id was made");
    server.stop().await;
}

/// `KafkaApis.handleAddPartitionsToTxnRequest`, `handleTxnOffsetCommitRequest`, `handleDescribeProducersRequest`,
/// `TransactionCoordinator.handleDescribeTransactions`
#[tokio::test]
async fn each_partition_hears_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    let mut client = server.client().await;
    client.create_topic("t", 1).await;
    let who = init(&mut client, "x").await;

    let topic = |name: &str| {
        let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default().with_name(topic_name(name));
        topic.with_partitions(vec![0])
    };
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id("x"))
        .with_v3_and_below_producer_id(ProducerId(who.0))
        .with_v3_and_below_producer_epoch(who.1)
        .with_v3_and_below_topics(["t", "__transaction_state", "__users", "none"].map(topic).to_vec());
    for version in 0..=3 {
        let topics = client.ask(version, &add).await.results_by_topic_v3_and_below;
        let codes: Vec<_> = topics.iter().map(|topic| topic.results_by_partition[0].partition_error_code).collect();
        let ours = TOPIC_AUTHORIZATION_FAILED;
        assert_eq!(codes, [OPERATION_NOT_ATTEMPTED, ours, ours, UNKNOWN_TOPIC_OR_PARTITION], "v{version}");
    }

    let commit = |who: Identity, partitions: &[i32]| {
        let partition = |index: &i32| {
            let row = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default();
            row.with_partition_index(*index).with_committed_offset(7)
        };
        let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default().with_name(topic_name("t"));
        TxnOffsetCommitRequest::default()
            .with_transactional_id(id("x"))
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_producer_id(ProducerId(who.0))
            .with_producer_epoch(who.1)
            .with_generation_id(-1)
            .with_topics(vec![topic.with_partitions(partitions.iter().map(partition).collect())])
    };
    let codes = async |client: &mut Client, request: TxnOffsetCommitRequest| {
        let topics = client.ask(5, &request).await.topics;
        topics[0].partitions.iter().map(|row| row.error_code).collect::<Vec<_>>()
    };
    let nobody = (who.0 + 1000, 0);
    let told = codes(&mut client, commit(nobody, &[9, 0])).await;
    assert_eq!(told, [UNKNOWN_TOPIC_OR_PARTITION, INVALID_PRODUCER_ID_MAPPING]);
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id("x"), id("")]);
    assert_eq!(codes(&mut client, commit(who, &[9])).await, [UNKNOWN_TOPIC_OR_PARTITION]);
    let states = client.ask(0, &describe).await.transaction_states;
    assert_eq!(&*states[0].transaction_state, "Empty", "nothing to commit is no reason to begin a transaction");
    assert_eq!((states[0].error_code, states[1].error_code), (NONE, INVALID_REQUEST));
    assert_eq!(codes(&mut client, commit(who, &[9, 0])).await, [UNKNOWN_TOPIC_OR_PARTITION, NONE]);
    assert_eq!(&*client.ask(0, &describe).await.transaction_states[0].transaction_state, "Ongoing");

    let topic = |name: &str| {
        let topic = describe_producers_request::TopicRequest::default().with_name(topic_name(name));
        topic.with_partition_indexes(vec![0])
    };
    let describe = DescribeProducersRequest::default().with_topics(["t", "none", "no topic", ""].map(topic).to_vec());
    let topics = client.ask(0, &describe).await.topics;
    let codes: Vec<_> = topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    assert_eq!(codes, [NONE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, INVALID_TOPIC]);
    server.stop().await;
}
