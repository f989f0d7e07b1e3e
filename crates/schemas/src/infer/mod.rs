//! What a topic holds, judged by a sample of its payloads.
//!
//! Integers become BIGINT and other numbers DOUBLE from the start, so that later samples rarely widen anything.
//! Columns keep the order in which fields were first met, and the case in which they were written. Text becomes
//! TIMESTAMPTZ only if every sample is RFC 3339 with an offset, and DATE only if every sample is `YYYY-MM-DD`; a field that
//! was only ever null gets no column yet.

mod separated;
mod shape;
mod widen;

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use self::{separated::separated, shape::Fields, widen::merge_types};
pub use self::{
    separated::separated_by,
    widen::{apply, merge, widen},
};
use crate::{Format, SchemaSource, SchemaType, decode};

/// Distinct keys after which a nested object is a dictionary rather than a record; its column holds JSON text.
pub const NESTED_FIELDS_MAX: usize = 256;

/// What a sample looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    pub format: Format,
    pub columns: SchemaRef,
    /// Newest schema in the frames of the sample.
    pub schema_id: Option<i32>,
}

/// Judges `sample`; `None` if it holds no payload (empty or all tombstones).
///
/// A few odd payloads do not change the verdict: four in five decide.
pub fn infer<'a>(sample: impl IntoIterator<Item = Option<&'a [u8]>>, schemas: &dyn SchemaSource) -> Option<Inferred> {
    let payloads: Vec<&[u8]> = sample.into_iter().flatten().collect();
    if payloads.is_empty() {
        return None;
    }
    let inferred = framed(&payloads, schemas).or_else(|| json(&payloads)).or_else(|| separated(&payloads));
    Some(inferred.unwrap_or_else(|| opaque(&payloads)))
}

/// Whether `part` is so many of `all` that the rest may be mistakes.
fn prevails(part: usize, all: usize) -> bool {
    part > 0 && part * 5 >= all * 4
}

/// Payloads that begin with the id of a schema in the registry: the newest one's columns, and behind them what older
/// ones had besides.
fn framed(payloads: &[&[u8]], schemas: &dyn SchemaSource) -> Option<Inferred> {
    let ids = payloads.iter().filter_map(|payload| decode::unframe(payload).ok()).map(|(id, _)| id);
    let ids: Vec<_> = ids.filter(|&id| schemas.schema_by_id(id).is_some()).collect();
    if !prevails(ids.len(), payloads.len()) {
        return None;
    }
    let (id, schema_type, columns) = of_schemas(ids, schemas)?;
    Some(Inferred { format: Format::of_schema(schema_type), columns, schema_id: Some(id) })
}

/// The columns of the newest of these schemas, and behind them what older ones had besides.
fn of_schemas(ids: impl IntoIterator<Item = i32>, schemas: &dyn SchemaSource) -> Option<(i32, SchemaType, SchemaRef)> {
    let newest_first: BTreeSet<_> = ids.into_iter().collect();
    let mut found: Option<(i32, SchemaType, SchemaRef)> = None;
    for id in newest_first.into_iter().rev() {
        let Some(schema) = schemas.schema_by_id(id) else { continue };
        let Ok(columns) = schema.parsed.columns() else { continue };
        found = Some(match found {
            None => (id, schema.schema_type, columns),
            Some((newest, schema_type, known)) if schema_type == schema.schema_type => {
                let widening = widen(&known, &columns);
                (newest, schema_type, apply(&known, &widening.changes))
            }
            Some(found) => found,
        });
    }
    found
}

fn json(payloads: &[&[u8]]) -> Option<Inferred> {
    let (columns, objects) = of_objects(payloads.iter().copied());
    let are_objects = prevails(objects, payloads.len()) && !columns.fields().is_empty();
    are_objects.then_some(Inferred { format: Format::Json, columns, schema_id: None })
}

/// The columns of those payloads that are JSON objects, and how many are.
fn of_objects<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> (SchemaRef, usize) {
    let mut fields = Fields::default();
    let mut objects = 0;
    for payload in payloads {
        if let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(payload) {
            fields.meet(&object, 0);
            objects += 1;
        }
    }
    (Arc::new(Schema::new(fields.columns())), objects)
}

/// The columns of those payloads that are of `format`, however few they are. Of JSON Schema also those of fields that
/// the schema allows without naming them. `None` for formats that do not say what they hold.
pub fn columns_of<'a>(
    format: Format,
    sample: impl IntoIterator<Item = Option<&'a [u8]>>,
    schemas: &dyn SchemaSource,
) -> Option<SchemaRef> {
    let payloads = sample.into_iter().flatten();
    let framed = |payloads: &[(i32, &'a [u8])]| {
        let found = of_schemas(payloads.iter().map(|(id, _)| *id), schemas);
        found.map(|(_, _, columns)| columns)
    };
    match format {
        Format::Json => Some(of_objects(payloads).0),
        Format::Avro | Format::Protobuf => {
            let payloads: Vec<_> = payloads.filter_map(|payload| decode::unframe(payload).ok()).collect();
            framed(&payloads)
        }
        Format::JsonSr => {
            let payloads: Vec<_> = payloads.filter_map(|payload| decode::unframe(payload).ok()).collect();
            let named = framed(&payloads)?;
            let (all, _) = of_objects(payloads.iter().map(|(_, body)| *body));
            let mut changes = widen(&named, &all).changes;
            changes.retain(|change| matches!(change, SchemaChange::AddColumn { .. }));
            Some(apply(&named, &changes))
        }
        _ => None,
    }
}

/// One column called `value`.
fn opaque(payloads: &[&[u8]]) -> Inferred {
    let is_text = payloads.iter().all(|payload| {
        std::str::from_utf8(payload).is_ok_and(|text| !text.contains(|c: char| c.is_control() && !c.is_whitespace()))
    });
    let (format, data_type) = if is_text { (Format::Text, DataType::Utf8) } else { (Format::Bytes, DataType::Binary) };
    let columns = Arc::new(Schema::new(vec![Field::new("value", data_type, true)]));
    Inferred { format, columns, schema_id: None }
}

/// A change that Iceberg v2 allows without rewriting data.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaChange {
    /// A new nullable field at the end of the struct at `parent` (empty: top level).
    AddColumn { parent: Vec<String>, field: Field },
    /// int → long, float → double, decimal to a larger precision.
    Widen { path: Vec<String>, to: DataType },
}

/// A field whose new type the existing column cannot take.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub path: Vec<String>,
    pub existing: DataType,
    pub new: DataType,
}

/// How existing columns grow to take new ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Widening {
    pub changes: Vec<SchemaChange>,
    /// Payloads that do not fit these columns are rejected when decoded.
    pub conflicts: Vec<Conflict>,
}

#[cfg(test)]
mod tests;
