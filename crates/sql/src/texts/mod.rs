//! What a text reads as where it is cast: as in PostgreSQL, where the engine would take it otherwise.
//!
//! `'\xdeadbeef'` as BYTES is four bytes, and times and intervals have more spellings ([`spelling`]). Analyzer rules put a
//! function of our own in the place of such casts: of those that are written before types are coerced, and of literals that
//! coercion casts after. A column that only stands beside another type keeps the engine's cast: what a text happens to
//! hold must not fail a comparison.

mod decimal;
mod list;
mod spelling;

use std::{any::Any, borrow::Cow, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, StringArray, TimestampMicrosecondArray, timezone::Tz},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType},
};
use chrono::DateTime;
use datafusion::{
    common::{
        DFSchema, DataFusionError, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    logical_expr::{
        Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, TryCast, Volatility,
    },
};
use model::{Error, error::codes};

pub use decimal::read_decimal;
pub use list::list_items;
pub(crate) use spelling::interval;

use self::spelling::spelled;
use crate::{errors::shortened, functions::moment, intervals::rewritten_where};

/// The value of type `to` that `text` is written as; `None` if it is none.
pub fn read_text(text: &str, to: &DataType) -> Option<ScalarValue> {
    match to {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            ScalarValue::Binary(Some(bytes(text)?)).cast_to(to).ok()
        }
        DataType::List(item) => {
            let null = ScalarValue::try_from(item.data_type()).ok()?;
            let read =
                |text: Option<String>| text.map_or(Some(null.clone()), |text| read_text(&text, item.data_type()));
            let items = list_items(text.trim())?.into_iter().map(read).collect::<Option<Vec<_>>>()?;
            Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
        }
        DataType::Timestamp(..) => {
            let read = read_times(&(Arc::new(StringArray::from(vec![text])) as ArrayRef), to, true).ok()?;
            ScalarValue::try_from_array(&read, 0).ok().filter(|value| !value.is_null())
        }
        _ => engines(text, to).or_else(|| engines(&spelled(text, to)?, to)),
    }
}

/// What the engine itself reads.
fn engines(text: &str, to: &DataType) -> Option<ScalarValue> {
    ScalarValue::from(text).cast_to(to).ok().filter(|value| !value.is_null())
}

/// Hexadecimal digits behind `\x`, else the text itself.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let Some(hex) = text.strip_prefix("\\x") else { return Some(text.as_bytes().to_vec()) };
    let digits: Vec<u32> = hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.as_chunks::<2>();
    pairs.1.is_empty().then(|| pairs.0.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}

/// Casts that are written.
pub(crate) fn written_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewritten_where(plan, is_cast, |expr, schema| Ok(of_text(expr, schema, false)))
}

/// The same, in an expression that is in no plan.
pub(crate) fn written_casts_in(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|expr| Ok(of_text(expr, schema, false))).map(|done| done.data)
}

/// Casts of literals that come from coercion.
pub(crate) fn coerced_literals(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewritten_where(plan, is_cast, |expr, schema| Ok(of_text(expr, schema, true)))
}

fn is_cast(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(_) | Expr::TryCast(_) => true,
        // Rows of an INSERT that are written in several ways.
        Expr::ScalarFunction(called) => called.func.name() == "arrow_cast",
        _ => false,
    }
}

fn of_text(mut expr: Expr, schema: &DFSchema, only_literals: bool) -> Transformed<Expr> {
    let to = if is_cast(&expr) { expr.get_type(schema).ok().filter(reads) } else { None };
    let Some(to) = to else { return Transformed::no(expr) };
    let (text, safe) = match &mut expr {
        Expr::Cast(Cast { expr, .. }) => (expr.as_mut(), false),
        Expr::TryCast(TryCast { expr, .. }) => (expr.as_mut(), true),
        Expr::ScalarFunction(called) => (&mut called.args[0], false),
        _ => unreachable!("these are casts"),
    };
    let is_ours = match &*text {
        Expr::Literal(value, _) => {
            value.try_as_str().flatten().is_some_and(|text| is_bytes(&to) || engines(text, &to).is_none())
        }
        text => !only_literals && matches!(text.get_type(schema), Ok(given) if given.is_string()),
    };
    if !is_ours {
        return Transformed::no(expr);
    }
    let read = Read { to, safe, signature: Signature::any(1, Volatility::Immutable) };
    Transformed::yes(ScalarUDF::from(read).call(vec![std::mem::take(text)]))
}

/// Whether texts are read as `to` by us.
fn reads(to: &DataType) -> bool {
    is_bytes(to) || matches!(to, DataType::Timestamp(..) | DataType::Date32 | DataType::Interval(_))
}

