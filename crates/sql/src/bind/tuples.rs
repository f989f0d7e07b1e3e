//! `(a, b) IN (SELECT …)`, which DataFusion does not know, as `EXISTS`.
//!
//! Only in conditions (WHERE, HAVING, ON), where a NULL is as good as false: there `(a, b) IN (…)` asks whether some row is
//! equal, and `NOT IN` whether there is none that is, or could be if a NULL were known.

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        BinaryOperator, Expr, Ident, JoinConstraint, Query, Select, SetExpr, TableAliasColumnDef, TableFactor,
        UnaryOperator, VisitorMut,
    },
};
use model::{Error, Result, error::codes};

use super::{names, scopes};
use crate::text;

/// What the subquery is called where its rows are compared.
const ROWS: &str = "in";

pub(super) fn rewrite(statement: &mut DfStatement) -> Result<()> {
    match scopes::visit(statement, &mut Tuples) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Tuples;

impl VisitorMut for Tuples {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        scopes::selects(&mut query.body).into_iter().for_each(conditions);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::InSubquery { expr, .. } = expr else { return ControlFlow::Continue(()) };
        if !matches!(expr.as_ref(), Expr::Tuple(_)) {
            return ControlFlow::Continue(());
        }
        let error = Error::new(codes::SQL_UNSUPPORTED, "rows in IN (SELECT …) are offered in conditions only")
            .detail("WHERE, HAVING and ON take them, alone or with AND and OR; elsewhere NULLs would count as false")
            .hint("write EXISTS (SELECT … WHERE x = a AND y = b)");
        ControlFlow::Break(Box::new(error))
    }
}

fn conditions(select: &mut Select) {
    let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
    let on = joins.filter_map(|join| match names::constraint(&mut join.join_operator) {
        Some(JoinConstraint::On(condition)) => Some(condition),
        _ => None,
    });
    on.chain(&mut select.selection).chain(&mut select.having).for_each(condition);
}

fn condition(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => condition(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            condition(left);
            condition(right);
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            let mut inner = inner.as_mut();
            while let Expr::Nested(nested) = inner {
                inner = nested;
            }
            if let Some(exists) = exists(inner, true) {
                *expr = exists;
            }
        }
        expr => {
            if let Some(exists) = exists(expr, false) {
                *expr = exists;
            }
        }
    }
}

/// `EXISTS (SELECT 1 FROM (subquery) AS "in"("1", "2") WHERE a = "in"."1" AND b = "in"."2")`
fn exists(expr: &mut Expr, not: bool) -> Option<Expr> {
    let Expr::InSubquery { expr, subquery, negated } = expr else { return None };
    let Expr::Tuple(left) = expr.as_mut() else { return None };
    let negated = *negated != not;
    let names: Vec<Ident> = (1..=left.len()).map(|n| Ident::with_quote('"', n.to_string())).collect();
    let same = left.drain(..).zip(&names).map(|(left, name)| Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(left))),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::CompoundIdentifier(vec![Ident::with_quote('"', ROWS), name.clone()])),
    });
    let same = same.reduce(|a, b| Expr::BinaryOp { left: Box::new(a), op: BinaryOperator::And, right: Box::new(b) })?;
    // A row of which a NULL might be equal is in the way of NOT IN.
    let same = if negated { Expr::IsNotFalse(Box::new(Expr::Nested(Box::new(same)))) } else { same };
    let mut shape = text::expression("EXISTS (SELECT 1 FROM (SELECT 1) AS \"in\" WHERE true)").expect("it parses");
    let Expr::Exists { subquery: shaped, negated: not_exists } = &mut shape else { return None };
    *not_exists = negated;
    let SetExpr::Select(select) = shaped.body.as_mut() else { return None };
    select.selection = Some(same);
    let TableFactor::Derived { subquery: derived, alias: Some(alias), .. } = &mut select.from.first_mut()?.relation
    else {
        return None;
    };
    std::mem::swap(derived, subquery);
    alias.columns = names.into_iter().map(|name| TableAliasColumnDef { name, data_type: None }).collect();
    Some(shape)
}
