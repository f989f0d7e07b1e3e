//! One connection: frames in, responses out in the order of their requests.
//!
//! Reading and answering run side by side. Each frame becomes a future; Produce requests take their place in the log while
//! the frame is read, so that several of them share one disk sync, and everything else starts when its turn to be
//! answered comes. The queue between the two is bounded by requests, and all queues together by bytes.

use std::{
    collections::VecDeque, io, net::SocketAddr, pin::Pin, sync::Arc, sync::atomic::Ordering::Relaxed, task::Poll,
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use security::Principal;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    dispatch::{Answering, Client, Outcome},
    login, quotas,
    server::Shared,
};

/// Read at once when no frame is under way.
const READ_BYTES: usize = 16 << 10;
/// The same for a connection that has not filled that much at once, as most never do.
const LEAN_READ_BYTES: usize = 512;
/// Time without a word after which a connection holds no buffer, and what it reads then to get one.
const LEAN_AFTER: Duration = Duration::from_secs(2);
const LEAN_BYTES: usize = 16;
/// Memory given to a frame before more of it has arrived.
const TRUST_BYTES: usize = 1 << 20;
/// Requests that a connection takes in before others have a turn.
const TURN_BYTES: usize = 128 << 10;
/// Share of the memory for requests that a frame takes when it begins.
const FIRST_PERMIT_BYTES: usize = 64 << 10;
/// Responses collected before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// Time for what is left of a frame that has begun, if nothing comes; and the slowest client, in bytes a second beyond it.
const STALL_MAX: Duration = Duration::from_secs(30);
const SLOWEST_BYTES: usize = 64 << 10;
/// Frames of one connection that wait for those before them, but Produce: one client must not hold what all need.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Time for responses under way when the client has stopped sending.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// A request being answered, and its share of the memory for requests.
struct Queued {
    answer: Pin<Box<Answering>>,
    shares: Shares,
}

/// What a frame holds of the memory for requests: of all connections, and of its own if it is not Produce, whose batches only
/// wait for the disk.
struct Shares {
    of_all: Option<OwnedSemaphorePermit>,
    of_own: Option<OwnedSemaphorePermit>,
}

impl Queued {
    /// Its answer has been begun and waits: for records, or for other members. The frame has been read, and what it wants is
    /// kept by others with limits of their own.
    fn parks(&mut self) {
        if self.shares.of_own.is_some() {
            self.shares.of_all = None;
        }
    }
}

pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection lost before it began");
        return;
    }
    let client = Arc::new(Client::new(peer));
    let Some(tls) = &shared.security.tls else {
        return enter(shared, client, None, stream, TcpStream::into_split).await;
    };
    let handshake = Box::pin(TlsAcceptor::from(tls.config()).accept(stream));
    match tokio::time::timeout(shared.settings.login_time_max, handshake).await {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(security::tls::principal_of);
            Box::pin(enter(shared, client, certificate, stream, tokio::io::split)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            login::no_handshake(&shared.security, peer, &error);
        }
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

/// Lets the client in if it proves who it is, and serves it. With SASL its login counts, without its certificate.
async fn enter<S, R, W>(
    shared: Arc<Shared>,
    client: Arc<Client>,
    certificate: Option<Principal>,
    mut stream: S,
    split: impl FnOnce(S) -> (R, W),
) where
    S: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if shared.security.settings.protocol.has_sasl() {
        let (peer, time) = (client.peer, shared.settings.login_time_max);
        // Boxed: nobody needs it once they are in.
        let login = Box::pin(login::log_in(&shared, &client, &mut stream));
        match tokio::time::timeout(time, login).await {
            Ok(Ok(session)) => client.log_in(session),
            Ok(Err(reason)) => return tracing::info!(%peer, reason, "Kafka connection closed"),
            Err(_) => return tracing::info!(%peer, reason = "a login took too long", "Kafka connection closed"),
        }
    }
    if let Some(principal) = certificate {
        client.is(principal);
    }
    let (read, write) = split(stream);
    serve_requests(shared, client, read, write).await;
}

