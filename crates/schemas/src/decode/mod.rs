//! Raw payloads → Arrow columns: the hot path of everything that reads a topic.
//!
//! A payload that does not fit (invalid JSON, a wrong type, an unknown schema id, truncated Avro or Protobuf) never fails its
//! neighbours: it is left out and reported with its cause. A `None` payload (tombstone) becomes a row of nulls.

mod avro;
pub(crate) mod column;
mod delimited;
pub(crate) mod fault;
pub(crate) mod json;
mod protobuf;
#[cfg(test)]
mod table;

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, SchemaRef},
};
use model::{Error, Result, error::codes};

use self::{
    column::Column,
    fault::{Fault, Outcome, abridged},
    json::scan::Scan,
};
use crate::{Format, SchemaSource, sql::type_name};

/// How payloads are read.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOptions {
    /// Several fields in an object or record (the rule), or one bare value (single keys; `WRAP_SINGLE_VALUE=false`).
    pub wrapped: bool,
    /// DELIMITED: a line that repeats the columns' names, as files of separated text begin with, is no record.
    pub names_line: bool,
    /// A payload with a field that is no column is left out, instead of read without it. Fields that say nothing (nulls,
    /// empty containers) never cost their payload, and those of Protobuf do not: its messages differ by design.
    pub rejects_unknown: bool,
    /// Deepest nesting of JSON taken.
    pub depth_max: usize,
    /// Largest payload taken.
    pub payload_bytes_max: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { wrapped: true, names_line: false, rejects_unknown: false, depth_max: 64, payload_bytes_max: 64 << 20 }
    }
}

/// A payload that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the input.
    pub row: usize,
    /// Why, for people: `field `distance`: expected BIGINT, found a string ("far")`.
    pub cause: String,
    /// The id in its frame, if it has one.
    pub schema_id: Option<i32>,
}

/// What became of a batch of payloads.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The rows that were read, in the order of the input.
    pub batch: RecordBatch,
    /// For each row of `batch`, its place in the input; `None`: all were read, row = place.
    pub rows: Option<Vec<usize>>,
    pub rejected: Vec<Rejected>,
    /// Places of lines that are no records but the names of the columns ([`DecodeOptions::names_line`]).
    pub headers: Vec<usize>,
    /// Fields met with a value that are no column, as dotted paths (at most 256, sorted): the columns may want to grow.
    /// A decoder reports each once.
    pub unknown_fields: Vec<String>,
    /// Largest schema id met: the columns may want to grow.
    pub schema_id_max: Option<i32>,
}

/// Reads payloads of one format into one set of columns. Keeps what it learns about them from batch to batch.
pub struct Decoder {
    columns: SchemaRef,
    options: DecodeOptions,
    reader: Reader,
    /// Of the batch being read.
    unknown: Unknown,
}

/// How one payload is read.
enum Reader {
    Json {
        framed: bool,
        plan: JsonPlan,
    },
    Avro(avro::Reader),
    Protobuf(protobuf::Reader),
    Delimited {
        delimiter: u8,
        /// The names of the columns as a line.
        /// Empty for a single column: that name may be a value.
        header: Vec<u8>,
    },
    Primitive(Primitive),
    /// Every row is null.
    Nothing,
}

enum JsonPlan {
    Object(Box<json::ObjectPlan>),
    Bare(json::Plan),
}

/// The one column of KAFKA, TEXT and BYTES.
#[derive(Clone, Copy)]
enum Primitive {
    Int,
    BigInt,
    Double,
    Text,
    Bytes,
}

/// Fields met that are no column.
#[derive(Default)]
pub(crate) struct Unknown {
    /// They cost their payload.
    rejects: bool,
    names: BTreeSet<String>,
    schema_id_max: Option<i32>,
}

impl Unknown {
    const MAX: usize = 256;

    pub(crate) fn note(&mut self, prefix: &str, name: &str) {
        if self.names.len() < Self::MAX {
            self.names.insert(format!("{prefix}{name}"));
        }
    }

    fn note_schema(&mut self, id: i32) {
        self.schema_id_max = self.schema_id_max.max(Some(id));
    }
}

