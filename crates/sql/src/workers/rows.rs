//! The rows of a query, from the worker that makes them to the door that sends them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::{DataFusionError, Result},
    execution::{RecordBatchStream, SendableRecordBatchStream},
};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use world::Tasks;

use super::{Interrupt, Leash, Ticket, lost};

/// Batches a worker makes before the door has asked for them.
const AHEAD: usize = 2;

/// A stream whose work is done by a worker, a few batches ahead of its reader. Dropping it stops the work.
pub(crate) struct Rows {
    schema: SchemaRef,
    tasks: Tasks,
    state: State,
}

enum State {
    /// Nobody has asked yet.
    Waiting(Box<(SendableRecordBatchStream, Ticket, Interrupt)>),
    Running {
        batches: mpsc::Receiver<Item>,
        _leash: Leash,
    },
    Done,
}

/// A batch, or the end: a channel that closes without it has lost its sender.
type Item = Result<Option<RecordBatch>>;

impl Rows {
    /// `stream` on the workers. It is started at once if it is the call's only one; else when its first batch is asked
    /// for, since a script of many queries must not run them all at the same time.
    pub(crate) fn new(stream: SendableRecordBatchStream, ticket: Ticket, interrupt: Interrupt) -> Self {
        let (tasks, alone) = (ticket.world.tasks.clone(), ticket.alone);
        let schema = stream.schema();
        let mut rows = Self { schema, tasks, state: State::Waiting(Box::new((stream, ticket, interrupt))) };
        if alone {
            rows.start();
        }
        rows
    }

    fn start(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(waiting) => {
                let (stream, ticket, interrupt) = *waiting;
                let (sender, batches) = mpsc::channel(AHEAD);
                let mut leash = ticket.spawn(drive(stream, sender));
                leash.raised = Some(interrupt.flag());
                State::Running { batches, _leash: leash }
            }
            other => other,
        };
    }
}

/// Makes batches while there is room for them.
async fn drive(mut stream: SendableRecordBatchStream, sender: mpsc::Sender<Item>) {
    while let Ok(room) = sender.reserve().await {
        match stream.next().await {
            Some(Ok(batch)) => room.send(Ok(Some(batch))),
            // What the query holds is freed before the door hears that it is over.
            Some(Err(error)) => {
                drop(stream);
                return room.send(Err(error));
            }
            None => {
                drop(stream);
                return room.send(Ok(None));
            }
        }
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.start();
        let State::Running { batches, .. } = &mut self.state else { return Poll::Ready(None) };
        let item = std::task::ready!(batches.poll_recv(cx));
        let item = item.unwrap_or_else(|| Err(DataFusionError::External(Box::new(lost(&self.tasks)))));
        if !matches!(item, Ok(Some(_))) {
            self.state = State::Done;
        }
        Poll::Ready(item.transpose())
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
