//! Checkpoints: bringing segment files to disk in the background, so that the write-ahead log can be used again.

mod format;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use model::{Error, Result};

pub(crate) use format::{Checkpoint, Saved};

use world::Disk;

use super::{
    LogSettings,
    layout::Layout,
    open::sync_all_names,
    partition::{Dirt, Partition},
    shared::Shared,
    side_by_side::side_by_side,
};
use crate::planted::{self, Bug};

/// What the device is given at once: appends wait behind it.
const SMALL_PIECE_BYTES: u64 = 64 << 10;

/// The same when the next checkpoint is due soon: in larger pieces the device takes more.
const LARGE_PIECE_BYTES: u64 = 256 << 10;

/// Spare files of the write-ahead log that are kept.
pub(crate) fn spare_files_max(settings: &LogSettings) -> usize {
    (settings.checkpoint_bytes / settings.wal_file_bytes) as usize + 2
}

/// How files are brought to disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// One after the other, in pieces: appends go on meanwhile, and wait for one piece at most.
    Gentle,
    /// As fast as the device takes them: nobody else is at work.
    Alone,
}

impl Pace {
    /// Does `work` for all of `items`. After an error no new ones are begun.
    fn for_all<T: Sync>(self, items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
        match self {
            Self::Gentle => items.iter().try_for_each(work),
            Self::Alone => side_by_side(items, work),
        }
    }
}

/// Makes all that is complete durable in its segment files and frees the write-ahead log before it.
pub(crate) fn checkpoint(shared: &Shared) -> Result<()> {
    checkpoint_at(shared, Pace::Gentle)
}

/// The same before the node does anything else.
pub(crate) fn checkpoint_at_start(shared: &Shared) -> Result<()> {
    checkpoint_at(shared, Pace::Alone)
}

fn checkpoint_at(shared: &Shared, pace: Pace) -> Result<()> {
    let _one_at_a_time = shared.checkpointing.lock();
    // What is logged has been written to its segment before; the order below matters: first the mark in the log, then
    // how far partitions are, then what is dirty, then sync. Each covers at least what was said before it.
    let written = shared.written_bytes.load(Ordering::Relaxed);
    let lsn = shared.wal.settled();
    let partitions = shared.all_partitions();
    let mut checkpoint = Checkpoint { lsn, ..Checkpoint::default() };
    for partition in &partitions {
        if let Some(saved) = save(partition) {
            checkpoint.partitions.insert((partition.topic_id, partition.name.partition), saved);
        }
    }
    let dirty: Vec<_> =
        partitions.iter().filter_map(|partition| Some((partition.clone(), partition.take_dirt()?))).collect();
    let sync = |(partition, dirt): &(Arc<Partition>, Dirt)| match sync(shared, dirt, written, pace) {
        Err(error) if !partition.is_deleted() => Err(error),
        _ => Ok(()),
    };
    let synced = pace.for_all(&dirty, sync).and_then(|()| sync_names(shared, &dirty, pace));
    if let Err(error) = synced.and_then(|()| write(shared, &checkpoint, false)) {
        for (partition, dirt) in dirty {
            if partition.is_deleted() {
                continue;
            }
            // After a failed fsync the system may believe the pages clean: write them once more.
            if let Err(error) = partition.rewrite(&dirt, &shared.open_files) {
                tracing::error!(partition = %partition.name, %error, "segments could not be written again");
            }
            partition.put_back_dirt(dirt);
        }
        return Err(error);
    }
    dirty.iter().flat_map(|(_, dirt)| &dirt.segments).for_each(|segment| segment.settle());
    for partition in &partitions {
        if let Some(saved) = checkpoint.partitions.get(&(partition.topic_id, partition.name.partition)) {
            partition.note_checkpoint(saved.place.segment);
        }
    }
    shared.checkpoint_bytes.store(written, Ordering::Relaxed);
    shared.unsettled.store(false, Ordering::Release);
    shared.wal.free_before(lsn, spare_files_max(&shared.settings));
    Ok(())
}

/// Brings the bytes of segments to disk. Each file is synced for itself: syncing the file system would wait for everybody's
/// files, and make everybody wait.
fn sync(shared: &Shared, dirt: &Dirt, written: u64, pace: Pace) -> Result<()> {
    let piece_bytes = || {
        let since = shared.written_bytes.load(Ordering::Relaxed) - written;
        if since < shared.settings.checkpoint_bytes / 2 { SMALL_PIECE_BYTES } else { LARGE_PIECE_BYTES }
    };
    dirt.segments.iter().try_for_each(|segment| {
        segment.save_index(&shared.open_files);
        match pace {
            Pace::Gentle => segment.sync(&shared.open_files, piece_bytes),
            Pace::Alone => segment.sync_now(&shared.open_files),
        }
    })
}

