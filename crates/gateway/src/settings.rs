//! What the HTTP door may use of the machine, and what it is told about the node around it.

use std::{fmt::Write, sync::Arc, time::Duration};

/// Limits of the HTTP door.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Connections served at once; the next ones wait in the listen queue.
    pub connections_max: usize,
    /// Requests worked on at once; the next ones are answered 503 with `Retry-After`.
    pub requests_max: usize,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long a query may run, from its request to its last row.
    pub query_timeout: Duration,
    /// Names besides loopback that a browser may know this node by (`Host` and `Origin`): the rest is refused, so that a
    /// foreign web page cannot reach the node through the user's browser.
    pub hosts: Vec<String>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 256,
            body_bytes_max: 16 << 20,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            query_timeout: Duration::from_secs(600),
            hosts: Vec::new(),
        }
    }
}

/// Addresses of all doors of this node, for the status page: `("kafka", "127.0.0.1:9092")`. The HTTP door adds itself.
pub type Doors = Vec<(&'static str, String)>;

/// Adds lines in Prometheus' text format to `/metrics`; called once per scrape, must not block.
pub type MetricsSource = Arc<dyn Fn(&mut dyn Write) + Send + Sync>;
