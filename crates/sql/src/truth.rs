//! Where NULL counts as not true: the FILTER of an aggregate, and IS TRUE with its kin.
//!
//! Where rows are grouped, DataFusion 53 takes the bits of a FILTER without its NULLs, whose bits may be anything (its issue
//! 22067). What computes `x IS TRUE` there says that it may be NULL, which the plan promised it is not (issue 24096). So a
//! function that never gives NULL stands in both places, once types are known; each can go when the dependency has the mend.
//!
//! And `a IN (1, NULL)` is `a IN (1) OR NULL`, which is the same: where DataFusion 53 makes one list of two, it forgets NULLs.

use arrow::datatypes::DataType;
use datafusion::{
    common::{DFSchema, ScalarValue, tree_node::Transformed},
    error::Result,
    logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, lit},
};

use crate::{functions::is_true, intervals::rewritten_where};

/// What is true or not is known where it must be.
pub(crate) fn known_truth(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewritten_where(plan, concerns, expression)
}

fn concerns(expr: &Expr) -> bool {
    match expr {
        Expr::AggregateFunction(called) => called.params.filter.is_some(),
        Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => true,
        Expr::InList(list) => list.list.iter().any(is_null),
        _ => false,
    }
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(Cast { expr, .. }) => is_null(expr),
        _ => false,
    }
}

fn expression(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let not = |expr: Expr| Expr::Not(Box::new(expr));
    Ok(Transformed::yes(match expr {
        Expr::AggregateFunction(ref mut called) => {
            let Some(filter) = &mut called.params.filter else { return Ok(Transformed::no(expr)) };
            // As in a WHERE, which may be NULL without a type.
            let condition = std::mem::take(filter.as_mut()).cast_to(&DataType::Boolean, schema)?;
            **filter = known(condition, schema);
            expr
        }
        Expr::InList(mut list) => {
            let known = list.list.len();
            list.list.retain(|item| !is_null(item));
            if list.list.len() == known {
                return Ok(Transformed::no(Expr::InList(list)));
            }
            let unknown = lit(ScalarValue::Boolean(None));
            match (list.list.is_empty(), list.negated) {
                (true, _) => unknown,
                (false, true) => Expr::InList(list).and(unknown),
                (false, false) => Expr::InList(list).or(unknown),
            }
        }
        Expr::IsTrue(condition) => known(*condition, schema),
        Expr::IsNotTrue(condition) => not(known(*condition, schema)),
        Expr::IsFalse(condition) => known(not(*condition), schema),
        Expr::IsNotFalse(condition) => not(known(not(*condition), schema)),
        expr => return Ok(Transformed::no(expr)),
    }))
}

/// `condition`, false where it would be NULL.
fn known(condition: Expr, schema: &DFSchema) -> Expr {
    if condition.nullable(schema).unwrap_or(true) { is_true(condition) } else { condition }
}
