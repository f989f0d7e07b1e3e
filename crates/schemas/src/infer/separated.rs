//! Separated text (CSV and its kin), told from prose with commas in it.
//!
//! Payloads are DELIMITED by `,`, tab, `|` or `;` if all of this holds:
//!
//! * each is one line, and four in five have the same number of fields, at least two;
//! * no field begins with a blank, as words after a comma do;
//! * in some column every field is a number, a truth value, a date or a moment;
//! * there are three such lines; or each has three fields and in at least half of the columns all are of such a kind.
//!
//! If the first line reads like names (letters first, no name twice), it names the columns; otherwise they are called
//! `column_1`, `column_2`, ….

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};

use super::{Inferred, prevails, shape::Shape};
use crate::{Format, decode};

const DELIMITERS: [u8; 4] = [b',', b'\t', b'|', b';'];
/// Lines that are enough evidence whatever their width.
const LINES_ENOUGH: usize = 3;
const NAME_CHARS_MAX: usize = 64;

pub(super) fn separated(payloads: &[&[u8]]) -> Option<Inferred> {
    let lines = payloads.iter().map(|payload| line(payload)).collect::<Option<Vec<_>>>()?;
    DELIMITERS.into_iter().find_map(|delimiter| table(&lines, delimiter))
}

/// What `payloads` look like when they are known to be separated by `delimiter` into columns called `names`. `None` if
/// none of them has so many fields.
pub fn separated_by<'a>(
    payloads: impl IntoIterator<Item = Option<&'a [u8]>>,
    delimiter: u8,
    names: &[&str],
) -> Option<Inferred> {
    let rows = payloads.into_iter().flatten().filter_map(|payload| decode::delimited_fields(line(payload)?, delimiter));
    let rows: Vec<_> = rows.filter(|row| row.len() == names.len() && row != names).collect();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    (!rows.is_empty()).then(|| inferred(names, &shapes(&rows), delimiter))
}

fn line(payload: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(payload).ok()?;
    (!line.trim_end_matches(['\r', '\n']).contains('\n')).then_some(line)
}

fn table(lines: &[&str], delimiter: u8) -> Option<Inferred> {
    let rows: Vec<Vec<String>> =
        lines.iter().map(|line| decode::delimited_fields(line, delimiter).unwrap_or_default()).collect();
    let width = rows.iter().map(Vec::len).find(|width| *width >= 2)?;
    let all = rows.len();
    let mut rows: Vec<_> = rows.into_iter().filter(|row| row.len() == width).collect();
    if !prevails(rows.len(), all) || rows.iter().flatten().any(|field| field.starts_with(' ')) {
        return None;
    }
    let mut names: Vec<String> = (1..=width).map(|n| format!("column_{n}")).collect();
    if are_names(&rows[0]) && rows.iter().any(|row| *row != rows[0]) {
        names = rows[0].clone();
        rows.retain(|row| *row != names);
    }
    let shapes = shapes(&rows);
    let telling = shapes.iter().filter(|shape| !matches!(shape, Shape::Text | Shape::Unknown)).count();
    let enough = rows.len() >= LINES_ENOUGH || (width >= 3 && telling * 2 >= width);
    (telling > 0 && enough).then(|| inferred(names, &shapes, delimiter))
}

fn shapes(rows: &[Vec<String>]) -> Vec<Shape> {
    let mut shapes = vec![Shape::Unknown; rows[0].len()];
    for row in rows {
        shapes.iter_mut().zip(row).for_each(|(shape, field)| shape.meet_text(field));
    }
    shapes
}

fn inferred(names: Vec<String>, shapes: &[Shape], delimiter: u8) -> Inferred {
    let column = |(name, shape): (String, &Shape)| Field::new(name, shape.data_type().unwrap_or(DataType::Utf8), true);
    let columns: Vec<_> = names.into_iter().zip(shapes).map(column).collect();
    Inferred { format: Format::Delimited { delimiter }, columns: Arc::new(Schema::new(columns)), schema_id: None }
}

/// Whether a line can be the names of columns.
fn are_names(row: &[String]) -> bool {
    let is_name = |field: &String| {
        field.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && field.chars().count() <= NAME_CHARS_MAX
            && field.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))
            && !matches!(field.as_str(), "true" | "false")
    };
    let distinct: BTreeSet<String> = row.iter().map(|field| field.to_lowercase()).collect();
    row.iter().all(is_name) && distinct.len() == row.len()
}
