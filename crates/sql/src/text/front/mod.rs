//! The front parser: our own statements, then sqlparser's.
//!
//! A statement is recognised by its first words. What is ours is read here with sqlparser's token cursor ([`words`]); the
//! rest goes to DataFusion's parser. Some things are done to the tokens before either ([`tokens`]).

mod copy;
mod define;
mod grant;
mod session;
mod tokens;
mod words;

use datafusion::{
    error::DataFusionError,
    sql::{
        parser::{DFParserBuilder, Statement as DfStatement},
        sqlparser::{
            ast::{Expr, Statement as SqlStatement},
            parser::{Parser, ParserError},
            tokenizer::{Token, TokenWithSpan},
        },
    },
};
use model::{Error, Result, error::codes};

use self::words::{at_end, name, properties, query};
use super::{DIALECT, Piece, Statement, depth, place};
use crate::relation::Pseudo;

pub(crate) use tokens::VERSION_FUNCTION;
pub(crate) use words::literal_text;
pub(super) use words::{Failure, Read, end_of, take_word, unsupported};

/// A statement with what is worth knowing about its text.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) statement: Statement,
    /// Pseudo-columns it names, anywhere.
    pub(crate) named: Pseudo,
    /// Its own text.
    pub(crate) text: String,
}

/// Parses one statement of `sql` (the whole script, for the places in errors).
pub(crate) fn parse(sql: &str, piece: &Piece<'_>) -> Result<Parsed> {
    depth::check(&piece.tokens)?;
    tokens::refuse_continuous(&piece.tokens)?;
    let mut named = Pseudo::NONE;
    for token in &piece.tokens {
        if let Token::Word(word) = &token.token {
            named.note(&word.value);
        }
    }
    let tokens = tokens::rewrite_spellings(tokens::rewrite_versions(&piece.tokens));
    let tokens = tokens::rewrite_tables(tokens);
    let statement = depth::with_stack(|| statement(&tokens)).map_err(|failure| match failure {
        Failure::Text(error) => place::parser_error(sql, error),
        Failure::Other(error) => error,
    })?;
    Ok(Parsed { statement, named, text: piece.text.to_owned() })
}

/// Parses a lone expression, for settings and tests.
pub(crate) fn expression(sql: &str) -> Result<Expr> {
    let pieces = super::split(sql)?;
    let [piece] = pieces.as_slice() else {
        return Err(Error::new(codes::SQL_SYNTAX, "one expression was expected"));
    };
    depth::check(&piece.tokens)?;
    depth::with_stack(|| {
        let mut p = parser(&piece.tokens);
        let expr = p.parse_expr()?;
        at_end(&mut p)?;
        Ok(expr)
    })
    .map_err(|error| place::parser_error(sql, error))
}

fn parser(tokens: &[TokenWithSpan]) -> Parser<'static> {
    Parser::new(&DIALECT).with_tokens_with_locations(tokens.to_vec()).with_recursion_limit(depth::PARSER_RECURSION_MAX)
}

