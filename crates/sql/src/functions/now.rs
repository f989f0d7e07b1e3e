//! `now()`: a moment with the session's time zone, in microseconds, as TIMESTAMPTZ is everywhere else.
//!
//! DataFusion's has nanoseconds, which no column keeps.

use std::{any::Any, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::{
    common::{ScalarValue, config::ConfigOptions, internal_err},
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
        simplify::{ExprSimplifyResult, SimplifyContext},
    },
};

use crate::engine::UTC;

/// The zone of moments that are written without one. Values of one zone can be subtracted from each other.
pub(crate) fn zone(config: &ConfigOptions) -> Arc<str> {
    config.execution.time_zone.as_deref().unwrap_or(UTC).into()
}

pub(super) fn function(config: &ConfigOptions) -> ScalarUDF {
    ScalarUDF::from(Now {
        zone: zone(config),
        signature: Signature::nullary(Volatility::Stable),
        aliases: vec!["current_timestamp".to_owned()],
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    zone: Arc<str>,
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Now {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.clone())))
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Field::new(self.name(), self.return_type(&[])?, false).into())
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        Some(function(config))
    }

    /// The moment the statement began, for all of it.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(now) = info.query_execution_start_time() else { return Ok(ExprSimplifyResult::Original(args)) };
        let moment = ScalarValue::TimestampMicrosecond(Some(now.timestamp_micros()), Some(self.zone.clone()));
        Ok(ExprSimplifyResult::Simplified(lit(moment)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("now() is a literal by the time a statement runs")
    }
}
