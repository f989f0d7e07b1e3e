//! The log as everyone above sees it: one trait, whatever keeps the records.
//!
//! ```text
//!  offsets of a partition
//!
//!  0          log_start                     high_watermark      log_end
//!  ├── gone ──┼──────── readable, durable ──────┼── not durable ──┤
//!             │ retention and DeleteRecords     │ not visible to  │ next record
//!             │ move this forward               │ anyone yet      │ goes here
//! ```
//!
//! What every driver promises (the conformance suite in `testkit` holds them to it):
//! * LOG-1: an append that succeeded is readable after any crash, once, at the offset it was given.
//! * LOG-2: offsets of one partition are dense and rise in the order in which `append` was *called*.
//! * LOG-3: the high watermark never regresses, and no read returns a record at or beyond it.
//! * LOG-4: a failed append leaves nothing behind that anyone can read, and does not advance a producer's window. Where the disk
//!   fails again while it is taken out, the error says that a crash may bring it back ([`model::ErrorKind::OutcomeUnknown`]).
//! * LOG-5: a committed reader sees all of a committed transaction in a partition, and nothing of one that is open or aborted.
//! * LOG-6: compaction keeps the last value per key, and moves no record ([`crate::compaction`]). Offsets are dense as they
//!   are given; where a topic is compacted, records that later ones have replaced leave holes.
//! * LOG-7: no producer id is given twice, and once there is a topic the log's identity stays.
//! * LOG-8: damage to what was on disk is reported with its place; a batch is served whole, where it was, or not at all. (What
//!   it holds its own checksum tells, at which clients look.)
//! * LOG-9: whatever a crash left, the next start opens it.
//! * LOG-10: a topic that was made is there after any crash, one that was deleted stays away.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use model::{
    Error, Offset, PartitionId, ProducerId, Result, TimestampMs, TopicId, TopicName, TopicPartition,
    error::codes::BATCH_CORRUPT,
};
use tokio::sync::{Notify, watch};

use crate::record::{Batch, Marker, batches};
pub use crate::topic::{Topic, TopicConfig};

/// A partitioned, replayable log.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    // ── topics ──

    /// All topics, by name.
    fn topics(&self) -> Vec<Arc<Topic>>;
    fn topic(&self, name: &str) -> Option<Arc<Topic>>;
    fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>>;
    /// Changes whenever a topic is made, changed or deleted.
    fn topics_changed(&self) -> watch::Receiver<u64>;
    /// Asks `names` before a topic is made from now on. The first who says so counts.
    fn share_names(&self, names: Arc<dyn SharedNames>);
    /// Durable on return. Checks everything first; `validate_only` stops there.
    async fn create_topic(&self, spec: TopicSpec, validate_only: bool) -> Result<Arc<Topic>>;
    /// Waiting readers wake and find [`model::ErrorKind::TopicNotFound`].
    async fn delete_topic(&self, name: &str) -> Result<()>;
    /// Raises the number of partitions to `total`.
    async fn create_partitions(&self, name: &str, total: i32, validate_only: bool) -> Result<()>;
    /// Replaces the topic's own settings (`TopicConfig::overrides`) by `overrides`, all or nothing.
    async fn alter_topic(&self, name: &str, overrides: BTreeMap<String, String>, validate_only: bool) -> Result<()>;

    /// Replaces what topics get that do not say otherwise, all or nothing: by name, over the defaults of
    /// [`TopicConfig::defaults`]. Not durable: whoever keeps it says it again after a start, before retention first runs. Topics
    /// of the house's own are left out.
    async fn set_topic_defaults(&self, defaults: BTreeMap<String, String>, validate_only: bool) -> Result<()>;

    // ── records ──

    /// Appends one record batch (magic 2, as a client sent it). Order among appends to a partition is the order of
    /// calls; the future resolves when the batch is as durable as its topic asks for.
    fn append(&self, to: &TopicPartition, batch: Bytes, how: Append) -> BoxFuture<'static, Result<Appended>>;

    /// Resolves once fewer bytes wait to be written than the log's budget, for one caller after the other in the order of calls.
    /// Doors await it before each append, and take nothing more from a socket meanwhile; appends far beyond the budget are refused
    /// ([`model::error::codes::LOG_BUSY`]).
    fn writable(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whole batches from the one that holds `from` on: at least one (even if larger than `bytes_max`) when there is one
    /// below the end that `isolation` lets see, else nothing. Batches come as stored, markers and aborted ones included; the
    /// first may begin before `from`.
    async fn read(&self, at: &TopicPartition, from: Offset, bytes_max: usize, isolation: Isolation) -> Result<Slice>;

    /// Where the partition begins and ends now.
    fn bounds(&self, of: &TopicPartition) -> Result<Bounds>;

    /// `waker` is notified (`notify_one`) whenever a visible end or the start of the partition moves or it goes away, until the
    /// subscription is dropped. Check [`Log::bounds`] after subscribing, before waiting.
    fn subscribe(&self, to: &TopicPartition, waker: Arc<Notify>) -> Result<Subscription>;

    /// Finds an offset by time (Kafka's ListOffsets), exact to the record.
    async fn offset_at(&self, of: &TopicPartition, time: TimeQuery) -> Result<Option<OffsetAt>>;

    /// The largest known leader epoch ≤ `epoch` and the offset where the next one began (KIP-101, KIP-320).
    fn epoch_end(&self, of: &TopicPartition, epoch: i32) -> Result<Option<EpochEnd>>;

    /// Moves the start of the partition to `before` (`-1`: the high watermark). Returns the new start. Refused where a topic is
    /// only compacted ([`model::ErrorKind::PolicyViolation`]).
    async fn delete_records(&self, of: &TopicPartition, before: Offset) -> Result<Offset>;

    /// Retention and compaction keep everything from `from` on until `holder` says otherwise (`None`: lets go). Not durable: a holder
    /// says it again after a start, before retention first runs. DeleteRecords by a user is not held.
    fn hold(&self, of: &TopicPartition, holder: &'static str, from: Option<Offset>);

    /// What compaction has done, and how much there is to do.
    fn compaction(&self) -> CompactionStats {
        CompactionStats::default()
    }

    /// Before this offset records may be gone because later ones have their keys (and earlier than [`Log::hold`] says, none).
    /// Asked after a read, it tells whether that saw everything.
    fn compacted_to(&self, of: &TopicPartition) -> Result<Offset>;

    /// Idempotent producers that the partition remembers, by id.
    fn producers(&self, of: &TopicPartition) -> Result<Vec<ActiveProducer>>;

    /// Bytes of the partition on disk.
    fn size(&self, of: &TopicPartition) -> Result<u64>;

    /// A producer id nobody has had.
    async fn new_producer_id(&self) -> Result<ProducerId>;

    /// Identity of this log, for ever the same (Kafka's cluster id: 22 characters of base64url).
    fn cluster_id(&self) -> &str;
}

/// Names that topics share with things the log has never heard of.
#[async_trait]
pub trait SharedNames: Send + Sync + 'static {
    /// Fails if something else is called so; nothing else gets the name as long as the claim lives.
    async fn claim(&self, topic: &TopicName) -> Result<NameClaim>;
}

