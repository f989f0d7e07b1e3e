//! Topics, streams, tables and views share their names, and nobody's rows go for the sake of a name.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Entry, EntryKind};
use commitlog::{Log as _, TopicSpec};
use model::{Result, TableName, TopicName, error::codes};
use schemas::Format;
use tables::NewTable;

use super::{House, eventually};
use crate::{DeclaredColumn, StreamDeclaration, StreamKind};

fn new_table() -> NewTable {
    NewTable::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]).into())
}

fn stream(name: &str, topic: &str) -> StreamDeclaration {
    StreamDeclaration {
        name: TableName::public(name),
        kind: StreamKind::Stream,
        topic: TopicName::new(topic).unwrap(),
        key_format: Format::None,
        value_format: Format::Json,
        columns: vec![DeclaredColumn { name: "x".into(), data_type: DataType::Int64, key: false }],
        wrap_single_value: true,
        is_projection: false,
        properties: BTreeMap::new(),
        statement: String::new(),
    }
}

async fn make(house: &House, topic: &str, validate_only: bool) -> Result<()> {
    house.log.create_topic(TopicSpec::new(TopicName::new(topic).unwrap(), 1), validate_only).await.map(drop)
}

/// As SQL makes a table.
async fn make_table(house: &House, name: &str) -> bool {
    let name = TableName::public(name);
    let _claim = house.lake.claim(&name).await;
    house.lake.lookup(&name).await.unwrap().is_none() && house.tables.create(&name, new_table()).await.is_ok()
}

async fn table_id(house: &House, name: &str) -> Option<String> {
    let table = house.tables.load(&TableName::public(name)).await.unwrap();
    table.map(|table| table.metadata().uuid().to_string())
}

#[tokio::test]
async fn a_topic_does_not_get_the_name_of_a_table_a_view_or_another_topics_stream() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    for table in ["precious", "a.b"] {
        house.tables.create(&TableName::public(table), new_table()).await.unwrap();
    }
    house.tables.create(&TableName::new("raw", "elsewhere"), new_table()).await.unwrap();
    let view = Entry::new(EntryKind::View, "public", "seen", serde_json::json!({}));
    house.tables.catalog().put_entry(view).await.unwrap();
    house.topic("source", 1).await;
    house.lake.declare(stream("shown", "source"), false).await.unwrap();
    house.lake.declare(stream("source", "source"), false).await.unwrap();

    for taken in ["precious", "Precious", "a.b", "seen", "SEEN", "shown"] {
        for validate_only in [true, false] {
            let refused = make(&house, taken, validate_only).await.expect_err(taken);
            assert!(refused.is(codes::TOPIC_NAME_TAKEN), "{taken}: {refused}");
        }
        assert!(house.log.topic(taken).is_none());
    }
    for free in ["a-b", "precious2", "elsewhere"] {
        make(&house, free, false).await.expect(free);
    }
    assert!(make(&house, "source", false).await.unwrap_err().is(codes::TOPIC_EXISTS));
    // Its stream waits for it.
    house.log.delete_topic("source").await.unwrap();
    make(&house, "source", false).await.unwrap();

    let taken = house.lake.declare(stream("precious", "source"), false).await.unwrap_err();
    assert!(taken.is(codes::STREAM_EXISTS), "{taken}");
    let taken = house.lake.declare(stream("a-b", "source"), false).await.unwrap_err();
    assert!(taken.is(codes::STREAM_EXISTS), "{taken}");
    assert!(table_id(&house, "precious").await.is_some());
    house.close().await;
}

#[tokio::test]
async fn of_a_topic_and_a_table_made_at_once_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    let mut topics = 0;
    for n in 0..60 {
        let name = format!("t{n}");
        // Each of them is first now and then.
        let (topic, table) = if n % 2 == 0 {
            tokio::join!(async { make(&house, &name, false).await.is_ok() }, make_table(&house, &name))
        } else {
            let (table, topic) =
                tokio::join!(make_table(&house, &name), async { make(&house, &name, false).await.is_ok() });
            (topic, table)
        };
        assert!(topic ^ table, "{name}: topic {topic}, table {table}");
        assert_eq!(house.log.topic(&name).is_some(), topic);
        assert_eq!(table_id(&house, &name).await.is_some(), table);
        topics += u32::from(topic);
    }
    assert!((1..60).contains(&topics), "{topics} topics came first");
    house.close().await;
}

#[tokio::test]
async fn a_table_with_the_name_of_a_topic_stays_and_so_do_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("both", 1).await;
    // As another program does, which claims nothing.
    house.tables.create(&TableName::public("both"), new_table()).await.unwrap();
    house.produce("both", 0, [r#"{"y": 1}"#, r#"{"y": 2}"#]).await;
    let id = table_id(&house, "both").await;
    let refused = house.lake.flush("both").await.unwrap_err();
    assert!(refused.is(codes::TOPIC_NAME_TAKEN), "{refused}");
    house.close().await;

    let house = House::open(dir.path()).await;
    house.lake.start_writer();
    house.produce("both", 0, [r#"{"y": 3}"#]).await;
    let told = || async { house.lake.status().iter().any(|topic| topic.error.is_some()) };
    eventually("the status tells of it", told).await;
    assert_eq!(table_id(&house, "both").await, id);
    assert_eq!(house.places("both").await, [(0, 0), (0, 1), (0, 2)]);

    house.log.delete_topic("both").await.unwrap();
    eventually("the topic is gone", || async { house.lake.status().is_empty() }).await;
    assert_eq!(table_id(&house, "both").await, id);
    house.close().await;
}

#[tokio::test]
async fn a_topic_made_anew_gets_a_table_in_the_place_of_its_former_one() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("again", 1).await;
    house.produce("again", 0, [r#"{"y": 1}"#]).await;
    house.lake.flush("again").await.unwrap();
    let former = table_id(&house, "again").await;
    // No writer is there to drop the table first.
    house.log.delete_topic("again").await.unwrap();
    house.topic("again", 1).await;
    house.produce("again", 0, [r#"{"y": 2}"#, r#"{"y": 3}"#]).await;
    house.lake.flush("again").await.unwrap();
    assert_ne!(table_id(&house, "again").await, former);
    assert_eq!(house.places("again").await, [(0, 0), (0, 1)]);
    house.close().await;
}
