//! `x IN (SELECT …)` that is not a condition by itself: below OR, NOT, IS NULL and the like.
//!
//! There DataFusion 53 makes a join of it that only marks what it finds, and false stands for NULL too: `x NOT IN (…) OR c`
//! kept rows of which nothing is known. So what is not known is asked for besides, where NULL differs from false: whether
//! the subquery gives a NULL, or anything, if `x` is one. A condition by itself is the engine's.

use datafusion::{
    common::{
        DFSchema, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
        expr::{Exists, InSubquery},
        lit,
    },
};

use crate::functions::maybe_null;

/// `filter` with what is inside of its condition made whole.
pub(super) fn known(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let schema = filter.input.schema().clone();
    let done = conjuncts(filter.predicate, &schema)?;
    done.map_data(|predicate| Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
}

/// Each part that must be true by itself.
fn conjuncts(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let (left, right) = (conjuncts(*left, schema)?, conjuncts(*right, schema)?);
            let changed = left.transformed || right.transformed;
            Ok(Transformed::new_transformed(left.data.and(right.data), changed))
        }
        Expr::InSubquery(within) => Ok(by_itself(within)),
        Expr::Not(inner) if matches!(inner.as_ref(), Expr::InSubquery(_)) => {
            let Expr::InSubquery(within) = *inner else { unreachable!("just seen") };
            Ok(by_itself(InSubquery { negated: !within.negated, ..within }))
        }
        expr => parts(expr, schema),
    }
}

/// What else is asked of the column `x` would be asked of the subquery's rows, too, and leave its NULLs out: no column, no such
/// question.
fn by_itself(mut within: InSubquery) -> Transformed<Expr> {
    let may_hold_null = within.negated && within.subquery.subquery.schema().field(0).is_nullable();
    let asks = may_hold_null && matches!(within.expr.as_ref(), Expr::Column(_));
    if asks {
        *within.expr = maybe_null(std::mem::take(within.expr.as_mut()));
    }
    Transformed::new_transformed(Expr::InSubquery(within), asks)
}

/// Parts of which only whether they are true counts, and then all others.
fn parts(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (parts(*left, schema)?, parts(*right, schema)?);
            let changed = left.transformed || right.transformed;
            let (left, right) = (Box::new(left.data), Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), changed))
        }
        Expr::InSubquery(InSubquery { negated: false, .. }) => Ok(Transformed::no(expr)),
        expr => expr.transform_up(|expr| match expr {
            Expr::InSubquery(within) => three_valued(within, schema),
            expr => Ok(Transformed::no(expr)),
        }),
    }
}

fn three_valued(within: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(unknown) = unknown(&within, schema)? else { return Ok(Transformed::no(Expr::InSubquery(within))) };
    let negated = within.negated;
    let found = Expr::InSubquery(InSubquery { negated: false, ..within });
    let whole = found.or(unknown.and(lit(ScalarValue::Boolean(None))));
    Ok(Transformed::yes(if negated { Expr::Not(Box::new(whole)) } else { whole }))
}

/// Whether a value that is not found is not known not to be there.
fn unknown(within: &InSubquery, schema: &DFSchema) -> Result<Option<Expr>> {
    let plan = &within.subquery.subquery;
    let columns = plan.schema().columns();
    let [column] = columns.as_slice() else { return Ok(None) };
    let there = |plan: LogicalPlan| {
        let subquery = Subquery { subquery: plan.into(), ..within.subquery.clone() };
        Expr::Exists(Exists { subquery, negated: false })
    };
    let mut cases = Vec::new();
    if plan.schema().field(0).is_nullable() {
        let nulls = LogicalPlanBuilder::from(plan.as_ref().clone()).filter(Expr::Column(column.clone()).is_null())?;
        cases.push(there(nulls.build()?));
    }
    if within.expr.nullable(schema).unwrap_or(true) {
        cases.push(within.expr.as_ref().clone().is_null().and(there(plan.as_ref().clone())));
    }
    Ok(cases.into_iter().reduce(Expr::or))
}
