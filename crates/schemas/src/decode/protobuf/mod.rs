//! Protobuf binary into columns: the writer's descriptor says what the bytes are, the columns say what is wanted.
//!
//! Fields meet columns by name (exact, then whatever the case). Fields come in any order and more than once: all of a
//! message are found first, then pushed column by column. As Protobuf asks for, the last of several values counts,
//! messages in pieces are merged, the last member of a oneof drives out the others, and a field of another wire type
//! than declared is one that nobody knows. A field that is not there is NULL if its absence can be told (`optional`,
//! messages, oneofs), else its default.

mod json;
mod plan;
mod wire;

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use prost_reflect::{Kind, Value};

use self::{
    plan::{Absent, Content, MessagePlan, Planner, Step},
    wire::{Datum, Raw},
};
use super::{
    Unknown,
    column::{Column, Values},
    fault::{Fault, Outcome},
    json as json_text, utf8,
};
use crate::{
    ParsedSchema, SchemaSource,
    protobuf::{MessagePath, read_indexes},
    text,
};

/// Deepest nesting of data.
const DEPTH_MAX: usize = 64;
/// Fields of one payload, each occurrence for itself. Of each 64 bytes are kept while its message is read.
const FIELDS_MAX: usize = 2_000_000;
/// Messages planned for at most; more of them begin anew.
const WRITERS_MAX: usize = 1_000;

/// Reads payloads of any writer schema into one set of columns.
pub(super) struct Reader {
    columns: SchemaRef,
    wrapped: bool,
    schemas: Arc<dyn SchemaSource>,
    /// By schema id and the message's indexes.
    writers: HashMap<i32, HashMap<Box<[usize]>, Writer>>,
}

/// A writer's message, matched with the columns.
struct Writer {
    top: Top,
    /// Fields without a column, until they have been reported.
    unknown: Vec<String>,
}

enum Top {
    /// A column for each field.
    Fields(MessagePlan),
    /// The whole message in one column.
    Value(Content),
}

impl Reader {
    pub(super) fn new(columns: SchemaRef, wrapped: bool, schemas: Arc<dyn SchemaSource>) -> Self {
        Self { columns, wrapped, schemas, writers: HashMap::new() }
    }

    pub(super) fn read(&mut self, id: i32, body: &[u8], columns: &mut [Column], unknown: &mut Unknown) -> Outcome {
        let (path, body) = read_indexes(body)?;
        if self.writers.get(&id).is_none_or(|writers| !writers.contains_key(path.indexes())) {
            let writer = self.writer(id, &path)?;
            if self.writers.values().map(HashMap::len).sum::<usize>() >= WRITERS_MAX {
                self.writers.clear();
            }
            self.writers.entry(id).or_default().insert(path.indexes().into(), writer);
        }
        let writer = self.writers.get_mut(&id).and_then(|of| of.get_mut(path.indexes())).expect("put there just now");
        writer.unknown.drain(..).for_each(|name| unknown.note("", &name));
        let mut input = Input { depth: 0, fields_left: FIELDS_MAX };
        match &writer.top {
            Top::Fields(plan) => input.message(plan, &[body], columns),
            Top::Value(content) => input.content(content, &[Raw::Bytes(body)], &mut columns[0]),
        }
    }

    fn writer(&self, id: i32, path: &MessagePath) -> Outcome<Writer> {
        let Some(registered) = self.schemas.schema_by_id(id) else {
            return Err(Fault::new(format!("schema {id} is not in the registry")));
        };
        let ParsedSchema::Protobuf(schema) = &registered.parsed else {
            return Err(Fault::new(format!("schema {id} is {}, not PROTOBUF", registered.schema_type)));
        };
        let Some(message) = schema.message(path.indexes()) else {
            return Err(Fault::new(format!("schema {id} has no message at {:?}", path.indexes())));
        };
        let mut planner = Planner::default();
        let top = if self.wrapped {
            let plan = planner.message(&message, self.columns.fields(), "");
            // A row of nulls would hide that this is something else.
            if plan.missing.len() == self.columns.fields().len() && plan.missing.len() * message.fields().len() > 0 {
                return Err(Fault::new(format!("`{}` has no field that is a column", message.full_name())));
            }
            Top::Fields(plan)
        } else {
            // A decoder of bare values has exactly one column.
            let column = self.columns.field(0);
            Top::Value(planner.content(&Kind::Message(message), column.data_type(), ""))
        };
        Ok(Writer { top, unknown: planner.unknown })
    }
}

/// What a payload may still cost.
struct Input {
    depth: usize,
    fields_left: usize,
}

/// One occurrence of a field.
struct Found<'a> {
    /// Which step of the plan.
    step: usize,
    /// Its place among all occurrences.
    place: usize,
    raw: Raw<'a>,
}

/// The member that a oneof has, and since which occurrence.
#[derive(Clone, Copy)]
struct Chosen {
    step: usize,
    since: usize,
}

