//! Idempotent producers: who wrote which sequence numbers last (KIP-98; Kafka's `ProducerStateManager.java`).
//!
//! Batches are noted when they are admitted, so that a producer's next one in flight is accepted; if they fail they are
//! taken back. The window of five is counted over what remains, so taking back never leaves a producer without memory.

use std::collections::{HashMap, VecDeque};

use model::{
    Error, Offset, ProducerId, Result, TimestampMs,
    error::codes::{PRODUCER_EPOCH_OLD, SEQUENCE_DUPLICATE, SEQUENCE_OUT_OF_ORDER},
};

use crate::{
    log::ActiveProducer,
    planted::{self, Bug},
    record::{Header, NO_SEQUENCE, add_sequence},
};

/// Batches of a producer that are recognised when they come again.
const WINDOW: usize = 5;
/// Batches kept: the window, and as many in flight (clients have at most five on their way).
const KEPT_MAX: usize = 2 * WINDOW;

/// A batch of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) epoch: i16,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    /// The time the log gave it, or −1.
    pub(crate) log_append_time: TimestampMs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) batches: VecDeque<Kept>,
    /// By the node's clock, not by the records'.
    pub(crate) used_at: TimestampMs,
    /// All that it wrote has failed: epoch and sequence of the first of it, which has to come again before anything else. Not
    /// durable: what was on its way behind it fails at the latest when the node ends.
    pub(crate) failed: Option<(i16, i32)>,
}

impl Producer {
    pub(crate) fn new(batches: VecDeque<Kept>, used_at: TimestampMs) -> Self {
        Self { batches, used_at, failed: None }
    }
}

pub(crate) enum Verdict {
    New,
    Repeated(Kept),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers(HashMap<ProducerId, Producer>);

impl Producers {
    /// Whether a batch follows what its producer wrote before.
    pub(crate) fn check(&self, header: &Header) -> Result<Verdict> {
        // Unknown, perhaps forgotten: any sequence may come.
        let Some(producer) = self.0.get(&header.producer_id) else { return Ok(Verdict::New) };
        let Some(last) = producer.batches.back() else {
            return match producer.failed {
                Some((epoch, sequence)) if header.producer_epoch == epoch && header.base_sequence != sequence => {
                    let expected = format!("expected was {sequence}, which has failed");
                    Err(out_of_order(header.producer_id, header.base_sequence, &expected))
                }
                _ => Ok(Verdict::New),
            };
        };
        let pid = header.producer_id;
        let (first_sequence, last_sequence) = (header.base_sequence, header.last_sequence());
        if header.producer_epoch < last.epoch && !planted::is(Bug::OldEpochTaken) {
            return Err(Error::new(PRODUCER_EPOCH_OLD, format!("producer {pid} has been replaced by a newer one"))
                .detail(format!("the batch has epoch {}, the newest is {}", header.producer_epoch, last.epoch)));
        }
        if header.has_no_sequence() {
            return Ok(Verdict::New);
        }
        if header.producer_epoch > last.epoch {
            return if first_sequence == 0 {
                Ok(Verdict::New)
            } else {
                Err(out_of_order(pid, first_sequence, "a new epoch begins with 0"))
            };
        }
        let batches = &self.0[&pid].batches;
        let same = |kept: &&Kept| {
            kept.epoch == last.epoch && kept.first_sequence == first_sequence && kept.last_sequence == last_sequence
        };
        if let Some(original) = batches.iter().rev().find(same) {
            return Ok(Verdict::Repeated(*original));
        }
        // Behind a marker with a new epoch the first sequence is 0.
        let expected = add_sequence(last.last_sequence, 1);
        if first_sequence == expected {
            return Ok(Verdict::New);
        }
        // Old is what lies within the batches that are remembered; a producer takes it for written. What lies before them may never
        // have come: a producer that is new to us begins anywhere. Sequences wrap.
        let from = batches.iter().find(|kept| kept.epoch == last.epoch && kept.first_sequence != NO_SEQUENCE);
        let place = |sequence: i32| from.map(|from| sequence.wrapping_sub(from.first_sequence) & i32::MAX);
        if place(first_sequence) <= place(last_sequence)
            && place(last_sequence) <= place(last.last_sequence)
            && from.is_some()
        {
            return Err(Error::new(SEQUENCE_DUPLICATE, format!("producer {pid} sent an old batch again")).detail(
                format!("sequences {first_sequence} to {last_sequence}; the last was {}", last.last_sequence),
            ));
        }
        Err(out_of_order(pid, first_sequence, &format!("expected was {expected}")))
    }

