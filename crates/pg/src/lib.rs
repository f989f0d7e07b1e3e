//! The PostgreSQL door: psql, psycopg, JDBC and BI tools speak to Lakehead's SQL through it.
//!
//! ```text
//!  socket ─ wire (bytes ⇄ messages) ─ session (who may do what when) ─ sql::Session ─ rows (Arrow → values) ─ socket
//!                                        │
//!                                        ├─ settings, transaction blocks, cursors, cancelling: ours
//!                                        └─ dialect + catalog: queries about the catalog, made ready for the engine
//! ```
//!
//! It knows PostgreSQL's protocol and its catalog; it does not know what tables or topics are. A connection holds one
//! [`sql::Session`], one batch of a result and one send buffer at a time.

mod cancel;
mod catalog;
mod connection;
mod dialect;
mod door;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod params;
mod rows;
mod session;
mod settings;
mod types;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use model::Result;
use world::World;

/// Everything the PostgreSQL door needs.
pub struct PgParts {
    pub engine: Arc<sql::Engine>,
    pub catalog: ::catalog::Catalog,
    pub listen: SocketAddr,
    pub settings: PgSettings,
    pub world: World,
}

/// Limits of the PostgreSQL door.
#[derive(Clone, Debug)]
pub struct PgSettings {
    /// Connections at once; the next ones are refused with SQLSTATE 53300.
    pub connections_max: usize,
    /// Largest message taken from a client.
    pub message_bytes_max: usize,
    /// How long a client may take from connecting to being logged in.
    pub startup_timeout: Duration,
    /// How long a connection may say nothing, or not read what it is sent.
    pub idle_timeout: Duration,
}

impl Default for PgSettings {
    fn default() -> Self {
        Self {
            connections_max: 256,
            message_bytes_max: 16 << 20,
            startup_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(3600),
        }
    }
}

/// The PostgreSQL door.
pub struct Pg;

/// A door that is open.
#[derive(Clone, Copy, Debug)]
pub struct PgHandle {
    /// Where it listens; the port is the real one even if 0 was asked for.
    pub addr: SocketAddr,
}

impl Pg {
    /// Binds `parts.listen` and serves until the world's tasks stop. To be called before the engine's first session, so that
    /// every session sees `pg_catalog`.
    pub async fn start(parts: PgParts) -> Result<PgHandle> {
        door::open(parts).await
    }
}
