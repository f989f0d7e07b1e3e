//! What every [`Log`] does, whatever keeps its records. A driver's tests call [`run`] with a way to open one.
//!
//! `reopen` opens the same log again after the one before was dropped (killed) or closed; drivers that cannot be killed
//! may just connect anew.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use commitlog::{
    Append, Appended, Isolation, Log, TimeQuery, TopicSpec,
    compaction::Seen,
    record::{BatchBuilder, Codec, Header, Marker, Records, batches},
    wait_beyond,
};
use futures::future::{BoxFuture, join_all};
use model::{ErrorKind, Result, TopicName, TopicPartition};
use tokio::sync::Notify;

/// Opens the log under test, again and again.
pub type Open = dyn Fn() -> BoxFuture<'static, Arc<dyn Log>> + Send + Sync;

/// The whole suite, each law on a topic of its own.
pub async fn run(open: &Open) {
    topics_are_made_changed_and_deleted(&*open().await).await;
    offsets_are_dense_and_follow_calls(&*open().await).await;
    what_was_acknowledged_survives(open).await;
    batches_come_back_as_sent(&*open().await).await;
    bad_batches_are_refused_and_leave_nothing(&*open().await).await;
    repeats_get_the_original_offset(open).await;
    producers_are_held_to_their_sequence(&*open().await).await;
    committed_readers_see_whole_transactions(open).await;
    transactions_fence_and_are_fenced(&*open().await).await;
    time_finds_the_first_record_at_or_after(&*open().await).await;
    the_newest_time_is_that_of_the_records(&*open().await).await;
    deleted_records_are_gone_for_good(open).await;
    compacted_topics_want_keys_and_keep_their_start(&*open().await).await;
    wakers_fire_when_the_visible_end_moves(&*open().await).await;
    deleting_a_topic_frees_its_readers(&*open().await).await;
    epochs_agree(&*open().await).await;
    append_time_is_given_by_the_log(&*open().await).await;
    producer_ids_are_never_given_twice(open).await;
}

pub fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal name"), partition)
}

pub async fn create(log: &dyn Log, topic: &str, partitions: i32, with: &[(&str, &str)]) {
    let mut spec = TopicSpec::new(TopicName::new(topic).expect("legal name"), partitions);
    for (key, value) in with {
        spec = spec.with(key, value);
    }
    log.create_topic(spec, false).await.expect("create");
}

