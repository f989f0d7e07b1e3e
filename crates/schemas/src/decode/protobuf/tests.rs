use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value as Proto, prost::Message};
use serde_json::{Map, Value, json};

use super::{super::*, *};
use crate::{
    Format, RegisteredSchema, SchemaType,
    encode::Encoder,
    protobuf::{Shape, write_indexes},
};

struct Fixture {
    schema: Arc<RegisteredSchema>,
    columns: SchemaRef,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let parsed = ParsedSchema::parse(SchemaType::Protobuf, text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"));
        let columns = parsed.columns().expect("columns");
        let (schema_type, references) = (SchemaType::Protobuf, Vec::new());
        Self {
            schema: Arc::new(RegisteredSchema { id: 7, schema_type, text: text.into(), references, parsed }),
            columns,
        }
    }

    fn message(&self, path: &[usize]) -> MessageDescriptor {
        let ParsedSchema::Protobuf(schema) = &self.schema.parsed else { panic!("of type PROTOBUF") };
        schema.message(path).expect("a message")
    }

    fn decode(&self, columns: &SchemaRef, bodies: &[&[u8]]) -> Decoded {
        let payloads: Vec<_> = bodies.iter().map(|body| framed(&[0], body)).collect();
        self.decode_framed(columns, &payloads)
    }

    fn decode_framed(&self, columns: &SchemaRef, payloads: &[Vec<u8>]) -> Decoded {
        let schema = self.schema.clone();
        let source: Arc<dyn SchemaSource> = Arc::new(move |id: i32| (id == 7).then(|| schema.clone()));
        let options = DecodeOptions::default();
        let mut decoder = Decoder::new(Format::Protobuf, columns.clone(), options, source).expect("legal columns");
        decoder.decode(payloads.iter().map(|payload| Some(payload.as_slice())))
    }

    fn check(&self, bodies: &[&[u8]], expected: Expect) {
        show(self.decode(&self.columns, bodies), expected);
    }
}

fn show(decoded: Decoded, expected: Expect) {
    let mut shown = super::super::table::table(&decoded.batch);
    for rejected in decoded.rejected {
        shown.push_str(&format!("\n{}: {}", rejected.row, rejected.cause));
    }
    if !decoded.unknown_fields.is_empty() {
        shown.push_str(&format!("\nunknown: {}", decoded.unknown_fields.join(", ")));
    }
    expected.assert_eq(&shown);
}

fn framed(path: &[usize], body: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 0, 0, 0, 7];
    write_indexes(path, &mut payload);
    payload.extend_from_slice(body);
    payload
}

const ALL: &str = r#"
    syntax = "proto3";
    import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
    import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
    message All {
        bool b = 1; int32 i32 = 2; int64 i64 = 3; uint32 u32 = 4; uint64 u64 = 5; sint32 s32 = 6; sint64 s64 = 7;
        fixed32 f32 = 8; fixed64 f64 = 9; sfixed32 sf32 = 10; sfixed64 sf64 = 11; float fl = 12; double db = 13;
        string st = 14; bytes by = 15; Color en = 16; optional int32 opt = 17; Inner inner = 18;
        repeated int32 ints = 19; repeated string texts = 20; repeated Inner inners = 21;
        map<string, int64> counts = 22; map<int32, Inner> by_id = 23; map<bool, Color> flags = 24;
        oneof choice { string left = 25; int32 right = 26; Inner middle = 27; }
        repeated Color colors = 28; optional string text = 29; repeated sint64 deltas = 30 [packed = false];
        google.protobuf.Int64Value some = 31; google.protobuf.StringValue word = 32;
    }
    message Inner { string name = 1; optional sint32 level = 2; repeated double values = 3; }
    enum Color { RED = 0; GREEN = 1; BLUE = -2; }
"#;

static EVERYTHING: LazyLock<Fixture> = LazyLock::new(|| Fixture::new(ALL));

