//! Settings of topics, groups and of the broker, shown and changed.

mod alter;
mod broker;

use commitlog::{ConfigType, Topic, groups::ConsumerTimes};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
    describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym},
    list_config_resources_response::ConfigResource,
};
use model::TopicName;

use super::{errors, text};
use crate::{
    NODE_ID,
    access::{self, CLUSTER, Operation},
    dispatch::Context,
    dynamic::{
        Dynamic, Holder,
        rows::{self, GROUP_ROWS, GROUP_SYNONYMS, GROUPS},
    },
};

pub(crate) use alter::{alter, alter_incrementally};

/// Kinds of resources (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
const SOURCE_TOPIC: i8 = 1;
const SOURCE_THIS_BROKER: i8 = 2;
const SOURCE_ALL_BROKERS: i8 = 3;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;
const SOURCE_GROUP: i8 = 8;

/// A setting as clients see it.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    kind: ConfigType,
    doc: &'static str,
    read_only: bool,
    /// What it is, and behind that what it would be if that were not said. Never empty.
    said: Vec<Said>,
}

/// A value, and where it is said.
struct Said {
    name: &'static str,
    value: String,
    source: i8,
}

impl Described {
    fn said(&self) -> &Said {
        self.said.first().expect("something is said of every setting")
    }

    pub(crate) fn value(&self) -> &str {
        &self.said().value
    }

    pub(crate) fn source(&self) -> i8 {
        self.said().source
    }
}

/// What was changed of a broker's setting, this broker's before that of all.
fn changed<'a>(dynamic: &'a Dynamic, name: &'static str) -> impl Iterator<Item = Said> + use<'a> {
    let holders = [(Holder::this_broker(), SOURCE_THIS_BROKER), (Holder::all_brokers(), SOURCE_ALL_BROKERS)];
    let said = holders.map(|(holder, source)| dynamic.said(&holder, name).map(|value| Said { name, value, source }));
    said.into_iter().flatten()
}

/// What a value is that nobody changed: the default, unless the node was started with another one.
fn given(name: &'static str, value: String, default: String) -> impl Iterator<Item = Said> {
    let by_node = (value != default).then_some(Said { name, value, source: SOURCE_STATIC_BROKER });
    by_node.into_iter().chain([Said { name, value: default, source: SOURCE_DEFAULT }])
}

pub(crate) fn of_topic(context: &Context, topic: &Topic) -> Vec<Described> {
    let dynamic = &context.shared.dynamic;
    let describe = |entry: commitlog::ConfigEntry| {
        let name = rows::synonym(entry.name);
        // What the house keeps for itself does not follow what others get.
        let by_broker = name.filter(|_| !topic.name.is_protected());
        let mut said = Vec::new();
        if !entry.is_default {
            said.push(Said { name: entry.name, value: entry.value.clone(), source: SOURCE_TOPIC });
        }
        said.extend(by_broker.into_iter().flat_map(|name| changed(dynamic, name)));
        let value = if said.is_empty() { entry.value } else { entry.default.clone() };
        said.extend(given(name.unwrap_or(entry.name), value, entry.default));
        Described { name: entry.name, kind: entry.kind, doc: entry.doc, read_only: entry.read_only, said }
    };
    topic.describe().into_iter().map(describe).collect()
}

/// Settings of a group of the consumer protocol. Any group may have some, whether it is there or not (`ConfigHelper.scala`).
fn of_group(context: &Context, group: &str) -> Vec<Described> {
    let dynamic = &context.shared.dynamic;
    let settings = context.shared.groups.settings();
    let describe = |(row, of_all): (&rows::Row<ConsumerTimes>, &&'static str)| {
        let own = dynamic.said(&Holder::group(group), row.name);
        let own = own.map(|value| Said { name: row.name, value, source: SOURCE_GROUP });
        let all = GROUPS.iter().find(|row| row.name == *of_all).expect("a row of the coordinator");
        let by_broker = Said { name: row.name, value: (all.get)(&settings), source: SOURCE_DEFAULT };
        let said = own.into_iter().chain([by_broker]).collect();
        Described { name: row.name, kind: row.kind, doc: row.doc, read_only: false, said }
    };
    GROUP_ROWS.iter().zip(&GROUP_SYNONYMS).map(describe).collect()
}

/// Whether a resource's name is this broker's id; an empty one stands for all brokers.
fn is_this_broker(name: &str) -> bool {
    name.parse() == Ok(NODE_ID)
}

/// Why a kind of resource has no settings.
fn no_settings(kind: i8) -> &'static str {
    match kind {
        BROKER_LOGGER => "what is logged is said when the node starts",
        CLIENT_METRICS => "metrics of clients are not collected",
        _ => "topics, brokers and groups have settings",
    }
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
                Some(topic) => Ok(of_topic(context, &topic)),
                None if TopicName::new(&resource.resource_name).is_err() => {
                    Err((errors::INVALID_TOPIC, "this cannot name a topic"))
                }
                None => Err((errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic")),
            },
            // Of all brokers only what was said of all is shown (`ConfigHelper.scala`).
            BROKER if resource.resource_name.is_empty() => Ok(broker::settings_of_all(context)),
            BROKER if is_this_broker(&resource.resource_name) => Ok(broker::settings(context)),
            BROKER => Err((errors::INVALID_REQUEST, "there is one broker, 1")),
            GROUP if resource.resource_name.is_empty() => Err((errors::INVALID_REQUEST, "the group has no name")),
            GROUP => Ok(of_group(context, &resource.resource_name)),
            kind => Err((errors::INVALID_REQUEST, no_settings(kind))),
        };
        let row = row.with_resource_name(resource.resource_name);
        let settings = match described {
            Ok(settings) => settings,
            Err((code, why)) => return row.with_error_code(code).with_error_message(Some(why.into())),
        };
        // Naming none is asking for all (`ConfigHelperUtils.buildConfigEntries`).
        let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
        let wanted = |setting: &Described| keys.is_none_or(|keys| keys.iter().any(|key| **key == *setting.name));
        let configs = settings.into_iter().filter(wanted).map(|setting| {
            let synonym = |said: &Said| {
                DescribeConfigsSynonym::default()
                    .with_name(text(said.name))
                    .with_value(Some(text(&said.value)))
                    .with_source(said.source)
            };
            let synonyms = setting.said.iter().filter(|_| request.include_synonyms).map(synonym).collect();
            let documentation = request.include_documentation.then(|| text(setting.doc));
            DescribeConfigsResourceResult::default()
                .with_name(text(setting.name))
                .with_value(Some(text(setting.value())))
                .with_read_only(setting.read_only)
                .with_config_source(setting.source())
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
    // Of some kinds there are none here, and others do not exist.
    if request
        .resource_types
        .iter()
        .any(|kind| !matches!(*kind, TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP))
    {
        return ListConfigResourcesResponse::default().with_error_code(errors::UNSUPPORTED_VERSION);
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
    if wanted(GROUP) {
        resources.extend(context.shared.dynamic.groups().iter().map(|group| resource(GROUP, group)));
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}
