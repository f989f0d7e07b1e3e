//! A small client of the HTTP door.

use anyhow::{Context, Result, anyhow};
use arrow::{datatypes::SchemaRef, ipc::reader::StreamReader, record_batch::RecordBatch};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The answer to one statement.
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Answer {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// An error the server answered with, as it was written for people.
#[derive(Debug)]
pub struct ServerError {
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "\n{detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

/// Runs SQL through `POST /sql` of the node at `address`. Dropping the future cancels the query.
pub async fn sql(address: &str, statement: &str) -> Result<Answer> {
    let request = Request::post("/sql")
        .header("content-type", "text/plain; charset=utf-8")
        .header("accept", "application/vnd.apache.arrow.stream")
        .body(Full::new(Bytes::from(statement.to_owned())))?;
    let response = send(address, request).await?;
    let status = response.status();
    let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
    if !status.is_success() {
        return Err(error_of(&body).unwrap_or_else(|| anyhow!("HTTP {status}")));
    }
    let reader =
        StreamReader::try_new(std::io::Cursor::new(body), None).context("the answer is not an Arrow stream")?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().context("the answer broke off")?;
    Ok(Answer { schema, batches })
}

async fn send(address: &str, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("no node answers at http://{address}; is it up? (`lakehead up`)"))?;
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

fn error_of(body: &[u8]) -> Option<anyhow::Error> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let error = answer.get("error")?;
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(
        ServerError {
            code: text("code").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            detail: text("detail"),
            hint: text("hint"),
        }
        .into(),
    )
}
