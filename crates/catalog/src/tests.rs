use model::{TableName, error::codes};
use world::World;

use crate::{Catalog, Entry, EntryKind, ZONES};

struct Fixture {
    dir: tempfile::TempDir,
    catalog: Catalog,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("temporary directory");
    let catalog = open(&dir).await;
    Fixture { dir, catalog }
}

async fn open(dir: &tempfile::TempDir) -> Catalog {
    Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), World::real()).await.expect("open")
}

fn t(name: &str) -> TableName {
    TableName::public(name)
}

#[tokio::test]
async fn a_fresh_catalog_has_the_zones_and_nothing_else() {
    let f = fixture().await;
    let mut zones = ZONES.to_vec();
    zones.sort_unstable();
    assert_eq!(f.catalog.namespaces().await.expect("zones"), zones);
    let names = f.catalog.names();
    assert_eq!(names.namespaces.len(), ZONES.len());
    assert!(names.namespaces.values().all(|zone| zone.tables.is_empty() && zone.entries.is_empty()));
}

#[tokio::test]
async fn only_one_of_two_swaps_from_the_same_state_wins() {
    let f = fixture().await;
    f.catalog.create_table(&t("a"), "L0").await.expect("create");
    let a = t("a");
    let (one, two) = tokio::join!(f.catalog.swap_table(&a, "L0", "L1", &[]), f.catalog.swap_table(&a, "L0", "L2", &[]));
    assert!(one.expect("swap") ^ two.expect("swap"));
    assert!(!f.catalog.swap_table(&t("a"), "L0", "L3", &[]).await.expect("stale"));
    assert!(!f.catalog.swap_table(&t("missing"), "L0", "L1", &[]).await.expect("no such table"));
}

#[tokio::test]
async fn pending_deletes_are_queued_by_the_swap_that_wins_and_by_no_other() {
    let f = fixture().await;
    f.catalog.create_table(&t("a"), "L0").await.expect("create");
    assert!(f.catalog.swap_table(&t("a"), "L0", "L1", &[("old".into(), 50)]).await.expect("swap"));
    assert!(!f.catalog.swap_table(&t("a"), "L0", "L2", &[("lost".into(), 0)]).await.expect("stale"));
    assert_eq!(f.catalog.next_delete_due().await.expect("due"), Some(50));
    assert!(f.catalog.due_deletes(49, 10).await.expect("due").is_empty());
    assert_eq!(f.catalog.due_deletes(50, 10).await.expect("due"), ["old"]);
    f.catalog.forget_deletes(vec!["old".to_owned()]).await.expect("forget");
    assert_eq!(f.catalog.pending_deletes().await.expect("count"), 0);
    assert_eq!(f.catalog.next_delete_due().await.expect("due"), None);
}

#[tokio::test]
async fn many_swaps_at_once_share_transactions_and_all_land() {
    let f = fixture().await;
    let names: Vec<_> = (0..300).map(|i| t(&format!("t{i}"))).collect();
    let created = futures_join(names.iter().map(|name| f.catalog.create_table(name, "L0"))).await;
    assert!(created.into_iter().all(|result| result.is_ok()));
    let swapped = futures_join(names.iter().map(|name| f.catalog.swap_table(name, "L0", "L1", &[]))).await;
    assert!(swapped.into_iter().all(|result| result.expect("swap")));
    assert_eq!(f.catalog.names().namespace("public").expect("zone").tables.len(), 300);
}

/// Polls all at once; `futures` is not a dependency of this crate.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().map(|(_, output)| output.expect("all are ready")).collect()
}

#[tokio::test]
async fn one_failing_change_does_not_take_its_neighbours_along() {
    let f = fixture().await;
    f.catalog.create_table(&t("a"), "L0").await.expect("create");
    let (a, b, c) = (t("a"), t("b"), TableName::new("nowhere", "c"));
    let (again, new, nowhere) = tokio::join!(
        f.catalog.create_table(&a, "L1"),
        f.catalog.create_table(&b, "L0"),
        f.catalog.create_table(&c, "L0"),
    );
    assert!(again.expect_err("taken").is(codes::TABLE_EXISTS));
    new.expect("create");
    assert!(nowhere.expect_err("no zone").is(codes::NAMESPACE_NOT_FOUND));
    assert_eq!(f.catalog.table_location(&t("a")).await.expect("look up").as_deref(), Some("L0"));
}

