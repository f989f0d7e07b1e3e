//! How appends travel: from callers to the writer of segments, from there to the write-ahead log.

use std::{sync::Arc, time::Duration};

use model::{Error, Offset, Result, TimestampMs};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{
    core::Admitted,
    partition::{Partition, Stored},
};
use crate::log::Appended;

/// One thing to make durable.
pub(crate) enum Item {
    Batch(Box<Pending>),
    /// The start of a partition moves; logged, not written to segments.
    LogStart {
        partition: Arc<Partition>,
        to: Offset,
        done: oneshot::Sender<Result<Offset>>,
    },
}

impl Item {
    /// What it takes on the disk, about.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Item::Batch(batch) => batch.stored.size() as u64,
            Item::LogStart { .. } => 0,
        }
    }
}

/// An admitted batch on its way.
pub(crate) struct Pending {
    pub(crate) partition: Arc<Partition>,
    pub(crate) admitted: Admitted,
    pub(crate) stored: Stored,
    pub(crate) log_append_time: TimestampMs,
    pub(crate) done: oneshot::Sender<Result<Appended>>,
}

impl Pending {
    /// Bytes it keeps in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.stored.size() + size_of::<Self>()
    }

    /// It is as durable as it must be. The caller wakes readers.
    pub(crate) fn complete(self) {
        let log_start = {
            let mut core = self.partition.core.lock();
            core.complete(&self.admitted, self.stored.place);
            core.log_start
        };
        // Whoever asked may have gone; the batch is there all the same.
        let _ = self.done.send(Ok(Appended {
            base_offset: self.admitted.base_offset,
            log_append_time: self.log_append_time,
            log_start,
            duplicate: false,
        }));
    }

    pub(crate) fn fail(self, error: Error) {
        self.partition.core.lock().drop_dead(&self.admitted);
        let _ = self.done.send(Err(error));
    }
}

/// A queue for one consumer that takes all there is at once. Bounded by the budget of those who fill it.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    items: Vec<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { items: Vec::new(), closed: false }), filled: Condvar::new() }
    }

    /// Adds `item`; gives it back if the queue is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push(item);
        if state.items.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Adds all of `items`; drops them if the queue is closed.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            items.clear();
            return;
        }
        if state.items.is_empty() {
            std::mem::swap(&mut state.items, items);
        } else {
            state.items.append(items);
        }
        self.filled.notify_one();
    }

    /// Takes everything there is, without waiting; `false` if there is nothing.
    pub(crate) fn try_take(&self, into: &mut Vec<T>) -> bool {
        std::mem::swap(&mut self.state.lock().items, into);
        !into.is_empty()
    }

    /// Takes everything there is, waiting for something; `false` once the queue is closed and empty.
    pub(crate) fn take(&self, into: &mut Vec<T>) -> bool {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            self.filled.wait(&mut state);
        }
        std::mem::swap(&mut state.items, into);
        true
    }

    /// Its consumer is gone: whoever waits for what is in it learns so.
    pub(crate) fn abandon(&self) {
        let items = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.items)
        };
        drop(items);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }
}

/// Asks a background thread to look around.
#[derive(Default)]
pub(crate) struct Nudge {
    state: Mutex<Nudged>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct Nudged {
    nudged: bool,
    stopped: bool,
}

impl Nudge {
    pub(crate) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits `patience`, nudged or not; `false` when told to stop.
    pub(crate) fn pause(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.stopped, patience);
        !state.stopped
    }

    /// Waits for a nudge or `patience`; `false` when told to stop.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.nudged && !state.stopped {
            self.changed.wait_for(&mut state, patience);
        }
        state.nudged = false;
        !state.stopped
    }
}
