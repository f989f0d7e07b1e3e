//! What the simulator found (docs/simulator.md), each as the shortest story that shows it.

mod common;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use commitlog::{Append, Appended, EmbeddedLog, Log, Steps};
use model::{Error, ErrorKind};
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{append, assert_dense, batch, create, keyed, read_all, sequenced, tp},
};
use world::{Disk, OpenMode, Tasks, World};

use common::{first_segment, header_at, open, settings, try_open};

/// A log whose threads do nothing of themselves.
async fn stepped(disk: &MemoryDisk) -> (Arc<EmbeddedLog>, Arc<Steps>) {
    let world = World { tasks: Tasks::stepped(), ..common::on(disk) };
    EmbeddedLog::open_stepped(Path::new(common::DIR), settings(), world).await.expect("open")
}

/// Appends a record to `t`, partition 0, all the way.
async fn stepped_append(log: &EmbeddedLog, steps: &Steps, value: &str) -> model::Result<Appended> {
    let appended = log.append(&tp("t", 0), batch(1, &[value]), Append::default());
    assert!(steps.write() && steps.commit());
    appended.await
}

/// The same, but a checkpoint brings the record to disk before it is logged, and then logging meets `fault`.
async fn failed_append(disk: &MemoryDisk, log: &EmbeddedLog, steps: &Steps, value: &str, fault: Fault) -> Error {
    let appended = log.append(&tp("t", 0), batch(1, &[value]), Append::default());
    assert!(steps.write());
    steps.checkpoint().expect("nothing is under way").expect("checkpoint");
    disk.set_fault(Some(fault));
    assert!(steps.commit());
    appended.await.expect_err("the disk does not sync")
}

/// The values of `t`, partition 0, as a start on this disk finds them.
async fn values_on(disk: &MemoryDisk) -> Vec<String> {
    read_all(&*open(disk).await, &tp("t", 0)).await.into_iter().map(|(_, value)| value).collect()
}

/// Settings of a topic that is compacted in small segments whenever there is something to do.
const EAGER: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "1024"), ("min.cleanable.dirty.ratio", "0")];

/// LOG-9: before the first topic nothing depends on the log's identity, and its file is not synced.
#[tokio::test]
async fn a_log_whose_identity_was_torn_before_its_first_topic_opens() {
    let disk = MemoryDisk::new();
    drop(open(&disk).await);
    let torn = disk.process_kill();
    torn.tamper(Path::new("/log/meta.json"), |bytes| bytes.fill(0));
    let log = open(&torn).await;
    create(&*log, "t", 1, &[]).await;
    let known = log.cluster_id().to_owned();
    let later = torn.power_cut(0);
    assert_eq!(open(&later).await.cluster_id(), known);
    // From here on much depends on it.
    later.tamper(Path::new("/log/meta.json"), |bytes| bytes.fill(0));
    let Err(error) = try_open(&later.process_kill()).await else { panic!("damaged") };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// LOG-9: an index is not synced, so after a power cut it may say what was never so.
#[tokio::test]
async fn an_index_that_a_power_cut_made_up_stops_nobody() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    let (one, count) = (batch(1, &["x"]), 40);
    for _ in 0..count {
        append(&*log, &tp("t", 0), one.clone()).await.expect("append");
    }
    let entry = |relative: u32, position: u32, max: i64| {
        [&relative.to_be_bytes()[..], &position.to_be_bytes(), &max.to_be_bytes()].concat()
    };
    let (bytes, last) = (one.len() as u32, 30);
    let right = entry(last, last * bytes, 1);
    for entries in [vec![entry(9, 9 * bytes + 7, 1)], vec![entry(9, 9 * bytes + 7, 1), right.clone()], vec![right]] {
        let disk = disk.process_kill();
        let index = first_segment(&disk).with_extension("index");
        let index = disk.open(&index, OpenMode::ReadWrite).expect("open");
        let head = [&b"LHIX"[..], &1u32.to_be_bytes(), &0i64.to_be_bytes(), &entry(0, 0, i64::MIN)].concat();
        index.write_all_at(&[head, entries.concat()].concat(), 0).expect("write");
        let log = open(&disk).await;
        assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), count);
        for offset in 0..count as i64 {
            let header = header_at(&log, offset).await.expect("read");
            assert_eq!(header.base_offset, offset);
        }
    }
}

