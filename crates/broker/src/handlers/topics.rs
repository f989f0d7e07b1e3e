//! Making, growing and deleting topics, and deleting records.

use std::{collections::BTreeMap, time::Duration};

use commitlog::{Topic, TopicSpec};
use kafka_protocol::{
    messages::{
        BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
        DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
        create_partitions_response::CreatePartitionsTopicResult,
        create_topics_request::CreatableTopic,
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
        delete_topics_response::DeletableTopicResult,
    },
    protocol::StrBytes,
};
use model::Error;
use uuid::Uuid;

use super::{Times, check_unprotected, code, configs, errors, partition_of, text, told, wire_topic};
use crate::{
    NODE_ID,
    access::{self, CLUSTER, Operation},
    dispatch::Context,
    quotas::{Limit, throttle_ms},
};

/// First versions that know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const CREATE_REFUSED_FROM: i16 = 6;
const DELETE_REFUSED_FROM: i16 = 5;
const GROW_REFUSED_FROM: i16 = 3;

const OVER_QUOTA: &str = "the quota `controller_mutation_rate` is used up: try again after the throttle time";

pub(crate) async fn create(context: &Context, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let times = Times::of(request.topics.iter().map(|topic| topic.name.clone()));
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut wait = Duration::ZERO;
    for wanted in request.topics {
        // The protocol's default is an empty message; for a topic that was made Kafka sends none at all.
        let row = CreatableTopicResult::default().with_name(wanted.name.clone()).with_error_message(None);
        if let Err((code, why)) = times.once(&wanted.name, "topic") {
            topics.push(row.with_error_code(code).with_error_message(why));
            continue;
        }
        let made = match may_make(context, &wanted, request.validate_only, &mut wait).await {
            Ok(()) => create_one(context, &wanted, request.validate_only).await,
            Err(refused) => Err(refused),
        };
        topics.push(match made {
            Ok(topic) => created(context, row, &topic, request.validate_only),
            Err((code, why)) => row.with_error_code(code).with_error_message(Some(text(&why))).with_num_partitions(-1),
        });
    }
    CreateTopicsResponse::default().with_throttle_time_ms(throttle_ms(wait)).with_topics(topics)
}

/// Counts the partitions of a topic that could be made; what is refused for another reason costs nothing.
async fn may_make(
    context: &Context,
    wanted: &CreatableTopic,
    validate_only: bool,
    wait: &mut Duration,
) -> Result<(), (i16, String)> {
    if validate_only || !context.shared.quotas.limits(Limit::Mutation) {
        return Ok(());
    }
    let topic = create_one(context, wanted, true).await?;
    context.mutate(topic.partitions as usize, CREATE_REFUSED_FROM).map_err(|longer| {
        *wait = longer.max(*wait);
        (errors::THROTTLING_QUOTA_EXCEEDED, OVER_QUOTA.to_owned())
    })
}

async fn create_one(
    context: &Context,
    wanted: &CreatableTopic,
    validate_only: bool,
) -> Result<std::sync::Arc<Topic>, (i16, String)> {
    if !context.may(Operation::Create, CLUSTER) {
        let denied = |code| (code, "neither this topic nor topics at all may be made".to_owned());
        context.authorize(Operation::Create, access::topic(&wanted.name)).map_err(denied)?;
    }
    let failed = |error: Error| (code(&error), error.to_string());
    let name = check_unprotected(&wanted.name).map_err(failed)?;
    let partitions = if wanted.assignments.is_empty() {
        if !matches!(wanted.replication_factor, -1 | 1) {
            let why = format!("there is one broker, so the replication factor cannot be {}", wanted.replication_factor);
            return Err((errors::INVALID_REPLICATION_FACTOR, why));
        }
        if wanted.num_partitions == -1 {
            context.shared.dynamic.door().partitions_default
        } else {
            wanted.num_partitions
        }
    } else {
        if wanted.num_partitions != -1 || wanted.replication_factor != -1 {
            return Err((
                errors::INVALID_REQUEST,
                "assignments exclude a number of partitions and replicas".to_owned(),
            ));
        }
        let mut indexes: Vec<_> = wanted.assignments.iter().map(|a| a.partition_index).collect();
        indexes.sort_unstable();
        let ours = wanted.assignments.iter().all(|a| a.broker_ids == [BrokerId(NODE_ID)]);
        if !ours || !indexes.iter().copied().eq(0..indexes.len() as i32) {
            let why = format!("each partition from 0 on has exactly one replica, on broker {NODE_ID}");
            return Err((errors::INVALID_REPLICA_ASSIGNMENT, why));
        }
        indexes.len() as i32
    };
    let mut overrides = BTreeMap::new();
    for config in &wanted.configs {
        let Some(value) = &config.value else {
            return Err((errors::INVALID_CONFIG, format!("`{}` has no value", config.name)));
        };
        overrides.insert(config.name.to_string(), value.to_string());
    }
    let spec = TopicSpec { name, partitions: Some(partitions), overrides };
    context.shared.log.create_topic(spec, validate_only).await.map_err(failed)
}

