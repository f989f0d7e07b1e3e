//! One topic as the lake sees it: its columns of the moment, its decoded tail, and how far its table got.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use commitlog::Topic;
use model::{Error, Offset, PartitionId, Result, TimestampMs, TopicPartition};
use parking_lot::{Mutex, RwLock};
use schemas::{Format, infer};
use tables::{Progress, Table};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::{
    Origin, TopicTable,
    columns::{
        fit::{Growth, grow, stored_columns},
        resolve::{Guess, Knowledge, Known, Subjects, property},
    },
    lake::Parts,
    tail::{
        core::TailCore,
        decode::{DecodedSlice, Rejected, SliceDecoder, sample},
    },
};

/// Bytes looked at in each partition to guess what a topic holds.
const SAMPLE_BYTES: usize = 128 << 10;
const SAMPLE_RECORDS: usize = 2_000;
/// Partitions looked at.
const SAMPLE_PARTITIONS: PartitionId = 8;
/// Names of fields that were seen and left out; beyond this all are looked at again.
const IGNORED_FIELDS_MAX: usize = 4096;

/// One topic.
pub(crate) struct TopicState {
    pub topic: Arc<Topic>,
    active: RwLock<Option<Active>>,
    /// One resolution at a time.
    resolving: AsyncMutex<()>,
    ignored_fields: Mutex<BTreeSet<String>>,
    pub partitions: Vec<Arc<PartitionTail>>,
    /// Whether this process commits the topic: undecodable records are then kept until they are in `_exceptions`.
    pub is_written: AtomicBool,
    /// One commit at a time; and what the writer knows.
    pub writer: AsyncMutex<WriterState>,
    /// Something for the follower to do besides new records: the mark moved, or a commit is wanted.
    pub nudge: Arc<Notify>,
    /// The topic is gone from the log.
    pub gone: AtomicBool,
    pub figures: Figures,
}

/// What only the writer touches.
#[derive(Default)]
pub(crate) struct WriterState {
    /// Progress in the newest snapshot known; `None`: not read yet.
    pub mark: Option<Option<Progress>>,
    pub exceptions: crate::writer::exceptions::Written,
}

/// Figures for people.
#[derive(Default)]
pub(crate) struct Figures {
    pub rows_committed: AtomicU64,
    pub rejected: AtomicU64,
    pub lost: AtomicU64,
    pub commits: AtomicU64,
    pub last_commit_ms: Mutex<Option<TimestampMs>>,
    pub error: Mutex<Option<Error>>,
}

#[derive(Clone)]
struct Active {
    table: Arc<TopicTable>,
    /// Versions of the subjects looked at.
    subjects: (Option<i32>, Option<i32>),
    /// Records there were when nothing could be told.
    records_seen: i64,
}

/// The decoded tail of one partition.
pub(crate) struct PartitionTail {
    pub at: TopicPartition,
    /// Who holds it decodes; everyone else finds the result in the tail.
    pub decoder: AsyncMutex<Option<SliceDecoder>>,
    tail: Mutex<Tail>,
    budget: Arc<TailBudget>,
}

/// Bytes that decoded records of all topics take.
pub(crate) struct TailBudget {
    used: AtomicI64,
    max: i64,
}

impl TailBudget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicI64::new(0), max: i64::try_from(max).unwrap_or(i64::MAX) })
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max
    }

    /// Whether there is too much and someone with `bytes` has a good part of it.
    pub(crate) fn is_pressed_by(&self, bytes: usize) -> bool {
        self.is_exceeded() && bytes as i64 >= self.max / 16
    }
}

impl PartitionTail {
    fn new(at: TopicPartition, budget: Arc<TailBudget>) -> Self {
        Self { at, decoder: AsyncMutex::new(None), tail: Mutex::new(Tail::default()), budget }
    }