/// A message, its fields as the reflection API sets them, and the JSON that its row must be.
fn messages(message: MessageDescriptor, depth: usize) -> BoxedStrategy<(DynamicMessage, Value)> {
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    let strategies: Vec<_> = fields.iter().map(|field| proptest::option::of(field_values(field, depth))).collect();
    let choice = any::<prop::sample::Index>();
    (strategies, choice)
        .prop_map(move |(values, choice)| {
            let mut built = DynamicMessage::new(message.clone());
            let mut row = Map::new();
            let members: Vec<u32> = message
                .fields()
                .filter(|field| field.containing_oneof().is_some())
                .map(|field| field.number())
                .collect();
            let real = |field: &FieldDescriptor| field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
            let chosen = (!members.is_empty()).then(|| members[choice.index(members.len())]);
            for (field, value) in fields.iter().zip(values) {
                let value = value.filter(|_| !real(field) || chosen == Some(field.number()));
                let shown = match value {
                    Some((value, shown)) => {
                        built.set_field(field, value);
                        shown
                    }
                    None => absent(field),
                };
                row.insert(field.name().to_owned(), shown);
            }
            (built, Value::Object(row))
        })
        .boxed()
}

fn absent(field: &FieldDescriptor) -> Value {
    match field.kind() {
        _ if field.is_map() => json!({}),
        _ if field.is_list() => json!([]),
        _ if field.supports_presence() => Value::Null,
        Kind::Bool => json!(false),
        Kind::String | Kind::Bytes => json!(""),
        Kind::Float | Kind::Double => json!(0.0),
        Kind::Enum(symbols) => json!(symbols.default_value().name()),
        _ => json!(0),
    }
}

fn field_values(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<(Proto, Value)> {
    let kind = field.kind();
    if let Some(entry) = kind.as_message().filter(|_| field.is_map()) {
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let entries = prop::collection::vec((values(&key, depth), values(&value, depth)), 0..3);
        return entries
            .prop_map(|entries| {
                let mut map = std::collections::HashMap::new();
                // A hash map is written in any order: one entry of it is enough.
                let mut object = Map::new();
                for ((key, key_shown), (value, shown)) in entries.into_iter().take(1) {
                    let key = match key {
                        Proto::Bool(key) => MapKey::Bool(key),
                        Proto::I32(key) => MapKey::I32(key),
                        Proto::I64(key) => MapKey::I64(key),
                        Proto::String(key) => MapKey::String(key),
                        other => panic!("{other:?} is no key"),
                    };
                    object.insert(key_shown.as_str().map_or_else(|| key_shown.to_string(), str::to_owned), shown);
                    map.insert(key, value);
                }
                (Proto::Map(map), Value::Object(object))
            })
            .boxed();
    }
    if field.is_list() {
        return prop::collection::vec(values(&kind, depth), 0..4)
            .prop_map(|items| {
                let (items, shown): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                (Proto::List(items), Value::Array(shown))
            })
            .boxed();
    }
    // A wrapper's row is its value.
    if let Kind::Message(message) = &kind
        && Shape::of(message) == Shape::Wrapper
    {
        let (message, value) = (message.clone(), message.get_field(1).expect("a wrapper has a value"));
        return values(&value.kind(), depth)
            .prop_map(move |(inner, shown)| {
                let mut wrapper = DynamicMessage::new(message.clone());
                wrapper.set_field(&value, inner);
                (Proto::Message(wrapper), shown)
            })
            .boxed();
    }
    values(&kind, depth)
}

fn values(kind: &Kind, depth: usize) -> BoxedStrategy<(Proto, Value)> {
    match kind.clone() {
        Kind::Bool => any::<bool>().prop_map(|v| (Proto::Bool(v), json!(v))).boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => any::<i32>().prop_map(|v| (Proto::I32(v), json!(v))).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => any::<i64>().prop_map(|v| (Proto::I64(v), json!(v))).boxed(),
        Kind::Uint32 | Kind::Fixed32 => any::<u32>().prop_map(|v| (Proto::U32(v), json!(v))).boxed(),
        Kind::Uint64 | Kind::Fixed64 => any::<u64>().prop_map(|v| (Proto::U64(v), json!(v))).boxed(),
        Kind::Float => any::<i16>().prop_map(|v| (Proto::F32(f32::from(v) / 8.0), json!(f64::from(v) / 8.0))).boxed(),
        Kind::Double => {
            any::<i32>().prop_map(|v| (Proto::F64(f64::from(v) / 64.0), json!(f64::from(v) / 64.0))).boxed()
        }
        Kind::String => "[a-zé☃]{0,5}".prop_map(|v| (Proto::String(v.clone()), json!(v))).boxed(),
        Kind::Bytes => prop::collection::vec(any::<u8>(), 0..5)
            .prop_map(|v| (Proto::Bytes(v.clone().into()), json!(general_purpose::STANDARD.encode(v))))
            .boxed(),
        Kind::Enum(symbols) => {
            let known = symbols.values().map(|s| (s.number(), s.name().to_owned())).collect::<Vec<_>>();
            let known = prop::sample::select(known);
            prop_oneof![known, Just((99, "99".to_owned()))]
                .prop_map(|(number, name)| (Proto::EnumNumber(number), json!(name)))
                .boxed()
        }
        Kind::Message(_) if depth == 0 => unreachable!("the messages here do not nest deeper"),
        Kind::Message(message) => messages(message, depth - 1).prop_map(|(m, row)| (Proto::Message(m), row)).boxed(),
    }
}

/// Numbers of JSON compare by value: 1 and 1.0 are written by different hands.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn row(decoded: &Decoded, at: usize) -> Value {
    let batch = decoded.batch.slice(at, 1);
    let encoder = Encoder::new(Format::Json, batch.schema(), true, None).expect("JSON takes any columns");
    let text = encoder.encode(&batch).expect("JSON").remove(0).expect("an object");
    serde_json::from_slice(&text).expect("JSON")
}

