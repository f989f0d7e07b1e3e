//! Schemas: from Arrow to Iceberg and back, and the changes that are legal in place.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, SchemaRef as ArrowSchemaRef};
use iceberg::spec::{Schema, Transform};
use model::{Result, TableName};

/// What a table is made from.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Columns. Field ids in the metadata are ignored: the table numbers its columns itself.
    pub schema: ArrowSchemaRef,
    pub partition: Vec<PartitionBy>,
    /// Iceberg table properties (`write.*`, `history.*`, …) and our own (`lakehead.*`).
    pub properties: BTreeMap<String, String>,
}

impl NewTable {
    pub fn new(schema: ArrowSchemaRef) -> Self {
        Self { schema, partition: Vec::new(), properties: BTreeMap::new() }
    }

    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    pub fn partitioned_by(mut self, column: impl Into<String>, transform: Transform) -> Self {
        self.partition.push(PartitionBy { column: column.into(), transform });
        self
    }
}

/// One partition field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    pub column: String,
    pub transform: Transform,
}

/// A change of columns that keeps every existing row as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChange {
    /// A new nullable column at the end; existing rows read as null. Fine if it exists with the same type already.
    AddColumn(Field),
    /// A larger type: int → long, float → double, decimal to greater precision. `column` may be a path (`a.b`). Fine
    /// if the column is that wide already.
    Widen { column: String, to: DataType },
    /// A required column becomes nullable.
    MakeNullable { column: String },
}

/// The Arrow form of `schema`, with field ids.
pub(crate) fn arrow_schema(_schema: &Schema, _table: &TableName) -> Result<ArrowSchemaRef> {
    unimplemented!()
}
