//! Raw payloads → Arrow columns: the hot path of everything that reads a topic.
//!
//! A payload that does not fit (invalid JSON, a wrong type, an unknown schema id, truncated Avro) never fails its
//! neighbours: it is left out and reported with its cause. A `None` payload (tombstone) becomes a row of nulls.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use model::Result;

use crate::{Format, SchemaSource};

/// How payloads are read.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOptions {
    /// Several fields in an object or record (the rule), or one bare value (single keys; `WRAP_SINGLE_VALUE=false`).
    pub wrapped: bool,
    /// Deepest nesting of JSON taken.
    pub depth_max: usize,
    /// Largest payload taken.
    pub payload_bytes_max: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { wrapped: true, depth_max: 64, payload_bytes_max: 64 << 20 }
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
    /// Fields met that are no column (top level; at most 256 are remembered, sorted): the columns may want to grow.
    pub unknown_fields: Vec<String>,
    /// Largest schema id met: the columns may want to grow.
    pub schema_id_max: Option<i32>,
}

/// Reads payloads of one format into one set of columns. Keeps what it learns about them from batch to batch.
pub struct Decoder {
    columns: SchemaRef,
}

impl Decoder {
    /// Fails when the format cannot give such columns (KAFKA with two columns, DELIMITED with a list).
    pub fn new(
        _format: Format,
        columns: SchemaRef,
        _options: DecodeOptions,
        _schemas: Arc<dyn SchemaSource>,
    ) -> Result<Self> {
        Ok(Self { columns })
    }

    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Reads `payloads` in order.
    pub fn decode<'a>(&mut self, _payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> Decoded {
        unimplemented!()
    }
}
