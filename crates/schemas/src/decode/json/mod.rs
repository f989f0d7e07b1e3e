//! JSON straight into columns: one pass, no tree.
//!
//! An object's fields mostly come in the order of the one before. The name expected next is therefore compared first;
//! only a surprise costs a look-up.

pub(crate) mod scan;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use arrow::datatypes::{DataType, Fields};
use base64::{Engine as _, engine::general_purpose};

use self::scan::Scan;
use super::{
    Unknown,
    column::{Column, Values},
    fault::{Fault, Outcome},
};
use crate::text;

/// How the objects of a column map to its fields.
pub(crate) enum Plan {
    Scalar,
    /// Lists, and the values of maps.
    Items(Box<Plan>),
    Object(Box<ObjectPlan>),
}

pub(crate) struct ObjectPlan {
    fields: Fields,
    plans: Vec<Plan>,
    exact: HashMap<Box<str>, usize>,
    /// By lower-case name: the first column of that name.
    folded: HashMap<String, usize>,
    /// Every name met, in the order of first meeting. The one after the last match is tried first.
    order: Vec<Place>,
    places: HashMap<Box<str>, usize>,
    /// Path of this object within the payload, with a final dot.
    prefix: String,
}

struct Place {
    name: Box<str>,
    target: Target,
    /// Told once that it is no column.
    reported: bool,
}

#[derive(Clone, Copy)]
enum Target {
    Field {
        index: usize,
        exact: bool,
    },
    /// No column; where its name is in the plan's order, unless there was no room for it.
    Unknown {
        place: Option<usize>,
    },
}

/// Names remembered for one object: wide enough for real records, small enough for hostile ones.
const NAMES_MAX: usize = 1024;
/// Names that a fault tells of a column that has several.
const SPELLINGS_TOLD: usize = 4;

impl Plan {
    pub(crate) fn new(data_type: &DataType, prefix: &str) -> Self {
        match data_type {
            DataType::Struct(fields) => Self::Object(Box::new(ObjectPlan::new(fields, prefix))),
            DataType::List(item) => Self::Items(Box::new(Self::new(item.data_type(), prefix))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    Self::Items(Box::new(Self::new(pair[1].data_type(), &format!("{prefix}*."))))
                }
                _ => Self::Scalar,
            },
            _ => Self::Scalar,
        }
    }
}

impl ObjectPlan {
    pub(crate) fn new(fields: &Fields, prefix: &str) -> Self {
        let mut folded = HashMap::new();
        for (index, field) in fields.iter().enumerate() {
            folded.entry(field.name().to_lowercase()).or_insert(index);
        }
        Self {
            fields: fields.clone(),
            plans: fields.iter().map(|f| Plan::new(f.data_type(), &format!("{prefix}{}.", f.name()))).collect(),
            exact: fields.iter().enumerate().map(|(i, f)| (f.name().as_str().into(), i)).collect(),
            folded,
            order: Vec::new(),
            places: HashMap::new(),
            prefix: prefix.to_owned(),
        }
    }

    fn look_up(&self, name: &str) -> Target {
        if let Some(&index) = self.exact.get(name) {
            return Target::Field { index, exact: true };
        }
        match self.folded.get(&name.to_lowercase()) {
            Some(&index) => Target::Field { index, exact: false },
            None => Target::Unknown { place: None },
        }
    }

    /// The field whose name comes next; passes over the name. `cursor` is the place of the name expected, and is left
    /// behind the place of the name found.
    #[inline]
    fn target(&mut self, scan: &mut Scan<'_>, cursor: &mut usize) -> Outcome<Target> {
        if let Some(known) = self.order.get(*cursor) {
            let name = known.name.as_bytes();
            let rest = &scan.bytes()[scan.at + 1..];
            if rest.len() > name.len() && rest[name.len()] == b'"' && rest[..name.len()] == *name {
                scan.at += name.len() + 2;
                *cursor += 1;
                return Ok(known.target);
            }
        }
        self.surprise(scan, cursor)
    }

    fn surprise(&mut self, scan: &mut Scan<'_>, cursor: &mut usize) -> Outcome<Target> {
        let name = scan.string()?;
        if let Some(&place) = self.places.get(name.as_ref()) {
            *cursor = place + 1;
            return Ok(self.order[place].target);
        }
        let target = self.look_up(&name);
        // A name with a quote or backslash never equals its own escaped bytes, so it is not worth remembering.
        if self.order.len() < NAMES_MAX && !name.contains(['"', '\\']) {
            let place = self.order.len();
            let target = match target {
                Target::Unknown { .. } => Target::Unknown { place: Some(place) },
                field => field,
            };
            self.places.insert(name.as_ref().into(), place);
            self.order.push(Place { name: name.into(), target, reported: false });
            *cursor = self.order.len();
            return Ok(target);
        }
        Ok(target)
    }

