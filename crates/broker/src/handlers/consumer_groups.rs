//! The group protocol of KIP-848: one request of members, one of admins.

use std::{sync::Arc, time::Duration};

use commitlog::groups::{
    ConsumerHeartbeat, ConsumerHeartbeatAnswer, ConsumerMemberDescription, GroupError, Partitions,
};
use kafka_protocol::{
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, GroupId, TopicName, consumer_group_describe_response as described,
        consumer_group_heartbeat_response as told,
    },
    protocol::StrBytes,
};
use model::{PartitionId, TopicId};

use super::{each_once, errors, wire_topic};
use crate::{
    access::{self, Operation},
    dispatch::Context,
};

/// Since this version the client makes its member id (KIP-1082).
const MEMBER_ID_FROM_CLIENT: i16 = 1;

pub(crate) async fn heartbeat(
    context: &Context,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let owned = |text: Option<StrBytes>| text.map(|text| text.to_string());
    let subscribed =
        request.subscribed_topic_names.iter().flatten().map(|name| (Operation::Describe, access::topic(name)));
    let needs = std::iter::once((Operation::Read, access::group(&request.group_id))).chain(subscribed);
    for (operation, on) in needs {
        if let Err(code) = context.authorize(operation, on) {
            let why = "the member may not read in this group, or not see a topic it subscribes to";
            return ConsumerGroupHeartbeatResponse::default()
                .with_error_code(code)
                .with_error_message(Some(why.into()));
        }
    }
    if context.version >= MEMBER_ID_FROM_CLIENT && request.member_id.is_empty() {
        return refused(GroupError::InvalidRequest("the member id is empty"));
    }
    let partitions = request.topic_partitions.map(|topics| {
        topics.into_iter().flat_map(|t| t.partitions.into_iter().map(move |p| (t.topic_id, p))).collect()
    });
    let heartbeat = ConsumerHeartbeat {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        epoch: request.member_epoch,
        instance: owned(request.instance_id),
        rack: owned(request.rack_id),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms).ok().map(Duration::from_millis),
        topics: request.subscribed_topic_names.map(|names| names.iter().map(|name| Arc::from(name.as_str())).collect()),
        regex: owned(request.subscribed_topic_regex),
        assignor: owned(request.server_assignor),
        owned: partitions,
        client_id: context.client_id.clone(),
        client_host: format!("/{}", context.client.peer.ip()),
        viewer: context.viewer(),
    };
    let groups = &context.shared.groups;
    let ConsumerHeartbeatAnswer { member, epoch, assignment } = match groups.consumer_heartbeat(heartbeat).await {
        Ok(answer) => answer,
        Err(error) => return refused(error),
    };
    let interval = i32::try_from(groups.settings().consumer_heartbeat_interval_of(&request.group_id).as_millis())
        .unwrap_or(i32::MAX);
    let assignment = assignment.map(|mut partitions| {
        // Rights may have been withdrawn since its expression was resolved.
        partitions.retain(|(id, _)| may_see(context, *id));
        let row =
            |(topic, partitions)| told::TopicPartitions::default().with_topic_id(topic).with_partitions(partitions);
        told::Assignment::default().with_topic_partitions(by_topic(&partitions).into_iter().map(row).collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(member.into()))
        .with_member_epoch(epoch)
        .with_heartbeat_interval_ms(if request.member_epoch < 0 { 0 } else { interval })
        .with_assignment(assignment)
}

/// Topics that are gone have no name, and nothing to hide.
fn may_see(context: &Context, id: TopicId) -> bool {
    let topic = context.shared.log.topic_by_id(id);
    topic.is_none_or(|topic| context.may(Operation::Describe, access::topic(&topic.name)))
}

fn refused(error: GroupError) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.kafka_code())
        .with_error_message(Some(error.to_string().into()))
}

fn by_topic(partitions: &Partitions) -> Vec<(TopicId, Vec<PartitionId>)> {
    let mut topics: Vec<(TopicId, Vec<PartitionId>)> = Vec::new();
    for &(topic, partition) in partitions {
        match topics.last_mut() {
            Some((last, partitions)) if *last == topic => partitions.push(partition),
            _ => topics.push((topic, vec![partition])),
        }
    }
    topics
}

pub(crate) async fn describe(
    context: &Context,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let tells_rights = request.include_authorized_operations;
    let groups = each_once(request.group_ids).map(|id| describe_one(context, id, tells_rights));
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe_one(context: &Context, id: GroupId, tells_rights: bool) -> described::DescribedGroup {
    let row = described::DescribedGroup::default();
    if let Err(code) = context.authorize(Operation::Describe, access::group(&id)) {
        return row.with_error_code(code).with_group_id(id);
    }
    if id.is_empty() {
        return row.with_error_code(errors::INVALID_GROUP_ID).with_error_message(Some("the group id is empty".into()));
    }
    let groups = &context.shared.groups;
    let Some(group) = groups.describe_consumer(&id) else {
        let why = match groups.group_type(&id) {
            Some(_) => "the group is not of the consumer protocol: ask DescribeGroups",
            None => "there is no such group",
        };
        let row = row.with_error_code(errors::GROUP_ID_NOT_FOUND).with_error_message(Some(why.into()));
        return row.with_group_id(id);
    };
    // A member without its partitions would be a wrong answer: then there is none (KIP-848).
    let assigned = |member: &ConsumerMemberDescription| {
        member.assigned.iter().chain(&member.target).all(|(id, _)| may_see(context, *id))
    };
    if !group.members.iter().all(assigned) {
        let why = "the group reads topics that the client may not see";
        let row = row.with_error_code(errors::TOPIC_AUTHORIZATION_FAILED).with_error_message(Some(why.into()));
        return row.with_group_id(id);
    }
    let row = match tells_rights {
        true => row.with_authorized_operations(context.authorized_operations(access::group(&id))),
        false => row,
    };
    row.with_group_id(id)
        .with_group_state(group.state.name().into())
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(group.assignor.into())
        .with_members(group.members.into_iter().map(|member| describe_member(context, member)).collect())
}

fn describe_member(context: &Context, member: ConsumerMemberDescription) -> described::Member {
    const UNKNOWN: i8 = -1;
    const CLASSIC: i8 = 0;
    const CONSUMER: i8 = 1;
    let speaks = if member.is_classic { CLASSIC } else { CONSUMER };
    // Topics that were deleted meanwhile have no name any more and are left out.
    let assignment = |partitions: &Partitions| {
        let row = |(id, partitions)| {
            let topic = context.shared.log.topic_by_id(id)?;
            let row = described::TopicPartitions::default().with_topic_id(id).with_partitions(partitions);
            Some(row.with_topic_name(wire_topic(topic.name.as_str())))
        };
        described::Assignment::default()
            .with_topic_partitions(by_topic(partitions).into_iter().filter_map(row).collect())
    };
    let names: Vec<TopicName> = member.topics.iter().map(|name| wire_topic(name)).collect();
    described::Member::default()
        .with_member_id(member.member.into())
        .with_instance_id(member.instance.map(StrBytes::from_string))
        .with_rack_id(member.rack.map(StrBytes::from_string))
        .with_member_epoch(member.epoch)
        .with_client_id(member.client_id.into())
        .with_client_host(member.client_host.into())
        .with_subscribed_topic_names(names)
        .with_subscribed_topic_regex(member.regex.map(StrBytes::from_string))
        .with_assignment(assignment(&member.assigned))
        .with_target_assignment(assignment(&member.target))
        .with_member_type(if context.version >= 1 { speaks } else { UNKNOWN })
}
