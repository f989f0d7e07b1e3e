//! Fields within fields: they follow the registry and the records as columns do, whatever the log still holds.

use commitlog::Log as _;
use model::{TableName, TopicName, TopicPartition};
use schemas::registry::{ConfigUpdate, SchemaRequest};
use tables::{MaintenancePolicy, Version};

use super::{House, column};

/// A payload in Confluent's frame, made of integers and texts as Avro writes them.
fn avro(id: i32, parts: &[Part]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(id.to_be_bytes());
    for part in parts {
        let (number, text) = match part {
            Part::Int(number) => (*number, ""),
            Part::Text(text) => (text.len() as i64, *text),
        };
        let mut rest = ((number << 1) ^ (number >> 63)) as u64;
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes.extend(text.as_bytes());
    }
    bytes
}

enum Part {
    Int(i64),
    Text(&'static str),
}
use Part::{Int, Text};

impl House {
    async fn register(&self, subject: &str, schema_type: Option<&str>, schema: &str) -> i32 {
        let request = SchemaRequest {
            schema: schema.to_owned(),
            schema_type: schema_type.map(str::to_owned),
            ..SchemaRequest::default()
        };
        self.registry.register(subject, request, false).await.unwrap().id
    }

    /// Lets the log forget all it holds of topic `t`.
    async fn forget_log(&self) {
        let at = TopicPartition::new(TopicName::new("t").unwrap(), 0);
        let end = self.log.bounds(&at).unwrap().last_stable;
        self.log.delete_records(&at, end).await.unwrap();
    }

    async fn snapshots(&self) -> usize {
        self.tables.load(&TableName::public("t")).await.unwrap().expect("a table").metadata().snapshots().len()
    }

    async fn causes(&self) -> Vec<String> {
        match self.lake.topic_table("_exceptions").await.unwrap() {
            Some(_) => column(&self.rows("_exceptions").await, "cause"),
            None => Vec::new(),
        }
    }

    /// The column before and after a commit, and with all files as one.
    async fn check(&self, name: &str, expected: &[&str]) {
        assert_eq!(column(&self.rows("t").await, name), expected, "before the commit");
        self.lake.flush("t").await.unwrap();
        assert_eq!(column(&self.committed("t").await, name), expected, "committed");
        assert_eq!(column(&self.rows("t").await, name), expected, "after the commit");
    }

    async fn compact(&self) {
        let policy = MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() };
        let report = self.tables.maintain(&TableName::public("t"), &policy, 0).await.unwrap();
        assert!(report.files_compacted > 1, "{report:?}");
    }
}

