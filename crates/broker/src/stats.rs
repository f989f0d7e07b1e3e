//! Counters of the door, live.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use model::TopicName;
use parking_lot::RwLock;

use crate::versions::OFFERS;

/// The door's counters. Everything only rises, except the number of open connections.
pub(crate) struct Stats {
    pub(crate) connections_open: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) batches_in: AtomicU64,
    pub(crate) records_in: AtomicU64,
    /// Requests that could not be understood or are not offered.
    pub(crate) bad_requests: AtomicU64,
    /// Partitions of Produce and Fetch requests that were refused.
    pub(crate) errors: AtomicU64,
    /// Requests after which a client had to wait because of its quota.
    pub(crate) throttled: AtomicU64,
    requests: Vec<AtomicU64>,
    topics: RwLock<HashMap<TopicName, Arc<TopicCounters>>>,
}

/// Counters of one topic.
#[derive(Default)]
pub(crate) struct TopicCounters {
    pub(crate) batches_in: AtomicU64,
    pub(crate) records_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatsSnapshot {
    pub connections_open: u64,
    pub connections: u64,
    pub connections_refused: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub batches_in: u64,
    pub records_in: u64,
    pub bad_requests: u64,
    pub errors: u64,
    /// Requests after which a client had to wait because of its quota.
    pub throttled: u64,
    /// Requests by the name of their API.
    pub requests: Vec<(String, u64)>,
    pub topics: Vec<TopicStats>,
}

/// What went through the door for one topic, since the start.
#[derive(Clone, Debug)]
pub struct TopicStats {
    pub topic: TopicName,
    pub batches_in: u64,
    pub records_in: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            connections_open: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            batches_in: AtomicU64::new(0),
            records_in: AtomicU64::new(0),
            bad_requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            requests: OFFERS.iter().map(|_| AtomicU64::new(0)).collect(),
            topics: RwLock::new(HashMap::new()),
        }
    }

    pub(crate) fn request(&self, offer: usize) {
        self.requests[offer].fetch_add(1, Relaxed);
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Arc<TopicCounters> {
        if let Some(found) = self.topics.read().get(name) {
            return found.clone();
        }
        self.topics.write().entry(name.clone()).or_default().clone()
    }

    /// Forgets the topics that `exists` does not know.
    pub(crate) fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.topics.write().retain(|topic, _| exists(topic));
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget(&self, topic: &str) {
        self.topics.write().remove(topic);
    }

    pub(crate) fn snapshot(&self) -> StatsSnapshot {
        let mut topics: Vec<_> = self
            .topics
            .read()
            .iter()
            .map(|(topic, counters)| TopicStats {
                topic: topic.clone(),
                batches_in: counters.batches_in.load(Relaxed),
                records_in: counters.records_in.load(Relaxed),
                bytes_in: counters.bytes_in.load(Relaxed),
                bytes_out: counters.bytes_out.load(Relaxed),
            })
            .collect();
        topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        let requests = OFFERS.iter().zip(&self.requests).map(|(o, n)| (format!("{:?}", o.key), n.load(Relaxed)));
        StatsSnapshot {
            connections_open: self.connections_open.load(Relaxed),
            connections: self.connections.load(Relaxed),
            connections_refused: self.connections_refused.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            batches_in: self.batches_in.load(Relaxed),
            records_in: self.records_in.load(Relaxed),
            bad_requests: self.bad_requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            requests: requests.filter(|(_, n)| *n > 0).collect(),
            topics,
        }
    }
}
