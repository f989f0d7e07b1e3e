//! Results as tables for people: numbers to the right, nothing cut without saying so.

use std::fmt::Write as _;

use arrow::{
    datatypes::{DataType, Schema},
    error::ArrowError,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Widest a column gets before its values are cut with `…`.
const COLUMN_WIDTH_MAX: usize = 60;

/// Draws the first `rows_max` rows.
pub fn draw(schema: &Schema, batches: &[RecordBatch], rows_max: usize) -> Result<String, ArrowError> {
    let format = FormatOptions::default().with_null("·");
    let right: Vec<bool> = schema.fields().iter().map(|field| is_number(field.data_type())).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &format))
            .collect::<Result<Vec<_>, _>>()?;
        let wanted = rows_max.saturating_sub(rows.len()).min(batch.num_rows());
        for row in 0..wanted {
            let row = columns.iter().map(|column| Ok(one_line(&column.value(row).try_to_string()?)));
            rows.push(row.collect::<Result<_, ArrowError>>()?);
        }
    }
    let headings: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|at| rows.iter().chain([&headings]).map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();

    let mut out = String::new();
    let rule = |out: &mut String, left: &str, middle: &str, right: &str| {
        let bars: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        let _ = writeln!(out, "{left}{}{right}", bars.join(middle));
    };
    let line = |out: &mut String, row: &[String], align: &dyn Fn(usize) -> bool| {
        for (at, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[at] - cell.chars().count());
            let _ = if align(at) { write!(out, "│ {pad}{cell} ") } else { write!(out, "│ {cell}{pad} ") };
        }
        out.push_str("│\n");
    };
    rule(&mut out, "┌", "┬", "┐");
    line(&mut out, &headings, &|at| right[at]);
    rule(&mut out, "├", "┼", "┤");
    for row in &rows {
        line(&mut out, row, &|at| right[at]);
    }
    rule(&mut out, "└", "┴", "┘");
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if total > rows.len() {
        let _ = writeln!(out, "… {} more rows", total - rows.len());
    }
    Ok(out)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// A value on one line, cut where it would push the others off the screen.
fn one_line(value: &str) -> String {
    let mut line: String =
        value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COLUMN_WIDTH_MAX + 1).collect();
    if line.chars().count() > COLUMN_WIDTH_MAX {
        line = line.chars().take(COLUMN_WIDTH_MAX - 1).chain(['…']).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    #[test]
    fn numbers_stand_right_and_the_rest_is_counted() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
        ]));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(StringArray::from(vec![Some("a"), None, Some("c\nd")])),
                Arc::new(Int64Array::from(vec![1, 20, 300])),
            ],
        )
        .expect("columns fit");
        let drawn = draw(&schema, &[batch], 2).expect("drawable");
        expect_test::expect![[r#"
            ┌──────┬────┐
            │ name │  n │
            ├──────┼────┤
            │ a    │  1 │
            │ ·    │ 20 │
            └──────┴────┘
            … 1 more rows
        "#]]
        .assert_eq(&drawn);
    }
}
