//! Describing and altering quotas (KIP-546).

use std::collections::BTreeMap;

use kafka_protocol::{
    messages::{
        AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
        alter_client_quotas_request, alter_client_quotas_response,
        describe_client_quotas_response::{EntityData, EntryData, ValueData},
    },
    protocol::StrBytes,
};

use super::{errors, text, told};
use crate::{
    access::{CLUSTER, Operation},
    dispatch::Context,
    quotas::{CLIENT, Change, Entity, Filter, IP, Limits, Match, Reason, USER, Who},
};

/// How a component of a filter matches.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(crate) async fn describe(context: &Context, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    if let Err(code) = context.authorize(Operation::DescribeConfigs, CLUSTER) {
        let response = DescribeClientQuotasResponse::default().with_error_code(code).with_error_message(None);
        return response.with_entries(None);
    }
    let filter = match filter(&request) {
        Ok(filter) => filter,
        Err((code, why)) => {
            return DescribeClientQuotasResponse::default()
                .with_error_code(code)
                .with_error_message(Some(text(&why)))
                .with_entries(None);
        }
    };
    let entries = context.shared.quotas.describe(&filter).into_iter().map(|(entity, limits)| {
        let part = |(kind, who): (&'static str, &Who)| {
            EntityData::default()
                .with_entity_type(StrBytes::from_static_str(kind))
                .with_entity_name(who.name().map(text))
        };
        let value = |(limit, value): (crate::quotas::Limit, f64)| {
            ValueData::default().with_key(StrBytes::from_static_str(limit.name())).with_value(value)
        };
        EntryData::default()
            .with_entity(entity.parts().map(part).collect())
            .with_values(limits.into_iter().map(value).collect())
    });
    DescribeClientQuotasResponse::default().with_entries(Some(entries.collect()))
}

fn filter(request: &DescribeClientQuotasRequest) -> Result<Filter, (i16, Reason)> {
    let mut parts = BTreeMap::new();
    for component in &request.components {
        let kind = component.entity_type.to_string();
        if kind.is_empty() {
            return Err((errors::INVALID_REQUEST, "a kind of entity is empty".to_owned()));
        }
        if ![USER, CLIENT, IP].contains(&kind.as_str()) {
            let why = format!("`{kind}` is no kind of entity: user, client-id and ip are");
            return Err((errors::UNSUPPORTED_VERSION, why));
        }
        let wanted = match (component.match_type, &component._match) {
            (EXACT, Some(name)) => Match::Exactly(Who::named(&kind, name)),
            (DEFAULT, None) => Match::Exactly(Who::Default),
            (ANY, None) => Match::Any,
            (how, name) => {
                let name = if name.is_some() { "a" } else { "no" };
                return Err((errors::INVALID_REQUEST, format!("match type {how} with {name} name makes no sense")));
            }
        };
        if parts.insert(kind.clone(), wanted).is_some() {
            return Err((errors::INVALID_REQUEST, format!("the filter names `{kind}` more than once")));
        }
    }
    if parts.contains_key(IP) && parts.len() > 1 {
        return Err((errors::INVALID_REQUEST, "an address cannot be combined with a user or client id".to_owned()));
    }
    Ok(Filter { parts, strict: request.strict })
}

pub(crate) async fn alter(context: &Context, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let mut entries = Vec::with_capacity(request.entries.len());
    let may_alter = context.authorize(Operation::AlterConfigs, CLUSTER);
    for entry in request.entries {
        let result = match change(&entry) {
            _ if may_alter.is_err() => (may_alter.expect_err("checked"), None),
            Err(why) => (errors::INVALID_REQUEST, Some(text(&why))),
            Ok(change) => match context.shared.quotas.alter(change, request.validate_only).await {
                Ok(()) => (0, None),
                Err(error) => told(&error),
            },
        };
        let part = |part: alter_client_quotas_request::EntityData| {
            alter_client_quotas_response::EntityData::default()
                .with_entity_type(part.entity_type)
                .with_entity_name(part.entity_name)
        };
        entries.push(
            alter_client_quotas_response::EntryData::default()
                .with_error_code(result.0)
                .with_error_message(result.1)
                .with_entity(entry.entity.into_iter().map(part).collect()),
        );
    }
    AlterClientQuotasResponse::default().with_entries(entries)
}

fn change(entry: &alter_client_quotas_request::EntryData) -> Result<Change, Reason> {
    let entity = Entity::new(entry.entity.iter().map(|part| (&*part.entity_type, part.entity_name.as_deref())))?;
    let (mut set, mut remove) = (Limits::new(), Vec::new());
    for op in &entry.ops {
        // What is taken away needs no value.
        let limit = entity.check(&op.key, if op.remove { 1.0 } else { op.value })?;
        if set.contains_key(&limit) || remove.contains(&limit) {
            return Err(format!("`{}` is named more than once", op.key));
        }
        if op.remove {
            remove.push(limit);
        } else {
            set.insert(limit, op.value);
        }
    }
    Ok(Change { entity, set, remove })
}
