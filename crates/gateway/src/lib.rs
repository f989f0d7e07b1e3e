//! The HTTP door: SQL over HTTP, the schema registry, the status page and metrics, on one port.
//!
//! It knows HTTP and nothing else: what a query means is `sql`'s, what a schema means is the registry's. It keeps no
//! state beyond a connection, except counters and the last look at the node that the status page shows.
//!
//! | path | is |
//! |---|---|
//! | `POST /sql` | [`sql`]: any statement; rows as JSON, NDJSON, CSV or Arrow |
//! | `/subjects` `/schemas` `/config` `/mode` `/compatibility` | [`registry`]: Confluent's Schema Registry API |
//! | `GET /` | the status page for browsers, `{}` for registry clients |
//! | `GET /api/status` | [`status`]: what the page shows, as JSON |
//! | `GET /metrics` `/healthz` `/openapi.json` | for machines |

mod app;
mod door;
mod error;
mod guard;
mod metrics;
mod registry;
mod settings;
mod sql;
mod status;

pub use door::{Gateway, GatewayHandle, GatewayParts};
pub use settings::{Doors, GatewaySettings, MetricsSource};
