//! PostgreSQL's SQL where it differs from Lakehead's.
//!
//! A user's statement goes to the engine as it was written. Only two kinds are rewritten before:
//! * queries of clients about the catalog (they name `pg_…`, `information_schema` or `reg…` types), by the rules of
//!   `datafusion-pg-catalog` and a few of our own;
//! * statements with functions whose answer is this session's (`current_setting`, `version`), which are put in.

use std::{borrow::Cow, collections::HashMap, ops::ControlFlow};

use arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::sql::sqlparser::{
    ast::{
        BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
        GroupByExpr, Ident, Query, SelectItem, SetExpr, Statement, Value, VisitMut, VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use crate::{
    settings::{ClientSettings, SERVER_VERSION},
    types::{oid, parameter_type},
};

/// Words of queries about the catalog.
const CATALOG_WORDS: &[&str] =
    &["pg_", "information_schema", "regclass", "regtype", "regproc", "regnamespace", "regrole"];
/// Functions whose answer is the session's.
const SESSION_WORDS: &[&str] = &[
    "current_setting",
    "set_config",
    "version",
    "current_schema",
    "current_user",
    "session_user",
    "current_role",
    "current_catalog",
    "current_database",
];

/// What asyncpg wants to know of types it has no codec for, which are arrays here: its own query walks through all kinds of
/// types by recursion.
const ASYNCPG_TYPES: &str = "SELECT t.oid AS oid, 'pg_catalog' AS ns, t.typname AS name, 'b' AS kind, \
    CAST(NULL AS INT) AS basetype, CASE WHEN t.typlen = -1 AND t.typelem <> 0 THEN t.typelem END AS elemtype, \
    ',' AS elemdelim, CAST(NULL AS INT) AS range_subtype, NULL AS attrtypoids, NULL AS attrnames, 0 AS depth, \
    CAST(NULL AS TEXT) AS basetype_name, e.typname AS elemtype_name, CAST(NULL AS TEXT) AS range_subtype_name \
    FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON t.typelem = e.oid \
    WHERE array_has(CAST($1 AS BIGINT[]), CAST(t.oid AS BIGINT))";

const ASYNCPG_START: &str = "with recursive typeinfo_tree(";

/// Types of parameters that a client must be told by PostgreSQL's own OIDs: asyncpg reads `oid[]` (1028) without asking
/// what it is.
pub(crate) fn known_types(sql: &str) -> Vec<u32> {
    let start = sql.get(..ASYNCPG_START.len()).unwrap_or_default();
    if start.eq_ignore_ascii_case(ASYNCPG_START) { vec![1028] } else { Vec::new() }
}

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
        if lower.starts_with(ASYNCPG_START) {
            return ASYNCPG_TYPES.into();
        }
        let about_catalog = mentions(CATALOG_WORDS);
        if !(about_catalog || mentions(SESSION_WORDS)) || nests_too_deeply(sql) {
            return sql.into();
        }
        sql::with_stack(|| self.rewrite_parsed(sql, &lower, about_catalog, settings))
    }

    fn rewrite_parsed<'a>(
        &self,
        sql: &'a str,
        lower: &str,
        about_catalog: bool,
        settings: &ClientSettings,
    ) -> Cow<'a, str> {
        let statements = if about_catalog {
            self.parser.parse(&looked_up(sql, lower))
        } else {
            Parser::parse_sql(&PostgreSqlDialect {}, sql)
        };
        let Ok(mut statements) = statements else { return sql.into() };
        let Some(statement) = statements.pop().filter(|_| statements.is_empty()) else { return sql.into() };
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

/// Types of parameters by the casts written around them (`$1::text[]`), by their number: drivers that send no types rely
/// on these.
pub(crate) fn cast_types(sql: &str) -> HashMap<usize, ArrowType> {
    let mut casts = Casts::default();
    if sql.contains('$') && !nests_too_deeply(sql) {
        sql::with_stack(|| {
            for mut statement in Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap_or_default() {
                let _ = statement.visit(&mut casts);
            }
        });
    }
    casts.0
}

