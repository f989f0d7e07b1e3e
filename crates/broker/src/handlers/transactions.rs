//! What transactional producers ask, and admins of them: from the wire to [`commitlog::transactions`] and back.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use commitlog::{
    ActiveProducer,
    groups::{CommitRequest, MemberRef, OffsetToCommit},
    record::Marker,
    transactions::{Identity, Protocol, TransactionError, TransactionSummary},
};
use kafka_protocol::{
    messages::{
        AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
        DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
        EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest,
        ListTransactionsResponse, ProducerId, TransactionalId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
        add_partitions_to_txn_response::{AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult},
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
        describe_transactions_response::{TopicData, TransactionState},
        list_transactions_response::TransactionState as ListedTransaction,
        txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic},
    },
    protocol::StrBytes,
};
use model::TopicName;
use regex::{Regex, RegexBuilder};

use super::{code, each_once, errors, groups::result_code, partition_of, text, wire_topic};
use crate::{
    access::{self, CLUSTER, Operation, group, transactional_id},
    dispatch::Context,
};

/// States a transactional id can be in, by Kafka's names. `Dead` and `PrepareEpochFence` are Kafka's alone.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// Who a producer is that has not been told.
const NOBODY: Identity = Identity { producer: -1, epoch: -1 };

/// Memory of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Clients of versions before `fenced_from` do not know PRODUCER_FENCED and take INVALID_PRODUCER_EPOCH for it (KIP-588).
fn refusal(error: TransactionError, version: i16, fenced_from: i16) -> i16 {
    match error {
        TransactionError::Fenced | TransactionError::EpochOld if version < fenced_from => {
            errors::INVALID_PRODUCER_EPOCH
        }
        error => error.kafka_code(),
    }
}

/// EndTxn and TxnOffsetCommit 5 are the second protocol.
fn protocol(version: i16) -> Protocol {
    if version >= 5 { Protocol::V2 } else { Protocol::V1 }
}

