//! Small things: log directories, elections nobody needs, a quorum of one.

use kafka_protocol::{
    messages::{
        BrokerId, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
        ElectLeadersRequest, ElectLeadersResponse,
        describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
        describe_quorum_response as quorum,
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
    },
    protocol::StrBytes,
};

use super::{errors, partition_of, place, text, wire_topic};
use crate::{
    NODE_ID,
    access::{CLUSTER, Operation},
    dispatch::Context,
};

/// What the one log directory is called: where it really is concerns nobody who connects.
pub(crate) const LOG_DIR: &str = "/lakehead";
/// Kafka's log of its own metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";

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
    let dir =
        DescribeLogDirsResult::default().with_log_dir(StrBytes::from_static_str(LOG_DIR)).with_topics(topics.collect());
    DescribeLogDirsResponse::default().with_results(vec![dir])
}

/// The only broker leads everything already.
pub(crate) async fn elect_leaders(context: &Context, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if let Err(code) = context.authorize(Operation::Alter, CLUSTER) {
        return ElectLeadersResponse::default().with_error_code(if context.version >= 1 { code } else { 0 });
    }
    // Of the preferred replica, or of one that is not in sync; before version 1 it is not said.
    let unknown = (!matches!(request.election_type, 0 | 1))
        .then(|| text(&format!("Unknown election type {}", request.election_type)));
    let topics = request.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let partition = |index: i32| {
            let row = PartitionResult::default().with_partition_id(index);
            if unknown.is_some() {
                return row.with_error_code(errors::INVALID_REQUEST).with_error_message(unknown.clone());
            }
            let code = match partition_of(context, &topic.topic, index) {
                Some(_) => errors::ELECTION_NOT_NEEDED,
                None => errors::UNKNOWN_TOPIC_OR_PARTITION,
            };
            row.with_error_code(code).with_error_message(None)
        };
        let partitions = topic.partitions.iter().copied().map(partition).collect();
        ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(partitions)
    });
    let code = if unknown.is_some() { errors::INVALID_REQUEST } else { 0 };
    ElectLeadersResponse::default().with_error_code(code).with_replica_election_results(topics.collect())
}

/// One node decides alone, and has no log of metadata: topics and settings are durable where they are (KIP-595, KIP-836, KIP-853).
pub(crate) async fn describe_quorum(context: &Context, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    if let Err(code) = context.authorize(Operation::Describe, CLUSTER) {
        return DescribeQuorumResponse::default().with_error_code(code);
    }
    let (node, now) = (BrokerId(NODE_ID), context.shared.world.clock.now_ms());
    let voter = || {
        quorum::ReplicaState::default()
            .with_replica_id(node)
            .with_log_end_offset(0)
            .with_last_fetch_timestamp(now)
            .with_last_caught_up_timestamp(now)
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partition = |index: i32| {
            let row = quorum::PartitionData::default().with_partition_index(index).with_error_message(None);
            if *topic.topic_name != *METADATA_TOPIC || index != 0 {
                let why = "the only quorum is that of __cluster_metadata-0";
                return row
                    .with_error_code(errors::UNKNOWN_TOPIC_OR_PARTITION)
                    .with_error_message((context.version >= 2).then(|| text(why)));
            }
            row.with_leader_id(node).with_leader_epoch(1).with_high_watermark(0).with_current_voters(vec![voter()])
        };
        let partitions = topic.partitions.iter().map(|wanted| partition(wanted.partition_index)).collect();
        quorum::TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions)
    });
    let topics = topics.collect();
    let response = DescribeQuorumResponse::default().with_error_message(None).with_topics(topics);
    if context.version < 2 {
        return response;
    }
    let (host, port) = &context.shared.advertised;
    let listener = quorum::Listener::default()
        .with_name(text(context.shared.security.settings.protocol.name()))
        .with_host(text(host))
        .with_port(u16::try_from(*port).unwrap_or(0));
    response.with_nodes(vec![quorum::Node::default().with_node_id(node).with_listeners(vec![listener])])
}
