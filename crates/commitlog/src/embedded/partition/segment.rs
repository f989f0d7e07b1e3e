//! One file of batches and its index.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use model::{Error, Offset, Result, TimestampMs, error::codes::CORRUPT};
use parking_lot::{Mutex, MutexGuard, RwLock};
use world::{Disk, DiskFile, OpenMode};

use super::{
    index::{Entry, Live, NO_MAX, Saved},
    scan::{Follows, Scan, corrupt},
    uncertain,
};
use crate::{
    embedded::{
        core::Place,
        layout::{self, Compacted, OffsetSum, SegmentName},
    },
    record::{HEADER_BYTES, Header},
};

/// Index entries that may be missing in the file.
const UNSAVED_ENTRIES_MAX: usize = 64;

/// See [`Segment::offsets`].
const OFFSETS_UNKNOWN: u8 = 0;
const OFFSETS_RIGHT: u8 = 1;
const OFFSETS_WRONG: u8 = 2;

/// How often a sync in the background looks for bytes that came while it was at work.
const CATCH_UPS_MAX: usize = 4;

/// A batch as it goes to disk: header with offset and epoch, and the records as they came.
pub(crate) struct Stored {
    pub(crate) head: [u8; HEADER_BYTES],
    pub(crate) records: bytes::Bytes,
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) max_timestamp: TimestampMs,
    /// Where it ended up.
    pub(crate) place: Place,
}

impl Stored {
    pub(crate) fn new(header: &Header, records: bytes::Bytes) -> Self {
        Self {
            head: header.write(),
            records,
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            max_timestamp: header.max_timestamp,
            place: Place::default(),
        }
    }

    pub(crate) fn size(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }
}

pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    /// Compaction wrote it, in this turn, for the offsets up to this end: there are holes.
    pub(crate) compacted: Option<Compacted>,
    /// When its first batch was written, by the node's clock.
    pub(crate) created_ms: TimestampMs,
    path: PathBuf,
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    /// Used since the open files were last looked through.
    used: AtomicBool,
    /// Bytes of whole batches; the file may be longer for a moment.
    len: AtomicU64,
    /// Locked while the device is at work: of two that sync a file when that fails, only one is told by the system.
    synced: Mutex<Synced>,
    /// Its name is on disk, and all that comes before it in the partition.
    settled: AtomicBool,
    /// Behind the batches lies what a write that failed left, or what is being cut.
    has_tail: AtomicBool,
    /// What is known of its batches' offsets, in which their own checksums have no part.
    offsets: AtomicU8,
    /// Largest timestamp in it, [`NO_MAX`] if not known.
    max_timestamp: AtomicI64,
    index: RwLock<Index>,
    /// Where recent reads ended: the next read of a reader that goes on begins there.
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Synced {
    /// Bytes that have been brought to disk; what lies behind them may not be.
    to: u64,
    /// A sync has failed. The system may believe the bytes clean, so they have to be written again.
    failed: bool,
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

impl Segment {
    /// A new one, without a file yet.
    pub(super) fn new(partition_dir: &Path, base_offset: Offset, created_ms: TimestampMs) -> Self {
        let segment = Self::named(partition_dir, SegmentName::plain(base_offset), created_ms);
        // Of another of this name that was given up.
        segment.has_tail.store(true, Ordering::Release);
        segment
    }

    fn named(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs) -> Self {
        Self {
            base_offset: name.base,
            compacted: name.compacted,
            created_ms,
            path: name.path(partition_dir),
            file: Mutex::new(None),
            used: AtomicBool::new(true),
            len: AtomicU64::new(0),
            synced: Mutex::default(),
            settled: AtomicBool::new(false),
            has_tail: AtomicBool::new(false),
            offsets: AtomicU8::new(OFFSETS_RIGHT),
            max_timestamp: AtomicI64::new(NO_MAX),
            index: RwLock::new(Index::Live(Live::default())),
            ends: Mutex::default(),
        }
    }

    /// One that is there, with `len` bytes of batches. Recovery says which of them may not be on disk.
    pub(super) fn existing(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs, len: u64) -> Self {
        let mut segment = Self::named(partition_dir, name, created_ms);
        segment.len.store(len, Ordering::Release);
        segment.synced.get_mut().to = len;
        *segment.index.write() = Index::Unknown;
        if name.compacted.is_some_and(|compacted| compacted.sum.is_some()) {
            segment.offsets.store(OFFSETS_UNKNOWN, Ordering::Release);
        }
        segment
    }

    /// One that compaction has just written.
    pub(super) fn compacted(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs, len: u64) -> Self {
        let segment = Self::existing(partition_dir, name, created_ms, len);
        segment.offsets.store(OFFSETS_RIGHT, Ordering::Release);
        segment
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    pub(super) fn io(&self, what: &str, error: &io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.path.display()), error)
    }

    /// The open file.
    pub(crate) fn file(self: &Arc<Self>, open: &OpenFiles) -> Result<Arc<dyn DiskFile>> {
        self.used.store(true, Ordering::Relaxed);
        let mut file = self.file.lock();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        if self.len() > 0 && !open.disk.exists(&self.path) {
            return Err(corrupt(&self.path, 0, "the file is gone".to_owned()));
        }
        let opened = open.disk.open(&self.path, OpenMode::ReadWrite).map_err(|error| self.io("open", &error))?;
        *file = Some(opened.clone());
        drop(file);
        open.note(self);
        Ok(opened)
    }

    /// Appends `batches`, all or nothing, and says where each went.
    pub(super) fn write(self: &Arc<Self>, open: &OpenFiles, batches: &mut [&mut Stored]) -> Result<()> {
        self.cut_tail(open)?;
        let start = self.len();
        let file = self.file(open)?;
        let mut parts = Vec::with_capacity(batches.len() * 2);
        for batch in batches.iter() {
            parts.push(IoSlice::new(&batch.head));
            parts.push(IoSlice::new(&batch.records));
        }
        if let Err(error) = file.write_parts_at(&parts, start) {
            let error = self.io("write", &error);
            self.has_tail.store(true, Ordering::Release);
            // LOG-4: what did reach the file, whole batches perhaps, must not be found by anyone, and may have come to disk.
            let cut = self.cut_tail(open).and_then(|()| self.try_sync_now(open));
            return Err(match cut {
                Ok(()) => error,
                Err(cut) => {
                    tracing::error!(error = %cut, "cannot cut a write that failed");
                    uncertain(self.path.display().to_string(), &error)
                }
            });
        }
        let mut position = start;
        let mut max = self.max_timestamp.load(Ordering::Relaxed);
        {
            let mut index = self.index.write();
            for batch in batches {
                if let Index::Live(live) = &mut *index {
                    live.note((batch.base_offset - self.base_offset) as u32, position, max);
                }
                max = max.max(batch.max_timestamp);
                position += batch.size() as u64;
                batch.place = Place { segment: self.base_offset, position };
            }
        }
        self.max_timestamp.store(max, Ordering::Relaxed);
        self.len.store(position, Ordering::Release);
        Ok(())
    }

    /// Cuts what a write that failed has left behind the batches, if it is still there: it must not come to lie behind others.
    pub(super) fn cut_tail(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        if self.has_tail.load(Ordering::Acquire) {
            self.file(open)?.set_len(self.len()).map_err(|error| self.io("cut", &error))?;
            self.has_tail.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Brings its batches to disk in the background, in pieces of so many bytes: whoever syncs something else meanwhile
    /// waits for one piece at most.
    pub(crate) fn sync(self: &Arc<Self>, open: &OpenFiles, piece_bytes: impl Fn() -> u64) -> Result<()> {
        let file = self.file(open)?;
        let mut at = self.synced.lock().to;
        for _ in 0..CATCH_UPS_MAX {
            let to = self.len();
            while at < to {
                let piece = piece_bytes().min(to - at);
                drop(self.sync_step(|| file.write_back(at, piece))?);
                at += piece;
            }
            // A cut may have made it shorter.
            if self.len().saturating_sub(to) < piece_bytes() {
                break;
            }
        }
        self.sync_now(open)
    }

    /// Brings its batches to disk at once.
    pub(crate) fn sync_now(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        let file = self.file(open)?;
        let to = self.len();
        let mut synced = self.sync_step(|| file.sync_data())?;
        synced.to = synced.to.max(to).min(self.len());
        Ok(())
    }

    /// The same for whoever writes it, and does not wait: a sync that is under way began before.
    fn try_sync_now(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        let file = self.file(open)?;
        let to = self.len();
        let synced = self.synced.try_lock();
        let synced = synced.ok_or_else(|| self.io("sync", &io::Error::other("somebody else is syncing it")))?;
        let mut synced = self.sync_locked(synced, || file.sync_data())?;
        synced.to = synced.to.max(to);
        Ok(())
    }

    /// Whether the device is at work on it.
    pub(super) fn is_being_synced(&self) -> bool {
        self.synced.is_locked()
    }

    fn sync_step(&self, step: impl FnOnce() -> io::Result<()>) -> Result<MutexGuard<'_, Synced>> {
        self.sync_locked(self.synced.lock(), step)
    }

    fn sync_locked<'a>(
        &self,
        mut synced: MutexGuard<'a, Synced>,
        step: impl FnOnce() -> io::Result<()>,
    ) -> Result<MutexGuard<'a, Synced>> {
        if synced.failed {
            return Err(
                self.io("sync", &io::Error::other("an earlier sync of it failed, and it is not written again yet"))
            );
        }
        match step() {
            Ok(()) => Ok(synced),
            Err(error) => {
                *synced = Synced { to: 0, failed: true };
                Err(self.io("sync", &error))
            }
        }
    }

    /// Bytes that a sync has to bring to disk, if afterwards all of the partition up to its end is there. `None` also while
    /// it is being synced.
    pub(crate) fn unsynced(&self) -> Option<u64> {
        let synced = self.synced.try_lock()?;
        (self.settled.load(Ordering::Acquire) && !synced.failed).then(|| self.len().saturating_sub(synced.to))
    }

    /// A checkpoint has brought its name and all that comes before it to disk.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Removes everything from `position` on.
    pub(super) fn truncate(self: &Arc<Self>, open: &OpenFiles, position: u64) -> Result<()> {
        self.len.store(position, Ordering::Release);
        self.has_tail.store(true, Ordering::Release);
        {
            let mut synced = self.synced.lock();
            synced.to = synced.to.min(position);
        }
        *self.ends.lock() = Ends::default();
        if let Index::Live(live) = &mut *self.index.write() {
            live.truncate(position);
        }
        // What comes next has other bounds than what the index file knows.
        open.disk.remove_file(&layout::index_of(&self.path)).map_err(|error| self.io("index", &error))?;
        self.cut_tail(open)?;
        // Its largest timestamp may have gone: look again.
        self.load_live(open)
    }

    /// Makes it writable: brings its index into memory and up to date.
    pub(super) fn load_live(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        let path = layout::index_of(&self.path);
        let mut live = match &mut *self.index.write() {
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
        self.max_timestamp.store(max, Ordering::Relaxed);
        *self.index.write() = Index::Live(live);
        Ok(())
    }

    /// Whether there is a batch where an entry of an index says.
    fn is_batch(self: &Arc<Self>, open: &OpenFiles, entry: &Entry) -> bool {
        let Ok(file) = self.file(open) else { return false };
        let mut scan = self.scan(file, u64::from(entry.position), self.len());
        let found = scan.next().ok().flatten();
        found.is_some_and(|(_, header)| header.base_offset == self.base_offset + i64::from(entry.relative))
    }

    /// Writes all batches once more over themselves, if the system may believe them to be on disk and they are not.
    pub(super) fn rewrite(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        if self.synced.lock().failed { self.rewrite_from(open, 0) } else { Ok(()) }
    }

    /// Writes all batches from `position` on once more over themselves.
    pub(super) fn rewrite_from(self: &Arc<Self>, open: &OpenFiles, position: u64) -> Result<()> {
        let file = self.file(open)?;
        {
            let mut synced = self.synced.lock();
            synced.to = synced.to.min(position);
        }
        let mut scan = self.scan_from(open, position, self.len())?;
        while let Some((position, header)) = scan.next()? {
            let batch = scan.batch(position, &header)?;
            if !header.crc_matches(batch) {
                return Err(corrupt(&self.path, position, "a checksum does not match".to_owned()));
            }
            file.write_all_at(batch, position).map_err(|error| self.io("write", &error))?;
        }
        self.synced.lock().failed = false;
        Ok(())
    }

    /// Writes what the index file does not have yet, if it is worth a write: without it a start looks at the headers of
    /// that many batches more.
    pub(crate) fn save_index(&self, open: &OpenFiles) {
        if let Index::Live(live) = &mut *self.index.write()
            && live.entries.len() - live.saved >= UNSAVED_ENTRIES_MAX
            && let Err(error) = live.save(&*open.disk, &layout::index_of(&self.path), self.base_offset)
        {
            tracing::debug!(file = %self.path.display(), %error, "index not saved");
        }
    }

    /// Nothing more will be written to it; `end` is the offset after its last record.
    pub(super) fn seal(&self, open: &OpenFiles, end: Offset) {
        let max_before = self.max_timestamp.load(Ordering::Relaxed);
        let mut index = self.index.write();
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

    /// Makes sure that the index can be used; reads the whole segment if its file cannot.
    fn ready(self: &Arc<Self>, open: &OpenFiles) -> Result<()> {
        if !matches!(*self.index.read(), Index::Unknown) {
            return Ok(());
        }
        let path = layout::index_of(&self.path);
        let saved = Saved::open(&*open.disk, &path, self.base_offset).map_err(|error| self.io("index", &error))?;
        if let Some(saved) = saved.filter(|saved| saved.count() > 0) {
            let last = saved.get(saved.count() - 1).map_err(|error| self.io("index", &error))?;
            if u64::from(last.position) == self.len() {
                self.max_timestamp.store(last.max_before, Ordering::Relaxed);
                let mut index = self.index.write();
                if matches!(*index, Index::Unknown) {
                    *index = Index::Sealed;
                }
                return Ok(());
            }
        }
        self.load_live(open)
    }

    /// Largest timestamp in it; `None` if no record has one.
    pub(crate) fn max_timestamp(self: &Arc<Self>, open: &OpenFiles) -> Result<Option<TimestampMs>> {
        self.ready(open)?;
        let max = self.max_timestamp.load(Ordering::Relaxed);
        Ok((max >= 0).then_some(max))
    }

    /// Remembers that a read ended before `offset`, which is at `position`.
    pub(super) fn note_end(&self, offset: Offset, position: u64) {
        let mut ends = self.ends.lock();
        let slot = ends.next;
        ends.ends[slot] = (offset, position);
        ends.next = (slot + 1) % ends.ends.len();
    }

    /// Position of the first batch that ends after `offset`; the end of the segment if there is none. `None`: only by
    /// waiting for the device, and `may_block` is false.
    pub(crate) fn locate(self: &Arc<Self>, open: &OpenFiles, offset: Offset, may_block: bool) -> Result<Option<u64>> {
        Ok(self.find(open, offset, may_block)?.map(|(position, _)| position))
    }

    /// The same, and the offset that batch has to begin with: if it is damaged it may still reach `at` (LOG-8).
    pub(super) fn find(
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
        if let Some((_, position)) = self.ends.lock().ends.iter().find(|(end, position)| *end == at && *position > 0) {
            return Ok(Some((*position, at)));
        }
        if !may_block && !matches!(*self.index.read(), Index::Live(_)) {
            return Ok(None);
        }
        let entry = self.floor(open, |entry| i64::from(entry.relative) <= at - self.base_offset)?;
        let (from, first) = entry.map_or((0, 0), |e| (u64::from(e.position), i64::from(e.relative)));
        let file = self.file(open)?;
        if !may_block && !file.is_cached(from, super::index::INTERVAL_BYTES as usize) {
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

    /// The last index entry for which `is_before` holds (it holds for a prefix), and whose batch is where it says.
    pub(super) fn floor(
        self: &Arc<Self>,
        open: &OpenFiles,
        is_before: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        self.ready(open)?;
        let (entry, is_proved) = match &*self.index.read() {
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
        if matches!(*self.index.read(), Index::Live(_)) {
            // It is being written; the next start makes it anew.
            tracing::warn!(file = %self.path.display(), "index is wrong and not used");
            return Ok(None);
        }
        tracing::warn!(file = %self.path.display(), "index is wrong and made anew");
        self.load_live(open)?;
        let Index::Live(live) = &*self.index.read() else { return Ok(None) };
        Ok(live.entries.partition_point(is_before).checked_sub(1).map(|at| live.entries[at]))
    }

    /// Time of its first batch; when it was begun, if that has none.
    pub(crate) fn oldest_ms(self: &Arc<Self>, open: &OpenFiles) -> Result<TimestampMs> {
        let first = self.scan_from(open, 0, self.len())?.next()?;
        Ok(first.map_or(self.created_ms, |(_, header)| match header.max_timestamp {
            time @ 0.. => time,
            _ => self.created_ms,
        }))
    }

    /// All bytes of one batch.
    pub(super) fn batch(self: &Arc<Self>, open: &OpenFiles, position: u64, header: &Header) -> Result<bytes::Bytes> {
        let mut bytes = Vec::new();
        self.file(open)?.read_onto(&mut bytes, header.size(), position).map_err(|error| self.io("read", &error))?;
        Ok(bytes.into())
    }

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
        match self.offsets.load(Ordering::Acquire) {
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
        self.offsets.store(if is_right { OFFSETS_RIGHT } else { OFFSETS_WRONG }, Ordering::Release);
        if is_right { Ok(true) } else { wrong() }
    }

    /// Removes its files.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> io::Result<()> {
        *self.file.lock() = None;
        disk.remove_file(&layout::index_of(&self.path))?;
        disk.remove_file(&self.path)
    }
}

/// The segment files that are open: at most so many, because a process may have only so many.
pub(crate) struct OpenFiles {
    pub(crate) disk: Arc<dyn Disk>,
    max: usize,
    open: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, max: usize) -> Self {
        Self { disk, max: max.max(16), open: Mutex::default() }
    }

    /// `segment` has opened its file; one that has not been used lately closes its own.
    fn note(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(segment));
        let mut chances = open.len();
        while open.len() > self.max && chances > 0 {
            chances -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(segment) = oldest.upgrade() else { continue };
            if segment.used.swap(false, Ordering::Relaxed) && chances > 0 {
                open.push_back(oldest);
            } else if let Some(mut file) = segment.file.try_lock() {
                *file = None;
            }
        }
    }
}
