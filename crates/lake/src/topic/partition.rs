//! The decoded tail of one partition, and what all tails together may take.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use model::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::tail::{
    core::TailCore,
    decode::{Rejected, SliceDecoder},
};

/// The decoded tail of one partition.
pub(crate) struct PartitionTail {
    pub at: TopicPartition,
    /// Who holds it decodes; everyone else finds the result in the tail.
    pub decoder: AsyncMutex<Option<SliceDecoder>>,
    tail: Mutex<Tail>,
    budget: Arc<TailBudget>,
}

impl PartitionTail {
    pub(super) fn new(at: TopicPartition, budget: Arc<TailBudget>) -> Self {
        Self { at, decoder: AsyncMutex::new(None), tail: Mutex::new(Tail::default()), budget }
    }

    /// Looks at or changes the tail; the budget follows.
    pub(crate) fn tail<R>(&self, visit: impl FnOnce(&mut Tail) -> R) -> R {
        let mut tail = self.tail.lock();
        let before = tail.bytes();
        let result = visit(&mut tail);
        let change = tail.bytes() as i64 - before as i64;
        if change != 0 {
            self.budget.used.fetch_add(change, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for PartitionTail {
    fn drop(&mut self) {
        let bytes = self.tail.get_mut().bytes();
        self.budget.used.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

/// What a partition decoded to, and how far its table got.
#[derive(Default)]
pub(crate) struct Tail {
    pub core: TailCore,
    /// Undecodable records that may not be in `_exceptions` yet.
    pub rejected: VecDeque<Rejected>,
    pub rejected_bytes: usize,
    /// First offset not in the table, as far as this process knows.
    pub mark: Offset,
    /// Decoding has begun: `core` says from where.
    pub is_begun: bool,
}

impl Tail {
    fn bytes(&self) -> usize {
        self.core.bytes() + self.rejected_bytes
    }

    /// The next offset to decode.
    pub(crate) fn end(&self) -> Offset {
        if self.is_begun { self.core.end() } else { self.mark }
    }

    pub(crate) fn begin(&mut self, at: Offset) {
        self.core.reset(at);
        self.rejected.clear();
        self.rejected_bytes = 0;
        self.is_begun = true;
    }

    /// Everything is decoded again when it is needed.
    pub(super) fn forget(&mut self) {
        self.begin(self.mark);
        self.is_begun = false;
    }

    /// Keeps undecodable records until they are in `_exceptions`.
    pub(crate) fn reject(&mut self, rejected: Vec<Rejected>) {
        self.rejected_bytes += rejected.iter().map(|bad| bad.bytes()).sum::<usize>();
        self.rejected.extend(rejected);
    }

    /// Hands out the undecodable records, and the offset up to which these are all.
    pub(crate) fn take_rejected(&mut self) -> (Vec<Rejected>, Offset) {
        self.rejected_bytes = 0;
        (self.rejected.drain(..).collect(), self.end())
    }
}

/// Bytes that decoded records of all topics take.
pub(crate) struct TailBudget {
    used: AtomicI64,
    max: i64,
}

impl TailBudget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicI64::new(0), max: i64::try_from(max).unwrap_or(i64::MAX) })
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max
    }

    /// Whether there is too much and someone with `bytes` has a good part of it.
    pub(crate) fn is_pressed_by(&self, bytes: usize) -> bool {
        self.is_exceeded() && bytes as i64 >= self.max / 16
    }
}