/// LOG-4: were the second batch taken in the place of the first, the first would pass for a repetition when it comes again.
#[tokio::test]
async fn behind_a_producers_first_batch_that_failed_none_is_taken_before_it() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    disk.set_fault(Some(Fault::SyncFails));
    append(&*log, &tp("t", 0), sequenced(5, 0, 0, 1)).await.expect_err("the disk does not sync");
    disk.set_fault(None);
    let error = append(&*log, &tp("t", 0), sequenced(5, 0, 1, 1)).await.expect_err("out of order");
    assert_eq!(error.kind(), ErrorKind::OutOfOrderSequence, "{error}");
    for sequence in 0..2 {
        let appended = append(&*log, &tp("t", 0), sequenced(5, 0, sequence, 1)).await.expect("in order");
        assert_eq!((appended.base_offset, appended.duplicate), (i64::from(sequence), false));
    }
}

/// LOG-4: a start finds only the file that failed.
#[tokio::test]
async fn what_the_write_ahead_log_failed_to_sync_does_not_come_back_after_a_kill() {
    let disk = MemoryDisk::new();
    let (log, steps) = stepped(&disk).await;
    create(&*log, "t", 1, &[]).await;
    stepped_append(&log, &steps, "first").await.expect("append");
    disk.set_fault(Some(Fault::OneSyncFails));
    stepped_append(&log, &steps, "never was").await.expect_err("the disk does not sync");
    assert_eq!(values_on(&disk.process_kill()).await, ["first"]);
}

/// LOG-1: the system takes the pages of a sync that failed for clean. A start that finds them in memory must not.
#[tokio::test]
async fn what_a_killed_node_failed_to_sync_is_on_disk_after_the_next_start() {
    for changes in 0..40 {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 1, &[]).await;
        for n in 0..5 {
            append(&*log, &tp("t", 0), batch(1, &[&format!("{n}")])).await.expect("append");
        }
        disk.set_fault(Some(Fault::OneSyncFails));
        disk.stop_after(changes);
        let _stopped = log.checkpoint().await;
        let killed = disk.process_kill();
        drop(open(&killed).await);
        let records = read_all(&*open(&killed.power_cut(0)).await, &tp("t", 0)).await;
        assert_dense(&records, 0);
        assert_eq!(records.len(), 5, "LOG-1, stopped after {changes} changes");
    }
}

/// LOG-1: a file was made, the first write to it failed, and the node was closed: no checkpoint has ever had its name.
#[tokio::test]
async fn a_file_that_was_made_and_not_written_is_on_disk_once_it_is_used() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    disk.set_capacity(Some(disk.used()));
    append(&*log, &tp("t", 0), batch(1, &["no room"])).await.expect_err("full");
    disk.set_capacity(None);
    log.close().await.expect("close");
    drop(log);
    let log = open(&disk).await;
    append(&*log, &tp("t", 0), batch(1, &["there"])).await.expect("append");
    log.checkpoint().await.expect("checkpoint");
    let records = read_all(&*open(&disk.power_cut(0)).await, &tp("t", 0)).await;
    assert_eq!(records.len(), 1, "LOG-1");
}

/// LOG-4: a checkpoint brought to disk what then failed to be logged.
#[tokio::test]
async fn what_is_cut_is_cut_on_disk() {
    let disk = MemoryDisk::new();
    let (log, steps) = stepped(&disk).await;
    create(&*log, "t", 1, &[]).await;
    stepped_append(&log, &steps, "first").await.expect("append");
    failed_append(&disk, &log, &steps, "never was", Fault::OneSyncFails).await;
    for cut in 0..4 {
        assert_eq!(values_on(&disk.power_cut(cut)).await, ["first"], "cut {cut}");
    }
}

/// LOG-8: offsets lie outside of the checksum that clients look at.
#[tokio::test]
async fn a_damaged_offset_is_reported_with_its_place() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    for _ in 0..5 {
        append(&*log, &tp("t", 0), batch(1, &["x"])).await.expect("append");
    }
    log.checkpoint().await.expect("checkpoint");
    let killed = disk.process_kill();
    let path = first_segment(&killed);
    let size = batch(1, &["x"]).len();
    killed.tamper(&path, |bytes| bytes[2 * size + 7] ^= 1);
    let log = open(&killed).await;
    let mut next = 0;
    let error = loop {
        match header_at(&log, next).await {
            Ok(header) => {
                assert_eq!(header.base_offset, next, "never served");
                next = header.next_offset();
            }
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), next), (ErrorKind::Corrupt, 2), "{error}");
    assert!(error.message().contains(".log"), "{error}");
}

