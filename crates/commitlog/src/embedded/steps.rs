//! The log's threads a step at a time, in an order that somebody else decides: the same functions that the threads' loops
//! call, for a simulator whose runs must be a function of their seed alone.

use std::sync::Arc;

use model::Result;
use parking_lot::Mutex;

use super::{
    checkpoint, committer::Committer, compactor, keeper, keeper::Keeper, queue::Item, shared::Shared, wal::Wal, writer,
};

/// One step of each of the log's threads. What a step finds under way (it was called from within another, by a disk that lets
/// others go on while it is at work) it leaves alone.
pub struct Steps {
    shared: Arc<Shared>,
    writer: Mutex<Vec<Item>>,
    committer: Mutex<(Committer, Vec<Item>)>,
    keeper: Mutex<Keeper>,
}

impl Steps {
    pub(super) fn new(shared: Arc<Shared>, wal: Wal) -> Self {
        let keeper = Mutex::new(Keeper::new(&shared));
        Self { shared, writer: Mutex::default(), committer: Mutex::new((Committer::new(wal), Vec::new())), keeper }
    }

    /// Writes what is queued to segments. False: there was nothing, or it is under way.
    pub fn write(&self) -> bool {
        let Some(mut items) = self.writer.try_lock() else { return false };
        if !self.is_free() || !self.shared.appends.try_take(&mut items) {
            return false;
        }
        writer::write_group(&self.shared, &mut items);
        true
    }

    /// Makes what is written durable. False: there was nothing, or it is under way.
    pub fn commit(&self) -> bool {
        let Some(mut held) = self.committer.try_lock() else { return false };
        let (committer, items) = &mut *held;
        // It may have to wait for a checkpoint.
        if !self.may_checkpoint() || !self.shared.written.try_take(items) {
            return false;
        }
        committer.commit(&self.shared, items);
        true
    }

    /// Whatever of checkpoints, retention and spare files is due.
    pub fn keep(&self) -> bool {
        let Some(mut keeper) = self.keeper.try_lock() else { return false };
        if !self.may_checkpoint() {
            return false;
        }
        keeper.look(&self.shared);
        true
    }

    /// A checkpoint now.
    pub fn checkpoint(&self) -> Option<Result<()>> {
        self.may_checkpoint().then(|| checkpoint::checkpoint(&self.shared))
    }

    /// Retention now.
    pub fn retain(&self) -> Option<Result<()>> {
        self.may_checkpoint().then(|| keeper::retain(&self.shared))
    }

    /// Compaction now.
    pub fn compact(&self) -> Option<Result<()>> {
        let is_free = self.may_checkpoint() && !self.shared.compacting.is_locked();
        is_free.then(|| compactor::compact(&self.shared, false))
    }

    /// Whether no step that is under way holds what a checkpoint waits for: nobody would give it back.
    fn may_checkpoint(&self) -> bool {
        self.is_free()
            && !self.shared.checkpointing.is_locked()
            && !self.shared.all_partitions().iter().any(|partition| partition.is_being_synced())
    }

    /// Whether no step that is under way holds files of a partition, or changes topics.
    fn is_free(&self) -> bool {
        !self.shared.topics_admin.is_locked()
            && self.shared.all_partitions().iter().all(|partition| !partition.is_being_changed())
    }
}
