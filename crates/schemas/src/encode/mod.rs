//! Arrow rows → payloads, for `INSERT INTO` a topic and for continuous queries.

mod avro;
mod json;
mod schema;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type, SchemaRef},
};
use bytes::Bytes;
use model::{Error, Result, error::codes};

pub use self::schema::{avro_schema, json_schema};
use crate::{Format, ParsedSchema, RegisteredSchema, sql::type_name};

/// Writes payloads of one format from one set of columns.
pub struct Encoder {
    format: Format,
    columns: SchemaRef,
    wrapped: bool,
    schema: Option<Arc<RegisteredSchema>>,
}

impl Encoder {
    /// `schema`: the registered schema to write by; required by AVRO and JSON_SR (see [`avro_schema`] and
    /// [`json_schema`] for making one from columns). `wrapped`: as in [`crate::decode::DecodeOptions`].
    pub fn new(
        format: Format,
        columns: SchemaRef,
        wrapped: bool,
        schema: Option<Arc<RegisteredSchema>>,
    ) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(codes::FORMAT_UNSUPPORTED, why));
        if !wrapped && columns.fields().len() != 1 {
            return refuse(format!("a bare value takes exactly one column, not {}", columns.fields().len()));
        }
        match (format, schema.as_deref().map(|schema| &schema.parsed)) {
            (Format::Avro, Some(ParsedSchema::Avro(_))) | (Format::JsonSr, Some(ParsedSchema::Json(_))) => {}
            (Format::Protobuf, _) => {
                return Err(Error::new(codes::FORMAT_UNSUPPORTED, "rows are not written as PROTOBUF")
                    .detail("topics of Protobuf messages are read only here")
                    .hint("write to them with a Protobuf serializer, or to a topic in another format"));
            }
            (Format::Avro | Format::JsonSr, _) => {
                return refuse(format!("{format} needs a schema of its kind to write by"));
            }
            (Format::Kafka | Format::Text | Format::Bytes, _) => {
                let [field] = columns.fields().as_ref() else {
                    return refuse(format!("{format} takes exactly one column, not {}", columns.fields().len()));
                };
                let fits = matches!(
                    (format, field.data_type()),
                    (Format::Kafka, DataType::Int32 | DataType::Int64 | DataType::Float64)
                        | (Format::Kafka | Format::Text, DataType::Utf8)
                        | (Format::Kafka | Format::Bytes, DataType::Binary)
                );
                if !fits {
                    return refuse(format!("{format} cannot hold a column of type {}", type_name(field.data_type())));
                }
            }
            (Format::Delimited { .. }, _) => {
                if let Some(field) = columns.fields().iter().find(|f| f.data_type().is_nested()) {
                    return refuse(format!(
                        "DELIMITED holds no {} (column `{}`)",
                        type_name(field.data_type()),
                        field.name()
                    ));
                }
            }
            (Format::Json | Format::None, _) => {}
        }
        Ok(Self { format, columns, wrapped, schema })
    }

    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// One payload a row. A bare null value, or [`Format::None`], gives `None`.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Vec<Option<Bytes>>> {
        let same = batch.num_columns() == self.columns.fields().len()
            && batch
                .columns()
                .iter()
                .zip(self.columns.fields())
                .all(|(a, f)| a.data_type().equals_datatype(f.data_type()));
        if !same {
            return Err(Error::internal("rows to encode are not of the encoder's columns"));
        }
        (0..batch.num_rows()).map(|row| self.payload(batch, row)).collect()
    }

    fn payload(&self, batch: &RecordBatch, row: usize) -> Result<Option<Bytes>> {
        let bare_null = !self.wrapped && batch.column(0).is_null(row);
        if bare_null || self.format == Format::None {
            return Ok(None);
        }
        let mut out = Vec::new();
        if let (true, Some(schema)) = (self.format.is_framed(), &self.schema) {
            out.push(0);
            out.extend_from_slice(&schema.id.to_be_bytes());
        }
        match self.format {
            Format::Json | Format::JsonSr if self.wrapped => {
                json::object(&mut out, self.columns.fields(), batch.columns(), row)?;
            }
            Format::Json | Format::JsonSr => json::value(&mut out, batch.column(0), row)?,
            Format::Avro => {
                let Some(ParsedSchema::Avro(schema)) = self.schema.as_deref().map(|schema| &schema.parsed) else {
                    return Err(Error::internal("an AVRO encoder without its schema"));
                };
                if self.wrapped && schema.is_record() {
                    avro::record(schema, schema.root(), self.columns.fields(), batch.columns(), row, &mut out)?;
                } else {
                    avro::value(schema, schema.root(), batch.column(0), row, &mut out)?;
                }
            }
            Format::Delimited { delimiter } => delimited(&mut out, delimiter, batch, row)?,
            Format::Kafka | Format::Text | Format::Bytes => {
                if batch.column(0).is_null(row) {
                    return Ok(None);
                }
                primitive(&mut out, batch.column(0), row)?;
            }
            Format::Protobuf => return Err(Error::internal("a PROTOBUF encoder")),
            Format::None => {}
        }
        Ok(Some(out.into()))
    }
}

fn primitive(out: &mut Vec<u8>, array: &ArrayRef, row: usize) -> Result<()> {
    match array.data_type() {
        DataType::Int32 => out.extend_from_slice(&array.as_primitive::<Int32Type>().value(row).to_be_bytes()),
        DataType::Int64 => out.extend_from_slice(&array.as_primitive::<Int64Type>().value(row).to_be_bytes()),
        DataType::Float64 => out.extend_from_slice(&array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        DataType::Utf8 => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => out.extend_from_slice(array.as_binary::<i32>().value(row)),
        other => return Err(not_encodable(format!("a value of type {}", type_name(other)))),
    }
    Ok(())
}

/// RFC 4180; NULL is an empty field, the empty text a quoted one.
fn delimited(out: &mut Vec<u8>, delimiter: u8, batch: &RecordBatch, row: usize) -> Result<()> {
    for (index, array) in batch.columns().iter().enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        if array.is_null(row) {
            continue;
        }
        let text = json::text(array, row)?;
        let plain = !text.is_empty() && !text.bytes().any(|b| b == delimiter || matches!(b, b'"' | b'\r' | b'\n'));
        if plain {
            out.extend_from_slice(text.as_bytes());
        } else {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        }
    }
    Ok(())
}

pub(super) fn not_encodable(what: String) -> Error {
    Error::new(codes::VALUE_NOT_ENCODABLE, "a value cannot be written in this format").detail(what)
}

#[cfg(test)]
mod tests;
