//! Commits: what they leave, when they die, and when they meet.

use model::error::codes;

use super::*;
use crate::{SchemaChange, Version};

#[tokio::test]
async fn rows_appended_are_rows_read() {
    let f = fixture().await;
    let empty = f.create().await;
    assert!(empty.current_snapshot().is_none() && f.ids().await.is_empty());
    let one = f.append(0..10).await;
    let two = f.append(10..15).await;
    assert_eq!(f.ids().await, (0..15).collect::<Vec<_>>());
    assert_eq!(f.ids_of(&one).await, (0..10).collect::<Vec<_>>(), "a pinned state stays as it was");
    for (key, expected) in
        [("total-records", 15), ("added-records", 5), ("total-data-files", 2), ("added-data-files", 1)]
    {
        assert_eq!(total(&two, key), expected, "{key}");
    }
    let size: u64 = f.live(DataContentType::Data).await.values().map(|file| file.file_size_in_bytes()).sum();
    assert_eq!(total(&two, "total-files-size"), size as i64);

    let first = one.current_snapshot().expect("snapshot");
    let at = |version| two.snapshot(&version).map(|snapshot| snapshot.map(|s| s.snapshot_id()));
    assert_eq!(at(Version::Snapshot(first.snapshot_id())).expect("kept"), Some(first.snapshot_id()));
    assert_eq!(at(Version::AsOf(i64::MAX)).expect("current"), two.metadata().current_snapshot_id());
    assert_eq!(at(Version::Ref("main".into())).expect("branch"), two.metadata().current_snapshot_id());
    for unknown in [Version::Snapshot(1), Version::AsOf(1), Version::Ref("nope".into())] {
        assert!(at(unknown).expect_err("unknown").is(codes::VERSION_UNKNOWN));
    }
    let early = two.snapshot(&Version::AsOf(1_577_836_800_000)).expect_err("before there was anything").to_string();
    assert!(early.contains("state as of 2020-01-01 00:00:00.000 UTC") && early.contains("oldest state"), "{early}");
}

