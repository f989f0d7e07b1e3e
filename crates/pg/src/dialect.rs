//! PostgreSQL's SQL where it differs from Lakehead's.
//!
//! A user's statement goes to the engine as it was written. Only two kinds are rewritten before:
//! * queries of clients about the catalog (they name `pg_…`, `information_schema` or `reg…` types), by the rules of
//!   `datafusion-pg-catalog` and a few of our own;
//! * statements with functions whose answer is this session's (`current_setting`, `version`), which are put in.

use std::{borrow::Cow, ops::ControlFlow};

use datafusion::sql::sqlparser::{
    ast::{
        BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
        Ident, Query, SelectItem, SetExpr, Statement, Value, VisitMut, VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use crate::settings::{ClientSettings, SERVER_VERSION};

/// Words of queries about the catalog.
const CATALOG_WORDS: &[&str] = &["pg_", "information_schema", "regclass", "regtype", "regproc", "regnamespace", "regrole"];
/// Functions whose answer is the session's.
const SESSION_WORDS: &[&str] =
    &["current_setting", "set_config", "version", "current_schema", "current_user", "session_user", "current_role", "current_catalog", "current_database"];

/// Rewrites statements.
pub(crate) struct Dialect {
    parser: PostgresCompatibilityParser,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { parser: PostgresCompatibilityParser::new() }
    }
}

impl Dialect {
    /// `sql` as the engine takes it. What cannot be read here goes on as it is: the engine says what is wrong with it.
    pub(crate) fn rewrite<'a>(&self, sql: &'a str, settings: &ClientSettings) -> Cow<'a, str> {
        let lower = sql.to_ascii_lowercase();
        let mentions = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let about_catalog = mentions(CATALOG_WORDS);
        let statement = if about_catalog {
            let Ok(mut statements) = self.parser.parse(sql) else { return sql.into() };
            let Some(statement) = statements.pop().filter(|_| statements.is_empty()) else { return sql.into() };
            statement
        } else if mentions(SESSION_WORDS) {
            let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return sql.into() };
            let Some(statement) = statements.pop().filter(|_| statements.is_empty()) else { return sql.into() };
            statement
        } else {
            return sql.into();
        };
        // What makes things is kept as written: it is shown to people, and depends on no session.
        if !matches!(statement, Statement::Query(_) | Statement::Explain { .. }) {
            return sql.into();
        }
        let mut statement = statement;
        if about_catalog {
            let _ = statement.visit(&mut CatalogQueries);
        }
        let _ = statement.visit(&mut SessionFunctions { settings });
        statement.to_string().into()
    }
}

/// Puts in what the session answers itself.
struct SessionFunctions<'a> {
    settings: &'a ClientSettings,
}

impl SessionFunctions<'_> {
    /// The answer of `function`, and the name its column has when none is given.
    fn answer(&self, function: &Function) -> Option<(Expr, String)> {
        let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
        let text = |value: &str| Expr::value(Value::SingleQuotedString(value.to_owned()));
        let user = || text(self.settings.get("session_authorization").unwrap_or_default());
        let answer = match name.as_str() {
            "version" => text(&format!("PostgreSQL {SERVER_VERSION}")),
            "current_setting" => match self.settings.get(&literal(function, 0)?) {
                Some(value) => text(value),
                // With `missing_ok`, or for settings we have not: NULL rather than a broken client.
                None => Expr::value(Value::Null),
            },
            // Pools and drivers set what they need with SET; here only the answer is wanted.
            "set_config" => text(&literal(function, 1)?),
            "current_schema" => text(self.settings.get("search_path")?.split(',').next()?.trim().trim_matches('"')),
            "current_user" | "session_user" | "current_role" | "user" => user(),
            _ => return None,
        };
        Some((answer, name))
    }
}

/// Argument `i` of `function`, if it is a text literal.
fn literal(function: &Function, i: usize) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = list.args.get(i)? else { return None };
    let mut expr = expr;
    while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
        expr = inner;
    }
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

