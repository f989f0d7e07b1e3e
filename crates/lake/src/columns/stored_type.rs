//! Column types as the catalog keeps them: SQL's words for simple types, small objects for nested ones.
//!
//! `"BIGINT"` · `"DECIMAL(10,2)"` · `"TIMESTAMP(3)"` · `"TIMESTAMP(6) UTC"` · `{"array": T}` · `{"map": [K, V]}` ·
//! `{"struct": [{"name": "a", "type": T}, …]}`

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use model::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value, json};

pub(crate) fn serialize<S: Serializer>(data_type: &DataType, to: S) -> std::result::Result<S::Ok, S::Error> {
    to_json(data_type).map_err(serde::ser::Error::custom)?.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<DataType, D::Error> {
    from_json(&Value::deserialize(from)?).ok_or_else(|| D::Error::custom("not a column type"))
}

fn to_json(data_type: &DataType) -> Result<Value> {
    Ok(match data_type {
        DataType::Boolean => json!("BOOLEAN"),
        DataType::Int8 => json!("TINYINT"),
        DataType::Int16 => json!("SMALLINT"),
        DataType::Int32 => json!("INT"),
        DataType::Int64 => json!("BIGINT"),
        DataType::Float32 => json!("REAL"),
        DataType::Float64 => json!("DOUBLE"),
        DataType::Decimal128(precision, scale) => json!(format!("DECIMAL({precision},{scale})")),
        DataType::Utf8 => json!("VARCHAR"),
        DataType::Binary => json!("BYTES"),
        DataType::FixedSizeBinary(size) => json!(format!("FIXED({size})")),
        DataType::Date32 => json!("DATE"),
        DataType::Time32(unit) | DataType::Time64(unit) => json!(format!("TIME({})", digits(*unit))),
        DataType::Timestamp(unit, None) => json!(format!("TIMESTAMP({})", digits(*unit))),
        DataType::Timestamp(unit, Some(zone)) if matches!(zone.as_ref(), "UTC" | "+00:00") => {
            json!(format!("TIMESTAMP({}) {}", digits(*unit), if zone.as_ref() == "UTC" { "UTC" } else { "+00:00" }))
        }
        DataType::List(item) => json!({ "array": to_json(item.data_type())?, "item": item.name() }),
        DataType::Struct(fields) => json!({ "struct": fields_to_json(fields.iter().map(AsRef::as_ref))? }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => json!({
                "map": fields_to_json(pair.iter().map(AsRef::as_ref))?, "item": entries.name()
            }),
            _ => return Err(unknown(data_type)),
        },
        _ => return Err(unknown(data_type)),
    })
}

fn unknown(data_type: &DataType) -> Error {
    Error::internal(format!("no topic has a column of type {data_type}"))
}

fn from_json(value: &Value) -> Option<DataType> {
    match value {
        Value::String(text) => simple(text),
        Value::Object(object) => {
            let item = || object.get("item").and_then(Value::as_str);
            if let Some(of) = object.get("array") {
                Some(DataType::List(Arc::new(Field::new(item().unwrap_or("element"), from_json(of)?, true))))
            } else if let Some(fields) = object.get("struct") {
                Some(DataType::Struct(fields_from_json(fields)?.into()))
            } else {
                let [key, value] = <[Field; 2]>::try_from(fields_from_json(object.get("map")?)?).ok()?;
                let pair = vec![key.with_nullable(false), value];
                let entries = Field::new(item().unwrap_or("key_value"), DataType::Struct(pair.into()), false);
                Some(DataType::Map(Arc::new(entries), false))
            }
        }
        _ => None,
    }
}

fn simple(text: &str) -> Option<DataType> {
    let (word, rest) = text.split_once('(').unwrap_or((text, ""));
    let (arguments, zone) = rest.split_once(')').unwrap_or((rest, ""));
    Some(match word {
        "BOOLEAN" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "REAL" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "VARCHAR" => DataType::Utf8,
        "BYTES" => DataType::Binary,
        "DATE" => DataType::Date32,
        "FIXED" => DataType::FixedSizeBinary(arguments.parse().ok()?),
        "DECIMAL" => {
            let (precision, scale) = arguments.split_once(',')?;
            DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?)
        }
        "TIME" => match unit(arguments)? {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            unit => DataType::Time64(unit),
        },
        "TIMESTAMP" => {
            let zone = zone.trim();
            DataType::Timestamp(unit(arguments)?, (!zone.is_empty()).then(|| zone.into()))
        }
        _ => return None,
    })
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn unit(digits: &str) -> Option<TimeUnit> {
    Some(match digits {
        "0" => TimeUnit::Second,
        "3" => TimeUnit::Millisecond,
        "6" => TimeUnit::Microsecond,
        "9" => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn fields_to_json<'a>(fields: impl Iterator<Item = &'a Field>) -> Result<Value> {
    let all = fields.map(|field| Ok(json!({ "name": field.name(), "type": to_json(field.data_type())? })));
    Ok(Value::Array(all.collect::<Result<_>>()?))
}

fn fields_from_json(value: &Value) -> Option<Vec<Field>> {
    let field = |field: &Value| Some(Field::new(field.get("name")?.as_str()?, from_json(field.get("type")?)?, true));
    value.as_array()?.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_back_as_they_were_stored() {
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)];
        let entries = Field::new("entries", DataType::Struct(pair.into()), false);
        let nested = vec![
            Field::new("tags", DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true),
            Field::new("m", DataType::Map(Arc::new(entries), false), true),
        ];
        for data_type in [
            DataType::Int32,
            DataType::Decimal128(38, -2),
            DataType::Time32(TimeUnit::Millisecond),
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            DataType::FixedSizeBinary(16),
            DataType::Struct(nested.into()),
        ] {
            let stored = to_json(&data_type).unwrap();
            assert_eq!(from_json(&stored), Some(data_type), "{stored}");
        }
    }

    #[test]
    fn nonsense_in_the_catalog_is_no_type() {
        for text in [r#""XML""#, r#""DECIMAL(x,1)""#, r#"{"array": 3}"#, r#"{"map": []}"#, "7", r#""TIMESTAMP(4)""#] {
            assert_eq!(from_json(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }
}
