//! Finding batches in a segment: by offset, by time, one after the other; and the index that says where to begin.
//!
//! The index saves reading and decides nothing: where it is missing or wrong it is made anew from the batches themselves.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering},
};

use bytes::Bytes;
use model::{Offset, Result, TimestampMs, error::codes::CORRUPT};
use parking_lot::{Mutex, RwLock};
use world::DiskFile;

use super::{
    super::{
        index::{Entry, INTERVAL_BYTES, Live, NO_MAX, Saved},
        scan::{Follows, Scan, corrupt},
    },
    OpenFiles, Segment, Stored,
};
use crate::{
    embedded::layout::{self, Compacted, OffsetSum},
    log::Bounds,
    record::{Batch, Header, Records},
};

/// Index entries that may be missing in the file.
const UNSAVED_ENTRIES_MAX: usize = 64;

/// Largest block decoded to find a record by its time.
const DECODED_BYTES_MAX: usize = 256 << 20;

/// See [`Lookup::offsets`].
const OFFSETS_UNKNOWN: u8 = 0;
const OFFSETS_RIGHT: u8 = 1;
const OFFSETS_WRONG: u8 = 2;

/// What is noted of a segment's batches.
pub(super) struct Lookup {
    /// What is known of their offsets, in which their own checksums have no part.
    offsets: AtomicU8,
    /// The largest timestamp, [`NO_MAX`] if not known.
    max_timestamp: AtomicI64,
    index: RwLock<Index>,
    /// Where recent reads ended: the next read of a reader that goes on begins there.
    ends: Mutex<Ends>,
}

enum Index {
    Live(Live),
    /// In its file, whole.
    Sealed,
    /// Not looked at yet.
    Unknown,
}

/// A small ring.
#[derive(Default)]
struct Ends {
    ends: [(Offset, u64); 8],
    next: usize,
}

impl Lookup {
    /// Of a segment without batches.
    pub(super) fn of_new() -> Self {
        Self::with(Index::Live(Live::default()), OFFSETS_RIGHT)
    }

    /// Of one that was there before. `has_sum`: compaction has written down what its offsets were, and nobody has looked yet.
    pub(super) fn of_existing(has_sum: bool) -> Self {
        Self::with(Index::Unknown, if has_sum { OFFSETS_UNKNOWN } else { OFFSETS_RIGHT })
    }

    fn with(index: Index, offsets: u8) -> Self {
        Self {
            offsets: AtomicU8::new(offsets),
            max_timestamp: AtomicI64::new(NO_MAX),
            index: RwLock::new(index),
            ends: Mutex::default(),
        }
    }
}

impl Segment {
    // ── by offset ──

    /// Position of the first batch that ends after `offset`; the end of the segment if there is none. `None`: only by
    /// waiting for the device, and `may_block` is false.
    pub(crate) fn locate(self: &Arc<Self>, open: &OpenFiles, offset: Offset, may_block: bool) -> Result<Option<u64>> {
        Ok(self.find(open, offset, may_block)?.map(|(position, _)| position))
    }

    /// The same, and the offset that batch has to begin with: if it is damaged it may still reach `at` (LOG-8).
    pub(in crate::embedded::partition) fn find(
        self: &Arc<Self>,
        open: &OpenFiles,
        at: Offset,
        may_block: bool,
    ) -> Result<Option<(u64, Offset)>> {
        if !self.are_offsets_known(open, may_block)? {
            return Ok(None);
        }
        if at <= self.base_offset {
            return Ok(Some((0, self.base_offset)));
        }
        if let Some((_, position)) =
            self.lookup.ends.lock().ends.iter().find(|(end, position)| *end == at && *position > 0)
        {
            return Ok(Some((*position, at)));
        }
        if !may_block && !matches!(*self.lookup.index.read(), Index::Live(_)) {
            return Ok(None);
        }
        let entry = self.floor(open, |entry| i64::from(entry.relative) <= at - self.base_offset)?;
        let (from, first) = entry.map_or((0, 0), |e| (u64::from(e.position), i64::from(e.relative)));
        let file = self.file(open)?;
        if !may_block && !file.is_cached(from, INTERVAL_BYTES as usize) {
            return Ok(None);
        }
        let len = self.len();
        let mut scan = self.scan(file, from, len);
        // By how many offsets each batch has, and by what the last one says of itself: one of them may be damaged.
        let (mut counted, mut told) = (self.base_offset + first, None);
        while let Some((position, header)) = scan.next()? {
            let is_right = self.compacted.is_some() || told == Some(header.base_offset);
            let begins = if is_right { header.base_offset } else { counted };
            counted = begins.saturating_add(i64::from(header.last_offset_delta) + 1);
            if counted > at {
                return Ok(Some((position, begins)));
            }
            told = Some(header.next_offset());
        }
        Ok(Some((len, counted)))
    }