/// A batch of `values`, timestamps from `time` on.
pub fn batch(time: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (at, value) in values.iter().enumerate() {
        builder.push(time + at as i64, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

/// A batch of an idempotent producer: `count` records from `sequence` on.
pub fn sequenced(pid: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(pid, epoch, sequence);
    for at in 0..count {
        builder.push(1, None, Some(format!("{pid}/{epoch}/{}", sequence as usize + at).as_bytes()), &[]);
    }
    builder.build()
}

/// A batch of one record in a producer's transaction.
pub fn transactional(pid: i64, epoch: i16, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(pid, epoch, sequence).transactional();
    builder.push(1, None, Some(value.as_bytes()), &[]);
    builder.build()
}

/// Ends a producer's transaction in a partition.
pub async fn end(log: &dyn Log, at: &TopicPartition, marker: Marker, pid: i64, epoch: i16) -> Result<Appended> {
    log.append(at, marker.batch(pid, epoch, 0, 1), Append { internal: true }).await
}

/// A batch of records with keys; `None`: a tombstone.
pub fn keyed(time: i64, records: &[(&str, Option<&str>)]) -> Bytes {
    keyed_as(BatchBuilder::new(Codec::None), time, records)
}

/// The same, of this codec and producer.
pub fn keyed_as(mut builder: BatchBuilder, time: i64, records: &[(&str, Option<&str>)]) -> Bytes {
    for (key, value) in records {
        builder.push(time, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder.build()
}

/// What a committed reader who begins at `from` sees of records with keys.
pub async fn read_keyed(log: &dyn Log, at: &TopicPartition, from: i64) -> Vec<Seen> {
    let mut next = from.max(log.bounds(at).expect("bounds").log_start);
    let mut all = Vec::new();
    while next < log.bounds(at).expect("bounds").last_stable {
        let slice = log.read(at, next, 700, Isolation::Committed).await.expect("read");
        assert!(!slice.records.is_empty(), "LOG-3: below the last stable offset there is a batch that reaches {next}");
        let begun = next;
        for batch in slice.batches() {
            let (batch, is_hidden) = batch.expect("whole batch");
            batch.check_crc().expect("sealed");
            next = next.max(batch.header.next_offset());
            let block = batch.decompress(1 << 24).expect("decompress");
            for record in Records::new(&batch.header, &block).filter(|_| !is_hidden) {
                let record = record.expect("record");
                if record.offset >= begun.max(from) {
                    let key = record.key.expect("a key").to_vec();
                    all.push(Seen { offset: record.offset, key, value: record.value.map(<[u8]>::to_vec) });
                }
            }
        }
        assert!(next > begun, "a reader moves on");
    }
    all
}

/// What a committed reader sees: (offset, value).
pub async fn read_committed(log: &dyn Log, at: &TopicPartition) -> Vec<(i64, String)> {
    let mut from = log.bounds(at).expect("bounds").log_start;
    let mut all = Vec::new();
    while from < log.bounds(at).expect("bounds").last_stable {
        let slice = log.read(at, from, 300, Isolation::Committed).await.expect("read");
        for batch in slice.batches() {
            let (batch, is_hidden) = batch.expect("whole batch");
            from = from.max(batch.header.next_offset());
            let block = batch.decompress(1 << 24).expect("decompress");
            for record in Records::new(&batch.header, &block).filter(|_| !is_hidden) {
                let record = record.expect("record");
                all.push((record.offset, String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()));
            }
        }
    }
    all
}

pub async fn append(log: &dyn Log, to: &TopicPartition, bytes: Bytes) -> Result<Appended> {
    log.append(to, bytes, Append::default()).await
}

/// All visible records: (offset, value).
pub async fn read_all(log: &dyn Log, at: &TopicPartition) -> Vec<(i64, String)> {
    let mut from = log.bounds(at).expect("bounds").log_start;
    let mut all: Vec<(i64, String)> = Vec::new();
    while from < log.bounds(at).expect("bounds").high_watermark {
        let slice = log.read(at, from, 1000, Isolation::Uncommitted).await.expect("read");
        assert!(!slice.records.is_empty(), "LOG-3: below the high watermark there is something at {from}");
        for batch in batches(slice.records) {
            let batch = batch.expect("whole batch");
            batch.check_crc().expect("as sent");
            let block = batch.decompress(1 << 24).expect("decompress");
            for record in Records::new(&batch.header, &block) {
                let record = record.expect("record");
                if record.offset >= from {
                    let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                    all.push((record.offset, value));
                }
            }
            from = from.max(batch.header.next_offset());
        }
    }
    all
}

/// LOG-2: the offsets rise by one.
pub fn assert_dense(records: &[(i64, String)], from: i64) {
    for (at, (offset, value)) in records.iter().enumerate() {
        assert_eq!(*offset, from + at as i64, "LOG-2: offsets are dense, here at {value}");
    }
}

pub async fn topics_are_made_changed_and_deleted(log: &dyn Log) {
    let mut changed = log.topics_changed();
    create(log, "t-made", 2, &[("retention.ms", "1000")]).await;
    assert!(changed.has_changed().expect("the log lives"));
    changed.mark_unchanged();
    let topic = log.topic("t-made").expect("made");
    assert_eq!((topic.partitions, topic.config.retention_ms), (2, 1000));
    assert_eq!(log.topic_by_id(topic.id).expect("by id").name, topic.name);

    let kind = |result: Result<_>| result.map(|_: Arc<commitlog::Topic>| ()).expect_err("refused").kind();
    let spec = |name: &str, n| TopicSpec::new(TopicName::new(name).expect("legal name"), n);
    assert_eq!(kind(log.create_topic(spec("t-made", 1), false).await), ErrorKind::TopicExists);
    create(log, "t.made", 1, &[]).await;
    assert_eq!(kind(log.create_topic(spec("t_made", 1), true).await), ErrorKind::TopicNameInvalid);
    assert_eq!(kind(log.create_topic(spec("t-none", 0), false).await), ErrorKind::PartitionsInvalid);
    let odd = spec("t-odd", 1).with("min.insync.replicas", "2");
    assert_eq!(kind(log.create_topic(odd, false).await), ErrorKind::ConfigInvalid);
    log.create_topic(spec("t-dry", 1), true).await.expect("valid");
    assert!(log.topic("t-dry").is_none());

    // What topics get that do not say otherwise, those that are there too.
    let defaults = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    log.set_topic_defaults(defaults("retention.ms", "77"), true).await.expect("valid");
    assert_eq!(log.topic("t.made").expect("there").config.retention_ms, 604_800_000, "it was only asked");
    log.set_topic_defaults(defaults("retention.ms", "77"), false).await.expect("set");
    let retention = |name| log.topic(name).expect("there").config.retention_ms;
    assert_eq!((retention("t.made"), retention("t-made")), (77, 1000), "a topic's own count first");
    let refused = log.set_topic_defaults(defaults("min.insync.replicas", "2"), false).await.expect_err("refused");
    assert_eq!((refused.kind(), retention("t.made")), (ErrorKind::ConfigInvalid, 77));
    log.set_topic_defaults(BTreeMap::new(), false).await.expect("taken away");
    assert_eq!(retention("t.made"), 604_800_000);
    changed.mark_unchanged();

    log.create_partitions("t-made", 5, false).await.expect("more");
    assert_eq!(log.topic("t-made").expect("there").partitions, 5);
    let fewer = log.create_partitions("t-made", 4, false).await.expect_err("never fewer");
    assert_eq!(fewer.kind(), ErrorKind::PartitionsInvalid);
    append(log, &tp("t-made", 4), batch(1, &["x"])).await.expect("the new partition works");

    log.alter_topic("t-made", [("segment.ms".to_owned(), "5".to_owned())].into(), false).await.expect("alter");
    let topic = log.topic("t-made").expect("there");
    assert_eq!((topic.config.segment_ms, topic.config.retention_ms), (5, 604_800_000), "the whole set is replaced");

    let id = topic.id;
    log.delete_topic("t-made").await.expect("delete");
    assert!(log.topic("t-made").is_none() && log.topic_by_id(id).is_none());
    assert_eq!(log.bounds(&tp("t-made", 0)).expect_err("gone").kind(), ErrorKind::TopicNotFound);
    assert_eq!(log.delete_topic("t-made").await.expect_err("gone").kind(), ErrorKind::TopicNotFound);
    create(log, "t-made", 1, &[]).await;
    assert_ne!(log.topic("t-made").expect("again").id, id, "KIP-516: a new topic has a new id");
    assert_eq!(log.bounds(&tp("t-made", 0)).expect("empty").log_end, 0);
}

pub async fn offsets_are_dense_and_follow_calls(log: &dyn Log) {
    create(log, "t-dense", 2, &[("segment.bytes", "4000")]).await;
    let mut waiting = Vec::new();
    for n in 0..200 {
        let to = tp("t-dense", n % 2);
        let values: Vec<String> = (0..1 + n % 3).map(|at| format!("{n}.{at}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        // Not awaited: the order is that of the calls.
        waiting.push(log.append(&to, batch(1, &values), Append::default()));
    }
    let done: Vec<_> = join_all(waiting).await.into_iter().map(|result| result.expect("append")).collect();
    for partition in 0..2 {
        let records = read_all(log, &tp("t-dense", partition)).await;
        assert_dense(&records, 0);
        let calls = (0..200).filter(|n| n % 2 == partition);
        let expected: Vec<String> = calls.flat_map(|n| (0..1 + n % 3).map(move |at| format!("{n}.{at}"))).collect();
        assert_eq!(records.iter().map(|r| r.1.clone()).collect::<Vec<_>>(), expected);
    }
    assert_eq!((done[0].base_offset, done[2].base_offset, done[4].base_offset), (0, 1, 4));

    let at = tp("t-dense", 0);
    let end = log.bounds(&at).expect("bounds").high_watermark;
    assert!(log.read(&at, end, 1000, Isolation::Uncommitted).await.expect("the end").records.is_empty());
    for outside in [-1, end + 1] {
        let error = log.read(&at, outside, 1000, Isolation::Uncommitted).await.expect_err("outside");
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    }
    let slice = log.read(&at, end - 1, 1, Isolation::Uncommitted).await.expect("one byte is asked for");
    assert_eq!(batches(slice.records).count(), 1, "KIP-74: one whole batch at least");
    let slice = log.read(&at, 0, 1 << 20, Isolation::Uncommitted).await.expect("read");
    assert!(slice.records.len() > 100 && slice.bounds.high_watermark == end);
}

/// LOG-1
pub async fn what_was_acknowledged_survives(open: &Open) {
    let log = open().await;
    create(&*log, "t-kept", 3, &[("segment.bytes", "3000")]).await;
    drop(log);
    let mut expected = 0;
    for round in 0..3 {
        let log = open().await;
        for n in 0..60 {
            let appended = append(&*log, &tp("t-kept", n % 3), batch(1, &["a", "b"])).await.expect("append");
            assert_eq!(appended.base_offset, expected + i64::from(n / 3) * 2);
        }
        expected += 40;
        let before = log.bounds(&tp("t-kept", 0)).expect("bounds");
        drop(log);
        let log = open().await;
        for partition in 0..3 {
            let records = read_all(&*log, &tp("t-kept", partition)).await;
            assert_dense(&records, 0);
            assert_eq!(records.len() as i64, expected, "LOG-1: all that was acknowledged, once (round {round})");
        }
        assert!(log.bounds(&tp("t-kept", 0)).expect("bounds").leader_epoch >= before.leader_epoch);
    }
}

pub async fn batches_come_back_as_sent(log: &dyn Log) {
    create(log, "t-bytes", 1, &[]).await;
    let at = tp("t-bytes", 0);
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec);
        builder.push(5, Some(b"key"), Some(&b"value ".repeat(100)), &[("name", b"x")]);
        builder.push(6, Some(b"key"), None, &[]);
        let sent = builder.build();
        let base = append(log, &at, sent.clone()).await.expect("append").base_offset;
        let got = log.read(&at, base, 1, Isolation::Uncommitted).await.expect("read").records;
        assert_eq!(got.slice(16..), sent.slice(16..), "only offset and epoch are patched ({})", codec.name());
        let header = Header::parse(&got).expect("header");
        assert_eq!((header.base_offset, header.codec().expect("codec")), (base, codec));
        // The second record of the batch: the whole batch comes.
        let again = log.read(&at, base + 1, 1, Isolation::Uncommitted).await.expect("read").records;
        assert_eq!(again, got);
    }
}

/// `batch` with another header, and a checksum that fits.
fn resealed(batch: &Bytes, change: &dyn Fn(&mut Header)) -> Bytes {
    let mut header = Header::parse(batch).expect("header");
    change(&mut header);
    header.seal(&batch[61..]);
    [&header.write()[..], &batch[61..]].concat().into()
}

/// LOG-4
pub async fn bad_batches_are_refused_and_leave_nothing(log: &dyn Log) {
    create(log, "t-bad", 1, &[("max.message.bytes", "500")]).await;
    let at = tp("t-bad", 0);
    append(log, &at, batch(1, &["good"])).await.expect("append");
    let good = batch(1, &["x", "y"]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        Bytes::from(bytes)
    };
    let resealed = |change: &dyn Fn(&mut Header)| resealed(&good, change);
    let packed = keyed_as(BatchBuilder::new(Codec::Zstd), 1, &[("x", Some("1")), ("y", Some("2"))]);
    let compressed = |change: &dyn Fn(&mut Header)| self::resealed(&packed, change);
    let garbled = {
        let mut header = Header::parse(&good).expect("header");
        let garbage = vec![0x7f; good.len() - 61];
        header.seal(&garbage);
        Bytes::from([&header.write()[..], &garbage].concat())
    };
    let far = i64::MAX / 2;
    for (what, bytes, kind) in [
        ("a flipped bit", changed(&|b| b[70] ^= 1), ErrorKind::CorruptMessage),
        ("half a batch", good.slice(..40), ErrorKind::CorruptMessage),
        ("all but its end", good.slice(..good.len() - 1), ErrorKind::CorruptMessage),
        ("nothing", Bytes::new(), ErrorKind::CorruptMessage),
        ("two batches", [&good[..], &good[..]].concat().into(), ErrorKind::InvalidRecord),
        ("format 1", changed(&|b| b[16] = 1), ErrorKind::InvalidRecord),
        ("a wrong count", resealed(&|h| h.count = 3), ErrorKind::InvalidRecord),
        ("a record too few", resealed(&|h| (h.count, h.last_offset_delta) = (3, 2)), ErrorKind::InvalidRecord),
        ("a record too many", resealed(&|h| (h.count, h.last_offset_delta) = (1, 0)), ErrorKind::InvalidRecord),
        ("no records at all", garbled, ErrorKind::InvalidRecord),
        ("a control batch", resealed(&|h| h.attributes |= 0x20), ErrorKind::InvalidRecord),
        ("a sequence below 0", resealed(&|h| (h.producer_id, h.producer_epoch) = (1, 0)), ErrorKind::InvalidRecord),
        ("codec 7", resealed(&|h| h.attributes |= 7), ErrorKind::UnsupportedCompression),
        ("gzip that is none", resealed(&|h| h.attributes |= 1), ErrorKind::InvalidRecord),
        ("snappy that is none", resealed(&|h| h.attributes |= 2), ErrorKind::InvalidRecord),
        ("lz4 that is none", resealed(&|h| h.attributes |= 3), ErrorKind::InvalidRecord),
        ("zstd that is none", resealed(&|h| h.attributes |= 4), ErrorKind::InvalidRecord),
        (
            "a compressed record too few",
            compressed(&|h| (h.count, h.last_offset_delta) = (3, 2)),
            ErrorKind::InvalidRecord,
        ),
        ("the log's time", resealed(&|h| h.attributes |= 8), ErrorKind::InvalidRecord),
        ("the far future", resealed(&|h| h.base_timestamp = far), ErrorKind::InvalidTimestamp),
        ("the far future, compressed", compressed(&|h| h.base_timestamp = far), ErrorKind::InvalidTimestamp),
        ("too large", batch(1, &[&"z".repeat(600)]), ErrorKind::MessageTooLarge),
    ] {
        let error = append(log, &at, bytes).await.expect_err(what);
        assert_eq!(error.kind(), kind, "{what}: {error}");
    }
    let error = append(log, &tp("t-bad", 9), good.clone()).await.expect_err("no such partition");
    assert_eq!(error.kind(), ErrorKind::TopicNotFound);
    assert_eq!(log.bounds(&at).expect("bounds").log_end, 1, "LOG-4: nothing was left behind");
    assert_eq!(append(log, &at, good).await.expect("still fine").base_offset, 1);
}

pub async fn repeats_get_the_original_offset(open: &Open) {
    let log = open().await;
    create(&*log, "t-repeat", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let at = tp("t-repeat", 0);
    // In flight together: the repeat resolves when the original is durable.
    let first = log.append(&at, sequenced(7, 0, 0, 3), Append::default());
    let repeat = log.append(&at, sequenced(7, 0, 0, 3), Append::default());
    let (first, repeat) = tokio::join!(first, repeat);
    let (first, repeat) = (first.expect("append"), repeat.expect("repeat"));
    assert_eq!((first.duplicate, repeat.duplicate), (false, true));
    assert_eq!((repeat.base_offset, repeat.log_append_time), (first.base_offset, first.log_append_time));
    assert!(first.log_append_time > 0);
    for n in 1..5 {
        append(&*log, &at, sequenced(7, 0, n * 3, 3)).await.expect("append");
    }
    drop(log);
    // The window of five survives a kill.
    let log = open().await;
    for n in 0..5 {
        let again = append(&*log, &at, sequenced(7, 0, n * 3, 3)).await.expect("repeat");
        assert_eq!((again.duplicate, again.base_offset), (true, i64::from(n) * 3));
    }
    append(&*log, &at, sequenced(7, 0, 15, 3)).await.expect("goes on");
    assert_eq!(log.bounds(&at).expect("bounds").log_end, 18);
}

pub async fn producers_are_held_to_their_sequence(log: &dyn Log) {
    create(log, "t-sequence", 1, &[]).await;
    let at = tp("t-sequence", 0);
    let kind = |result: Result<Appended>| result.expect_err("refused").kind();
    append(log, &at, sequenced(1, 3, 100, 2)).await.expect("unknown producers begin anywhere");
    assert_eq!(kind(append(log, &at, sequenced(1, 3, 104, 2)).await), ErrorKind::OutOfOrderSequence);
    assert_eq!(kind(append(log, &at, sequenced(1, 2, 102, 2)).await), ErrorKind::InvalidProducerEpoch);
    assert_eq!(kind(append(log, &at, sequenced(1, 4, 102, 2)).await), ErrorKind::OutOfOrderSequence);
    append(log, &at, sequenced(1, 3, 102, 2)).await.expect("a refusal changes nothing");
    assert_eq!(kind(append(log, &at, sequenced(1, 3, 101, 1)).await), ErrorKind::DuplicateSequence);
    // What came before the first batch that is known may be missing: were it called old, its producer would take it for written.
    assert_eq!(kind(append(log, &at, sequenced(1, 3, 0, 1)).await), ErrorKind::OutOfOrderSequence);
    assert_eq!(kind(append(log, &at, sequenced(1, 3, 99, 2)).await), ErrorKind::OutOfOrderSequence);
    append(log, &at, sequenced(1, 4, 0, 2)).await.expect("a new epoch begins with 0");
    append(log, &at, sequenced(2, 0, i32::MAX, 1)).await.expect("the last sequence");
    append(log, &at, sequenced(2, 0, 0, 1)).await.expect("wraps to 0");
    // Five in flight, as clients do.
    let five = (0..5).map(|n| log.append(&at, sequenced(9, 0, n * 2, 2), Append::default()));
    let offsets: Vec<_> = join_all(five).await.into_iter().map(|r| r.expect("append").base_offset).collect();
    assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 2));
}

/// LOG-5.
pub async fn committed_readers_see_whole_transactions(open: &Open) {
    let log = open().await;
    create(&*log, "t-txn", 1, &[]).await;
    let at = tp("t-txn", 0);
    let mut seen = Vec::new();
    append(&*log, &at, batch(1, &["plain 0"])).await.expect("append");
    for (sequence, value) in [(0, "a1"), (1, "a3")] {
        append(&*log, &at, transactional(1, 0, sequence, value)).await.expect("append");
        append(&*log, &at, batch(1, &["plain"])).await.expect("append");
    }
    append(&*log, &at, transactional(2, 0, 0, "b5")).await.expect("append");
    seen.push((0, "plain 0".to_owned()));
    assert_eq!(read_committed(&*log, &at).await, seen, "behind an open transaction there is nothing yet");
    let bounds = log.bounds(&at).expect("bounds");
    assert_eq!((bounds.last_stable, bounds.high_watermark), (1, 6));

    assert_eq!(end(&*log, &at, Marker::Commit, 1, 0).await.expect("commit").base_offset, 6);
    seen.extend([(1, "a1"), (2, "plain"), (3, "a3"), (4, "plain")].map(|(at, value)| (at, value.to_owned())));
    assert_eq!(read_committed(&*log, &at).await, seen);
    drop(log);

    // What is open stays open over a restart, whatever way the log went down.
    let log = open().await;
    assert_eq!(log.bounds(&at).expect("bounds").last_stable, 5);
    end(&*log, &at, Marker::Abort, 2, 0).await.expect("abort");
    append(&*log, &at, transactional(2, 0, 1, "b8")).await.expect("the sequence goes on");
    end(&*log, &at, Marker::Commit, 2, 0).await.expect("commit");
    seen.push((8, "b8".to_owned()));
    assert_eq!(read_committed(&*log, &at).await, seen);
    drop(log);

    let log = open().await;
    assert_eq!(read_committed(&*log, &at).await, seen, "what was aborted stays so");
    let slice = log.read(&at, 8, 1000, Isolation::Committed).await.expect("read");
    assert!(slice.aborted.is_empty(), "a transaction that ended before would hide its producer's next one");
    assert_eq!(log.read(&at, 0, 1000, Isolation::Uncommitted).await.expect("read").aborted, []);
}

pub async fn transactions_fence_and_are_fenced(log: &dyn Log) {
    create(log, "t-fence", 1, &[]).await;
    let at = tp("t-fence", 0);
    let kind = |result: Result<Appended>| result.expect_err("refused").kind();
    assert_eq!(kind(append(log, &at, transactional(-1, -1, -1, "x")).await), ErrorKind::InvalidTxnState);
    append(log, &at, transactional(1, 0, 0, "x")).await.expect("append");
    assert_eq!(kind(append(log, &at, sequenced(1, 0, 1, 1)).await), ErrorKind::InvalidTxnState);
    let from_a_client = append(log, &at, Marker::Commit.batch(1, 0, 0, 1)).await;
    assert_eq!(kind(from_a_client), ErrorKind::InvalidRecord);
    // The coordinator aborts with a newer epoch, so that whoever went on writing is told.
    end(log, &at, Marker::Abort, 1, 1).await.expect("abort");
    assert_eq!(kind(append(log, &at, transactional(1, 0, 1, "late")).await), ErrorKind::InvalidProducerEpoch);
    assert_eq!(kind(end(log, &at, Marker::Commit, 1, 0).await), ErrorKind::InvalidProducerEpoch);
    assert_eq!(kind(append(log, &at, transactional(1, 1, 5, "gap")).await), ErrorKind::OutOfOrderSequence);
    append(log, &at, transactional(1, 1, 0, "new")).await.expect("a new epoch begins with 0");
    end(log, &at, Marker::Commit, 1, 1).await.expect("commit");
    assert_eq!(read_committed(log, &at).await, [(2, "new".to_owned())]);
    // A marker for a transaction that wrote nothing here.
    end(log, &at, Marker::Commit, 9, 0).await.expect("commit");
    let bounds = log.bounds(&at).expect("bounds");
    assert_eq!((bounds.last_stable, bounds.log_end), (5, 5));
}

pub async fn time_finds_the_first_record_at_or_after(log: &dyn Log) {
    create(log, "t-time", 1, &[("segment.bytes", "2000")]).await;
    let at = tp("t-time", 0);
    let find = |time| log.offset_at(&at, time);
    assert_eq!(find(TimeQuery::AtOrAfter(0)).await.expect("empty"), None);
    assert_eq!(find(TimeQuery::MaxTimestamp).await.expect("empty"), None);
    assert_eq!(find(TimeQuery::Earliest).await.expect("empty").map(|o| (o.offset, o.timestamp)), Some((0, -1)));
    let mut times = Vec::new();
    for n in 0..300i64 {
        // Rising, with jumps back.
        let time = 10_000 + n * 10 - (n % 7) * 25;
        let mut builder = BatchBuilder::new(if n % 2 == 0 { Codec::None } else { Codec::Lz4 });
        for at in 0..3 {
            builder.push(time + at, None, Some(b"value"), &[]);
            times.push(time + at);
        }
        append(log, &at, builder.build()).await.expect("append");
    }
    for time in (9_900..13_100).step_by(7) {
        let expected = times.iter().position(|t| *t >= time).map(|offset| (offset as i64, times[offset]));
        let found = find(TimeQuery::AtOrAfter(time)).await.expect("query").map(|o| (o.offset, o.timestamp));
        assert_eq!(found, expected, "first record at or after {time}");
    }
    let max = *times.iter().max().expect("not empty");
    let first = times.iter().position(|t| *t == max).expect("there") as i64;
    let found = find(TimeQuery::MaxTimestamp).await.expect("query").expect("found");
    assert_eq!((found.offset, found.timestamp), (first, max));
    let latest = find(TimeQuery::Latest).await.expect("query").expect("found");
    assert_eq!((latest.offset, latest.timestamp), (900, -1));
}

/// What a header says of its records' newest time is made true: who looks for a time relies on it.
pub async fn the_newest_time_is_that_of_the_records(log: &dyn Log) {
    create(log, "t-newest", 1, &[]).await;
    let at = tp("t-newest", 0);
    for codec in [Codec::None, Codec::Gzip] {
        for told in [-1, 5, i64::MAX / 2] {
            let sent = keyed_as(BatchBuilder::new(codec), 1_000, &[("a", Some("1")), ("b", Some("2"))]);
            let base =
                append(log, &at, resealed(&sent, &|h| h.max_timestamp = told)).await.expect("append").base_offset;
            let got = log.read(&at, base, 1, Isolation::Uncommitted).await.expect("read").records;
            assert_eq!(got.slice(16..), sent.slice(16..), "{} {told}", codec.name());
        }
    }
    let found = log.offset_at(&at, TimeQuery::AtOrAfter(1)).await.expect("query").expect("found");
    assert_eq!((found.offset, found.timestamp), (0, 1_000));
}

pub async fn deleted_records_are_gone_for_good(open: &Open) {
    let log = open().await;
    create(&*log, "t-purge", 1, &[("segment.bytes", "1500")]).await;
    let at = tp("t-purge", 0);
    for n in 0..50 {
        append(&*log, &at, batch(n, &["one", "two"])).await.expect("append");
    }
    assert_eq!(log.delete_records(&at, 31).await.expect("delete"), 31);
    assert_eq!(log.delete_records(&at, 10).await.expect("already"), 31);
    let beyond = log.delete_records(&at, 101).await.expect_err("beyond the end");
    assert_eq!(beyond.kind(), ErrorKind::OffsetOutOfRange);
    let error = log.read(&at, 30, 100, Isolation::Uncommitted).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    let left = read_all(&*log, &at).await;
    assert_eq!((left[0].0, left.len()), (31, 69));
    drop(log);
    let log = open().await;
    assert_eq!(log.bounds(&at).expect("bounds").log_start, 31, "durable");
    let found = log.offset_at(&at, TimeQuery::AtOrAfter(0)).await.expect("query").expect("found");
    assert_eq!(found.offset, 31, "what is gone is not found by time");
    assert_eq!(log.delete_records(&at, -1).await.expect("all"), 100);
    assert_eq!(log.bounds(&at).expect("bounds").log_start, 100);
    let appended = append(&*log, &at, batch(1, &["next"])).await.expect("append");
    assert_eq!((appended.base_offset, appended.log_start), (100, 100), "offsets are never used again");
    drop(log);
    let log = open().await;
    assert_eq!(read_all(&*log, &at).await, [(100, "next".to_owned())]);
}

/// What holds of compacted topics before anything has been compacted.
pub async fn compacted_topics_want_keys_and_keep_their_start(log: &dyn Log) {
    create(log, "t-compact", 1, &[("cleanup.policy", "compact")]).await;
    let at = tp("t-compact", 0);
    let error = append(log, &at, batch(1, &["no key"])).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidRecord);
    append(log, &at, keyed(1, &[("a", Some("1")), ("a", None), ("b", Some("2"))])).await.expect("append");
    let error = log.delete_records(&at, -1).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PolicyViolation);
    let seen = read_keyed(log, &at, 0).await;
    assert_eq!(seen.iter().map(|seen| seen.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(log.compaction().partitions.iter().any(|partition| partition.partition == at));
    let both = [("cleanup.policy".to_owned(), "compact,delete".to_owned())];
    log.alter_topic("t-compact", both.into(), false).await.expect("policies can be changed");
    assert_eq!(log.delete_records(&at, 2).await.expect("allowed"), 2);
}

pub async fn wakers_fire_when_the_visible_end_moves(log: &dyn Log) {
    create(log, "t-wake", 1, &[]).await;
    let at = tp("t-wake", 0);
    let patience = Duration::from_secs(10);
    let (bounds, appended) = tokio::join!(wait_beyond(log, &at, 0, patience), append(log, &at, batch(1, &["x"])));
    appended.expect("append");
    assert_eq!(bounds.expect("bounds").high_watermark, 1, "woken, not timed out");
    let waker = Arc::new(Notify::new());
    let subscription = log.subscribe(&at, waker.clone()).expect("subscribe");
    append(log, &at, batch(1, &["y"])).await.expect("append");
    tokio::time::timeout(patience, waker.notified()).await.expect("woken by an append");
    log.delete_records(&at, 1).await.expect("delete");
    tokio::time::timeout(patience, waker.notified()).await.expect("woken by the start");
    drop(subscription);
    append(log, &at, batch(1, &["z"])).await.expect("append");
    let silence = tokio::time::timeout(Duration::from_millis(30), waker.notified()).await;
    assert!(silence.is_err(), "nobody is told after unsubscribing");
}

pub async fn deleting_a_topic_frees_its_readers(log: &dyn Log) {
    create(log, "t-freed", 1, &[]).await;
    let at = tp("t-freed", 0);
    let waits = wait_beyond(log, &at, 0, Duration::from_secs(10));
    let (waited, deleted) = tokio::join!(waits, log.delete_topic("t-freed"));
    deleted.expect("delete");
    assert_eq!(waited.expect_err("gone").kind(), ErrorKind::TopicNotFound);
    assert_eq!(append(log, &at, batch(1, &["x"])).await.expect_err("gone").kind(), ErrorKind::TopicNotFound);
}

pub async fn epochs_agree(log: &dyn Log) {
    create(log, "t-epoch", 1, &[]).await;
    let at = tp("t-epoch", 0);
    append(log, &at, batch(1, &["x", "y"])).await.expect("append");
    let bounds = log.bounds(&at).expect("bounds");
    let end = log.epoch_end(&at, bounds.leader_epoch).expect("query").expect("known");
    assert_eq!((end.epoch, end.end_offset), (bounds.leader_epoch, 2));
    assert_eq!(log.epoch_end(&at, bounds.leader_epoch + 1).expect("query"), None);
    let header =
        Header::parse(&log.read(&at, 0, 1, Isolation::Uncommitted).await.expect("read").records).expect("header");
    assert_eq!(header.leader_epoch, bounds.leader_epoch);
    let found = log.offset_at(&at, TimeQuery::AtOrAfter(2)).await.expect("query").expect("found");
    assert_eq!((found.offset, found.leader_epoch), (1, bounds.leader_epoch));
}

pub async fn append_time_is_given_by_the_log(log: &dyn Log) {
    create(log, "t-stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let at = tp("t-stamped", 0);
    let appended = append(log, &at, batch(5, &["x", "y"])).await.expect("append");
    let read = batches(log.read(&at, 0, 1, Isolation::Uncommitted).await.expect("read").records)
        .next()
        .expect("one")
        .expect("whole");
    read.check_crc().expect("sealed anew");
    assert!(read.header.is_log_append_time());
    assert_eq!(read.header.max_timestamp, appended.log_append_time);
    let times: Vec<_> = Records::new(&read.header, &read.decompress(1000).expect("block"))
        .map(|r| r.expect("record").timestamp)
        .collect();
    assert_eq!(times, [appended.log_append_time; 2]);
}

pub async fn producer_ids_are_never_given_twice(open: &Open) {
    let log = open().await;
    let first = log.new_producer_id().await.expect("id");
    assert!(log.new_producer_id().await.expect("id") > first);
    let cluster = log.cluster_id().to_owned();
    assert_eq!(cluster.len(), 22);
    drop(log);
    let log = open().await;
    assert!(log.new_producer_id().await.expect("id") > first + 1);
    assert_eq!(log.cluster_id(), cluster);
}
