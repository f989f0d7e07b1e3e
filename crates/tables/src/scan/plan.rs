//! From a snapshot and a predicate to the files that must be read, with the deletes of each.
//!
//! Planning reads the manifest list, skips manifests by their partition summaries, reads the rest (from the process-wide
//! cache as a rule), skips files by their bounds, and pairs what is left with delete files. It opens no data file.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    datatypes::{Schema as ArrowSchema, SchemaRef},
};
use datafusion::{
    common::{ScalarValue, cast::as_boolean_array, pruning::PruningStatistics},
    physical_expr::PhysicalExpr,
    physical_optimizer::pruning::PruningPredicate,
};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Datum, Literal, ManifestContentType, ManifestEntryRef, ManifestFile,
    NestedFieldRef, PartitionSpec, PartitionSpecRef, PrimitiveLiteral, Schema, Snapshot, Struct, TableMetadata,
    Transform,
};
use model::{Error, Result, TableName, error::codes};

use super::bounds::{Columns, FileBounds, HasFile, ManifestBounds, scalar};
use crate::{Manifests, error::internal};

/// How many manifests are fetched at once when they are not cached.
const MANIFESTS_IN_FLIGHT: usize = 8;

/// Column ids of a position delete file.
const DELETE_PATH_ID: i32 = iceberg::metadata_columns::RESERVED_FIELD_ID_DELETE_FILE_PATH;

/// What planning saw and what it skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanStats {
    pub manifests: usize,
    /// Manifests not even read, by partition summaries.
    pub manifests_skipped: usize,
    /// Live data files in the manifests that were read.
    pub files: usize,
    /// Data files left out: by bounds, by partition, or because the limit was reached.
    pub files_skipped: usize,
    /// Delete files that apply to the files kept.
    pub delete_files: usize,
}

/// A data file to read.
#[derive(Clone, Debug)]
pub(crate) struct PlannedFile {
    pub(crate) entry: ManifestEntryRef,
    pub(crate) spec: PartitionSpecRef,
    pub(crate) deletes: Vec<ManifestEntryRef>,
}

impl PlannedFile {
    pub(crate) fn path(&self) -> &str {
        self.entry.file_path()
    }

    fn sequence_number(&self) -> i64 {
        self.entry.sequence_number().unwrap_or(0)
    }
}

impl HasFile for PlannedFile {
    fn file(&self) -> &DataFile {
        self.entry.data_file()
    }

    fn spec(&self) -> &PartitionSpec {
        &self.spec
    }
}

/// What to plan.
pub(super) struct Planning<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) table: &'a TableName,
    pub(super) metadata: &'a TableMetadata,
    pub(super) schema: &'a Schema,
    pub(super) columns: &'a Columns,
    /// All filters, over the columns' schema: what may be skipped.
    pub(super) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Filters over identity-partitioned columns only, which planning decides for good.
    pub(super) partition_filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Stop when this many rows are sure to come.
    pub(super) limit: Option<usize>,
}

