//! The table provider.

use std::{any::Any, collections::BTreeSet, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DFSchema, Statistics, stats::Precision},
    config::TableParquetOptions,
    datasource::{
        TableType,
        listing::{FileRange, PartitionedFile},
        physical_plan::{
            FileGroup, FileScanConfigBuilder, FileSource, ParquetSource, parquet::CachedParquetFileReaderFactory,
        },
        source::DataSourceExec,
    },
    error::{DataFusionError, Result as DfResult},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        metrics::{ExecutionPlanMetricsSet, MetricBuilder},
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{SchemaRef as IcebergSchemaRef, SnapshotRef};
use model::Result;

use super::{
    bounds::{Columns, file_statistics},
    deletes::{Positions, access_plan, deleted_positions},
    plan::{PlanStats, PlannedFile, Planning, is_identity_everywhere},
    reader::Reader,
    resolve::ByFieldId,
    split::split,
};
use crate::{Table, Tables, Version};

/// Per-file statistics are kept up to this many columns × files; beyond, only the table's are.
const FILE_STATISTICS_MAX: usize = 200_000;

/// How many files' deletes are read at once.
const DELETES_IN_FLIGHT: usize = 4;

/// One snapshot of one table.
pub struct Provider {
    tables: Tables,
    table: Arc<Table>,
    snapshot: Option<SnapshotRef>,
    iceberg: IcebergSchemaRef,
    columns: Arc<Columns>,
}

