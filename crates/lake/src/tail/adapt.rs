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
