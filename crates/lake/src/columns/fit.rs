//! Whether a topic's columns can be kept in its table: pure decisions on schemas.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use schemas::infer;
use tables::SchemaChange;

/// Most columns a topic may have: records whose field names are data shall not grow a table for ever.
pub(crate) const COLUMNS_MAX: usize = 1000;

/// `data_type` as an Iceberg v2 table keeps it, so that decoded batches, the tail and the table agree to the letter.
/// Nothing within it is required but the keys of maps: the next version of a schema may leave out any field.
pub(crate) fn stored(data_type: &DataType) -> DataType {
    let item = |field: &Arc<Field>| Arc::new(Field::new(field.name(), stored(field.data_type()), true));
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
        DataType::Map(entries, sorted) => {
            let pair = match entries.data_type() {
                DataType::Struct(pair) => pair.iter().enumerate().map(|(at, field)| match at {
                    0 => Arc::new(item(field).as_ref().clone().with_nullable(false)),
                    _ => item(field),
                }),
                _ => return data_type.clone(),
            };
            let pair = DataType::Struct(pair.collect());
            DataType::Map(Arc::new(Field::new(entries.name(), pair, false)), *sorted)
        }
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
    /// Fields whose values the table cannot take, as dotted paths.
    pub conflicts: Vec<String>,
}

pub(crate) fn fit(topic: &Schema, table: &Schema) -> Fit {
    let mut fit = Fit::default();
    fit.fields(topic.fields(), table.fields(), &mut Vec::new());
    fit
}

impl Fit {
    fn fields(&mut self, wanted: &Fields, existing: &Fields, path: &mut Vec<String>) {
        for field in wanted {
            match existing.find(field.name()) {
                None => self.changes.push(SchemaChange::AddColumn {
                    parent: path.clone(),
                    field: field.as_ref().clone().with_nullable(true),
                }),
                Some((_, known)) => self.field(field.name(), field, known, path),
            }
        }
    }

    /// `name` is what the table calls the field: Arrow has several for the items of a list.
    fn field(&mut self, name: &str, wanted: &Field, existing: &Field, path: &mut Vec<String>) {
        path.push(name.to_owned());
        if wanted.is_nullable() && !existing.is_nullable() {
            self.changes.push(SchemaChange::MakeNullable { path: path.clone() });
        }
        match (wanted.data_type(), existing.data_type()) {
            (DataType::Struct(wanted), DataType::Struct(existing)) => self.fields(wanted, existing, path),
            (DataType::List(wanted) | DataType::LargeList(wanted), DataType::List(existing)) => {
                self.field("element", wanted, existing, path);
            }
            (DataType::Map(wanted, _), DataType::Map(existing, _)) => match (pair(wanted), pair(existing)) {
                (Some([wanted_key, wanted]), Some([key, existing]))
                    if relation(wanted_key.data_type(), key.data_type()) == Relation::Fits =>
                {
                    self.field("value", wanted, existing, path);
                }
                _ => self.conflicts.push(path.join(".")),
            },
            (wanted, existing) => match relation(wanted, existing) {
                Relation::Fits => {}
                Relation::Widens => {
                    self.changes.push(SchemaChange::Widen { path: path.clone(), to: stored(wanted) });
                }
                Relation::Conflicts => self.conflicts.push(path.join(".")),
            },
        }
        path.pop();
    }
}

/// Key and value of a map's entries.
fn pair(entries: &Field) -> Option<[&Field; 2]> {
    let DataType::Struct(pair) = entries.data_type() else { return None };
    let [key, value] = &pair[..] else { return None };
    Some([key, value])
}

#[derive(Debug, PartialEq)]
enum Relation {
    Fits,
    Widens,
    Conflicts,
}

