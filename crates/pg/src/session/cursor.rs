//! Portals and cursors: a query's rows, taken a few at a time.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{execution::SendableRecordBatchStream, scalar::ScalarValue};
use futures::StreamExt;
use model::Result;
use sql::Outcome;

use super::{Conversation, extended::Statement};
use crate::{
    connection::{Ended, Limits, SEND_BYTES},
    rows::{Format, Rows},
};

/// What Bind or DECLARE made.
pub(crate) struct Portal {
    pub(crate) state: PortalState,
    pub(crate) formats: Arc<[i16]>,
    /// Made by DECLARE: lives until the block ends, or longer WITH HOLD.
    pub(crate) cursor: Option<Hold>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Yes,
    No,
}

pub(crate) enum PortalState {
    /// Bound, not run yet.
    Bound {
        statement: Arc<Statement>,
        params: Vec<ScalarValue>,
    },
    Open(Source),
    /// Ran to its end; running it again gives nothing.
    Done,
}

/// The rows of a running query.
pub(crate) struct Source {
    pub(crate) schema: SchemaRef,
    pub(crate) tag: String,
    stream: Option<SendableRecordBatchStream>,
    /// A batch of which the rows from the index on were not sent yet.
    pending: Option<(RecordBatch, usize)>,
}

impl Source {
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self { schema: outcome.schema, tag: outcome.tag, stream: outcome.stream, pending: None }
    }

    /// A batch with rows in it.
    async fn next(&mut self) -> Result<Option<(RecordBatch, usize)>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        while let Some(stream) = &mut self.stream {
            match stream.next().await {
                Some(batch) => {
                    let batch = batch.map_err(sql::error_of)?;
                    if batch.num_rows() > 0 {
                        return Ok(Some((batch, 0)));
                    }
                }
                None => self.stream = None,
            }
        }
        Ok(None)
    }
}

/// How far sending got.
pub(crate) struct Sent {
    pub(crate) rows: usize,
    /// There were no more.
    pub(crate) all: bool,
}

impl Conversation {
    /// Sends up to `rows_max` rows as they come; memory holds one batch and one send buffer.
    pub(crate) async fn send_rows(
        &mut self,
        source: &mut Source,
        format: &Format,
        rows_max: usize,
        limits: &mut Limits,
    ) -> Result<Result<Sent>, Ended> {
        let mut sent = 0;
        while sent < rows_max {
            let (batch, from) = match self.connection.guard(limits, source.next()).await? {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(Ok(Sent { rows: sent, all: true })),
                Err(error) => return Ok(Err(error)),
            };
            let mut rows = match Rows::new(&batch.slice(from, batch.num_rows() - from), format) {
                Ok(rows) => rows,
                Err(error) => return Ok(Err(error)),
            };
            while rows.remaining() > 0 && sent < rows_max {
                match rows.write(&mut self.connection.out, rows_max - sent, SEND_BYTES) {
                    Ok(written) => sent += written,
                    Err(error) => return Ok(Err(error)),
                }
                if self.connection.out.0.len() >= SEND_BYTES
                    && let Err(error) = self.connection.flush_within(limits).await?
                {
                    return Ok(Err(error));
                }
            }
            let left = rows.remaining();
            if left > 0 {
                let from = batch.num_rows() - left;
                source.pending = Some((batch, from));
            }
        }
        Ok(Ok(Sent { rows: sent, all: false }))
    }

    /// Passes over up to `rows_max` rows (MOVE).
    pub(crate) async fn skip_rows(
        &mut self,
        source: &mut Source,
        rows_max: usize,
        limits: &mut Limits,
    ) -> Result<Result<Sent>, Ended> {
        let mut skipped = 0;
        while skipped < rows_max {
            let (batch, from) = match self.connection.guard(limits, source.next()).await? {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(Ok(Sent { rows: skipped, all: true })),
                Err(error) => return Ok(Err(error)),
            };
            let here = (batch.num_rows() - from).min(rows_max - skipped);
            skipped += here;
            if from + here < batch.num_rows() {
                source.pending = Some((batch, from + here));
            }
        }
        Ok(Ok(Sent { rows: skipped, all: false }))
    }

    /// Sends all rows as `COPY … TO STDOUT` writes them.
    pub(crate) async fn send_copy(
        &mut self,
        source: &mut Source,
        copy: &super::perform::CopyOut,
        limits: &mut Limits,
    ) -> Result<Result<usize>, Ended> {
        let format = Format { codes: Arc::new([]), time_zone: self.settings.time_zone };
        let mut line = Vec::new();
        self.connection.out.copy_out(source.schema.fields().len());
        if copy.header {
            for (i, field) in source.schema.fields().iter().enumerate() {
                copy.put(&mut line, i, Some(field.name().as_bytes()));
            }
            line.push(b'\n');
            self.connection.out.copy_data(&line);
        }
        let mut sent = 0;
        loop {
            let (batch, _) = match self.connection.guard(limits, source.next()).await? {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let mut rows = match Rows::new(&batch, &format) {
                Ok(rows) => rows,
                Err(error) => return Ok(Err(error)),
            };
            loop {
                line.clear();
                match rows.next_text(|i, value| copy.put(&mut line, i, value)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return Ok(Err(error)),
                }
                line.push(b'\n');
                self.connection.out.copy_data(&line);
                sent += 1;
                if self.connection.out.0.len() >= SEND_BYTES
                    && let Err(error) = self.connection.flush_within(limits).await?
                {
                    return Ok(Err(error));
                }
            }
        }
        self.connection.out.copy_done();
        Ok(Ok(sent))
    }
}
