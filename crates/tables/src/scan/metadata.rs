//! A table's own bookkeeping as tables: `"t$snapshots"`, `"t$history"`, `"t$files"`, `"t$manifests"`, `"t$partitions"`,
//! `"t$refs"`. Rows are made when scanned; all but the first two of a snapshot's contents speak of the pinned state.

use std::{any::Any, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, Session, TableProvider},
    datasource::TableType,
    error::Result as DfResult,
    logical_expr::Expr,
    physical_plan::ExecutionPlan,
};
use iceberg::spec::{
    DataContentType, Datum, ManifestContentType, ManifestEntryRef, ManifestFile, PartitionSpecRef, Struct,
};
use model::{Error, Result, error::codes};

use super::provider::external;
use crate::{Table, Tables, error::internal};

/// Which bookkeeping to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataTable {
    /// Every snapshot still kept.
    Snapshots,
    /// Which snapshot was current from when on.
    History,
    /// Live data and delete files of the current snapshot.
    Files,
    /// Manifests of the current snapshot.
    Manifests,
    /// Rows, files and bytes by partition.
    Partitions,
    /// Branches and tags.
    Refs,
}

impl MetadataTable {
    /// All of them, as named after the `$`.
    pub const ALL: [(&'static str, Self); 6] = [
        ("snapshots", Self::Snapshots),
        ("history", Self::History),
        ("files", Self::Files),
        ("manifests", Self::Manifests),
        ("partitions", Self::Partitions),
        ("refs", Self::Refs),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).expect("all kinds are listed").0
    }

    fn schema(self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let int = |name: &str| Field::new(name, DataType::Int32, true);
        let long = |name: &str| Field::new(name, DataType::Int64, true);
        let time = |name: &str| Field::new(name, timestamp(), true);
        Arc::new(ArrowSchema::new(match self {
            Self::Snapshots => vec![
                time("committed_at"),
                long("snapshot_id"),
                long("parent_id"),
                long("sequence_number"),
                text("operation"),
                long("added_records"),
                long("total_records"),
                long("total_data_files"),
                text("manifest_list"),
                text("summary"),
            ],
            Self::History => vec![
                time("made_current_at"),
                long("snapshot_id"),
                long("parent_id"),
                Field::new("is_current_ancestor", DataType::Boolean, true),
            ],
            Self::Files => vec![
                text("content"),
                text("file_path"),
                text("file_format"),
                int("spec_id"),
                text("partition"),
                long("record_count"),
                long("file_size_in_bytes"),
                long("sequence_number"),
                long("snapshot_id"),
                text("null_value_counts"),
                text("lower_bounds"),
                text("upper_bounds"),
            ],
            Self::Manifests => vec![
                text("content"),
                text("path"),
                long("length"),
                int("partition_spec_id"),
                long("added_snapshot_id"),
                long("sequence_number"),
                long("added_files_count"),
                long("existing_files_count"),
                long("deleted_files_count"),
            ],
            Self::Partitions => vec![
                text("partition"),
                int("spec_id"),
                long("record_count"),
                long("file_count"),
                long("total_data_file_size_in_bytes"),
                long("position_delete_record_count"),
                long("position_delete_file_count"),
                long("equality_delete_file_count"),
            ],
            Self::Refs => vec![
                text("name"),
                text("type"),
                long("snapshot_id"),
                long("max_reference_age_in_ms"),
                long("min_snapshots_to_keep"),
                long("max_snapshot_age_in_ms"),
            ],
        }))
    }
}

impl FromStr for MetadataTable {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|(known, _)| *known).collect();
            Error::new(codes::TABLE_NOT_FOUND, format!("there is no metadata table `${}`", name.escape_debug()))
                .hint(format!("there are: ${}", known.join(", $")))
        })
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// Bookkeeping `kind` of `table`.
pub fn provider_metadata(tables: &Tables, table: Arc<Table>, kind: MetadataTable) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MetadataProvider { tables: tables.clone(), table, kind, schema: kind.schema() }))
}

struct MetadataProvider {
    tables: Tables,
    table: Arc<Table>,
    kind: MetadataTable,
    schema: SchemaRef,
}

impl fmt::Debug for MetadataProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}${}", self.table.name(), self.kind.name())
    }
}

#[async_trait]
impl TableProvider for MetadataProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let columns = self.columns().await.map_err(external)?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?.scan(session, projection, filters, limit).await
    }
}

impl MetadataProvider {
    async fn columns(&self) -> Result<Vec<ArrayRef>> {
        match self.kind {
            MetadataTable::Snapshots => self.snapshots(),
            MetadataTable::History => Ok(self.history()),
            MetadataTable::Files => Ok(self.files().await?),
            MetadataTable::Manifests => Ok(self.manifests().await?),
            MetadataTable::Partitions => Ok(self.partitions().await?),
            MetadataTable::Refs => self.refs(),
        }
    }

