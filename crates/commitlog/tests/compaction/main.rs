//! LOG-6: compaction keeps the last value per key, whatever else happens. And what it must not touch.

mod any_order;
mod crashes;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use commitlog::{
    Append, EmbeddedLog, Isolation, Log, LogSettings, TimeQuery,
    compaction::{Seen, keeps_the_last_value_per_key},
    record::{Batch, BatchBuilder, Codec, Header, Marker, batches},
};
use model::ErrorKind;
use proptest::prelude::*;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{append, batch, create, end, keyed, keyed_as, read_keyed, tp},
};
use world::{Clock, ManualClock, World};

const NOW: i64 = 1_700_000_000_000;

/// A log in memory, with a clock to turn.
struct House {
    clock: Arc<ManualClock>,
    disk: MemoryDisk,
    log: Arc<EmbeddedLog>,
    settings: LogSettings,
}

fn settings() -> LogSettings {
    LogSettings {
        wal_file_bytes: 16 << 10,
        checkpoint_bytes: 48 << 10,
        file_delete_delay: Duration::ZERO,
        // Only when told to.
        compaction_interval: Duration::from_secs(3600),
        ..LogSettings::default()
    }
}

async fn open(clock: &Arc<ManualClock>, disk: &MemoryDisk, settings: &LogSettings) -> Arc<EmbeddedLog> {
    let world = World { clock: clock.clone(), disk: Arc::new(disk.clone()), ..World::real() };
    EmbeddedLog::open(Path::new("/log"), settings.clone(), world).await.expect("open")
}

/// A topic `t` with one partition, compacted in small segments whenever there is something to do.
const EAGER: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "1024"), ("min.cleanable.dirty.ratio", "0")];

impl House {
    async fn new() -> Self {
        Self::with(settings(), &[]).await
    }

    async fn with(settings: LogSettings, more: &[(&str, &str)]) -> Self {
        let (clock, disk) = (Arc::new(ManualClock::at(NOW)), MemoryDisk::new());
        let log = open(&clock, &disk, &settings).await;
        let all: Vec<_> = EAGER.iter().chain(more).copied().collect();
        create(&*log, "t", 1, &all).await;
        Self { clock, disk, log, settings }
    }

    async fn put(&self, key: &str, value: Option<&str>) -> i64 {
        let bytes = keyed(self.clock.now_ms(), &[(key, value)]);
        append(&*self.log, &tp("t", 0), bytes).await.expect("append").base_offset
    }

    /// So many values of so many keys, a record each.
    async fn fill(&self, records: usize, keys: usize) {
        let padding = "v".repeat(100);
        let all = (0..records).map(|n| {
            let (key, value) = (format!("key {}", n % keys), format!("{n} {padding}"));
            self.log.append(&tp("t", 0), keyed(self.clock.now_ms(), &[(&key, Some(&value))]), Append::default())
        });
        for appended in futures::future::join_all(all).await {
            appended.expect("append");
        }
    }

    async fn compact(&self) {
        self.log.compact().await.expect("compact");
    }

    /// Ends the segment that is being written: another takes its place once it is old.
    async fn roll(&self) {
        self.clock.advance(Duration::from_secs(8 * 24 * 3600));
        self.compact().await;
    }

    async fn seen(&self) -> Vec<Seen> {
        read_keyed(&*self.log, &tp("t", 0), 0).await
    }

    async fn reopen(&mut self, disk: MemoryDisk) {
        self.log = open(&self.clock, &disk, &self.settings).await;
        self.disk = disk;
    }

    fn segments(&self) -> usize {
        self.disk.files().iter().filter(|path| path.extension() == Some("log".as_ref())).count()
    }

    /// Headers of all batches there are.
    async fn headers(&self) -> Vec<Header> {
        let bounds = self.log.bounds(&tp("t", 0)).expect("bounds");
        let (mut next, mut all) = (bounds.log_start, Vec::new());
        while next < bounds.high_watermark {
            let slice = self.log.read(&tp("t", 0), next, 1 << 20, Isolation::Uncommitted).await.expect("read");
            for batch in batches(slice.records) {
                let header = batch.expect("whole").header;
                next = header.next_offset();
                all.push(header);
            }
        }
        all
    }
}

