//! The HTTP door: SQL over HTTP, the schema registry, the status page and metrics, on one port.
//!
//! It knows HTTP and nothing else: what a query means is `sql`'s, what a schema means is the registry's.

mod settings;
mod door;

pub use door::{Gateway, GatewayHandle, GatewayParts};
pub use settings::{Doors, GatewaySettings, MetricsSource};
