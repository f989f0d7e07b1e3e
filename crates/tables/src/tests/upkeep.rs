//! Upkeep: it changes files, never rows.

use std::collections::BTreeSet;

use model::error::codes;
use world::ManualClock;

use super::*;
use crate::{Rewrite, Version, commit::GRACE_MS};

impl Fixture {
    pub(super) async fn maintain(&self, policy: &MaintenancePolicy) -> crate::MaintenanceReport {
        self.tables.maintain(&name(), policy, self.world.clock.now_ms()).await.expect("upkeep")
    }
}

/// A fixture whose clock stands still until it is moved.
pub(super) async fn timed() -> (Fixture, Arc<ManualClock>) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let clock = Arc::new(ManualClock::at(World::real().clock.now_ms()));
    let world = World { clock: clock.clone(), ..World::real() };
    let tables = open(&dir, &world).await;
    (Fixture { _dir: dir, world, tables }, clock)
}

#[tokio::test]
async fn compaction_keeps_every_row_the_progress_and_the_totals() {
    let f = fixture().await;
    f.create().await;
    for i in 0..9 {
        f.append(i * 10..(i + 1) * 10).await;
    }
    let files = f.write(rows(90..100)).await;
    let append = Append::new(&*f.table().await, files).with_progress(None, progress(100));
    f.tables.append(&name(), append).await.expect("append");
    let base = f.table().await;
    delete(&f, &base, &[0, 55, 99], false).await.expect("delete");
    let before = f.ids().await;

    let report = f.maintain(&eager()).await;
    assert_eq!((report.files_compacted, report.files_written), (10, 1));
    assert_eq!(f.ids().await, before);
    assert_eq!(f.live(DataContentType::Data).await.len(), 1);
    assert!(f.live(DataContentType::PositionDeletes).await.is_empty(), "deletes went with the files they were for");
    let table = f.table().await;
    assert_eq!(table.progress().expect("mark"), Some(progress(100)));
    for (key, expected) in
        [("total-records", 97), ("total-data-files", 1), ("total-delete-files", 0), ("total-position-deletes", 0)]
    {
        assert_eq!(total(&table, key), expected, "{key}");
    }
    let size: u64 = f.live(DataContentType::Data).await.values().map(|file| file.file_size_in_bytes()).sum();
    assert_eq!(total(&table, "total-files-size"), size as i64);
    assert_eq!(f.maintain(&eager()).await.files_compacted, 0, "there is nothing left to do");
    // What was current before still is what it was.
    assert_eq!(f.ids_of(&base).await.len(), 100);
}