fn statement(tokens: &[TokenWithSpan]) -> Read<Statement> {
    let mut p = parser(tokens);
    let first = match &p.peek_token().token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return sql(tokens),
    };
    p.next_token();
    let statement = match first.as_str() {
        "CREATE" => match define::create(&mut p)? {
            Some(statement) => statement,
            None => return sql(tokens),
        },
        "DROP" => match define::drop(&mut p)? {
            Some(statement) => statement,
            None => return sql(tokens),
        },
        "ALTER" => define::alter(&mut p)?,
        "SHOW" | "LIST" => Statement::Show(session::show(&mut p)?),
        "DESCRIBE" | "DESC" if tokens::begins_query(&p.peek_token().token) => {
            // A file is described by what there is to select from it.
            return match sql(&tokens::selected(&tokens[1..]))? {
                Statement::Sql(query) if matches!(query.as_ref(), DfStatement::Statement(inner) if matches!(inner.as_ref(), SqlStatement::Query(_))) => {
                    Ok(Statement::DescribeQuery(query))
                }
                _ => Err(unsupported("DESCRIBE of this statement", "DESCRIBE SELECT … and DESCRIBE name are")),
            };
        }
        "DESCRIBE" | "DESC" => {
            let extended = take_word(&mut p, "EXTENDED");
            take_word(&mut p, "TABLE");
            let name = name(&mut p)?;
            let extended = take_word(&mut p, "EXTENDED") || extended;
            Statement::Describe { name, extended }
        }
        "OPTIMIZE" => {
            take_word(&mut p, "TABLE");
            let table = name(&mut p)?;
            if take_word(&mut p, "REWRITE") {
                end_of(&mut p, &["DATA"])?;
                if take_word(&mut p, "USING") {
                    end_of(&mut p, &["BIN_PACK"])?;
                }
            }
            Statement::Maintain { verb: "OPTIMIZE", table }
        }
        "VACUUM" => {
            take_word(&mut p, "FULL");
            Statement::Maintain { verb: "VACUUM", table: name(&mut p)? }
        }
        "ANALYZE" => {
            take_word(&mut p, "TABLE");
            Statement::Maintain { verb: "ANALYZE", table: name(&mut p)? }
        }
        "COPY" => return copy::copy(tokens),
        "UNLOAD" => unload(&mut p)?,
        "SET" => session::set(&mut p)?,
        "UNSET" => Statement::Reset { key: Some(session::key(&mut p)?) },
        "RESET" => {
            take_word(&mut p, "SESSION");
            if take_word(&mut p, "ALL") {
                Statement::Reset { key: None }
            } else {
                Statement::Reset { key: Some(session::key(&mut p)?) }
            }
        }
        "USE" => {
            let _ = take_word(&mut p, "SCHEMA") || take_word(&mut p, "ZONE");
            Statement::Use { namespace: p.parse_identifier()? }
        }
        "PREPARE" => return session::prepare(p, tokens),
        "EXECUTE" => session::execute(&mut p)?,
        "DEALLOCATE" => {
            take_word(&mut p, "PREPARE");
            let name = if take_word(&mut p, "ALL") { None } else { Some(p.parse_identifier()?) };
            Statement::Deallocate { name }
        }
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            // Whatever follows (isolation level, savepoint name) has no effect either.
            while p.peek_token().token != Token::EOF {
                p.next_token();
            }
            Statement::Transaction {
                tag: match first.as_str() {
                    "BEGIN" => "BEGIN",
                    "START" => "START TRANSACTION",
                    "COMMIT" | "END" => "COMMIT",
                    "SAVEPOINT" => "SAVEPOINT",
                    "RELEASE" => "RELEASE",
                    _ => "ROLLBACK",
                },
            }
        }
        "DISCARD" => {
            p.next_token();
            Statement::Nothing { tag: "DISCARD ALL" }
        }
        "TERMINATE" | "PAUSE" | "RESUME" => {
            return Err(unsupported(format!("{first} of a query"), "continuous queries are not part of this release"));
        }
        "PRINT" => {
            return Err(unsupported(
                "PRINT",
                "use SELECT * FROM topic ORDER BY _timestamp DESC LIMIT n, or `lakehead consume`",
            ));
        }
        "TRUNCATE" => return Err(unsupported("TRUNCATE", "DELETE FROM name empties a table")),
        "MERGE" => return Err(unsupported("MERGE", "use UPDATE, DELETE and INSERT")),
        "GRANT" | "REVOKE" => grant::writer(&mut p, first == "GRANT")?,
        "LISTEN" | "NOTIFY" | "UNLISTEN" | "LOCK" | "CALL" | "DO" | "COMMENT" | "CLUSTER" | "REINDEX" | "REFRESH"
        | "DEFINE" | "UNDEFINE" | "ASSERT" | "RUN" | "ATTACH" | "DETACH" | "INSTALL" | "LOAD" | "PRAGMA" | "KILL"
        | "MSCK" | "REPLACE" | "EXPORT" | "IMPORT" | "CACHE" | "UNCACHE" | "REPAIR" => {
            return Err(unsupported(first, ""));
        }
        _ => return sql(tokens),
    };
    at_end(&mut p)?;
    Ok(statement)
}

/// Everything that is not ours.
fn sql(tokens: &[TokenWithSpan]) -> Read<Statement> {
    let text = |error: DataFusionError| match error.find_root() {
        DataFusionError::SQL(error, _) => Failure::Text(error.as_ref().clone()),
        other => Failure::Text(ParserError::ParserError(other.strip_backtrace())),
    };
    let mut p = DFParserBuilder::new(tokens.to_vec())
        .with_dialect(&DIALECT)
        .with_recursion_limit(depth::PARSER_RECURSION_MAX)
        .build()
        .map_err(text)?;
    let mut statement = p.parse_statement().map_err(text)?;
    depth::balance(&mut statement);
    at_end(&mut p.parser)?;
    if let DfStatement::Explain(explain) = &statement
        && let DfStatement::Explain(_) = explain.statement.as_ref()
    {
        return Err(unsupported("EXPLAIN of an EXPLAIN", ""));
    }
    Ok(Statement::Sql(Box::new(statement)))
}

/// `UNLOAD (query) TO 'path' [WITH (…)]`
fn unload(p: &mut Parser<'_>) -> Read<Statement> {
    p.expect_token(&Token::LParen)?;
    let query = query(p)?;
    p.expect_token(&Token::RParen)?;
    end_of(p, &["TO"])?;
    let path = p.parse_literal_string()?;
    let options = if take_word(p, "WITH") { properties(p)? } else { Vec::new() };
    Ok(Statement::Unload { query, path, options })
}
