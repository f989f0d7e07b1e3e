//! `SHOW`, `SET`, `PREPARE`, `EXECUTE`: what a session sees and keeps.

use datafusion::sql::sqlparser::{
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use super::words::{Failure, Read, end_of, expected, name, take_word, unsupported};
use crate::text::{Show, Statement, columns};

pub(super) fn show(p: &mut Parser<'_>) -> Read<Show> {
    let all = take_word(p, "ALL");
    let extended = |p: &mut Parser<'_>| {
        take_word(p, "EXTENDED");
    };
    let like = |p: &mut Parser<'_>| -> Read<Option<String>> {
        Ok(if take_word(p, "LIKE") { Some(p.parse_literal_string()?) } else { None })
    };
    if take_word(p, "TOPICS") {
        extended(p);
        return Ok(Show::Topics { all });
    }
    if all {
        return Ok(Show::All);
    }
    take_word(p, "FULL");
    if take_word(p, "TABLES") {
        extended(p);
        let namespace = if take_word(p, "FROM") || take_word(p, "IN") { Some(p.parse_identifier()?) } else { None };
        return Ok(Show::Tables { namespace, like: like(p)? });
    }
    if take_word(p, "VIEWS") {
        return Ok(Show::Views);
    }
    if take_word(p, "STREAMS") {
        extended(p);
        return Ok(Show::Streams);
    }
    if take_word(p, "QUERIES") {
        extended(p);
        return Ok(Show::Queries);
    }
    if take_word(p, "FUNCTIONS") {
        return Ok(Show::Functions { like: like(p)? });
    }
    if take_word(p, "COLUMNS") || take_word(p, "FIELDS") {
        if !(take_word(p, "FROM") || take_word(p, "IN")) {
            return Err(Failure::Text(expected(p, "FROM and a name")));
        }
        return Ok(Show::Columns { of: name(p)? });
    }
    if take_word(p, "CREATE") {
        let _ = take_word(p, "TABLE") || take_word(p, "VIEW") || take_word(p, "STREAM");
        return Ok(Show::Create { of: name(p)? });
    }
    if take_word(p, "SCHEMAS") || take_word(p, "ZONES") || take_word(p, "DATABASES") || take_word(p, "NAMESPACES") {
        return Ok(Show::Zones);
    }
    if take_word(p, "PROPERTIES") || take_word(p, "VARIABLES") {
        return Ok(Show::All);
    }
    if take_word(p, "TRANSACTION") {
        end_of(p, &["ISOLATION", "LEVEL"])?;
        return Ok(Show::Variable("transaction_isolation".to_owned()));
    }
    if take_word(p, "TIME") {
        end_of(p, &["ZONE"])?;
        return Ok(Show::Variable("timezone".to_owned()));
    }
    Ok(Show::Variable(key(p)?))
}

pub(super) fn set(p: &mut Parser<'_>) -> Read<Statement> {
    let _ = take_word(p, "LOCAL") || take_word(p, "SESSION");
    if take_word(p, "NAMES")
        || take_word(p, "TRANSACTION")
        || take_word(p, "CHARACTERISTICS")
        || take_word(p, "CONSTRAINTS")
    {
        while p.peek_token().token != Token::EOF {
            p.next_token();
        }
        return Ok(Statement::Nothing { tag: "SET" });
    }
    if take_word(p, "TIME") {
        end_of(p, &["ZONE"])?;
        return Ok(Statement::Set { key: "timezone".to_owned(), value: setting_value(p)? });
    }
    let key = key(p)?;
    if !p.consume_token(&Token::Eq) && !take_word(p, "TO") {
        return Err(Failure::Text(expected(p, "= or TO and a value")));
    }
    Ok(Statement::Set { key, value: setting_value(p)? })
}

/// `datafusion.execution.batch_size`, `"x"`, `'auto.offset.reset'`.
pub(super) fn key(p: &mut Parser<'_>) -> Read<String> {
    if let Token::SingleQuotedString(key) = p.peek_token().token {
        p.next_token();
        return Ok(key);
    }
    let parts = name(p)?;
    Ok(parts.iter().map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join("."))
}

fn setting_value(p: &mut Parser<'_>) -> Read<String> {
    let mut value = String::new();
    loop {
        match p.peek_token().token {
            Token::EOF => break,
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => value.push_str(&text),
            Token::Comma => value.push_str(", "),
            Token::Word(word) => {
                if value.ends_with(|c: char| c.is_alphanumeric()) {
                    value.push(' ');
                }
                value.push_str(&word.value)
            }
            other => value.push_str(&other.to_string()),
        }
        p.next_token();
    }
    if value.is_empty() {
        return Err(Failure::Text(expected(p, "a value")));
    }
    Ok(value)
}

/// `PREPARE name [(type, …)] AS|FROM statement`
pub(super) fn prepare(mut p: Parser<'_>, tokens: &[TokenWithSpan]) -> Read<Statement> {
    let name = p.parse_identifier()?;
    let mut types = Vec::new();
    if p.consume_token(&Token::LParen) {
        types = p.parse_comma_separated(columns::data_type)?;
        p.expect_token(&Token::RParen)?;
    }
    if !take_word(&mut p, "AS") && !take_word(&mut p, "FROM") {
        return Err(Failure::Text(expected(&p, "AS and a statement")));
    }
    // The cursor counts tokens, and white space is gone: what is left is the statement.
    let rest = tokens.get(p.index()..).unwrap_or_default();
    if rest.is_empty() {
        return Err(Failure::Text(expected(&p, "a statement")));
    }
    let inner = super::statement(rest)?;
    if !matches!(inner, Statement::Sql(_)) {
        return Err(unsupported("PREPARE of this statement", "queries, INSERT, UPDATE and DELETE can be prepared"));
    }
    Ok(Statement::Prepare { name, types, statement: Box::new(inner) })
}

pub(super) fn execute(p: &mut Parser<'_>) -> Read<Statement> {
    let name = p.parse_identifier()?;
    let mut arguments = Vec::new();
    if p.consume_token(&Token::LParen) {
        if !p.consume_token(&Token::RParen) {
            arguments = p.parse_comma_separated(Parser::parse_expr)?;
            p.expect_token(&Token::RParen)?;
        }
    } else if take_word(p, "USING") {
        arguments = p.parse_comma_separated(Parser::parse_expr)?;
    }
    Ok(Statement::Execute { name, arguments })
}
