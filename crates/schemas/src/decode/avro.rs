//! Avro binary into columns: the writer's schema says what the bytes are, the columns say what is wanted.
//!
//! Fields meet columns by name (exact, then by alias, then whatever the case), types by Avro's promotions and whatever
//! else loses nothing. A column the writer did not know gets its default, else NULL.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use base64::{Engine as _, engine::general_purpose};
use serde_json::Value;

use super::{
    Unknown,
    column::{Column, Values},
    fault::{Fault, Outcome},
    json::{self, scan::Scan},
    utf8,
};
use crate::{
    ParsedSchema, SchemaSource,
    avro::{ALIASES_KEY, DEFAULT_KEY, Kind, Logical, Schema, TypeId},
    text,
};

/// Deepest nesting of data.
const DEPTH_MAX: usize = 64;

/// Reads payloads of any writer schema into one set of columns.
pub(super) struct Reader {
    columns: SchemaRef,
    wrapped: bool,
    schemas: Arc<dyn SchemaSource>,
    writers: HashMap<i32, Writer>,
}

/// A writer's schema, matched with the columns.
struct Writer {
    schema: Arc<Schema>,
    plan: Plan,
    /// Fields without a column, until they have been reported.
    unknown: Vec<String>,
}

/// How one type of the writer becomes one column (or all of them, at the top).
enum Plan {
    Record {
        steps: Vec<Step>,
        missing: Vec<Missing>,
    },
    /// Lists, and the values of maps.
    Items(Box<Plan>),
    Union(Vec<Plan>),
    Scalar,
    /// JSON text of whatever it is, for VARCHAR.
    Text,
}

/// One field of the writer, in its order.
struct Step {
    name: String,
    schema: TypeId,
    target: Option<(usize, Plan)>,
}

/// A column the writer did not know.
struct Missing {
    index: usize,
    name: String,
    default: Option<String>,
}

impl Reader {
    pub(super) fn new(columns: SchemaRef, wrapped: bool, schemas: Arc<dyn SchemaSource>) -> Self {
        Self { columns, wrapped, schemas, writers: HashMap::new() }
    }

    pub(super) fn read(&mut self, id: i32, body: &[u8], columns: &mut [Column], unknown: &mut Unknown) -> Outcome {
        if !self.writers.contains_key(&id) {
            let writer = self.writer(id)?;
            self.writers.insert(id, writer);
        }
        let writer = self.writers.get_mut(&id).expect("put there just now");
        writer.unknown.drain(..).for_each(|name| unknown.note("", &name));
        let mut input = Input {
            bytes: body,
            schema: &writer.schema,
            depth: 0,
            items_left: body.len() + (1 << 16),
            rejects_unknown: unknown.rejects,
        };
        let root = writer.schema.root();
        match &writer.plan {
            plan @ Plan::Record { .. } if self.wrapped && writer.schema.is_record() => {
                input.record(plan, columns)?;
            }
            plan => input.value(root, plan, &mut columns[0])?,
        }
        match input.bytes.len() {
            0 => Ok(()),
            extra => Err(Fault::new(format!("{extra} bytes are left over after the record"))),
        }
    }

    fn writer(&self, id: i32) -> Outcome<Writer> {
        let Some(registered) = self.schemas.schema_by_id(id) else {
            return Err(Fault::new(format!("schema {id} is not in the registry")));
        };
        let ParsedSchema::Avro(schema) = &registered.parsed else {
            return Err(Fault::new(format!("schema {id} is {}, not AVRO", registered.schema_type)));
        };
        let schema = schema.clone();
        let mut planner = Planner { schema: &schema, unknown: Vec::new() };
        let plan = if self.wrapped && schema.is_record() {
            planner.record(schema.root(), self.columns.fields(), "")
        } else if let [field] = self.columns.fields().as_ref() {
            planner.plan(schema.root(), field.data_type(), "")
        } else {
            return Err(Fault::new(format!(
                "schema {id} is no record, but the payload should give {} columns",
                self.columns.fields().len()
            )));
        };
        let unknown = planner.unknown;
        Ok(Writer { schema, plan, unknown })
    }
}

