//! Power cuts and readers in the middle of a run.

use crate::*;

/// Power is lost at every step of a run: what is there afterwards is the old or the new, for the whole of each segment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_at_any_step_leave_the_old_or_the_new() {
    let house = House::with(settings(), &[("delete.retention.ms", "0")]).await;
    house.fill(60, 7).await;
    house.put("key 3", None).await;
    house.fill(60, 5).await;
    house.log.checkpoint().await.expect("checkpoint");
    let before = house.seen().await;
    let base = house.disk.process_kill();
    let (mut steps, mut changed) = (0, 0);
    for step in 0.. {
        let disk = base.process_kill();
        let log = open(&house.clock, &disk, &house.settings).await;
        disk.stop_after(step);
        let compacted = log.compact().await;
        let is_over = !disk.has_stopped();
        let cuts: Vec<_> = (0..3).map(|cut| disk.power_cut(step * 3 + cut)).chain([disk.process_kill()]).collect();
        for (cut, disk) in cuts.into_iter().enumerate() {
            let log = open(&house.clock, &disk, &house.settings).await;
            let after = read_keyed(&*log, &tp("t", 0), 0).await;
            keeps_the_last_value_per_key(&before, &after).unwrap_or_else(|why| panic!("step {step}, cut {cut}: {why}"));
            changed += usize::from(after != before);
            // It goes on from there.
            assert_eq!(
                append(&*log, &tp("t", 0), keyed(NOW, &[("x", Some("y"))])).await.expect("append").base_offset,
                121
            );
            log.compact().await.expect("compact");
            log.close().await.expect("close");
            let log = open(&house.clock, &disk.power_cut(cut as u64), &house.settings).await;
            let mut again = read_keyed(&*log, &tp("t", 0), 0).await;
            assert_eq!(again.pop().map(|seen| seen.offset), Some(121));
            keeps_the_last_value_per_key(&before, &again).unwrap_or_else(|why| panic!("step {step}, cut {cut}: {why}"));
            assert!(again.len() < 25, "{} are left", again.len());
            let left = disk.files().into_iter().filter(|path| path.extension() == Some("cleaned".as_ref())).count();
            assert_eq!(left, 0, "nothing is left over");
        }
        steps += 1;
        if is_over {
            compacted.expect("nothing failed");
            break;
        }
    }
    assert!(steps > 8, "only {steps} steps: the disk counts something else");
    assert!(changed > 0, "some were cut after the change");
}

/// LOG-1 and LOG-6 when power is lost at random moments, with appends on their way and segments being replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_while_it_compacts_lose_nothing_acknowledged() {
    for seed in 0..10u64 {
        let mut house = House::new().await;
        // Of each key the last number that was acknowledged, and the next to be written.
        let (mut acknowledged, mut next) = ([0u64; 5], [1u64; 5]);
        for round in 0..4 {
            let compacting = {
                let log = house.log.clone();
                let compact = async move { while log.compact().await.is_ok() {} };
                #[expect(clippy::disallowed_methods, reason = "a test of its own runtime")]
                tokio::spawn(compact)
            };
            for n in 0..120 {
                let key = (n * 7 + seed as usize) % 5;
                let value = format!("{} {}", next[key], "x".repeat(n));
                let appended =
                    house.log.append(&tp("t", 0), keyed(NOW, &[(&format!("{key}"), Some(&value))]), Append::default());
                if n < 110 {
                    appended.await.expect("append");
                    acknowledged[key] = next[key];
                }
                next[key] += 1;
            }
            let disk = house.disk.power_cut(seed * 4 + round);
            compacting.abort();
            house.reopen(disk).await;
            let last = last_values(&house.seen().await);
            for key in 0..5 {
                let value = &last[format!("{key}").as_bytes()];
                let number: u64 =
                    String::from_utf8_lossy(value).split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
                assert!(
                    (acknowledged[key]..next[key]).contains(&number),
                    "LOG-1: {number}, seed {seed}, round {round}"
                );
            }
        }
        house.compact().await;
        assert!(house.seen().await.len() < 30);
    }
}

/// Readers go on while segments are replaced under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_in_flight_see_the_old_or_the_new() {
    let house = Arc::new(House::new().await);
    let readers: Vec<_> = (0..3)
        .map(|from| {
            let house = house.clone();
            house.clone().log_reader(from)
        })
        .collect();
    for round in 0..40 {
        house.fill(60, 6).await;
        let builder = BatchBuilder::new(Codec::None).producer(round, 0, 0).transactional();
        let aborted = keyed_as(builder, NOW, &[("aborted", Some("never seen"))]);
        append(&*house.log, &tp("t", 0), aborted).await.expect("append");
        end(&*house.log, &tp("t", 0), Marker::Abort, round, 0).await.expect("abort");
        house.compact().await;
        house.clock.advance(Duration::from_secs(26 * 3600));
        house.log.retain().await.expect("retain");
    }
    for reader in readers {
        reader.await.expect("no reader fails");
    }
}

impl House {
    fn log_reader(self: Arc<Self>, from: i64) -> tokio::task::JoinHandle<()> {
        #[expect(clippy::disallowed_methods, reason = "a test of its own runtime")]
        tokio::spawn(async move {
            for _ in 0..60 {
                let seen = read_keyed(&*self.log, &tp("t", 0), from).await;
                assert!(seen.is_sorted_by(|a, b| a.offset < b.offset));
                assert!(seen.iter().all(|seen| seen.key != b"aborted"), "LOG-5");
                tokio::task::yield_now().await;
            }
        })
    }
}
