//! What a session knows of itself: `current_user`, `current_schema`, `version()`.
//!
//! Put in as literals, in any query; a column that is nothing else is called by the word. The PostgreSQL door has more of
//! these and puts its own in before.

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{Expr, Function, FunctionArguments, Ident, Query, Select, SelectItem, Value, VisitorMut},
};

use super::{folded, scopes};
use crate::relation::CATALOG;

/// Nobody says who they are.
const USER: &str = "lakehead";

pub(super) fn rewrite(statement: &mut DfStatement, namespace: &str) {
    let _ = scopes::visit(statement, &mut Identity { namespace });
}

struct Identity<'a> {
    namespace: &'a str,
}

impl Identity<'_> {
    /// The answer, and the word for it. Some are words, others functions, and `current_schema` is both.
    fn answer(&self, expr: &Expr) -> Option<(Expr, String)> {
        let (name, is_word) = match expr {
            Expr::Identifier(ident) if ident.quote_style.is_none() => (folded(ident), true),
            Expr::Function(Function { name, args, .. }) => match (name.0.as_slice(), args) {
                ([name], FunctionArguments::None) => (folded(name.as_ident()?), true),
                ([name], FunctionArguments::List(list)) if list.args.is_empty() => (folded(name.as_ident()?), false),
                _ => return None,
            },
            _ => return None,
        };
        let answer = match (name.as_str(), is_word) {
            ("current_user" | "session_user" | "current_role", true) => USER,
            ("current_catalog", true) | ("current_database", false) => CATALOG,
            ("current_schema", _) => self.namespace,
            ("version", false) => concat!("Lakehead ", env!("CARGO_PKG_VERSION")),
            _ => return None,
        };
        Some((Expr::value(Value::SingleQuotedString(answer.to_owned())), name))
    }

    fn select(&self, select: &mut Select) {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((expr, name)) = self.answer(expr)
            {
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
            }
        }
    }
}

impl VisitorMut for Identity<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        scopes::selects(&mut query.body).into_iter().for_each(|select| self.select(select));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((answer, _)) = self.answer(expr) {
            *expr = answer;
        }
        ControlFlow::Continue(())
    }
}
