//! What a partition decides, without touching a file or a clock.

mod admission;
pub(crate) mod compaction;
mod epochs;
mod in_place;
mod producers;
mod transactions;

pub(crate) use admission::check_batch;
pub(crate) use epochs::Epochs;
pub(crate) use in_place::{Device, SHARE_BYTES_MIN, Share, synced_in_place};
pub(crate) use producers::{Kept, Producer, Producers, Verdict};
pub(crate) use transactions::Transactions;

use std::collections::VecDeque;

use model::{Error, Offset, Result, TimestampMs, error::codes::TRANSACTION_NOT_OPEN};

use crate::{
    log::{ActiveProducer, Bounds},
    record::{Header, Marker},
};

/// Where in the partition's files a batch ends: file (by its base offset) and position in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// Offsets, epochs, producers and transactions of a partition.
///
/// Batches are *admitted* (given an offset), then *written* by others, then *completed* in the order of their offsets, or
/// *cut*: a failure at some offset takes everything admitted behind it along, so that offsets stay dense. A cut starts a
/// new incarnation; what was admitted in an earlier one and lies beyond the cut is dead wherever it is met.
pub(crate) struct Core {
    pub(crate) log_start: Offset,
    /// Everything before it is as durable as its topic asks for.
    pub(crate) high_watermark: Offset,
    pub(crate) log_end: Offset,
    /// Where the bytes before the high watermark end.
    pub(crate) place: Place,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
    incarnation: u64,
    /// Cuts that batches in flight may not know of.
    cuts: Vec<Cut>,
    /// Admitted, neither completed nor dropped.
    in_flight: usize,
    /// Of these, those that wait for the write-ahead log.
    in_flight_synced: usize,
    /// Repeats of batches in flight: (offset after the original, whom to tell).
    repeats: VecDeque<(Offset, Repeat)>,
}

pub(crate) type Repeat = Box<dyn FnOnce(Result<(), Error>) + Send>;

struct Cut {
    incarnation: u64,
    from: Offset,
    why: Error,
}

/// A batch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) incarnation: u64,
    /// It completes only after the write-ahead log has it.
    pub(crate) synced: bool,
}

pub(crate) enum Admission {
    Accepted(Admitted),
    /// Seen before; durable if it lies before the high watermark, else still in flight.
    Repeated(Kept),
}

impl Core {
    /// A partition that ends at `end` with everything durable.
    pub(crate) fn new(
        log_start: Offset,
        end: Offset,
        place: Place,
        epochs: Epochs,
        producers: Producers,
        transactions: Transactions,
    ) -> Self {
        let core = Self {
            log_start,
            high_watermark: end,
            log_end: end,
            place,
            epochs,
            producers,
            transactions,
            incarnation: 0,
            cuts: Vec::new(),
            in_flight: 0,
            in_flight_synced: 0,
            repeats: VecDeque::new(),
        };
        core.assert_ordered();
        core
    }

