//! Settings changed: all of a resource at once, or one by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use commitlog::{ConfigType, Topic};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        alter_configs_response::AlterConfigsResourceResponse as Altered,
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementallyAltered,
    },
    protocol::StrBytes,
};

use super::{BROKER, TOPIC};
use crate::{
    access::Operation,
    dispatch::Context,
    handlers::{errors, kept_by_us, told},
};

/// Settings of a topic by name.
type Overrides = BTreeMap<String, String>;

/// Why nothing of a resource was changed, as responses carry it; `0` and nothing if it was.
type Refusal = (i16, Option<StrBytes>);

fn refusal(code: i16, why: impl Into<String>) -> Refusal {
    (code, Some(StrBytes::from_string(why.into())))
}

/// Replaces all settings of each resource.
pub(crate) async fn alter(context: &Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let values = resource.configs.iter().filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())));
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let (code, why) = apply(context, kind, name, request.validate_only, |_| Ok(values.collect())).await;
        responses.push(
            Altered::default()
                .with_error_code(code)
                .with_error_message(why)
                .with_resource_type(kind)
                .with_resource_name(resource.resource_name),
        );
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Changes single settings of each resource, all of them or none.
pub(crate) async fn alter_incrementally(
    context: &Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let changed = |topic: &Topic| changed(topic, &resource.configs);
        let (code, why) = apply(context, kind, name, request.validate_only, changed).await;
        responses.push(
            IncrementallyAltered::default()
                .with_error_code(code)
                .with_error_message(why)
                .with_resource_type(kind)
                .with_resource_name(resource.resource_name),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

/// Gives a topic the settings that `after` makes of it.
async fn apply(
    context: &Context,
    kind: i8,
    name: &str,
    validate_only: bool,
    after: impl FnOnce(&Topic) -> Result<Overrides, Refusal>,
) -> Refusal {
    if let Err(code) = super::authorize(context, Operation::AlterConfigs, kind, name) {
        return (code, None);
    }
    match topic_to_alter(context, kind, name).and_then(|topic| after(&topic)) {
        Ok(overrides) => match context.shared.log.alter_topic(name, overrides, validate_only).await {
            Ok(()) => Refusal::default(),
            Err(error) => told(&error),
        },
        Err(refused) => refused,
    }
}

fn topic_to_alter(context: &Context, kind: i8, name: &str) -> Result<Arc<Topic>, Refusal> {
    match kind {
        TOPIC => {
            let unknown = || refusal(errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic");
            let topic = context.shared.log.topic(name).ok_or_else(unknown)?;
            // How long exceptions are kept is for the user to say.
            if topic.name.is_bookkeeping() { Err(told(&kept_by_us(name))) } else { Ok(topic) }
        }
        BROKER => Err(refusal(errors::INVALID_CONFIG, "settings of the broker come from its settings file and flags")),
        _ => Err(refusal(errors::INVALID_REQUEST, "only topics have settings that can be changed")),
    }
}

/// The topic's own settings after the operations.
fn changed(topic: &Topic, operations: &[AlterableConfig]) -> Result<Overrides, Refusal> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;

    let known = topic.describe();
    let mut overrides = topic.overrides.clone();
    let mut seen = BTreeSet::new();
    for operation in operations {
        let name = operation.name.to_string();
        if !seen.insert(name.clone()) {
            return Err(refusal(errors::INVALID_REQUEST, format!("`{name}` is named more than once")));
        }
        let value = || match &operation.value {
            Some(value) => Ok(value.to_string()),
            None => Err(refusal(errors::INVALID_CONFIG, format!("`{name}` has no value"))),
        };
        match operation.config_operation {
            SET => drop(overrides.insert(name.clone(), value()?)),
            DELETE => drop(overrides.remove(&name)),
            APPEND | SUBTRACT => {
                let entry = known.iter().find(|e| e.name == name && e.kind == ConfigType::List);
                let Some(entry) = entry else {
                    return Err(refusal(errors::INVALID_CONFIG, format!("`{name}` is not a list")));
                };
                let value = value()?;
                let mut list: Vec<&str> = entry.value.split(',').filter(|item| !item.is_empty()).collect();
                for item in value.split(',') {
                    list.retain(|other| *other != item);
                    if operation.config_operation == APPEND {
                        list.push(item);
                    }
                }
                overrides.insert(name, list.join(","));
            }
            _ => {
                return Err(refusal(errors::INVALID_REQUEST, "the operation is none of set, delete, append, subtract"));
            }
        }
    }
    Ok(overrides)
}
