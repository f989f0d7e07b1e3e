use arrow::datatypes::{Field, Schema, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::{
    SchemaType,
    decode::{DecodeOptions, Decoder},
};

fn columns() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
    let nested = DataType::Struct(vec![Field::new("x", DataType::Utf8, true), Field::new("l", list, true)].into());
    Arc::new(Schema::new(vec![
        Field::new("b", DataType::Boolean, true),
        Field::new("i", DataType::Int32, true),
        Field::new("l", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(20, 3), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("raw", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("t", DataType::Time64(TimeUnit::Microsecond), true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("n", nested, true),
        Field::new("m", crate::avro::map_type(DataType::Utf8, DataType::Float64), true),
    ]))
}

/// Rows with every type, of any values that their wire form can hold.
fn row() -> impl Strategy<Value = serde_json::Value> {
    let text = proptest::option::of(".{0,12}");
    (
        (any::<Option<bool>>(), any::<Option<i32>>(), any::<Option<i64>>(), proptest::option::of(-1e12f64..1e12)),
        (proptest::option::of(-1_000_000_000i64..1_000_000_000), text, proptest::option::of(-100_000i32..100_000)),
        (proptest::option::of(0i64..86_400_000), proptest::option::of(-10_000_000_000_000i64..10_000_000_000_000)),
        (proptest::option::of(proptest::collection::vec(any::<Option<i64>>(), 0..3)), ".{0,5}"),
    )
        .prop_map(|((b, i, l, f), (d, s, day), (t, ts), (list, key))| {
            serde_json::json!({
                "b": b, "i": i, "l": l, "f": f, "d": d.map(|d| format!("{}.{:03}", d / 1000, (d % 1000).abs())), "s": s,
                "raw": s.as_ref().map(|_| "AAEC/w=="), "day": day, "t": t, "ts": ts,
                "n": list.as_ref().map(|list| serde_json::json!({"x": s, "l": list})), "m": {key: f}
            })
        })
}

fn decode(format: Format, payloads: &[Option<Bytes>], schemas: Arc<dyn crate::SchemaSource>) -> RecordBatch {
    let mut decoder = Decoder::new(format, columns(), DecodeOptions::default(), schemas).expect("legal columns");
    let decoded = decoder.decode(payloads.iter().map(Option::as_deref));
    assert_eq!(decoded.rejected, []);
    decoded.batch
}

fn registered(schema_type: SchemaType, text: &str) -> Arc<RegisteredSchema> {
    let parsed = ParsedSchema::parse(schema_type, text, &[]).expect("a schema we made ourselves");
    Arc::new(RegisteredSchema { id: 7, schema_type, text: text.into(), references: vec![], parsed })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same_rows(rows in proptest::collection::vec(row(), 1..6)) {
        let payloads: Vec<_> = rows.iter().map(|row| Some(Bytes::from(row.to_string()))).collect();
        let batch = decode(Format::Json, &payloads, crate::no_schemas());

        let avro = registered(SchemaType::Avro, &avro_schema(&columns(), "com.acme.Row-1", true).unwrap());
        let json = registered(SchemaType::Json, &json_schema(&columns(), "Row", true).unwrap());
        for (format, schema) in [(Format::Json, None), (Format::Avro, Some(avro)), (Format::JsonSr, Some(json))] {
            let encoded = Encoder::new(format, columns(), true, schema.clone()).unwrap().encode(&batch).unwrap();
            let schemas = move |id: i32| schema.clone().filter(|schema| schema.id == id);
            prop_assert_eq!(&decode(format, &encoded, Arc::new(schemas)), &batch, "{}", format);
        }
    }

    #[test]
    fn damaged_avro_never_panics(rows in proptest::collection::vec(row(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let payloads: Vec<_> = rows.iter().map(|row| Some(Bytes::from(row.to_string()))).collect();
        let batch = decode(Format::Json, &payloads, crate::no_schemas());
        let schema = registered(SchemaType::Avro, &avro_schema(&columns(), "Row", true).unwrap());
        let encoded = Encoder::new(Format::Avro, columns(), true, Some(schema.clone())).unwrap().encode(&batch).unwrap();
        let mut decoder = Decoder::new(Format::Avro, columns(), DecodeOptions::default(), Arc::new(move |_: i32| Some(schema.clone()))).unwrap();
        let mut damaged = encoded[0].clone().unwrap().to_vec();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        damaged.truncate(cut.index(damaged.len()) + 1);
        let decoded = decoder.decode([Some(damaged.as_slice()), encoded[0].as_deref()]);
        prop_assert!(decoded.batch.num_rows() >= 1, "the good payload is read whatever stands before it");
    }
}

#[test]
fn the_schema_of_columns_gives_the_columns_back() {
    let avro = ParsedSchema::parse(SchemaType::Avro, &avro_schema(&columns(), "Row", true).unwrap(), &[]).unwrap();
    assert_eq!(avro.columns().unwrap(), columns());
    let json = ParsedSchema::parse(SchemaType::Json, &json_schema(&columns(), "Row", true).unwrap(), &[]).unwrap();
    // JSON Schema has no word for a time without a zone: all are instants.
    let instant = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, None) => {
            field.as_ref().clone().with_data_type(DataType::Timestamp(*unit, Some("+00:00".into())))
        }
        _ => field.as_ref().clone(),
    };
    let expected = Schema::new(columns().fields().iter().map(instant).collect::<Vec<_>>());
    assert_eq!(*json.columns().unwrap(), expected);
}

#[test]
fn delimited_text_tells_null_from_empty() {
    let columns: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int64, true),
        Field::new("c", DataType::Utf8, true),
    ]));
    let format = Format::Delimited { delimiter: b',' };
    let lines = ["x,1,\"say \"\"hi\"\", now\"", "\"\",,", ",2,y"];
    let mut decoder = Decoder::new(format, columns.clone(), DecodeOptions::default(), crate::no_schemas()).unwrap();
    let batch = decoder.decode(lines.iter().map(|line| Some(line.as_bytes()))).batch;
    let encoded = Encoder::new(format, columns, true, None).unwrap().encode(&batch).unwrap();
    let encoded: Vec<_> = encoded.iter().map(|p| std::str::from_utf8(p.as_deref().unwrap()).unwrap()).collect();
    assert_eq!(encoded, lines);
}