    fn snapshots(&self) -> Result<Vec<ArrayRef>> {
        let mut all: Vec<_> = self.table.metadata().snapshots().collect();
        all.sort_by_key(|snapshot| snapshot.sequence_number());
        let summary = |s: &&&iceberg::spec::SnapshotRef| {
            let sorted: BTreeMap<_, _> = s.summary().additional_properties.iter().collect();
            serde_json::to_string(&sorted).expect("a map of strings is JSON")
        };
        let number =
            |s: &iceberg::spec::SnapshotRef, key: &str| s.summary().additional_properties.get(key)?.parse::<i64>().ok();
        Ok(vec![
            times(all.iter().map(|s| s.timestamp_ms())),
            longs(all.iter().map(|s| Some(s.snapshot_id()))),
            longs(all.iter().map(|s| s.parent_snapshot_id())),
            longs(all.iter().map(|s| Some(s.sequence_number()))),
            texts(all.iter().map(|s| Some(s.summary().operation.as_str().to_owned()))),
            longs(all.iter().map(|s| number(s, "added-records"))),
            longs(all.iter().map(|s| number(s, "total-records"))),
            longs(all.iter().map(|s| number(s, "total-data-files"))),
            texts(all.iter().map(|s| Some(s.manifest_list().to_owned()))),
            texts(all.iter().map(|s| Some(summary(&s)))),
        ])
    }

    fn history(&self) -> Vec<ArrayRef> {
        let metadata = self.table.metadata();
        let log = metadata.history();
        let ancestors: Vec<i64> = match self.table.current_snapshot() {
            Some(current) => self.table.ancestors(current).map(|s| s.snapshot_id()).collect(),
            None => Vec::new(),
        };
        let parent = |id| metadata.snapshot_by_id(id).and_then(|s| s.parent_snapshot_id());
        vec![
            times(log.iter().map(|entry| entry.timestamp_ms)),
            longs(log.iter().map(|entry| Some(entry.snapshot_id))),
            longs(log.iter().map(|entry| parent(entry.snapshot_id))),
            Arc::new(BooleanArray::from_iter(log.iter().map(|entry| Some(ancestors.contains(&entry.snapshot_id))))),
        ]
    }

    async fn list(&self) -> Result<Vec<ManifestFile>> {
        match self.table.current_snapshot() {
            Some(snapshot) => Ok(self.tables.manifests().list(snapshot).await?.entries().to_vec()),
            None => Ok(Vec::new()),
        }
    }

    /// Live entries with their partition spec.
    async fn entries(&self) -> Result<Vec<(ManifestEntryRef, PartitionSpecRef)>> {
        let mut all = Vec::new();
        for manifest in self.list().await? {
            let spec = self.table.metadata().partition_spec_by_id(manifest.partition_spec_id).ok_or_else(|| {
                Error::new(codes::TABLE_CORRUPT, format!("could not read the files of `{}`", self.table.name()))
                    .detail(format!("partition spec {} is missing", manifest.partition_spec_id))
            })?;
            let entries = self.tables.manifests().entries(&manifest).await?;
            all.extend(entries.iter().filter(|e| e.is_alive()).map(|entry| (entry.clone(), spec.clone())));
        }
        Ok(all)
    }

    fn partition_path(&self, spec: &PartitionSpecRef, partition: &Struct) -> Option<String> {
        // A partition that does not fit its spec would panic in `partition_to_path`.
        let fits = !spec.is_unpartitioned() && spec.fields().len() == partition.fields().len();
        fits.then(|| spec.partition_to_path(partition, self.table.metadata().current_schema().clone()))
    }

    /// Column name → value, as JSON.
    fn by_column<V: fmt::Display>(&self, values: impl Iterator<Item = (i32, V)>) -> Option<String> {
        let schema = self.table.metadata().current_schema();
        let named: BTreeMap<String, String> = values
            .map(|(id, value)| {
                (schema.name_by_field_id(id).map_or_else(|| format!("#{id}"), str::to_owned), value.to_string())
            })
            .collect();
        (!named.is_empty()).then(|| serde_json::to_string(&named).expect("a map of strings is JSON"))
    }

