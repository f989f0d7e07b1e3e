//! Bytes of the checkpoint.
//!
//! ```text
//! "LHCP" │ version u32 │ lsn u64 │ partitions u32 │ partition* │ crc u32 of all before
//! partition  topic id, 16 │ number i32 │ log start i64 │ end i64 │ segment i64 │ position u64 │ segment begun, ms i64
//!            │ epochs u32 │ (epoch i32, start i64)* │ producers u32 │ producer*
//!            │ open transactions u32 │ (first i64, producer i64)* │ aborted u32 │ (producer i64, first i64, last i64)*
//!            │ compacted to i64 │ next delete horizon, ms i64, or 2⁶³ − 1
//! producer   id i64 │ used, ms i64 │ batches u8 │ batch*
//! batch      epoch i16 │ first sequence i32 │ last sequence i32 │ base offset i64 │ last offset i64 │ append time i64
//! ```
//! Version 1 ends each partition after its producers, version 2 after what was aborted. It says: of each partition, everything
//! before `end` is in its segment files and on disk, the last of it ending at `position` of the segment with base offset
//! `segment`; entries of the write-ahead log before `lsn` are not needed.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut};
use model::{Offset, PartitionId, ProducerId, TimestampMs, TopicId};

use crate::{
    embedded::{
        core::{Epochs, Kept, Place, Producer},
        wal::Lsn,
    },
    log::Aborted,
};

const MAGIC: &[u8; 4] = b"LHCP";
const VERSION: u32 = 3;
const VERSION_WITHOUT_COMPACTION: u32 = 2;
const VERSION_WITHOUT_TRANSACTIONS: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Checkpoint {
    pub(crate) lsn: Lsn,
    pub(crate) partitions: BTreeMap<(TopicId, PartitionId), Saved>,
}

/// A partition in a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) log_start: Offset,
    pub(crate) end: Offset,
    pub(crate) place: Place,
    pub(crate) since: TimestampMs,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Vec<(ProducerId, Producer)>,
    /// Open transactions: first offset and producer.
    pub(crate) begun: Vec<(Offset, ProducerId)>,
    pub(crate) aborted: Vec<Aborted>,
    /// Everything before it has been compacted.
    pub(crate) cleaned_to: Offset,
    /// When the first tombstone or marker in there may go.
    pub(crate) next_horizon: Option<TimestampMs>,
}

impl Checkpoint {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.partitions.len() * 128);
        out.put_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u64(self.lsn);
        out.put_u32(self.partitions.len() as u32);
        for ((topic, number), saved) in &self.partitions {
            out.put_slice(topic.as_bytes());
            out.put_i32(*number);
            out.put_i64(saved.log_start);
            out.put_i64(saved.end);
            out.put_i64(saved.place.segment);
            out.put_u64(saved.place.position);
            out.put_i64(saved.since);
            out.put_u32(saved.epochs.entries().len() as u32);
            for (epoch, start) in saved.epochs.entries() {
                out.put_i32(*epoch);
                out.put_i64(*start);
            }
            out.put_u32(saved.producers.len() as u32);
            for (pid, producer) in &saved.producers {
                out.put_i64(*pid);
                out.put_i64(producer.used_at);
                out.put_u8(producer.batches.len() as u8);
                for kept in &producer.batches {
                    out.put_i16(kept.epoch);
                    out.put_i32(kept.first_sequence);
                    out.put_i32(kept.last_sequence);
                    out.put_i64(kept.base_offset);
                    out.put_i64(kept.last_offset);
                    out.put_i64(kept.log_append_time);
                }
            }
            out.put_u32(saved.begun.len() as u32);
            for (first, producer) in &saved.begun {
                out.put_i64(*first);
                out.put_i64(*producer);
            }
            out.put_u32(saved.aborted.len() as u32);
            for aborted in &saved.aborted {
                out.put_i64(aborted.producer);
                out.put_i64(aborted.first);
                out.put_i64(aborted.last);
            }
            out.put_i64(saved.cleaned_to);
            out.put_i64(saved.next_horizon.unwrap_or(TimestampMs::MAX));
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    /// `None`: not a whole checkpoint of this version.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(rest) != u32::from_be_bytes(*crc) || take::<4>(&mut rest)? != *MAGIC {
            return None;
        }
        let version = u32_of(&mut rest)?;
        if ![VERSION, VERSION_WITHOUT_COMPACTION, VERSION_WITHOUT_TRANSACTIONS].contains(&version) {
            return None;
        }
        let mut checkpoint = Self { lsn: i64_of(&mut rest)? as u64, partitions: BTreeMap::new() };
        for _ in 0..u32_of(&mut rest)? {
            let key = (TopicId::from_bytes(take(&mut rest)?), u32_of(&mut rest)? as i32);
            let (log_start, end) = (i64_of(&mut rest)?, i64_of(&mut rest)?);
            let place = Place { segment: i64_of(&mut rest)?, position: i64_of(&mut rest)? as u64 };
            let since = i64_of(&mut rest)?;
            let mut epochs = Vec::new();
            for _ in 0..u32_of(&mut rest)? {
                epochs.push((u32_of(&mut rest)? as i32, i64_of(&mut rest)?));
            }
            let mut producers = Vec::new();
            for _ in 0..u32_of(&mut rest)? {
                let pid = i64_of(&mut rest)?;
                let used_at = i64_of(&mut rest)?;
                let mut batches = VecDeque::new();
                for _ in 0..take::<1>(&mut rest)?[0] {
                    batches.push_back(Kept {
                        epoch: i16::from_be_bytes(take(&mut rest)?),
                        first_sequence: u32_of(&mut rest)? as i32,
                        last_sequence: u32_of(&mut rest)? as i32,
                        base_offset: i64_of(&mut rest)?,
                        last_offset: i64_of(&mut rest)?,
                        log_append_time: i64_of(&mut rest)?,
                    });
                }
                producers.push((pid, Producer::new(batches, used_at)));
            }
            let (mut begun, mut aborted) = (Vec::new(), Vec::new());
            if version != VERSION_WITHOUT_TRANSACTIONS {
                for _ in 0..u32_of(&mut rest)? {
                    begun.push((i64_of(&mut rest)?, i64_of(&mut rest)?));
                }
                for _ in 0..u32_of(&mut rest)? {
                    let (producer, first, last) = (i64_of(&mut rest)?, i64_of(&mut rest)?, i64_of(&mut rest)?);
                    aborted.push(Aborted { producer, first, last });
                }
            }
            let (cleaned_to, next_horizon) = match version {
                VERSION => (i64_of(&mut rest)?, Some(i64_of(&mut rest)?).filter(|at| *at != TimestampMs::MAX)),
                _ => (0, None),
            };
            let epochs = Epochs::restore(epochs)?;
            let saved =
                Saved { log_start, end, place, since, epochs, producers, begun, aborted, cleaned_to, next_horizon };
            checkpoint.partitions.insert(key, saved);
        }
        rest.is_empty().then_some(checkpoint)
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let bytes = *from.first_chunk()?;
    from.advance(N);
    Some(bytes)
}

