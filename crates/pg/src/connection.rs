//! Bytes in and out of one socket, and watching over a statement while it runs.

use std::{future::Future, io, pin::Pin, time::Duration};

use bytes::BytesMut;
use model::{Error, Result, error::codes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::wire::{Backend, Frontend, Malformed, Startup, next_frame, next_startup};

/// What a client may send ahead while a statement runs.
const READ_AHEAD: usize = 64 << 10;
/// The send buffer is flushed when it holds this much.
pub(crate) const SEND_BYTES: usize = 64 << 10;

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The client closed it, or the network did.
    Closed,
    /// What it sent is not the protocol.
    Malformed(Malformed),
    /// It said nothing for too long.
    Idle,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// One client's socket.
pub(crate) struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    inbox: BytesMut,
    pub(crate) out: Backend,
    message_bytes_max: usize,
    idle_timeout: Duration,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, message_bytes_max: usize, idle_timeout: Duration) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer, inbox: BytesMut::new(), out: Backend::default(), message_bytes_max, idle_timeout }
    }

    pub(crate) async fn startup(&mut self) -> Result<Startup, Ended> {
        loop {
            if let Some(packet) = next_startup(&mut self.inbox).map_err(Ended::Malformed)? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    /// The next message; what is waiting to be sent goes out first if there is none yet.
    pub(crate) async fn receive(&mut self) -> Result<Frontend, Ended> {
        loop {
            if let Some(frame) = next_frame(&mut self.inbox, self.message_bytes_max).map_err(Ended::Malformed)? {
                return frame.parse().map_err(Ended::Malformed);
            }
            self.flush().await?;
            let idle_timeout = self.idle_timeout;
            tokio::time::timeout(idle_timeout, self.fill()).await.map_err(|_| Ended::Idle)??;
        }
    }

    async fn fill(&mut self) -> Result<(), Ended> {
        if self.inbox.is_empty() && self.inbox.capacity() > READ_AHEAD * 4 {
            // One large message must not keep its buffer for ever.
            self.inbox = BytesMut::new();
        }
        match self.reader.read_buf(&mut self.inbox).await? {
            0 => Err(Ended::Closed),
            _ => Ok(()),
        }
    }

    /// Sends everything. Can be dropped at any point and called again: nothing is lost or sent twice.
    pub(crate) async fn flush(&mut self) -> Result<(), Ended> {
        while !self.out.0.is_empty() {
            let write = self.writer.write_buf(&mut self.out.0);
            match tokio::time::timeout(self.idle_timeout, write).await {
                Ok(Ok(n)) if n > 0 => {}
                Ok(_) => return Err(Ended::Closed),
                Err(_) => return Err(Ended::Idle),
            }
        }
        if self.out.0.capacity() > SEND_BYTES * 4 {
            self.out.0 = BytesMut::new();
        }
        Ok(())
    }

    /// [`Connection::flush`] while a statement runs: a client that does not read can still cancel.
    pub(crate) async fn flush_within(&mut self, limits: &mut Limits) -> Result<Result<()>, Ended> {
        tokio::select! {
            biased;
            error = limits.reached() => Ok(Err(error)),
            flushed = self.flush() => flushed.map(Ok),
        }
    }

    /// Works on a statement until it is done, cancelled, out of time, or its client is gone. Dropping `work` stops it.
    pub(crate) async fn guard<T>(
        &mut self,
        limits: &mut Limits,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Result<T>, Ended> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                error = limits.reached() => return Ok(Err(error)),
                result = &mut work => return Ok(result),
                read = self.reader.read_buf(&mut self.inbox), if self.inbox.len() < READ_AHEAD => {
                    if read? == 0 {
                        return Err(Ended::Closed);
                    }
                }
            }
        }
    }
}

/// What ends a statement before its time.
pub(crate) struct Limits {
    /// Changes when the client asks to cancel.
    cancel: watch::Receiver<u64>,
    timeout: Option<(Duration, Pin<Box<tokio::time::Sleep>>)>,
}

impl Limits {
    /// For a statement that begins now: what was cancelled before does not concern it.
    pub(crate) fn new(mut cancel: watch::Receiver<u64>, timeout: Option<Duration>) -> Self {
        cancel.mark_unchanged();
        Self { cancel, timeout: timeout.map(|t| (t, Box::pin(tokio::time::sleep(t)))) }
    }

    async fn reached(&mut self) -> Error {
        let expired = async {
            match &mut self.timeout {
                Some((limit, sleep)) => {
                    sleep.await;
                    *limit
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The sender lives as long as the connection.
            _ = self.cancel.changed() => Error::new(codes::PG_CANCELLED, "canceling statement due to user request"),
            limit = expired => Error::new(codes::PG_STATEMENT_TIMEOUT, "canceling statement due to statement timeout")
                .detail(format!("statement_timeout is {} ms", limit.as_millis())),
        }
    }
}
