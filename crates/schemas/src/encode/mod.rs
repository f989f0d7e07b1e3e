//! Arrow rows → payloads, for `INSERT INTO` a topic and for continuous queries.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::{Schema, SchemaRef}};
use bytes::Bytes;
use model::Result;

use crate::{Format, RegisteredSchema};

/// Writes payloads of one format from one set of columns.
pub struct Encoder {
    columns: SchemaRef,
}

impl Encoder {
    /// `schema`: the registered schema to write by; required by AVRO and JSON_SR (see [`avro_schema`] and
    /// [`json_schema`] for making one from columns). `wrapped`: as in [`crate::decode::DecodeOptions`].
    pub fn new(
        _format: Format,
        columns: SchemaRef,
        _wrapped: bool,
        _schema: Option<Arc<RegisteredSchema>>,
    ) -> Result<Self> {
        Ok(Self { columns })
    }

    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// One payload a row. A bare null value, or [`Format::None`], gives `None`.
    pub fn encode(&self, _batch: &RecordBatch) -> Result<Vec<Option<Bytes>>> {
        unimplemented!()
    }
}

/// An Avro schema for `columns`: a record called `full_name`, or the bare type of the only column if not `wrapped`.
pub fn avro_schema(_columns: &Schema, _full_name: &str, _wrapped: bool) -> Result<String> {
    unimplemented!()
}

/// A JSON Schema for `columns`.
pub fn json_schema(_columns: &Schema, _title: &str, _wrapped: bool) -> Result<String> {
    unimplemented!()
}
