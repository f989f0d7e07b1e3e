//! Segments that compaction writes, and how they take the place of others.
//!
//! ```text
//!  write <base>-<end>-<turn>.cleaned ─► sync it ─► rename it to .log ─► sync the directory ─► list it instead of the old ones
//!                                                  └ from here on it counts after a crash    └ their files go later
//! ```
//! The name says what it replaces ([`layout::current_segments`]), so one rename is the whole change: a crash before it leaves
//! the old files, one after it leaves the new one and files that the next start removes. Old and new have different
//! names, so readers that are on the old ones stay there undisturbed.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use model::{Error, Offset, Result, TimestampMs};
use world::{Disk, DiskFile, OpenMode};

use super::{
    Files, OpenFiles, Partition, Segment,
    index::{Entry, Live, NO_MAX},
};
use crate::{
    embedded::{
        core::compaction::Candidate,
        layout::{self, Compacted, OffsetSum, SegmentName},
    },
    log::Aborted,
    record::Header,
};

/// Bytes written and given to the device at once: appends that sync wait behind no more than this.
const PIECE_BYTES: usize = 256 << 10;

/// What compaction knows of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compaction {
    /// Everything before it has been compacted.
    pub(crate) cleaned_to: Offset,
    /// Records before it may be gone: raised before the first of them goes.
    pub(crate) begun_to: Offset,
    /// When the first tombstone or marker in there may go.
    pub(crate) next_horizon: Option<TimestampMs>,
    /// The last turn in which a file was written, or tried.
    pub(crate) turn: u64,
    /// What part of it was new when somebody last looked.
    pub(crate) dirty_ratio: f64,
    /// Transactions were forgotten of which the checkpoint on disk still knows: their markers must not go before it is
    /// replaced, or a start would wait for them in vain and take what follows for aborted.
    pub(crate) must_checkpoint: bool,
    /// When it was last compacted.
    pub(crate) last_run_ms: Option<TimestampMs>,
}

impl Compaction {
    pub(crate) fn restore(cleaned_to: Offset, next_horizon: Option<TimestampMs>) -> Self {
        Self { cleaned_to, begun_to: cleaned_to, next_horizon, ..Self::default() }
    }

    pub(crate) fn saved(&self) -> (Offset, Option<TimestampMs>) {
        (self.cleaned_to, self.next_horizon)
    }
}

impl Partition {
    /// A checkpoint is on disk that says where the partition was: in the segment with this base offset.
    pub(crate) fn note_checkpoint(&self, segment: Offset) {
        self.checkpointed.fetch_max(segment, Ordering::AcqRel);
    }

    /// Segments before the one with this base offset are on disk, and recovery does not look into them.
    pub(crate) fn checkpointed(&self) -> Offset {
        self.checkpointed.load(Ordering::Acquire)
    }

    /// Begins a new segment if the one that is being written is old and nothing is on its way: what is being written is never
    /// compacted, and in a quiet topic no append would end it. Says whether it did.
    pub(crate) fn roll_if_quiet(&self, open: &OpenFiles, now: TimestampMs) -> Result<bool> {
        let config = self.config();
        let mut files = self.files();
        self.load(&mut files, open)?;
        let Some(last) = self.active_segment() else { return Ok(false) };
        let age = now.saturating_sub(last.created_ms);
        if last.len() == 0 || age < config.segment_ms_max(|| self.seed_of(&last)) || files.must_cut || self.is_deleted()
        {
            return Ok(false);
        }
        // What is admitted from here on cannot be written before the lock on files is gone.
        let end = {
            let core = self.core.lock();
            if !core.is_quiet() || core.place.segment != last.base_offset {
                return Ok(false);
            }
            core.high_watermark
        };
        last.cut_tail(open)?;
        let segment = Arc::new(Segment::new(&self.dir, end, now));
        segment.file(open)?;
        last.seal(open, end);
        self.segments.write().push(segment);
        files.roll = false;
        files.new_names = true;
        // First: a checkpoint that says that it is there brings its name to disk.
        self.dirty.store(true, Ordering::Release);
        self.core.lock().begin_segment(end);
        Ok(true)
    }

    /// All segments but the one that is being written, oldest first; `with_times`: when their records were written is looked up.
    pub(crate) fn sealed(&self, open: &OpenFiles, with_times: bool) -> Result<Vec<(Arc<Segment>, Candidate)>> {
        self.load(&mut self.files(), open)?;
        let segments = self.segments();
        let ends = segments.iter().skip(1).map(|next| next.base_offset);
        segments
            .iter()
            .zip(ends)
            .map(|(segment, end)| {
                let (newest_ms, oldest_ms) = match with_times {
                    true => (segment.max_timestamp(open)?.unwrap_or(segment.created_ms), segment.oldest_ms(open)?),
                    false => (segment.created_ms, segment.created_ms),
                };
                let (base, bytes) = (segment.base_offset, segment.len());
                Ok((segment.clone(), Candidate { base, end, bytes, newest_ms, oldest_ms }))
            })
            .collect()
    }

