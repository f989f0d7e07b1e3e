use std::sync::Arc;

use model::Error;

use super::*;
use crate::{Reference, SchemaType};

fn avro(fields: &str) -> SchemaRequest {
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    SchemaRequest { schema, ..SchemaRequest::default() }
}

fn json(schema: &str) -> SchemaRequest {
    SchemaRequest { schema: schema.into(), schema_type: Some("JSON".into()), ..SchemaRequest::default() }
}

fn proto(schema: &str) -> SchemaRequest {
    SchemaRequest { schema: schema.into(), schema_type: Some("PROTOBUF".into()), ..SchemaRequest::default() }
}

fn commit<T>(registry: &mut Registry, decision: Result<Decision<T>, Error>) -> Result<T, u32> {
    let decision = decision.map_err(|error| error_code(&error))?;
    for record in &decision.records {
        registry.apply(&record.key, record.value.as_deref()).expect("our own record");
    }
    Ok(decision.answer)
}

fn register(registry: &mut Registry, subject: &str, request: &SchemaRequest) -> Result<i32, u32> {
    let decision = registry.register(subject, request, false);
    commit(registry, decision).map(|answer| answer.id)
}

fn with_level(level: &str) -> Registry {
    let mut registry = Registry::default();
    let update = ConfigUpdate { compatibility: Some(level.into()), ..ConfigUpdate::default() };
    let decision = registry.set_config(None, update);
    commit(&mut registry, decision).expect("a level");
    registry
}

const A: &str = r#"{"name":"a","type":"string"}"#;
const B_REQUIRED: &str = r#"{"name":"b","type":"int"}"#;
const B_OPTIONAL: &str = r#"{"name":"b","type":"int","default":0}"#;

