//! The thread that compacts: looks for partitions that are worth it, reads, asks the core what becomes of each batch,
//! writes, and puts new segments in the place of old ones, within a budget of memory and of bytes a second.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use model::{Error, Offset, Result};

use super::{
    checkpoint::checkpoint,
    core::compaction::{Candidate, Choice, Fate, Filter, Mapping, OffsetMap, Rules, choose, joins},
    partition::{CompactedWriter, Partition, Segment},
    shared::Shared,
};
use crate::log::{CompactionStats, PartitionCompaction};

/// What compaction has done since the log was opened.
#[derive(Default)]
pub(crate) struct Counters {
    runs: AtomicU64,
    failures: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    records_kept: AtomicU64,
    records_dropped: AtomicU64,
    batches_unreadable: AtomicU64,
    /// 0: never.
    last_run_ms: AtomicI64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    /// There was nothing to do.
    NotDue,
    /// There may be more to do: not all keys fitted into memory.
    Partly,
    Wholly,
    /// The log is being closed.
    Stopped,
}

/// Runs until told to stop. It looks into what strangers wrote, and nobody waits for it: if it panics, appends and reads go on.
pub(crate) fn run(shared: &Shared) {
    while shared.compactor.wait(shared.settings.compaction_interval) {
        // What a run changes it changes at once, under locks that a panic lets go.
        match catch_unwind(AssertUnwindSafe(|| compact(shared, true))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "compaction failed and will be tried again"),
            Err(_) => {
                shared.compaction.failures.fetch_add(1, Relaxed);
                tracing::error!("compaction has panicked, which is a mistake of Lakehead; it will be tried again");
            }
        }
    }
}