fn created(context: &Context, row: CreatableTopicResult, topic: &Topic, validate_only: bool) -> CreatableTopicResult {
    let row = if context.version >= 7 && !validate_only { row.with_topic_id(topic.id) } else { row };
    if context.version < 5 {
        return row;
    }
    if context.authorize(Operation::DescribeConfigs, access::topic(&topic.name)).is_err() {
        // How many partitions a topic has is part of what it is set to.
        return row
            .with_topic_config_error_code(errors::TOPIC_AUTHORIZATION_FAILED)
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_configs(Some(Vec::new()));
    }
    let config = |config: configs::Described| {
        CreatableTopicConfigs::default()
            .with_name(text(config.name))
            .with_value(Some(text(config.value())))
            .with_config_source(config.source())
    };
    row.with_num_partitions(topic.partitions)
        .with_replication_factor(1)
        .with_configs(Some(configs::of_topic(context, topic).into_iter().map(config).collect()))
}

pub(crate) async fn delete(context: &Context, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = |name| (Some(name), Uuid::nil());
    let may_delete_any = context.may(Operation::Delete, CLUSTER);
    let wanted: Vec<_> = if context.version >= 6 {
        request.topics.into_iter().map(|t| (t.name, t.topic_id)).collect()
    } else {
        request.topic_names.into_iter().map(by_name).collect()
    };
    let times = Times::of(wanted.iter().cloned());
    let nonsense = |why| Err((errors::INVALID_REQUEST, Some(StrBytes::from_static_str(why))));
    let mut responses = Vec::with_capacity(wanted.len());
    let mut wait = Duration::ZERO;
    for (name, id) in wanted {
        let row = DeletableTopicResult::default().with_topic_id(id);
        let makes_sense = match (&name, id.is_nil()) {
            (Some(_), false) => nonsense("a topic is given by its name or by its id, not by both"),
            (None, true) => nonsense("neither a name nor an id is given"),
            _ => times.once(&(name.clone(), id), "topic"),
        };
        if let Err((code, why)) = makes_sense {
            responses.push(row.with_name(name).with_error_code(code).with_error_message(why));
            continue;
        }
        let found = match &name {
            Some(name) => Some(name.to_string()),
            None => context.shared.log.topic_by_id(id).map(|topic| topic.name.to_string()),
        };
        let Some(found) = found else {
            responses.push(row.with_name(None).with_error_code(errors::UNKNOWN_TOPIC_ID));
            continue;
        };
        if !may_delete_any && let Err(code) = context.authorize(Operation::Delete, access::topic(&found)) {
            // Whoever may not see a topic learns neither its name nor its id.
            let name = (name.is_some() || context.may(Operation::Describe, access::topic(&found))).then_some(&found);
            responses.push(row.with_name(name.map(|name| wire_topic(name.as_str()))).with_error_code(code));
            continue;
        }
        let row = row.with_name(Some(wire_topic(&found)));
        // What is refused for another reason costs nothing of the quota.
        let unprotected = check_unprotected(&found);
        let topic = context.shared.log.topic(&found).filter(|_| unprotected.is_ok());
        if let Some(topic) = &topic
            && let Err(longer) = context.mutate(topic.partitions as usize, DELETE_REFUSED_FROM)
        {
            wait = wait.max(longer);
            responses.push(
                row.with_error_code(errors::THROTTLING_QUOTA_EXCEEDED)
                    .with_error_message(Some(StrBytes::from_static_str(OVER_QUOTA))),
            );
            continue;
        }
        let topic_id = topic.map(|topic| topic.id);
        let result = match unprotected {
            Ok(_) => context.shared.log.delete_topic(&found).await,
            Err(error) => Err(error),
        };
        responses.push(match result {
            Ok(()) => {
                context.shared.stats.forget(&found);
                row.with_topic_id(topic_id.unwrap_or(id))
            }
            Err(error) => {
                let (code, why) = told(&error);
                row.with_error_code(code).with_error_message(why)
            }
        });
    }
    DeleteTopicsResponse::default().with_throttle_time_ms(throttle_ms(wait)).with_responses(responses)
}

