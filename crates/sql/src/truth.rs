//! Conditions for which NULL counts as not true: the FILTER of an aggregate.
//!
//! Where rows are grouped, DataFusion 53 takes the bits of such a condition without its NULLs, whose bits may be anything
//! (issue 22067). So a function that never gives NULL stands around it, once types are known. It can go with DataFusion 54.

use arrow::datatypes::DataType;
use datafusion::{
    common::{DFSchema, config::ConfigOptions, tree_node::Transformed},
    error::Result,
    logical_expr::{Expr, ExprSchemable, LogicalPlan},
    optimizer::AnalyzerRule,
};

use crate::{functions::is_true, intervals::rewritten_where};

#[derive(Debug)]
pub(crate) struct Truth;

impl AnalyzerRule for Truth {
    fn name(&self) -> &str {
        "truth"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten_where(plan, concerns, expression)
    }
}

fn concerns(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(called) if called.params.filter.is_some())
}

fn expression(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::AggregateFunction(called) = &mut expr
        && let Some(filter) = &mut called.params.filter
    {
        // As in a WHERE, which may be NULL without a type.
        let condition = std::mem::take(filter.as_mut()).cast_to(&DataType::Boolean, schema)?;
        **filter = known(condition, schema);
        return Ok(Transformed::yes(expr));
    }
    Ok(Transformed::no(expr))
}

/// `condition`, false where it would be NULL.
fn known(condition: Expr, schema: &DFSchema) -> Expr {
    if condition.nullable(schema).unwrap_or(true) { is_true(condition) } else { condition }
}