fn u32_of(from: &mut &[u8]) -> Option<u32> {
    take(from).map(u32::from_be_bytes)
}

fn i64_of(from: &mut &[u8]) -> Option<i64> {
    take(from).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example() -> Checkpoint {
        let kept =
            Kept { epoch: 1, first_sequence: 2, last_sequence: 3, base_offset: 4, last_offset: 5, log_append_time: -1 };
        let saved = |end| Saved {
            log_start: 1,
            end,
            place: Place { segment: 7, position: 8 },
            since: 9,
            epochs: Epochs::restore(vec![(0, 0), (3, 4)]).expect("rising"),
            producers: vec![(11, Producer::new([kept, kept].into(), 12))],
            begun: vec![(13, 14)],
            aborted: vec![Aborted { producer: 15, first: 16, last: 17 }],
            cleaned_to: 18,
            next_horizon: (end % 2 == 0).then_some(19),
        };
        let partitions = (0..20).map(|n| ((TopicId::from_u128(n), n as i32), saved(n as i64 + 10))).collect();
        Checkpoint { lsn: 42, partitions }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Checkpoint::read(&example().write()), Some(example()));
    }

    /// The bytes of an older version: what came later in each partition is left out.
    fn as_version(version: u32, saved: &Saved) -> Vec<u8> {
        let one = Checkpoint { lsn: 42, partitions: [((TopicId::from_u128(1), 2), saved.clone())].into() };
        let mut bytes = one.write();
        let left_out = match version {
            VERSION_WITHOUT_COMPACTION => 16,
            _ => 16 + 4 + 16 * saved.begun.len() + 4 + 24 * saved.aborted.len(),
        };
        bytes.truncate(bytes.len() - 4 - left_out);
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.put_u32(crc);
        bytes
    }

    #[test]
    fn older_versions_are_read() {
        let saved = example().partitions.into_values().next().expect("one");
        for version in [VERSION_WITHOUT_TRANSACTIONS, VERSION_WITHOUT_COMPACTION] {
            let read = Checkpoint::read(&as_version(version, &saved)).expect("whole");
            let mut expected = Saved { cleaned_to: 0, next_horizon: None, ..saved.clone() };
            if version == VERSION_WITHOUT_TRANSACTIONS {
                (expected.begun, expected.aborted) = Default::default();
            }
            assert_eq!(read.partitions.into_values().collect::<Vec<_>>(), [expected]);
        }
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at: prop::sample::Index, flip in 1u8..) {
            let mut bytes = example().write();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(Checkpoint::read(&bytes), None);
        }

        #[test]
        fn garbage_with_a_right_checksum_never_panics(mut bytes: Vec<u8>) {
            let crc = crc32c::crc32c(&bytes);
            bytes.extend(crc.to_be_bytes());
            prop_assert_eq!(Checkpoint::read(&bytes), None);
        }
    }
}
