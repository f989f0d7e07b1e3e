//! What each API does, one file per family.

pub(crate) mod acls;
pub(crate) mod admin;
pub(crate) mod configs;
pub(crate) mod consumer_groups;
pub(crate) mod features;
pub(crate) mod group_admin;
pub(crate) mod groups;
pub(crate) mod markers;
pub(crate) mod metadata;
pub(crate) mod offsets;
pub(crate) mod produce;
pub(crate) mod quotas;
pub(crate) mod reassignments;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod users;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use commitlog::{Isolation, Topic};
use kafka_protocol::{messages::TopicName as WireTopic, protocol::StrBytes};
use model::{Error, TopicName, TopicPartition, error::codes};

use crate::dispatch::Context;

/// Error codes of the protocol that no other crate needs to name (`org.apache.kafka.common.protocol.Errors`).
pub(crate) mod errors {
    pub(crate) const UNKNOWN_SERVER_ERROR: i16 = -1;
    pub(crate) const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub(crate) const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    pub(crate) const INVALID_TOPIC: i16 = 17;
    pub(crate) const NOT_ENOUGH_REPLICAS: i16 = 19;
    pub(crate) const INVALID_REQUIRED_ACKS: i16 = 21;
    pub(crate) const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
    pub(crate) const INVALID_GROUP_ID: i16 = 24;
    pub(crate) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
    pub(crate) const GROUP_AUTHORIZATION_FAILED: i16 = 30;
    pub(crate) const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
    pub(crate) const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
    pub(crate) const ILLEGAL_SASL_STATE: i16 = 34;
    pub(crate) const UNSUPPORTED_VERSION: i16 = 35;
    pub(crate) const INVALID_REPLICATION_FACTOR: i16 = 38;
    pub(crate) const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
    pub(crate) const INVALID_CONFIG: i16 = 40;
    pub(crate) const INVALID_REQUEST: i16 = 42;
    pub(crate) const POLICY_VIOLATION: i16 = 44;
    pub(crate) const INVALID_PRODUCER_EPOCH: i16 = 47;
    pub(crate) const INVALID_TXN_STATE: i16 = 48;
    pub(crate) const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
    pub(crate) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
    pub(crate) const SECURITY_DISABLED: i16 = 54;
    pub(crate) const OPERATION_NOT_ATTEMPTED: i16 = 55;
    pub(crate) const KAFKA_STORAGE_ERROR: i16 = 56;
    pub(crate) const LOG_DIR_NOT_FOUND: i16 = 57;
    pub(crate) const SASL_AUTHENTICATION_FAILED: i16 = 58;
    pub(crate) const GROUP_ID_NOT_FOUND: i16 = 69;
    pub(crate) const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
    pub(crate) const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
    pub(crate) const FENCED_LEADER_EPOCH: i16 = 74;
    pub(crate) const UNKNOWN_LEADER_EPOCH: i16 = 75;
    pub(crate) const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
    pub(crate) const ELECTION_NOT_NEEDED: i16 = 84;
    pub(crate) const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;
    pub(crate) const INVALID_RECORD: i16 = 87;
    pub(crate) const UNSTABLE_OFFSET_COMMIT: i16 = 88;
    pub(crate) const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
    pub(crate) const RESOURCE_NOT_FOUND: i16 = 91;
    pub(crate) const DUPLICATE_RESOURCE: i16 = 92;
    pub(crate) const UNACCEPTABLE_CREDENTIAL: i16 = 93;
    pub(crate) const INVALID_UPDATE_VERSION: i16 = 95;
    pub(crate) const UNKNOWN_TOPIC_ID: i16 = 100;
    pub(crate) const FETCH_SESSION_TOPIC_ID_ERROR: i16 = 106;
    pub(crate) const MISMATCHED_ENDPOINT_TYPE: i16 = 114;
    pub(crate) const TRANSACTION_ABORTABLE: i16 = 120;
    pub(crate) const INVALID_REGULAR_EXPRESSION: i16 = 128;
}

/// The protocol's isolation level, if it is one.
pub(crate) fn isolation(level: i8) -> Option<Isolation> {
    match level {
        0 => Some(Isolation::Uncommitted),
        1 => Some(Isolation::Committed),
        _ => None,
    }
}

pub(crate) fn code(error: &Error) -> i16 {
    error.kind().kafka_code()
}

/// Code and text of an error, as responses of admin APIs carry them.
pub(crate) fn told(error: &Error) -> (i16, Option<StrBytes>) {
    (code(error), Some(StrBytes::from_string(error.to_string())))
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn wire_topic(name: &str) -> WireTopic {
    WireTopic(text(name))
}

/// A partition that exists, by the topic's name and its number.
pub(crate) fn partition_of(context: &Context, topic: &str, partition: i32) -> Option<(Arc<Topic>, TopicPartition)> {
    let topic = context.shared.log.topic(topic)?;
    let place = place(&topic, partition)?;
    Some((topic, place))
}

pub(crate) fn place(topic: &Topic, partition: i32) -> Option<TopicPartition> {
    (0..topic.partitions).contains(&partition).then(|| TopicPartition::new(topic.name.clone(), partition))
}

pub(crate) fn check_unprotected(topic: &str) -> Result<TopicName, Error> {
    let name = TopicName::new(topic)?;
    if name.is_protected() { Err(kept_by_us(topic)) } else { Ok(name) }
}

pub(crate) fn kept_by_us(topic: &str) -> Error {
    Error::new(codes::INTERNAL_TOPIC, format!("topic `{topic}` is kept by Lakehead itself"))
}

/// How often a request names each thing. More than once makes no sense: which of them is meant?
pub(crate) struct Times<K>(HashMap<K, usize>);

impl<K: Eq + Hash> Times<K> {
    pub(crate) fn of(named: impl IntoIterator<Item = K>) -> Self {
        let mut times = HashMap::new();
        for key in named {
            *times.entry(key).or_default() += 1;
        }
        Self(times)
    }

    /// An error, as responses of admin APIs carry it, if the request names `key` more than once; `what` says what that is.
    pub(crate) fn once(&self, key: &K, what: &str) -> Result<(), (i16, Option<StrBytes>)> {
        match self.0.get(key) {
            Some(2..) => {
                let why = format!("the request names this {what} more than once");
                Err((errors::INVALID_REQUEST, Some(text(&why))))
            }
            _ => Ok(()),
        }
    }
}

/// Each name once, in order. What a name stands for may be any number of times as long as the name, so a short request could have an
/// answer of any length, and the second telling says nothing new.
pub(crate) fn each_once<T: Clone + Eq + Hash>(names: Vec<T>) -> impl Iterator<Item = T> {
    let mut seen = HashSet::with_capacity(names.len());
    names.into_iter().filter(move |name| seen.insert(name.clone()))
}