impl Decoder {
    /// Fails when the format cannot give such columns (KAFKA with two columns, DELIMITED with a list).
    pub fn new(
        format: Format,
        columns: SchemaRef,
        options: DecodeOptions,
        schemas: Arc<dyn SchemaSource>,
    ) -> Result<Self> {
        new_columns(&columns)?;
        if !options.wrapped && columns.fields().len() != 1 {
            return Err(Error::new(codes::FORMAT_UNSUPPORTED, "a bare value gives exactly one column")
                .detail(format!("{} columns are declared", columns.fields().len())));
        }
        let reader = match format {
            Format::Json | Format::JsonSr => Reader::Json {
                framed: format == Format::JsonSr,
                plan: if options.wrapped {
                    JsonPlan::Object(Box::new(json::ObjectPlan::new(columns.fields(), "")))
                } else {
                    JsonPlan::Bare(json::Plan::new(columns.field(0).data_type(), ""))
                },
            },
            Format::Avro => Reader::Avro(avro::Reader::new(columns.clone(), options.wrapped, schemas)),
            Format::Protobuf => Reader::Protobuf(protobuf::Reader::new(columns.clone(), options.wrapped, schemas)),
            Format::Delimited { delimiter } => {
                if let Some(field) = columns.fields().iter().find(|f| f.data_type().is_nested()) {
                    return Err(Error::new(codes::FORMAT_UNSUPPORTED, "DELIMITED holds no lists, maps or structs")
                        .detail(format!("column `{}` is {}", field.name(), type_name(field.data_type()))));
                }
                let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
                let skips = options.names_line && names.len() > 1;
                let header = if skips { names.join(&*char::from(delimiter).to_string()) } else { String::new() };
                let header = header.into_bytes();
                Reader::Delimited { delimiter, header }
            }
            Format::Kafka | Format::Text | Format::Bytes => Reader::Primitive(Primitive::of(format, &columns)?),
            Format::None => Reader::Nothing,
        };
        let unknown = Unknown { rejects: options.rejects_unknown, ..Unknown::default() };
        Ok(Self { columns, options, reader, unknown })
    }

    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Reads `payloads` in order.
    pub fn decode<'a>(&mut self, payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> Decoded {
        let mut columns = new_columns(&self.columns).expect("checked when the decoder was made");
        let (mut taken, mut rejected, mut rows) = (0usize, Vec::new(), None::<Vec<usize>>);
        let mut headers = Vec::new();
        for (row, payload) in payloads.into_iter().enumerate() {
            if self.is_header(payload) {
                rows.get_or_insert_with(|| (0..taken).collect());
                headers.push(row);
                continue;
            }
            match self.read(payload, &mut columns, taken) {
                Ok(()) => {
                    taken += 1;
                    if let Some(rows) = &mut rows {
                        rows.push(row);
                    }
                }
                Err(fault) => {
                    columns.iter_mut().for_each(|column| column.truncate(taken));
                    rows.get_or_insert_with(|| (0..taken).collect());
                    let schema_id =
                        payload.filter(|_| self.is_framed()).and_then(|p| unframe(p).ok()).map(|(id, _)| id);
                    rejected.push(Rejected { row, cause: fault.into_text(), schema_id });
                }
            }
        }
        let unknown = Unknown { rejects: self.unknown.rejects, ..Unknown::default() };
        let Unknown { names, schema_id_max, .. } = std::mem::replace(&mut self.unknown, unknown);
        let arrays = columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>();
        let batch = arrays.and_then(|arrays| {
            let size = RecordBatchOptions::new().with_row_count(Some(taken));
            RecordBatch::try_new_with_options(self.columns.clone(), arrays, &size)
                .map_err(|e| Error::internal(format!("decoded columns do not form a batch: {e}")))
        });
        Decoded {
            batch: batch.expect("every column has one valid value for each row taken"),
            rows,
            rejected,
            headers,
            unknown_fields: names.into_iter().collect(),
            schema_id_max,
        }
    }

    /// Whether a payload is the line that names the columns, if there may be one.
    fn is_header(&self, payload: Option<&[u8]>) -> bool {
        let (Reader::Delimited { header, .. }, Some(payload)) = (&self.reader, payload) else { return false };
        let line = payload.strip_suffix(b"\n").unwrap_or(payload);
        !header.is_empty() && line.strip_suffix(b"\r").unwrap_or(line).eq_ignore_ascii_case(header)
    }

    fn is_framed(&self) -> bool {
        matches!(self.reader, Reader::Avro(_) | Reader::Protobuf(_) | Reader::Json { framed: true, .. })
    }

    fn read(&mut self, payload: Option<&[u8]>, columns: &mut [Column], row: usize) -> Outcome {
        let (Some(payload), false) = (payload, matches!(self.reader, Reader::Nothing)) else {
            return columns.iter_mut().try_for_each(Column::push_null);
        };
        if payload.len() > self.options.payload_bytes_max {
            return Err(Fault::new(format!(
                "the payload has {} bytes; at most {} are taken",
                payload.len(),
                self.options.payload_bytes_max
            )));
        }
        match &mut self.reader {
            Reader::Json { framed, plan } => {
                let text = if *framed {
                    let (id, text) = unframe(payload)?;
                    self.unknown.note_schema(id);
                    text
                } else {
                    payload
                };
                let mut scan = Scan::new(utf8(text)?, self.options.depth_max);
                scan.blank();
                match plan {
                    JsonPlan::Bare(plan) => json::read_value(plan, &mut scan, &mut columns[0], &mut self.unknown)?,
                    JsonPlan::Object(plan) => {
                        if scan.peek() != Some(b'{') {
                            let found = scan.raw_value().map(abridged)?;
                            return Err(Fault::new(format!("expected a JSON object, found {found}")));
                        }
                        plan.read(&mut scan, columns, row, &mut self.unknown)?;
                    }
                }
                scan.end()
            }
            Reader::Avro(reader) => {
                let (id, body) = unframe(payload)?;
                self.unknown.note_schema(id);
                reader.read(id, body, columns, &mut self.unknown)
            }
            Reader::Protobuf(reader) => {
                let (id, body) = unframe(payload)?;
                self.unknown.note_schema(id);
                reader.read(id, body, columns, &mut self.unknown)
            }
            Reader::Delimited { delimiter, .. } => delimited::read(payload, *delimiter, &self.columns, columns),
            Reader::Primitive(primitive) => primitive.read(payload, &mut columns[0]),
            Reader::Nothing => Ok(()),
        }
    }
}

