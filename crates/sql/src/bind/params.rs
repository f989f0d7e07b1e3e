//! Parameters, and expressions that must be known while planning.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{DFSchema, cast::as_timestamp_millisecond_array},
    execution::{SessionState, context::ExecutionProps},
    logical_expr::{ColumnarValue, cast},
    physical_expr::create_physical_expr,
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{
            self, CastKind, Expr, ExprWithAlias, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
            VisitorMut,
        },
    },
};

use super::scopes;
use crate::{functions::zone, texts::written_casts_in};

/// Turns `?` into `$1`, `$2` … in the order they stand.
pub(crate) fn number(statement: &mut DfStatement) {
    struct Number(usize);
    impl VisitorMut for Number {
        type Break = ();

        fn pre_visit_value(&mut self, value: &mut Value) -> ControlFlow<()> {
            if let Value::Placeholder(name) = value
                && name == "?"
            {
                self.0 += 1;
                *name = format!("${}", self.0);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = scopes::visit(statement, &mut Number(0));
}

/// Says which parameters are intervals, by the `types` a client gave: the engine takes what is added to a moment for another
/// moment, and asks nobody.
pub(crate) fn say_intervals(statement: &mut DfStatement, types: &[Option<DataType>]) {
    struct Say<'a>(&'a [Option<DataType>]);
    impl Say<'_> {
        fn operand(&self, expr: &mut Expr) {
            if let Expr::Value(value) = expr
                && let Value::Placeholder(name) = &value.value
                && let Some(index) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()?.checked_sub(1))
                && let Some(Some(DataType::Interval(_))) = self.0.get(index)
            {
                let data_type = ast::DataType::Interval { fields: None, precision: None };
                let inner = Box::new(expr.clone());
                *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
            }
        }
    }
    impl VisitorMut for Say<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::BinaryOp { left, right, .. } = expr {
                self.operand(left);
                self.operand(right);
            }
            ControlFlow::Continue(())
        }
    }
    if types.iter().flatten().any(|given| matches!(given, DataType::Interval(_))) {
        number(statement);
        let _ = scopes::visit(statement, &mut Say(types));
    }
}

/// The argument of a function that takes one.
pub(super) fn only_argument(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(expr),
        _ => None,
    }
}

/// The moment a constant expression names, in milliseconds since 1970. Plain numbers are milliseconds.
pub(super) fn constant_ms(state: &SessionState, expr: &Expr) -> Result<i64, String> {
    if let Expr::Value(value) = expr
        && let Value::Number(number, _) = &value.value
        && let Ok(ms) = number.parse()
    {
        return Ok(ms);
    }
    let moment = DataType::Timestamp(TimeUnit::Millisecond, Some(zone(state.config_options())));
    let value = constant(state, expr, Some(moment)).map_err(|e| e.strip_backtrace())?;
    let array = value.into_array(1).map_err(|e| e.strip_backtrace())?;
    let array = as_timestamp_millisecond_array(&array).map_err(|e| e.strip_backtrace())?;
    match array.iter().next().flatten() {
        Some(ms) => Ok(ms),
        None => Err("it is NULL".to_owned()),
    }
}

/// Evaluates an expression that depends on no row.
pub(crate) fn constant(
    state: &SessionState,
    expr: &Expr,
    data_type: Option<DataType>,
) -> datafusion::error::Result<ColumnarValue> {
    let schema = DFSchema::empty();
    let logical =
        state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: expr.clone(), alias: None }, &schema)?;
    let logical = match data_type {
        Some(data_type) => cast(logical, data_type),
        None => logical,
    };
    let logical = written_casts_in(logical, &schema)?;
    // `now()` is the session's: bound while simplifying.
    let props: &ExecutionProps = state.execution_props();
    let context = datafusion::logical_expr::simplify::SimplifyContext::default()
        .with_config_options(state.config_options().clone())
        .with_query_execution_start_time(props.query_execution_start_time);
    let simplifier = datafusion::optimizer::simplify_expressions::ExprSimplifier::new(context);
    let logical = simplifier.simplify(simplifier.coerce(logical, &schema)?)?;
    let physical = create_physical_expr(&logical, &schema, props)?;
    let one_row = arrow::array::RecordBatch::try_new_with_options(
        std::sync::Arc::new(arrow::datatypes::Schema::empty()),
        Vec::new(),
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    physical.evaluate(&one_row)
}
