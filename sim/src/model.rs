//! What the clients of a log know: what they sent, what they were told, and what follows from it for every reader.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use commitlog::{
    Aborted, Bounds,
    compaction::{Seen, keeps_the_last_value_per_key},
    log::hidden_or_not,
    record::{Batch as Stored, Records, batches},
    transactions::Identity,
};
use model::{Offset, PartitionId, TopicId};

use crate::invariants::{Broken, Held, Invariant, broken};

/// Everything clients know. Batches, transactions and topics are named by their places in these lists.
#[derive(Default)]
pub struct Model {
    pub topics: Vec<Topic>,
    pub batches: Vec<Batch>,
    pub transactions: Vec<Transaction>,
    pub producer_ids: BTreeSet<i64>,
    /// The newest identity that was told, of each transactional id.
    pub newest: BTreeMap<String, Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Asked for, nothing told.
    Asked,
    There,
    /// To be deleted: nothing is promised any more, until it is gone for sure.
    Doomed,
    Gone,
}

pub struct Topic {
    pub name: String,
    pub id: Option<TopicId>,
    pub standing: Standing,
    pub is_compacted: bool,
    /// Acknowledged from the page cache, now or at some time.
    pub is_relaxed: bool,
    /// Records may go by age or size.
    pub expires: bool,
    /// Its segments hold batches that are worth a sync of their own.
    pub takes_large: bool,
    /// As many as were told; more may be there.
    pub partitions: i32,
    pub parts: BTreeMap<PartitionId, Part>,
}

/// A partition.
#[derive(Default)]
pub struct Part {
    pub high_watermark: Offset,
    pub leader_epoch: i32,
    /// Where a user was told that it begins, and where one may have asked for it to begin.
    pub deleted_to: Offset,
    pub delete_asked: Offset,
    /// Batches that are known to be there, by first offset.
    pub at: BTreeMap<Offset, usize>,
}

pub struct Record {
    pub key: Option<String>,
    pub value: Option<String>,
}

pub struct Batch {
    pub topic: usize,
    pub partition: PartitionId,
    pub bytes: Bytes,
    pub records: Vec<Record>,
    pub transaction: Option<usize>,
    /// Requests with it that nothing was told of yet.
    pub flying: u32,
    /// The answer to a request with it was lost.
    pub is_unknown: bool,
    /// It was refused, if nothing else is known.
    pub is_refused: bool,
    /// Where it is, from an answer or from a reader.
    pub base: Option<Offset>,
    /// A relaxed topic lost it with the power, or its topic is gone.
    pub is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    /// Its producer asked for it to be committed, and does not know.
    CommitAsked,
    Committed,
    Aborted,
}

pub struct Transaction {
    pub id: String,
    pub fate: Fate,
    pub batches: Vec<usize>,
    /// What it commits for its group.
    pub offset: Option<i64>,
    /// A committed reader has seen some of it.
    pub was_seen: bool,
}

/// Name of the header by which records are told apart.
pub const MARK: &str = "b";

impl Model {
    pub fn mark(batch: usize, at: usize) -> String {
        format!("{batch}.{at}")
    }

    pub fn topic_named(&self, name: &str) -> Option<usize> {
        self.topics.iter().rposition(|topic| topic.name == name && topic.standing != Standing::Gone)
    }

    /// A request that carried `batch` was answered with where it is.
    pub fn acknowledged(&mut self, batch: usize, base: Offset) -> Held {
        self.settle(batch, base, "was acknowledged")
    }

    /// It is at `base`, and stays there.
    fn settle(&mut self, number: usize, base: Offset, how: &str) -> Held {
        let batch = &mut self.batches[number];
        match batch.base {
            Some(known) if known == base => return Ok(()),
            Some(known) => {
                return broken(Invariant::Log1, format!("batch {number}, known to be at {known}, {how} at {base}"));
            }
            None => batch.base = Some(base),
        }
        let (topic, partition, end) = (batch.topic, batch.partition, base + batch.records.len() as i64);
        let part = self.topics[topic].parts.entry(partition).or_default();
        if let Some((other_base, other)) = part.at.range(..end).next_back()
            && other_base + self.batches[*other].records.len() as i64 > base
        {
            return broken(Invariant::Log1, format!("batch {number} {how} at {base}, where batch {other} is"));
        }
        part.at.insert(base, number);
        part.high_watermark = part.high_watermark.max(end);
        Ok(())
    }

