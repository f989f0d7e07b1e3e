//! Consumer groups: who reads which partition, and how far each group has come.
//!
//! Two halves. [`GroupCoordinator`] decides: a state machine without I/O, clock or tasks, driven by
//! [`step`](GroupCoordinator::step), whose effects are answers to members and records to be written. [`Groups`] performs:
//! it appends those records to `__consumer_offsets`, tells the core when they are durable, and wakes it when a timer is due.
//!
//! Two protocols. In the classic one members share the partitions among themselves; in the consumer protocol (KIP-848,
//! `core::consumer`) the coordinator does. Offsets are the same in both.
//!
//! Vocabulary, as in Kafka's classic protocol: members *join*; when all have, a *generation* begins and its *leader*
//! hands out an *assignment* in *sync*; *heartbeats* keep a member's *session*; *commits* record offsets.
//!
//! What holds at any time:
//! * GRP-1: a committed offset is shown, and its commit answered, only once it is durable.
//! * GRP-2: a commit of an older generation or of a member that was removed is refused.
//! * GRP-3: generations only rise; every member of a generation got the same protocol, and its assignment from one leader.
//! * GRP-4 to GRP-7, of the consumer protocol: see `core::consumer`.

mod core;
mod driver;
pub mod records;
mod types;

pub use model::OFFSETS_TOPIC;

pub use self::{
    core::{Effect, Event, GroupCoordinator, Now, ReplyId, WriteId},
    driver::Groups,
    types::*,
};
