//! The write-ahead log: one file at a time makes the batches of all partitions durable together.

mod files;
mod format;
mod replay;

pub(crate) use files::{Failed, Wal, WalFiles, Write};
pub(crate) use format::{LSN_JUMP, Lsn};
pub(crate) use replay::{Logged, replay};
