use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit},
};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::no_schemas;

fn schema(fields: Vec<(&str, DataType)>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().map(|(n, t)| Field::new(n, t, true)).collect::<Vec<_>>()))
}

fn decode(format: Format, columns: SchemaRef, payloads: &[&str]) -> Decoded {
    let mut decoder = Decoder::new(format, columns, DecodeOptions::default(), no_schemas()).expect("legal columns");
    decoder.decode(payloads.iter().map(|p| Some(p.as_bytes())))
}

fn check(format: Format, columns: SchemaRef, payloads: &[&str], expected: Expect) {
    let decoded = decode(format, columns, payloads);
    let mut shown = table::table(&decoded.batch);
    for rejected in decoded.rejected {
        shown.push_str(&format!("\n{}: {}", rejected.row, rejected.cause));
    }
    if !decoded.unknown_fields.is_empty() {
        shown.push_str(&format!("\nunknown: {}", decoded.unknown_fields.join(", ")));
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_bad_payload_is_left_out_with_its_cause_and_harms_no_other() {
    check(
        Format::Json,
        schema(vec![("id", DataType::Int64), ("name", DataType::Utf8)]),
        &[
            r#"{"id":1,"name":"a"}"#,
            r#"{"id":"far","name":"b"}"#,
            r#"{"id":3,"name":"c""#,
            r#"{"id":4.5}"#,
            r#"[1]"#,
            r#"{"id":6,"name":"f"} x"#,
            r#" { "name" : null , "id" : 7 } "#,
            r#"{"id":9223372036854775808}"#,
            "",
            r#"{"id":10,"name":{"x":[1, 2]}}"#,
        ],
        expect![[r#"
            +----+--------------+
            | id | name         |
            +----+--------------+
            | 1  | a            |
            | 7  |              |
            | 10 | {"x":[1, 2]} |
            +----+--------------+
            1: field `id`: expected BIGINT, found the string "far"
            2: invalid JSON at byte 18: expected `,` or `}`, found the end
            3: field `id`: expected BIGINT, found 4.5
            4: expected a JSON object, found [1]
            5: invalid JSON at byte 20: expected the end of the payload, found `x`
            7: field `id`: expected BIGINT, found 9223372036854775808
            8: invalid JSON at byte 0: expected a value, found the end"#]],
    );
}

#[test]
fn names_match_exactly_first_then_whatever_the_case() {
    check(
        Format::Json,
        schema(vec![("Id", DataType::Int64), ("id", DataType::Int64), ("Other", DataType::Int64)]),
        &[
            r#"{"id":1,"Id":2,"OTHER":3}"#,
            r#"{"OTHER":5,"Other":5,"other":null}"#,
            r#"{"Other":7,"Other":8,"new":1,"gone":null,"empty":[[]]}"#,
            r#"{"new":2,"gone":[1]}"#,
        ],
        expect![[r#"
            +----+----+-------+
            | Id | id | Other |
            +----+----+-------+
            | 2  | 1  | 3     |
            |    |    | 5     |
            |    |    | 8     |
            |    |    |       |
            +----+----+-------+
            unknown: gone, new"#]],
    );
}

#[test]
fn a_payload_whose_fields_differ_in_case_and_value_is_left_out_rather_than_cut() {
    let inner = DataType::Struct(vec![Field::new("Id", DataType::Int64, true)].into());
    check(
        Format::Json,
        schema(vec![("ID", DataType::Int64), ("o", inner)]),
        &[
            r#"{"ID":1,"id":2}"#,
            r#"{"id":2,"ID":1}"#,
            r#"{"Id":1,"iD":2}"#,
            r#"{"id":3,"ID":3}"#,
            r#"{"ID":null,"id":4}"#,
            r#"{"ID":7,"id":null,"ID":5}"#,
            r#"{"ID":6,"o":{"id":{"a":[1]},"Id":1}}"#,
            r#"{"ID":8,"o":{"id":1,"Id":"2"}}"#,
        ],
        expect![[r#"
            +----+---+
            | ID | o |
            +----+---+
            | 3  |   |
            | 4  |   |
            | 5  |   |
            +----+---+
            0: `ID` and `id` differ only in case, so they are one column, and have different values
            1: `id` and `ID` differ only in case, so they are one column, and have different values
            2: `Id` and `iD` differ only in case, so they are one column, and have different values
            6: field `o.Id`: expected BIGINT, found an object {"a":[1]}
            7: field `o`: `id` and `Id` differ only in case, so they are one column, and have different values"#]],
    );
}

#[test]
fn fields_without_a_column_cost_their_payload_if_they_shall_and_say_something() {
    let inner = DataType::Struct(vec![Field::new("x", DataType::Int64, true)].into());
    let list = DataType::List(Arc::new(Field::new("element", inner.clone(), true)));
    let columns = schema(vec![("a", DataType::Int64), ("o", inner), ("l", list)]);
    let options = DecodeOptions { rejects_unknown: true, ..DecodeOptions::default() };
    let mut decoder = Decoder::new(Format::Json, columns, options, no_schemas()).expect("legal columns");
    let payloads = [
        r#"{"a":1,"new":null,"o":{"x":1,"empty":[[],{}]}}"#,
        r#"{"a":2,"new":0}"#,
        r#"{"a":3,"o":{"x":1,"lost":"value"}}"#,
        r#"{"a":4,"l":[{"x":1},{"y":false}]}"#,
        r#"{"a":5,"new":"again"}"#,
        r#"{"a":6,"with \"quotes\"":1}"#,
        r#"{"a":7,"new":1e999}"#,
        r#"{"a":8,"new":["\ud800"]}"#,
    ];
    let decoded = decoder.decode(payloads.iter().map(|payload| Some(payload.as_bytes())));
    let causes: Vec<_> = decoded.rejected.iter().map(|bad| format!("{}: {}", bad.row, bad.cause)).collect();
    assert_eq!(decoded.rows, Some(vec![0]));
    expect![[r#"
        1: field `new`: there is no column for it, and none could be added
        2: field `o.lost`: there is no column for it, and none could be added
        3: field `l.y`: there is no column for it, and none could be added
        4: field `new`: there is no column for it, and none could be added
        5: field `…`: there is no column for it, and none could be added
        6: field `new`: there is no column for it, and none could be added
        7: field `new`: there is no column for it, and none could be added"#]]
    .assert_eq(&causes.join("\n"));
    assert_eq!(decoded.unknown_fields, ["l.y", "new", "o.lost"]);
}

#[test]
fn every_type_has_its_wire_forms() {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
    let map = crate::avro::map_type(DataType::Utf8, DataType::Float64);
    let nested =
        DataType::Struct(vec![Field::new("x", DataType::Int64, true), Field::new("y", list.clone(), true)].into());
    check(
        Format::Json,
        schema(vec![
            ("b", DataType::Boolean),
            ("i", DataType::Int32),
            ("f", DataType::Float64),
            ("d", DataType::Decimal128(10, 2)),
            ("raw", DataType::Binary),
            ("day", DataType::Date32),
            ("t", DataType::Time64(TimeUnit::Microsecond)),
            ("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("m", map),
            ("s", nested),
        ]),
        &[
            r#"{"b":true,"i":-7,"f":1e3,"d":12.5,"raw":"AP8=","day":15706,"t":3600000,"ts":1357034400000,"m":{"k":1.5},"s":{"x":1,"y":[1,null]}}"#,
            r#"{"b":"false","i":"8","f":3,"d":"0.01","raw":"","day":"2013-01-01","t":"01:00:00.5","ts":"2013-01-01T12:00:00.000001+02:00","m":{},"s":{}}"#,
            r#"{"i":2147483648}"#,
            r#"{"d":0.001}"#,
            r#"{"raw":"?"}"#,
            r#"{"s":{"y":[1,"x"]}}"#,
            r#"{"m":[1]}"#,
        ],
        expect![[r#"
            +-------+----+--------+-------+------+------------+--------------+----------------------------+----------+------------------+
            | b     | i  | f      | d     | raw  | day        | t            | ts                         | m        | s                |
            +-------+----+--------+-------+------+------------+--------------+----------------------------+----------+------------------+
            | true  | -7 | 1000.0 | 12.50 | 00ff | 2013-01-01 | 01:00:00     | 2013-01-01T10:00:00        | {k: 1.5} | {x: 1, y: [1, ]} |
            | false | 8  | 3.0    | 0.01  |      | 2013-01-01 | 01:00:00.500 | 2013-01-01T10:00:00.000001 | {}       | {x: , y: }       |
            +-------+----+--------+-------+------+------------+--------------+----------------------------+----------+------------------+
            2: field `i`: expected INT, found 2147483648
            3: field `d`: expected DECIMAL(10, 2), found 0.001
            4: field `raw`: expected BYTES in Base64, but Invalid symbol 63, offset 0.
            5: field `s.y`: expected INT, found the string "x"
            6: field `m`: expected MAP<VARCHAR, DOUBLE>, found an array [1]"#]],
    );
}

#[test]
fn escapes_and_unicode_arrive_as_meant() {
    let decoded = decode(
        Format::Json,
        schema(vec![("s", DataType::Utf8)]),
        &[r#"{"s":"a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00\ud83dx"}"#, r#"{"\u0073":"key"}"#],
    );
    let texts = decoded.batch.column(0).as_string::<i32>();
    assert_eq!(texts.value(0), "a\"\\/\u{8}\u{c}\n\r\téé😀\u{fffd}x");
    assert_eq!(texts.value(1), "key");
    assert_eq!(decode(Format::Json, schema(vec![("s", DataType::Utf8)]), &["{\"s\":\"a\nb\"}"]).rejected.len(), 1);
}

#[test]
fn tombstones_are_rows_of_nulls_and_rows_say_where_they_came_from() {
    let columns = schema(vec![("a", DataType::Int64)]);
    let mut decoder = Decoder::new(Format::Json, columns, DecodeOptions::default(), no_schemas()).unwrap();
    let decoded = decoder.decode([Some(&b"{\"a\":1}"[..]), None, Some(b"!"), Some(b"{\"a\":4}")]);
    assert_eq!(decoded.rows, Some(vec![0, 1, 3]));
    assert!(decoded.batch.column(0).is_null(1));
    assert_eq!(decoder.decode([Some(&b"{}"[..])]).rows, None);
}

#[test]
fn nesting_is_limited() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let decoded = decode(Format::Json, schema(vec![("b", DataType::Int64)]), &[&deep]);
    assert_eq!(decoded.rejected[0].cause, "JSON nests too deeply at byte 68");
}

#[test]
fn delimited_records_follow_rfc_4180() {
    check(
        Format::Delimited { delimiter: b';' },
        schema(vec![
            ("i", DataType::Int64),
            ("s", DataType::Utf8),
            ("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ]),
        &[
            "1;plain;2013-01-01T10:00:00Z",
            "2;\"a;\"\"b\"\"\";1000\r\n",
            ";\"\";",
            "1;2",
            "1;2;3;4",
            "x;y;",
            "1;\"open;",
        ],
        expect![[r#"
            +---+-------+---------------------+
            | i | s     | t                   |
            +---+-------+---------------------+
            | 1 | plain | 2013-01-01T10:00:00 |
            | 2 | a;"b" | 1970-01-01T00:00:01 |
            |   |       |                     |
            +---+-------+---------------------+
            3: expected 3 fields, found 2
            4: more than the 3 fields declared
            5: field `i`: expected BIGINT, found the string "x"
            6: a quoted field has no closing quote"#]],
    );
}

#[test]
fn a_line_of_column_names_is_no_record_where_one_is_expected() {
    let columns = schema(vec![("name", DataType::Utf8), ("city", DataType::Utf8)]);
    let lines = ["name,city", "ann,ulm", "name,city\r\n", "city,name"];
    let decode = |names_line| {
        let options = DecodeOptions { names_line, ..DecodeOptions::default() };
        let mut decoder =
            Decoder::new(Format::Delimited { delimiter: b',' }, columns.clone(), options, no_schemas()).unwrap();
        decoder.decode(lines.map(|line| Some(line.as_bytes())))
    };

    let inferred = decode(true);
    assert_eq!(inferred.headers, [0, 2]);
    assert_eq!(inferred.rows, Some(vec![1, 3]));
    assert!(inferred.rejected.is_empty());

    let declared = decode(false);
    assert!(declared.headers.is_empty());
    assert_eq!((declared.rows, declared.batch.num_rows()), (None, 4));
}

#[test]
fn kafka_primitives_are_big_endian() {
    let mut decoder =
        Decoder::new(Format::Kafka, schema(vec![("k", DataType::Int64)]), DecodeOptions::default(), no_schemas())
            .unwrap();
    let decoded = decoder.decode([Some(&42i64.to_be_bytes()[..]), Some(&[1, 2][..])]);
    assert_eq!(decoded.batch.column(0).as_primitive::<Int64Type>().value(0), 42);
    assert_eq!(decoded.rejected[0].cause, "expected 8 bytes, found 2");
}

proptest! {
    #[test]
    fn json_numbers_are_read_as_the_standard_library_does(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
        let text = format!("{{\"f\":{value:e}}}");
        let decoded = decode(Format::Json, schema(vec![("f", DataType::Float64)]), &[&text]);
        prop_assert_eq!(decoded.batch.column(0).as_primitive::<Float64Type>().value(0), value);
    }

    #[test]
    fn random_bytes_never_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..8)) {
        let columns = schema(vec![("a", DataType::Int64), ("b", DataType::Utf8)]);
        for format in [Format::Json, Format::JsonSr, Format::Avro, Format::Protobuf, Format::Delimited { delimiter: b',' }] {
            let mut decoder = Decoder::new(format, columns.clone(), DecodeOptions::default(), no_schemas()).unwrap();
            let decoded = decoder.decode(payloads.iter().map(|p| Some(p.as_slice())));
            prop_assert_eq!(decoded.batch.num_rows() + decoded.rejected.len(), payloads.len());
        }
    }

    #[test]
    fn damaged_json_never_panics_and_agrees_with_serde(at in 0usize..60, byte in any::<u8>()) {
        let mut text = br#"{"a":-12.5e1,"b":"x\u00e9\n","c":[1,{"d":null}],"e":true}"#.to_vec();
        let at = at % text.len();
        text[at] = byte;
        let columns = schema(vec![("a", DataType::Utf8), ("b", DataType::Utf8), ("c", DataType::Utf8), ("e", DataType::Utf8)]);
        let mut decoder = Decoder::new(Format::Json, columns, DecodeOptions::default(), no_schemas()).unwrap();
        let decoded = decoder.decode([Some(text.as_slice())]);
        // serde_json refuses what no text can hold (lone surrogates) and numbers beyond f64.
        let parsed = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text);
        // Names that differ in case alone are one column, and refused if their values differ.
        let names_differ = |map: &serde_json::Map<String, serde_json::Value>| {
            map.keys().map(|key| key.to_lowercase()).collect::<std::collections::BTreeSet<_>>().len() == map.len()
        };
        if parsed.is_ok_and(|map| names_differ(&map)) {
            prop_assert_eq!(decoded.rejected, vec![]);
        }
    }
}
