use base64::{Engine as _, engine::general_purpose};
use expect_test::expect;
use proptest::prelude::*;
use prost_reflect::prost::Message;

use super::*;
use crate::sql::type_name;

fn parse(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn proto3(body: &str) -> Schema {
    parse(&format!("syntax = \"proto3\"; package acme; {body}"))
}

fn why(text: &str, references: &[(String, String)]) -> String {
    let error = Schema::parse(text, references).expect_err("invalid");
    error.detail_text().unwrap_or_default().to_owned()
}

/// All of the language that has a place in the text.
const RICH: &str = r#"
    syntax = "proto2";
    package acme.shop;
    import public "google/protobuf/timestamp.proto";
    import "google/protobuf/descriptor.proto";
    /* Nobody keeps comments. */
    option java_package = 'com.acme "shop"';
    option (maker) = { name: "x" list: [1, 2] inner { deep: true } };
    message Order { // nor these
        reserved 90, 92 to 95; reserved "old", "older";
        required string id = 1 [json_name = "orderId", deprecated = true];
        optional bytes raw = 12 [default = "\001\"a"];
        repeated int32 sizes = 3 [packed = true];
        map<string, Line> lines = 4;
        oneof paid { string card = 5; double cash = 6; group Note = 7 { optional string text = 1; } }
        optional State state = 8 [default = OPEN];
        optional double limit = 9 [default = -inf];
        optional group Extra = 10 { optional int32 n = 1; }
        optional google.protobuf.Timestamp at = 11;
        message Line { optional int64 count = 1 [default = -5]; }
        enum State { option allow_alias = true; OPEN = 0; CLOSED = 1; SHUT = 1; reserved 7, 9 to max; }
        extensions 100 to 199; extensions 500 to max [(checked) = true];
        extend google.protobuf.FieldOptions { optional string unit = 50001; }
    }
    extend google.protobuf.FileOptions { optional string owner = 50002; repeated Order.Line more = 50003; }
    service Shop { option deprecated = true; rpc Buy (Order) returns (stream Order) { option deprecated = true; }; rpc Look (stream Order) returns (Order); }
"#;

#[test]
fn canonical_text_is_the_one_confluent_prints() {
    expect![[r#"
        syntax = "proto3";
        package acme;

        import "google/protobuf/timestamp.proto";

        option java_multiple_files = true;

        message User {
          reserved 4, 6 to 8;
          reserved "gone";

          string name = 1;
          optional int32 age = 2 [
            deprecated = true,
            json_name = "years"
          ];
          repeated google.protobuf.Timestamp seen = 9;
          map<string, Role> roles = 10;

          oneof contact {
            string mail = 3;
            string phone = 5;
          }

          message Empty {}
        }
        enum Role {
          NONE = 0;
          ADMIN = 1;
        }
    "#]]
    .assert_eq(
        &parse(
            r#"syntax="proto3";
            enum Role { NONE = 0; ADMIN = 1; }
            message User {
              string name = 1; message Empty {}
              oneof contact { string mail = 3; string phone = 5; }
              optional int32 age = 2 [deprecated = true, json_name = "years"]; // years
              repeated google.protobuf.Timestamp seen = 9; map < string , Role > roles = 10;
              reserved 4, 6 to 8; reserved "gone";
            }
            package acme; import "google/protobuf/timestamp.proto"; option java_multiple_files = true;"#,
        )
        .canonical(false),
    );
}

#[test]
fn normalized_text_is_one_for_all_orders_and_all_ways_to_name_a_type() {
    let a = proto3(
        "import \"google/protobuf/wrappers.proto\"; message A { B b = 2; string s = 1; map<string, B> m = 3; message B {} }",
    );
    let b = proto3(
        "message A { string s = 1; acme.A.B b = 2; map<string, .acme.A.B> m = 3; message B {} }  import \"google/protobuf/wrappers.proto\";",
    );
    assert_ne!(a.canonical(false), b.canonical(false));
    assert_eq!(a.canonical(true), b.canonical(true));
    // The order of messages is what indexes count.
    assert_ne!(
        proto3("message A {} message B {}").canonical(true),
        proto3("message B {} message A {}").canonical(true)
    );
}

#[test]
fn canonical_texts_parse_to_themselves() {
    let rich = parse(RICH);
    for normalize in [false, true] {
        let once = rich.canonical(normalize);
        assert_eq!(parse(&once).canonical(normalize), once);
        assert_eq!(parse(&once).canonical(true), rich.canonical(true));
    }
}

#[test]
fn a_serialized_file_is_the_same_schema_as_its_text() {
    for text in [
        RICH,
        "syntax = \"proto3\"; message A { optional int32 x = 1; map<int32, A> m = 2; enum E { Z = 0; } E e = 3; }",
    ] {
        let schema = parse(text);
        let again = parse(&schema.serialized());
        // Options that are extensions are not in the descriptor; all else is.
        let without_custom = |text: String| {
            let kept = text.lines().filter(|line| !line.starts_with("option ("));
            kept.collect::<String>().replace(" [(checked) = true]", "")
        };
        assert_eq!(without_custom(again.canonical(true)), without_custom(schema.canonical(true)));
        assert_eq!(again.columns().expect("columns"), schema.columns().expect("columns"));
        assert!(unreadable(&schema, &again, ["new", "old"]).is_empty());
    }
    let file = FileDescriptorProto::decode(
        general_purpose::STANDARD.decode(proto3("message A {}").serialized()).expect("Base64").as_slice(),
    );
    assert_eq!(file.expect("a descriptor").message_type[0].name(), "A");
}

#[test]
fn imports_are_references_by_name_or_well_known() {
    let base =
        ("acme/base.proto".to_owned(), "syntax = \"proto3\"; package acme; message Base { int32 x = 1; }".to_owned());
    let middle = (
        "middle.proto".to_owned(),
        "syntax = \"proto3\"; package acme; import public \"acme/base.proto\"; message Middle { Base base = 1; }"
            .to_owned(),
    );
    let top = "syntax = \"proto3\"; import \"middle.proto\"; import \"google/type/money.proto\";
        message Top { acme.Middle middle = 1; acme.Base base = 2; google.type.Money price = 3; }";
    let schema = Schema::parse(top, &[base.clone(), middle.clone()]).expect("resolved");
    let columns = schema.columns().expect("columns");
    assert_eq!(type_name(columns.field(0).data_type()), "STRUCT<base STRUCT<x INT>>");
    assert_eq!(type_name(columns.field(2).data_type()), "STRUCT<currency_code VARCHAR, units BIGINT, nanos INT>");
    assert_eq!(why(top, &[middle]), "the import `acme/base.proto` is the name of no reference");
    let circle = ("a.proto".to_owned(), "syntax = \"proto3\"; import \"a.proto\";".to_owned());
    assert_eq!(why("import \"a.proto\";", &[circle]), "`a.proto` imports itself, through a.proto");
    let broken = (base.0, "message {".to_owned());
    assert!(why("import \"acme/base.proto\";", &[broken]).starts_with("in the import `acme/base.proto`: line 1:9:"));
}

#[test]
fn invalid_schemas_are_refused_with_the_place() {
    let refused = |text: &str| why(text, &[]);
    assert_eq!(refused("message {"), "line 1:9: expected an identifier, but found '{'");
    assert_eq!(refused("message A { optional B b = 1; }"), "name 'B' is not defined");
    assert_eq!(
        refused("syntax = \"proto3\"; message A { int32 a = 1; int32 b = 1; }"),
        "field number '1' is already used"
    );
    assert!(refused("eW91").contains("no serialized FileDescriptorProto"), "{}", refused("eW91"));
    assert!(refused(&format!("message A {{ option (x) = {} }}", "{ a ".repeat(1000))).contains("nest deeper than 64"));
    assert!(!refused(&"message A { ".repeat(40)).is_empty());
    assert!(refused(&format!("package {};", "a.".repeat(300) + "a")).contains("at most 512"));
    let many: String = (1..60_000).map(|n| format!("A{n} = {n}; ")).collect();
    assert!(refused(&format!("enum E {{ ZERO = 0; {many} }}")).contains("more than 20000"));
    assert!(refused(&"x".repeat(2 << 20)).contains("at most 1048576"));
}

/// A compiler's mark for what it makes of `map<…>`. Whoever sets it by hand must write what a compiler would.
#[test]
fn an_entry_of_a_map_has_a_key_and_a_value() {
    let entry = |number: u32| {
        format!(
            "message A {{ repeated MEntry m = 1; \
             message MEntry {{ option map_entry = true; optional string key = 1; optional int32 value = {number}; }} }}"
        )
    };
    Schema::parse(&entry(2), &[]).expect("what a compiler makes");
    assert_eq!(why(&entry(3), &[]), "`A.MEntry` is called the entry of a map and lacks its key (1) or value (2)");
}

#[test]
fn custom_options_need_no_import_and_are_kept() {
    let schema =
        proto3("message A { string s = 1 [(gogoproto.nullable) = false, (validate.rules).string.min_len = 3]; }");
    assert!(schema.canonical(false).contains("(validate.rules).string.min_len = 3"), "{}", schema.canonical(false));
}

#[test]
fn messages_are_found_by_the_indexes_the_text_gives_them() {
    let schema = proto3(
        "message A { map<string, int32> m = 1; message Inner { message Core {} } message Other {} } message B {}",
    );
    let name = |path: &[usize]| schema.message(path).map(|message| message.full_name().to_owned());
    assert_eq!(name(&[0]).as_deref(), Some("acme.A"));
    assert_eq!(name(&[1]).as_deref(), Some("acme.B"));
    assert_eq!(name(&[0, 0]).as_deref(), Some("acme.A.Inner"));
    assert_eq!(name(&[0, 0, 0]).as_deref(), Some("acme.A.Inner.Core"));
    assert_eq!(name(&[0, 1]).as_deref(), Some("acme.A.Other"));
    assert_eq!((name(&[2]), name(&[1, 0]), name(&[])), (None, None, None));
    // A serialized file writes the entries of maps as messages, and its clients count them.
    let serialized = parse(&schema.serialized());
    assert_eq!(serialized.message(&[0, 1]).expect("Inner").full_name(), "acme.A.Inner");
}

#[test]
fn columns_are_those_of_the_message_that_no_other_is_made_of() {
    let columns = |body: &str| {
        let columns = proto3(body).columns().expect("columns");
        columns.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(columns("message A { int32 a = 1; } message B { int32 b = 1; }"), "a");
    assert_eq!(columns("message A { int32 a = 1; } message B { repeated A b = 1; B next = 2; }"), "b, next");
    assert_eq!(columns("message A { int32 a = 1; } message B { message C { map<string, A> c = 1; } C b = 1; }"), "b");
    assert_eq!(columns("message A { B a = 1; } message B { A b = 1; }"), "a");
}

#[test]
fn columns_follow_the_fields() {
    let schema = proto3(
        r#"import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
        import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto"; import "google/protobuf/empty.proto";
        message A {
            bool b = 1; int32 i = 2; sint64 l = 3; uint32 u = 4; fixed64 f = 5; float r = 6; double d = 7; string s = 8;
            bytes raw = 9; E e = 10; repeated int32 list = 11; map<int64, Inner> map = 12; Inner inner = 13;
            google.protobuf.Timestamp at = 14; google.protobuf.Duration took = 15; google.protobuf.Int64Value some = 16;
            google.protobuf.Struct any = 17; google.protobuf.Empty none = 18; A self = 19;
            oneof one { string x = 20; Inner y = 21; } repeated Inner many = 22;
        }
        message Inner { string z = 1; }
        enum E { ZERO = 0; }"#,
    );
    let columns = schema.columns().expect("columns");
    let shown: Vec<_> =
        columns.fields().iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
    expect![[r#"
        b BOOLEAN
        i INT
        l BIGINT
        u BIGINT
        f DECIMAL(20, 0)
        r DOUBLE
        d DOUBLE
        s VARCHAR
        raw BYTES
        e VARCHAR
        list ARRAY<INT>
        map MAP<BIGINT, STRUCT<z VARCHAR>>
        inner STRUCT<z VARCHAR>
        at TIMESTAMPTZ
        took DECIMAL(21, 9)
        some BIGINT
        any VARCHAR
        none VARCHAR
        self VARCHAR
        many ARRAY<STRUCT<z VARCHAR>>
        x VARCHAR
        y STRUCT<z VARCHAR>"#]]
    .assert_eq(&shown.join("\n"));
    assert_eq!(parse("syntax = \"proto3\"; enum E { A = 0; }").columns().expect("none").fields().len(), 0);
}

/// Rule by rule, what Confluent's registry takes and what it refuses.
#[test]
fn each_change_is_taken_or_refused_as_by_confluent() {
    // (change, before, after, the rule it breaks for readers of the new schema)
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("a field is added", "message A { string name = 1; }", "message A { string name = 1; int32 age = 2; }", &[]),
        ("a field is removed", "message A { string name = 1; int32 age = 2; }", "message A { string name = 1; }", &[]),
        ("a field is renamed", "message A { string a = 1; }", "message A { string b = 1; }", &[]),
        ("a message is added", "message A {}", "message A {} message B {}", &[]),
        ("a message is removed", "message A {} message B {}", "message A {}", &["MESSAGE_REMOVED"]),
        ("a nested message is removed", "message A { message B {} }", "message A { }", &["MESSAGE_REMOVED"]),
        ("messages change places", "message A {} message B {}", "message B {} message A {}", &[]),
        ("an enum is removed", "message A {} enum E { X = 0; }", "message A {}", &[]),
        ("an enum changes", "message A {} enum E { X = 0; Y = 1; }", "message A {} enum E { Z = 0; W = 2; }", &[]),
        ("int32 → int64", "message A { int32 a = 1; }", "message A { int64 a = 1; }", &[]),
        ("int32 → bool", "message A { int32 a = 1; }", "message A { bool a = 1; }", &[]),
        (
            "int32 → enum",
            "message A { int32 a = 1; } enum E { X = 0; }",
            "message A { E a = 1; } enum E { X = 0; }",
            &[],
        ),
        ("string → bytes", "message A { string a = 1; }", "message A { bytes a = 1; }", &[]),
        ("sint32 → sint64", "message A { sint32 a = 1; }", "message A { sint64 a = 1; }", &[]),
        ("fixed32 → sfixed32", "message A { fixed32 a = 1; }", "message A { sfixed32 a = 1; }", &[]),
        ("int32 → sint32", "message A { int32 a = 1; }", "message A { sint32 a = 1; }", &["FIELD_SCALAR_KIND_CHANGED"]),
        ("int32 → string", "message A { int32 a = 1; }", "message A { string a = 1; }", &["FIELD_SCALAR_KIND_CHANGED"]),
        ("float → double", "message A { float a = 1; }", "message A { double a = 1; }", &["FIELD_SCALAR_KIND_CHANGED"]),
        (
            "a message becomes a scalar",
            "message A { B a = 1; } message B {}",
            "message A { bytes a = 1; } message B {}",
            &["FIELD_KIND_CHANGED"],
        ),
        (
            "another message",
            "message A { B a = 1; } message B {} message C {}",
            "message A { C a = 1; } message B {} message C {}",
            &["FIELD_NAMED_TYPE_CHANGED"],
        ),
        (
            "map → repeated",
            "message A { map<string, string> a = 1; }",
            "message A { repeated string a = 1; }",
            &["FIELD_KIND_CHANGED"],
        ),
        (
            "the value of a map",
            "message A { map<string, int32> a = 1; }",
            "message A { map<string, string> a = 1; }",
            &["FIELD_SCALAR_KIND_CHANGED"],
        ),
        (
            "optional int32 → repeated",
            "message A { optional int32 a = 1; }",
            "message A { repeated int32 a = 1; }",
            &["FIELD_NUMERIC_LABEL_CHANGED"],
        ),
        ("string → repeated", "message A { optional string a = 1; }", "message A { repeated string a = 1; }", &[]),
        (
            "one field into a new oneof",
            "message A { string a = 1; }",
            "message A { oneof o { string a = 1; string b = 2; } }",
            &[],
        ),
        (
            "two fields into a new oneof",
            "message A { string a = 1; string b = 2; }",
            "message A { oneof o { string a = 1; string b = 2; } }",
            &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"],
        ),
        (
            "a field into an existing oneof",
            "message A { string a = 1; oneof o { string b = 2; } }",
            "message A { oneof o { string a = 1; string b = 2; } }",
            &["FIELD_MOVED_TO_EXISTING_ONEOF"],
        ),
        (
            "a field out of its oneof",
            "message A { oneof o { string a = 1; string b = 2; } }",
            "message A { oneof o { string a = 1; } string b = 2; }",
            &[],
        ),
        (
            "a member of a oneof is removed",
            "message A { oneof o { string a = 1; string b = 2; } }",
            "message A { oneof o { string a = 1; } }",
            &["ONEOF_FIELD_REMOVED"],
        ),
        ("a whole oneof is removed", "message A { oneof o { string a = 1; string b = 2; } }", "message A { }", &[]),
    ];
    for &(change, before, after, rules) in cases {
        let faults = unreadable(&proto3(after), &proto3(before), ["new", "old"]);
        let found: Vec<_> = faults.iter().filter_map(|fault| fault.split('\'').nth(1)).collect();
        assert_eq!(found, rules, "{change}: {faults:?}");
    }
    let other = parse("syntax = \"proto3\"; package other; message A {}");
    assert_eq!(
        unreadable(&other, &proto3("message A {}"), ["new", "old"]),
        [
            "{errorType:'PACKAGE_CHANGED', description:'The package at '#/' in the new schema does not match the package in the old schema', additionalInfo:'`other` was `acme`'}"
        ],
    );
    let required = |field: &str| parse(&format!("message A {{ optional int32 x = 1; {field} }}"));
    let (without, with) = (required(""), required("required int32 must = 2;"));
    assert!(unreadable(&with, &without, ["new", "old"])[0].contains("REQUIRED_FIELD_ADDED"));
    assert!(unreadable(&without, &with, ["new", "old"])[0].contains("REQUIRED_FIELD_REMOVED"));
}

#[test]
fn messages_about_a_change_name_path_and_field() {
    let old = proto3("message User { message Home { int32 number = 4; } }");
    let new = proto3("message User { message Home { string number = 4; } }");
    expect![[
        "{errorType:'FIELD_SCALAR_KIND_CHANGED', description:'The kind of a SCALAR field at path '#/User/Home/4' in the new schema does not match its kind in the old schema', additionalInfo:'field `number`: string was int32'}"
    ]]
    .assert_eq(&unreadable(&new, &old, ["new", "old"]).join("\n"));
}

#[test]
fn a_change_in_an_imported_message_counts_where_a_field_is_made_of_it() {
    let with = |base: &str, use_it: bool| {
        let reference =
            ("base.proto".to_owned(), format!("syntax = \"proto3\"; package acme; message Base {{ {base} }}"));
        let field = if use_it { "Base base = 1;" } else { "" };
        let text = format!("syntax = \"proto3\"; import \"base.proto\"; package acme; message A {{ {field} }}");
        Schema::parse(&text, &[reference]).expect("a schema")
    };
    let faults = unreadable(&with("string x = 1;", true), &with("int32 x = 1;", true), ["new", "old"]);
    assert!(faults.len() == 1 && faults[0].contains("#/Base/1"), "{faults:?}");
    assert!(unreadable(&with("string x = 1;", false), &with("int32 x = 1;", false), ["new", "old"]).is_empty());
}

/// Whatever is taken keeps the laws of schemas.
fn check_laws(schema: &Schema) {
    let _columns = schema.columns().expect("columns");
    for normalize in [false, true] {
        let text = schema.canonical(normalize);
        let again = Schema::parse(&text, &[]).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(again.canonical(normalize), text);
    }
    let again = Schema::parse(&schema.serialized(), &[]).unwrap_or_else(|error| panic!("{schema:?}: {error:?}"));
    assert_eq!(unreadable(schema, &again, ["new", "old"]), Vec::<String>::new());
    assert_eq!(unreadable(schema, schema, ["new", "old"]), Vec::<String>::new());
}

#[test]
fn whatever_is_taken_keeps_the_laws() {
    check_laws(&parse(RICH));
}

proptest! {
    #[test]
    fn damaged_text_never_panics(
        at in any::<prop::sample::Index>(),
        cut in 0usize..12,
        put in prop::sample::select(vec![
            "", " ", "{", "}", ";", "\"", "=", "1", "-", "2147483648", "x", "message ", "oneof ", "group ", "map<", "reserved ",
            "extend ", "enum ", "int32 ", "optional ", "repeated ", ".", "(", "[", "acme.", "\\", "/*", "//", "to max",
        ]),
    ) {
        let at = at.index(RICH.len());
        let end = (at + cut).min(RICH.len());
        let text = format!("{}{put}{}", &RICH[..at], &RICH[end..]);
        if let Ok(schema) = Schema::parse(&text, &[]) {
            check_laws(&schema);
        }
    }

    #[test]
    fn damaged_serialized_files_never_panic(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = general_purpose::STANDARD.decode(parse(RICH).serialized()).expect("Base64");
        for (at, byte) in places {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(schema) = Schema::parse(&general_purpose::STANDARD.encode(&bytes), &[]) {
            check_laws(&schema);
        }
    }
}
