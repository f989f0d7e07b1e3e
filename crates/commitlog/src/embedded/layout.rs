//! Every path of a log's directory and every byte in its files. Format version 1; all numbers are big-endian.
//!
//! ```text
//! DIR/lock                        held while a node uses the directory; empty
//! DIR/meta.json                   {"version","cluster_id","next_producer_id"}
//! DIR/checkpoint                  up to where the files below are known to be on disk  (see `checkpoint.rs`)
//! DIR/clean                       there if the last node closed the log: the checkpoint's CRC as text
//! DIR/wal/<n>.wal                 write-ahead log, files are used again and again       (see `wal/format.rs`)
//! DIR/topics/<name>-<id8>/        one topic; its name (at most 200 characters of it) and the start of its id
//!     topic.json                  {"version","name","id","partitions","overrides"}
//!     <partition>/                made with the first append
//!         <base offset>.log       record batches, as clients sent them, offset and epoch patched; 20 digits
//!         <base offset>-<end offset>-<turn>-<sum>.log
//!                                 what compaction has left of the segments from base to end; takes the place of all files
//!                                 of earlier turns (a plain name: turn 0) whose base lies in there. Sum: CRC-32C of its
//!                                 batches' offsets and epochs, 8 hexadecimal digits; older files have none
//!         <segment>.index         sparse index of that segment, advisory               (see `partition/index.rs`)
//!         <segment>.cleaned       a compacted segment that is being written; of no use to anyone after a crash
//! DIR/topics/<name>-<id8>.deleted a deleted topic, about to be removed
//! ```
//! Files that are replaced (`meta.json`, `checkpoint`, `clean`, `topic.json`) are replaced atomically through `<name>.tmp`.

use std::path::{Path, PathBuf};

use model::{Offset, PartitionId, TopicId, TopicName};

use crate::record::Header;

pub(crate) const FORMAT_VERSION: u32 = 1;

/// Paths below the log's directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

/// Characters of a topic's name in the name of its directory: file names have at most 255.
const NAME_CHARACTERS_MAX: usize = 200;
const DELETED: &str = ".deleted";

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.0.join("meta.json")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(crate) fn clean(&self) -> PathBuf {
        self.0.join("clean")
    }

    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.0.join("wal")
    }

    pub(crate) fn topics(&self) -> PathBuf {
        self.0.join("topics")
    }

    pub(crate) fn topic(&self, name: &TopicName, id: TopicId) -> PathBuf {
        let name = &name[..name.len().min(NAME_CHARACTERS_MAX)];
        self.topics().join(format!("{name}-{}", &id.simple().to_string()[..8]))
    }
}

pub(crate) fn wal_file(wal_dir: &Path, number: u64) -> PathBuf {
    wal_dir.join(format!("{number}.wal"))
}

pub(crate) fn wal_file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

pub(crate) fn topic_json(topic_dir: &Path) -> PathBuf {
    topic_dir.join("topic.json")
}

pub(crate) fn partition_dir(topic_dir: &Path, partition: PartitionId) -> PathBuf {
    topic_dir.join(partition.to_string())
}

pub(crate) fn deleted(topic_dir: &Path) -> PathBuf {
    let mut name = topic_dir.file_name().unwrap_or_default().to_owned();
    name.push(DELETED);
    topic_dir.with_file_name(name)
}

pub(crate) fn is_deleted(name: &str) -> bool {
    name.ends_with(DELETED)
}

/// What the name of a segment's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) base: Offset,
    /// It was written by compaction.
    pub(crate) compacted: Option<Compacted>,
}

/// Which offsets a compacted segment stands for, up to `end`, and in which turn it was written: later ones count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) end: Offset,
    pub(crate) turn: u64,
    /// Of its batches' offsets; older versions wrote none.
    pub(crate) sum: Option<OffsetSum>,
}

/// CRC-32C over what the checksums of batches leave out and holes would hide: of each its base offset and leader epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetSum(u32);

impl OffsetSum {
    pub(crate) fn add(&mut self, header: &Header) {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&header.base_offset.to_be_bytes());
        bytes[8..].copy_from_slice(&header.leader_epoch.to_be_bytes());
        self.0 = crc32c::crc32c_append(self.0, &bytes);
    }
}

/// Digits of an offset in a name: so names sort as offsets do.
const OFFSET_DIGITS: usize = 20;
const SUM_DIGITS: usize = 8;
const CLEANED: &str = "cleaned";

impl SegmentName {
    pub(crate) fn plain(base: Offset) -> Self {
        Self { base, compacted: None }
    }

    fn stem(&self) -> String {
        match self.compacted {
            None => format!("{:020}", self.base),
            Some(Compacted { end, turn, sum: None }) => format!("{:020}-{end:020}-{turn}", self.base),
            Some(Compacted { end, turn, sum: Some(OffsetSum(sum)) }) => {
                format!("{:020}-{end:020}-{turn}-{sum:08x}", self.base)
            }
        }
    }

    pub(crate) fn path(&self, partition_dir: &Path) -> PathBuf {
        partition_dir.join(self.stem() + ".log")
    }

    /// Where a compacted segment is while it is written.
    pub(crate) fn cleaned_path(&self, partition_dir: &Path) -> PathBuf {
        partition_dir.join(format!("{}.{CLEANED}", self.stem()))
    }