/// Whether a field of the writer, by its name, belongs to a column.
type Matching<'a> = &'a dyn Fn(&str, &Field) -> bool;

struct Planner<'a> {
    schema: &'a Schema,
    unknown: Vec<String>,
}

impl Planner<'_> {
    fn plan(&mut self, id: TypeId, data_type: &DataType, prefix: &str) -> Plan {
        match (&self.schema.get(id).kind, data_type) {
            (Kind::Union(branches), _) => {
                Plan::Union(branches.iter().map(|&branch| self.plan(branch, data_type, prefix)).collect())
            }
            (Kind::Record { .. }, DataType::Struct(fields)) => self.record(id, fields, prefix),
            (Kind::Array(items), DataType::List(item)) => {
                Plan::Items(Box::new(self.plan(*items, item.data_type(), prefix)))
            }
            (Kind::Map(values), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    Plan::Items(Box::new(self.plan(*values, pair[1].data_type(), prefix)))
                }
                _ => Plan::Text,
            },
            (Kind::Record { .. } | Kind::Array(_) | Kind::Map(_), _) => Plan::Text,
            _ => Plan::Scalar,
        }
    }

    fn record(&mut self, id: TypeId, columns: &Fields, prefix: &str) -> Plan {
        let schema = self.schema;
        let Kind::Record { fields, .. } = &schema.get(id).kind else { return Plan::Text };
        let mut taken = vec![false; columns.len()];
        let matches: [Matching<'_>; 3] = [
            &|name, column| column.name() == name,
            &|name, column| column.metadata().get(ALIASES_KEY).is_some_and(|list| list.split(',').any(|a| a == name)),
            &|name, column| column.name().to_lowercase() == name.to_lowercase(),
        ];
        let mut targets: Vec<Option<usize>> = vec![None; fields.len()];
        for matching in matches {
            for (field, target) in fields.iter().zip(&mut targets).filter(|(_, target)| target.is_none()) {
                let free = |&(index, column): &(usize, &Arc<_>)| !taken[index] && matching(&field.name, column);
                if let Some((index, _)) = columns.iter().enumerate().find(free) {
                    taken[index] = true;
                    *target = Some(index);
                }
            }
        }
        let steps = fields.iter().zip(targets).map(|(field, target)| {
            if target.is_none() {
                self.unknown.push(format!("{prefix}{}", field.name));
            }
            let target = target.map(|index| {
                let column = &columns[index];
                (index, self.plan(field.schema, column.data_type(), &format!("{prefix}{}.", column.name())))
            });
            Step { name: field.name.clone(), schema: field.schema, target }
        });
        let steps = steps.collect();
        let missing = columns.iter().enumerate().filter(|&(index, _)| !taken[index]).map(|(index, column)| Missing {
            index,
            name: column.name().clone(),
            default: column.metadata().get(DEFAULT_KEY).cloned(),
        });
        Plan::Record { steps, missing: missing.collect() }
    }
}

