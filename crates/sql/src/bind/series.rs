//! `generate_series(…)` and `range(…)` in FROM, of times too: the engine's know nanoseconds, and days and times apart.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::{
    catalog::TableProvider,
    datasource::{ViewTable, provider_as_source},
    error::Result,
    logical_expr::{Expr, LogicalPlanBuilder, cast, lit},
    scalar::ScalarValue,
};

use crate::texts::read_text;

pub(super) fn is(function: &str) -> bool {
    function.eq_ignore_ascii_case("generate_series") || function.eq_ignore_ascii_case("range")
}

/// As the engine wants them: two times of one type, and an interval.
pub(super) fn arguments(mut given: Vec<Expr>) -> Result<Vec<Expr>> {
    let [start, end, step] = given.as_mut_slice() else { return Ok(given) };
    let is_time = |expr: &Expr| match expr {
        Expr::Literal(
            value @ (ScalarValue::TimestampMicrosecond(_, zone) | ScalarValue::TimestampNanosecond(_, zone)),
            _,
        ) => (!value.is_null()).then(|| zone.clone()),
        _ => None,
    };
    if let Some(zone) = is_time(start).or_else(|| is_time(end)) {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, zone);
        become_literal(start, &time)?;
        become_literal(end, &time)?;
        become_literal(step, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    } else if matches!(start, Expr::Literal(ScalarValue::Date32(_), _)) {
        become_literal(end, &DataType::Date32)?;
        become_literal(step, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    }
    Ok(given)
}

fn become_literal(expr: &mut Expr, to: &DataType) -> Result<()> {
    let Expr::Literal(value, _) = expr else { return Ok(()) };
    let read = value.try_as_str().flatten().and_then(|text| read_text(text, to));
    let read = match read {
        Some(read) => read,
        None => value.cast_to(to)?,
    };
    *expr = lit(read);
    Ok(())
}

/// Times as they are everywhere else.
pub(super) fn in_micros(series: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = series.schema();
    let DataType::Timestamp(TimeUnit::Nanosecond, zone) = schema.field(0).data_type() else { return Ok(series) };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
    let scan = LogicalPlanBuilder::scan("series", provider_as_source(series), None)?;
    let column = scan.schema().columns().remove(0);
    let name = column.name.clone();
    let plan = scan.project([cast(Expr::Column(column), micros).alias(name)])?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
