//! What a start relies on: names, indexes and bytes that the node before it may not have brought to disk.

mod common;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use commitlog::{Append, Log, LogSettings};
use futures::future::try_join_all;
use model::ErrorKind;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{append, assert_dense, create, read_all, sequenced, tp},
};
use world::{Disk, OpenMode};

use common::{first_segment, header_at, numbered, open, open_with, settings, sized, try_open};

/// The active segment's index file is that of batches which have been cut since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_of_other_batches_neither_stops_a_start_nor_misleads_a_reader() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    for n in 0..400 {
        append(&*log, &tp("t", 0), sized(n, 1000)).await.expect("append");
    }
    log.checkpoint().await.expect("saves the index");
    log.close().await.expect("close");
    drop(log);
    for which in 0..2 {
        let disk = disk.process_kill();
        disk.tamper(&first_segment(&disk).with_extension("index"), |bytes| {
            let entries = (bytes.len() - 16) / 16;
            let wrong = if which == 0 { entries - 1 } else { entries / 2 };
            // Not where a batch begins, and the order holds.
            bytes[16 + 16 * wrong + 7] ^= 1;
        });
        let log = open(&disk).await;
        assert_eq!(append(&*log, &tp("t", 0), sized(400, 1000)).await.expect("append").base_offset, 400);
        for offset in (0..=400).rev().step_by(7) {
            let header = header_at(&log, offset).await.expect("read");
            assert_eq!(header.base_offset, offset);
        }
    }
}

/// What recovery finds in the page cache counts as durable only when a checkpoint has brought it to disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_or_repeated_until_a_start_after_a_crash_has_had_its_checkpoint() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    append(&*log, &tp("t", 0), sequenced(5, 0, 0, 1)).await.expect("append");
    let disk = disk.process_kill();
    disk.set_fault(Some(Fault::SyncFails));
    // Not even names can be brought to disk: then it does not open; else it opens and takes nothing.
    if let Ok(log) = try_open(&disk).await {
        let refused =
            append(&*log, &tp("t", 0), sequenced(5, 0, 0, 1)).await.expect_err("a repeat is an acknowledgement");
        assert_eq!(refused.kind(), ErrorKind::Storage, "{refused}");
    }
    disk.set_fault(None);
    let disk = disk.process_kill();
    disk.set_capacity(Some(disk.used()));
    let log = open(&disk).await;
    let refused = append(&*log, &tp("t", 0), sequenced(5, 0, 0, 1)).await.expect_err("a repeat is an acknowledgement");
    assert_eq!(refused.kind(), ErrorKind::Storage, "{refused}");
    assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), 1, "reads go on");
    disk.set_capacity(None);
    let mut tries = 0;
    while append(&*log, &tp("t", 0), sequenced(5, 0, 1, 1)).await.is_err() {
        tries += 1;
        assert!(tries < 1000, "it is tried again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_does_not_reach_the_disk_leaves_a_topic_that_works() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    append(&*log, &tp("t", 0), numbered(0)).await.expect("append");
    disk.set_fault(Some(Fault::SyncFails));
    log.delete_topic("t").await.expect_err("the disk does not sync");
    disk.set_fault(None);
    append(&*log, &tp("t", 0), numbered(1)).await.expect("append");
    let log = open(&disk.process_kill()).await;
    assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), 2, "LOG-1");
    log.delete_topic("t").await.expect("works again");
    assert!(log.topic("t").is_none());
}

/// Only files whose sync failed have to be written again; the others may be large, and the disk full or ill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_fails_for_another_reason_writes_no_segment_again() {
    let disk = MemoryDisk::new();
    let large = LogSettings { checkpoint_bytes: 64 << 20, wal_file_bytes: 1 << 20, ..LogSettings::default() };
    let log = open_with(&disk, large).await;
    create(&*log, "t", 1, &[]).await;
    for n in 0..200 {
        append(&*log, &tp("t", 0), sized(n, 1000)).await.expect("append");
    }
    log.checkpoint().await.expect("the first one is made with the first append");
    for n in 200..400 {
        append(&*log, &tp("t", 0), sized(n, 1000)).await.expect("append");
    }
    disk.set_capacity(Some(disk.used()));
    let before = disk.written();
    log.checkpoint().await.expect_err("there is no room for it");
    assert!(disk.written() - before < 100_000, "{} bytes", disk.written() - before);
}

/// Killed while it made a file for the write-ahead log: the next start finds the file, its name is not on disk yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_a_kill_left_half_made_are_not_relied_on() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    append(&*log, &tp("t", 0), numbered(0)).await.expect("append");
    let spare = disk.open(Path::new("/log/wal/100.wal"), OpenMode::ReadWrite).expect("make");
    spare.allocate(settings().wal_file_bytes).expect("allocate");
    let killed = disk.process_kill();
    let log = open(&killed).await;
    append(&*log, &tp("t", 0), numbered(1)).await.expect("append");
    let log = open(&killed.power_cut(0)).await;
    assert_dense(&read_all(&*log, &tp("t", 0)).await, 0);
    assert_eq!(log.bounds(&tp("t", 0)).expect("bounds").log_end, 2, "LOG-1");
}