    async fn files(&self) -> Result<Vec<ArrayRef>> {
        let all = self.entries().await?;
        let files = || all.iter().map(|(entry, _)| entry.data_file());
        let bounds = |bounds: &std::collections::HashMap<i32, Datum>| {
            self.by_column(bounds.iter().map(|(id, datum)| (*id, datum.to_human_string())))
        };
        Ok(vec![
            texts(files().map(|f| Some(content(f.content_type()).to_owned()))),
            texts(files().map(|f| Some(f.file_path().to_owned()))),
            texts(files().map(|f| Some(f.file_format().to_string().to_uppercase()))),
            ints(all.iter().map(|(_, spec)| Some(spec.spec_id()))),
            texts(all.iter().map(|(entry, spec)| self.partition_path(spec, entry.data_file().partition()))),
            longs(files().map(|f| i64::try_from(f.record_count()).ok())),
            longs(files().map(|f| i64::try_from(f.file_size_in_bytes()).ok())),
            longs(all.iter().map(|(entry, _)| entry.sequence_number())),
            longs(all.iter().map(|(entry, _)| entry.snapshot_id())),
            texts(files().map(|f| self.by_column(f.null_value_counts().iter().map(|(id, nulls)| (*id, *nulls))))),
            texts(files().map(|f| bounds(f.lower_bounds()))),
            texts(files().map(|f| bounds(f.upper_bounds()))),
        ])
    }

    async fn manifests(&self) -> Result<Vec<ArrayRef>> {
        let all = self.list().await?;
        let kind = |m: &ManifestFile| match m.content {
            ManifestContentType::Data => "DATA",
            ManifestContentType::Deletes => "DELETES",
        };
        Ok(vec![
            texts(all.iter().map(|m| Some(kind(m).to_owned()))),
            texts(all.iter().map(|m| Some(m.manifest_path.clone()))),
            longs(all.iter().map(|m| Some(m.manifest_length))),
            ints(all.iter().map(|m| Some(m.partition_spec_id))),
            longs(all.iter().map(|m| Some(m.added_snapshot_id))),
            longs(all.iter().map(|m| Some(m.sequence_number))),
            longs(all.iter().map(|m| m.added_files_count.map(i64::from))),
            longs(all.iter().map(|m| m.existing_files_count.map(i64::from))),
            longs(all.iter().map(|m| m.deleted_files_count.map(i64::from))),
        ])
    }

    async fn partitions(&self) -> Result<Vec<ArrayRef>> {
        #[derive(Default)]
        struct Totals {
            rows: i64,
            files: i64,
            bytes: i64,
            position_deletes: i64,
            position_delete_files: i64,
            equality_delete_files: i64,
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut totals: BTreeMap<(i32, Option<String>), Totals> = BTreeMap::new();
        for (entry, spec) in self.entries().await? {
            let file = entry.data_file();
            let totals = totals.entry((spec.spec_id(), self.partition_path(&spec, file.partition()))).or_default();
            match file.content_type() {
                DataContentType::Data => {
                    totals.rows += signed(file.record_count());
                    totals.bytes += signed(file.file_size_in_bytes());
                    totals.files += 1;
                }
                DataContentType::PositionDeletes => {
                    totals.position_deletes += signed(file.record_count());
                    totals.position_delete_files += 1;
                }
                DataContentType::EqualityDeletes => totals.equality_delete_files += 1,
            }
        }
        let values = |of: fn(&Totals) -> i64| longs(totals.values().map(move |t| Some(of(t))));
        Ok(vec![
            texts(totals.keys().map(|(_, path)| path.clone())),
            ints(totals.keys().map(|(spec, _)| Some(*spec))),
            values(|t| t.rows),
            values(|t| t.files),
            values(|t| t.bytes),
            values(|t| t.position_deletes),
            values(|t| t.position_delete_files),
            values(|t| t.equality_delete_files),
        ])
    }

    /// The metadata keeps its references to itself; its JSON does not.
    fn refs(&self) -> Result<Vec<ArrayRef>> {
        let json = serde_json::to_value(&**self.table.metadata())
            .map_err(|e| internal(format!("could not list the references of `{}`", self.table.name()), e))?;
        let empty = serde_json::Map::new();
        let all = json.get("refs").and_then(|refs| refs.as_object()).unwrap_or(&empty);
        let number = |key: &'static str| longs(all.values().map(move |r| r.get(key).and_then(|v| v.as_i64())));
        let kind = |r: &serde_json::Value| r.get("type").and_then(|v| v.as_str()).map(str::to_uppercase);
        Ok(vec![
            texts(all.keys().map(|name| Some(name.clone()))),
            texts(all.values().map(kind)),
            number("snapshot-id"),
            number("max-ref-age-ms"),
            number("min-snapshots-to-keep"),
            number("max-snapshot-age-ms"),
        ])
    }
}

fn content(of: DataContentType) -> &'static str {
    match of {
        DataContentType::Data => "DATA",
        DataContentType::PositionDeletes => "POSITION_DELETES",
        DataContentType::EqualityDeletes => "EQUALITY_DELETES",
    }
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn ints(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(Int32Array::from_iter(values))
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn times(ms: impl Iterator<Item = i64>) -> ArrayRef {
    let micros = ms.map(|ms| ms.saturating_mul(1000));
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("+00:00"))
}
