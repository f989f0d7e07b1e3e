//! What only the session knows: its settings, its user, its process id. Functions become their answers, tables the rows
//! they have for this session.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
        SelectItem, SetExpr, Statement, TableAlias, TableFactor, Value, VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{expression, no_text, operator};
use crate::settings::{ClientSettings, DATABASE, SERVER_VERSION};

/// Puts in what the session answers itself.
pub(super) struct OfSession<'a> {
    pub(super) settings: &'a ClientSettings,
}

impl OfSession<'_> {
    fn user(&self) -> &str {
        self.settings.get("session_authorization").unwrap_or_default()
    }

    /// The value of a column that has the same in every row: owners, and arrays of `pg_proc`, which the dump has as text no
    /// client can read.
    fn same_everywhere(&self, expr: &Expr) -> Option<Expr> {
        let last = match expr {
            Expr::Identifier(ident) => ident,
            Expr::CompoundIdentifier(path) => path.last()?,
            _ => return None,
        };
        match last.value.as_str() {
            "tableowner" | "viewowner" => Some(Expr::value(Value::SingleQuotedString(self.user().to_owned()))),
            "proallargtypes" | "proargmodes" | "proargnames" => Some(no_text()),
            _ => None,
        }
    }

    /// The rows of a table that differ from session to session, as a query.
    fn rows(&self, table: &str) -> Option<String> {
        let (user, pid) = (quoted(self.user()), self.settings.pid);
        let application = quoted(self.settings.get("application_name").unwrap_or_default());
        Some(match table {
            "pg_roles" => format!(
                "SELECT CAST(10 AS INT) AS oid, {user} AS rolname, false AS rolsuper, true AS rolinherit, \
                 false AS rolcreaterole, false AS rolcreatedb, true AS rolcanlogin, false AS rolreplication, \
                 CAST(-1 AS INT) AS rolconnlimit, CAST(NULL AS TEXT) AS rolpassword, \
                 CAST(NULL AS TIMESTAMP) AS rolvaliduntil, false AS rolbypassrls, CAST(NULL AS TEXT) AS rolconfig"
            ),
            "pg_user" => format!(
                "SELECT {user} AS usename, CAST(10 AS INT) AS usesysid, false AS usecreatedb, false AS usesuper, \
                 false AS userepl, false AS usebypassrls, CAST(NULL AS TEXT) AS passwd, \
                 CAST(NULL AS TIMESTAMP) AS valuntil, CAST(NULL AS TEXT) AS useconfig"
            ),
            "pg_stat_activity" => format!(
                "SELECT CAST(5 AS INT) AS datid, '{DATABASE}' AS datname, CAST({pid} AS INT) AS pid, \
                 CAST(10 AS INT) AS usesysid, {user} AS usename, {application} AS application_name, \
                 CAST(NULL AS TEXT) AS client_addr, CAST(NULL AS TEXT) AS client_hostname, \
                 CAST(NULL AS INT) AS client_port, now() AS backend_start, now() AS xact_start, now() AS query_start, \
                 now() AS state_change, CAST(NULL AS TEXT) AS wait_event_type, CAST(NULL AS TEXT) AS wait_event, \
                 'active' AS state, CAST(NULL AS BIGINT) AS backend_xid, CAST(NULL AS BIGINT) AS backend_xmin, \
                 '' AS query, 'client backend' AS backend_type, CAST(NULL AS INT) AS leader_pid"
            ),
            "pg_settings" => {
                let row = |(name, value): (&str, &str)| format!("({}, {})", quoted(name), quoted(value));
                let rows: Vec<_> = self.settings.all().map(row).collect();
                format!(
                    "SELECT column1 AS name, column2 AS setting, CAST(NULL AS TEXT) AS unit, 'Lakehead' AS category, \
                     '' AS short_desc, CAST(NULL AS TEXT) AS extra_desc, 'user' AS context, 'string' AS vartype, \
                     'default' AS source, CAST(NULL AS TEXT) AS min_val, CAST(NULL AS TEXT) AS max_val, \
                     CAST(NULL AS TEXT) AS enumvals, column2 AS boot_val, column2 AS reset_val, \
                     CAST(NULL AS TEXT) AS sourcefile, CAST(NULL AS INT) AS sourceline, false AS pending_restart \
                     FROM (VALUES {}) AS settings",
                    rows.join(", ")
                )
            }
            _ => return None,
        })
    }

    /// Tables of `information_schema` that the engine has not, as a query. They are all empty here: there are no keys,
    /// sequences and triggers, and nobody was granted anything because everybody may do everything.
    fn standard(&self, table: &str) -> Option<String> {
        let (_, columns) = STANDARD.iter().find(|(name, _)| name.eq_ignore_ascii_case(table))?;
        let columns: Vec<_> = columns.split(' ').map(|column| format!("CAST(NULL AS TEXT) AS {column}")).collect();
        Some(format!("SELECT {} WHERE false", columns.join(", ")))
    }

    /// The answer of `function`, and the name its column has when none is given.
    fn answer(&self, function: &Function) -> Option<(Expr, String)> {
        let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
        let text = |value: &str| Expr::value(Value::SingleQuotedString(value.to_owned()));
        let answer = match name.as_str() {
            "version" => text(&format!("PostgreSQL {SERVER_VERSION}")),
            "current_setting" if literal(function, 0).is_none() => {
                let FunctionArguments::List(list) = &function.args else { return None };
                let (rows, setting) = (self.rows("pg_settings")?, list.args.first()?);
                expression(&format!("(SELECT max(setting) FROM ({rows}) AS s WHERE lower(name) = lower({setting}))"))?
            }
            "current_setting" => match self.settings.get(&literal(function, 0)?) {
                Some(value) => text(value),
                // With `missing_ok`, or for settings we have not: NULL rather than a broken client.
                None => Expr::value(Value::Null),
            },
            // Pools and drivers set what they need with SET; here only the answer is wanted.
            "set_config" => text(&literal(function, 1)?),
            "current_schema" => text(self.settings.get("search_path")?.split(',').next()?.trim().trim_matches('"')),
            "current_user" | "session_user" | "current_role" | "user" => text(self.user()),
            // Whoever asks owns everything: nobody else is known here.
            "pg_get_userbyid" => text(self.user()),
            "current_database" | "current_catalog" => text(DATABASE),
            "pg_backend_pid" => Expr::value(Value::Number(self.settings.pid.to_string(), false)),
            _ => return None,
        };
        Some((answer, name))
    }
}

