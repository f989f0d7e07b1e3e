//! Who reads: files stay as long as a reader that began before they became unreachable may still want them.
//!
//! A commit that makes files unreachable queues them for deletion, due after a time of grace. The sweeper deletes what
//! is due, but nothing that became due after the oldest reader began: that reader may have pinned a state that refers to
//! it. Readers outside of this process have the time of grace alone.

use std::{collections::BTreeMap, sync::Arc};

use model::TimestampMs;
use parking_lot::Mutex;

/// All readers of this process.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    began: BTreeMap<u64, TimestampMs>,
}

/// Keeps the files of every state loaded since it was made. To be held until the last of them was read.
pub struct Reading {
    readers: Arc<Readers>,
    id: u64,
}

impl Readers {
    pub(crate) fn begin(self: &Arc<Self>, now: TimestampMs) -> Reading {
        let mut inner = self.0.lock();
        inner.last += 1;
        let id = inner.last;
        inner.began.insert(id, now);
        Reading { readers: self.clone(), id }
    }

    /// What was due by then can be deleted. The clock may have been set back, so the oldest is not always the first.
    pub(crate) fn deletable_by(&self, now: TimestampMs) -> TimestampMs {
        self.0.lock().began.values().map(|began| began - 1).fold(now, TimestampMs::min)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.0.lock().began.remove(&self.id);
    }
}