/// LOG-8: a batch whose offset is damaged may still reach the offset asked for, from before it or from behind.
#[tokio::test]
async fn a_damaged_offset_that_reaches_what_is_asked_for_is_not_served() {
    let records = ["x"; 7];
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    for _ in 0..5 {
        append(&*log, &tp("t", 0), batch(1, &records)).await.expect("append");
    }
    log.checkpoint().await.expect("checkpoint");
    let killed = disk.process_kill();
    let path = first_segment(&killed);
    let (size, damaged) = (batch(1, &records).len(), 21..28);
    for bit in 0..4 {
        let disk = killed.process_kill();
        disk.tamper(&path, |bytes| bytes[3 * size + 7] ^= 1 << bit);
        let log = open(&disk).await;
        // First of all, and again by whoever has read up to there.
        for _ in 0..2 {
            for at in damaged.clone() {
                let error = header_at(&log, at).await.expect_err("never served");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}, offset {at}: {error}");
            }
            for at in (0..21).chain(28..35) {
                let header = header_at(&log, at).await.expect("what is whole is served");
                assert_eq!(header.base_offset, at / 7 * 7, "bit {bit}");
            }
        }
    }
}

/// LOG-4: no room to log it, and then no sync of the cut: whether it is gone nobody knows, and its error says so.
#[tokio::test]
async fn what_may_come_back_is_said_to() {
    for (fault, is_certain) in [(Fault::OneSyncFails, true), (Fault::SyncFails, false)] {
        let disk = MemoryDisk::new();
        let (log, steps) = stepped(&disk).await;
        create(&*log, "t", 1, &[]).await;
        stepped_append(&log, &steps, "first").await.expect("append");
        let kind = failed_append(&disk, &log, &steps, "never was", fault).await.kind();
        assert_eq!(kind, if is_certain { ErrorKind::Storage } else { ErrorKind::OutcomeUnknown });
        let after = values_on(&disk.power_cut(0)).await;
        assert_eq!(after.len(), if is_certain { 1 } else { 2 }, "LOG-4: {after:?}");
        // Once something else has its place it stays away.
        disk.set_fault(None);
        stepped_append(&log, &steps, "other").await.expect("append");
        for cut in 0..4 {
            assert_eq!(values_on(&disk.power_cut(cut)).await, ["first", "other"], "cut {cut}");
        }
    }
}

/// LOG-4: of three batches the disk took two, and what it took could not be cut; a batch of their size comes in the place of the
/// first, and a start must not find the second behind it.
#[tokio::test]
async fn what_a_torn_write_leaves_never_lies_behind_what_comes_next() {
    for is_cut in [true, false] {
        let disk = MemoryDisk::new();
        let (log, steps) = stepped(&disk).await;
        create(&*log, "t", 1, &[]).await;
        stepped_append(&log, &steps, "0").await.expect("append");
        let torn = ["1", "2", "3"].map(|value| log.append(&tp("t", 0), batch(1, &[value]), Append::default()));
        disk.set_capacity(Some(disk.used() + 2 * batch(1, &["1"]).len()));
        // Each batch is written in two parts; the fifth part has no room, and then comes the cut.
        disk.stop_after(if is_cut { 1000 } else { 5 });
        assert!(steps.write());
        for torn in torn {
            let kind = torn.await.expect_err("no room").kind();
            assert_eq!(kind, if is_cut { ErrorKind::DiskFull } else { ErrorKind::OutcomeUnknown });
        }
        let left = values_on(&disk.process_kill()).await;
        assert_eq!(left.len(), if is_cut { 1 } else { 3 }, "LOG-4: {left:?}");
        disk.stop_after(1000);
        disk.set_capacity(None);
        stepped_append(&log, &steps, "4").await.expect("append");
        assert_eq!(values_on(&disk.process_kill()).await, ["0", "4"], "LOG-4");
    }
}

/// A closed log with a topic `t` of which compaction has left a segment with holes; where that is.
async fn with_holes() -> (MemoryDisk, PathBuf) {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &EAGER).await;
    for n in 0..60 {
        let (key, value) = (if n % 3 == 0 { format!("key {n}") } else { "one".to_owned() }, "v".repeat(100));
        append(&*log, &tp("t", 0), keyed(1, &[(&key, Some(&value))])).await.expect("append");
    }
    log.compact().await.expect("compact");
    log.close().await.expect("close");
    let is_compacted = |path: &PathBuf| path.to_str().is_some_and(|path| path.contains('-') && path.ends_with(".log"));
    let path = disk.files().into_iter().filter(|path| path.file_name().is_some_and(|name| is_compacted(&name.into())));
    let path = path.min_by_key(|path| path.file_name().map(ToOwned::to_owned)).expect("there");
    (disk, path)
}