/// Whether parsing `sql` could overflow the stack, or it has no tokens at all. Such a statement goes to the engine as it
/// is, which refuses it with the place.
fn nests_too_deeply(sql: &str) -> bool {
    let Ok(mut tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else { return true };
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    sql::check_depth(&tokens).is_err()
}

#[derive(Default)]
struct Casts(HashMap<usize, ArrowType>);

impl VisitorMut for Casts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && let Expr::Value(value) = inner.as_ref()
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse().ok())
            && let Some(arrow) = arrow_type(&data_type.to_string())
        {
            self.0.entry(number).or_insert(arrow);
        }
        ControlFlow::Continue(())
    }
}

/// The Arrow type of a type as SQL writes it; `None` for those whose values decide (`numeric`).
fn arrow_type(written: &str) -> Option<ArrowType> {
    let upper = written.to_ascii_uppercase();
    if let Some(item) = upper.strip_suffix("[]") {
        return Some(ArrowType::List(Field::new_list_field(arrow_type(item)?, true).into()));
    }
    let oid = match upper.split('(').next()?.trim() {
        "BOOL" | "BOOLEAN" => oid::BOOL,
        "SMALLINT" | "INT2" => oid::INT2,
        "INT" | "INTEGER" | "INT4" => oid::INT4,
        "BIGINT" | "INT8" => oid::INT8,
        "REAL" | "FLOAT4" => oid::FLOAT4,
        "DOUBLE PRECISION" | "DOUBLE" | "FLOAT8" | "FLOAT" => oid::FLOAT8,
        "OID" => oid::INT8,
        "TEXT" | "VARCHAR" | "CHARACTER VARYING" | "CHAR" | "STRING" | "UUID" | "NAME" | "REGCLASS" => oid::TEXT,
        "BYTEA" => oid::BYTEA,
        "DATE" => oid::DATE,
        "TIME" | "TIME WITHOUT TIME ZONE" => oid::TIME,
        "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => oid::TIMESTAMP,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => oid::TIMESTAMPTZ,
        _ => return None,
    };
    parameter_type(oid)
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

/// `'orders'::regclass` as the lookup it is; done before the rules of `datafusion-pg-catalog`, which drop the cast. Its
/// table of replacements goes by the exact text, so what needs no change keeps it.
fn looked_up<'a>(sql: &'a str, lower: &str) -> Cow<'a, str> {
    if !lower.contains("regclass") && !lower.contains("oid") {
        return sql.into();
    }
    let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else { return sql.into() };
    let mut lookups = Lookups { changed: false };
    for statement in &mut statements {
        let _ = statement.visit(&mut lookups);
    }
    if !lookups.changed {
        return sql.into();
    }
    statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()
}

struct Lookups {
    changed: bool,
}

impl VisitorMut for Lookups {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Cast { expr: inner, data_type, .. } = expr else { return ControlFlow::Continue(()) };
        let is_value = matches!(inner.as_ref(), Expr::Value(_));
        let replacement = match data_type.to_string().to_ascii_lowercase().trim_start_matches("pg_catalog.") {
            "regclass" if is_value => expression(&format!(
                "(SELECT max(pg_c.oid) FROM pg_catalog.pg_class AS pg_c WHERE pg_c.relname = CAST({inner} AS TEXT))"
            )),
            "oid" => expression(&format!("CAST({inner} AS BIGINT)")),
            "oid[]" => expression(&format!("CAST({inner} AS BIGINT[])")),
            _ => None,
        };
        if let Some(replacement) = replacement {
            *expr = replacement;
            self.changed = true;
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
                    [
                        "regproc",
                        "regprocedure",
                        "regtype",
                        "regrole",
                        "regnamespace",
                        "regconfig",
                        "regdictionary",
                        "regoper",
                        "regoperator",
                    ]
                    .contains(&ident.value.to_ascii_lowercase().as_str())
                }) =>
            {
                *expr = inner.as_ref().clone();
            }
            // The engine's LIKE knows one escape character, the backslash.
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }
                if escape_char.is_some() =>
            {
                if let Some(Value::SingleQuotedString(escape)) = escape_char.as_ref()
                    && let Some(replaced) = expression(&format!("replace({pattern}, '{escape}', '\\')"))
                {
                    **pattern = replaced;
                    *escape_char = None;
                }
            }
            // The dump is of PostgreSQL 17, which renamed it.
            Expr::CompoundIdentifier(path) if path.last().is_some_and(|last| last.value == "colliculocale") => {
                if let Some(last) = path.last_mut() {
                    last.value = "colllocale".to_owned();
                }
            }
            // System columns: every row is its table's, and as old as time.
            Expr::CompoundIdentifier(path)
                if path.last().is_some_and(|last| {
                    ["tableoid", "xmin", "xmax", "cmin", "cmax", "ctid"].contains(&last.value.as_str())
                }) =>
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
        ("array", FunctionArguments::Subquery(_)) | ("json_build_object", _) => Some(no_text()),
        // Numbers of the items that are unnested beside it; only of keys, of which there are none.
        ("generate_subscripts", FunctionArguments::List(list)) => {
            expression(&format!("unnest({})", list.args.first()?))
        }
        ("array_to_string", FunctionArguments::List(list)) => {
            let first = list.args.first().map(ToString::to_string).unwrap_or_default().to_ascii_lowercase();
            (!first.contains("array_agg") && !first.starts_with("array[")).then(no_text)
        }
        ("pg_get_viewdef", FunctionArguments::List(list)) => {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(view)) = list.args.first()? else { return None };
            expression(&format!(
                "(SELECT max(pg_v.definition) FROM pg_catalog.pg_views AS pg_v WHERE pg_v.viewoid = {view})"
            ))
        }
        _ => None,
    }
}

