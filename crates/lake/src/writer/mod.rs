//! From the tail into the table: role `lake`.
//!
//! One task follows each topic: it sleeps until records come, decodes them at once, and commits them once per interval
//! or when enough have gathered. An idle topic has no timer.

pub(crate) mod commit;
pub(crate) mod exceptions;
mod follow;
mod maintain;
mod supervise;

pub(crate) use supervise::start;

/// How the lake signs its holds on the log.
pub(crate) const HOLDER: &str = "lake";
