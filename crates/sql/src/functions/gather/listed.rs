//! Values in the order rows come, or sorted at the end.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray, UInt32Array},
    compute::{LexicographicalComparator, SortColumn, SortOptions, concat, filter, take},
    datatypes::{Field, Fields},
};
use datafusion::{
    error::Result,
    logical_expr::{Accumulator, function::AccumulatorArgs},
    scalar::ScalarValue,
};

use super::{ValuesOf, bytes_of, check_size, kept, list_of};

#[derive(Debug)]
pub(super) struct Listed {
    values: ValuesOf,
    order: Vec<SortOptions>,
    order_fields: Fields,
    /// The values first, then what they are ordered by; of each as many pieces of the same lengths.
    columns: Vec<Vec<ArrayRef>>,
    bytes: usize,
    given: usize,
}

/// Columns of the rows values are ordered by.
pub(super) fn order_fields(args: &AccumulatorArgs<'_>) -> Result<Fields> {
    args.order_bys
        .iter()
        .map(|sort| Ok(Field::new(sort.expr.to_string(), sort.expr.data_type(args.schema)?, true)))
        .collect()
}

impl Listed {
    pub(super) fn new(values: ValuesOf, order: Vec<SortOptions>, order_fields: Fields) -> Self {
        let columns = vec![Vec::new(); 1 + order.len()];
        Self { values, order, order_fields, columns, bytes: 0, given: 0 }
    }

    fn push(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let taken = self.values.taken(&arrays[0]);
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            let array = match &taken {
                Some(taken) => filter(array, taken)?,
                None => array.clone(),
            };
            if !array.is_empty() {
                let array = kept(&array);
                self.bytes += bytes_of(&array) + size_of::<ArrayRef>();
                column.push(array);
            }
        }
        Ok(())
    }

    /// Each column in one piece, in order; `None` if there are no values. The pieces stay: a window asks more than once.
    fn sorted(&mut self) -> Result<Option<Vec<ArrayRef>>> {
        check_size(self.bytes, "array_agg")?;
        if self.columns[0].is_empty() {
            return Ok(None);
        }
        let mut whole = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let pieces: Vec<&dyn Array> = column.iter().map(AsRef::as_ref).collect();
            let array = concat(&pieces)?;
            *column = vec![array.clone()];
            whole.push(array);
        }
        if self.order.is_empty() {
            return Ok(Some(whole));
        }
        let by = whole[1..].iter().zip(&self.order);
        let by: Vec<_> =
            by.map(|(values, options)| SortColumn { values: values.clone(), options: Some(*options) }).collect();
        let order = LexicographicalComparator::try_new(&by)?;
        let mut places: Vec<u32> = (0..whole[0].len() as u32).collect();
        // Rows that are equal stay as they came.
        places.sort_by(|a, b| order.compare(*a as usize, *b as usize));
        let places = UInt32Array::from(places);
        let sorted = whole.iter().map(|array| take(array, &places, None));
        Ok(Some(sorted.collect::<Result<Vec<_>, _>>()?))
    }
}

impl Accumulator for Listed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let order = &values[self.values.arguments..];
        let arrays: Vec<_> = std::iter::once(&values[0]).chain(order).cloned().collect();
        self.push(&arrays)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in 0..lists.len() {
            if lists.is_null(row) || lists.value_length(row) == 0 {
                continue;
            }
            let mut arrays = vec![lists.value(row)];
            if !self.order.is_empty() {
                arrays.extend(states[1].as_list::<i32>().value(row).as_struct().columns().iter().cloned());
            }
            self.push(&arrays)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.given += self.bytes;
        check_size(self.given, "array_agg over a window")?;
        let values = self.sorted()?.map(|mut columns| columns.swap_remove(0));
        self.values.finished(values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        // Whoever merges this sorts it.
        let order = std::mem::take(&mut self.order);
        let columns = self.sorted();
        self.order = order;
        let columns = columns?;
        self.columns.iter_mut().for_each(Vec::clear);
        self.bytes = 0;
        let mut state = vec![self.values.list(columns.as_ref().map(|columns| columns[0].clone()))];
        if !self.order.is_empty() {
            let rows = match columns {
                Some(columns) => StructArray::try_new(self.order_fields.clone(), columns[1..].to_vec(), None)?,
                None => StructArray::new_null(self.order_fields.clone(), 0),
            };
            state.push(ScalarValue::List(Arc::new(list_of(Arc::new(rows)))));
        }
        Ok(state)
    }

    /// The result is a copy, in order.
    fn size(&self) -> usize {
        let pieces: usize = self.columns.iter().map(|column| column.capacity() * size_of::<ArrayRef>()).sum();
        size_of_val(self) + pieces + 2 * self.bytes
    }
}