impl Provider {
    pub(super) fn new(tables: &Tables, table: Arc<Table>, version: Version, schema: Option<SchemaRef>) -> Result<Self> {
        let snapshot = table.snapshot(&version)?;
        let iceberg = table.schema_at(&version)?;
        let schema = match schema {
            Some(schema) => schema,
            None => {
                let own = table.arrow_schema_at(&version)?;
                plain_schema(&own)
            }
        };
        let columns = Arc::new(Columns::new(schema, &iceberg));
        Ok(Self { tables: tables.clone(), table, snapshot, iceberg, columns })
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The snapshot that is read; `None` while the table is empty.
    pub fn snapshot(&self) -> Option<&SnapshotRef> {
        self.snapshot.as_ref()
    }

    pub(super) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    pub(super) fn reader(&self, session: &dyn Session) -> Reader {
        Reader::new(self.tables.files(), self.table.name(), session)
    }

    /// What a scan with these filters would read.
    pub async fn explain(&self, session: &dyn Session, filters: &[Expr], limit: Option<usize>) -> DfResult<PlanStats> {
        Ok(self.plan(session, filters, limit).await?.1)
    }

    pub(super) async fn plan(
        &self,
        session: &dyn Session,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<(Vec<PlannedFile>, PlanStats)> {
        let Some(snapshot) = &self.snapshot else { return Ok((Vec::new(), PlanStats::default())) };
        let schema = DFSchema::try_from(self.columns.schema.clone())?;
        let physical = |filter: Expr| session.create_physical_expr(filter, &schema);
        let usable = filters.iter().filter(|filter| !filter.is_volatile()).cloned();
        let predicate = conjunction(usable).map(physical).transpose()?;
        let partition_filters = filters.iter().filter(|filter| self.is_partition_filter(filter)).cloned();
        let planning = Planning {
            manifests: self.tables.manifests(),
            table: self.table.name(),
            metadata: self.table.metadata(),
            schema: &self.iceberg,
            columns: &self.columns,
            predicate,
            partition_filters: partition_filters.map(physical).collect::<DfResult<_>>()?,
            limit,
        };
        planning.run(snapshot).await.map_err(external)
    }

    /// Whether planning alone decides `filter`: it looks at nothing but columns with one value per file.
    fn is_partition_filter(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        !filter.is_volatile()
            && !columns.is_empty()
            && columns.iter().all(|column| {
                let index = self.columns.schema.index_of(column.name()).ok();
                index.and_then(|index| self.columns.fields[index].as_ref()).is_some_and(|field| {
                    !matches!(
                        field.field_type.as_primitive_type(),
                        None | Some(iceberg::spec::PrimitiveType::Float | iceberg::spec::PrimitiveType::Double)
                    ) && is_identity_everywhere(self.table.metadata(), field.id)
                        && self.keeps_partition_values(field.id)
                })
            })
    }

    /// Whether partition values of column `id` can be presented in this provider's type.
    fn keeps_partition_values(&self, id: i32) -> bool {
        let at = self.columns.fields.iter().position(|f| f.as_ref().is_some_and(|f| f.id == id));
        at.is_some_and(|at| {
            let to = self.columns.schema.field(at).data_type();
            let field = self.columns.fields[at].as_ref().expect("found by its id");
            let own = iceberg::arrow::type_to_arrow_type(&field.field_type);
            own.is_ok_and(|own| own == *to || matches!((&own, to), (DataType::Utf8, DataType::Utf8View)))
                && !matches!(to, DataType::FixedSizeBinary(_))
        })
    }

    /// Deleted rows of each file.
    async fn deletes(&self, reader: &Reader, files: &[PlannedFile]) -> DfResult<Vec<Option<Positions>>> {
        let reads: Vec<_> = files.iter().map(|file| self.deletes_of(reader, file)).collect();
        stream::iter(reads).buffered(DELETES_IN_FLIGHT).try_collect().await
    }

    async fn deletes_of(&self, reader: &Reader, file: &PlannedFile) -> DfResult<Option<Positions>> {
        if file.deletes.is_empty() {
            return Ok(None);
        }
        let positions = deleted_positions(reader, self.table.metadata(), file).await.map_err(external)?;
        Ok((!positions.is_empty()).then_some(positions))
    }

    /// Columns worth statistics: those the query looks at.
    fn interesting(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> Vec<usize> {
        let all = 0..self.columns.schema.fields().len();
        let mut wanted: BTreeSet<usize> = match projection {
            Some(projection) => projection.iter().copied().collect(),
            None => all.collect(),
        };
        let filtered = filters.iter().flat_map(|filter| filter.column_refs());
        wanted.extend(filtered.filter_map(|column| self.columns.schema.index_of(column.name()).ok()));
        wanted.into_iter().collect()
    }

    /// The files as DataFusion reads them, in groups of about the same size, with the statistics of all of them.
    async fn groups(
        &self,
        reader: &Reader,
        files: Vec<PlannedFile>,
        interesting: &[usize],
        partitions: usize,
    ) -> DfResult<(Vec<FileGroup>, Statistics)> {
        let deletes = self.deletes(reader, &files).await?;
        let schema = &self.columns.schema;
        let mut total = Statistics::new_unknown(schema);
        total.num_rows = Precision::Exact(0);
        total.total_byte_size = Precision::Inexact(0);
        let keep = files.len() * schema.fields().len() <= FILE_STATISTICS_MAX;

        let mut whole = Vec::with_capacity(files.len());
        for (file, deleted) in files.iter().zip(&deletes) {
            let gone = deleted.as_ref().map_or(0, |positions| positions.len() as u64);
            let mut statistics = file_statistics(&self.columns, file, gone, interesting);
            statistics.total_byte_size = Precision::Inexact(file.entry.file_size_in_bytes() as usize);
            total = if whole.is_empty() { statistics.clone() } else { total.try_merge(&statistics)? };

            let size = file.entry.file_size_in_bytes();
            let mut read = PartitionedFile::new_from_meta(reader.object_meta(file.path(), size).map_err(external)?);
            if let Some(positions) = deleted {
                let footer = reader.footer(file.path(), size).await.map_err(external)?;
                read = read.with_extensions(Arc::new(access_plan(&footer, positions)));
            }
            if keep {
                read.statistics = Some(Arc::new(statistics));
            }
            whole.push(read);
        }
        let sizes: Vec<(u64, &[i64])> = files
            .iter()
            .map(|file| (file.entry.file_size_in_bytes(), file.entry.data_file().split_offsets().unwrap_or_default()))
            .collect();
        let groups = split(&sizes, partitions).into_iter().map(|pieces| {
            let mut rows = 0.0;
            let mut bytes = 0;
            let members = pieces.into_iter().map(|piece| {
                let mut read = whole[piece.file].clone();
                let share = (piece.range.end - piece.range.start) as f64 / sizes[piece.file].0.max(1) as f64;
                rows += files[piece.file].entry.record_count() as f64 * share;
                bytes += (piece.range.end - piece.range.start) as usize;
                // Always a range, so that DataFusion leaves the groups as they are.
                read.range = Some(FileRange { start: piece.range.start as i64, end: piece.range.end as i64 });
                read
            });
            let group = FileGroup::new(members.collect());
            let mut statistics = total.clone().to_inexact();
            statistics.num_rows = Precision::Inexact(rows as usize);
            statistics.total_byte_size = Precision::Inexact(bytes);
            group.with_statistics(Arc::new(statistics))
        });
        Ok((groups.collect(), total))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("table", self.table.name())
            .field("snapshot", &self.snapshot.as_ref().map(|snapshot| snapshot.snapshot_id()))
            .finish()
    }
}

#[async_trait]
impl TableProvider for Provider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.columns.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let kind = |filter: &&Expr| match filter {
            filter if self.is_partition_filter(filter) => TableProviderFilterPushDown::Exact,
            filter if filter.is_volatile() => TableProviderFilterPushDown::Unsupported,
            _ => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(kind).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        // A limit counts rows that pass all filters; planning knows those only if it decides the filters itself.
        let countable = filters.iter().all(|filter| self.is_partition_filter(filter));
        let (files, stats) = self.plan(session, filters, limit.filter(|_| countable)).await?;
        tracing::debug!(table = %self.table.name(), ?stats, "scan planned");
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.columns.schema.project(projection)?),
                None => self.columns.schema.clone(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }

        let reader = self.reader(session);
        let interesting = self.interesting(projection, filters);
        let partitions = session.config().target_partitions();
        let (groups, statistics) = self.groups(&reader, files, &interesting, partitions).await?;

        let store_url = ObjectStoreUrl::parse(self.tables.files().object_store_url())?;
        session.runtime_env().register_object_store(store_url.as_ref(), reader.store().clone());
        let options = TableParquetOptions {
            global: session.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let factory = CachedParquetFileReaderFactory::new(reader.store().clone(), reader.footers().clone());
        let source = ParquetSource::new(self.columns.schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(factory));
        count(source.metrics(), &stats);
        let config = FileScanConfigBuilder::new(store_url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| countable))
            .with_expr_adapter(Some(Arc::new(ByFieldId { columns: self.columns.clone() })))
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// What planning skipped, for EXPLAIN ANALYZE.
fn count(metrics: &ExecutionPlanMetricsSet, stats: &PlanStats) {
    let counters = [
        ("manifests_skipped", stats.manifests_skipped),
        ("files_skipped", stats.files_skipped),
        ("delete_files", stats.delete_files),
    ];
    for (name, value) in counters {
        MetricBuilder::new(metrics).global_counter(name).add(value);
    }
}

/// Our errors on their way through DataFusion; whoever runs the plan finds them with `downcast`.
pub(super) fn external(error: model::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `schema` without metadata: field ids are the scan's business, and a plan compares schemas with their metadata.
pub fn plain_schema(schema: &ArrowSchema) -> SchemaRef {
    map_types(schema, &|of| of.clone())
}

/// [`plain_schema`] with strings as views, which group, join and compare faster. For [`super::provider_as`].
pub fn with_string_views(schema: &ArrowSchema) -> SchemaRef {
    map_types(schema, &|of| match of {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        other => other.clone(),
    })
}

/// The same fields without metadata, with `leaf` applied to each type that is not nested.
fn map_types(schema: &ArrowSchema, leaf: &dyn Fn(&DataType) -> DataType) -> SchemaRef {
    fn field(of: &FieldRef, leaf: &dyn Fn(&DataType) -> DataType) -> FieldRef {
        Arc::new(Field::new(of.name(), data_type(of.data_type(), leaf), of.is_nullable()))
    }
    fn data_type(of: &DataType, leaf: &dyn Fn(&DataType) -> DataType) -> DataType {
        match of {
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f, leaf)).collect()),
            DataType::List(item) => DataType::List(field(item, leaf)),
            DataType::LargeList(item) => DataType::LargeList(field(item, leaf)),
            DataType::Map(entries, sorted) => DataType::Map(field(entries, leaf), *sorted),
            other => leaf(other),
        }
    }
    Arc::new(ArrowSchema::new(schema.fields().iter().map(|f| field(f, leaf)).collect::<Fields>()))
}