    /// A field that is no column, with its value.
    fn meet_unknown(&mut self, place: Option<usize>, value: &str, unknown: &mut Unknown) -> Outcome {
        let place = place.map(|at| &mut self.order[at]);
        let is_news = place.as_ref().is_some_and(|place| !place.reported);
        if !(is_news || unknown.rejects) || !says_something(value) {
            return Ok(());
        }
        let name = match place {
            Some(place) => {
                place.reported = true;
                unknown.note(&self.prefix, &place.name);
                &*place.name
            }
            None => "…",
        };
        if unknown.rejects { Err(Fault::no_column().within(name)) } else { Ok(()) }
    }

    /// Whether `object` gives one column different values, under names that differ in case: only one of them was kept.
    #[cold]
    fn check_spellings(&self, object: &str, columns: &[Column], row: usize) -> Outcome {
        let mut scan = Scan::new(object, usize::MAX);
        let mut said: BTreeMap<usize, HashMap<Cow<'_, str>, (usize, &str)>> = BTreeMap::new();
        scan.at += 1;
        scan.blank();
        loop {
            let name = scan.string()?;
            scan.colon()?;
            let value = scan.raw_value()?;
            if let Target::Field { index, .. } = self.look_up(&name) {
                // The last of several with the very same name counts, as everywhere in JSON.
                said.entry(index).or_default().insert(name, (scan.at, value));
            }
            if !scan.comma_or(b'}')? {
                break;
            }
        }
        for (index, spellings) in said {
            let mut spellings: Vec<_> = spellings.into_iter().collect();
            spellings.sort_unstable_by_key(|(_, (at, _))| *at);
            let mut values = spellings.iter().map(|(_, (_, value))| *value).filter(|value| *value != "null");
            let Some(value) = values.next() else { continue };
            if values.any(|other| other != value) || columns[index].is_null(row) {
                let names = spellings.iter().take(SPELLINGS_TOLD).map(|(name, _)| format!("`{name}`"));
                return Err(Fault::new(format!(
                    "{} differ only in case, so they are one column, and have different values",
                    names.collect::<Vec<_>>().join(" and ")
                )));
            }
        }
        Ok(())
    }

