//! Each record once, whatever dies when.

use std::time::Duration;

use super::{House, column, eventually, places};
use crate::{
    LakeSettings,
    writer::commit::{self, Step},
};

fn numbers(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| format!(r#"{{"n":{n},"name":"row {n}"}}"#)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_is_readable_before_anything_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 2).await;
    house.produce("t", 0, numbers(0..100)).await;
    house.produce("t", 1, numbers(100..150)).await;
    let rows = house.rows("t").await;
    assert_eq!(places(&rows).len(), 150);
    assert_eq!(column(&rows, "n"), (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(column(&rows, "_key")[0], "k");
    assert!(house.committed("t").await.is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_dies_at_any_step_loses_and_doubles_nothing() {
    for step in [Step::ExceptionsWritten, Step::TableReady, Step::FilesWritten, Step::Committed] {
        let dir = tempfile::tempdir().unwrap();
        let house = House::open(dir.path()).await;
        house.topic("t", 2).await;
        house.produce("t", 0, numbers(0..50)).await;
        house.lake.flush("t").await.unwrap();
        house.produce("t", 0, numbers(50..80)).await;
        house.produce("t", 1, ["not json at all", r#"{"n":7}"#]).await;
        house.lake.parts.plant(step);
        house.lake.flush("t").await.expect_err("stopped by the planted failure");
        // Gone as by kill -9: nothing of the lake's memory survives.
        house.close().await;

        let house = House::open(dir.path()).await;
        let all: Vec<_> = (0..80).map(|n| (0, n)).chain([(1, 1)]).collect();
        assert_eq!(house.places("t").await, all, "{step:?}: before the writer comes back");
        house.lake.flush("t").await.unwrap();
        assert_eq!(places(&house.committed("t").await), all, "{step:?}: in the table");
        assert_eq!(house.places("t").await, all, "{step:?}: table and tail");
        let exceptions = house.rows("_exceptions").await;
        assert_eq!(column(&exceptions, "record_offset"), ["0"], "{step:?}: reported once");
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_built_again_reports_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, numbers(0..50)).await;
    house.produce("t", 0, ["not json at all"]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"n":1.5}"#]).await;
    house.lake.flush("t").await.unwrap();
    assert_eq!(column(&house.committed("t").await, "n").last().unwrap(), "1.5", "built again");
    assert_eq!(column(&house.rows("_exceptions").await, "record_offset"), ["50"], "reported once");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_left_to_the_next_one_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(dir.path(), LakeSettings { commit_bytes: 1, ..super::settings() }).await;
    house.topic("t", 2).await;
    house.produce("t", 0, numbers(0..50)).await;
    house.produce("t", 1, ["not json at all", r#"{"n":7}"#]).await;
    let state = house.lake.parts.state("t").expect("the topic");
    commit::begin(&house.lake.parts, &state).await.unwrap();
    assert_eq!(house.places("t").await.len(), 51);
    assert!(commit::commit(&house.lake.parts, &state).await.unwrap().more, "the second partition is left");
    assert_eq!(column(&house.rows("_exceptions").await, "record_offset"), ["0"]);
    // Gone as by kill -9.
    drop(state);
    house.close().await;

    let house = House::open(dir.path()).await;
    house.lake.flush("t").await.unwrap();
    assert_eq!(house.places("t").await.len(), 51);
    assert_eq!(column(&house.rows("_exceptions").await, "record_offset"), ["0"], "reported once");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_record_once_while_the_writer_commits() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings { commit_interval: Duration::from_millis(20), ..super::settings() };
    let house = std::sync::Arc::new(House::with(dir.path(), settings).await);
    house.topic("t", 2).await;
    house.lake.start_writer();
    let reader = {
        let house = house.clone();
        async move {
            let (mut seen, mut reads) = (0, 0);
            while seen < 6_000 {
                let places = house.places("t").await;
                for partition in [0, 1] {
                    let offsets: Vec<_> = places.iter().filter(|(p, _)| *p == partition).map(|(_, o)| *o).collect();
                    assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>(), "dense and once");
                }
                assert!(places.len() >= seen, "nothing is taken back");
                seen = places.len();
                reads += 1;
            }
            reads
        }
    };
    let writer = {
        let house = house.clone();
        async move {
            for n in 0..300 {
                house.produce("t", n % 2, numbers(i64::from(n) * 20..i64::from(n) * 20 + 20)).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let (reads, ()) =
        tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(reader, writer) }).await.unwrap();
    assert!(reads > 3, "{reads} reads");
    eventually("all is in the table", || async { places(&house.committed("t").await).len() == 6_000 }).await;
    let status = house.lake.status();
    let status = status.iter().find(|status| &*status.topic == "t").unwrap();
    assert!(status.last_commit_ms.is_some() && status.error.is_none(), "{status:?}");
    std::sync::Arc::into_inner(house).unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_beyond_the_budget_is_decoded_again_and_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LakeSettings { tail_bytes_max: 64 << 10, decode_bytes: 16 << 10, ..super::settings() };
    let house = House::with(dir.path(), settings).await;
    house.topic("t", 1).await;
    for n in 0..40 {
        house.produce("t", 0, numbers(n * 500..n * 500 + 500)).await;
    }
    let all: Vec<_> = (0..20_000).map(|n| (0, n)).collect();
    assert_eq!(house.places("t").await, all);
    assert_eq!(house.places("t").await, all, "and again, with the cache half empty");
    house.lake.flush("t").await.unwrap();
    assert_eq!(places(&house.committed("t").await), all);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_is_noted_and_never_silent() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, numbers(0..10)).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, numbers(10..20)).await;
    house.close().await;

    let house = House::open(dir.path()).await;
    let at = model::TopicPartition::new(model::TopicName::new("t").unwrap(), 0);
    commitlog::Log::delete_records(&*house.log, &at, 15).await.unwrap();
    let table = house.lake.topic_table("t").await.unwrap().unwrap();
    assert!(house.lake.pin(&table).await.unwrap_err().is(model::error::codes::TOPIC_HISTORY_GAP));
    house.lake.flush("t").await.unwrap();
    let expected: Vec<_> = (0..10).chain(15..20).map(|n| (0, n)).collect();
    assert_eq!(house.places("t").await, expected);
    assert_eq!(column(&house.rows("_exceptions").await, "code"), ["LH0408"]);
    house.close().await;
}
