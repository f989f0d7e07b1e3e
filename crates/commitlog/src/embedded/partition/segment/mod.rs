//! One file of batches: written at its end, brought to disk, cut, and written once more when a sync has failed.
//!
//! What is where in it [`lookup`] knows; [`open_files`] sees to it that not too many are open at once.

mod lookup;
mod open_files;

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use model::{Error, Offset, Result, TimestampMs};
use parking_lot::{Mutex, MutexGuard};
use world::{Disk, DiskFile, OpenMode};

pub(crate) use open_files::OpenFiles;

use self::lookup::Lookup;
use super::{scan::corrupt, uncertain};
use crate::{
    embedded::{
        core::Place,
        layout::{self, Compacted, SegmentName},
    },
    record::{HEADER_BYTES, Header},
};

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
    lookup: Lookup,
}

#[derive(Default)]
struct Synced {
    /// Bytes that have been brought to disk; what lies behind them may not be.
    to: u64,
    /// A sync has failed. The system may believe the bytes clean, so they have to be written again.
    failed: bool,
}

impl Segment {
    /// A new one, without a file yet.
    pub(super) fn new(partition_dir: &Path, base_offset: Offset, created_ms: TimestampMs) -> Self {
        let segment = Self::named(partition_dir, SegmentName::plain(base_offset), created_ms, Lookup::of_new());
        // Of another of this name that was given up.
        segment.has_tail.store(true, Ordering::Release);
        segment
    }

    fn named(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs, lookup: Lookup) -> Self {
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
            lookup,
        }
    }

    /// One that is there, with `len` bytes of batches. Recovery says which of them may not be on disk.
    pub(super) fn existing(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs, len: u64) -> Self {
        let lookup = Lookup::of_existing(name.compacted.is_some_and(|compacted| compacted.sum.is_some()));
        let mut segment = Self::named(partition_dir, name, created_ms, lookup);
        *segment.len.get_mut() = len;
        segment.synced.get_mut().to = len;
        segment
    }

    /// One that compaction has just written.
    pub(super) fn compacted(partition_dir: &Path, name: SegmentName, created_ms: TimestampMs, len: u64) -> Self {
        let lookup = Lookup::of_existing(false);
        Self { lookup, ..Self::existing(partition_dir, name, created_ms, len) }
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
    pub(super) fn file(self: &Arc<Self>, open: &OpenFiles) -> Result<Arc<dyn DiskFile>> {
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
        for batch in batches.iter_mut() {
            position += batch.size() as u64;
            batch.place = Place { segment: self.base_offset, position };
        }
        self.note_written(batches);
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
        self.forget_from(open, position)?;
        self.cut_tail(open)?;
        // Its largest timestamp may have gone: look again.
        self.load_live(open)
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

    /// Removes its files.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> io::Result<()> {
        *self.file.lock() = None;
        disk.remove_file(&layout::index_of(&self.path))?;
        disk.remove_file(&self.path)
    }
}