/// Killed when a topic's new file was there and its name was not on disk yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_a_kill_left_half_made_are_whole_once_they_are_seen() {
    let mut seen = 0;
    for changes in 0..12 {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 1, &[]).await;
        disk.stop_after(changes);
        let made = log.create_partitions("t", 2, false).await;
        let killed = disk.process_kill();
        let log = open(&killed).await;
        let partitions = log.topic("t").expect("there").partitions;
        if made.is_err() && partitions == 2 {
            seen += 1;
            append(&*log, &tp("t", 1), numbered(0)).await.expect("append");
            let log = open(&killed.power_cut(0)).await;
            assert_eq!(log.bounds(&tp("t", 1)).expect("bounds").log_end, 1, "LOG-1");
        }
    }
    assert!(seen > 0, "no kill came between the file and its name");
}

/// A tail that is cut at a start stays cut, also if nothing is written behind it before the power goes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_start_has_cut_does_not_come_back() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[("segment.bytes", "2000")]).await;
    for n in 0..6 {
        append(&*log, &tp("t", 0), sized(n, 100)).await.expect("append");
    }
    log.checkpoint().await.expect("checkpoint");
    drop(log);
    let disk = disk.process_kill();
    let segment = first_segment(&disk);
    // Room that a batch was about to be written to, on disk without it.
    let file = disk.open(&segment, OpenMode::ReadWrite).expect("open");
    file.write_all_at(&[0; 300], file.len().expect("length")).expect("write");
    file.sync_data().expect("sync");
    let log = open(&disk).await;
    let disk = disk.power_cut(0);
    drop(log);
    let log = open(&disk).await;
    // Large: it goes to a segment of its own, and nothing makes the first one longer.
    append(&*log, &tp("t", 0), sized(6, 1800)).await.expect("append");
    assert_dense(&read_all(&*log, &tp("t", 0)).await, 0);
    let whole = disk.power_cut(0);
    drop(log);
    let log = open(&whole).await;
    assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), 7);
    let length = whole.open(&segment, OpenMode::Read).and_then(|file| file.len()).expect("length");
    assert!(length < 1200, "{length} bytes: the tail is back");
}

/// What recovery finds and its checkpoint brings to disk go side by side over so many partitions: none may be left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_partitions_a_start_brings_all_that_it_finds_to_disk() {
    const PARTITIONS: i32 = 200;
    // No checkpoint is due by itself.
    let settings = LogSettings {
        wal_file_bytes: 1 << 20,
        checkpoint_bytes: 64 << 20,
        checkpoint_interval: Duration::from_secs(3600),
        ..LogSettings::default()
    };
    // Some have nothing, some several segments.
    let acknowledged = |partition: i32| (partition % 7 * 3) as usize;
    let holds = async |disk: &MemoryDisk, more: usize| {
        let log = open_with(disk, settings.clone()).await;
        for partition in 0..PARTITIONS {
            let records = read_all(&*log, &tp("t", partition)).await;
            assert_dense(&records, 0);
            assert_eq!(records.len(), acknowledged(partition) + more, "LOG-1, partition {partition}");
            for (offset, value) in &records {
                assert!(value.starts_with(&format!("record {offset} ")), "{value} at {offset} of {partition}");
            }
        }
        log
    };
    let disk = MemoryDisk::new();
    let log = open_with(&disk, settings.clone()).await;
    create(&*log, "t", PARTITIONS, &[("segment.bytes", "2000")]).await;
    for n in 0..acknowledged(6) {
        let with_more = (0..PARTITIONS).filter(|partition| acknowledged(*partition) > n);
        let appended = with_more.map(|partition| log.append(&tp("t", partition), sized(n, n * 20), Append::default()));
        try_join_all(appended).await.expect("append");
    }
    let killed = disk.process_kill();
    let is_segment = |path: &PathBuf| path.extension() == Some("log".as_ref());
    assert!(!killed.power_cut(0).files().iter().any(is_segment), "the write-ahead log alone has it on disk");
    let log = holds(&killed, 0).await;
    let recovered = killed.power_cut(0);
    for partition in 0..PARTITIONS {
        let n = acknowledged(partition);
        let appended = append(&*log, &tp("t", partition), numbered(n)).await.expect("append");
        assert_eq!(appended.base_offset as usize, n, "partition {partition}");
    }
    // The start has freed the write-ahead log: what it found is in the segments or nowhere.
    holds(&recovered, 0).await;
    holds(&killed.power_cut(0), 1).await;
}
