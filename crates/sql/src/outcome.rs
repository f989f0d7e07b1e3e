//! What a statement gives back.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
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
        let _ = self.stream;
        unimplemented!()
    }
}