fn last_values(records: &[Seen]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut last = BTreeMap::new();
    for seen in records {
        match &seen.value {
            Some(value) => drop(last.insert(seen.key.clone(), value.clone())),
            None => drop(last.remove(&seen.key)),
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_each_key_the_last_record_stays_at_its_offset() {
    let mut house = House::new().await;
    house.fill(200, 10).await;
    let before = house.seen().await;
    let (segments, size) = (house.segments(), house.log.size(&tp("t", 0)).expect("size"));
    house.compact().await;
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    assert!(after.len() < 30, "{} of 200 records are left", after.len());
    assert!(house.segments() < segments / 4, "small segments become one");
    assert!(house.log.size(&tp("t", 0)).expect("size") < size / 5);
    let bounds = house.log.bounds(&tp("t", 0)).expect("bounds");
    assert_eq!((bounds.log_start, bounds.high_watermark), (0, 200), "offsets are what they were");
    let stats = house.log.compaction();
    assert!(stats.records_dropped > 170 && stats.bytes_read > 0 && stats.bytes_written > 0 && stats.failures == 0);
    assert_eq!((stats.partitions[0].dirty_ratio, stats.last_run_ms), (0.0, Some(NOW)));

    // From anywhere on the last values are the same.
    for from in 0..200 {
        let rest: Vec<_> = before.iter().filter(|seen| seen.offset >= from).cloned().collect();
        let read = read_keyed(&*house.log, &tp("t", 0), from).await;
        keeps_the_last_value_per_key(&rest, &read).expect("LOG-6");
    }

    // Closed and opened, killed, without power: it stays so.
    house.log.close().await.expect("close");
    for disk in [house.disk.process_kill(), house.disk.power_cut(0), house.disk.power_cut(7)] {
        house.reopen(disk).await;
        assert_eq!(house.seen().await, after);
        assert_eq!(house.put("new", Some("x")).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_change_stays_byte_for_byte() {
    let house = House::new().await;
    house.fill(100, 1000).await;
    let read = async || house.log.read(&tp("t", 0), 0, 1 << 20, Isolation::Uncommitted).await.expect("read").records;
    let names = |house: &House| {
        let mut files = house.disk.files();
        files.retain(|path| path.extension() == Some("log".as_ref()));
        files
    };
    let mut first = None;
    for _ in 0..3 {
        house.compact().await;
        let headers = house.headers().await;
        assert_eq!(headers.len(), 100);
        let bytes = read().await;
        assert_eq!(*first.get_or_insert_with(|| bytes.clone()), bytes);
    }
    let before = (names(&house), house.log.compaction().bytes_written);
    house.compact().await;
    assert_eq!((names(&house), house.log.compaction().bytes_written), before, "nothing is new, nothing is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tombstones_go_after_their_time_and_not_before() {
    let house = House::with(settings(), &[("delete.retention.ms", "60000")]).await;
    for n in 0..40 {
        house.put(&format!("{n}"), Some(&"v".repeat(100))).await;
    }
    for n in 0..40 {
        house.put(&format!("{n}"), None).await;
    }
    house.roll().await;
    let tombstones = async || house.seen().await.iter().filter(|seen| seen.value.is_none()).count();
    assert_eq!((house.seen().await.len(), tombstones().await), (40, 40), "what they end is gone, they stay");
    let horizons: Vec<_> = house.headers().await.iter().filter_map(Header::delete_horizon).collect();
    assert_eq!(horizons, vec![house.clock.now_ms() + 60_000; 40]);
    assert!(house.headers().await.iter().all(|header| header.max_timestamp == NOW), "times are what they were");
    house.clock.advance(Duration::from_millis(59_999));
    house.compact().await;
    assert_eq!(tombstones().await, 40);
    // Nothing new is needed for them to go.
    house.clock.advance(Duration::from_millis(1));
    house.compact().await;
    assert!(house.seen().await.is_empty());
    let bounds = house.log.bounds(&tp("t", 0)).expect("bounds");
    assert_eq!((bounds.log_start, bounds.high_watermark), (0, 80));
    assert_eq!(house.put("1", Some("again")).await, 80);
    assert_eq!(house.seen().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_topics_are_compacted_too() {
    let mut house = House::with(settings(), &[("segment.ms", "1000"), ("segment.bytes", "1000000")]).await;
    house.fill(100, 5).await;
    house.compact().await;
    assert_eq!(house.seen().await.len(), 100, "the segment that is being written is not touched");
    house.clock.advance(Duration::from_secs(2));
    house.compact().await;
    assert_eq!(house.seen().await.len(), 5);
    // The new segment is empty; what comes next goes there, whatever happened in between.
    for disk in [house.disk.process_kill(), house.disk.power_cut(0), house.disk.power_cut(3)] {
        house.reopen(disk).await;
        assert_eq!(house.put("x", Some("y")).await, 100);
        assert_eq!(house.seen().await.len(), 6);
    }
    house.log.close().await.expect("close");
    let disk = house.disk.process_kill();
    house.reopen(disk).await;
    assert_eq!(house.put("x", Some("z")).await, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_young_open_or_not_worth_it_is_not_touched() {
    let house = House::new().await;
    house.fill(100, 5).await;
    let at = tp("t", 0);
    house.log.hold(&at, "lake", Some(0));
    house.compact().await;
    assert_eq!(house.seen().await.len(), 100, "the lake has not seen it");
    house.log.hold(&at, "lake", Some(50));
    house.compact().await;
    let left = house.seen().await;
    assert!(left.len() < 70 && left.iter().filter(|seen| seen.offset >= 50).count() == 50);
    house.log.hold(&at, "lake", None);
    house.compact().await;
    assert!(house.seen().await.len() < 20);

    let young = House::with(settings(), &[("min.compaction.lag.ms", "10000")]).await;
    young.fill(100, 5).await;
    young.compact().await;
    assert_eq!(young.seen().await.len(), 100);
    young.clock.advance(Duration::from_secs(10));
    young.compact().await;
    assert!(young.seen().await.len() < 20);

    let lazy = House::with(settings(), &[("min.cleanable.dirty.ratio", "0.6")]).await;
    lazy.fill(100, 1000).await;
    lazy.compact().await;
    let runs = lazy.log.compaction().runs;
    assert_eq!(runs, 1, "all of it was new");
    lazy.fill(100, 1000).await;
    lazy.compact().await;
    assert_eq!(lazy.log.compaction().runs, runs, "half of it is new");
    lazy.fill(100, 1000).await;
    lazy.compact().await;
    assert_eq!(lazy.log.compaction().runs, runs + 1, "two thirds are");
    let late = BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("min.cleanable.dirty.ratio".to_owned(), "0.99".to_owned()),
        ("max.compaction.lag.ms".to_owned(), "5000".to_owned()),
    ]);
    lazy.log.alter_topic("t", late, false).await.expect("alter");
    lazy.put("one", Some("more")).await;
    lazy.clock.advance(Duration::from_secs(6));
    lazy.compact().await;
    assert_eq!(lazy.log.compaction().runs, runs + 2, "KIP-354: it has waited long enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_can_be_changed() {
    let house = House::new().await;
    let set = async |policy: &str| {
        let mut overrides = house.log.topic("t").expect("there").overrides.clone();
        overrides.insert("cleanup.policy".to_owned(), policy.to_owned());
        house.log.alter_topic("t", overrides, false).await.expect("alter");
    };
    set("delete").await;
    let at = tp("t", 0);
    append(&*house.log, &at, batch(NOW, &["no key"])).await.expect("it needs none");
    house.fill(100, 5).await;
    house.compact().await;
    assert_eq!(house.log.compaction().runs, 0);
    set("compact").await;
    house.compact().await;
    assert!(house.seen().await.len() < 20, "what has no key has no last value either");
    house.clock.advance(Duration::from_secs(30 * 24 * 3600));
    house.log.retain().await.expect("retain");
    assert_eq!(house.log.bounds(&at).expect("bounds").log_start, 0, "compacted only: kept for ever");
    let error = house.log.delete_records(&at, 50).await.expect_err("not allowed");
    assert_eq!((error.kind(), error.kind().kafka_code()), (ErrorKind::PolicyViolation, 44));

    set("compact,delete").await;
    house.fill(100, 5).await;
    // Before new records move into the same segments.
    house.log.retain().await.expect("retain");
    let start = house.log.bounds(&at).expect("bounds").log_start;
    assert!(start >= 90, "what is old goes, compacted or not: {start}");
    house.compact().await;
    assert_eq!(house.log.delete_records(&at, 150).await.expect("allowed"), 150);
    let left = house.seen().await;
    assert!(left.iter().all(|seen| seen.offset >= 150) && !left.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_a_key_are_refused_in_compacted_topics() {
    let house = House::new().await;
    for codec in [Codec::None, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.push(NOW, Some(b"k"), Some(b"v"), &[]).push(NOW, None, Some(b"v"), &[]);
        let error = append(&*house.log, &tp("t", 0), builder.build()).await.expect_err("no key");
        assert_eq!((error.code().name, error.kind().kafka_code()), ("LH0119", 87));
        assert!(error.to_string().contains("record 1"), "{error}");
    }
    // What compaction could not read would stay for ever.
    let good = keyed_as(BatchBuilder::new(Codec::Zstd), NOW, &[("k", Some("v"))]);
    let mut header = Header::parse(&good).expect("header");
    let garbage = vec![7; good.len() - 61];
    header.seal(&garbage);
    let garbage = [&header.write()[..], &garbage].concat();
    append(&*house.log, &tp("t", 0), garbage.into()).await.expect_err("does not decompress");
    assert_eq!(house.log.bounds(&tp("t", 0)).expect("bounds").log_end, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_batches_lose_records_and_keep_the_rest() {
    for codec in Codec::ALL {
        let house = House::new().await;
        let at = tp("t", 0);
        for n in 0..60i32 {
            let values: Vec<String> = (0..5).map(|k| format!("{n}.{k} {}", "x".repeat(k * 40))).collect();
            let keys: Vec<String> = (0..5).map(|k| if k == 3 { format!("only {n}") } else { format!("{k}") }).collect();
            let records: Vec<_> = keys.iter().zip(&values).map(|(k, v)| (k.as_str(), Some(v.as_str()))).collect();
            let bytes = keyed_as(BatchBuilder::new(codec).producer(5, 0, n * 5), NOW + i64::from(n), &records);
            append(&*house.log, &at, bytes).await.expect("append");
        }
        let before = house.seen().await;
        house.compact().await;
        let after = house.seen().await;
        keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
        assert!(after.len() < 130, "{}: {} left", codec.name(), after.len());
        let headers = house.headers().await;
        assert!(headers.iter().any(|header| header.count == 1 && header.last_offset_delta == 4));
        assert!(headers.iter().all(|header| header.codec().ok() == Some(codec) && header.base_offset % 5 == 0));
        for (n, header) in headers.iter().enumerate() {
            assert_eq!(header.base_sequence, header.base_offset as i32, "batch {n}");
        }
        // Every record that is left is found by its time, and only those.
        let found = house.log.offset_at(&at, TimeQuery::AtOrAfter(NOW + 7)).await.expect("query").expect("found");
        assert_eq!((found.offset, found.timestamp), (7 * 5 + 3, NOW + 7));
        let max = house.log.offset_at(&at, TimeQuery::MaxTimestamp).await.expect("query").expect("found");
        assert_eq!(max.timestamp, NOW + 59);
        // The producer goes on where it was.
        let next = keyed_as(BatchBuilder::new(codec).producer(5, 0, 300), NOW, &[("k", Some("v"))]);
        assert_eq!(append(&*house.log, &at, next).await.expect("next in sequence").base_offset, 300);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_given_by_the_log_stay() {
    let house = House::with(settings(), &[("message.timestamp.type", "LogAppendTime")]).await;
    let at = tp("t", 0);
    for n in 0..30 {
        let (value, once) = (format!("{n} {}", "x".repeat(80)), format!("only {n}"));
        append(&*house.log, &at, keyed(1, &[("same", Some(&value)), (&once, Some("v"))])).await.expect("append");
        house.clock.advance(Duration::from_millis(10));
    }
    house.compact().await;
    assert!(house.headers().await.iter().any(|header| (header.count, header.last_offset_delta) == (1, 1)));
    for n in 0..20 {
        let found = house.log.offset_at(&at, TimeQuery::AtOrAfter(NOW + n * 10)).await.expect("query").expect("found");
        assert_eq!((found.offset, found.timestamp), (n * 2 + 1, NOW + n * 10), "the record that is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_batch_of_a_producer_stays_if_empty() {
    let house = House::new().await;
    let at = tp("t", 0);
    let first =
        keyed_as(BatchBuilder::new(Codec::Lz4).producer(9, 2, 0), NOW, &[("key 0", Some("a")), ("key 1", None)]);
    append(&*house.log, &at, first).await.expect("append");
    house.fill(100, 3).await;
    house.compact().await;
    let headers = house.headers().await;
    let empty = &headers[0];
    assert_eq!((empty.base_offset, empty.last_offset(), empty.count), (0, 1, 0));
    assert_eq!((empty.producer_id, empty.producer_epoch, empty.last_sequence()), (9, 2, 1));
    assert_eq!(house.seen().await.first().map(|seen| seen.offset > 1), Some(true));
    // Once it writes again the old one goes.
    let next = keyed_as(BatchBuilder::new(Codec::None).producer(9, 2, 2), NOW, &[("key 0", Some("b"))]);
    append(&*house.log, &at, next).await.expect("append");
    house.fill(30, 3).await;
    house.compact().await;
    assert!(house.headers().await[0].base_offset > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_transactions_stop_it_and_aborted_ones_vanish() {
    let mut house = House::with(settings(), &[("delete.retention.ms", "1000")]).await;
    let at = tp("t", 0);
    let write = async |house: &House, pid: i64, sequence: i32, key: &str, value: &str| {
        let builder = BatchBuilder::new(Codec::None).producer(pid, 0, sequence).transactional();
        append(&*house.log, &at, keyed_as(builder, NOW, &[(key, Some(value))])).await.expect("append").base_offset
    };
    write(&house, 1, 0, "key 0", "committed").await;
    end(&*house.log, &at, Marker::Commit, 1, 0).await.expect("commit");
    write(&house, 2, 0, "key 1", "aborted").await;
    write(&house, 2, 1, "only", "aborted").await;
    end(&*house.log, &at, Marker::Abort, 2, 0).await.expect("abort");
    house.fill(40, 2).await;
    let open_at = write(&house, 3, 0, "key 0", "open").await;
    house.fill(40, 2).await;
    // Aborted records are no later values of anything.
    write(&house, 4, 0, "key 1", "aborted, too").await;
    end(&*house.log, &at, Marker::Abort, 4, 0).await.expect("abort");
    let before = house.seen().await;
    house.compact().await;
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    let headers = house.headers().await;
    assert_eq!(
        headers.iter().filter(|header| header.base_offset >= open_at).count(),
        43,
        "LSO: nothing behind is touched"
    );
    assert!(headers.iter().any(|header| header.is_control()), "markers stay");

    end(&*house.log, &at, Marker::Commit, 3, 0).await.expect("commit");
    house.fill(40, 2).await;
    // Producers that are alive keep their last batch: forget them.
    house.clock.advance(Duration::from_secs(25 * 3600));
    house.log.retain().await.expect("retain");
    for _ in 0..4 {
        house.roll().await;
        house.put("key 0", Some("new")).await;
        let before = house.seen().await;
        house.compact().await;
        keeps_the_last_value_per_key(&before, &house.seen().await).expect("LOG-6");
    }
    let headers = house.headers().await;
    assert!(!headers.iter().any(|header| header.is_control()), "markers go when nothing is left of what they end");
    assert!(headers.len() < 10, "{headers:?}");
    let slice = house.log.read(&at, 0, 1 << 20, Isolation::Committed).await.expect("read");
    assert_eq!(slice.aborted, [], "nobody needs to know of them any more");
    // The id of an aborted transaction is used again, without a marker in between: all of it is seen.
    write(&house, 4, 0, "late", "yes").await;
    end(&*house.log, &at, Marker::Commit, 4, 0).await.expect("commit");
    let disk = house.disk.power_cut(0);
    let seen = house.seen().await;
    assert!(seen.iter().any(|seen| seen.key == b"late"));
    house.reopen(disk).await;
    assert_eq!(house.seen().await, seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_keys_for_the_memory_take_several_runs() {
    let house =
        House::with(LogSettings { compaction_map_bytes: 24 * 1000, ..settings() }, &[("segment.bytes", "100000")])
            .await;
    for round in 0..3 {
        let all = (0..5000).map(|n| {
            let records: Vec<_> = (0..2).map(|k| format!("{}", (n * 2 + k) * 7 % 5000)).collect();
            let value = format!("{round}.{n}");
            let records: Vec<_> = records.iter().map(|key| (key.as_str(), Some(value.as_str()))).collect();
            house.log.append(&tp("t", 0), keyed(NOW, &records), Append::default())
        });
        for appended in futures::future::join_all(all).await {
            appended.expect("append");
        }
    }
    let before = house.seen().await;
    assert_eq!((before.len(), last_values(&before).len()), (30_000, 5000));
    house.compact().await;
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    assert!(after.len() < 8000, "{} are left", after.len());
    let stats = house.log.compaction();
    assert!(stats.runs > 10, "{} runs of 800 keys", stats.runs);
    assert_eq!(stats.partitions[0].dirty_ratio, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_more_keys_than_memory_is_compacted_all_the_same() {
    let house =
        House::with(LogSettings { compaction_map_bytes: 24 * 10, ..settings() }, &[("segment.bytes", "4096")]).await;
    for round in 0..3 {
        let keys: Vec<String> = (0..100).map(|n| format!("{n}")).collect();
        let value = format!("{round}");
        let records: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(value.as_str()))).collect();
        append(&*house.log, &tp("t", 0), keyed(NOW, &records)).await.expect("append");
    }
    let before = house.seen().await;
    house.roll().await;
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    assert_eq!(after.len(), 100);
}

/// By itself, in the background, and no faster than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_by_itself_within_its_budget() {
    let settings = LogSettings {
        compaction_interval: Duration::from_millis(10),
        compaction_bytes_per_second: 4 << 20,
        checkpoint_bytes: 1 << 30,
        ..settings()
    };
    let house = House::with(settings, &[("min.compaction.lag.ms", "1000"), ("segment.bytes", "65536")]).await;
    house.fill(8000, 10).await;
    let before = house.seen().await;
    house.log.checkpoint().await.expect("checkpoint");
    let started = std::sync::Arc::new(world::SystemClock::new());
    house.clock.advance(Duration::from_secs(1));
    while house.log.compaction().runs == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (took, stats) = (started.monotonic(), house.log.compaction());
    let least = Duration::from_secs_f64((stats.bytes_read + stats.bytes_written) as f64 / f64::from(4 << 20));
    assert!(stats.bytes_read > 2_000_000 && took >= least.mul_f64(0.7), "{took:?} for {} bytes", stats.bytes_read);
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    assert!(after.len() < 1000);
    house.log.close().await.expect("a run ends when the log does");
}

/// Damage is left for readers to hear of: nothing of it gets a good checksum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_batches_stay_as_they_are() {
    let mut house = House::new().await;
    house.fill(40, 4).await;
    house.log.close().await.expect("close");
    let disk = house.disk.process_kill();
    let first = disk.files().into_iter().find(|path| path.extension() == Some("log".as_ref())).expect("a segment");
    disk.tamper(&first, |bytes| bytes[100] ^= 1);
    house.reopen(disk).await;
    house.put("x", Some("y")).await;
    house.compact().await;
    assert_eq!(house.log.compaction().batches_unreadable, 1);
    let slice = house.log.read(&tp("t", 0), 0, 1, Isolation::Uncommitted).await.expect("read");
    let batch = Batch::parse(&slice.records).expect("a batch");
    assert_eq!(batch.header.base_offset, 0);
    batch.check_crc().expect_err("still damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_failing_disk_changes_nothing_and_it_is_tried_again() {
    let mut house = House::new().await;
    house.fill(100, 5).await;
    house.log.checkpoint().await.expect("checkpoint");
    let before = house.seen().await;
    let files = house.segments();
    house.disk.set_fault(Some(Fault::Full));
    let error = house.log.compact().await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    house.disk.set_fault(Some(Fault::SyncFails));
    house.log.compact().await.expect_err("does not sync");
    house.disk.set_fault(None);
    assert_eq!((house.seen().await, house.segments()), (before.clone(), files));
    assert_eq!(house.log.compaction().failures, 2);
    for cut in [0, 5, 6] {
        let disk = house.disk.power_cut(cut);
        let log = open(&house.clock, &disk, &house.settings).await;
        assert_eq!(read_keyed(&*log, &tp("t", 0), 0).await, before);
    }
    house.compact().await;
    let after = house.seen().await;
    keeps_the_last_value_per_key(&before, &after).expect("LOG-6");
    assert!(after.len() < 20);
    let disk = house.disk.power_cut(0);
    house.reopen(disk).await;
    assert_eq!(house.seen().await, after);
}
