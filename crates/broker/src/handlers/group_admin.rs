//! What admins ask of groups.

use std::{collections::HashSet, sync::Arc};

use commitlog::groups::{GroupError, MemberDescription};
use kafka_protocol::{
    messages::{
        DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest,
        ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
        delete_groups_response::DeletableGroupResult,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        list_groups_response::ListedGroup,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    },
    protocol::StrBytes,
};

use super::{each_once, errors, groups::result_code, partition_of};
use crate::{
    access::{self, CLUSTER, Operation, group},
    dispatch::Context,
};

pub(crate) async fn list(context: &Context, request: ListGroupsRequest) -> ListGroupsResponse {
    let lowercase = |filter: &[StrBytes]| filter.iter().map(|name| name.to_ascii_lowercase()).collect::<HashSet<_>>();
    let (states, types) = (lowercase(&request.states_filter), lowercase(&request.types_filter));
    let wanted = |filter: &HashSet<String>, value: &str| {
        filter.is_empty() || filter.contains(value.to_ascii_lowercase().as_str())
    };
    let groups = context
        .shared
        .groups
        .list()
        .into_iter()
        .filter(|group| wanted(&states, group.state.name()) && wanted(&types, group.state.group_type().name()));
    let sees_all = context.may(Operation::Describe, CLUSTER);
    let groups = groups.filter(|found| sees_all || context.may(Operation::Describe, group(&found.group)));
    let row = |group: commitlog::groups::GroupSummary| {
        let row = ListedGroup::default()
            .with_group_id(StrBytes::from_string(group.group.to_string()).into())
            .with_protocol_type(group.protocol_type.into());
        let row = if context.version >= 4 { row.with_group_state(group.state.name().into()) } else { row };
        if context.version >= 5 { row.with_group_type(group.state.group_type().name().into()) } else { row }
    };
    ListGroupsResponse::default().with_groups(groups.map(row).collect())
}

pub(crate) async fn describe(context: &Context, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let member = |m: MemberDescription| {
        DescribedGroupMember::default()
            .with_member_id(m.member.into())
            .with_group_instance_id(m.instance.map(StrBytes::from_string).filter(|_| context.version >= 4))
            .with_client_id(m.client_id.into())
            .with_client_host(m.client_host.into())
            .with_member_metadata(m.metadata)
            .with_member_assignment(m.assignment)
    };
    let groups = each_once(request.groups).map(|id| {
        let row = DescribedGroup::default();
        if let Err(code) = context.authorize(Operation::Describe, group(&id)) {
            return row.with_error_code(code).with_group_id(id);
        }
        let found = context.shared.groups.describe(&id);
        // Before version 6 a group that is not there is dead, and no error.
        let is_answered = found.is_some() || context.version < 6;
        let row = match request.include_authorized_operations && is_answered {
            true => row.with_authorized_operations(context.authorized_operations(group(&id))),
            false => row,
        };
        match found {
            Some(group) => row
                .with_group_state(group.state.name().into())
                .with_protocol_type(group.protocol_type.into())
                .with_protocol_data(group.protocol.into())
                .with_members(group.members.into_iter().map(member).collect()),
            None if context.version >= 6 => row
                .with_error_code(errors::GROUP_ID_NOT_FOUND)
                .with_error_message(Some(match context.shared.groups.group_type(&id) {
                    Some(_) => StrBytes::from_static_str("the group is not a classic group: ask ConsumerGroupDescribe"),
                    None => StrBytes::from_static_str("there is no such group"),
                }))
                .with_group_state("Dead".into()),
            None => row.with_group_state("Dead".into()),
        }
        .with_group_id(id)
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

pub(crate) async fn delete(context: &Context, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in each_once(request.groups_names) {
        let code = match context.authorize(Operation::Delete, group(&id)) {
            Ok(()) => context.shared.groups.delete(&id).await.err().map_or(0, GroupError::kafka_code),
            Err(code) => code,
        };
        results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(code));
    }
    DeleteGroupsResponse::default().with_results(results)
}

pub(crate) async fn delete_offsets(context: &Context, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    if let Err(code) = context.authorize(Operation::Delete, group(&request.group_id)) {
        return OffsetDeleteResponse::default().with_error_code(code);
    }
    if request.group_id.is_empty() {
        return OffsetDeleteResponse::default().with_error_code(errors::INVALID_GROUP_ID);
    }
    let mut partitions = Vec::new();
    // Partitions that do not exist or may not be read are refused here; the others get the group's answers in their order.
    let mut refused = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        let may = context.authorize(Operation::Read, access::topic(&name));
        for index in topic.partitions.iter().map(|p| p.partition_index) {
            let exists = partition_of(context, &name, index).is_some();
            let why = may.err().or((!exists).then_some(errors::UNKNOWN_TOPIC_OR_PARTITION));
            refused.push(why);
            if why.is_none() {
                partitions.push((name.clone(), index));
            }
        }
    }
    let results = match context.shared.groups.delete_offsets(&request.group_id, partitions).await {
        Ok(results) => results,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.kafka_code()),
    };
    let (mut results, mut refused) = (results.into_iter(), refused.into_iter());
    let topics = request.topics.into_iter().map(|topic| {
        let row = |index: i32| {
            let code = match refused.next().flatten() {
                Some(code) => code,
                None => results.next().map_or(errors::UNKNOWN_SERVER_ERROR, result_code),
            };
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
        };
        let partitions = topic.partitions.iter().map(|p| p.partition_index).map(row).collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