    /// Remembers that a read ended before `offset`, which is at `position`.
    pub(in crate::embedded::partition) fn note_end(&self, offset: Offset, position: u64) {
        let mut ends = self.lookup.ends.lock();
        let slot = ends.next;
        ends.ends[slot] = (offset, position);
        ends.next = (slot + 1) % ends.ends.len();
    }

    // ── by time ──

    /// Largest timestamp in it; `None` if no record has one.
    pub(crate) fn max_timestamp(self: &Arc<Self>, open: &OpenFiles) -> Result<Option<TimestampMs>> {
        self.ready(open)?;
        let max = self.lookup.max_timestamp.load(Ordering::Relaxed);
        Ok((max >= 0).then_some(max))
    }

    /// Largest timestamp of its batches that hold offsets in `start..end`.
    pub(in crate::embedded::partition) fn max_timestamp_within(
        self: &Arc<Self>,
        open: &OpenFiles,
        start: Offset,
        end: Offset,
    ) -> Result<Option<TimestampMs>> {
        let (from, mut max) = if start > self.base_offset {
            (self.locate(open, start, true)?.unwrap_or(0), NO_MAX)
        } else {
            let relative = u32::try_from(end - self.base_offset).unwrap_or(u32::MAX);
            let entry = self.floor(open, |entry| entry.relative < relative)?;
            entry.map_or((0, NO_MAX), |entry| (u64::from(entry.position), entry.max_before))
        };
        let mut scan = self.scan_from(open, from, self.len())?;
        while let Some((_, header)) = scan.next()? {
            if header.base_offset >= end {
                break;
            }
            max = max.max(header.max_timestamp);
        }
        Ok((max >= 0).then_some(max))
    }

    /// Time of its first batch; when it was begun, if that has none.
    pub(in crate::embedded::partition) fn oldest_ms(self: &Arc<Self>, open: &OpenFiles) -> Result<TimestampMs> {
        let first = self.scan_from(open, 0, self.len())?.next()?;
        Ok(first.map_or(self.created_ms, |(_, header)| match header.max_timestamp {
            time @ 0.. => time,
            _ => self.created_ms,
        }))
    }

    /// Offset and time of the first visible record whose time is at least `time`.
    pub(in crate::embedded::partition) fn record_at_or_after(
        self: &Arc<Self>,
        open: &OpenFiles,
        time: TimestampMs,
        bounds: &Bounds,
    ) -> Result<Option<(Offset, TimestampMs)>> {
        let mut scan = self.scan_time(open, time)?;
        while let Some((position, header)) = scan.next()? {
            if header.base_offset >= bounds.high_watermark {
                break;
            }
            if header.max_timestamp < time || header.last_offset() < bounds.log_start {
                continue;
            }
            let is_whole = header.count == header.last_offset_delta + 1;
            if header.is_log_append_time() && is_whole {
                return Ok(Some((header.base_offset.max(bounds.log_start), header.max_timestamp)));
            }
            let batch = Batch { header, bytes: self.batch(open, position, &header)? };
            let block = batch.decompress(DECODED_BYTES_MAX)?;
            for record in Records::new(&header, &block) {
                let record = record?;
                if record.timestamp >= time && record.offset >= bounds.log_start {
                    return Ok(Some((record.offset, record.timestamp)));
                }
            }
        }
        Ok(None)
    }

