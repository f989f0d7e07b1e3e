use std::sync::Arc;

use bytes::Bytes;
use model::error::codes;
use object_store::ObjectStoreExt;
use world::World;

use crate::{Files, sink::TEMPORARY_PREFIX};

fn store() -> (tempfile::TempDir, Files) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let files = Files::open(&format!("file://{}/a b/", dir.path().display()), World::real()).expect("open");
    (dir, files)
}

#[tokio::test]
async fn what_is_put_is_read_listed_and_deleted() {
    let (_dir, files) = store();
    let at = |name: &str| format!("{}/{name}", files.base_url());
    files.put_all(vec![(at("t/x/2"), "two".into()), (at("t/1"), "one".into())]).await.expect("put");

    assert_eq!(files.get(&at("t/1")).await.expect("get"), "one");
    assert_eq!(files.reader(&at("t/x/2")).await.expect("reader").read(1..3).await.expect("range"), "wo");
    assert_eq!(files.size(&at("t/x/2")).await.expect("size"), 3);
    let listed = files.list(&at("t")).await.expect("list");
    assert_eq!(listed.iter().map(|f| f.location.as_str()).collect::<Vec<_>>(), [at("t/1"), at("t/x/2")]);

    files.delete(&at("t/1")).await.expect("delete");
    files.delete(&at("t/1")).await.expect("deleting twice is fine");
    assert!(!files.exists(&at("t/1")).await.expect("exists"));
    assert!(files.get(&at("t/1")).await.expect_err("gone").is(codes::FILE_NOT_FOUND));
    files.delete_prefix(&at("t")).await.expect("delete all");
    assert!(files.list(&at("t")).await.expect("list").is_empty());
}

#[tokio::test]
async fn a_sink_appears_whole_or_not_at_all() {
    let (_dir, files) = store();
    let at = format!("{}/d/big", files.base_url());
    let dropped = files.create(&at).await.expect("create").write(Bytes::from(vec![7; 700_000])).await.expect("write");
    drop(dropped);
    assert!(files.list(files.base_url()).await.expect("list").is_empty());
    assert_eq!(std::fs::read_dir(files.local_path(&at).expect("path").parent().expect("dir")).expect("dir").count(), 0);

    let mut sink = files.create(&at).await.expect("create");
    for piece in 0..100_u8 {
        sink = sink.write(Bytes::from(vec![piece; 10_000])).await.expect("write");
        assert!(!files.exists(&at).await.expect("exists"), "not before it is finished");
    }
    assert_eq!(sink.finish().await.expect("finish"), 1_000_000);
    let bytes = files.get(&at).await.expect("get");
    assert!((0..1_000_000).all(|i| bytes[i] == (i / 10_000) as u8));
}

#[tokio::test]
async fn what_a_dead_writer_left_is_hidden_and_removed() {
    let (_dir, files) = store();
    let dir = files.local_path(files.base_url()).expect("path");
    std::fs::write(dir.join(format!("{TEMPORARY_PREFIX}0-x")), "half").expect("write");
    assert!(files.list(files.base_url()).await.expect("list").is_empty());
    assert_eq!(files.remove_abandoned(files.base_url(), 0, 0).await.expect("young"), 0);
    assert_eq!(files.remove_abandoned(files.base_url(), i64::MAX, 0).await.expect("old"), 1);
}

#[tokio::test]
async fn locations_outside_the_store_and_other_stores_are_refused() {
    let (dir, files) = store();
    let outside = format!("file://{}/other", dir.path().display());
    let climbing = format!("{}/../other", files.base_url());
    for bad in [outside.as_str(), &climbing, "file:///etc/passwd", "s3://bucket/x", "x", ""] {
        assert!(files.get(bad).await.expect_err(bad).is(codes::FILE_LOCATION_INVALID), "{bad}");
        assert!(files.put(bad, Bytes::new()).await.expect_err(bad).is(codes::FILE_LOCATION_INVALID), "{bad}");
    }
    for bad in ["s3://bucket/prefix", "gs://b", "relative/path", ""] {
        assert!(Files::open(bad, World::real()).expect_err(bad).is(codes::FILES_URL_UNSUPPORTED), "{bad}");
    }
    for bad in ["file://", "file:///", "file://relative", "file:///a/../b"] {
        assert!(Files::open(bad, World::real()).expect_err(bad).is(codes::FILE_LOCATION_INVALID), "{bad}");
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_is_an_error_not_an_allocation() {
    let (_dir, files) = store();
    let at = format!("{}/x", files.base_url());
    files.put(&at, "abc".into()).await.expect("put");
    let file = files.reader(&at).await.expect("reader");
    for range in [0..4, 2..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert!(file.read(range).await.expect_err("beyond").is(codes::CORRUPT));
    }
}

#[tokio::test]
async fn the_object_store_reads_the_same_locations() {
    let (_dir, files) = store();
    let at = format!("{}/t/x%20y=1", files.base_url());
    files.put(&at, "same".into()).await.expect("put");
    let store: Arc<dyn object_store::ObjectStore> = files.object_store();
    let path = files.object_path(&at).expect("path");
    assert_eq!(store.get(&path).await.expect("get").bytes().await.expect("bytes"), "same");

    let other = files.object_path(&format!("{}/u/v", files.base_url())).expect("path");
    store.put(&other, "ours".into()).await.expect("put");
    assert_eq!(files.get(&format!("{}/u/v", files.base_url())).await.expect("get"), "ours");
}

#[tokio::test]
async fn a_store_that_was_moved_knows_its_files_by_their_former_locations() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let at = |name: &str| dir.path().join(name);
    let open = |name: &str| Files::open(&format!("file://{}", at(name).display()), World::real()).expect("open");
    let old = open("one").base_url().to_owned() + "/t/x";
    open("one").put(&old, "same".into()).await.expect("put");
    std::fs::rename(at("one"), at("two")).expect("move");
    let middle = open("two").base_url().to_owned() + "/t/y";
    open("two").put(&middle, "young".into()).await.expect("put");
    std::fs::rename(at("two"), at("three")).expect("move");
    let files = open("three");
    assert_eq!(files.get(&old).await.expect("from two moves ago"), "same");
    assert_eq!(files.get(&middle).await.expect("from before the last move"), "young");
    assert_eq!(files.current(&old), format!("{}/t/x", files.base_url()));
    let new = format!("{}/t/z", files.base_url());
    assert_eq!(files.current(&new), new);
    assert_eq!(files.list(files.base_url()).await.expect("list").len(), 2, "the list of moves is no file of the store");
    let climbing = old.replace("/t/x", "/../x");
    assert!(files.get(&climbing).await.expect_err("climbs").is(codes::FILE_LOCATION_INVALID));
}

#[tokio::test]
async fn a_move_that_nobody_noted_is_learned_from_a_file_that_is_there() {
    let (_dir, files) = store();
    files.put(&format!("{}/public/t-1/metadata/x.json", files.base_url()), "x".into()).await.expect("put");
    let old = "file:///gone/files/public/t-1/metadata/x.json";
    assert!(files.get(old).await.is_err());
    assert!(!files.learn_move("file:///gone/files/public/t-2/metadata/x.json", 4).expect("looked"));
    assert!(files.learn_move(old, 4).expect("looked"));
    assert_eq!(files.get(old).await.expect("known now"), "x");
}
