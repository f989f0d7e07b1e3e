//! The columns every topic has: where and when a record is in the log.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

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
