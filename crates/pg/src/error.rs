//! Errors as PostgreSQL's clients know them.

use model::{Error, error::codes};

/// The SQLSTATE of `error`. Its kind decides, except where PostgreSQL tells apart what the rest of the house does not.
pub(crate) fn sqlstate(error: &Error) -> &'static str {
    let special = [
        (codes::PG_PROTOCOL_VIOLATION, "08P01"),
        (codes::PG_TOO_MANY_CONNECTIONS, "53300"),
        (codes::PG_BLOCK_FAILED, "25P02"),
        (codes::PG_NO_SUCH_STATEMENT, "26000"),
        (codes::PG_PARAMETER_INVALID, "22P02"),
        (codes::PG_RESULT_CHANGED, "0A000"),
        (codes::PG_IDLE, "57P05"),
        (codes::SHUTTING_DOWN, "57P01"),
    ];
    let of_code = special.iter().find(|(code, _)| error.is(code)).map(|(_, state)| *state);
    of_code.or_else(|| value_state(error)).unwrap_or_else(|| error.kind().sqlstate())
}

/// What clients tell apart among errors of one code of ours: only the message says it.
fn value_state(error: &Error) -> Option<&'static str> {
    let message = error.message();
    let has = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
    if error.is(codes::SQL_UNRESOLVED) {
        return message.starts_with("there is no function").then_some("42883");
    }
    if error.is(codes::SQL_TYPE) {
        return Some(if has(&["No function matches", "no function matches"]) { "42883" } else { "42804" });
    }
    if !error.is(codes::SQL_VALUE) {
        return None;
    }
    if has(&["division by zero", "Divide by zero", "divide by zero"]) {
        Some("22012")
    } else if has(&["too large", "verflow", "out of range"]) {
        Some("22003")
    } else if has(&["more than one row"]) {
        Some("21000")
    } else if has(&["annot cast", "rror parsing", "annot parse", "nvalid input"]) {
        Some("22P02")
    } else {
        None
    }
}

/// Where in `text` an error is, in characters from 1, and its detail without the drawing of it: clients draw their own.
/// `None` if it is not in `text`, which may have been rewritten since.
pub(crate) fn place(error: &Error, text: &str) -> Option<(usize, String)> {
    let detail = error.detail_text()?;
    let start = detail.find("line ").filter(|at| *at == 0 || detail[..*at].ends_with('\n'))?;
    let mut lines = detail[start..].lines();
    let (line, column) = lines.next()?.strip_prefix("line ")?.strip_suffix(':')?.split_once(", column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let shown = lines.next()?.strip_prefix("  ")?;
    lines.next().filter(|caret| caret.trim() == "^")?;
    let before: usize = text.split('\n').take(line.checked_sub(1)?).map(|line| line.chars().count() + 1).sum();
    let written: String = text
        .split('\n')
        .nth(line - 1)?
        .trim_end_matches('\r')
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if !written.contains(shown) || column == 0 || column > written.chars().count() + 1 {
        return None;
    }
    let rest: Vec<&str> = lines.collect();
    Some((before + column, format!("{}{}", &detail[..start], rest.join("\n")).trim().to_owned()))
}

pub(crate) fn unsupported(what: impl Into<String>) -> Error {
    Error::new(codes::PG_UNSUPPORTED, "this PostgreSQL feature does not exist in Lakehead").detail(what.into())
}

pub(crate) fn no_such(what: &str, name: &str) -> Error {
    Error::new(codes::PG_NO_SUCH_STATEMENT, format!("{what} \"{name}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_postgresql() {
        for (code, message, state) in [
            (codes::SQL_VALUE, "division by zero", "22012"),
            (codes::SQL_VALUE, "cannot cast string 'x' to value of INT type", "22P02"),
            (codes::SQL_VALUE, "a number is too large: 9", "22003"),
            (codes::SQL_UNRESOLVED, "there is no function `foo`", "42883"),
            (codes::SQL_UNRESOLVED, "there is no column `foo`", "42703"),
            (codes::SQL_TABLE_NOT_FOUND, "there is no table", "42P01"),
            (codes::COMMIT_CONFLICT, "rows were added meanwhile", "40001"),
        ] {
            assert_eq!(sqlstate(&Error::new(code, message)), state, "{message}");
        }
    }

    #[test]
    fn a_place_is_given_only_if_it_is_in_the_text() {
        let error = |detail: &str| Error::new(codes::SQL_UNRESOLVED, "no").detail(detail.to_owned());
        let drawn = "line 2, column 8:\n  SELECT ü, nope\n         ^";
        let text = "-- first\nSELECT ü, nope";
        assert_eq!(place(&error(drawn), text), Some((17, String::new())));
        assert_eq!(place(&error(&format!("why\n{drawn}")), text), Some((17, "why".to_owned())));
        assert_eq!(place(&error(drawn), "SELECT 1\nSELECT 2"), None);
        assert_eq!(place(&error("nothing drawn"), text), None);
        assert_eq!(place(&error("line x, column y:\n  \n ^"), text), None);
    }
}
