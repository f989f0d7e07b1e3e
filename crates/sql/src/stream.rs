//! The rows of a query on their way to a client.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::{DataFusionError, Result},
    execution::{RecordBatchStream, SendableRecordBatchStream},
};
use futures::{FutureExt, Stream, StreamExt};
use model::{Error, error::codes};
use tables::Reading;

use crate::errors;

/// Guards a query's stream: time limit, errors of the house, and panics of a library kept to the query they happen in.
pub(crate) struct Guarded {
    inner: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    deadline: Option<(Pin<Box<tokio::time::Sleep>>, Duration)>,
    sql: Arc<str>,
    /// The files it reads stay as long.
    _reading: Arc<Reading>,
}

impl Guarded {
    pub(crate) fn new(
        inner: SendableRecordBatchStream,
        sql: Arc<str>,
        timeout: Option<Duration>,
        reading: Arc<Reading>,
    ) -> Self {
        Self {
            schema: inner.schema(),
            inner: Some(inner),
            deadline: timeout.map(|timeout| (Box::pin(tokio::time::sleep(timeout)), timeout)),
            sql,
            _reading: reading,
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<RecordBatch>>> {
        // Dropping it stops what still runs.
        self.inner = None;
        Poll::Ready(Some(Err(DataFusionError::External(Box::new(error)))))
    }
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Some((deadline, timeout)) = &mut this.deadline
            && deadline.poll_unpin(cx).is_ready()
        {
            let timeout = *timeout;
            return this.fail(timed_out(timeout));
        }
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll_next_unpin(cx)));
        match polled {
            Err(_) => this.fail(Error::internal("a query failed unexpectedly").detail(this.sql.to_string())),
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(None)) => {
                this.inner = None;
                Poll::Ready(None)
            }
            Ok(Poll::Ready(Some(Err(error)))) => {
                let sql = this.sql.clone();
                this.fail(errors::map(error, Some(&sql)))
            }
            Ok(Poll::Ready(Some(Ok(batch)))) => Poll::Ready(Some(Ok(batch))),
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

pub(crate) fn timed_out(timeout: Duration) -> Error {
    Error::new(codes::SQL_TIMEOUT, format!("the query ran longer than {timeout:?}"))
        .hint("SET statement_timeout = '…' raises the limit for this session")
}
