//! What is left after the worst moment: torn tails, lost power, stale files, failing disks.

mod common;

use std::{path::Path, sync::Arc};

use commitlog::{Append, EmbeddedLog, Isolation, Log, LogSettings, record::Marker};
use futures::future::join_all;
use model::ErrorKind;
use testkit::{
    Fault, MemoryDisk,
    log_conformance::{
        append, assert_dense, batch, create, end, read_all, read_committed, sequenced, tp, transactional,
    },
};
use world::{ManualClock, TaskKind, Tasks, World};

use common::{DIR, first_segment, header_at, numbered, on, open, open_with, settings, sized, try_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_acknowledged() {
    for seed in 0..24u64 {
        cut_power(seed, settings(), "6000", |n| n % 300).await;
    }
}

/// The same where some batches are worth a sync of their segment and others go through the write-ahead log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_that_was_synced_in_place() {
    let settings = LogSettings { wal_file_bytes: 256 << 10, checkpoint_bytes: 512 << 10, ..LogSettings::default() };
    for seed in 0..12u64 {
        cut_power(seed, settings.clone(), "800000", |n| if n % 4 == 0 { n % 300 } else { (72 << 10) + n % 5000 }).await;
    }
}

/// LOG-1 under power cuts at random moments, again and again on what the last one left.
async fn cut_power(seed: u64, settings: LogSettings, segment_bytes: &str, bytes_of: impl Fn(usize) -> usize) {
    let mut disk = MemoryDisk::new();
    let mut acknowledged = [0usize; 3];
    for round in 0..4u64 {
        let log = open_with(&disk, settings.clone()).await;
        if round == 0 {
            create(&*log, "t", 3, &[("segment.bytes", segment_bytes)]).await;
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
            let bytes = sized(ends[partition], bytes_of(ends[partition]));
            let appended = log.append(&tp("t", partition as i32), bytes, Append::default());
            ends[partition] += 1;
            if n < 100 {
                let appended = appended.await.expect("append");
                acknowledged[partition] = acknowledged[partition].max(appended.base_offset as usize + 1);
            } else {
                waiting.push(tasks.spawn(TaskKind::Background, async move { drop(appended.await) }));
            }
        }
        tokio::task::yield_now().await;
        // What a kill leaves half done is there at the next start, and gone with the power after it.
        disk = if seed % 3 == round % 3 { disk.process_kill() } else { disk.power_cut(seed * 10 + round) };
        join_all(waiting).await;
    }
}

