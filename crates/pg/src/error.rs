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
    special.iter().find(|(code, _)| error.is(code)).map_or_else(|| error.kind().sqlstate(), |(_, state)| state)
}

pub(crate) fn unsupported(what: impl Into<String>) -> Error {
    Error::new(codes::PG_UNSUPPORTED, "this PostgreSQL feature does not exist in Lakehead").detail(what.into())
}

pub(crate) fn no_such(what: &str, name: &str) -> Error {
    Error::new(codes::PG_NO_SUCH_STATEMENT, format!("{what} \"{name}\" does not exist"))
}
