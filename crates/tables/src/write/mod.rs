//! Rows to Parquet files.
//!
//! Encoding runs on threads for blocking work, one batch ahead of the caller, so that it neither stalls the async
//! threads nor buffers without bound.

mod bounds;
mod conform;
mod encoder;
mod positions;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use files::Files;
use iceberg::spec::DataFile;
use model::{Error, Result, error::codes};
use tokio::task::JoinHandle;
use world::World;

pub(crate) use self::positions::{Target, write_position_deletes, write_targets};
use self::{conform::conform, encoder::Encoder};
use crate::{Table, error::unwritable};

/// How files are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// A file is closed once it is about this large.
    pub target_file_bytes: u64,
    /// Rows per row group at most.
    pub row_group_rows: usize,
    /// zstd level.
    pub zstd_level: i32,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { target_file_bytes: 128 << 20, row_group_rows: 512 << 10, zstd_level: 1 }
    }
}

impl WriterOptions {
    /// What the properties of `table` say, else the defaults.
    pub fn of(table: &Table) -> Self {
        let default = Self::default();
        Self {
            target_file_bytes: table.property("write.target-file-size-bytes", default.target_file_bytes).max(1 << 20),
            zstd_level: table.property("write.parquet.compression-level", default.zstd_level).clamp(1, 22),
            ..default
        }
    }
}

/// Writes rows into data files of one table. The files belong to nobody until their [`crate::Append`] is committed;
/// dropped without [`TableWriter::close`], or after an error, it removes what it wrote.
pub struct TableWriter {
    schema: SchemaRef,
    table: String,
    rows: u64,
    state: State,
}

enum State {
    Idle(Box<Encoder>),
    /// Encoding the last batch.
    Busy(JoinHandle<Result<Box<Encoder>>>),
    /// An earlier write failed: what was written so far is not all that was asked for.
    Failed(Error),
}

impl TableWriter {
    pub(crate) fn new(files: &Files, world: &World, table: &Table, options: WriterOptions) -> Result<Self> {
        Ok(Self {
            schema: table.arrow_schema().clone(),
            table: table.name().to_string(),
            rows: 0,
            state: State::Idle(Box::new(Encoder::for_table(files, world, table, options)?)),
        })
    }

    /// The columns this writer fills.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes columns by name: missing ones become null, others are cast to the table's types; unknown ones are an error.
    /// An error may be that of an earlier batch; after it nothing more is taken.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut encoder = self.idle().await?;
        self.rows += batch.num_rows() as u64;
        let schema = self.schema.clone();
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            encoder.write(&conform(&batch, &schema)?)?;
            Ok(encoder)
        }));
        Ok(())
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Finishes the files; they are on disk when this returns. None without rows.
    pub async fn close(mut self) -> Result<Vec<DataFile>> {
        let encoder = self.idle().await?;
        let files = joined(tokio::task::spawn_blocking(move || encoder.finish()).await)?;
        let written: u64 = files.iter().map(DataFile::record_count).sum();
        assert_eq!(written, self.rows, "every row taken is in a file");
        Ok(files)
    }

    async fn idle(&mut self) -> Result<Box<Encoder>> {
        let gone = Error::new(codes::SHUTTING_DOWN, format!("could not write to `{}`", self.table));
        let result = match std::mem::replace(&mut self.state, State::Failed(gone)) {
            State::Idle(encoder) => Ok(encoder),
            State::Busy(task) => joined(task.await),
            State::Failed(error) => Err(error),
        };
        result.inspect_err(|error| self.state = State::Failed(error.clone()))
    }
}

/// A panic of the task goes on here; without one, only the end of the runtime cancels it.
fn joined<T>(result: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match result {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(e) => Err(unwritable("could not write rows".to_owned(), e)),
    }
}
