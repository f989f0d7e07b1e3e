//! `x::numeric`, without precision and scale: decimals stay as they are, other numbers and texts get ten digits behind the
//! point. A text that has more keeps them if it is a literal, else it is refused: no digit is lost in silence.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{AsArray, Decimal128Array},
    compute::cast,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{DataFusionError, ScalarValue, internal_err},
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};
use model::{Error, error::codes};

use crate::{errors::shortened, texts::read_decimal};

/// What `numeric` is where nothing says more.
const PLAIN: DataType = DataType::Decimal128(38, 10);

pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(ToNumeric { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToNumeric {
    signature: Signature,
}

impl ScalarUDFImpl for ToNumeric {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "to_numeric"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if types[0].is_decimal() { types[0].clone() } else { PLAIN })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = &args.arg_fields[0];
        let literal = args.scalar_arguments[0].and_then(|value| value.try_as_str().flatten());
        let data_type = match literal.and_then(|text| read_decimal(text.trim())) {
            Some(value) if plain(&value).is_none() => value.data_type(),
            _ => self.return_type(&[field.data_type().clone()])?,
        };
        Ok(Arc::new(Field::new(self.name(), data_type, field.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (value, to) = (&args.args[0], args.return_field.data_type());
        if !value.data_type().is_string() {
            return value.cast_to(to, None);
        }
        if *to != PLAIN {
            let literal = if let ColumnarValue::Scalar(value) = value { value.try_as_str().flatten() } else { None };
            let Some(read) = literal.and_then(|text| read_decimal(text.trim())) else {
                return internal_err!("only a literal keeps more digits than {PLAIN} has");
            };
            return ColumnarValue::Scalar(read).cast_to(to, None);
        }
        let texts = cast(&value.to_array(args.number_rows)?, &DataType::Utf8)?;
        let read = texts.as_string::<i32>().iter().map(|text| {
            let Some(text) = text else { return Ok(None) };
            read_decimal(text.trim()).as_ref().and_then(plain).map(Some).ok_or_else(|| refused(text))
        });
        let read = read.collect::<Result<Decimal128Array>>()?.with_data_type(PLAIN);
        Ok(ColumnarValue::Array(Arc::new(read)))
    }
}

/// `value` as [`PLAIN`], if it loses nothing.
fn plain(value: &ScalarValue) -> Option<i128> {
    let ScalarValue::Decimal128(Some(plain), ..) = value.cast_to(&PLAIN).ok()? else { return None };
    let back = ScalarValue::Decimal128(Some(plain), 38, 10).cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(plain)
}

fn refused(text: &str) -> DataFusionError {
    let what = format!("`{}` is no numeric of 28 digits and ten behind the point", shortened(text));
    let error = Error::new(codes::SQL_VALUE, what)
        .hint("cast it to a type with as many digits as it has, such as numeric(38, 20)");
    DataFusionError::External(Box::new(error))
}