#[tokio::test]
async fn a_new_process_sees_what_was_committed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let world = World::real();
    let f = Fixture { tables: open(&dir, &world).await, world: world.clone(), _dir: dir };
    f.create().await;
    f.append(0..3).await;
    f.tables.catalog().close().await;
    let again = Fixture { tables: open(&f._dir, &world).await, world, _dir: tempfile::tempdir().expect("unused") };
    assert_eq!(again.ids().await, [0, 1, 2]);
    again.append(3..5).await;
    assert_eq!(again.ids().await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_commit_that_dies_anywhere_leaves_the_table_whole_and_the_retry_commits_once() {
    for (point, landed) in [("files", false), ("swap", false), ("answer", true)] {
        let f = fixture().await;
        f.create().await;
        f.append(0..3).await;
        let files = f.write(rows(3..6)).await;
        let append = Append::new(&*f.table().await, files).with_progress(None, progress(6));
        f.tables.set_failpoint(Some(point));
        f.tables.append(&name(), append.clone()).await.expect_err("dies");
        f.tables.set_failpoint(None);
        let expected: Vec<i64> = if landed { (0..6).collect() } else { (0..3).collect() };
        assert_eq!(f.ids().await, expected, "after dying at {point}");

        // The writer does what it does after any failure: look at the progress, then try again if it must.
        match f.table().await.progress().expect("readable") {
            Some(mark) => assert!(landed && mark == progress(6)),
            None => drop(f.tables.append(&name(), append.clone()).await.expect("retry")),
        }
        assert_eq!(f.ids().await, (0..6).collect::<Vec<_>>(), "after the retry of {point}");
        let again = f.tables.append(&name(), append).await.expect_err("covered already");
        assert!(again.is(codes::PROGRESS_CONFLICT));
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_and_not_made_twice() {
    let f = fixture().await;
    f.create().await;
    let files = f.write(rows(0..3)).await;
    let append = Append::new(&*f.table().await, files);
    f.tables.set_failpoint(Some("unknown"));
    f.tables.append(&name(), append).await.expect("it had landed");
    f.tables.set_failpoint(None);
    assert_eq!(f.ids().await, [0, 1, 2]);
    assert_eq!(f.table().await.metadata().snapshots().len(), 1);
}

#[tokio::test]
async fn appenders_at_the_same_time_all_land() {
    let f = fixture().await;
    f.create().await;
    // As another process: it shares neither locks nor connections, so that half of the commits race for real.
    let other = open(&f._dir, &f.world).await;
    let mut files = Vec::new();
    for i in 0..20 {
        files.push(f.write(rows([i])).await);
    }
    let table = f.table().await;
    let name = name();
    let commits = files.into_iter().enumerate().map(|(i, files)| {
        let tables = if i % 2 == 0 { &f.tables } else { &other };
        tables.append(&name, Append::new(&table, files))
    });
    for result in futures::future::join_all(commits).await {
        result.expect("append");
    }
    assert_eq!(f.ids().await, (0..20).collect::<Vec<_>>());
    assert_eq!(total(&*f.table().await, "total-records"), 20);
    let table = f.table().await;
    assert_eq!(table.metadata().snapshots().len(), 20);
    assert_eq!(table.metadata().last_sequence_number(), 20);
}

#[tokio::test]
async fn a_lost_race_leaves_nothing_behind() {
    let f = fixture().await;
    f.create().await;
    let other = Tables::new(f.tables.catalog().clone(), f.tables.files().clone(), f.world.clone());
    let files = [f.write(rows([0])).await, f.write(rows([1])).await];
    let table = f.table().await;
    let [a, b] = files.map(|files| Append::new(&table, files));
    let name = name();
    let (a, b) = tokio::join!(f.tables.append(&name, a), other.append(&name, b));
    a.expect("append");
    b.expect("append");
    // Per commit: manifest, list, metadata and data; and the first metadata.
    assert_eq!(f.stored().await.len(), 2 * 4 + 1);
}

#[tokio::test]
async fn progress_moves_with_the_rows_and_only_from_where_it_was() {
    let f = fixture().await;
    let table = f.create().await;
    assert_eq!(table.progress().expect("none"), None);
    let files = f.write(rows(0..2)).await;
    let append = Append::new(&table, files).with_progress(None, progress(2));
    let table = f.tables.append(&name(), append).await.expect("append");
    assert_eq!(table.progress().expect("mark"), Some(progress(2)));

    let files = f.write(rows(2..4)).await;
    let stale = Append::new(&table, files.clone()).with_progress(Some(progress(1)), progress(4));
    assert!(f.tables.append(&name(), stale).await.expect_err("moved").is(codes::PROGRESS_CONFLICT));
    let table = f.append(100..101).await;
    assert_eq!(table.progress().expect("mark"), Some(progress(2)), "other writers carry it forward");
    let right = Append::new(&table, files).with_progress(Some(progress(2)), progress(4));
    f.tables.append(&name(), right).await.expect("append");
    // Rows that could not be decoded move the progress alone.
    let alone = Append::new(&table, vec![]).with_progress(Some(progress(4)), progress(9));
    let table = f.tables.append(&name(), alone).await.expect("append");
    assert_eq!(table.progress().expect("mark"), Some(progress(9)));
    assert_eq!(f.ids().await, [0, 1, 2, 3, 100]);
    let nothing = f.tables.append(&name(), Append::new(&table, vec![])).await.expect("nothing to do");
    assert_eq!(nothing.metadata_location(), table.metadata_location());
}

#[tokio::test]
async fn rows_written_for_a_table_never_land_in_another_of_its_name() {
    let f = fixture().await;
    let old = f.create().await;
    let files = f.write(rows(0..2)).await;
    let unfinished = f.tables.unfinished_name("public");
    let new = NewTable::new(schema()).in_folder_of("t");
    f.tables.create(&unfinished, new).await.expect("create");
    f.tables.replace(&unfinished, &name()).await.expect("replace");
    let error = f.tables.append(&name(), Append::new(&old, files)).await.expect_err("another table");
    assert!(error.is(codes::COMMIT_CONFLICT), "{error}");
    assert_eq!(f.ids().await, Vec::<i64>::new());
}

#[tokio::test]
async fn deleted_rows_are_gone_and_counted() {
    let f = fixture().await;
    f.create().await;
    f.append(0..10).await;
    let base = f.append(10..20).await;
    let table = delete(&f, &base, &[3, 4, 15], false).await.expect("delete");
    let expected: Vec<i64> = (0..20).filter(|id| ![3, 4, 15].contains(id)).collect();
    assert_eq!(f.ids().await, expected);
    assert_eq!((total(&table, "total-delete-files"), total(&table, "total-position-deletes")), (2, 3));
    let deletes = f.live(DataContentType::PositionDeletes).await;
    let data = f.live(DataContentType::Data).await;
    assert!(deletes.values().all(|file| data.contains_key(&file.referenced_data_file().expect("refers to one"))));
    // The path of a delete file is longer than what Parquet's statistics usually hold; its bounds must be whole.
    for file in deletes.values() {
        let path = file.referenced_data_file().expect("refers to one");
        assert!(path.len() > 64 && file.lower_bounds().values().any(|bound| bound.to_string().contains(&path)));
    }
    assert_eq!(f.append(20..21).await.progress().expect("none"), None);
    assert_eq!(f.ids().await.len(), 18);
}

#[tokio::test]
async fn a_row_delta_lands_on_a_moved_table_unless_its_rows_were_touched() {
    let f = fixture().await;
    f.create().await;
    let base = f.append(0..10).await;
    f.append(10..20).await;
    delete(&f, &base, &[1], false).await.expect("only rows were added meanwhile");
    let late = delete(&f, &base, &[2], false).await.expect_err("the file has deletes that the base had not");
    assert!(late.is(codes::COMMIT_CONFLICT), "{late}");
    let base = f.table().await;
    f.append(20..21).await;
    let strict = delete(&f, &base, &[5], true).await.expect_err("a new row might be meant");
    assert!(strict.is(codes::COMMIT_CONFLICT), "{strict}");
    let expected: Vec<i64> = (0..21).filter(|id| *id != 1).collect();
    assert_eq!(f.ids().await, expected);
}

#[tokio::test]
async fn many_manifests_become_one_and_no_row_is_lost() {
    let f = fixture().await;
    f.create_with(&[("commit.manifest.min-count-to-merge", "5")]).await;
    for i in 0..23 {
        let table = f.append([i]).await;
        let list = f.tables.manifests().list(table.current_snapshot().expect("snapshot")).await.expect("list");
        assert!(list.entries().len() <= 5, "{} manifests after {i}", list.entries().len());
    }
    assert_eq!(f.ids().await, (0..23).collect::<Vec<_>>());
    // Ids and sequence numbers of files survive being moved: deletes still hit what they must.
    let base = f.table().await;
    delete(&f, &base, &[0, 11, 22], false).await.expect("delete");
    for i in 23..40 {
        f.append([i]).await;
    }
    assert_eq!(f.ids().await, (0..40).filter(|i| ![0, 11, 22].contains(i)).collect::<Vec<_>>());
}

#[tokio::test]
async fn columns_are_added_and_widened_while_old_rows_stay_readable() {
    let f = fixture().await;
    let narrow = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, false)]));
    f.tables.create(&name(), NewTable::new(narrow)).await.expect("create");
    let ids = |ids: Vec<i32>| {
        RecordBatch::try_from_iter([("id", Arc::new(arrow::array::Int32Array::from(ids)) as arrow::array::ArrayRef)])
            .expect("batch")
    };
    let files = f.write(ids(vec![1, 2])).await;
    let before = f.tables.append(&name(), Append::new(&*f.table().await, files)).await.expect("append");

    let changes = vec![
        SchemaChange::Widen { path: vec!["id".into()], to: DataType::Int64 },
        SchemaChange::add_column(Field::new("name", DataType::Utf8, true)),
    ];
    let table = f.tables.evolve(&name(), changes.clone()).await.expect("evolve");
    assert_eq!(table.arrow_schema().field(0).data_type(), &DataType::Int64);
    assert_eq!(table.arrow_schema().fields().len(), 2);
    let same = f.tables.evolve(&name(), changes).await.expect("holds already");
    assert_eq!(same.metadata_location(), table.metadata_location());

    let id = before.metadata().current_snapshot_id().expect("snapshot");
    assert_eq!(table.arrow_schema_at(&Version::Snapshot(id)).expect("schema").fields().len(), 1);
    // A batch made for the old columns still fits.
    let files = f.write(ids(vec![3])).await;
    f.tables.append(&name(), Append::new(&table, files)).await.expect("append");
    f.append(5_000_000_000..5_000_000_001).await;
    assert_eq!(f.ids().await, [1, 2, 3, 5_000_000_000]);
}

