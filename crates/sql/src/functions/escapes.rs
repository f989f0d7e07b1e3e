//! Text that is to be read as itself: in a pattern, in a statement.

use std::sync::Arc;

use arrow::{
    array::{AsArray, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF},
};

use super::simple::Simple;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let text = |_: &[DataType]| Ok(DataType::Utf8);
    vec![
        Simple::new("like_pattern", Some(2), text, pattern).udf(),
        Simple::new("quote_literal", Some(1), text, |args| each(args, |text| text.map(literal))).udf(),
        Simple::new("quote_nullable", Some(1), text, |args| {
            each(args, |text| Some(text.map_or_else(|| "NULL".to_owned(), literal)))
        })
        .udf(),
        Simple::new("quote_ident", Some(1), text, |args| each(args, |text| text.map(name))).udf(),
    ]
}

fn each(args: &ScalarFunctionArgs, write: impl Fn(Option<&str>) -> Option<String>) -> Result<ColumnarValue> {
    let texts = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
    let written: StringArray = texts.as_string::<i32>().iter().map(write).collect();
    Ok(ColumnarValue::Array(Arc::new(written)))
}

/// As PostgreSQL writes it.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// With quotes only where they are needed, as far as can be seen without the list of keywords.
fn name(text: &str) -> String {
    let plain = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_plain = text.chars().all(plain) && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn pattern(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let escapes = cast(&args.args[1].to_array(args.number_rows)?, &DataType::Utf8)?;
    let escape = escapes.as_string::<i32>().iter().flatten().next().and_then(|escape| escape.chars().next());
    each(args, |text| text.map(|text| like_pattern(text, escape)))
}

/// A pattern of LIKE in which a backslash escapes, and no longer `escape`.
pub(crate) fn like_pattern(pattern: &str, escape: Option<char>) -> String {
    let mut written = String::with_capacity(pattern.len() + 4);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                written.push('\\');
                written.extend(chars.next());
            }
            '\\' => written.push_str("\\\\"),
            c => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_texts_are_escaped() {
        for (pattern, escape, written) in [
            ("10!%", Some('!'), r"10\%"),
            ("a!!b", Some('!'), r"a\!b"),
            (r"a\%", Some('!'), r"a\\%"),
            (r"a\%", Some('\\'), r"a\%"),
            (r"a\%", None, r"a\\%"),
        ] {
            assert_eq!(like_pattern(pattern, escape), written, "{pattern}");
        }
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
        assert_eq!((name("abc_1"), name("Abc"), name("a\"b")), ("abc_1".into(), "\"Abc\"".into(), "\"a\"\"b\"".into()));
    }
}
