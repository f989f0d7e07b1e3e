//! How fast a partition is compacted: `compaction_rate DIR [MEGABYTES] [KEYS] [RECORD_BYTES]`.
//!
//! Writes so many megabytes of records of so many keys to a topic in DIR, then compacts it as fast as it goes.

use std::{error::Error, path::PathBuf, str::FromStr};

use commitlog::{
    Append, EmbeddedLog, Log, LogSettings, TopicSpec,
    record::{BatchBuilder, Codec},
};
use model::{TopicName, TopicPartition};
use world::World;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("where? compaction_rate DIR")?);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| usize::from_str(&text));
    let (megabytes, keys, record_bytes) = (number(500)?, number(100_000)?, number(200)?);
    let world = World::real();
    let log = EmbeddedLog::open(&dir, LogSettings::default(), world.clone()).await?;
    let name = TopicName::new("compaction_rate")?;
    let spec = TopicSpec::new(name.clone(), 1)
        .with("cleanup.policy", "compact")
        .with("segment.bytes", "67108864")
        .with("min.cleanable.dirty.ratio", "0");
    log.create_topic(spec, false).await?;
    let at = TopicPartition::new(name, 0);
    let (value, now) = (vec![b'v'; record_bytes], world.clock.now_ms());
    let (mut written, mut key) = (0, 0usize);
    while written < megabytes << 20 {
        let mut batch = BatchBuilder::new(Codec::None);
        while batch.size_bytes() < 256 << 10 {
            // Spread out, each as often.
            key = (key + 7919) % keys;
            batch.push(now, Some(format!("key {key}").as_bytes()), Some(&value), &[]);
        }
        let bytes = batch.build();
        written += bytes.len();
        log.append(&at, bytes, Append::default()).await?;
    }
    let size = log.size(&at)?;
    let started = world.clock.monotonic();
    log.compact().await?;
    let seconds = (world.clock.monotonic() - started).as_secs_f64();
    let stats = log.compaction();
    println!(
        "{} MB became {} MB in {seconds:.1} s: {} runs, {:.0} MB/s read and written, {} of {} records kept",
        size >> 20,
        log.size(&at)? >> 20,
        stats.runs,
        (stats.bytes_read + stats.bytes_written) as f64 / seconds / 1e6,
        stats.records_kept,
        stats.records_kept + stats.records_dropped,
    );
    log.close().await?;
    Ok(())
}
