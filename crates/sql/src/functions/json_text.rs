//! Values as JSON text.
//!
//! `a -> 'b'` gives a union of JSON's types, which no client and no file format knows: where such a column leaves a query
//! it is turned into its JSON text ([`plain`]). CSV has no nesting at all: there every nested column is ([`flat`]).

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    json::writer::{EncoderOptions, make_encoder},
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::{
    common::exec_err,
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF},
};
use datafusion_functions_json::{JSON_UNION_DATA_TYPE, JsonUnionEncoder, JsonUnionValue};
use model::{Error, error::codes};

use super::simple::{Simple, is_json};
use crate::errors;

/// `plan` with its JSON columns as text.
pub(crate) fn plain(plan: LogicalPlan) -> model::Result<LogicalPlan> {
    as_text(plan, |data_type| *data_type == *JSON_UNION_DATA_TYPE)
}

/// `plan` with its nested columns as text.
pub(crate) fn flat(plan: LogicalPlan) -> model::Result<LogicalPlan> {
    as_text(plan, DataType::is_nested)
}

fn as_text(plan: LogicalPlan, wanted: fn(&DataType) -> bool) -> model::Result<LogicalPlan> {
    if !plan.schema().fields().iter().any(|field| wanted(field.data_type())) {
        return Ok(plan);
    }
    static UDF: LazyLock<ScalarUDF> = LazyLock::new(|| to_json("json_text").giving("json").udf());
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column((qualifier, field).into());
            match wanted(field.data_type()) {
                true => UDF.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| errors::map(e, None))
}

/// The functions people call: `to_json(x)`, `json_build_object(key, value, …)`, `json_build_array(…)`.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        to_json("to_json").giving("json").udf(),
        // What `x::json` and `x::jsonb` stand for: text is taken to be JSON.
        Simple::new("to_json_text", Some(1), text, |args| each(args, true)).giving("json").udf(),
        Simple::new("to_jsonb_text", Some(1), text, |args| each(args, true)).giving("jsonb").udf(),
        // `x::uuid`, and `x::json::text`.
        Simple::new("to_uuid_text", Some(1), text, uuid).giving("uuid").udf(),
        Simple::new("to_plain_text", Some(1), text, |args| as_utf8(args).map(ColumnarValue::Array)).udf(),
        // A list of JSON texts as one text.
        Simple::new("json_array_of", Some(1), text, array_of).giving("json").udf(),
        Simple::new("json_build_object", None, text, build_object).giving("json").udf(),
        Simple::new("json_build_array", None, text, build_array).giving("json").udf(),
    ]
}

fn to_json(name: &'static str) -> Simple {
    Simple::new(name, Some(1), text, |args| each(args, false))
}

