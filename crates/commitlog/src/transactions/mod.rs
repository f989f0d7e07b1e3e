//! Transactions: batches in several partitions, and offsets of groups, that count together or not at all (KIP-98, KIP-360,
//! KIP-447, KIP-890).
//!
//! Two halves. [`core`] decides: pure functions from what a producer's transaction is to what it becomes. [`Transactions`]
//! performs: it appends each new state to `__transaction_state` before anyone is told of it, keeps batches out that belong to
//! no open transaction, and writes the markers that end one in its partitions. Producers come through the Kafka door; roles
//! of our own use a [`TransactionalWriter`], which asks the same coordinator the same questions without a socket.
//!
//! Vocabulary, as in Kafka: a *transactional id* names a producer over its restarts; each start gives it a higher *epoch*,
//! which *fences* those before. A transaction is *ongoing* until it is decided (*prepared*); it is *complete* once every
//! partition has its *marker*.
//!
//! What holds at any time:
//! * TXN-1: a decision that was told is on disk, and its markers follow whatever dies when.
//! * TXN-2: no batch is taken for a transaction that has been decided, and none from a producer that has been fenced.
//! * TXN-3: every start of a producer gets an identity above all that were told before.

mod coordinator;
pub mod core;
pub mod records;
mod types;
mod writer;

pub use model::TRANSACTIONS_TOPIC;

pub use self::{
    coordinator::Transactions,
    core::Protocol,
    types::{Identity, TransactionError, TransactionSettings, TransactionSummary},
    writer::{TransactionalWriter, WriterError},
};
