//! How fast JSON records in the log become a committed table: `cargo run --release -p lake --example ingest_rate -- [ROWS] [FILE.ndjson]`.
//!
//! Without a file it makes rows like those of the flights example. Prints one line of JSON.

use std::{io::BufRead as _, sync::Arc, time::Duration};

use catalog::Catalog;
use commitlog::{
    Append, Log as _, TopicSpec,
    embedded::{EmbeddedLog, LogSettings},
    record::{BatchBuilder, Codec},
};
use files::Files;
use lake::{Lake, LakeParts, LakeSettings, registry::RegistryStore};
use model::{TopicName, TopicPartition};
use tables::Tables;
use world::{Clock as _, SystemClock, World};

const PARTITIONS: i32 = 4;
const BATCH_ROWS: usize = 500;

fn main() -> model::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(run())
}

async fn run() -> model::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let source = arguments.next();
    let dir = tempfile::tempdir().map_err(|e| model::Error::io("could not make a temporary directory", &e))?;
    let world = World::real();
    let log = EmbeddedLog::open(&dir.path().join("log"), LogSettings::default(), world.clone()).await?;
    let files = Files::open(&format!("file://{}/files", dir.path().display()), world.clone())?;
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), world.clone()).await?;
    let tables = Tables::new(catalog.clone(), files, world.clone());
    let registry = RegistryStore::open(log.clone(), world.clone()).await?;
    let topic = TopicName::new("flights")?;
    log.create_topic(TopicSpec::new(topic.clone(), PARTITIONS), false).await?;

    let values = values(rows, source);
    let bytes: usize = values.iter().map(Vec::len).sum();
    let clock = SystemClock::new();
    for (n, chunk) in values.chunks(BATCH_ROWS).enumerate() {
        let mut batch = BatchBuilder::new(Codec::None);
        for value in chunk {
            batch.push(world.clock.now_ms(), None, Some(value), &[]);
        }
        let to = TopicPartition::new(topic.clone(), n as i32 % PARTITIONS);
        log.append(&to, batch.build(), Append::default()).await?;
    }
    let produced = clock.monotonic();
    drop(values);

    let parts = LakeParts {
        log: log.clone(),
        tables,
        catalog,
        registry,
        world: world.clone(),
        settings: LakeSettings::default(),
    };
    let lake: Arc<Lake> = Lake::open(parts).await?;
    let started = clock.monotonic();
    lake.start_writer();
    loop {
        let committed: u64 = lake.status().iter().map(|status| status.rows_committed).sum();
        if committed >= rows as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = (clock.monotonic() - started).as_secs_f64();
    println!(
        r#"{{"rows":{rows},"bytes":{bytes},"produce_s":{:.3},"ingest_s":{seconds:.3},"rows_per_s":{:.0},"mb_per_s":{:.1}}}"#,
        produced.as_secs_f64(),
        rows as f64 / seconds,
        bytes as f64 / seconds / 1e6,
    );
    world.tasks.stop(Duration::from_secs(30)).await;
    log.close().await
}

fn values(rows: usize, source: Option<String>) -> Vec<Vec<u8>> {
    let Some(path) = source else { return (0..rows).map(made_up).collect() };
    let file = std::fs::File::open(&path).expect("the file can be opened");
    let lines: Vec<Vec<u8>> = std::io::BufReader::new(file).split(b'\n').map(|line| line.expect("readable")).collect();
    lines.iter().cycle().take(rows).cloned().collect()
}

fn made_up(n: usize) -> Vec<u8> {
    let (carrier, dest) = (["UA", "AA", "B6", "DL", "EV"][n % 5], ["IAH", "MIA", "BQN", "ATL", "ORD", "FLL"][n % 6]);
    format!(
        r#"{{"year":2013,"month":{},"day":{},"dep_time":{},"sched_dep_time":{},"dep_delay":{},"arr_time":{},"arr_delay":{}.5,"carrier":"{carrier}","flight":{},"tailnum":"N{:05}","origin":"EWR","dest":"{dest}","air_time":{},"distance":{},"hour":{},"minute":{},"time_hour":"2013-01-{:02}T05:00:00Z"}}"#,
        n % 12 + 1, n % 28 + 1, n % 2400, (n * 7) % 2400, n as i64 % 60 - 10, (n * 3) % 2400, n as i64 % 90 - 20,
        n % 6000, n % 4000, n % 400, n % 2500, n % 24, n % 60, n % 28 + 1,
    )
    .into_bytes()
}
