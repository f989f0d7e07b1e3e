//! What is left after the worst moment: torn tails, lost power, stale files, failing disks.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use commitlog::{Append, EmbeddedLog, Log, LogSettings};
use futures::future::join_all;
use model::ErrorKind;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{append, assert_dense, batch, create, read_all, sequenced, tp},
};
use world::{TaskKind, Tasks, World};

fn settings() -> LogSettings {
    LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 48 << 10, ..LogSettings::default() }
}

async fn open_with(disk: &MemoryDisk, settings: LogSettings) -> Arc<EmbeddedLog> {
    let world = World { disk: Arc::new(disk.clone()), ..World::real() };
    EmbeddedLog::open(Path::new("/log"), settings, world).await.expect("open")
}

async fn open(disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    open_with(disk, settings()).await
}

fn numbered(n: usize) -> Bytes {
    batch(1, &[&format!("record {n} {}", "x".repeat(n % 300))])
}

/// LOG-1 under power cuts at random moments, again and again on what the last one left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_acknowledged() {
    for seed in 0..24u64 {
        let mut disk = MemoryDisk::new();
        let mut acknowledged = [0usize; 3];
        for round in 0..4u64 {
            let log = open(&disk).await;
            if round == 0 {
                create(&*log, "t", 3, &[("segment.bytes", "6000")]).await;
            }
            for (partition, count) in acknowledged.iter().enumerate() {
                let records = read_all(&*log, &tp("t", partition as i32)).await;
                assert_dense(&records, 0);
                assert!(records.len() >= *count, "LOG-1: {} of {count} records (seed {seed})", records.len());
                for (offset, value) in &records {
                    assert!(value.starts_with(&format!("record {offset} ")), "{value} at {offset} (seed {seed})");
                }
            }
            // Unacknowledged leftovers may be there; go on behind them.
            let mut ends = [0usize; 3];
            for (partition, end) in ends.iter_mut().enumerate() {
                *end = log.bounds(&tp("t", partition as i32)).expect("bounds").log_end as usize;
            }
            let tasks = Tasks::new();
            let mut waiting = Vec::new();
            for n in 0..150 {
                let partition = (n * 7 + seed as usize) % 3;
                let appended = log.append(&tp("t", partition as i32), numbered(ends[partition]), Append::default());
                ends[partition] += 1;
                if n < 100 {
                    let appended = appended.await.expect("append");
                    acknowledged[partition] = acknowledged[partition].max(appended.base_offset as usize + 1);
                } else {
                    waiting.push(tasks.spawn(TaskKind::Background, async move { drop(appended.await) }));
                }
            }
            tokio::task::yield_now().await;
            disk = disk.power_cut(seed * 10 + round);
            join_all(waiting).await;
        }
    }
}

/// The last batch cut at each of its bytes: all before it stays, nothing of it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_and_nothing_else() {
    let disk = MemoryDisk::new();
    // Relaxed: the segment is all there is.
    let log = open(&disk).await;
    create(&*log, "t", 1, &[("lakehead.unsafe.ack.before.fsync", "true")]).await;
    for n in 0..5 {
        append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
    }
    let last = numbered(5).len();
    append(&*log, &tp("t", 0), numbered(5)).await.expect("append");
    let whole = disk.process_kill();
    let segment = whole.files().into_iter().find(|path| path.extension() == Some("log".as_ref())).expect("a segment");
    for torn in 1..=last {
        let disk = whole.process_kill();
        disk.tamper(&segment, |bytes| bytes.truncate(bytes.len() - torn));
        let log = open(&disk).await;
        let records = read_all(&*log, &tp("t", 0)).await;
        assert_dense(&records, 0);
        assert_eq!(records.len(), 5, "cut {torn} bytes");
        let epoch = log.bounds(&tp("t", 0)).expect("bounds").leader_epoch;
        assert_eq!(epoch, 1, "a start that may have lost something begins a new epoch");
        let end = log.epoch_end(&tp("t", 0), 0).expect("query").expect("known");
        assert_eq!((end.epoch, end.end_offset), (0, 5));
        assert_eq!(append(&*log, &tp("t", 0), numbered(5)).await.expect("append").base_offset, 5);
    }
    // A flipped bit anywhere in it has the same effect.
    for at in (0..last).step_by(7).filter(|at| !(12..16).contains(at)) {
        let disk = whole.process_kill();
        disk.tamper(&segment, |bytes| {
            let from = bytes.len() - last;
            bytes[from + at] ^= 0x10;
        });
        assert_eq!(read_all(&*open(&disk).await, &tp("t", 0)).await.len(), 5, "bit at {at}");
    }
}

/// With the write-ahead log, not even a torn segment loses anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_mends_torn_segments() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    for n in 0..20 {
        append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
    }
    let whole = disk.process_kill();
    let segment = whole.files().into_iter().find(|path| path.extension() == Some("log".as_ref())).expect("a segment");
    let length = whole.clone();
    let mut len = 0;
    length.tamper(&segment, |bytes| len = bytes.len());
    for keep in (0..len).step_by(53) {
        let disk = whole.process_kill();
        disk.tamper(&segment, |bytes| bytes.truncate(keep));
        let records = read_all(&*open(&disk).await, &tp("t", 0)).await;
        assert_dense(&records, 0);
        assert_eq!(records.len(), 20);
    }
}

