//! Values as JSON, for columns that could not be told their type: names as in the schema, numbers as numbers, bytes in
//! Base64, and the well-known types in the forms of the ProtoJSON format. What is not there is left out.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{
    super::fault::{Fault, Outcome},
    Input, pieces,
    plan::{self, Scalar},
    text,
    wire::{self, Datum, Raw},
};
use crate::protobuf::Shape;

/// JSON that one value may become: names are written again for every message, so it can be many times the payload.
const JSON_BYTES_MAX: usize = 16 << 20;

pub(super) struct Writer<'a> {
    input: &'a mut Input,
    bytes_left: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(input: &'a mut Input) -> Self {
        Self { input, bytes_left: JSON_BYTES_MAX }
    }

    fn spend(&mut self, bytes: usize) -> Outcome {
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or_else(|| Fault::new(format!("as JSON the value has more than {JSON_BYTES_MAX} bytes")))?;
        Ok(())
    }

    /// All occurrences of a field.
    pub(super) fn field(&mut self, field: &FieldDescriptor, values: &[Raw<'_>]) -> Outcome<Value> {
        let kind = field.kind();
        if let Some(entry) = kind.as_message().filter(|_| field.is_map()) {
            return self.map(entry, values);
        }
        if !field.is_list() {
            return match values {
                [] => Ok(Value::Null),
                values => self.value(&kind, values),
            };
        }
        let (mut list, scalar) = (Vec::new(), Scalar::of(&kind));
        for raw in values {
            match raw {
                Raw::Bytes(packed) if scalar.is_packable() => wire::packed(&scalar, packed, |raw| {
                    list.push(self.scalar(&scalar, raw)?);
                    Ok(())
                })?,
                raw => list.push(self.value(&kind, std::slice::from_ref(raw))?),
            }
        }
        Ok(list.into())
    }

    fn map(&mut self, entry: &MessageDescriptor, values: &[Raw<'_>]) -> Outcome<Value> {
        let (key, value) = (Scalar::of(&entry.map_entry_key_field().kind()), entry.map_entry_value_field());
        let mut object = Map::new();
        for entry in wire::entries(values, &key, |raw| plan::accepts(&value, raw), || self.input.field())? {
            let name = match entry.key.map(|raw| self.scalar(&key, raw)).transpose()? {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None if key.is_text() => String::new(),
                None if key.is_bool() => "false".to_owned(),
                None => "0".to_owned(),
            };
            self.spend(name.len() + 4)?;
            let item = match (entry.values.as_slice(), value.kind()) {
                ([], kind @ Kind::Message(_)) => self.value(&kind, &[Raw::Bytes(&[])])?,
                ([], kind) => zero(&kind),
                (values, kind) => self.value(&kind, values)?,
            };
            object.insert(name, item);
        }
        Ok(object.into())
    }

    /// One value; of several occurrences the last, or all of them together.
    pub(super) fn value(&mut self, kind: &Kind, values: &[Raw<'_>]) -> Outcome<Value> {
        match (kind, values.last()) {
            (Kind::Message(message), _) => self.message(message, &pieces(values)),
            (kind, Some(&raw)) => self.scalar(&Scalar::of(kind), raw),
            (kind, None) => Ok(zero(kind)),
        }
    }

    fn scalar(&mut self, scalar: &Scalar, raw: Raw<'_>) -> Outcome<Value> {
        self.spend(8)?;
        let value = match scalar.datum(raw)? {
            Datum::Bool(value) => value.into(),
            Datum::Int(value) => value.into(),
            Datum::Unsigned(value) => value.into(),
            Datum::Float(value) => float(value),
            Datum::Text(text) => text.into(),
            Datum::Bytes(bytes) => general_purpose::STANDARD.encode(bytes).into(),
            Datum::Symbol(_, Some(name)) => name.into(),
            Datum::Symbol(number, None) => number.into(),
        };
        self.spend(value.as_str().map_or(0, str::len))?;
        Ok(value)
    }

    fn message(&mut self, message: &MessageDescriptor, pieces: &[&[u8]]) -> Outcome<Value> {
        self.input.descend()?;
        let value = match Shape::of(message) {
            Shape::Timestamp => {
                let (seconds, nanos) = wire::seconds_and_nanos(pieces)?;
                match u32::try_from(nanos) {
                    Ok(nanos @ 0..1_000_000_000) => instant(seconds, nanos)?.into(),
                    _ => return Err(Fault::new(format!("a Timestamp of {nanos} nanoseconds"))),
                }
            }
            Shape::Duration => {
                let (seconds, nanos) = wire::seconds_and_nanos(pieces)?;
                format!("{}s", duration(seconds, nanos)?).into()
            }
            shape => {
                let found = self.found(message, pieces)?;
                match shape {
                    Shape::Wrapper | Shape::Struct | Shape::ListValue => match message.get_field(1) {
                        Some(only) => match found.into_values().next() {
                            Some(values) => self.field(&only, &values)?,
                            None if shape == Shape::Struct => Value::Object(Map::new()),
                            None if shape == Shape::ListValue => Value::Array(Vec::new()),
                            None => zero(&only.kind()),
                        },
                        None => Value::Null,
                    },
                    Shape::FieldMask => {
                        let paths = found.into_values().flatten();
                        let mut out = Vec::new();
                        for path in paths {
                            if let Raw::Bytes(text) = path {
                                self.spend(text.len() + 1)?;
                                out.push(super::utf8(text)?);
                            }
                        }
                        out.join(",").into()
                    }
                    // A oneof: null, number, text, boolean, struct or list.
                    Shape::Value => match found.into_iter().next() {
                        Some((1, _)) | None => Value::Null,
                        Some((number, values)) => match message.get_field(number) {
                            Some(field) => self.field(&field, &values)?,
                            None => Value::Null,
                        },
                    },
                    _ => {
                        let mut object = Map::new();
                        for (number, values) in found {
                            let Some(field) = message.get_field(number) else { continue };
                            self.spend(field.name().len() + 4)?;
                            let value = self.field(&field, &values).map_err(|fault| fault.within(field.name()))?;
                            object.insert(field.name().to_owned(), value);
                        }
                        object.into()
                    }
                }
            }
        };
        self.input.depth -= 1;
        Ok(value)
    }

    /// The occurrences of known fields, by number.
    fn found<'b>(&mut self, message: &MessageDescriptor, pieces: &[&'b [u8]]) -> Outcome<BTreeMap<u32, Vec<Raw<'b>>>> {
        let mut found: BTreeMap<u32, Vec<Raw<'b>>> = BTreeMap::new();
        // Which member each oneof has.
        let mut oneofs: HashMap<String, u32> = HashMap::new();
        for piece in pieces {
            wire::fields(piece, |number, raw| {
                let Some(field) = message.get_field(number).filter(|field| plan::accepts(field, &raw)) else {
                    return Ok(());
                };
                self.input.field()?;
                if let Some(oneof) = field.containing_oneof()
                    && let Some(other) = oneofs.insert(oneof.name().to_owned(), number)
                    && other != number
                {
                    found.remove(&other);
                }
                found.entry(number).or_default().push(raw);
                Ok(())
            })?;
        }
        Ok(found)
    }
}

