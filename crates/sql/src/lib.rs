//! SQL over topics, tables and views.
//!
//! An [`Engine`] holds what all queries share (memory pool, spill files, caches, catalog); a [`Session`] is one
//! client's settings and prepared statements; a statement gives an [`Outcome`] whose rows stream. This crate knows no
//! network: the doors turn outcomes into bytes.
//!
//! ```text
//!  text ─ split ─ parse (front parser + sqlparser) ─ bind (names, pins, `*`) ─ DataFusion plan ─ run
//!                                                     │
//!            topic = Iceberg snapshot up to its progress ∪ tail of the log after it, one pin per statement
//! ```
//!
//! Worth knowing:
//! * `SELECT *` on a topic leaves its pseudo-columns (`_partition`, `_offset`, `_timestamp`, `_key`, `_headers`) out; they
//!   are there by name. A subquery that selects one by name gives it on as a column like any other.
//! * Unquoted names match whatever their case, an exact match first; new names are kept in lower case unless quoted.
//! * Integer `+`, `-`, `*` and `sum` wrap around silently at the ends of their type (DataFusion's behaviour): cast to
//!   `DECIMAL(38, 0)` where that could happen. Casts and division fail instead.
//! * Each statement takes effect by itself: BEGIN and ROLLBACK are accepted and say that they do nothing. INSERT into a
//!   table, CTAS, DELETE and UPDATE are one commit each; INSERT into a topic is durable when it returns, record by record.
//! * SQL reads and writes files below the exports directory and nowhere else.

mod bind;
mod correlated;
pub mod csv;
mod engine;
mod errors;
mod functions;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod guards;
mod intervals;
mod outcome;
mod pushdown;
mod relation;
mod rules;
mod run;
mod session;
mod settings;
mod stream;
mod text;
mod texts;
mod truth;
mod workers;

pub use engine::{Engine, EngineParts};
pub use functions::text_type;
pub use outcome::Outcome;
pub use session::{Headings, Prepared, Session, SessionOptions};
pub use settings::SqlSettings;
pub use texts::{list_items, read_decimal, read_text};

pub use arrow;
pub use datafusion;

/// The text of each statement in `sql`, in order, without the semicolons.
pub fn statements(sql: &str) -> model::Result<Vec<&str>> {
    Ok(text::split(sql)?.into_iter().map(|piece| piece.text).collect())
}

/// Refuses a statement that nests too deeply for parsers, visitors and destructors, which all recurse: a door that parses
/// text itself asks this first. White space and comments must be left out.
pub fn check_depth(tokens: &[datafusion::sql::sqlparser::tokenizer::TokenWithSpan]) -> model::Result<()> {
    text::check_depth(tokens)
}

/// Runs `work` with enough stack for anything [`check_depth`] lets through, dropping it included.
pub fn with_stack<T>(work: impl FnOnce() -> T) -> T {
    text::with_stack(work)
}

/// The error a result stream ended with, as the house's own.
pub fn error_of(error: datafusion::error::DataFusionError) -> model::Error {
    errors::map(error, None)
}
