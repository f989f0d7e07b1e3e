//! Rows as CSV, for every door, and CSV as rows.
//!
//! As in PostgreSQL, an empty text is `""` and a NULL nothing; what looks like a NULL is in quotes. A line of nothing at all
//! would be no row to most readers, so the NULL of a lone column is `""`, too. CSV has no nesting: a list, a row or a map is
//! its JSON text, everywhere (`COPY … TO` does the same in its plan).

mod empty;
mod format;

use std::{fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    csv::WriterBuilder,
    datatypes::{DataType, Field, Schema},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::functions::json_column;

pub(crate) use format::{Factory, Format};

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
    lines(&flat, &WriterBuilder::new())
}

/// The lines of `batch`, which has no nested columns, as `style` has them. (arrow's writer quotes no empty text.)
fn lines(batch: &RecordBatch, style: &WriterBuilder) -> Result<Vec<u8>, ArrowError> {
    let options = FormatOptions::default()
        .with_date_format(style.date_format())
        .with_datetime_format(style.datetime_format())
        .with_timestamp_format(style.timestamp_format())
        .with_timestamp_tz_format(style.timestamp_tz_format())
        .with_time_format(style.time_format());
    let columns = batch.columns().iter().map(|column| {
        let shown = ArrayFormatter::try_new(column, &options)?;
        Ok((column.logical_nulls(), shown))
    });
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let quoting = Quoting::new(style);
    let (mut lines, mut text) = (Vec::with_capacity(batch.num_rows() * columns.len() * 8), String::new());
    for row in 0..batch.num_rows() {
        for (index, (nulls, shown)) in columns.iter().enumerate() {
            if index > 0 {
                lines.push(quoting.delimiter);
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                match columns.len() == 1 && quoting.null.is_empty() {
                    true => lines.extend([quoting.quote; 2]),
                    false => lines.extend(quoting.null.as_bytes()),
                }
                continue;
            }
            text.clear();
            write!(text, "{}", shown.value(row))
                .map_err(|_| ArrowError::CsvError("a value is not shown".to_owned()))?;
            quoting.write(&text, &mut lines);
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

struct Quoting<'a> {
    delimiter: u8,
    quote: u8,
    /// Before a quote within quotes: another one, or this.
    escape: u8,
    null: &'a str,
}

impl<'a> Quoting<'a> {
    fn new(style: &'a WriterBuilder) -> Self {
        let quote = style.quote();
        let escape = if style.double_quote() { quote } else { style.escape() };
        Self { delimiter: style.delimiter(), quote, escape, null: style.null() }
    }

    fn write(&self, text: &str, line: &mut Vec<u8>) {
        let is_special = |b: u8| b == self.delimiter || b == self.quote || b == b'\n' || b == b'\r';
        if text != self.null && !text.is_empty() && !text.bytes().any(is_special) {
            line.extend(text.as_bytes());
            return;
        }
        line.push(self.quote);
        for b in text.bytes() {
            if b == self.quote || (b == self.escape && self.escape != self.quote) {
                line.push(self.escape);
            }
            line.push(b);
        }
        line.push(self.quote);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let texts = StringArray::from(vec![Some("a"), Some(""), None, Some("x,\"y\""), Some("NA")]);
        let numbers = Int64Array::from(vec![Some(1), None, Some(3), Some(4), None]);
        let columns = [("s", Arc::new(texts) as ArrayRef), ("n", Arc::new(numbers) as ArrayRef)];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    }

    #[test]
    fn an_empty_text_is_in_quotes_and_null_is_nothing() {
        let shown = |lines: Vec<u8>| String::from_utf8(lines).expect("text");
        assert_eq!(shown(rows(&batch()).expect("rows")), "a,1\n\"\",\n,3\n\"x,\"\"y\"\"\",4\nNA,\n");
        let style = WriterBuilder::new().with_null("NA".to_owned()).with_delimiter(b';');
        assert_eq!(shown(lines(&batch(), &style).expect("rows")), "a;1\n\"\";NA\nNA;3\n\"x,\"\"y\"\"\";4\n\"NA\";NA\n");
        let lone = batch().project(&[0]).expect("a column");
        assert!(shown(rows(&lone).expect("rows")).starts_with("a\n\"\"\n\"\"\n"));
    }
}
