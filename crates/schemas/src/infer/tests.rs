use arrow::datatypes::TimeUnit;

use super::*;
use crate::sql;

fn columns(sample: &[&str]) -> String {
    let schemas = |_: i32| None;
    let inferred = infer(sample.iter().map(|text| Some(text.as_bytes())), &schemas).expect("payloads");
    let columns = inferred.columns.fields().iter().map(|f| format!("{} {}", f.name(), sql::type_name(f.data_type())));
    format!("{}: {}", inferred.format, columns.collect::<Vec<_>>().join(", "))
}

#[test]
fn json_objects_give_columns_in_the_order_of_first_meeting() {
    assert_eq!(
        columns(&[r#"{"b":1,"a":"x","t":"2013-01-01T10:00:00Z"}"#, r#"{"b":2.5,"c":[1],"n":null,"e":[]}"#]),
        "JSON: b DOUBLE, a VARCHAR, t TIMESTAMPTZ, c ARRAY<BIGINT>"
    );
    assert_eq!(
        columns(&[
            r#"{"a":{"x":1}}"#,
            r#"{"a":{"y":true}}"#,
            r#"{"m":1}"#,
            r#"{"m":"one"}"#,
            r#"{"big":18446744073709551615}"#
        ]),
        "JSON: a STRUCT<x BIGINT, y BOOLEAN>, m VARCHAR, big VARCHAR"
    );
    assert_eq!(columns(&[r#"{"t":"2013-01-01T10:00:00Z"}"#, r#"{"t":"tomorrow"}"#]), "JSON: t VARCHAR");
    assert_eq!(columns(&[r#"{"t":"2013-01-01"}"#, r#"{"t":"2013-12-31"}"#]), "JSON: t DATE");
    assert_eq!(columns(&[r#"{"t":"2013-01-01"}"#, r#"{"t":"2013-02-30"}"#]), "JSON: t VARCHAR", "no such day");
    assert_eq!(columns(&[r#"{"t":"2013-01-01"}"#, r#"{"t":"2013-01-01T10:00:00Z"}"#]), "JSON: t VARCHAR");
    assert_eq!(columns(&[r#"{"t":"2013-01-01T10:00:00"}"#]), "JSON: t VARCHAR", "no zone: it may be any moment");
    assert_eq!(columns(&[r#"{"Id":1}"#, r#"{"id":2.5}"#]), "JSON: Id DOUBLE");
}

#[test]
fn a_few_odd_payloads_do_not_change_the_verdict() {
    let good = r#"{"a":1}"#;
    assert_eq!(columns(&[good, good, good, good, "oops"]), "JSON: a BIGINT");
    assert_eq!(columns(&[good, "oops"]), "TEXT: value VARCHAR");
}

#[test]
fn everything_else_is_delimited_text_or_bytes() {
    assert_eq!(
        columns(&["1,x,2.5", "2,\"a,b\",3", "3,,4"]),
        "DELIMITED: column_1 BIGINT, column_2 VARCHAR, column_3 DOUBLE"
    );
    assert_eq!(columns(&["1,foo,2.5"]), "DELIMITED: column_1 BIGINT, column_2 VARCHAR, column_3 DOUBLE");
    assert_eq!(columns(&["id|at", "1|2013-01-01", "2|2013-01-02", "3|"]), "DELIMITED: id BIGINT, at DATE");
    assert_eq!(columns(&["id,name,x", "1,foo,2"]), "DELIMITED: id BIGINT, name VARCHAR, x BIGINT");
    for prose in
        [&["1,5", "2,7"][..], &["id,name,x"], &["a,b", "c,d", "e,f"], &["Room 5, left", "Room 6, right", "7, x"]]
    {
        assert_eq!(columns(prose), "TEXT: value VARCHAR", "{prose:?}");
    }
    assert_eq!(columns(&["Dear Sir, hello", "Well, then", "No, thanks"]), "TEXT: value VARCHAR");
    assert_eq!(columns(&["a\u{1}b"]), "BYTES: value BYTES");
    assert!(infer([None, None], &|_: i32| None).is_none());
}

fn schema(fields: Vec<Field>) -> Schema {
    Schema::new(fields)
}

#[test]
fn widening_adds_and_promotes_but_never_narrows() {
    let existing = schema(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("l", DataType::Int64, true),
        Field::new("f", DataType::Float32, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("s", DataType::Struct(vec![Field::new("x", DataType::Int64, true)].into()), true),
    ]);
    let new = schema(vec![
        Field::new("I", DataType::Int64, true),
        Field::new("l", DataType::Float64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("s", DataType::Struct(vec![Field::new("y", DataType::Utf8, true)].into()), true),
        Field::new("z", DataType::Boolean, false),
    ]);
    let widening = widen(&existing, &new);
    assert_eq!(
        widening.changes,
        [
            SchemaChange::Widen { path: vec!["i".into()], to: DataType::Int64 },
            SchemaChange::Widen { path: vec!["f".into()], to: DataType::Float64 },
            SchemaChange::AddColumn { parent: vec!["s".into()], field: Field::new("y", DataType::Utf8, true) },
            SchemaChange::AddColumn { parent: vec![], field: Field::new("z", DataType::Boolean, true) },
        ]
    );
    let conflicts: Vec<_> = widening.conflicts.iter().map(|c| c.path.join(".")).collect();
    assert_eq!(conflicts, ["l", "t"]);

    let applied = apply(&existing, &widening.changes);
    let names: Vec<_> =
        applied.fields().iter().map(|f| format!("{} {}", f.name(), sql::type_name(f.data_type()))).collect();
    assert_eq!(
        names,
        ["i BIGINT", "l BIGINT", "f DOUBLE", "t TIMESTAMP", "s STRUCT<x BIGINT, y VARCHAR>", "z BOOLEAN"]
    );
    assert_eq!(widen(&applied, &new).changes, [], "widening twice changes nothing");
}

#[test]
fn merging_takes_payloads_of_both() {
    let a = schema(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)]);
    let b = schema(vec![Field::new("z", DataType::Boolean, true), Field::new("x", DataType::Float64, true)]);
    let merged = merge(&a, &b);
    let names: Vec<_> =
        merged.fields().iter().map(|f| format!("{} {}", f.name(), sql::type_name(f.data_type()))).collect();
    assert_eq!(names, ["x DOUBLE", "y VARCHAR", "z BOOLEAN"]);
}