/// A name kept free for somebody, until it is dropped.
pub type NameClaim = Box<dyn Any + Send>;

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    pub name: TopicName,
    /// `None`: the default of the log (`num.partitions`).
    pub partitions: Option<i32>,
    /// Settings that differ from the defaults, by Kafka's names.
    pub overrides: BTreeMap<String, String>,
}

impl TopicSpec {
    pub fn new(name: TopicName, partitions: i32) -> Self {
        Self { name, partitions: Some(partitions), overrides: BTreeMap::new() }
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.overrides.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// How a batch is appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// From a client: header, CRC, size limits and producer sequence are checked. Our own batches skip nothing but
    /// may carry what clients may not (internal topics).
    pub internal: bool,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// The time given by the log if the topic says `LogAppendTime`, else −1.
    pub log_append_time: TimestampMs,
    pub log_start: Offset,
    /// The batch had been appended before (idempotent retry); `base_offset` is that of the original.
    pub duplicate: bool,
}

/// What a reader wants to see of transactions (Kafka's `isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Every durable batch.
    Uncommitted,
    /// What comes before the first open transaction. [`Slice::batches`] tells what was aborted.
    #[default]
    Committed,
}

/// Bytes read from a partition, with its bounds at that moment.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Whole batches, one after the other.
    pub records: Bytes,
    /// Aborted transactions that touch `records`, by their first offset; for committed readers only.
    pub aborted: Vec<Aborted>,
    pub bounds: Bounds,
}

impl Slice {
    /// What comes before the first batch that the disk has not kept as it was. Fails with its place if that is the first one:
    /// clients need not look at checksums, and some do not.
    pub fn undamaged(mut self, at: &TopicPartition) -> Result<Self> {
        let mut end = 0;
        for batch in batches(self.records.clone()) {
            let batch = batch?;
            if batch.check_crc().is_err() {
                let (first, next) = (batch.header.base_offset, batch.header.next_offset());
                if end == 0 {
                    return Err(Error::new(
                        BATCH_CORRUPT,
                        format!("the batch at offset {first} of {at} is damaged on the disk"),
                    )
                    .detail(format!("its {} bytes do not give the checksum they carry", batch.bytes.len()))
                    .hint(format!("what comes behind it can be read from offset {next} on")));
                }
                break;
            }
            end += batch.bytes.len();
        }
        self.records.truncate(end);
        Ok(self)
    }

