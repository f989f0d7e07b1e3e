//! Where the node is that a command talks to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use model::{Error, error::codes};

use crate::clients::{kafka::KafkaDoor, login::DoorSecurity};

/// What `lakehead up` takes when it is told nothing.
pub const DATA_DEFAULT: &str = "lakehead-data";

#[derive(Args, Clone)]
pub struct Target {
    /// Data directory of a node on this machine; its doors are found in `run/ports.json` [default: lakehead-data].
    #[arg(long, global = true, env = "LAKEHEAD_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the HTTP door, instead of the data directory's.
    #[arg(long, global = true, env = "LAKEHEAD_HTTP", value_name = "HOST:PORT")]
    http: Option<String>,
    /// Address of the Kafka door, instead of the data directory's.
    #[arg(long, global = true, env = "LAKEHEAD_KAFKA", value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Settings of a Kafka client (`security.protocol`, `sasl.…`, `ssl.…`), for a Kafka door that asks who you are.
    #[arg(long, global = true, env = "LAKEHEAD_KAFKA_CONFIG", value_name = "FILE")]
    kafka_config: Option<PathBuf>,
}

impl Target {
    pub fn http(&self) -> Result<String> {
        self.door(self.http.as_ref(), "http", "127.0.0.1:8080")
    }

    pub fn kafka(&self) -> Result<KafkaDoor> {
        let address = self.door(self.kafka.as_ref(), "kafka", "127.0.0.1:9092")?;
        let security = self.kafka_config.as_deref().map(DoorSecurity::read).transpose()?.unwrap_or_default();
        Ok(KafkaDoor { address, security })
    }

    /// The address given, else the one published in the data directory. The well-known address is a guess for those who
    /// named no directory: whoever named one must not get another node's answers.
    fn door(&self, given: Option<&String>, door: &str, well_known: &str) -> Result<String> {
        if let Some(address) = given {
            return Ok(address.clone());
        }
        let data = self.data.as_deref().unwrap_or(Path::new(DATA_DEFAULT));
        match published(data)? {
            Some(ports) => match ports.get(door).and_then(serde_json::Value::as_str) {
                Some(address) => Ok(address.to_owned()),
                None => Err(Error::new(
                    codes::NODE_NOT_FOUND,
                    format!("the node in `{}` has no {door} door", data.display()),
                )
                .detail("its `roles` leave it out")
                .hint(format!("name a node that has one with `--{door} HOST:PORT`"))
                .into()),
            },
            None if self.data.is_some() => {
                Err(Error::new(codes::NODE_NOT_FOUND, format!("no node runs in `{}`", data.display()))
                    .detail("there is no run/ports.json in it")
                    .hint(format!(
                        "start one with `lakehead up --data {}`, or name its address with `--{door} HOST:PORT`",
                        data.display()
                    ))
                    .into())
            }
            None => Ok(well_known.to_owned()),
        }
    }
}

/// The doors a running node has written down.
fn published(data: &Path) -> Result<Option<serde_json::Value>> {
    let path = data.join("run").join("ports.json");
    match std::fs::read(&path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).map_err(|error| {
            Error::new(codes::INPUT_INVALID, format!("cannot make sense of {}", path.display()))
                .detail(error.to_string())
                .hint("restart the node: it writes the file when its doors are open")
        })?)),
        // Not even a directory is nothing there, too.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Error::io(format!("cannot read {}", path.display()), &error).into()),
    }
}