/// What is left of a payload.
struct Input<'a> {
    bytes: &'a [u8],
    schema: &'a Schema,
    depth: usize,
    /// How many items lists and maps may still have: items of no bytes must not run for ever.
    items_left: usize,
    /// A field without a column costs the payload.
    rejects_unknown: bool,
}

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Outcome<&'a [u8]> {
        match self.bytes.split_at_checked(n) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(Fault::new(format!("the payload ends {} bytes too early", n - self.bytes.len()))),
        }
    }

    /// A zig-zag variable-length integer.
    #[inline]
    fn long(&mut self) -> Outcome<i64> {
        let (mut value, mut shift) = (0u64, 0);
        for (index, &byte) in self.bytes.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.bytes = &self.bytes[index + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
        }
        Err(Fault::new(if self.bytes.len() < 10 { "the payload ends within a number" } else { "a number is too long" }))
    }

    fn int(&mut self) -> Outcome<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Fault::new(format!("{value} is no int")))
    }

    fn sized(&mut self) -> Outcome<&'a [u8]> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(Fault::new(format!("a length of {length}"))),
        }
    }

    /// The number of items in the next block, 0 at the end.
    fn block(&mut self) -> Outcome<usize> {
        let count = self.long()?;
        if count < 0 {
            self.long()?; // size of the block in bytes
        }
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= self.items_left => {
                self.items_left -= count;
                Ok(count)
            }
            _ => Err(Fault::new(format!("a block of {count} items is larger than its payload"))),
        }
    }

    fn branch(&mut self, branches: usize) -> Outcome<usize> {
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < branches => Ok(index),
            _ => Err(Fault::new(format!("a union has {branches} branches, found branch {index}"))),
        }
    }

    fn descend(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Fault::new("the data nest too deeply")) } else { Ok(()) }
    }

    fn record(&mut self, plan: &Plan, columns: &mut [Column]) -> Outcome {
        let Plan::Record { steps, missing } = plan else {
            return Err(Fault::new("a record does not fit this column"));
        };
        self.descend()?;
        for step in steps {
            match &step.target {
                Some((index, plan)) => self.value(step.schema, plan, &mut columns[*index]),
                None if self.rejects_unknown => {
                    self.json_value(step.schema).and_then(|value| match json::tells(&value) {
                        true => Err(Fault::no_column()),
                        false => Ok(()),
                    })
                }
                None => self.skip(step.schema),
            }
            .map_err(|fault| fault.within(&step.name))?;
        }
        for missing in missing {
            let column = &mut columns[missing.index];
            match &missing.default {
                Some(default) => push_default(column, default),
                None => column.push_null(),
            }
            .map_err(|fault| fault.within(&missing.name))?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn value(&mut self, id: TypeId, plan: &Plan, column: &mut Column) -> Outcome {
        let schema = self.schema;
        let node = schema.get(id);
        match (&node.kind, plan) {
            (Kind::Union(branches), Plan::Union(plans)) => {
                let index = self.branch(branches.len())?;
                self.value(branches[index], &plans[index], column)
            }
            (Kind::Record { .. }, Plan::Record { .. }) => {
                let Values::Struct(fields) = &mut column.values else { return Err(column.misfit("a record")) };
                self.record(plan, fields)?;
                column.push_valid();
                Ok(())
            }
            (Kind::Array(items), Plan::Items(plan)) => {
                self.descend()?;
                let Values::List { item, .. } = &mut column.values else { return Err(column.misfit("an array")) };
                loop {
                    match self.block()? {
                        0 => break,
                        count => (0..count).try_for_each(|_| self.value(*items, plan, item))?,
                    }
                }
                self.depth -= 1;
                column.push_offset()
            }
            (Kind::Map(values), Plan::Items(plan)) => {
                self.descend()?;
                let Values::Map { key, value, .. } = &mut column.values else { return Err(column.misfit("a map")) };
                loop {
                    match self.block()? {
                        0 => break,
                        count => (0..count).try_for_each(|_| {
                            key.push_str(utf8(self.sized()?)?)?;
                            self.value(*values, plan, value)
                        })?,
                    }
                }
                self.depth -= 1;
                column.push_offset()
            }
            (_, Plan::Scalar) => self.scalar(id, column),
            _ => {
                let value = self.json_value(id)?;
                match column.data_type {
                    DataType::Utf8 => column.push_str(&value.to_string()),
                    _ => Err(column.misfit(&format!("a {} {value}", node.kind.label()))),
                }
            }
        }
    }

    fn scalar(&mut self, id: TypeId, column: &mut Column) -> Outcome {
        let schema = self.schema;
        let node = schema.get(id);
        match &node.kind {
            Kind::Null => column.push_null(),
            Kind::Boolean => {
                let value = self.boolean()?;
                match column.data_type {
                    DataType::Utf8 => column.push_str(if value { "true" } else { "false" }),
                    _ => column.push_bool(value),
                }
            }
            Kind::Int => {
                let value = self.int()?;
                push_number(column, value.into(), node.logical)
            }
            Kind::Long => {
                let value = self.long()?;
                push_number(column, value, node.logical)
            }
            Kind::Float => {
                let bytes = self.take(4)?.try_into().expect("four bytes");
                push_float(column, f32::from_le_bytes(bytes).into())
            }
            Kind::Double => {
                let bytes = self.take(8)?.try_into().expect("eight bytes");
                push_float(column, f64::from_le_bytes(bytes))
            }
            Kind::Bytes => {
                let bytes = self.sized()?;
                push_raw(column, bytes, node.logical)
            }
            Kind::Fixed { size, .. } => {
                let bytes = self.take(*size)?;
                push_raw(column, bytes, node.logical)
            }
            Kind::String => {
                let bytes = self.sized()?;
                match column.data_type {
                    DataType::Binary => column.push_bytes(bytes),
                    _ => json::read_text(column, utf8(bytes)?),
                }
            }
            Kind::Enum { symbols, .. } => {
                let index = self.branch(symbols.len())?;
                json::read_text(column, &symbols[index])
            }
            Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record { .. } => {
                Err(column.misfit(node.kind.label()))
            }
        }
    }

    fn boolean(&mut self) -> Outcome<bool> {
        match self.take(1)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Fault::new(format!("{other} is no boolean"))),
        }
    }

    /// Passes over a value nobody wants.
    fn skip(&mut self, id: TypeId) -> Outcome {
        self.descend()?;
        let schema = self.schema;
        match &schema.get(id).kind {
            Kind::Null => {}
            Kind::Boolean => drop(self.boolean()?),
            Kind::Int | Kind::Long => drop(self.long()?),
            Kind::Float => drop(self.take(4)?),
            Kind::Double => drop(self.take(8)?),
            Kind::Bytes | Kind::String => drop(self.sized()?),
            Kind::Fixed { size, .. } => drop(self.take(*size)?),
            Kind::Enum { symbols, .. } => drop(self.branch(symbols.len())?),
            Kind::Union(branches) => {
                let index = self.branch(branches.len())?;
                self.skip(branches[index])?;
            }
            Kind::Record { fields, .. } => fields.iter().try_for_each(|field| self.skip(field.schema))?,
            Kind::Array(items) => loop {
                match self.block()? {
                    0 => break,
                    count => (0..count).try_for_each(|_| self.skip(*items))?,
                }
            },
            Kind::Map(values) => loop {
                match self.block()? {
                    0 => break,
                    count => (0..count).try_for_each(|_| {
                        self.sized()?;
                        self.skip(*values)
                    })?,
                }
            },
        }
        self.depth -= 1;
        Ok(())
    }

    /// Any value as JSON: the column could not be told its type.
    fn json_value(&mut self, id: TypeId) -> Outcome<Value> {
        self.descend()?;
        let schema = self.schema;
        let node = schema.get(id);
        let value = match &node.kind {
            Kind::Null => Value::Null,
            Kind::Boolean => self.boolean()?.into(),
            Kind::Int | Kind::Long => self.long()?.into(),
            Kind::Float => f64::from(f32::from_le_bytes(self.take(4)?.try_into().expect("four bytes"))).into(),
            Kind::Double => f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")).into(),
            Kind::Bytes => self.sized().map(|bytes| raw_json(bytes, node.logical))?,
            Kind::Fixed { size, .. } => self.take(*size).map(|bytes| raw_json(bytes, node.logical))?,
            Kind::String => utf8(self.sized()?)?.into(),
            Kind::Enum { symbols, .. } => symbols[self.branch(symbols.len())?].clone().into(),
            Kind::Union(branches) => {
                let index = self.branch(branches.len())?;
                self.json_value(branches[index])?
            }
            Kind::Record { fields, .. } => {
                let fields = fields.iter().map(|field| Ok((field.name.clone(), self.json_value(field.schema)?)));
                Value::Object(fields.collect::<Outcome<_>>()?)
            }
            Kind::Array(items) => {
                let mut list = Vec::new();
                loop {
                    match self.block()? {
                        0 => break Value::Array(list),
                        count => {
                            for _ in 0..count {
                                list.push(self.json_value(*items)?);
                            }
                        }
                    }
                }
            }
            Kind::Map(values) => {
                let mut map = serde_json::Map::new();
                loop {
                    match self.block()? {
                        0 => break Value::Object(map),
                        count => {
                            for _ in 0..count {
                                let key = utf8(self.sized()?)?.to_owned();
                                map.insert(key, self.json_value(*values)?);
                            }
                        }
                    }
                }
            }
        };
        self.depth -= 1;
        Ok(value)
    }
}

