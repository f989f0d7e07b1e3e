//! A store that is moved: everything stays readable, and after upkeep for other engines too.

use std::path::Path;

use super::*;

async fn open_at(dir: &Path, world: &World) -> Tables {
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.display()), world.clone()).await;
    let files = Files::open(&format!("file://{}/files", dir.display()), world.clone());
    Tables::new(catalog.expect("catalog"), files.expect("files"), world.clone())
}

/// Moves the store of `f` to `to` and opens it there.
async fn moved(mut f: Fixture, from: &Path, to: &Path) -> Fixture {
    f.tables.catalog().close().await;
    std::fs::rename(from, to).expect("move");
    f.tables = open_at(to, &f.world).await;
    f
}

/// `f` as another engine sees it, which knows of no moves.
async fn foreign(f: &Fixture, at: &Path) -> Vec<i64> {
    let locations: Vec<String> = f.live(DataContentType::Data).await.into_keys().collect();
    let base = format!("file://{}/files/", at.display());
    assert!(locations.iter().all(|location| location.starts_with(&base)), "{locations:?}");
    let metadata = f.table().await.metadata_location().to_owned();
    assert!(metadata.starts_with(&base), "{metadata}");
    f.tables.catalog().close().await;
    std::fs::remove_file(at.join("files/.roots.json")).expect("forget");
    let tables = open_at(at, &f.world).await;
    let forgetful = Fixture { _dir: tempfile::tempdir().expect("dir"), world: f.world.clone(), tables };
    forgetful.ids().await
}

#[tokio::test]
async fn a_moved_store_is_read_written_and_kept_up_as_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (one, two, three) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("three"));
    std::fs::create_dir(&one).expect("dir");
    let world = World::real();
    let f = Fixture { tables: open_at(&one, &world).await, _dir: dir, world };
    f.create().await;
    f.append(0..10).await;
    let base = f.append(10..20).await;
    delete(&f, &base, &[3, 15], false).await.expect("delete");
    let rows: Vec<i64> = (0..20).filter(|id| ![3, 15].contains(id)).collect();

    let f = moved(f, &one, &two).await;
    assert_eq!(f.ids().await, rows, "as it is");
    f.append(20..30).await;
    let base = f.table().await;
    delete(&f, &base, &[4, 25], false).await.expect("rows from before and after the move");
    let rows: Vec<i64> = (0..30).filter(|id| ![3, 4, 15, 25].contains(id)).collect();
    assert_eq!(f.ids().await, rows);

    let f = moved(f, &two, &three).await;
    assert_eq!(f.ids().await, rows, "after two moves");
    assert_eq!(f.tables.relocate_all().await.expect("relocate"), 1);
    assert_eq!(f.tables.relocate_all().await.expect("relocate"), 0, "once is enough");
    assert_eq!(f.ids().await, rows);
    assert_eq!(total(&*f.table().await, "total-records"), 30);
    assert_eq!(total(&*f.table().await, "total-position-deletes"), 4);

    // Nothing that is needed counts as an orphan, and expired history takes nothing with it.
    let policy = MaintenancePolicy { orphan_age_min: Duration::ZERO, snapshots_max: Some(1), ..eager() };
    let far = f.world.clock.now_ms() + 10 * DAY.as_millis() as i64;
    f.tables.maintain(&name(), &policy, far).await.expect("upkeep");
    f.tables.sweep(far + 10 * DAY.as_millis() as i64).await.expect("sweep");
    assert_eq!(f.ids().await, rows);
    assert_eq!(foreign(&f, &three).await, rows, "engines that know of no move read it");
}

#[tokio::test]
async fn a_moved_table_is_read_by_other_engines_before_it_is_compacted() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    std::fs::create_dir(&one).expect("dir");
    let world = World::real();
    let f = Fixture { tables: open_at(&one, &world).await, _dir: dir, world };
    f.create().await;
    let base = f.append(0..10).await;
    delete(&f, &base, &[3], false).await.expect("delete");
    f.tables.create(&TableName::public("empty"), NewTable::new(schema())).await.expect("create");
    // Written by a program that kept no list of moves.
    std::fs::remove_file(one.join("files/.roots.json")).expect("forget");

    let f = moved(f, &one, &two).await;
    assert_eq!(f.tables.relocate_all().await.expect("relocate"), 2);
    assert_eq!(foreign(&f, &two).await, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}