/// Of two types that are not both structs, lists or maps.
fn relation(wanted: &DataType, existing: &DataType) -> Relation {
    use DataType::*;
    match (&stored(wanted), &stored(existing)) {
        (a, b) if a == b => Relation::Fits,
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

/// How inferred or registered columns grow.
#[derive(Debug, PartialEq)]
pub(crate) enum Growth {
    Same,
    /// Rows decoded before read on: new columns are null, widened ones are cast.
    Added(SchemaRef),
    /// Some column changed its type for another; rows must be decoded again.
    Retyped(SchemaRef),
}

/// What makes columns grow, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody registered a schema: columns follow as far as a table can.
    Schema,
    /// Records, in whose place names may be data. With `may_retype` columns may also change in ways a table cannot follow.
    Records { may_retype: bool },
}

/// `existing` after `cause` asked for `new`.
pub(crate) fn grow(existing: &Schema, new: &Schema, cause: Cause) -> Growth {
    let widening = infer::widen(existing, new);
    let all = widening.changes.len();
    let changes = within_limits(existing, widening.changes, cause);
    let fits = widening.conflicts.is_empty() && changes.len() == all;
    if !fits && cause == (Cause::Records { may_retype: true }) {
        let merged = stored_columns(&infer::merge(existing, new));
        if merged.fields().len() <= COLUMNS_MAX && *merged != *existing && !clashes(&merged) {
            return Growth::Retyped(merged);
        }
    }
    match changes.is_empty() {
        true => Growth::Same,
        false => Growth::Added(stored_columns(&infer::apply(existing, &changes))),
    }
}

/// The columns of a topic that has none yet.
pub(crate) fn first(columns: &Schema, cause: Cause) -> SchemaRef {
    match grow(&Schema::empty(), columns, cause) {
        Growth::Added(columns) | Growth::Retyped(columns) => columns,
        Growth::Same => Arc::new(Schema::empty()),
    }
}

fn within_limits(existing: &Schema, changes: Vec<infer::SchemaChange>, cause: Cause) -> Vec<infer::SchemaChange> {
    let mut counts: HashMap<Vec<String>, usize> = HashMap::new();
    let mut names: HashSet<String> = table_names(existing).into_iter().collect();
    let mut fits = |change: &infer::SchemaChange| {
        let infer::SchemaChange::AddColumn { parent, field } = change else { return true };
        let max = if parent.is_empty() { COLUMNS_MAX } else { infer::NESTED_FIELDS_MAX };
        let count = counts.entry(parent.clone()).or_insert_with(|| width(existing.fields(), parent));
        let prefix: String = parent.iter().flat_map(|name| [name.as_str(), "."]).collect();
        let own = full_names(field, &prefix);
        let are_distinct = own.iter().collect::<HashSet<_>>().len() == own.len();
        let is_free = are_distinct && own.iter().all(|name| !names.contains(name));
        let fits = is_free && (cause == Cause::Schema || *count < max);
        if fits {
            *count += 1;
            names.extend(own);
        }
        fits
    };
    changes.into_iter().filter(|change| fits(change)).collect()
}

fn clashes(columns: &Schema) -> bool {
    let mut names = HashSet::new();
    table_names(columns).into_iter().any(|name| !names.insert(name))
}

/// All names in the table of a topic with these columns, those of the pseudo-columns first.
fn table_names(columns: &Schema) -> Vec<String> {
    let pseudo = super::pseudo::fields(true);
    let fields = pseudo.iter().chain(columns.fields().iter().map(AsRef::as_ref));
    fields.flat_map(|field| full_names(field, "")).collect()
}

/// By these Iceberg knows `field` and all within it: a column `a.b` cannot stand beside a field `b` of a column `a`.
fn full_names(field: &Field, prefix: &str) -> Vec<String> {
    let name = format!("{prefix}{}", field.name());
    let within = format!("{name}.");
    let mut names = vec![name];
    match field.data_type() {
        DataType::Struct(fields) => names.extend(fields.iter().flat_map(|field| full_names(field, &within))),
        DataType::List(item) => names.extend(full_names(item, &within)),
        DataType::Map(entries, _) => {
            names.extend(pair(entries).into_iter().flatten().flat_map(|field| full_names(field, &within)))
        }
        _ => {}
    }
    names
}

/// How many fields there are at `path`.
fn width(fields: &Fields, path: &[String]) -> usize {
    let Some((name, rest)) = path.split_first() else { return fields.len() };
    fields.find(name).map_or(0, |(_, field)| width_of(field.data_type(), rest))
}

fn width_of(data_type: &DataType, path: &[String]) -> usize {
    match data_type {
        DataType::Struct(fields) => width(fields, path),
        DataType::List(item) => path.split_first().map_or(0, |(_, rest)| width_of(item.data_type(), rest)),
        DataType::Map(entries, _) => width_of(entries.data_type(), path),
        _ => 0,
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
                SchemaChange::Widen { path: vec!["a".into()], to: DataType::Int64 },
                SchemaChange::add_column(Field::new("d", DataType::Float64, true)),
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

    fn point(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), false)).collect())
    }

    fn map(value: DataType) -> DataType {
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
        DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
    }

    fn nested(inner: &DataType) -> Schema {
        let list = DataType::List(Arc::new(Field::new("item", inner.clone(), true)));
        schema(&[("s", inner.clone()), ("l", list), ("m", map(inner.clone()))])
    }

    #[test]
    fn nested_fields_of_a_table_grow_widen_and_lose_what_was_required() {
        let table = nested(&point(&[("x", DataType::Int32), ("gone", DataType::Utf8), ("t", DataType::Date32)]));
        let topic = nested(&point(&[("t", DataType::Utf8), ("new", DataType::Utf8), ("x", DataType::Int64)]));
        let fit = fit(&stored_columns(&topic), &table);
        assert_eq!(fit.conflicts, ["s.t", "l.element.t", "m.value.t"]);
        let at =
            |place: &str, field: &str| format!("{place}.{field}").split('.').map(str::to_owned).collect::<Vec<_>>();
        let expected = ["s", "l.element", "m.value"].into_iter().flat_map(|place| {
            [
                SchemaChange::MakeNullable { path: at(place, "t") },
                SchemaChange::AddColumn {
                    parent: place.split('.').map(str::to_owned).collect(),
                    field: Field::new("new", DataType::Utf8, true),
                },
                SchemaChange::MakeNullable { path: at(place, "x") },
                SchemaChange::Widen { path: at(place, "x"), to: DataType::Int64 },
            ]
        });
        assert_eq!(fit.changes, expected.collect::<Vec<_>>());
    }

    #[test]
    fn nested_growth_is_growth_in_place() {
        let before = stored_columns(&nested(&point(&[("x", DataType::Int32)])));
        let after = nested(&point(&[("y", DataType::Utf8), ("x", DataType::Int64)]));
        for cause in [Cause::Schema, Cause::Records { may_retype: false }, Cause::Records { may_retype: true }] {
            let Growth::Added(grown) = grow(&before, &after, cause) else { panic!("{cause:?}") };
            assert_eq!(*grown, *stored_columns(&nested(&point(&[("x", DataType::Int64), ("y", DataType::Utf8)]))));
            assert_eq!(grow(&grown, &after, cause), Growth::Same);
            assert_eq!(grow(&grown, &before, cause), Growth::Same, "what is missing later stays");
        }
    }

    #[test]
    fn objects_whose_keys_are_data_do_not_grow_a_table_for_ever() {
        let keys = |range: std::ops::Range<usize>| {
            let fields: Fields = range.map(|n| Field::new(format!("k{n}"), DataType::Int64, true)).collect();
            schema(&[("o", DataType::Struct(fields))])
        };
        let (before, new) = (keys(0..200), keys(200..300));
        let Growth::Added(some) = grow(&before, &new, Cause::Records { may_retype: false }) else { panic!("grows") };
        assert_eq!(width(some.fields(), &["o".to_owned()]), infer::NESTED_FIELDS_MAX);
        assert_eq!(grow(&some, &new, Cause::Records { may_retype: false }), Growth::Same);
        let text = Growth::Retyped(Arc::new(schema(&[("o", DataType::Utf8)])));
        assert_eq!(grow(&before, &new, Cause::Records { may_retype: true }), text);
        let Growth::Added(all) = grow(&before, &new, Cause::Schema) else { panic!("grows") };
        assert_eq!(width(all.fields(), &["o".to_owned()]), 300, "whoever registers a schema means it");
    }

    #[test]
    fn a_name_with_a_dot_and_a_path_are_not_both_columns() {
        let path = schema(&[("a", point(&[("b", DataType::Int64)]))]);
        let dotted = schema(&[("a.b", DataType::Utf8), ("c", DataType::Utf8)]);
        for cause in [Cause::Schema, Cause::Records { may_retype: false }] {
            let Growth::Added(grown) = grow(&stored_columns(&path), &dotted, cause) else { panic!("{cause:?}") };
            assert_eq!(grown.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["a", "c"]);
            assert_eq!(grow(&dotted, &path, cause), Growth::Same);
        }
        assert_eq!(grow(&dotted, &path, Cause::Records { may_retype: true }), Growth::Same);
        let both = infer::merge(&path, &dotted);
        assert_eq!(first(&both, Cause::Schema).fields().len(), 2, "the first one and what does not clash");
    }

    #[test]
    fn what_iceberg_would_call_alike_is_no_column() {
        let twins = point(&[("b.c", DataType::Int64), ("b", point(&[("c", DataType::Int64)]))]);
        let columns = schema(&[("x", twins), ("_headers.element", DataType::Utf8), ("y", DataType::Utf8)]);
        for cause in [Cause::Schema, Cause::Records { may_retype: false }, Cause::Records { may_retype: true }] {
            let taken = first(&columns, cause);
            let names: Vec<_> = taken.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["y"], "{cause:?}");
        }
    }
}
