//! Clients of a log: what they want next, and what they make of answers. Each asks one thing at a time, except idempotent
//! producers, who have up to five batches on their way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use commitlog::{
    Appended, Slice,
    groups::{ConsumerHeartbeatAnswer, GroupError, JoinAnswer, SyncAnswer},
    record::{BatchBuilder, Codec, Marker},
    transactions::{Identity, Protocol, TransactionError},
};
use model::{PartitionId, TopicId};

use crate::{
    chance::Chance,
    model::{Batch, MARK, Model, Record},
    run::HeardOfClassic,
};

/// A topic and one of its partitions, as the model numbers them.
pub type Spot = (usize, PartitionId);

/// An answer that reached the client's side of the network.
pub enum Told {
    Appended { by: Writer, batch: usize, is_late: bool, result: Result<Appended, Refusal> },
    ProducerId { number: usize, result: Result<i64, String> },
    Started { of: usize, newest: Option<Identity>, result: Result<Identity, TransactionError> },
    Joined { of: usize, is_late: bool, spot: Spot, result: Result<(), TransactionError> },
    OffsetAdded { of: usize, is_late: bool, transaction: usize, offset: i64, result: Result<(), String> },
    Ended { of: usize, is_late: bool, how: Marker, result: Result<Identity, TransactionError> },
    Committed { of: usize, offset: i64, is_over: bool, result: Result<(), GroupError> },
    JoinedGroup { of: usize, life: u32, before: i32, answer: JoinAnswer },
    SyncedGroup { of: usize, life: u32, generation: i32, answer: SyncAnswer },
    Beaten { of: usize, life: u32, is_over: bool, result: Result<(), GroupError> },
    LeftGroup { of: usize, life: u32, name: String, result: Result<(), GroupError> },
    Alive { of: usize, life: u32, sent: Duration, answer: Result<ConsumerHeartbeatAnswer, GroupError> },
    OfClassic { of: usize, life: u32, heard: HeardOfClassic },
    LeftAsConsumer { name: String, result: Result<(), GroupError> },
    LeftAsClassic { name: String, result: Result<(), GroupError> },
    GhostBeaten { name: String, epoch: i32, result: Result<(), GroupError> },
    Made { topic: usize, result: Result<TopicId, String> },
    Deleted { topic: usize, result: Result<(), String> },
    Grown { topic: usize, total: i32, result: Result<(), String> },
    Changed { topic: usize, result: Result<(), String> },
    RecordsDeleted { spot: Spot, result: Result<i64, String> },
    Read { spot: Spot, is_committed: bool, result: Result<Slice, String> },
}

/// Why an append was refused.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// By the log.
    Log(model::Error),
    /// By the transaction coordinator.
    Transaction(TransactionError),
}

/// Who sent a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Plain,
    Idempotent(usize),
    Transactional(usize),
}

/// An idempotent producer of one partition.
pub struct Idempotent {
    /// By which it is told who it is: others come and go meanwhile.
    pub number: usize,
    pub spot: Spot,
    pub id: Option<i64>,
    pub is_asking: bool,
    pub next_sequence: i32,
    /// Sent and not acknowledged, in order.
    pub queue: VecDeque<usize>,
    pub flying: usize,
    /// One of the queue failed or its answer was lost: all are sent again once nothing is on its way.
    pub is_broken: bool,
}

/// A producer with a transactional id. Rivals share one.
pub struct Transactional {
    pub id: String,
    pub protocol: Protocol,
    pub who: Option<Identity>,
    pub is_busy: bool,
    pub transaction: Option<usize>,
    pub joined: BTreeSet<Spot>,
    pub sequences: BTreeMap<Spot, i32>,
    /// A batch that was sent and not acknowledged.
    pub unsure: Option<usize>,
    pub ending: Option<Marker>,
    /// An offset of a group, and has not heard.
    pub is_adding_offset: bool,
}

impl Transactional {
    /// Begins anew with another identity.
    pub fn give_up(&mut self) {
        self.who = None;
        self.transaction = None;
        self.joined.clear();
        self.sequences.clear();
        self.unsure = None;
        self.ending = None;
        self.is_adding_offset = false;
    }
}

/// Somebody who commits offsets of a group: outside of any generation, or in the name of members.
pub struct Committer {
    pub group: String,
    pub is_busy: bool,
    pub next: i64,
    /// What the group's offset may be: the last that was acknowledged, and those of which nothing was heard.
    pub may_be: Vec<Option<i64>>,
    /// What it asks for now.
    pub asked: Option<i64>,
}

/// Makes a batch of one to four records for `spot`.
pub fn make_batch(
    model: &mut Model,
    chance: &mut Chance,
    spot: Spot,
    now: i64,
    producer: Option<(Identity, i32)>,
    transaction: Option<usize>,
) -> (usize, Bytes) {
    let number = model.batches.len();
    let is_compacted = model.topics[spot.0].is_compacted;
    let mut builder = BatchBuilder::new(*chance.one_of(&[Codec::None, Codec::None, Codec::Lz4, Codec::Snappy]));
    if let Some((Identity { producer, epoch }, sequence)) = producer {
        builder = builder.producer(producer, epoch, sequence);
    }
    if transaction.is_some() {
        builder = builder.transactional();
    }
    let mut records = Vec::new();
    // Now and then one that is worth a sync of its own.
    let size_max = if model.topics[spot.0].takes_large && chance.permille(60) { 70 << 10 } else { 400 };
    for at in 0..1 + chance.below(4) {
        let key = (is_compacted || chance.permille(500)).then(|| format!("k{}", chance.below(6)));
        let is_deletion = key.is_some() && chance.permille(100);
        let length = if size_max > 400 && at == 0 { size_max } else { chance.below(size_max.min(400)) };
        let value = (!is_deletion).then(|| format!("{number}.{at} {}", "x".repeat(length)));
        let mark = Model::mark(number, at);
        builder.push(
            now,
            key.as_deref().map(str::as_bytes),
            value.as_deref().map(str::as_bytes),
            &[(MARK, mark.as_bytes())],
        );
        records.push(Record { key, value });
    }
    let bytes = builder.build();
    model.batches.push(Batch {
        topic: spot.0,
        partition: spot.1,
        bytes: bytes.clone(),
        records,
        transaction,
        flying: 0,
        is_unknown: false,
        is_refused: false,
        base: None,
        is_lost: false,
    });
    (number, bytes)
}
