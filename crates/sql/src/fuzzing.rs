//! The front of every SQL door for fuzz/: from text to statements, without an engine.

use crate::text;

/// Texts of the statements in `sql`; `None` if it does not even come apart into tokens.
pub fn split(sql: &str) -> Option<Vec<&str>> {
    Some(text::split(sql).ok()?.into_iter().map(|piece| piece.text).collect())
}

/// Parses each statement of `sql`; for each the error's text, if it is one.
pub fn parse(sql: &str) -> Vec<Result<(), String>> {
    let pieces = text::split(sql).unwrap_or_default();
    let parsed = pieces.iter().map(|piece| text::parse(sql, piece).map(drop).map_err(|error| format!("{error:?}")));
    parsed.collect()
}

/// Reads `sql` as an expression, and as a view whose query is wanted.
pub fn parts(sql: &str) -> (bool, Option<&str>) {
    (text::expression(sql).is_ok(), text::after_as(sql).ok())
}