    /// The machine stopped: whatever was asked and not answered may have happened or not.
    pub fn stopped(&mut self) {
        for batch in &mut self.batches {
            batch.is_unknown |= batch.flying > 0;
            batch.flying = 0;
        }
    }

    /// Power was lost: relaxed topics keep only what a crash left.
    pub fn power_lost(&mut self) {
        for topic in self.topics.iter_mut().filter(|topic| topic.is_relaxed) {
            for part in topic.parts.values_mut() {
                (part.high_watermark, part.leader_epoch) = (0, 0);
                part.deleted_to = 0;
            }
        }
    }

    pub fn note_bounds(&mut self, topic: usize, partition: PartitionId, bounds: &Bounds) -> Held {
        let name = format!("{}-{partition}", self.topics[topic].name);
        let expires = self.topics[topic].expires;
        let part = self.topics[topic].parts.entry(partition).or_default();
        if bounds.high_watermark < part.high_watermark || bounds.leader_epoch < part.leader_epoch {
            let (end, epoch) = (part.high_watermark, part.leader_epoch);
            return broken(Invariant::Log3, format!("{name} went back from {end} in epoch {epoch} to {bounds:?}"));
        }
        if bounds.log_start < part.deleted_to {
            return broken(Invariant::Log3, format!("{name} was deleted to {}, now: {bounds:?}", part.deleted_to));
        }
        if !expires && bounds.log_start > part.delete_asked {
            return broken(Invariant::Log1, format!("{name} begins behind {}: {bounds:?}", part.delete_asked));
        }
        (part.high_watermark, part.leader_epoch) = (bounds.high_watermark, bounds.leader_epoch);
        Ok(())
    }

    /// The bounds that came with a read, which may be older than what is known.
    pub fn note_bounds_of_read(&mut self, topic: usize, partition: PartitionId, bounds: &Bounds) -> Held {
        let known = self.topics[topic].parts.entry(partition).or_default();
        known.high_watermark = known.high_watermark.max(bounds.high_watermark);
        Ok(())
    }

    /// After power was lost: what of a relaxed partition lies beyond its end is gone.
    pub fn cut_relaxed(&mut self, topic: usize, partition: PartitionId, end: Offset) {
        let part = self.topics[topic].parts.entry(partition).or_default();
        let mut lost: Vec<_> = part.at.split_off(&end).into_values().collect();
        if let Some((base, batch)) = part.at.last_key_value()
            && base + self.batches[*batch].records.len() as i64 > end
        {
            let (base, batch) = (*base, *batch);
            part.at.remove(&base);
            lost.push(batch);
        }
        for batch in lost {
            let batch = &mut self.batches[batch];
            (batch.base, batch.is_lost) = (None, true);
        }
    }

    /// What a reader got of a partition: `Uncommitted` if `aborted` is none.
    pub fn read(
        &mut self,
        topic: usize,
        partition: PartitionId,
        (records, aborted): (Bytes, Option<Vec<Aborted>>),
        end: Offset,
        into: &mut Vec<Got>,
    ) -> Held {
        let name = format!("{}-{partition}", self.topics[topic].name);
        let is_committed = aborted.is_some();
        let aborted = aborted.unwrap_or_default().iter().map(|aborted| (aborted.producer, aborted.first)).collect();
        let mut all = Vec::new();
        if is_committed {
            for line in hidden_or_not(records, aborted) {
                all.push(line.map_err(|error| unreadable(&name, &error))?);
            }
        } else {
            for batch in batches(records) {
                all.push((batch.map_err(|error| unreadable(&name, &error))?, false));
            }
        }
        for (stored, is_hidden) in all {
            let header = stored.header;
            if header.base_offset >= end {
                return broken(
                    Invariant::Log3,
                    format!("{name}: offset {} was read, the end is {end}", header.base_offset),
                );
            }
            stored.check_crc().map_err(|error| unreadable(&name, &error))?;
            let is_marker = header.is_control();
            let (base, next) = (header.base_offset, header.next_offset());
            if is_marker || is_hidden {
                into.push(Got { base, next, batch: None, seen: Vec::new() });
                continue;
            }
            let (batch, seen) = self.look_at(topic, partition, &stored, &name)?;
            if let (true, Some(batch)) = (is_committed, batch)
                && let Some(transaction) = self.batches[batch].transaction
            {
                let transaction = &mut self.transactions[transaction];
                if !matches!(transaction.fate, Fate::CommitAsked | Fate::Committed) {
                    let fate = transaction.fate;
                    return broken(
                        Invariant::Log5,
                        format!(
                            "{name}: batch {batch} at {base} of `{}` was seen, its transaction is {fate:?}",
                            transaction.id
                        ),
                    );
                }
                transaction.was_seen = true;
            }
            into.push(Got { base, next, batch, seen });
        }
        Ok(())
    }

