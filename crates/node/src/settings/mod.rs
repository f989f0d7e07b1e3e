//! What a node is told: flags over `lakehead.toml` over defaults. Few, since a default we stand behind beats a knob.

mod file;
mod security;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use model::{
    Error, Result,
    error::codes::{EXPOSURE_REFUSED, SETTINGS_INVALID},
};
use serde::Deserialize;

use ::security::SecuritySettings;
pub use file::SettingsFile;

/// What a topic may have.
const PARTITIONS: RangeInclusive<i64> = 1..=10_000;
/// More often than this, tables fill up with tiny files; more seldom than each hour, the tail outgrows the memory.
const COMMIT_INTERVAL_MS: RangeInclusive<i64> = 100..=3_600_000;
/// Below this no sort could even spill.
const QUERY_MEMORY_BYTES: RangeInclusive<i64> = 16 << 20..=1 << 50;

/// A part of the node's work. A process runs any subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The Kafka door.
    Broker,
    /// Topics become tables.
    Lake,
    /// The HTTP and PostgreSQL doors.
    Gateway,
}

/// Everything a node needs to know to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything is kept.
    pub data: PathBuf,
    pub roles: BTreeSet<Role>,
    /// `embedded`, the only log of this release.
    pub log: String,
    /// URL of the object store, `file://…`.
    pub files: String,
    /// URL of the catalog, `sqlite://…`.
    pub catalog: String,
    /// Addresses the doors bind; port 0 picks a free one.
    pub kafka: SocketAddr,
    pub http: SocketAddr,
    pub pg: SocketAddr,
    /// How the Kafka door asks who somebody is, and what is done with the answer.
    pub kafka_security: SecuritySettings,
    /// Partitions of a topic that does not say how many.
    pub default_partitions: i32,
    /// Clients may make topics by writing to them.
    pub auto_create_topics: bool,
    /// Acknowledge before records are on disk, for all topics that do not say otherwise. A power cut then loses
    /// acknowledged records.
    pub unsafe_ack_before_fsync: bool,
    /// How often a topic's new records are committed to its table, in milliseconds.
    pub commit_interval_ms: u64,
    /// Memory that queries may use together, in bytes.
    pub query_memory_bytes: usize,
}

impl Settings {
    /// Defaults for a node that keeps everything under `data`, overlaid by `data/lakehead.toml` if there is one.
    pub fn load(data: &Path) -> Result<Self> {
        let data = std::path::absolute(data)
            .map_err(|error| Error::io(format!("cannot find the directory {}", data.display()), &error))?;
        let mut settings = Self {
            roles: [Role::Broker, Role::Lake, Role::Gateway].into(),
            log: "embedded".into(),
            files: format!("file://{}", data.join("files").display()),
            catalog: format!("sqlite://{}", data.join("catalog.db").display()),
            kafka: ([127, 0, 0, 1], 9092).into(),
            http: ([127, 0, 0, 1], 8080).into(),
            pg: ([127, 0, 0, 1], 5433).into(),
            kafka_security: SecuritySettings::default(),
            default_partitions: 4,
            auto_create_topics: true,
            unsafe_ack_before_fsync: false,
            commit_interval_ms: 10_000,
            query_memory_bytes: default_query_memory(),
            data,
        };
        if let Some(file) = SettingsFile::read(&settings.data)? {
            file.overlay(&mut settings)?;
        }
        Ok(settings)
    }

    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Refuses what cannot work or would not be safe, before anything is started.
    pub fn check(&self) -> Result<()> {
        let invalid = |setting: String, allowed: String| {
            let hint = "change it in `lakehead.toml`, or with its flag";
            Err(Error::new(SETTINGS_INVALID, format!("`{setting}` is not possible")).detail(allowed).hint(hint))
        };
        if self.log != "embedded" {
            return invalid(format!("log = \"{}\"", self.log), "this release has the log `embedded` only".into());
        }
        if self.roles.is_empty() {
            return invalid("roles = []".into(), "a node has at least one of broker, lake and gateway".into());
        }
        for (name, value, allowed) in [
            ("default_partitions", i64::from(self.default_partitions), PARTITIONS),
            ("commit_interval_ms", saturated(self.commit_interval_ms), COMMIT_INTERVAL_MS),
            ("query_memory_bytes", saturated(self.query_memory_bytes as u64), QUERY_MEMORY_BYTES),
        ] {
            if !allowed.contains(&value) {
                let range = format!("`{name}` is from {} to {}", allowed.start(), allowed.end());
                return invalid(format!("{name} = {value}"), range);
            }
        }
        self.kafka_security.check(self.kafka)?;
        for (door, address) in [("http", self.http), ("pg", self.pg)] {
            if !address.ip().is_loopback() {
                return Err(Error::new(EXPOSURE_REFUSED, format!("the {door} door will not open {address}"))
                    .detail("that address can be reached from other machines, and this door has no authentication yet")
                    .hint("bind to 127.0.0.1 or [::1]"));
            }
        }
        Ok(())
    }
}

fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A quarter of the machine's memory, between 256 MB and 8 GB.
fn default_query_memory() -> usize {
    let total_kb = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<usize>().ok())
    });
    total_kb.map_or(1 << 30, |kb| (kb * 1024 / 4).clamp(256 << 20, 8 << 30))
}

#[cfg(test)]
mod tests {
    use model::error::codes::LISTENER_UNPROTECTED;

    use super::*;

    fn settings() -> Settings {
        Settings::load(&std::env::temp_dir().join("lakehead-no-such-directory")).expect("defaults load")
    }

    #[test]
    fn defaults_are_loopback_and_valid() {
        settings().check().expect("defaults are valid");
    }

    #[test]
    fn doors_do_not_open_to_the_network() {
        let mut exposed = settings();
        exposed.http = ([0, 0, 0, 0], 8080).into();
        let error = exposed.check().expect_err("must refuse");
        assert!(error.is(EXPOSURE_REFUSED));
    }

    #[test]
    fn the_kafka_door_opens_to_the_network_for_those_who_log_in() {
        let mut exposed = settings();
        exposed.kafka = ([0, 0, 0, 0], 9092).into();
        assert!(exposed.check().expect_err("must refuse").is(LISTENER_UNPROTECTED));
        let file = "[kafka_security]\nprotocol = \"SASL_PLAINTEXT\"\nauthorizer = true\nsuper_users = [\"User:ann\"]";
        SettingsFile::parse(file).expect("legal file").overlay(&mut exposed).expect("fits");
        exposed.check().expect("protected");
        assert!(exposed.kafka_security.authorizer && exposed.kafka_security.super_users.len() == 1);
    }

    #[test]
    fn a_file_overlays_defaults_and_names_what_is_wrong() {
        let file = SettingsFile::parse("kafka = \"127.0.0.1:19092\"\nroles = [\"broker\"]").expect("legal file");
        let mut overlaid = settings();
        file.overlay(&mut overlaid).expect("fits");
        assert_eq!((overlaid.kafka.port(), overlaid.roles.len()), (19092, 1));

        let error = SettingsFile::parse("kafak = \"127.0.0.1:1\"").expect_err("unknown setting");
        assert!(error.is(SETTINGS_INVALID) && error.to_string().contains("kafak"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_may_be() {
        let refused = |file: &str| {
            let mut wrong = settings();
            let overlaid = SettingsFile::parse(file).expect("legal file").overlay(&mut wrong);
            let error = overlaid.and_then(|()| wrong.check()).expect_err(file);
            assert!(error.is(SETTINGS_INVALID), "{error}");
            error.to_string()
        };
        assert!(refused("roles = []").contains("broker, lake and gateway"));
        assert!(refused("commit_interval_ms = 0").contains("from 100 to 3600000"));
        assert!(refused("query_memory_bytes = 10").contains("from 16777216 to"));
        assert!(refused("default_partitions = 0").contains("from 1 to 10000"));
        refused("default_partitions = 10001");
        refused("commit_interval_ms = 18446744073709");
        refused("log = \"kafka\"");
        refused("[kafka_security]\nprotocol = \"TLS\"");
        refused("[kafka_security]\nmechanisms = [\"GSSAPI\"]");
        refused("[kafka_security]\ncertificate = \"door.pem\"");
        refused("[kafka_security]\nsuper_users = [\"ann\"]");
        refused("[kafka_security]\njwks = \"keys.json\"");
        refused("[kafka_security]\nbootstrap_user = \"ann\"");
    }
}
