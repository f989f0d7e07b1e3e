//! What records look like, and what becomes of those that look odd.

use super::{House, column};
use crate::Origin;

async fn names(house: &House, topic: &str) -> Vec<String> {
    let table = house.lake.topic_table(topic).await.unwrap().unwrap();
    assert_eq!(table.origin, Origin::Inferred);
    table.schema.fields()[..table.own_columns()].iter().map(|field| field.name().clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_no_text_does_not_cost_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    let records: [(&[u8], &str); 3] =
        [(b"text", r#"{"a":1}"#), (b"\xff\xfe", r#"{"a":2}"#), (b"\x00\x00\x00\x07", r#"{"a":3}"#)];
    house.produce_with_keys("t", 0, records).await;
    for _ in 0..2 {
        let rows = house.rows("t").await;
        assert_eq!(column(&rows, "a"), ["1", "2", "3"]);
        let mut keys = column(&rows, "_key");
        // Bytes if the first records have such keys; else text, and hexadecimal digits for what is none.
        keys.iter_mut().for_each(|key| *key = key.trim_start_matches("\\x").to_owned());
        assert_eq!(keys[1..], ["fffe", "00000007"]);
        house.lake.flush("t").await.unwrap();
    }
    house.topic("u", 1).await;
    house.produce_with_keys("u", 0, [("text", r#"{"a":1}"#)]).await;
    house.lake.flush("u").await.unwrap();
    house.produce_with_keys("u", 0, [(b"\xff\xfe", r#"{"a":2}"#)]).await;
    assert_eq!(column(&house.rows("u").await, "_key"), ["text", "\\xfffe"]);
    assert!(house.lake.topic_table("_exceptions").await.unwrap().is_none());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_called_like_pseudo_columns_are_kept_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, [r#"{"_offset":40,"a":1}"#]).await;
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, [r#"{"_offset":41,"_key":"zz","_offset_":"both"}"#]).await;
    for _ in 0..2 {
        let rows = house.rows("t").await;
        assert_eq!(names(&house, "t").await, ["_offset_", "a", "_key_", "_offset__"]);
        assert_eq!(column(&rows, "_offset_"), ["40", "41"]);
        assert_eq!(column(&rows, "_offset"), ["0", "1"]);
        assert_eq!(column(&rows, "_key_"), ["∅", "zz"]);
        assert_eq!(column(&rows, "_offset__"), ["∅", "both"]);
        house.lake.flush("t").await.unwrap();
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn separated_lines_become_columns_even_if_the_first_one_did_not_tell() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    house.produce("t", 0, ["id,name,x\n"]).await;
    assert_eq!(column(&house.rows("t").await, "value"), ["id,name,x\n"]);
    house.lake.flush("t").await.unwrap();
    house.produce("t", 0, ["1,foo,2\n", "2,\"b,ar\",3\n"]).await;
    for _ in 0..2 {
        let rows = house.rows("t").await;
        assert_eq!(names(&house, "t").await, ["id", "name", "x"]);
        assert_eq!(column(&rows, "name"), ["foo", "b,ar"], "the line of names is no row");
        assert_eq!(column(&rows, "x"), ["2", "3"]);
        house.lake.flush("t").await.unwrap();
    }
    house.produce("t", 0, ["id,name,x\n", "3,baz,4.5\n"]).await;
    assert_eq!(column(&house.rows("t").await, "x"), ["2.0", "3.0", "4.5"]);
    house.lake.flush("t").await.unwrap();
    assert!(house.lake.topic_table("_exceptions").await.unwrap().is_none());

    house.topic("prose", 1).await;
    house.produce("prose", 0, ["Dear 5, hello", "Well 6, then", "No 7, thanks"]).await;
    assert_eq!(names(&house, "prose").await, ["value"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_changed_is_an_exception() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(dir.path()).await;
    house.topic("t", 1).await;
    for value in [r#"{"a":"whole"}"#, r#"{"a":"damaged"}"#, r#"{"a":"behind"}"#] {
        house.produce("t", 0, [value]).await;
    }
    house.close().await;
    let mut changed = 0;
    for path in files_within(dir.path()) {
        // Some files are on their way out.
        let Ok(mut bytes) = std::fs::read(&path) else { continue };
        let at = bytes.windows(7).position(|found| found == b"damaged");
        if let (Some(at), Some("log")) = (at, path.extension().and_then(|of| of.to_str())) {
            bytes[at] = b'D';
            std::fs::write(&path, bytes).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "in its segment");

    let house = House::open(dir.path()).await;
    house.lake.flush("t").await.unwrap();
    assert_eq!(column(&house.committed("t").await, "a"), ["whole", "behind"]);
    let exceptions = house.rows("_exceptions").await;
    assert_eq!(column(&exceptions, "record_offset"), ["1"]);
    assert_eq!(column(&exceptions, "code"), ["LH0407"]);
    house.close().await;
}

fn files_within(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_within(&path) } else { vec![path] }).collect()
}
