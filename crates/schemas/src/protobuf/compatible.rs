//! Can a reader with one schema read what was written with another? The rules are Confluent's: of the differences between
//! two files it names these as harmful, and no others.
//!
//! Data know fields by number, so that names, new fields, removed ones and everything about enums are free; what counts is
//! that a number keeps its kind. Messages have the form of Confluent's verbose answers, with the field's name added.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::Schema;

/// Everything that keeps `reader` from reading what `writer` wrote; empty if nothing does. `labels` are what messages
/// call the two: `["new", "old"]`.
pub fn unreadable(reader: &Schema, writer: &Schema, labels: [&str; 2]) -> Vec<String> {
    let mut check = Check { labels, faults: Vec::new(), todo: Vec::new(), seen: HashSet::new() };
    let (new, old) = (reader.descriptor(), writer.descriptor());
    if new.package_name() != old.package_name() {
        let info = format!("`{}` was `{}`", new.package_name(), old.package_name());
        check.fault(Rule::PackageChanged, &[], info);
    }
    check.messages(&mut Vec::new(), old.messages().collect(), new.messages().collect());
    // Imported messages, as far as fields are made of them.
    while let Some((old, new)) = check.todo.pop() {
        let mut path: Vec<String> = local_name(&old).split('.').map(str::to_owned).collect();
        check.message(&mut path, &old, &new);
    }
    check.faults
}

const FAULTS_MAX: usize = 100;

struct Check<'a> {
    labels: [&'a str; 2],
    faults: Vec<String>,
    /// Pairs of messages in imported files (of the writer, of the reader) that are yet to be compared.
    todo: Vec<(MessageDescriptor, MessageDescriptor)>,
    seen: HashSet<(String, String)>,
}

#[derive(Clone, Copy)]
enum Rule {
    PackageChanged,
    MessageRemoved,
    FieldKindChanged,
    FieldScalarKindChanged,
    FieldNamedTypeChanged,
    FieldNumericLabelChanged,
    RequiredFieldAdded,
    RequiredFieldRemoved,
    OneofFieldRemoved,
    MultipleFieldsMovedToOneof,
    FieldMovedToExistingOneof,
}

impl Rule {
    fn text(self, path: &str, [reader, writer]: [&str; 2]) -> (&'static str, String) {
        match self {
            Self::PackageChanged => (
                "PACKAGE_CHANGED",
                format!(
                    "The package at '{path}' in the {reader} schema does not match the package in the {writer} schema"
                ),
            ),
            Self::MessageRemoved => (
                "MESSAGE_REMOVED",
                format!("The {reader} schema is missing a MESSAGE type at path '{path}' in the {writer} schema"),
            ),
            Self::FieldKindChanged => (
                "FIELD_KIND_CHANGED",
                format!(
                    "The type of a field at path '{path}' in the {reader} schema does not match the {writer} schema"
                ),
            ),
            Self::FieldScalarKindChanged => (
                "FIELD_SCALAR_KIND_CHANGED",
                format!(
                    "The kind of a SCALAR field at path '{path}' in the {reader} schema does not match its kind in the {writer} schema"
                ),
            ),
            Self::FieldNamedTypeChanged => (
                "FIELD_NAMED_TYPE_CHANGED",
                format!(
                    "The type of a MESSAGE field at path '{path}' in the {reader} schema does not match its type in the {writer} schema"
                ),
            ),
            Self::FieldNumericLabelChanged => (
                "FIELD_NUMERIC_LABEL_CHANGED",
                format!(
                    "The label for a NUMERIC field at path '{path}' in the {reader} schema does not match its label in the {writer} schema"
                ),
            ),
            Self::RequiredFieldAdded => (
                "REQUIRED_FIELD_ADDED",
                format!("A required field at path '{path}' in the {reader} schema is missing in the {writer} schema"),
            ),
            Self::RequiredFieldRemoved => (
                "REQUIRED_FIELD_REMOVED",
                format!("The {reader} schema is missing a required field at path '{path}' in the {writer} schema"),
            ),
            Self::OneofFieldRemoved => (
                "ONEOF_FIELD_REMOVED",
                format!("The {reader} schema is missing a oneof field at path '{path}' in the {writer} schema"),
            ),
            Self::MultipleFieldsMovedToOneof => (
                "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
                format!(
                    "Multiple fields in the oneof at path '{path}' in the {reader} schema are outside a oneof in the {writer} schema"
                ),
            ),
            Self::FieldMovedToExistingOneof => (
                "FIELD_MOVED_TO_EXISTING_ONEOF",
                format!(
                    "A field in the oneof at path '{path}' in the {reader} schema is outside an existing oneof in the {writer} schema"
                ),
            ),
        }
    }
}

