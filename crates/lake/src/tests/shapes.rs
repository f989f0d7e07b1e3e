//! Columns: declared, inferred, growing; topics that go and come again.

use arrow::datatypes::DataType;
use model::{TableName, TopicName, error::codes};
use schemas::Format;

use super::{House, column, eventually, places};
use crate::{DeclaredColumn, LakeSettings, Origin, StreamDeclaration, StreamKind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inferred_columns_grow_and_stay_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"a":1}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"a":2,"b":"x"}"#, r#"{"a":3,"c":true}"#]).await;
    let rows = house.rows("t").await;
    assert_eq!(column(&rows, "b"), ["∅", "x", "∅"]);
    assert_eq!(column(&rows, "c"), ["∅", "∅", "true"]);
    house.lake.flush("t").await.unwrap();
    house.close().await;

    let house = House::open(dir.path()).await;
    let table = house.lake.topic_table("t").await.unwrap().unwrap();
    assert_eq!((table.own_columns(), &table.origin), (3, &Origin::Inferred));
    assert_eq!(column(&house.committed("t").await, "b"), ["∅", "x", "∅"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_turns_out_to_be_something_else_is_built_again_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"a":1}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"a":2.5}"#]).await;
    assert_eq!(column(&house.rows("t").await, "a"), ["1.0", "2.5"]);
    house.lake.flush("t").await.unwrap();
    assert_eq!(column(&house.committed("t").await, "a"), ["1.0", "2.5"]);
    house.produce("t", 0, [r#"{"a":3}"#]).await;
    assert_eq!(column(&house.rows("t").await, "a"), ["1.0", "2.5", "3.0"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_changes_its_kind_hides_no_row_before_the_next_commit() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"c":{"x":1},"a":1}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"c":"not a struct","a":2}"#]).await;
    for _ in 0..2 {
        let rows = house.rows("t").await;
        assert_eq!(column(&rows, "c"), [r#"{"x":1}"#, "not a struct"]);
        assert_eq!(column(&rows, "a"), ["1", "2"]);
        house.lake.flush("t").await.unwrap();
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecodable_records_are_in_exceptions_once_and_the_topic_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.lake.start_writer();
    let mut values: Vec<String> = (0..50).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    values[20] = "{broken".into();
    house.produce("t", 0, values).await;
    eventually("the good ones are in the table", || async { places(&house.committed("t").await).len() == 49 }).await;
    let exceptions = house.rows("_exceptions").await;
    assert_eq!(column(&exceptions, "record_offset"), ["20"]);
    assert_eq!(column(&exceptions, "topic"), ["t"]);
    assert_eq!(column(&exceptions, "value_base64"), ["e2Jyb2tlbg=="]);
    eventually("exceptions are a table too", || async {
        house.committed("_exceptions").await.iter().map(|b| b.num_rows()).sum::<usize>() == 1
    })
    .await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_starts_with_a_new_table() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.lake.start_writer();
    house.produce("t", 0, [r#"{"a":1}"#, r#"{"a":2}"#]).await;
    eventually("committed", || async { places(&house.committed("t").await).len() == 2 }).await;
    commitlog::Log::delete_topic(&*house.log, "t").await.unwrap();
    eventually("the table is dropped", || async {
        house.tables.load(&TableName::public("t")).await.unwrap().is_none()
    })
    .await;
    assert!(house.lake.topic_table("t").await.unwrap().is_none());
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"other":"x"}"#]).await;
    assert_eq!(column(&house.rows("t").await, "other"), ["x"]);
    eventually("committed again", || async { places(&house.committed("t").await).len() == 1 }).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_finds_no_place_is_no_row_when_it_is_decoded_again_either() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(dir.path(), LakeSettings { tail_bytes_max: 1, ..super::settings() }).await;
    house.topic("t", 1).await;
    let records = (0..500).map(|n| format!(r#"{{"a":{{"b":{n}}}}}"#));
    house.produce("t", 0, records.chain([r#"{"a.b":1}"#.to_owned()])).await;
    assert_eq!(house.places("t").await.len(), 500);
    house.produce("t", 0, [r#"{"a":{"b":501}}"#]).await;
    for _ in 0..2 {
        assert_eq!(house.places("t").await.len(), 501, "there is no room for the first ones");
    }
    house.close().await;
}

fn declaration(name: &str, columns: &[(&str, DataType, bool)]) -> StreamDeclaration {
    StreamDeclaration {
        name: TableName::public(name),
        kind: StreamKind::Stream,
        topic: TopicName::new("t").unwrap(),
        key_format: Format::Kafka,
        value_format: Format::Json,
        columns: columns
            .iter()
            .map(|(name, data_type, key)| DeclaredColumn {
                name: (*name).into(),
                data_type: data_type.clone(),
                key: *key,
            })
            .collect(),
        wrap_single_value: true,
        is_projection: false,
        properties: Default::default(),
        statement: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declaration_gives_the_columns_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"a":1,"b":2}"#]).await;
    house.lake.flush("t").await.unwrap();
    let columns = [("k", DataType::Utf8, true), ("a", DataType::Int32, false), ("z", DataType::Utf8, false)];
    house.lake.declare(declaration("s", &columns), false).await.unwrap();
    assert!(house.lake.declare(declaration("s", &columns), false).await.unwrap_err().is(codes::STREAM_EXISTS));
    let other = house.lake.declare(declaration("s2", &columns[..2]), false).await;
    assert!(other.unwrap_err().is(codes::STREAM_TOPIC_TAKEN));
    house.produce("t", 0, [r#"{"a":3,"z":"last"}"#]).await;
    house.close().await;

    let house = House::open(dir.path()).await;
    let table = house.lake.lookup(&TableName::public("S")).await.unwrap().expect("declared, whatever the case");
    let names: Vec<_> = table.schema.fields().iter().take(3).map(|f| f.name().as_str()).collect();
    assert_eq!((names, &table.origin), (vec!["k", "a", "z"], &Origin::Declared));
    for _ in 0..2 {
        let rows = house.rows("t").await;
        assert_eq!(column(&rows, "a"), ["1", "3"]);
        assert_eq!(column(&rows, "z"), ["∅", "last"]);
        house.lake.flush("t").await.unwrap();
    }
    assert!(house.lake.undeclare(&TableName::public("s")).await.unwrap());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_decoded_with_more_columns_than_are_declared_now_are_committed() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let columns = [("a", DataType::Int64, false), ("b", DataType::Int64, false)];
    house.lake.declare(declaration("t", &columns), false).await.unwrap();
    house.produce("t", 0, [r#"{"a":1,"b":1}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"a":2,"b":2}"#]).await;
    assert_eq!(column(&house.rows("t").await, "b"), ["1", "2"]);
    house.lake.declare(declaration("t", &columns[..1]), true).await.unwrap();
    house.lake.flush("t").await.unwrap();
    assert_eq!(column(&house.committed("t").await, "a"), ["1", "2"]);
    assert_eq!(column(&house.committed("t").await, "b"), ["1", "∅"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_do_not_fit_when_they_are_decoded_again_are_exceptions() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::with(dir.path(), LakeSettings { tail_bytes_max: 1, ..super::settings() }).await;
    house.topic("t", 1).await;
    house.lake.declare(declaration("t", &[("a", DataType::Int64, false)]), false).await.unwrap();
    house.produce("t", 0, [r#"{"a":0}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, (1..=500).map(|n| format!(r#"{{"a":{n},"b":{n}}}"#))).await;
    assert_eq!(house.places("t").await.len(), 501);
    // Now there is no room for the ones before.
    house.produce("t", 0, [r#"{"a":501}"#]).await;
    assert_eq!(house.places("t").await.len(), 502);
    house.lake.undeclare(&TableName::public("t")).await.unwrap();
    house.lake.flush("t").await.unwrap();
    assert_eq!(places(&house.committed("t").await), [(0, 0), (0, 501)]);
    assert_eq!(column(&house.rows("_exceptions").await, "record_offset").len(), 500);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_shows_a_part_of_a_topic_leaves_the_topic_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"a":1,"b":2}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"a":3,"b":4}"#]).await;
    house.lake.declare(declaration("part", &[("b", DataType::Int64, false)]), false).await.unwrap();
    house.close().await;

    let house = House::open(dir.path()).await;
    let own = |table: &crate::TopicTable| {
        let fields = table.schema.fields()[..table.own_columns()].iter();
        fields.map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    let part = house.lake.lookup(&TableName::public("part")).await.unwrap().expect("declared");
    assert_eq!((own(&part), &part.origin), (vec!["b".to_owned()], &Origin::Declared));
    let whole = house.lake.lookup(&TableName::public("t")).await.unwrap().expect("the topic");
    assert_eq!((own(&whole), &whole.origin), (vec!["a".to_owned(), "b".to_owned()], &Origin::Inferred));
    assert_eq!(column(&house.rows_of(&part).await, "b"), ["2", "4"]);
    assert_eq!(column(&house.rows("t").await, "a"), ["1", "3"]);
    // The topic may still be declared as what it is.
    house.lake.declare(declaration("t", &[("a", DataType::Int64, false)]), false).await.unwrap();
    let error = house.lake.lookup(&TableName::public("part")).await.unwrap_err();
    assert!(error.is(codes::STREAM_COLUMNS_CONFLICT), "{error}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_over_a_struct_keeps_its_fields_when_the_topic_gets_more() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"o":{"x":1}}"#]).await;
    let inner = DataType::Struct(vec![arrow::datatypes::Field::new("x", DataType::Int64, true)].into());
    house.lake.declare(declaration("part", &[("o", inner, false)]), false).await.unwrap();
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"o":{"x":2,"y":"new"}}"#]).await;
    for _ in 0..2 {
        let part = house.lake.lookup(&TableName::public("part")).await.unwrap().expect("declared");
        assert_eq!(column(&house.rows_of(&part).await, "o"), ["{x: 1}", "{x: 2}"]);
        assert_eq!(column(&house.rows("t").await, "o"), ["{x: 1, y: ∅}", "{x: 2, y: new}"]);
        house.lake.flush("t").await.unwrap();
    }
    house.close().await;
}
