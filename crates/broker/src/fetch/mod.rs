//! Fetch: records from the log to the socket, without copying and without polling.

mod request;
mod session;
mod wire;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use commitlog::{Aborted, Bounds, Subscription, log::Log};
use model::{ErrorKind, TopicPartition, error::codes::BATCH_CORRUPT};
use tokio::sync::{Notify, OwnedSemaphorePermit};

pub(crate) use self::{request::FetchRequest, session::Sessions};
use self::{request::TopicKey, session::Plan};
use crate::{
    access::{self, Operation},
    dispatch::{Answering, Context, Outcome},
    frame::Read,
    handlers::{code, errors, offsets::check_epoch, place},
    quotas::Limit,
    stats::TopicCounters,
};

/// What a response may hold even if the memory for responses is used up.
const SMALL_RESPONSE_BYTES: usize = 64 << 10;

/// Longest wait for records, whatever the client asks for: it may ask again, and its login ends in time.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A partition the client wants to hear of.
#[derive(Clone, Debug, PartialEq)]
struct Want {
    topic: TopicKey,
    partition: i32,
    offset: i64,
    bytes_max: usize,
    leader_epoch: i32,
}

/// What was found in a partition.
struct Found {
    error: i16,
    bounds: Bounds,
    records: Bytes,
    /// Aborted transactions in `records`, for a committed reader.
    aborted: Vec<Aborted>,
    /// Where it is, if it exists.
    place: Option<(TopicPartition, Arc<TopicCounters>)>,
}

const NOWHERE: Bounds = Bounds { log_start: -1, last_stable: -1, high_watermark: -1, log_end: -1, leader_epoch: -1 };

impl Found {
    fn failed(error: i16, bounds: Bounds) -> Self {
        Self { error, bounds, records: Bytes::new(), aborted: Vec::new(), place: None }
    }

    /// Something the client should hear of at once.
    fn is_error(&self) -> bool {
        self.error != 0
    }
}

pub(crate) fn fetch(context: Context, body: &Bytes) -> Read<Pin<Box<Answering>>> {
    let request = FetchRequest::parse(body, context.version)?;
    Ok(Box::pin(answer(context, request)))
}

async fn answer(context: Context, request: FetchRequest) -> Outcome {
    let now = context.shared.world.clock.monotonic();
    let plan = match context.shared.sessions.begin(&request, context.client.principal(), now) {
        Ok(plan) => plan,
        Err(code) => return Outcome::Response(wire::refuse(&context, code)),
    };
    let fetch = Fetch { context: &context, request: &request, plan: &plan };
    let (mut found, mut share) = fetch.wait().await;
    let wait = fetch.throttle(&mut found);
    for found in &found {
        if found.is_error() {
            context.shared.stats.errors.fetch_add(1, Relaxed);
        } else if let Some((_, counters)) = found.place.as_ref().filter(|_| !found.records.is_empty()) {
            counters.bytes_out.fetch_add(found.records.len() as u64, Relaxed);
        }
    }
    let tell = context.shared.sessions.finish(&plan, &found);
    let mut response = wire::encode(&context, &request, &plan, &found, &tell, wait);
    let bytes: usize = found.iter().map(|found| found.records.len()).sum();
    // What was not needed is for others. A first batch may be larger than the share; then it is overdrawn by that.
    if let Some(rest) = share.as_ref().and_then(|share| share.num_permits().checked_sub(bytes)) {
        drop(share.as_mut().and_then(|share| share.split(rest)));
    }
    response.permit = share;
    Outcome::Response(response)
}

struct Fetch<'a> {
    context: &'a Context,
    request: &'a FetchRequest,
    plan: &'a Plan,
}

