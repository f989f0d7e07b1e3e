//! LOG-6 whatever happens in whatever order.

use crate::*;

#[derive(Clone, Debug)]
enum Step {
    /// Keys and whether they get a value, in one batch of a producer's transaction or of nobody.
    Write(Vec<(u8, bool)>, Option<u8>, u8),
    End(u8, bool),
    Compact,
    Pass(u32),
    Retain,
    Checkpoint,
    Kill,
    PowerCut(u8),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (
        proptest::collection::vec((0u8..8, proptest::bool::weighted(0.8)), 1..6),
        proptest::option::weighted(0.4, 0u8..3),
        0u8..5,
    );
    prop_oneof![
        30 => write.prop_map(|(records, producer, codec)| Step::Write(records, producer, codec)),
        8 => (0u8..3, any::<bool>()).prop_map(|(producer, commit)| Step::End(producer, commit)),
        5 => Just(Step::Compact),
        3 => (0u32..200_000_000).prop_map(Step::Pass),
        1 => Just(Step::Retain),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Kill),
        1 => any::<u8>().prop_map(Step::PowerCut),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// LOG-6 and LOG-5, whatever comes in whatever order.
    #[test]
    fn the_last_value_per_key_is_kept_whatever_happens(steps in proptest::collection::vec(step(), 1..160), tiny: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        runtime.block_on(run_steps(steps, tiny))?;
    }
}

async fn run_steps(steps: Vec<Step>, tiny: bool) -> Result<(), TestCaseError> {
    let memory = if tiny { 24 * 4 } else { 1 << 20 };
    let settings = LogSettings { compaction_map_bytes: memory, ..settings() };
    let mut house = House::with(settings, &[("delete.retention.ms", "1000"), ("segment.ms", "100000000")]).await;
    let at = tp("t", 0);
    // What committed readers see if nothing is ever compacted, and what transactions would add.
    let mut history: Vec<Seen> = Vec::new();
    let mut open: BTreeMap<u8, Vec<Seen>> = BTreeMap::new();
    let mut sequences = [0i32; 3];
    let codecs = Codec::ALL;
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Write(records, producer, codec) => {
                let mut builder = BatchBuilder::new(codecs[usize::from(codec)]);
                if let Some(producer) = producer {
                    let sequence = &mut sequences[usize::from(producer)];
                    builder = builder.producer(i64::from(producer), 0, *sequence).transactional();
                    *sequence += records.len() as i32;
                }
                let owned: Vec<_> = records
                    .iter()
                    .map(|(key, has_value)| {
                        (format!("{key}"), has_value.then(|| format!("{n} {}", "x".repeat(n % 150))))
                    })
                    .collect();
                let records: Vec<_> = owned.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
                let bytes = keyed_as(builder, house.clock.now_ms(), &records);
                let base = append(&*house.log, &at, bytes).await.expect("append").base_offset;
                let seen = owned.into_iter().enumerate().map(|(i, (key, value))| Seen {
                    offset: base + i as i64,
                    key: key.into_bytes(),
                    value: value.map(String::into_bytes),
                });
                match producer {
                    Some(producer) => open.entry(producer).or_default().extend(seen),
                    None => history.extend(seen),
                }
            }
            Step::End(producer, commit) => {
                if let Some(seen) = open.remove(&producer) {
                    let marker = if commit { Marker::Commit } else { Marker::Abort };
                    end(&*house.log, &at, marker, i64::from(producer), 0).await.expect("end");
                    if commit {
                        history.extend(seen);
                    }
                }
            }
            Step::Compact => house.compact().await,
            Step::Pass(ms) => house.clock.advance(Duration::from_millis(ms.into())),
            Step::Retain => house.log.retain().await.expect("retain"),
            Step::Checkpoint => house.log.checkpoint().await.expect("checkpoint"),
            Step::Kill => house.reopen(house.disk.process_kill()).await,
            Step::PowerCut(seed) => house.reopen(house.disk.power_cut(seed.into())).await,
            Step::Close => {
                house.log.close().await.expect("close");
                house.reopen(house.disk.process_kill()).await;
            }
        }
        if n % 10 == 0 {
            check(&house, &mut history).await?;
        }
    }
    for producer in open.keys().copied().collect::<Vec<_>>() {
        end(&*house.log, &at, Marker::Commit, producer.into(), 0).await.expect("commit");
        history.extend(open.remove(&producer).expect("listed"));
    }
    house.compact().await;
    house.roll().await;
    check(&house, &mut history).await?;
    let keys = last_values(&history).len();
    // The last of each key, and tombstones whose time is not over.
    house.clock.advance(Duration::from_secs(3600));
    house.compact().await;
    check(&house, &mut history).await?;
    prop_assert!(house.seen().await.len() <= keys, "all is compacted");
    Ok(())
}

async fn check(house: &House, history: &mut [Seen]) -> Result<(), TestCaseError> {
    history.sort_by_key(|seen| seen.offset);
    let stable = house.log.bounds(&tp("t", 0)).expect("bounds").last_stable;
    for from in [0, stable / 3, stable.saturating_sub(2)] {
        let before: Vec<_> = history.iter().filter(|seen| (from..stable).contains(&seen.offset)).cloned().collect();
        let after = read_keyed(&*house.log, &tp("t", 0), from).await;
        keeps_the_last_value_per_key(&before, &after).map_err(TestCaseError::fail)?;
    }
    Ok(())
}
