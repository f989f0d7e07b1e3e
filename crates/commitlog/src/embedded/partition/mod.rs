//! One partition: the core that decides, the files that keep, the wakers that tell.
//!
//! Three locks, always taken in this order: `files` (whoever changes files; held over I/O, by the log's own threads and
//! readers that load), `segments` (the list; short), `core` (decisions; short, never over I/O).

mod compacted;
mod index;
mod read;
mod scan;
mod segment;

use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use model::{
    Error, Offset, PartitionId, Result, TimestampMs, TopicId, TopicPartition,
    error::codes::{APPEND_UNCERTAIN, CORRUPT},
};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

pub(crate) use compacted::{CompactedWriter, Compaction};
pub(crate) use segment::{OpenFiles, Segment, Stored};

use super::{
    core::Core,
    layout::{self, SegmentName},
};
use crate::{
    log::Subscription,
    record::{HEADER_BYTES, Header, Marker},
    topic::{Topic, TopicConfig},
};

pub(crate) struct Partition {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: TopicId,
    /// Orders partitions while a group is sorted.
    pub(crate) slot: u64,
    dir: PathBuf,
    topic: Arc<RwLock<Arc<Topic>>>,
    pub(crate) core: Mutex<Core>,
    segments: RwLock<Vec<Arc<Segment>>>,
    files: Mutex<Files>,
    /// Set once, when its topic is deleted.
    deleted: AtomicBool,
    /// Bytes written since the last checkpoint took note.
    dirty: AtomicBool,
    wakers: Mutex<Wakers>,
    holds: Mutex<Vec<(&'static str, Offset)>>,
    bytes: AtomicU64,
    /// Stands for the age of segments that were there when the log was opened.
    since: TimestampMs,
    /// What compaction has done.
    pub(crate) compaction: Mutex<Compaction>,
    /// Segments before the one with this base offset are on disk by the last checkpoint: recovery does not look into them.
    checkpointed: AtomicI64,
    /// How often segments were replaced, or what was known of their transactions.
    replaced: AtomicU64,
}

/// What a partition begins with.
pub(crate) struct Start {
    pub(crate) core: Core,
    /// See [`Partition::since`].
    pub(crate) since: TimestampMs,
    pub(crate) compaction: Compaction,
    /// See [`Partition::checkpointed`].
    pub(crate) checkpointed: Offset,
}

impl Start {
    /// Of one that has never been written to.
    pub(crate) fn fresh(since: TimestampMs) -> Self {
        Self { core: Core::fresh(), since, compaction: Compaction::default(), checkpointed: 0 }
    }
}

/// What the holder of the lock on files needs to know.
#[derive(Default)]
pub(crate) struct Files {
    /// The segments on disk have been listed.
    loaded: bool,
    /// The next batch begins a new segment.
    roll: bool,
    /// Segments written since the last checkpoint.
    dirty: Vec<Arc<Segment>>,
    /// A file was made since the last checkpoint.
    new_names: bool,
    /// Failed bytes are still in the files and must go before anything is written.
    must_cut: bool,
}

impl Files {
    pub(crate) fn must_cut(&mut self) {
        self.must_cut = true;
    }
}

#[derive(Default)]
struct Wakers {
    next: u64,
    all: Vec<(u64, Arc<Notify>)>,
}

/// What a checkpoint has to bring to disk for a partition.
pub(crate) struct Dirt {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) new_names: bool,
}

static SLOTS: AtomicU64 = AtomicU64::new(0);

/// `error` took an append to `place` away, and whether what it left is out of the files nobody knows: a crash may bring it back.
pub(crate) fn uncertain(place: String, error: &Error) -> Error {
    Error::new(APPEND_UNCERTAIN, format!("an append to {place} failed, and a crash may bring it back"))
        .detail(error.to_string())
        .hint("send it again as it is: an idempotent producer's batch is kept once")
}