fn is_bytes(to: &DataType) -> bool {
    matches!(to, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// A cast of text.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Read {
    to: DataType,
    /// Gives NULL for what cannot be read.
    safe: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Read {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "read_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = self.safe || args.arg_fields[0].is_nullable();
        Ok(Field::new(self.name(), self.to.clone(), nullable).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match &args.args[0] {
            ColumnarValue::Array(texts) => ColumnarValue::Array(self.read(texts)?),
            ColumnarValue::Scalar(text) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.read(&text.to_array()?)?, 0)?)
            }
        })
    }
}

impl Read {
    fn read(&self, texts: &ArrayRef) -> Result<ArrayRef> {
        if is_bytes(&self.to) { read_bytes(texts, &self.to, self.safe) } else { read_times(texts, &self.to, self.safe) }
    }
}

fn read_bytes(texts: &ArrayRef, to: &DataType, safe: bool) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8)?;
    let read = texts.as_string::<i32>().iter().map(|text| match text.map(|text| (text, bytes(text))) {
        None => Ok(None),
        Some((text, None)) if !safe => Err(DataFusionError::External(Box::new(
            Error::new(codes::SQL_VALUE, format!("`{}` is not read as bytes", shortened(text)))
                .detail("what follows `\\x` must be pairs of hexadecimal digits"),
        ))),
        Some((_, bytes)) => Ok(bytes),
    });
    Ok(cast(&read.collect::<Result<BinaryArray>>()?, to)?)
}

/// Texts as times or intervals. Other spellings are looked at only where there are some.
pub(crate) fn read_times(texts: &ArrayRef, to: &DataType, safe: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, ..Default::default() };
    let read = cast_with_options(texts, to, &options)?;
    if read.null_count() == texts.null_count() {
        return Ok(read);
    }
    let texts = cast(texts, &DataType::Utf8)?;
    let respelled = texts.as_string::<i32>().iter().enumerate().map(|(row, text)| {
        let text = text?;
        let spelled = if read.is_null(row) { spelled(text, to) } else { None };
        Some(spelled.map_or(Cow::Borrowed(text), Cow::Owned))
    });
    let texts = respelled.collect::<StringArray>();
    let mut read = cast_with_options(&texts, to, &options)?;
    if let DataType::Timestamp(_, Some(zone)) = to
        && read.null_count() > texts.null_count()
    {
        read = cast(&clocks(&texts, &read, zone)?, to)?;
    }
    match (0..texts.len()).find(|row| !safe && read.is_null(*row) && texts.is_valid(*row)) {
        None => Ok(read),
        // It says what is wrong.
        Some(row) => Ok(cast_with_options(&texts.slice(row, 1), to, &CastOptions { safe, ..options })?),
    }
}

/// What the clocks of `zone` call by `texts`, where nothing was `read`: they show some times twice, and others never.
fn clocks(texts: &StringArray, read: &ArrayRef, zone: &str) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, ..Default::default() };
    let shown = cast_with_options(texts, &DataType::Timestamp(TimeUnit::Microsecond, None), &options)?;
    let read = cast(read, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into())))?;
    let (shown, read) =
        (shown.as_primitive::<TimestampMicrosecondType>(), read.as_primitive::<TimestampMicrosecondType>());
    let tz: Tz = zone.parse()?;
    let moments = read.iter().zip(shown).map(|(read, shown)| {
        read.or_else(|| Some(moment(DateTime::from_timestamp_micros(shown?)?.naive_utc(), tz)?.timestamp_micros()))
    });
    Ok(Arc::new(moments.collect::<TimestampMicrosecondArray>().with_timezone(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_hexadecimal_behind_a_mark() {
        for (text, read) in [
            ("\\xDEad 00", Some(vec![0xde, 0xad, 0])),
            ("\\x", Some(vec![])),
            ("abc", Some(b"abc".to_vec())),
            ("\\xabc", None),
            ("\\xzz", None),
        ] {
            assert_eq!(bytes(text), read, "{text}");
        }
        assert_eq!(read_text("\\x00ff", &DataType::Binary), Some(ScalarValue::Binary(Some(vec![0, 255]))));
        assert_eq!(read_text("42", &DataType::Int64), Some(ScalarValue::Int64(Some(42))));
        assert_eq!(read_text("forty-two", &DataType::Int64), None);
        let list = DataType::List(Field::new_list_field(DataType::Int64, true).into());
        let items = [ScalarValue::Int64(Some(1)), ScalarValue::Int64(None)];
        let read = ScalarValue::List(ScalarValue::new_list_nullable(&items, &DataType::Int64));
        assert_eq!(read_text("{1,NULL}", &list), Some(read));
        assert_eq!(read_text("{1,a}", &list), None);
    }
}
