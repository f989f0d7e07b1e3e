//! How fast the log takes batches, and what that costs.
//!
//! `append_rate [PARTITIONS] [RECORD_BYTES] [BATCH_BYTES] [SECONDS] [fsync|relaxed] [BYTES_PER_SECOND] [DIR]`
//!
//! Prints throughput, CPU seconds per GB (this process: all of it is the log) and the time from append to
//! acknowledgement. With `BYTES_PER_SECOND` > 0 it keeps to that rate instead of appending as fast as it is taken.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use commitlog::{
    Append, EmbeddedLog, Log, LogSettings, TopicSpec,
    record::{BatchBuilder, Codec},
    topic::UNSAFE_ACK,
};
use model::{TopicName, TopicPartition};
use tokio::sync::{Mutex, Semaphore};
use world::World;

/// Bytes on their way to the log at once, as a busy broker has them.
const WINDOW_BYTES: usize = 8 << 20;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (partitions, record_bytes, batch_bytes) = (number(0, 16), number(1, 1024), number(2, 64 << 10));
    let seconds = number(3, 5);
    let relaxed = args.get(4).is_some_and(|mode| mode == "relaxed");
    let rate = number(5, 0);
    let scratch = tempfile::tempdir().expect("temporary directory");
    let dir = args.get(6).map_or_else(|| scratch.path().to_owned(), PathBuf::from);

    let world = World::real();
    let clock = world.clock.clone();
    let log = EmbeddedLog::open(&dir.join("log"), LogSettings::default(), world).await.expect("open");
    let name = TopicName::new("rate").expect("legal name");
    let spec = TopicSpec::new(name.clone(), partitions as i32).with(UNSAFE_ACK, if relaxed { "true" } else { "false" });
    log.create_topic(spec, false).await.expect("create");

    let mut builder = BatchBuilder::new(Codec::None);
    while builder.is_empty() || builder.size_bytes() + record_bytes < batch_bytes {
        builder.push(clock.now_ms(), None, Some(&vec![b'x'; record_bytes]), &[]);
    }
    let records = builder.len();
    let batch = builder.build();

    let window = Arc::new(Semaphore::new((WINDOW_BYTES / batch.len()).clamp(4, 4096)));
    let times = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::new(AtomicU64::new(0));
    let (started, cpu) = (clock.monotonic(), cpu_seconds());
    let mut n = 0usize;
    while clock.monotonic() - started < Duration::from_secs(seconds as u64) {
        if rate > 0 {
            let ahead = (n * batch.len()) as f64 / rate as f64 - (clock.monotonic() - started).as_secs_f64();
            if ahead > 0.001 {
                tokio::time::sleep(Duration::from_secs_f64(ahead)).await;
            }
        }
        let permit = window.clone().acquire_owned().await.expect("never closed");
        let to = TopicPartition::new(name.clone(), (n % partitions) as i32);
        let at = clock.monotonic();
        let appended = log.append(&to, batch.clone(), Append::default());
        let (clock, times, sent, size) = (clock.clone(), times.clone(), sent.clone(), batch.len() as u64);
        log_tasks().spawn(world::TaskKind::Background, async move {
            appended.await.expect("append");
            sent.fetch_add(size, Ordering::Relaxed);
            times.lock().await.push((clock.monotonic() - at).as_micros() as u64);
            drop(permit);
        });
        n += 1;
    }
    let all = (WINDOW_BYTES / batch.len()).clamp(4, 4096) as u32;
    let _done = window.acquire_many(all).await.expect("never closed");
    let elapsed = (clock.monotonic() - started).as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let bytes = sent.load(Ordering::Relaxed) as f64;
    let mut times = times.lock().await;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    println!(
        "{partitions} partitions, {record_bytes} B records, {} B batches, {}: {:.0} MB/s, {:.0} k records/s, \
         {:.2} CPU s/GB, ack p50 {:.1} ms p99 {:.1} ms p99.9 {:.1} ms",
        batch.len(),
        if relaxed { "relaxed" } else { "fsync" },
        bytes / 1e6 / elapsed,
        bytes / batch.len() as f64 * records as f64 / 1e3 / elapsed,
        cpu / (bytes / 1e9),
        at(0.5),
        at(0.99),
        at(0.999),
    );
    log.close().await.expect("close");
}

fn log_tasks() -> &'static world::Tasks {
    static TASKS: std::sync::OnceLock<world::Tasks> = std::sync::OnceLock::new();
    TASKS.get_or_init(world::Tasks::new)
}

/// CPU time of this process so far (`/proc/self/stat`, in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