impl Partition {
    pub(crate) fn new(
        topic: &Arc<RwLock<Arc<Topic>>>,
        topic_dir: &std::path::Path,
        number: PartitionId,
        start: Start,
    ) -> Self {
        let Start { core, since, compaction, checkpointed } = start;
        let now = topic.read().clone();
        Self {
            name: TopicPartition::new(now.name.clone(), number),
            topic_id: now.id,
            slot: SLOTS.fetch_add(1, Ordering::Relaxed),
            dir: layout::partition_dir(topic_dir, number),
            topic: topic.clone(),
            core: Mutex::new(core),
            segments: RwLock::default(),
            files: Mutex::default(),
            deleted: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            wakers: Mutex::default(),
            holds: Mutex::default(),
            bytes: AtomicU64::new(0),
            since,
            compaction: Mutex::new(compaction),
            checkpointed: AtomicI64::new(checkpointed),
            replaced: AtomicU64::new(0),
        }
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.topic.read().config.clone()
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(crate) fn set_deleted(&self, deleted: bool) {
        self.deleted.store(deleted, Ordering::Release);
    }

    // ── wakers and holds ──

    pub(crate) fn subscribe(self: &Arc<Self>, waker: Arc<Notify>) -> Subscription {
        let mut wakers = self.wakers.lock();
        let id = wakers.next;
        wakers.next += 1;
        wakers.all.push((id, waker));
        let partition: Weak<Self> = Arc::downgrade(self);
        Subscription::new(move || {
            if let Some(partition) = partition.upgrade() {
                partition.wakers.lock().all.retain(|(other, _)| *other != id);
            }
        })
    }

    pub(crate) fn wake(&self) {
        for (_, waker) in &self.wakers.lock().all {
            waker.notify_one();
        }
    }

    pub(crate) fn hold(&self, holder: &'static str, from: Option<Offset>) {
        let mut holds = self.holds.lock();
        holds.retain(|(other, _)| *other != holder);
        holds.extend(from.map(|from| (holder, from)));
    }

    pub(crate) fn held_from(&self) -> Offset {
        self.holds.lock().iter().map(|(_, from)| *from).min().unwrap_or(Offset::MAX)
    }

    // ── files ──

    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock()
    }

    /// Whether somebody holds the lock on files.
    pub(crate) fn is_being_changed(&self) -> bool {
        self.files.is_locked()
    }

    /// Whether the device is at work on one of its segments.
    pub(crate) fn is_being_synced(&self) -> bool {
        self.segments.read().iter().any(|segment| segment.is_being_synced())
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    /// Bytes of all segments; loads if need be.
    pub(crate) fn size(&self, open: &OpenFiles) -> Result<u64> {
        self.load(&mut self.files(), open)?;
        Ok(self.bytes.load(Ordering::Relaxed))
    }

    /// Lists the segments on disk, if that has not been done. Where the last one ends is known from the checkpoint.
    pub(crate) fn load(&self, files: &mut Files, open: &OpenFiles) -> Result<()> {
        if files.loaded {
            return Ok(());
        }
        let place = self.core.lock().place;
        let mut segments = self.list(open)?;
        // Written beyond the last checkpoint by nobody: the node was closed cleanly, or recovery has been here. The files go: what
        // comes next may go to the one before, and then they would lie in its middle. Their names are the next checkpoint's.
        for over in segments.extract_if(.., |segment| segment.base_offset > place.segment) {
            over.remove(&*open.disk).map_err(|error| over.io("remove", &error))?;
        }
        if let Some(last) = segments.last() {
            if last.base_offset == place.segment && last.len() >= place.position {
                if last.len() > place.position {
                    last.truncate(open, place.position)?;
                    // Without a sync what was cut could be back.
                    files.dirty.push(last.clone());
                    self.dirty.store(true, Ordering::Release);
                }
                last.load_live(open)?;
            } else {
                // Bytes are missing. Reads will say so; what comes next goes to a file of its own.
                tracing::error!(partition = %self.name, file = %last.path().display(), "segment is shorter than it was");
                files.roll = true;
            }
        }
        self.set_segments(segments);
        // A file that was made and never written to is no checkpoint's: its name may not be on disk, and is once it is used.
        files.new_names = true;
        files.loaded = true;
        Ok(())
    }

    fn list(&self, open: &OpenFiles) -> Result<Vec<Arc<Segment>>> {
        let failed = |error| Error::io(format!("cannot list {}", self.dir.display()), &error);
        let names = open.disk.list(&self.dir).map_err(failed)?;
        let current = layout::current_segments(names.iter().filter_map(|name| SegmentName::parse(name)).collect());
        // The names of what takes their place must be on disk before they go.
        if names.iter().any(|name| layout::is_left_over(name, &current)) {
            open.disk.sync_dir(&self.dir).map_err(failed)?;
        }
        for over in names.iter().filter(|name| layout::is_left_over(name, &current)) {
            tracing::debug!(partition = %self.name, file = over, "removed: compaction has left it over");
            open.disk.remove_file(&self.dir.join(over)).map_err(failed)?;
        }
        let mut segments = Vec::with_capacity(current.len());
        let mut turn = 0;
        for name in current {
            let path = name.path(&self.dir);
            let len = open
                .disk
                .open(&path, world::OpenMode::Read)
                .and_then(|file| file.len())
                .map_err(|error| Error::io(format!("cannot open {}", path.display()), &error))?;
            turn = turn.max(name.compacted.map_or(0, |compacted| compacted.turn));
            segments.push(Arc::new(Segment::existing(&self.dir, name, self.since, len)));
        }
        // Of nothing but the last an empty file can be, unless compaction made it: it was never used.
        let last = segments.last().map_or(0, |last| last.base_offset);
        segments.retain(|it| it.len() > 0 || it.compacted.is_some() || it.base_offset == last);
        self.compaction.lock().turn = turn;
        Ok(segments)
    }

    fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        self.bytes.store(segments.iter().map(|segment| segment.len()).sum(), Ordering::Relaxed);
        *self.segments.write() = segments;
    }