    /// A walk that misses no batch whose largest timestamp is at least `time`.
    fn scan_time(self: &Arc<Self>, open: &OpenFiles, time: TimestampMs) -> Result<Scan<'_>> {
        let from = self.floor(open, |entry| entry.max_before < time)?.map_or(0, |entry| u64::from(entry.position));
        self.scan_from(open, from, self.len())
    }

    /// All bytes of one batch.
    fn batch(self: &Arc<Self>, open: &OpenFiles, position: u64, header: &Header) -> Result<Bytes> {
        let mut bytes = Vec::new();
        self.file(open)?.read_onto(&mut bytes, header.size(), position).map_err(|error| self.io("read", &error))?;
        Ok(bytes.into())
    }

    // ── walks ──

    /// A walk over its batches from `position` to the end of the file, known to be good or not.
    pub(crate) fn scan_from(self: &Arc<Self>, open: &OpenFiles, position: u64, end: u64) -> Result<Scan<'_>> {
        self.are_offsets_known(open, true)?;
        let follows = match self.compacted {
            None => Follows::Densely,
            Some(Compacted { end, .. }) => Follows::WithHoles { end },
        };
        // Where it begins elsewhere the first batch says where.
        let next = (position == 0).then_some(self.base_offset);
        Ok(self.scan(self.file(open)?, position, end).following(next, follows))
    }

    /// The same for looking around: whoever serves what is found looks at its offsets.
    fn scan(&self, file: Arc<dyn DiskFile>, position: u64, end: u64) -> Scan<'_> {
        Scan::new(file, &self.path, position, end)
    }

    /// Looks once at the offsets and epochs of all batches, if compaction has written down what they were: holes among them look
    /// like any others. LOG-8: an error says that they are not those. False: only by waiting for the device, and `may_block` is
    /// false.
    fn are_offsets_known(self: &Arc<Self>, open: &OpenFiles, may_block: bool) -> Result<bool> {
        let wrong =
            || Err(corrupt(&self.path, 0, "the offsets of its batches are not those it was written with".to_owned()));
        match self.lookup.offsets.load(Ordering::Acquire) {
            OFFSETS_RIGHT => return Ok(true),
            OFFSETS_WRONG => return wrong(),
            _ if !may_block => return Ok(false),
            _ => {}
        }
        let mut sum = OffsetSum::default();
        let mut scan = self.scan(self.file(open)?, 0, self.len());
        let is_right = loop {
            match scan.next() {
                Ok(Some((_, header))) => sum.add(&header),
                Ok(None) => break self.compacted.and_then(|compacted| compacted.sum) == Some(sum),
                // Whoever comes to that place is told; what lies before it can still be had.
                Err(error) if error.is(CORRUPT) => {
                    tracing::error!(file = %self.path.display(), %error, "offsets cannot be looked at");
                    break true;
                }
                Err(error) => return Err(error),
            }
        };
        self.lookup.offsets.store(if is_right { OFFSETS_RIGHT } else { OFFSETS_WRONG }, Ordering::Release);
        if is_right { Ok(true) } else { wrong() }
    }

    // ── the index ──

    /// The last index entry for which `is_before` holds (it holds for a prefix), and whose batch is where it says.
    fn floor(self: &Arc<Self>, open: &OpenFiles, is_before: impl Fn(&Entry) -> bool) -> Result<Option<Entry>> {
        self.ready(open)?;
        let (entry, is_proved) = match &*self.lookup.index.read() {
            Index::Live(live) => {
                let at = live.entries.partition_point(&is_before).checked_sub(1);
                (Ok(at.map(|at| live.entries[at])), at.is_none_or(|at| at >= live.unproved))
            }
            Index::Sealed | Index::Unknown => {
                match Saved::open(&*open.disk, &layout::index_of(&self.path), self.base_offset) {
                    Ok(Some(saved)) => (saved.last_where(&is_before), false),
                    Ok(None) => (Ok(None), false),
                    Err(error) => (Err(error), false),
                }
            }
        };
        let Some(entry) = entry.map_err(|error| self.io("index", &error))? else { return Ok(None) };
        // The file is advisory and has no checksum: look whether there is such a batch.
        if is_proved || u64::from(entry.position) == self.len() || self.is_batch(open, &entry) {
            return Ok(Some(entry));
        }
        let _ = open.disk.remove_file(&layout::index_of(&self.path));
        if matches!(*self.lookup.index.read(), Index::Live(_)) {
            // It is being written; the next start makes it anew.
            tracing::warn!(file = %self.path.display(), "index is wrong and not used");
            return Ok(None);
        }
        tracing::warn!(file = %self.path.display(), "index is wrong and made anew");
        self.load_live(open)?;
        let Index::Live(live) = &*self.lookup.index.read() else { return Ok(None) };
        Ok(live.entries.partition_point(is_before).checked_sub(1).map(|at| live.entries[at]))
    }

    /// Makes sure that the index can be used; reads the whole segment if its file cannot.
    fn ready(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        if !matches!(*self.lookup.index.read(), Index::Unknown) {
            return Ok(());
        }
        let path = layout::index_of(&self.path);
        let saved = Saved::open(&*open.disk, &path, self.base_offset).map_err(|error| self.io("index", &error))?;
        if let Some(saved) = saved.filter(|saved| saved.count() > 0) {
            let last = saved.get(saved.count() - 1).map_err(|error| self.io("index", &error))?;
            if u64::from(last.position) == self.len() {
                self.lookup.max_timestamp.store(last.max_before, Ordering::Relaxed);
                let mut index = self.lookup.index.write();
                if matches!(*index, Index::Unknown) {
                    *index = Index::Sealed;
                }
                return Ok(());
            }
        }
        self.load_live(open)
    }

    /// Makes it writable: brings its index into memory and up to date.
    pub(in crate::embedded::partition) fn load_live(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        let path = layout::index_of(&self.path);
        let mut live = match &mut *self.lookup.index.write() {
            Index::Live(live) => std::mem::take(live),
            Index::Sealed | Index::Unknown => Live::default(),
        };
        if live.entries.is_empty()
            && let Some(saved) = Saved::open(&*open.disk, &path, self.base_offset).map_err(|e| self.io("index", &e))?
        {
            live.entries = saved.load(self.len()).map_err(|e| self.io("index", &e))?;
            // It is advisory and may be that of batches which have been cut since: then all of it is made anew.
            match live.entries.last().is_none_or(|last| self.is_batch(open, last)) {
                true => (live.saved, live.unproved) = (live.entries.len(), live.entries.len()),
                false => live.entries.clear(),
            }
        }
        let (position, mut max) = live.entries.last().map_or((0, NO_MAX), |e| (u64::from(e.position), e.max_before));
        let mut scan = self.scan(self.file(open)?, position, self.len());
        while let Some((position, header)) = scan.next()? {
            live.note((header.base_offset - self.base_offset) as u32, position, max);
            max = max.max(header.max_timestamp);
        }
        self.lookup.max_timestamp.store(max, Ordering::Relaxed);
        *self.lookup.index.write() = Index::Live(live);
        Ok(())
    }

    /// Whether there is a batch where an entry of an index says.
    fn is_batch(self: &Arc<Self>, open: &OpenFiles, entry: &Entry) -> bool {
        let Ok(file) = self.file(open) else { return false };
        let mut scan = self.scan(file, u64::from(entry.position), self.len());
        let found = scan.next().ok().flatten();
        found.is_some_and(|(_, header)| header.base_offset == self.base_offset + i64::from(entry.relative))
    }

    /// Takes note of batches that have been written behind all others.
    pub(super) fn note_written(&self, batches: &[&mut Stored]) {
        let mut max = self.lookup.max_timestamp.load(Ordering::Relaxed);
        {
            let mut index = self.lookup.index.write();
            for batch in batches {
                if let Index::Live(live) = &mut *index {
                    let position = batch.place.position - batch.size() as u64;
                    live.note((batch.base_offset - self.base_offset) as u32, position, max);
                }
                max = max.max(batch.max_timestamp);
            }
        }
        self.lookup.max_timestamp.store(max, Ordering::Relaxed);
    }

    /// Forgets what was noted of batches from `position` on.
    pub(super) fn forget_from(&self, open: &OpenFiles, position: u64) -> Result<()> {
        *self.lookup.ends.lock() = Ends::default();
        if let Index::Live(live) = &mut *self.lookup.index.write() {
            live.truncate(position);
        }
        // What comes next has other bounds than what the index file knows.
        open.disk.remove_file(&layout::index_of(&self.path)).map_err(|error| self.io("index", &error))
    }

    /// Writes what the index file does not have yet, if it is worth a write: without it a start looks at the headers of
    /// that many batches more.
    pub(crate) fn save_index(&self, open: &OpenFiles) {
        if let Index::Live(live) = &mut *self.lookup.index.write()
            && live.entries.len() - live.saved >= UNSAVED_ENTRIES_MAX
            && let Err(error) = live.save(&*open.disk, &layout::index_of(&self.path), self.base_offset)
        {
            tracing::debug!(file = %self.path.display(), %error, "index not saved");
        }
    }

    /// Nothing more will be written to it; `end` is the offset after its last record.
    pub(in crate::embedded::partition) fn seal(&self, open: &OpenFiles, end: Offset) {
        let max_before = self.lookup.max_timestamp.load(Ordering::Relaxed);
        let mut index = self.lookup.index.write();
        let Index::Live(live) = &mut *index else { return };
        live.entries.push(Entry { relative: (end - self.base_offset) as u32, position: self.len() as u32, max_before });
        match live.save(&*open.disk, &layout::index_of(&self.path), self.base_offset) {
            Ok(()) => *index = Index::Sealed,
            Err(error) => {
                // It stays in memory until the next start.
                live.entries.pop();
                tracing::debug!(file = %self.path.display(), %error, "index not saved");
            }
        }
    }
}
