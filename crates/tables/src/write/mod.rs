//! Rows to Parquet files.

use arrow::record_batch::RecordBatch;
use iceberg::spec::DataFile;
use model::Result;

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

/// Writes rows into data files of one table. The files belong to nobody until their [`crate::Append`] is committed;
/// dropped without [`TableWriter::close`], it removes what it wrote.
pub struct TableWriter {}

impl TableWriter {
    /// Takes columns by name: missing ones become null, others are cast to the table's types; unknown ones are an error.
    pub async fn write(&mut self, _batch: RecordBatch) -> Result<()> {
        unimplemented!()
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        unimplemented!()
    }

    /// Finishes the files; they are on disk when this returns.
    pub async fn close(self) -> Result<Vec<DataFile>> {
        unimplemented!()
    }
}
