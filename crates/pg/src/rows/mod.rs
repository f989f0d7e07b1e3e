//! Result rows: Arrow columns to the values of DataRow messages, in text or binary.
//!
//! Columns are brought to a few canonical Arrow types once per batch; values are then written straight into the send
//! buffer, row by row.

mod binary;
mod text;

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, Float32Array,
        Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch,
        StringArray, StringBuilder, StringViewArray, timezone::Tz,
    },
    compute::cast,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Field, Float32Type, Float64Type,
        Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Schema, Time64MicrosecondType,
        TimeUnit, TimestampMicrosecondType,
    },
    json::writer::{EncoderOptions, make_encoder},
};
use bytes::{BufMut, BytesMut};
use model::{Error, Result};

use crate::{
    types::{PgType, oid},
    wire::{Backend, Column},
};

/// How values are written: formats per column and what the client set.
#[derive(Clone)]
pub(crate) struct Format {
    /// None: all text; one: for all; else one per column (the protocol's rule).
    pub(crate) codes: Arc<[i16]>,
    /// Time zone `timestamptz` is shown in.
    pub(crate) time_zone: Tz,
}

impl Format {
    fn is_binary(&self, column: usize) -> bool {
        match &*self.codes {
            [] => false,
            [all] => *all == 1,
            each => each.get(column) == Some(&1),
        }
    }
}

/// The RowDescription of `schema`.
pub(crate) fn columns(schema: &Schema, format: &Format) -> Vec<Column> {
    let describe = |(i, field): (usize, &Arc<Field>)| {
        let PgType { oid, length, modifier } = PgType::of(field);
        Column { name: field.name().clone(), oid, length, modifier, format: i16::from(format.is_binary(i)) }
    };
    schema.fields().iter().enumerate().map(describe).collect()
}

/// A batch on its way out.
pub(crate) struct Rows {
    columns: Vec<(Cells, bool)>,
    len: usize,
    next: usize,
    time_zone: Tz,
}

impl Rows {
    pub(crate) fn new(batch: &RecordBatch, format: &Format) -> Result<Self> {
        let schema = batch.schema_ref();
        let columns = (0..batch.num_columns())
            .map(|i| Ok((Cells::new(schema.field(i), batch.column(i))?, format.is_binary(i))))
            .collect::<Result<_>>()?;
        Ok(Self { columns, len: batch.num_rows(), next: 0, time_zone: format.time_zone })
    }

    pub(crate) fn remaining(&self) -> usize {
        self.len - self.next
    }

    /// Appends up to `rows_max` rows, stopping once `out` holds `bytes_max`. Returns how many.
    pub(crate) fn write(&mut self, out: &mut Backend, rows_max: usize, bytes_max: usize) -> Result<usize> {
        let mut written = 0;
        while written < rows_max && self.next < self.len && out.0.len() < bytes_max {
            let row = self.next;
            out.data_row(self.columns.len(), |b| {
                self.columns.iter().try_for_each(|(cells, binary)| cells.put_value(row, *binary, self.time_zone, b))
            })?;
            self.next += 1;
            written += 1;
        }
        Ok(written)
    }

    /// Appends one row as text values, for `COPY`: `None` is NULL.
    pub(crate) fn next_text(&mut self, mut each: impl FnMut(usize, Option<&[u8]>)) -> Result<bool> {
        if self.next == self.len {
            return Ok(false);
        }
        let mut value = BytesMut::new();
        for (i, (cells, _)) in self.columns.iter().enumerate() {
            value.clear();
            if cells.is_null(self.next) {
                each(i, None);
            } else {
                cells.put_text(self.next, self.time_zone, &mut value)?;
                each(i, Some(&value));
            }
        }
        self.next += 1;
        Ok(true)
    }
}

/// A column in one of the few forms that values are written from.
pub(crate) enum Cells {
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric128(Decimal128Array),
    Numeric256(Decimal256Array),
    Text(StringArray),
    Jsonb(StringArray),
    TextView(StringViewArray),
    Bytes(BinaryArray),
    Uuid(BinaryArray),
    /// Days since 1970.
    Date(Int32Array),
    /// Microseconds since midnight.
    Time(Int64Array),
    /// Microseconds since 1970.
    Timestamp(Int64Array),
    TimestampTz(Int64Array),
    Interval(IntervalMonthDayNanoArray),
    /// Microseconds.
    Duration(Int64Array),
    List {
        list: ListArray,
        items: Box<Cells>,
        item_oid: u32,
    },
}

