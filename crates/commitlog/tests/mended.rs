//! What the simulator found (docs/simulator.md), each as the shortest story that shows it.

use std::{path::Path, sync::Arc};

use commitlog::{Append, EmbeddedLog, Log, LogSettings, Steps};
use model::ErrorKind;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{append, assert_dense, batch, create, read_all, sequenced, tp},
};
use world::{Disk, OpenMode, Tasks, World};

fn settings() -> LogSettings {
    LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 48 << 10, ..LogSettings::default() }
}

async fn open(disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    let world = World { disk: Arc::new(disk.clone()), ..World::real() };
    EmbeddedLog::open(Path::new("/log"), settings(), world).await.expect("open")
}

/// A log whose threads do nothing of themselves.
async fn stepped(disk: &MemoryDisk) -> (Arc<EmbeddedLog>, Arc<Steps>) {
    let world = World { disk: Arc::new(disk.clone()), tasks: Tasks::stepped(), ..World::real() };
    EmbeddedLog::open_stepped(Path::new("/log"), settings(), world).await.expect("open")
}

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
    let world = World { disk: Arc::new(later.process_kill()), ..World::real() };
    let Err(error) = EmbeddedLog::open(Path::new("/log"), settings(), world).await else { panic!("damaged") };
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
        let path = disk.files().into_iter().find(|path| path.ends_with("0/00000000000000000000.log")).expect("there");
        let index = disk.open(&path.with_extension("index"), OpenMode::ReadWrite).expect("open");
        let head = [&b"LHIX"[..], &1u32.to_be_bytes(), &0i64.to_be_bytes(), &entry(0, 0, i64::MIN)].concat();
        index.write_all_at(&[head, entries.concat()].concat(), 0).expect("write");
        let log = open(&disk).await;
        assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), count);
        for offset in 0..count as i64 {
            let slice = log.read(&tp("t", 0), offset, 1, commitlog::Isolation::Uncommitted).await.expect("read");
            let header = commitlog::record::Header::parse(&slice.records).expect("header");
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
    for value in ["first", "never was"] {
        let appended = log.append(&tp("t", 0), batch(1, &[value]), Append::default());
        disk.set_fault((value != "first").then_some(Fault::OneSyncFails));
        assert!(steps.write() && steps.commit());
        assert_eq!(appended.await.is_ok(), value == "first");
    }
    let log = open(&disk.process_kill()).await;
    let values: Vec<_> = read_all(&*log, &tp("t", 0)).await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["first"]);
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
    for value in ["first", "never was"] {
        let appended = log.append(&tp("t", 0), batch(1, &[value]), Append::default());
        assert!(steps.write());
        if value == "first" {
            assert!(steps.commit());
            appended.await.expect("append");
        } else {
            steps.checkpoint().expect("nothing is under way").expect("checkpoint");
            disk.set_fault(Some(Fault::OneSyncFails));
            assert!(steps.commit());
            appended.await.expect_err("the disk does not sync");
        }
    }
    for cut in 0..4 {
        let records = read_all(&*open(&disk.power_cut(cut)).await, &tp("t", 0)).await;
        let values: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["first"], "cut {cut}");
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
    let path = killed.files().into_iter().find(|path| path.ends_with("0/00000000000000000000.log")).expect("there");
    let size = batch(1, &["x"]).len();
    killed.tamper(&path, |bytes| bytes[2 * size + 7] ^= 1);
    let log = open(&killed).await;
    let mut next = 0;
    let error = loop {
        match log.read(&tp("t", 0), next, 1, commitlog::Isolation::Uncommitted).await {
            Ok(slice) => {
                let header = commitlog::record::Header::parse(&slice.records).expect("a batch");
                assert_eq!(header.base_offset, next, "never served");
                next = header.next_offset();
            }
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), next), (ErrorKind::Corrupt, 2), "{error}");
    assert!(error.message().contains(".log"), "{error}");
}
