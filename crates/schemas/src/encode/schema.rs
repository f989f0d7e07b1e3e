//! Schemas for columns that have none yet.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use model::{Error, Result, error::codes};
use serde_json::{Map, Value, json};

use crate::sql::type_name;

/// An Avro schema for `columns`: a record called `full_name`, or the bare type of the only column if not `wrapped`.
/// Everything may be null. Characters that Avro's names do not have become `_`.
pub fn avro_schema(columns: &Schema, full_name: &str, wrapped: bool) -> Result<String> {
    let name: String = full_name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    let part =
        |part: &str| if part.starts_with(|c: char| c.is_ascii_digit()) { format!("_{part}") } else { part.to_owned() };
    let name = name.split('.').filter(|part| !part.is_empty()).map(part).collect::<Vec<_>>().join(".");
    let schema = match columns.fields().as_ref() {
        [only] if !wrapped => avro_type(only.data_type(), &name)?,
        _ => avro_record(columns.fields(), if name.is_empty() { "Record" } else { &name })?,
    };
    Ok(schema.to_string())
}

fn avro_record(fields: &Fields, name: &str) -> Result<Value> {
    let field = |field: &std::sync::Arc<Field>| {
        let legal = field
            .name()
            .chars()
            .enumerate()
            .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
        if !legal || field.name().is_empty() {
            return Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("`{}` cannot name an Avro field", field.name()))
                .hint("Avro names have letters, digits and `_` only; rename the column or use JSON"));
        }
        let inner = avro_type(field.data_type(), &format!("{name}_{}", field.name()))?;
        Ok(json!({"name": field.name(), "type": ["null", inner], "default": null}))
    };
    let fields = fields.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "record", "name": name, "fields": fields}))
}

fn avro_type(data_type: &DataType, name: &str) -> Result<Value> {
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Time32(_) => json!({"type": "int", "logicalType": "time-millis"}),
        DataType::Time64(_) => json!({"type": "long", "logicalType": "time-micros"}),
        DataType::Timestamp(_, Some(_)) => json!({"type": "long", "logicalType": "timestamp-micros"}),
        DataType::Timestamp(_, None) => json!({"type": "long", "logicalType": "local-timestamp-micros"}),
        DataType::List(item) => json!({"type": "array", "items": ["null", avro_type(item.data_type(), name)?]}),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                json!({"type": "map", "values": ["null", avro_type(pair[1].data_type(), name)?]})
            }
            _ => return Err(unsupported(data_type)),
        },
        DataType::Struct(fields) => avro_record(fields, name)?,
        other => return Err(unsupported(other)),
    })
}

fn unsupported(data_type: &DataType) -> Error {
    Error::new(codes::FORMAT_UNSUPPORTED, format!("no schema can be made for columns of type {}", type_name(data_type)))
}

/// A JSON Schema for `columns`, with Kafka Connect's hints for what JSON has no types for. Everything may be null.
pub fn json_schema(columns: &Schema, title: &str, wrapped: bool) -> Result<String> {
    let mut schema = match columns.fields().as_ref() {
        [only] if !wrapped => json_type(only.data_type())?,
        _ => json_object(columns.fields())?,
    };
    if let Some(object) = schema.as_object_mut() {
        object.entry("title").or_insert(title.into());
    }
    Ok(schema.to_string())
}

fn json_object(fields: &Fields) -> Result<Value> {
    let mut properties = Map::new();
    for (index, field) in fields.iter().enumerate() {
        let inner = json_type(field.data_type())?;
        properties.insert(field.name().clone(), json!({"connect.index": index, "oneOf": [{"type": "null"}, inner]}));
    }
    Ok(json!({"type": "object", "properties": properties}))
}

fn json_type(data_type: &DataType) -> Result<Value> {
    let connect = |name: &str| format!("org.apache.kafka.connect.data.{name}");
    Ok(match data_type {
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int32 => json!({"type": "integer", "connect.type": "int32"}),
        DataType::Int64 => json!({"type": "integer", "connect.type": "int64"}),
        DataType::Float32 | DataType::Float64 => json!({"type": "number", "connect.type": "float64"}),
        DataType::Utf8 => json!({"type": "string"}),
        DataType::Binary => json!({"type": "string", "connect.type": "bytes"}),
        DataType::Decimal128(precision, scale) => json!({
            "type": "number", "connect.type": "bytes", "title": connect("Decimal"),
            "connect.parameters": {"scale": scale.to_string(), "connect.decimal.precision": precision.to_string()}
        }),
        DataType::Date32 => json!({"type": "integer", "connect.type": "int32", "title": connect("Date")}),
        DataType::Time32(_) | DataType::Time64(_) => {
            json!({"type": "integer", "connect.type": "int32", "title": connect("Time")})
        }
        DataType::Timestamp(..) => json!({"type": "integer", "connect.type": "int64", "title": connect("Timestamp")}),
        DataType::List(item) => {
            json!({"type": "array", "items": {"oneOf": [{"type": "null"}, json_type(item.data_type())?]}})
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => json!({
                "type": "object", "connect.type": "map",
                "additionalProperties": {"oneOf": [{"type": "null"}, json_type(pair[1].data_type())?]}
            }),
            _ => return Err(unsupported(data_type)),
        },
        DataType::Struct(fields) => json_object(fields)?,
        other => return Err(unsupported(other)),
    })
}
