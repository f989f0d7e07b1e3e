//! Payloads → columns, in every format, by declared and by inferred columns, and by a schema that is itself untrusted.
//!
//! Laws: nothing panics; every payload is a row, a rejection or a line of names; a payload decodes the same whatever its
//! neighbours are; memory stays in proportion to the payloads.

#![no_main]

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakehead_fuzz::{parts, within};
use schemas::{
    Format, ParsedSchema, RegisteredSchema, SchemaSource, SchemaType,
    decode::{DecodeOptions, Decoder},
    infer::infer,
    no_schemas,
};

/// A row of all columns takes a few hundred bytes, a payload of two bytes is a row.
const GROWTH_MAX: usize = 2000;
const FIXED_BYTES: usize = 1 << 20;
/// What a Protobuf schema imports by a short name: Google's descriptors are hundreds of kilobytes.
const IMPORTED_BYTES: usize = 16 << 20;
const PAYLOADS_MAX: usize = 64;

static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let list = DataType::List(Arc::new(field("element", DataType::Int32)));
    let structure = DataType::Struct(vec![field("x", DataType::Int64), field("y", list.clone())].into());
    Arc::new(Schema::new(vec![
        field("b", DataType::Boolean),
        field("i", DataType::Int32),
        field("l", DataType::Int64),
        field("f", DataType::Float64),
        field("d", DataType::Decimal128(10, 2)),
        field("s", DataType::Utf8),
        field("raw", DataType::Binary),
        field("day", DataType::Date32),
        field("t", DataType::Time64(TimeUnit::Microsecond)),
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("a", list),
        field("o", structure),
    ]))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let payloads: Vec<&[u8]> = parts(data, 0xff).take(PAYLOADS_MAX).collect();
    let imported = if how % 9 == 8 { IMPORTED_BYTES } else { 0 };
    within(FIXED_BYTES + imported + GROWTH_MAX * data.len(), || match how % 9 {
        0 => decode(Format::Json, &COLUMNS, true, &payloads, no_schemas()),
        1 => {
            let flat: Vec<_> = COLUMNS.fields().iter().filter(|f| !f.data_type().is_nested()).cloned().collect();
            decode(Format::Delimited { delimiter: b',' }, &Arc::new(Schema::new(flat)), true, &payloads, no_schemas())
        }
        2 => {
            let at = (how / 9) as usize % COLUMNS.fields().len();
            let column: SchemaRef = Arc::new(Schema::new(vec![COLUMNS.field(at).clone()]));
            for format in [Format::Json, Format::Kafka, Format::Text, Format::Bytes] {
                decode(format, &column, false, &payloads, no_schemas());
            }
        }
        3 | 4 => inferred(&payloads, no_schemas()),
        5 => registered(SchemaType::Json, &payloads),
        8 => registered(SchemaType::Protobuf, &payloads),
        _ => registered(SchemaType::Avro, &payloads),
    });
});

/// The first payload is a schema, the others begin with its id once they are framed here. Protobuf payloads bring the
/// indexes of their message themselves.
fn registered(schema_type: SchemaType, payloads: &[&[u8]]) {
    let Some((text, payloads)) = payloads.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(parsed) = ParsedSchema::parse(schema_type, text, &[]) else { return };
    let columns = parsed.columns();
    let schema = Arc::new(RegisteredSchema { id: 1, schema_type, text: text.into(), references: Vec::new(), parsed });
    let schemas: Arc<dyn SchemaSource> = Arc::new(move |id: i32| (id == 1).then(|| schema.clone()));
    let framed: Vec<_> = payloads.iter().map(|payload| [&[0, 0, 0, 0, 1], *payload].concat()).collect();
    let framed: Vec<&[u8]> = framed.iter().map(Vec::as_slice).collect();
    let format = Format::of_schema(schema_type);
    if let Ok(columns) = columns {
        decode(format, &columns, true, &framed, schemas.clone());
    }
    decode(format, &COLUMNS, true, &framed, schemas.clone());
    inferred(&framed, schemas);
}

fn inferred(payloads: &[&[u8]], schemas: Arc<dyn SchemaSource>) {
    if let Some(inferred) = infer(payloads.iter().map(|payload| Some(*payload)), &*schemas) {
        decode(inferred.format, &inferred.columns, true, payloads, schemas);
    }
}

fn decode(format: Format, columns: &SchemaRef, wrapped: bool, payloads: &[&[u8]], schemas: Arc<dyn SchemaSource>) {
    let options = DecodeOptions { wrapped, names_line: payloads.len() % 2 == 0, ..DecodeOptions::default() };
    let Ok(mut decoder) = Decoder::new(format, columns.clone(), options, schemas.clone()) else { return };
    let all = decoder.decode(payloads.iter().map(|payload| Some(*payload)));
    assert_eq!(all.batch.num_rows() + all.rejected.len() + all.headers.len(), payloads.len());
    let rows = all.rows.clone().unwrap_or_else(|| (0..payloads.len()).collect());
    assert_eq!(rows.len(), all.batch.num_rows());
    for (at, row) in rows.into_iter().enumerate() {
        let alone = decoder.decode([Some(payloads[row])]);
        assert_eq!(alone.batch, all.batch.slice(at, 1), "payload {row} has other values beside others");
    }
}