fn push_number(column: &mut Column, value: i64, logical: Option<Logical>) -> Outcome {
    let per_second = match logical {
        Some(Logical::TimestampMillis | Logical::LocalTimestampMillis | Logical::TimeMillis) => 1_000,
        Some(Logical::TimestampMicros | Logical::LocalTimestampMicros | Logical::TimeMicros) => 1_000_000,
        Some(Logical::TimestampNanos | Logical::LocalTimestampNanos) => 1_000_000_000,
        _ => 0,
    };
    match column.data_type {
        DataType::Utf8 => column.push_str(&value.to_string()),
        DataType::Timestamp(..) if per_second > 0 => {
            let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            column.push_moment(value.div_euclid(per_second), nanos as u32)
        }
        DataType::Time32(_) | DataType::Time64(_) if per_second > 0 => {
            let nanos = value.checked_mul(1_000_000_000 / per_second).filter(|n| (0..86_400_000_000_000).contains(n));
            match nanos {
                Some(nanos) => column.push_time(nanos),
                None => Err(column.misfit(&value.to_string())),
            }
        }
        _ => column.push_integer(value),
    }
}

fn push_float(column: &mut Column, value: f64) -> Outcome {
    match column.data_type {
        DataType::Utf8 => column.push_str(&value.to_string()),
        _ => column.push_f64(value),
    }
}

