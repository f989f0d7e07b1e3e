//! The thread that writes batches to segment files, in the page cache, and passes them on to the write-ahead log.
//!
//! It takes everything that has gathered and writes what belongs to one partition in one go. Batches of topics that
//! acknowledge before the disk has them are complete right then and never see the write-ahead log.

use std::sync::{Arc, atomic::Ordering};

use model::Error;

use super::{
    partition::{Partition, Stored},
    queue::{Item, Pending},
    shared::{Shared, WITHOUT_LOG, no_topic, wake},
};

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Shared) {
    let mut items = Vec::new();
    while shared.appends.take(&mut items) {
        if shared.abandoned.load(Ordering::Acquire) {
            break;
        }
        write_group(shared, &mut items);
    }
    shared.written.close();
}

/// Writes a group; leaves `items` empty.
pub(crate) fn write_group(shared: &Shared, items: &mut Vec<Item>) {
    if let Err(error) = remove_clean_mark(shared) {
        for item in items.drain(..) {
            match item {
                Item::Batch(batch) => {
                    let partition = batch.partition.clone();
                    let _files = partition.files();
                    partition.core.lock().cut(batch.admitted.base_offset, &error);
                    fail(shared, *batch, error.clone());
                }
                Item::LogStart { done, .. } => drop(done.send(Err(error.clone()))),
            }
        }
        return;
    }
    // Stable: the order within a partition is the order of its offsets.
    items.sort_by_key(|item| match item {
        Item::Batch(batch) => batch.partition.slot,
        Item::LogStart { partition, .. } => partition.slot,
    });
    let mut onward = Vec::with_capacity(items.len());
    let mut moved = Vec::new();
    let mut run: Vec<Box<Pending>> = Vec::new();
    for item in items.drain(..) {
        match item {
            Item::Batch(batch) => {
                if run.last().is_some_and(|last| last.partition.slot != batch.partition.slot) {
                    write_run(shared, &mut run, &mut onward, &mut moved);
                }
                run.push(batch);
            }
            start @ Item::LogStart { .. } => onward.push(start),
        }
    }
    write_run(shared, &mut run, &mut onward, &mut moved);
    shared.written.push_all(&mut onward);
    wake(&mut moved);
}

/// Writes batches of one partition, in order.
#[expect(clippy::vec_box, reason = "batches travel boxed from queue to queue; unboxing would move them each time")]
fn write_run(shared: &Shared, run: &mut Vec<Box<Pending>>, onward: &mut Vec<Item>, moved: &mut Vec<Arc<Partition>>) {
    let Some(partition) = run.first().map(|first| first.partition.clone()) else { return };
    let mut files = partition.files();
    // A cut needs the lock on files, so what is alive now stays alive until the lock is gone.
    let mut alive = Vec::with_capacity(run.len());
    for batch in run.drain(..) {
        let state = if partition.is_deleted() {
            Err(no_topic(&partition.name.topic))
        } else {
            partition.core.lock().check_alive(&batch.admitted)
        };
        match state {
            Ok(()) => alive.push(batch),
            Err(error) => fail(shared, *batch, error),
        }
    }
    if alive.is_empty() {
        return;
    }
    let written = {
        let mut stored: Vec<&mut Stored> = alive.iter_mut().map(|batch| &mut batch.stored).collect();
        partition.write(&mut files, &shared.open_files, &mut stored, shared.world.clock.now_ms())
    };
    if let Err((done, error)) = written {
        let dead = alive.split_off(done);
        tracing::warn!(partition = %partition.name, %error, "append failed");
        partition.core.lock().cut(dead[0].admitted.base_offset, &error);
        for batch in dead {
            fail(shared, *batch, error.clone());
        }
    }
    for batch in alive {
        if batch.admitted.synced {
            onward.push(Item::Batch(batch));
        } else {
            shared.owe(batch.stored.size() as u64 / WITHOUT_LOG);
            let bytes = batch.bytes();
            batch.complete();
            shared.release(bytes);
            moved.push(partition.clone());
        }
    }
}

fn fail(shared: &Shared, batch: Pending, error: Error) {
    let bytes = batch.bytes();
    batch.fail(error);
    shared.release(bytes);
}

/// From the first change on, the log is not cleanly closed.
pub(super) fn remove_clean_mark(shared: &Shared) -> Result<(), Error> {
    if !shared.clean_mark.load(Ordering::Acquire) {
        return Ok(());
    }
    let disk = &*shared.world.disk;
    disk.remove_file(&shared.layout.clean())
        .and_then(|()| disk.sync_dir(shared.layout.dir()))
        .map_err(|error| Error::io("cannot remove the mark of a clean close", &error))?;
    shared.clean_mark.store(false, Ordering::Release);
    Ok(())
}