/// Files of the write-ahead log are used again without being emptied: what they held must never come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_entries_of_a_used_file_are_not_replayed() {
    let disk = MemoryDisk::new();
    let mut disk = disk;
    let mut next = 0;
    for _ in 0..6 {
        let log = open(&disk).await;
        if next == 0 {
            create(&*log, "t", 1, &[]).await;
        }
        // Entries of one size, so that old ones stand exactly where new ones would.
        for _ in 0..120 {
            append(&*log, &tp("t", 0), batch(1, &[&format!("{next:0300}")])).await.expect("append");
            next += 1;
        }
        log.checkpoint().await.expect("checkpoint");
        for _ in 0..3 {
            append(&*log, &tp("t", 0), batch(1, &[&format!("{next:0300}")])).await.expect("append");
            next += 1;
        }
        disk = disk.power_cut(0);
    }
    let records = read_all(&*open(&disk).await, &tp("t", 0)).await;
    assert_dense(&records, 0);
    assert_eq!(records.len(), next);
    assert!(records.iter().all(|(offset, value)| value.parse() == Ok(*offset)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_recovers_without_restart() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 2, &[("segment.bytes", "4000")]).await;
    for n in 0..30 {
        append(&*log, &tp("t", 0), sequenced(5, 0, n, 1)).await.expect("append");
    }
    for (round, limit) in [0, 50, 100, 1000].into_iter().enumerate() {
        disk.set_capacity(Some(disk.used() + limit));
        let before = log.bounds(&tp("t", 0)).expect("bounds").high_watermark as i32;
        let results =
            join_all((0..40).map(|n| log.append(&tp("t", 0), sequenced(5, 0, before + n, 1), Append::default()))).await;
        let accepted = results.iter().take_while(|result| result.is_ok()).count();
        assert!(accepted < 40, "the disk was full at some point");
        let error = results[accepted].as_ref().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert!(results[accepted..].iter().all(|result| result.is_err()), "what follows a failure fails too");
        let end = i64::from(before) + accepted as i64;
        let bounds = log.bounds(&tp("t", 0)).expect("bounds");
        assert_eq!((bounds.high_watermark, bounds.log_end), (end, end), "LOG-4");
        assert_eq!(read_all(&*log, &tp("t", 0)).await.len() as i64, end, "reads go on");
        disk.set_capacity(None);
        for n in 0..30 {
            let appended = append(&*log, &tp("t", 0), sequenced(5, 0, end as i32 + n, 1)).await;
            assert_eq!(appended.expect("there is room again").base_offset, end + i64::from(n), "round {round}");
        }
    }
    let expected = log.bounds(&tp("t", 0)).expect("bounds").log_end;
    let log = open(&disk.power_cut(0)).await;
    let records = read_all(&*log, &tp("t", 0)).await;
    assert_dense(&records, 0);
    assert_eq!(records.len() as i64, expected);
    assert!(records.iter().all(|(offset, value)| *value == format!("5/0/{offset}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_fails_the_appends_and_nothing_of_them_comes_back() {
    for cut in 0..6u64 {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 2, &[]).await;
        for n in 0..10 {
            append(&*log, &tp("t", 0), sequenced(5, 0, n, 1)).await.expect("append");
        }
        disk.set_fault(Some(Fault::SyncFails));
        let failed =
            join_all((10..15).map(|n| log.append(&tp("t", 0), sequenced(5, 0, n, 1), Append::default()))).await;
        assert!(failed.iter().all(|result| result.as_ref().is_err_and(|e| e.kind() == ErrorKind::Storage)));
        assert_eq!(log.bounds(&tp("t", 0)).expect("bounds").log_end, 10, "LOG-4");
        disk.set_fault(None);
        // Other records take the offsets of those that failed.
        for n in 0..4 {
            let appended = append(&*log, &tp("t", 0), batch(1, &[&format!("other {n}")])).await.expect("works again");
            assert_eq!(appended.base_offset, 10 + n);
        }
        append(&*log, &tp("t", 0), sequenced(5, 0, 10, 1)).await.expect("the window did not advance");
        let log = if cut == 5 {
            drop(log);
            open(&disk.process_kill()).await
        } else {
            open(&disk.power_cut(cut)).await
        };
        let values: Vec<_> = read_all(&*log, &tp("t", 0)).await.into_iter().map(|r| r.1).collect();
        let mut expected: Vec<_> = (0..10).map(|n| format!("5/0/{n}")).collect();
        expected.extend((0..4).map(|n| format!("other {n}")));
        expected.push("5/0/10".to_owned());
        assert_eq!(values, expected, "cut {cut}");
    }
}

/// After a failed fsync the system believes its pages clean: the next checkpoint must not free the write-ahead log on the
/// strength of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_fails_loses_nothing_when_the_next_succeeds() {
    for cut in 0..6u64 {
        let disk = MemoryDisk::new();
        let log = open(&disk).await;
        create(&*log, "t", 2, &[]).await;
        for n in 0..30 {
            append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
        }
        disk.set_fault(Some(Fault::SyncFails));
        let error = log.checkpoint().await.expect_err("the disk does not sync");
        assert_eq!(error.kind(), ErrorKind::Storage);
        disk.set_fault(None);
        for n in 30..40 {
            append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
        }
        log.checkpoint().await.expect("works again");
        let log = open(&disk.power_cut(cut)).await;
        let records = read_all(&*log, &tp("t", 0)).await;
        assert_dense(&records, 0);
        assert_eq!(records.len(), 40, "LOG-1, cut {cut}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_before_the_synced_point_is_reported_not_cut() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[]).await;
    for n in 0..50 {
        append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
    }
    log.checkpoint().await.expect("checkpoint");
    append(&*log, &tp("t", 0), numbered(50)).await.expect("append");
    let disk = disk.process_kill();
    let segment = disk.files().into_iter().find(|path| path.extension() == Some("log".as_ref())).expect("a segment");
    // Cut in the middle of what was synced.
    disk.tamper(&segment, |bytes| bytes.truncate(2000));
    let log = open(&disk).await;
    let bounds = log.bounds(&tp("t", 0)).expect("bounds");
    assert_eq!(bounds.log_end, 51, "offsets are not used again");
    log.read(&tp("t", 0), 0, 100).await.expect("what is whole can be read");
    let error = log.read(&tp("t", 0), 40, 100).await.expect_err("what is missing is an error");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains(".log"), "it names the place: {error}");
    assert!(!log.read(&tp("t", 0), 50, 100).await.expect("what came after").records.is_empty());
    assert_eq!(append(&*log, &tp("t", 0), numbered(51)).await.expect("append").base_offset, 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_or_wrong_index_changes_nothing() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1, &[("segment.bytes", "20000")]).await;
    for n in 0..400 {
        append(&*log, &tp("t", 0), numbered(n)).await.expect("append");
    }
    log.close().await.expect("close");
    drop(log);
    for damage in 0..3 {
        let disk = disk.process_kill();
        for index in disk.files().into_iter().filter(|path| path.extension() == Some("index".as_ref())) {
            disk.tamper(&index, |bytes| match damage {
                0 => bytes.clear(),
                1 => bytes.truncate(bytes.len() / 2),
                _ => bytes.iter_mut().skip(40).step_by(11).for_each(|b| *b = b.wrapping_add(3)),
            });
        }
        let log = open(&disk).await;
        for offset in (0..400).rev().step_by(13) {
            let slice = log.read(&tp("t", 0), offset, 1).await.expect("read");
            let header = commitlog::record::Header::parse(&slice.records).expect("header");
            assert_eq!(header.base_offset, offset);
        }
        assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), 400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_opens_without_a_new_epoch_or_lost_producers() {
    let disk = MemoryDisk::new();
    let log = open(&disk).await;
    create(&*log, "t", 1000, &[]).await;
    for partition in 0..1000 {
        append(&*log, &tp("t", partition), sequenced(3, 0, 0, 2)).await.expect("append");
    }
    log.close().await.expect("close");
    let refused = append(&*log, &tp("t", 0), batch(1, &["x"])).await.expect_err("closed");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(log);
    let log = open(&disk).await;
    for partition in (0..1000).step_by(100) {
        let bounds = log.bounds(&tp("t", partition)).expect("bounds");
        assert_eq!((bounds.leader_epoch, bounds.high_watermark), (0, 2));
        assert!(append(&*log, &tp("t", partition), sequenced(3, 0, 0, 2)).await.expect("repeat").duplicate);
        assert_eq!(append(&*log, &tp("t", partition), sequenced(3, 0, 2, 1)).await.expect("next").base_offset, 2);
        assert_eq!(read_all(&*log, &tp("t", partition)).await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fsync_serves_all_partitions() {
    let disk = MemoryDisk::new();
    let log = open_with(&disk, LogSettings { wal_file_bytes: 8 << 20, ..LogSettings::default() }).await;
    create(&*log, "t", 1000, &[]).await;
    append(&*log, &tp("t", 0), batch(1, &["x"])).await.expect("the first one begins the file");
    let before = disk.syncs();
    join_all((0..1000).map(|n| log.append(&tp("t", n), batch(1, &["x"]), Append::default()))).await;
    let syncs = disk.syncs() - before;
    assert!(syncs < 200, "{syncs} syncs for 1000 partitions");
}

#[tokio::test]
async fn a_directory_has_one_node() {
    let disk = MemoryDisk::new();
    let _log = open(&disk).await;
    let world = World { disk: Arc::new(disk.clone()), ..World::real() };
    let Err(error) = EmbeddedLog::open(Path::new("/log"), settings(), world).await else { panic!("two nodes") };
    assert_eq!(error.code().name, "LH0009");
}
