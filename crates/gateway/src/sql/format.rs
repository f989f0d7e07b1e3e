//! Rows as JSON, NDJSON, CSV or Arrow.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::StreamWriter,
    json::writer::{EncoderOptions, NullableEncoder, make_encoder},
};
use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use model::{Error, Result, error::codes};
use schemas::sql::type_name;
use serde_json::json;
use sql::Outcome;

use crate::error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    NdJson,
    Csv,
    Arrow,
}

/// What each format answers to in `Accept`.
const MEDIA_TYPES: &[(&str, Format)] = &[
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::NdJson),
    ("application/ndjson", Format::NdJson),
    ("application/jsonl", Format::NdJson),
    ("text/csv", Format::Csv),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
    ("application/*", Format::Json),
    ("text/*", Format::Csv),
    ("*/*", Format::Json),
];

impl Format {
    /// The one the client likes best; JSON if it does not say.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self> {
        let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
        if accept.is_empty() {
            return Ok(Self::Json);
        }
        let mut best: Option<(f32, Self)> = None;
        for range in accept.iter().flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let quality = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
            let known = MEDIA_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type));
            if let Some((_, format)) = known
                && quality > best.map_or(0.0, |(q, _)| q)
            {
                best = Some((quality, *format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| {
            Error::new(codes::HTTP_NOT_ACCEPTABLE, "no answer in a format the client accepts")
                .hint("accept application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream")
        })
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Writes one answer, piece by piece.
pub(super) struct Writer {
    schema: SchemaRef,
    kind: Kind,
}

enum Kind {
    /// `{"columns":[{"name","type"}…],"rows":[[…]…],"tag","row_count"}`
    Json {
        first: bool,
    },
    /// `{"column":value…}` a line.
    NdJson {
        keys: Vec<Vec<u8>>,
    },
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    pub(super) fn new(format: Format, outcome: &Outcome) -> Result<Self> {
        let schema = outcome.schema.clone();
        let kind = match format {
            Format::Json => Kind::Json { first: true },
            Format::NdJson => {
                let keys = schema.fields().iter().map(|f| {
                    let mut key = serde_json::to_vec(f.name()).expect("a string is JSON");
                    key.push(b':');
                    key
                });
                Kind::NdJson { keys: keys.collect() }
            }
            Format::Csv => Kind::Csv,
            Format::Arrow => {
                let sent = Schema::new(schema.fields().iter().map(|f| plain_field(f)).collect::<Vec<_>>());
                Kind::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &sent).map_err(not_written)?))
            }
        };
        Ok(Self { schema, kind })
    }

    /// What comes before the rows.
    pub(super) fn begin(&mut self) -> Result<Bytes> {
        Ok(match &mut self.kind {
            Kind::Json { .. } => {
                let columns: Vec<_> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|f| json!({"name": f.name(), "type": type_name(f.data_type())}))
                    .collect();
                format!("{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns)).into()
            }
            Kind::Arrow(writer) => std::mem::take(writer.get_mut()).into(),
            Kind::NdJson { .. } => Bytes::new(),
            // The header goes out even if no row follows.
            Kind::Csv => sql::csv::header(&self.schema).map_err(not_written)?.into(),
        })
    }

    pub(super) fn rows(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        match &mut self.kind {
            Kind::Json { first } => {
                let mut out = Vec::with_capacity(batch.num_rows() * 64);
                let columns = JsonColumns::new(batch)?;
                columns.each_row(|row| {
                    out.extend_from_slice(if std::mem::take(first) { b"\n[" } else { b",\n[" });
                    row.values(&mut out, b"", |_| &[]);
                    out.push(b']');
                })?;
                Ok(out.into())
            }
            Kind::NdJson { keys } => {
                let mut out = Vec::with_capacity(batch.num_rows() * 128);
                let columns = JsonColumns::new(batch)?;
                columns.each_row(|row| {
                    out.push(b'{');
                    row.values(&mut out, b"", |i| &keys[i]);
                    out.extend_from_slice(b"}\n");
                })?;
                Ok(out.into())
            }
            Kind::Csv => Ok(sql::csv::rows(batch).map_err(not_written)?.into()),
            Kind::Arrow(writer) => {
                writer.write(&plain(batch)?).map_err(not_written)?;
                Ok(std::mem::take(writer.get_mut()).into())
            }
        }
    }

    /// What comes after the rows.
    pub(super) fn end(&mut self, outcome: &Outcome, rows: usize, truncated: bool) -> Result<Bytes> {
        Ok(match &mut self.kind {
            Kind::Json { .. } => {
                let mut tail = json!({"tag": outcome.tag, "row_count": rows});
                let fields = tail.as_object_mut().expect("made as an object");
                if truncated {
                    fields.insert("truncated".to_owned(), true.into());
                }
                if let Some(affected) = outcome.rows_affected {
                    fields.insert("rows_affected".to_owned(), affected.into());
                }
                if !outcome.notices.is_empty() {
                    fields.insert("notices".to_owned(), outcome.notices.clone().into());
                }
                let tail = tail.to_string();
                format!("\n],{}\n", &tail[1..]).into()
            }
            Kind::Arrow(writer) => {
                writer.finish().map_err(not_written)?;
                std::mem::take(writer.get_mut()).into()
            }
            Kind::NdJson { .. } | Kind::Csv => Bytes::new(),
        })
    }

    /// The last words when `error` ends the rows early; the connection is cut after them.
    pub(super) fn fail(&mut self, error: &Error) -> Bytes {
        let error = serde_json::to_string(&error::body(error)).expect("texts are JSON");
        match self.kind {
            Kind::Json { .. } => format!("\n],{}", &error[1..]).into(),
            Kind::NdJson { .. } | Kind::Csv => (error + "\n").into(),
            // Framed as a message, so that readers find it invalid rather than take its text for a length.
            Kind::Arrow(_) => {
                let length = u32::try_from(error.len()).unwrap_or_default();
                [&[0xff; 4], &length.to_le_bytes(), error.as_bytes()].concat().into()
            }
        }
    }
}

