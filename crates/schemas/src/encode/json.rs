//! Values as JSON: decimals as numbers, DATE in days, TIME and TIMESTAMP in milliseconds, BYTES in Base64.

use std::borrow::Cow;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Fields, Float32Type, Float64Type, Int32Type, Int64Type,
        Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType,
    },
};
use base64::{Engine as _, engine::general_purpose};
use model::Result;

use super::not_encodable;
use crate::{sql::type_name, text::format_decimal};

pub(super) fn object(out: &mut Vec<u8>, fields: &Fields, arrays: &[ArrayRef], row: usize) -> Result<()> {
    out.push(b'{');
    for (index, (field, array)) in fields.iter().zip(arrays).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, field.name());
        out.push(b':');
        value(out, array, row)?;
    }
    out.push(b'}');
    Ok(())
}

pub(super) fn value(out: &mut Vec<u8>, array: &ArrayRef, row: usize) -> Result<()> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => string(out, array.as_string::<i32>().value(row)),
        DataType::Binary => string(out, &text(array, row)?),
        DataType::Float32 | DataType::Float64 => {
            let number = float(array, row);
            // JSON has no word for these; the decoder takes them as strings.
            if number.is_finite() {
                out.extend_from_slice(text(array, row)?.as_bytes())
            } else {
                string(out, &number.to_string())
            }
        }
        DataType::Struct(fields) => object(out, fields, array.as_struct().columns(), row)?,
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push(b'[');
            for index in 0..items.len() {
                if index > 0 {
                    out.push(b',');
                }
                value(out, &items, index)?;
            }
            out.push(b']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.push(b'{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(b',');
                }
                string(out, &text(keys, index)?);
                out.push(b':');
                value(out, values, index)?;
            }
            out.push(b'}');
        }
        _ => out.extend_from_slice(text(array, row)?.as_bytes()),
    }
    Ok(())
}

fn float(array: &ArrayRef, row: usize) -> f64 {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        _ => array.as_primitive::<Float64Type>().value(row),
    }
}

/// A scalar that is not null, without quotes.
pub(super) fn text(array: &ArrayRef, row: usize) -> Result<Cow<'_, str>> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).to_string().into(),
        DataType::Binary => general_purpose::STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string().into(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_string().into(),
        DataType::Decimal128(_, scale) => {
            format_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale).into()
        }
        _ => integer(array, row)?.to_string().into(),
    })
}

/// Integers, and moments as the integers that stand for them.
pub(super) fn integer(array: &ArrayRef, row: usize) -> Result<i64> {
    Ok(match array.data_type() {
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Time32(TimeUnit::Millisecond) => array.as_primitive::<Time32MillisecondType>().value(row).into(),
        DataType::Time64(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(row) / 1_000,
        DataType::Timestamp(..) => micros(array, row)?.div_euclid(1_000),
        other => return Err(not_encodable(format!("a value of type {}", type_name(other)))),
    })
}

/// A TIMESTAMP in microseconds.
pub(super) fn micros(array: &ArrayRef, row: usize) -> Result<i64> {
    let scaled = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().value(row).checked_mul(1_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().value(row).checked_mul(1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Some(array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000))
        }
        other => return Err(not_encodable(format!("a value of type {} as a timestamp", type_name(other)))),
    };
    scaled.ok_or_else(|| not_encodable("a timestamp out of range".into()))
}

pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes any text");
}
