//! Separated text: one record a payload, RFC 4180 quoting.

use std::borrow::Cow;

use arrow::datatypes::{DataType, SchemaRef};
use base64::{Engine as _, engine::general_purpose};

use super::{
    column::Column,
    fault::{Fault, Outcome},
    json, utf8,
};

/// Reads one record. An empty unquoted field is NULL, except that VARCHAR tells it from the quoted empty text.
pub(super) fn read(payload: &[u8], delimiter: u8, schema: &SchemaRef, columns: &mut [Column]) -> Outcome {
    let mut count = 0;
    for field in fields(utf8(payload)?, delimiter) {
        let (text, quoted) = field?;
        let Some(column) = columns.get_mut(count) else {
            return Err(Fault::new(format!("more than the {} fields declared", columns.len())));
        };
        read_field(column, &text, quoted).map_err(|fault| fault.within(schema.field(count).name()))?;
        count += 1;
    }
    if count < columns.len() {
        return Err(Fault::new(format!("expected {} fields, found {count}", columns.len())));
    }
    Ok(())
}

fn read_field(column: &mut Column, text: &str, quoted: bool) -> Outcome {
    if text.is_empty() && !quoted {
        return column.push_null();
    }
    // Integers stand for dates and times too, as in JSON.
    if matches!(
        column.data_type,
        DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..)
    ) && let Ok(number) = text.parse::<i64>()
    {
        return column.push_integer(number);
    }
    if column.data_type == DataType::Binary {
        return match general_purpose::STANDARD.decode(text) {
            Ok(bytes) => column.push_bytes(&bytes),
            Err(error) => Err(Fault::new(format!("expected BYTES in Base64, but {error}"))),
        };
    }
    json::read_text(column, text)
}

/// The fields of one record, and whether each was quoted.
pub(crate) fn fields(record: &str, delimiter: u8) -> impl Iterator<Item = Outcome<(Cow<'_, str>, bool)>> {
    let record = record.strip_suffix('\n').unwrap_or(record);
    let mut rest = Some(record.strip_suffix('\r').unwrap_or(record));
    let delimiter = char::from(delimiter);
    std::iter::from_fn(move || {
        let text = rest?;
        let field = match text.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, delimiter),
            None => Ok(match text.split_once(delimiter) {
                Some((field, tail)) => (Cow::Borrowed(field), false, Some(tail)),
                None => (Cow::Borrowed(text), false, None),
            }),
        };
        match field {
            Ok((field, quoted, tail)) => {
                rest = tail;
                Some(Ok((field, quoted)))
            }
            Err(fault) => {
                rest = None;
                Some(Err(fault))
            }
        }
    })
}

type Field<'a> = (Cow<'a, str>, bool, Option<&'a str>);

/// A field after its opening quote.
fn quoted_field(text: &str, delimiter: char) -> Outcome<Field<'_>> {
    let mut value = Cow::Borrowed("");
    let mut from = 0;
    loop {
        let Some(quote) = text[from..].find('"').map(|at| from + at) else {
            return Err(Fault::new("a quoted field has no closing quote"));
        };
        if value.is_empty() && from == 0 {
            value = Cow::Borrowed(&text[..quote]);
        } else {
            value.to_mut().push_str(&text[from..quote]);
        }
        let after = &text[quote + 1..];
        if after.starts_with('"') {
            value.to_mut().push('"');
            from = quote + 2;
        } else if after.is_empty() {
            return Ok((value, true, None));
        } else if let Some(tail) = after.strip_prefix(delimiter) {
            return Ok((value, true, Some(tail)));
        } else {
            return Err(Fault::new("text after the closing quote of a field"));
        }
    }
}
