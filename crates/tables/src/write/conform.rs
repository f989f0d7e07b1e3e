//! Batches brought to a table's columns: by name, nested too.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Fields, SchemaRef},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use model::Result;

use crate::error::unwritable;

pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let given = batch.schema_ref().fields();
    let columns = by_name(given, batch.columns(), schema.fields(), batch.num_rows(), "")?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| unwritable("the rows do not fit the table".to_owned(), e))
}

fn by_name(given: &Fields, arrays: &[ArrayRef], wanted: &Fields, rows: usize, path: &str) -> Result<Vec<ArrayRef>> {
    if let Some(unknown) = given.iter().find(|field| wanted.find(field.name()).is_none()) {
        let cause = "the table has no such column";
        return Err(unwritable(format!("could not write column `{path}{}`", unknown.name()), cause));
    }
    wanted
        .iter()
        .map(|field| {
            let path = format!("{path}{}", field.name());
            let array = match given.find(field.name()) {
                Some((index, _)) => convert(&arrays[index], field.data_type(), &path)?,
                None => new_null_array(field.data_type(), rows),
            };
            required(&array, field, &path)?;
            Ok(array)
        })
        .collect()
}

/// Nulls below a null parent are checked with the parent, by Arrow.
fn required(array: &ArrayRef, field: &Field, path: &str) -> Result<()> {
    match field.is_nullable() || array.logical_null_count() == 0 {
        true => Ok(()),
        false => Err(unwritable(format!("could not write column `{path}`"), "it is required, and a row has no value")),
    }
}

fn convert(array: &ArrayRef, to: &DataType, path: &str) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let failed = |e: arrow::error::ArrowError| unwritable(format!("could not write column `{path}`"), e);
    match (array.data_type(), to) {
        (DataType::Struct(given), DataType::Struct(wanted)) => {
            let array = array.as_struct();
            let given_columns: Vec<_> = array.columns().to_vec();
            let columns = structs(given, &given_columns, wanted, array, path)?;
            let made = StructArray::try_new_with_length(wanted.clone(), columns, array.nulls().cloned(), array.len());
            Ok(Arc::new(made.map_err(failed)?))
        }
        (DataType::List(_), DataType::List(wanted)) => {
            let list = array.as_list::<i32>();
            let values = convert(list.values(), wanted.data_type(), &format!("{path}.element"))?;
            let made = ListArray::try_new(wanted.clone(), list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(made.map_err(failed)?))
        }
        // Other forms of lists become plain ones first; their elements are brought along above.
        (
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item),
            DataType::List(_),
        ) => convert(&cast(array, &DataType::List(item.clone())).map_err(failed)?, to, path),
        (DataType::Map(..), DataType::Map(wanted, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(pair) = wanted.data_type() else {
                return Err(unwritable(format!("could not write column `{path}`"), "a map has keys and values"));
            };
            let columns = vec![
                convert(map.keys(), pair[0].data_type(), &format!("{path}.key"))?,
                convert(map.values(), pair[1].data_type(), &format!("{path}.value"))?,
            ];
            let entries = StructArray::try_new(pair.clone(), columns, None).map_err(failed)?;
            let made = MapArray::try_new(wanted.clone(), map.offsets().clone(), entries, map.nulls().cloned(), *sorted);
            Ok(Arc::new(made.map_err(failed)?))
        }
        _ => cast(array, to).map_err(failed),
    }
}

fn structs(
    given: &Fields,
    arrays: &[ArrayRef],
    wanted: &Fields,
    of: &StructArray,
    path: &str,
) -> Result<Vec<ArrayRef>> {
    let prefix = format!("{path}.");
    if of.null_count() == 0 {
        return by_name(given, arrays, wanted, of.len(), &prefix);
    }
    // A required field may be empty where the whole struct is.
    let relaxed: Fields = wanted.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    by_name(given, arrays, &relaxed, of.len(), &prefix)
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    // Values that do not fit are errors, not nulls.
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array},
        datatypes::{Schema, TimeUnit},
    };
    use model::error::codes;

    use super::*;

    fn schema(fields: Vec<Field>) -> SchemaRef {
        Arc::new(Schema::new(fields))
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).expect("equal lengths")
    }

    #[test]
    fn columns_are_taken_by_name_cast_and_filled_with_null() {
        let table = schema(vec![
            Field::new("a", DataType::Int64, false),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("new", DataType::Utf8, true),
        ]);
        let given = batch(vec![
            ("t", Arc::new(TimestampNanosecondArray::from(vec![1_500, 2_000]))),
            ("a", Arc::new(Int32Array::from(vec![1, 2]))),
        ]);
        let made = conform(&given, &table).expect("fits");
        assert_eq!(made.schema(), table);
        assert_eq!(made.column(0).as_ref(), &Int64Array::from(vec![1, 2]));
        assert_eq!(made.column(2).null_count(), 2);
    }

    #[test]
    fn nested_fields_are_taken_by_name_too() {
        let inner = |fields: Vec<Field>| DataType::Struct(fields.into());
        let wide = inner(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)]);
        let table = schema(vec![Field::new("l", DataType::List(Arc::new(Field::new("element", wide, true))), true)]);
        let narrow = inner(vec![Field::new("x", DataType::Int32, true)]);
        let values = StructArray::from(vec![(
            Arc::new(Field::new("x", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
        )]);
        let list = ListArray::new(
            Arc::new(Field::new("item", narrow, true)),
            arrow::buffer::OffsetBuffer::from_lengths([1, 2]),
            Arc::new(values),
            None,
        );
        let made = conform(&batch(vec![("l", Arc::new(list))]), &table).expect("fits");
        let elements = made.column(0).as_list::<i32>().values().as_struct().clone();
        assert_eq!(elements.column(0).as_ref(), &Int64Array::from(vec![Some(1), None, Some(3)]));
        assert_eq!(elements.column(1).null_count(), 3);
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_column() {
        let table = schema(vec![Field::new("a", DataType::Int32, false)]);
        let cases: [(&str, ArrayRef); 4] = [
            ("b", Arc::new(Int32Array::from(vec![1]))),
            ("a", Arc::new(Int32Array::from(vec![None]))),
            ("a", Arc::new(UInt64Array::from(vec![u64::MAX]))),
            ("a", Arc::new(StringArray::from(vec!["x"]))),
        ];
        for (name, array) in cases {
            let error = conform(&batch(vec![(name, array)]), &table).expect_err("does not fit");
            assert!(error.is(codes::ROWS_UNWRITABLE) && error.message().contains(&format!("`{name}`")), "{error}");
        }
        let empty = RecordBatch::try_new_with_options(
            schema(vec![]),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(2)),
        );
        assert!(conform(&empty.expect("no columns"), &table).is_err(), "a required column is missing");
    }
}
