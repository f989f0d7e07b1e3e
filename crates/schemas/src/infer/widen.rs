//! How columns grow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use super::{Conflict, NESTED_FIELDS_MAX, SchemaChange, Widening};

/// What `existing` must change to also take `new`. Never narrows, drops, renames or reorders.
///
/// Names match as they do when payloads are read: exactly, else whatever the case.
pub fn widen(existing: &Schema, new: &Schema) -> Widening {
    let mut widening = Widening::default();
    widen_fields(existing.fields(), new.fields(), &mut Vec::new(), &mut widening);
    widening
}

fn named<'a>(fields: &'a Fields, name: &str) -> Option<&'a FieldRef> {
    let exact = fields.iter().find(|field| field.name() == name);
    exact.or_else(|| fields.iter().find(|field| field.name().to_lowercase() == name.to_lowercase()))
}

fn widen_fields(existing: &Fields, new: &Fields, path: &mut Vec<String>, out: &mut Widening) {
    for field in new {
        match named(existing, field.name()) {
            Some(known) => {
                path.push(known.name().clone());
                widen_type(known.data_type(), field.data_type(), path, out);
                path.pop();
            }
            None => out.changes.push(SchemaChange::AddColumn {
                parent: path.clone(),
                field: field.as_ref().clone().with_nullable(true),
            }),
        }
    }
}

fn widen_type(existing: &DataType, new: &DataType, path: &mut Vec<String>, out: &mut Widening) {
    match (existing, new) {
        (DataType::Struct(existing), DataType::Struct(new)) => widen_fields(existing, new, path, out),
        (DataType::List(existing), DataType::List(new)) => {
            path.push(existing.name().clone());
            widen_type(existing.data_type(), new.data_type(), path, out);
            path.pop();
        }
        (DataType::Map(existing, _), DataType::Map(new, _)) => {
            if let (DataType::Struct(existing), DataType::Struct(new)) = (existing.data_type(), new.data_type())
                && let ([_, existing], [_, new]) = (existing.as_ref(), new.as_ref())
            {
                path.push(existing.name().clone());
                widen_type(existing.data_type(), new.data_type(), path, out);
                path.pop();
            }
        }
        (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64) => {
            out.changes.push(SchemaChange::Widen { path: path.clone(), to: new.clone() });
        }
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) if s1 == s2 && p1 < p2 => {
            out.changes.push(SchemaChange::Widen { path: path.clone(), to: new.clone() });
        }
        (existing, new) if takes(existing, new) => {}
        (existing, new) => {
            out.conflicts.push(Conflict { path: path.clone(), existing: existing.clone(), new: new.clone() })
        }
    }
}

/// Whether a column takes every value of another type as it is.
fn takes(existing: &DataType, new: &DataType) -> bool {
    match (existing, new) {
        (existing, new) if existing == new => true,
        (DataType::Utf8, _) => true,
        (DataType::Int64, DataType::Int32) => true,
        (DataType::Float64, DataType::Float32 | DataType::Int32 | DataType::Int64) => true,
        (DataType::Timestamp(..), DataType::Timestamp(..)) => true,
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time32(_) | DataType::Time64(_)) => true,
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            s1 >= s2 && i16::from(*p1) - i16::from(*s1) >= i16::from(*p2) - i16::from(*s2)
        }
        _ => false,
    }
}

/// `existing` after `changes`.
pub fn apply(existing: &Schema, changes: &[SchemaChange]) -> SchemaRef {
    let mut fields = existing.fields().clone();
    for change in changes {
        fields = match change {
            SchemaChange::AddColumn { parent, field } => changed(&fields, parent, &|data_type| match data_type {
                DataType::Struct(fields) => DataType::Struct(with(fields, field)),
                other => other.clone(),
            })
            .unwrap_or_else(|| with(&fields, field)),
            SchemaChange::Widen { path, to } => changed(&fields, path, &|_| to.clone()).unwrap_or(fields),
        };
    }
    Arc::new(Schema::new_with_metadata(fields, existing.metadata().clone()))
}

fn with(fields: &Fields, field: &Field) -> Fields {
    fields.iter().cloned().chain([Arc::new(field.clone())]).collect()
}

/// `fields` with the type at `path` changed; `None` if the path is empty.
fn changed(fields: &Fields, path: &[String], change: &dyn Fn(&DataType) -> DataType) -> Option<Fields> {
    let (name, rest) = path.split_first()?;
    let step = |field: &FieldRef| {
        if field.name() != name {
            return field.clone();
        }
        let data_type = changed_type(field.data_type(), rest, change);
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    Some(fields.iter().map(step).collect())
}

fn changed_type(data_type: &DataType, path: &[String], change: &dyn Fn(&DataType) -> DataType) -> DataType {
    if path.is_empty() {
        return change(data_type);
    }
    match data_type {
        DataType::Struct(fields) => DataType::Struct(changed(fields, path, change).unwrap_or_else(|| fields.clone())),
        DataType::List(item) => {
            let inner = changed_type(item.data_type(), &path[1..], change);
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(inner)))
        }
        DataType::Map(entries, sorted) => {
            let inner = changed_type(entries.data_type(), path, change);
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(inner)), *sorted)
        }
        other => other.clone(),
    }
}

/// The columns that take payloads of both: for inferred columns that nothing depends on yet. Types that do not meet
/// become VARCHAR.
pub fn merge(a: &Schema, b: &Schema) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(merge_fields(a.fields(), b.fields()), a.metadata().clone()))
}

fn merge_fields(a: &Fields, b: &Fields) -> Fields {
    let grown = a.iter().map(|field| match named(b, field.name()) {
        Some(other) => {
            let merged = merge_types(field.data_type(), other.data_type());
            Arc::new(field.as_ref().clone().with_data_type(merged))
        }
        None => field.clone(),
    });
    let added = b.iter().filter(|field| named(a, field.name()).is_none()).cloned();
    grown.chain(added).collect()
}

pub(super) fn merge_types(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        (a, b) if takes(a, b) => a.clone(),
        (a, b) if takes(b, a) => b.clone(),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let fields = merge_fields(a, b);
            if fields.len() > NESTED_FIELDS_MAX { DataType::Utf8 } else { DataType::Struct(fields) }
        }
        (DataType::List(a), DataType::List(b)) => {
            let item = merge_types(a.data_type(), b.data_type());
            DataType::List(Arc::new(a.as_ref().clone().with_data_type(item)))
        }
        (DataType::Map(a, sorted), DataType::Map(b, _)) => match (a.data_type(), b.data_type()) {
            (DataType::Struct(ours), DataType::Struct(theirs))
                if ours.len() == 2 && theirs.len() == 2 && ours[0].data_type() == theirs[0].data_type() =>
            {
                let value = merge_types(ours[1].data_type(), theirs[1].data_type());
                let pair = vec![ours[0].clone(), Arc::new(ours[1].as_ref().clone().with_data_type(value))];
                let entries = a.as_ref().clone().with_data_type(DataType::Struct(pair.into()));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => DataType::Utf8,
        },
        _ => DataType::Utf8,
    }
}
