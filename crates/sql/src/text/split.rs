//! Cutting a script into statements.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use model::{Error, Result, error::codes};

use super::{DIALECT, place};

/// One statement of a script: its text and its tokens, whose places are those of the whole script.
#[derive(Clone, Debug)]
pub(crate) struct Piece<'a> {
    /// The statement without its semicolon and the space around it.
    pub(crate) text: &'a str,
    /// Without white space and comments.
    pub(crate) tokens: Vec<TokenWithSpan>,
}

/// Cuts `sql` at semicolons that stand outside strings, quoted names, dollar quotes and comments. Empty statements are
/// left out.
pub(crate) fn split(sql: &str) -> Result<Vec<Piece<'_>>> {
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(|error| {
        place::syntax(sql, error.location, error.message.trim_end_matches(&error.location.to_string()).to_owned())
    })?;
    let mut cursor = Cursor::new(sql);
    let mut pieces = Vec::new();
    let mut piece = Piece { text: "", tokens: Vec::new() };
    let (mut start, mut end) = (0, 0);
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab) => continue,
            Token::Whitespace(_) => continue,
            Token::SemiColon => {
                if !piece.tokens.is_empty() {
                    piece.text = &sql[start..end];
                    pieces.push(std::mem::replace(&mut piece, Piece { text: "", tokens: Vec::new() }));
                }
            }
            Token::EOF => break,
            _ => {
                let from = cursor.byte_at(token.span.start);
                if piece.tokens.is_empty() {
                    start = from;
                }
                end = cursor.byte_at(token.span.end).max(from);
                piece.tokens.push(token);
            }
        }
    }
    if !piece.tokens.is_empty() {
        piece.text = &sql[start..end];
        pieces.push(piece);
    }
    Ok(pieces)
}

/// What follows the first AS outside of brackets: the query of `CREATE VIEW name (…) AS query`, as written.
pub(crate) fn after_as(statement: &str) -> Result<&str> {
    let pieces = split(statement)?;
    let tokens = pieces.first().map(|piece| piece.tokens.as_slice()).unwrap_or_default();
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if depth == 0 && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("AS") => {
                if let Some(next) = tokens.get(index + 1) {
                    let from = Cursor::new(statement).byte_at(next.span.start);
                    return Ok(&statement[from..]);
                }
            }
            _ => {}
        }
    }
    Err(Error::new(codes::SQL_SYNTAX, "a query was expected after AS"))
}

/// Turns places (line and column, from 1) into byte positions; asked in rising order, it passes over the text once.
struct Cursor<'a> {
    sql: &'a str,
    byte: usize,
    line: u64,
    column: u64,
}

impl<'a> Cursor<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql, byte: 0, line: 1, column: 1 }
    }

    fn byte_at(&mut self, at: Location) -> usize {
        for c in self.sql[self.byte..].chars() {
            if (self.line, self.column) >= (at.line, at.column) {
                break;
            }
            self.byte += c.len_utf8();
            if c == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.byte
    }
}
