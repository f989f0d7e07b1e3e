//! The thread that makes batches durable: while one fsync runs the next group gathers, and one fsync of the write-ahead log
//! makes the batches of all partitions durable. What goes to segments in large pieces is synced there instead.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use model::{Error, Offset};

use super::{
    core::{Device, SHARE_BYTES_MIN, Share, synced_in_place},
    partition::{Partition, uncertain},
    queue::{Item, Pending},
    shared::{Shared, WITHOUT_LOG, apply_log_start, wake},
    wal::{Failed, Wal, Write},
};

/// Above this many times the checkpoint's threshold, the log waits for a checkpoint instead of growing.
const WAL_GROWTH_MAX: u64 = 4;

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, mut committer: Committer) {
    let mut items = Vec::new();
    while shared.written.take(&mut items) {
        if shared.abandoned.load(Ordering::Acquire) {
            return;
        }
        committer.commit(shared, &mut items);
    }
}

/// The write-ahead log, and what is known of the disk it shares with the segments.
pub(crate) struct Committer {
    wal: Wal,
    device: Device,
}

impl Committer {
    pub(crate) fn new(wal: Wal) -> Self {
        Self { wal, device: Device::default() }
    }

    /// Makes a group durable: large shares of segments in place, the rest by logging it, file by file. Leaves `items` empty.
    pub(crate) fn commit(&mut self, shared: &Shared, items: &mut Vec<Item>) {
        let mut group: VecDeque<_> = items.drain(..).collect();
        let mut moved = Vec::new();
        drop_dead(shared, &mut group);
        // After a failure of the log, what it may hold must be declared void before anything else takes its place.
        if self.wal.is_sure() {
            sync_in_place(shared, &mut self.device, &mut group, &mut moved);
            wake(&mut moved);
        }
        while !group.is_empty() {
            if shared.wal.full_bytes() > WAL_GROWTH_MAX * shared.settings.checkpoint_bytes
                && let Err(error) = super::checkpoint::checkpoint(shared)
            {
                fail_all(shared, &mut group, &Failed { error, is_gone: true });
                break;
            }
            self.log(shared, &mut group, &mut moved);
            wake(&mut moved);
        }
    }

    /// Logs as many of a group as go into the file in use, and takes them out of it; all of them if that fails.
    fn log(&mut self, shared: &Shared, group: &mut VecDeque<Item>, moved: &mut Vec<Arc<Partition>>) {
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
        let (file, began) = (self.wal.file_number(), shared.world.clock.monotonic());
        let logged = self.wal.log(&writes);
        drop(writes);
        match logged {
            Ok(count) => {
                if self.wal.file_number() != file {
                    // It prepares the next one.
                    shared.keeper.nudge();
                }
                let bytes = group.iter().take(count).map(Item::bytes).sum();
                shared.owe(bytes);
                self.device.logged(bytes, shared.world.clock.monotonic() - began);
                for item in group.drain(..count) {
                    complete(shared, item, moved);
                }
                self.wal.took_effect();
            }
            Err(failed) => {
                let error = &failed.error;
                tracing::error!(%error, "the write-ahead log failed: appends are refused until it works again");
                fail_all(shared, group, &failed);
            }
        }
    }
}

/// What of a group belongs to one partition.
struct Held {
    partition: Arc<Partition>,
    segment: Offset,
    /// All of it lies in that segment: the batches of a partition complete in order.
    is_in_one: bool,
    bytes: u64,
}

/// Syncs segments that hold much of the group, and takes their batches out of it. What fails here stays in it.
fn sync_in_place(shared: &Shared, device: &mut Device, group: &mut VecDeque<Item>, moved: &mut Vec<Arc<Partition>>) {
    let mut held: BTreeMap<u64, Held> = BTreeMap::new();
    for item in &*group {
        let Item::Batch(batch) = item else { continue };
        let segment = batch.stored.place.segment;
        let of_partition = held.entry(batch.partition.slot).or_insert_with(|| Held {
            partition: batch.partition.clone(),
            segment,
            is_in_one: true,
            bytes: 0,
        });
        of_partition.is_in_one &= of_partition.segment == segment;
        of_partition.bytes += batch.stored.size() as u64;
    }
    // A group may be of a thousand partitions: only those with much are looked at closer.
    held.retain(|_, held| held.is_in_one && held.bytes >= SHARE_BYTES_MIN);
    let segments: Vec<_> = held.values().map(|held| held.partition.active_segment()).collect();
    let shares: Vec<_> = std::iter::zip(held.values(), &segments)
        .map(|(held, segment)| {
            let segment = segment.as_ref().filter(|segment| segment.base_offset == held.segment);
            Share { bytes: held.bytes, unsynced: segment.and_then(|segment| segment.unsynced()) }
        })
        .collect();
    let mut synced = BTreeSet::new();
    let chosen = synced_in_place(&shares, device);
    for (((slot, segment), share), is_chosen) in held.keys().zip(segments).zip(&shares).zip(chosen) {
        let Some(segment) = segment.filter(|_| is_chosen) else { continue };
        let began = shared.world.clock.monotonic();
        match segment.sync_now(&shared.open_files) {
            Ok(()) => {
                shared.owe(share.bytes / WITHOUT_LOG);
                device.synced(share.unsynced.unwrap_or(share.bytes), shared.world.clock.monotonic() - began);
                synced.insert(*slot);
            }
            Err(error) => tracing::error!(%error, "the write-ahead log takes what a segment did not"),
        }
    }
    if synced.is_empty() {
        return;
    }
    for item in std::mem::take(group) {
        match item {
            Item::Batch(ref batch) if synced.contains(&batch.partition.slot) => complete(shared, item, moved),
            item => group.push_back(item),
        }
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

/// None of `group` became durable: takes it, and what was written behind it, out of the segments. LOG-4: whoever is told that
/// it failed is told that it is certain, or that it is not.
fn fail_all(shared: &Shared, group: &mut VecDeque<Item>, failed: &Failed) {
    let error = &failed.error;
    let mut partitions: Vec<Arc<Partition>> = group
        .iter()
        .filter_map(|item| match item {
            Item::Batch(batch) => Some(batch.partition.clone()),
            Item::LogStart { .. } => None,
        })
        .collect();
    partitions.sort_unstable_by_key(|partition| partition.slot);
    partitions.dedup_by_key(|partition| partition.slot);
    let mut told = BTreeMap::new();
    for partition in partitions {
        let mut files = partition.files();
        // A checkpoint may have brought to disk what is cut now: the cut must be there, too, before anybody is told.
        let cut = partition.cut_files(&mut files, &shared.open_files);
        let cut = cut.and_then(|()| partition.sync_cut(&shared.open_files));
        if let Err(error) = &cut {
            tracing::error!(partition = %partition.name, %error, "cannot cut what failed; tried again before the next append");
            files.must_cut();
        }
        let is_certain = failed.is_gone && cut.is_ok();
        let why = if is_certain { error.clone() } else { uncertain(partition.name.to_string(), error) };
        {
            let mut core = partition.core.lock();
            let from = core.high_watermark;
            core.cut(from, &why);
        }
        told.insert(partition.slot, why);
    }
    for item in group.drain(..) {
        match item {
            Item::Batch(batch) => {
                let why = told.get(&batch.partition.slot).unwrap_or(error).clone();
                fail(shared, *batch, why);
            }
            Item::LogStart { done, .. } => drop(done.send(Err(error.clone()))),
        }
    }
}

fn fail(shared: &Shared, batch: Pending, error: Error) {
    let bytes = batch.bytes();
    batch.fail(error);
    shared.release(bytes);
}