#[tokio::test]
async fn a_rewrite_that_would_lose_or_gain_rows_is_refused() {
    let f = fixture().await;
    f.create().await;
    let table = f.append(0..10).await;
    let inputs: Vec<String> = f.live(DataContentType::Data).await.into_keys().collect();
    for (written, claimed) in [(9, 10), (9, 9), (11, 11)] {
        let outputs = f.write(rows(0..written)).await;
        let base_sequence_number = table.metadata().last_sequence_number();
        let rewrite = Rewrite { inputs: inputs.clone(), outputs, spec_id: 0, rows: claimed, base_sequence_number };
        let error = f.tables.rewrite(&name(), rewrite).await.expect_err("rows differ");
        assert!(error.is(codes::MAINTENANCE_MISMATCH), "{error}");
    }
    assert_eq!(f.ids().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn compaction_and_a_row_delta_that_meet_lose_nothing() {
    // The delta commits first: the compaction has read rows that are gone now.
    let f = fixture().await;
    f.create().await;
    f.append(0..10).await;
    let base = f.append(10..20).await;
    let inputs: Vec<String> = f.live(DataContentType::Data).await.into_keys().collect();
    let rewrite = Rewrite {
        inputs: inputs.clone(),
        outputs: f.write(rows(0..20)).await,
        spec_id: 0,
        rows: 20,
        base_sequence_number: base.metadata().last_sequence_number(),
    };
    delete(&f, &base, &[7], false).await.expect("delete");
    let error = f.tables.rewrite(&name(), rewrite).await.expect_err("rows were deleted meanwhile");
    assert!(error.is(codes::COMMIT_CONFLICT), "{error}");

    // The compaction commits first: the delta's positions mean nothing in the new files.
    let base = f.table().await;
    let rows_to_delete = vec![(inputs[0].clone(), vec![0])];
    let deletes = f.tables.write_position_deletes(&base, rows_to_delete).await.expect("deletes");
    assert_eq!(f.maintain(&eager()).await.files_compacted, 2);
    let delta = RowDelta {
        deletes,
        added: vec![],
        spec_id: 0,
        base_snapshot_id: base.metadata().current_snapshot_id().expect("snapshot"),
        serializable: false,
        properties: vec![],
    };
    let error = f.tables.row_delta(&name(), delta).await.expect_err("the file was rewritten");
    assert!(error.is(codes::COMMIT_CONFLICT), "{error}");
    assert_eq!(f.ids().await, (0..20).filter(|id| *id != 7).collect::<Vec<_>>());

    // Rows added meanwhile are no conflict for a compaction.
    for i in 20..23 {
        f.append([i]).await;
    }
    let base = f.table().await;
    let small: Vec<_> =
        f.live(DataContentType::Data).await.into_values().filter(|file| file.record_count() == 1).collect();
    let rewrite = Rewrite {
        inputs: small.iter().map(|file| file.file_path().to_owned()).collect(),
        outputs: f.write(rows(20..23)).await,
        spec_id: 0,
        rows: 3,
        base_sequence_number: base.metadata().last_sequence_number(),
    };
    f.append([23]).await;
    f.tables.rewrite(&name(), rewrite).await.expect("only rows were added");
    assert_eq!(f.ids().await, (0..24).filter(|id| *id != 7).collect::<Vec<_>>());
}

/// Everything the kept states of the table need, found by walking them all: an opinion other than the engine's.
pub(super) async fn needed(f: &Fixture) -> BTreeSet<String> {
    let table = f.table().await;
    let metadata = table.metadata();
    let mut needed: BTreeSet<String> = [table.metadata_location().to_owned()].into();
    needed.extend(metadata.metadata_log().iter().map(|log| log.metadata_file.clone()));
    for snapshot in metadata.snapshots() {
        needed.insert(snapshot.manifest_list().to_owned());
        let bytes = f.tables.files().get(snapshot.manifest_list()).await.expect("list");
        let list = ::iceberg::spec::ManifestList::parse_with_version(&bytes, ::iceberg::spec::FormatVersion::V2);
        for manifest in list.expect("a list").entries() {
            needed.insert(manifest.manifest_path.clone());
            let loaded = manifest.load_manifest(f.tables.file_io()).await.expect("manifest");
            needed.extend(loaded.entries().iter().filter(|e| e.is_alive()).map(|e| e.file_path().to_owned()));
        }
    }
    needed
}

#[tokio::test]
async fn expiry_deletes_exactly_what_no_kept_state_needs() {
    let (f, clock) = timed().await;
    f.create_with(&[
        ("commit.manifest.min-count-to-merge", "4"),
        ("lakehead.history.max-snapshots", "6"),
        ("write.metadata.previous-versions-max", "2"),
    ])
    .await;
    for round in 0..6 {
        for i in 0..4 {
            let id = round * 10 + i;
            f.append([id, id + 5]).await;
            clock.advance(Duration::from_secs(1));
        }
        let base = f.table().await;
        let gone = f.ids().await[0];
        delete_ids(&f, &base, &[gone]).await;
        if round % 2 == 1 {
            f.maintain(&eager()).await;
        }
        let before = f.ids().await;
        clock.advance(Duration::from_millis(GRACE_MS as u64 + 1));
        while f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").more {}
        assert_eq!(f.ids().await, before, "round {round}");
        assert!(f.table().await.metadata().snapshots().len() <= 6);
        let stored: BTreeSet<String> = f.stored().await.into_iter().collect();
        let needed = needed(&f).await;
        assert_eq!(needed.difference(&stored).collect::<Vec<_>>(), Vec::<&String>::new(), "needed, but deleted");
        assert_eq!(stored.difference(&needed).collect::<Vec<_>>(), Vec::<&String>::new(), "not needed, but kept");
    }
    assert_eq!(f.tables.catalog().pending_deletes().await.expect("count"), 0);
}

/// Deletes rows by reading where they are: after compaction, bounds do not tell positions.
pub(super) async fn delete_ids(f: &Fixture, base: &Arc<Table>, gone: &[i64]) {
    let mut found = Vec::new();
    for path in f.live(DataContentType::Data).await.into_keys() {
        let bytes = f.tables.files().get(&path).await.expect("file");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 1 << 20).expect("parquet");
        let ids = reader.flat_map(|batch| batch.expect("rows").column(0).as_primitive::<Int64Type>().values().to_vec());
        let positions: Vec<u64> =
            (0..).zip(ids).filter(|(_, id)| gone.contains(id)).map(|(position, _)| position).collect();
        if !positions.is_empty() {
            found.push((path, positions));
        }
    }
    let delta = RowDelta {
        deletes: f.tables.write_position_deletes(base, found).await.expect("deletes"),
        added: vec![],
        spec_id: 0,
        base_snapshot_id: base.metadata().current_snapshot_id().expect("snapshot"),
        serializable: false,
        properties: vec![],
    };
    f.tables.row_delta(&name(), delta).await.expect("delete");
}

#[tokio::test]
async fn readers_have_until_the_grace_time_is_over() {
    let (f, clock) = timed().await;
    f.create().await;
    f.append(0..5).await;
    let pinned = f.append(5..10).await;
    f.maintain(&MaintenancePolicy { snapshots_max: Some(1), ..eager() }).await;
    assert_eq!(f.table().await.metadata().snapshots().len(), 1);
    clock.advance(Duration::from_millis(GRACE_MS as u64 - 1000));
    assert_eq!(f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").deleted, 0);
    assert_eq!(f.ids_of(&pinned).await, (0..10).collect::<Vec<_>>(), "a query under way still reads");
    clock.advance(Duration::from_secs(2));
    assert!(f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").deleted > 0);
    assert_eq!(f.ids().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_reader_may_want_stays_until_it_is_done() {
    let (f, clock) = timed().await;
    f.create().await;
    f.append(0..5).await;
    let reading = f.tables.reading();
    let pinned = f.append(5..10).await;
    clock.advance(Duration::from_secs(1));
    f.maintain(&MaintenancePolicy { snapshots_max: Some(1), ..eager() }).await;
    clock.advance(10 * DAY);
    let later = f.tables.reading();
    assert_eq!(f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").deleted, 0);
    assert_eq!(f.ids_of(&pinned).await, (0..10).collect::<Vec<_>>(), "a query under way still reads");
    drop(reading);
    assert!(f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").deleted > 0, "who came later is no hindrance");
    assert_eq!(f.ids().await, (0..10).collect::<Vec<_>>());
    drop(later);
}

#[tokio::test]
async fn old_snapshots_expire_and_the_newest_stays() {
    let (f, clock) = timed().await;
    f.create().await;
    for i in 0..4 {
        f.append([i]).await;
        clock.advance(DAY);
    }
    let before = f.table().await;
    let oldest = before.metadata().history()[0].snapshot_id;
    let policy = MaintenancePolicy { snapshot_age_max: 2 * DAY, small_files_min: 100, ..eager() };
    let report = f.maintain(&policy).await;
    assert_eq!(report.snapshots_expired, 2);
    let table = f.table().await;
    assert!(table.snapshot(&Version::Snapshot(oldest)).expect_err("gone").is(codes::VERSION_UNKNOWN));
    clock.advance(100 * DAY);
    assert_eq!(f.maintain(&policy).await.snapshots_expired, 1);
    assert_eq!(f.ids().await, [0, 1, 2, 3]);
    assert_eq!(f.maintain(&policy).await, crate::MaintenanceReport::default(), "nothing to do, no commit");
}

#[tokio::test]
async fn orphans_go_once_they_are_old_and_nothing_else_does() {
    let (f, clock) = timed().await;
    f.create().await;
    f.append(0..5).await;
    f.write(rows(5..10)).await;
    let before = f.stored().await;
    let policy = MaintenancePolicy { remove_orphans: true, small_files_min: 100, ..MaintenancePolicy::default() };
    assert_eq!(f.maintain(&policy).await.orphans_removed, 0, "it may belong to a commit under way");
    clock.advance(2 * DAY);
    assert_eq!(f.maintain(&policy).await.orphans_removed, 1);
    clock.advance(DAY);
    assert_eq!(f.tables.sweep(f.world.clock.now_ms()).await.expect("sweep").deleted, 1);
    assert_eq!(f.stored().await.len(), before.len() - 1);
    assert_eq!(f.ids().await, (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_partitioned_table_is_compacted_within_its_partitions() {
    let f = fixture().await;
    let new = NewTable::new(schema()).partitioned_by("id", crate::iceberg::Transform::Truncate(100));
    f.tables.create(&name(), new).await.expect("create");
    for i in 0..4 {
        f.append((0..3).map(|partition| partition * 100 + i)).await;
    }
    let before = f.ids().await;
    let report = f.maintain(&eager()).await;
    assert_eq!((report.files_compacted, report.files_written), (12, 3));
    assert_eq!(f.ids().await, before);
    assert!(f.live(DataContentType::Data).await.keys().all(|path| path.contains("/id_trunc=")));
}

#[tokio::test]
async fn a_clock_set_back_stops_neither_commits_nor_upkeep() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let now = World::real().clock.now_ms();
    let at = |now| World { clock: Arc::new(ManualClock::at(now)), ..World::real() };
    let ahead = at(now + 10 * DAY.as_millis() as i64);
    let f = Fixture { tables: open(&dir, &ahead).await, world: ahead, _dir: dir };
    f.create().await;
    for i in 0..3 {
        f.append([i]).await;
    }
    let world = at(now);
    let tables = open(&f._dir, &world).await;
    let f = Fixture { tables, world, _dir: f._dir };
    f.append([3]).await;
    let column = crate::SchemaChange::add_column(Field::new("new", DataType::Utf8, true));
    f.tables.evolve(&name(), vec![column]).await.expect("evolve");
    let report = f.maintain(&MaintenancePolicy { snapshots_max: Some(2), ..eager() }).await;
    assert_eq!((report.files_compacted, report.snapshots_expired), (4, 3 + 1));
    assert_eq!(f.ids().await, [0, 1, 2, 3]);
    let table = f.table().await;
    let times: Vec<i64> = table.metadata().history().iter().map(|entry| entry.timestamp_ms).collect();
    assert!(times.is_sorted() && times[0] > now, "{times:?}");
}
