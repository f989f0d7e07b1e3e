//! Where rows are: the table with two more columns, `_file` and `_pos`, for DELETE, UPDATE and MERGE.
//!
//! The statement's whole input plan runs over this provider; what comes out names the rows to delete, and (for UPDATE)
//! carries the columns to write anew. Rows that are deleted already do not appear, so nothing is deleted twice.

use std::{any::Any, collections::BTreeMap, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, StringViewBuilder},
    buffer::Buffer,
    datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        ScalarValue,
        cast::{as_int64_array, as_string_view_array},
    },
    datasource::TableType,
    error::{DataFusionError, Result as DfResult},
    execution::{SendableRecordBatchStream, TaskContext, runtime_env::RuntimeEnv},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_expr::{
        PhysicalExpr,
        expressions::{Column, lit},
        utils::{collect_columns, reassign_expr_columns},
    },
    physical_expr_adapter::PhysicalExprAdapter,
    physical_plan::{
        ExecutionPlan,
        empty::EmptyExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
    prelude::SessionContext,
};
use futures::{StreamExt, TryStreamExt, stream};
use model::{Error, Result, error::codes};
use parquet::arrow::{ProjectionMask, RowNumber, arrow_reader::ArrowReaderOptions};

use super::{
    Provider,
    bounds::{Columns, scalar},
    deletes::{access_plan, deleted_positions},
    plan::{PlannedFile, identity_value},
    provider::external,
    reader::{Reader, find_root},
    resolve::Adapter,
    split::split,
};
use crate::{Table, Tables, Version};

/// Location of the data file a row is in.
pub const FILE_COLUMN: &str = "_file";
/// Position of the row in its file, from 0.
pub const POS_COLUMN: &str = "_pos";

/// What the reader calls row numbers while it reads; no column of a table can be called that.
const ROW_NUMBER: &str = "\u{1}row";

/// Rows of a batch that is not for a query.
const LIVE_ROWS_BATCH: usize = 8 << 10;

/// The current state of `table` with [`FILE_COLUMN`] (Utf8View) and [`POS_COLUMN`] (Int64) at the end.
pub fn provider_with_positions(tables: &Tables, table: Arc<Table>) -> Result<Arc<dyn TableProvider>> {
    let inner = Provider::new(tables, table, Version::Current, None)?;
    let mut fields: Vec<Arc<Field>> = inner.columns().schema.fields().iter().cloned().collect();
    if let Some(taken) = fields.iter().find(|f| f.name() == FILE_COLUMN || f.name() == POS_COLUMN) {
        let message = format!("could not find rows of `{}` by position", inner.table().name());
        return Err(Error::new(codes::SCHEMA_UNSUPPORTED, message)
            .detail(format!("the table has a column called `{}`", taken.name()))
            .hint("rename the column"));
    }
    fields.push(Arc::new(Field::new(FILE_COLUMN, DataType::Utf8View, false)));
    fields.push(Arc::new(Field::new(POS_COLUMN, DataType::Int64, false)));
    Ok(Arc::new(PositionProvider { inner: Arc::new(inner), schema: Arc::new(ArrowSchema::new(fields)) }))
}

/// Rows of `table` that pass `filter`, as ascending positions by data file: what
/// [`Tables::write_position_deletes`](crate::Tables::write_position_deletes) takes.
pub async fn row_positions(
    context: &SessionContext,
    tables: &Tables,
    table: Arc<Table>,
    filter: Expr,
) -> Result<Vec<(String, Vec<u64>)>> {
    let name = table.name().clone();
    let provider = provider_with_positions(tables, table)?;
    let found = async {
        let rows = context.read_table(provider)?.filter(filter)?.select_columns(&[FILE_COLUMN, POS_COLUMN])?;
        let mut batches = rows.execute_stream().await?;
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        while let Some(batch) = batches.try_next().await? {
            collect_positions(&batch, 0, 1, &mut found)?;
        }
        Ok(found)
    };
    let found = found.await.map_err(|e| from_datafusion(format!("could not find the rows of `{name}`"), e))?;
    Ok(found
        .into_iter()
        .map(|(path, mut positions)| {
            positions.sort_unstable();
            positions.dedup();
            (path, positions)
        })
        .collect())
}