async fn serve_requests(
    shared: Arc<Shared>,
    client: Arc<Client>,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
) {
    let peer = client.peer;
    let (queue, answers) = mpsc::channel(shared.settings.in_flight_requests_max);
    let own = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    let buffer = BytesMut::new();
    let reading =
        Frames { shared: shared.clone(), read, buffer, read_bytes: LEAN_READ_BYTES, own, queue }.dispatch_all(client);
    let writing = answer_all(shared.clone(), write, answers);
    tokio::pin!(writing);
    tokio::select! {
        end = reading => {
            match end {
                // Clients come and go; what they say wrongly is worth knowing.
                Ok(()) | Err(End::Io(_) | End::Cut | End::Idle) => tracing::debug!(%peer, ?end, "Kafka connection ended"),
                Err(reason) => tracing::warn!(%peer, %reason, "Kafka connection closed"),
            }
            // The queue is closed: whatever was asked before may still be answered.
            let _late = tokio::time::timeout(DRAIN_MAX, writing).await;
        }
        end = &mut writing => match end {
            Ok(()) | Err(End::Io(_) | End::Idle) => tracing::debug!(%peer, ?end, "Kafka connection ended"),
            Err(reason) => tracing::warn!(%peer, %reason, "Kafka connection closed"),
        }
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("a frame of {0} bytes is not allowed")]
    FrameSize(i64),
    #[error("nothing came for too long")]
    Idle,
    #[error("the connection ended in the middle of a frame")]
    Cut,
    #[error("too many bytes of requests are in flight")]
    Crowded,
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The reading side.
struct Frames<R> {
    shared: Arc<Shared>,
    read: R,
    buffer: BytesMut,
    own: Arc<Semaphore>,
    /// Read at once: [`LEAN_READ_BYTES`] or [`READ_BYTES`].
    read_bytes: usize,
    queue: mpsc::Sender<Queued>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    async fn dispatch_all(mut self, client: Arc<Client>) -> Result<(), End> {
        let mut turn_bytes = 0;
        loop {
            // What a client over its quota sends next stays in its socket (KIP-219), and holds no memory that others need.
            quotas::until(&*self.shared.world.clock, client.muted_until()).await;
            let Some((frame, shares)) = self.next().await? else { return Ok(()) };
            self.shared.stats.bytes_in.fetch_add(frame.len() as u64 + 4, Relaxed);
            turn_bytes += frame.len();
            // Boxed: what a request needs while it is read is not for idle connections to hold.
            let answer = match Box::pin(crate::dispatch::dispatch(&self.shared, &client, frame)).await {
                Ok(answer) => answer,
                Err(refused) => {
                    self.shared.stats.bad_requests.fetch_add(1, Relaxed);
                    return Err(End::Refused(refused));
                }
            };
            if self.queue.send(Queued { answer, shares }).await.is_err() {
                return Ok(()); // The writing side ended and has said why.
            }
            if turn_bytes >= TURN_BYTES {
                // A socket that always has more is always ready: without this, who sends little is heard after a hundred reads of
                // each one that sends much.
                turn_bytes = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next whole frame without its length; `None` when the client has finished.
    async fn next(&mut self) -> Result<Option<(Bytes, Shares)>, End> {
        let idle_max = self.shared.dynamic.door().idle_max;
        if self.buffer.is_empty() && !self.begin(idle_max).await? {
            return Ok(None);
        }
        while self.buffer.len() < 4 {
            if !self.more(self.read_bytes / 4, self.read_bytes, READ_BYTES, idle_max).await? {
                return Err(End::Cut);
            }
        }
        let claimed = i32::from_be_bytes(self.buffer[..4].try_into().expect("four bytes"));
        let length =
            frame_bytes(claimed, self.shared.settings.request_bytes_max).ok_or(End::FrameSize(i64::from(claimed)))?;
        let clock = self.shared.world.clock.clone();
        while self.buffer.len() < 6 {
            if !self.more(READ_BYTES / 4, READ_BYTES, READ_BYTES, STALL_MAX).await? {
                return Err(End::Cut);
            }
        }
        let key = i16::from_be_bytes([self.buffer[4], self.buffer[5]]);
        let own = if key == ApiKey::Produce as i16 {
            None
        } else if length > self.shared.settings.control_request_bytes_max {
            return Err(End::FrameSize(length as i64));
        } else {
            // Waits for what the connection has asked before, and holds nothing meanwhile.
            let bytes = length.min(WAITING_BYTES_MAX) as u32;
            Some(self.own.clone().acquire_many_owned(bytes).await.map_err(|_| End::Crowded)?)
        };
        let mut permitted = length.min(FIRST_PERMIT_BYTES);
        let mut permit = self.permit(0, permitted).await?;
        let until = clock.monotonic() + STALL_MAX + Duration::from_secs((length / SLOWEST_BYTES) as u64);
        while self.buffer.len() < length + 4 {
            let missing = length + 4 - self.buffer.len();
            // Memory follows the bytes that came: twice as much each time.
            let room = missing.min(TRUST_BYTES.max(self.buffer.len()));
            let wanted = (self.buffer.len() + room).min(length);
            if wanted > permitted {
                permit.merge(self.permit(permitted, wanted - permitted).await?);
                permitted = wanted;
            }
            let patience = STALL_MAX.min(until.saturating_sub(clock.monotonic()));
            if !self.more(room, room, missing, patience).await? {
                return Err(End::Cut);
            }
        }
        self.buffer.advance(4);
        let shares = Shares { of_all: Some(permit), of_own: own };
        Ok(Some((self.buffer.split_to(length).freeze(), shares)))
    }

    /// Waits for the first bytes of a frame; `false` at the end of the stream. A client that says nothing for a while holds no
    /// buffer: most of those that are connected are of this kind.
    async fn begin(&mut self, idle_max: Duration) -> Result<bool, End> {
        let at_once = LEAN_AFTER.min(idle_max);
        if self.buffer.capacity() < self.read_bytes / 4 {
            self.buffer.reserve(self.read_bytes);
        }
        let mut target = (&mut self.buffer).limit(READ_BYTES);
        if let Ok(read) = tokio::time::timeout(at_once, self.read.read_buf(&mut target)).await {
            if self.buffer.len() == self.buffer.capacity() {
                self.read_bytes = READ_BYTES;
            }
            return Ok(read? > 0);
        }
        (self.buffer, self.read_bytes) = (BytesMut::new(), LEAN_READ_BYTES);
        let mut first = [0; LEAN_BYTES];
        let mut patience = idle_max.saturating_sub(at_once);
        loop {
            match tokio::time::timeout(patience, self.read.read(&mut first)).await {
                Ok(read) => {
                    let read = read?;
                    self.buffer.reserve(self.read_bytes);
                    self.buffer.extend_from_slice(&first[..read]);
                    return Ok(read > 0);
                }
                // Not idle while the client waits for an answer, for example to a join.
                Err(_) if self.queue.capacity() < self.queue.max_capacity() => patience = idle_max.max(LEAN_AFTER),
                Err(_) => return Err(End::Idle),
            }
        }
    }

    /// Reads at most `limit` bytes, after making room for `room` if there is less than `needed`; `false` at the end of
    /// the stream. Reading a large frame never goes beyond its end, so that nothing of the next has to be moved.
    async fn more(&mut self, needed: usize, room: usize, limit: usize, patience: Duration) -> Result<bool, End> {
        if self.buffer.capacity() - self.buffer.len() < needed {
            self.buffer.reserve(room);
        }
        let mut target = (&mut self.buffer).limit(limit);
        match tokio::time::timeout(patience, self.read.read_buf(&mut target)).await {
            Ok(read) => Ok(read? > 0),
            Err(_) => Err(End::Idle),
        }
    }

    /// A share of the memory for requests. One that holds some already must not wait for ever: others do the same.
    async fn permit(&self, held: usize, more: usize) -> Result<OwnedSemaphorePermit, End> {
        let semaphore: Arc<Semaphore> = self.shared.in_flight.clone();
        let wait = semaphore.acquire_many_owned(more as u32);
        let patience = if held > 0 { DRAIN_MAX } else { Duration::from_secs(3600) };
        match tokio::time::timeout(patience, wait).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(End::Crowded),
        }
    }
}

/// Bytes of a frame by the length it claims, if such a frame is allowed. The first part of a header takes eight.
pub(crate) fn frame_bytes(claimed: i32, bytes_max: usize) -> Option<usize> {
    usize::try_from(claimed).ok().filter(|length| (8..=bytes_max).contains(length))
}

/// The answering side: ends when the queue is closed and empty, or with a connection that cannot go on.
async fn answer_all(
    shared: Arc<Shared>,
    mut write: impl AsyncWrite + Unpin,
    mut answers: mpsc::Receiver<Queued>,
) -> Result<(), End> {
    let mut current = None;
    let mut chunks = VecDeque::new();
    // Shares of the memory for responses, kept until the chunks are written.
    let mut permits = Vec::new();
    loop {
        let mut queued: Queued = match current.take() {
            Some(queued) => queued,
            None => match answers.recv().await {
                Some(queued) => queued,
                None => return Ok(()),
            },
        };
        let outcome = match poll_once(&mut queued).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                queued.parks();
                queued.answer.as_mut().await
            }
        };
        let mut end = collect(&mut chunks, &mut permits, outcome);
        drop(queued);
        // Whatever else is ready goes out with it.
        let mut bytes: usize = chunks.iter().map(Bytes::len).sum();
        while end.is_ok() && bytes < WRITE_BYTES {
            let Ok(mut queued) = answers.try_recv() else { break };
            match poll_once(&mut queued).await {
                Poll::Ready(outcome) => end = collect(&mut chunks, &mut permits, outcome),
                Poll::Pending => {
                    current = Some(queued);
                    break;
                }
            }
            bytes = chunks.iter().map(Bytes::len).sum();
        }
        shared.stats.bytes_out.fetch_add(bytes as u64, Relaxed);
        match tokio::time::timeout(shared.dynamic.door().idle_max, write_all(&mut write, &mut chunks)).await {
            Ok(written) => written?,
            Err(_) => return Err(End::Idle),
        }
        permits.clear();
        end?;
    }
}

async fn poll_once(queued: &mut Queued) -> Poll<Outcome> {
    std::future::poll_fn(|cx| Poll::Ready(queued.answer.as_mut().poll(cx))).await
}

fn collect(chunks: &mut VecDeque<Bytes>, permits: &mut Vec<OwnedSemaphorePermit>, outcome: Outcome) -> Result<(), End> {
    match outcome {
        Outcome::Response(response) => {
            chunks.extend(response.chunks);
            permits.extend(response.permit);
        }
        Outcome::Silence => {}
        Outcome::Close(reason) => return Err(End::Refused(reason)),
        Outcome::Farewell(response, reason) => {
            chunks.extend(response.chunks);
            return Err(End::Refused(reason));
        }
    }
    Ok(())
}

/// Writes all chunks, many with each system call.
async fn write_all(write: &mut (impl AsyncWrite + Unpin), chunks: &mut VecDeque<Bytes>) -> io::Result<()> {
    const SLICES: usize = 64;
    while !chunks.is_empty() {
        // Made for each try, so that a connection does not hold them while nothing is written.
        let write_some = std::future::poll_fn(|cx| {
            let mut slices = [io::IoSlice::new(&[]); SLICES];
            let count = chunks.len().min(SLICES);
            for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
                *slice = io::IoSlice::new(chunk);
            }
            Pin::new(&mut *write).poll_write_vectored(cx, &slices[..count])
        });
        let mut written = write_some.await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(first) = chunks.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            chunks.pop_front();
        }
    }
    // TLS keeps what the socket did not take at once.
    write.flush().await
}
