//! Moving partitions, where there is nowhere to move them to: one node keeps each, in one directory. What is asked for and is so
//! already succeeds; nothing is ever under way.

use kafka_protocol::{
    messages::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterReplicaLogDirsRequest,
        AlterReplicaLogDirsResponse, BrokerId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
        alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse},
        alter_replica_log_dirs_response::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult},
    },
    protocol::StrBytes,
};

use super::{admin::LOG_DIR, errors, partition_of, text};
use crate::{
    NODE_ID,
    access::{CLUSTER, Operation},
    dispatch::Context,
};

/// Replicas of partitions (KIP-455).
pub(crate) async fn alter(
    context: &Context,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(None); // as Kafka: an empty one would be all that a refused client tells its user
    if let Err(code) = context.authorize(Operation::Alter, CLUSTER) {
        return response.with_error_code(code);
    }
    let topics = request.topics.into_iter().map(|topic| {
        let partition = |index: i32, replicas: Option<Vec<BrokerId>>| {
            let row = ReassignablePartitionResponse::default().with_partition_index(index).with_error_message(None);
            let refused = |code, why: &str| row.clone().with_error_code(code).with_error_message(Some(text(why)));
            match (partition_of(context, &topic.name, index), replicas) {
                (None, _) => refused(errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"),
                (_, None) => refused(errors::NO_REASSIGNMENT_IN_PROGRESS, "nothing is being moved"),
                (_, Some(replicas)) if replicas == [BrokerId(NODE_ID)] => row,
                _ => {
                    let why = format!("each partition has exactly one replica, on broker {NODE_ID}");
                    refused(errors::INVALID_REPLICA_ASSIGNMENT, &why)
                }
            }
        };
        let partitions = topic.partitions.into_iter().map(|wanted| partition(wanted.partition_index, wanted.replicas));
        let partitions = partitions.collect();
        ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    response.with_responses(topics.collect())
}

pub(crate) async fn list(
    context: &Context,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let response = ListPartitionReassignmentsResponse::default().with_error_message(None);
    match context.authorize(Operation::Describe, CLUSTER) {
        Ok(()) => response,
        Err(code) => response.with_error_code(code),
    }
}

/// Directories of replicas (KIP-113).
pub(crate) async fn alter_log_dirs(
    context: &Context,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let may = context.authorize(Operation::Alter, CLUSTER);
    let mut results = Vec::new();
    for dir in request.dirs {
        let is_ours = dir.path == StrBytes::from_static_str(LOG_DIR);
        for topic in dir.topics {
            let partition = |index: i32| {
                let code = match (may, partition_of(context, &topic.name, index)) {
                    (Err(code), _) => code,
                    _ if !is_ours => errors::LOG_DIR_NOT_FOUND,
                    (_, None) => errors::UNKNOWN_TOPIC_OR_PARTITION,
                    _ => 0,
                };
                AlterReplicaLogDirPartitionResult::default().with_partition_index(index).with_error_code(code)
            };
            let partitions = topic.partitions.iter().copied().map(partition).collect();
            results
                .push(AlterReplicaLogDirTopicResult::default().with_topic_name(topic.name).with_partitions(partitions));
        }
    }
    AlterReplicaLogDirsResponse::default().with_results(results)
}
