//! JSON Schema as columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as Columns, SchemaRef, TimeUnit};
use model::Result;
use serde_json::Value;

use super::{Node, Schema};
use crate::avro::map_type;

const DEPTH_MAX: usize = 32;
/// Parts unfolded at most: definitions used in many places of each other would unfold without end.
const COLUMNS_MAX: usize = 10_000;

impl Schema {
    /// The columns of its objects; a schema of anything else gives one column called `value`. All are nullable, because
    /// a tombstone has no fields at all. What has no column type becomes VARCHAR with JSON text.
    pub fn columns(&self) -> Result<SchemaRef> {
        let mut left = COLUMNS_MAX;
        let root = self.node().resolved();
        let fields = match properties(root, 0, &mut left) {
            Some(fields) => fields,
            None => vec![Field::new("value", data_type(root, 0, &mut left), true)],
        };
        Ok(Arc::new(Columns::new(fields)))
    }
}

fn properties(node: Node<'_>, depth: usize, left: &mut usize) -> Option<Vec<Field>> {
    let mut fields: Vec<Field> = Vec::new();
    let parts = node.get("allOf").and_then(Value::as_array).into_iter().flatten();
    for part in [node].into_iter().chain(parts.map(|part| node.at(part).resolved())) {
        let mut own: Vec<_> = part.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
        // Connect writes the order of the fields beside them.
        own.sort_by_key(|(_, value)| value.get("connect.index").and_then(Value::as_i64).unwrap_or(0));
        for (name, value) in own {
            if !fields.iter().any(|field| field.name() == name) {
                fields.push(Field::new(name, data_type(node.at(value), depth + 1, left), true));
            }
        }
    }
    (!fields.is_empty()).then_some(fields)
}

fn data_type(node: Node<'_>, depth: usize, left: &mut usize) -> DataType {
    let Some(rest) = left.checked_sub(1).filter(|_| depth < DEPTH_MAX) else { return DataType::Utf8 };
    *left = rest;
    let node = node.resolved();
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(branches)) = node.get(key) {
            let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
            let mut others = branches.iter().filter(|branch| !is_null(branch));
            return match (others.next(), others.next()) {
                (Some(only), None) => data_type(node.at(only), depth + 1, left),
                _ => DataType::Utf8,
            };
        }
    }
    let named = match node.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            let mut others = names.iter().filter_map(Value::as_str).filter(|&name| name != "null");
            match (others.next(), others.next(), others.next()) {
                (Some(only), None, _) => only,
                (Some("integer" | "number"), Some("integer" | "number"), None) => "number",
                _ => return DataType::Utf8,
            }
        }
        _ if node.get("properties").is_some() || node.get("allOf").is_some() => "object",
        _ => return DataType::Utf8,
    };
    let hint = |key: &str| node.get(key).and_then(Value::as_str);
    match (named, hint("connect.type"), hint("title"), hint("format")) {
        ("boolean", ..) => DataType::Boolean,
        ("integer", _, Some("org.apache.kafka.connect.data.Timestamp"), _) => instant(),
        ("integer", _, Some("org.apache.kafka.connect.data.Date"), _) => DataType::Date32,
        ("integer", _, Some("org.apache.kafka.connect.data.Time"), _) => DataType::Time64(TimeUnit::Microsecond),
        ("integer", Some("int8" | "int16" | "int32"), ..) => DataType::Int32,
        ("integer", ..) => DataType::Int64,
        ("number", Some("bytes"), Some("org.apache.kafka.connect.data.Decimal"), _) => decimal(node),
        ("number", ..) => DataType::Float64,
        ("string", Some("bytes"), ..) => DataType::Binary,
        ("string", _, _, Some("date-time")) => instant(),
        ("string", _, _, Some("date")) => DataType::Date32,
        ("array", ..) => match node.get("items") {
            Some(items @ Value::Object(_)) => {
                DataType::List(Arc::new(Field::new("element", data_type(node.at(items), depth + 1, left), true)))
            }
            _ => DataType::Utf8,
        },
        ("object", ..) => match (properties(node, depth, left), node.get("additionalProperties")) {
            (Some(fields), _) => DataType::Struct(fields.into()),
            (None, Some(values @ Value::Object(_))) => {
                map_type(DataType::Utf8, data_type(node.at(values), depth + 1, left))
            }
            _ => DataType::Utf8,
        },
        _ => DataType::Utf8,
    }
}

/// TIMESTAMPTZ: a `date-time` has an offset, and Connect's Timestamp counts from the epoch in UTC.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

fn decimal(node: Node<'_>) -> DataType {
    let parameter = |key: &str| {
        let parameters = node.get("connect.parameters")?;
        parameters.get(key)?.as_str()?.parse::<u8>().ok()
    };
    let precision = parameter("connect.decimal.precision").filter(|p| (1..=38).contains(p)).unwrap_or(38);
    match parameter("scale").filter(|&scale| scale <= precision) {
        Some(scale) => DataType::Decimal128(precision, scale as i8),
        None => DataType::Float64,
    }
}
