//! Results for people: tables with numbers to the right, one value a line, or plain text. Nothing is cut without saying so.

use std::fmt::Write as _;

use arrow::{
    datatypes::Schema,
    error::ArrowError,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::out::counted;

/// A column is not made narrower than this; rather, columns on the right are left out.
const COLUMN_WIDTH_MIN: usize = 8;

/// How much is drawn.
pub struct Shape {
    pub rows_max: usize,
    /// Width of the terminal; without one nothing is cut.
    pub width_max: Option<usize>,
}

impl Shape {
    /// All of it.
    pub const WHOLE: Self = Self { rows_max: usize::MAX, width_max: None };
}

/// A value as the lines it has.
type Cell = Vec<String>;

/// Draws the first rows as a table. Values of several lines keep them.
pub fn draw(schema: &Schema, batches: &[RecordBatch], shape: &Shape) -> Result<String, ArrowError> {
    let rows = cells(batches, shape.rows_max)?;
    let headings: Vec<Cell> = schema.fields().iter().map(|field| lines_of(field.name())).collect();
    let natural: Vec<usize> = (0..headings.len())
        .map(|at| rows.iter().chain([&headings]).map(|row| width_of(&row[at])).max().unwrap_or(0))
        .collect();
    let widths = fitted(&natural, shape.width_max);
    let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();

    let mut out = String::new();
    let rule = |out: &mut String, left: &str, middle: &str, right: &str| {
        let bars: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        let _ = writeln!(out, "{left}{}{right}", bars.join(middle));
    };
    let draw_row = |out: &mut String, row: &[Cell]| {
        let height = row.iter().take(widths.len()).map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            for (at, &width) in widths.iter().enumerate() {
                let text = cut(row[at].get(line).map_or("", String::as_str), width);
                let pad = " ".repeat(width - text.chars().count());
                let _ = if right[at] { write!(out, "│ {pad}{text} ") } else { write!(out, "│ {text}{pad} ") };
            }
            out.push_str("│\n");
        }
    };
    rule(&mut out, "┌", "┬", "┐");
    draw_row(&mut out, &headings);
    rule(&mut out, "├", "┼", "┤");
    for row in &rows {
        draw_row(&mut out, row);
    }
    rule(&mut out, "└", "┴", "┘");
    if widths.len() < headings.len() {
        let more = counted((headings.len() - widths.len()) as u64, "more column");
        let _ = writeln!(out, "… {more} (`\\x` at the prompt or `--format expanded` shows one value a line)");
    }
    say_more_rows(&mut out, batches, rows.len());
    Ok(out)
}

/// Draws the first rows with one value a line, whole.
pub fn draw_expanded(schema: &Schema, batches: &[RecordBatch], shape: &Shape) -> Result<String, ArrowError> {
    let rows = cells(batches, shape.rows_max)?;
    let names: Vec<String> = schema.fields().iter().map(|field| lines_of(field.name()).join(" ")).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(out, "── row {} ──", number + 1);
        for (name, cell) in names.iter().zip(row) {
            for (line, text) in cell.iter().enumerate() {
                let name = if line == 0 { name } else { "" };
                let pad = " ".repeat(width - name.chars().count());
                let _ = writeln!(out, "{}", format!("{name}{pad} │ {text}").trim_end());
            }
        }
    }
    say_more_rows(&mut out, batches, rows.len());
    Ok(out)
}

/// The last column as text, whole, each row below what the other columns say: for plans and statements.
pub fn draw_text(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let rows = cells(batches, usize::MAX)?;
    let mut out = String::new();
    for row in &rows {
        let Some((text, titles)) = row.split_last() else { continue };
        let indent = if rows.len() > 1 && !titles.is_empty() {
            let titles: Vec<_> = titles.iter().map(|title| title.join(" ")).collect();
            let _ = writeln!(out, "{}", titles.join(" "));
            "  "
        } else {
            ""
        };
        for line in text {
            let _ = writeln!(out, "{indent}{line}");
        }
    }
    Ok(out)
}

fn cells(batches: &[RecordBatch], rows_max: usize) -> Result<Vec<Vec<Cell>>, ArrowError> {
    let format = FormatOptions::default().with_null("·");
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &format));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let wanted = rows_max.saturating_sub(rows.len()).min(batch.num_rows());
        for row in 0..wanted {
            let row = columns.iter().map(|column| Ok(lines_of(&column.value(row).try_to_string()?)));
            rows.push(row.collect::<Result<_, ArrowError>>()?);
        }
    }
    Ok(rows)
}

fn lines_of(value: &str) -> Cell {
    let lines = value.trim_end_matches('\n').split('\n');
    lines.map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect()
}

