//! Parquet files being written, one per partition.

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray},
    datatypes::{DataType, Float32Type, Float64Type, SchemaRef as ArrowSchemaRef},
    record_batch::RecordBatch,
};
use files::{FileSink, Files};
use iceberg::{
    arrow::RecordBatchPartitionSplitter,
    spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, PartitionSpecRef, SchemaRef, Struct},
};
use model::{Error, Result};
use parquet::{
    arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use world::World;

use super::{
    WriterOptions,
    bounds::{Truncate, metrics},
};
use crate::{
    Table,
    error::{internal, unwrap_or, unwritable},
};

/// Files open at once at most; beyond that the one with the most rows is closed.
const OPEN_FILES_MAX: usize = 64;
/// A row group is closed when it is about this large, encoded.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;
/// A file name has at most 255 bytes, and ours has a name and a value.
const SEGMENT_BYTES_MAX: usize = 100;
/// Rows handed to the encoder at once, so that sizes are looked at often enough.
const SLICE_ROWS: usize = 32 << 10;

pub(crate) struct Encoder {
    files: Files,
    world: World,
    /// Folder the files go to, without a slash at the end.
    folder: String,
    arrow_schema: ArrowSchemaRef,
    schema: SchemaRef,
    spec: PartitionSpecRef,
    splitter: Option<RecordBatchPartitionSplitter>,
    options: WriterOptions,
    content: DataContentType,
    open: HashMap<Struct, OpenFile>,
    done: Vec<DataFile>,
}

struct OpenFile {
    writer: ArrowWriter<Sink>,
    location: String,
    rows: u64,
    /// By field id, for top-level float columns.
    nans: HashMap<i32, u64>,
}

/// Given up before the end: what is finished already belongs to nobody.
impl Drop for Encoder {
    fn drop(&mut self) {
        for file in &self.done {
            if let Err(error) = self.files.delete_blocking(file.file_path()) {
                tracing::warn!(location = file.file_path(), %error, "an abandoned file stays until upkeep finds it");
            }
        }
    }
}

/// The file below the Parquet writer, which hands it back only by giving up what it knows of the file.
struct Sink(Option<FileSink>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.as_mut().expect("taken only when the writer has finished").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    pub(crate) fn for_table(files: &Files, world: &World, table: &Table, options: WriterOptions) -> Result<Self> {
        let metadata = table.metadata();
        let schema = metadata.current_schema().clone();
        let spec = metadata.default_partition_spec().clone();
        let splitter = match spec.is_unpartitioned() {
            true => None,
            false => Some(
                RecordBatchPartitionSplitter::try_new_with_computed_values(schema.clone(), spec.clone())
                    .map_err(|e| internal(format!("could not partition rows of `{}`", table.name()), e))?,
            ),
        };
        Ok(Self {
            files: files.clone(),
            world: world.clone(),
            folder: format!("{}/data", files.current(metadata.location())),
            arrow_schema: table.arrow_schema().clone(),
            schema,
            spec,
            splitter,
            options,
            content: DataContentType::Data,
            open: HashMap::new(),
            done: Vec::new(),
        })
    }

    /// For position deletes of one partition: columns `schema`, values of partition spec `spec`.
    pub(crate) fn for_deletes(
        files: &Files,
        world: &World,
        table: &Table,
        schema: SchemaRef,
        arrow_schema: ArrowSchemaRef,
        spec: PartitionSpecRef,
    ) -> Self {
        Self {
            files: files.clone(),
            world: world.clone(),
            folder: format!("{}/data", files.current(table.metadata().location())),
            arrow_schema,
            schema,
            spec,
            splitter: None,
            options: WriterOptions::of(table),
            content: DataContentType::PositionDeletes,
            open: HashMap::new(),
            done: Vec::new(),
        }
    }

    /// `batch` has exactly the encoder's columns.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(splitter) = &self.splitter else { return self.write_to(Struct::empty(), batch) };
        let parts = splitter.split(batch).map_err(|e| unwritable("could not partition rows".to_owned(), e))?;
        for (key, part) in parts {
            self.write_to(key.data().clone(), &part)?;
        }
        Ok(())
    }

    pub(crate) fn write_to(&mut self, partition: Struct, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = SLICE_ROWS.min(batch.num_rows() - from);
            let slice = batch.slice(from, rows);
            from += rows;
            if !self.open.contains_key(&partition) {
                self.make_room()?;
                let file = self.create(&partition)?;
                self.open.insert(partition.clone(), file);
            }
            let file = self.open.get_mut(&partition).expect("inserted above");
            file.writer.write(&slice).map_err(|e| encode_failed(&file.location, &e))?;
            file.rows += rows as u64;
            count_nans(&slice, &mut file.nans);
            if (file.writer.bytes_written() + file.writer.in_progress_size()) as u64 >= self.options.target_file_bytes {
                let file = self.open.remove(&partition).expect("it is open");
                self.close(partition.clone(), file)?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self: Box<Self>) -> Result<Vec<DataFile>> {
        for (partition, file) in std::mem::take(&mut self.open) {
            self.close(partition, file)?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    fn make_room(&mut self) -> Result<()> {
        while self.open.len() >= OPEN_FILES_MAX {
            let (partition, _) = self.open.iter().max_by_key(|(_, file)| file.rows).expect("more than none");
            let partition = partition.clone();
            let file = self.open.remove(&partition).expect("it is open");
            self.close(partition, file)?;
        }
        Ok(())
    }

    fn create(&self, partition: &Struct) -> Result<OpenFile> {
        let suffix = if self.content == DataContentType::PositionDeletes { "-deletes" } else { "" };
        let name = format!("{}{suffix}.parquet", crate::tables::random_uuid(&self.world));
        let folder = match self.splitter {
            None => self.folder.clone(),
            Some(_) => format!("{}/{}", self.folder, self.partition_path(partition)?),
        };
        let location = format!("{folder}/{name}");
        let sink = self.files.create_blocking(&location)?;
        let level = ZstdLevel::try_new(self.options.zstd_level)
            .map_err(|e| internal(format!("could not compress `{location}`"), e))?;
        let properties = WriterProperties::builder()
            .set_created_by("lakehead".to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(self.options.row_group_rows))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
            // Paths in delete files must be found by their bounds, however long.
            .set_statistics_truncate_length(if self.content == DataContentType::Data { Some(64) } else { None })
            .build();
        let writer = ArrowWriter::try_new(Sink(Some(sink)), self.arrow_schema.clone(), Some(properties))
            .map_err(|e| encode_failed(&location, &e))?;
        Ok(OpenFile { writer, location, rows: 0, nans: HashMap::new() })
    }

    /// `name=value/…`. Nothing reads values from paths, so they only have to be legal: the library puts them there as
    /// they are, slashes and all.
    fn partition_path(&self, partition: &Struct) -> Result<String> {
        let types =
            self.spec.partition_type(&self.schema).map_err(|e| internal("could not name a partition".to_owned(), e))?;
        let fields = self.spec.fields().iter().zip(types.fields()).zip(partition.iter());
        let segments = fields.map(|((field, ty), value)| {
            let value = field.transform.to_human_string(&ty.field_type, value);
            format!("{}={}", segment(&field.name), segment(&value))
        });
        Ok(segments.collect::<Vec<_>>().join("/"))
    }

    fn close(&mut self, partition: Struct, file: OpenFile) -> Result<()> {
        let OpenFile { mut writer, location, rows, nans } = file;
        let footer = writer.finish().map_err(|e| encode_failed(&location, &e))?;
        let sink = writer.inner_mut().0.take().expect("a file is closed once");
        let size = sink.finish_blocking()?;
        let truncate = if self.content == DataContentType::Data { Truncate::To(16) } else { Truncate::Never };
        let metrics = metrics(&footer, &self.schema, truncate);
        // Iceberg wants ascending offsets, to split scans at.
        let mut offsets: Vec<i64> = footer.row_groups().iter().filter_map(|group| group.file_offset()).collect();
        offsets.sort_unstable();
        let file = DataFileBuilder::default()
            .content(self.content)
            .file_path(location.clone())
            .file_format(DataFileFormat::Parquet)
            .partition(partition)
            .partition_spec_id(self.spec.spec_id())
            .record_count(rows)
            .file_size_in_bytes(size)
            .column_sizes(metrics.column_sizes)
            .value_counts(metrics.value_counts)
            .null_value_counts(metrics.null_value_counts)
            .nan_value_counts(nans)
            .lower_bounds(metrics.lower_bounds)
            .upper_bounds(metrics.upper_bounds)
            .split_offsets(Some(offsets))
            .build()
            .map_err(|e| internal(format!("could not describe `{location}`"), e))?;
        self.done.push(file);
        Ok(())
    }
}

/// `text` as part of a file name: other characters as `%XX`, and not too long.
fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => segment.push(byte.into()),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
        if segment.len() > SEGMENT_BYTES_MAX {
            break;
        }
    }
    segment
}

fn count_nans(batch: &RecordBatch, nans: &mut HashMap<i32, u64>) {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(id) = field.metadata().get(PARQUET_FIELD_ID_META_KEY).and_then(|id| id.parse().ok()) else { continue };
        let count = match column.data_type() {
            DataType::Float32 => nan_count::<Float32Type>(column, f32::is_nan),
            DataType::Float64 => nan_count::<Float64Type>(column, f64::is_nan),
            _ => continue,
        };
        *nans.entry(id).or_default() += count as u64;
    }
}

fn nan_count<T: ArrowPrimitiveType>(column: &ArrayRef, is_nan: fn(T::Native) -> bool) -> usize {
    let column = column.as_primitive::<T>();
    match column.null_count() {
        0 => column.values().iter().filter(|value| is_nan(**value)).count(),
        _ => column.iter().flatten().filter(|value| is_nan(*value)).count(),
    }
}

/// The sink's own errors (a full disk) come back wrapped by the encoder.
fn encode_failed(location: &str, error: &ParquetError) -> Error {
    let failed = || unwritable(format!("could not write `{location}`"), error);
    match error {
        ParquetError::External(inner) => find(inner.as_ref()).unwrap_or_else(failed),
        other => unwrap_or(other, failed),
    }
}

fn find(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<Error> {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return Some(ours.clone());
    }
    error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()).and_then(find)
}
