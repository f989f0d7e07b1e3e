//! `lakehead up`: start a node and keep it up.

use std::{net::SocketAddr, path::PathBuf, time::Instant};

use anyhow::Result;
use clap::Args;
use node::{Addresses, Node, Settings};

use crate::{out, target};

#[derive(Args)]
pub struct UpArgs {
    /// Where everything is kept; made if missing. `lakehead.toml` in it holds settings.
    #[arg(long, env = "LAKEHEAD_DATA", default_value = target::DATA_DEFAULT, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    doors: Doors,
    /// Partitions of a topic that does not say how many [default: 4].
    #[arg(long, value_name = "N")]
    partitions: Option<i32>,
    /// Acknowledge records before they are on disk, as Apache Kafka does by default. A power cut then loses
    /// acknowledged records.
    #[arg(long)]
    unsafe_ack_before_fsync: bool,
}

/// Addresses of the doors; port 0 picks a free one.
#[derive(Args, Clone, Default)]
pub struct Doors {
    /// Kafka door [default: 127.0.0.1:9092].
    #[arg(long, value_name = "IP:PORT")]
    pub kafka: Option<SocketAddr>,
    /// HTTP door: SQL, schema registry, status page, metrics [default: 127.0.0.1:8080].
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// PostgreSQL door [default: 127.0.0.1:5433].
    #[arg(long, value_name = "IP:PORT")]
    pub pg: Option<SocketAddr>,
}

impl Doors {
    pub fn overlay(&self, settings: &mut Settings) {
        settings.kafka = self.kafka.unwrap_or(settings.kafka);
        settings.http = self.http.unwrap_or(settings.http);
        settings.pg = self.pg.unwrap_or(settings.pg);
    }
}

#[expect(clippy::disallowed_methods, reason = "measured for people, decides nothing")]
pub async fn run(args: UpArgs) -> Result<()> {
    let began = Instant::now();
    let mut settings = Settings::load(&args.data)?;
    args.doors.overlay(&mut settings);
    settings.default_partitions = args.partitions.unwrap_or(settings.default_partitions);
    settings.unsafe_ack_before_fsync |= args.unsafe_ack_before_fsync;
    let node = Node::start(settings).await?;
    let ready = format!("ready in {} ms; stop with Ctrl-C\n", began.elapsed().as_millis());
    // A node serves whether or not somebody reads this.
    if let Err(error) = out::text(doors(node.addresses()) + &ready) {
        tracing::debug!(%error, "the doors could not be printed");
    }
    if let Err(error) = world::forget_program() {
        tracing::debug!(%error, "what only the start needed stays in memory");
    }
    interrupted().await?;
    out::note("stopping");
    Ok(node.stop().await?)
}

/// One line per door.
pub fn doors(addresses: &Addresses) -> String {
    let kafka = addresses.kafka.map(|kafka| format!("kafka     {kafka}\n"));
    let http = addresses.http.map(|http| format!("http      http://{http}/\n"));
    let pg = addresses.pg.map(|pg| format!("postgres  postgres://lakehead@{pg}/lakehead\n"));
    [kafka, http, pg].into_iter().flatten().collect()
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn interrupted() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