impl Fetch<'_> {
    fn log(&self) -> &dyn Log {
        &*self.context.shared.log
    }

    /// Reads, and reads again what moved, until there is enough or the client's patience is over.
    async fn wait(&self) -> (Vec<Found>, Option<OwnedSemaphorePermit>) {
        let clock = &self.context.shared.world.clock;
        let patience = Duration::from_millis(u64::try_from(self.request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
        let until = clock.monotonic() + patience;
        let share = self.share();
        let bytes_max = self.bytes_max(share.as_ref());
        let mut found = self.read_all(bytes_max).await;
        if self.enough(&found, bytes_max) || patience.is_zero() {
            return (found, share);
        }
        // Whoever waits holds none of the memory for responses.
        drop(share);
        let waker = Arc::new(Notify::new());
        let _subscriptions: Vec<Subscription> = found
            .iter()
            .filter_map(|found| self.log().subscribe(&found.place.as_ref()?.0, waker.clone()).ok())
            .collect();
        loop {
            // What moved between reading and subscribing counts, too.
            let share = self.share();
            let bytes_max = self.bytes_max(share.as_ref());
            self.read_moved(&mut found, bytes_max).await;
            let left = until.saturating_sub(clock.monotonic());
            if self.enough(&found, bytes_max) || left.is_zero() {
                return (found, share);
            }
            drop(share);
            let _either = tokio::time::timeout(left, waker.notified()).await;
        }
    }

    /// Something to say without waiting: enough bytes, or any error.
    fn enough(&self, found: &[Found], bytes_max: usize) -> bool {
        let bytes: usize = found.iter().map(|f| f.records.len()).sum();
        let wanted = usize::try_from(self.request.min_bytes).unwrap_or(0);
        bytes >= wanted.min(bytes_max) || found.iter().any(Found::is_error)
    }

    async fn read_all(&self, bytes_max: usize) -> Vec<Found> {
        let mut room = bytes_max;
        let mut empty = true;
        let mut all = Vec::with_capacity(self.plan.wants.len());
        for want in &self.plan.wants {
            let found = self.read(want, room, empty).await;
            room = room.saturating_sub(found.records.len());
            empty &= found.records.is_empty();
            all.push(found);
        }
        all
    }

    async fn read_moved(&self, all: &mut [Found], bytes_max: usize) {
        let mut bytes: usize = all.iter().map(|found| found.records.len()).sum();
        for (at, want) in self.plan.wants.iter().enumerate() {
            let Some((place, _)) = &all[at].place else { continue };
            let moved = match self.log().bounds(place) {
                Ok(bounds) => {
                    let visible = |b: &Bounds| (b.high_watermark, b.last_stable, b.log_start, b.leader_epoch);
                    visible(&bounds) != visible(&all[at].bounds)
                }
                Err(_) => true,
            };
            if moved {
                let others = bytes - all[at].records.len();
                all[at] = self.read(want, bytes_max.saturating_sub(others), others == 0).await;
                bytes = others + all[at].records.len();
            }
        }
    }

    /// Most bytes that the response may have.
    fn wanted(&self) -> usize {
        let wanted = usize::try_from(self.request.max_bytes).unwrap_or(0);
        let partitions = self.plan.wants.iter().map(|want| want.bytes_max).fold(0, usize::saturating_add);
        // What a quota gives at once: debts stay small. The cast keeps what is beyond all limits there.
        let allowed = self.context.quota_burst(Limit::Fetch) as usize;
        wanted.min(partitions).min(self.context.shared.dynamic.door().fetch_bytes_max).min(allowed)
    }

    /// A share of the memory for responses, before anything is read: half as much, and again, if others have it.
    fn share(&self) -> Option<OwnedSemaphorePermit> {
        let mut wanted = self.wanted();
        while wanted > SMALL_RESPONSE_BYTES {
            if let Ok(share) = self.context.shared.responses.clone().try_acquire_many_owned(wanted as u32) {
                return Some(share);
            }
            wanted /= 2;
        }
        None
    }

    /// What may be read with this share; small responses need none.
    fn bytes_max(&self, share: Option<&OwnedSemaphorePermit>) -> usize {
        share.map_or_else(|| self.wanted().min(SMALL_RESPONSE_BYTES), OwnedSemaphorePermit::num_permits)
    }

    /// While it is beyond its quota a client gets no records, and hears how long to wait for them (KIP-219).
    fn throttle(&self, found: &mut [Found]) -> Duration {
        let bytes: usize = found.iter().map(|found| found.records.len()).sum();
        let wait = self.context.charge_or_wait(Limit::Fetch, bytes as f64);
        if !wait.is_zero() {
            for found in found {
                found.records = Bytes::new();
                found.aborted.clear();
            }
        }
        wait
    }

    /// `first`: nothing else is in the response yet, so the first batch comes whatever its size (KIP-74).
    async fn read(&self, want: &Want, room: usize, first: bool) -> Found {
        let Some(isolation) = self.request.isolation else {
            return Found::failed(errors::UNKNOWN_SERVER_ERROR, NOWHERE);
        };
        // Whoever may not read a topic does not learn whether it exists.
        let may = |name: &str| self.context.authorize(Operation::Read, access::topic(name));
        let topic = match &want.topic {
            TopicKey::Name(name) if may(name).is_err() => Err(errors::TOPIC_AUTHORIZATION_FAILED),
            TopicKey::Name(name) => self.log().topic(name).ok_or(errors::UNKNOWN_TOPIC_OR_PARTITION),
            TopicKey::Id(id) => self.log().topic_by_id(*id).ok_or(errors::UNKNOWN_TOPIC_ID),
        };
        let topic = match topic {
            Ok(topic) if self.request.by_id && may(&topic.name).is_err() => {
                return Found::failed(errors::TOPIC_AUTHORIZATION_FAILED, NOWHERE);
            }
            Ok(topic) => topic,
            Err(code) => return Found::failed(code, NOWHERE),
        };
        let Some(place) = place(&topic, want.partition) else {
            return Found::failed(errors::UNKNOWN_TOPIC_OR_PARTITION, NOWHERE);
        };
        let bounds = match self.log().bounds(&place) {
            Ok(bounds) => bounds,
            Err(error) => return Found::failed(self.code(&error), NOWHERE),
        };
        if let Err(code) = check_epoch(want.leader_epoch, &bounds) {
            return Found::failed(code, bounds);
        }
        if want.offset < bounds.log_start || want.offset > bounds.log_end {
            return Found::failed(errors::OFFSET_OUT_OF_RANGE, bounds);
        }
        let counters = self.context.shared.stats.topic(&topic.name);
        let nothing = |bounds| Found { place: Some((place.clone(), counters.clone())), ..Found::failed(0, bounds) };
        let end = bounds.end(isolation);
        let bytes_max = want.bytes_max.min(room);
        if want.offset >= end || (bytes_max == 0 && !first) {
            return nothing(bounds);
        }
        let read = self.log().read(&place, want.offset, bytes_max, isolation).await;
        match read.and_then(|slice| slice.undamaged(&place)) {
            Ok(slice) if slice.records.len() > bytes_max && !first => nothing(slice.bounds),
            Ok(slice) if self.context.version < 10 && has_zstd(&slice.records) => {
                Found::failed(errors::UNSUPPORTED_COMPRESSION_TYPE, slice.bounds)
            }
            Ok(slice) => Found { records: slice.records, aborted: slice.aborted, ..nothing(slice.bounds) },
            Err(error) => {
                let shared = &self.context.shared;
                if error.is(BATCH_CORRUPT)
                    && let Some(left_out) = shared.damaged.tell(shared.world.clock.monotonic())
                {
                    tracing::error!(%error, left_out, "damaged records are not served");
                }
                Found::failed(self.code(&error), bounds)
            }
        }
    }

    fn code(&self, error: &model::Error) -> i16 {
        let topic_gone = matches!(error.kind(), ErrorKind::TopicNotFound);
        match code(error) {
            // Old clients do not know that disks fail.
            errors::KAFKA_STORAGE_ERROR if self.context.version <= 5 => errors::NOT_LEADER_OR_FOLLOWER,
            _ if topic_gone && self.context.version >= 13 => errors::UNKNOWN_TOPIC_ID,
            code => code,
        }
    }
}

/// Whether any of these batches is compressed with zstd, which clients below Fetch 10 cannot read.
fn has_zstd(mut records: &[u8]) -> bool {
    const ATTRIBUTES_AT: usize = 22;
    while let Some(attributes) = records.get(ATTRIBUTES_AT) {
        if attributes & 0b111 == 4 {
            return true;
        }
        let length = u32::from_be_bytes(records[8..12].try_into().expect("four bytes")) as usize;
        records = records.get(12 + length..).unwrap_or_default();
    }
    false
}