    /// Compares a stored batch with what was sent.
    fn look_at(
        &mut self,
        topic: usize,
        partition: PartitionId,
        stored: &Stored,
        name: &str,
    ) -> Held<(Option<usize>, Vec<Seen>)> {
        let block = stored.decompress(1 << 20).map_err(|error| unreadable(name, &error))?;
        let mut found = None;
        let mut seen = Vec::new();
        for record in Records::new(&stored.header, &block) {
            let record = record.map_err(|error| unreadable(name, &error))?;
            let mark = record.headers().find(|(name, _)| *name == MARK.as_bytes()).and_then(|(_, value)| value);
            let mark = mark.map(|mark| String::from_utf8_lossy(mark).into_owned()).unwrap_or_default();
            let parsed = mark.split_once('.').and_then(|(batch, at)| Some((batch.parse().ok()?, at.parse().ok()?)));
            let sent = parsed.and_then(|(batch, at): (usize, usize)| {
                let batch = self.batches.get(batch).filter(|b| (b.topic, b.partition) == (topic, partition))?;
                batch.records.get(at)
            });
            let (Some((batch, at)), Some(sent)) = (parsed, sent) else {
                return broken(
                    Invariant::Log1,
                    format!("{name}: record `{mark}` at {} was never sent there", record.offset),
                );
            };
            let is_same = record.key == sent.key.as_deref().map(str::as_bytes)
                && record.value == sent.value.as_deref().map(str::as_bytes);
            if !is_same {
                return broken(
                    Invariant::Log1,
                    format!("{name}: record `{mark}` at {} is not what was sent", record.offset),
                );
            }
            let base = record.offset - at as i64;
            let (key, value) = (sent.key.clone().unwrap_or_default().into_bytes(), sent.value.clone());
            let told = &self.batches[batch];
            if told.base.is_none() && (told.is_refused && !told.is_unknown && told.flying == 0 || told.is_lost) {
                return broken(Invariant::Log4, format!("{name}: batch {batch} was refused, and is at {base}"));
            }
            self.settle(batch, base, "was read")?;
            found = Some(batch);
            seen.push(Seen { offset: record.offset, key, value: value.map(String::into_bytes) });
        }
        Ok((found, seen))
    }

