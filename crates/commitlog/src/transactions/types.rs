//! What producers ask of their transactions, and what they are told.

use std::{sync::Arc, time::Duration};

use model::{ProducerId, TimestampMs, TopicPartition};

use super::core::{State, Transaction};

/// Limits and timers of transactions (Kafka's names in parentheses).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// Longest time a producer may ask for (`transaction.max.timeout.ms`).
    pub timeout_max: Duration,
    /// How long an id without a transaction is remembered (`transactional.id.expiration.ms`).
    pub id_retention: Duration,
    /// How long a question waits for the one before it of the same id. Clients ask again when told so.
    pub patience: Duration,
    /// Ids kept at once, so that made-up ones cannot fill the memory.
    pub ids_max: usize,
    /// Partitions of one transaction.
    pub partitions_max: usize,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            timeout_max: Duration::from_secs(15 * 60),
            id_retention: Duration::from_secs(7 * 24 * 3600),
            patience: Duration::from_secs(2),
            ids_max: 100_000,
            partitions_max: 100_000,
        }
    }
}

/// Producer id and epoch: who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub producer: ProducerId,
    pub epoch: i16,
}

/// Why a transaction said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TransactionError {
    #[error("the transactional id is empty")]
    IdInvalid,
    #[error("the producer's epoch is not the newest")]
    EpochOld,
    #[error("the transaction is not in a state for this")]
    StateInvalid,
    #[error("the producer id does not belong to the transactional id")]
    MappingInvalid,
    #[error("the transaction timeout is longer than the broker allows, or not positive")]
    TimeoutInvalid,
    #[error("the transaction is being completed: ask again")]
    Concurrent,
    #[error("a newer producer of this transactional id has taken over")]
    Fenced,
    #[error("the transaction coordinator cannot write its records")]
    NotAvailable,
    #[error("there is no such transactional id")]
    IdNotFound,
    #[error("there are as many transactional ids, or partitions in the transaction, as there may be")]
    TooMany,
}

impl TransactionError {
    /// Error code of the Kafka protocol.
    pub fn kafka_code(self) -> i16 {
        match self {
            Self::NotAvailable => 15,
            Self::IdInvalid => 42,
            Self::TooMany => 44,
            Self::EpochOld => 47,
            Self::StateInvalid => 48,
            Self::MappingInvalid => 49,
            Self::TimeoutInvalid => 50,
            Self::Concurrent => 51,
            Self::Fenced => 90,
            Self::IdNotFound => 105,
        }
    }
}

/// A transactional id and what it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSummary {
    pub id: Arc<str>,
    pub identity: Identity,
    pub state: State,
    pub timeout_ms: i32,
    /// −1: nothing has begun.
    pub started_ms: TimestampMs,
    pub partitions: Vec<TopicPartition>,
}

impl TransactionSummary {
    pub(super) fn new(id: &Arc<str>, transaction: &Transaction) -> Self {
        Self {
            id: id.clone(),
            identity: transaction.identity,
            state: transaction.state,
            timeout_ms: transaction.timeout_ms,
            started_ms: transaction.started_ms,
            partitions: transaction.partitions.iter().cloned().collect(),
        }
    }
}