#[tokio::test]
async fn a_change_is_done_even_when_nobody_waits_for_it() {
    let f = fixture().await;
    let mut changed = f.catalog.changed();
    {
        let a = t("a");
        let mut create = std::pin::pin!(f.catalog.create_table(&a, "L0"));
        // One poll queues it; then the future is dropped.
        std::future::poll_fn(|context| {
            let _ = create.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    changed.changed().await.expect("open");
    assert!(f.catalog.names().namespace("public").expect("zone").has_table("a"));
    f.catalog.create_table(&t("b"), "L0").await.expect("the writer is fine");
}

#[tokio::test]
async fn names_follow_tables_zones_and_entries() {
    let f = fixture().await;
    let catalog = &f.catalog;
    catalog.create_namespace("team").await.expect("zone");
    assert!(catalog.create_namespace("team").await.expect_err("twice").is(codes::NAMESPACE_EXISTS));
    let table = TableName::new("team", "t");
    catalog.create_table(&table, "L0").await.expect("create");
    catalog
        .put_entry(Entry::new(EntryKind::View, "team", "v", serde_json::json!({"sql": "SELECT 1"})))
        .await
        .expect("put");
    let names = catalog.names();
    let team = names.namespace("team").expect("zone");
    assert!(team.has_table("t") && team.has_entry(EntryKind::View, "v") && !team.has_entry(EntryKind::Stream, "v"));

    assert!(catalog.drop_namespace("team").await.expect_err("holds a table").is(codes::NAMESPACE_NOT_EMPTY));
    catalog.rename_table(&table, &t("moved")).await.expect("rename");
    assert!(catalog.rename_table(&table, &t("moved")).await.expect_err("gone").is(codes::TABLE_NOT_FOUND));
    catalog.create_table(&t("new"), "L9").await.expect("create");
    assert!(catalog.replace_table(&t("none"), &t("moved")).await.expect_err("gone").is(codes::TABLE_NOT_FOUND));
    assert_eq!(catalog.table_location(&t("moved")).await.expect("look up").as_deref(), Some("L0"), "as it was");
    catalog.replace_table(&t("new"), &t("moved")).await.expect("replace");
    assert_eq!(catalog.drop_table(&t("moved")).await.expect("drop").as_deref(), Some("L9"));
    assert_eq!(catalog.drop_table(&t("moved")).await.expect("drop"), None);
    assert!(catalog.drop_namespace("team").await.expect_err("holds a view").is(codes::NAMESPACE_NOT_EMPTY));
    assert!(catalog.drop_entry(EntryKind::View, "team", "v").await.expect("drop"));
    assert!(catalog.drop_namespace("team").await.expect("drop"));
    assert!(catalog.names().namespace("team").is_none());
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let f = fixture().await;
    f.catalog.create_table(&t("a.b"), "L0").await.expect("create");
    f.catalog.swap_table(&t("a.b"), "L0", "L1", &[("x".into(), 7)]).await.expect("swap");
    let view = Entry::new(EntryKind::View, "public", "v", serde_json::json!({"sql": "SELECT 'ü'"}));
    f.catalog.put_entry(view.clone()).await.expect("put");
    let names = f.catalog.names();
    f.catalog.close().await;
    assert!(f.catalog.create_table(&t("late"), "L0").await.expect_err("closed").is(codes::SHUTTING_DOWN));

    let catalog = open(&f.dir).await;
    assert_eq!(catalog.names(), names);
    assert_eq!(catalog.table_location(&t("a.b")).await.expect("look up").as_deref(), Some("L1"));
    assert_eq!(catalog.due_deletes(7, 1).await.expect("due"), ["x"]);
    let stored = catalog.entry(EntryKind::View, "public", "v").await.expect("look up").expect("there");
    assert_eq!(stored.definition, view.definition);
    assert_eq!(catalog.entries(EntryKind::View).await.expect("list"), [stored]);
    assert!(catalog.entries(EntryKind::Stream).await.expect("list").is_empty());
}

#[tokio::test]
async fn a_catalog_of_a_later_version_is_refused_and_left_alone() {
    let f = fixture().await;
    f.catalog.close().await;
    let path = crate::store::path(&format!("sqlite://{}/catalog.db", f.dir.path().display())).expect("path");
    let mut connection = crate::store::connect(&path).await.expect("connect");
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.expect("set");
    let url = format!("sqlite://{}", path.display());
    assert!(Catalog::open(&url, World::real()).await.expect_err("newer").is(codes::CATALOG_VERSION));
    for bad in ["postgres://x", "sqlite://", "catalog.db"] {
        assert!(Catalog::open(bad, World::real()).await.expect_err(bad).is(codes::CATALOG_URL_UNSUPPORTED));
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let f = fixture().await;
    for bad in ["", ".", "..", "a/b", "a\nb", &"x".repeat(250)] {
        assert!(f.catalog.create_table(&t(bad), "L0").await.expect_err(bad).is(codes::NAME_INVALID));
        assert!(f.catalog.create_namespace(bad).await.expect_err(bad).is(codes::NAME_INVALID));
    }
}

/// Lets the database grow to `pages` and no further, for the connection that writes now.
async fn limit(catalog: &Catalog, pages: u32) {
    if let Some(open) = &mut catalog.0.writer.connection.lock().await.open {
        let sql = format!("PRAGMA max_page_count = {pages}");
        sqlx::raw_sql(&sql).execute(open).await.expect("limit");
    }
}

fn large(name: &str) -> Entry {
    Entry::new(EntryKind::View, "public", name, serde_json::json!({"sql": "x".repeat(1 << 20)}))
}

#[tokio::test]
async fn changes_go_on_once_a_full_disk_has_room_again() {
    let f = fixture().await;
    f.catalog.create_table(&t("a"), "L0").await.expect("create");
    for name in ["b", "c", "d"] {
        limit(&f.catalog, 1).await;
        let beside = t(name);
        let (full, made) = tokio::join!(f.catalog.put_entry(large("v")), f.catalog.create_table(&beside, "L0"));
        assert!(full.expect_err("no room").is(codes::DISK_FULL));
        let names = f.catalog.names();
        assert_eq!(names.namespace("public").expect("zone").has_table(name), made.is_ok(), "done or not, but told");
        limit(&f.catalog, u32::MAX - 1).await;
    }
    f.catalog.put_entry(large("v")).await.expect("there is room");
    assert!(f.catalog.swap_table(&t("a"), "L0", "L1", &[]).await.expect("swap"));
    let names = f.catalog.names();
    let public = names.namespace("public").expect("zone");
    assert!(public.has_table("a") && public.has_entry(EntryKind::View, "v"));
    f.catalog.close().await;
    assert!(f.catalog.put_entry(large("w")).await.expect_err("closed").is(codes::SHUTTING_DOWN));
}
