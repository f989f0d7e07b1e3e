//! Whatever happens to a table, in whatever order: its rows are those of a plain list that the same happened to.

use proptest::prelude::*;

use super::{upkeep::*, *};

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    /// Every so manieth row, counted from the oldest.
    Delete(u8),
    Compact,
    Expire(usize),
    /// The process ends and another starts.
    Restart,
    /// A commit dies at this point.
    Die(&'static str),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u8..20).prop_map(Step::Append),
        2 => (2_u8..6).prop_map(Step::Delete),
        2 => Just(Step::Compact),
        1 => (1_usize..4).prop_map(Step::Expire),
        1 => Just(Step::Restart),
        1 => prop_oneof![Just("files"), Just("swap"), Just("answer"), Just("unknown")].prop_map(Step::Die),
        2 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_the_rows_it_should_and_no_file_it_should_not(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(Box::pin(play(&steps)));
    }
}

async fn play(steps: &[Step]) {
    let (mut f, clock) = timed().await;
    f.create_with(&[("commit.manifest.min-count-to-merge", "4"), ("write.metadata.previous-versions-max", "2")]).await;
    let mut model: Vec<i64> = Vec::new();
    let mut next = 0;
    for step in steps {
        clock.advance(Duration::from_secs(1));
        match step {
            Step::Append(count) => {
                let ids = next..next + i64::from(*count);
                next = ids.end;
                f.append(ids.clone()).await;
                model.extend(ids);
            }
            Step::Delete(stride) => {
                let gone: Vec<i64> = model.iter().copied().step_by(usize::from(*stride)).collect();
                if !gone.is_empty() {
                    let base = f.table().await;
                    delete_ids(&f, &base, &gone).await;
                    model.retain(|id| !gone.contains(id));
                }
            }
            Step::Compact => {
                f.maintain(&MaintenancePolicy { snapshots_max: Some(1000), ..eager() }).await;
            }
            Step::Expire(keep) => {
                f.maintain(&MaintenancePolicy { snapshots_max: Some(*keep), small_files_min: 1000, ..eager() }).await;
            }
            Step::Restart => {
                f.tables.catalog().close().await;
                f.tables = open(&f._dir, &f.world).await;
            }
            Step::Die(point) => {
                let ids = next..next + 3;
                next = ids.end;
                let files = f.write(rows(ids.clone())).await;
                let append = Append::new(&*f.table().await, files);
                f.tables.set_failpoint(Some(point));
                let result = f.tables.append(&name(), append).await;
                f.tables.set_failpoint(None);
                assert_eq!(result.is_ok(), *point == "unknown");
                if matches!(*point, "answer" | "unknown") {
                    model.extend(ids);
                }
            }
            Step::Wait => {
                clock.advance(Duration::from_millis(crate::commit::GRACE_MS as u64));
                while f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").more {}
            }
        }
        assert_eq!(f.ids().await, model, "after {step:?}");
        let table = f.table().await;
        if table.current_snapshot().is_some() {
            let records = total(&table, "total-records") - total(&table, "total-position-deletes");
            assert_eq!(records, model.len() as i64, "totals after {step:?}");
        }
    }
    // In the end, upkeep leaves what is needed and nothing else.
    clock.advance(2 * DAY);
    f.maintain(&MaintenancePolicy { remove_orphans: true, ..eager() }).await;
    clock.advance(DAY);
    while f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").more {}
    let stored: std::collections::BTreeSet<String> = f.stored().await.into_iter().collect();
    assert_eq!(stored, needed(&f).await);
    assert_eq!(f.ids().await, model);
}
