//! What the log asks of a client's batch, for fuzz/: no disk, no partition.

use bytes::Bytes;
use model::TimestampMs;

use super::core::check_batch;
use crate::{Append, TopicConfig, record::Header};

/// Whether a client's batch would get an offset, and with which header it would be kept.
pub fn admit(batch: &Bytes, config: &TopicConfig, now: TimestampMs) -> Option<Header> {
    check_batch(batch, Append::default(), config, now).ok().map(|checked| checked.header)
}
