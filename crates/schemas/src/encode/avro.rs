//! Values as Avro binary, by the registered schema.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Decimal128Type, Fields, Float32Type, Float64Type, Time64MicrosecondType, TimeUnit},
};
use model::Result;
use serde_json::Value;

use super::{json, not_encodable};
use crate::{
    avro::{Kind, Logical, Schema, TypeId},
    sql::type_name,
    text::parse_decimal,
};

pub(super) fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Each field of the record from the column of its name, else its default. A value that finds no field is refused.
pub(super) fn record(
    schema: &Schema,
    id: TypeId,
    columns: &Fields,
    arrays: &[ArrayRef],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Kind::Record { fields, .. } = &schema.get(id).kind else {
        return Err(not_encodable(format!("columns as {}", schema.get(id).kind.label())));
    };
    let mut has_field = vec![false; columns.len()];
    for field in fields {
        let exact = columns.iter().position(|column| column.name() == &field.name);
        let same = |name: &str| name.to_lowercase() == field.name.to_lowercase();
        let found = exact.or_else(|| columns.iter().position(|column| same(column.name())));
        found.into_iter().for_each(|index| has_field[index] = true);
        let written = match (found, &field.default) {
            (Some(index), _) => value(schema, field.schema, &arrays[index], row, out),
            (None, Some(value)) => default(schema, field.schema, value, out),
            (None, None) if null_branch(schema, field.schema).is_some() => null(schema, field.schema, out),
            (None, None) => {
                Err(not_encodable(format!("field `{}` of the schema has no column and no default", field.name)))
            }
        };
        written.map_err(|error| {
            let detail = error.detail_text().unwrap_or_default().to_owned();
            if detail.starts_with("field `") {
                error
            } else {
                error.detail(format!("field `{}`: {detail}", field.name))
            }
        })?;
    }
    match (0..columns.len()).find(|&index| !has_field[index] && arrays[index].is_valid(row)) {
        None => Ok(()),
        Some(left) => {
            let name = columns[left].name();
            Err(not_encodable(format!("the schema has no field for column `{name}`, which has a value"))
                .hint("register a schema with this field first, or leave the column out"))
        }
    }
}

fn null_branch(schema: &Schema, id: TypeId) -> Option<usize> {
    match &schema.get(id).kind {
        Kind::Union(branches) => branches.iter().position(|&branch| matches!(schema.get(branch).kind, Kind::Null)),
        _ => None,
    }
}

fn null(schema: &Schema, id: TypeId, out: &mut Vec<u8>) -> Result<()> {
    match (&schema.get(id).kind, null_branch(schema, id)) {
        (Kind::Null, _) => {}
        (_, Some(index)) => long(out, index as i64),
        (kind, None) => return Err(not_encodable(format!("NULL, but the schema says {}", kind.label()))),
    }
    Ok(())
}

pub(super) fn value(schema: &Schema, id: TypeId, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if array.is_null(row) {
        return null(schema, id, out);
    }
    let node = schema.get(id);
    let misfit = || not_encodable(format!("a value of type {} as {}", type_name(array.data_type()), node.kind.label()));
    match (&node.kind, array.data_type()) {
        (Kind::Union(branches), _) => {
            // The first branch that takes the value; what a failed attempt wrote is cut off again.
            let start = out.len();
            for (index, &branch) in branches.iter().enumerate() {
                if matches!(schema.get(branch).kind, Kind::Null) {
                    continue;
                }
                long(out, index as i64);
                match value(schema, branch, array, row, out) {
                    Ok(()) => return Ok(()),
                    Err(error) if branches.len() <= 2 => return Err(error),
                    Err(_) => out.truncate(start),
                }
            }
            return Err(misfit());
        }
        (Kind::Boolean, DataType::Boolean) => out.push(array.as_boolean().value(row).into()),
        (Kind::Int | Kind::Long, DataType::Timestamp(..)) => {
            let micros = json::micros(array, row)?;
            match node.logical {
                Some(Logical::TimestampMicros | Logical::LocalTimestampMicros) => long(out, micros),
                Some(Logical::TimestampNanos | Logical::LocalTimestampNanos) => {
                    let nanos = micros.checked_mul(1_000);
                    long(out, nanos.ok_or_else(|| not_encodable("a timestamp out of range".into()))?);
                }
                _ => long(out, micros.div_euclid(1_000)),
            }
        }
        (Kind::Long, DataType::Time64(TimeUnit::Microsecond)) if node.logical == Some(Logical::TimeMicros) => {
            long(out, array.as_primitive::<Time64MicrosecondType>().value(row));
        }
        (Kind::Long, DataType::Time32(_)) if node.logical == Some(Logical::TimeMicros) => {
            long(out, json::integer(array, row)? * 1_000);
        }
        (
            Kind::Int,
            DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_),
        ) => {
            let number = json::integer(array, row)?;
            let number = i32::try_from(number).map_err(|_| not_encodable(format!("{number} is no int")))?;
            long(out, number.into());
        }
        (Kind::Long, DataType::Int32 | DataType::Int64) => long(out, json::integer(array, row)?),
        (Kind::Float | Kind::Double, DataType::Float32 | DataType::Float64 | DataType::Int32 | DataType::Int64) => {
            let number = match array.data_type() {
                DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
                DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
                _ => json::integer(array, row)? as f64,
            };
            match node.kind {
                Kind::Float => out.extend_from_slice(&(number as f32).to_le_bytes()),
                _ => out.extend_from_slice(&number.to_le_bytes()),
            }
        }
        (Kind::Bytes | Kind::Fixed { .. }, DataType::Decimal128(_, from)) => {
            let Some(Logical::Decimal { precision, scale }) = node.logical else { return Err(misfit()) };
            let text = crate::text::format_decimal(array.as_primitive::<Decimal128Type>().value(row), *from);
            let unscaled = parse_decimal(text.as_bytes(), precision, scale)
                .ok_or_else(|| not_encodable(format!("{text} as DECIMAL({precision}, {scale})")))?;
            decimal(out, &node.kind, unscaled)?;
        }
        (Kind::Bytes, DataType::Binary) => sized(out, array.as_binary::<i32>().value(row)),
        (Kind::Fixed { size, .. }, DataType::Binary) => {
            let bytes = array.as_binary::<i32>().value(row);
            if bytes.len() != *size {
                return Err(not_encodable(format!("{} bytes as fixed({size})", bytes.len())));
            }
            out.extend_from_slice(bytes);
        }
        (Kind::String, DataType::Utf8) => sized(out, array.as_string::<i32>().value(row).as_bytes()),
        (Kind::Enum { symbols, .. }, DataType::Utf8) => {
            let text = array.as_string::<i32>().value(row);
            let index = symbols.iter().position(|symbol| symbol == text);
            long(out, index.ok_or_else(|| not_encodable(format!("`{text}` is none of the enum's symbols")))? as i64);
        }
        (Kind::Array(items), DataType::List(_)) => {
            let list = array.as_list::<i32>().value(row);
            if !list.is_empty() {
                long(out, list.len() as i64);
                (0..list.len()).try_for_each(|index| value(schema, *items, &list, index, out))?;
            }
            long(out, 0);
        }
        (Kind::Map(values), DataType::Map(..)) => {
            let entries = array.as_map().value(row);
            if !entries.is_empty() {
                long(out, entries.len() as i64);
                for index in 0..entries.len() {
                    sized(out, json::text(entries.column(0), index)?.as_bytes());
                    value(schema, *values, entries.column(1), index, out)?;
                }
            }
            long(out, 0);
        }
        (Kind::Record { .. }, DataType::Struct(fields)) => {
            record(schema, id, fields, array.as_struct().columns(), row, out)?;
        }
        _ => return Err(misfit()),
    }
    Ok(())
}

