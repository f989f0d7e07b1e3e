//! What columns without a name are called.
//!
//! DataFusion calls `SELECT 1 + a` `Int64(1) + t.a`, and refuses `SELECT a, CAST(a AS INT)` because both are called `a`.
//! Columns of the outermost query that have literals in them are called by their text instead, and equal ones are told
//! apart.

use std::{collections::HashSet, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{Expr, Ident, Select, SelectItem, SetExpr, Statement, Value, Visit, Visitor},
};

use super::folded;

const CHARS_MAX: usize = 60;

pub(super) fn rewrite(statement: &mut DfStatement) {
    let DfStatement::Statement(statement) = statement else { return };
    let Statement::Query(query) = statement.as_mut() else { return };
    let mut body = query.body.as_mut();
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            SetExpr::Select(select) => return name(select),
            _ => return,
        }
    }
}

fn name(select: &mut Select) {
    // ORDER BY must repeat the expressions of SELECT DISTINCT as they are.
    if select.distinct.is_some() {
        return;
    }
    let mut taken: HashSet<String> = HashSet::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => drop(taken.insert(folded(alias))),
            SelectItem::UnnamedExpr(expr) => drop(column(expr).map(|name| taken.insert(name))),
            _ => {}
        }
    }
    let mut seen: HashSet<String> = HashSet::new();
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let heading = match &*expr {
            // Selected twice: the engine wants names that differ.
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let name = column(expr).unwrap_or_default();
                match seen.insert(expr.to_string().to_lowercase()) {
                    true => continue,
                    false => (1..).map(|n| format!("{name}_{n}")).find(|name| !taken.contains(name)),
                }
            }
            // As in PostgreSQL a cast column keeps its name; the engine would take it for the column itself.
            Expr::Cast { expr: inner, .. } => {
                column(inner).filter(|name| !taken.contains(name)).or_else(|| Some(text(expr)))
            }
            expr if has_literal(expr) => Some(text(expr)),
            _ => None,
        };
        if let Some(heading) = heading
            && taken.insert(heading.clone())
        {
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', heading) };
        }
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        _ => None,
    }
}

fn text(expr: &Expr) -> String {
    expr.to_string().chars().take(CHARS_MAX).collect()
}

fn has_literal(expr: &Expr) -> bool {
    struct Literal;
    impl Visitor for Literal {
        type Break = ();

        fn pre_visit_value(&mut self, value: &Value) -> ControlFlow<()> {
            if matches!(value, Value::Placeholder(_)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
    expr.visit(&mut Literal).is_break()
}