fn record(sub: &str) -> String {
    let sub = format!(r#"{{"type":"record","name":"Sub","fields":[{sub}]}}"#);
    let items = format!(r#"{{"type":"array","items":{sub}}}"#);
    let map = r#"{"type":"map","values":"Sub"}"#;
    let fields = format!(
        r#"{{"name":"id","type":"int"}},{{"name":"list","type":{items}}},{{"name":"sub","type":"Sub"}},{{"name":"map","type":{map}}}"#
    );
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

/// `{id, list: [sub], sub, map: {k: sub}}`
fn row(schema: i32, id: i64, sub: fn() -> Vec<Part>) -> Vec<u8> {
    let mut parts = vec![Int(id), Int(1)];
    parts.extend(sub());
    parts.push(Int(0));
    parts.extend(sub());
    parts.extend([Int(1), Text("k")]);
    parts.extend(sub());
    parts.push(Int(0));
    avro(schema, &parts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registered_fields_within_fields_follow_their_schema_and_keep_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let z = r#"{"name":"z","type":"int"}"#;
    let y = r#"{"name":"y","type":"string","default":"dd"}"#;
    let v1 = house.register("t-value", None, &record(z)).await;
    house.produce("t", 0, [row(v1, 1, || vec![Int(1)])]).await;
    house.check("sub", &["{z: 1}"]).await;
    house.forget_log().await;

    let v2 = house.register("t-value", None, &record(&format!("{z},{y}"))).await;
    house.produce("t", 0, [row(v2, 2, || vec![Int(2), Text("q")])]).await;
    house.check("sub", &["{z: 1, y: ∅}", "{z: 2, y: q}"]).await;
    house.forget_log().await;

    let long = r#"{"name":"z","type":"long"}"#;
    let v3 = house.register("t-value", None, &record(&format!("{long},{y}"))).await;
    // One of each schema that is still about.
    house.produce("t", 0, [row(v3, 3, || vec![Int(10_000_000_000), Text("r")]), row(v1, 4, || vec![Int(4)])]).await;
    let sub = ["{z: 1, y: ∅}", "{z: 2, y: q}", "{z: 10000000000, y: r}", "{z: 4, y: ∅}"];
    house.check("sub", &sub).await;

    let optional = r#"{"name":"z","type":["null","long"],"default":null}"#;
    let v4 = house.register("t-value", None, &record(&format!("{optional},{y}"))).await;
    house.produce("t", 0, [row(v4, 5, || vec![Int(0), Text("n")])]).await;
    let sub = [&sub[..], &["{z: ∅, y: n}"]].concat();
    let lists: Vec<String> = sub.iter().map(|sub| format!("[{sub}]")).collect();
    let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
    let maps: Vec<String> = sub.iter().map(|sub| format!("{{k: {sub}}}")).collect();
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    for round in 0..2 {
        house.check("sub", &sub).await;
        house.check("list", &lists).await;
        house.check("map", &maps).await;
        if round == 0 {
            assert_eq!(house.snapshots().await, 4, "the table is the one it was");
            house.compact().await;
        }
    }
    assert!(house.causes().await.is_empty());
    house.close().await;

    let house = House::open(dir.path()).await;
    house.produce("t", 0, [row(v2, 6, || vec![Int(6), Text("s")])]).await;
    house.check("sub", &[&sub[..], &["{z: 6, y: s}"]].concat()).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retype_that_is_no_widening_is_an_exception_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let none = ConfigUpdate { compatibility: Some("none".into()), ..ConfigUpdate::default() };
    house.registry.set_config(Some("t-value"), none).await.unwrap();
    let v1 = house.register("t-value", None, &record(r#"{"name":"z","type":"int"}"#)).await;
    house.produce("t", 0, [row(v1, 1, || vec![Int(1)])]).await;
    house.check("sub", &["{z: 1}"]).await;
    let text = r#"{"name":"z","type":"string"},{"name":"y","type":"int"}"#;
    let v2 = house.register("t-value", None, &record(text)).await;
    house.produce("t", 0, [row(v2, 2, || vec![Text("two"), Int(2)]), row(v2, 3, || vec![Text("3"), Int(3)])]).await;
    house.check("sub", &["{z: 1, y: ∅}", "{z: 3, y: 3}"]).await;
    assert_eq!(house.causes().await, [r#"field `list.z`: expected INT, found the string "two""#]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_the_newest_schema_does_not_name_are_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let [a, b] = ["a", "b"].map(|name| format!(r#"{{"name":"{name}","type":"string","default":""}}"#));
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let v1 = house.register("t-value", None, &record(&format!("{a},{b}"))).await;
    let v2 = house.register("t-value", None, &record(&a)).await;
    house.produce("t", 0, [avro(v2, &[Text("new")]), avro(v1, &[Text("old"), Text("dropped")])]).await;
    house.check("b", &["∅", "dropped"]).await;

    house.topic("open", 1).await;
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let id = house.register("open-value", Some("JSON"), schema).await;
    let framed = |text: &str| [&[0], &id.to_be_bytes()[..], text.as_bytes()].concat();
    house.produce("open", 0, [framed(r#"{"a":1}"#), framed(r#"{"a":2,"more":{"x":"y"}}"#)]).await;
    assert_eq!(column(&house.rows("open").await, "more"), ["∅", "{x: y}"]);
    assert!(house.causes().await.is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_json_schema_leaves_open_does_not_grow_a_table_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let id = house.register("t-value", Some("JSON"), schema).await;
    let keys = |a: u32, range: std::ops::Range<u32>| {
        let fields = range.map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
        [&[0], &id.to_be_bytes()[..], format!(r#"{{"a":{a},"o":{{{fields}}}}}"#).as_bytes()].concat()
    };
    house.produce("t", 0, [keys(1, 0..200)]).await;
    house.check("a", &["1"]).await;
    house.produce("t", 0, [keys(2, 200..300), keys(3, 200..201)]).await;
    house.check("a", &["1", "3"]).await;
    assert_eq!(house.causes().await, ["field `o.k256`: there is no column for it, and none could be added"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inferred_fields_within_fields_grow_when_the_log_has_forgotten_them() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"a":1,"o":{"x":1},"l":[{"x":1}]}"#]).await;
    house.check("o", &["{x: 1}"]).await;
    house.forget_log().await;
    house.produce("t", 0, [r#"{"a":2,"o":{"x":2,"kept":"value"},"l":[{"y":{"deep":true}}]}"#]).await;
    // Among records that are none.
    house.produce("t", 0, ["oops", "{", r#"{"a":3,"o":{"late":3}}"#]).await;
    house.produce("t", 0, [r#"{"a":4,"o":{"x":4.5}}"#]).await;
    let kept = ["{x: 1, kept: ∅, late: ∅}", "{x: 2, kept: value, late: ∅}", "{x: ∅, kept: ∅, late: 3}"];
    house.check("o", &kept).await;
    house.compact().await;
    house.check("o", &kept).await;
    house.check("l", &["[{x: 1, y: ∅}]", "[{x: ∅, y: {deep: true}}]", "∅"]).await;
    let causes = house.causes().await;
    assert_eq!(causes.len(), 3, "{causes:?}");
    assert_eq!(causes[2], "field `o.x`: expected BIGINT, found 4.5");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_stays_when_inferred_fields_grow() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"o":{"x":1}}"#]).await;
    house.lake.flush("t").await.unwrap();
    let table = house.tables.load(&TableName::public("t")).await.unwrap().expect("a table");
    let (location, old) = (table.metadata().location().to_owned(), table.current_snapshot().unwrap().snapshot_id());
    house.produce("t", 0, [r#"{"o":{"x":2}}"#]).await;
    assert_eq!(column(&house.rows("t").await, "o").len(), 2, "decoded before the columns grow");
    house.produce("t", 0, [r#"{"o":{"x":3,"y":"new"}}"#]).await;
    house.check("o", &["{x: 1, y: ∅}", "{x: 2, y: ∅}", "{x: 3, y: new}"]).await;
    let table = house.tables.load(&TableName::public("t")).await.unwrap().expect("a table");
    assert_eq!(table.metadata().location(), location);
    assert!(table.snapshot(&Version::Snapshot(old)).unwrap().is_some(), "time travel goes on");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_place_is_an_exception_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let keys = |range: std::ops::Range<u32>| {
        let fields = range.map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
        format!(r#"{{"n":{{{fields}}},"a":1}}"#)
    };
    house.produce("t", 0, [keys(0..200), r#"{"ID":1,"a":2}"#.to_owned()]).await;
    house.check("a", &["1", "2"]).await;
    house.forget_log().await;
    house
        .produce("t", 0, [keys(200..300), r#"{"ID":1,"id":2,"a":3}"#.to_owned(), r#"{"id":4,"a":4}"#.to_owned()])
        .await;
    house.check("a", &["1", "2", "4"]).await;
    house.check("ID", &["∅", "1", "4"]).await;
    assert_eq!(
        house.causes().await,
        [
            "field `n.k256`: there is no column for it, and none could be added",
            "`ID` and `id` differ only in case, so they are one column, and have different values",
        ]
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_what_the_first_ones_are_if_only_values_are_registered() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let key = |topic: &'static str| {
        let house = &house;
        async move { house.lake.topic_table(topic).await.unwrap().unwrap().key_is_text() }
    };
    for (topic, keys, is_text) in [("text", &b"k1"[..], true), ("bytes", &b"\xff\xfe"[..], false)] {
        house.topic(topic, 1).await;
        let id = house.register(&format!("{topic}-value"), None, schema).await;
        assert!(key(topic).await, "without any key");
        house.produce_with_keys(topic, 0, [(keys, avro(id, &[Int(1)]))]).await;
        assert_eq!(key(topic).await, is_text);
        house.lake.flush(topic).await.unwrap();
        house.produce_with_keys(topic, 0, [(b"k2", avro(id, &[Int(2)]))]).await;
        assert_eq!(column(&house.rows(topic).await, "_key")[1], if is_text { "k2" } else { "6b32" });
        assert_eq!(key(topic).await, is_text, "it stays");
    }
    house.close().await;

    let house = House::open(dir.path()).await;
    assert_eq!(column(&house.rows("text").await, "_key"), ["k1", "k2"]);
    house.close().await;
}
