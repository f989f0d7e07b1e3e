//! NULL in the list of IN is kept apart: `a IN (1, NULL)` is `a IN (1) OR NULL`.
//!
//! DataFusion 53 merges two lists of one column as sets, and forgets that a NULL in one makes every comparison unknown that is
//! not true: `a IN (1, 2) AND a NOT IN (1, NULL)` gave rows.

use datafusion::{
    common::{
        ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{Cast, Expr, LogicalPlan, TryCast, lit},
};

use crate::intervals::rewritten;

pub(crate) fn nulls_apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|plan| {
        let mut any = false;
        plan.apply_expressions(|expr| {
            any = expr.exists(|expr| Ok(has_null(expr)))?;
            Ok(if any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if any { rewritten(plan, |expr, _| Ok(apart(expr))) } else { Ok(Transformed::no(plan)) }
    });
    done.map(|done| done.data)
}

fn has_null(expr: &Expr) -> bool {
    matches!(expr, Expr::InList(within) if within.list.iter().any(is_null))
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => is_null(expr),
        _ => false,
    }
}

fn apart(expr: Expr) -> Transformed<Expr> {
    if !has_null(&expr) {
        return Transformed::no(expr);
    }
    let Expr::InList(mut within) = expr else { unreachable!("only lists have one") };
    within.list.retain(|value| !is_null(value));
    let unknown = lit(ScalarValue::Boolean(None));
    Transformed::yes(match (within.list.is_empty(), within.negated) {
        (true, _) => unknown,
        (false, true) => Expr::InList(within).and(unknown),
        (false, false) => Expr::InList(within).or(unknown),
    })
}
