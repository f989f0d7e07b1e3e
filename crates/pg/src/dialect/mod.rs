//! PostgreSQL's SQL where it differs from Lakehead's.
//!
//! A user's statement goes to the engine as it was written. Only two kinds are rewritten before:
//! * queries of clients about the catalog (they name `pg_…`, `information_schema` or `reg…` types), by the rules of
//!   `datafusion-pg-catalog` and a few of our own;
//! * statements with functions whose answer is this session's (`current_setting`, `version`), which are put in.

mod parameters;
mod session;

use std::{borrow::Cow, ops::ControlFlow};

use datafusion::sql::sqlparser::{
    ast::{
        AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, GroupByExpr, Query, SelectItem, SetExpr, Statement, TableFactor, Value, VisitMut, Visitor,
        VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

pub(crate) use self::parameters::written_types;
use self::session::OfSession;
use crate::settings::ClientSettings;

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
        let _ = statement.visit(&mut OfSession { settings });
        statement.to_string().into()
    }
}

/// Whether parsing `sql` could overflow the stack, or it has no tokens at all. Such a statement goes to the engine as it
/// is, which refuses it with the place.
fn nests_too_deeply(sql: &str) -> bool {
    let Ok(mut tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else { return true };
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    sql::check_depth(&tokens).is_err()
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
            // About what there never is here: defaults, sequences, keys.
            Expr::Subquery(query) if gives_nothing(query) => *expr = no_text(),
            // `(information_schema._pg_expandarray(i.indkey)).n`: only keys are taken apart so.
            Expr::CompoundFieldAccess { access_chain, .. } if is_key_part(access_chain) => {
                *expr = Expr::value(Value::Number("0".to_owned(), false));
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
            // Types of names and letters, which are texts.
            Expr::Cast { data_type, .. } if matches!(data_type.to_string().as_str(), "name" | "NAME" | "\"char\"") => {
                *data_type = DataType::Text;
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

/// Tables that are empty here.
const EMPTY: &[&str] =
    &["pg_attrdef", "pg_sequence", "pg_index", "pg_constraint", "pg_inherits", "pg_trigger", "pg_enum"];

/// Whether a subquery used as a value is sure to give NULL: it reads an empty table and does not count its rows, or makes
/// JSON of collations, which are all the same.
fn gives_nothing(query: &Query) -> bool {
    #[derive(Default)]
    struct Reads {
        empty: bool,
        counts: bool,
        json: bool,
    }
    impl Visitor for Reads {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, .. } = factor {
                let name = name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| &ident.value);
                self.empty |= EMPTY.contains(&name);
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                let name = function.name.to_string().to_ascii_lowercase();
                self.counts |= name.ends_with("count") || name.ends_with("coalesce");
                self.json |= name == "json_build_object";
            }
            ControlFlow::Continue(())
        }
    }
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let mut reads = Reads::default();
    let _ = datafusion::sql::sqlparser::ast::Visit::visit(query, &mut reads);
    // An outer join gives rows whatever it finds.
    let outer = select.from.iter().flat_map(|from| &from.joins).any(|join| {
        let text = join.to_string();
        ["LEFT ", "FULL ", "RIGHT "].iter().any(|kind| text.trim_start().starts_with(kind))
    });
    (reads.empty && !reads.counts && !outer) || reads.json
}

/// `.n`, `.x` or `.conkey[i]`; pgjdbc calls a column of a subquery `I_INDOPTION`.
fn is_key_part(access: &[AccessExpr]) -> bool {
    match access {
        [AccessExpr::Dot(Expr::Identifier(part))] => ["n", "x"].contains(&part.value.as_str()),
        [AccessExpr::Dot(Expr::Identifier(part)), AccessExpr::Subscript(_)] => {
            let array = part.value.to_ascii_lowercase();
            ["conkey", "confkey", "indkey", "indoption", "i_indoption", "indclass"].contains(&array.as_str())
        }
        _ => false,
    }
}

fn no_text() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::Null)),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}

fn catalog_function(function: &Function) -> Option<Expr> {
    let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    match (name.as_str(), &function.args) {
        // Lists of privileges, options and members: there are none.
        ("array", FunctionArguments::Subquery(_)) | ("json_build_object" | "_pg_expandarray", _) => Some(no_text()),
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
    use crate::settings::SERVER_VERSION;

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
                assert!(written_types(&sql).is_empty());
            }
        }
        let longest = format!("SELECT $1::text FROM pg_type WHERE 1{}", " AND 1".repeat(4_000));
        assert_eq!(written_types(&longest).len(), 1);
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
    fn what_is_not_here_is_null() {
        let defaults = "SELECT CASE WHEN a.atthasdef THEN (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d \
                        WHERE d.adrelid = a.attrelid) END FROM pg_catalog.pg_attribute a";
        assert!(!rewritten(defaults).contains("pg_attrdef"));
        let counted = "SELECT (SELECT count(*) FROM pg_catalog.pg_index) FROM pg_catalog.pg_class";
        assert!(rewritten(counted).contains("pg_index"));
        let key = "SELECT (information_schema._pg_expandarray(i.indkey)).n AS n FROM pg_catalog.pg_index i";
        assert_eq!(rewritten(key), "SELECT 0 AS n FROM pg_catalog.pg_index i");
    }

    #[test]
    fn qualified_operators_are_plain_ones() {
        let sql = "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default";
        assert_eq!(rewritten(sql), "SELECT 1 FROM pg_catalog.pg_class c WHERE c.relname ~ '^(x)$'");
    }
}