/// The live rows of `files`, one file after the other, with the columns `table` has now.
pub(crate) fn live_rows(
    tables: &Tables,
    table: Arc<Table>,
    files: Vec<PlannedFile>,
) -> Result<impl futures::Stream<Item = Result<RecordBatch>> + Send + use<>> {
    let provider = Provider::new(tables, table.clone(), Version::Current, None)?;
    let runtime = RuntimeEnv::default();
    let scan = PositionScan {
        reader: Reader::with_runtime(tables.files(), table.name(), &runtime),
        columns: provider.columns().clone(),
        files,
        schema: provider.columns().schema.clone(),
        batch_size: LIVE_ROWS_BATCH,
        table,
    };
    let message = format!("could not read table `{}`", scan.table.name());
    Ok(scan.rows().map_err(move |e| from_datafusion(message.clone(), e)))
}

/// Adds the rows that columns `file` and `pos` of `batch` name.
fn collect_positions(
    batch: &RecordBatch,
    file: usize,
    pos: usize,
    into: &mut BTreeMap<String, Vec<u64>>,
) -> DfResult<()> {
    let files = as_string_view_array(batch.column(file))?;
    let positions = as_int64_array(batch.column(pos))?;
    for (file, position) in files.iter().zip(positions.values()) {
        let (Some(file), Ok(position)) = (file, u64::try_from(*position)) else {
            return Err(DataFusionError::Internal("a row without a place".into()));
        };
        match into.get_mut(file) {
            Some(known) => known.push(position),
            None => {
                into.insert(file.to_owned(), vec![position]);
            }
        }
    }
    Ok(())
}

/// Our own error if the plan failed with one.
fn from_datafusion(message: String, error: DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(inner) if inner.is::<Error>() => {
            inner.downcast_ref::<Error>().expect("checked").clone()
        }
        root => Error::new(codes::TABLE_UNREADABLE, message).detail(root.to_string()),
    }
}

struct PositionProvider {
    inner: Arc<Provider>,
    schema: SchemaRef,
}

impl fmt::Debug for PositionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with positions", self.inner)
    }
}

#[async_trait]
impl TableProvider for PositionProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let places = |filter: &Expr| filter.column_refs().iter().any(|c| c.name == FILE_COLUMN || c.name == POS_COLUMN);
        let kind = |filter: &&Expr| match filter.is_volatile() || places(filter) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
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
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema.clone(),
        };
        let (files, _) = self.inner.plan(session, filters, None).await?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let sizes: Vec<(u64, &[i64])> = files.iter().map(|file| (file.entry.file_size_in_bytes(), &[][..])).collect();
        let reader = self.inner.reader(session);
        let partitions = split(&sizes, session.config().target_partitions()).into_iter().map(|pieces| {
            let files = pieces.into_iter().map(|piece| files[piece.file].clone()).collect();
            Arc::new(PositionScan {
                table: self.inner.table().clone(),
                reader: reader.clone(),
                columns: self.inner.columns().clone(),
                files,
                schema: schema.clone(),
                batch_size: session.config().batch_size(),
            }) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), partitions.collect(), None, [], false, limit)?))
    }
}

/// One partition: some files, each whole.
#[derive(Clone)]
struct PositionScan {
    table: Arc<Table>,
    reader: Reader,
    columns: Arc<Columns>,
    files: Vec<PlannedFile>,
    /// What is asked for, by name.
    schema: SchemaRef,
    batch_size: usize,
}

impl fmt::Debug for PositionScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files of {}", self.files.len(), self.table.name())
    }
}

impl PartitionStream for PositionScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), self.clone().rows()))
    }
}

impl PositionScan {
    fn rows(self) -> impl futures::Stream<Item = DfResult<RecordBatch>> + Send + use<> {
        let files = stream::iter(self.files.clone());
        let this = Arc::new(self);
        files
            .then(move |file| {
                let this = this.clone();
                async move { this.read(file).await }
            })
            .try_flatten()
    }

