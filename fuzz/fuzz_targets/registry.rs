//! Two schemas, Avro, JSON Schema or Protobuf: parsing, canonical text, columns, compatibility in both directions.
//!
//! Laws: nothing panics or takes for ever; canonical text parses to the same canonical text; every schema is compatible
//! with itself; memory stays in proportion to the text.

#![no_main]

use lakehead_fuzz::{parts, within};
use schemas::{ParsedSchema, SchemaType, avro, json_schema, protobuf};

/// Types, names and messages for each byte of schema; both schemas are walked in pairs.
const GROWTH_MAX: usize = 4000;
const FIXED_BYTES: usize = 1 << 20;
/// What a Protobuf schema imports by a short name: Google's descriptors are hundreds of kilobytes.
const IMPORTED_BYTES: usize = 16 << 20;
/// Larger schemas can use up the steps that a comparison may take.
const COMPARED_BYTES_MAX: usize = 4096;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, texts)) = data.split_first() else { return };
    let schema_type = match how % 3 {
        0 => SchemaType::Avro,
        1 => SchemaType::Json,
        _ => SchemaType::Protobuf,
    };
    let texts: Vec<&str> = parts(texts, 0xff).take(3).filter_map(|text| std::str::from_utf8(text).ok()).collect();
    let references: Vec<_> = texts.get(2).map(|text| ("other".to_owned(), (*text).to_owned())).into_iter().collect();
    let imported = if schema_type == SchemaType::Protobuf { IMPORTED_BYTES } else { 0 };
    within(FIXED_BYTES + imported + GROWTH_MAX * data.len(), || {
        let parsed: Vec<_> =
            texts.iter().take(2).filter_map(|text| ParsedSchema::parse(schema_type, text, &references).ok()).collect();
        for schema in &parsed {
            alone(schema_type, schema, &references, data.len());
        }
        if let [old, new] = parsed.as_slice() {
            let _conflicts = (conflicts(old, new), conflicts(new, old));
        }
    });
});

fn alone(schema_type: SchemaType, schema: &ParsedSchema, references: &[(String, String)], text_bytes: usize) {
    let _columns = schema.columns();
    for normalize in [false, true] {
        let text = schema.canonical(normalize);
        let again = ParsedSchema::parse(schema_type, &text, references).expect("canonical text is a schema");
        assert_eq!(again.canonical(normalize), text);
    }
    if text_bytes <= COMPARED_BYTES_MAX {
        assert_eq!(conflicts(schema, schema), Vec::<String>::new());
    }
}

/// What keeps readers of `new` from reading what was written with `old`.
fn conflicts(old: &ParsedSchema, new: &ParsedSchema) -> Vec<String> {
    match (old, new) {
        (ParsedSchema::Avro(old), ParsedSchema::Avro(new)) => avro::unreadable(new, old, ["new", "old"]),
        (ParsedSchema::Json(old), ParsedSchema::Json(new)) => json_schema::narrowings(old, new, ["old", "new"]),
        (ParsedSchema::Protobuf(old), ParsedSchema::Protobuf(new)) => protobuf::unreadable(new, old, ["new", "old"]),
        _ => unreachable!("both are of one type"),
    }
}
