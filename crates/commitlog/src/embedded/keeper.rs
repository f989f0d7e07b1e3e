//! The thread that keeps the log tidy: checkpoints, retention, spare files.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use model::{Offset, Result};

use super::{checkpoint::checkpoint, partition::Partition, shared::Shared};

/// It looks around at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a failed checkpoint it waits this long, however many ask.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub(crate) fn run(shared: &Shared) {
    let settings = &shared.settings;
    let patience = LOOK_EVERY.min(settings.checkpoint_interval).min(settings.retention_interval);
    let mut keeper = Keeper::new(shared);
    while shared.keeper.wait(patience) {
        keeper.look(shared);
    }
}

/// When it last did what, by the monotonic clock.
pub(crate) struct Keeper {
    checked: Duration,
    retained: Duration,
    /// A checkpoint, unless one has succeeded since.
    failed: Option<Duration>,
}

impl Keeper {
    pub(crate) fn new(shared: &Shared) -> Self {
        let now = shared.world.clock.monotonic();
        Self { checked: now, retained: now, failed: None }
    }

    /// Does what is due.
    pub(crate) fn look(&mut self, shared: &Shared) {
        let now = || shared.world.clock.monotonic();
        let settings = &shared.settings;
        if shared.wal.logged_bytes() > 0
            && let Err(error) = shared.wal.prepare_spare()
        {
            tracing::warn!(%error, "cannot prepare a file for the write-ahead log");
        }
        let is_late = shared.bytes_since_checkpoint() > 0 && now() - self.checked >= settings.checkpoint_interval;
        let due = shared.is_checkpoint_due() || is_late || shared.unsettled.load(Ordering::Acquire);
        if due && self.failed.is_none_or(|at| now() - at >= BACK_OFF) {
            match checkpoint(shared) {
                Ok(()) => (self.checked, self.failed) = (now(), None),
                Err(error) => {
                    tracing::error!(%error, "checkpoint failed and will be tried again");
                    self.failed = Some(now());
                }
            }
        }
        let report = if now() - self.retained >= settings.retention_interval {
            self.retained = now();
            retain(shared)
        } else {
            remove_below_start(shared)
        };
        if let Err(error) = report {
            tracing::error!(%error, "old segments could not be removed");
        }
        empty_graveyard(shared, settings.file_delete_delay);
    }
}

/// Moves the start of partitions past what their topics no longer want, and removes what lies before.
pub(crate) fn retain(shared: &Shared) -> Result<()> {
    let now = shared.world.clock.now_ms();
    let expired = now.saturating_sub(i64::try_from(shared.settings.producer_expiry.as_millis()).unwrap_or(i64::MAX));
    for partition in shared.all_partitions() {
        partition.core.lock().forget_producers(expired);
        let to = match start_wanted(shared, &partition, now) {
            Ok(to) => to,
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "retention cannot look at a partition");
                continue;
            }
        };
        if partition.core.lock().set_log_start(to) {
            tracing::info!(partition = %partition.name, log_start = to, "retention moved the start");
            partition.wake();
        }
    }
    remove_below_start(shared)
}

/// Where the partition should begin by age and size of its segments.
fn start_wanted(shared: &Shared, partition: &Partition, now: i64) -> Result<Offset> {
    let config = partition.config();
    let open = &shared.open_files;
    partition.load(&mut partition.files(), open)?;
    let (bounds, quiet) = {
        let core = partition.core.lock();
        (core.bounds(), core.is_quiet())
    };
    let limit = bounds.high_watermark.min(partition.held_from());
    let segments = partition.segments();
    let total: u64 = segments.iter().map(|segment| segment.len()).sum();
    let mut surplus = match u64::try_from(config.retention_bytes) {
        Ok(max) => total.saturating_sub(max),
        Err(_) => 0,
    };
    let mut start = bounds.log_start;
    let may_delete = config.cleanup.delete;
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).map(|next| next.base_offset);
        let end = next.unwrap_or(bounds.log_end);
        // Compaction may have left nothing of a segment.
        let is_empty = segment.len() == 0;
        if end > limit || (next.is_none() && (!quiet || is_empty)) {
            break;
        }
        let by_size = may_delete && next.is_some() && surplus > 0 && surplus >= segment.len();
        let by_age = may_delete && config.retention_ms >= 0 && {
            let newest = segment.max_timestamp(open)?.unwrap_or(segment.created_ms);
            is_empty || now.saturating_sub(newest) > config.retention_ms
        };
        if !(by_size || by_age || end <= bounds.log_start) {
            break;
        }
        surplus = surplus.saturating_sub(segment.len());
        start = start.max(end);
    }
    Ok(start)
}

/// Removes segments that end at or before the start of their partition. What they held is on no reader's way any more,
/// but where the partition begins and ends must be on disk first.
pub(crate) fn remove_below_start(shared: &Shared) -> Result<()> {
    let partitions: Vec<_> = shared.all_partitions().into_iter().filter(|p| below_start(p) > 0).collect();
    if partitions.is_empty() {
        return Ok(());
    }
    checkpoint(shared)?;
    for partition in partitions {
        let mut files = partition.files();
        let count = below_start(&partition);
        let gone = partition.detach(&mut files, count);
        drop(files);
        shared.bury(gone);
    }
    Ok(())
}

/// How many segments lie before the start. The last one counts only if nothing is on its way to it.
fn below_start(partition: &Arc<Partition>) -> usize {
    let segments = partition.segments();
    let core = partition.core.lock();
    let sealed = segments.windows(2).take_while(|pair| pair[1].base_offset <= core.log_start).count();
    let all = sealed + 1 == segments.len()
        && core.is_quiet()
        && core.log_start == core.log_end
        && segments.last().is_some_and(|last| last.len() > 0);
    sealed + usize::from(all)
}

/// Removes the files of segments that were buried at least `delay` ago.
pub(crate) fn empty_graveyard(shared: &Shared, delay: Duration) {
    let now = shared.world.clock.monotonic();
    let due: Vec<_> = shared.graveyard.lock().extract_if(.., |buried| now - buried.since >= delay).collect();
    for buried in due {
        if let Err(error) = buried.segment.remove(&*shared.world.disk) {
            tracing::warn!(file = %buried.segment.path().display(), %error, "cannot remove an old segment");
            shared.bury(vec![buried.segment]);
        }
    }
}

impl Shared {
    /// Bytes written to segments since the last checkpoint began.
    pub(crate) fn bytes_since_checkpoint(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed) - self.checkpoint_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_checkpoint_due(&self) -> bool {
        self.bytes_since_checkpoint() >= self.settings.checkpoint_bytes
    }
}