/// Reads `t` batch by batch, with their base offsets and epochs.
async fn headers(log: &EmbeddedLog) -> model::Result<Vec<(i64, i32)>> {
    let (mut next, mut all) = (0, Vec::new());
    while next < log.bounds(&tp("t", 0)).expect("bounds").high_watermark {
        let header = header_at(log, next).await?;
        next = header.next_offset();
        all.push((header.base_offset, header.leader_epoch));
    }
    Ok(all)
}

/// LOG-8: among holes a damaged offset looks like any other; so does an epoch.
#[tokio::test]
async fn a_damaged_offset_in_a_compacted_segment_is_reported_and_not_compacted() {
    let (disk, path) = with_holes().await;
    let whole = headers(&*open(&disk.process_kill()).await).await.expect("read");
    assert!(whole.windows(2).any(|pair| pair[1].0 > pair[0].0 + 1), "there are holes: {whole:?}");
    let mut served = Vec::new();
    // Every bit of the first batch's offset and epoch.
    for (at, bit) in (0..8).chain(12..16).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let damaged = disk.process_kill();
        damaged.tamper(&path, |bytes| bytes[at] ^= 1 << bit);
        let log = open(&damaged).await;
        for round in 0..2 {
            match headers(&log).await {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    assert!(error.message().contains(".log"), "{error}");
                }
                Ok(headers) => served.push((at, bit, round, headers)),
            }
            log.compact().await.ok();
        }
    }
    assert!(served.is_empty(), "LOG-8: {served:?}");
}

/// Segments that an older version compacted have no sum in their names, and are read as they were.
#[tokio::test]
async fn compacted_segments_of_older_versions_are_read() {
    let (disk, path) = with_holes().await;
    let whole = headers(&*open(&disk.process_kill()).await).await.expect("read");
    let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
    let (without, sum) = name.rsplit_once('-').expect("a sum");
    assert_eq!(sum.len(), 8, "{name}");
    disk.rename(&path, &path.with_file_name(format!("{without}.log"))).expect("rename");
    disk.remove_file(&path.with_extension("index")).expect("remove");
    let log = open(&disk).await;
    assert_eq!(headers(&log).await.expect("read"), whole);
    log.compact().await.expect("compact");
    assert_eq!(headers(&log).await.expect("read").last(), whole.last());
}

/// LOG-8: what a damaged batch says of itself decided whether compaction took it away: that it has no records, or another offset.
#[tokio::test]
async fn compaction_makes_nothing_of_a_damaged_batch() {
    // The count's last byte; the base offset's.
    for at in [60, 7] {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 1, &EAGER).await;
        for n in 0..40 {
            // The second one goes, so its segment is written anew.
            let key = if n == 1 { "k05".to_owned() } else { format!("k{n:02}") };
            append(&*log, &tp("t", 0), keyed(1, &[(&key, Some("value"))])).await.expect("append");
        }
        log.close().await.expect("close");
        let path = first_segment(&disk);
        let size = keyed(1, &[("k00", Some("value"))]).len();
        assert!(size < 128, "several fit into a segment");
        disk.tamper(&path, |bytes| bytes[2 * size + at] ^= 1);
        let log = open(&disk).await;
        let _reported = log.compact().await;
        let mut next = 0;
        let damaged = loop {
            match log.read(&tp("t", 0), next, 1, commitlog::Isolation::Uncommitted).await {
                Ok(slice) => {
                    let batch = commitlog::record::Batch::parse(&slice.records).expect("a batch");
                    if batch.check_crc().is_err() {
                        break batch.header.base_offset;
                    }
                    assert_eq!(batch.header.base_offset, next, "LOG-8: never left out or moved");
                    next = batch.header.next_offset();
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => break next,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(damaged, 2, "LOG-8: byte {at}");
    }
}

/// LOG-1: a batch for which a file was made could not be written, and a smaller one went to the file before it: the empty one
/// came to lie in the middle.
#[tokio::test]
async fn a_file_that_was_made_for_nothing_does_not_stand_between_records_and_readers() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[("segment.bytes", "1024")]).await;
    append(&*log, &tp("t", 0), batch(1, &[&"a".repeat(600)])).await.expect("append");
    disk.set_capacity(Some(disk.used()));
    append(&*log, &tp("t", 0), batch(1, &[&"b".repeat(600)])).await.expect_err("no room");
    disk.set_capacity(None);
    log.close().await.expect("close");
    drop(log);
    let log = open(&disk).await;
    for value in ["c".to_owned(), "d".repeat(600), "e".repeat(600)] {
        append(&*log, &tp("t", 0), batch(1, &[&value])).await.expect("append");
    }
    log.close().await.expect("close");
    drop(log);
    for disk in [disk.process_kill(), disk.power_cut(0)] {
        let first: Vec<_> = values_on(&disk).await.iter().map(|value| value[..1].to_owned()).collect();
        assert_eq!(first, ["a", "c", "d", "e"], "LOG-1");
    }
}