    /// Remembers a batch, which has been checked and has its offset. Of those without a sequence only a new epoch counts.
    pub(crate) fn note(&mut self, header: &Header, now: TimestampMs) {
        let producer = self.0.entry(header.producer_id).or_insert_with(|| Producer::new(VecDeque::new(), now));
        (producer.used_at, producer.failed) = (now, None);
        let epoch = producer.batches.back().map(|last| last.epoch);
        if header.has_no_sequence() && epoch.is_some_and(|epoch| epoch >= header.producer_epoch) {
            return;
        }
        if producer.batches.len() == KEPT_MAX {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Kept {
            epoch: header.producer_epoch,
            first_sequence: header.base_sequence,
            last_sequence: if header.has_no_sequence() { NO_SEQUENCE } else { header.last_sequence() },
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            log_append_time: if header.is_log_append_time() { header.max_timestamp } else { -1 },
        });
    }

    /// Forgets batches that end at `from` or beyond.
    pub(crate) fn truncate(&mut self, from: Offset) {
        self.0.retain(|_, producer| {
            while producer.batches.back().is_some_and(|kept| kept.last_offset >= from) {
                producer.batches.pop_back();
            }
            !producer.batches.is_empty()
        });
    }

    /// Batches that end at `from` or beyond have failed. Of a producer that had no others it stays known where it has to begin
    /// again: were the next one taken in its place, it would pass for a repetition when it comes.
    pub(crate) fn fail(&mut self, from: Offset) {
        for producer in self.0.values_mut() {
            while let Some(kept) = producer.batches.pop_back_if(|kept| kept.last_offset >= from) {
                producer.failed = (kept.first_sequence >= 0).then_some((kept.epoch, kept.first_sequence));
            }
        }
        self.0.retain(|_, producer| !producer.batches.is_empty() || producer.failed.is_some());
    }

    /// Forgets producers that have been idle since `before`, unless they are needed.
    pub(crate) fn expire(&mut self, before: TimestampMs, is_needed: impl Fn(ProducerId) -> bool) {
        self.0.retain(|&pid, producer| producer.used_at >= before || is_needed(pid));
    }

    /// What each wrote last.
    pub(crate) fn last(&self) -> impl Iterator<Item = ActiveProducer> + '_ {
        self.0.iter().filter_map(|(&id, producer)| {
            let last = producer.batches.back()?;
            let (epoch, last_sequence) = (last.epoch, last.last_sequence);
            Some(ActiveProducer { id, epoch, last_sequence, used_at: producer.used_at, open_from: None })
        })
    }

    /// Those with batches before `end`, and these batches, newest five.
    pub(crate) fn before(&self, end: Offset) -> impl Iterator<Item = (ProducerId, Producer)> + '_ {
        self.0.iter().filter_map(move |(&pid, producer)| {
            let batches: VecDeque<Kept> =
                producer.batches.iter().copied().filter(|kept| kept.last_offset < end).collect();
            let surplus = batches.len().saturating_sub(WINDOW);
            let batches: VecDeque<Kept> = batches.into_iter().skip(surplus).collect();
            (!batches.is_empty()).then_some((pid, Producer::new(batches, producer.used_at)))
        })
    }

    /// The last offset of the last batch before `end` of each producer.
    pub(crate) fn last_offsets(&self, end: Offset) -> HashMap<ProducerId, Offset> {
        let last = |producer: &Producer| {
            producer.batches.iter().rev().map(|kept| kept.last_offset).find(|last_offset| *last_offset < end)
        };
        self.0.iter().filter_map(|(&pid, producer)| Some((pid, last(producer)?))).collect()
    }

    pub(crate) fn restore(&mut self, pid: ProducerId, producer: Producer) {
        self.0.insert(pid, producer);
    }
}

fn out_of_order(pid: ProducerId, sequence: i32, why: &str) -> Error {
    Error::new(SEQUENCE_OUT_OF_ORDER, format!("a batch of producer {pid} is out of order"))
        .detail(format!("it begins with sequence {sequence}; {why}"))
}
