//! A small client of the HTTP door.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use arrow::{datatypes::SchemaRef, ipc::reader::StreamReader, record_batch::RecordBatch};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use model::{Error, error::codes};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// Before the text of the last words in Arrow: a mark and their length.
const MESSAGE_HEAD: usize = 8;

/// The form in which rows are wanted.
#[derive(Clone, Copy)]
pub enum Form {
    Arrow,
    Csv,
    /// One JSON object a line.
    Json,
}

/// What became of a statement, besides its rows.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// `INSERT 0 2`, `CREATE TABLE`.
    pub tag: String,
    /// Things worth saying that are not errors.
    pub notices: Vec<String>,
}

/// The answer to one statement; its rows are still to come.
pub struct Reply {
    pub outcome: Outcome,
    body: Incoming,
}

/// The answer to one statement, whole.
pub struct Answer {
    pub outcome: Outcome,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Answer {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Runs SQL through `POST /sql` of the node at `address`. Dropping the future, or the reply, cancels the query.
pub async fn ask(address: &str, statement: &str, form: Form) -> Result<Reply> {
    let accept = match form {
        Form::Arrow => "application/vnd.apache.arrow.stream",
        Form::Csv => "text/csv",
        Form::Json => "application/x-ndjson",
    };
    let request = Request::post("/sql")
        .header("content-type", "text/plain; charset=utf-8")
        .header("accept", accept)
        .body(Full::new(Bytes::from(statement.to_owned())))?;
    let response = send(address, request).await?;
    let status = response.status();
    if status.is_success() {
        return Ok(Reply { outcome: outcome_of(response.headers()), body: response.into_body() });
    }
    let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    Err(failure_of(&body).map_or_else(|| anyhow!("HTTP {status}"), anyhow::Error::new))
}

/// [`ask`], with all rows at once.
pub async fn sql(address: &str, statement: &str) -> Result<Answer> {
    ask(address, statement, Form::Arrow).await?.rows().await
}

impl Reply {
    /// All rows, of a reply in Arrow.
    pub async fn rows(mut self) -> Result<Answer> {
        let (mut body, mut last) = (Vec::new(), 0);
        while let Some(frame) = self.body.frame().await {
            let frame =
                frame.map_err(|error| broken_off(error, body.get(last + MESSAGE_HEAD..).unwrap_or_default()))?;
            if let Ok(piece) = frame.into_data() {
                last = body.len();
                body.extend_from_slice(&piece);
            }
        }
        let reader =
            StreamReader::try_new(std::io::Cursor::new(body), None).context("the answer is not an Arrow stream")?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().context("the answer broke off")?;
        Ok(Answer { outcome: self.outcome, schema, batches })
    }

    /// Copies the rows as they came while they come; says whether there was anything to copy.
    pub async fn copy(mut self, out: &mut impl Write) -> Result<(Outcome, bool)> {
        // The last piece is held back: when the query fails on the way, it is what the server has to say about it.
        let (mut held, mut any) = (Bytes::new(), false);
        while let Some(frame) = self.body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    if failure_of(&held).is_none() {
                        out.write_all(&held)?;
                    }
                    out.flush()?;
                    return Err(broken_off(error, &held));
                }
            };
            if let Ok(piece) = frame.into_data() {
                out.write_all(&held)?;
                any |= !piece.is_empty();
                held = piece;
            }
        }
        out.write_all(&held)?;
        out.flush()?;
        Ok((self.outcome, any))
    }
}

/// Why the answer ended early: what the server said last, if it could.
fn broken_off(error: hyper::Error, last: &[u8]) -> anyhow::Error {
    match failure_of(last) {
        Some(failure) => failure.into(),
        None => anyhow::Error::new(error).context("the answer broke off"),
    }
}

async fn send(address: &str, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let stream = TcpStream::connect(address).await.map_err(|error| {
        Error::new(codes::NODE_NOT_FOUND, format!("no node answers at http://{address}"))
            .detail(error.to_string())
            .hint("is it up? `lakehead up` starts one")
    })?;
    stream.set_nodelay(true)?;
    request.headers_mut().insert("host", address.parse()?);
    request.headers_mut().insert("connection", "close".parse()?);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection is driven beside us and ends with the answer, or when the answer is dropped.
    #[expect(clippy::disallowed_methods, reason = "lives as long as this one answer")]
    let _driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "http connection ended");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// A server that does not say leaves the outcome empty.
fn outcome_of(headers: &HeaderMap) -> Outcome {
    let header = headers.get("lakehead-outcome").and_then(|text| serde_json::from_slice::<Value>(text.as_bytes()).ok());
    let Some(header) = header else { return Outcome::default() };
    let notices = header["notices"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Outcome {
        tag: header["tag"].as_str().unwrap_or_default().to_owned(),
        notices: notices.map(str::to_owned).collect(),
    }
}

fn failure_of(body: &[u8]) -> Option<Failure> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let error = answer.get("error")?;
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Failure {
        place: None,
        code: text("code")?,
        message: text("message").unwrap_or_default(),
        detail: text("detail"),
        hint: text("hint"),
    })
}