impl VisitorMut for SessionFunctions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(Expr::Function(function)) = item
                    && let Some((expr, name)) = self.answer(function)
                {
                    *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                if let Some((answer, _)) = self.answer(function) {
                    *expr = answer;
                }
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(path) = op
                    && path.first().is_some_and(|schema| schema == "pg_catalog")
                    && let Some(plain) = path.last().and_then(|symbol| operator(symbol))
                {
                    *op = plain;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What the rules of `datafusion-pg-catalog` leave over.
struct CatalogQueries;

impl VisitorMut for CatalogQueries {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                if let Some(replacement) = catalog_function(function) {
                    *expr = replacement;
                }
            }
            // One row at most, says PostgreSQL at run time; the engine wants to know it before.
            Expr::Subquery(query) if query.limit_clause.is_none() && query.fetch.is_none() => aggregate(query),
            // `'name'::regproc`: names stay names.
            Expr::Cast { expr: inner, data_type: DataType::Custom(name, _), .. }
                if name.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| {
                    ["regproc", "regprocedure", "regtype", "regrole", "regnamespace", "regconfig", "regdictionary", "regoper", "regoperator"]
                        .contains(&ident.value.to_ascii_lowercase().as_str())
                }) =>
            {
                *expr = inner.as_ref().clone();
            }
            // The dump is of PostgreSQL 17, which renamed it.
            Expr::CompoundIdentifier(path) if path.last().is_some_and(|last| last.value == "colliculocale") => {
                if let Some(last) = path.last_mut() {
                    last.value = "colllocale".to_owned();
                }
            }
            // System columns: every row is its table's, and as old as time.
            Expr::CompoundIdentifier(path)
                if path.last().is_some_and(|last| ["tableoid", "xmin", "xmax", "cmin", "cmax", "ctid"].contains(&last.value.as_str())) =>
            {
                *expr = Expr::value(Value::Number("0".to_owned(), false));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn catalog_function(function: &Function) -> Option<Expr> {
    let no_text = || Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::Null)),
        data_type: DataType::Text,
        array: false,
        format: None,
    };
    let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    match (name.as_str(), &function.args) {
        // Lists of privileges, options and members: there are none.
        ("array", FunctionArguments::Subquery(_)) => Some(no_text()),
        ("array_to_string", FunctionArguments::List(list)) => {
            let first = list.args.first().map(ToString::to_string).unwrap_or_default().to_ascii_lowercase();
            (!first.contains("array_agg") && !first.starts_with("array[")).then(no_text)
        }
        ("pg_get_viewdef", FunctionArguments::List(list)) => {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(view)) = list.args.first()? else { return None };
            let lookup = format!("SELECT (SELECT max(pg_v.definition) FROM pg_catalog.pg_views AS pg_v WHERE pg_v.viewoid = {view})");
            let Statement::Query(query) = Parser::parse_sql(&PostgreSqlDialect {}, &lookup).ok()?.pop()? else { return None };
            let SetExpr::Select(select) = *query.body else { return None };
            match select.projection.into_iter().next()? {
                SelectItem::UnnamedExpr(expr) => Some(expr),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `(SELECT x FROM …)` becomes `(SELECT max(x) FROM …)` where there is nothing that says it gives one row.
fn aggregate(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = &mut select.projection[..] else { return };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let text = expr.to_string().to_ascii_lowercase();
    let aggregated = ["max(", "min(", "count(", "sum(", "array_agg(", "string_agg(", "bool_or(", "bool_and("].iter().any(|f| text.contains(f));
    if select.from.is_empty() || grouped || aggregated || query.order_by.is_some() {
        return;
    }
    let lookup = format!("SELECT max({expr})");
    let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, &lookup) else { return };
    if let Some(Statement::Query(wrapped)) = statements.pop()
        && let SetExpr::Select(wrapped) = *wrapped.body
        && let Some(SelectItem::UnnamedExpr(max)) = wrapped.projection.into_iter().next()
    {
        *expr = max;
    }
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn operator(symbol: &str) -> Option<BinaryOperator> {
    Some(match symbol {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        Dialect::default().rewrite(sql, &ClientSettings::default()).into_owned()
    }

    #[test]
    fn user_statements_stay_as_written() {
        for sql in ["SELECT (SELECT max(a) FROM u WHERE u.b = t.b) FROM t", "CREATE STREAM s WITH (kafka_topic='pg_x')", "nonsense pg_"] {
            assert_eq!(rewritten(sql), sql);
        }
    }

    #[test]
    fn session_functions_are_answered_here() {
        assert_eq!(rewritten("SELECT current_setting('datestyle')"), "SELECT 'ISO, MDY' AS current_setting");
        assert_eq!(rewritten("select pg_catalog.version()"), format!("SELECT 'PostgreSQL {SERVER_VERSION}' AS version"));
        assert_eq!(rewritten("SELECT current_schema()"), "SELECT 'public' AS current_schema");
    }

    #[test]
    fn qualified_operators_are_plain_ones() {
        let sql = "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default";
        assert_eq!(rewritten(sql), "SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.relname ~ '^(x)$'");
    }
}