#[tokio::test]
async fn properties_are_set_and_removed() {
    let f = fixture().await;
    f.create_with(&[("a", "1")]).await;
    let set = vec![("b".to_owned(), "2".to_owned())];
    let table = f.tables.set_properties(&name(), set.clone(), vec!["a".into()]).await.expect("set");
    assert_eq!(table.metadata().properties().get("b").map(String::as_str), Some("2"));
    assert!(!table.metadata().properties().contains_key("a"));
    let same = f.tables.set_properties(&name(), set, vec!["a".into()]).await.expect("so already");
    assert_eq!(same.metadata_location(), table.metadata_location());
    let reserved = f.tables.set_properties(&name(), vec![("format-version".into(), "3".into())], vec![]).await;
    assert!(reserved.expect_err("reserved").is(codes::TABLE_SCHEMA_INVALID));
}

#[tokio::test]
async fn metadata_may_be_compressed() {
    let f = fixture().await;
    f.create_with(&[("write.metadata.compression-codec", "gzip")]).await;
    let table = f.append(0..3).await;
    assert!(table.metadata_location().ends_with(".gz.metadata.json"));
    let other = open(&f._dir, &f.world).await;
    let read = other.get(&name()).await.expect("readable");
    assert_eq!(read.metadata(), table.metadata(), "what is remembered is what is written");
    f.append(3..4).await;
    assert_eq!(f.ids().await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn names_are_taken_once_and_free_after_a_drop() {
    let f = fixture().await;
    let first = f.create().await;
    assert!(f.tables.create(&name(), NewTable::new(schema())).await.expect_err("taken").is(codes::TABLE_EXISTS));
    f.append(0..3).await;
    let moved = TableName::new("trusted", "moved");
    f.tables.rename(&name(), &moved).await.expect("rename");
    assert!(f.tables.load(&name()).await.expect("look up").is_none());
    assert_eq!(f.tables.get(&moved).await.expect("table").name(), &moved);
    f.tables.rename(&moved, &name()).await.expect("rename back");

    let before = f.stored().await.len() as u64;
    assert!(f.tables.drop(&name(), true).await.expect("drop"));
    assert!(!f.tables.drop(&name(), true).await.expect("none"));
    assert_eq!(f.tables.catalog().pending_deletes().await.expect("count"), before);
    let again = f.create().await;
    assert_ne!(first.metadata().location(), again.metadata().location(), "a folder is never used twice");
    assert!(f.ids().await.is_empty());
    let late = f.world.clock.now_ms() + crate::commit::GRACE_MS;
    assert_eq!(f.tables.sweep(late).await.expect("sweep").deleted as u64, before);
    assert!(f.tables.files().list(first.metadata().location()).await.expect("list").is_empty());
    f.append(7..8).await;
    assert_eq!(f.ids().await, [7]);
}

#[tokio::test]
async fn columns_that_make_no_table_are_refused_before_anything_is_written() {
    let f = fixture().await;
    let cases = [vec![], vec![Field::new("a", DataType::Int32, true), Field::new("a", DataType::Utf8, true)]];
    for fields in cases {
        let new = NewTable::new(Arc::new(Schema::new(fields)));
        assert!(f.tables.create(&name(), new).await.expect_err("no table").is(codes::TABLE_SCHEMA_INVALID));
    }
    let new = NewTable::new(schema()).partitioned_by("nowhere", crate::iceberg::Transform::Identity);
    assert!(f.tables.create(&name(), new).await.expect_err("no column").is(codes::TABLE_SCHEMA_INVALID));
    let nowhere = TableName::new("nowhere", "t");
    assert!(
        f.tables.create(&nowhere, NewTable::new(schema())).await.expect_err("no zone").is(codes::NAMESPACE_NOT_FOUND)
    );
    assert!(f.tables.files().list(f.tables.files().base_url()).await.expect("list").is_empty());
}

#[tokio::test]
async fn what_a_commit_remembers_is_what_a_reader_reads() {
    let f = fixture().await;
    f.create_with(&[("commit.manifest.min-count-to-merge", "3")]).await;
    for i in 0..5 {
        let table = f.append(i * 7..i * 7 + 5).await;
        let snapshot = table.current_snapshot().expect("snapshot");
        let other = Tables::new(f.tables.catalog().clone(), f.tables.files().clone(), f.world.clone());
        let (remembered, read) = (f.tables.manifests(), other.manifests());
        let list = remembered.list(snapshot).await.expect("list");
        assert_eq!(list, read.list(snapshot).await.expect("list"));
        for manifest in list.entries() {
            let entries = remembered.entries(manifest).await.expect("entries");
            assert_eq!(entries, read.entries(manifest).await.expect("entries"));
        }
    }
}

/// The machine's disk with only so much room for file contents.
struct SmallDisk {
    room: Arc<std::sync::atomic::AtomicI64>,
}

struct SmallFile {
    file: Arc<dyn world::DiskFile>,
    room: Arc<std::sync::atomic::AtomicI64>,
}

impl world::Disk for SmallDisk {
    fn open(&self, path: &std::path::Path, mode: world::OpenMode) -> std::io::Result<Arc<dyn world::DiskFile>> {
        Ok(Arc::new(SmallFile { file: world::RealDisk.open(path, mode)?, room: self.room.clone() }))
    }
    fn exists(&self, path: &std::path::Path) -> bool {
        world::RealDisk.exists(path)
    }
    fn list(&self, dir: &std::path::Path) -> std::io::Result<Vec<String>> {
        world::RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &std::path::Path) -> std::io::Result<()> {
        world::RealDisk.create_dir_all(dir)
    }
    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
        world::RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &std::path::Path) -> std::io::Result<()> {
        world::RealDisk.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &std::path::Path) -> std::io::Result<()> {
        world::RealDisk.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &std::path::Path) -> std::io::Result<()> {
        world::RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &std::path::Path) -> std::io::Result<Option<Box<dyn Send + Sync>>> {
        world::RealDisk.lock(path)
    }
}

impl world::DiskFile for SmallFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let left = self.room.fetch_sub(bytes.len() as i64, std::sync::atomic::Ordering::SeqCst);
        if left < bytes.len() as i64 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> std::io::Result<()> {
        self.file.allocate(len)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_needs_no_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let room = Arc::new(std::sync::atomic::AtomicI64::new(i64::MAX));
    let world = World { disk: Arc::new(SmallDisk { room: room.clone() }), ..World::real() };
    let f = Fixture { tables: open(&dir, &world).await, world, _dir: dir };
    f.create().await;
    f.append(0..3).await;
    let files = f.write(rows(3..6)).await;
    let append = Append::new(&*f.table().await, files);
    let (base, before) = (f.table().await, f.stored().await);
    let set = |bytes| room.store(bytes, std::sync::atomic::Ordering::SeqCst);

    set(100);
    let mut writer = f.tables.writer(&base).expect("writer");
    let written = writer.write(rows(6..9)).await;
    let error = match written {
        Ok(()) => writer.close().await.expect_err("no room"),
        Err(error) => error,
    };
    assert!(error.is(codes::DISK_FULL), "{error}");
    // With ever more room the commit dies later and later, in each of its files, and at last succeeds.
    let mut refused = 0;
    for bytes in (0..).step_by(1000) {
        set(bytes);
        match f.tables.append(&name(), append.clone()).await {
            Ok(_) => break,
            Err(error) => assert!(error.is(codes::DISK_FULL), "{error}"),
        }
        refused += 1;
        assert_eq!(f.ids().await, [0, 1, 2], "reads go on");
        assert_eq!(f.stored().await, before, "nothing is left lying about");
    }
    assert!(refused > 4, "{refused}");
    assert_eq!(f.ids().await, (0..6).collect::<Vec<_>>());
}