    /// Everything of a partition was read: nothing may be missing.
    pub fn check_whole(
        &self,
        topic: usize,
        partition: PartitionId,
        bounds: &Bounds,
        all: &[Got],
        committed: &[Got],
    ) -> Held {
        let (model, name) = (&self.topics[topic], format!("{}-{partition}", self.topics[topic].name));
        let mut next = None;
        for got in all {
            let follows = next.is_none_or(|next| if model.is_compacted { got.base >= next } else { got.base == next });
            let begins = next.is_some() || model.is_compacted || got.base <= bounds.log_start;
            if !follows || !begins {
                return broken(Invariant::Log2, format!("{name}: offset {} follows {next:?}, {bounds:?}", got.base));
            }
            next = Some(got.next);
        }
        if !model.is_compacted && next.unwrap_or(bounds.log_start) < bounds.high_watermark {
            return broken(Invariant::Log2, format!("{name} ends at {next:?}: {bounds:?}"));
        }
        let Some(part) = model.parts.get(&partition) else { return Ok(()) };
        let is_there = |got: &[Got], number: usize| got.iter().any(|got| got.batch == Some(number));
        let mut before = Vec::new();
        for (base, number) in &part.at {
            let batch = &self.batches[*number];
            let end = base + batch.records.len() as i64;
            if end <= bounds.log_start || batch.is_lost {
                continue;
            }
            let is_visible = end <= bounds.last_stable
                && batch.transaction.is_none_or(|at| {
                    let transaction = &self.transactions[at];
                    transaction.fate == Fate::Committed || transaction.was_seen
                });
            if model.is_compacted {
                if is_visible {
                    before.extend(batch.records.iter().enumerate().map(|(at, record)| Seen {
                        offset: base + at as i64,
                        key: record.key.clone().unwrap_or_default().into_bytes(),
                        value: record.value.clone().map(String::into_bytes),
                    }));
                }
                continue;
            }
            if !is_there(all, *number) {
                return broken(Invariant::Log1, format!("{name}: batch {number} at {base} is not there any more"));
            }
            if is_visible && !is_there(committed, *number) {
                let invariant = if batch.transaction.is_some() { Invariant::Txn1 } else { Invariant::Log1 };
                return broken(invariant, format!("{name}: batch {number} at {base} is hidden from committed readers"));
            }
        }
        if model.is_compacted {
            let after: Vec<_> = committed.iter().flat_map(|got| got.seen.iter().cloned()).collect();
            keeps_the_last_value_per_key(&before, &after)
                .or_else(|how| broken(Invariant::Log6, format!("{name}: {how}")))?;
        }
        Ok(())
    }

    /// Nothing is under way any more: transactions are whole or not there.
    pub fn check_transactions(
        &self,
        nothing_is_open: bool,
        bounds_of: impl Fn(usize, PartitionId) -> Option<Bounds>,
    ) -> Held {
        for (topic, partition) in
            self.topics.iter().enumerate().flat_map(|(at, t)| (0..t.partitions).map(move |p| (at, p)))
        {
            if let Some(bounds) = bounds_of(topic, partition).filter(|_| nothing_is_open)
                && bounds.last_stable < bounds.high_watermark
            {
                let name = &self.topics[topic].name;
                return broken(
                    Invariant::Txn1,
                    format!("{name}-{partition} is held back by what nobody has open: {bounds:?}"),
                );
            }
        }
        for transaction in self.transactions.iter().filter(|t| t.fate == Fate::Committed || t.was_seen) {
            for number in &transaction.batches {
                let batch = &self.batches[*number];
                let topic = &self.topics[batch.topic];
                let (Some(base), Some(bounds)) = (batch.base, bounds_of(batch.topic, batch.partition)) else {
                    continue;
                };
                if topic.standing != Standing::There || topic.is_relaxed || batch.is_lost {
                    continue;
                }
                if base >= bounds.last_stable && !self.is_behind_open(bounds.last_stable, batch) {
                    return broken(
                        Invariant::Txn1,
                        format!(
                            "batch {number} of a committed transaction of `{}` stays hidden: {bounds:?}",
                            transaction.id
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether a transaction that is open still keeps readers from getting as far as `batch`.
    fn is_behind_open(&self, last_stable: Offset, batch: &Batch) -> bool {
        self.batches.iter().any(|other| {
            (other.topic, other.partition) == (batch.topic, batch.partition)
                && other.base.map_or(other.is_unknown, |base| base <= last_stable)
                && other.transaction.is_some_and(|at| self.transactions[at].fate != Fate::Committed)
        })
    }
}

/// A batch as a reader got it.
pub struct Got {
    pub base: Offset,
    pub next: Offset,
    pub batch: Option<usize>,
    pub seen: Vec<Seen>,
}

fn unreadable(name: &str, error: &model::Error) -> Broken {
    Broken { invariant: Invariant::Log8, how: format!("{name}: {error}") }
}