/// Confluent's own table ("Summary: Schema Evolution and Compatibility"): which changes each level lets through.
#[test]
fn each_level_lets_through_what_confluent_documents() {
    let both = format!("{A},{B_REQUIRED}");
    let both_optional = format!("{A},{B_OPTIONAL}");
    // (change, versions one after the other, levels that refuse the last one)
    let cases: [(&str, Vec<&str>, &[&str]); 6] = [
        ("add optional", vec![A, &both_optional], &[]),
        ("delete optional", vec![&both_optional, A], &[]),
        ("add required", vec![A, &both], &["BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]),
        ("delete required", vec![&both, A], &["FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]),
        // Two steps that are each right and together wrong: only the transitive level looks back further than one.
        ("optional, then required", vec![A, &both_optional, &both], &["BACKWARD_TRANSITIVE", "FULL_TRANSITIVE"]),
        ("required, optional, gone", vec![&both, &both_optional, A], &["FORWARD_TRANSITIVE", "FULL_TRANSITIVE"]),
    ];
    for (change, versions, refusing) in cases {
        for level in Compatibility::ALL {
            let mut registry = with_level(level.as_str());
            let (last, earlier) = versions.split_last().expect("versions");
            for fields in earlier {
                register(&mut registry, "s", &avro(fields)).unwrap_or_else(|e| panic!("{change} under {level}: {e}"));
            }
            let outcome = register(&mut registry, "s", &avro(last));
            let expected = refusing.contains(&level.as_str());
            assert_eq!(outcome == Err(409), expected, "{change} under {level}: {outcome:?}");
        }
    }
}

fn messages(level: &str, old: &SchemaRequest, new: &SchemaRequest) -> Vec<String> {
    let mut registry = with_level(level);
    register(&mut registry, "s", old).expect("first version");
    let answer = registry.compatibility("s", None, new, true, false).expect("a check");
    assert_eq!(answer.is_compatible, answer.messages.as_ref().is_some_and(Vec::is_empty));
    answer.messages.unwrap_or_default()
}

#[test]
fn messages_name_the_field_and_the_rule() {
    let found = messages("BACKWARD", &avro(A), &avro(&format!("{A},{B_REQUIRED}")));
    assert_eq!(
        found,
        [
            "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'b' at path '/fields/1' in the new schema has no default value and is missing in the old schema', additionalInfo:'b'}",
            "{oldSchemaVersion: 1}",
            r#"{oldSchema: '{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}'}"#,
            "{compatibility: 'BACKWARD'}",
        ]
    );
    let rule = |old: &str, new: &str| messages("BACKWARD", &avro(old), &avro(new)).first().cloned().unwrap_or_default();
    let f = |t: &str| format!(r#"{{"name":"f","type":{t}}}"#);
    let cases = [
        (r#""int""#, r#""long""#, ""),
        (r#""long""#, r#""int""#, "TYPE_MISMATCH', description:'The type (path '/fields/0/type')"),
        (r#""string""#, r#""bytes""#, ""),
        (r#""int""#, r#"["null","int"]"#, ""),
        (r#"["null","int"]"#, r#""int""#, "TYPE_MISMATCH"),
        (r#"["null","int","string"]"#, r#"["null","int"]"#, "MISSING_UNION_BRANCH"),
        (
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
            r#"{"type":"enum","name":"E","symbols":["A"]}"#,
            "MISSING_ENUM_SYMBOLS', description:'The new schema is missing enum symbols '[B]' at path '/fields/0/type/symbols'",
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#,
            "",
        ),
        (r#"{"type":"fixed","name":"F","size":4}"#, r#"{"type":"fixed","name":"F","size":8}"#, "FIXED_SIZE_MISMATCH"),
        (r#"{"type":"fixed","name":"F","size":4}"#, r#"{"type":"fixed","name":"G","size":4}"#, "NAME_MISMATCH"),
        (r#"{"type":"fixed","name":"F","size":4}"#, r#"{"type":"fixed","name":"G","size":4,"aliases":["F"]}"#, ""),
        (
            r#"{"type":"array","items":"long"}"#,
            r#"{"type":"array","items":"int"}"#,
            "TYPE_MISMATCH', description:'The type (path '/fields/0/type/items')",
        ),
    ];
    for (old, new, expected) in cases {
        let found = rule(&f(old), &f(new));
        assert_eq!(found.is_empty(), expected.is_empty(), "{old} -> {new}: {found}");
        assert!(found.contains(expected), "{old} -> {new}: {found}");
    }
}

#[test]
fn a_first_schema_is_compatible_with_the_latest_there_is_not() {
    let registry = with_level("BACKWARD");
    let latest = registry.compatibility("new", Some(VersionSpec::Latest), &avro(""), true, false).expect("a check");
    assert!(latest.is_compatible);
    registry.compatibility("new", Some(VersionSpec::Number(1)), &avro(""), true, false).expect_err("no such version");
}

#[test]
fn json_schemas_follow_confluents_content_models() {
    let open = |more: &str| format!(r#"{{"type":"object","properties":{{"a":{{"type":"string"}}{more}}}}}"#);
    let closed = |more: &str, rest: &str| {
        format!(
            r#"{{"type":"object","properties":{{"a":{{"type":"string"}}{more}}},"additionalProperties":false{rest}}}"#
        )
    };
    let b = r#","b":{"type":"integer"}"#;
    // (old, new, the rule that refuses it, "" if none)
    let cases: Vec<(String, String, &str)> = vec![
        (open(""), open(b), "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"),
        (open(""), open(r#","b":{}"#), ""),
        (open(b), open(""), ""),
        (closed("", ""), closed(b, ""), ""),
        (closed("", ""), closed(b, r#","required":["b"]"#), "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"),
        (closed(b, ""), closed("", ""), "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        (closed(b, ""), closed(b, r#","required":["b"]"#), "REQUIRED_ATTRIBUTE_ADDED"),
        (closed(b, r#","required":["b"]"#), closed(b, ""), ""),
        (closed("", ""), open(""), ""),
        (open(""), closed("", ""), "ADDITIONAL_PROPERTIES_REMOVED"),
        (r#"{"type":"integer"}"#.into(), r#"{"type":"number"}"#.into(), ""),
        (r#"{"type":"number"}"#.into(), r#"{"type":"integer"}"#.into(), "TYPE_"),
        (r#"{"type":"string"}"#.into(), r#"{"type":["string","null"]}"#.into(), ""),
        (r#"{"type":["string","null"]}"#.into(), r#"{"type":"string"}"#.into(), "TYPE_NARROWED"),
        (r#"{"type":"string","maxLength":5}"#.into(), r#"{"type":"string","maxLength":9}"#.into(), ""),
        (r#"{"type":"string","maxLength":5}"#.into(), r#"{"type":"string","maxLength":3}"#.into(), "MAX_LENGTH_DECREASED"),
        (r#"{"type":"number","minimum":1}"#.into(), r#"{"type":"number","minimum":2}"#.into(), "MINIMUM_INCREASED"),
        (r#"{"enum":["a","b"]}"#.into(), r#"{"enum":["a","b","c"]}"#.into(), ""),
        (r#"{"enum":["a","b"]}"#.into(), r#"{"enum":["a"]}"#.into(), "ENUM_ARRAY_NARROWED"),
        (r#"{"type":"string"}"#.into(), r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#.into(), ""),
        (r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#.into(), r#"{"type":"string"}"#.into(), "TYPE_"),
        (r#"{"oneOf":[{"type":"string"}]}"#.into(), r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#.into(), ""),
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#.into(), r#"{"oneOf":[{"type":"string"}]}"#.into(), "SUM_TYPE_NARROWED"),
        (r#"{"type":"array","items":{"type":"integer"}}"#.into(), r#"{"type":"array","items":{"type":"string"}}"#.into(), "TYPE_CHANGED"),
        (
            r##"{"type":"object","properties":{"n":{"$ref":"#/definitions/N"}},"definitions":{"N":{"type":"object","properties":{"next":{"$ref":"#/definitions/N"},"v":{"type":"number"}}}}}"##.into(),
            r##"{"type":"object","properties":{"n":{"$ref":"#/definitions/N"}},"definitions":{"N":{"type":"object","properties":{"next":{"$ref":"#/definitions/N"},"v":{"type":"string"}}}}}"##.into(),
            "TYPE_CHANGED",
        ),
    ];
    for (old, new, expected) in cases {
        let found = messages("BACKWARD", &json(&old), &json(&new)).first().cloned().unwrap_or_default();
        assert_eq!(found.is_empty(), expected.is_empty(), "{old} -> {new}: {found}");
        assert!(found.contains(expected), "{old} -> {new}: {found}");
    }
    let found = messages("FORWARD", &json(&closed(b, "")), &json(&closed("", "")));
    assert_eq!(found, Vec::<String>::new(), "what the old schema may still send, the new data never has");
}

#[test]
fn the_same_schema_has_one_id_and_one_version() {
    let mut registry = Registry::default();
    assert_eq!(register(&mut registry, "s", &avro(A)), Ok(1));
    let spaced = SchemaRequest { schema: avro(A).schema.replace(',', " , "), ..SchemaRequest::default() };
    assert_eq!(register(&mut registry, "s", &spaced), Ok(1));
    assert_eq!(register(&mut registry, "other", &avro(A)), Ok(1));
    assert_eq!(register(&mut registry, "s", &avro(&format!("{A},{B_OPTIONAL}"))), Ok(2));
    assert_eq!(registry.versions("s", false, false).unwrap(), [1, 2]);
    assert_eq!(registry.lookup("s", &spaced, false, false).unwrap().version, 1);
    assert_eq!(registry.schema_subjects(1, false).unwrap(), ["other", "s"]);
    assert_eq!(registry.latest("s").map(|(version, schema)| (version, schema.id)), Some((2, 2)));
    assert_eq!(error_code(&registry.lookup("s", &avro(B_REQUIRED), false, false).unwrap_err()), 40403);
    assert_eq!(error_code(&registry.lookup("none", &avro(A), false, false).unwrap_err()), 40401);
    assert_eq!(error_code(&registry.version("s", VersionSpec::Number(3), false).unwrap_err()), 40402);
    assert_eq!(error_code(&registry.schema(3, false).unwrap_err()), 40403);
}

#[test]
fn deleting_takes_two_steps_and_ids_are_never_used_again() {
    let mut registry = Registry::default();
    register(&mut registry, "s", &avro(A)).unwrap();
    register(&mut registry, "s", &avro(&format!("{A},{B_OPTIONAL}"))).unwrap();
    let delete_version = |registry: &mut Registry, version, permanent| {
        let decision = registry.delete_version("s", VersionSpec::Number(version), permanent);
        commit(registry, decision)
    };
    assert_eq!(delete_version(&mut registry, 2, true), Err(40407));
    assert_eq!(delete_version(&mut registry, 2, false), Ok(2));
    assert_eq!(delete_version(&mut registry, 2, false), Err(40406));
    assert_eq!(registry.versions("s", false, false).unwrap(), [1]);
    assert_eq!(registry.versions("s", true, false).unwrap(), [1, 2]);
    assert!(registry.schema(2, false).is_ok(), "soft-deleted schemas stay readable by id");
    assert_eq!(delete_version(&mut registry, 2, true), Ok(2));
    assert_eq!(error_code(&registry.schema(2, false).unwrap_err()), 40403);

    let delete = |registry: &mut Registry, permanent| {
        let decision = registry.delete_subject("s", permanent);
        commit(registry, decision)
    };
    assert_eq!(delete(&mut registry, true), Err(40405));
    assert_eq!(delete(&mut registry, false), Ok(vec![1]));
    assert_eq!(delete(&mut registry, false), Err(40404));
    assert_eq!(registry.subjects(None, false, false), Vec::<String>::new());
    assert_eq!(registry.subjects(None, true, false), ["s"]);
    assert_eq!(delete(&mut registry, true), Ok(vec![1]));
    assert_eq!(delete(&mut registry, true), Err(40401));

    let mut restored = Registry::default();
    for record in registry.snapshot() {
        restored.apply(&record.key, record.value.as_deref()).unwrap();
    }
    assert_eq!(register(&mut restored, "s", &avro(A)), Ok(3));
}

#[test]
fn a_snapshot_says_the_same_as_all_records() {
    let mut registry = with_level("FULL");
    register(&mut registry, "a", &avro(A)).unwrap();
    register(&mut registry, "a", &avro(&format!("{A},{B_OPTIONAL}"))).unwrap();
    register(&mut registry, "j", &json(r#"{"type":"object"}"#)).unwrap();
    let decision = registry.delete_version("a", VersionSpec::Latest, false);
    commit(&mut registry, decision).unwrap();
    let decision = registry.set_mode(Some("j"), "readonly", false);
    commit(&mut registry, decision).unwrap();

    let snapshot = registry.snapshot();
    assert_eq!(snapshot.len(), registry.live_records());
    let mut restored = Registry::default();
    for record in &snapshot {
        restored.apply(&record.key, record.value.as_deref()).unwrap();
    }
    assert_eq!(restored.snapshot(), snapshot);
    assert_eq!(restored.schemas(None, true, false), registry.schemas(None, true, false));
}

#[test]
fn modes_guard_subjects() {
    let mut registry = Registry::default();
    register(&mut registry, "s", &avro(A)).unwrap();
    let set = |registry: &mut Registry, subject: Option<&str>, mode: &str, force| {
        let decision = registry.set_mode(subject, mode, force);
        commit(registry, decision).map(|answer| answer.mode)
    };
    assert_eq!(set(&mut registry, None, "sometimes", false), Err(42204));
    assert_eq!(set(&mut registry, None, "IMPORT", false), Err(42205));
    assert_eq!(set(&mut registry, Some("s"), "READONLY", false), Ok(Mode::ReadOnly));
    assert_eq!(register(&mut registry, "s", &avro(A)), Ok(1), "what is there may be asked for");
    assert_eq!(register(&mut registry, "s", &avro(B_OPTIONAL)), Err(42205));
    assert_eq!(set(&mut registry, Some("new"), "IMPORT", false), Ok(Mode::Import));
    assert_eq!(register(&mut registry, "new", &avro(B_REQUIRED)), Err(42205));
    let imported = SchemaRequest { id: Some(100), version: Some(5), ..avro(B_REQUIRED) };
    assert_eq!(register(&mut registry, "new", &imported), Ok(100));
    assert_eq!(registry.versions("new", false, false).unwrap(), [5]);
    assert_eq!(register(&mut registry, "free", &avro(B_OPTIONAL)), Ok(101));
    assert_eq!(register(&mut registry, "free", &imported), Err(42205));
    assert_eq!(error_code(&registry.mode(Some("free"), false).unwrap_err()), 40409);
}

#[test]
fn references_are_followed_and_protected() {
    let mut registry = Registry::default();
    let address = r#"{"type":"record","name":"Address","namespace":"acme","fields":[{"name":"city","type":"string"}]}"#;
    register(&mut registry, "address", &SchemaRequest { schema: address.into(), ..SchemaRequest::default() }).unwrap();
    let person = SchemaRequest {
        references: Some(vec![Reference { name: "acme.Address".into(), subject: "address".into(), version: 1 }]),
        ..avro(r#"{"name":"home","type":"acme.Address"}"#)
    };
    assert_eq!(register(&mut registry, "person", &SchemaRequest { references: None, ..person.clone() }), Err(42201));
    let id = register(&mut registry, "person", &person).unwrap();
    assert_eq!(registry.referenced_by("address", VersionSpec::Latest).unwrap(), [id]);
    assert_eq!(registry.schema(id, false).unwrap().references.len(), 1);
    let columns = registry.registered(id).unwrap().parsed.columns().unwrap();
    assert_eq!(crate::sql::type_name(columns.field(0).data_type()), "STRUCT<city VARCHAR>");
    assert_eq!(error_code(&registry.delete_subject("address", false).unwrap_err()), 42206);

    let point = json(r#"{"type":"object","properties":{"x":{"type":"number"}}}"#);
    register(&mut registry, "point", &point).unwrap();
    let line = SchemaRequest {
        references: Some(vec![Reference { name: "point.json".into(), subject: "point".into(), version: 1 }]),
        ..json(r#"{"type":"object","properties":{"from":{"$ref":"point.json"}}}"#)
    };
    let id = register(&mut registry, "line", &line).unwrap();
    let columns = registry.registered(id).unwrap().parsed.columns().unwrap();
    assert_eq!(crate::sql::type_name(columns.field(0).data_type()), "STRUCT<x DOUBLE>");
}

#[test]
fn what_is_no_schema_is_refused_by_its_number() {
    let mut registry = Registry::default();
    let avro_text = |schema: &str| SchemaRequest { schema: schema.into(), ..SchemaRequest::default() };
    assert_eq!(register(&mut registry, "s", &avro_text("{")), Err(42201));
    assert_eq!(register(&mut registry, "s", &avro_text("")), Err(42201));
    assert_eq!(register(&mut registry, "s", &json(r#"{"type":"strange"}"#)), Err(42201));
    assert_eq!(register(&mut registry, "s", &json(r##"{"$ref":"#/nowhere"}"##)), Err(42201));
    assert_eq!(register(&mut registry, "s", &proto("message {")), Err(42201));
    assert_eq!(register(&mut registry, "s", &proto("import \"nowhere.proto\";")), Err(42201));
    let unknown = SchemaRequest { schema_type: Some("THRIFT".into()), ..avro_text("struct A {}") };
    assert_eq!(register(&mut registry, "s", &unknown), Err(42201));
    assert_eq!(register(&mut registry, "", &avro(A)), Err(42208));
    let wrong = ConfigUpdate { compatibility: Some("SIDEWAYS".into()), ..ConfigUpdate::default() };
    assert_eq!(error_code(&registry.set_config(None, wrong).unwrap_err()), 42203);
    assert_eq!(error_code(&"0".parse::<VersionSpec>().unwrap_err()), 42202);
}

#[test]
fn records_of_other_registries_are_understood() {
    let mut registry = Registry::default();
    let records: [(&str, Option<&str>); 6] = [
        (r#"{"keytype":"NOOP","magic":0}"#, None),
        (r#"{"keytype":"CONFIG","subject":null,"magic":0}"#, Some(r#"{"subject":null,"compatibilityLevel":"FULL"}"#)),
        (
            r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#,
            Some(r#"{"subject":"s","version":1,"id":41,"md5":"x","schema":"\"string\"","deleted":false}"#),
        ),
        (r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#, Some(r#"{"subject":"s","version":1}"#)),
        (r#"{"keytype":"CONTEXT","context":".x","magic":0}"#, Some("{}")),
        (
            r#"{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}"#,
            Some(r#"{"subject":"p","version":1,"id":42,"schemaType":"PROTOBUF","schema":"syntax","deleted":false}"#),
        ),
    ];
    for (key, value) in records {
        registry.apply(key.as_bytes(), value.map(str::as_bytes)).expect(key);
    }
    assert!(registry.apply(b"nonsense", None).is_err());
    assert_eq!(registry.level("any"), Compatibility::Full);
    assert_eq!(registry.subjects(None, true, true), ["s"]);
    assert!(registry.schema(42, false).is_ok() && registry.registered(42).is_none());
    assert_eq!(register(&mut registry, "s", &avro(A)), Ok(43));
    let _: Option<Arc<crate::RegisteredSchema>> = registry.registered(43);
}

/// A message of a common file, one that imports it, and one that imports both.
fn with_imports(registry: &mut Registry) -> [i32; 3] {
    let reference = |name: &str, subject: &str| Reference { name: name.into(), subject: subject.into(), version: 1 };
    let base = proto("syntax = \"proto3\"; package acme; message Base { int32 x = 1; }");
    let middle = SchemaRequest {
        references: Some(vec![reference("base.proto", "base")]),
        ..proto("syntax = \"proto3\"; package acme; import \"base.proto\"; message Middle { Base base = 1; }")
    };
    let top = SchemaRequest {
        references: Some(vec![reference("middle.proto", "middle")]),
        ..proto("syntax = \"proto3\"; package acme; import \"middle.proto\"; message Top { Middle middle = 1; }")
    };
    [("base", base), ("middle", middle), ("top", top)]
        .map(|(subject, request)| register(registry, subject, &request).expect(subject))
}

#[test]
fn protobuf_imports_are_references_and_hold_what_they_name() {
    let mut registry = Registry::default();
    let [base, middle, top] = with_imports(&mut registry);
    let answer = registry.schema(top, false).unwrap();
    assert_eq!(answer.schema_type, SchemaType::Protobuf);
    assert_eq!(answer.references[0].subject, "middle");
    assert_eq!(answer.schema.lines().next(), Some("syntax = \"proto3\";"));
    let columns = registry.registered(top).unwrap().parsed.columns().unwrap();
    assert_eq!(crate::sql::type_name(columns.field(0).data_type()), "STRUCT<base STRUCT<x INT>>");
    assert_eq!(registry.referenced_by("base", VersionSpec::Latest).unwrap(), [middle]);
    assert_eq!(registry.referenced_by("middle", VersionSpec::Number(1)).unwrap(), [top]);
    let code = |result: Result<Decision<i32>, Error>| error_code(&result.unwrap_err());
    assert_eq!(code(registry.delete_version("base", VersionSpec::Number(1), false)), 42206);
    assert_eq!(error_code(&registry.delete_subject("middle", false).unwrap_err()), 42206);
    // Whoever goes last holds nobody.
    for subject in ["top", "middle", "base"] {
        let decision = registry.delete_subject(subject, false);
        assert_eq!(commit(&mut registry, decision), Ok(vec![1]), "{subject}");
    }
    assert!(registry.schema(base, false).is_ok(), "ids stay readable");
    let dangling = SchemaRequest {
        references: Some(vec![Reference { name: "x.proto".into(), subject: "nobody".into(), version: 1 }]),
        ..proto("import \"x.proto\";")
    };
    assert_eq!(register(&mut registry, "s", &dangling), Err(42201));
}

#[test]
fn the_same_protobuf_schema_has_one_id_however_it_is_written() {
    let mut registry = Registry::default();
    let id =
        register(&mut registry, "a", &proto("syntax = \"proto3\"; message A { string s = 1; int32 n = 2; }")).unwrap();
    let spaced = "syntax=\"proto3\";\n// a comment\nmessage A {\n  string s = 1; int32 n=2;\n}\n";
    assert_eq!(register(&mut registry, "a", &proto(spaced)), Ok(id));
    assert_eq!(register(&mut registry, "b", &proto(spaced)), Ok(id));
    let serialized = registry.formatted(id, "serialized").unwrap();
    assert_eq!(register(&mut registry, "a", &proto(&serialized)), Ok(id));
    // Another order of fields is another text, and the same schema once it is normalized.
    let turned = proto("syntax = \"proto3\"; message A { int32 n = 2; string s = 1; }");
    let decision = registry.register("a", &turned, true);
    assert_eq!(commit(&mut registry, decision).map(|answer| answer.id), Ok(id));
    assert_ne!(register(&mut registry, "a", &turned), Ok(id));
    assert_eq!((registry.formatted(id, "resolved"), registry.formatted(999, "serialized")), (None, None));
}

/// One change that harms who reads old data with the new schema, and one that harms both ways.
#[test]
fn each_level_asks_protobuf_in_its_direction() {
    let one = "syntax = \"proto3\"; message A { string s = 1; }";
    let two = "syntax = \"proto3\"; message A { string s = 1; } message B {}";
    let other = "syntax = \"proto3\"; message A { int32 s = 1; }";
    let cases: [(&str, Vec<&str>, &[&str]); 4] = [
        ("add a message", vec![one, two], &["FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]),
        ("remove a message", vec![two, one], &["BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]),
        (
            "change a type",
            vec![one, other],
            &["BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"],
        ),
        ("add a field", vec![one, "syntax = \"proto3\"; message A { string s = 1; int32 n = 2; }"], &[]),
    ];
    for (change, versions, refusing) in cases {
        for level in Compatibility::ALL {
            let mut registry = with_level(level.as_str());
            let (last, earlier) = versions.split_last().expect("versions");
            for text in earlier {
                register(&mut registry, "s", &proto(text)).unwrap_or_else(|e| panic!("{change} under {level}: {e}"));
            }
            let outcome = register(&mut registry, "s", &proto(last));
            assert_eq!(outcome == Err(409), refusing.contains(&level.as_str()), "{change} under {level}: {outcome:?}");
        }
    }
    // Only a transitive level looks back further than one version.
    let steps = [one, "syntax = \"proto3\"; message A {}", other];
    for (level, expected) in [("BACKWARD", true), ("BACKWARD_TRANSITIVE", false)] {
        let mut registry = with_level(level);
        let outcomes = steps.map(|text| register(&mut registry, "s", &proto(text)).is_ok());
        assert_eq!(outcomes, [true, true, expected], "{level}");
    }
    let mut registry = Registry::default();
    register(&mut registry, "s", &avro(A)).unwrap();
    assert_eq!(register(&mut registry, "s", &proto(one)), Err(409), "another type of schema");
}

#[test]
fn contexts_are_those_of_the_subjects() {
    let mut registry = Registry::default();
    assert_eq!(registry.contexts(), ["."]);
    for subject in ["plain", ":.:default", ":.team:orders-value", ":.team:parts-value", ":.ahead:x", ":odd", ":odd:x"] {
        register(&mut registry, subject, &avro(A)).expect(subject);
    }
    assert_eq!(registry.contexts(), [".", ".ahead", ".team"]);
    for permanent in [false, true] {
        assert!(registry.contexts().contains(&".ahead".to_owned()), "a soft-deleted subject can come back");
        let decision = registry.delete_subject(":.ahead:x", permanent);
        commit(&mut registry, decision).expect("delete");
    }
    assert_eq!(registry.contexts(), [".", ".team"]);
}

#[test]
fn no_version_has_metadata() {
    let mut registry = Registry::default();
    register(&mut registry, "s", &avro(A)).expect("register");
    let asked = |subject, deleted| registry.latest_with_metadata(subject, deleted).map_err(|e| error_code(&e));
    assert_eq!(asked("s", false), Err(40403));
    assert_eq!(asked("nobody", true), Err(40401));
}

#[test]
fn what_is_not_kept_is_refused_by_name() {
    let mut registry = Registry::default();
    let request = |json: &str| -> SchemaRequest { serde_json::from_str(json).expect("a request") };
    let plain = r#"{"schema": "\"long\"", "metadata": null, "ruleSet": {"domainRules": []}, "somethingElse": 1}"#;
    assert_eq!(register(&mut registry, "s", &request(plain)), Ok(1));
    for (field, value) in [
        ("metadata", r#"{"properties": {"owner": "ann"}}"#),
        ("ruleSet", r#"{"domainRules": [{"name": "r", "kind": "CONDITION", "type": "CEL", "expr": "message.a > 0"}]}"#),
    ] {
        let asked = request(&format!(r#"{{"schema": "\"int\"", "{field}": {value}}}"#));
        let refused = registry.register("s", &asked, false).expect_err(field);
        assert_eq!((error_code(&refused), http_status(&refused)), (42205, 422), "{refused}");
        assert!(refused.message().contains(field), "{refused}");
        assert!(registry.lookup("s", &asked, false, false).is_err());
    }
    let update = |json: &str| -> ConfigUpdate { serde_json::from_str(json).expect("an update") };
    for field in ["alias", "compatibilityGroup", "overrideRuleSet"] {
        let asked = update(&format!(r#"{{"compatibility": "FULL", "{field}": "x"}}"#));
        let refused = registry.set_config(Some("s"), asked).expect_err(field);
        assert!(error_code(&refused) == 42205 && refused.message().contains(field), "{refused}");
    }
    let kept = registry.set_config(Some("s"), update(r#"{"compatibility": "FULL", "alias": null}"#));
    assert!(kept.is_ok());
}
