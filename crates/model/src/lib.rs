//! The words the whole house shares: ids, names, offsets and the one error type.
//!
//! This crate knows no I/O, no async and no logic beyond checking that a name is a name.

pub mod error;
mod names;

pub use error::{Code, Error, ErrorKind, Result};
pub use names::{
    ACLS_TOPIC, AUDIT_TOPIC, CONFIGS_TOPIC, EXCEPTIONS_TOPIC, NamespaceName, OFFSETS_TOPIC, QUOTAS_TOPIC,
    SCHEMAS_TOPIC, TRANSACTIONS_TOPIC, TableName, TopicName, TopicPartition, USERS_TOPIC,
};

/// Position of a record in a partition. The first record ever written has offset 0; offsets never go back.
pub type Offset = i64;

/// Number of a partition within its topic, from 0.
pub type PartitionId = i32;

/// Milliseconds since 1970-01-01T00:00:00Z, the clock of records (Kafka's `timestamp`).
pub type TimestampMs = i64;

/// Identity of a topic; a topic created again under the same name gets a new one (KIP-516).
pub type TopicId = uuid::Uuid;

/// Identity of an idempotent producer (KIP-98). `-1` means "none".
pub type ProducerId = i64;
