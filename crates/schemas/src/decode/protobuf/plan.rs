//! A writer's message matched with columns, once for all payloads of it.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Fields};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::{
    super::{fault::Outcome, utf8},
    Owned,
    wire::{Datum, Raw},
};
use crate::protobuf::Shape;

/// How one message becomes columns.
pub(super) struct MessagePlan {
    /// By number of the field, ascending.
    pub(super) steps: Vec<Step>,
    /// Columns without a field, and their names.
    pub(super) missing: Vec<(usize, String)>,
    pub(super) oneofs: usize,
}

/// One field.
pub(super) struct Step {
    number: u32,
    pub(super) name: String,
    /// None for those that are only looked for: members of a oneof, because they drive out others, and required fields.
    pub(super) column: Option<usize>,
    /// Which oneof it is a member of.
    pub(super) oneof: Option<usize>,
    pub(super) content: Content,
    pub(super) absent: Absent,
    is_group: bool,
}

/// What a field that is not there becomes.
pub(super) enum Absent {
    Null,
    Default(Owned),
    /// `required`
    Refused,
}

/// How a value becomes a column.
pub(super) enum Content {
    Scalar(Scalar),
    Message(Box<MessagePlan>),
    Wrapper {
        value: Scalar,
        zero: Owned,
    },
    Timestamp,
    Duration,
    List(Box<Content>),
    Map {
        key: Scalar,
        value: Box<Content>,
        zero_key: Owned,
        absent: Option<Owned>,
    },
    /// JSON text of one value.
    Text(Kind),
    /// JSON text of all occurrences of a field.
    TextOfField(Box<FieldDescriptor>),
}

/// A scalar type.
pub(super) enum Scalar {
    Plain(Kind),
    /// Names by number.
    Enum(HashMap<i32, String>),
}

impl MessagePlan {
    pub(super) fn step(&self, number: u32) -> Option<usize> {
        // Numbers mostly are 1, 2, 3, …
        let near =
            (number as usize).checked_sub(1).filter(|&at| self.steps.get(at).is_some_and(|s| s.number == number));
        near.or_else(|| self.steps.binary_search_by_key(&number, |step| step.number).ok())
    }
}

impl Step {
    /// Whether a value of this wire type is one of the field; any other is unknown.
    pub(super) fn accepts(&self, raw: &Raw<'_>) -> bool {
        match &self.content {
            Content::List(item) => match (item.as_ref(), raw) {
                (Content::Scalar(scalar), Raw::Bytes(_)) if scalar.is_packable() => true,
                (Content::Scalar(scalar), raw) => scalar.accepts(raw),
                _ => self.accepts_message(raw),
            },
            Content::TextOfField(field) => accepts(field, raw),
            Content::Scalar(scalar) => scalar.accepts(raw),
            _ => self.accepts_message(raw),
        }
    }

    fn accepts_message(&self, raw: &Raw<'_>) -> bool {
        match raw {
            Raw::Bytes(_) => !self.is_group,
            Raw::Group(_) => self.is_group,
            _ => false,
        }
    }
}

/// As [`Step::accepts`], for a field without a plan.
pub(super) fn accepts(field: &FieldDescriptor, raw: &Raw<'_>) -> bool {
    match (field.kind(), raw) {
        (Kind::Message(_), Raw::Group(_)) => field.is_group(),
        (Kind::Message(_), raw) => matches!(raw, Raw::Bytes(_)) && !field.is_group(),
        (kind, raw) => {
            let scalar = Scalar::wire_of(&kind);
            (field.is_list() && scalar != 2 && matches!(raw, Raw::Bytes(_))) || wire_type(raw) == scalar
        }
    }
}

impl Content {
    /// Whether a value of a map's entry is of this type.
    pub(super) fn accepts(&self, raw: &Raw<'_>) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.accepts(raw),
            Self::Text(kind) => Scalar::wire_of(kind) == wire_type(raw),
            _ => matches!(raw, Raw::Bytes(_)),
        }
    }
}

