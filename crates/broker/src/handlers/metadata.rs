//! ApiVersions, Metadata and their younger relatives: what there is, and who serves it (always us).

use std::{collections::HashSet, sync::Arc};

use commitlog::{Topic, TopicSpec, log::Log};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerId, DescribeClusterRequest, DescribeClusterResponse,
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse,
        api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
        describe_cluster_response::DescribeClusterBroker,
        describe_topic_partitions_request::TopicRequest,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};
use model::{Error, ErrorKind, TopicPartition, error::codes};
use uuid::Uuid;

use super::{check_unprotected, code, errors, text, wire_topic};
use crate::{
    NODE_ID,
    access::{self, CLUSTER, Operation},
    dispatch::{Context, Outcome, encode_as},
    versions::{FEATURES, OFFERS},
};

pub(crate) async fn api_versions(context: &Context, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let (name, version) = (&*request.client_software_name, &*request.client_software_version);
    if context.version >= 3 {
        if !(is_software(name) && is_software(version)) {
            return ApiVersionsResponse::default().with_error_code(errors::INVALID_REQUEST);
        }
        context.client.introduce(name, version);
    }
    features(offers(0), context.version)
}

/// A feature has one level, and no other can be had. What is supported is told from version 4 on, as by Kafka (KIP-1022).
fn features(response: ApiVersionsResponse, version: i16) -> ApiVersionsResponse {
    let name = StrBytes::from_static_str;
    let supported = FEATURES.iter().filter(|_| version >= 4).map(|(feature, level)| {
        SupportedFeatureKey::default().with_name(name(feature)).with_min_version(*level).with_max_version(*level)
    });
    let finalized = FEATURES.iter().map(|(feature, level)| {
        let feature = FinalizedFeatureKey::default().with_name(name(feature));
        feature.with_max_version_level(*level).with_min_version_level(*level)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(0)
        .with_finalized_features(finalized.collect())
}

/// `[a-zA-Z0-9]([a-zA-Z0-9\-.]*[a-zA-Z0-9])?`, with an end so that it can be kept.
fn is_software(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.len() <= 256
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// The answer to a version we do not know, in the oldest format (KIP-511): the client tries again with one of ours.
pub(crate) fn api_versions_unsupported(correlation: i32) -> Outcome {
    encode_as(correlation, 0, &offers(errors::UNSUPPORTED_VERSION))
}

fn offers(error: i16) -> ApiVersionsResponse {
    let offer = |key: ApiKey, min, max| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default()
        .with_error_code(error)
        .with_api_keys(OFFERS.iter().map(|o| offer(o.key, o.min, o.max)).collect())
}

pub(crate) async fn metadata(context: &Context, request: MetadataRequest) -> MetadataResponse {
    let log = &context.shared.log;
    let all = request.topics.is_none() || (context.version == 0 && request.topics.as_ref().is_some_and(Vec::is_empty));
    let mut topics = Vec::new();
    if all {
        let mut all = log.topics();
        all.retain(|topic| context.may(Operation::Describe, access::topic(&topic.name)));
        topics.extend(all.iter().map(|topic| known_topic(&**log, topic)));
    } else {
        // Below version 4 there is no such field, and asking for a topic is asking to make it.
        let create = context.version < 4 || request.allow_auto_topic_creation;
        let mut told = HashSet::new();
        for wanted in request.topics.unwrap_or_default() {
            // Once, whatever its number of partitions (`KafkaApis.handleTopicMetadataRequest` makes a set of them).
            if !told.insert((wanted.topic_id, wanted.name.clone().filter(|_| wanted.topic_id.is_nil()))) {
                continue;
            }
            // Java's consumer asks by id with an empty name instead of none, for topics a regular expression brought it.
            let topic = match wanted.name.as_ref().filter(|_| wanted.topic_id.is_nil()) {
                Some(name) => match find_or_create(context, name, create).await {
                    Ok(topic) => known_topic(&**log, &topic),
                    Err(code) => unknown_topic(code).with_name(Some(name.clone())),
                },
                None => match find_by_id(context, wanted.topic_id) {
                    Ok(topic) => known_topic(&**log, &topic),
                    Err(code) => unknown_topic(code)
                        .with_name(if context.version >= 12 { None } else { Some(wire_topic("")) })
                        .with_topic_id(wanted.topic_id),
                },
            };
            topics.push(topic);
        }
    }
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.topic_authorized_operations = context.authorized_operations(access::topic(name));
        }
    }
    let (host, port) = &context.shared.advertised;
    let response = MetadataResponse::default();
    let response = match request.include_cluster_authorized_operations {
        true => response.with_cluster_authorized_operations(operations_on_cluster(context)),
        false => response,
    };
    response
        .with_brokers(vec![
            MetadataResponseBroker::default().with_node_id(BrokerId(NODE_ID)).with_host(text(host)).with_port(*port),
        ])
        .with_cluster_id(Some(text(log.cluster_id())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

/// Ids are no secret, so whoever may not see a topic hears that (`KafkaApis.handleTopicMetadataRequest`), and not its name.
fn find_by_id(context: &Context, id: Uuid) -> Result<Arc<Topic>, i16> {
    let topic = context.shared.log.topic_by_id(id).ok_or(errors::UNKNOWN_TOPIC_ID)?;
    context.authorize(Operation::Describe, access::topic(&topic.name)).map(|()| topic)
}

/// A topic that is not there is made, if the client and the settings allow it, before the answer says anything.
async fn find_or_create(context: &Context, name: &str, create: bool) -> Result<Arc<Topic>, i16> {
    context.authorize(Operation::Describe, access::topic(name))?;
    find_or_create_allowed(context, name, create).await.map_err(|error| code(&error))
}

async fn find_or_create_allowed(context: &Context, name: &str, create: bool) -> Result<Arc<Topic>, Error> {
    let shared = &context.shared;
    if let Some(topic) = shared.log.topic(name) {
        return Ok(topic);
    }
    let name = match check_unprotected(name) {
        Err(error) if error.is(codes::INTERNAL_TOPIC) => None,
        name => Some(name?),
    };
    let Some(name) = name.filter(|_| create && shared.dynamic.door().auto_create_topics) else {
        return Err(Error::new(codes::TOPIC_NOT_FOUND, "there is no such topic"));
    };
    let may = context.may(Operation::Create, CLUSTER);
    if !may && context.authorize(Operation::Create, access::topic(&name)).is_err() {
        return Err(Error::new(codes::NOT_ALLOWED, "the client may not make topics"));
    }
    let spec = TopicSpec::new(name.clone(), shared.dynamic.door().partitions_default);
    match shared.log.create_topic(spec, false).await {
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::TopicExists => shared.log.topic(&name).ok_or(error),
        made => {
            match &made {
                Ok(_) => {
                    tracing::info!(topic = %name, client = context.client_id, "topic made because a client asked for it")
                }
                // The protocol has no room for the reason.
                Err(error) => {
                    if let Some(left_out) = shared.not_made.tell(shared.world.clock.monotonic()) {
                        tracing::warn!(topic = %name, client = context.client_id, %error, left_out, "topic not made");
                    }
                }
            }
            made
        }
    }
}

/// What the client may do to the cluster; nothing to those who may not look at it.
fn operations_on_cluster(context: &Context) -> i32 {
    match context.authorize(Operation::Describe, CLUSTER) {
        Ok(()) => context.authorized_operations(CLUSTER),
        Err(_) => 0,
    }
}

fn leader_epoch(log: &dyn Log, topic: &Topic, partition: i32) -> i32 {
    log.bounds(&TopicPartition::new(topic.name.clone(), partition)).map_or(0, |bounds| bounds.leader_epoch)
}

fn known_topic(log: &dyn Log, topic: &Topic) -> MetadataResponseTopic {
    let us = || vec![BrokerId(NODE_ID)];
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(leader_epoch(log, topic, index))
            .with_replica_nodes(us())
            .with_isr_nodes(us())
    };
    MetadataResponseTopic::default()
        .with_name(Some(wire_topic(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(topic.name.is_bookkeeping())
        .with_partitions((0..topic.partitions).map(partition).collect())
}

fn unknown_topic(code: i16) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code)
}

pub(crate) async fn describe_cluster(context: &Context, request: DescribeClusterRequest) -> DescribeClusterResponse {
    const BROKERS: i8 = 1;
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse::default()
            .with_error_code(errors::MISMATCHED_ENDPOINT_TYPE)
            .with_error_message(Some(StrBytes::from_static_str("this is a broker, not a controller")));
    }
    let (host, port) = &context.shared.advertised;
    let response = DescribeClusterResponse::default();
    let response = match request.include_cluster_authorized_operations {
        true => response.with_cluster_authorized_operations(operations_on_cluster(context)),
        false => response,
    };
    response.with_cluster_id(text(context.shared.log.cluster_id())).with_controller_id(BrokerId(NODE_ID)).with_brokers(
        vec![DescribeClusterBroker::default().with_broker_id(BrokerId(NODE_ID)).with_host(text(host)).with_port(*port)],
    )
}

pub(crate) async fn describe_topic_partitions(
    context: &Context,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let log = &context.shared.log;
    let mut names: Vec<String> = match request.topics.is_empty() {
        true => {
            let topics = log.topics().into_iter().map(|topic| topic.name.to_string());
            topics.filter(|name| context.may(Operation::Describe, access::topic(name))).collect()
        }
        false => request.topics.iter().map(|t| t.name.to_string()).collect(),
    };
    let from = request.cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    let is_elsewhere = |topic: &String| !request.topics.is_empty() && !names.contains(topic);
    if from.as_ref().is_some_and(|(topic, partition)| *partition < 0 || is_elsewhere(topic)) {
        // `DescribeTopicPartitionsRequest.getErrorResponse`
        let refused = |wanted: TopicRequest| {
            let row = DescribeTopicPartitionsResponseTopic::default().with_name(Some(wanted.name));
            row.with_error_code(errors::INVALID_REQUEST)
        };
        let topics = request.topics.into_iter().map(refused).collect();
        return DescribeTopicPartitionsResponse::default().with_topics(topics);
    }
    names.sort();
    names.dedup();
    let (from_topic, mut from_partition) = from.unwrap_or_default();
    let mut room = request.response_partition_limit.clamp(1, 2000);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= from_topic) {
        if name != from_topic {
            from_partition = 0;
        }
        if room == 0 {
            let cursor = Cursor::default().with_topic_name(wire_topic(&name)).with_partition_index(from_partition);
            return response.with_next_cursor(Some(cursor));
        }
        let row = DescribeTopicPartitionsResponseTopic::default().with_name(Some(wire_topic(&name)));
        if let Err(code) = context.authorize(Operation::Describe, access::topic(&name)) {
            response.topics.push(row.with_error_code(code));
            continue;
        }
        let Some(topic) = log.topic(&name) else {
            response.topics.push(row.with_error_code(errors::UNKNOWN_TOPIC_OR_PARTITION));
            continue;
        };
        let until = topic.partitions.min(from_partition.saturating_add(room));
        let us = || vec![BrokerId(NODE_ID)];
        let partition = |index| {
            DescribeTopicPartitionsResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(NODE_ID))
                .with_leader_epoch(leader_epoch(&**log, &topic, index))
                .with_replica_nodes(us())
                .with_isr_nodes(us())
                // Null is allowed by the schema, and not by the Java client.
                .with_eligible_leader_replicas(Some(Vec::new()))
                .with_last_known_elr(Some(Vec::new()))
        };
        let partitions: Vec<_> = (from_partition..until).map(partition).collect();
        room -= partitions.len() as i32;
        response.topics.push(
            row.with_topic_id(topic.id)
                .with_is_internal(topic.name.is_bookkeeping())
                .with_topic_authorized_operations(context.authorized_operations(access::topic(&name)))
                .with_partitions(partitions),
        );
        if until < topic.partitions {
            let cursor = Cursor::default().with_topic_name(wire_topic(&name)).with_partition_index(until);
            return response.with_next_cursor(Some(cursor));
        }
    }
    response
}
