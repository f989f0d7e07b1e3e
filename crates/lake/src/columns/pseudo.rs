//! The columns every topic has: where and when a record is in the log.

use std::{borrow::Cow, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};

pub const PARTITION: &str = "_partition";
pub const OFFSET: &str = "_offset";
pub const TIMESTAMP: &str = "_timestamp";
pub const KEY: &str = "_key";
pub const HEADERS: &str = "_headers";

/// Their number.
pub const COUNT: usize = 5;

/// Whether `name` is a pseudo-column.
pub fn is_pseudo(name: &str) -> bool {
    [PARTITION, OFFSET, TIMESTAMP, KEY, HEADERS].contains(&name)
}

/// The column for a field of this name: its own, unless a pseudo-column has that. Then a `_` is added: `_offset` of a
/// record is `_offset_`, `_offset_` is `_offset__`. [`field_of`] is the way back.
pub fn column_of(field: &str) -> Cow<'_, str> {
    match is_pseudo_ignoring_case(field.trim_end_matches('_')) {
        true => Cow::Owned(format!("{field}_")),
        false => Cow::Borrowed(field),
    }
}

/// The field of a record that a column of this name is read from.
pub fn field_of(column: &str) -> &str {
    match column.strip_suffix('_') {
        Some(field) if is_pseudo_ignoring_case(column.trim_end_matches('_')) => field,
        _ => column,
    }
}

/// `columns` under the names that [`column_of`] gives them.
pub(crate) fn renamed(columns: &Schema) -> Schema {
    let fields = columns.fields().iter();
    Schema::new(fields.map(|f| f.as_ref().clone().with_name(column_of(f.name()))).collect::<Vec<_>>())
}

fn is_pseudo_ignoring_case(name: &str) -> bool {
    [PARTITION, OFFSET, TIMESTAMP, KEY, HEADERS].iter().any(|pseudo| pseudo.eq_ignore_ascii_case(name))
}

/// `_partition INT, _offset BIGINT, _timestamp TIMESTAMP (µs, UTC), _key VARCHAR or BYTES, _headers LIST<STRUCT<key, value>>`.
pub fn fields(key_is_text: bool) -> [Field; COUNT] {
    let key = if key_is_text { DataType::Utf8 } else { DataType::Binary };
    [
        Field::new(PARTITION, DataType::Int32, false),
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(TIMESTAMP, DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
        Field::new(KEY, key, true),
        Field::new(HEADERS, DataType::List(header_item()), true),
    ]
}

pub(crate) fn header_item() -> FieldRef {
    Arc::new(Field::new("element", DataType::Struct(header_fields()), true))
}

pub(crate) fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_column_of_its_own_and_back() {
        for (field, column) in [
            ("a", "a"),
            ("_offset", "_offset_"),
            ("_offset_", "_offset__"),
            ("_KEY", "_KEY_"),
            ("a_", "a_"),
            ("_", "_"),
        ] {
            assert_eq!((&*column_of(field), field_of(column)), (column, field));
            assert!(!is_pseudo(&column_of(field)));
        }
    }
}
