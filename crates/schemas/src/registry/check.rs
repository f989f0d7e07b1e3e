//! Compatibility of a new schema with earlier versions.

use super::{Compatibility, Registry};
use crate::{ParsedSchema, avro, json_schema, protobuf};

impl Registry {
    /// What keeps `new` from being the next version of `subject`.
    pub(super) fn conflicts_with_subject(
        &self,
        level: Compatibility,
        subject: &str,
        new: &ParsedSchema,
    ) -> Vec<String> {
        let versions = self.subjects.get(subject).into_iter().flatten();
        let live = versions.filter(|(_, version)| !version.deleted).map(|(&number, version)| (number, version.id));
        let newest_first = live.rev().take(if level.is_transitive() { usize::MAX } else { 1 });
        self.conflicts(level, new, newest_first)
    }

    /// What keeps `new` from getting on with the first of `versions` (number, id) that it does not get on with.
    pub(super) fn conflicts(
        &self,
        level: Compatibility,
        new: &ParsedSchema,
        versions: impl IntoIterator<Item = (i32, i32)>,
    ) -> Vec<String> {
        if level == Compatibility::None {
            return Vec::new();
        }
        for (number, id) in versions {
            let Some(stored) = self.schemas.get(&id) else { continue };
            let mut messages = match &stored.registered {
                Some(old) => conflicts_between(level, new, &old.parsed),
                None => vec![String::from(
                    "{errorType:'UNREADABLE_SCHEMA', description:'The old schema cannot be read, so nothing can be said about compatibility with it'}",
                )],
            };
            if !messages.is_empty() {
                messages.push(format!("{{oldSchemaVersion: {number}}}"));
                messages.push(format!("{{oldSchema: '{}'}}", stored.content.text));
                messages.push(format!("{{compatibility: '{level}'}}"));
                return messages;
            }
        }
        Vec::new()
    }
}

fn conflicts_between(level: Compatibility, new: &ParsedSchema, old: &ParsedSchema) -> Vec<String> {
    let mut messages = Vec::new();
    match (new, old) {
        (ParsedSchema::Avro(new), ParsedSchema::Avro(old)) => {
            if level.is_backward() {
                messages.extend(avro::unreadable(new, old, ["new", "old"]));
            }
            if level.is_forward() {
                messages.extend(avro::unreadable(old, new, ["old", "new"]));
            }
        }
        (ParsedSchema::Json(new), ParsedSchema::Json(old)) => {
            if level.is_backward() {
                messages.extend(json_schema::narrowings(old, new, ["old", "new"]));
            }
            if level.is_forward() {
                messages.extend(json_schema::narrowings(new, old, ["new", "old"]));
            }
        }
        (ParsedSchema::Protobuf(new), ParsedSchema::Protobuf(old)) => {
            if level.is_backward() {
                messages.extend(protobuf::unreadable(new, old, ["new", "old"]));
            }
            if level.is_forward() {
                messages.extend(protobuf::unreadable(old, new, ["old", "new"]));
            }
        }
        _ => messages.push(
            "{errorType:'SCHEMA_TYPE_CHANGED', description:'The type of the schema (AVRO, JSON, PROTOBUF) differs from the old one'}"
                .to_owned(),
        ),
    }
    messages
}