    /// A partition that has never been written to.
    pub(crate) fn fresh() -> Self {
        Self::new(0, 0, Place::default(), Epochs::first(), Producers::default(), Transactions::default())
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.log_start,
            last_stable: self.transactions.last_stable(self.high_watermark).max(self.log_start),
            high_watermark: self.high_watermark,
            log_end: self.log_end,
            leader_epoch: self.epochs.current(),
        }
    }

    /// Gives `header` its offset and epoch, or says why not. `marker`: what it says if it is a control batch. `relaxed`: the
    /// topic acknowledges before the disk has it.
    pub(crate) fn admit(
        &mut self,
        header: &mut Header,
        marker: Option<Marker>,
        relaxed: bool,
        now: TimestampMs,
    ) -> Result<Admission> {
        if header.producer_id >= 0 {
            if let Verdict::Repeated(original) = self.producers.check(header)? {
                return Ok(Admission::Repeated(original));
            }
            if !header.is_transactional() && self.transactions.is_open(header.producer_id) {
                return Err(Error::new(
                    TRANSACTION_NOT_OPEN,
                    format!("producer {} has a transaction open, and the batch is not part of it", header.producer_id),
                ));
            }
        }
        header.base_offset = self.log_end;
        header.leader_epoch = self.epochs.current();
        let next_offset = header.next_offset();
        self.note(header, marker, now);
        // Completion is in order of offsets: behind a batch that waits for the disk everything does.
        let synced = !relaxed || self.in_flight_synced > 0;
        self.log_end = next_offset;
        self.in_flight += 1;
        self.in_flight_synced += usize::from(synced);
        self.assert_ordered();
        Ok(Admission::Accepted(Admitted {
            base_offset: header.base_offset,
            next_offset,
            incarnation: self.incarnation,
            synced,
        }))
    }

    /// Remembers what a batch, at its offset, says of its producer.
    fn note(&mut self, header: &Header, marker: Option<Marker>, now: TimestampMs) {
        if header.producer_id < 0 {
            return;
        }
        self.producers.note(header, now);
        match marker {
            Some(marker) => self.transactions.end(header.producer_id, header.base_offset, marker),
            None if header.is_transactional() && !header.is_control() => {
                self.transactions.write(header.producer_id, header.base_offset)
            }
            None => {}
        }
    }

    // ── recovery: nothing is on its way ──

    /// A batch was found behind all that is known.
    pub(crate) fn replay(&mut self, header: &Header, marker: Option<Marker>, now: TimestampMs) {
        self.epochs.begin(header.leader_epoch, header.base_offset);
        self.note(header, marker, now);
    }

    /// The partition turned out to end at `end`, with everything durable; what was known beyond is void.
    pub(crate) fn set_end(&mut self, log_start: Offset, end: Offset, place: Place) {
        assert!(self.is_quiet(), "recovery comes before appends");
        self.producers.truncate(end);
        self.transactions.cut(end);
        (self.log_start, self.high_watermark, self.log_end, self.place) = (log_start, end, end, place);
        self.assert_ordered();
    }

    /// Nothing more will be found.
    pub(crate) fn recovered(&mut self) {
        self.transactions.advance(self.high_watermark);
        self.transactions.forget_before(self.log_start);
    }

    // ── batches on their way ──

    /// Whether `batch` still has its offset, else what took it away.
    pub(crate) fn check_alive(&self, batch: &Admitted) -> Result<()> {
        match self.cuts.iter().find(|cut| cut.incarnation > batch.incarnation && cut.from < batch.next_offset) {
            Some(cut) => Err(cut.why.clone()),
            None => Ok(()),
        }
    }

    /// `batch`, which is alive, is as durable as it must be; its bytes end at `place`.
    pub(crate) fn complete(&mut self, batch: &Admitted, place: Place) {
        // LOG-3: the watermark moves in order and never back.
        assert_eq!(self.high_watermark, batch.base_offset, "batches complete in the order of their offsets");
        self.high_watermark = batch.next_offset;
        self.transactions.advance(self.high_watermark);
        self.place = place;
        self.leave(batch);
        self.assert_ordered();
        while self.repeats.front().is_some_and(|(end, _)| *end <= self.high_watermark) {
            let (_, tell) = self.repeats.pop_front().expect("there is a front: checked above");
            tell(Ok(()));
        }
    }

    /// `batch` is dead and has been dropped.
    pub(crate) fn drop_dead(&mut self, batch: &Admitted) {
        self.leave(batch);
    }

    fn leave(&mut self, batch: &Admitted) {
        self.in_flight -= 1;
        self.in_flight_synced -= usize::from(batch.synced);
        if self.in_flight == 0 {
            self.cuts.clear();
        }
    }

    /// Everything admitted from `from` on has failed. LOG-4: producers may send it again.
    pub(crate) fn cut(&mut self, from: Offset, why: &Error) {
        assert!(from >= self.high_watermark, "what is durable is never cut");
        if from >= self.log_end {
            return;
        }
        self.incarnation += 1;
        self.cuts.push(Cut { incarnation: self.incarnation, from, why: why.clone() });
        self.log_end = from;
        self.producers.fail(from);
        self.transactions.cut(from);
        let dead = self.repeats.iter().position(|(end, _)| *end > from).unwrap_or(self.repeats.len());
        for (_, tell) in self.repeats.drain(dead..) {
            tell(Err(why.clone()));
        }
        self.assert_ordered();
    }

    /// Tells `tell` when the batch that ends at `end` has completed or failed.
    pub(crate) fn repeat(&mut self, end: Offset, tell: Repeat) {
        let at = self.repeats.partition_point(|(other, _)| *other <= end);
        self.repeats.insert(at, (end, tell));
    }

    /// Producers that are remembered, by id.
    pub(crate) fn active_producers(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<_> = self.producers.last().collect();
        active.iter_mut().for_each(|producer| producer.open_from = self.transactions.open_from(producer.id));
        active.sort_unstable_by_key(|producer| producer.id);
        active
    }

    /// Forgets producers that have been idle since `before` and have nothing open.
    pub(crate) fn forget_producers(&mut self, before: TimestampMs) {
        let transactions = &self.transactions;
        self.producers.expire(before, |producer| transactions.is_open(producer));
    }

    /// Moves the start forward; says whether it moved.
    pub(crate) fn set_log_start(&mut self, to: Offset) -> bool {
        let to = to.min(self.high_watermark);
        let moves = to > self.log_start;
        self.log_start = self.log_start.max(to);
        self.transactions.forget_before(self.log_start);
        self.assert_ordered();
        moves
    }

    /// Nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight == 0
    }

    /// What comes next goes to a new segment, which begins where everything ends.
    pub(crate) fn begin_segment(&mut self, base_offset: Offset) {
        assert_eq!(self.high_watermark, base_offset, "nothing is on its way to the segment before");
        self.place = Place { segment: base_offset, position: 0 };
    }

    fn assert_ordered(&self) {
        assert!(
            self.log_start <= self.high_watermark && self.high_watermark <= self.log_end,
            "LOG-3: log start {} ≤ high watermark {} ≤ log end {}",
            self.log_start,
            self.high_watermark,
            self.log_end
        );
    }
}