#[test]
fn a_writer_without_a_field_gets_its_default_and_numbers_widen() {
    let old = registered(
        SchemaType::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"i","type":"int"},{"name":"gone","type":"string"}]}"#,
    );
    let new = ParsedSchema::parse(
        SchemaType::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":"double","aliases":["i"]},{"name":"s","type":"string","default":"none"}]}"#,
        &[],
    )
    .unwrap();
    let mut decoder = Decoder::new(
        Format::Avro,
        new.columns().unwrap(),
        DecodeOptions::default(),
        Arc::new(move |id: i32| Some(old.clone()).filter(|_| id == 7)),
    )
    .unwrap();
    let decoded = decoder.decode([
        Some(&[0, 0, 0, 0, 7, 10, 2, b'x'][..]),
        Some(&[0, 0, 0, 0, 8, 10]),
        Some(&[0, 0, 0, 0, 7, 10, 4, b'x']),
    ]);
    assert_eq!(decoded.batch.column(0).as_primitive::<Float64Type>().value(0), 5.0);
    assert_eq!(decoded.batch.column(1).as_string::<i32>().value(0), "none");
    assert_eq!(decoded.unknown_fields, ["gone"]);
    let causes: Vec<_> = decoded.rejected.iter().map(|r| (r.cause.as_str(), r.schema_id)).collect();
    assert_eq!(
        causes,
        [("schema 8 is not in the registry", Some(8)), ("field `gone`: the payload ends 1 bytes too early", Some(7))]
    );
}

#[test]
fn a_value_without_a_field_is_refused() {
    let fields = r#"[{"name":"x","type":["null","string"]}]"#;
    let schema = registered(
        SchemaType::Avro,
        &format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"n","type":{{"type":"record","name":"N","fields":{fields}}}}}]}}"#
        ),
    );
    let encoder = Encoder::new(Format::Avro, columns(), true, Some(schema)).unwrap();
    let encode = |row: &'static str| encoder.encode(&decode(Format::Json, &[Some(row.into())], crate::no_schemas()));
    assert!(encode(r#"{"n": {"x": "a"}}"#).is_ok());
    for (row, column) in [(r#"{"n": {"x": "a", "l": [1]}}"#, "l"), (r#"{"n": {"x": "a"}, "i": 1}"#, "i")] {
        let error = encode(row).unwrap_err();
        assert!(error.detail_text().unwrap().contains(&format!("no field for column `{column}`")), "{error:?}");
    }
}