fn new_columns(schema: &SchemaRef) -> Result<Vec<Column>> {
    schema.fields().iter().map(|field| Column::new(field.data_type(), field.is_nullable())).collect()
}

pub(crate) fn utf8(bytes: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(bytes).map_err(|e| Fault::new(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

/// Confluent's frame: a zero, the schema id in four bytes, the body.
pub(crate) fn unframe(payload: &[u8]) -> Outcome<(i32, &[u8])> {
    match payload {
        [0, a, b, c, d, body @ ..] => Ok((i32::from_be_bytes([*a, *b, *c, *d]), body)),
        [0, ..] => Err(Fault::new("the payload ends before the schema id in its frame is complete")),
        [] => Err(Fault::new("the payload is empty; expected a zero byte and a schema id")),
        [first, ..] => {
            Err(Fault::new(format!("expected a zero byte and a schema id at the start, found byte 0x{first:02x}")))
        }
    }
}

/// The fields of one delimited record; `None` if it is none.
pub(crate) fn delimited_fields(record: &str, delimiter: u8) -> Option<Vec<String>> {
    delimited::fields(record, delimiter).map(|field| field.ok().map(|(text, _)| text.into_owned())).collect()
}

impl Primitive {
    fn of(format: Format, columns: &SchemaRef) -> Result<Self> {
        let [field] = columns.fields().as_ref() else {
            return Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("{format} gives exactly one column"))
                .detail(format!("{} columns are declared", columns.fields().len())));
        };
        Ok(match (format, field.data_type()) {
            (Format::Kafka, DataType::Int32) => Self::Int,
            (Format::Kafka, DataType::Int64) => Self::BigInt,
            (Format::Kafka, DataType::Float64) => Self::Double,
            (Format::Kafka | Format::Text, DataType::Utf8) => Self::Text,
            (Format::Kafka | Format::Bytes, DataType::Binary) => Self::Bytes,
            (format, data_type) => {
                return Err(Error::new(
                    codes::FORMAT_UNSUPPORTED,
                    format!("{format} cannot give a column of type {}", type_name(data_type)),
                )
                .hint("KAFKA gives INT, BIGINT, DOUBLE, VARCHAR or BYTES; TEXT gives VARCHAR; BYTES gives BYTES"));
            }
        })
    }

    fn read(self, payload: &[u8], column: &mut Column) -> Outcome {
        let width = |n: usize| Fault::new(format!("expected {n} bytes, found {}", payload.len()));
        match self {
            Self::Int => column.push_i32(i32::from_be_bytes(payload.try_into().map_err(|_| width(4))?)),
            Self::BigInt => column.push_i64(i64::from_be_bytes(payload.try_into().map_err(|_| width(8))?)),
            Self::Double => column.push_f64(f64::from_be_bytes(payload.try_into().map_err(|_| width(8))?)),
            Self::Text => column.push_str(utf8(payload)?),
            Self::Bytes => column.push_bytes(payload),
        }
    }
}

#[cfg(test)]
mod tests;
