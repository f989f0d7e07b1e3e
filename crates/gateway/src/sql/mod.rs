//! `POST /sql`: any statements; the answer is that of the last one.
//!
//! Rows are sent while the query runs. Its first batch is awaited before the status goes out, so what fails early gets a
//! proper error; what fails later ends the body early (a chunked body without its end, which every HTTP client reports),
//! after a last line or field `error`; in Arrow it is a last message, which is none of Arrow's. A client that goes away
//! cancels its query.
//!
//! The header `lakehead-outcome` carries what only JSON has room for in its body: `{"tag": …, "notices": […]}`.

mod format;
mod request;

use std::{pin::Pin, time::Duration};

use arrow::array::RecordBatch;
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use model::{Error, Result, error::codes};
use serde_json::json;
use sql::{Outcome, SessionOptions};
use tokio::sync::OwnedSemaphorePermit;

use self::{
    format::{Format, Writer},
    request::SqlRequest,
};
use crate::{
    app::{App, Shared, read_body},
    error::Failure,
};

/// Rows encoded at a time: bounds what one connection holds in memory when rows are wide.
const ROWS_PER_CHUNK: usize = 1024;
/// Between the last words of a failed answer and the end of its connection.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// What became of the statement, in every format.
const OUTCOME: HeaderName = HeaderName::from_static("lakehead-outcome");
/// Longer notices stay out of the header: clients refuse heads beyond some size.
const OUTCOME_BYTES_MAX: usize = 4096;

pub(crate) async fn answer(State(app): State<Shared>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let format = Format::accepted(&head.headers)?;
    let Ok(permit) = app.queries.clone().try_acquire_owned() else {
        return Err(Error::new(codes::HTTP_TOO_BUSY, "too many queries are being answered at once")
            .detail(format!("this door answers {} at a time", app.parts.settings.queries_max))
            .into());
    };
    let request = SqlRequest::parse(&head.headers, &read_body(&app, body).await?)?;
    let limit = app.parts.settings.query_timeout;
    let started = app.parts.world.clock.monotonic();

    let begin = async {
        let outcome = run(&app, &request).await?;
        let mut rows = Rows::new(outcome, request.max_rows);
        let first = rows.next().await?;
        Ok::<_, Error>((rows, first))
    };
    let (rows, first) = match tokio::time::timeout(limit, begin).await {
        Ok(begun) => begun?,
        Err(_) => return Err(timed_out(limit).into()),
    };
    let left = limit.saturating_sub(app.parts.world.clock.monotonic().saturating_sub(started));
    let writer = Writer::new(format, &rows.outcome)?;
    let outcome = outcome_header(&rows.outcome);
    let body = Answer {
        app,
        rows,
        writer,
        step: Step::Begin(first),
        deadline: Box::pin(tokio::time::sleep(left)),
        limit,
        _permit: permit,
    };
    let content_type = HeaderValue::from_static(format.content_type());
    Ok(([(header::CONTENT_TYPE, content_type), (OUTCOME, outcome)], Body::from_stream(body.into_stream()))
        .into_response())
}

/// Tag and notices as JSON, which escapes all a header may not hold.
fn outcome_header(outcome: &Outcome) -> HeaderValue {
    let whole = json!({"tag": outcome.tag, "notices": outcome.notices}).to_string();
    let text = if whole.len() <= OUTCOME_BYTES_MAX { whole } else { json!({"tag": outcome.tag}).to_string() };
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static("{}"))
}

/// Runs the statements and gives the outcome of the last one; what earlier ones answer is not wanted.
async fn run(app: &App, request: &SqlRequest) -> Result<Outcome> {
    let session = app.parts.engine.session(SessionOptions { client: "http".to_owned(), ..SessionOptions::default() });
    if !request.params.is_empty() {
        let prepared = session.prepare(&request.sql, &[]).await?;
        return prepared.execute(request.scalars(prepared.param_types())?).await;
    }
    let mut outcomes = session.run(&request.sql).await?;
    let last = outcomes.pop().ok_or_else(|| {
        Error::new(codes::HTTP_BODY_INVALID, "there is no SQL in the request").hint("send a statement such as SELECT 1")
    })?;
    // Queries before the last one run too: a statement that fails must not go unnoticed.
    for outcome in outcomes {
        let mut rows = Rows::new(outcome, None);
        while rows.next().await?.is_some() {}
    }
    Ok(last)
}

