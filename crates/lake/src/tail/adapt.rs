//! A decoded batch, brought to other columns than it was decoded with: columns grow while decoded records wait for a commit.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, new_null_array},
    compute::cast,
    datatypes::{DataType, Fields, SchemaRef},
    error::ArrowError,
};
use model::{Error, Result};

/// What became of a batch.
pub(crate) enum Adapted {
    /// All of it.
    Whole(RecordBatch),
    /// It has columns, or fields within them, that are not asked for.
    Part(RecordBatch),
    /// Only the records themselves can tell: decode them with the columns asked for.
    Misfit,
}

/// `batch` with the columns of `schema`: by name at every depth, null where missing, cast where types are wider.
pub(crate) fn adapt(batch: RecordBatch, schema: &SchemaRef) -> Result<Adapted> {
    if Arc::ptr_eq(&batch.schema(), schema) || batch.schema() == *schema {
        return Ok(Adapted::Whole(batch));
    }
    let internal =
        |e: ArrowError| Error::internal("decoded records do not fit the columns asked for").detail(e.to_string());
    let mut whole = true;
    let have = batch.schema();
    let columns = by_name(have.fields(), batch.columns(), schema.fields(), batch.num_rows(), &mut whole);
    let Some(columns) = columns.map_err(internal)? else { return Ok(Adapted::Misfit) };
    let adapted = RecordBatch::try_new(schema.clone(), columns).map_err(internal)?;
    Ok(if whole { Adapted::Whole(adapted) } else { Adapted::Part(adapted) })
}

/// The `wanted` fields out of those there are; `None` if one does not fit. `whole` ends up false if some are left over.
fn by_name(
    have: &Fields,
    arrays: &[ArrayRef],
    wanted: &Fields,
    rows: usize,
    whole: &mut bool,
) -> Result<Option<Vec<ArrayRef>>, ArrowError> {
    *whole &= have.iter().all(|field| wanted.find(field.name()).is_some());
    let fields = wanted.iter().map(|field| match have.find(field.name()) {
        Some((at, _)) => adapted(&arrays[at], field.data_type(), whole),
        None => Ok(Some(new_null_array(field.data_type(), rows))),
    });
    fields.collect()
}

fn adapted(array: &ArrayRef, to: &DataType, whole: &mut bool) -> Result<Option<ArrayRef>, ArrowError> {
    Ok(Some(match (array.data_type(), to) {
        (from, to) if from == to => array.clone(),
        (DataType::Int32, DataType::Int64)
        | (DataType::Float32, DataType::Float64)
        | (DataType::Utf8, DataType::Binary) => cast(array, to)?,
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) if s == t && p <= q => cast(array, to)?,
        (DataType::Struct(have), DataType::Struct(wanted)) => {
            let of = array.as_struct();
            let Some(fields) = by_name(have, of.columns(), wanted, of.len(), whole)? else { return Ok(None) };
            let nulls = of.nulls().cloned();
            Arc::new(StructArray::try_new_with_length(wanted.clone(), fields, nulls, of.len())?)
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let Some(values) = adapted(list.values(), item.data_type(), whole)? else { return Ok(None) };
            Arc::new(ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let (map, DataType::Struct(pair)) = (array.as_map(), entries.data_type()) else { return Ok(None) };
            let [key, value] = &pair[..] else { return Ok(None) };
            let (Some(keys), Some(values)) =
                (adapted(map.keys(), key.data_type(), whole)?, adapted(map.values(), value.data_type(), whole)?)
            else {
                return Ok(None);
            };
            let within = StructArray::try_new(pair.clone(), vec![keys, values], None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(entries.clone(), offsets, within, nulls, *sorted)?)
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, StringArray},
        buffer::{NullBuffer, OffsetBuffer},
        datatypes::{Field, Schema},
        util::pretty::pretty_format_batches,
    };

    use super::*;

    fn point(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect())
    }

    /// `{s: inner, l: [inner], m: {text: inner}}`
    fn schema(inner: &DataType, item: &str) -> SchemaRef {
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", inner.clone(), true)];
        let entries = Arc::new(Field::new("entries", DataType::Struct(pair.into()), false));
        Arc::new(Schema::new(vec![
            Field::new("s", inner.clone(), true),
            Field::new("l", DataType::List(Arc::new(Field::new(item, inner.clone(), true))), true),
            Field::new("m", DataType::Map(entries, false), true),
        ]))
    }

    fn batch() -> RecordBatch {
        let inner = point(&[("x", DataType::Int32), ("y", DataType::Utf8)]);
        let DataType::Struct(fields) = &inner else { unreachable!("made so") };
        let arrays: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
        let structs = StructArray::new(fields.clone(), arrays, Some(NullBuffer::from(vec![true, false])));
        let schema = schema(&inner, "item");
        let (DataType::List(item), DataType::Map(entries, _)) =
            (schema.field(1).data_type(), schema.field(2).data_type())
        else {
            unreachable!("made so")
        };
        let DataType::Struct(pair) = entries.data_type() else { unreachable!("made so") };
        let list = ListArray::new(item.clone(), OffsetBuffer::from_lengths([0, 2]), Arc::new(structs.clone()), None);
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["k", "l"]));
        let pairs = StructArray::new(pair.clone(), vec![keys, Arc::new(structs.clone())], None);
        let map = MapArray::new(entries.clone(), OffsetBuffer::from_lengths([2, 0]), pairs, None, false);
        RecordBatch::try_new(schema, vec![Arc::new(structs), Arc::new(list), Arc::new(map)]).unwrap()
    }

    fn shown(adapted: Adapted) -> (bool, Vec<String>) {
        let (whole, batch) = match adapted {
            Adapted::Whole(batch) => (true, batch),
            Adapted::Part(batch) => (false, batch),
            Adapted::Misfit => return (false, Vec::new()),
        };
        let printed = pretty_format_batches(&[batch]).unwrap().to_string();
        (whole, printed.lines().skip(3).filter(|line| line.starts_with('|')).map(str::to_owned).collect())
    }

    #[test]
    fn what_was_decoded_follows_its_columns_at_every_depth() {
        let grown = point(&[("new", DataType::Date32), ("x", DataType::Int64), ("y", DataType::Utf8)]);
        let (whole, rows) = shown(adapt(batch(), &schema(&grown, "element")).unwrap());
        assert!(whole);
        let expected = [
            "| {new: , x: 1, y: a} | []                      | {k: {new: , x: 1, y: a}, l: } |",
            "|                     | [{new: , x: 1, y: a}, ] | {}                            |",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_is_left_over_or_does_not_fit_is_told() {
        let (whole, rows) = shown(adapt(batch(), &schema(&point(&[("x", DataType::Int32)]), "item")).unwrap());
        assert!(!whole, "a field within is left over");
        assert_eq!(rows[0], "| {x: 1} | []         | {k: {x: 1}, l: } |");
        let other = point(&[("x", DataType::Utf8), ("y", DataType::Utf8)]);
        assert!(matches!(adapt(batch(), &schema(&other, "item")).unwrap(), Adapted::Misfit));
    }
}
