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

mod bind;
mod engine;
mod errors;
mod functions;
mod outcome;
mod relation;
mod run;
mod session;
mod settings;
mod stream;
mod text;

pub use engine::{Engine, EngineParts};
pub use outcome::Outcome;
pub use session::{Prepared, Session, SessionOptions};
pub use settings::SqlSettings;

pub use arrow;
pub use datafusion;

/// The text of each statement in `sql`, in order, without the semicolons.
pub fn statements(sql: &str) -> model::Result<Vec<&str>> {
    Ok(text::split(sql)?.into_iter().map(|piece| piece.text).collect())
}

/// The error a result stream ended with, as the house's own.
pub fn error_of(error: datafusion::error::DataFusionError) -> model::Error {
    errors::map(error, None)
}
