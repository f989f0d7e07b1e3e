//! `string_agg(text, delimiter)` in the order rows come.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
};
use datafusion::{error::Result, logical_expr::Accumulator, scalar::ScalarValue};

use super::check_size;

#[derive(Debug)]
pub(super) struct Text {
    delimiter: String,
    text: Option<String>,
    /// Given away already: over a window, the text is asked for again and again.
    given: usize,
}

impl Text {
    pub(super) fn new(delimiter: String) -> Self {
        Self { delimiter, text: None, given: 0 }
    }

    pub(super) fn push(&mut self, values: &ArrayRef) -> Result<()> {
        match values.data_type() {
            DataType::LargeUtf8 => self.extend(values.as_string::<i64>().iter()),
            DataType::Utf8View => self.extend(values.as_string_view().iter()),
            DataType::Utf8 => self.extend(values.as_string::<i32>().iter()),
            // A column of nothing but NULLs.
            _ => Ok(()),
        }
    }

    pub(super) fn into_value(self) -> ScalarValue {
        ScalarValue::LargeUtf8(self.text)
    }

    fn extend<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>) -> Result<()> {
        for value in values.flatten() {
            let text = match &mut self.text {
                Some(text) => {
                    text.push_str(&self.delimiter);
                    text
                }
                none => none.insert(String::new()),
            };
            check_size(text.len() + value.len(), "string_agg")?;
            text.push_str(value);
        }
        Ok(())
    }
}

impl Accumulator for Text {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.push(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.push(&states[0])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.given += self.text.as_ref().map_or(0, String::len);
        check_size(self.given, "string_agg over a window")?;
        Ok(ScalarValue::LargeUtf8(self.text.clone()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::LargeUtf8(self.text.take())])
    }

    /// The result is a copy.
    fn size(&self) -> usize {
        size_of_val(self) + self.delimiter.capacity() + 2 * self.text.as_ref().map_or(0, String::capacity)
    }
}
