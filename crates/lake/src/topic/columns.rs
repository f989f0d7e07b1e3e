//! A topic's columns: found when they are first asked for, kept while they are right, grown as records show more.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use commitlog::{Isolation, Slice};
use model::{PartitionId, Result};
use parking_lot::{Mutex, RwLock};
use schemas::{Format, infer};
use tokio::sync::Mutex as AsyncMutex;

use super::TopicState;
use crate::{
    Origin, TopicTable,
    columns::{
        fit::{Cause, Fit, Growth, fit, grow, stored_columns},
        pseudo,
        resolve::{Guess, Knowledge, Known, Shape, Subjects, property},
    },
    lake::Parts,
    tail::decode::{DecodedSlice, is_text, sample},
};

/// Bytes looked at in each partition to guess what a topic holds.
const SAMPLE_BYTES: usize = 128 << 10;
const SAMPLE_RECORDS: usize = 2_000;
/// Partitions looked at.
const SAMPLE_PARTITIONS: PartitionId = 8;
/// Names of fields that were seen and left out; beyond this all are looked at again.
const IGNORED_FIELDS_MAX: usize = 4096;
/// What looks like text is text for good once so many records do.
const TEXT_SETTLED_RECORDS: usize = 20;

/// What is known of a topic's columns.
#[derive(Default)]
pub(super) struct Columns {
    active: RwLock<Option<Active>>,
    /// One resolution at a time.
    resolving: AsyncMutex<()>,
    ignored_fields: Mutex<BTreeSet<String>>,
    /// Text that may yet turn out to be separated into columns: its first line alone does not tell.
    text_is_settled: AtomicBool,
}

#[derive(Clone)]
struct Active {
    table: Arc<TopicTable>,
    /// Versions of the subjects looked at.
    subjects: (Option<i32>, Option<i32>),
    /// Records there were when they were looked at.
    records_seen: i64,
}

impl TopicState {
    /// What the topic looks like now. Usually answered from memory.
    pub(crate) async fn columns(&self, parts: &Parts) -> Result<Arc<TopicTable>> {
        if let Some(table) = self.current(parts) {
            return Ok(table);
        }
        let _one = self.columns.resolving.lock().await;
        if let Some(table) = self.current(parts) {
            return Ok(table);
        }
        self.resolve(parts).await
    }

    /// Only a copy in memory, whether or not it is still right.
    pub(crate) fn last_columns(&self) -> Option<Arc<TopicTable>> {
        self.columns.active.read().as_ref().map(|active| active.table.clone())
    }

