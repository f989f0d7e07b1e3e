//! Whether a topic's columns can be kept in its table: pure decisions on schemas.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use schemas::infer;
use tables::SchemaChange;

/// Most columns a topic may have: records whose field names are data shall not grow a table for ever.
pub(crate) const COLUMNS_MAX: usize = 1000;

/// `data_type` as an Iceberg v2 table keeps it, so that decoded batches, the tail and the table agree to the letter.
pub(crate) fn stored(data_type: &DataType) -> DataType {
    let item = |field: &Arc<Field>| Arc::new(Field::new(field.name(), stored(field.data_type()), field.is_nullable()));
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DataType::List(of) | DataType::LargeList(of) => DataType::List(item(of)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(item(entries), *sorted),
        other => other.clone(),
    }
}

/// `columns` as a table keeps them, all nullable.
pub(crate) fn stored_columns(columns: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), stored(field.data_type()), true);
    Arc::new(Schema::new(columns.fields().iter().map(field).collect::<Vec<_>>()))
}

/// What a table must become to keep a topic's rows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fit {
    pub changes: Vec<SchemaChange>,
    /// Columns whose values the table cannot take.
    pub conflicts: Vec<String>,
}

pub(crate) fn fit(topic: &Schema, table: &Schema) -> Fit {
    let mut fit = Fit::default();
    for wanted in topic.fields() {
        match table.field_with_name(wanted.name()) {
            Err(_) => fit.changes.push(SchemaChange::AddColumn(wanted.as_ref().clone().with_nullable(true))),
            Ok(existing) => match relation(wanted.data_type(), existing.data_type()) {
                Relation::Fits => {}
                Relation::Widens => fit
                    .changes
                    .push(SchemaChange::Widen { column: wanted.name().clone(), to: stored(wanted.data_type()) }),
                Relation::Conflicts => fit.conflicts.push(wanted.name().clone()),
            },
        }
    }
    fit
}

#[derive(Debug, PartialEq)]
enum Relation {
    Fits,
    Widens,
    Conflicts,
}

fn relation(wanted: &DataType, existing: &DataType) -> Relation {
    use DataType::*;
    match (&stored(wanted), &stored(existing)) {
        (a, b) if same(a, b) => Relation::Fits,
        (Int64, Int32) | (Float64, Float32) => Relation::Widens,
        (Int32, Int64) | (Float32, Float64) | (Utf8, Binary) => Relation::Fits,
        (Decimal128(p, s), Decimal128(q, t)) if s == t => {
            if p > q {
                Relation::Widens
            } else {
                Relation::Fits
            }
        }
        _ => Relation::Conflicts,
    }
}

/// Equal but for the names of list items and map entries, nullability and metadata.
fn same(a: &DataType, b: &DataType) -> bool {
    use DataType::*;
    match (a, b) {
        (List(a), List(b)) | (Map(a, _), Map(b, _)) => same(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => same_fields(a, b),
        _ => a == b,
    }
}

fn same_fields(a: &Fields, b: &Fields) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && same(a.data_type(), b.data_type()))
}

/// How inferred or registered columns grow.
#[derive(Debug, PartialEq)]
pub(crate) enum Growth {
    Same,
    /// Rows decoded before read on: new columns are null, widened ones are cast.
    Added(SchemaRef),
    /// Some column changed its type for another; rows must be decoded again.
    Retyped(SchemaRef),
}

/// `existing` after records that look like `new`. Only with `may_retype` do columns change in ways a table cannot follow.
pub(crate) fn grow(existing: &Schema, new: &Schema, may_retype: bool) -> Growth {
    let widening = infer::widen(existing, new);
    let (in_place, deep): (Vec<_>, Vec<_>) = widening.changes.into_iter().partition(|change| match change {
        infer::SchemaChange::AddColumn { parent, .. } => parent.is_empty(),
        infer::SchemaChange::Widen { path, .. } => path.len() == 1,
    });
    if may_retype && !(deep.is_empty() && widening.conflicts.is_empty()) {
        let merged = stored_columns(&infer::merge(existing, new));
        if merged.fields().len() <= COLUMNS_MAX && *merged != *existing {
            return Growth::Retyped(merged);
        }
    }
    let room = COLUMNS_MAX.saturating_sub(existing.fields().len());
    let mut added = 0;
    let in_place: Vec<_> = in_place
        .into_iter()
        .filter(|change| match change {
            infer::SchemaChange::AddColumn { field, .. } => {
                added += 1;
                added <= room && !super::pseudo::is_pseudo(field.name())
            }
            infer::SchemaChange::Widen { .. } => true,
        })
        .collect();
    match in_place.is_empty() {
        true => Growth::Same,
        false => Growth::Added(stored_columns(&infer::apply(existing, &in_place))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>())
    }

    #[test]
    fn tables_grow_and_widen_but_never_narrow() {
        let table = schema(&[("a", DataType::Int32), ("b", DataType::Int64), ("c", DataType::Utf8)]);
        let topic =
            schema(&[("a", DataType::Int64), ("b", DataType::Int32), ("c", DataType::Int64), ("d", DataType::Float64)]);
        let fit = fit(&topic, &table);
        assert_eq!(fit.conflicts, ["c"]);
        assert_eq!(
            fit.changes,
            [
                SchemaChange::Widen { column: "a".into(), to: DataType::Int64 },
                SchemaChange::AddColumn(Field::new("d", DataType::Float64, true)),
            ]
        );
    }

    #[test]
    fn what_a_table_gives_back_fits_what_was_put_in() {
        let list = |name: &str| DataType::List(Arc::new(Field::new(name, DataType::Int16, true)));
        let topic = schema(&[("t", DataType::Timestamp(TimeUnit::Millisecond, None)), ("l", list("item"))]);
        let table = schema(&[
            ("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("l", DataType::List(Arc::new(Field::new("element", DataType::Int32, true)))),
        ]);
        assert_eq!(fit(&topic, &table), Fit::default());
    }
}
