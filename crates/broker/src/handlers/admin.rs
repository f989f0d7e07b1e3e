//! Small things: log directories, elections nobody needs.

use kafka_protocol::{
    messages::{
        DescribeLogDirsRequest, DescribeLogDirsResponse, ElectLeadersRequest, ElectLeadersResponse,
        describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
    },
    protocol::StrBytes,
};

use super::{errors, partition_of, place, wire_topic};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
};

pub(crate) async fn describe_log_dirs(context: &Context, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    if let Err(code) = context.authorize(Operation::Describe, CLUSTER) {
        return DescribeLogDirsResponse::default().with_error_code(if context.version >= 3 { code } else { 0 });
    }
    let log = &context.shared.log;
    let asked = request.topics.map(|topics| {
        let one = |t: kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic| {
            log.topic(&t.topic).map(|topic| (topic, t.partitions))
        };
        topics.into_iter().filter_map(one).collect::<Vec<_>>()
    });
    let wanted = asked.unwrap_or_else(|| {
        log.topics().into_iter().map(|t| ((0..t.partitions).collect(), t)).map(|(p, t)| (t, p)).collect()
    });
    let topics = wanted.into_iter().map(|(topic, partitions): (_, Vec<i32>)| {
        let size = |index: i32| {
            let size = log.size(&place(&topic, index)?).ok()?;
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            Some(DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size))
        };
        DescribeLogDirsTopic::default()
            .with_name(wire_topic(&topic.name))
            .with_partitions(partitions.into_iter().filter_map(size).collect())
    });
    let dir = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str("/lakehead"))
        .with_topics(topics.collect());
    DescribeLogDirsResponse::default().with_results(vec![dir])
}

/// The only broker leads everything already.
pub(crate) async fn elect_leaders(context: &Context, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if let Err(code) = context.authorize(Operation::Alter, CLUSTER) {
        return ElectLeadersResponse::default().with_error_code(if context.version >= 1 { code } else { 0 });
    }
    let topics = request.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let partition = |index: i32| {
            let code = match partition_of(context, &topic.topic, index) {
                Some(_) => errors::ELECTION_NOT_NEEDED,
                None => errors::UNKNOWN_TOPIC_OR_PARTITION,
            };
            PartitionResult::default().with_partition_id(index).with_error_code(code)
        };
        let partitions = topic.partitions.iter().copied().map(partition).collect();
        ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(partitions)
    });
    ElectLeadersResponse::default().with_replica_election_results(topics.collect())
}