    /// The batches, and whether each is hidden from committed readers.
    pub fn batches(&self) -> impl Iterator<Item = Result<(Batch, bool)>> + use<> {
        hidden_or_not(
            self.records.clone(),
            self.aborted.iter().map(|aborted| (aborted.producer, aborted.first)).collect(),
        )
    }
}

/// Batches, and whether each is hidden from committed readers: markers are, and what was aborted. `aborted`: producers and
/// first offsets of the transactions that touch `records`, in the order of the latter.
pub fn hidden_or_not(
    records: Bytes,
    aborted: Vec<(ProducerId, Offset)>,
) -> impl Iterator<Item = Result<(Batch, bool)>> + use<> {
    let mut ahead = aborted.into_iter().peekable();
    let mut aborting = BTreeSet::new();
    batches(records).map(move |batch| {
        let batch = batch?;
        let header = &batch.header;
        while let Some((producer, _)) = ahead.next_if(|(_, first)| *first <= header.last_offset()) {
            aborting.insert(producer);
        }
        if batch.marker()? == Some(Marker::Abort) {
            aborting.remove(&header.producer_id);
        }
        let is_aborted = header.is_transactional() && aborting.contains(&header.producer_id);
        let is_hidden = header.is_control() || is_aborted;
        Ok((batch, is_hidden))
    })
}

/// A transaction that was aborted in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    pub producer: ProducerId,
    /// Of its first record.
    pub first: Offset,
    /// Of its marker.
    pub last: Offset,
}

/// An idempotent producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub id: ProducerId,
    pub epoch: i16,
    /// Of its last record; −1 if it has only begun a new epoch.
    pub last_sequence: i32,
    /// When it last wrote, by the node's clock.
    pub used_at: TimestampMs,
    /// The first record of its open transaction.
    pub open_from: Option<Offset>,
}

/// Where a partition begins and ends. `log_start ≤ last_stable ≤ high_watermark ≤ log_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub log_start: Offset,
    /// End of what a `read_committed` reader may see: the first offset of an open transaction, else the high watermark.
    pub last_stable: Offset,
    /// End of what anyone may see: everything before it is durable.
    pub high_watermark: Offset,
    pub log_end: Offset,
    pub leader_epoch: i32,
}

impl Bounds {
    /// End of what a reader may see.
    pub fn end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => self.last_stable,
        }
    }
}

/// A question about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeQuery {
    Earliest,
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record whose timestamp is at least this.
    AtOrAfter(TimestampMs),
}

/// What compaction has done since the log was opened. Everything only rises, except what is said of partitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactionStats {
    pub runs: u64,
    pub failures: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Records that were looked at and stayed, and that went, over all runs.
    pub records_kept: u64,
    pub records_dropped: u64,
    /// Batches that were damaged or could not be decoded, and stayed as they were.
    pub batches_unreadable: u64,
    pub last_run_ms: Option<TimestampMs>,
    /// Those of compacted topics.
    pub partitions: Vec<PartitionCompaction>,
}

/// How a compacted partition is.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionCompaction {
    pub partition: TopicPartition,
    /// Which part of what may be compacted is new, when the compactor last looked: 0 to 1.
    pub dirty_ratio: f64,
    /// Everything before it has been compacted.
    pub cleaned_to: Offset,
    pub last_run_ms: Option<TimestampMs>,
}

/// An offset found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAt {
    pub offset: Offset,
    /// −1 for [`TimeQuery::Earliest`] and [`TimeQuery::Latest`].
    pub timestamp: TimestampMs,
    pub leader_epoch: i32,
}

/// End of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: i32,
    pub end_offset: Offset,
}

/// Keeps a waker registered; dropping it unregisters.
pub struct Subscription(Option<Box<dyn FnOnce() + Send>>);

impl Subscription {
    pub fn new(on_drop: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(on_drop)))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(unsubscribe) = self.0.take() {
            unsubscribe();
        }
    }
}

/// Waits until the end of what is committed passes `offset`, the start moves beyond it, or `patience` is over.
pub async fn wait_beyond(log: &dyn Log, at: &TopicPartition, offset: Offset, patience: Duration) -> Result<Bounds> {
    let waker = Arc::new(Notify::new());
    let _subscription = log.subscribe(at, waker.clone())?;
    let wait = async {
        loop {
            let bounds = log.bounds(at)?;
            if bounds.last_stable > offset || bounds.log_start > offset {
                return Ok(bounds);
            }
            waker.notified().await;
        }
    };
    match tokio::time::timeout(patience, wait).await {
        Ok(bounds) => bounds,
        Err(_) => log.bounds(at),
    }
}

/// All partitions of `topic`.
pub fn partitions(topic: &Topic) -> impl Iterator<Item = TopicPartition> + '_ {
    (0..topic.partitions as PartitionId).map(|p| TopicPartition::new(topic.name.clone(), p))
}