/// Compacts all partitions that are worth it, the dirtiest first. The first failure is told when all have had their turn.
pub(crate) fn compact(shared: &Shared, is_paced: bool) -> Result<()> {
    let _one_at_a_time = shared.compacting.lock();
    let mut pace = Pace { shared, is_paced, bytes: 0, since: shared.world.clock.monotonic() };
    let mut failed = None;
    let mut due = due(shared, &mut failed)?;
    due.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (partition, _) in due {
        loop {
            match compact_partition(shared, &partition, &mut pace) {
                Ok(Ran::Partly) => {}
                Ok(Ran::Wholly | Ran::NotDue) => break,
                Ok(Ran::Stopped) => return Ok(()),
                Err(_) if partition.is_deleted() => break,
                Err(error) => {
                    shared.compaction.failures.fetch_add(1, Relaxed);
                    tracing::error!(partition = %partition.name, %error, "a partition could not be compacted");
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Partitions that are worth compacting, and how much of them is new. Ends segments of quiet topics first.
fn due(shared: &Shared, failed: &mut Option<Error>) -> Result<Vec<(Arc<Partition>, f64)>> {
    let now = shared.world.clock.now_ms();
    let compacted: Vec<_> = shared
        .all_partitions()
        .into_iter()
        .filter(|partition| partition.config().cleanup.compact && partition.core.lock().high_watermark > 0)
        .collect();
    let mut needs_checkpoint = false;
    for partition in &compacted {
        match partition.roll_if_quiet(&shared.open_files, now) {
            Ok(rolled) => needs_checkpoint |= rolled,
            Err(_) if partition.is_deleted() => {}
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "a segment could not be ended");
                failed.get_or_insert(error);
            }
        }
    }
    // Whether a checkpoint would bring something to light that is worth it.
    needs_checkpoint |= compacted.iter().any(|partition| {
        partition.active_segment().is_some_and(|active| active.base_offset > partition.checkpointed())
    });
    if needs_checkpoint {
        checkpoint(shared)?;
    }
    let mut due = Vec::new();
    for partition in compacted {
        match look(shared, &partition) {
            Ok(look) if look.choice.is_due => due.push((partition, look.choice.dirty_ratio)),
            Ok(_) => {}
            Err(_) if partition.is_deleted() => {}
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "compaction cannot look at a partition");
                failed.get_or_insert(error);
            }
        }
    }
    Ok(due)
}

struct Look {
    sealed: Vec<(Arc<Segment>, Candidate)>,
    choice: Choice,
    rules: Rules,
}

/// Looks at a partition's segments.
fn look(shared: &Shared, partition: &Partition) -> Result<Look> {
    let config = partition.config();
    let with_times = config.compaction_lag_ms_min > 0 || config.compaction_lag_ms_max < i64::MAX;
    let sealed = partition.sealed(&shared.open_files, with_times)?;
    let bounds = partition.core.lock().bounds();
    let compaction = *partition.compaction.lock();
    let rules = Rules {
        now: shared.world.clock.now_ms(),
        cleaned_to: compaction.cleaned_to,
        bound: bounds.last_stable.min(partition.held_from()).min(partition.checkpointed()),
        lag_ms_min: config.compaction_lag_ms_min,
        lag_ms_max: config.compaction_lag_ms_max,
        dirty_ratio_min: config.dirty_ratio_min,
        next_horizon: compaction.next_horizon,
    };
    let candidates: Vec<_> = sealed.iter().map(|(_, candidate)| *candidate).collect();
    let choice = choose(&candidates, &rules);
    partition.compaction.lock().dirty_ratio = choice.dirty_ratio;
    Ok(Look { sealed, choice, rules })
}

/// One run over a partition.
fn compact_partition(shared: &Shared, partition: &Arc<Partition>, pace: &mut Pace<'_>) -> Result<Ran> {
    if partition.compaction.lock().must_checkpoint {
        checkpoint(shared)?;
        partition.compaction.lock().must_checkpoint = false;
    }
    let Look { mut sealed, choice, rules } = look(shared, partition)?;
    if !choice.is_due || !partition.config().cleanup.compact {
        return Ok(Ran::NotDue);
    }
    sealed.truncate(choice.count);
    let (Some(first), Some(last)) = (sealed.first(), sealed.last()) else { return Ok(Ran::NotDue) };
    let (start, end) = (first.1.base, last.1.end);
    let from = rules.cleaned_to.clamp(start, end);
    let (aborted_in_new, aborted, last_of_producers) = {
        let core = partition.core.lock();
        let aborted = |from| core.transactions.aborted_within(from, end);
        (aborted(from), aborted(start), core.producers.last_offsets(core.high_watermark))
    };

    let map = OffsetMap::new(
        u64::try_from(end - from).unwrap_or(0),
        shared.settings.compaction_map_bytes,
        [shared.world.random.u64(), shared.world.random.u64()],
    );
    let mut mapping = Mapping::new(map, from, aborted_in_new);
    let mut is_full = false;
    'mapping: for (segment, _) in sealed.iter().filter(|(_, candidate)| candidate.end > from) {
        let position = segment.locate(&shared.open_files, from, true)?.expect("it may block");
        let mut scan = segment.scan_from(&shared.open_files, position, segment.len())?;
        while let Some((position, header)) = scan.next()? {
            let bytes = scan.batch(position, &header)?;
            if !pace.read(bytes.len()) {
                return Ok(Ran::Stopped);
            }
            if !mapping.batch(&header, bytes) {
                is_full = true;
                break 'mapping;
            }
        }
    }
    let (map, mapped) = mapping.finish();
    let mapped_to = if is_full { mapped } else { end };

    let config = partition.config();
    let mut filter =
        Filter::new((&map, mapped_to), end, (rules.now, config.delete_retention_ms), last_of_producers, aborted);
    {
        let mut compaction = partition.compaction.lock();
        compaction.begun_to = compaction.begun_to.max(mapped_to);
    }
    // What nothing is known of is left alone.
    sealed.retain(|(_, candidate)| candidate.base < mapped_to);
    let mut rewriting = Rewriting { shared, partition, old: Vec::new(), end: start, bytes: 0, writer: None };
    for (segment, candidate) in &sealed {
        if !rewriting.takes(candidate, config.segment_bytes) && !rewriting.finish()? {
            return Ok(Ran::NotDue);
        }
        if !rewriting.pass(segment, candidate.end, &mut filter, pace)? {
            return Ok(Ran::Stopped);
        }
    }
    // Segments that were given up are as they were: nothing counts as compacted, and the next run maps all of it again.
    if !rewriting.finish()? {
        return Ok(Ran::NotDue);
    }
    let finished = filter.finish();
    partition.forget_aborted(&finished.gone);
    {
        let mut compaction = partition.compaction.lock();
        compaction.cleaned_to = compaction.cleaned_to.max(mapped_to);
        compaction.next_horizon = finished.next_horizon;
        compaction.last_run_ms = Some(rules.now);
    }
    let counters = &shared.compaction;
    counters.runs.fetch_add(1, Relaxed);
    counters.records_kept.fetch_add(finished.counts.kept, Relaxed);
    counters.records_dropped.fetch_add(finished.counts.dropped, Relaxed);
    counters.batches_unreadable.fetch_add(finished.counts.unreadable, Relaxed);
    counters.last_run_ms.store(rules.now, Relaxed);
    if finished.counts.unreadable > 0 {
        let batches = finished.counts.unreadable;
        tracing::warn!(partition = %partition.name, batches, "batches that cannot be read stay as they are");
    }
    tracing::info!(
        partition = %partition.name,
        to = mapped_to,
        kept = finished.counts.kept,
        dropped = finished.counts.dropped,
        "compacted"
    );
    // So that the next look says how it is now.
    look(shared, partition)?;
    Ok(if is_full { Ran::Partly } else { Ran::Wholly })
}

