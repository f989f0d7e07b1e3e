//! ListOffsets and OffsetForLeaderEpoch: finding offsets by time and by epoch.

use std::collections::HashSet;

use commitlog::{Bounds, Isolation, TimeQuery};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
    list_offsets_request::ListOffsetsPartition,
    list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
    offset_for_leader_epoch_request::OffsetForLeaderPartition,
    offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
};
use model::TopicPartition;

use super::{code, errors, isolation, partition_of};
use crate::{
    access::{self, CLUSTER, Operation},
    dispatch::Context,
};

/// The epoch of those who know none (`OffsetsForLeaderEpochResponse.UNDEFINED_EPOCH`).
const NO_EPOCH: i32 = -1;

/// The client's idea of the leader epoch against ours: `Err` if one of us is behind.
pub(crate) fn check_epoch(theirs: i32, bounds: &Bounds) -> Result<(), i16> {
    match theirs {
        ..0 => Ok(()),
        theirs if theirs < bounds.leader_epoch => Err(errors::FENCED_LEADER_EPOCH),
        theirs if theirs > bounds.leader_epoch => Err(errors::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

pub(crate) async fn list_offsets(context: &Context, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let repeated = repeated(&request);
    let mut told = HashSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let may = context.authorize(Operation::Describe, access::topic(&topic.name));
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let index = wanted.partition_index;
            let is_repeated = !repeated.is_empty() && repeated.contains(&(topic.name.clone(), index));
            if may.is_ok() && is_repeated && !told.insert((topic.name.clone(), index)) {
                continue;
            }
            let found = match may {
                Err(code) => Err(code),
                Ok(()) if is_repeated => Err(errors::INVALID_REQUEST),
                Ok(()) => match isolation {
                    Some(isolation) => find_offset(context, &topic.name, &wanted, isolation).await,
                    None => Err(errors::UNKNOWN_SERVER_ERROR),
                },
            };
            let row = ListOffsetsPartitionResponse::default().with_partition_index(index);
            partitions.push(match found {
                Ok((offset, timestamp, epoch)) => {
                    let epoch = if context.version >= 4 { epoch } else { -1 };
                    row.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
                }
                Err(code) => row.with_error_code(code).with_offset(-1).with_timestamp(-1),
            });
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// Partitions that a request names more than once: which of the times is meant? None, and that is said once
/// (`ReplicaManager.fetchOffset`).
fn repeated(request: &ListOffsetsRequest) -> HashSet<(TopicName, i32)> {
    let mut seen = HashSet::new();
    let all = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p.partition_index)));
    all.filter(|wanted| !seen.insert(*wanted)).map(|(topic, index)| (topic.clone(), index)).collect()
}

/// Offset, timestamp and leader epoch; all −1 if there is no such record.
async fn find_offset(
    context: &Context,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<(i64, i64, i32), i16> {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    const MAX_TIMESTAMP: i64 = -3;
    const EARLIEST_LOCAL: i64 = -4;
    const LAST_TIERED: i64 = -5;

    // Each of the times that are none has a first version (`ReplicaManager.isListOffsetsTimestampUnsupported`).
    let known_from = match wanted.timestamp {
        0.. | LATEST | EARLIEST => 1,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LAST_TIERED => 9,
        _ => i16::MAX,
    };
    if context.version < known_from {
        return Err(errors::UNSUPPORTED_VERSION);
    }
    let log = &context.shared.log;
    let (_, place) = partition_of(context, topic, wanted.partition_index).ok_or(errors::UNKNOWN_TOPIC_OR_PARTITION)?;
    let bounds = log.bounds(&place).map_err(|e| code(&e))?;
    check_epoch(wanted.current_leader_epoch, &bounds)?;
    let query = match wanted.timestamp {
        LATEST => return Ok((bounds.end(isolation), -1, bounds.leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => TimeQuery::Earliest,
        MAX_TIMESTAMP => TimeQuery::MaxTimestamp,
        LAST_TIERED => return Ok((-1, -1, -1)), // Nothing is tiered.
        timestamp => TimeQuery::AtOrAfter(timestamp),
    };
    let found = log.offset_at(&place, query).await.map_err(|e| code(&e))?;
    // Kafka knows no record beyond what the reader may see.
    let found = found.filter(|at| at.offset < bounds.end(isolation) || matches!(query, TimeQuery::Earliest));
    Ok(found.map_or((-1, -1, -1), |at| (at.offset, at.timestamp, at.leader_epoch)))
}

pub(crate) async fn leader_epochs(
    context: &Context,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    let sees_all = context.may(Operation::ClusterAction, CLUSTER);
    for topic in request.topics {
        let may = match sees_all {
            true => Ok(()),
            false => context.authorize(Operation::Describe, access::topic(&topic.topic)),
        };
        let row = |wanted: &OffsetForLeaderPartition| {
            let row = EpochEndOffset::default().with_partition(wanted.partition);
            let place = partition_of(context, &topic.topic, wanted.partition);
            match may
                .and_then(|()| place.ok_or(errors::UNKNOWN_TOPIC_OR_PARTITION))
                .and_then(|(_, place)| epoch_end(context, &place, wanted))
            {
                Ok((epoch, end)) => row.with_leader_epoch(epoch).with_end_offset(end),
                Err(code) => row.with_error_code(code),
            }
        };
        let partitions = topic.partitions.iter().map(row).collect();
        topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions));
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn epoch_end(context: &Context, place: &TopicPartition, wanted: &OffsetForLeaderPartition) -> Result<(i32, i64), i16> {
    let log = &context.shared.log;
    let bounds = log.bounds(place).map_err(|e| code(&e))?;
    check_epoch(wanted.current_leader_epoch, &bounds)?;
    if wanted.leader_epoch == NO_EPOCH {
        return Ok((-1, -1));
    }
    let end = log.epoch_end(place, wanted.leader_epoch).map_err(|e| code(&e))?;
    Ok(end.map_or((-1, -1), |end| (end.epoch, end.end_offset)))
}
