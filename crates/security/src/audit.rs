//! Refusals as records of `_audit`: who was not let in, what was not allowed.
//!
//! Whoever is refused decides how often, so nothing here grows with it: equal refusals are counted and written as one record a
//! minute, no more than [`EVENTS_MAX`] kinds of refusals are told apart at a time, and what is beyond is counted together.
//!
//! A record is JSON: `time` and `until` (of the first and last refusal), `count`, `event` (`authentication` or
//! `authorization`), `principal`, `peer`, `operation`, `resource`, `why`. Never a password, token or key.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use commitlog::{
    Log,
    log::{Append, TopicSpec},
    record::{BatchBuilder, Codec},
};
use model::{AUDIT_TOPIC, Result, TimestampMs, TopicName, TopicPartition};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use world::World;

use crate::store::ensure;

/// Kinds of refusals told apart at a time.
const EVENTS_MAX: usize = 1000;
/// A refusal seen for the first time is written after this long, one that repeats after [`REPEAT`].
const FLUSH: Duration = Duration::from_secs(1);
const REPEAT: Duration = Duration::from_secs(60);
/// Longest text of an event: names come from outside.
const TEXT_CHARS_MAX: usize = 256;

/// What was refused. Equal ones are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Refusal {
    /// `authentication` or `authorization`.
    pub event: &'static str,
    /// Who asked, or claimed to be; empty if nobody was named.
    pub principal: String,
    /// Address without port.
    pub peer: String,
    pub operation: String,
    pub resource: String,
    pub why: String,
}

/// A record of the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since 1970 of the first and of the last refusal counted here.
    pub time: TimestampMs,
    pub until: TimestampMs,
    pub count: u64,
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// Counts refusals: the pure half.
#[derive(Default)]
pub struct Counter {
    open: HashMap<Refusal, Counted>,
    /// Refusals beyond what is told apart.
    beyond: Option<Counted>,
}

/// Refusals that were not written yet.
#[derive(Clone, Copy, Default)]
struct Counted {
    first: TimestampMs,
    last: TimestampMs,
    count: u64,
    /// When it was last written; equal ones are held back for a while after.
    written: Option<TimestampMs>,
}

impl Counted {
    fn add(&mut self, now: TimestampMs) {
        if self.count == 0 {
            self.first = now;
        }
        self.last = now;
        self.count += 1;
    }
}

impl Counter {
    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.beyond.is_none()
    }

    pub fn add(&mut self, now: TimestampMs, mut refusal: Refusal) {
        for text in
            [&mut refusal.principal, &mut refusal.peer, &mut refusal.operation, &mut refusal.resource, &mut refusal.why]
        {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                text.truncate(end);
            }
        }
        let room = self.open.len() < EVENTS_MAX;
        match self.open.entry(refusal) {
            Entry::Occupied(mut found) => found.get_mut().add(now),
            Entry::Vacant(place) if room => place.insert(Counted::default()).add(now),
            Entry::Vacant(_) => self.beyond.get_or_insert_default().add(now),
        }
    }

    /// What is due to be written at `now`.
    pub fn due(&mut self, now: TimestampMs) -> Vec<Event> {
        let repeat = i64::try_from(REPEAT.as_millis()).unwrap_or(i64::MAX);
        let is_due = |counted: &Counted| counted.written.is_none_or(|at| now.saturating_sub(at) >= repeat);
        let mut due = Vec::new();
        self.open.retain(|refusal, counted| {
            if !is_due(counted) {
                return true;
            }
            if counted.count == 0 {
                return false; // It did not come again.
            }
            let (time, until, count) = (counted.first, counted.last, counted.count);
            due.push(Event { time, until, count, refusal: refusal.clone() });
            *counted = Counted { written: Some(now), ..Counted::default() };
            true
        });
        if let Some(beyond) = self.beyond.filter(is_due) {
            self.beyond = None;
            if beyond.count > 0 {
                let refusal = Refusal {
                    event: "more",
                    principal: String::new(),
                    peer: String::new(),
                    operation: String::new(),
                    resource: String::new(),
                    why: "refusals too different to be told one by one".to_owned(),
                };
                due.push(Event { time: beyond.first, until: beyond.last, count: beyond.count, refusal });
                self.beyond = Some(Counted { written: Some(now), ..Counted::default() });
            }
        }
        due.sort_by(|a, b| (a.time, &a.refusal.principal).cmp(&(b.time, &b.refusal.principal)));
        due
    }
}

/// Events in one batch: as long as events get, and all of it escaped, that is less than a megabyte.
const EVENTS_AT_ONCE: usize = 100;