    /// Writes `batches`, which follow what is there, to the page cache. On failure says how many were written.
    pub(crate) fn write(
        &self,
        files: &mut Files,
        open: &OpenFiles,
        batches: &mut [&mut Stored],
        now: TimestampMs,
    ) -> Result<(), (usize, Error)> {
        self.load(files, open).map_err(|error| (0, error))?;
        if std::mem::take(&mut files.must_cut)
            && let Err(error) = self.cut_files(files, open)
        {
            files.must_cut = true;
            return Err((0, error));
        }
        let config = self.config();
        let mut done = 0;
        while done < batches.len() {
            let segment = self.segment_for(files, open, batches[done], &config, now).map_err(|error| (done, error))?;
            let room = config.segment_bytes.saturating_sub(segment.len());
            let mut bytes = 0;
            let many = batches[done..]
                .iter()
                .take_while(|batch| {
                    bytes += batch.size() as u64;
                    bytes <= room && batch.next_offset - segment.base_offset <= i64::from(i32::MAX)
                })
                .count()
                .max(1);
            let before = segment.len();
            segment.write(open, &mut batches[done..done + many]).map_err(|error| (done, error))?;
            self.bytes.fetch_add(segment.len() - before, Ordering::Relaxed);
            if !files.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &segment)) {
                files.dirty.push(segment);
            }
            self.dirty.store(true, Ordering::Release);
            done += many;
        }
        Ok(())
    }

    /// Another number for each segment of each partition, and the same after a restart.
    fn seed_of(&self, segment: &Segment) -> u32 {
        let seed = crc32c::crc32c(self.dir.as_os_str().as_encoded_bytes());
        crc32c::crc32c_append(seed, &segment.base_offset.to_be_bytes())
    }

    /// The segment that takes `batch`: the last one, or a new one if that is full, old or missing.
    fn segment_for(
        &self,
        files: &mut Files,
        open: &OpenFiles,
        batch: &Stored,
        config: &TopicConfig,
        now: TimestampMs,
    ) -> Result<Arc<Segment>> {
        let last = self.active_segment();
        if let Some(last) = &last {
            let too_old = now.saturating_sub(last.created_ms) >= config.segment_ms_max(|| self.seed_of(last));
            let full = last.len() + batch.size() as u64 > config.segment_bytes
                || batch.next_offset - last.base_offset > i64::from(i32::MAX);
            if last.len() == 0 || !(files.roll || too_old || full) {
                return Ok(last.clone());
            }
        } else {
            open.disk
                .create_dir_all(&self.dir)
                .map_err(|error| Error::io(format!("cannot make {}", self.dir.display()), &error))?;
        }
        if let Some(last) = &last {
            last.cut_tail(open)?;
        }
        let segment = Arc::new(Segment::new(&self.dir, batch.base_offset, now));
        segment.file(open)?;
        if let Some(last) = last {
            last.seal(open, batch.base_offset);
        }
        self.segments.write().push(segment.clone());
        files.roll = false;
        files.new_names = true;
        Ok(segment)
    }

    /// Removes everything behind what is complete. Called when something admitted has failed, under the lock on files; until it
    /// succeeds nothing more can be written.
    pub(crate) fn cut_files(&self, files: &mut Files, open: &OpenFiles) -> Result<()> {
        let place = self.core.lock().place;
        let mut segments = self.segments();
        while let Some(last) = segments.last() {
            if last.base_offset <= place.segment {
                break;
            }
            last.remove(&*open.disk)
                .map_err(|error| Error::io(format!("cannot remove {}", last.path().display()), &error))?;
            files.dirty.retain(|dirty| !Arc::ptr_eq(dirty, last));
            files.new_names = true;
            segments.pop();
        }
        if let Some(last) = segments.last()
            && last.base_offset == place.segment
            && last.len() > place.position
        {
            last.truncate(open, place.position)?;
            if !files.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, last)) {
                files.dirty.push(last.clone());
            }
        }
        // What cannot be brought to disk now the next checkpoint brings there.
        self.dirty.store(true, Ordering::Release);
        self.set_segments(segments);
        Ok(())
    }

    /// Brings to disk what [`Self::cut_files`] did.
    pub(crate) fn sync_cut(&self, open: &OpenFiles) -> Result<()> {
        if let Some(last) = self.active_segment() {
            last.sync_now(open)?;
        }
        open.disk
            .sync_dir(&self.dir)
            .map_err(|error| Error::io(format!("cannot bring names in {} to disk", self.dir.display()), &error))
    }

    /// What has been written since the last checkpoint, which is going to sync it.
    pub(crate) fn take_dirt(&self) -> Option<Dirt> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut files = self.files();
        Some(Dirt { segments: std::mem::take(&mut files.dirty), new_names: std::mem::take(&mut files.new_names) })
    }

    /// The checkpoint failed; the next one tries again.
    pub(crate) fn put_back_dirt(&self, dirt: Dirt) {
        let mut files = self.files();
        for segment in dirt.segments {
            if !files.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &segment)) {
                files.dirty.push(segment);
            }
        }
        files.new_names |= dirt.new_names;
        self.dirty.store(true, Ordering::Release);
    }

    /// Writes the bytes of these segments once more, as far as they are what was written.
    pub(crate) fn rewrite(&self, dirt: &Dirt, open: &OpenFiles) -> Result<()> {
        let _files = self.files();
        dirt.segments.iter().try_for_each(|segment| segment.rewrite(open))
    }

    /// The segment that is being written.
    pub(crate) fn active_segment(&self) -> Option<Arc<Segment>> {
        self.segments.read().last().cloned()
    }

    /// When the segment that is being written was begun.
    pub(crate) fn active_since(&self) -> TimestampMs {
        self.active_segment().map_or(self.since, |segment| segment.created_ms)
    }

    /// Takes the first `count` segments off the list; their files are the caller's to remove.
    pub(crate) fn detach(&self, files: &mut Files, count: usize) -> Vec<Arc<Segment>> {
        let mut segments = self.segments();
        let gone: Vec<_> = segments.drain(..count).collect();
        files.dirty.retain(|dirty| !gone.iter().any(|segment| Arc::ptr_eq(dirty, segment)));
        self.set_segments(segments);
        gone
    }

    // ── after an unclean end ──

    /// Reads on from where the checkpoint left off, keeps whole batches in order and cuts what follows.
    pub(crate) fn recover(&self, open: &OpenFiles, now: TimestampMs) -> Result<()> {
        let mut files = self.files();
        let (place, log_end, log_start) = {
            let core = self.core.lock();
            (core.place, core.log_end, core.log_start)
        };
        let segments = self.list(open)?;
        let mut kept: Vec<Arc<Segment>> = Vec::new();
        let mut end = log_end;
        let mut torn = false;
        let mut found: Vec<(Header, Option<Marker>)> = Vec::new();
        let mut at = place;
        for segment in segments {
            if segment.base_offset < place.segment {
                kept.push(segment);
                continue;
            }
            let known = if segment.base_offset == place.segment { place.position } else { 0 };
            if torn || (segment.base_offset != place.segment && segment.base_offset != end) {
                tracing::warn!(file = %segment.path().display(), "removed: it does not follow what is whole before it");
                segment.remove(&*open.disk).map_err(|error| Error::io("cannot remove a torn segment", &error))?;
                continue;
            }
            if segment.len() < known {
                tracing::error!(file = %segment.path().display(), "segment is shorter than it was");
                files.roll = true;
                kept.push(segment);
                continue;
            }
            let len = segment.len();
            let mut good = known;
            {
                let mut scan = segment.scan_from(open, known, len)?;
                loop {
                    let (position, header) = match scan.next() {
                        Ok(Some(found)) => found,
                        Ok(None) => break,
                        Err(error) if error.is(CORRUPT) => break,
                        // What a device cannot read now is not a torn tail.
                        Err(error) => return Err(error),
                    };
                    let bytes = scan.batch(position, &header)?;
                    if header.base_offset != end || !header.crc_matches(bytes) {
                        break;
                    }
                    let marker = if header.is_control() {
                        Marker::of(&header, &Bytes::copy_from_slice(&bytes[HEADER_BYTES..]))?
                    } else {
                        None
                    };
                    good = position + header.size() as u64;
                    end = header.next_offset();
                    found.push((header, marker));
                }
            }
            if good < len {
                tracing::warn!(file = %segment.path().display(), bytes = len - good, "cut a torn tail");
                torn = true;
                segment.truncate(open, good)?;
            } else {
                segment.load_live(open)?;
            }
            if good < len && good == known {
                // Nothing new is in it, and without a sync what was cut could be back.
                files.dirty.push(segment.clone());
                self.dirty.store(true, Ordering::Release);
            }
            if good > known {
                // Its last node may have failed to sync it: then the system takes these bytes for clean, and has them in memory
                // only. Written again they are brought to disk by the checkpoint that relies on them.
                segment.rewrite_from(open, known)?;
                files.dirty.push(segment.clone());
                self.dirty.store(true, Ordering::Release);
            }
            at = super::core::Place { segment: segment.base_offset, position: good };
            if let Some(before) = kept.last() {
                before.seal(open, segment.base_offset);
            }
            kept.push(segment);
        }
        files.new_names = true;
        files.loaded = true;
        // The segment that was being written was empty, and its name is lost: what lies before it stays as it is.
        files.roll |= kept.last().is_some_and(|last| last.base_offset < place.segment);
        let first = kept.first().map(|segment| segment.base_offset);
        self.set_segments(kept);
        let mut core = self.core.lock();
        for (header, marker) in &found {
            core.replay(header, *marker, now);
        }
        let log_start = first.unwrap_or(end).max(log_start).min(end);
        core.set_end(log_start, end, at);
        Ok(())
    }

    /// Puts back a batch that only the write-ahead log still has, and says whether it had to. Batches come in the order in
    /// which they were logged; one at an offset that is taken replaces what is there, because that had failed. Everything
    /// before `synced_to` was on disk by the checkpoint.
    pub(crate) fn replay(
        &self,
        open: &OpenFiles,
        header: &Header,
        records: Bytes,
        synced_to: Offset,
        now: TimestampMs,
    ) -> Result<bool> {
        let mut files = self.files();
        self.load(&mut files, open)?;
        let end = self.core.lock().log_end;
        if header.base_offset < end {
            if header.base_offset < synced_to {
                return Ok(false);
            }
            let Some(segment) = self.segments().into_iter().rev().find(|s| s.base_offset <= header.base_offset) else {
                return Ok(false);
            };
            let position = segment.locate(open, header.base_offset, true)?.expect("it may block");
            let mut scan = segment.scan_from(open, position, segment.len())?;
            if let Some((position, there)) = scan.next()?
                && there == *header
            {
                segment.note_end(there.next_offset(), position + there.size() as u64);
                return Ok(false);
            }
            drop(scan);
            tracing::warn!(partition = %self.name, offset = header.base_offset, "records that had failed are replaced");
            let place = super::core::Place { segment: segment.base_offset, position };
            let mut core = self.core.lock();
            let start = core.log_start.min(header.base_offset);
            core.set_end(start, header.base_offset, place);
            drop(core);
            self.cut_files(&mut files, open)?;
        } else if header.base_offset > end {
            tracing::error!(partition = %self.name, from = end, to = header.base_offset, "records are missing");
            files.roll = true;
        }
        let marker = Marker::of(header, &records)?;
        let mut stored = Stored::new(header, records);
        self.write(&mut files, open, &mut [&mut stored], now).map_err(|(_, error)| error)?;
        let mut core = self.core.lock();
        core.replay(header, marker, now);
        let start = core.log_start;
        core.set_end(start, header.next_offset(), stored.place);
        Ok(true)
    }
}