proptest! {
    #[test]
    fn messages_come_back_as_rows((message, expected) in messages(EVERYTHING.message(&[0]), 2)) {
        let fixture = &*EVERYTHING;
        let decoded = fixture.decode(&fixture.columns, &[&message.encode_to_vec()]);
        prop_assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
        let found = row(&decoded, 0);
        prop_assert!(same(&found, &expected), "found {found}\nexpected {expected}");
    }

    /// Two messages one behind the other are one, merged; the reflection API says how.
    #[test]
    fn pieces_of_a_message_are_merged(
        (first, _) in messages(EVERYTHING.message(&[0]), 2),
        (second, _) in messages(EVERYTHING.message(&[0]), 2),
    ) {
        let fixture = &*EVERYTHING;
        let pieces = [first.encode_to_vec(), second.encode_to_vec()].concat();
        let merged = DynamicMessage::decode(fixture.message(&[0]), pieces.as_slice()).expect("a message");
        // Maps of two entries have no order in the reflection API.
        prop_assume!(merged.fields().all(|(_, value)| value.as_map().is_none_or(|map| map.len() < 2)));
        let decoded = fixture.decode(&fixture.columns, &[&pieces, &merged.encode_to_vec()]);
        prop_assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
        prop_assert_eq!(row(&decoded, 0), row(&decoded, 1));
    }

    #[test]
    fn damaged_messages_never_panic_and_harm_no_other(
        (message, _) in messages(EVERYTHING.message(&[0]), 2),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let fixture = &*EVERYTHING;
        let good = message.encode_to_vec();
        let mut bad = framed(&[0], &good);
        let at = at.index(bad.len());
        bad[at] = byte;
        if cut {
            bad.truncate(at);
        }
        let decoded = fixture.decode_framed(&fixture.columns, &[framed(&[0], &good), bad, framed(&[0], &good)]);
        let rows = decoded.rows.clone().unwrap_or_else(|| vec![0, 1, 2]);
        prop_assert!(rows.contains(&0) && rows.contains(&2));
        prop_assert_eq!(decoded.batch.slice(0, 1), decoded.batch.slice(rows.len() - 1, 1));
    }

    /// As JSON text too: the same bytes into columns of VARCHAR.
    #[test]
    fn any_field_can_be_text((message, _) in messages(EVERYTHING.message(&[0]), 2)) {
        let fixture = &*EVERYTHING;
        let text = fixture.columns.fields().iter().map(|field| match field.data_type() {
            // Bytes need not be text.
            DataType::Binary => field.as_ref().clone(),
            _ => field.as_ref().clone().with_data_type(DataType::Utf8),
        });
        let columns: SchemaRef = Arc::new(arrow::datatypes::Schema::new(text.collect::<Vec<_>>()));
        let decoded = fixture.decode(&columns, &[&message.encode_to_vec()]);
        prop_assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
    }
}

