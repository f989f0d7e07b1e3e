//! The Kafka door: connections, framing, dispatch and handlers of the Kafka wire protocol.
//!
//! Knows the protocol and nothing else: records live behind [`commitlog::Log`], groups behind
//! [`commitlog::groups::Groups`], users and rules behind [`security::Security`]. It holds no state beyond connections and fetch sessions, which clients can lose any time.
//!
//! ```text
//!  socket ─bytes→ login ─who→ connection ─frame→ dispatch ─request→ handlers/* ─may they?→ Log, Groups
//!  socket ←bytes──────────── connection ←responses in the order of requests──┘
//! ```
//! Record batches are never copied or decoded here: a Produce request hands slices of the frame to the log, a Fetch
//! response sends slices of what the log read.

mod access;
mod admission;
mod connection;
mod dispatch;
mod dynamic;
mod fetch;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handlers;
mod login;
mod quotas;
mod seldom;
mod server;
mod settings;
mod shape;
mod stats;
mod versions;

pub use self::{
    server::{Broker, BrokerHandle, BrokerParts},
    settings::BrokerSettings,
    stats::{StatsSnapshot, TopicStats},
};

/// Id of the only broker there is.
const NODE_ID: i32 = 1;
