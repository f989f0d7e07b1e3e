//! `CREATE`, `DROP`, `ALTER`: what there is.

use datafusion::sql::sqlparser::{parser::Parser, tokenizer::Token};

use super::words::{
    Failure, Read, continuous, end_of, expected, if_exists, if_not_exists, name, properties, query, take_word,
    unsupported,
};
use crate::text::{CreateTable, DeclareStream, Statement, columns, statement::Dropped};

pub(super) fn create(p: &mut Parser<'_>) -> Read<Option<Statement>> {
    let mut or_replace = false;
    if take_word(p, "OR") {
        end_of(p, &["REPLACE"])?;
        or_replace = true;
    }
    let source = take_word(p, "SOURCE");
    if take_word(p, "ZONE") || take_word(p, "SCHEMA") || take_word(p, "DATABASE") {
        let if_not_exists = if_not_exists(p)?;
        return Ok(Some(Statement::CreateZone { name: p.parse_identifier()?, if_not_exists }));
    }
    let is_table = match () {
        _ if take_word(p, "STREAM") => false,
        _ if take_word(p, "TABLE") => true,
        _ => {
            let next = p.peek_token().token.to_string().to_ascii_uppercase();
            return match next.as_str() {
                "VIEW" | "EXTERNAL" | "UNBOUNDED" => Ok(None),
                "MATERIALIZED" => Err(continuous("CREATE MATERIALIZED VIEW")),
                "TEMP" | "TEMPORARY" => {
                    Err(unsupported("a temporary table or view", "name a part of the query with WITH"))
                }
                "SERVICE" | "JOB" | "CRAWLER" | "MODEL" | "CONNECTOR" | "TYPE" | "INDEX" | "FUNCTION" | "SEQUENCE"
                | "ROLE" | "USER" | "TRIGGER" | "MASK" | "ROW" | "UNIQUE" | "EXTENSION" | "SINK" | "AGGREGATE"
                | "PROCEDURE" | "MACRO" => Err(unsupported(format!("CREATE {next}"), "")),
                "TOPIC" => Err(unsupported(
                    "CREATE TOPIC",
                    "use CREATE STREAM name (…) WITH (KAFKA_TOPIC='topic', PARTITIONS=n), or `lakehead topics create`",
                )),
                _ => Err(Failure::Text(expected(p, "a kind of thing to CREATE: STREAM, TABLE, VIEW, SCHEMA, ZONE"))),
            };
        }
    };
    let if_not_exists = if_not_exists(p)?;
    let name = name(p)?;
    let columns = if p.consume_token(&Token::LParen) { columns::columns(p)? } else { Vec::new() };
    let mut partitioned_by = Vec::new();
    let mut options = Vec::new();
    loop {
        if take_word(p, "PARTITIONED") || take_word(p, "PARTITION") {
            end_of(p, &["BY"])?;
            p.expect_token(&Token::LParen)?;
            partitioned_by = p.parse_comma_separated(Parser::parse_expr)?;
            p.expect_token(&Token::RParen)?;
        } else if take_word(p, "WITH") || take_word(p, "TBLPROPERTIES") {
            options.extend(properties(p)?);
        } else if take_word(p, "COMMENT") {
            options.push(("comment".to_owned(), p.parse_expr()?));
        } else {
            break;
        }
    }
    let is_ksql = !is_table
        || source
        || options.iter().any(|(key, _)| {
            ["kafka_topic", "value_format", "key_format"].iter().any(|known| key.eq_ignore_ascii_case(known))
        });
    if take_word(p, "AS") {
        if is_ksql {
            return Err(continuous(if is_table {
                "CREATE TABLE … WITH (KAFKA_TOPIC) AS SELECT"
            } else {
                "CREATE STREAM … AS SELECT"
            }));
        }
        let query = query(p)?;
        let mut with_data = true;
        if take_word(p, "WITH") {
            if take_word(p, "NO") {
                with_data = false;
            }
            end_of(p, &["DATA"])?;
        }
        let table = CreateTable {
            name,
            or_replace,
            if_not_exists,
            columns,
            partitioned_by,
            options,
            query: Some(query),
            with_data,
        };
        return Ok(Some(Statement::CreateTable(Box::new(table))));
    }
    if is_ksql {
        if !partitioned_by.is_empty() {
            return Err(unsupported(
                "PARTITIONED BY of a stream",
                "the topic's partitions come from WITH (PARTITIONS=n)",
            ));
        }
        let stream = DeclareStream { name, is_table, or_replace, if_not_exists, columns, options };
        return Ok(Some(Statement::Declare(Box::new(stream))));
    }
    let table =
        CreateTable { name, or_replace, if_not_exists, columns, partitioned_by, options, query: None, with_data: true };
    Ok(Some(Statement::CreateTable(Box::new(table))))
}

pub(super) fn drop(p: &mut Parser<'_>) -> Read<Option<Statement>> {
    if take_word(p, "ZONE") || take_word(p, "SCHEMA") || take_word(p, "DATABASE") {
        let if_exists = if_exists(p)?;
        let name = p.parse_identifier()?;
        let _ = take_word(p, "RESTRICT");
        if take_word(p, "CASCADE") {
            return Err(unsupported("DROP SCHEMA … CASCADE", "drop its tables first"));
        }
        return Ok(Some(Statement::DropZone { name, if_exists }));
    }
    let what = match () {
        _ if take_word(p, "STREAM") => Dropped::Stream,
        _ if take_word(p, "TABLE") => Dropped::Table,
        _ if take_word(p, "VIEW") => Dropped::View,
        _ if take_word(p, "TOPIC") => Dropped::Topic,
        _ => return Err(unsupported(format!("DROP {}", p.peek_token().token), "")),
    };
    let if_exists = if_exists(p)?;
    let name = name(p)?;
    let mut delete_topic = what == Dropped::Topic;
    if take_word(p, "DELETE") {
        end_of(p, &["TOPIC"])?;
        delete_topic = true;
    }
    let _ = take_word(p, "RESTRICT") || take_word(p, "PURGE");
    if take_word(p, "CASCADE") {
        return Err(unsupported("DROP … CASCADE", "drop what depends on it first"));
    }
    Ok(Some(Statement::Drop { what, name, if_exists, delete_topic }))
}

pub(super) fn alter(p: &mut Parser<'_>) -> Read<Statement> {
    if !(take_word(p, "TABLE") || take_word(p, "STREAM")) {
        return Err(unsupported(format!("ALTER {}", p.peek_token().token), "ALTER TABLE name ADD COLUMN is offered"));
    }
    let _ = if_exists(p)?;
    let table = name(p)?;
    let mut columns = Vec::new();
    let mut keep_existing = false;
    loop {
        if !take_word(p, "ADD") {
            return Err(unsupported(format!("ALTER TABLE … {}", p.peek_token().token), "ADD COLUMN is offered"));
        }
        let _ = take_word(p, "COLUMN") || take_word(p, "COLUMNS");
        keep_existing |= if_not_exists(p)?;
        if p.consume_token(&Token::LParen) {
            columns.extend(columns::columns(p)?);
        } else {
            columns.push(columns::column(p)?);
        }
        if !p.consume_token(&Token::Comma) {
            return Ok(Statement::AddColumns { table, columns, if_not_exists: keep_existing });
        }
    }
}