pub(crate) async fn init_producer_id(context: &Context, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let may = match &request.transactional_id {
        Some(id) => context.authorize(Operation::Write, transactional_id(id)),
        None if context.may(Operation::IdempotentWrite, CLUSTER) => Ok(()),
        None => context.authorize_any_topic(Operation::Write), // KIP-679
    };
    let identity = match &request.transactional_id {
        _ if may.is_err() => Err(may.expect_err("is an error")),
        // Half an identity is none (`KafkaApis.handleInitProducerIdRequest`).
        _ if (*request.producer_id == NOBODY.producer) != (request.producer_epoch == NOBODY.epoch) => {
            Err(errors::INVALID_REQUEST)
        }
        None => {
            let id = context.shared.log.new_producer_id().await;
            id.map(|producer| Identity { producer, epoch: 0 }).map_err(|error| code(&error))
        }
        Some(id) => {
            let claims = Identity { producer: *request.producer_id, epoch: request.producer_epoch };
            let claims = (claims != NOBODY).then_some(claims);
            let init = context.shared.transactions.init(id, request.transaction_timeout_ms, claims).await;
            init.map_err(|error| refusal(error, context.version, 4))
        }
    };
    match identity {
        Ok(Identity { producer, epoch }) => {
            InitProducerIdResponse::default().with_producer_id(ProducerId(producer)).with_producer_epoch(epoch)
        }
        Err(code) => InitProducerIdResponse::default()
            .with_error_code(code)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

pub(crate) async fn add_partitions(
    context: &Context,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let by_id = context.authorize(Operation::Write, transactional_id(&request.v3_and_below_transactional_id));
    let topics = &request.v3_and_below_topics;
    let wanted = topics.iter().flat_map(|topic| {
        // What we keep ourselves is nobody's to write to, whatever rules say, there or not (`Topic.isInternal`).
        let is_ours = TopicName::new(&topic.name).is_ok_and(|name| name.is_protected());
        let may = by_id.and_then(|()| match is_ours {
            true => Err(errors::TOPIC_AUTHORIZATION_FAILED),
            false => context.authorize(Operation::Write, access::topic(&topic.name)),
        });
        topic.partitions.iter().map(move |number| (may, &topic.name, *number))
    });
    let checked: Vec<_> = wanted
        .map(|(may, topic, number)| match partition_of(context, topic, number) {
            _ if may.is_err() => Err(may.expect_err("is an error")),
            None => Err(errors::UNKNOWN_TOPIC_OR_PARTITION),
            Some((_, place)) => Ok(place),
        })
        .collect();
    // All or none.
    let codes: Vec<i16> = if by_id.is_err() || checked.iter().any(Result::is_err) {
        checked
            .iter()
            .map(|checked| checked.as_ref().err().copied().unwrap_or(errors::OPERATION_NOT_ATTEMPTED))
            .collect()
    } else {
        let count = checked.len();
        let partitions: BTreeSet<_> = checked.into_iter().flatten().collect();
        let who = Identity { producer: *request.v3_and_below_producer_id, epoch: request.v3_and_below_producer_epoch };
        let added = context.shared.transactions.add(&request.v3_and_below_transactional_id, who, partitions).await;
        vec![added.map_or_else(|error| refusal(error, context.version, 2), |()| 0); count]
    };
    let mut codes = codes.into_iter();
    let results = topics.iter().map(|topic| {
        let one = |number: &i32| {
            let code = codes.next().expect("one for each partition");
            AddPartitionsToTxnPartitionResult::default().with_partition_index(*number).with_partition_error_code(code)
        };
        let partitions = topic.partitions.iter().map(one).collect();
        AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(partitions)
    });
    let results = results.collect();
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results)
}

pub(crate) async fn add_offsets(context: &Context, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let may = context.authorize(Operation::Write, transactional_id(&request.transactional_id));
    if let Err(code) = may.and_then(|()| context.authorize(Operation::Read, group(&request.group_id))) {
        return AddOffsetsToTxnResponse::default().with_error_code(code);
    }
    if request.group_id.is_empty() {
        return AddOffsetsToTxnResponse::default().with_error_code(errors::INVALID_GROUP_ID);
    }
    let who = Identity { producer: *request.producer_id, epoch: request.producer_epoch };
    let added = context.shared.transactions.add_offsets(&request.transactional_id, who).await;
    AddOffsetsToTxnResponse::default().with_error_code(added.map_or_else(|e| refusal(e, context.version, 2), |()| 0))
}

pub(crate) async fn end(context: &Context, request: EndTxnRequest) -> EndTxnResponse {
    if let Err(code) = context.authorize(Operation::Write, transactional_id(&request.transactional_id)) {
        return EndTxnResponse::default().with_error_code(code);
    }
    let who = Identity { producer: *request.producer_id, epoch: request.producer_epoch };
    let how = if request.committed { Marker::Commit } else { Marker::Abort };
    let protocol = protocol(context.version);
    match context.shared.transactions.end(&request.transactional_id, who, how, protocol).await {
        Ok(Identity { producer, epoch }) => {
            EndTxnResponse::default().with_producer_id(ProducerId(producer)).with_producer_epoch(epoch)
        }
        Err(error) => EndTxnResponse::default().with_error_code(refusal(error, context.version, 2)),
    }
}

pub(crate) async fn commit_offsets(context: &Context, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let by_id = context.authorize(Operation::Write, transactional_id(&request.transactional_id));
    let by_group = by_id.and_then(|()| context.authorize(Operation::Read, group(&request.group_id)));
    let mut offsets = Vec::new();
    // Partitions that do not exist or may not be read are refused here; the others get the group's answers in their order.
    let mut known = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let by_topic = by_group.and_then(|()| context.authorize(Operation::Read, access::topic(&name)));
        for partition in &topic.partitions {
            let exists = partition_of(context, &topic.name, partition.partition_index).is_some();
            known.push(by_topic.and(if exists { Ok(()) } else { Err(errors::UNKNOWN_TOPIC_OR_PARTITION) }));
            if known.last() == Some(&Ok(())) {
                offsets.push(OffsetToCommit {
                    topic: name.clone(),
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_ref().map(|text| text.to_string()).unwrap_or_default(),
                });
            }
        }
    }
    let member = MemberRef {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_ref().map(|id| id.to_string()),
        generation: request.generation_id,
    };
    let who = Identity { producer: *request.producer_id, epoch: request.producer_epoch };
    let commit = CommitRequest { who: member, offsets };
    let (id, protocol) = (&request.transactional_id, protocol(context.version));
    let results = match by_group {
        Ok(()) if !commit.offsets.is_empty() => {
            context.shared.transactions.commit_offsets(id, who, commit, protocol).await
        }
        // Nothing is left that exists and is allowed.
        _ => Ok(Vec::new()),
    };
    let (mut results, refused) = match results {
        Ok(results) => (results.into_iter(), None),
        Err(TransactionError::StateInvalid) if context.version >= 4 => {
            (Vec::new().into_iter(), Some(errors::TRANSACTION_ABORTABLE))
        }
        Err(TransactionError::Fenced) => (Vec::new().into_iter(), Some(errors::INVALID_PRODUCER_EPOCH)),
        Err(error) => (Vec::new().into_iter(), Some(error.kafka_code())),
    };
    let mut known = known.into_iter();
    let mut next_code = || match (refused, known.next()) {
        (_, Some(Err(code))) | (Some(code), _) => code,
        (None, _) => results.next().map_or(errors::UNKNOWN_SERVER_ERROR, result_code),
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partition = |number| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(number).with_error_code(next_code())
        };
        let partitions = topic.partitions.iter().map(|p| p.partition_index).map(partition).collect();
        TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub(crate) async fn describe(context: &Context, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let may = |id: &str| context.authorize(Operation::Describe, transactional_id(id)).is_ok();
    let states = each_once(request.transactional_ids).map(|id| match context.shared.transactions.describe(&id) {
        _ if !may(&id) => TransactionState::default()
            .with_transactional_id(id)
            .with_error_code(errors::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        _ if id.is_empty() => TransactionState::default()
            .with_transactional_id(id)
            .with_error_code(TransactionError::IdInvalid.kafka_code()),
        Some(found) => described(context, id, &found),
        None => TransactionState::default()
            .with_transactional_id(id)
            .with_error_code(TransactionError::IdNotFound.kafka_code()),
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn described(context: &Context, id: TransactionalId, found: &TransactionSummary) -> TransactionState {
    let topics = found.partitions.chunk_by(|a, b| a.topic == b.topic);
    let topics = topics.filter(|partitions| context.may(Operation::Describe, access::topic(&partitions[0].topic)));
    let topics = topics.map(|partitions| {
        TopicData::default()
            .with_topic(wire_topic(&partitions[0].topic))
            .with_partitions(partitions.iter().map(|at| at.partition).collect())
    });
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(found.state.name()))
        .with_transaction_timeout_ms(found.timeout_ms)
        .with_transaction_start_time_ms(found.started_ms)
        .with_producer_id(ProducerId(found.identity.producer))
        .with_producer_epoch(found.identity.epoch)
        .with_topics(topics.collect())
}

/// Producers that are remembered in partitions: how an open transaction that holds readers back is found (KIP-664).
pub(crate) async fn describe_producers(
    context: &Context,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut seen = HashSet::new();
    let topics = request.topics.into_iter().map(|topic| {
        let may = match TopicName::new(&topic.name) {
            Ok(_) => context.authorize_producers_of(&topic.name),
            Err(_) => Err(errors::INVALID_TOPIC),
        };
        let one = |number: &i32| {
            let row = PartitionResponse::default().with_partition_index(*number);
            if let Err(code) = may {
                return row.with_error_code(code);
            }
            let Some((_, place)) = partition_of(context, &topic.name, *number) else {
                return row.with_error_code(errors::UNKNOWN_TOPIC_OR_PARTITION);
            };
            match context.shared.log.producers(&place) {
                Ok(producers) => row.with_active_producers(producers.into_iter().map(producer_state).collect()),
                Err(error) => row.with_error_code(code(&error)),
            }
        };
        // For the reason of `each_once`.
        let fresh = topic.partition_indexes.iter().filter(|number| seen.insert((topic.name.clone(), **number)));
        let partitions = fresh.map(one).collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producer_state(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(i32::from(producer.epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.used_at)
        .with_coordinator_epoch(-1)
        .with_current_txn_start_offset(producer.open_from.unwrap_or(-1))
}

pub(crate) async fn list(context: &Context, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let pattern = request.transactional_id_pattern.as_ref().filter(|pattern| !pattern.is_empty());
    let Ok(pattern) = pattern.map(|pattern| whole(pattern)).transpose() else {
        return ListTransactionsResponse::default().with_error_code(errors::INVALID_REGULAR_EXPRESSION);
    };
    let unknown = request.state_filters.iter().filter(|state| !STATES.contains(&state.as_str())).cloned().collect();
    let now = context.shared.world.clock.now_ms();
    let states: HashSet<&str> = request.state_filters.iter().map(|state| state.as_str()).collect();
    let producers: HashSet<i64> = request.producer_id_filters.iter().map(|id| **id).collect();
    let is_wanted = |found: &TransactionSummary| {
        let of_state = states.is_empty() || states.contains(found.state.name());
        let of_producer = producers.is_empty() || producers.contains(&found.identity.producer);
        let runs_long = request.duration_filter < 0
            || (found.started_ms >= 0 && now.saturating_sub(found.started_ms) > request.duration_filter);
        let is_like = pattern.as_ref().is_none_or(|pattern| pattern.is_match(&found.id));
        let may = || context.may(Operation::Describe, transactional_id(&found.id));
        of_state && of_producer && runs_long && is_like && may()
    };
    let listed = context.shared.transactions.list().into_iter().filter(is_wanted).map(|found| {
        ListedTransaction::default()
            .with_transactional_id(TransactionalId(text(&found.id)))
            .with_producer_id(ProducerId(found.identity.producer))
            .with_transaction_state(StrBytes::from_static_str(found.state.name()))
    });
    ListTransactionsResponse::default().with_transaction_states(listed.collect()).with_unknown_state_filters(unknown)
}

/// Ids match a pattern as a whole (KIP-1152).
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES_MAX).build()
}