/// `(SELECT x FROM …)` becomes `(SELECT max(x) FROM …)` where there is nothing that says it gives one row.
fn aggregate(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = &mut select.projection[..] else {
        return;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let text = expr.to_string().to_ascii_lowercase();
    let aggregated = ["max(", "min(", "count(", "sum(", "array_agg(", "string_agg(", "bool_or(", "bool_and("]
        .iter()
        .any(|f| text.contains(f));
    if select.from.is_empty() || grouped || aggregated || query.order_by.is_some() {
        return;
    }
    if let Some(max) = expression(&format!("max({expr})")) {
        *expr = max;
    }
}

/// `text` as an expression.
fn expression(text: &str) -> Option<Expr> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()
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
        for sql in [
            "SELECT (SELECT max(a) FROM u WHERE u.b = t.b) FROM t",
            "CREATE STREAM s WITH (kafka_topic='pg_x')",
            "nonsense pg_",
        ] {
            assert_eq!(rewritten(sql), sql);
        }
    }

    #[test]
    fn statements_that_nest_too_deeply_are_left_to_the_engine() {
        for start in ["SELECT version()", "SELECT $1::text FROM pg_type WHERE 1", "SELECT 'a'::regclass"] {
            for link in ["+1", " AND 1", "||'a'"] {
                let sql = format!("{start}{}", link.repeat(50_000));
                assert_eq!(rewritten(&sql), sql);
                assert_eq!(cast_types(&sql), HashMap::new());
            }
        }
        let longest = format!("SELECT $1::text FROM pg_type WHERE 1{}", " AND 1".repeat(4_000));
        assert_eq!(cast_types(&longest).len(), 1);
        assert!(!rewritten(&longest).is_empty());
    }

    #[test]
    fn session_functions_are_answered_here() {
        assert_eq!(rewritten("SELECT current_setting('datestyle')"), "SELECT 'ISO, MDY' AS current_setting");
        assert_eq!(
            rewritten("select pg_catalog.version()"),
            format!("SELECT 'PostgreSQL {SERVER_VERSION}' AS version")
        );
        assert_eq!(rewritten("SELECT current_schema()"), "SELECT 'public' AS current_schema");
    }

    #[test]
    fn casts_say_what_parameters_are() {
        let types = cast_types("SELECT $1::bigint, CAST($2 AS text[]), $3, $4::numeric, '$5'::text");
        let texts = ArrowType::List(Field::new_list_field(ArrowType::Utf8, true).into());
        assert_eq!(types, HashMap::from([(1, ArrowType::Int64), (2, texts)]));
    }

    #[test]
    fn qualified_operators_are_plain_ones() {
        let sql = "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default";
        assert_eq!(rewritten(sql), "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname ~ '^(x)$'");
    }
}