/// Takes refusals and writes them by and by.
pub struct Audit {
    log: Arc<dyn Log>,
    world: World,
    counter: Mutex<Counter>,
    /// There is something to write by and by.
    woken: Notify,
}

impl Audit {
    pub fn new(log: Arc<dyn Log>, world: World) -> Self {
        Self { log, world, counter: Mutex::default(), woken: Notify::new() }
    }

    /// Somebody was refused. Waits for nothing.
    pub fn refused(&self, refusal: Refusal) {
        let now = self.world.clock.now_ms();
        self.counter.lock().add(now, refusal);
        self.woken.notify_one();
    }

    /// Writes what is due until the node stops, and then the rest.
    pub(crate) async fn keep_writing(self: Arc<Self>) {
        let stopping = || self.world.tasks.stopping();
        loop {
            let is_idle = self.counter.lock().is_idle();
            let stops = tokio::select! {
                () = self.woken.notified(), if is_idle => false,
                () = tokio::time::sleep(FLUSH), if !is_idle => false,
                () = stopping() => true,
            };
            // At the end nothing is held back.
            let now = if stops { TimestampMs::MAX } else { self.world.clock.now_ms() };
            let due = if is_idle && !stops { Vec::new() } else { self.counter.lock().due(now) };
            for due in due.chunks(EVENTS_AT_ONCE) {
                if let Err(error) = self.write(due).await {
                    tracing::warn!(%error, "refusals could not be written to the audit topic; they are in this log alone");
                }
            }
            if stops {
                return;
            }
        }
    }

    async fn write(&self, due: &[Event]) -> Result<()> {
        let mut batch = BatchBuilder::new(Codec::None);
        for event in due {
            let Refusal { event: kind, principal, peer, operation, resource, why } = &event.refusal;
            tracing::warn!(kind, principal, peer, operation, resource, why, count = event.count, "refused");
            let value = serde_json::to_vec(event)
                .map_err(|error| model::Error::internal(format!("an audit event could not be written: {error}")))?;
            batch.push(event.until, Some(principal.as_bytes()), Some(&value), &[]);
        }
        // Ninety days and a gigabyte, whichever is less: an attacker's noise must not fill the disk.
        let spec = TopicSpec::new(TopicName::new(AUDIT_TOPIC)?, 1)
            .with("retention.ms", "7776000000")
            .with("retention.bytes", "1073741824")
            .with("segment.bytes", "67108864");
        let place = TopicPartition::new(spec.name.clone(), 0);
        ensure(&*self.log, spec).await?;
        self.log.append(&place, batch.build(), Append { internal: true }).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(principal: &str) -> Refusal {
        Refusal {
            event: "authorization",
            principal: principal.to_owned(),
            peer: "10.0.0.1".to_owned(),
            operation: "READ".to_owned(),
            resource: "TOPIC:t".to_owned(),
            why: "no rule allows it".to_owned(),
        }
    }

    #[test]
    fn a_refusal_is_written_at_once_and_its_repeats_once_a_minute() {
        let mut counter = Counter::default();
        counter.add(1_000, refusal("User:a"));
        assert_eq!(counter.due(1_500), [Event { time: 1_000, until: 1_000, count: 1, refusal: refusal("User:a") }]);
        (2_000..3_000).for_each(|at| counter.add(at, refusal("User:a")));
        assert_eq!(counter.due(30_000), []);
        assert_eq!(
            counter.due(61_500),
            [Event { time: 2_000, until: 2_999, count: 1_000, refusal: refusal("User:a") }]
        );
        assert_eq!(counter.due(200_000), []);
        assert!(counter.open.is_empty(), "what does not come again is forgotten");
    }

    #[test]
    fn ever_new_refusals_need_neither_more_memory_nor_more_disk_and_none_goes_uncounted() {
        let mut counter = Counter::default();
        let long = "x".repeat(10_000);
        for number in 0..5_000_i64 {
            counter.add(number, refusal(&format!("User:{number}{long}")));
        }
        assert_eq!(counter.open.len(), EVENTS_MAX);
        let due = counter.due(10_000);
        assert_eq!(due.len(), EVENTS_MAX + 1);
        assert_eq!(due.iter().map(|event| event.count).sum::<u64>(), 5_000);
        assert!(due.iter().all(|event| event.refusal.principal.chars().count() <= TEXT_CHARS_MAX));
        counter.add(10_001, refusal("User:other"));
        assert_eq!(counter.due(11_000), [], "held back with the others beyond");
    }
}
