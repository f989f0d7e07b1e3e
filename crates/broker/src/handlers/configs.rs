//! Settings of topics and of the broker, shown and changed.

use std::collections::{BTreeMap, BTreeSet};

use commitlog::{
    Topic,
    topic::{ConfigEntry, ConfigType},
};
use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
        ListConfigResourcesResponse,
        alter_configs_response::AlterConfigsResourceResponse as Altered,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym},
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementallyAltered,
        list_config_resources_response::ConfigResource,
    },
    protocol::StrBytes,
};
use model::Error;

use super::{check_unprotected, code, errors, text};
use crate::{NODE_ID, dispatch::Context};

/// Kinds of resources (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// A setting as clients see it.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) default: String,
    pub(crate) source: i8,
    kind: i8,
    doc: &'static str,
    read_only: bool,
}

pub(crate) fn of_topic(topic: &Topic) -> Vec<Described> {
    let described = |entry: ConfigEntry| Described {
        name: entry.name,
        value: entry.value,
        default: entry.default,
        source: if entry.is_default { SOURCE_DEFAULT } else { SOURCE_TOPIC },
        kind: entry.kind as i8,
        doc: entry.doc,
        read_only: entry.read_only,
    };
    topic.describe().into_iter().map(described).collect()
}

fn of_broker(context: &Context) -> Vec<Described> {
    let settings = &context.shared.settings;
    let groups = context.shared.groups.settings();
    let defaults = crate::BrokerSettings::default();
    let entry = |name, value: String, default: String, kind: ConfigType, doc| Described {
        name,
        source: if value == default { SOURCE_DEFAULT } else { SOURCE_STATIC_BROKER },
        value,
        default,
        kind: kind as i8,
        doc,
        read_only: true,
    };
    let fixed = |name, value: String, kind, doc| entry(name, value.clone(), value, kind, doc);
    // Nobody's default: they are what they are on this broker.
    let set = |name, value, kind, doc| Described { source: SOURCE_STATIC_BROKER, ..fixed(name, value, kind, doc) };
    let ms = |time: std::time::Duration| time.as_millis().to_string();
    let (host, port) = &context.shared.advertised;
    let address = format!("PLAINTEXT://{host}:{port}");
    use ConfigType::{Boolean, Int, List, Long, String as Text};
    vec![
        set("advertised.listeners", address.clone(), Text, "What clients are told to connect to."),
        entry(
            "auto.create.topics.enable",
            settings.auto_create_topics.to_string(),
            defaults.auto_create_topics.to_string(),
            Boolean,
            "Topics are made when a client asks for their metadata and allows it.",
        ),
        set("broker.id", NODE_ID.to_string(), Int, "There is one broker."),
        fixed("compression.type", "producer".to_owned(), Text, "Batches are kept as producers compress them."),
        entry(
            "connections.max.idle.ms",
            ms(settings.idle_max),
            ms(defaults.idle_max),
            Long,
            "A connection without any request for this long is closed.",
        ),
        fixed("default.replication.factor", "1".to_owned(), Int, "One node keeps each partition."),
        fixed("delete.topic.enable", "true".to_owned(), Boolean, "Topics can be deleted."),
        entry(
            "fetch.max.bytes",
            settings.fetch_bytes_max.to_string(),
            defaults.fetch_bytes_max.to_string(),
            Int,
            "Most bytes of records in one Fetch response.",
        ),
        fixed(
            "group.initial.rebalance.delay.ms",
            ms(groups.initial_rebalance_delay),
            Int,
            "How long the first generation of an empty group waits for more members.",
        ),
        fixed("group.max.session.timeout.ms", ms(groups.session_timeout_max), Int, "Longest session timeout."),
        fixed("group.max.size", groups.members_max.to_string(), Int, "Most members of a group."),
        fixed("group.min.session.timeout.ms", ms(groups.session_timeout_min), Int, "Shortest session timeout."),
        set("listeners", address, List, "Where the door listens."),
        fixed("log.cleanup.policy", "delete".to_owned(), List, "Old segments are deleted."),
        fixed("log.message.timestamp.type", "CreateTime".to_owned(), Text, "Whose clock stamps records."),
        fixed("log.retention.bytes", "-1".to_owned(), Long, "No limit by size."),
        fixed("log.retention.ms", "604800000".to_owned(), Long, "Records are kept for seven days."),
        fixed("log.segment.bytes", (1 << 30).to_string(), Int, "Size at which a new segment file begins."),
        entry(
            "max.connections",
            settings.connections_max.to_string(),
            defaults.connections_max.to_string(),
            Int,
            "Connections open at once.",
        ),
        fixed("message.max.bytes", "1048588".to_owned(), Int, "Largest record batch taken."),
        fixed("min.insync.replicas", "1".to_owned(), Int, "One node keeps each partition."),
        set("node.id", NODE_ID.to_string(), Int, "There is one broker."),
        entry(
            "num.partitions",
            settings.partitions_default.to_string(),
            defaults.partitions_default.to_string(),
            Int,
            "Partitions of topics made without a number.",
        ),
        fixed("offset.metadata.max.bytes", groups.metadata_bytes_max.to_string(), Int, "Longest text of a commit."),
        fixed(
            "offsets.retention.minutes",
            (groups.offsets_retention.as_secs() / 60).to_string(),
            Int,
            "How long offsets outlive their group.",
        ),
        entry(
            "socket.request.max.bytes",
            settings.request_bytes_max.to_string(),
            defaults.request_bytes_max.to_string(),
            Int,
            "Largest Produce request.",
        ),
    ]
}

