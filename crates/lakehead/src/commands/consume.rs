//! `lakehead consume TOPIC`: print the committed records of a topic.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use commitlog::{log::hidden_or_not, record};

use crate::{clients::kafka::KafkaClient, out::Out, target::Target};

/// Largest batch after decompression.
const BATCH_BYTES_MAX: usize = 256 << 20;

#[derive(Args)]
pub struct ConsumeArgs {
    topic: String,
    /// Begin with the first record kept, not with the next to come.
    #[arg(short = 'b', long)]
    from_beginning: bool,
    /// Stop after this many records.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Stop at the end of the topic instead of waiting for more.
    #[arg(short = 'e', long)]
    exit: bool,
    /// Print partition, offset, timestamp and key before each value.
    #[arg(short = 'm', long)]
    meta: bool,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: ConsumeArgs) -> Result<()> {
    let mut client = KafkaClient::connect(&args.target.kafka()?).await?;
    let topics = client.topics(Some(&args.topic), false).await?;
    let Some(topic) = topics.first() else { bail!("topic `{}` does not exist", args.topic) };
    let start = if args.from_beginning { -2 } else { -1 };
    let mut next = Vec::new();
    for partition in 0..topic.partitions {
        next.push(client.offset_at(&args.topic, partition, start).await?);
    }
    let mut out = Out::new();
    let mut left = args.limit.unwrap_or(u64::MAX);
    // One connection asks partition after partition; it waits only in a round in which none had anything.
    let mut wait_ms = 0;
    loop {
        let mut idle = true;
        for partition in 0..topic.partitions {
            let at = usize::try_from(partition)?;
            let fetched = client.fetch(&args.topic, partition, next[at], wait_ms).await?;
            for batch in hidden_or_not(fetched.records, fetched.aborted) {
                let (batch, is_hidden) = batch?;
                if is_hidden {
                    next[at] = next[at].max(batch.header.next_offset());
                    idle = false;
                    continue;
                }
                batch.check_crc()?;
                let bytes = batch.decompress(BATCH_BYTES_MAX)?;
                for record in record::Records::new(&batch.header, &bytes) {
                    let record = record?;
                    if record.offset < next[at] {
                        continue;
                    }
                    next[at] = record.offset + 1;
                    idle = false;
                    if args.meta {
                        let key = record.key.map_or("-".into(), String::from_utf8_lossy);
                        write!(out, "{partition} {} {} {key} ", record.offset, record.timestamp)?;
                    }
                    out.write_all(record.value.unwrap_or(b"null"))?;
                    out.write_all(b"\n")?;
                    left -= 1;
                    if left == 0 {
                        return Ok(out.flush()?);
                    }
                }
            }
        }
        out.flush()?;
        if idle && args.exit {
            return Ok(());
        }
        wait_ms = if idle { 500 / topic.partitions.max(1) } else { 0 };
    }
}