    /// Looks at or changes the tail; the budget follows.
    pub(crate) fn tail<R>(&self, visit: impl FnOnce(&mut Tail) -> R) -> R {
        let mut tail = self.tail.lock();
        let before = tail.bytes();
        let result = visit(&mut tail);
        let change = tail.bytes() as i64 - before as i64;
        if change != 0 {
            self.budget.used.fetch_add(change, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for PartitionTail {
    fn drop(&mut self) {
        let bytes = self.tail.get_mut().bytes();
        self.budget.used.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Tail {
    pub core: TailCore,
    /// Undecodable records that are not in `_exceptions` yet, by offset.
    pub rejected: VecDeque<Rejected>,
    pub rejected_bytes: usize,
    /// First offset not in the table, as far as this process knows.
    pub mark: Offset,
    /// Decoding has begun: `core` says from where.
    pub is_begun: bool,
}

impl Tail {
    fn bytes(&self) -> usize {
        self.core.bytes() + self.rejected_bytes
    }

    /// The next offset to decode.
    pub(crate) fn end(&self) -> Offset {
        if self.is_begun { self.core.end() } else { self.mark }
    }

    pub(crate) fn begin(&mut self, at: Offset) {
        self.core.reset(at);
        self.rejected.clear();
        self.rejected_bytes = 0;
        self.is_begun = true;
    }

    /// Everything is decoded again when it is needed.
    fn forget(&mut self) {
        self.begin(self.mark);
        self.is_begun = false;
    }

    /// Hands out the undecodable records, and the offset up to which these are all.
    pub(crate) fn take_rejected(&mut self) -> (Vec<Rejected>, Offset) {
        self.rejected_bytes = 0;
        (self.rejected.drain(..).collect(), self.end())
    }
}

impl TopicState {
    pub(crate) fn new(topic: Arc<Topic>, budget: &Arc<TailBudget>) -> Self {
        let tail = |at| Arc::new(PartitionTail::new(at, budget.clone()));
        let partitions = commitlog::partitions(&topic).map(tail).collect();
        Self {
            topic,
            active: RwLock::new(None),
            resolving: AsyncMutex::new(()),
            ignored_fields: Mutex::new(BTreeSet::new()),
            partitions,
            is_written: AtomicBool::new(false),
            writer: AsyncMutex::new(WriterState::default()),
            nudge: Arc::new(Notify::new()),
            gone: AtomicBool::new(false),
            figures: Figures::default(),
        }
    }

    /// The topic's table, if it is this topic's and not that of a namesake before it.
    pub(crate) async fn load_table(&self, parts: &Parts) -> Result<Option<Arc<Table>>> {
        let table = parts.tables.load(&self.table_name()).await?;
        let is_own = |table: &Arc<Table>| {
            table.metadata().properties().get(property::TOPIC_ID).is_some_and(|id| *id == self.topic.id.to_string())
        };
        Ok(table.filter(is_own))
    }

    pub(crate) fn table_name(&self) -> model::TableName {
        model::TableName::public(&self.topic.name)
    }

    /// What the topic looks like now. Usually answered from memory.
    pub(crate) async fn columns(&self, parts: &Parts) -> Result<Arc<TopicTable>> {
        if let Some(table) = self.current(parts) {
            return Ok(table);
        }
        let _one = self.resolving.lock().await;
        if let Some(table) = self.current(parts) {
            return Ok(table);
        }
        self.resolve(parts).await
    }

    /// Only a copy in memory, whether or not it is still right.
    pub(crate) fn last_columns(&self) -> Option<Arc<TopicTable>> {
        self.active.read().as_ref().map(|active| active.table.clone())
    }

    fn current(&self, parts: &Parts) -> Option<Arc<TopicTable>> {
        let active = self.active.read().clone()?;
        let declaration = parts.declarations.of_topic(&self.topic.name);
        let same_declaration = match (&declaration, &active.table.declaration) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let known = active.table.value_columns > 0 || active.records_seen == self.records(parts);
        (same_declaration && known && active.subjects == versions(&self.subjects(parts))).then_some(active.table)
    }

    async fn resolve(&self, parts: &Parts) -> Result<Arc<TopicTable>> {
        let records_seen = self.records(parts);
        let stored = self.load_table(parts).await?;
        if let Some(mark) = stored.as_ref().map(|table| table.progress()).transpose()?.flatten() {
            self.mark_is_at_least(&mark);
        }
        let stored = stored.and_then(|table| {
            Known::of_table(table.metadata().properties().get(property::SHAPE), table.arrow_schema())
        });
        let previous = self.last_columns();
        // What this process found since the last commit counts for more than the table.
        let grown = previous.as_ref().filter(|t| t.declaration.is_none() && t.value_columns > 0);
        let known = grown.map(|table| Known::of_topic(table)).or(stored);
        let knowledge = Knowledge {
            topic: &self.topic,
            declaration: parts.declarations.of_topic(&self.topic.name),
            subjects: self.subjects(parts),
            known: known.filter(|known| !known.values_are_empty()),
        };
        let guess = if knowledge.needs_guess() { self.guess(parts).await? } else { Guess::default() };
        let table = Arc::new(knowledge.table(&guess)?);
        let subjects = versions(&knowledge.subjects);
        tracing::debug!(topic = %self.topic.name, origin = table.origin.as_str(), format = %table.value_format, columns = table.own_columns(), "columns resolved");
        self.install(Active { table: table.clone(), subjects, records_seen }, previous.as_deref());
        Ok(table)
    }

    /// Some commit got this far.
    pub(crate) fn mark_is_at_least(&self, mark: &Progress) {
        for partition in &self.partitions {
            let mark = mark.get(&partition.at.partition.to_string()).unwrap_or(0);
            partition.tail(|tail| tail.mark = tail.mark.max(mark));
        }
    }

    /// Puts new columns in place. Rows that were decoded with columns of other types are forgotten.
    fn install(&self, active: Active, previous: Option<&TopicTable>) {
        let compatible = previous.is_none_or(|previous| {
            previous.shape() == active.table.shape_with(previous)
                && crate::columns::fit::fit(&active.table.schema, &previous.schema).conflicts.is_empty()
        });
        *self.active.write() = Some(active);
        if !compatible {
            self.forget_decoded();
        }
    }

    /// Everything decoded is decoded again when it is needed.
    pub(crate) fn forget_decoded(&self) {
        for partition in &self.partitions {
            partition.tail(Tail::forget);
        }
    }

    fn subjects(&self, parts: &Parts) -> Subjects {
        if self.topic.name.is_internal() {
            return Subjects::default();
        }
        Subjects {
            key: parts.registry.latest(&format!("{}-key", self.topic.name)),
            value: parts.registry.latest(&format!("{}-value", self.topic.name)),
        }
    }

    /// Records ever written, as a sum of high watermarks.
    fn records(&self, parts: &Parts) -> i64 {
        self.partitions.iter().filter_map(|p| parts.log.bounds(&p.at).ok()).map(|b| b.high_watermark).sum()
    }

    async fn guess(&self, parts: &Parts) -> Result<Guess> {
        let mut values: Vec<Option<Vec<u8>>> = Vec::new();
        let mut key_is_text = true;
        for partition in self.partitions.iter().take(SAMPLE_PARTITIONS as usize) {
            let bounds = parts.log.bounds(&partition.at)?;
            if bounds.high_watermark <= bounds.log_start {
                continue;
            }
            let slice = parts.log.read(&partition.at, bounds.log_start, SAMPLE_BYTES).await?;
            let wanted = bounds.log_start..bounds.high_watermark;
            sample(slice.records, &wanted, |record| {
                key_is_text &= record.key.is_none_or(|key| std::str::from_utf8(key).is_ok());
                if values.len() < SAMPLE_RECORDS * SAMPLE_PARTITIONS as usize {
                    values.push(record.value.map(<[u8]>::to_vec));
                }
            })?;
        }
        let value = infer::infer(values.iter().map(Option::as_deref), &*parts.schemas());
        Ok(Guess { value, key_is_text })
    }

    /// Whether decoding `slice` showed something the columns lack.
    pub(crate) fn wants_growth(&self, table: &TopicTable, slice: &DecodedSlice) -> bool {
        match &table.origin {
            Origin::Unknown => slice.has_values,
            Origin::Inferred => {
                if !slice.rejected.is_empty() && slice.rejected.iter().any(|bad| bad.part == "value") {
                    return true;
                }
                let ignored = self.ignored_fields.lock();
                slice.unknown_fields.iter().any(|field| !ignored.contains(field))
            }
            Origin::Declared | Origin::Registry { .. } => false,
        }
    }

    /// Lets inferred columns grow to take the records of `batches`. True if the columns changed.
    pub(crate) async fn grow(
        &self,
        parts: &Parts,
        decoded_with: &Arc<TopicTable>,
        batches: Bytes,
        slice: &DecodedSlice,
    ) -> Result<bool> {
        let _one = self.resolving.lock().await;
        let Some(active) = self.active.read().clone() else { return Ok(true) };
        if !Arc::ptr_eq(&active.table, decoded_with) {
            return Ok(true);
        }
        if active.table.origin != Origin::Inferred {
            let before = active.table;
            *self.active.write() = None;
            return Ok(*self.resolve(parts).await?.schema != *before.schema);
        }
        let mut values = Vec::new();
        sample(batches, &slice.range, |record| values.push(record.value.map(<[u8]>::to_vec)))?;
        let inferred = infer::infer(values.iter().map(Option::as_deref), &*parts.schemas());
        let table = &active.table;
        let own = arrow::datatypes::Schema::new(table.schema.fields()[table.key_columns..table.own_columns()].to_vec());
        let may_retype = self.log_is_whole(parts).await?;
        let growth = match &inferred {
            Some(new) if new.format == table.value_format => grow(&own, &stored_columns(&new.columns), may_retype),
            // Text that turns out to be bytes: the one change of format that loses nothing.
            Some(new) if may_retype && table.value_format == Format::Text && new.format == Format::Bytes => {
                Growth::Retyped(stored_columns(&new.columns))
            }
            _ => Growth::Same,
        };
        let format = match (&growth, &inferred) {
            (Growth::Retyped(_), Some(new)) => new.format,
            _ => table.value_format,
        };
        match growth {
            Growth::Same => {
                let mut ignored = self.ignored_fields.lock();
                if ignored.len() < IGNORED_FIELDS_MAX {
                    ignored.extend(slice.unknown_fields.iter().cloned());
                }
                Ok(false)
            }
            Growth::Added(columns) | Growth::Retyped(columns) => {
                let grown = Arc::new(table.with_values(&columns, format));
                tracing::info!(topic = %self.topic.name, columns = grown.own_columns(), "inferred columns grew");
                self.install(Active { table: grown, ..active.clone() }, Some(table));
                Ok(true)
            }
        }
    }

    /// Whether the log still holds every record of the topic, so that its table can be built again.
    pub(crate) async fn log_is_whole(&self, parts: &Parts) -> Result<bool> {
        for partition in &self.partitions {
            if parts.log.bounds(&partition.at)?.log_start > 0 {
                return Ok(match self.load_table(parts).await? {
                    None => true,
                    Some(table) => table.current_snapshot().is_none(),
                });
            }
        }
        Ok(true)
    }

    /// Goes back to what table, declaration and registry say.
    pub(crate) fn forget_columns(&self) {
        *self.active.write() = None;
        self.forget_decoded();
    }

    /// Decoded offsets that are not in the table, and their bytes.
    pub(crate) fn pending(&self) -> (i64, usize) {
        self.partitions.iter().fold((0, 0), |(records, bytes), partition| {
            partition.tail(|tail| {
                let pending = (tail.end() - tail.mark).max(0);
                (records + pending, bytes + tail.core.bytes_from(tail.mark) + tail.rejected_bytes)
            })
        })
    }

    /// The mark and the high watermark of each partition.
    pub(crate) fn extents(&self, parts: &Parts) -> Vec<Range<Offset>> {
        let extent = |partition: &Arc<PartitionTail>| {
            let mark = partition.tail(|tail| tail.mark);
            let end = parts.log.bounds(&partition.at).map_or(mark, |bounds| bounds.high_watermark);
            mark..end
        };
        self.partitions.iter().map(extent).collect()
    }

    pub(crate) fn has_rejected(&self) -> bool {
        self.partitions.iter().any(|partition| partition.tail(|tail| !tail.rejected.is_empty()))
    }

    pub(crate) fn failed(&self, error: &Error) {
        *self.figures.error.lock() = Some(error.clone());
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

impl Known {
    fn values_are_empty(&self) -> bool {
        self.own.fields().len() == self.shape.key_columns
    }
}

impl TopicTable {
    /// The shape, told apart from `previous` only by what makes decoded rows different.
    fn shape_with(&self, previous: &TopicTable) -> crate::columns::resolve::Shape {
        let mut shape = self.shape();
        // Nothing was decoded by a format that was not known.
        if previous.value_columns == 0 {
            shape.value_format = previous.value_format;
            shape.value_wrapped = previous.value_wrapped;
        }
        shape
    }
}

fn versions(subjects: &Subjects) -> (Option<i32>, Option<i32>) {
    (subjects.key.as_ref().map(|(v, _)| *v), subjects.value.as_ref().map(|(v, _)| *v))
}