/// LOG-5 under power cuts: what transactions left is the same after each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_leave_transactions_as_they_were() {
    for seed in 0..16u64 {
        let mut disk = MemoryDisk::new();
        let at = tp("t", 0);
        let mut visible: Vec<String> = Vec::new();
        // Of each producer: its next sequence, and what it has written since it last committed or aborted.
        let mut producers: [(i32, Vec<String>); 3] = Default::default();
        let mut random = seed;
        for round in 0..5u64 {
            let log = open(&disk).await;
            if round == 0 {
                create(&*log, "t", 1, &[("segment.bytes", "6000")]).await;
            }
            for n in 0..60 {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let (choice, pid) = ((random >> 33) % 5, ((random >> 40) % 3) as i64);
                let (sequence, pending) = &mut producers[pid as usize];
                match choice {
                    0 if !pending.is_empty() => {
                        end(&*log, &at, Marker::Commit, pid, 0).await.expect("commit");
                        visible.append(pending);
                    }
                    1 if !pending.is_empty() => {
                        end(&*log, &at, Marker::Abort, pid, 0).await.expect("abort");
                        pending.clear();
                    }
                    _ => {
                        let value = format!("{pid} {round} {n} {}", "x".repeat((random >> 50) as usize % 900));
                        append(&*log, &at, transactional(pid, 0, *sequence, &value)).await.expect("append");
                        *sequence += 1;
                        pending.push(value);
                    }
                }
            }
            if seed % 4 == round % 4 {
                log.checkpoint().await.expect("checkpoint");
            }
            disk = disk.power_cut(seed * 10 + round);
        }
        let log = open(&disk).await;
        for (pid, (_, pending)) in producers.iter_mut().enumerate() {
            if !pending.is_empty() {
                end(&*log, &at, Marker::Commit, pid as i64, 0).await.expect("commit");
                visible.append(pending);
            }
        }
        let mut seen: Vec<_> = read_committed(&*log, &at).await.into_iter().map(|(_, value)| value).collect();
        seen.sort();
        visible.sort();
        assert_eq!(seen, visible, "seed {seed}");
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
    let segment = first_segment(&whole);
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
    let segment = first_segment(&whole);
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
        let mut results = Vec::new();
        // As many in flight as a client may have.
        while results.len() < 40 && results.iter().all(Result::is_ok) {
            let next = before + results.len() as i32;
            let wave = (next..next + 5).map(|n| log.append(&tp("t", 0), sequenced(5, 0, n, 1), Append::default()));
            results.extend(join_all(wave).await);
        }
        let accepted = results.iter().take_while(|result| result.is_ok()).count();
        assert!(accepted < results.len(), "the disk was full at some point");
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
        // Nothing can be synced, so nobody knows that they are gone.
        assert!(failed[0].as_ref().is_err_and(|e| e.kind() == ErrorKind::OutcomeUnknown), "{failed:?}");
        assert!(failed.iter().all(Result::is_err), "what follows a failure fails too, for that or for its sequence");
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

const LARGE: usize = 80 << 10;

/// A log with a topic `t` whose partition 0 is synced in place from here on, and how many records it holds.
async fn in_place(disk: &MemoryDisk) -> (Arc<EmbeddedLog>, usize) {
    // By this clock the disk takes no time, however busy the machine is: a sync is cheap.
    let world = World { clock: Arc::new(ManualClock::at(1)), ..on(disk) };
    let settings = LogSettings { wal_file_bytes: 128 << 10, ..LogSettings::default() };
    let log = EmbeddedLog::open(Path::new(DIR), settings, world).await.expect("open");
    create(&*log, "t", 2, &[]).await;
    append(&*log, &tp("t", 0), sized(0, LARGE)).await.expect("append");
    log.checkpoint().await.expect("checkpoint");
    (log, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_for_one_partition_is_written_once_and_little_twice() {
    let disk = MemoryDisk::new();
    let (log, _) = in_place(&disk).await;
    for bytes in [LARGE, 1000] {
        let before = disk.written();
        for n in 0..200 {
            append(&*log, &tp("t", 0), sized(n, bytes)).await.expect("append");
        }
        // Spare files of the write-ahead log are written, too, before they are used.
        let times = (disk.written() - before) as f64 / (200 * bytes) as f64;
        assert!(if bytes == LARGE { times < 1.1 } else { times > 2.0 }, "{bytes} bytes were written {times:.2} times");
    }
}

/// Of two syncs of a file that failed, the system tells one: no other may take the file for synced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_synced_in_place_is_logged_and_survives() {
    for cut in 0..12u64 {
        let disk = MemoryDisk::new();
        let (log, mut count) = in_place(&disk).await;
        for round in 0..3 {
            // Until a checkpoint has mended the segment, all goes through the write-ahead log.
            if cut % 3 >= round {
                disk.set_fault(Some(Fault::OneSyncFails));
            }
            for bytes in [LARGE, 100, LARGE] {
                let appended = append(&*log, &tp("t", 0), sized(count, bytes)).await.expect("the log takes it");
                assert_eq!(appended.base_offset as usize, count);
                count += 1;
            }
            if cut % 3 > round {
                // The first one finds that the segment is not what the system takes it for, and writes it again.
                if log.checkpoint().await.is_err() {
                    log.checkpoint().await.expect("and now it is");
                }
            }
        }
        let log = open(&disk.power_cut(cut)).await;
        let records = read_all(&*log, &tp("t", 0)).await;
        assert_dense(&records, 0);
        assert_eq!(records.len(), count, "LOG-1, cut {cut}");
        assert!(records.iter().all(|(offset, value)| value.starts_with(&format!("record {offset} "))));
    }
}

/// A log that failed may hold what was never acknowledged: it must be void before other records take its offsets in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_in_the_log_does_not_replace_what_was_synced_in_place() {
    for cut in 0..12u64 {
        let disk = MemoryDisk::new();
        let (log, count) = in_place(&disk).await;
        disk.set_fault(Some(Fault::SyncFails));
        append(&*log, &tp("t", 0), batch(1, &["never was"])).await.expect_err("the disk does not sync");
        disk.set_fault(None);
        for n in count..count + 3 {
            append(&*log, &tp("t", 0), sized(n, LARGE)).await.expect("append");
        }
        // What failed to be synced may be on the disk all the same.
        let disk = if cut % 2 == 0 { disk.process_kill() } else { disk.power_cut(cut) };
        let log = open(&disk).await;
        let records = read_all(&*log, &tp("t", 0)).await;
        assert_eq!(records.len(), count + 3, "LOG-1, cut {cut}");
        assert!(
            records.iter().all(|(offset, value)| value.starts_with(&format!("record {offset} "))),
            "LOG-4, cut {cut}"
        );
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
    let segment = first_segment(&disk);
    // Cut in the middle of what was synced.
    disk.tamper(&segment, |bytes| bytes.truncate(2000));
    let log = open(&disk).await;
    let bounds = log.bounds(&tp("t", 0)).expect("bounds");
    assert_eq!(bounds.log_end, 51, "offsets are not used again");
    log.read(&tp("t", 0), 0, 100, Isolation::Uncommitted).await.expect("what is whole can be read");
    let error = log.read(&tp("t", 0), 40, 100, Isolation::Uncommitted).await.expect_err("what is missing is an error");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains(".log"), "it names the place: {error}");
    assert!(!log.read(&tp("t", 0), 50, 100, Isolation::Uncommitted).await.expect("what came after").records.is_empty());
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
            let header = header_at(&log, offset).await.expect("read");
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

/// Numbers of the write-ahead log jump between starts: a kill before the first checkpoint of a start finds both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_closed_opened_and_killed_opens_again() {
    for cut in 0..4 {
        let mut disk = MemoryDisk::new();
        for round in 0..4 {
            let log = open(&disk).await;
            if round == 0 {
                create(&*log, "t", 1, &[]).await;
            }
            assert_eq!(read_all(&*log, &tp("t", 0)).await.len(), round, "LOG-1, round {round}, cut {cut}");
            append(&*log, &tp("t", 0), numbered(round)).await.expect("append");
            // Until there is a spare file, which the next start takes first.
            while disk.files().iter().filter(|path| path.extension() == Some("wal".as_ref())).count() < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            if round % 2 == 0 {
                log.close().await.expect("close");
            }
            disk = if cut == 0 { disk.process_kill() } else { disk.power_cut(cut) };
        }
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
    let Err(error) = try_open(&disk).await else { panic!("two nodes") };
    assert_eq!(error.code().name, "LH0009");
}
