//! Functions beyond DataFusion's own, and limits on those that make much out of little.

/// What a wrapper of a function says as the function in its field `inner` does.
macro_rules! as_inner {
    () => {
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }

        fn name(&self) -> &str {
            self.inner.name()
        }

        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }

        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.inner.documentation()
        }
    };
}

mod bounded;
mod counts;
mod dates;
mod escapes;
mod gather;
mod json_text;
mod lengths;
mod now;
mod simple;
mod to_char;
mod to_numeric;
mod to_time;

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{AsArray, BooleanArray},
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    error::Result,
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, type_coercion::functions::fields_with_udf},
    prelude::SessionContext,
};
use model::{Error, error::codes};

pub(crate) use escapes::like_pattern;
pub(crate) use json_text::{column as json_column, flat, plain};
pub(crate) use now::zone;
pub(crate) use to_time::moment;

use self::simple::Simple;
pub use self::simple::text_type;

/// Registers everything on the context all sessions start from.
pub(crate) fn register(context: &SessionContext) {
    // A clone shares the state.
    let mut registry = context.clone();
    datafusion_functions_json::register_all(&mut registry).expect("functions of fresh names can be registered");
    for function in dates::functions()
        .into_iter()
        .chain(json_text::functions())
        .chain(escapes::functions())
        .chain([to_char::function(), to_numeric::function()])
    {
        context.register_udf(function);
    }
    context.register_udf(now::function(context.copied_config().options()));
    bounded::register(context);
    counts::register(context);
    lengths::register(context);
    to_time::register(context);
    gather::register(context);
}

/// What `function` is given for arguments of `types`.
fn coerced(types: &[DataType], function: &ScalarUDF) -> Result<Vec<DataType>> {
    let fields: Vec<FieldRef> = types.iter().map(|given| Arc::new(Field::new("", given.clone(), true))).collect();
    Ok(fields_with_udf(&fields, function)?.iter().map(|field| field.data_type().clone()).collect())
}

/// A function of the house's own plans, which nobody can call by its name.
pub(crate) fn simple(
    name: &'static str,
    args: usize,
    returns: fn(&[DataType]) -> Result<DataType>,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
) -> ScalarUDF {
    Simple::new(name, Some(args), returns, run).udf()
}

/// The same, of any number of arguments.
pub(crate) fn simple_variadic(
    name: &'static str,
    returns: fn(&[DataType]) -> Result<DataType>,
    run: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
) -> ScalarUDF {
    Simple::new(name, None, returns, run).udf()
}

/// Whether `condition`, a BOOLEAN, is true, which NULL is not.
pub(crate) fn is_true(condition: Expr) -> Expr {
    static UDF: LazyLock<ScalarUDF> = LazyLock::new(|| {
        let truth = |args: &ScalarFunctionArgs| {
            Ok(match &args.args[0] {
                ColumnarValue::Scalar(value) => {
                    ColumnarValue::Scalar(ScalarValue::from(*value == ScalarValue::Boolean(Some(true))))
                }
                ColumnarValue::Array(array) => {
                    let (values, nulls) = array.as_boolean().clone().into_parts();
                    let known = nulls.map_or(values.clone(), |nulls| &values & nulls.inner());
                    ColumnarValue::Array(Arc::new(BooleanArray::new(known, None)))
                }
            })
        };
        Simple::new("is_true", Some(1), |_| Ok(DataType::Boolean), truth).total().udf()
    });
    UDF.call(vec![condition])
}

/// `value`, of which nobody knows beforehand that it is never NULL.
pub(crate) fn maybe_null(value: Expr) -> Expr {
    static UDF: LazyLock<ScalarUDF> = LazyLock::new(|| {
        Simple::new("maybe_null", Some(1), |types| Ok(types[0].clone()), |args| Ok(args.args[0].clone()))
            .keeping()
            .udf()
    });
    UDF.call(vec![value])
}

/// `value`, unless there were more `rows` than one.
pub(crate) fn single_row(value: Expr, rows: Expr) -> Expr {
    static UDF: LazyLock<ScalarUDF> = LazyLock::new(|| {
        let single = |args: &ScalarFunctionArgs| {
            let rows = args.args[1].to_array(args.number_rows)?;
            match rows.as_primitive::<Int64Type>().iter().flatten().any(|rows| rows > 1) {
                false => Ok(args.args[0].clone()),
                true => {
                    let error = Error::new(codes::SQL_VALUE, "a subquery used as a value gave more than one row")
                        .hint("add LIMIT 1, or an aggregate such as max()");
                    Err(DataFusionError::External(Box::new(error)))
                }
            }
        };
        Simple::new("single_row", Some(2), |types| Ok(types[0].clone()), single).keeping().udf()
    });
    UDF.call(vec![value, rows])
}