    /// From the name of a `.log`; `None` if it is something else.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::parse_stem(name.strip_suffix(".log")?)
    }

    fn parse_stem(stem: &str) -> Option<Self> {
        let offset = |digits: &str| -> Option<Offset> {
            (digits.len() == OFFSET_DIGITS).then(|| digits.parse().ok())?.filter(|offset| *offset >= 0)
        };
        let mut parts = stem.split('-');
        let base = offset(parts.next()?)?;
        let Some(end) = parts.next() else { return Some(Self::plain(base)) };
        let (end, turn) = (offset(end)?, parts.next()?.parse().ok()?);
        let sum = match parts.next() {
            None => None,
            Some(digits) if digits.len() == SUM_DIGITS => Some(OffsetSum(u32::from_str_radix(digits, 16).ok()?)),
            Some(_) => return None,
        };
        let compacted = Compacted { end, turn, sum };
        parts.next().is_none().then_some(Self { base, compacted: Some(compacted) })
    }

    fn turn(&self) -> u64 {
        self.compacted.map_or(0, |compacted| compacted.turn)
    }
}

/// Of the segments found in a partition's directory, those that count, by base offset. A later turn of compaction takes the
/// place of all whose base lies in its range; what it has replaced may be there still, or again after a power cut.
pub(crate) fn current_segments(mut found: Vec<SegmentName>) -> Vec<SegmentName> {
    found.sort_by_key(|name| std::cmp::Reverse(name.turn()));
    let mut current: Vec<SegmentName> = Vec::with_capacity(found.len());
    for name in found {
        let is_replaced = current.iter().any(|later| {
            later.compacted.is_some_and(|compacted| (later.base..compacted.end).contains(&name.base))
                && later.turn() > name.turn()
        });
        if !is_replaced {
            current.push(name);
        }
    }
    current.sort_by_key(|name| name.base);
    current
}

/// Whether a file in a partition's directory is left over from compaction: `current` are the segments that count.
pub(crate) fn is_left_over(name: &str, current: &[SegmentName]) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let counts = |segment: SegmentName| current.contains(&segment);
    match (extension, SegmentName::parse_stem(stem)) {
        (CLEANED, Some(_)) => true,
        ("log", Some(segment)) => !counts(segment),
        ("index", Some(segment)) => segment.compacted.is_some() && !counts(segment),
        _ => false,
    }
}

pub(crate) fn index_of(segment: &Path) -> PathBuf {
    segment.with_extension("index")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(base: Offset, end: Offset, turn: u64) -> SegmentName {
        SegmentName { base, compacted: Some(Compacted { end, turn, sum: None }) }
    }

    #[test]
    fn names_of_segments_are_read_as_written() {
        let mut summed = compacted(5, 700, 3);
        summed.compacted.as_mut().expect("compacted").sum = Some(OffsetSum(0xab));
        for name in [SegmentName::plain(0), SegmentName::plain(i64::MAX), compacted(5, 700, 3), summed] {
            let path = name.path(Path::new("p"));
            let file = path.file_name().expect("a name").to_str().expect("text");
            assert_eq!(SegmentName::parse(file), Some(name));
            assert_eq!(index_of(&path).extension(), Some("index".as_ref()));
        }
        for other in ["1.log", "00000000000000000001.index", "00000000000000000001-2-3.log", "-0000000000000000001.log"]
        {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_later_turn_takes_the_place_of_what_it_was_made_of() {
        let plain = SegmentName::plain;
        let check = |found: &[SegmentName], current: &[SegmentName]| {
            assert_eq!(current_segments(found.to_vec()), current);
            assert_eq!(current_segments(found.iter().rev().copied().collect()), current);
        };
        check(&[plain(0), plain(10), plain(20)], &[plain(0), plain(10), plain(20)]);
        check(&[plain(0), plain(10), compacted(0, 20, 1), plain(20)], &[compacted(0, 20, 1), plain(20)]);
        let second = compacted(0, 30, 2);
        check(&[plain(10), compacted(0, 20, 1), second, plain(20), plain(30)], &[second, plain(30)]);
        // One that was given up and came back after a power cut replaces nothing that a later turn has replaced.
        let given_up = compacted(20, 40, 1);
        check(&[given_up, second, plain(30), plain(40)], &[second, plain(30), plain(40)]);
    }

    #[test]
    fn what_compaction_leaves_over_is_found() {
        let current = [compacted(0, 20, 1), SegmentName::plain(20)];
        let digits = |n: u32| format!("{n:020}");
        for (name, is_over) in [
            (format!("{}.log", digits(0)), true),
            (format!("{}.index", digits(0)), false),
            (format!("{}.log", digits(20)), false),
            (format!("{}-{}-1.log", digits(0), digits(20)), false),
            (format!("{}-{}-1.index", digits(0), digits(20)), false),
            (format!("{}-{}-2.index", digits(0), digits(20)), true),
            (format!("{}-{}-2.cleaned", digits(0), digits(20)), true),
            ("notes.txt".to_owned(), false),
        ] {
            assert_eq!(is_left_over(&name, &current), is_over, "{name}");
        }
    }
}
