//! What becomes of each batch (Kafka's `Cleaner.cleanInto` and `CleanedTransactionMetadata.java`).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::{Offset, ProducerId, TimestampMs};

use super::{Aborting, KEYS_BLOCK_BYTES_MAX, OffsetMap};
use crate::{
    log::Aborted,
    planted::{self, Bug},
    record::{Batch, Header, Record, Records, emptied, rewrite},
};

/// What becomes of a batch.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    /// It stays byte for byte.
    Stays,
    Goes,
    /// It is replaced by this header and these records.
    Becomes(Box<Header>, Bytes),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) kept: u64,
    pub(crate) dropped: u64,
    /// Batches that could not be looked into; they stay.
    pub(crate) unreadable: u64,
}

/// Decides batch by batch, from the first one of the log on.
pub(crate) struct Filter<'a> {
    map: &'a OffsetMap,
    /// What lies at or beyond it is not in the map and stays.
    mapped_to: Offset,
    /// The batch that ends here stays, if empty: for each offset there is a batch that reaches it.
    end: Offset,
    now: TimestampMs,
    delete_retention_ms: i64,
    /// Last offset of the last batch of each producer: it carries the sequence, and stays, if empty.
    last_of_producers: HashMap<ProducerId, Offset>,
    aborting: Aborting,
    /// Producers of which records have been met since their last marker.
    committing: HashSet<ProducerId>,
    finished: Finished,
}

/// What a run has found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Finished {
    pub(crate) counts: Counts,
    /// When the first tombstone or marker that stayed may go.
    pub(crate) next_horizon: Option<TimestampMs>,
    /// Aborted transactions of which no record was left: readers need not know of them any more.
    pub(crate) gone: Vec<Aborted>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(
        (map, mapped_to): (&'a OffsetMap, Offset),
        end: Offset,
        (now, delete_retention_ms): (TimestampMs, i64),
        last_of_producers: HashMap<ProducerId, Offset>,
        aborted: Vec<Aborted>,
    ) -> Self {
        Self {
            map,
            mapped_to,
            end,
            now,
            delete_retention_ms,
            last_of_producers,
            aborting: Aborting::new(aborted),
            committing: HashSet::new(),
            finished: Finished::default(),
        }
    }

    pub(crate) fn finish(self) -> Finished {
        self.finished
    }

    /// What becomes of the next batch.
    pub(crate) fn batch(&mut self, header: &Header, bytes: &[u8]) -> Fate {
        let fate = if header.base_offset >= self.mapped_to {
            Fate::Stays
        } else if !header.crc_matches(bytes) {
            // LOG-8: what it says of itself may be what is damaged, so nothing follows from it.
            self.finished.counts.unreadable += 1;
            Fate::Stays
        } else {
            self.aborting.come_to(header);
            if header.is_control() { self.control(header, bytes) } else { self.data(header, bytes) }
        };
        let before = u64::try_from(header.count).unwrap_or(0);
        let after = match &fate {
            Fate::Stays => before,
            Fate::Goes => 0,
            Fate::Becomes(header, _) => u64::try_from(header.count).unwrap_or(0),
        };
        self.finished.counts.kept += after;
        self.finished.counts.dropped += before.saturating_sub(after);
        fate
    }

    /// A marker goes when nothing is left of what it ends, and readers have had time to see it.
    fn control(&mut self, header: &Header, bytes: &[u8]) -> Fate {
        let batch = Batch { header: *header, bytes: Bytes::copy_from_slice(bytes) };
        // As long as it is known what was aborted, the marker that ends it stays: without it readers, and starts after a
        // crash that find an older checkpoint, would take what follows for aborted, too.
        let (is_over, is_known) = match batch.marker() {
            Ok(Some(marker)) => match self.aborting.end(header, marker) {
                Some((_, true)) => (false, true),
                Some((aborted, false)) => {
                    self.finished.gone.push(aborted);
                    (true, true)
                }
                None => (!self.committing.remove(&header.producer_id), false),
            },
            // Empty already.
            Ok(None) => return self.without_records(header),
            Err(_) => (false, true),
        };
        if !is_over {
            return Fate::Stays;
        }
        match header.delete_horizon() {
            Some(horizon) if horizon <= self.now && !is_known => self.without_records(header),
            Some(horizon) => {
                self.note_horizon(horizon);
                Fate::Stays
            }
            None => self.rewritten(header, bytes, true, |_| true),
        }
    }

    fn data(&mut self, header: &Header, bytes: &[u8]) -> Fate {
        if self.aborting.meet(header) {
            return self.without_records(header);
        }
        if header.is_transactional() {
            self.committing.insert(header.producer_id);
        }
        if header.count == 0 {
            return self.without_records(header);
        }
        let Some(block) = open(header, bytes) else {
            self.finished.counts.unreadable += 1;
            return Fate::Stays;
        };
        let are_deletes_over = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let (map, mapped_to) = (self.map, self.mapped_to);
        let stays = |record: &Record<'_>| {
            if record.offset >= mapped_to {
                return true;
            }
            // From before the topic was compacted; nobody could ever ask for its last value.
            let Some(key) = record.key else { return false };
            let is_last =
                map.get(key).is_none_or(|last| record.offset >= last) && !planted::is(Bug::CompactionDropsLast);
            is_last && (record.value.is_some() || !are_deletes_over)
        };
        let (mut kept, mut tombstones) = (0, 0);
        for record in Records::new(header, &block) {
            match record {
                Ok(record) if stays(&record) => {
                    kept += 1;
                    tombstones += i32::from(record.value.is_none());
                }
                Ok(_) => {}
                Err(_) => {
                    self.finished.counts.unreadable += 1;
                    return Fate::Stays;
                }
            }
        }
        let is_new = tombstones > 0 && header.delete_horizon().is_none() && header.last_offset() < mapped_to;
        if let Some(horizon) = header.delete_horizon().filter(|_| tombstones > 0) {
            self.note_horizon(horizon);
        }
        match kept {
            0 => self.without_records(header),
            _ if kept == header.count && !is_new => Fate::Stays,
            _ => self.rewritten(header, bytes, is_new, stays),
        }
    }

    /// The batch goes, unless it has to stay empty.
    fn without_records(&self, header: &Header) -> Fate {
        let is_last_of_producer = self.last_of_producers.get(&header.producer_id) == Some(&header.last_offset());
        if !is_last_of_producer && header.next_offset() != self.end {
            return Fate::Goes;
        }
        if header.count == 0 {
            return Fate::Stays;
        }
        let (header, records) = emptied(header);
        Fate::Becomes(Box::new(header), records)
    }

    fn rewritten(&mut self, header: &Header, bytes: &[u8], stamp: bool, stays: impl Fn(&Record<'_>) -> bool) -> Fate {
        let horizon = stamp.then(|| self.now.saturating_add(self.delete_retention_ms));
        let block = open(header, bytes);
        match block.and_then(|block| rewrite(header, &block, horizon, stays).ok()) {
            Some((header, records)) => {
                if let Some(horizon) = horizon {
                    self.note_horizon(horizon);
                }
                Fate::Becomes(Box::new(header), records)
            }
            None => {
                self.finished.counts.unreadable += 1;
                Fate::Stays
            }
        }
    }

    fn note_horizon(&mut self, at: TimestampMs) {
        self.finished.next_horizon = Some(self.finished.next_horizon.map_or(at, |next| next.min(at)));
    }
}