impl Input {
    fn descend(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Fault::new("the data nest too deeply")) } else { Ok(()) }
    }

    /// Counts one field towards the limit.
    fn field(&mut self) -> Outcome {
        self.fields_left = self
            .fields_left
            .checked_sub(1)
            .ok_or_else(|| Fault::new(format!("the payload has more than {FIELDS_MAX} fields")))?;
        Ok(())
    }

    /// A message, given in one or more pieces.
    fn message(&mut self, plan: &MessagePlan, pieces: &[&[u8]], columns: &mut [Column]) -> Outcome {
        self.descend()?;
        let mut found: Vec<Found<'_>> = Vec::new();
        let mut oneofs = vec![Chosen { step: usize::MAX, since: 0 }; plan.oneofs];
        for piece in pieces {
            wire::fields(piece, |number, raw| {
                let Some(step) = plan.step(number).filter(|&step| plan.steps[step].accepts(&raw)) else {
                    return Ok(());
                };
                self.field()?;
                let place = found.len();
                if let Some(oneof) = plan.steps[step].oneof
                    && oneofs[oneof].step != step
                {
                    oneofs[oneof] = Chosen { step, since: place };
                }
                found.push(Found { step, place, raw });
                Ok(())
            })?;
        }
        // Writers go by number, so this is mostly done already.
        if !found.is_sorted_by_key(|found| found.step) {
            found.sort_by_key(|found| found.step);
        }
        let mut rest = found.as_slice();
        let mut values = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let (own, later) = rest.split_at(rest.iter().take_while(|found| found.step == at).count());
            rest = later;
            let counts = |found: &&Found<'_>| match step.oneof {
                Some(oneof) => oneofs[oneof].step == at && found.place >= oneofs[oneof].since,
                None => true,
            };
            values.clear();
            values.extend(own.iter().filter(counts).map(|found| found.raw));
            let Some(index) = step.column else {
                match (&step.absent, values.is_empty()) {
                    (Absent::Refused, true) => return Err(required().within(&step.name)),
                    _ => continue,
                }
            };
            self.value(step, &values, &mut columns[index]).map_err(|fault| fault.within(&step.name))?;
        }
        plan.missing
            .iter()
            .try_for_each(|(index, name)| columns[*index].push_null().map_err(|fault| fault.within(name)))?;
        self.depth -= 1;
        Ok(())
    }

    /// All occurrences of one field into its column.
    fn value(&mut self, step: &Step, values: &[Raw<'_>], column: &mut Column) -> Outcome {
        match &step.content {
            Content::List(item) => {
                let Values::List { item: items, .. } = &mut column.values else { return Err(column.misfit("a list")) };
                for raw in values {
                    match (item.as_ref(), raw) {
                        (Content::Scalar(scalar), Raw::Bytes(packed)) if scalar.is_packable() => {
                            wire::packed(scalar, packed, |raw| push(&scalar.datum(raw)?, items))?;
                        }
                        _ => self.content(item, std::slice::from_ref(raw), items)?,
                    }
                }
                column.push_offset()
            }
            Content::Map { .. } => self.map(&step.content, values, column),
            _ if values.is_empty() => match &step.absent {
                Absent::Null => column.push_null(),
                Absent::Default(datum) => push(&datum.borrowed(), column),
                Absent::Refused => Err(required()),
            },
            content => self.content(content, values, column),
        }
    }

    /// One value; of several occurrences the last, or all of them together.
    fn content(&mut self, content: &Content, values: &[Raw<'_>], column: &mut Column) -> Outcome {
        let last = || values.last().copied().ok_or_else(|| Fault::new("a value is not there"));
        match content {
            Content::Scalar(scalar) => push(&scalar.datum(last()?)?, column),
            Content::Message(plan) => {
                let Values::Struct(fields) = &mut column.values else { return Err(column.misfit("a message")) };
                self.message(plan, &pieces(values), fields)?;
                column.push_valid();
                Ok(())
            }
            Content::Wrapper { value, zero } => {
                let mut found = None;
                for piece in pieces(values) {
                    wire::fields(piece, |number, raw| {
                        if number == 1 && value.accepts(&raw) {
                            found = Some(raw);
                        }
                        Ok(())
                    })?;
                }
                match found {
                    Some(raw) => push(&value.datum(raw)?, column),
                    None => push(&zero.borrowed(), column),
                }
            }
            Content::Timestamp => {
                let (seconds, nanos) = wire::seconds_and_nanos(&pieces(values))?;
                match (u32::try_from(nanos), &column.data_type) {
                    (Ok(nanos @ 0..1_000_000_000), DataType::Timestamp(..)) => column.push_moment(seconds, nanos),
                    (Ok(nanos @ 0..1_000_000_000), DataType::Utf8) => column.push_str(&json::instant(seconds, nanos)?),
                    (Ok(0..1_000_000_000), _) => Err(column.misfit("a Timestamp")),
                    _ => Err(Fault::new(format!("a Timestamp of {nanos} nanoseconds"))),
                }
            }
            Content::Duration => {
                let (seconds, nanos) = wire::seconds_and_nanos(&pieces(values))?;
                json_text::read_text(column, &json::duration(seconds, nanos)?)
            }
            Content::Text(kind) => {
                let value = json::Writer::new(self).value(kind, values)?;
                match (&column.data_type, &value) {
                    (DataType::Utf8, serde_json::Value::String(text)) => column.push_str(text),
                    (DataType::Utf8, value) => column.push_str(&value.to_string()),
                    (_, value) => Err(column.misfit(&format!("a message {value}"))),
                }
            }
            Content::TextOfField(field) => {
                let value = json::Writer::new(self).field(field, values)?;
                match column.data_type {
                    DataType::Utf8 => column.push_str(&value.to_string()),
                    _ => Err(column.misfit(&value.to_string())),
                }
            }
            Content::List(_) | Content::Map { .. } => Err(column.misfit("a list")),
        }
    }

    fn map(&mut self, content: &Content, values: &[Raw<'_>], column: &mut Column) -> Outcome {
        let Content::Map { key, value, zero_key, absent } = content else { return Err(column.misfit("a map")) };
        self.descend()?;
        let entries = wire::entries(values, key, |raw| value.accepts(raw), || self.field())?;
        let Values::Map { key: keys, value: items, .. } = &mut column.values else {
            return Err(column.misfit("a map"));
        };
        for entry in entries {
            match entry.key {
                Some(raw) => push(&key.datum(raw)?, keys)?,
                None => push(&zero_key.borrowed(), keys)?,
            }
            match (entry.values.is_empty(), absent) {
                (true, Some(absent)) => push(&absent.borrowed(), items)?,
                (true, None) => self.content(value, &[Raw::Bytes(&[])], items)?,
                (false, _) => self.content(value, &entry.values, items)?,
            }
        }
        self.depth -= 1;
        column.push_offset()
    }
}

#[cold]
fn required() -> Fault {
    Fault::new("it is required, and not there")
}

/// The bytes of a message's occurrences.
fn pieces<'a>(values: &[Raw<'a>]) -> Vec<&'a [u8]> {
    values
        .iter()
        .filter_map(|raw| match raw {
            Raw::Bytes(bytes) | Raw::Group(bytes) => Some(*bytes),
            Raw::Varint(_) | Raw::Fixed32(_) | Raw::Fixed64(_) => None,
        })
        .collect()
}