/// The rows of an outcome, cut after `max`.
struct Rows {
    outcome: Outcome,
    max: Option<usize>,
    sent: usize,
    truncated: bool,
}

impl Rows {
    fn new(outcome: Outcome, max: Option<usize>) -> Self {
        Self { outcome, max, sent: 0, truncated: false }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(stream) = &mut self.outcome.stream else { return Ok(None) };
            let Some(batch) = stream.next().await else {
                self.outcome.stream = None;
                return Ok(None);
            };
            let mut batch = batch.map_err(sql::error_of)?;
            let left = self.max.map_or(usize::MAX, |max| max - self.sent);
            if batch.num_rows() > left {
                // Dropping the stream cancels what is left of the query.
                (self.truncated, self.outcome.stream) = (true, None);
                batch = batch.slice(0, left);
            }
            self.sent += batch.num_rows();
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }
}

/// An answer being written.
struct Answer {
    app: Shared,
    rows: Rows,
    writer: Writer,
    step: Step,
    deadline: Pin<Box<tokio::time::Sleep>>,
    limit: Duration,
    _permit: OwnedSemaphorePermit,
}

enum Step {
    /// The first batch is here, the head is not written yet.
    Begin(Option<RecordBatch>),
    /// In the middle of a batch, from this row on.
    Rows(RecordBatch, usize),
    /// The next batch is to be waited for.
    Wait,
    /// The last words were sent, the body must not end as if all were well.
    Abort(String),
    End,
}

impl Answer {
    fn into_stream(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        stream::unfold(self, |mut answer| async move {
            loop {
                match answer.step().await {
                    Some(Ok(bytes)) if bytes.is_empty() => {}
                    Some(item) => return Some((item, answer)),
                    None => return None,
                }
            }
        })
    }

    /// The next piece of the body.
    async fn step(&mut self) -> Option<std::io::Result<Bytes>> {
        let result = match std::mem::replace(&mut self.step, Step::End) {
            Step::Begin(first) => {
                self.step = first.map_or(Step::Wait, |batch| Step::Rows(batch, 0));
                self.writer.begin()
            }
            Step::Rows(batch, from) => {
                let rows = ROWS_PER_CHUNK.min(batch.num_rows() - from);
                let piece = batch.slice(from, rows);
                self.step = if from + rows < batch.num_rows() { Step::Rows(batch, from + rows) } else { Step::Wait };
                self.app.counters.rows_sent(rows);
                self.writer.rows(&piece)
            }
            Step::Wait => {
                let next = tokio::select! {
                    next = self.rows.next() => next,
                    () = &mut self.deadline => Err(timed_out(self.limit)),
                };
                match next {
                    Ok(Some(batch)) => {
                        self.step = Step::Rows(batch, 0);
                        return Some(Ok(Bytes::new()));
                    }
                    Ok(None) => self.writer.end(&self.rows.outcome, self.rows.sent, self.rows.truncated),
                    Err(error) => Err(error),
                }
            }
            Step::Abort(why) => {
                // The connection is cut without flushing: give the last words time to leave.
                tokio::time::sleep(LAST_WORDS).await;
                return Some(Err(std::io::Error::other(why)));
            }
            Step::End => return None,
        };
        let error = match result {
            Ok(bytes) => return Some(Ok(bytes)),
            Err(error) => error,
        };
        tracing::warn!(%error, "a query failed after its first rows were sent");
        self.rows.outcome.stream = None;
        self.step = Step::Abort(error.to_string());
        Some(Ok(self.writer.fail(&error)))
    }
}

fn timed_out(limit: Duration) -> Error {
    Error::new(codes::HTTP_QUERY_TIMEOUT, "the query took too long and was cancelled")
        .detail(format!("this door allows {} s", limit.as_secs()))
        .hint("narrow it with WHERE or LIMIT, or run it through the PostgreSQL door")
}