/// The broker a resource name means: this one by its id, or the default of all.
fn is_this_broker(name: &str) -> bool {
    name.is_empty() || name.parse() == Ok(NODE_ID)
}

pub(crate) async fn describe(context: &Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => match context.shared.log.topic(&resource.resource_name) {
                Some(topic) => Ok(of_topic(&topic)),
                None => Err((errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic")),
            },
            BROKER if is_this_broker(&resource.resource_name) => Ok(of_broker(context)),
            BROKER => Err((errors::INVALID_REQUEST, "there is one broker, 1")),
            GROUP => Ok(Vec::new()), // Classic groups have no settings of their own.
            _ => Err((errors::INVALID_REQUEST, "only topics and brokers have settings")),
        };
        let row = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        let settings = match described {
            Ok(settings) => settings,
            Err((code, why)) => return row.with_error_code(code).with_error_message(Some(why.into())),
        };
        let wanted = |setting: &Described| {
            resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| **key == *setting.name))
        };
        let configs = settings.into_iter().filter(wanted).map(|setting| {
            let synonym = |value: &str, source| {
                DescribeConfigsSynonym::default()
                    .with_name(text(setting.name))
                    .with_value(Some(text(value)))
                    .with_source(source)
            };
            let mut synonyms = Vec::new();
            if request.include_synonyms {
                if setting.source != SOURCE_DEFAULT {
                    synonyms.push(synonym(&setting.value, setting.source));
                }
                synonyms.push(synonym(&setting.default, SOURCE_DEFAULT));
            }
            let documentation = request.include_documentation.then(|| text(setting.doc));
            DescribeConfigsResourceResult::default()
                .with_name(text(setting.name))
                .with_value(Some(text(&setting.value)))
                .with_read_only(setting.read_only)
                .with_config_source(setting.source)
                .with_synonyms(synonyms)
                .with_config_type(setting.kind)
                .with_documentation(documentation)
        });
        row.with_configs(configs.collect())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// Everything that has settings. Version 0 asks for subscriptions to client metrics, and there are none.
pub(crate) async fn list(context: &Context, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    let wanted =
        |kind| context.version >= 1 && (request.resource_types.is_empty() || request.resource_types.contains(&kind));
    let resource = |kind, name: &str| ConfigResource::default().with_resource_type(kind).with_resource_name(text(name));
    let mut resources = Vec::new();
    if wanted(TOPIC) {
        resources.extend(context.shared.log.topics().iter().map(|topic| resource(TOPIC, &topic.name)));
    }
    if wanted(BROKER) {
        resources.push(resource(BROKER, &NODE_ID.to_string()));
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}

/// Why nothing of a resource was changed.
type Refusal = (i16, Option<StrBytes>);

fn refusal(code: i16, why: impl Into<String>) -> Refusal {
    (code, Some(StrBytes::from_string(why.into())))
}

fn failed(error: &Error) -> Refusal {
    refusal(code(error), error.to_string())
}

/// Replaces all settings of each resource.
pub(crate) async fn alter(context: &Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let name = resource.resource_name.to_string();
        let result = match topic_to_alter(context, resource.resource_type, &name) {
            Err(refused) => Err(refused),
            Ok(_) => {
                let value = |c: &kafka_protocol::messages::alter_configs_request::AlterableConfig| {
                    c.value.as_ref().map(|value| (c.name.to_string(), value.to_string()))
                };
                let overrides: BTreeMap<_, _> = resource.configs.iter().filter_map(value).collect();
                apply(context, &name, overrides, request.validate_only).await
            }
        };
        let (code, why) = result.err().unwrap_or_default();
        responses.push(
            Altered::default()
                .with_error_code(code)
                .with_error_message(why)
                .with_resource_type(resource.resource_type)
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
        let name = resource.resource_name.to_string();
        let overrides =
            topic_to_alter(context, resource.resource_type, &name).and_then(|topic| changed(&topic, &resource.configs));
        let result = match overrides {
            Ok(overrides) => apply(context, &name, overrides, request.validate_only).await,
            Err(refused) => Err(refused),
        };
        let (code, why) = result.err().unwrap_or_default();
        responses.push(
            IncrementallyAltered::default()
                .with_error_code(code)
                .with_error_message(why)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn topic_to_alter(context: &Context, kind: i8, name: &str) -> Result<std::sync::Arc<Topic>, Refusal> {
    match kind {
        TOPIC => {
            check_unprotected(name).map_err(|e| failed(&e))?;
            let unknown = || refusal(errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic");
            context.shared.log.topic(name).ok_or_else(unknown)
        }
        BROKER => Err(refusal(errors::INVALID_CONFIG, "settings of the broker come from its settings file and flags")),
        _ => Err(refusal(errors::INVALID_REQUEST, "only topics have settings that can be changed")),
    }
}

/// The topic's own settings after the operations.
fn changed(topic: &Topic, operations: &[AlterableConfig]) -> Result<BTreeMap<String, String>, Refusal> {
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

async fn apply(
    context: &Context,
    topic: &str,
    overrides: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<(), Refusal> {
    context.shared.log.alter_topic(topic, overrides, validate_only).await.map_err(|e| failed(&e))
}
