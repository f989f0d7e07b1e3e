//! One topic as the lake sees it: its columns of the moment, its decoded tail, and how far its table got.

mod columns;
mod partition;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use commitlog::Topic;
use model::{Error, Offset, Result, TableName, TimestampMs};
use parking_lot::Mutex;
use tables::{Progress, Table};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use self::{columns::Columns, partition::Tail};
use crate::{columns::resolve::property, lake::Parts, writer::exceptions};

pub(crate) use partition::{PartitionTail, TailBudget};

/// One topic.
pub(crate) struct TopicState {
    pub topic: Arc<Topic>,
    columns: Columns,
    pub partitions: Vec<Arc<PartitionTail>>,
    /// Whether this process commits the topic: undecodable records are then kept until they are in `_exceptions`.
    pub is_written: AtomicBool,
    /// One commit at a time; and what the writer knows.
    pub writer: AsyncMutex<WriterState>,
    /// Something for the follower to do besides new records: the mark moved, or a commit is wanted.
    pub nudge: Arc<Notify>,
    /// The topic is gone from the log.
    pub gone: AtomicBool,
    pub figures: Figures,
}

/// What only the writer touches.
#[derive(Default)]
pub(crate) struct WriterState {
    /// Progress in the newest snapshot known; `None`: not read yet.
    pub mark: Option<Option<Progress>>,
    pub exceptions: exceptions::Written,
}

/// Figures for people.
#[derive(Default)]
pub(crate) struct Figures {
    pub rows_committed: AtomicU64,
    pub rejected: AtomicU64,
    pub lost: AtomicU64,
    pub commits: AtomicU64,
    pub last_commit_ms: Mutex<Option<TimestampMs>>,
    pub error: Mutex<Option<Error>>,
}

impl TopicState {
    pub(crate) fn new(topic: Arc<Topic>, budget: &Arc<TailBudget>) -> Self {
        let tail = |at| Arc::new(PartitionTail::new(at, budget.clone()));
        let partitions = commitlog::partitions(&topic).map(tail).collect();
        Self {
            topic,
            columns: Columns::default(),
            partitions,
            is_written: AtomicBool::new(false),
            writer: AsyncMutex::new(WriterState::default()),
            nudge: Arc::new(Notify::new()),
            gone: AtomicBool::new(false),
            figures: Figures::default(),
        }
    }

    /// The topic's table, if it is this topic's and not that of a namesake before it.
    pub(crate) async fn load_table(&self, parts: &Parts) -> Result<Option<Arc<Table>>> {
        let table = parts.tables.load(&self.table_name()).await?;
        let is_own = |table: &Arc<Table>| {
            table.metadata().properties().get(property::TOPIC_ID).is_some_and(|id| *id == self.topic.id.to_string())
        };
        Ok(table.filter(is_own))
    }

    pub(crate) fn table_name(&self) -> TableName {
        TableName::public(&self.topic.name)
    }

    /// Some commit got this far.
    pub(crate) fn mark_is_at_least(&self, mark: &Progress) {
        for partition in &self.partitions {
            let mark = mark.get(&partition.at.partition.to_string()).unwrap_or(0);
            partition.tail(|tail| tail.mark = tail.mark.max(mark));
        }
    }

    /// Everything decoded is decoded again when it is needed.
    pub(crate) fn forget_decoded(&self) {
        for partition in &self.partitions {
            partition.tail(Tail::forget);
        }
    }

    /// Decoded offsets that are not in the table, and their bytes.
    pub(crate) fn pending(&self) -> (i64, usize) {
        self.partitions.iter().fold((0, 0), |(records, bytes), partition| {
            partition.tail(|tail| {
                let pending = (tail.end() - tail.mark).max(0);
                (records + pending, bytes + tail.core.bytes_from(tail.mark) + tail.rejected_bytes)
            })
        })
    }

    /// The mark of each partition, and where it ends for now.
    pub(crate) fn extents(&self, parts: &Parts) -> Vec<Range<Offset>> {
        let extent = |partition: &Arc<PartitionTail>| {
            let mark = partition.tail(|tail| tail.mark);
            let end = parts.log.bounds(&partition.at).map_or(mark, |bounds| bounds.last_stable);
            mark..end
        };
        self.partitions.iter().map(extent).collect()
    }

    pub(crate) fn has_rejected(&self) -> bool {
        self.partitions.iter().any(|partition| partition.tail(|tail| !tail.rejected.is_empty()))
    }

    pub(crate) fn failed(&self, error: &Error) {
        *self.figures.error.lock() = Some(error.clone());
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}
