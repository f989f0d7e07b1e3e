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
            let line = first_line(&head(file, kind)?);
            let delimiter = if kind.format == Format::Tsv { b'\t' } else { delimiter(&line) };
            let format = CsvFormat::default()
                .with_has_header(has_names(&line, delimiter))
                .with_delimiter(delimiter)
                .with_schema_infer_max_rec(rows)
                .with_file_compression_type(compression);
            Arc::new(csv::Format(format))
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

fn first_line(head: &str) -> String {
    let head = head.strip_prefix('\u{feff}').unwrap_or(head);
    let end = outside_quotes(head).find(|(_, c)| *c == '\n').map_or(head.len(), |(end, _)| end);
    head[..end].trim_end_matches('\r').to_owned()
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
        assert_eq!(first_line("\u{feff}\"a\nb\",c\r\n1,2\n"), "\"a\nb\",c");
    }
}