/// The records of a batch, decompressed. `None`: it is damaged, or they cannot be read. Such a batch stays as it is: readers
/// shall hear of it, and nothing of it may get a good checksum.
pub(super) fn open(header: &Header, bytes: &[u8]) -> Option<Bytes> {
    if !header.crc_matches(bytes) {
        return None;
    }
    Batch { header: *header, bytes: Bytes::copy_from_slice(bytes) }.decompress(KEYS_BLOCK_BYTES_MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Codec, Marker};

    const NOW: TimestampMs = 1000;
    const RETENTION_MS: i64 = 50;

    /// A batch at its place.
    fn at(base_offset: Offset, batch: &Bytes) -> (Header, Bytes) {
        let mut header = Header::parse(batch).expect("a batch");
        header.base_offset = base_offset;
        (header, Bytes::from([&header.write()[..], &batch[61..]].concat()))
    }

    fn written(base_offset: Offset, producer: Option<ProducerId>, records: &[(&str, Option<&str>)]) -> (Header, Bytes) {
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some(producer) = producer {
            builder = builder.producer(producer, 0, 0).transactional();
        }
        for (key, value) in records {
            builder.push(1, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        }
        at(base_offset, &builder.build())
    }

    fn marker(base_offset: Offset, producer: ProducerId, marker: Marker) -> (Header, Bytes) {
        at(base_offset, &marker.batch(producer, 0, 0, 1))
    }

    /// One run over `batches`: what is left, and what else was found.
    fn run(
        batches: &[(Header, Bytes)],
        now: TimestampMs,
        aborted: &[Aborted],
        last: &[(ProducerId, Offset)],
    ) -> (Vec<(Header, Bytes)>, Finished) {
        let mut map = OffsetMap::new(100, 10_000, [5, 6]);
        let end = batches.last().map_or(0, |(header, _)| header.next_offset()) + 1;
        let mut mapping = super::super::Mapping::new(map, 0, aborted.to_vec());
        assert!(batches.iter().all(|(header, bytes)| mapping.batch(header, bytes)));
        map = mapping.finish().0;
        let last = last.iter().copied().collect();
        let mut filter = Filter::new((&map, end), end, (now, RETENTION_MS), last, aborted.to_vec());
        let mut left = Vec::new();
        for (header, bytes) in batches {
            match filter.batch(header, bytes) {
                Fate::Stays => left.push((*header, bytes.clone())),
                Fate::Goes => {}
                Fate::Becomes(header, records) => {
                    left.push((*header, Bytes::from([&header.write()[..], &records].concat())));
                }
            }
        }
        (left, filter.finish())
    }

    fn offsets(batches: &[(Header, Bytes)]) -> Vec<Offset> {
        batches.iter().map(|(header, _)| header.base_offset).collect()
    }

    #[test]
    fn an_abort_marker_outlives_all_that_is_known_of_what_it_ends() {
        let aborted = [Aborted { producer: 7, first: 0, last: 1 }];
        let log = [
            written(0, Some(7), &[("a", Some("aborted"))]),
            marker(1, 7, Marker::Abort),
            written(2, Some(7), &[("a", Some("committed"))]),
            marker(3, 7, Marker::Commit),
        ];
        let (log, first) = run(&log, NOW, &aborted, &[]);
        assert_eq!((offsets(&log), first.gone.len()), (vec![1, 2, 3], 0), "readers may be on what has just gone");
        let (log, second) = run(&log, NOW, &aborted, &[]);
        assert_eq!((offsets(&log), second.gone.as_slice()), (vec![1, 2, 3], &aborted[..]));
        assert_eq!(
            (log[0].0.delete_horizon(), second.next_horizon),
            (Some(NOW + RETENTION_MS), Some(NOW + RETENTION_MS))
        );
        // A crash brought back a checkpoint that knows of it: without the marker offset 2 would look aborted.
        let later = NOW + RETENTION_MS;
        let (log, third) = run(&log, later, &aborted, &[]);
        assert_eq!((offsets(&log), third.gone.as_slice()), (vec![1, 2, 3], &aborted[..]));
        let (log, _) = run(&log, later, &[], &[]);
        assert_eq!(offsets(&log), [2, 3], "a commit's marker stays as long as what it commits");
    }

    #[test]
    fn a_commit_marker_goes_after_its_records() {
        let log = [
            written(0, Some(7), &[("a", Some("1"))]),
            marker(1, 7, Marker::Commit),
            written(2, None, &[("a", Some("2"))]),
        ];
        let (log, _) = run(&log, NOW, &[], &[]);
        assert_eq!(offsets(&log), [1, 2]);
        let (log, _) = run(&log, NOW, &[], &[]);
        let (early, _) = run(&log, NOW + RETENTION_MS - 1, &[], &[]);
        assert_eq!(offsets(&early), [1, 2]);
        let (log, finished) = run(&log, NOW + RETENTION_MS, &[], &[]);
        assert_eq!((offsets(&log), finished.next_horizon), (vec![2], None));
        assert_eq!(finished.counts, Counts { kept: 1, dropped: 1, unreadable: 0 });
    }

    #[test]
    fn what_must_stay_stays_empty() {
        let log = [
            written(0, Some(7), &[("a", Some("1")), ("b", Some("1"))]),
            marker(2, 7, Marker::Commit),
            written(3, None, &[("a", Some("2")), ("b", Some("2"))]),
        ];
        let (mut log, _) = run(&log, NOW, &[], &[(7, 1)]);
        let (header, bytes) = &log[0];
        assert_eq!((header.count, header.last_offset(), bytes.len()), (0, 1, 61));
        assert!(header.crc_matches(bytes) && header.is_transactional());
        let again = run(&log, NOW, &[], &[(7, 1)]).0;
        assert_eq!(again, log, "and as it is");
        log = run(&log, NOW, &[], &[]).0;
        assert_eq!(offsets(&log), [2, 3], "until its producer has written again, or is forgotten");
    }

    #[test]
    fn damage_stays() {
        let (header, bytes) = written(0, None, &[("a", Some("1"))]);
        let mut damaged = bytes.to_vec();
        damaged[65] ^= 1;
        let log = [(header, damaged.into()), written(1, None, &[("a", Some("2"))])];
        let (left, finished) = run(&log, NOW, &[], &[]);
        assert_eq!((left.as_slice(), finished.counts.unreadable), (&log[..], 1));
    }
}
