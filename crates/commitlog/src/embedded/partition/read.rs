//! Reading a partition: by offset and by time.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use model::{Error, Offset, Result, error::codes::OFFSET_OUT_OF_RANGE};

use super::{OpenFiles, Partition, Segment, scan::corrupt};
use crate::{
    log::{Bounds, Isolation, OffsetAt, Slice, TimeQuery},
    record::{HEADER_BYTES, Header, NO_TIMESTAMP},
};

impl Partition {
    /// See [`crate::Log::read`]. `None`: only by waiting for the device, and `may_block` is false.
    pub(crate) fn read(
        &self,
        open: &OpenFiles,
        from: Offset,
        bytes_max: usize,
        isolation: Isolation,
        may_block: bool,
    ) -> Result<Option<Slice>> {
        self.undisturbed(|| self.read_once(open, from, bytes_max, isolation, may_block))
    }

    /// Looks again if compaction has replaced segments meanwhile: what was found may be of before, and what is known of its
    /// transactions of after.
    fn undisturbed<T>(&self, look: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            let before = self.replaced.load(Ordering::Acquire);
            let found = look();
            if self.replaced.load(Ordering::Acquire) == before {
                return found;
            }
        }
    }

    fn read_once(
        &self,
        open: &OpenFiles,
        from: Offset,
        bytes_max: usize,
        isolation: Isolation,
        may_block: bool,
    ) -> Result<Option<Slice>> {
        let bounds = self.core.lock().bounds();
        if from < bounds.log_start || from > bounds.log_end {
            return Err(self.out_of_range(from, &bounds));
        }
        let end = bounds.end(isolation);
        let nothing = Slice { records: Bytes::new(), aborted: Vec::new(), bounds };
        if from >= end {
            return Ok(Some(nothing));
        }
        if !self.make_loaded(open, may_block)? {
            return Ok(None);
        }
        let mut at = from;
        let (segment, position, begins, len) = loop {
            let (segment, next_base) = self.segment_at(at)?;
            let Some((position, begins)) = segment.find(open, at, may_block)? else { return Ok(None) };
            let len = segment.len();
            if position < len {
                break (segment, position, begins, len);
            }
            // No batch of this file reaches the offset: compaction took it, or it is missing.
            match next_base {
                Some(next) if segment.compacted.is_some() && next < end => at = next,
                _ => {
                    return Err(corrupt(segment.path(), len, format!("the records from offset {from} on are missing")));
                }
            }
        };
        let file = segment.file(open)?;
        let mut want = bytes_max.max(HEADER_BYTES).min((len - position) as usize);
        if !may_block && !file.is_cached(position, want) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = |bytes: &mut Vec<u8>, from: u64, len: usize| {
            file.read_onto(bytes, len, from).map_err(|error| segment.io("read", &error))
        };
        read(&mut bytes, position, want)?;
        let first = header(&bytes, &segment, position)?;
        if first.size() > want {
            // KIP-74: one batch at least, however large.
            want = first.size().min((len - position) as usize);
            let missing = want - bytes.len();
            let at = position + bytes.len() as u64;
            read(&mut bytes, at, missing)?;
        }
        let (mut cut, mut next) = (0, from);
        while bytes.len() - cut >= HEADER_BYTES {
            let batch = header(&bytes[cut..], &segment, position + cut as u64)?;
            // Offsets lie outside of the checksum that clients look at.
            let follows = match (cut, segment.compacted) {
                (0, None) => batch.base_offset == begins && (begins..batch.next_offset()).contains(&at),
                (0, Some(compacted)) => batch.next_offset() > at && batch.next_offset() <= compacted.end,
                (_, None) => batch.base_offset == next,
                (_, Some(compacted)) => batch.base_offset >= next && batch.next_offset() <= compacted.end,
            };
            // So do leader epochs.
            if !follows || batch.leader_epoch > bounds.leader_epoch {
                let (base, last, epoch) = (batch.base_offset, batch.last_offset(), batch.leader_epoch);
                return Err(corrupt(
                    segment.path(),
                    position + cut as u64,
                    format!("a batch of offsets {base} to {last} of epoch {epoch}, where {next} is expected"),
                ));
            }
            if batch.base_offset >= end || batch.size() > bytes.len() - cut {
                break;
            }
            cut += batch.size();
            next = batch.next_offset();
        }
        if cut == 0 {
            return Err(corrupt(segment.path(), position, format!("the records from offset {from} on are missing")));
        }
        bytes.truncate(cut);
        segment.note_end(next, position + cut as u64);
        let aborted = match isolation {
            Isolation::Uncommitted => Vec::new(),
            Isolation::Committed => {
                let core = self.core.lock();
                if from < core.log_start {
                    // Deleted meanwhile, and with it what was known of the transactions there.
                    return Err(self.out_of_range(from, &core.bounds()));
                }
                core.transactions.aborted_within(from, next)
            }
        };
        Ok(Some(Slice { records: bytes.into(), aborted, bounds }))
    }

    fn out_of_range(&self, offset: Offset, bounds: &Bounds) -> Error {
        Error::new(OFFSET_OUT_OF_RANGE, format!("offset {offset} of {} does not exist", self.name))
            .detail(format!("the partition holds offsets {} to {}", bounds.log_start, bounds.high_watermark))
    }

    fn make_loaded(&self, open: &OpenFiles, may_block: bool) -> Result<bool> {
        if !self.segments.read().is_empty() {
            return Ok(true);
        }
        if !may_block {
            return Ok(false);
        }
        self.load(&mut self.files(), open)?;
        Ok(true)
    }

    /// The segment whose range holds `offset`, and where the next one begins.
    fn segment_at(&self, offset: Offset) -> Result<(Arc<Segment>, Option<Offset>)> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.base_offset <= offset);
        match after.checked_sub(1) {
            Some(at) => Ok((segments[at].clone(), segments.get(after).map(|next| next.base_offset))),
            None => Err(corrupt(self.dir(), 0, format!("no file holds offset {offset}"))),
        }
    }

    /// See [`crate::Log::offset_at`]; may wait for the device.
    pub(crate) fn offset_at(&self, open: &OpenFiles, time: TimeQuery) -> Result<Option<OffsetAt>> {
        self.undisturbed(|| self.offset_at_once(open, time))
    }

    fn offset_at_once(&self, open: &OpenFiles, time: TimeQuery) -> Result<Option<OffsetAt>> {
        let (bounds, epochs) = {
            let core = self.core.lock();
            (core.bounds(), core.epochs.clone())
        };
        let epoch_of = |offset: Offset| {
            let after = epochs.entries().partition_point(|(_, start)| *start <= offset);
            epochs.entries()[after.saturating_sub(1)].0
        };
        let bound = |offset| Some(OffsetAt { offset, timestamp: NO_TIMESTAMP, leader_epoch: epoch_of(offset) });
        let time = match time {
            TimeQuery::Earliest => return Ok(bound(bounds.log_start)),
            TimeQuery::Latest => return Ok(bound(bounds.high_watermark)),
            TimeQuery::AtOrAfter(time) => time,
            TimeQuery::MaxTimestamp => {
                self.make_loaded(open, true)?;
                let mut max = None;
                for segment in self.visible_segments(bounds.log_start) {
                    max = max.max(segment.max_timestamp_within(open, bounds.log_start, bounds.high_watermark)?);
                }
                let Some(max) = max else { return Ok(None) };
                max
            }
        };
        self.make_loaded(open, true)?;
        for segment in self.visible_segments(bounds.log_start) {
            if segment.max_timestamp(open)?.is_none_or(|max| max < time) {
                continue;
            }
            if let Some((offset, timestamp)) = segment.record_at_or_after(open, time, &bounds)? {
                return Ok(Some(OffsetAt { offset, timestamp, leader_epoch: epoch_of(offset) }));
            }
        }
        Ok(None)
    }

    fn visible_segments(&self, log_start: Offset) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let first = segments.partition_point(|segment| segment.base_offset <= log_start).saturating_sub(1);
        segments[first..].to_vec()
    }
}

fn header(bytes: &[u8], segment: &Segment, position: u64) -> Result<Header> {
    Header::parse(bytes).map_err(|error| corrupt(segment.path(), position, error.to_string()))
}
