//! The sparse index of a segment: offset and time → position.
//!
//! ```text
//! file:   "LHIX" │ version u32 │ base offset i64 │ entry*
//! entry:  relative offset u32 │ position u32 │ largest timestamp before it i64
//! ```
//! An entry stands for the batch that begins at `position`; there is one about every 4 KiB, the first for the first batch
//! (which compaction may have left behind the segment's base offset).
//! Of a sealed segment the last entry stands for the end: its position is the file's length. Both numbers rise strictly
//! (of the end entry too). The file is advisory: entries that break the rules are ignored, missing ones are found again by
//! reading the segment.

use std::{io, path::Path};

use model::{Offset, TimestampMs};
use world::{Disk, DiskFile, OpenMode};

/// Bytes of batches between two entries (Kafka's `index.interval.bytes`).
pub(super) const INTERVAL_BYTES: u64 = 4096;
/// "No batch before this one."
pub(super) const NO_MAX: TimestampMs = TimestampMs::MIN;

const MAGIC: &[u8; 4] = b"LHIX";
const HEADER_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) relative: u32,
    pub(super) position: u32,
    /// Largest timestamp of all batches before this position.
    pub(super) max_before: TimestampMs,
}

/// Entries of the segment that is being written, in memory.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) entries: Vec<Entry>,
    /// How many of them are in the file.
    pub(super) saved: usize,
    /// How many of them come from the file and have not been looked after.
    pub(super) unproved: usize,
}

impl Live {
    /// Notes a batch, if the last entry is far enough behind.
    pub(super) fn note(&mut self, relative: u32, position: u64, max_before: TimestampMs) {
        if self.entries.last().is_none_or(|last| position - u64::from(last.position) >= INTERVAL_BYTES) {
            self.entries.push(Entry { relative, position: position as u32, max_before });
        }
    }

    /// Forgets what lies at or beyond `position`.
    pub(super) fn truncate(&mut self, position: u64) {
        let keep = self.entries.partition_point(|entry| u64::from(entry.position) < position);
        self.entries.truncate(keep);
        (self.saved, self.unproved) = (0, self.unproved.min(keep));
    }

    /// Writes what the file does not have yet.
    pub(super) fn save(&mut self, disk: &dyn Disk, path: &Path, base: Offset) -> io::Result<()> {
        if self.saved == self.entries.len() {
            return Ok(());
        }
        let file = disk.open(path, OpenMode::ReadWrite)?;
        let mut bytes = Vec::new();
        if self.saved == 0 {
            bytes.extend_from_slice(MAGIC);
            bytes.extend_from_slice(&super::super::layout::FORMAT_VERSION.to_be_bytes());
            bytes.extend_from_slice(&base.to_be_bytes());
        }
        for entry in &self.entries[self.saved..] {
            bytes.extend_from_slice(&entry.relative.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
            bytes.extend_from_slice(&entry.max_before.to_be_bytes());
        }
        let at = if self.saved == 0 { 0 } else { HEADER_BYTES + ENTRY_BYTES * self.saved as u64 };
        file.write_all_at(&bytes, at)?;
        file.set_len(HEADER_BYTES + ENTRY_BYTES * self.entries.len() as u64)?;
        self.saved = self.entries.len();
        Ok(())
    }
}

/// Entries of a sealed segment, in their file.
pub(super) struct Saved {
    file: std::sync::Arc<dyn DiskFile>,
    count: u64,
}

impl Saved {
    /// `None` if there is no usable index.
    pub(super) fn open(disk: &dyn Disk, path: &Path, base: Offset) -> io::Result<Option<Self>> {
        if !disk.exists(path) {
            return Ok(None);
        }
        let file = disk.open(path, OpenMode::Read)?;
        let mut head = [0; HEADER_BYTES as usize];
        if file.read_at(&mut head, 0)? < head.len()
            || &head[..4] != MAGIC
            || head[4..8] != super::super::layout::FORMAT_VERSION.to_be_bytes()
            || head[8..] != base.to_be_bytes()
        {
            return Ok(None);
        }
        let count = (file.len()? - HEADER_BYTES) / ENTRY_BYTES;
        Ok(Some(Self { file, count }))
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn get(&self, index: u64) -> io::Result<Entry> {
        let mut bytes = [0; ENTRY_BYTES as usize];
        self.file.read_exact_at(&mut bytes, HEADER_BYTES + index * ENTRY_BYTES)?;
        Ok(decode(&bytes))
    }

    /// All entries that obey the rules and lie before `len`.
    pub(super) fn load(&self, len: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = Vec::new();
        self.file.read_onto(&mut bytes, (self.count * ENTRY_BYTES) as usize, HEADER_BYTES)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES as usize);
        for entry in bytes.as_chunks().0.iter().map(decode) {
            let follows = match entries.last() {
                None => entry.position == 0,
                Some(last) => {
                    entry.relative > last.relative
                        && entry.position > last.position
                        && entry.max_before >= last.max_before
                }
            };
            if !follows || u64::from(entry.position) >= len {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The last entry for which `is_before` holds; it holds for a prefix.
    pub(super) fn last_where(&self, is_before: impl Fn(&Entry) -> bool) -> io::Result<Option<Entry>> {
        let (mut low, mut high, mut found) = (0, self.count, None);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.get(middle)?;
            if is_before(&entry) {
                (low, found) = (middle + 1, Some(entry));
            } else {
                high = middle;
            }
        }
        Ok(found)
    }
}

fn decode(bytes: &[u8; ENTRY_BYTES as usize]) -> Entry {
    let [a, b, c, d, e, f, g, h, max @ ..] = *bytes;
    Entry {
        relative: u32::from_be_bytes([a, b, c, d]),
        position: u32::from_be_bytes([e, f, g, h]),
        max_before: TimestampMs::from_be_bytes(max),
    }
}