fn zero(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => false.into(),
        Kind::String | Kind::Bytes => "".into(),
        Kind::Float | Kind::Double => 0.0.into(),
        Kind::Enum(symbols) => symbols.default_value().name().into(),
        Kind::Message(_) => Value::Object(Map::new()),
        _ => 0.into(),
    }
}

fn float(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.into(),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Seconds with nine decimals, without needless zeros.
pub(super) fn duration(seconds: i64, nanos: i32) -> Outcome<String> {
    const SECONDS_MAX: i64 = 315_576_000_000;
    let opposed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if opposed || !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) || nanos.unsigned_abs() >= 1_000_000_000 {
        return Err(Fault::new(format!("a Duration of {seconds} seconds and {nanos} nanoseconds")));
    }
    let whole = text::format_decimal(i128::from(seconds) * 1_000_000_000 + i128::from(nanos), 9);
    Ok(whole.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// RFC 3339 in UTC.
pub(super) fn instant(seconds: i64, nanos: u32) -> Outcome<String> {
    // Years 1 to 9999, the range of a Timestamp.
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds) {
        return Err(Fault::new(format!("a Timestamp of {seconds} seconds")));
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's `civil_from_days`.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let fraction = match nanos {
        0 => String::new(),
        nanos => format!(".{}", format!("{nanos:09}").trim_end_matches('0')),
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}