fn wire_type(raw: &Raw<'_>) -> u8 {
    match raw {
        Raw::Varint(_) => 0,
        Raw::Fixed64(_) => 1,
        Raw::Bytes(_) => 2,
        Raw::Group(_) => 3,
        Raw::Fixed32(_) => 5,
    }
}

impl Scalar {
    pub(super) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Enum(symbols) => {
                // Of several names for one number the first counts.
                let mut names = HashMap::new();
                for symbol in symbols.values() {
                    names.entry(symbol.number()).or_insert_with(|| symbol.name().to_owned());
                }
                Self::Enum(names)
            }
            kind => Self::Plain(kind.clone()),
        }
    }

    fn wire_of(kind: &Kind) -> u8 {
        match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
            Kind::String | Kind::Bytes | Kind::Message(_) => 2,
            _ => 0,
        }
    }

    pub(super) fn wire_type(&self) -> u8 {
        match self {
            Self::Plain(kind) => Self::wire_of(kind),
            Self::Enum(_) => 0,
        }
    }

    pub(super) fn accepts(&self, raw: &Raw<'_>) -> bool {
        wire_type(raw) == self.wire_type()
    }

    /// Whether lists of it may be packed.
    pub(super) fn is_packable(&self) -> bool {
        self.wire_type() != 2
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Self::Plain(Kind::Bool))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Plain(Kind::String))
    }

    pub(super) fn datum<'a>(&'a self, raw: Raw<'a>) -> Outcome<Datum<'a>> {
        let kind = match self {
            Self::Plain(kind) => kind,
            Self::Enum(names) => {
                let number = if let Raw::Varint(value) = raw { value as i32 } else { 0 };
                return Ok(Datum::Symbol(number, names.get(&number).map(String::as_str)));
            }
        };
        Ok(match (kind, raw) {
            (Kind::Bool, Raw::Varint(value)) => Datum::Bool(value != 0),
            (Kind::Int32, Raw::Varint(value)) => Datum::Int((value as i32).into()),
            (Kind::Int64, Raw::Varint(value)) => Datum::Int(value as i64),
            (Kind::Uint32, Raw::Varint(value)) => Datum::Int((value as u32).into()),
            (Kind::Uint64, Raw::Varint(value)) => Datum::Unsigned(value),
            (Kind::Sint32, Raw::Varint(value)) => Datum::Int(unzigzag(u64::from(value as u32))),
            (Kind::Sint64, Raw::Varint(value)) => Datum::Int(unzigzag(value)),
            (Kind::Fixed32, Raw::Fixed32(value)) => Datum::Int(value.into()),
            (Kind::Sfixed32, Raw::Fixed32(value)) => Datum::Int((value as i32).into()),
            (Kind::Float, Raw::Fixed32(value)) => Datum::Float(f32::from_bits(value).into()),
            (Kind::Fixed64, Raw::Fixed64(value)) => Datum::Unsigned(value),
            (Kind::Sfixed64, Raw::Fixed64(value)) => Datum::Int(value as i64),
            (Kind::Double, Raw::Fixed64(value)) => Datum::Float(f64::from_bits(value)),
            (Kind::String, Raw::Bytes(bytes)) => Datum::Text(utf8(bytes)?),
            (_, Raw::Bytes(bytes) | Raw::Group(bytes)) => Datum::Bytes(bytes),
            // Other wire types are not accepted in the first place.
            (_, Raw::Varint(value) | Raw::Fixed64(value)) => Datum::Unsigned(value),
            (_, Raw::Fixed32(value)) => Datum::Int(value.into()),
        })
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Matches fields with columns.
#[derive(Default)]
pub(super) struct Planner {
    /// Fields without a column, as dotted paths.
    pub(super) unknown: Vec<String>,
}

impl Planner {
    pub(super) fn message(&mut self, message: &MessageDescriptor, columns: &Fields, prefix: &str) -> MessagePlan {
        let mut fields: Vec<FieldDescriptor> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let mut taken = vec![false; columns.len()];
        let mut targets: Vec<Option<usize>> = vec![None; fields.len()];
        // Exactly first, then whatever the case; of several such columns the first.
        for exactly in [true, false] {
            let spelled = |name: &str| if exactly { name.to_owned() } else { name.to_lowercase() };
            let mut free: HashMap<String, usize> = HashMap::new();
            for (index, column) in columns.iter().enumerate().filter(|&(index, _)| !taken[index]) {
                free.entry(spelled(column.name())).or_insert(index);
            }
            for (field, target) in fields.iter().zip(&mut targets).filter(|(_, target)| target.is_none()) {
                if let Some(index) = free.remove(&spelled(field.name())) {
                    taken[index] = true;
                    *target = Some(index);
                }
            }
        }
        let oneofs: Vec<String> =
            message.oneofs().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().to_owned()).collect();
        let mut steps = Vec::new();
        for (field, target) in fields.iter().zip(targets) {
            let oneof = field.containing_oneof().and_then(|of| oneofs.iter().position(|name| name == of.name()));
            let is_required = field.cardinality() == Cardinality::Required;
            if target.is_none() {
                self.unknown.push(format!("{prefix}{}", field.name()));
                if oneof.is_none() && !is_required {
                    continue;
                }
            }
            let content = match target {
                Some(index) => {
                    let column = &columns[index];
                    self.field(field, column.data_type(), &format!("{prefix}{}.", column.name()))
                }
                None => Content::TextOfField(Box::new(field.clone())),
            };
            let absent = if is_required {
                Absent::Refused
            } else if field.supports_presence() && field.field_descriptor_proto().default_value.is_none() {
                Absent::Null
            } else if field.is_list() || field.is_map() {
                // Never asked: no occurrence is an empty list.
                Absent::Null
            } else {
                Absent::Default(Owned::of(field.default_value(), &field.kind()))
            };
            steps.push(Step {
                number: field.number(),
                name: field.name().to_owned(),
                column: target,
                oneof,
                content,
                absent,
                is_group: field.is_group(),
            });
        }
        let missing = columns.iter().enumerate().filter(|&(index, _)| !taken[index]);
        let missing = missing.map(|(index, column)| (index, column.name().clone())).collect();
        MessagePlan { steps, missing, oneofs: oneofs.len() }
    }

    fn field(&mut self, field: &FieldDescriptor, data_type: &DataType, prefix: &str) -> Content {
        let kind = field.kind();
        match data_type {
            DataType::Map(entries, _) if field.is_map() => {
                if let (Some(entry), DataType::Struct(pair)) = (kind.as_message(), entries.data_type())
                    && pair.len() == 2
                {
                    let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                    let absent = (!matches!(value, Kind::Message(_))).then(|| Owned::of(value.default_value(), &value));
                    return Content::Map {
                        zero_key: Owned::of(key.default_value(), &key),
                        key: Scalar::of(&key),
                        value: Box::new(self.content(&value, pair[1].data_type(), prefix)),
                        absent,
                    };
                }
                Content::TextOfField(Box::new(field.clone()))
            }
            DataType::List(item) if field.is_list() => {
                Content::List(Box::new(self.content(&kind, item.data_type(), prefix)))
            }
            _ if field.is_list() || field.is_map() => Content::TextOfField(Box::new(field.clone())),
            data_type => self.content(&kind, data_type, prefix),
        }
    }

    /// One value of `kind` in a column of `data_type`.
    pub(super) fn content(&mut self, kind: &Kind, data_type: &DataType, prefix: &str) -> Content {
        let Kind::Message(message) = kind else { return Content::Scalar(Scalar::of(kind)) };
        match (Shape::of(message), data_type) {
            (Shape::Timestamp, _) => Content::Timestamp,
            (Shape::Duration, _) => Content::Duration,
            (Shape::Wrapper, _) => {
                let Some(value) = message.get_field(1) else { return Content::Text(kind.clone()) };
                let kind = value.kind();
                Content::Wrapper { zero: Owned::of(kind.default_value(), &kind), value: Scalar::of(&kind) }
            }
            (Shape::Fields, DataType::Struct(fields)) => {
                Content::Message(Box::new(self.message(message, fields, prefix)))
            }
            _ => Content::Text(kind.clone()),
        }
    }
}
