//! What statements are made of: words, names, properties, literals; and what is wrong with them.

use datafusion::sql::sqlparser::{
    ast::{Expr, Ident, ObjectName, Query, UnaryOperator, Value},
    parser::{Parser, ParserError},
    tokenizer::Token,
};
use model::{Error, error::codes};

use crate::text::{Name, depth};

pub(in crate::text) type Read<T> = Result<T, Failure>;

/// What goes wrong while parsing: the text, or something that is understood and not offered.
pub(in crate::text) enum Failure {
    Text(ParserError),
    Other(Error),
}

impl From<ParserError> for Failure {
    fn from(error: ParserError) -> Self {
        Self::Text(error)
    }
}

pub(super) fn name(p: &mut Parser<'_>) -> Read<Name> {
    let ObjectName(parts) = p.parse_object_name(false)?;
    let parts: Option<Vec<Ident>> = parts.iter().map(|part| part.as_ident().cloned()).collect();
    parts.ok_or_else(|| Failure::Text(expected(p, "a name")))
}

pub(super) fn if_not_exists(p: &mut Parser<'_>) -> Read<bool> {
    if !take_word(p, "IF") {
        return Ok(false);
    }
    end_of(p, &["NOT", "EXISTS"])?;
    Ok(true)
}

pub(super) fn if_exists(p: &mut Parser<'_>) -> Read<bool> {
    if !take_word(p, "IF") {
        return Ok(false);
    }
    end_of(p, &["EXISTS"])?;
    Ok(true)
}

pub(super) fn at_end(p: &mut Parser<'_>) -> Result<(), ParserError> {
    if p.peek_token().token == Token::EOF { Ok(()) } else { Err(expected(p, "the end of the statement")) }
}

pub(super) fn expected(p: &Parser<'_>, what: &str) -> ParserError {
    match p.expected::<()>(what, p.peek_token()) {
        Err(error) => error,
        Ok(()) => unreachable!("`expected` always fails"),
    }
}

/// Takes the next token if it is this word, unquoted, in any case.
pub(in crate::text) fn take_word(p: &mut Parser<'_>, word: &str) -> bool {
    let found = matches!(&p.peek_token().token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    if found {
        p.next_token();
    }
    found
}

/// Takes these words, one after the other.
pub(in crate::text) fn end_of(p: &mut Parser<'_>, words: &[&str]) -> Result<(), ParserError> {
    for word in words {
        if !take_word(p, word) {
            return Err(expected(p, word));
        }
    }
    Ok(())
}

/// `( key = value, … )`; keys are words or strings.
pub(super) fn properties(p: &mut Parser<'_>) -> Read<Vec<(String, Expr)>> {
    p.expect_token(&Token::LParen)?;
    let mut properties = Vec::new();
    while !p.consume_token(&Token::RParen) {
        let key = match p.next_token().token {
            Token::Word(word) => word.value,
            Token::SingleQuotedString(key) => key,
            _ => {
                p.prev_token();
                return Err(Failure::Text(expected(p, "the name of a property")));
            }
        };
        p.expect_token(&Token::Eq)?;
        properties.push((key, p.parse_expr()?));
        if !p.consume_token(&Token::Comma) {
            p.expect_token(&Token::RParen)?;
            break;
        }
    }
    Ok(properties)
}

/// A query, its chains of operators balanced.
pub(super) fn query(p: &mut Parser<'_>) -> Read<Box<Query>> {
    let mut query = p.parse_query()?;
    depth::balance_query(&mut query);
    Ok(query)
}

/// The text of a literal option value: `'JSON'`, `4`, `true`, a bare word.
pub(crate) fn literal_text(expr: &Expr) -> Option<String> {
    Some(match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            Value::Number(number, _) => number.clone(),
            Value::Boolean(boolean) => boolean.to_string(),
            _ => return None,
        },
        Expr::Identifier(word) => word.value.clone(),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            format!("-{}", literal_text(expr)?)
        }
        _ => return None,
    })
}

pub(in crate::text) fn unsupported(what: impl std::fmt::Display, hint: &'static str) -> Failure {
    let error = Error::new(codes::SQL_UNSUPPORTED, format!("{what} is not offered"));
    Failure::Other(if hint.is_empty() { error } else { error.hint(hint) })
}

pub(super) fn continuous(what: &str) -> Failure {
    Failure::Other(continuous_error(what))
}

pub(super) fn continuous_error(what: &str) -> Error {
    Error::new(codes::SQL_CONTINUOUS, format!("{what} is a continuous query, which is not part of this release"))
        .hint("CREATE VIEW name AS SELECT … is always fresh; CREATE TABLE name AS SELECT … makes a snapshot")
}
