//! What members of consumer groups ask: from the wire to [`commitlog::groups`] and back.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use commitlog::groups::{
    CommitRequest, CommittedOffset, GroupError, JoinRequest, Leaver, MemberRef, OffsetToCommit, SyncRequest,
};
use kafka_protocol::{
    messages::{
        BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
        JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
        OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
        find_coordinator_response::Coordinator,
        join_group_response::JoinGroupResponseMember,
        leave_group_response::MemberResponse,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{
            OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
            OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
    protocol::StrBytes,
};

use super::{errors, partition_of, text, wire_topic};
use crate::{
    NODE_ID,
    access::{self, Operation, group, transactional_id},
    dispatch::Context,
};

fn error_code(error: Option<GroupError>) -> i16 {
    error.map_or(0, GroupError::kafka_code)
}

pub(super) fn result_code(result: Result<(), GroupError>) -> i16 {
    error_code(result.err())
}

fn owned(text: Option<&StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

pub(crate) async fn find_coordinator(context: &Context, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    const GROUP: i8 = 0;
    const TRANSACTION: i8 = 1;
    let (host, port) = &context.shared.advertised;
    let refusal = match request.key_type {
        GROUP | TRANSACTION => None,
        _ => Some(StrBytes::from_static_str(
            "only consumer groups and transactions have a coordinator here: share groups are not offered",
        )),
    };
    let unknown = |key: &StrBytes, code, why| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(code)
            .with_error_message(why)
    };
    let key = |key: &StrBytes| {
        if refusal.is_some() {
            return unknown(key, errors::INVALID_REQUEST, refusal.clone());
        }
        let resource = if request.key_type == GROUP { group(key) } else { transactional_id(key) };
        match context.authorize(Operation::Describe, resource) {
            Ok(()) => Coordinator::default()
                .with_key(key.clone())
                .with_node_id(BrokerId(NODE_ID))
                .with_host(text(host))
                .with_port(*port),
            Err(code) => unknown(key, code, None),
        }
    };
    if context.version >= 4 {
        return FindCoordinatorResponse::default()
            .with_coordinators(request.coordinator_keys.iter().map(key).collect());
    }
    let found = key(&request.key);
    FindCoordinatorResponse::default()
        .with_error_code(found.error_code)
        .with_error_message(found.error_message)
        .with_node_id(found.node_id)
        .with_host(found.host)
        .with_port(found.port)
}

fn timeout(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(crate) async fn join(context: &Context, request: JoinGroupRequest) -> JoinGroupResponse {
    if let Err(code) = context.authorize(Operation::Read, group(&request.group_id)) {
        return refused_join(context.version, code);
    }
    let version = context.version;
    let session_timeout = timeout(request.session_timeout_ms);
    let answer = context
        .shared
        .groups
        .join(JoinRequest {
            group: request.group_id.to_string(),
            member: request.member_id.to_string(),
            instance: owned(request.group_instance_id.as_ref()),
            client_id: context.client_id.clone(),
            client_host: format!("/{}", context.client.peer.ip()),
            session_timeout,
            rebalance_timeout: if version >= 1 { timeout(request.rebalance_timeout_ms) } else { session_timeout },
            protocol_type: request.protocol_type.to_string(),
            // Copied: they are kept, and would keep the whole frame.
            protocols: request
                .protocols
                .iter()
                .map(|p| (p.name.to_string(), bytes::Bytes::copy_from_slice(&p.metadata)))
                .collect(),
            knows_member_id_first: version >= 4,
            knows_skip_assignment: version >= 9,
        })
        .await;
    let member = |m: commitlog::groups::JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(m.member.into())
            .with_group_instance_id(m.instance.map(StrBytes::from_string).filter(|_| version >= 5))
            .with_metadata(m.metadata)
    };
    // Null is allowed for the protocol only from version 7 on.
    let protocol = if version >= 7 { answer.protocol } else { Some(answer.protocol.unwrap_or_default()) };
    JoinGroupResponse::default()
        .with_error_code(error_code(answer.error))
        .with_generation_id(answer.generation)
        .with_protocol_type(answer.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol.map(StrBytes::from_string))
        .with_leader(answer.leader.into())
        .with_member_id(answer.member.into())
        .with_skip_assignment(version >= 9 && answer.skip_assignment)
        .with_members(answer.members.into_iter().map(member).collect())
}

/// Null is allowed for the protocol only from version 7 on.
fn refused_join(version: i16, code: i16) -> JoinGroupResponse {
    let protocol = if version >= 7 { None } else { Some(StrBytes::default()) };
    JoinGroupResponse::default().with_error_code(code).with_generation_id(-1).with_protocol_name(protocol)
}

pub(crate) async fn sync(context: &Context, request: SyncGroupRequest) -> SyncGroupResponse {
    if context.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return SyncGroupResponse::default().with_error_code(errors::INCONSISTENT_GROUP_PROTOCOL);
    }
    if let Err(code) = context.authorize(Operation::Read, group(&request.group_id)) {
        return SyncGroupResponse::default().with_error_code(code);
    }
    let answer = context
        .shared
        .groups
        .sync(SyncRequest {
            who: MemberRef {
                group: request.group_id.to_string(),
                member: request.member_id.to_string(),
                instance: owned(request.group_instance_id.as_ref()),
                generation: request.generation_id,
            },
            protocol_type: owned(request.protocol_type.as_ref()),
            protocol: owned(request.protocol_name.as_ref()),
            assignments: request.assignments.into_iter().map(|a| (a.member_id.to_string(), a.assignment)).collect(),
        })
        .await;
    SyncGroupResponse::default()
        .with_error_code(error_code(answer.error))
        .with_protocol_type(answer.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(answer.protocol.map(StrBytes::from_string))
        .with_assignment(answer.assignment)
}

pub(crate) async fn heartbeat(context: &Context, request: HeartbeatRequest) -> HeartbeatResponse {
    if let Err(code) = context.authorize(Operation::Read, group(&request.group_id)) {
        return HeartbeatResponse::default().with_error_code(code);
    }
    let who = MemberRef {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: owned(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    HeartbeatResponse::default().with_error_code(result_code(context.shared.groups.heartbeat(who).await))
}

pub(crate) async fn leave(context: &Context, request: LeaveGroupRequest) -> LeaveGroupResponse {
    if let Err(code) = context.authorize(Operation::Read, group(&request.group_id)) {
        return LeaveGroupResponse::default().with_error_code(code);
    }
    if request.group_id.is_empty() {
        return LeaveGroupResponse::default().with_error_code(errors::INVALID_GROUP_ID);
    }
    let groups = &context.shared.groups;
    if context.version < 3 {
        let leaver = Leaver { member: request.member_id.to_string(), instance: None };
        let results = groups.leave(&request.group_id, vec![leaver]).await;
        let result = results.into_iter().next().unwrap_or(Err(GroupError::NotAvailable));
        return LeaveGroupResponse::default().with_error_code(result_code(result));
    }
    let leaver = |m: &kafka_protocol::messages::leave_group_request::MemberIdentity| Leaver {
        member: m.member_id.to_string(),
        instance: owned(m.group_instance_id.as_ref()),
    };
    let results = groups.leave(&request.group_id, request.members.iter().map(leaver).collect()).await;
    let row = |(m, result): (kafka_protocol::messages::leave_group_request::MemberIdentity, _)| {
        MemberResponse::default()
            .with_member_id(m.member_id)
            .with_group_instance_id(m.group_instance_id)
            .with_error_code(result_code(result))
    };
    LeaveGroupResponse::default().with_members(request.members.into_iter().zip(results).map(row).collect())
}

pub(crate) async fn commit(context: &Context, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let by_group = context.authorize(Operation::Read, group(&request.group_id));
    let groups = &context.shared.groups;
    // Before version 9 the protocol has no member epochs (KIP-848).
    let has_no_epochs = context.version < 9 && groups.is_consumer_member(&request.group_id, &request.member_id);
    let mut offsets = Vec::new();
    // Partitions that do not exist or may not be read are refused here; the others get the group's answers in their order.
    let mut refused = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let by_topic = by_group.and_then(|()| context.authorize(Operation::Read, access::topic(&name)));
        for partition in &topic.partitions {
            let exists = partition_of(context, &topic.name, partition.partition_index).is_some();
            let why = match exists {
                _ if by_topic.is_err() => by_topic.err(),
                false => Some(errors::UNKNOWN_TOPIC_OR_PARTITION),
                true => has_no_epochs.then_some(errors::UNSUPPORTED_VERSION),
            };
            refused.push(why);
            if why.is_none() {
                offsets.push(OffsetToCommit {
                    topic: name.clone(),
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: owned(partition.committed_metadata.as_ref()).unwrap_or_default(),
                });
            }
        }
    }
    let who = MemberRef {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: owned(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    // From version 9 on, a member of a group that is not there is told so.
    let unknown = (context.version >= 9 && who.generation >= 0 && groups.group_type(&who.group).is_none())
        .then_some(errors::GROUP_ID_NOT_FOUND);
    // What names nothing that exists and is allowed is answered without the group (`KafkaApis.handleOffsetCommitRequest`).
    let results = match offsets.is_empty() {
        true => Vec::new(),
        false => groups.commit(CommitRequest { who, offsets }).await,
    };
    let mut results = results.into_iter();
    let mut refused = refused.into_iter();
    let mut next_code = || match refused.next().flatten() {
        Some(code) => code,
        None => {
            let code = results.next().map_or(errors::UNKNOWN_SERVER_ERROR, result_code);
            unknown.filter(|_| code != 0).unwrap_or(code)
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(p.partition_index)
                .with_error_code(next_code())
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

pub(crate) async fn fetch_offsets(context: &Context, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let mut seen = Seen::default();
    if context.version >= 8 {
        let one = |wanted: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
            if let Err(code) = context.authorize(Operation::Describe, group(&wanted.group_id)) {
                return OffsetFetchResponseGroup::default().with_group_id(wanted.group_id).with_error_code(code);
            }
            let reader = wanted.member_id.as_deref();
            if let Err(error) = context.shared.groups.check_reader(&wanted.group_id, reader, wanted.member_epoch) {
                let row = OffsetFetchResponseGroup::default().with_error_code(error.kafka_code());
                return row.with_group_id(wanted.group_id);
            }
            let topics =
                wanted.topics.map(|topics| topics.into_iter().map(|t| (t.name.0, t.partition_indexes)).collect());
            let found = committed(context, &wanted.group_id, topics, request.require_stable, &mut seen);
            let topics = found.into_iter().map(|(name, partitions)| {
                let row = |(index, found): (i32, Found)| {
                    let (code, offset, epoch, metadata) = parts(found);
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(index)
                        .with_error_code(code)
                        .with_committed_offset(offset)
                        .with_committed_leader_epoch(epoch)
                        .with_metadata(Some(metadata.into()))
                };
                OffsetFetchResponseTopics::default()
                    .with_name(wire_topic(&name))
                    .with_partitions(partitions.into_iter().map(row).collect())
            });
            OffsetFetchResponseGroup::default().with_topics(topics.collect()).with_group_id(wanted.group_id.clone())
        };
        return OffsetFetchResponse::default().with_groups(request.groups.into_iter().map(one).collect());
    }
    if let Err(code) = context.authorize(Operation::Describe, group(&request.group_id)) {
        return refused_offsets(context.version, request, code);
    }
    // Version 1 has no "all topics": its empty list means none.
    let topics = request.topics.map(|topics| topics.into_iter().map(|t| (t.name.0, t.partition_indexes)).collect());
    let found = committed(context, &request.group_id, topics, request.require_stable, &mut seen);
    let topics = found.into_iter().map(|(name, partitions)| {
        let row = |(index, found): (i32, Found)| {
            let (code, offset, epoch, metadata) = parts(found);
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(if context.version >= 5 { epoch } else { -1 })
                .with_metadata(Some(metadata.into()))
        };
        OffsetFetchResponseTopic::default()
            .with_name(wire_topic(&name))
            .with_partitions(partitions.into_iter().map(row).collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// Version 1 says it of each partition, having no other place.
fn refused_offsets(version: i16, request: OffsetFetchRequest, code: i16) -> OffsetFetchResponse {
    if version >= 2 {
        return OffsetFetchResponse::default().with_error_code(code);
    }
    let topics = request.topics.unwrap_or_default().into_iter().map(|topic| {
        let row = |index: &i32| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*index)
                .with_error_code(code)
                .with_committed_offset(-1)
                .with_metadata(Some(StrBytes::default()))
        };
        let partitions = topic.partition_indexes.iter().map(row).collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

/// An offset if there is one, or why the client shall ask again.
type Found = Result<Option<CommittedOffset>, i16>;
type TopicOffsets = Vec<(String, Vec<(i32, Found)>)>;

/// What a request has been told, for the reason of [`each_once`](super::each_once): an offset may come with kilobytes of metadata.
#[derive(Default)]
struct Seen {
    all_of: HashSet<GroupId>,
    partitions: HashSet<(GroupId, StrBytes, i32)>,
}

/// Offsets of the partitions asked for, or of all the group knows, unless the request has been told. `stable_only`: not of those
/// that an open transaction may change (KIP-447).
fn committed(
    context: &Context,
    group: &GroupId,
    topics: Option<Vec<(StrBytes, Vec<i32>)>>,
    stable_only: bool,
    seen: &mut Seen,
) -> TopicOffsets {
    let groups = &context.shared.groups;
    let stable = |topic: &str, partition, offset| {
        if stable_only && groups.is_unstable(group, topic, partition) {
            Err(errors::UNSTABLE_OFFSET_COMMIT)
        } else {
            Ok(offset)
        }
    };
    if let Some(topics) = topics {
        let one = |(topic, partitions): (StrBytes, Vec<i32>)| {
            let may = context.authorize(Operation::Describe, access::topic(&topic));
            let found = |p| (p, may.and_then(|()| stable(&topic, p, groups.offset(group, &topic, p))));
            let fresh = partitions.into_iter().filter(|p| seen.partitions.insert((group.clone(), topic.clone(), *p)));
            (topic.to_string(), fresh.map(found).collect())
        };
        return topics.into_iter().map(one).collect();
    }
    if !seen.all_of.insert(group.clone()) {
        return Vec::new();
    }
    let mut all: TopicOffsets = Vec::new();
    let mut visible = HashMap::new();
    for ((topic, partition), offset) in groups.offsets(group) {
        let see = || context.may(Operation::Describe, access::topic(&topic));
        if !*visible.entry(topic.clone()).or_insert_with(see) {
            continue;
        }
        let found = (partition, stable(&topic, partition, Some(offset)));
        match all.last_mut() {
            Some((name, partitions)) if **name == *topic => partitions.push(found),
            _ => all.push((topic.to_string(), vec![found])),
        }
    }
    all
}

/// Error code, offset, leader epoch and metadata.
fn parts(found: Found) -> (i16, i64, i32, String) {
    match found {
        Ok(Some(offset)) => (0, offset.offset, offset.leader_epoch, offset.metadata),
        Ok(None) => (0, -1, -1, String::new()),
        Err(code) => (code, -1, -1, String::new()),
    }
}
