//! What a topic holds, judged by a sample of its payloads.
//!
//! Integers become BIGINT and other numbers DOUBLE from the start, so that later samples rarely widen anything.
//! Columns keep the order in which fields were first met, and the case in which they were written.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::{Format, SchemaSource};

/// What a sample looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    pub format: Format,
    pub columns: SchemaRef,
    /// Newest schema in the frames of the sample.
    pub schema_id: Option<i32>,
}

/// Judges `sample`; `None` if it holds no payload (empty or all tombstones).
pub fn infer<'a>(
    _sample: impl IntoIterator<Item = Option<&'a [u8]>>,
    _schemas: &dyn SchemaSource,
) -> Option<Inferred> {
    unimplemented!()
}

/// A change that Iceberg v2 allows without rewriting data.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaChange {
    /// A new nullable field at the end of the struct at `parent` (empty: top level).
    AddColumn { parent: Vec<String>, field: Field },
    /// int → long, float → double, decimal to a larger precision.
    Widen { path: Vec<String>, to: DataType },
}

/// A field whose new type the existing column cannot take.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub path: Vec<String>,
    pub existing: DataType,
    pub new: DataType,
}

/// How existing columns grow to take new ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Widening {
    pub changes: Vec<SchemaChange>,
    /// Payloads that do not fit these columns are rejected when decoded.
    pub conflicts: Vec<Conflict>,
}

/// What `existing` must change to also take `new`. Never narrows, drops, renames or reorders.
pub fn widen(_existing: &Schema, _new: &Schema) -> Widening {
    unimplemented!()
}

/// `existing` after `changes`.
pub fn apply(_existing: &Schema, _changes: &[SchemaChange]) -> SchemaRef {
    unimplemented!()
}

/// The columns that take payloads of both: for inferred columns that nothing depends on yet. Types that do not meet become VARCHAR.
pub fn merge(_a: &Schema, _b: &Schema) -> SchemaRef {
    unimplemented!()
}