/// The shortest two's complement, or one that fills the fixed.
fn decimal(out: &mut Vec<u8>, kind: &Kind, unscaled: i128) -> Result<()> {
    let wide = unscaled.to_be_bytes();
    let fill = if unscaled < 0 { 0xff } else { 0 };
    let redundant = |index: usize| wide[index] == fill && (wide[index + 1] & 0x80) == (fill & 0x80);
    let skipped = (0..15).take_while(|&index| redundant(index)).count();
    let bytes = &wide[skipped..];
    match kind {
        Kind::Fixed { size, .. } if bytes.len() > *size => {
            return Err(not_encodable(format!("a decimal of {} bytes as fixed({size})", bytes.len())));
        }
        Kind::Fixed { size, .. } => {
            out.extend(std::iter::repeat_n(fill, size - bytes.len()));
            out.extend_from_slice(bytes);
        }
        _ => sized(out, bytes),
    }
    Ok(())
}

/// A default as the schema writes it.
fn default(schema: &Schema, id: TypeId, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let node = schema.get(id);
    let misfit = || not_encodable(format!("the default {value} as {}", node.kind.label()));
    match (&node.kind, value) {
        (Kind::Null, Value::Null) => {}
        (Kind::Boolean, Value::Bool(value)) => out.push((*value).into()),
        (Kind::Int | Kind::Long, Value::Number(number)) => long(out, number.as_i64().ok_or_else(misfit)?),
        (Kind::Float, Value::Number(number)) => {
            out.extend_from_slice(&(number.as_f64().ok_or_else(misfit)? as f32).to_le_bytes());
        }
        (Kind::Double, Value::Number(number)) => {
            out.extend_from_slice(&number.as_f64().ok_or_else(misfit)?.to_le_bytes());
        }
        // Bytes are written as the characters U+0000 to U+00FF.
        (Kind::Bytes, Value::String(text)) => sized(out, &latin1(text).ok_or_else(misfit)?),
        (Kind::Fixed { size, .. }, Value::String(text)) => {
            out.extend_from_slice(&latin1(text).filter(|bytes| bytes.len() == *size).ok_or_else(misfit)?);
        }
        (Kind::String, Value::String(text)) => sized(out, text.as_bytes()),
        (Kind::Enum { symbols, .. }, Value::String(text)) => {
            long(out, symbols.iter().position(|symbol| symbol == text).ok_or_else(misfit)? as i64);
        }
        (Kind::Array(_), Value::Array(items)) if items.is_empty() => long(out, 0),
        (Kind::Array(items_type), Value::Array(items)) => {
            long(out, items.len() as i64);
            items.iter().try_for_each(|item| default(schema, *items_type, item, out))?;
            long(out, 0);
        }
        (Kind::Map(_), Value::Object(entries)) if entries.is_empty() => long(out, 0),
        (Kind::Map(values), Value::Object(entries)) => {
            long(out, entries.len() as i64);
            for (key, value) in entries {
                sized(out, key.as_bytes());
                default(schema, *values, value, out)?;
            }
            long(out, 0);
        }
        (Kind::Record { fields, .. }, Value::Object(object)) => {
            for field in fields {
                let value = object.get(&field.name).or(field.default.as_ref()).ok_or_else(misfit)?;
                default(schema, field.schema, value, out)?;
            }
        }
        (Kind::Union(branches), value) => {
            let start = out.len();
            for (index, &branch) in branches.iter().enumerate() {
                long(out, index as i64);
                match default(schema, branch, value, out) {
                    Ok(()) => return Ok(()),
                    Err(_) => out.truncate(start),
                }
            }
            return Err(misfit());
        }
        _ => return Err(misfit()),
    }
    Ok(())
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}