impl Planning<'_> {
    pub(super) async fn run(&self, snapshot: &Snapshot) -> Result<(Vec<PlannedFile>, PlanStats)> {
        let list = self.manifests.list(snapshot).await?;
        let mut stats = PlanStats { manifests: list.entries().len(), ..PlanStats::default() };
        let pruning = self.pruning();

        let all: Vec<&ManifestFile> =
            list.entries().iter().filter(|m| m.has_added_files() || m.has_existing_files()).collect();
        let kept = self.prune_manifests(&all, pruning.as_ref());
        stats.manifests_skipped = stats.manifests - kept.len();
        let (data, deletes): (Vec<&ManifestFile>, Vec<&ManifestFile>) =
            kept.into_iter().partition(|m| m.content == ManifestContentType::Data);

        let mut files = Vec::new();
        for (manifest, entries) in self.read(data).await? {
            let spec = self.spec(manifest)?;
            for entry in entries.iter().filter(|entry| entry.is_alive()) {
                refuse_unreadable(self.table, entry)?;
                files.push(PlannedFile { entry: entry.clone(), spec: spec.clone(), deletes: Vec::new() });
            }
        }
        stats.files = files.len();
        files = self.prune_files(files, pruning.as_ref())?;
        // Manifests may be read in any order; a plan reads the same each time.
        files.sort_by(|a, b| (a.sequence_number(), a.path()).cmp(&(b.sequence_number(), b.path())));

        let mut index = DeleteIndex::default();
        if !files.is_empty() {
            for (manifest, entries) in self.read(deletes).await? {
                for entry in entries.iter().filter(|entry| entry.is_alive()) {
                    refuse_unreadable(self.table, entry)?;
                    index.add(entry, manifest.partition_spec_id);
                }
            }
        }
        for file in &mut files {
            file.deletes = index.of(file);
            stats.delete_files += file.deletes.len();
        }
        if let Some(limit) = self.limit
            && stats.delete_files == 0
        {
            let mut rows = 0;
            let enough = files.iter().position(|file| {
                rows += file.entry.record_count() as usize;
                rows >= limit
            });
            files.truncate(enough.map_or(files.len(), |last| last + 1));
        }
        stats.files_skipped = stats.files - files.len();
        Ok((files, stats))
    }

    /// Entries of each manifest, several read at once, in the given order.
    async fn read<'m>(
        &self,
        manifests: Vec<&'m ManifestFile>,
    ) -> Result<Vec<(&'m ManifestFile, Arc<[ManifestEntryRef]>)>> {
        let reads: Vec<_> = manifests.iter().map(|manifest| self.manifests.entries(manifest)).collect();
        let entries: Vec<_> = stream::iter(reads).buffered(MANIFESTS_IN_FLIGHT).try_collect().await?;
        Ok(manifests.into_iter().zip(entries).collect())
    }

    fn spec(&self, manifest: &ManifestFile) -> Result<PartitionSpecRef> {
        self.metadata.partition_spec_by_id(manifest.partition_spec_id).cloned().ok_or_else(|| {
            Error::new(codes::TABLE_CORRUPT, format!("could not read table `{}`", self.table)).detail(format!(
                "manifest `{}` uses partition spec {}, which the table does not have",
                manifest.manifest_path, manifest.partition_spec_id
            ))
        })
    }

    /// A predicate that cannot be turned into one over bounds skips nothing.
    fn pruning(&self) -> Option<PruningPredicate> {
        let predicate = self.predicate.clone()?;
        match PruningPredicate::try_new(predicate, self.columns.schema.clone()) {
            Ok(pruning) if !pruning.always_true() => Some(pruning),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(table = %self.table, %error, "filter is not used for pruning");
                None
            }
        }
    }

    fn prune_manifests<'m>(
        &self,
        manifests: &[&'m ManifestFile],
        pruning: Option<&PruningPredicate>,
    ) -> Vec<&'m ManifestFile> {
        let bounds = ManifestBounds { columns: self.columns, manifests, metadata: self.metadata, schema: self.schema };
        let keep = self.keep(pruning, &bounds);
        manifests.iter().zip(keep).filter_map(|(manifest, keep)| keep.then_some(*manifest)).collect()
    }

    fn prune_files(&self, mut files: Vec<PlannedFile>, pruning: Option<&PruningPredicate>) -> Result<Vec<PlannedFile>> {
        let mut keep = self.keep(pruning, &FileBounds { columns: self.columns, files: &files });
        for filter in &self.partition_filters {
            let selected = self.evaluate_on_partitions(filter, &files)?;
            keep.iter_mut().zip(selected.iter()).for_each(|(keep, selected)| *keep &= selected == Some(true));
        }
        let mut keep = keep.into_iter();
        files.retain(|_| keep.next().expect("one answer for each file"));
        Ok(files)
    }

    fn keep(&self, pruning: Option<&PruningPredicate>, statistics: &dyn PruningStatistics) -> Vec<bool> {
        let count = statistics.num_containers();
        let Some(pruning) = pruning.filter(|_| count > 0) else { return vec![true; count] };
        pruning.prune(statistics).unwrap_or_else(|error| {
            tracing::debug!(table = %self.table, %error, "bounds are not used for pruning");
            vec![true; count]
        })
    }

    /// `filter` over one row per file, made of its partition values.
    fn evaluate_on_partitions(&self, filter: &Arc<dyn PhysicalExpr>, files: &[PlannedFile]) -> Result<BooleanArray> {
        let wrong = |e: datafusion::error::DataFusionError| {
            internal(format!("could not filter the partitions of `{}`", self.table), e)
        };
        let schema: SchemaRef = nullable(&self.columns.schema);
        let mut arrays = Vec::with_capacity(schema.fields().len());
        let used = datafusion::physical_expr::utils::collect_columns(filter);
        for (index, field) in schema.fields().iter().enumerate() {
            let to = field.data_type();
            let null = ScalarValue::try_new_null(to).map_err(wrong)?;
            let iceberg = self.columns.fields[index].as_ref().filter(|_| used.iter().any(|c| c.index() == index));
            let values = files.iter().map(|file| match iceberg.and_then(|iceberg| identity_value(file, iceberg)) {
                Some(value) => scalar(value, to).unwrap_or_else(|| null.clone()),
                None => null.clone(),
            });
            arrays.push(match files.is_empty() {
                true => arrow::array::new_empty_array(to),
                false => ScalarValue::iter_to_array(values).map_err(wrong)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options).map_err(|e| wrong(e.into()))?;
        let result = filter.evaluate(&batch).and_then(|v| v.into_array(files.len())).map_err(wrong)?;
        Ok(as_boolean_array(&result).map_err(wrong)?.clone())
    }
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(ArrowSchema::new(fields))
}

/// The value of `field` that is the same in every row of `file`, by an identity partition.
pub(super) fn identity_value<'a>(file: &'a PlannedFile, field: &NestedFieldRef) -> Option<&'a PrimitiveLiteral> {
    let at = file.spec.fields().iter().position(|p| p.source_id == field.id && p.transform == Transform::Identity)?;
    match file.entry.data_file().partition().fields().get(at)? {
        Some(Literal::Primitive(value)) => Some(value),
        _ => None,
    }
}

