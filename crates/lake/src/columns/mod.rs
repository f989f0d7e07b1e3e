//! What a topic looks like as a table.

mod declaration;
pub(crate) mod fit;
pub(crate) mod projection;
pub mod pseudo;
pub(crate) mod resolve;
mod stored_type;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use model::{TableName, TopicId, TopicName};
use schemas::Format;

pub use declaration::{DeclaredColumn, StreamDeclaration, StreamKind};

/// Where the columns of a topic come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `CREATE STREAM` or `CREATE TABLE … WITH (KAFKA_TOPIC = …)`.
    Declared,
    /// The newest version of subject `<topic>-value`.
    Registry { subject: String, version: i32 },
    /// A guess by the records seen so far; grows as new fields appear.
    Inferred,
    /// Nothing is known: no declaration, no subject and no record yet, or a topic that is not for reading.
    Unknown,
}

impl Origin {
    /// As shown to people.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Registry { .. } => "registry",
            Self::Inferred => "inferred",
            Self::Unknown => "unknown",
        }
    }
}

/// A topic as a table: immutable, made anew when its columns change.
#[derive(Clone, Debug)]
pub struct TopicTable {
    pub topic: TopicName,
    pub topic_id: TopicId,
    pub partitions: i32,
    /// The Iceberg table that keeps its history.
    pub table: TableName,
    /// Key columns, value columns, then the pseudo-columns.
    pub schema: SchemaRef,
    /// How many of `schema` come from the key (they come first), and how many from the value.
    pub key_columns: usize,
    pub value_columns: usize,
    pub key_format: Format,
    pub value_format: Format,
    /// Whether a key or value of one column is still an object or record with that field, or the bare value.
    pub key_wrapped: bool,
    pub value_wrapped: bool,
    /// Where the value columns come from.
    pub origin: Origin,
    /// Where the key columns come from.
    pub key_origin: Origin,
    pub declaration: Option<Arc<StreamDeclaration>>,
}

impl TopicTable {
    /// Columns that come from the payloads: `SELECT *` shows these.
    pub fn own_columns(&self) -> usize {
        self.key_columns + self.value_columns
    }

    /// Whether a record is kept whole or not at all: nobody said which of its fields are wanted.
    pub(crate) fn wants_all_fields(&self) -> bool {
        self.declaration.is_none() && matches!(self.origin, Origin::Inferred | Origin::Registry { .. })
    }

    /// Whether `_key` is VARCHAR rather than BYTES.
    pub fn key_is_text(&self) -> bool {
        self.schema.field_with_name(pseudo::KEY).is_ok_and(|field| *field.data_type() == DataType::Utf8)
    }
}
