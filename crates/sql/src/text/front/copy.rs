//! `COPY … TO 'path'` with PostgreSQL's options: `[WITH] (FORMAT csv, HEADER false, DELIMITER ';', NULL '')`.
//!
//! DataFusion reads the statement up to the path, and its own `STORED AS`, `PARTITIONED BY` and `OPTIONS`.

use datafusion::sql::{
    parser::{CopyToStatement, Statement as DfStatement},
    sqlparser::{
        ast::Value,
        parser::Parser,
        tokenizer::{Token, TokenWithSpan},
    },
};

use super::{
    at_end, parser, sql,
    words::{Failure, Read, expected, take_word, unsupported},
};
use crate::text::Statement;

pub(super) fn copy(tokens: &[TokenWithSpan]) -> Read<Statement> {
    let is_word = |token: &TokenWithSpan, wanted: &str| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted));
    let mut depth = 0_usize;
    let mut to = None;
    for (index, token) in tokens.iter().enumerate().skip(1) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if is_word(token, "FROM") => {
                return Err(unsupported("COPY … FROM", "write INSERT INTO table SELECT * FROM 'file.csv'"));
            }
            _ if is_word(token, "TO") => {
                to = Some(index);
                break;
            }
            _ => {}
        }
    }
    let Some(to) = to else { return sql(tokens) };
    match tokens.get(to + 1) {
        Some(target) if is_word(target, "STDOUT") || is_word(target, "PROGRAM") => {
            let what = format!("COPY … TO {}", target.token);
            return Err(unsupported(what, "`lakehead sql --format csv` and POST /sql with accept: text/csv give CSV"));
        }
        _ => {}
    }
    let rest = tokens.get(to + 2..).unwrap_or_default();
    let with = rest.first().is_some_and(|token| is_word(token, "WITH"));
    // `WITH HEADER ROW` is the engine's own.
    let postgres = match rest.get(usize::from(with)) {
        Some(next) => next.token == Token::LParen || (with && is_word(next, "CSV")),
        None => false,
    };
    if !postgres {
        return sql(tokens);
    }
    let Statement::Sql(mut statement) = sql(&tokens[..to + 2])? else { return sql(tokens) };
    if let DfStatement::CopyTo(copy) = statement.as_mut() {
        let mut p = parser(&rest[usize::from(with)..]);
        options(&mut p, copy)?;
        at_end(&mut p)?;
    }
    Ok(Statement::Sql(statement))
}

fn options(p: &mut Parser<'_>, copy: &mut CopyToStatement) -> Read<()> {
    if !p.consume_token(&Token::LParen) {
        // The old form: WITH CSV HEADER DELIMITER ';'
        while p.peek_token().token != Token::EOF {
            option(p, copy)?;
        }
        return Ok(());
    }
    loop {
        option(p, copy)?;
        if !p.consume_token(&Token::Comma) {
            break;
        }
    }
    p.expect_token(&Token::RParen)?;
    Ok(())
}

fn option(p: &mut Parser<'_>, copy: &mut CopyToStatement) -> Read<()> {
    if take_word(p, "CSV") {
        copy.stored_as = Some("CSV".to_owned());
    } else if take_word(p, "FORMAT") {
        copy.stored_as = Some(value(p)?.to_ascii_uppercase());
    } else if take_word(p, "HEADER") {
        let given = !matches!(p.peek_token().token, Token::Comma | Token::RParen | Token::EOF);
        let given = given.then(|| value(p)).transpose()?.map(|text| text.to_ascii_lowercase());
        let header = match given.as_deref() {
            None | Some("true" | "on" | "1") => "true",
            Some("false" | "off" | "0") => "false",
            Some(_) => return Err(unsupported("this HEADER", "HEADER true and HEADER false are")),
        };
        set(copy, "has_header", header);
    } else if take_word(p, "DELIMITER") {
        take_word(p, "AS");
        set(copy, "delimiter", &value(p)?);
    } else if take_word(p, "NULL") {
        take_word(p, "AS");
        set(copy, "null_value", &value(p)?);
    } else if take_word(p, "QUOTE") {
        set(copy, "quote", &value(p)?);
    } else if take_word(p, "ESCAPE") {
        set(copy, "escape", &value(p)?);
    } else if take_word(p, "COMPRESSION") {
        set(copy, "compression", &value(p)?);
    } else if take_word(p, "ENCODING") {
        let name = value(p)?;
        if !matches!(name.to_ascii_uppercase().as_str(), "UTF8" | "UTF-8") {
            return Err(unsupported(format!("encoding {name}"), "text is UTF-8"));
        }
    } else {
        let next = p.peek_token().token;
        if matches!(next, Token::Word(_)) {
            let options = "FORMAT, HEADER, DELIMITER, NULL, QUOTE, ESCAPE and COMPRESSION are";
            return Err(unsupported(format!("COPY option {next}"), options));
        }
        return Err(Failure::Text(expected(p, "an option such as FORMAT or HEADER")));
    }
    Ok(())
}

fn set(copy: &mut CopyToStatement, key: &str, value: &str) {
    copy.options.push((format!("format.{key}"), Value::SingleQuotedString(value.to_owned())));
}

fn value(p: &mut Parser<'_>) -> Read<String> {
    let token = p.next_token().token;
    Ok(match token {
        Token::Word(word) => word.value,
        Token::Number(number, _) => number,
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
        _ => {
            p.prev_token();
            return Err(Failure::Text(expected(p, "a value")));
        }
    })
}
