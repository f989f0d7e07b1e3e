//! A column under construction that can be cut back to an earlier length: what lets one bad payload be taken out
//! again without touching its neighbours.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float32Array,
        Float64Array, Int32Array, Int64Array, ListArray, MapArray, NullBufferBuilder, StringArray, StructArray,
        Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, TimestampSecondArray,
    },
    buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields, TimeUnit},
};
use model::{Error, Result, error::codes};

use super::fault::{Fault, Outcome};
use crate::sql::type_name;

/// One column being filled.
pub(crate) struct Column {
    pub(crate) data_type: DataType,
    nullable: bool,
    nulls: NullBufferBuilder,
    pub(crate) values: Values,
}

/// Its values so far. A null has a value too (zero, empty) where the layout needs one.
pub(crate) enum Values {
    Boolean(BooleanBufferBuilder),
    /// INT, DATE, TIME(ms)
    Int32(Vec<i32>),
    /// BIGINT, TIME(µs), TIMESTAMP
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    /// VARCHAR and BYTES
    Bytes {
        offsets: Vec<i32>,
        bytes: Vec<u8>,
    },
    List {
        offsets: Vec<i32>,
        item: Box<Column>,
    },
    Map {
        offsets: Vec<i32>,
        key: Box<Column>,
        value: Box<Column>,
    },
    Struct(Vec<Column>),
}

impl Column {
    /// Fails for types that no payload can give.
    pub(crate) fn new(data_type: &DataType, nullable: bool) -> Result<Self> {
        Self::nested(data_type, nullable, 0)
    }