/// Tables of the SQL standard with their columns, which are all text.
const STANDARD: &[(&str, &str)] = &[
    ("check_constraints", "constraint_catalog constraint_schema constraint_name check_clause"),
    (
        "column_privileges",
        "grantor grantee table_catalog table_schema table_name column_name privilege_type is_grantable",
    ),
    (
        "constraint_column_usage",
        "table_catalog table_schema table_name column_name constraint_catalog constraint_schema constraint_name",
    ),
    (
        "constraint_table_usage",
        "table_catalog table_schema table_name constraint_catalog constraint_schema constraint_name",
    ),
    (
        "key_column_usage",
        "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name column_name \
         ordinal_position position_in_unique_constraint",
    ),
    (
        "referential_constraints",
        "constraint_catalog constraint_schema constraint_name unique_constraint_catalog unique_constraint_schema \
         unique_constraint_name match_option update_rule delete_rule",
    ),
    ("role_table_grants", GRANTS),
    (
        "routine_privileges",
        "grantor grantee specific_catalog specific_schema specific_name routine_catalog routine_schema routine_name \
         privilege_type is_grantable",
    ),
    (
        "sequences",
        "sequence_catalog sequence_schema sequence_name data_type numeric_precision numeric_precision_radix numeric_scale \
         start_value minimum_value maximum_value increment cycle_option",
    ),
    (
        "table_constraints",
        "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name constraint_type \
         is_deferrable initially_deferred enforced nulls_distinct",
    ),
    ("table_privileges", GRANTS),
    (
        "triggers",
        "trigger_catalog trigger_schema trigger_name event_manipulation event_object_catalog event_object_schema \
         event_object_table action_order action_condition action_statement action_orientation action_timing",
    ),
    (
        "usage_privileges",
        "grantor grantee object_catalog object_schema object_name object_type privilege_type is_grantable",
    ),
];

const GRANTS: &str = "grantor grantee table_catalog table_schema table_name privilege_type is_grantable with_hierarchy";

/// The schema a table is qualified with; that of another database is none.
fn schema_of(name: &ObjectName) -> Option<String> {
    let parts: Vec<_> = name.0.iter().map(|part| part.as_ident().map_or("", |ident| &ident.value)).collect();
    match parts.as_slice() {
        [_] => None,
        [schema, _] | [DATABASE, schema, _] => Some(schema.to_ascii_lowercase()),
        _ => Some(String::new()),
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

impl VisitorMut for OfSession<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                match item {
                    SelectItem::UnnamedExpr(Expr::Function(function)) => {
                        if let Some((expr, name)) = self.answer(function) {
                            *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
                        }
                    }
                    SelectItem::UnnamedExpr(expr) => {
                        if let Some(same) = self.same_everywhere(expr) {
                            let alias = Ident::new(expr.to_string().rsplit('.').next().unwrap_or_default());
                            *item = SelectItem::ExprWithAlias { expr: same, alias };
                        }
                    }
                    _ => {}
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let Some(table) = name.0.last().and_then(|part| part.as_ident())
            && let Some(rows) = match schema_of(name).as_deref() {
                None | Some("pg_catalog") => self.rows(&table.value),
                Some("information_schema") => self.standard(&table.value),
                Some(_) => None,
            }
        {
            let alias = alias.clone().map_or_else(
                || table.to_string(),
                // Its AS is written below.
                |alias| TableAlias { explicit: false, ..alias }.to_string(),
            );
            if let Some(derived) = relation(&format!("SELECT * FROM ({rows}) AS {alias}")) {
                *factor = derived;
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
            // `pg_catalog.pg_roles.rolname`: what stands for the table has no schema.
            Expr::CompoundIdentifier(path)
                if path.len() == 3 && path[0].value == "pg_catalog" && self.rows(&path[1].value).is_some() =>
            {
                path.remove(0);
            }
            column => {
                if let Some(same) = self.same_everywhere(column) {
                    *column = same;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The relation a query reads.
fn relation(query: &str) -> Option<TableFactor> {
    let statement = Parser::parse_sql(&PostgreSqlDialect {}, query).ok()?.pop()?;
    let Statement::Query(query) = statement else { return None };
    match *query.body {
        SetExpr::Select(select) => Some(select.from.into_iter().next()?.relation),
        _ => None,
    }
}