/// Segments that become one. A single one that stays what it is stays.
struct Rewriting<'a> {
    shared: &'a Shared,
    partition: &'a Arc<Partition>,
    old: Vec<Arc<Segment>>,
    /// Where the last of them ends.
    end: Offset,
    /// Bytes that are left of them.
    bytes: u64,
    /// Nothing has changed as long as there is none.
    writer: Option<CompactedWriter<'a>>,
}

impl Rewriting<'_> {
    fn takes(&self, next: &Candidate, bytes_max: u64) -> bool {
        self.old.first().is_none_or(|first| joins(first.base_offset, self.bytes, next, bytes_max))
    }

    /// Passes a segment through the filter. False: stopped.
    fn pass(
        &mut self,
        segment: &Arc<Segment>,
        end: Offset,
        filter: &mut Filter<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<bool> {
        let open = &self.shared.open_files;
        if let Some(before) = self.old.last().filter(|_| self.writer.is_none()).cloned()
            && !self.begin(&before, before.len(), pace)?
        {
            return Ok(false);
        }
        self.old.push(segment.clone());
        self.end = end;
        let mut scan = segment.scan_from(open, 0, segment.len())?;
        while let Some((position, header)) = scan.next()? {
            let bytes = scan.batch(position, &header)?;
            if !pace.read(bytes.len()) {
                return Ok(false);
            }
            let fate = filter.batch(&header, bytes);
            if fate != Fate::Stays && self.writer.is_none() && !self.begin(segment, position, pace)? {
                return Ok(false);
            }
            let Some(writer) = &mut self.writer else { continue };
            let written = match fate {
                Fate::Goes => continue,
                Fate::Stays => {
                    writer.push(&header, [bytes, &[]])?;
                    bytes.len()
                }
                Fate::Becomes(header, records) => {
                    writer.push(&header, [&header.write(), &records])?;
                    header.size()
                }
            };
            if !pace.written(written) {
                return Ok(false);
            }
        }
        self.bytes = self.writer.as_ref().map_or(segment.len(), CompactedWriter::len);
        Ok(true)
    }

    /// Begins to write, with what has been passed over: the bytes of `segment` up to `position`. False: stopped.
    fn begin(&mut self, segment: &Arc<Segment>, position: u64, pace: &mut Pace<'_>) -> Result<bool> {
        let mut writer = CompactedWriter::new(&*self.shared.world.disk, self.partition, segment.base_offset)?;
        let mut scan = segment.scan_from(&self.shared.open_files, 0, position)?;
        while let Some((position, header)) = scan.next()? {
            let bytes = scan.batch(position, &header)?;
            if !(pace.read(bytes.len()) && pace.written(bytes.len())) {
                return Ok(false);
            }
            writer.push(&header, [bytes, &[]])?;
        }
        self.writer = Some(writer);
        Ok(true)
    }

    /// Puts what was written in the place of what it was made of. False: retention was faster, or the topic is being deleted.
    fn finish(&mut self) -> Result<bool> {
        let old = std::mem::take(&mut self.old);
        let Some(writer) = self.writer.take() else { return Ok(true) };
        let created_ms = old.iter().map(|segment| segment.created_ms).max().unwrap_or(0);
        let new = Arc::new(writer.finish(self.end, created_ms)?);
        let mut files = self.partition.files();
        let is_replaced = self.partition.replace(&mut files, &old, &new);
        drop(files);
        self.shared.bury(if is_replaced { old } else { vec![new] });
        Ok(is_replaced)
    }
}

