//! What a statement gives back.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter};
use futures::{TryStreamExt, stream};
use model::Result;

/// The answer to one statement.
pub struct Outcome {
    /// PostgreSQL's command tag: `SELECT`, `INSERT 0 3`, `CREATE STREAM`. A `SELECT` has no count: its rows stream.
    pub tag: String,
    /// Columns of the rows; empty when the statement gives none.
    pub schema: SchemaRef,
    /// The rows, if the statement gives any. Dropping the stream cancels the query; nothing runs ahead of its reader by
    /// more than a few batches. Errors inside are [`model::Error`] behind `DataFusionError::External`; see
    /// [`crate::error_of`].
    pub stream: Option<SendableRecordBatchStream>,
    /// Rows written, for statements that write.
    pub rows_affected: Option<u64>,
    /// Things worth saying that are not errors.
    pub notices: Vec<String>,
}

impl Outcome {
    /// All rows at once, for small answers and tests.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        match self.stream {
            Some(stream) => stream.try_collect().await.map_err(crate::error_of),
            None => Ok(Vec::new()),
        }
    }

    /// Done, and nothing to show.
    pub(crate) fn done(tag: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            schema: Arc::new(Schema::empty()),
            stream: None,
            rows_affected: None,
            notices: Vec::new(),
        }
    }

    pub(crate) fn written(tag: impl Into<String>, rows: u64) -> Self {
        Self { rows_affected: Some(rows), ..Self::done(tag) }
    }

    pub(crate) fn rows(tag: impl Into<String>, stream: SendableRecordBatchStream) -> Self {
        Self { schema: stream.schema(), stream: Some(stream), ..Self::done(tag) }
    }

    /// A small table of text, as SHOW and DESCRIBE give.
    pub(crate) fn table<const N: usize>(tag: &str, columns: [&str; N], rows: Vec<[Option<String>; N]>) -> Self {
        let fields: Vec<_> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = (0..N)
            .map(|column| Arc::new(rows.iter().map(|row| row[column].as_deref()).collect::<StringArray>()) as ArrayRef)
            .collect();
        let batch = RecordBatch::try_new(schema.clone(), arrays).expect("each column is text of as many rows");
        let rows = stream::iter([Ok(batch)]);
        Self::rows(tag, Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    pub(crate) fn notice(mut self, notice: impl Into<String>) -> Self {
        self.notices.push(notice.into());
        self
    }
}
