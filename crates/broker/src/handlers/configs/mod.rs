//! Settings of topics and of the broker, shown and changed.

mod alter;
mod broker;

use commitlog::{ConfigEntry, ConfigType, Topic};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
    describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym},
    list_config_resources_response::ConfigResource,
};

use super::{errors, text};
use crate::{
    NODE_ID,
    access::{self, CLUSTER, Operation},
    dispatch::Context,
};

pub(crate) use alter::{alter, alter_incrementally};

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
    kind: ConfigType,
    doc: &'static str,
    read_only: bool,
}

pub(crate) fn of_topic(topic: &Topic) -> Vec<Described> {
    topic.describe().into_iter().map(Described::from).collect()
}

impl From<ConfigEntry> for Described {
    fn from(entry: ConfigEntry) -> Self {
        Self {
            name: entry.name,
            value: entry.value,
            default: entry.default,
            source: if entry.is_default { SOURCE_DEFAULT } else { SOURCE_TOPIC },
            kind: entry.kind,
            doc: entry.doc,
            read_only: entry.read_only,
        }
    }
}

/// The broker a resource name means: this one by its id, or the default of all.
fn is_this_broker(name: &str) -> bool {
    name.is_empty() || name.parse() == Ok(NODE_ID)
}

/// Settings of brokers are the cluster's to show and change, and so is what is no resource at all.
fn authorize(context: &Context, operation: Operation, kind: i8, name: &str) -> Result<(), i16> {
    match kind {
        TOPIC => context.authorize(operation, access::topic(name)),
        GROUP => context.authorize(operation, access::group(name)),
        _ => context.authorize(operation, CLUSTER),
    }
}

pub(crate) async fn describe(context: &Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let row = DescribeConfigsResult::default().with_resource_type(resource.resource_type);
        if let Err(code) =
            authorize(context, Operation::DescribeConfigs, resource.resource_type, &resource.resource_name)
        {
            return row.with_resource_name(resource.resource_name).with_error_code(code);
        }
        let described = match resource.resource_type {
            TOPIC => match context.shared.log.topic(&resource.resource_name) {
                Some(topic) => Ok(of_topic(&topic)),
                None => Err((errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic")),
            },
            BROKER if is_this_broker(&resource.resource_name) => Ok(broker::settings(context)),
            BROKER => Err((errors::INVALID_REQUEST, "there is one broker, 1")),
            GROUP => Ok(Vec::new()), // Classic groups have no settings of their own.
            _ => Err((errors::INVALID_REQUEST, "only topics and brokers have settings")),
        };
        let row = row.with_resource_name(resource.resource_name);
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
                .with_config_type(setting.kind as i8)
                .with_documentation(documentation)
        });
        row.with_configs(configs.collect())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// Everything that has settings. Version 0 asks for subscriptions to client metrics, and there are none.
pub(crate) async fn list(context: &Context, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    if let Err(code) = context.authorize(Operation::DescribeConfigs, CLUSTER) {
        return ListConfigResourcesResponse::default().with_error_code(code);
    }
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