impl Check<'_> {
    fn fault(&mut self, rule: Rule, path: &[String], info: String) {
        if self.faults.len() < FAULTS_MAX {
            let (name, description) = rule.text(&format!("#/{}", path.join("/")), self.labels);
            self.faults.push(format!("{{errorType:'{name}', description:'{description}', additionalInfo:'{info}'}}"));
        }
    }

    /// The messages of two scopes, by name.
    fn messages(&mut self, path: &mut Vec<String>, old: Vec<MessageDescriptor>, new: Vec<MessageDescriptor>) {
        let new: HashMap<&str, &MessageDescriptor> = new.iter().map(|message| (message.name(), message)).collect();
        for old in old.iter().filter(|message| !message.is_map_entry()) {
            path.push(old.name().to_owned());
            match new.get(old.name()) {
                Some(new) => self.message(path, old, new),
                None => self.fault(Rule::MessageRemoved, path, format!("message `{}`", old.full_name())),
            }
            path.pop();
        }
    }

    fn message(&mut self, path: &mut Vec<String>, old: &MessageDescriptor, new: &MessageDescriptor) {
        if self.seen.insert((old.full_name().to_owned(), new.full_name().to_owned())) {
            self.fields(path, old, new);
            self.messages(path, old.child_messages().collect(), new.child_messages().collect());
        }
    }

    fn fields(&mut self, path: &mut Vec<String>, old: &MessageDescriptor, new: &MessageDescriptor) {
        let olds: BTreeMap<u32, FieldDescriptor> = old.fields().map(|field| (field.number(), field)).collect();
        let news: BTreeMap<u32, FieldDescriptor> = new.fields().map(|field| (field.number(), field)).collect();
        self.oneofs(path, &olds, new);
        // A oneof that is gone with all its fields takes nothing from anyone who reads the others.
        let deleted_oneofs: BTreeSet<String> = old
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic() && new.oneofs().all(|new| new.name() != oneof.name()))
            .filter(|oneof| oneof.fields().all(|field| !news.contains_key(&field.number())))
            .map(|oneof| oneof.name().to_owned())
            .collect();
        let numbers: BTreeSet<u32> = olds.keys().chain(news.keys()).copied().collect();
        for number in numbers {
            let depth = path.len();
            let (old, new) = (olds.get(&number), news.get(&number));
            let oneof = new.or(old).and_then(oneof_of);
            path.extend(oneof.iter().cloned());
            path.push(number.to_string());
            match (old, new) {
                (Some(old), None) if oneof.is_some_and(|oneof| !deleted_oneofs.contains(&oneof)) => {
                    self.fault(Rule::OneofFieldRemoved, path, format!("field `{}`", old.name()));
                }
                (Some(old), None) if old.cardinality() == Cardinality::Required => {
                    self.fault(Rule::RequiredFieldRemoved, path, format!("field `{}`", old.name()));
                }
                (None, Some(new)) if new.cardinality() == Cardinality::Required => {
                    self.fault(Rule::RequiredFieldAdded, path, format!("field `{}`", new.name()));
                }
                (Some(old), Some(new)) => self.field(path, old, new),
                _ => {}
            }
            path.truncate(depth);
        }
    }

    /// Fields that used to be set independently must not come to exclude each other.
    fn oneofs(&mut self, path: &mut Vec<String>, olds: &BTreeMap<u32, FieldDescriptor>, new: &MessageDescriptor) {
        for oneof in new.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let known: Vec<&FieldDescriptor> = oneof.fields().filter_map(|field| olds.get(&field.number())).collect();
            let moved: Vec<&str> =
                known.iter().filter(|field| oneof_of(field).is_none()).map(|field| field.name()).collect();
            let origins: BTreeSet<String> = known.iter().filter_map(|field| oneof_of(field)).collect();
            if origins.len() + moved.len() > 1 {
                path.push(oneof.name().to_owned());
                let rule = match moved.len() {
                    0 | 1 => Rule::FieldMovedToExistingOneof,
                    _ => Rule::MultipleFieldsMovedToOneof,
                };
                let names: Vec<_> = known.iter().map(|field| format!("`{}`", field.name())).collect();
                self.fault(rule, path, format!("fields {}", names.join(", ")));
                path.pop();
            }
        }
    }

    fn field(&mut self, path: &[String], old: &FieldDescriptor, new: &FieldDescriptor) {
        let info = format!("field `{}`: {} was {}", new.name(), written_type(new), written_type(old));
        match (old.is_map(), new.is_map()) {
            (true, true) => {
                let (old, new) = (old.kind(), new.kind());
                if let (Some(old), Some(new)) = (old.as_message(), new.as_message()) {
                    self.kinds(path, &old.map_entry_key_field(), &new.map_entry_key_field(), None, &info);
                    self.kinds(path, &old.map_entry_value_field(), &new.map_entry_value_field(), None, &info);
                }
            }
            (false, false) => {
                let labels = label(old).zip(label(new));
                self.kinds(path, old, new, labels, &info);
            }
            _ => self.fault(Rule::FieldKindChanged, path, info),
        }
    }

    fn kinds(
        &mut self,
        path: &[String],
        old: &FieldDescriptor,
        new: &FieldDescriptor,
        labels: Option<(Cardinality, Cardinality)>,
        info: &str,
    ) {
        match (Wire::of(&old.kind()), Wire::of(&new.kind())) {
            (Wire::Message(old), Wire::Message(new)) => {
                if local_name(&old) != local_name(&new) {
                    self.fault(Rule::FieldNamedTypeChanged, path, info.to_owned());
                } else {
                    // Those of the files themselves are compared anyway.
                    self.todo.push((old, new));
                }
            }
            (Wire::Message(_), _) | (_, Wire::Message(_)) => self.fault(Rule::FieldKindChanged, path, info.to_owned()),
            (old, new) if old != new => self.fault(Rule::FieldScalarKindChanged, path, info.to_owned()),
            (old, _) => {
                if old != Wire::StringOrBytes && labels.is_some_and(|(old, new)| old != new) {
                    self.fault(Rule::FieldNumericLabelChanged, path, info.to_owned());
                }
            }
        }
    }
}

