//! Rows as CSV, for every door.
//!
//! CSV has no nesting: a list, a row or a map is its JSON text, everywhere (`COPY … TO` does the same in its plan).

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    csv::WriterBuilder,
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
};

use crate::functions::json_column;

/// The line of names. There is none if there are no columns.
pub fn header(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    if schema.fields().is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect();
    let mut writer = WriterBuilder::new().with_header(true).build(Vec::new());
    writer.write(&RecordBatch::new_empty(Arc::new(Schema::new(names))))?;
    Ok(writer.into_inner())
}

/// The lines of `batch`, without names. A row of no columns is an empty line.
pub fn rows(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    if batch.num_columns() == 0 {
        return Ok(vec![b'\n'; batch.num_rows()]);
    }
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let array: ArrayRef = match array.data_type().is_nested() {
            true => Arc::new(json_column(field, array)?),
            false => array.clone(),
        };
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        columns.push(array);
    }
    let flat = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = WriterBuilder::new().with_header(false).build(Vec::new());
    writer.write(&flat)?;
    Ok(writer.into_inner())
}