fn push_raw(column: &mut Column, bytes: &[u8], logical: Option<Logical>) -> Outcome {
    if let Some(Logical::Decimal { scale, .. }) = logical {
        let Some(unscaled) = big_endian(bytes) else {
            return Err(column.misfit(&format!("a decimal of {} bytes", bytes.len())));
        };
        let number = text::format_decimal(unscaled, scale);
        return json::read_text(column, &number);
    }
    match column.data_type {
        DataType::Utf8 => column.push_str(utf8(bytes)?),
        DataType::Binary => column.push_bytes(bytes),
        _ => Err(column.misfit(&format!("{} bytes", bytes.len()))),
    }
}

fn raw_json(bytes: &[u8], logical: Option<Logical>) -> Value {
    match (logical, big_endian(bytes)) {
        (Some(Logical::Decimal { scale, .. }), Some(unscaled)) => text::format_decimal(unscaled, scale).into(),
        _ => general_purpose::STANDARD.encode(bytes).into(),
    }
}

/// A two's-complement number of any length that fits 128 bits.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let excess = bytes.len().saturating_sub(16);
    let (head, tail) = bytes.split_at(excess);
    if head.iter().any(|&byte| byte != fill) {
        return None;
    }
    let mut wide = [fill; 16];
    wide[16 - tail.len()..].copy_from_slice(tail);
    let value = i128::from_be_bytes(wide);
    (bytes.is_empty() || (value < 0) == negative).then_some(value)
}

/// A default as the schema writes it. One that does not fit counts as none: registries never checked defaults.
fn push_default(column: &mut Column, default: &str) -> Outcome {
    let len = column.len();
    let mut scan = Scan::new(default, DEPTH_MAX);
    let mut plan = json::Plan::new(&column.data_type, "");
    let pushed = json::read_value(&mut plan, &mut scan, column, &mut Unknown::default());
    if pushed.is_err() || column.data_type == DataType::Binary {
        column.truncate(len);
        return column.push_null();
    }
    Ok(())
}
