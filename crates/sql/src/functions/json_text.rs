//! JSON leaves the engine as text.
//!
//! `a -> 'b'` gives a union of JSON's types, which no client and no file format knows. Where such a column leaves a query
//! it is turned into its JSON text.

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, AsArray, StringBuilder},
    datatypes::DataType,
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility,
    },
};
use datafusion_functions_json::{JSON_UNION_DATA_TYPE, JsonUnionEncoder, JsonUnionValue};

use crate::errors;

/// `plan` with its JSON columns as text.
pub(crate) fn plain(plan: LogicalPlan) -> model::Result<LogicalPlan> {
    if !plan.schema().fields().iter().any(|field| *field.data_type() == *JSON_UNION_DATA_TYPE) {
        return Ok(plan);
    }
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(JsonText::default())));
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column((qualifier, field).into());
            match *field.data_type() == *JSON_UNION_DATA_TYPE {
                true => UDF.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| errors::map(e, None))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonText {
    signature: Signature,
}

impl Default for JsonText {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonText {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("json_text takes one argument".to_owned()));
        };
        let union = value.to_array(args.number_rows)?.as_union().clone();
        let rows = union.len();
        let encoder = JsonUnionEncoder::from_union(union)
            .ok_or_else(|| DataFusionError::Internal("a JSON value has an unknown shape".to_owned()))?;
        let mut text = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            match encoder.get_value(row) {
                JsonUnionValue::JsonNull => text.append_null(),
                JsonUnionValue::Bool(value) => text.append_value(value.to_string()),
                JsonUnionValue::Int(value) => text.append_value(value.to_string()),
                JsonUnionValue::Float(value) => text.append_value(value.to_string()),
                JsonUnionValue::Str(value) => text.append_value(serde_json::Value::from(value).to_string()),
                JsonUnionValue::Array(value) | JsonUnionValue::Object(value) => text.append_value(value),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(text.finish())))
    }
}