/// A scalar into a column of whatever type can hold it.
fn push(datum: &Datum<'_>, column: &mut Column) -> Outcome {
    let is_text = column.data_type == DataType::Utf8;
    match *datum {
        Datum::Bool(value) if is_text => column.push_str(if value { "true" } else { "false" }),
        Datum::Bool(value) => column.push_bool(value),
        Datum::Int(value) if is_text => column.push_str(&value.to_string()),
        Datum::Int(value) => column.push_integer(value),
        Datum::Unsigned(value) => match i64::try_from(value) {
            Ok(value) if !is_text => column.push_integer(value),
            _ => json_text::read_text(column, &value.to_string()),
        },
        Datum::Float(value) if is_text => column.push_str(&value.to_string()),
        Datum::Float(value) => column.push_f64(value),
        Datum::Bytes(bytes) if is_text => column.push_str(utf8(bytes)?),
        Datum::Bytes(bytes) => match column.data_type {
            DataType::Binary => column.push_bytes(bytes),
            _ => Err(column.misfit(&format!("{} bytes", bytes.len()))),
        },
        Datum::Text(text) => match column.data_type {
            DataType::Binary => column.push_bytes(text.as_bytes()),
            _ => json_text::read_text(column, text),
        },
        Datum::Symbol(number, name) => match (&column.data_type, name) {
            (DataType::Int32 | DataType::Int64, _) => column.push_integer(number.into()),
            (_, Some(name)) => json_text::read_text(column, name),
            // Not in the writer's list: the number is all there is.
            (_, None) => json_text::read_text(column, &number.to_string()),
        },
    }
}

/// A scalar that outlives the payload: a default.
#[derive(Clone, Debug)]
enum Owned {
    Value(Value),
    Symbol(i32, Option<String>),
}

impl Owned {
    fn of(value: Value, kind: &Kind) -> Self {
        match (value, kind) {
            (Value::EnumNumber(number), Kind::Enum(symbols)) => {
                Self::Symbol(number, symbols.get_value(number).map(|symbol| symbol.name().to_owned()))
            }
            (value, _) => Self::Value(value),
        }
    }

    fn borrowed(&self) -> Datum<'_> {
        match self {
            Self::Symbol(number, name) => Datum::Symbol(*number, name.as_deref()),
            Self::Value(value) => match value {
                Value::Bool(value) => Datum::Bool(*value),
                Value::I32(value) | Value::EnumNumber(value) => Datum::Int((*value).into()),
                Value::I64(value) => Datum::Int(*value),
                Value::U32(value) => Datum::Int((*value).into()),
                Value::U64(value) => Datum::Unsigned(*value),
                Value::F32(value) => Datum::Float((*value).into()),
                Value::F64(value) => Datum::Float(*value),
                Value::String(text) => Datum::Text(text),
                Value::Bytes(bytes) => Datum::Bytes(bytes),
                // No scalar; the planner makes none of these.
                Value::Message(_) | Value::List(_) | Value::Map(_) => Datum::Bytes(&[]),
            },
        }
    }
}

#[cfg(test)]
mod tests;
