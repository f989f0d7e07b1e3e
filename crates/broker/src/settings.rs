//! Settings of the Kafka door.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{Error, Result, error::codes};
use security::SecuritySettings;

/// How the Kafka door behaves. The defaults are meant to be right; Kafka's names in parentheses.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// What clients are told to connect to, `host:port` (`advertised.listeners`). `None`: the address listened on.
    pub advertised: Option<String>,
    /// Topics are made when a client asks for their metadata and allows it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Partitions of topics made without a number (`num.partitions`).
    pub partitions_default: i32,
    /// Largest Produce request (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Largest request of any other kind: these are decoded whole, so they get less.
    pub control_request_bytes_max: usize,
    /// Connections open at once (`max.connections`). Further ones are closed at once. The last few are kept for clients on the
    /// machine itself, so that whoever runs the node gets in.
    pub connections_max: usize,
    /// Connections open at once from one address (`max.connections.per.ip`). Further ones are closed at once.
    pub connections_per_ip_max: usize,
    /// Addresses with another limit (`max.connections.per.ip.overrides`).
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// Time for the TLS handshake, and again for the login.
    pub login_time_max: Duration,
    /// Before somebody is told that they do not get in (`connection.failed.authentication.delay.ms`).
    pub failed_login_delay: Duration,
    /// A connection without any request for this long is closed (`connections.max.idle.ms`).
    pub idle_max: Duration,
    /// Bytes of requests that are being received or answered, over all connections (`queued.max.request.bytes`). At the
    /// limit sockets are not read, so clients slow down.
    pub in_flight_bytes_max: usize,
    /// Requests of one connection that are accepted before their responses are sent.
    pub in_flight_requests_max: usize,
    /// Most bytes of records in one Fetch response (`fetch.max.bytes`).
    pub fetch_bytes_max: usize,
    /// Bytes of records in Fetch responses that are not sent yet, over all connections. Beyond it responses get small, so
    /// that clients that read slowly cannot fill the memory.
    pub responses_bytes_max: usize,
    /// Fetch sessions kept at once (`max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions_max: usize,
    /// Who may come in, and what they may do.
    pub security: SecuritySettings,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            advertised: None,
            auto_create_topics: true,
            partitions_default: 4,
            request_bytes_max: 100 << 20,
            control_request_bytes_max: 16 << 20,
            connections_max: 10_000,
            connections_per_ip_max: i32::MAX as usize,
            connections_per_ip_overrides: BTreeMap::new(),
            login_time_max: Duration::from_secs(30),
            failed_login_delay: Duration::from_millis(100),
            idle_max: Duration::from_secs(600),
            in_flight_bytes_max: 512 << 20,
            in_flight_requests_max: 128,
            fetch_bytes_max: 55 << 20,
            responses_bytes_max: 256 << 20,
            fetch_sessions_max: 1000,
            security: SecuritySettings::default(),
        }
    }
}

impl BrokerSettings {
    /// Host and port to advertise, given the address listened on.
    pub(crate) fn advertised(&self, listening: std::net::SocketAddr) -> Result<(String, i32)> {
        let Some(text) = &self.advertised else {
            let ip = match listening.ip() {
                // Nobody can connect to "any address": say the loopback of that family.
                std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            return Ok((ip.to_string(), i32::from(listening.port())));
        };
        let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match parsed {
            Some((host, port)) if !host.is_empty() => {
                let port = if port == 0 { listening.port() } else { port };
                Ok((host.trim_matches(['[', ']']).to_owned(), i32::from(port)))
            }
            _ => Err(Error::new(codes::BROKER_SETTINGS_INVALID, "the advertised address is not usable")
                .detail(format!("`{text}` is not `host:port`"))),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let positive = [
            ("partitions_default", usize::try_from(self.partitions_default).unwrap_or(0)),
            ("request_bytes_max", self.request_bytes_max),
            ("control_request_bytes_max", self.control_request_bytes_max),
            ("connections_max", self.connections_max),
            ("in_flight_requests_max", self.in_flight_requests_max),
            ("fetch_bytes_max", self.fetch_bytes_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::new(codes::BROKER_SETTINGS_INVALID, "a setting of the Kafka door is wrong")
                .detail(format!("`{name}` must be larger than zero")));
        }
        if self.in_flight_bytes_max < self.request_bytes_max || self.in_flight_bytes_max > u32::MAX as usize {
            return Err(Error::new(codes::BROKER_SETTINGS_INVALID, "a setting of the Kafka door is wrong")
                .detail("`in_flight_bytes_max` must hold at least one largest request and be below 4 GiB"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_advertised_can_be_connected_to() {
        let listening = "0.0.0.0:9092".parse().expect("address");
        let advertised = |text: Option<&str>| {
            BrokerSettings { advertised: text.map(str::to_owned), ..Default::default() }.advertised(listening)
        };
        assert_eq!(advertised(None).expect("default"), ("127.0.0.1".to_owned(), 9092));
        assert_eq!(advertised(Some("[::1]:0")).expect("literal"), ("::1".to_owned(), 9092));
        assert_eq!(advertised(Some("kafka.example:1")).expect("name"), ("kafka.example".to_owned(), 1));
        for bad in ["", ":9092", "host", "host:x", "host:99999"] {
            assert!(advertised(Some(bad)).is_err(), "{bad}");
        }
    }
}