    /// What all rows of `file` have in column `index` of the table, if the file leaves that to its partition: files that
    /// were written by Hive and the like do.
    fn partition_value(&self, file: &PlannedFile, index: usize, physical: &ArrowSchema) -> Option<ScalarValue> {
        let field = self.columns.fields[index].as_ref()?;
        let is_missing = find_root(physical, field.id, &field.name).is_none();
        let value = identity_value(file, field).filter(|_| is_missing)?;
        scalar(value, self.columns.schema.field(index).data_type())
    }

    async fn read(
        &self,
        file: PlannedFile,
    ) -> DfResult<impl futures::Stream<Item = DfResult<RecordBatch>> + Send + use<>> {
        let location = file.path().to_owned();
        let number = Field::new(ROW_NUMBER, DataType::Int64, false).with_extension_type(RowNumber);
        let options = ArrowReaderOptions::new().with_virtual_columns(vec![Arc::new(number)])?;
        let mut builder =
            self.reader.open(&location, file.entry.file_size_in_bytes(), options).await.map_err(external)?;
        if !file.deletes.is_empty() {
            let deleted = deleted_positions(&self.reader, self.table.metadata(), &file).await.map_err(external)?;
            let plan = access_plan(builder.metadata(), &deleted);
            let groups = plan.row_group_indexes();
            if let Some(selection) = plan.into_overall_row_selection(builder.metadata().row_groups())? {
                builder = builder.with_row_selection(selection);
            }
            builder = builder.with_row_groups(groups);
        }

        // The file's own columns: the virtual one is not among those the adapter may find.
        let physical: Vec<_> = builder.schema().fields().iter().filter(|f| f.name() != ROW_NUMBER).cloned().collect();
        let physical = Arc::new(ArrowSchema::new(physical));
        let adapter = Adapter::new(self.columns.clone(), physical.clone());
        let mut wanted: Vec<Wanted> = Vec::new();
        for field in self.schema.fields() {
            wanted.push(match field.name().as_str() {
                FILE_COLUMN => Wanted::File,
                POS_COLUMN => Wanted::Position,
                name => {
                    let index = self.columns.schema.index_of(name)?;
                    Wanted::Column(match self.partition_value(&file, index, &physical) {
                        Some(value) => lit(value),
                        None => adapter.rewrite(Arc::new(Column::new(name, index)))?,
                    })
                }
            });
        }
        let roots: Vec<usize> = wanted.iter().flat_map(Wanted::roots).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder.with_projection(mask).with_batch_size(self.batch_size).build()?;
        let read_schema = batches.schema().clone();
        for wanted in &mut wanted {
            if let Wanted::Column(expr) = wanted {
                *expr = reassign_expr_columns(expr.clone(), &read_schema)?;
            }
        }
        let schema = self.schema.clone();
        Ok(batches.map(move |batch| {
            let batch = batch?;
            let rows = batch.num_rows();
            let arrays = wanted.iter().map(|wanted| match wanted {
                Wanted::Column(expr) => expr.evaluate(&batch)?.into_array(rows),
                Wanted::File => Ok(Arc::new(repeated(&location, rows)?) as ArrayRef),
                Wanted::Position => {
                    // The stream's schema leaves the virtual column out, its batches do not.
                    let at = batch.schema().index_of(ROW_NUMBER)?;
                    let numbers: &Int64Array = as_int64_array(batch.column(at))?;
                    Ok(Arc::new(numbers.clone()) as ArrayRef)
                }
            });
            let arrays = arrays.collect::<DfResult<Vec<_>>>()?;
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
            Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
        }))
    }
}

enum Wanted {
    Column(Arc<dyn PhysicalExpr>),
    File,
    Position,
}

impl Wanted {
    fn roots(&self) -> Vec<usize> {
        match self {
            Self::Column(expr) => collect_columns(expr).iter().map(Column::index).collect(),
            Self::File | Self::Position => Vec::new(),
        }
    }
}

/// `text`, `rows` times, stored once.
fn repeated(text: &str, rows: usize) -> DfResult<StringViewArray> {
    let mut builder = StringViewBuilder::with_capacity(rows);
    let length = u32::try_from(text.len()).map_err(|e| DataFusionError::Internal(e.to_string()))?;
    let block = builder.append_block(Buffer::from(text.as_bytes().to_vec()));
    for _ in 0..rows {
        builder.try_append_view(block, 0, length)?;
    }
    Ok(builder.finish())
}
