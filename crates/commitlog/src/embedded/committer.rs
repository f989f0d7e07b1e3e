//! The thread that writes the write-ahead log: while one fsync runs the next group gathers, and one fsync makes the
//! batches of all partitions durable.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use model::Error;

use super::{
    partition::Partition,
    queue::{Item, Pending},
    shared::{Shared, apply_log_start, wake},
    wal::{Wal, Write},
};

/// Above this many times the checkpoint's threshold, the log waits for a checkpoint instead of growing.
const WAL_GROWTH_MAX: u64 = 4;

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, mut wal: Wal) {
    let mut items = Vec::new();
    while shared.written.take(&mut items) {
        if shared.abandoned.load(Ordering::Acquire) {
            return;
        }
        commit(shared, &mut wal, items.drain(..).collect());
    }
}

/// Logs a group, file by file.
fn commit(shared: &Shared, wal: &mut Wal, mut group: VecDeque<Item>) {
    let mut moved = Vec::new();
    drop_dead(shared, &mut group);
    while !group.is_empty() {
        if shared.wal.full_bytes() > WAL_GROWTH_MAX * shared.settings.checkpoint_bytes
            && let Err(error) = super::checkpoint::checkpoint(shared)
        {
            fail_all(shared, &mut group, &error);
            break;
        }
        let writes: Vec<_> = group
            .iter()
            .map(|item| match item {
                Item::Batch(batch) => {
                    Write::Batch(batch.partition.topic_id, batch.partition.name.partition, &batch.stored)
                }
                Item::LogStart { partition, to, .. } => {
                    Write::LogStart(partition.topic_id, partition.name.partition, *to)
                }
            })
            .collect();
        let file = wal.file_number();
        match wal.log(&writes) {
            Ok(count) => {
                drop(writes);
                if wal.file_number() != file {
                    // It prepares the next one.
                    shared.keeper.nudge();
                }
                for item in group.drain(..count) {
                    complete(shared, item, &mut moved);
                }
            }
            Err(error) => {
                drop(writes);
                tracing::error!(%error, "the write-ahead log failed: appends are refused until it works again");
                fail_all(shared, &mut group, &error);
            }
        }
        wake(&mut moved);
    }
}

/// Batches that a cut has taken since they were written.
fn drop_dead(shared: &Shared, group: &mut VecDeque<Item>) {
    for item in std::mem::take(group) {
        match item {
            Item::Batch(batch) => {
                let state = batch.partition.core.lock().check_alive(&batch.admitted);
                match state {
                    Ok(()) => group.push_back(Item::Batch(batch)),
                    Err(error) => fail(shared, *batch, error),
                }
            }
            start => group.push_back(start),
        }
    }
}

fn complete(shared: &Shared, item: Item, moved: &mut Vec<Arc<Partition>>) {
    match item {
        Item::Batch(batch) => {
            let (partition, bytes) = (batch.partition.clone(), batch.bytes());
            batch.complete();
            shared.release(bytes);
            if !moved.last().is_some_and(|last: &Arc<Partition>| Arc::ptr_eq(last, &partition)) {
                moved.push(partition);
            }
        }
        Item::LogStart { partition, to, done } => drop(done.send(Ok(apply_log_start(shared, &partition, to)))),
    }
}

/// None of `group` became durable: takes it, and what was written behind it, out of the segments.
fn fail_all(shared: &Shared, group: &mut VecDeque<Item>, error: &Error) {
    let mut partitions: Vec<Arc<Partition>> = group
        .iter()
        .filter_map(|item| match item {
            Item::Batch(batch) => Some(batch.partition.clone()),
            Item::LogStart { .. } => None,
        })
        .collect();
    partitions.sort_unstable_by_key(|partition| partition.slot);
    partitions.dedup_by_key(|partition| partition.slot);
    for partition in partitions {
        let mut files = partition.files();
        {
            let mut core = partition.core.lock();
            let from = core.high_watermark;
            core.cut(from, error);
        }
        if let Err(error) = partition.cut_files(&mut files, &shared.open_files) {
            tracing::error!(partition = %partition.name, %error, "cannot cut what failed; tried again before the next append");
            files.must_cut();
        }
    }
    for item in group.drain(..) {
        match item {
            Item::Batch(batch) => fail(shared, *batch, error.clone()),
            Item::LogStart { done, .. } => drop(done.send(Err(error.clone()))),
        }
    }
}

fn fail(shared: &Shared, batch: Pending, error: Error) {
    let bytes = batch.bytes();
    batch.fail(error);
    shared.release(bytes);
}
