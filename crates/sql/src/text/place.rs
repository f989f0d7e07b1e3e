//! Where in the text something is wrong, shown to a person.

use datafusion::sql::sqlparser::{parser::ParserError, tokenizer::Location};
use model::{Error, error::codes};

/// Longest part of a line shown under an error.
const SHOWN_CHARS_MAX: usize = 120;

/// A syntax error at `location` of `sql`: the line it is in, with a caret below.
pub(crate) fn syntax(sql: &str, location: Location, what: impl Into<String>) -> Error {
    let what = what.into();
    let error = Error::new(codes::SQL_SYNTAX, what);
    match caret(sql, location) {
        Some(caret) => error.detail(caret),
        None => error.detail("at the end of the statement"),
    }
}

/// sqlparser's errors end in ` at Line: 3, Column: 14`; that becomes the place.
pub(crate) fn parser_error(sql: &str, error: ParserError) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(codes::SQL_TOO_LARGE, "the statement nests too deeply")
                .hint("split it, or name its parts with WITH");
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let (what, location) = match text.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, location(place)),
        None => (text.as_str(), None),
    };
    let what = what.trim_start_matches("sql parser error: ").replace("Expected: ", "expected ");
    let what = what.replace(", found: EOF", ", but the statement ends").replace(", found: ", ", found ");
    match location {
        Some(location) => syntax(sql, location, what),
        None => syntax(sql, Location { line: 0, column: 0 }, what),
    }
}

fn location(place: &str) -> Option<Location> {
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location { line: line.parse().ok()?, column: column.parse().ok()? })
}

/// `line 2, column 8:` and the line with a caret. `None` for a place that is not in the text (its end).
pub(crate) fn caret(sql: &str, at: Location) -> Option<String> {
    let line_index = usize::try_from(at.line).ok()?.checked_sub(1)?;
    let column_index = usize::try_from(at.column).ok()?.checked_sub(1)?;
    let line = sql.split('\n').nth(line_index)?.trim_end_matches('\r');
    // A long line is shown from somewhat before the place.
    let from = column_index.saturating_sub(SHOWN_CHARS_MAX / 2);
    let shown: String =
        line.chars().skip(from).take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(format!(
        "line {}, column {}:\n  {shown}\n  {:>width$}",
        at.line,
        at.column,
        "^",
        width = column_index - from + 1
    ))
}