    /// The number of the next turn: no other file of this partition has it.
    pub(crate) fn next_turn(&self) -> u64 {
        let mut compaction = self.compaction.lock();
        compaction.turn += 1;
        compaction.turn
    }

    /// Lists `new` in the place of `old`, whose files are the caller's to remove. False: they are not there any more.
    pub(crate) fn replace(&self, files: &mut Files, old: &[Arc<Segment>], new: &Arc<Segment>) -> bool {
        let mut segments = self.segments();
        let Some(first) = old.first().and_then(|first| segments.iter().position(|s| Arc::ptr_eq(s, first))) else {
            return false;
        };
        let range = first..first + old.len();
        let are_there =
            segments.get(range.clone()).is_some_and(|there| there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b)));
        if !are_there || self.is_deleted() {
            return false;
        }
        segments.splice(range, [new.clone()]);
        files.dirty.retain(|dirty| !old.iter().any(|segment| Arc::ptr_eq(dirty, segment)));
        self.set_segments(segments);
        self.replaced.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Nothing is left of these transactions.
    pub(crate) fn forget_aborted(&self, gone: &[Aborted]) {
        if !gone.is_empty() {
            // First: a reader that sees the second sees this.
            self.replaced.fetch_add(1, Ordering::AcqRel);
            self.core.lock().transactions.forget(gone);
            self.compaction.lock().must_checkpoint = true;
        }
    }
}

/// A compacted segment that is being written. Dropped before it is finished, it leaves nothing.
pub(crate) struct CompactedWriter<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    name: SegmentName,
    file: Arc<dyn DiskFile>,
    /// Not written yet.
    buffer: Vec<u8>,
    written: u64,
    index: Live,
    max_timestamp: TimestampMs,
    sum: OffsetSum,
    cleaned: PathBuf,
    /// Its name, from when it may be there under that on.
    renamed_to: Option<PathBuf>,
    is_finished: bool,
}

impl<'a> CompactedWriter<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, partition: &Partition, base: Offset) -> Result<Self> {
        // Where it ends is known in the end.
        let name =
            SegmentName { base, compacted: Some(Compacted { end: base, turn: partition.next_turn(), sum: None }) };
        let dir = partition.dir().to_owned();
        let path = name.cleaned_path(&dir);
        let open = || {
            disk.remove_file(&path)?;
            disk.open(&path, OpenMode::ReadWrite)
        };
        let file = open().map_err(|error| Error::io(format!("cannot make {}", path.display()), &error))?;
        Ok(Self {
            disk,
            dir,
            name,
            file,
            buffer: Vec::with_capacity(PIECE_BYTES),
            written: 0,
            index: Live::default(),
            max_timestamp: NO_MAX,
            sum: OffsetSum::default(),
            cleaned: path,
            renamed_to: None,
            is_finished: false,
        })
    }

    /// Adds a batch: its header and records, or all of it in `parts`.
    pub(crate) fn push(&mut self, header: &Header, parts: [&[u8]; 2]) -> Result<()> {
        let position = self.len();
        self.index.note((header.base_offset - self.name.base) as u32, position, self.max_timestamp);
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.sum.add(header);
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
        if self.buffer.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Bytes of its batches so far.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<()> {
        let len = self.buffer.len() as u64;
        self.file
            .write_all_at(&self.buffer, self.written)
            .and_then(|()| self.file.write_back(self.written, len))
            .map_err(|error| self.failed("write", &error))?;
        self.written += len;
        self.buffer.clear();
        Ok(())
    }

    /// Brings it to disk under the name that says that it stands for all up to `end`: from here on it counts.
    pub(crate) fn finish(mut self, end: Offset, created_ms: TimestampMs) -> Result<Segment> {
        self.flush()?;
        self.file.sync_data().map_err(|error| self.failed("sync", &error))?;
        if let Some(compacted) = &mut self.name.compacted {
            compacted.end = end;
            compacted.sum = Some(self.sum);
        }
        let path = self.name.path(&self.dir);
        self.renamed_to = Some(path.clone());
        let relative = (end - self.name.base) as u32;
        self.index.entries.push(Entry { relative, position: self.written as u32, max_before: self.max_timestamp });
        // Advisory: it is made again if it is not there.
        if let Err(error) = self.index.save(self.disk, &layout::index_of(&path), self.name.base) {
            tracing::debug!(file = %path.display(), %error, "index not saved");
        }
        self.disk
            .rename(&self.cleaned, &path)
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|error| Error::io(format!("cannot name {}", path.display()), &error))?;
        self.is_finished = true;
        Ok(Segment::compacted(&self.dir, self.name, created_ms, self.written))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.cleaned.display()), error)
    }
}

impl Drop for CompactedWriter<'_> {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let named = self.renamed_to.iter().flat_map(|path| [layout::index_of(path), path.clone()]);
        for path in std::iter::once(self.cleaned.clone()).chain(named) {
            if let Err(error) = self.disk.remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "cannot remove an unfinished segment; done at the next start");
            }
        }
    }
}
