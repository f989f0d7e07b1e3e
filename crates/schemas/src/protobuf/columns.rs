//! Messages as columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as Columns, SchemaRef, TimeUnit};
use model::Result;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{Schema, is_group};
use crate::avro::map_type;

/// Types unfolded at most: messages used in many places of each other would unfold without end.
const COLUMNS_MAX: usize = 10_000;
/// Messages in messages, deepest.
const DEPTH_MAX: usize = 32;

/// What a message is as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `google.protobuf.Timestamp`: an instant.
    Timestamp,
    /// `google.protobuf.Duration`: DECIMAL seconds.
    Duration,
    /// `google.protobuf.Int64Value` and its like: the value, or NULL.
    Wrapper,
    /// `google.protobuf.Struct`, `Value` and `ListValue`: JSON.
    Struct,
    Value,
    ListValue,
    /// `google.protobuf.FieldMask`: paths separated by commas.
    FieldMask,
    /// One column for each field.
    Fields,
}

impl Shape {
    pub(crate) fn of(message: &MessageDescriptor) -> Self {
        let Some(name) = message.full_name().strip_prefix("google.protobuf.") else { return Self::Fields };
        match name {
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "Struct" => Self::Struct,
            "Value" => Self::Value,
            "ListValue" => Self::ListValue,
            "FieldMask" => Self::FieldMask,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue"
                if message.get_field(1).is_some_and(|value| !value.is_list() && !is_message(&value.kind())) =>
            {
                Self::Wrapper
            }
            _ => Self::Fields,
        }
    }
}

fn is_message(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(_))
}

/// What surrounds the type being mapped.
struct Around {
    /// To find messages that contain themselves.
    messages: Vec<MessageDescriptor>,
    types_left: usize,
}

impl Schema {
    /// The columns of its root message (the first that no other is made of); none if it has no message.
    ///
    /// Everything is nullable, because a tombstone has no fields at all. What has no column type becomes VARCHAR with JSON
    /// text: messages that contain themselves, those without fields, and the well-known ones that are JSON.
    pub fn columns(&self) -> Result<SchemaRef> {
        let Some(message) = self.root() else { return Ok(Arc::new(Columns::empty())) };
        let mut around = Around { messages: vec![message.clone()], types_left: COLUMNS_MAX };
        Ok(Arc::new(Columns::new(fields(&message, &mut around))))
    }
}

fn fields(message: &MessageDescriptor, around: &mut Around) -> Vec<Field> {
    declared(message).iter().map(|field| Field::new(field.name(), field_type(field, around), true)).collect()
}

/// The fields of a message in the order of its canonical text: plain ones, oneof by oneof, groups.
fn declared(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut fields: Vec<_> = message.descriptor_proto().field.iter().collect();
    fields.sort_by_key(|field| match field.oneof_index {
        Some(oneof) if !field.proto3_optional() => (1, oneof, is_group(field)),
        _ => (if is_group(field) { 2 } else { 0 }, 0, false),
    });
    let numbers = fields.into_iter().filter_map(|field| u32::try_from(field.number()).ok());
    numbers.filter_map(|number| message.get_field(number)).collect()
}

fn field_type(field: &FieldDescriptor, around: &mut Around) -> DataType {
    let kind = field.kind();
    if let Some(entry) = kind.as_message().filter(|_| field.is_map()) {
        let key = data_type(&entry.map_entry_key_field().kind(), around);
        return map_type(key, data_type(&entry.map_entry_value_field().kind(), around));
    }
    let item = data_type(&kind, around);
    if field.is_list() { DataType::List(Arc::new(Field::new("element", item, true))) } else { item }
}

fn data_type(kind: &Kind, around: &mut Around) -> DataType {
    let Some(left) = around.types_left.checked_sub(1) else { return DataType::Utf8 };
    around.types_left = left;
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => DataType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint32 | Kind::Fixed32 => DataType::Int64,
        // Tables have no unsigned types.
        Kind::Uint64 | Kind::Fixed64 => DataType::Decimal128(20, 0),
        Kind::Float | Kind::Double => DataType::Float64,
        Kind::String | Kind::Enum(_) => DataType::Utf8,
        Kind::Bytes => DataType::Binary,
        Kind::Message(message) => match Shape::of(message) {
            Shape::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            // 10 000 years in seconds have 12 digits.
            Shape::Duration => DataType::Decimal128(21, 9),
            Shape::Wrapper => match message.get_field(1) {
                Some(value) => data_type(&value.kind(), around),
                None => DataType::Utf8,
            },
            Shape::Struct | Shape::Value | Shape::ListValue | Shape::FieldMask => DataType::Utf8,
            Shape::Fields if around.messages.contains(message) || around.messages.len() > DEPTH_MAX => DataType::Utf8,
            // A struct without fields has no place in a table.
            Shape::Fields if message.fields().len() == 0 => DataType::Utf8,
            Shape::Fields => {
                around.messages.push(message.clone());
                let fields = fields(message, around);
                around.messages.pop();
                DataType::Struct(fields.into())
            }
        },
    }
}