/// Keeps within the budget of bytes a second, and notices when the log is being closed.
struct Pace<'a> {
    shared: &'a Shared,
    is_paced: bool,
    /// Since the last pause, which ended then.
    bytes: u64,
    since: Duration,
}

/// Bytes between two looks at the clock.
const PACE_BYTES: u64 = 256 << 10;

impl Pace<'_> {
    fn read(&mut self, bytes: usize) -> bool {
        self.shared.compaction.bytes_read.fetch_add(bytes as u64, Relaxed);
        self.go(bytes)
    }

    fn written(&mut self, bytes: usize) -> bool {
        self.shared.compaction.bytes_written.fetch_add(bytes as u64, Relaxed);
        self.go(bytes)
    }

    /// False when told to stop.
    fn go(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        if self.bytes < PACE_BYTES {
            return true;
        }
        let clock = &self.shared.world.clock;
        let rate = self.shared.settings.compaction_bytes_per_second.max(1);
        let owed = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        let taken = clock.monotonic().saturating_sub(self.since);
        let goes_on = match self.is_paced {
            true => self.shared.compactor.pause(owed.saturating_sub(taken)),
            false => !self.shared.compactor.is_stopped(),
        };
        (self.bytes, self.since) = (0, clock.monotonic());
        goes_on
    }
}

/// The counters, and how each partition is.
pub(crate) fn stats(shared: &Shared) -> CompactionStats {
    let counters = &shared.compaction;
    let of = |partition: &Arc<Partition>| {
        let compaction = *partition.compaction.lock();
        PartitionCompaction {
            partition: partition.name.clone(),
            dirty_ratio: compaction.dirty_ratio,
            cleaned_to: compaction.cleaned_to,
            last_run_ms: compaction.last_run_ms,
        }
    };
    let partitions = shared.all_partitions();
    CompactionStats {
        runs: counters.runs.load(Relaxed),
        failures: counters.failures.load(Relaxed),
        bytes_read: counters.bytes_read.load(Relaxed),
        bytes_written: counters.bytes_written.load(Relaxed),
        records_kept: counters.records_kept.load(Relaxed),
        records_dropped: counters.records_dropped.load(Relaxed),
        batches_unreadable: counters.batches_unreadable.load(Relaxed),
        last_run_ms: Some(counters.last_run_ms.load(Relaxed)).filter(|at| *at != 0),
        partitions: partitions.iter().filter(|p| p.config().cleanup.compact).map(of).collect(),
    }
}