pub(crate) async fn create_partitions(context: &Context, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let times = Times::of(request.topics.iter().map(|topic| topic.name.clone()));
    let mut results = Vec::with_capacity(request.topics.len());
    let mut wait = Duration::ZERO;
    for topic in request.topics {
        let row = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        let grown = match times.once(&topic.name, "topic") {
            Ok(()) => grow(context, &topic, request.validate_only, &mut wait).await,
            Err(refused) => Err(refused),
        };
        results.push(match grown {
            Ok(()) => row,
            Err((code, why)) => row.with_error_code(code).with_error_message(why),
        });
    }
    CreatePartitionsResponse::default().with_throttle_time_ms(throttle_ms(wait)).with_results(results)
}

/// `wait` gets longer if there is no quota left for it.
async fn grow(
    context: &Context,
    wanted: &CreatePartitionsTopic,
    validate_only: bool,
    wait: &mut Duration,
) -> Result<(), (i16, Option<StrBytes>)> {
    let log = &context.shared.log;
    context.authorize(Operation::Alter, access::topic(&wanted.name)).map_err(|code| (code, None))?;
    check_unprotected(&wanted.name).map_err(|error| told(&error))?;
    let now = log.topic(&wanted.name).map_or(0, |topic| topic.partitions);
    // What is refused for another reason costs nothing of the quota.
    log.create_partitions(&wanted.name, wanted.count, true).await.map_err(|error| told(&error))?;
    let more = usize::try_from(wanted.count.saturating_sub(now)).unwrap_or(0);
    if let Some(assignments) = &wanted.assignments {
        let is_ours = |a: &CreatePartitionsAssignment| a.broker_ids == [BrokerId(NODE_ID)];
        if assignments.len() != more || !assignments.iter().all(is_ours) {
            let why = format!("each of the {more} new partitions has exactly one replica, on broker {NODE_ID}");
            return Err((errors::INVALID_REPLICA_ASSIGNMENT, Some(text(&why))));
        }
    }
    if validate_only {
        return Ok(());
    }
    if let Err(longer) = context.mutate(more, GROW_REFUSED_FROM) {
        *wait = longer.max(*wait);
        return Err((errors::THROTTLING_QUOTA_EXCEEDED, Some(StrBytes::from_static_str(OVER_QUOTA))));
    }
    log.create_partitions(&wanted.name, wanted.count, false).await.map_err(|error| told(&error))
}

pub(crate) async fn delete_records(context: &Context, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let may = context.authorize(Operation::Delete, access::topic(&topic.name));
        let protected = check_unprotected(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let row = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
            let result = match (&protected, partition_of(context, &topic.name, wanted.partition_index)) {
                _ if may.is_err() => Err(errors::TOPIC_AUTHORIZATION_FAILED),
                (_, None) => Err(errors::UNKNOWN_TOPIC_OR_PARTITION),
                (Err(error), _) => Err(code(error)),
                (Ok(_), Some((_, place))) => {
                    context.shared.log.delete_records(&place, wanted.offset).await.map_err(|e| code(&e))
                }
            };
            partitions.push(match result {
                Ok(start) => row.with_low_watermark(start),
                Err(code) => row.with_error_code(code).with_low_watermark(-1),
            });
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}