/// Brings the names of new files to disk.
fn sync_names(shared: &Shared, dirty: &[(Arc<Partition>, Dirt)], pace: Pace) -> Result<()> {
    let mut dirs = BTreeMap::new();
    for (partition, _) in dirty.iter().filter(|(_, dirt)| dirt.new_names) {
        for dir in [Some(partition.dir()), partition.dir().parent()].into_iter().flatten() {
            dirs.entry(dir).or_insert(partition);
        }
    }
    let dirs: Vec<_> = dirs.into_iter().collect();
    let sync = |(dir, partition): &(&Path, &Arc<Partition>)| match shared.world.disk.sync_dir(dir) {
        // Whoever deletes a topic does not wait for this.
        Err(error) if !partition.is_deleted() => Err(Error::io("cannot bring names of segment files to disk", &error)),
        _ => Ok(()),
    };
    pace.for_all(&dirs, sync)
}

/// The partition as it is, if there is anything to say.
fn save(partition: &Partition) -> Option<Saved> {
    if partition.is_deleted() {
        return None;
    }
    let since = partition.active_since();
    let (cleaned_to, next_horizon) = partition.compaction.lock().saved();
    let core = partition.core.lock();
    let is_fresh = core.log_end == 0 && core.epochs.current() == 0;
    (!is_fresh).then(|| {
        let (begun, mut aborted) = core.transactions.before(core.high_watermark);
        let mut producers: BTreeMap<_, _> = core.producers.before(core.high_watermark).collect();
        if planted::is(Bug::AbortedForgotten) {
            aborted.clear();
        }
        if planted::is(Bug::ProducersForgotten) {
            producers.clear();
        }
        Saved {
            log_start: core.log_start,
            end: core.high_watermark,
            place: core.place,
            since,
            epochs: core.epochs.clone(),
            producers: producers.into_iter().collect(),
            begun,
            aborted,
            cleaned_to,
            next_horizon,
        }
    })
}

/// Replaces the checkpoint; `clean` says that nothing comes after it.
fn write(shared: &Shared, checkpoint: &Checkpoint, clean: bool) -> Result<()> {
    let disk = &*shared.world.disk;
    let bytes = checkpoint.write();
    let failed = |error: std::io::Error| Error::io("cannot write the checkpoint", &error);
    disk.write_atomic(&shared.layout.checkpoint(), &bytes).map_err(failed)?;
    if clean {
        disk.write_atomic(&shared.layout.clean(), clean_mark(&bytes).as_bytes()).map_err(failed)?;
        shared.clean_mark.store(true, Ordering::Release);
    }
    Ok(())
}

/// What the clean mark of this checkpoint says.
fn clean_mark(checkpoint: &[u8]) -> String {
    format!("{:08x}\n", crc32c::crc32c(checkpoint))
}

/// A last checkpoint, after which nothing is written.
pub(crate) fn close(shared: &Shared) -> Result<()> {
    checkpoint(shared)?;
    // A start after this relies on what it finds.
    if shared.unsure_names.load(Ordering::Acquire) {
        sync_all_names(&*shared.world.disk, &shared.layout)
            .map_err(|error| Error::io("cannot bring names of files to disk", &error))?;
    }
    let partitions = shared
        .all_partitions()
        .iter()
        .filter_map(|partition| Some(((partition.topic_id, partition.name.partition), save(partition)?)))
        .collect();
    write(shared, &Checkpoint { lsn: shared.wal.used(), partitions }, true)
}

/// The checkpoint on disk, and whether the node was closed after it.
pub(crate) fn load(disk: &dyn Disk, layout: &Layout) -> Result<(Checkpoint, bool)> {
    let path = layout.checkpoint();
    let failed = |error: std::io::Error| Error::io(format!("cannot read {}", path.display()), &error);
    let Some(bytes) = disk.read(&path).map_err(failed)? else {
        return Ok((Checkpoint::default(), false));
    };
    let checkpoint = Checkpoint::read(&bytes).ok_or_else(|| {
        Error::new(model::error::codes::CORRUPT, format!("{} is damaged", path.display()))
            .detail("its checksum or version is wrong")
    })?;
    let mark = disk.read(&layout.clean()).map_err(failed)?;
    Ok((checkpoint, mark.as_deref() == Some(clean_mark(&bytes).as_bytes())))
}