/// LOG-10: the name of what a topic had become was not synced, the node was closed, and the next one relied on it.
#[tokio::test]
async fn what_a_closed_node_could_not_name_is_named_before_it_is_relied_on() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    // Its file is made, written, synced and renamed.
    disk.stop_after(4);
    log.create_partitions("t", 2, false).await.expect_err("the name is not synced");
    disk.stop_after(1000);
    log.close().await.expect("close");
    drop(log);
    let disk = disk.process_kill();
    let seen = open(&disk).await.topic("t").expect("there").partitions;
    assert_eq!(open(&disk.power_cut(0)).await.topic("t").expect("there").partitions, seen, "LOG-10");
}

/// LOG-9: a file of the write-ahead log is used again, its new header fails, and what it held before was half overwritten.
#[tokio::test]
async fn wherever_a_group_fails_to_be_logged_the_log_opens() {
    let large = "x".repeat(3000);
    // Five batches to a file; files are free after a checkpoint.
    for (before, changes) in (8..24).flat_map(|before| (0..6).map(move |changes| (before, changes))) {
        let disk = MemoryDisk::new();
        let (log, steps) = stepped(&disk).await;
        create(&*log, "t", 1, &[]).await;
        let append = || {
            let appended = log.append(&tp("t", 0), batch(1, &[&large]), Append::default());
            assert!(steps.write());
            steps.commit();
            appended
        };
        let mut taken = 0;
        for n in 0..before {
            append().await.expect("append");
            taken += 1;
            if n % 6 == 5 {
                steps.checkpoint().expect("nothing is under way").expect("checkpoint");
            }
        }
        disk.stop_after(changes);
        let failed = append();
        disk.stop_after(1000);
        taken += usize::from(failed.await.is_ok());
        append().await.expect("it works again");
        for (cut, disk) in [disk.process_kill(), disk.power_cut(0), disk.power_cut(1)].iter().enumerate() {
            let found = values_on(disk).await.len();
            assert_eq!(found, taken + 1, "{before} before {changes} changes, cut {cut}");
        }
    }
}

/// LOG-10: the mark of a clean close was still there when a topic was made, and the next start took its name for synced.
#[tokio::test]
async fn a_topic_that_a_kill_left_half_made_after_a_clean_close_stays_once_it_was_seen() {
    for changes in 0..12 {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 1, &[]).await;
        log.close().await.expect("close");
        drop(log);
        let log = open(&disk).await;
        disk.stop_after(changes);
        let spec = commitlog::TopicSpec::new(model::TopicName::new("u").expect("legal"), 1);
        let _stopped = log.create_topic(spec, false).await;
        let disk = disk.process_kill();
        let is_seen = open(&disk).await.topic("u").is_some();
        let is_there = open(&disk.power_cut(0)).await.topic("u").is_some();
        assert!(is_there || !is_seen, "LOG-10, stopped after {changes} changes");
    }
}

/// LOG-3: retention moved the start, and the disk did not take it; who then asks for less to be deleted is told of that start.
#[tokio::test]
async fn a_start_that_somebody_was_told_stays() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[("retention.bytes", "2000"), ("segment.bytes", "1024")]).await;
    for n in 0..10 {
        log.append(&tp("t", 0), common::sized(n, 600), Append::default()).await.expect("append");
    }
    disk.set_fault(Some(Fault::SyncFails));
    log.retain().await.expect_err("the checkpoint fails");
    disk.set_fault(None);
    let told = log.delete_records(&tp("t", 0), 1).await.expect("delete");
    assert!(told > 1, "retention had moved it further");
    let after = open(&disk.power_cut(0)).await.bounds(&tp("t", 0)).expect("there");
    assert_eq!(after.log_start, told);
}
