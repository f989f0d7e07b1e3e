//! Every topic is a table.
//!
//! ```text
//!              CREATE STREAM │ registry subject │ inference          (columns: what a topic's records look like)
//!                            ▼
//!  log ──subscribe──> decoder ──> decoded tail ──────────────┐       (tail: Arrow batches, each record decoded once)
//!                                     │                      ├──> reads: table up to the mark ∪ tail after it
//!                                     ▼ per interval or size │
//!                               Parquet + one commit ────────┘       (writer: data and mark in the same snapshot)
//!                               undecodable ──> `_exceptions`
//! ```
//!
//! * A [`TopicTable`] says what a topic looks like as a table: its own columns, then the five pseudo-columns
//!   [`columns::pseudo`].
//! * A [`TopicPin`] is one state of it: a snapshot of the Iceberg table, and for each partition the offsets that the table
//!   does not hold yet. [`Lake::tail`] streams exactly those; the union of both has every record once.
//! * The **mark** of a topic is the progress inside the newest snapshot: partition → next offset. It alone decides what is
//!   in the table, so whatever dies, nothing is in it twice.
//!
//! Names: topic `orders` is table `public.orders`. Deleting the topic drops its table and frees its files; a topic made
//! again under the same name starts with a new table, because the table remembers the id of its topic. No other table is
//! dropped, and no topic is made with the name of one (`lake::names`).

pub mod columns;
mod lake;
pub mod registry;
mod settings;
mod status;
mod tail;
mod topic;
mod writer;

pub use columns::{DeclaredColumn, Origin, StreamDeclaration, StreamKind, TopicTable};
pub use lake::{Lake, LakeParts};
pub use settings::LakeSettings;
pub use status::TopicStatus;
pub use tail::{TailFilter, TopicPin};

#[cfg(test)]
mod tests;