    fn current(&self, parts: &Parts) -> Option<Arc<TopicTable>> {
        let active = self.columns.active.read().clone()?;
        let declaration = parts.declarations.of_topic(&self.topic.name);
        let same_declaration = match (&declaration, &active.table.declaration) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        // What no record has shown yet the first one may: of columns that are known without any, what its key looks like.
        let settled = active.table.value_columns > 0 && active.records_seen > 0;
        let known = settled || active.records_seen == self.records(parts);
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
        let active = self.columns.active.read().clone();
        let previous = active.as_ref().map(|active| active.table.clone());
        // What this process found since the last commit counts for more than the table.
        let grown = active.as_ref().filter(|active| {
            let table = &active.table;
            table.declaration.is_none() && table.value_columns > 0
        });
        let known = match (grown, stored) {
            (Some(Active { table, records_seen, .. }), stored) => {
                let known = Known::of_topic(table, *records_seen > 0);
                let key_is_text = known.key_is_text.or(stored.and_then(|stored| stored.key_is_text));
                Some(Known { key_is_text, ..known })
            }
            (None, stored) => stored,
        };
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

    /// Puts new columns in place. Rows that were decoded with columns of other types, or with more than there are now, are
    /// forgotten.
    fn install(&self, active: Active, previous: Option<&TopicTable>) {
        let compatible = previous.is_none_or(|previous| {
            previous.shape() == active.table.shape_with(previous)
                && fit(&active.table.schema, &previous.schema).conflicts.is_empty()
                && fit(&previous.schema, &active.table.schema) == Fit::default()
        });
        *self.columns.active.write() = Some(active);
        if !compatible {
            self.forget_decoded();
        }
    }

    fn subjects(&self, parts: &Parts) -> Subjects {
        if self.topic.name.is_protected() {
            return Subjects::default();
        }
        Subjects {
            key: parts.registry.latest(&format!("{}-key", self.topic.name)),
            value: parts.registry.latest(&format!("{}-value", self.topic.name)),
        }
    }

    /// Records ever committed, as a sum of where partitions end.
    fn records(&self, parts: &Parts) -> i64 {
        self.partitions.iter().filter_map(|p| parts.log.bounds(&p.at).ok()).map(|b| b.last_stable).sum()
    }

    async fn guess(&self, parts: &Parts) -> Result<Guess> {
        let mut values: Vec<Option<Vec<u8>>> = Vec::new();
        let mut key_is_text = true;
        for partition in self.partitions.iter().take(SAMPLE_PARTITIONS as usize) {
            let bounds = parts.log.bounds(&partition.at)?;
            if bounds.last_stable <= bounds.log_start {
                continue;
            }
            let slice = parts.log.read(&partition.at, bounds.log_start, SAMPLE_BYTES, Isolation::Committed).await?;
            let wanted = bounds.log_start..bounds.last_stable;
            sample(&slice, &wanted, |record| {
                key_is_text &= record.key.is_none_or(is_text);
                if values.len() < SAMPLE_RECORDS * SAMPLE_PARTITIONS as usize {
                    values.push(record.value.map(<[u8]>::to_vec));
                }
            })?;
        }
        let payloads = values.iter().flatten().count();
        self.columns.text_is_settled.store(payloads >= TEXT_SETTLED_RECORDS, Ordering::Relaxed);
        let value = infer::infer(values.iter().map(Option::as_deref), &*parts.schemas());
        Ok(Guess { value, key_is_text })
    }

    /// Whether decoding `slice` showed something the columns lack.
    pub(crate) fn wants_growth(&self, table: &TopicTable, slice: &DecodedSlice) -> bool {
        match &table.origin {
            Origin::Unknown => slice.has_values,
            Origin::Inferred | Origin::Registry { .. } => {
                if table.value_format == Format::Text
                    && slice.has_values
                    && !self.columns.text_is_settled.load(Ordering::Relaxed)
                {
                    return true;
                }
                if !slice.rejected.is_empty() && slice.rejected.iter().any(|bad| bad.part == "value") {
                    return true;
                }
                let ignored = self.columns.ignored_fields.lock();
                slice.unknown_fields.iter().any(|field| !ignored.contains(field))
            }
            Origin::Declared => false,
        }
    }

    /// Lets columns that nobody declared grow to take the records of `slice`. True if the columns changed.
    pub(crate) async fn grow(
        &self,
        parts: &Parts,
        decoded_with: &Arc<TopicTable>,
        slice: &Slice,
        decoded: &DecodedSlice,
    ) -> Result<bool> {
        let _one = self.columns.resolving.lock().await;
        let Some(active) = self.columns.active.read().clone() else { return Ok(true) };
        if !Arc::ptr_eq(&active.table, decoded_with) {
            return Ok(true);
        }
        if active.table.origin == Origin::Unknown {
            let before = active.table;
            *self.columns.active.write() = None;
            return Ok(*self.resolve(parts).await?.schema != *before.schema);
        }
        let mut values = Vec::new();
        sample(slice, &decoded.range, |record| values.push(record.value.map(<[u8]>::to_vec)))?;
        let table = &active.table;
        let values = values.iter().map(Option::as_deref);
        let inferred = match table.value_format {
            Format::Delimited { delimiter } => {
                let own = &table.schema.fields()[table.key_columns..table.own_columns()];
                let names: Vec<&str> = own.iter().map(|field| pseudo::field_of(field.name())).collect();
                infer::separated_by(values, delimiter, &names)
            }
            // One line may look like anything: all that came so far decides.
            Format::Text if !self.columns.text_is_settled.load(Ordering::Relaxed) => self.guess(parts).await?.value,
            format => match infer::columns_of(format, values.clone(), &*parts.schemas()) {
                Some(columns) => Some(infer::Inferred { format, columns, schema_id: None }),
                None => infer::infer(values, &*parts.schemas()),
            },
        };
        let new_columns = inferred.as_ref().map(|new| stored_columns(&pseudo::renamed(&new.columns)));
        let own = arrow::datatypes::Schema::new(table.schema.fields()[table.key_columns..table.own_columns()].to_vec());
        let may_retype = table.origin == Origin::Inferred && self.log_is_whole(parts).await?;
        let cause = match table.origin {
            Origin::Registry { .. } if table.value_format != Format::JsonSr => Cause::Schema,
            // What a JSON Schema leaves open is named by records.
            _ => Cause::Records { may_retype },
        };
        let growth = match (&inferred, &new_columns) {
            (Some(new), Some(columns)) if new.format == table.value_format => grow(&own, columns, cause),
            // Text that turns out to be bytes or separated: the changes of format that lose nothing.
            (Some(new), Some(columns))
                if may_retype
                    && table.value_format == Format::Text
                    && matches!(new.format, Format::Bytes | Format::Delimited { .. }) =>
            {
                Growth::Retyped(columns.clone())
            }
            _ => Growth::Same,
        };
        let format = match (&growth, &inferred) {
            (Growth::Retyped(_), Some(new)) => new.format,
            _ => table.value_format,
        };
        if let Growth::Added(columns) | Growth::Retyped(columns) = growth {
            let grown = Arc::new(table.with_values(&columns, format));
            // A declared key column keeps its name to itself.
            if grown.schema != table.schema || grown.value_format != table.value_format {
                tracing::info!(topic = %self.topic.name, columns = grown.own_columns(), "columns grew");
                self.install(Active { table: grown, ..active.clone() }, Some(table));
                return Ok(true);
            }
        }
        let mut ignored = self.columns.ignored_fields.lock();
        if ignored.len() < IGNORED_FIELDS_MAX {
            ignored.extend(decoded.unknown_fields.iter().cloned());
        }
        Ok(false)
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
        *self.columns.active.write() = None;
        self.forget_decoded();
    }
}

impl Known {
    fn values_are_empty(&self) -> bool {
        self.own.fields().len() == self.shape.key_columns
    }
}

impl TopicTable {
    /// The shape, told apart from `previous` only by what makes decoded rows different.
    fn shape_with(&self, previous: &TopicTable) -> Shape {
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
