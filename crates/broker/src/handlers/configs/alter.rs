//! Settings changed: all of a resource at once, or one by one.

use std::collections::{BTreeMap, BTreeSet};

use commitlog::ConfigType;
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        alter_configs_request::AlterableConfig as Setting,
        alter_configs_response::AlterConfigsResourceResponse as Altered,
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementallyAltered,
    },
    protocol::StrBytes,
};
use model::TopicName;

use super::{BROKER, Described, GROUP, TOPIC};
use crate::{
    access::Operation,
    dispatch::Context,
    dynamic::{Holder, Refused},
    handlers::{Times, errors, kept_by_us, told},
};

/// Settings by name.
type Overrides = BTreeMap<String, String>;

/// Why nothing of a resource was changed, as responses carry it; `0` and nothing if it was.
type Refusal = (i16, Option<StrBytes>);

fn refusal(code: i16, why: impl Into<String>) -> Refusal {
    (code, Some(StrBytes::from_string(why.into())))
}

/// Replaces all settings of each resource.
pub(crate) async fn alter(context: &Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let times = Times::of(request.resources.iter().map(|it| (it.resource_type, it.resource_name.clone())));
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let (code, why) = match times.once(&(kind, name.clone()), "resource") {
            Ok(()) => apply(context, kind, name, request.validate_only, |_| replaced(&resource.configs)).await,
            Err(refused) => refused,
        };
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
    let times = Times::of(request.resources.iter().map(|it| (it.resource_type, it.resource_name.clone())));
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        let changed = |before: &Before| changed(before, &resource.configs);
        let (code, why) = match times.once(&(kind, name.clone()), "resource") {
            Ok(()) => apply(context, kind, name, request.validate_only, changed).await,
            Err(refused) => refused,
        };
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

/// Gives a resource the settings that `after` makes of those it has.
async fn apply(
    context: &Context,
    kind: i8,
    name: &str,
    validate_only: bool,
    after: impl FnOnce(&Before) -> Result<Overrides, Refusal>,
) -> Refusal {
    if let Err(code) = super::authorize(context, Operation::AlterConfigs, kind, name) {
        return (code, None);
    }
    let turn = context.shared.dynamic.turn().await;
    let before = match before(context, kind, name) {
        Ok(before) => before,
        Err(refused) => return refused,
    };
    let after = match after(&before) {
        Ok(after) => after,
        Err(refused) => return refused,
    };
    match before.holder {
        None => match context.shared.log.alter_topic(name, after, validate_only).await {
            Ok(()) => Refusal::default(),
            Err(error) => told(&error),
        },
        Some(holder) => match context.shared.dynamic.set(&turn, holder, after, validate_only).await {
            Ok(()) => Refusal::default(),
            Err(Refused::Setting(why)) => refusal(errors::INVALID_CONFIG, why),
            Err(Refused::TooMany) => refusal(errors::POLICY_VIOLATION, "too many groups have settings of their own"),
            Err(Refused::Log(error)) => told(&error),
        },
    }
}

/// A resource as it is.
struct Before {
    /// What was said of it, by name.
    said: Overrides,
    /// Its settings that are lists, with their values.
    lists: Overrides,
    /// Whose settings they are, if not a topic's.
    holder: Option<Holder>,
}

fn before(context: &Context, kind: i8, name: &str) -> Result<Before, Refusal> {
    let lists = |all: Vec<Described>| {
        let lists = all.into_iter().filter(|setting| setting.kind == ConfigType::List);
        lists.map(|setting| (setting.name.to_owned(), setting.value().to_owned())).collect()
    };
    let holder = match kind {
        TOPIC => {
            // All topics together have no settings: the brokers' are what they get (`ControllerConfigurationValidator`).
            if name.is_empty() {
                return Err(refusal(errors::INVALID_REQUEST, "the topic has no name"));
            }
            let unknown = || match TopicName::new(name) {
                Ok(_) => refusal(errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic"),
                Err(error) => told(&error),
            };
            let topic = context.shared.log.topic(name).ok_or_else(unknown)?;
            // How long exceptions are kept is for the user to say.
            if topic.name.is_bookkeeping() {
                return Err(told(&kept_by_us(name)));
            }
            let lists = lists(super::of_topic(context, &topic));
            return Ok(Before { said: topic.overrides.clone(), lists, holder: None });
        }
        BROKER if name.is_empty() => Holder::all_brokers(),
        BROKER if super::is_this_broker(name) => Holder::this_broker(),
        BROKER => return Err(refusal(errors::INVALID_REQUEST, "there is one broker, 1")),
        GROUP if name.is_empty() => return Err(refusal(errors::INVALID_REQUEST, "the group has no name")),
        GROUP => Holder::group(name),
        kind => return Err(refusal(errors::INVALID_REQUEST, super::no_settings(kind))),
    };
    let lists = if kind == BROKER { lists(super::broker::settings(context)) } else { Overrides::new() };
    Ok(Before { said: context.shared.dynamic.of(&holder), lists, holder: Some(holder) })
}

fn no_value(name: &str) -> Refusal {
    refusal(errors::INVALID_REQUEST, format!("`{name}` has no value"))
}

fn named_again(name: &str) -> Refusal {
    refusal(errors::INVALID_REQUEST, format!("`{name}` is named more than once"))
}

/// The resource's own settings if these are all.
fn replaced(settings: &[Setting]) -> Result<Overrides, Refusal> {
    let mut overrides = Overrides::new();
    for setting in settings {
        let value = setting.value.as_ref().ok_or_else(|| no_value(&setting.name))?;
        if overrides.insert(setting.name.to_string(), value.to_string()).is_some() {
            return Err(named_again(&setting.name));
        }
    }
    Ok(overrides)
}

/// The resource's own settings after the operations.
fn changed(before: &Before, operations: &[AlterableConfig]) -> Result<Overrides, Refusal> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;

    let mut overrides = before.said.clone();
    let mut seen = BTreeSet::new();
    for operation in operations {
        let name = operation.name.to_string();
        if !seen.insert(name.clone()) {
            return Err(named_again(&name));
        }
        let value = || operation.value.as_ref().map(StrBytes::to_string).ok_or_else(|| no_value(&name));
        match operation.config_operation {
            SET => drop(overrides.insert(name.clone(), value()?)),
            DELETE => drop(overrides.remove(&name)),
            APPEND | SUBTRACT => {
                let Some(list) = before.lists.get(&name) else {
                    return Err(refusal(errors::INVALID_CONFIG, format!("`{name}` is not a list")));
                };
                let value = value()?;
                let mut list: Vec<&str> = list.split(',').filter(|item| !item.is_empty()).collect();
                for item in value.split(',') {
                    match operation.config_operation {
                        APPEND if list.contains(&item) => {}
                        APPEND => list.push(item),
                        _ => list.retain(|other| *other != item),
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
