//! Different values, sorted by themselves.

use std::collections::HashSet;

use arrow::{
    array::{ArrayRef, AsArray},
    compute::{SortOptions, filter},
    row::{RowConverter, SortField},
};
use datafusion::{error::Result, logical_expr::Accumulator, scalar::ScalarValue};

use super::{ValuesOf, check_size};

/// What an entry of the set takes besides its bytes.
const ENTRY_BYTES: usize = 4 * size_of::<Box<[u8]>>();

#[derive(Debug)]
pub(super) struct Distinct {
    values: ValuesOf,
    /// Bytes that compare as the values do.
    converter: RowConverter,
    seen: HashSet<Box<[u8]>>,
    bytes: usize,
}

impl Distinct {
    pub(super) fn new(values: ValuesOf, order: SortOptions) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type.clone(), order)])?;
        Ok(Self { values, converter, seen: HashSet::new(), bytes: 0 })
    }

    fn push(&mut self, values: &ArrayRef) -> Result<()> {
        let values = match self.values.taken(values) {
            Some(taken) => filter(values, &taken)?,
            None => values.clone(),
        };
        for row in &self.converter.convert_columns(&[values])? {
            let row = row.as_ref();
            if !self.seen.contains(row) {
                self.bytes += row.len() + ENTRY_BYTES;
                self.seen.insert(row.into());
            }
        }
        check_size(self.bytes, "DISTINCT inside of an aggregate")
    }

    fn sorted(&self) -> Result<Option<ArrayRef>> {
        if self.seen.is_empty() {
            return Ok(None);
        }
        let mut rows: Vec<&[u8]> = self.seen.iter().map(AsRef::as_ref).collect();
        rows.sort_unstable();
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?;
        Ok(Some(columns.swap_remove(0)))
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.push(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.push(&values))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.sorted()?;
        self.values.finished(values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.sorted()?;
        (self.seen, self.bytes) = (HashSet::new(), 0);
        Ok(vec![self.values.list(values)])
    }

    /// The result is a copy.
    fn size(&self) -> usize {
        size_of_val(self) + 2 * self.bytes + self.converter.size()
    }
}