#[test]
fn well_known_types_are_values() {
    let fixture = Fixture::new(
        r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
        import "google/protobuf/struct.proto"; import "google/protobuf/field_mask.proto"; import "google/protobuf/any.proto";
        message A { google.protobuf.Timestamp at = 1; google.protobuf.Duration took = 2; google.protobuf.Struct doc = 3;
            google.protobuf.FieldMask mask = 4; A self = 5; }"#,
    );
    let full = [
        &[0x0a, 6, 0x08, 10, 0x10, 0xc0, 0x84, 0x3d][..], // at: 10 s and 1 000 000 ns
        &[0x12, 11, 0x10, 0x80, 0xb6, 0xca, 0x91, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x01], // took: −0.5 s
        &[0x1a, 24, 0x0a, 5, 0x0a, 1, b'a', 0x12, 0],     // doc: {"a": null}, and…
        &[0x0a, 15, 0x0a, 1, b'b', 0x12, 10, 0x32, 8, 0x0a, 2, 0x20, 1, 0x0a, 2, 0x08, 0], // … "b": [true, null]
        &[0x22, 6, 0x0a, 1, b'x', 0x0a, 1, b'y'],
        &[0x2a, 4, 0x0a, 2, 0x08, 1],
    ]
    .concat();
    fixture.check(
        &[&full, b"", &[0x0a, 2, 0x10, 0x80], &[0x0a, 6, 0x10, 0x80, 0x94, 0xeb, 0xdc, 0x03], &[0x12, 4, 0x08, 1, 0x10, 1]],
        expect![[r#"
            +--------------------------+--------------+----------------------------+------+-------------------------------+
            | at                       | took         | doc                        | mask | self                          |
            +--------------------------+--------------+----------------------------+------+-------------------------------+
            | 1970-01-01T00:00:10.001Z | -0.500000000 | {"a":null,"b":[true,null]} | x,y  | {"at":"1970-01-01T00:00:01Z"} |
            |                          |              |                            |      |                               |
            |                          | 1.000000001  |                            |      |                               |
            +--------------------------+--------------+----------------------------+------+-------------------------------+
            2: field `at`: the payload ends within a number
            3: field `at`: a Timestamp of 1000000000 nanoseconds"#]],
    );
}

#[test]
fn the_last_value_counts_and_members_of_a_oneof_drive_each_other_out() {
    let fixture = Fixture::new(
        "syntax = \"proto3\"; message A { int32 x = 1; oneof o { string s = 2; B b = 3; } int32 y = 5; } message B { int32 p = 1; int32 q = 2; }",
    );
    fixture.check(
        &[
            &[0x08, 1, 0x08, 2],
            // b with p, then s, then b with q: p went with s.
            &[0x1a, 2, 0x08, 1, 0x12, 1, b's', 0x1a, 2, 0x10, 2],
            &[0x1a, 2, 0x08, 1, 0x12, 1, b's'],
            // Two pieces of b are one, whatever is between them.
            &[0x1a, 2, 0x08, 1, 0x28, 9, 0x1a, 2, 0x10, 2],
            // Of another wire type than declared: nobody's field.
            &[0x0a, 1, 7, 0x28, 3],
            // A field nobody knows, and a group of them.
            &[0x7a, 1, 7, 0x7b, 0x08, 1, 0x7c, 0x28, 4],
        ],
        expect![[r#"
            +---+---+---+--------------+
            | x | y | s | b            |
            +---+---+---+--------------+
            | 2 | 0 |   |              |
            | 0 | 0 |   | {p: 0, q: 2} |
            | 0 | 0 | s |              |
            | 0 | 9 |   | {p: 1, q: 2} |
            | 0 | 3 |   |              |
            | 0 | 4 |   |              |
            +---+---+---+--------------+"#]],
    );
}

#[test]
fn a_payload_that_is_no_message_is_left_out_with_its_cause() {
    let fixture = Fixture::new(
        "syntax = \"proto3\"; message A { int32 x = 1; string s = 2; A a = 3; B b = 4; repeated B bs = 5; } message B { string s = 1; } message C { int32 c = 1; }",
    );
    let deep = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut out = vec![0x1a];
        let mut rest = inner.len();
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
        [out, inner].concat()
    });
    let payloads = [
        framed(&[0], &[0x08, 5]),
        framed(&[0], &[0x08]),
        framed(&[0], &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        framed(&[0], &[0x12, 5, b'a']),
        framed(&[0], &[0x12, 1, 0xff]),
        framed(&[0], &[0x22, 3, 0x0a, 1, 0xff]),
        framed(&[0], &[0x00, 1]),
        framed(&[0], &[0x0f]),
        framed(&[0], &[0x0c]),
        framed(&[0], &[0x0b, 0x08, 1]),
        framed(&[0], &deep),
        framed(&[5], &[]),
        vec![0, 0, 0, 0, 8, 0],
        vec![0, 0, 0, 0, 7],
        vec![1, 2, 3],
        // Another message of the file gives what it has in common.
        framed(&[1], &[0x0a, 1, b'!']),
        framed(&[2], &[0x08, 1]),
    ];
    show(
        fixture.decode_framed(&fixture.columns, &payloads),
        expect![[r#"
            +---+---+---+---+----+
            | x | s | a | b | bs |
            +---+---+---+---+----+
            | 5 |   |   |   | [] |
            |   | ! |   |   |    |
            +---+---+---+---+----+
            1: the payload ends within a number
            2: a number is too long
            3: the payload ends 4 bytes too early
            4: field `s`: not UTF-8 at byte 0
            5: field `b.s`: not UTF-8 at byte 0
            6: 0 is no number of a field
            7: 7 is no wire type
            8: a group ends that never began
            9: the payload ends within a number
            10: field `a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a`: the data nest too deeply
            11: schema 7 has no message at [5]
            12: schema 8 is not in the registry
            13: the payload ends within the indexes of its message
            14: expected a zero byte and a schema id at the start, found byte 0x01
            16: `C` has no field that is a column"#]],
    );
}

#[test]
fn proto2_knows_what_is_required_and_has_defaults_and_groups() {
    let fixture = Fixture::new(
        r#"message A { required int32 must = 1; optional int32 may = 2; optional string word = 3 [default = "none"];
        optional E e = 4 [default = Y]; repeated group G = 5 { optional int32 n = 1; } } enum E { X = 1; Y = 2; }"#,
    );
    fixture.check(
        &[&[0x08, 1], &[0x10, 1], &[0x08, 2, 0x10, 3, 0x1a, 1, b'w', 0x20, 1, 0x2b, 0x08, 7, 0x2c, 0x2b, 0x2c]],
        expect![[r#"
            +------+-----+------+---+-----------------+
            | must | may | word | e | g               |
            +------+-----+------+---+-----------------+
            | 1    |     | none | Y | []              |
            | 2    | 3   | w    | X | [{n: 7}, {n: }] |
            +------+-----+------+---+-----------------+
            1: field `must`: it is required, and not there"#]],
    );
}

#[test]
fn fields_meet_columns_by_name_and_the_others_are_reported_once() {
    let fixture = Fixture::new(
        "syntax = \"proto3\"; message A { int32 Id = 1; B inner = 2; string extra = 3; } message B { int32 p = 1; int32 q = 2; }",
    );
    let inner = DataType::Struct(vec![arrow::datatypes::Field::new("p", DataType::Int64, true)].into());
    let columns: SchemaRef = Arc::new(arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("inner", inner, true),
        arrow::datatypes::Field::new("id", DataType::Utf8, true),
        arrow::datatypes::Field::new("later", DataType::Float64, true),
    ]));
    show(
        fixture.decode(&columns, &[&[0x08, 1, 0x12, 4, 0x08, 2, 0x10, 3, 0x1a, 1, b'x'], &[0x08, 2]]),
        expect![[r#"
            +--------+----+-------+
            | inner  | id | later |
            +--------+----+-------+
            | {p: 2} | 1  |       |
            |        | 2  |       |
            +--------+----+-------+
            unknown: extra, inner.q"#]],
    );
}