/// Kinds within one of these read each other's data (language guide, "Updating A Message Type").
#[derive(PartialEq)]
enum Wire {
    GeneralNumber,
    SignedNumber,
    Fixed32,
    Fixed64,
    Float,
    Double,
    StringOrBytes,
    Message(MessageDescriptor),
}

impl Wire {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => Self::GeneralNumber,
            Kind::Sint32 | Kind::Sint64 => Self::SignedNumber,
            Kind::Fixed32 | Kind::Sfixed32 => Self::Fixed32,
            Kind::Fixed64 | Kind::Sfixed64 => Self::Fixed64,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String | Kind::Bytes => Self::StringOrBytes,
            Kind::Message(message) => Self::Message(message.clone()),
        }
    }
}

/// The oneof that the text puts the field into.
fn oneof_of(field: &FieldDescriptor) -> Option<String> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().to_owned())
}

/// The label, if the text has one.
fn label(field: &FieldDescriptor) -> Option<Cardinality> {
    let declared = field.field_descriptor_proto();
    let is_proto3 = field.parent_file().file_descriptor_proto().syntax() == "proto3";
    match field.cardinality() {
        _ if oneof_of(field).is_some() => None,
        Cardinality::Optional if is_proto3 && !declared.proto3_optional() => None,
        cardinality => Some(cardinality),
    }
}

/// The name without the package.
fn local_name(message: &MessageDescriptor) -> String {
    let (full, package) = (message.full_name(), message.package_name());
    match full.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
        Some(local) if !package.is_empty() => local.to_owned(),
        _ => full.to_owned(),
    }
}

fn written_type(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    if let Some(entry) = kind.as_message().filter(|_| field.is_map()) {
        return format!("map<{:?}, {:?}>", entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    }
    match label(field) {
        Some(Cardinality::Repeated) => format!("repeated {kind:?}"),
        Some(Cardinality::Required) => format!("required {kind:?}"),
        Some(Cardinality::Optional) => format!("optional {kind:?}"),
        None => format!("{kind:?}"),
    }
}
