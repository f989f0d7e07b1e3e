//! The decoded tail: what is in the log and not yet in the table, as Arrow.

mod adapt;
pub(crate) mod core;
pub(crate) mod decode;
pub(crate) mod read;

use std::{ops::Range, sync::Arc};

use model::{Offset, PartitionId, TimestampMs};
use tables::Table;

use crate::TopicTable;

/// One state of a topic: what its table holds, and which offsets it does not.
#[derive(Clone, Debug)]
pub struct TopicPin {
    pub topic: Arc<TopicTable>,
    /// The Iceberg table, if there is one yet.
    pub table: Option<Arc<Table>>,
    /// For each partition the offsets that are in the log and not in `table`.
    pub tail: Vec<Range<Offset>>,
}

/// What a reader of the tail does not need. Whole batches are left out; rows are filtered by `offsets` only.
#[derive(Clone, Debug, Default)]
pub struct TailFilter {
    pub partitions: Option<Vec<PartitionId>>,
    pub offsets: Option<Range<Offset>>,
    pub timestamps: Option<Range<TimestampMs>>,
}

impl TailFilter {
    pub(crate) fn offsets_of(&self, partition: PartitionId, range: &Range<Offset>) -> Range<Offset> {
        if self.partitions.as_ref().is_some_and(|wanted| !wanted.contains(&partition)) {
            return range.start..range.start;
        }
        match &self.offsets {
            None => range.clone(),
            Some(wanted) => {
                let start = range.start.max(wanted.start);
                start..range.end.min(wanted.end).max(start)
            }
        }
    }

    pub(crate) fn wants_times(&self, timestamps: Option<(TimestampMs, TimestampMs)>) -> bool {
        match (&self.timestamps, timestamps) {
            (Some(wanted), Some((first, last))) => first < wanted.end && last >= wanted.start,
            _ => true,
        }
    }
}