    /// Reads an object, standing on `{`, into `columns` as their row `row`.
    pub(crate) fn read(
        &mut self,
        scan: &mut Scan<'_>,
        columns: &mut [Column],
        row: usize,
        unknown: &mut Unknown,
    ) -> Outcome {
        scan.descend()?;
        let start = scan.at;
        scan.at += 1;
        scan.blank();
        let (mut cursor, mut filled, mut twice) = (0, 0, false);
        if !scan.take(b'}') {
            loop {
                if scan.peek() != Some(b'"') {
                    return Err(scan.unexpected("a field name"));
                }
                let target = self.target(scan, &mut cursor)?;
                scan.colon()?;
                match target {
                    Target::Field { index, exact } => {
                        let column = &mut columns[index];
                        let again = column.len() > row;
                        twice |= again;
                        let prevails = exact || again && column.is_null(row);
                        if again && prevails {
                            // The exact name beats one that differs in case, and the last of several beats the others.
                            column.truncate(row);
                        }
                        if again && !prevails {
                            scan.raw_value()?;
                        } else {
                            read_value(&mut self.plans[index], scan, column, unknown)
                                .map_err(|fault| fault.within(self.fields[index].name()))?;
                            filled += usize::from(!again);
                        }
                    }
                    Target::Unknown { place } => self.meet_unknown(place, scan.raw_value()?, unknown)?,
                }
                if !scan.comma_or(b'}')? {
                    break;
                }
            }
        }
        scan.ascend();
        if twice {
            self.check_spellings(scan.since(start), columns, row)?;
        }
        if filled < columns.len() {
            for (column, field) in columns.iter_mut().zip(&self.fields) {
                if column.len() == row {
                    column.push_null().map_err(|fault| fault.within(field.name()))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a value tells anything about the type of its field: nulls and empty containers do not. What is JSON and still no
/// value of ours (a number beyond all bounds, half a character) does.
fn says_something(value: &str) -> bool {
    value != "null" && !serde_json::from_str(value).is_ok_and(|value| !tells(&value))
}

/// Whether there is more in a value than nulls and empty containers.
pub(crate) fn tells(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Array(items) => items.iter().any(tells),
        serde_json::Value::Object(fields) => fields.values().any(tells),
        _ => true,
    }
}

/// Reads any value into `column`.
#[inline]
pub(crate) fn read_value(plan: &mut Plan, scan: &mut Scan<'_>, column: &mut Column, unknown: &mut Unknown) -> Outcome {
    match scan.peek() {
        Some(b'n') => {
            scan.word("null")?;
            column.push_null()
        }
        Some(b'"') => {
            let text = scan.string()?;
            read_text(column, &text)
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = scan.number()?;
            match &mut column.values {
                Values::Int64(_) | Values::Int32(_) => match number.as_i64() {
                    Some(value) => column.push_integer(value),
                    None => Err(column.misfit(number.text)),
                },
                Values::Float64(_) | Values::Float32(_) => {
                    let value = number.as_f64();
                    if value.is_finite() { column.push_f64(value) } else { Err(column.misfit(number.text)) }
                }
                Values::Decimal(_) => read_decimal(column, number.text),
                Values::Bytes { .. } if column.data_type == DataType::Utf8 => column.push_str(number.text),
                _ => Err(column.misfit(number.text)),
            }
        }
        Some(b't' | b'f') => {
            let value = scan.peek() == Some(b't');
            let word = if value { "true" } else { "false" };
            scan.word(word)?;
            match column.data_type {
                DataType::Boolean => column.push_bool(value),
                DataType::Utf8 => column.push_str(word),
                _ => Err(column.misfit(word)),
            }
        }
        Some(b'{' | b'[') => read_nested(plan, scan, column, unknown),
        _ => Err(scan.unexpected("a value")),
    }
}

fn read_nested(plan: &mut Plan, scan: &mut Scan<'_>, column: &mut Column, unknown: &mut Unknown) -> Outcome {
    let is_object = scan.peek() == Some(b'{');
    let row = column.len();
    match (&mut column.values, plan) {
        (Values::Struct(fields), Plan::Object(object)) if is_object => {
            object.read(scan, fields, row, unknown)?;
            column.push_valid();
            Ok(())
        }
        (Values::List { item, .. }, Plan::Items(plan)) if !is_object => {
            scan.descend()?;
            scan.at += 1;
            scan.blank();
            if !scan.take(b']') {
                loop {
                    read_value(plan, scan, item, unknown)?;
                    if !scan.comma_or(b']')? {
                        break;
                    }
                }
            }
            scan.ascend();
            column.push_offset()
        }
        (Values::Map { key, value, .. }, Plan::Items(plan)) if is_object => {
            scan.descend()?;
            scan.at += 1;
            scan.blank();
            if !scan.take(b'}') {
                loop {
                    if scan.peek() != Some(b'"') {
                        return Err(scan.unexpected("a key"));
                    }
                    let name = scan.string()?;
                    read_text(key, &name).map_err(|fault| fault.within("key"))?;
                    scan.colon()?;
                    read_value(plan, scan, value, unknown).map_err(|fault| fault.within(&name))?;
                    if !scan.comma_or(b'}')? {
                        break;
                    }
                }
            }
            scan.ascend();
            column.push_offset()
        }
        // Whatever does not fit a narrower type fits VARCHAR as JSON text.
        (Values::Bytes { .. }, _) if column.data_type == DataType::Utf8 => {
            let text = scan.raw_value()?;
            column.push_str(text)
        }
        _ => {
            let text = scan.raw_value()?;
            Err(column.misfit(&format!("{} {text}", if is_object { "an object" } else { "an array" })))
        }
    }
}

fn read_decimal(column: &mut Column, number: &str) -> Outcome {
    let DataType::Decimal128(precision, scale) = column.data_type else { return Err(column.misfit(number)) };
    match text::parse_decimal(number.as_bytes(), precision, scale) {
        Some(value) => column.push_decimal(value),
        None => Err(column.misfit(number)),
    }
}

/// A text into a column of any scalar type: VARCHAR as it is, everything else in its text form.
pub(crate) fn read_text(column: &mut Column, value: &str) -> Outcome {
    if let DataType::Utf8 = column.data_type {
        return column.push_str(value);
    }
    let quoted = |column: &Column| column.misfit(&format!("the string {value:?}"));
    match column.data_type {
        DataType::Timestamp(..) => match text::parse_timestamp(value.as_bytes()) {
            Some(moment) => column.push_moment(moment.seconds, moment.nanos),
            None => Err(quoted(column)),
        },
        DataType::Binary => match general_purpose::STANDARD.decode(value) {
            Ok(bytes) => column.push_bytes(&bytes),
            Err(error) => Err(Fault::new(format!("expected BYTES in Base64, but {error}"))),
        },
        DataType::Date32 => match text::parse_date(value.as_bytes()) {
            Some(days) => column.push_i32(days),
            None => Err(quoted(column)),
        },
        DataType::Time32(_) | DataType::Time64(_) => match text::parse_time(value.as_bytes()) {
            Some(nanos) => column.push_time(nanos),
            None => Err(quoted(column)),
        },
        DataType::Int32 | DataType::Int64 => match value.trim().parse::<i64>() {
            Ok(number) => column.push_integer(number),
            Err(_) => Err(quoted(column)),
        },
        DataType::Float32 | DataType::Float64 => match value.trim().parse::<f64>() {
            Ok(number) => column.push_f64(number),
            Err(_) => Err(quoted(column)),
        },
        DataType::Decimal128(..) => read_decimal(column, value.trim()).map_err(|_| quoted(column)),
        DataType::Boolean if value.eq_ignore_ascii_case("true") => column.push_bool(true),
        DataType::Boolean if value.eq_ignore_ascii_case("false") => column.push_bool(false),
        _ => Err(quoted(column)),
    }
}
