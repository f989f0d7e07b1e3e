//! The engine's CSV format, but for what empty texts are.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use arrow::{
    array::RecordBatch,
    csv::WriterBuilder,
    datatypes::{DataType, Fields, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    catalog::Session,
    common::{GetExt, Statistics, file_options::csv_writer::CsvWriterOptions, runtime::SpawnedTask},
    datasource::{
        file_format::{
            FileFormat, FileFormatFactory,
            csv::{CsvFormat, CsvFormatFactory},
            file_compression_type::FileCompressionType,
            write::{BatchSerializer, demux::DemuxedStreamReceiver, orchestration::spawn_writer_tasks_and_join},
        },
        physical_plan::{CsvSource, FileScanConfig, FileScanConfigBuilder, FileSink, FileSinkConfig, FileSource},
        sink::{DataSink, DataSinkExec},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::LexRequirement,
    physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan},
};
use object_store::{ObjectMeta, ObjectStore};

use super::{empty::Source, lines};
use crate::engine::UTC;

/// For COPY.
#[derive(Debug)]
pub(crate) struct Factory(CsvFormatFactory);

impl Factory {
    pub(crate) fn new() -> Self {
        Self(CsvFormatFactory::new())
    }
}

impl GetExt for Factory {
    fn get_ext(&self) -> String {
        self.0.get_ext()
    }
}

impl FileFormatFactory for Factory {
    fn create(&self, state: &dyn Session, options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        let made = self.0.create(state, options)?;
        Ok(match made.as_any().downcast_ref::<CsvFormat>() {
            Some(csv) => Arc::new(Format::new(CsvFormat::default().with_options(csv.options().clone()), Vec::new())),
            None => made,
        })
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(Format::new(CsvFormat::default(), Vec::new()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
pub(crate) struct Format {
    csv: CsvFormat,
    /// Places of columns whose times have a zone, which the engine takes for UTC's and forgets.
    zoned: Vec<usize>,
}

impl Format {
    pub(crate) fn new(csv: CsvFormat, zoned: Vec<usize>) -> Self {
        Self { csv, zoned }
    }
}

#[async_trait]
impl FileFormat for Format {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn get_ext(&self) -> String {
        self.csv.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.csv.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.csv.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        let schema = self.csv.infer_schema(state, store, objects).await?;
        let fields = schema.fields().iter().enumerate().map(|(place, field)| match field.data_type() {
            DataType::Timestamp(_, None) if self.zoned.contains(&place) => {
                let moment = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
                Arc::new(field.as_ref().clone().with_data_type(moment))
            }
            _ => field.clone(),
        });
        Ok(Arc::new(Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone())))
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Statistics> {
        self.csv.infer_stats(state, store, table_schema, object).await
    }

    async fn create_physical_plan(&self, state: &dyn Session, conf: FileScanConfig) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(source) = conf.file_source.as_any().downcast_ref::<CsvSource>() else {
            return self.csv.create_physical_plan(state, conf).await;
        };
        let source = Source::new(source.clone().with_csv_options(self.csv.options().clone()), self.csv.options());
        let conf = FileScanConfigBuilder::from(conf)
            .with_file_compression_type(self.csv.options().compression.into())
            .with_source(Arc::new(source))
            .build();
        Ok(DataSourceExec::from_data_source(conf))
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _state: &dyn Session,
        conf: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = CsvWriterOptions::try_from(self.csv.options())?;
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(Sink { conf, options }), order)))
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.csv.file_source(table_schema)
    }
}

struct Sink {
    conf: FileSinkConfig,
    options: CsvWriterOptions,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsvSink")
    }
}

impl DisplayAs for Sink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsvSink")
    }
}

#[async_trait]
impl FileSink for Sink {
    fn config(&self) -> &FileSinkConfig {
        &self.conf
    }

    async fn spawn_writer_tasks_and_join(
        &self,
        context: &Arc<TaskContext>,
        demux_task: SpawnedTask<Result<()>>,
        files: DemuxedStreamReceiver,
        store: Arc<dyn ObjectStore>,
    ) -> Result<u64> {
        let serializer = Arc::new(Serializer(self.options.writer_options.clone()));
        let (compression, level) = (self.options.compression.into(), self.options.compression_level);
        spawn_writer_tasks_and_join(context, serializer, compression, level, store, demux_task, files).await
    }
}

#[async_trait]
impl DataSink for Sink {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> &SchemaRef {
        self.conf.output_schema()
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        FileSink::write_all(self, data, context).await
    }
}

struct Serializer(WriterBuilder);

impl BatchSerializer for Serializer {
    fn serialize(&self, batch: RecordBatch, initial: bool) -> Result<Bytes> {
        let mut text = Vec::new();
        if initial && self.0.header() {
            let mut writer = self.0.clone().with_header(true).build(&mut text);
            writer.write(&RecordBatch::new_empty(batch.schema()))?;
        }
        text.extend(lines(&batch, &self.0)?);
        Ok(text.into())
    }
}