fn text(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn as_utf8(args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    Ok(arrow::compute::cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?)
}

/// The text as it is, if it is a UUID.
fn uuid(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let texts = as_utf8(args)?;
    if let Some(wrong) = texts.as_string::<i32>().iter().flatten().find(|text| uuid::Uuid::try_parse(text).is_err()) {
        let error = Error::new(codes::SQL_VALUE, format!("`{}` is not a UUID", errors::shortened(wrong)))
            .hint("a UUID is 32 hexadecimal digits: a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        return Err(DataFusionError::External(Box::new(error)));
    }
    Ok(ColumnarValue::Array(texts))
}

fn each(args: &ScalarFunctionArgs, text_is_json: bool) -> Result<ColumnarValue> {
    let array = args.args[0].to_array(args.number_rows)?;
    let field = &args.arg_fields[0];
    let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let texts = match is_text && (text_is_json || is_json(field)) {
        true => arrow::compute::cast(&array, &DataType::Utf8)?,
        false => Arc::new(column(field, &array)?) as ArrayRef,
    };
    Ok(ColumnarValue::Array(texts))
}

fn build_object(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if !args.args.len().is_multiple_of(2) {
        return exec_err!("json_build_object takes keys and values in turn");
    }
    let columns = columns(args)?;
    let keys = args.args.iter().step_by(2).map(|key| {
        let key = arrow::compute::cast(&key.to_array(args.number_rows)?, &DataType::Utf8)?;
        Ok(key.as_string::<i32>().clone())
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let mut built = StringBuilder::new();
    for row in 0..args.number_rows {
        let mut text = String::from("{");
        for (index, key) in keys.iter().enumerate() {
            if key.is_null(row) {
                return exec_err!("a key of json_build_object is NULL");
            }
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&serde_json::Value::from(key.value(row)).to_string());
            text.push_str(": ");
            text.push_str(value(&columns[index * 2 + 1], row));
        }
        text.push('}');
        built.append_value(text);
    }
    Ok(ColumnarValue::Array(Arc::new(built.finish())))
}

fn build_array(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let columns = columns(args)?;
    let rows = (0..args.number_rows).map(|row| {
        let values: Vec<&str> = columns.iter().map(|column| value(column, row)).collect();
        Some(format!("[{}]", values.join(", ")))
    });
    Ok(ColumnarValue::Array(Arc::new(rows.collect::<StringArray>())))
}

fn array_of(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let lists = args.args[0].to_array(args.number_rows)?;
    let Some(lists) = lists.as_list_opt::<i32>() else {
        return exec_err!("json_array_of takes a list of JSON texts");
    };
    let rows = lists.iter().map(|list| {
        let Some(list) = list else { return Ok(None) };
        let texts = match list.data_type() {
            data_type if *data_type == *JSON_UNION_DATA_TYPE => union(&list)?,
            _ => arrow::compute::cast(&list, &DataType::Utf8)?.as_string::<i32>().clone(),
        };
        let values: Vec<&str> = (0..texts.len()).map(|row| value(&texts, row)).collect();
        Ok(Some(format!("[{}]", values.join(", "))))
    });
    Ok(ColumnarValue::Array(Arc::new(rows.collect::<Result<StringArray>>()?)))
}

fn value(texts: &StringArray, row: usize) -> &str {
    if texts.is_null(row) { "null" } else { texts.value(row) }
}

/// Each argument as JSON.
fn columns(args: &ScalarFunctionArgs) -> Result<Vec<StringArray>> {
    let columns = args.args.iter().zip(&args.arg_fields).map(|(arg, field)| {
        let array = arg.to_array(args.number_rows)?;
        match is_json(field) {
            true => Ok(arrow::compute::cast(&array, &DataType::Utf8)?.as_string::<i32>().clone()),
            false => Ok(column(field, &array)?),
        }
    });
    columns.collect()
}

/// The values of `array` as JSON; NULL stays NULL.
pub(crate) fn column(field: &FieldRef, array: &ArrayRef) -> Result<StringArray, ArrowError> {
    if *array.data_type() == *JSON_UNION_DATA_TYPE {
        return union(array);
    }
    let field = Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone()));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    match make_encoder(&field, array, &options) {
        Ok(mut encoder) => {
            let mut text = Vec::new();
            for row in 0..array.len() {
                if encoder.is_null(row) {
                    texts.append_null();
                    continue;
                }
                text.clear();
                encoder.encode(row, &mut text);
                texts.append_value(String::from_utf8_lossy(&text));
            }
        }
        // What JSON has no form for is shown, as a text.
        Err(_) => {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(array, &options)?;
            for row in 0..array.len() {
                match array.is_null(row) {
                    true => texts.append_null(),
                    false => texts.append_value(serde_json::Value::from(shown.value(row).try_to_string()?).to_string()),
                }
            }
        }
    }
    Ok(texts.finish())
}

fn union(array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let rows = array.len();
    let encoder = JsonUnionEncoder::from_union(array.as_union().clone())
        .ok_or_else(|| ArrowError::InvalidArgumentError("a JSON value has an unknown shape".to_owned()))?;
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
    Ok(text.finish())
}