    fn nested(data_type: &DataType, nullable: bool, depth: usize) -> Result<Self> {
        let unsupported =
            || Err(Error::new(codes::FORMAT_UNSUPPORTED, format!("payloads cannot give columns of type {data_type}")));
        if depth > 64 {
            return unsupported();
        }
        let column = |field: &FieldRef| Self::nested(field.data_type(), field.is_nullable(), depth + 1);
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int32 | DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) => Values::Int32(Vec::new()),
            DataType::Int64 | DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(..) => {
                Values::Int64(Vec::new())
            }
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale)
                if (1..=38).contains(precision) && *scale >= 0 && *scale as u8 <= *precision =>
            {
                Values::Decimal(Vec::new())
            }
            DataType::Utf8 | DataType::Binary => Values::Bytes { offsets: vec![0], bytes: Vec::new() },
            DataType::List(item) => Values::List { offsets: vec![0], item: Box::new(column(item)?) },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Values::Map {
                    offsets: vec![0],
                    key: Box::new(column(&pair[0])?),
                    value: Box::new(column(&pair[1])?),
                },
                _ => return unsupported(),
            },
            DataType::Struct(fields) => Values::Struct(fields.iter().map(column).collect::<Result<_>>()?),
            _ => return unsupported(),
        };
        Ok(Self { data_type: data_type.clone(), nullable, nulls: NullBufferBuilder::new(0), values })
    }

    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        !self.nulls.is_valid(row)
    }

    /// Cuts the column back to its first `len` values, whatever half-built value stands behind them.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.nulls.truncate(len);
        match &mut self.values {
            Values::Boolean(values) => values.truncate(len),
            Values::Int32(values) => values.truncate(len),
            Values::Int64(values) => values.truncate(len),
            Values::Float32(values) => values.truncate(len),
            Values::Float64(values) => values.truncate(len),
            Values::Decimal(values) => values.truncate(len),
            Values::Bytes { offsets, bytes } => {
                offsets.truncate(len + 1);
                bytes.truncate(last(offsets));
            }
            Values::List { offsets, item } => {
                offsets.truncate(len + 1);
                item.truncate(last(offsets));
            }
            Values::Map { offsets, key, value } => {
                offsets.truncate(len + 1);
                key.truncate(last(offsets));
                value.truncate(last(offsets));
            }
            Values::Struct(fields) => fields.iter_mut().for_each(|field| field.truncate(len)),
        }
    }

    /// Appends a null, or says that there may be none.
    pub(crate) fn push_null(&mut self) -> Outcome {
        if !self.nullable {
            return Err(Fault::new(format!("a value is required ({})", type_name(&self.data_type))));
        }
        self.push_filler();
        Ok(())
    }

    fn push_filler(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bytes { offsets, .. } | Values::List { offsets, .. } | Values::Map { offsets, .. } => {
                offsets.push(offsets[offsets.len() - 1]);
            }
            Values::Struct(fields) => fields.iter_mut().for_each(Self::push_filler),
        }
    }

    /// Marks the value just written below (list, map, struct) as complete.
    #[inline]
    pub(crate) fn push_valid(&mut self) {
        self.nulls.append_non_null();
    }

    pub(crate) fn push_bool(&mut self, value: bool) -> Outcome {
        let Values::Boolean(values) = &mut self.values else { return Err(self.misfit("a boolean")) };
        values.append(value);
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(crate) fn push_i32(&mut self, value: i32) -> Outcome {
        let Values::Int32(values) = &mut self.values else { return Err(self.misfit("an integer")) };
        values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(crate) fn push_i64(&mut self, value: i64) -> Outcome {
        let Values::Int64(values) = &mut self.values else { return Err(self.misfit("an integer")) };
        values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(crate) fn push_f64(&mut self, value: f64) -> Outcome {
        match &mut self.values {
            Values::Float64(values) => values.push(value),
            Values::Float32(values) => values.push(value as f32),
            _ => return Err(self.misfit("a number")),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    pub(crate) fn push_decimal(&mut self, value: i128) -> Outcome {
        let Values::Decimal(values) = &mut self.values else { return Err(self.misfit("a decimal")) };
        values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    /// For VARCHAR the caller has checked that `value` is UTF-8.
    #[inline]
    pub(crate) fn push_bytes(&mut self, value: &[u8]) -> Outcome {
        let Values::Bytes { offsets, bytes } = &mut self.values else { return Err(self.misfit("text")) };
        let end = end_offset(bytes.len() + value.len())?;
        bytes.extend_from_slice(value);
        offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    /// Any value given as text goes into VARCHAR.
    #[inline]
    pub(crate) fn push_str(&mut self, value: &str) -> Outcome {
        self.push_bytes(value.as_bytes())
    }

    /// Closes a list or map whose items have been pushed below.
    pub(crate) fn push_offset(&mut self) -> Outcome {
        match &mut self.values {
            Values::List { offsets, item } => offsets.push(end_offset(item.len())?),
            Values::Map { offsets, key, .. } => offsets.push(end_offset(key.len())?),
            _ => return Err(self.misfit("a list")),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// An integer, if the type can hold it: numbers as they are, DATE in days, TIME and TIMESTAMP in milliseconds.
    #[inline]
    pub(crate) fn push_integer(&mut self, value: i64) -> Outcome {
        match (&self.data_type, &mut self.values) {
            (DataType::Int64, Values::Int64(values)) => values.push(value),
            (DataType::Timestamp(unit, _), Values::Int64(values)) => {
                let scaled = match unit {
                    TimeUnit::Second => Some(value.div_euclid(1_000)),
                    TimeUnit::Millisecond => Some(value),
                    TimeUnit::Microsecond => value.checked_mul(1_000),
                    TimeUnit::Nanosecond => value.checked_mul(1_000_000),
                };
                match scaled {
                    Some(scaled) => values.push(scaled),
                    None => return Err(self.misfit(&format!("{value}, which is out of range"))),
                }
            }
            (DataType::Time64(_), Values::Int64(values)) if (0..86_400_000).contains(&value) => {
                values.push(value * 1_000);
            }
            (DataType::Time32(_), Values::Int32(values)) if (0..86_400_000).contains(&value) => {
                values.push(value as i32);
            }
            (DataType::Int32 | DataType::Date32, Values::Int32(values)) if i32::try_from(value).is_ok() => {
                values.push(value as i32);
            }
            (_, Values::Float64(values)) => values.push(value as f64),
            (_, Values::Float32(values)) => values.push(value as f32),
            (DataType::Decimal128(precision, scale), Values::Decimal(values)) => {
                let limit = 10u128.pow(u32::from(*precision));
                match i128::from(value).checked_mul(10i128.pow(u32::from(scale.unsigned_abs()))) {
                    Some(scaled) if scaled.unsigned_abs() < limit => values.push(scaled),
                    _ => return Err(self.misfit(&value.to_string())),
                }
            }
            _ => return Err(self.misfit(&value.to_string())),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// A moment for a TIMESTAMP column, in its unit. A finer fraction than the unit holds is cut.
    pub(crate) fn push_moment(&mut self, seconds: i64, nanos: u32) -> Outcome {
        let DataType::Timestamp(unit, _) = &self.data_type else { return Err(self.misfit("a timestamp")) };
        let (factor, divisor) = match unit {
            TimeUnit::Second => (1, 1_000_000_000),
            TimeUnit::Millisecond => (1_000, 1_000_000),
            TimeUnit::Microsecond => (1_000_000, 1_000),
            TimeUnit::Nanosecond => (1_000_000_000, 1),
        };
        match seconds.checked_mul(factor).and_then(|t| t.checked_add(i64::from(nanos / divisor))) {
            Some(value) => self.push_i64(value),
            None => Err(self.misfit("a moment out of range")),
        }
    }

    /// A time of day for a TIME column.
    pub(crate) fn push_time(&mut self, nanos: i64) -> Outcome {
        match &self.data_type {
            DataType::Time32(_) => self.push_i32((nanos / 1_000_000) as i32),
            _ => self.push_i64(nanos / 1_000),
        }
    }

    #[cold]
    pub(crate) fn misfit(&self, found: &str) -> Fault {
        Fault::expected(&self.data_type, found)
    }

    /// The column as an array. Everything it takes for granted is checked again by Arrow's own constructors.
    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        let impossible = |e: arrow::error::ArrowError| Error::internal(format!("a decoded column is malformed: {e}"));
        let len = self.len();
        let nulls = self.nulls.finish();
        let array: ArrayRef = match (self.values, &self.data_type) {
            (Values::Boolean(mut values), _) => {
                let values: BooleanBuffer = values.finish();
                Arc::new(BooleanArray::new(values, nulls))
            }
            (Values::Int32(v), DataType::Date32) => Arc::new(Date32Array::new(v.into(), nulls)),
            (Values::Int32(v), DataType::Time32(_)) => Arc::new(Time32MillisecondArray::new(v.into(), nulls)),
            (Values::Int32(v), _) => Arc::new(Int32Array::new(v.into(), nulls)),
            (Values::Int64(v), DataType::Time64(_)) => Arc::new(Time64MicrosecondArray::new(v.into(), nulls)),
            (Values::Int64(v), DataType::Timestamp(unit, zone)) => {
                let (values, zone) = (ScalarBuffer::from(v), zone.clone());
                match unit {
                    TimeUnit::Second => Arc::new(TimestampSecondArray::new(values, nulls).with_timezone_opt(zone)),
                    TimeUnit::Millisecond => {
                        Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    TimeUnit::Microsecond => {
                        Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    TimeUnit::Nanosecond => {
                        Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                }
            }
            (Values::Int64(v), _) => Arc::new(Int64Array::new(v.into(), nulls)),
            (Values::Float32(v), _) => Arc::new(Float32Array::new(v.into(), nulls)),
            (Values::Float64(v), _) => Arc::new(Float64Array::new(v.into(), nulls)),
            (Values::Decimal(v), data_type) => {
                Arc::new(Decimal128Array::new(v.into(), nulls).with_data_type(data_type.clone()))
            }
            (Values::Bytes { offsets, bytes }, DataType::Utf8) => Arc::new(
                StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), nulls)
                    .map_err(impossible)?,
            ),
            (Values::Bytes { offsets, bytes }, _) => Arc::new(
                BinaryArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), nulls)
                    .map_err(impossible)?,
            ),
            (Values::List { offsets, item }, DataType::List(field)) => Arc::new(
                ListArray::try_new(field.clone(), OffsetBuffer::new(offsets.into()), item.finish()?, nulls)
                    .map_err(impossible)?,
            ),
            (Values::Map { offsets, key, value }, DataType::Map(field, sorted)) => {
                let DataType::Struct(pair) = field.data_type() else {
                    return Err(Error::internal("a map without entries"));
                };
                let entries = finish_struct(pair, vec![*key, *value], None)?;
                Arc::new(
                    MapArray::try_new(field.clone(), OffsetBuffer::new(offsets.into()), entries, nulls, *sorted)
                        .map_err(impossible)?,
                )
            }
            (Values::Struct(_), DataType::Struct(types)) if types.is_empty() => {
                Arc::new(StructArray::new_empty_fields(len, nulls))
            }
            (Values::Struct(fields), DataType::Struct(types)) => Arc::new(finish_struct(types, fields, nulls)?),
            (_, data_type) => return Err(Error::internal(format!("a column of {data_type} holds something else"))),
        };
        Ok(array)
    }
}

fn finish_struct(types: &Fields, fields: Vec<Column>, nulls: Option<arrow::buffer::NullBuffer>) -> Result<StructArray> {
    let arrays = fields.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
    StructArray::try_new(types.clone(), arrays, nulls)
        .map_err(|e| Error::internal(format!("a decoded struct is malformed: {e}")))
}

/// Arrow's offsets are 32 bits wide.
#[inline]
fn end_offset(len: usize) -> Outcome<i32> {
    i32::try_from(len).map_err(|_| Fault::new("the batch holds more than 2 GiB in one column"))
}

#[inline]
fn last(offsets: &[i32]) -> usize {
    usize::try_from(offsets[offsets.len() - 1]).expect("offsets start at 0 and rise")
}
