//! `lakehead.toml` in the data directory.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use model::{Error, Result, error::codes::SETTINGS_INVALID};
use serde::Deserialize;

use super::{Role, Settings, security::SecurityFile};

/// The file, setting by setting; what it leaves out keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsFile {
    pub log: Option<String>,
    pub files: Option<String>,
    pub catalog: Option<String>,
    pub roles: Option<BTreeSet<Role>>,
    pub kafka: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub pg: Option<SocketAddr>,
    pub default_partitions: Option<i32>,
    pub auto_create_topics: Option<bool>,
    pub unsafe_ack_before_fsync: Option<bool>,
    pub commit_interval_ms: Option<u64>,
    pub query_memory_bytes: Option<usize>,
    pub kafka_security: Option<SecurityFile>,
}

impl SettingsFile {
    /// `None` if the data directory has no file.
    pub fn read(data: &Path) -> Result<Option<Self>> {
        let path = data.join("lakehead.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("cannot read {}", path.display()), &error)),
        }
    }

    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text)
            .map_err(|error| Error::new(SETTINGS_INVALID, "`lakehead.toml` cannot be used").detail(error.to_string()))
    }

    pub fn overlay(self, settings: &mut Settings) -> Result<()> {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(from) = from {
                *to = from;
            }
        }
        set(&mut settings.log, self.log);
        set(&mut settings.files, self.files);
        set(&mut settings.catalog, self.catalog);
        set(&mut settings.roles, self.roles);
        set(&mut settings.kafka, self.kafka);
        set(&mut settings.http, self.http);
        set(&mut settings.pg, self.pg);
        set(&mut settings.default_partitions, self.default_partitions);
        set(&mut settings.auto_create_topics, self.auto_create_topics);
        set(&mut settings.unsafe_ack_before_fsync, self.unsafe_ack_before_fsync);
        set(&mut settings.commit_interval_ms, self.commit_interval_ms);
        set(&mut settings.query_memory_bytes, self.query_memory_bytes);
        if let Some(security) = self.kafka_security {
            settings.kafka_security = security.read(&settings.data)?;
        }
        Ok(())
    }
}