/// The columns of a batch in forms the JSON encoder takes.
struct JsonColumns {
    fields: Vec<FieldRef>,
    arrays: Vec<ArrayRef>,
    rows: usize,
}

/// One row about to be written.
struct JsonRow<'a, 'b> {
    encoders: &'a mut [NullableEncoder<'b>],
    row: usize,
}

impl JsonColumns {
    fn new(batch: &RecordBatch) -> Result<Self> {
        let mut columns = Self { fields: Vec::new(), arrays: Vec::new(), rows: batch.num_rows() };
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let array =
                if matches!(array.data_type(), DataType::Union(_, _)) { to_text(array)? } else { array.clone() };
            columns.fields.push(Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone())));
            columns.arrays.push(array);
        }
        Ok(columns)
    }

    fn each_row(&self, mut each: impl FnMut(JsonRow<'_, '_>)) -> Result<()> {
        let options = EncoderOptions::default().with_explicit_nulls(true);
        let mut encoders = self
            .fields
            .iter()
            .zip(&self.arrays)
            .map(|(field, array)| make_encoder(field, array, &options).map_err(not_written))
            .collect::<Result<Vec<_>>>()?;
        (0..self.rows).for_each(|row| each(JsonRow { encoders: &mut encoders, row }));
        Ok(())
    }
}

impl JsonRow<'_, '_> {
    /// `key(i)` and value of each column, separated by commas.
    fn values<'k>(self, out: &mut Vec<u8>, start: &[u8], key: impl Fn(usize) -> &'k [u8]) {
        out.extend_from_slice(start);
        for (i, encoder) in self.encoders.iter_mut().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key(i));
            if encoder.is_null(self.row) {
                out.extend_from_slice(b"null");
            } else {
                encoder.encode(self.row, out);
            }
        }
    }
}

fn to_text(array: &ArrayRef) -> Result<ArrayRef> {
    cast(array, &DataType::Utf8).map_err(not_written)
}

/// Arrow readers older than the view types still are many: views travel as plain strings and bytes.
fn plain_field(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema_ref();
    let fields: Vec<_> = schema.fields().iter().map(|f| plain_field(f)).collect();
    let columns = fields.iter().zip(batch.columns()).map(|(f, a)| cast(a, f.data_type()).map_err(not_written));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    // A row of no columns still is a row.
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows).map_err(not_written)
}

fn not_written(error: ArrowError) -> Error {
    Error::new(codes::HTTP_RESULT_UNSENDABLE, "could not write the result in this format").detail(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Option<Format> {
        Format::accepted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().expect("a value"))])).ok()
    }

    #[test]
    fn the_best_liked_format_is_taken() {
        assert_eq!(accepted("*/*"), Some(Format::Json));
        assert_eq!(accepted("text/csv"), Some(Format::Csv));
        assert_eq!(accepted("text/csv;q=0.5, application/x-ndjson"), Some(Format::NdJson));
        assert_eq!(accepted("image/png, application/vnd.apache.arrow.stream"), Some(Format::Arrow));
        assert_eq!(accepted("text/html,application/xhtml+xml,*/*;q=0.8"), Some(Format::Json));
        assert_eq!(accepted("image/png"), None);
        assert_eq!(Format::accepted(&HeaderMap::new()).ok(), Some(Format::Json));
    }

    #[test]
    fn last_words_have_code_and_message_and_end_no_answer_well() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let outcome = || Outcome {
            tag: "SELECT".to_owned(),
            schema: schema.clone(),
            stream: None,
            rows_affected: None,
            notices: Vec::new(),
        };
        let batch = RecordBatch::new_empty(schema.clone());
        let error = Error::new(codes::SQL_VALUE, "division by zero");
        for (format, expected) in [
            (Format::Json, "\n],\"error\":{\"code\":\"LH0505\",\"message\":\"division by zero\"}}"),
            (Format::NdJson, "{\"error\":{\"code\":\"LH0505\",\"message\":\"division by zero\"}}\n"),
            (Format::Csv, "{\"error\":{\"code\":\"LH0505\",\"message\":\"division by zero\"}}\n"),
        ] {
            let mut writer = Writer::new(format, &outcome()).expect("a writer");
            assert_eq!(writer.fail(&error), expected);
        }
        let mut writer = Writer::new(Format::Arrow, &outcome()).expect("a writer");
        let pieces = [writer.begin().expect("begins"), writer.rows(&batch).expect("rows"), writer.fail(&error)];
        let reader = arrow::ipc::reader::StreamReader::try_new(std::io::Cursor::new(pieces.concat()), None);
        let read: Vec<_> = reader.expect("a stream").collect();
        assert!(matches!(read.as_slice(), [Ok(_), Err(_)]), "{read:?}");
    }
}