impl Cells {
    pub(crate) fn new(field: &Field, array: &ArrayRef) -> Result<Self> {
        let pg = PgType::of(field);
        let to = |data_type: &DataType| cast(array, data_type).map_err(not_shown);
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Dictionary(_, value) => return Self::new(&Field::new("", (**value).clone(), true), &to(value)?),
            DataType::RunEndEncoded(_, value) => return Self::new(value, &to(value.data_type())?),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if pg.oid != oid::TEXT => {
                let texts = to(&DataType::Utf8)?.as_string::<i32>().clone();
                match pg.oid {
                    oid::UUID => Self::Uuid(uuids(&texts)?),
                    oid::JSONB => Self::Jsonb(texts),
                    _ => Self::Text(texts),
                }
            }
            _ if pg.oid == oid::UUID => Self::Uuid(to(&DataType::Binary)?.as_binary().clone()),
            _ if pg.oid == oid::JSON => Self::Text(to_json(field, array)?),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => {
                Self::Int2(to(&DataType::Int16)?.as_primitive::<Int16Type>().clone())
            }
            DataType::UInt16 | DataType::Int32 => Self::Int4(to(&DataType::Int32)?.as_primitive::<Int32Type>().clone()),
            DataType::UInt32 | DataType::Int64 => Self::Int8(to(&DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => {
                Self::Numeric128(to(&DataType::Decimal128(20, 0))?.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Float16 | DataType::Float32 => {
                Self::Float4(to(&DataType::Float32)?.as_primitive::<Float32Type>().clone())
            }
            DataType::Float64 => Self::Float8(array.as_primitive::<Float64Type>().clone()),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => {
                Self::Numeric128(to(&DataType::Decimal128(*p, *s))?.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Decimal128(_, _) => Self::Numeric128(array.as_primitive::<Decimal128Type>().clone()),
            DataType::Decimal256(_, _) => Self::Numeric256(array.as_primitive::<Decimal256Type>().clone()),
            DataType::Utf8View => Self::TextView(array.as_string_view().clone()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytes(to(&DataType::Binary)?.as_binary().clone())
            }
            DataType::Date32 | DataType::Date64 => {
                Self::Date(to(&DataType::Date32)?.as_primitive::<Date32Type>().reinterpret_cast::<Int32Type>())
            }
            DataType::Time32(_) | DataType::Time64(_) => Self::Time(
                to(&DataType::Time64(TimeUnit::Microsecond))?
                    .as_primitive::<Time64MicrosecondType>()
                    .reinterpret_cast::<Int64Type>(),
            ),
            DataType::Timestamp(_, zone) => {
                let micros = to(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
                    .as_primitive::<TimestampMicrosecondType>()
                    .reinterpret_cast::<Int64Type>();
                if zone.is_some() { Self::TimestampTz(micros) } else { Self::Timestamp(micros) }
            }
            DataType::Interval(_) => Self::Interval(
                to(&DataType::Interval(IntervalUnit::MonthDayNano))?.as_primitive::<IntervalMonthDayNanoType>().clone(),
            ),
            DataType::Duration(_) => Self::Duration(
                to(&DataType::Duration(TimeUnit::Microsecond))?
                    .as_primitive::<DurationMicrosecondType>()
                    .reinterpret_cast::<Int64Type>(),
            ),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => {
                let list = to(&DataType::List(item.clone()))?.as_list::<i32>().clone();
                let items = Box::new(Self::new(item, list.values())?);
                Self::List { list, items, item_oid: PgType::of(item).oid }
            }
            _ => Self::Text(to(&DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(a) => a.is_null(row),
            Self::Int2(a) => a.is_null(row),
            Self::Int4(a) | Self::Date(a) => a.is_null(row),
            Self::Int8(a) | Self::Time(a) | Self::Timestamp(a) | Self::TimestampTz(a) | Self::Duration(a) => {
                a.is_null(row)
            }
            Self::Float4(a) => a.is_null(row),
            Self::Float8(a) => a.is_null(row),
            Self::Numeric128(a) => a.is_null(row),
            Self::Numeric256(a) => a.is_null(row),
            Self::Text(a) | Self::Jsonb(a) => a.is_null(row),
            Self::TextView(a) => a.is_null(row),
            Self::Bytes(a) | Self::Uuid(a) => a.is_null(row),
            Self::Interval(a) => a.is_null(row),
            Self::List { list, .. } => list.is_null(row),
        }
    }

    /// `[length][value]`, or length −1 for NULL.
    fn put_value(&self, row: usize, binary: bool, zone: Tz, b: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            b.put_i32(-1);
            return Ok(());
        }
        let start = b.len();
        b.put_i32(0);
        if binary {
            self.put_binary(row, b)?
        } else {
            self.put_text(row, zone, b)?
        }
        let length = i32::try_from(b.len() - start - 4).map_err(|_| Error::internal("a value is larger than 2 GiB"))?;
        b[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Texts that were found to be UUIDs when they became some.
fn uuids(texts: &StringArray) -> Result<BinaryArray> {
    let each = texts.iter().map(|text| text.map(uuid::Uuid::try_parse).transpose());
    let uuids = each.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Error::new(model::error::codes::PG_VALUE_UNSENDABLE, "could not send a value of the result")
            .detail(error.to_string())
    })?;
    Ok(uuids.iter().map(|uuid| uuid.as_ref().map(uuid::Uuid::as_bytes)).collect())
}

/// Nested values as JSON text.
fn to_json(field: &Field, array: &ArrayRef) -> Result<StringArray> {
    let (field, options) = (Arc::new(field.clone()), EncoderOptions::default().with_explicit_nulls(true));
    let mut encoder = make_encoder(&field, array, &options).map_err(not_shown)?;
    let mut strings = StringBuilder::with_capacity(array.len(), array.len() * 32);
    let mut value = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            strings.append_null();
            continue;
        }
        value.clear();
        encoder.encode(row, &mut value);
        strings.append_value(String::from_utf8_lossy(&value));
    }
    Ok(strings.finish())
}

fn not_shown(error: arrow::error::ArrowError) -> Error {
    Error::new(model::error::codes::PG_VALUE_UNSENDABLE, "could not send a value of the result")
        .detail(error.to_string())
}