/// Whether every file of the table has one value of field `id`, known from its partition: then a filter over it is
/// decided by planning.
pub(super) fn is_identity_everywhere(metadata: &TableMetadata, id: i32) -> bool {
    metadata
        .partition_specs_iter()
        .all(|spec| spec.fields().iter().any(|p| p.source_id == id && p.transform == Transform::Identity))
}

/// What this reader does not read is an error, not an empty answer.
fn refuse_unreadable(table: &TableName, entry: &ManifestEntryRef) -> Result<()> {
    let what = match (entry.content_type(), entry.file_format()) {
        (DataContentType::PositionDeletes, DataFileFormat::Puffin) => "deletion vectors".to_owned(),
        (_, DataFileFormat::Parquet) => return Ok(()),
        (_, format) => format!("{format} files"),
    };
    Err(Error::new(codes::TABLE_UNREADABLE, format!("could not read table `{table}`"))
        .detail(format!("it holds {what} (`{}`), which are not supported", entry.file_path()))
        .hint("rewrite the table with the engine that wrote it, as Parquet and Iceberg v2"))
}

/// Live delete files of a snapshot, by what they may apply to.
#[derive(Default)]
struct DeleteIndex {
    by_path: HashMap<String, Vec<ManifestEntryRef>>,
    by_partition: HashMap<(i32, Struct), Vec<ManifestEntryRef>>,
    /// Equality deletes written without partition: they apply to all partitions.
    global: Vec<ManifestEntryRef>,
}

impl DeleteIndex {
    fn add(&mut self, entry: &ManifestEntryRef, spec_id: i32) {
        let file = entry.data_file();
        if let Some(path) = single_path(file) {
            self.by_path.entry(path).or_default().push(entry.clone());
        } else if file.content_type() == DataContentType::EqualityDeletes && file.partition().fields().is_empty() {
            self.global.push(entry.clone());
        } else {
            self.by_partition.entry((spec_id, file.partition().clone())).or_default().push(entry.clone());
        }
    }

    /// Deletes that may hit rows of `file`. Positions apply to data committed before or with them, equality deletes only
    /// to data committed before.
    fn of(&self, file: &PlannedFile) -> Vec<ManifestEntryRef> {
        if self.by_path.is_empty() && self.by_partition.is_empty() && self.global.is_empty() {
            return Vec::new();
        }
        let data = file.sequence_number();
        let partition = (file.spec.spec_id(), file.entry.data_file().partition().clone());
        let candidates = [self.by_path.get(file.path()), self.by_partition.get(&partition), Some(&self.global)];
        candidates
            .into_iter()
            .flatten()
            .flatten()
            .filter(|delete| {
                let deleted = delete.sequence_number().unwrap_or(0);
                match delete.content_type() {
                    DataContentType::EqualityDeletes => data < deleted,
                    _ => data <= deleted && may_name(delete.data_file(), file.path()),
                }
            })
            .cloned()
            .collect()
    }
}

/// The one data file a position delete file is about, if it says so.
fn single_path(file: &DataFile) -> Option<String> {
    if file.content_type() != DataContentType::PositionDeletes {
        return None;
    }
    file.referenced_data_file().or_else(|| {
        let (low, high) = path_bounds(file);
        (low.is_some() && low == high).then(|| low.expect("checked").to_owned())
    })
}

fn may_name(delete: &DataFile, path: &str) -> bool {
    let (low, high) = path_bounds(delete);
    low.is_none_or(|low| low <= path) && high.is_none_or(|high| path <= high)
}

fn path_bounds(file: &DataFile) -> (Option<&str>, Option<&str>) {
    fn text(datum: &Datum) -> Option<&str> {
        match datum.literal() {
            PrimitiveLiteral::String(text) => Some(text),
            _ => None,
        }
    }
    (file.lower_bounds().get(&DELETE_PATH_ID).and_then(text), file.upper_bounds().get(&DELETE_PATH_ID).and_then(text))
}
