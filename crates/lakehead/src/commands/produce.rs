//! `lakehead produce TOPIC`: lines from standard input become records.

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use world::{Clock, SystemClock};

use crate::{Target, clients::kafka::Producer};

#[derive(Args)]
pub struct ProduceArgs {
    topic: String,
    /// Text between key and value; without it, records have no key.
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: ProduceArgs) -> Result<()> {
    let mut producer = Producer::connect(&args.target.kafka(), &args.topic).await?;
    let clock = SystemClock::new();
    let stdin = std::io::stdin();
    let typed = stdin.is_terminal();
    let mut sent = 0u64;
    // Nothing else is going on in this process, so reading may block.
    for line in stdin.lines() {
        let line = line?;
        let (key, value) = match &args.key_separator {
            Some(separator) => match line.split_once(separator.as_str()) {
                Some((key, value)) => (Some(key.as_bytes()), value),
                None => (None, line.as_str()),
            },
            None => (None, line.as_str()),
        };
        producer.send(clock.now_ms(), key, Some(value.as_bytes())).await?;
        if typed {
            producer.flush().await?;
        }
        sent += 1;
    }
    producer.flush().await?;
    eprintln!("{sent} records are in `{}`", args.topic);
    Ok(())
}
