//! The front parser: our own statements, then sqlparser's.
//!
//! A statement is recognised by its first words. What is ours is read here with sqlparser's token cursor; the rest goes to
//! DataFusion's parser with a few tokens rewritten (`FOR VERSION|TIMESTAMP AS OF`).

use datafusion::{
    error::DataFusionError,
    sql::{
        parser::{DFParserBuilder, Statement as DfStatement},
        sqlparser::{
            ast::{Expr, Ident, ObjectName, Value},
            keywords::Keyword,
            parser::{Parser, ParserError},
            tokenizer::{Token, TokenWithSpan, Word},
        },
    },
};
use model::{Error, Result, error::codes};

use super::{
    CreateTable, DIALECT, DeclareStream, Name, Piece, Show, Statement, columns, depth, place, statement::Dropped,
};
use crate::relation::Pseudo;

/// Name of the function that carries a snapshot id or tag through the parser: `FOR VERSION AS OF 'v1'`.
pub(crate) const VERSION_FUNCTION: &str = "lakehead_version";

type Read<T> = std::result::Result<T, Failure>;

/// What goes wrong while parsing: the text, or something that is understood and not offered.
enum Failure {
    Text(ParserError),
    Other(Error),
}

impl From<ParserError> for Failure {
    fn from(error: ParserError) -> Self {
        Self::Text(error)
    }
}

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
    refuse_continuous(&piece.tokens)?;
    let mut named = Pseudo::NONE;
    for token in &piece.tokens {
        if let Token::Word(word) = &token.token {
            named.note(&word.value);
        }
    }
    let tokens = rewrite_versions(&piece.tokens);
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
        "CREATE" => match create(&mut p)? {
            Some(statement) => statement,
            None => return sql(tokens),
        },
        "DROP" => match drop(&mut p)? {
            Some(statement) => statement,
            None => return sql(tokens),
        },
        "ALTER" => alter(&mut p)?,
        "SHOW" | "LIST" => Statement::Show(show(&mut p)?),
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
        "UNLOAD" => unload(&mut p)?,
        "SET" => set(&mut p)?,
        "UNSET" => Statement::Reset { key: Some(key(&mut p)?) },
        "RESET" => {
            take_word(&mut p, "SESSION");
            if take_word(&mut p, "ALL") {
                Statement::Reset { key: None }
            } else {
                Statement::Reset { key: Some(key(&mut p)?) }
            }
        }
        "USE" => {
            let _ = take_word(&mut p, "SCHEMA") || take_word(&mut p, "ZONE");
            Statement::Use { namespace: p.parse_identifier()? }
        }
        "PREPARE" => return prepare(p, tokens),
        "EXECUTE" => execute(&mut p)?,
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
        "MERGE" => return Err(unsupported("MERGE", "use UPDATE, DELETE and INSERT")),
        "GRANT" | "REVOKE" => return Err(unsupported(first, "access control is not part of this release")),
        "LISTEN" | "NOTIFY" | "UNLISTEN" | "LOCK" | "CALL" | "DO" | "TRUNCATE" | "COMMENT" | "CLUSTER" | "REINDEX"
        | "REFRESH" | "DEFINE" | "UNDEFINE" | "ASSERT" | "RUN" | "ATTACH" | "DETACH" | "INSTALL" | "LOAD"
        | "PRAGMA" | "KILL" | "MSCK" | "REPLACE" | "EXPORT" | "IMPORT" | "CACHE" | "UNCACHE" | "REPAIR" => {
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

// ── CREATE, DROP, ALTER ──

fn create(p: &mut Parser<'_>) -> Read<Option<Statement>> {
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
        let mut query = p.parse_query()?;
        balance_query(&mut query);
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

fn balance_query(query: &mut Box<datafusion::sql::sqlparser::ast::Query>) {
    let mut statement =
        DfStatement::Statement(Box::new(datafusion::sql::sqlparser::ast::Statement::Query(query.clone())));
    depth::balance(&mut statement);
    if let DfStatement::Statement(statement) = statement
        && let datafusion::sql::sqlparser::ast::Statement::Query(balanced) = *statement
    {
        *query = balanced;
    }
}

fn drop(p: &mut Parser<'_>) -> Read<Option<Statement>> {
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

fn alter(p: &mut Parser<'_>) -> Read<Statement> {
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

/// `( key = value, … )`; keys are words or strings.
fn properties(p: &mut Parser<'_>) -> Read<Vec<(String, Expr)>> {
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

fn unload(p: &mut Parser<'_>) -> Read<Statement> {
    p.expect_token(&Token::LParen)?;
    let mut query = p.parse_query()?;
    balance_query(&mut query);
    p.expect_token(&Token::RParen)?;
    end_of(p, &["TO"])?;
    let path = p.parse_literal_string()?;
    let options = if take_word(p, "WITH") { properties(p)? } else { Vec::new() };
    Ok(Statement::Unload { query, path, options })
}

// ── SHOW, SET, PREPARE ──

fn show(p: &mut Parser<'_>) -> Read<Show> {
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

fn set(p: &mut Parser<'_>) -> Read<Statement> {
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
fn key(p: &mut Parser<'_>) -> Read<String> {
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
fn prepare(mut p: Parser<'_>, tokens: &[TokenWithSpan]) -> Read<Statement> {
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
    let inner = statement(rest)?;
    if !matches!(inner, Statement::Sql(_)) {
        return Err(unsupported("PREPARE of this statement", "queries, INSERT, UPDATE and DELETE can be prepared"));
    }
    Ok(Statement::Prepare { name, types, statement: Box::new(inner) })
}

fn execute(p: &mut Parser<'_>) -> Read<Statement> {
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

// ── helpers ──

fn name(p: &mut Parser<'_>) -> Read<Name> {
    let ObjectName(parts) = p.parse_object_name(false)?;
    let parts: Option<Vec<Ident>> = parts.iter().map(|part| part.as_ident().cloned()).collect();
    parts.ok_or_else(|| Failure::Text(expected(p, "a name")))
}

fn if_not_exists(p: &mut Parser<'_>) -> Read<bool> {
    if !take_word(p, "IF") {
        return Ok(false);
    }
    end_of(p, &["NOT", "EXISTS"])?;
    Ok(true)
}

fn if_exists(p: &mut Parser<'_>) -> Read<bool> {
    if !take_word(p, "IF") {
        return Ok(false);
    }
    end_of(p, &["EXISTS"])?;
    Ok(true)
}

fn at_end(p: &mut Parser<'_>) -> std::result::Result<(), ParserError> {
    if p.peek_token().token == Token::EOF { Ok(()) } else { Err(expected(p, "the end of the statement")) }
}

fn expected(p: &Parser<'_>, what: &str) -> ParserError {
    match p.expected::<()>(what, p.peek_token()) {
        Err(error) => error,
        Ok(()) => unreachable!("`expected` always fails"),
    }
}

/// Takes the next token if it is this word, unquoted, in any case.
pub(super) fn take_word(p: &mut Parser<'_>, word: &str) -> bool {
    let found = matches!(&p.peek_token().token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    if found {
        p.next_token();
    }
    found
}

/// Takes these words, one after the other.
pub(super) fn end_of(p: &mut Parser<'_>, words: &[&str]) -> std::result::Result<(), ParserError> {
    for word in words {
        if !take_word(p, word) {
            return Err(expected(p, word));
        }
    }
    Ok(())
}

fn unsupported(what: impl std::fmt::Display, hint: &'static str) -> Failure {
    let error = Error::new(codes::SQL_UNSUPPORTED, format!("{what} is not offered"));
    Failure::Other(if hint.is_empty() { error } else { error.hint(hint) })
}

fn continuous(what: &str) -> Failure {
    Failure::Other(continuous_error(what))
}

fn continuous_error(what: &str) -> Error {
    Error::new(codes::SQL_CONTINUOUS, format!("{what} is a continuous query, which is not part of this release"))
        .hint("CREATE VIEW name AS SELECT … is always fresh; CREATE TABLE name AS SELECT … makes a snapshot")
}

/// `… EMIT CHANGES` and ksqlDB's window clause, before sqlparser stumbles over them.
fn refuse_continuous(tokens: &[TokenWithSpan]) -> Result<()> {
    let word = |index: usize, words: &[&str]| {
        matches!(tokens.get(index).map(|t| &t.token), Some(Token::Word(w))
            if w.quote_style.is_none() && words.iter().any(|word| w.value.eq_ignore_ascii_case(word)))
    };
    for index in 0..tokens.len() {
        if word(index, &["EMIT"])
            && word(index + 1, &["CHANGES", "FINAL"])
            && (tokens.len() == index + 2 || word(index + 2, &["LIMIT"]))
        {
            return Err(continuous_error("a query with EMIT"));
        }
        if word(index, &["WINDOW"])
            && word(index + 1, &["TUMBLING", "HOPPING", "SESSION"])
            && tokens.get(index + 2).is_some_and(|t| t.token == Token::LParen)
        {
            return Err(continuous_error("a query with WINDOW TUMBLING, HOPPING or SESSION")
                .hint("group by date_bin(INTERVAL '1 minute', _timestamp) instead"));
        }
    }
    Ok(())
}

/// `FOR TIMESTAMP AS OF e` becomes `FOR SYSTEM_TIME AS OF e`, `FOR VERSION AS OF v` becomes
/// `FOR SYSTEM_TIME AS OF lakehead_version(v)`: the one form of a versioned table that takes any expression.
fn rewrite_versions(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let word = |index: usize, word: &str| {
        matches!(tokens.get(index).map(|t| &t.token), Some(Token::Word(w))
            if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    };
    let mut rewritten = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let versioned = (word(index, "FOR") && word(index + 2, "AS") && word(index + 3, "OF"))
            .then(|| (word(index + 1, "VERSION"), word(index + 1, "TIMESTAMP")));
        match (versioned, tokens.get(index + 4)) {
            (Some((true, _)), Some(version)) => {
                let like = |token: Token| TokenWithSpan { token, span: version.span };
                rewritten.push(token.clone());
                rewritten.push(like(keyword("SYSTEM_TIME", Keyword::SYSTEM_TIME)));
                rewritten.extend_from_slice(&tokens[index + 2..index + 4]);
                rewritten.push(like(keyword(VERSION_FUNCTION, Keyword::NoKeyword)));
                rewritten.push(like(Token::LParen));
                // A tag may be written as a word.
                rewritten.push(match &version.token {
                    Token::Word(tag) => like(Token::SingleQuotedString(tag.value.clone())),
                    _ => version.clone(),
                });
                rewritten.push(like(Token::RParen));
                index += 5;
            }
            (Some((_, true)), _) => {
                rewritten.push(token.clone());
                rewritten.push(TokenWithSpan { token: keyword("SYSTEM_TIME", Keyword::SYSTEM_TIME), span: token.span });
                rewritten.extend_from_slice(&tokens[index + 2..index + 4]);
                index += 4;
            }
            _ => {
                rewritten.push(token.clone());
                index += 1;
            }
        }
    }
    rewritten
}

fn keyword(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
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
        Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Minus, expr } => {
            format!("-{}", literal_text(expr)?)
        }
        _ => return None,
    })
}
