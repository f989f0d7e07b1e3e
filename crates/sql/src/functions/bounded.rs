//! `repeat('x', 100000000000)` must not take the node's memory.
//!
//! Scalar functions allocate outside of the memory pool, so those whose result can be much larger than their arguments are
//! wrapped: the size of the result is worked out from the arguments first, and refused if it is more than one batch may
//! reasonably hold.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    error::{DataFusionError, Result},
    execution::FunctionRegistry,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        interval_arithmetic::Interval,
        simplify::{ExprSimplifyResult, SimplifyContext},
        sort_properties::{ExprProperties, SortProperties},
    },
    prelude::{Expr, SessionContext},
};
use model::{Error, error::codes};

/// Largest result of one call over one batch.
const RESULT_BYTES_MAX: u128 = 256 << 20;

/// Bytes one row of the result takes, from its arguments (integers as such, texts by their length).
type Estimate = fn(&[i128]) -> u128;

pub(super) fn register(context: &SessionContext) {
    let functions: [(&str, Estimate); 8] = [
        ("repeat", |args| size(args, 0) * size(args, 1)),
        ("lpad", |args| 4 * size(args, 1)),
        ("rpad", |args| 4 * size(args, 1)),
        ("array_repeat", |args| size(args, 0).max(8) * size(args, 1)),
        ("array_resize", |args| 8 * size(args, 1)),
        ("generate_series", |args| 8 * steps(args)),
        ("range", |args| 8 * steps(args)),
        ("space", |args| size(args, 0)),
    ];
    for (name, estimate) in functions {
        let Ok(inner) = context.udf(name) else { continue };
        context.register_udf(ScalarUDF::from(Bounded { inner, estimate }));
    }
}

fn size(args: &[i128], index: usize) -> u128 {
    args.get(index).map_or(0, |value| (*value).max(0).unsigned_abs())
}

/// Values `range(start, stop, step)` or `range(stop)` gives, for numbers; times are counted in days at least.
fn steps(args: &[i128]) -> u128 {
    let (start, stop, step) = match args {
        [stop] => (0, *stop, 1),
        [start, stop] => (*start, *stop, 1),
        [start, stop, step, ..] => (*start, *stop, *step),
        [] => return 0,
    };
    (stop - start).unsigned_abs() / step.unsigned_abs().max(1)
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    estimate: Estimate,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    fn check(&self, args: &[ColumnarValue], rows: usize) -> Result<()> {
        let row = |row: usize| -> Result<u128> {
            let values = args.iter().map(|arg| magnitude(arg, row)).collect::<Result<Vec<_>>>()?;
            Ok((self.estimate)(&values))
        };
        // A call with constants is computed once for all rows.
        let constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { rows };
        let mut bytes = 0u128;
        for index in 0..rows {
            bytes = bytes.saturating_add(row(index)?);
        }
        if bytes <= RESULT_BYTES_MAX {
            return Ok(());
        }
        let error =
            Error::new(codes::SQL_MEMORY, format!("{}() would make {} MB at once", self.inner.name(), bytes >> 20))
                .detail(format!("one call may make {} MB", RESULT_BYTES_MAX >> 20))
                .hint("ask for less; for many rows use generate_series in FROM");
        Err(DataFusionError::External(Box::new(error)))
    }
}

/// An argument of one row as a number: a text's length, an integer itself, a list's bytes; 0 for what is not known.
fn magnitude(arg: &ColumnarValue, row: usize) -> Result<i128> {
    let value = match arg {
        ColumnarValue::Scalar(value) => value.clone(),
        ColumnarValue::Array(array) if row < array.len() => ScalarValue::try_from_array(array, row)?,
        ColumnarValue::Array(_) => return Ok(0),
    };
    Ok(match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.len() as i128
        }
        ScalarValue::Int8(Some(v)) => v.into(),
        ScalarValue::Int16(Some(v)) => v.into(),
        ScalarValue::Int32(Some(v)) => v.into(),
        ScalarValue::Int64(Some(v)) => v.into(),
        ScalarValue::UInt8(Some(v)) => v.into(),
        ScalarValue::UInt16(Some(v)) => v.into(),
        ScalarValue::UInt32(Some(v)) => v.into(),
        ScalarValue::UInt64(Some(v)) => v.into(),
        ScalarValue::Date32(Some(v)) => v.into(),
        // In seconds: a series of times by the second is as fine as one may ask for here.
        ScalarValue::TimestampSecond(Some(v), _) => v.into(),
        ScalarValue::TimestampMillisecond(Some(v), _) => i128::from(v) / 1_000,
        ScalarValue::TimestampMicrosecond(Some(v), _) => i128::from(v) / 1_000_000,
        ScalarValue::TimestampNanosecond(Some(v), _) => i128::from(v) / 1_000_000_000,
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            i128::from(v.months) * 2_592_000 + i128::from(v.days) * 86_400 + i128::from(v.nanoseconds) / 1_000_000_000
        }
        ScalarValue::List(list) => list.value_data_bytes(),
        _ => 0,
    })
}

trait DataBytes {
    fn value_data_bytes(&self) -> i128;
}

impl DataBytes for arrow::array::ListArray {
    fn value_data_bytes(&self) -> i128 {
        arrow::array::Array::get_array_memory_size(self) as i128
    }
}

impl ScalarUDFImpl for Bounded {
    as_inner!();

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<arrow::datatypes::FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args.args, args.number_rows)?;
        self.inner.invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }
}
