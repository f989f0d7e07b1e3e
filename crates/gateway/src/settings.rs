//! What the HTTP door may use of the machine, and what it is told about the node around it.

use std::{fmt::Write, sync::Arc, time::Duration};

/// Limits of the HTTP door.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Connections served at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Queries answered at once; further ones get 503 with `Retry-After`.
    pub queries_max: usize,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long a query may run, from its request to its last row.
    pub query_timeout: Duration,
    /// Names besides those of loopback that clients may know this node by (`Host`, without port). Requests under any
    /// other name are refused, so that a foreign web page cannot reach the node through its user's browser.
    pub hosts: Vec<String>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            queries_max: 64,
            body_bytes_max: 16 << 20,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            query_timeout: Duration::from_secs(600),
            hosts: Vec::new(),
        }
    }
}

/// Names and addresses of the node's other doors, for the status page: `("kafka", "127.0.0.1:9092")`. The HTTP door adds
/// itself.
pub type Doors = Vec<(&'static str, String)>;

/// Adds lines in Prometheus' text format to `/metrics`; called once per scrape, must not block.
pub type MetricsSource = Arc<dyn Fn(&mut dyn Write) + Send + Sync>;