fn width_of(cell: &Cell) -> usize {
    cell.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Widths of as many columns as there is room for, the wide ones cut alike.
fn fitted(natural: &[usize], width_max: Option<usize>) -> Vec<usize> {
    let whole = |widths: &[usize]| widths.iter().map(|width| width + 3).sum::<usize>() + 1;
    let Some(width_max) = width_max.filter(|&max| whole(natural) > max) else { return natural.to_vec() };
    let narrowest: Vec<usize> = natural.iter().map(|&width| width.min(COLUMN_WIDTH_MIN)).collect();
    let fits = (1..=natural.len()).take_while(|&shown| whole(&narrowest[..shown]) <= width_max).last().unwrap_or(1);
    let natural = &natural[..fits.min(natural.len())];
    let capped = |cap: usize| natural.iter().map(|&width| width.min(cap)).collect::<Vec<_>>();
    let widest = natural.iter().copied().max().unwrap_or(0);
    let cap = (COLUMN_WIDTH_MIN..=widest).take_while(|&cap| whole(&capped(cap)) <= width_max).last();
    let mut widths = capped(cap.unwrap_or(COLUMN_WIDTH_MIN));
    // What is left over is less than a character for each of the cut columns.
    for at in 0..widths.len() {
        if widths[at] < natural[at] && whole(&widths) < width_max {
            widths[at] += 1;
        }
    }
    widths
}

/// The start of a line that is too long, with a mark that it is one.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn say_more_rows(out: &mut String, batches: &[RecordBatch], shown: usize) {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if total > shown {
        let _ = writeln!(out, "… {}", counted((total - shown) as u64, "more row"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        datatypes::{DataType, Field},
    };
    use expect_test::{Expect, expect};

    use super::*;

    fn batch() -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c\nd")]));
        RecordBatch::try_new(Arc::new(schema), vec![names, Arc::new(Int64Array::from(vec![1, 20, 300]))])
            .expect("columns fit")
    }

    fn check(drawn: Result<String, ArrowError>, expected: Expect) {
        expected.assert_eq(&drawn.expect("drawable"));
    }

    #[test]
    fn numbers_stand_right_and_the_rest_is_counted() {
        let batch = batch();
        let shape = Shape { rows_max: 2, width_max: None };
        let expected = expect![[r#"
            ┌──────┬────┐
            │ name │  n │
            ├──────┼────┤
            │ a    │  1 │
            │ ·    │ 20 │
            └──────┴────┘
            … 1 more row
        "#]];
        check(draw(&batch.schema(), std::slice::from_ref(&batch), &shape), expected);
    }

    #[test]
    fn lines_of_a_value_stay_lines() {
        let batch = batch().slice(2, 1);
        let expected = expect![[r#"
            ┌──────┬─────┐
            │ name │   n │
            ├──────┼─────┤
            │ c    │ 300 │
            │ d    │     │
            └──────┴─────┘
        "#]];
        check(draw(&batch.schema(), std::slice::from_ref(&batch), &Shape::WHOLE), expected);
        let expected = expect![[r#"
            ── row 1 ──
            name │ c
                 │ d
            n    │ 300
        "#]];
        check(draw_expanded(&batch.schema(), &[batch], &Shape::WHOLE), expected);
    }

    #[test]
    fn plans_are_plain_text() {
        let columns = ["logical_plan", "Projection: a\n  TableScan: t\n"];
        let columns: Vec<(String, ArrayRef)> = (0..)
            .zip(columns)
            .map(|(at, text)| (format!("c{at}"), Arc::new(StringArray::from(vec![text, text])) as ArrayRef))
            .collect();
        let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
        let expected = expect![[r#"
            logical_plan
              Projection: a
                TableScan: t
            logical_plan
              Projection: a
                TableScan: t
        "#]];
        check(draw_text(std::slice::from_ref(&batch)), expected);
        let expected = expect![[r#"
            Projection: a
              TableScan: t
        "#]];
        check(draw_text(&[batch.slice(0, 1)]), expected);
    }

    #[test]
    fn tables_fit_the_terminal() {
        let columns = (0..6).map(|at| {
            let text = if at == 1 { "x".repeat(70) } else { format!("value {at}") };
            (format!("c{at}"), Arc::new(StringArray::from(vec![text])) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
        let drawn = |width| {
            let shape = Shape { rows_max: 10, width_max: Some(width) };
            draw(&batch.schema(), std::slice::from_ref(&batch), &shape).expect("drawable")
        };
        for width in [30, 61, 62, 63, 80, 200] {
            let drawn = drawn(width);
            let tables = drawn.lines().filter(|line| !line.starts_with('…'));
            assert!(tables.clone().all(|line| line.chars().count() <= width), "{width}:\n{drawn}");
            assert_eq!(drawn.contains("more column"), width < 62, "{width}:\n{drawn}");
        }
        assert!(drawn(80).contains("xxx…") && !drawn(200).contains('…'));
    }
}
