//! Avro types as columns.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema as Columns, SchemaRef, TimeUnit};
use model::Result;

use super::{Kind, Logical, Schema, TypeId};

/// Metadata of a column: its default as JSON, for records written before the field was added.
pub(crate) const DEFAULT_KEY: &str = "lakehead.default";
/// Metadata of a column: earlier names of the field, separated by commas.
pub(crate) const ALIASES_KEY: &str = "lakehead.aliases";

/// Types unfolded at most: records used in many places of each other would unfold without end.
const COLUMNS_MAX: usize = 10_000;

/// What surrounds the type being mapped.
struct Around {
    /// To find records that contain themselves.
    records: Vec<TypeId>,
    types_left: usize,
}

impl Schema {
    /// The columns of its records; a schema that is no record gives one column called `value`.
    ///
    /// Everything is nullable, because a tombstone has no fields at all. What has no column type becomes VARCHAR with
    /// JSON text: unions of several types, and records that contain themselves.
    pub fn columns(&self) -> Result<SchemaRef> {
        let fields = match &self.get(self.root).kind {
            Kind::Record { fields, .. } => {
                self.fields(fields, &mut Around { records: vec![self.root], types_left: COLUMNS_MAX })
            }
            _ => vec![Field::new(
                "value",
                self.data_type(self.root, &mut Around { records: Vec::new(), types_left: COLUMNS_MAX }),
                true,
            )],
        };
        Ok(Arc::new(Columns::new(fields)))
    }

    fn fields(&self, fields: &[super::Field], around: &mut Around) -> Vec<Field> {
        let column = |field: &super::Field| {
            let mut metadata = HashMap::new();
            if let Some(default) = field.default.as_ref().filter(|default| !default.is_null()) {
                metadata.insert(DEFAULT_KEY.to_owned(), default.to_string());
            }
            if !field.aliases.is_empty() {
                metadata.insert(ALIASES_KEY.to_owned(), field.aliases.join(","));
            }
            Field::new(&field.name, self.data_type(field.schema, around), true).with_metadata(metadata)
        };
        fields.iter().map(column).collect()
    }

    fn data_type(&self, id: TypeId, around: &mut Around) -> DataType {
        let node = self.get(id);
        let Some(left) = around.types_left.checked_sub(1) else { return DataType::Utf8 };
        around.types_left = left;
        match node.logical {
            Some(Logical::Decimal { precision, scale }) => return DataType::Decimal128(precision, scale),
            Some(Logical::Date) => return DataType::Date32,
            Some(Logical::TimeMillis | Logical::TimeMicros) => return DataType::Time64(TimeUnit::Microsecond),
            Some(Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos) => {
                // An instant, whatever the zone it was in: Iceberg's mapping too calls these `timestamptz`.
                return DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
            }
            Some(Logical::LocalTimestampMillis | Logical::LocalTimestampMicros | Logical::LocalTimestampNanos) => {
                return DataType::Timestamp(TimeUnit::Microsecond, None);
            }
            Some(Logical::Uuid) | None => {}
        }
        match &node.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Float | Kind::Double => DataType::Float64,
            Kind::Bytes | Kind::Fixed { .. } => DataType::Binary,
            Kind::Null | Kind::String | Kind::Enum { .. } => DataType::Utf8,
            Kind::Array(items) => DataType::List(Arc::new(Field::new("element", self.data_type(*items, around), true))),
            Kind::Map(values) => map_type(DataType::Utf8, self.data_type(*values, around)),
            Kind::Union(branches) => {
                let mut others = branches.iter().filter(|&&branch| !matches!(self.get(branch).kind, Kind::Null));
                match (others.next(), others.next()) {
                    (Some(&only), None) => self.data_type(only, around),
                    _ => DataType::Utf8,
                }
            }
            Kind::Record { .. } if around.records.contains(&id) || around.records.len() > 32 => DataType::Utf8,
            // A struct without fields has no place in a table.
            Kind::Record { fields, .. } if fields.is_empty() => DataType::Utf8,
            Kind::Record { fields, .. } => {
                around.records.push(id);
                let fields = self.fields(fields, around);
                around.records.pop();
                DataType::Struct(fields.into())
            }
        }
    }
}

/// A map as the whole house writes it (Parquet's and Iceberg's names).
pub(crate) fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = vec![Field::new("key", key, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)), false)
}
