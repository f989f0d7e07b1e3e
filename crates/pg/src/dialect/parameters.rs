//! What the text of a statement says about its parameters. Drivers that send no types rely on it.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::sqlparser::{
    ast::{Expr, LimitClause, Query, Value, VisitMut, VisitorMut},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::nests_too_deeply;
use crate::types::{array_of, oid};

/// Types of parameters by number, from the casts around them (`$1::text[]`) and the places that take only numbers
/// (`LIMIT $1`).
pub(crate) fn written_types(sql: &str) -> HashMap<usize, u32> {
    let mut found = Written::default();
    if sql.contains('$') && !nests_too_deeply(sql) {
        sql::with_stack(|| {
            for mut statement in Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap_or_default() {
                let _ = statement.visit(&mut found);
            }
        });
    }
    found.0
}

#[derive(Default)]
struct Written(HashMap<usize, u32>);

impl Written {
    fn note(&mut self, expr: &Expr, oid: u32) {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse().ok())
        {
            self.0.entry(number).or_insert(oid);
        }
    }
}

impl VisitorMut for Written {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            limit.iter().chain(offset.as_ref().map(|offset| &offset.value)).for_each(|rows| self.note(rows, oid::INT8));
        }
        if let Some(rows) = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()) {
            self.note(rows, oid::INT8);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && let Some(oid) = named(&data_type.to_string())
        {
            self.note(inner, oid);
        }
        ControlFlow::Continue(())
    }
}

/// The OID of a type as SQL writes it.
fn named(written: &str) -> Option<u32> {
    let upper = written.to_ascii_uppercase();
    if let Some(item) = upper.strip_suffix("[]") {
        return array_of(named(item)?);
    }
    // `NUMERIC(10,2)`, `TIMESTAMP(3) WITH TIME ZONE`
    let (name, rest) = upper.split_once('(').unwrap_or((&upper, ""));
    let zoned = rest.ends_with("WITH TIME ZONE");
    Some(match name.trim() {
        "BOOL" | "BOOLEAN" => oid::BOOL,
        "SMALLINT" | "INT2" => oid::INT2,
        "INT" | "INTEGER" | "INT4" => oid::INT4,
        "BIGINT" | "INT8" | "OID" => oid::INT8,
        "REAL" | "FLOAT4" => oid::FLOAT4,
        "DOUBLE PRECISION" | "DOUBLE" | "FLOAT8" | "FLOAT" => oid::FLOAT8,
        "NUMERIC" | "DECIMAL" | "DEC" => oid::NUMERIC,
        "TEXT" | "VARCHAR" | "CHARACTER VARYING" | "CHAR" | "STRING" | "NAME" | "REGCLASS" => oid::TEXT,
        "BYTEA" => oid::BYTEA,
        "DATE" => oid::DATE,
        "TIME" | "TIME WITHOUT TIME ZONE" => oid::TIME,
        "TIMESTAMP" if zoned => oid::TIMESTAMPTZ,
        "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => oid::TIMESTAMP,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => oid::TIMESTAMPTZ,
        "INTERVAL" => oid::INTERVAL,
        "UUID" => oid::UUID,
        "JSON" => oid::JSON,
        "JSONB" => oid::JSONB,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_and_limits_say_what_parameters_are() {
        let sql = "SELECT $1::bigint, CAST($2 AS text[]), $3, $4::numeric(10, 2), '$5'::text, $5::uuid, $6::jsonb \
                   FROM t LIMIT $7 OFFSET $8";
        let expected = [(1, 20), (2, 1009), (4, 1700), (5, 2950), (6, 3802), (7, 20), (8, 20)];
        assert_eq!(written_types(sql), HashMap::from(expected));
        let times = "SELECT $1::timestamptz, $2::timestamp(3) with time zone, $3::timestamp, $4::interval";
        assert_eq!(written_types(times), HashMap::from([(1, 1184), (2, 1184), (3, 1114), (4, 1186)]));
    }
}
