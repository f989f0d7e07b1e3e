//! Functions clients call while they look around.
//!
//! Most answer what is always so here: there are no comments, indexes, triggers or rules, everyone may read everything,
//! and every name is visible. Those that depend on the session are put in by [`crate::dialect`].

use std::{any::Any, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, StringArray},
    datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type},
};
use async_trait::async_trait;
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
        async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl},
    },
    prelude::SessionContext,
    scalar::ScalarValue,
};
use datafusion_pg_catalog::pg_catalog as theirs;
use model::{Error, error::codes};

pub(super) fn register(context: &SessionContext) {
    for function in [
        theirs::create_current_database_udf(),
        theirs::create_pg_get_userbyid_udf(),
        theirs::create_pg_table_is_visible(),
        theirs::create_pg_get_partkeydef_udf(),
        theirs::create_pg_get_statisticsobjdef_columns_udf(),
        theirs::create_pg_encoding_to_char_udf(),
        theirs::create_pg_get_partition_ancestors_udf(),
        theirs::create_current_schemas_udf(),
        theirs::create_session_user_udf(),
        theirs::format_type::create_format_type_udf(),
        theirs::pg_get_expr_udf::create_pg_get_expr_udf(),
        theirs::quote_ident_udf::create_quote_ident_udf(),
        theirs::quote_ident_udf::create_parse_ident_udf(),
    ] {
        add(context, function);
    }
    add(context, ScalarUDF::new_from_impl(TypeOf(Signature::any(1, Volatility::Stable))));
    add(context, AsyncScalarUDF::new(Arc::new(Sleep::default())).into_scalar_udf());
    let no_text = || ScalarValue::Utf8(None);
    for name in [
        "col_description",
        "obj_description",
        "shobj_description",
        "pg_get_constraintdef",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_function_result",
        "pg_get_function_sqlbody",
        "pg_get_functiondef",
        "pg_get_indexdef",
        "pg_get_ruledef",
        "pg_get_serial_sequence",
        "pg_get_triggerdef",
        "pg_tablespace_location",
        "inet_client_addr",
        "inet_server_addr",
        "to_regclass",
        "to_regtype",
    ] {
        add(context, constant(name, no_text()));
    }
    for name in [
        "has_any_column_privilege",
        "has_column_privilege",
        "has_database_privilege",
        "has_function_privilege",
        "has_schema_privilege",
        "has_sequence_privilege",
        "has_table_privilege",
        "has_type_privilege",
        "pg_has_role",
        "pg_collation_is_visible",
        "pg_conversion_is_visible",
        "pg_function_is_visible",
        "pg_opclass_is_visible",
        "pg_operator_is_visible",
        "pg_opfamily_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
        "pg_type_is_visible",
    ] {
        add(context, constant(name, ScalarValue::from(true)));
    }
    for name in [
        "pg_is_in_recovery",
        "pg_is_other_temp_schema",
        "pg_relation_is_publishable",
        "pg_relation_is_updatable",
        "pg_try_advisory_lock",
    ] {
        add(context, constant(name, ScalarValue::from(false)));
    }
    for name in ["pg_advisory_unlock_all", "pg_advisory_lock"] {
        add(context, constant(name, no_text()));
    }
    // Nobody measures them: `"t$files"` tells how large a table is.
    for name in ["pg_database_size", "pg_relation_size", "pg_table_size", "pg_total_relation_size"] {
        add(context, constant(name, ScalarValue::Int64(None)));
    }
    for name in ["pg_indexes_size", "pg_my_temp_schema", "pg_stat_get_numscans", "txid_current"] {
        add(context, constant(name, ScalarValue::from(0_i64)));
    }
    add(context, constant("age", ScalarValue::from(0_i32)));
    add(context, constant("pg_char_to_encoding", ScalarValue::from(6_i32)));
    add(context, constant("getdatabaseencoding", ScalarValue::from("UTF8")));
    add(context, ScalarUDF::new_from_impl(SizePretty::default()));
}

/// The engine's own functions come first.
fn add(context: &SessionContext, function: ScalarUDF) {
    if !context.state().scalar_functions().contains_key(function.name()) {
        context.register_udf(function);
    }
}

/// A function of any arguments that always gives the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    signature: Signature,
    value: ScalarValue,
}

fn constant(name: &'static str, value: ScalarValue) -> ScalarUDF {
    let any = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    ScalarUDF::new_from_impl(Constant { name, signature: Signature::one_of(any, Volatility::Stable), value })
}

impl ScalarUDFImpl for Constant {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// `pg_size_pretty(bytes)`
#[derive(Debug, PartialEq, Eq, Hash)]
struct SizePretty(Signature);

impl Default for SizePretty {
    fn default() -> Self {
        Self(Signature::uniform(1, vec![DataType::Int64], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for SizePretty {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "pg_size_pretty"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = arguments.args[0].to_array(arguments.number_rows)?;
        let shown: StringArray = sizes.as_primitive::<Int64Type>().iter().map(|bytes| bytes.map(size_pretty)).collect();
        Ok(ColumnarValue::Array(Arc::new(shown)))
    }
}

/// As PostgreSQL rounds: a unit larger from ten thousand on.
fn size_pretty(bytes: i64) -> String {
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // In halves, for the rounding.
    let mut halves = bytes / 512;
    let mut units = ["kB", "MB", "GB", "TB", "PB"].into_iter().peekable();
    loop {
        let unit = units.next().expect("the last one ends it");
        if halves.unsigned_abs() < 20 * 1024 - 1 || units.peek().is_none() {
            return format!("{} {unit}", (halves + halves.signum()) / 2);
        }
        halves /= 1024;
    }
}

/// `pg_typeof(value)`
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf(Signature);

impl ScalarUDFImpl for TypeOf {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let unknown = || Arc::new(Field::new("", DataType::Null, true));
        let field: FieldRef = arguments.arg_fields.first().cloned().unwrap_or_else(unknown);
        Ok(ColumnarValue::Scalar(crate::types::name_of(&field).into()))
    }
}

/// `pg_sleep(seconds)`: waits without keeping a thread busy, so it can be cancelled.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep(Signature);

/// Longest sleep of one call; rows sleep one after the other.
const SLEEP_SECONDS_MAX: f64 = 3600.0;

impl Default for Sleep {
    fn default() -> Self {
        Self(Signature::uniform(1, vec![DataType::Float64], Volatility::Volatile))
    }
}

impl ScalarUDFImpl for Sleep {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(sleep_refused("it cannot be used here"))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds: f64 = match arguments.args.first() {
            Some(value) => {
                let array = value.to_array(arguments.number_rows)?;
                array.as_primitive::<Float64Type>().iter().flatten().map(|seconds| seconds.max(0.0)).sum()
            }
            None => 0.0,
        };
        if !(0.0..=SLEEP_SECONDS_MAX).contains(&seconds) {
            return Err(sleep_refused("it sleeps for an hour at most"));
        }
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        Ok(ColumnarValue::Scalar(ScalarValue::from("")))
    }
}

fn sleep_refused(why: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::new(codes::SQL_VALUE, format!("pg_sleep: {why}"))))
}

#[cfg(test)]
mod tests {
    use super::size_pretty;

    #[test]
    fn sizes_are_rounded_as_in_postgresql() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (100_000, "98 kB"),
            (-100_000, "-98 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (5_000_000_000, "4768 MB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(size_pretty(bytes), shown, "{bytes}");
        }
    }
}
