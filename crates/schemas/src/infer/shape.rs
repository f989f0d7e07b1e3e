//! What the values of a field have in common.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_json::Value;

use crate::text;

/// Fields of the top level that become columns.
const COLUMNS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 16;

/// The narrowest description of all values seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Shape {
    /// Only nulls and empty containers.
    #[default]
    Unknown,
    Boolean,
    Integer,
    Number,
    /// Text that is RFC 3339 with an offset, to the microsecond.
    Timestamp,
    /// Text that is a date, `YYYY-MM-DD`.
    Date,
    Text,
    List(Box<Shape>),
    Object(Fields),
    /// Nothing in common: JSON text.
    Mixed,
}

/// Fields in the order of first meeting.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    list: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Fields {
    pub(super) fn meet(&mut self, object: &serde_json::Map<String, Value>, depth: usize) {
        for (name, value) in object {
            match self.places.get(name) {
                Some(&place) => self.list[place].1.meet(value, depth + 1),
                None if self.list.len() < COLUMNS_MAX => {
                    let mut shape = Shape::Unknown;
                    shape.meet(value, depth + 1);
                    self.places.insert(name.clone(), self.list.len());
                    self.list.push((name.clone(), shape));
                }
                None => {}
            }
        }
    }

    /// The fields whose type is known. Names that differ only in case share the first one's column.
    pub(super) fn columns(&self) -> Vec<Field> {
        let mut columns: Vec<Field> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (name, shape) in &self.list {
            let Some(data_type) = shape.data_type() else { continue };
            match places.get(&name.to_lowercase()) {
                Some(&place) => {
                    let merged = super::merge_types(columns[place].data_type(), &data_type);
                    columns[place].set_data_type(merged);
                }
                None => {
                    places.insert(name.to_lowercase(), columns.len());
                    columns.push(Field::new(name, data_type, true));
                }
            }
        }
        columns
    }
}

impl Shape {
    /// Takes one more value into account.
    pub(super) fn meet(&mut self, value: &Value, depth: usize) {
        let shape = std::mem::take(self);
        *self = match (shape, value) {
            (shape, Value::Null) => shape,
            (Self::Mixed, _) => Self::Mixed,
            (_, Value::Array(_) | Value::Object(_)) if depth > DEPTH_MAX => Self::Mixed,
            (Self::Unknown | Self::Boolean, Value::Bool(_)) => Self::Boolean,
            (shape @ (Self::Unknown | Self::Integer | Self::Number), Value::Number(number)) => {
                if number.is_i64() {
                    if shape == Self::Number { Self::Number } else { Self::Integer }
                } else if number.is_u64() {
                    Self::Mixed // 2^63 and above: neither BIGINT nor DOUBLE keeps every digit
                } else {
                    Self::Number
                }
            }
            (Self::Unknown | Self::Timestamp, Value::String(text)) if is_timestamp(text) => Self::Timestamp,
            (Self::Unknown | Self::Date, Value::String(text)) if is_date(text) => Self::Date,
            (Self::Unknown | Self::Timestamp | Self::Date | Self::Text, Value::String(_)) => Self::Text,
            (shape @ (Self::Unknown | Self::List(_)), Value::Array(items)) => {
                let mut item = match shape {
                    Self::List(item) => item,
                    _ => Box::default(),
                };
                items.iter().for_each(|value| item.meet(value, depth + 1));
                Self::List(item)
            }
            (shape @ (Self::Unknown | Self::Object(_)), Value::Object(object)) => {
                let mut fields = match shape {
                    Self::Object(fields) => fields,
                    _ => Fields::default(),
                };
                fields.meet(object, depth);
                if fields.list.len() > super::NESTED_FIELDS_MAX { Self::Mixed } else { Self::Object(fields) }
            }
            _ => Self::Mixed,
        };
    }

    pub(super) fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Unknown => return None,
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Self::Date => DataType::Date32,
            Self::Text | Self::Mixed => DataType::Utf8,
            Self::List(item) => DataType::List(Field::new("element", item.data_type()?, true).into()),
            Self::Object(fields) => {
                let columns = fields.columns();
                if columns.is_empty() {
                    return None;
                }
                DataType::Struct(columns.into())
            }
        })
    }

    /// A field of separated text.
    pub(super) fn meet_text(&mut self, text: &str) {
        let shape = std::mem::take(self);
        *self = match (shape, text) {
            (shape, "") => shape,
            (Self::Unknown | Self::Boolean, "true" | "false") => Self::Boolean,
            (shape @ (Self::Unknown | Self::Integer | Self::Number), text) if is_number(text) => {
                let integer = text.parse::<i64>().is_ok();
                if integer && shape != Self::Number { Self::Integer } else { Self::Number }
            }
            (Self::Unknown | Self::Timestamp, text) if is_timestamp(text) => Self::Timestamp,
            (Self::Unknown | Self::Date, text) if is_date(text) => Self::Date,
            _ => Self::Text,
        };
    }
}

/// A number that its digits alone describe: no leading zeros (a postal code stays text), no `inf`, no `NaN`.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

fn is_date(value: &str) -> bool {
    value.len() == 10 && text::parse_date(value.as_bytes()).is_some()
}

/// A moment in full, so unlike any other text that a column of them may be called TIMESTAMPTZ.
fn is_timestamp(value: &str) -> bool {
    text::parse_timestamp(value.as_bytes()).is_some_and(|moment| moment.has_zone && moment.fraction_digits <= 6)
}
