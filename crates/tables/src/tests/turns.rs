//! Turns: who waits for whom, and what upkeep hears of.

use super::*;
use crate::{SweepReport, commit::GRACE_MS, tests::upkeep::timed};

/// Whether `turn` comes without anybody letting go.
async fn comes<T>(turn: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(20), turn).await.is_ok()
}

#[tokio::test]
async fn who_lost_runs_alone_and_who_lost_twice_holds_appends_back() {
    let f = fixture().await;
    let tables = &f.tables;
    let first = tables.turn_to_change(&name(), 0).await;
    assert!(comes(tables.turn_to_change(&name(), 0)).await, "at first nobody waits");
    assert!(!comes(tables.turn_to_change(&name(), 1)).await);
    drop(first);
    let second = tables.turn_to_change(&name(), 1).await;
    assert!(!comes(tables.turn_to_change(&name(), 0)).await);
    assert!(comes(tables.turn_to_append(&name())).await);
    assert!(comes(tables.turn_to_change(&TableName::public("other"), 1)).await, "turns are those of one table");
    drop(second);
    let third = tables.turn_to_change(&name(), 2).await;
    assert!(!comes(tables.turn_to_append(&name())).await);
    drop(third);
    assert!(comes(tables.turn_to_append(&name())).await);
}

#[tokio::test]
async fn compaction_leaves_a_table_whose_rows_are_being_changed() {
    let f = fixture().await;
    f.create().await;
    f.append(0..5).await;
    let base = f.append(5..10).await;
    let policy = MaintenancePolicy { patience: Duration::from_millis(5), ..eager() };
    let turn = f.tables.turn_to_change(&name(), 0).await;
    let report = f.maintain(&policy).await;
    assert!(report.yielded && report.files_compacted == 0, "{report:?}");
    delete(&f, &base, &[3, 7], true).await.expect("nothing got in the way");
    drop(turn);
    let report = f.maintain(&policy).await;
    assert!(!report.yielded && report.files_compacted == 2, "{report:?}");
    assert_eq!(f.ids().await, [0, 1, 2, 4, 5, 6, 8, 9]);
}

#[tokio::test]
async fn many_deletes_of_few_rows_become_none() {
    let f = fixture().await;
    f.create().await;
    f.append(0..1000).await;
    for id in 0..8 {
        let base = f.table().await;
        delete(&f, &base, &[id], true).await.expect("delete");
    }
    let report = f.maintain(&MaintenancePolicy::default()).await;
    assert_eq!((report.files_compacted, report.files_written), (1, 1));
    assert!(f.live(DataContentType::PositionDeletes).await.is_empty());
    assert_eq!(f.ids().await, (8..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_compaction_leaves_one_manifest_in_place_of_many() {
    let f = fixture().await;
    f.create().await;
    for id in 0..20 {
        f.append([id]).await;
    }
    assert_eq!(f.maintain(&eager()).await.files_compacted, 20);
    let manifests = async || {
        let table = f.table().await;
        let list = f.tables.manifests().list(table.current_snapshot().expect("snapshot")).await.expect("list");
        list.entries().len()
    };
    assert_eq!(manifests().await, 2, "the new file, and what went");
    f.append([20]).await;
    assert_eq!(manifests().await, 2, "what holds nothing goes with the next commit");
    assert_eq!(f.ids().await, (0..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn upkeep_hears_of_every_commit_and_of_no_table_that_is_gone() {
    let f = fixture().await;
    assert!(!comes(f.tables.changed()).await);
    f.create().await;
    f.append([1]).await;
    assert!(comes(f.tables.changed()).await);
    assert!(!comes(f.tables.changed()).await, "once");
    assert_eq!(f.tables.take_changed(9), [name()]);
    assert!(!f.tables.has_changed());
    f.append([2]).await;
    let moved = TableName::public("moved");
    f.tables.rename(&name(), &moved).await.expect("rename");
    assert_eq!(f.tables.take_changed(9), std::slice::from_ref(&moved));
    f.tables.look_again_at(moved.clone());
    f.tables.drop(&moved, true).await.expect("drop");
    assert!(!f.tables.has_changed());
    assert!(comes(f.tables.changed()).await, "its files are to be deleted");
    assert!(f.tables.catalog().next_delete_due().await.expect("due").is_some());
}

#[tokio::test]
async fn a_table_that_is_replaced_is_there_all_the_time_and_its_files_go() {
    let (f, clock) = timed().await;
    f.create().await;
    let old = f.append(0..3).await;
    let unfinished = f.tables.unfinished_name("public");
    f.tables.create(&unfinished, NewTable::new(schema()).in_folder_of("t")).await.expect("create");
    f.tables.replace(&unfinished, &name()).await.expect("replace");
    assert!(f.ids().await.is_empty());
    assert_eq!(f.ids_of(&old).await, [0, 1, 2], "who reads it goes on");
    clock.advance(Duration::from_millis(GRACE_MS.unsigned_abs() + 1));
    let swept = f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep");
    assert!(matches!(swept, SweepReport { deleted: 4.., failed: 0, .. }), "{swept:?}");
    assert!(f.tables.files().list(old.metadata().location()).await.expect("list").is_empty());
    assert!(f.tables.load(&unfinished).await.expect("load").is_none());
    f.append([7]).await;
    assert_eq!(f.ids().await, [7]);
}

#[tokio::test]
async fn what_was_never_finished_is_dropped_at_the_next_start_and_nothing_else() {
    let f = fixture().await;
    f.create().await;
    f.append([1]).await;
    let unfinished = f.tables.unfinished_name("public");
    let streamed = f.tables.unfinished_name("public");
    let named = TableName::public("_ctas_mine");
    for name in [&unfinished, &streamed, &named] {
        f.tables.create(name, NewTable::new(schema())).await.expect("create");
    }
    let table = f.tables.get(&streamed).await.expect("table");
    let marked = Append::new(&table, vec![]).with_progress(None, progress(1));
    f.tables.append(&streamed, marked).await.expect("append");

    let tables = open(&f._dir, &f.world).await;
    assert_eq!(tables.drop_unfinished().await.expect("drop"), 1);
    assert_eq!(tables.drop_unfinished().await.expect("drop"), 0);
    assert!(tables.load(&unfinished).await.expect("load").is_none());
    for name in [&name(), &streamed, &named] {
        assert!(tables.load(name).await.expect("load").is_some(), "{name}");
    }
}
