//! The decoded tail: what is in the log and not yet in the table, as Arrow.

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

/// What a reader of the tail does not need. Whole batches are left out; rows are not filtered.
#[derive(Clone, Debug, Default)]
pub struct TailFilter {
    pub partitions: Option<Vec<PartitionId>>,
    pub offsets: Option<Range<Offset>>,
    pub timestamps: Option<Range<TimestampMs>>,
}
