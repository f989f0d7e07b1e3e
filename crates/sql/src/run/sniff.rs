//! How a file of text is to be read, by its beginning: nobody says so where only its name is written.

use std::{fs::File, io, io::Read, path::Path, sync::Arc};

use datafusion::datasource::file_format::{FileFormat, csv::CsvFormat, json::JsonFormat, parquet::ParquetFormat};

use super::files::{Format, Kind};
use crate::csv;

/// So much is looked at.
const HEAD_BYTES: u64 = 64 * 1024;
/// Types of columns are those of all rows of a file up to this size, and else of the first [`ROWS_MAX`].
const WHOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const ROWS_MAX: usize = 200_000;

pub(super) fn format(file: &Path, kind: &Kind) -> io::Result<Arc<dyn FileFormat>> {
    let compression = kind.compression;
    let rows = if file.metadata()?.len() <= WHOLE_BYTES_MAX { usize::MAX } else { ROWS_MAX };
    Ok(match kind.format {
        Format::Parquet => Arc::new(ParquetFormat::default()),
        Format::Csv | Format::Tsv => {
            let head = head(file, kind)?;
            let line = first_line(&head);
            let delimiter = if kind.format == Format::Tsv { b'\t' } else { delimiter(line) };
            let has_names = has_names(line, delimiter);
            let format = CsvFormat::default()
                .with_has_header(has_names)
                .with_delimiter(delimiter)
                .with_schema_infer_max_rec(rows)
                .with_file_compression_type(compression);
            Arc::new(csv::Format::new(format, zoned(&head, delimiter, has_names)))
        }
        Format::Json => {
            let is_array = head(file, kind)?.bytes().find(|b| !b.is_ascii_whitespace()) == Some(b'[');
            let format = JsonFormat::default()
                .with_newline_delimited(!is_array)
                .with_schema_infer_max_rec(rows)
                .with_file_compression_type(compression);
            Arc::new(format)
        }
    })
}

fn head(file: &Path, kind: &Kind) -> io::Result<String> {
    let mut bytes = Vec::new();
    kind.compression.convert_read(File::open(file)?)?.take(HEAD_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is not in quotes, which hide all else.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quoted = false;
    text.char_indices().filter(move |(_, c)| {
        quoted ^= *c == '"';
        !quoted
    })
}

fn without_bom(head: &str) -> &str {
    head.strip_prefix('\u{feff}').unwrap_or(head)
}

fn first_line(head: &str) -> &str {
    lines(without_bom(head)).next().unwrap_or_default()
}

/// Lines of `text`, of which those in quotes do not end one. The last one may be cut off.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    split(text, '\n').map(|line| line.trim_end_matches('\r'))
}

fn split(text: &str, by: char) -> impl Iterator<Item = &str> {
    let ends = outside_quotes(text).filter(move |(_, c)| *c == by).map(|(end, _)| end);
    let mut start = 0;
    ends.chain([text.len()]).map(move |end| &text[std::mem::replace(&mut start, end + by.len_utf8())..end])
}

/// Places of columns of which every value that is there ends with `Z` or `+02:00` behind a time.
fn zoned(head: &str, delimiter: u8, has_names: bool) -> Vec<usize> {
    let mut lines: Vec<&str> = lines(without_bom(head)).skip(usize::from(has_names)).collect();
    if head.len() as u64 >= HEAD_BYTES {
        lines.pop();
    }
    let mut found: Vec<Option<bool>> = Vec::new();
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        for (place, value) in split(line, char::from(delimiter)).enumerate() {
            found.resize(found.len().max(place + 1), None);
            let value = value.trim_matches('"');
            if !value.is_empty() {
                found[place] = Some(found[place] != Some(false) && has_zone(value));
            }
        }
    }
    (0..found.len()).filter(|place| found[*place] == Some(true)).collect()
}

fn has_zone(time: &str) -> bool {
    let Some(clock) = time.get(10..).filter(|clock| clock.contains(':')) else { return false };
    match clock.rfind(['+', '-']) {
        Some(sign) => clock[sign + 1..].bytes().all(|b| b.is_ascii_digit() || b == b':'),
        None => clock.ends_with(['Z', 'z']),
    }
}

/// The comma, unless the line has none and something else that separates.
fn delimiter(line: &str) -> u8 {
    let count = |delimiter: u8| outside_quotes(line).filter(|(_, c)| *c == char::from(delimiter)).count();
    let others = [b';', b'\t', b'|'].into_iter().filter(|other| count(*other) > 0);
    match count(b',') {
        0 => others.max_by_key(|other| count(*other)).unwrap_or(b','),
        _ => b',',
    }
}

/// Whether the line is one of names: a row that begins with a number or a day is none.
fn has_names(line: &str, delimiter: u8) -> bool {
    let first = line.split(char::from(delimiter)).next().unwrap_or_default().trim().trim_matches('"');
    let is_day = first.get(..10).is_some_and(|day| day.parse::<chrono::NaiveDate>().is_ok());
    !is_day && first.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_separates_and_whether_it_is_of_names() {
        for (line, separates, names) in [
            ("id,name", b',', true),
            ("id;name;day, hour", b',', true),
            ("id;\"a, b\";c", b';', true),
            ("a|b", b'|', true),
            ("a\tb;c\td", b'\t', true),
            ("lone", b',', true),
            ("1,a,2.5", b',', false),
            ("-2.5;x", b';', false),
            ("2024-01-05 10:00,x", b',', false),
            ("name,2020,2021", b',', true),
        ] {
            assert_eq!((delimiter(line), has_names(line, delimiter(line))), (separates, names), "{line}");
        }
        let text = "at,n,late,s\n2024-06-01T10:00:00+02:00,1,,\"a,b\"\n2024-06-01 10:00:00Z,2,2024-06-01 10:00,x\n";
        assert_eq!(zoned(text, b',', true), [0]);
        assert_eq!(first_line("\u{feff}\"a\nb\",c\r\n1,2\n"), "\"a\nb\",c");
    }
}
