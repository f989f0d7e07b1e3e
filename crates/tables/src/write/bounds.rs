//! What a data file says about its columns: sizes, counts and bounds, from the Parquet footer.
//!
//! Parquet shortens the statistics of long strings; they are then no value of the column, but still bounds of it, and
//! that is all Iceberg asks for. Bounds of strings and bytes are cut to 16 as in Java, so that manifests stay small.

use std::collections::HashMap;

use iceberg::spec::{Datum, PrimitiveType, Schema, Type};
use parquet::{
    basic::Repetition,
    file::{metadata::ParquetMetaData, statistics::Statistics},
};

/// Column metrics of a file, by field id.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) column_sizes: HashMap<i32, u64>,
    pub(crate) value_counts: HashMap<i32, u64>,
    pub(crate) null_value_counts: HashMap<i32, u64>,
    pub(crate) lower_bounds: HashMap<i32, Datum>,
    pub(crate) upper_bounds: HashMap<i32, Datum>,
}

/// Columns with metrics at most (Iceberg's `write.metadata.metrics.max-inferred-column-defaults`).
const COLUMNS_MAX: usize = 100;

/// How long bounds may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truncate {
    /// To this many characters or bytes.
    To(usize),
    /// Not at all: paths in delete files are matched by their bounds.
    Never,
}

pub(crate) fn metrics(footer: &ParquetMetaData, schema: &Schema, truncate: Truncate) -> Metrics {
    let mut metrics = Metrics::default();
    // A bound holds for the file only if every row group with values has one.
    let mut unbounded = Vec::new();
    for row_group in footer.row_groups() {
        for (index, column) in row_group.columns().iter().enumerate() {
            let described = column.column_descr();
            let info = described.self_type().get_basic_info();
            // Values in lists and maps say nothing about rows.
            let repeated =
                described.max_rep_level() > 0 || (info.has_repetition() && info.repetition() == Repetition::REPEATED);
            if index >= COLUMNS_MAX || repeated || !info.has_id() {
                continue;
            }
            let id = info.id();
            let Some(Type::Primitive(ty)) = schema.field_by_id(id).map(|field| field.field_type.as_ref()) else {
                continue;
            };
            *metrics.column_sizes.entry(id).or_default() += column.compressed_size().unsigned_abs();
            let values = column.num_values().unsigned_abs();
            *metrics.value_counts.entry(id).or_default() += values;
            let statistics = column.statistics();
            let nulls = statistics.and_then(Statistics::null_count_opt);
            if let Some(nulls) = nulls {
                *metrics.null_value_counts.entry(id).or_default() += nulls;
            }
            if nulls == Some(values) {
                continue;
            }
            match statistics.and_then(|s| Some((datum(ty, s.min_bytes_opt()?)?, datum(ty, s.max_bytes_opt()?)?))) {
                Some((min, max)) => {
                    keep(&mut metrics.lower_bounds, id, min, |new, old| new < old);
                    keep(&mut metrics.upper_bounds, id, max, |new, old| new > old);
                }
                None => unbounded.push(id),
            }
        }
    }
    for id in unbounded {
        metrics.lower_bounds.remove(&id);
        metrics.upper_bounds.remove(&id);
    }
    if let Truncate::To(length) = truncate {
        metrics.lower_bounds = metrics.lower_bounds.into_iter().map(|(id, datum)| (id, lower(datum, length))).collect();
        metrics.upper_bounds =
            metrics.upper_bounds.into_iter().filter_map(|(id, datum)| Some((id, upper(datum, length)?))).collect();
    }
    metrics
}

fn keep(bounds: &mut HashMap<i32, Datum>, id: i32, new: Datum, better: impl Fn(&Datum, &Datum) -> bool) {
    match bounds.get_mut(&id) {
        Some(old) if !better(&new, old) => {}
        Some(old) => *old = new,
        None => {
            bounds.insert(id, new);
        }
    }
}

/// Parquet's plain encoding of a value is Iceberg's, but for decimals stored as integers. NaN is no bound.
fn datum(ty: &PrimitiveType, bytes: &[u8]) -> Option<Datum> {
    let big_endian: Vec<u8>;
    let bytes = match ty {
        PrimitiveType::Decimal { precision, .. } if *precision <= 18 => {
            big_endian = bytes.iter().rev().copied().collect();
            &big_endian
        }
        _ => bytes,
    };
    let datum = Datum::try_from_bytes(bytes, ty.clone()).ok()?;
    (!datum.is_nan()).then_some(datum)
}

fn lower(datum: Datum, length: usize) -> Datum {
    match text(&datum) {
        Some(Value::Text(text)) => Datum::string(text.chars().take(length).collect::<String>()),
        Some(Value::Bytes(bytes)) => Datum::binary(bytes.into_iter().take(length)),
        None => datum,
    }
}

/// Rounded up, or none if nothing of that length is larger.
fn upper(datum: Datum, length: usize) -> Option<Datum> {
    match text(&datum) {
        Some(Value::Text(text)) if text.chars().count() > length => {
            let mut kept: Vec<char> = text.chars().take(length).collect();
            while let Some(last) = kept.pop() {
                if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
                    kept.push(next);
                    return Some(Datum::string(kept.into_iter().collect::<String>()));
                }
            }
            None
        }
        Some(Value::Bytes(mut bytes)) if bytes.len() > length => {
            bytes.truncate(length);
            while let Some(last) = bytes.pop() {
                if let Some(next) = last.checked_add(1) {
                    bytes.push(next);
                    return Some(Datum::binary(bytes));
                }
            }
            None
        }
        _ => Some(datum),
    }
}

enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

/// The value of a type of any length.
fn text(datum: &Datum) -> Option<Value> {
    let bytes = datum.to_bytes().ok()?.into_vec();
    match datum.data_type() {
        PrimitiveType::String => String::from_utf8(bytes).ok().map(Value::Text),
        PrimitiveType::Binary => Some(Value::Bytes(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_bounds_still_enclose_the_value() {
        for value in ["", "short", "exactly16letters", "a long string of more than sixteen", "ααααααααααααααααααα"]
        {
            let datum = Datum::string(value);
            assert!(lower(datum.clone(), 16) <= datum, "{value}");
            assert!(upper(datum.clone(), 16).expect("has one") >= datum, "{value}");
        }
        let last = "a".repeat(15) + &"\u{10ffff}".repeat(5);
        assert_eq!(upper(Datum::string(&last), 16), Some(Datum::string("a".repeat(14) + "b")));
        assert_eq!(upper(Datum::string("\u{10ffff}".repeat(17)), 16), None);
        // The gap of surrogates is skipped.
        assert_eq!(upper(Datum::string("\u{d7ff}x"), 1), Some(Datum::string("\u{e000}")));
        assert_eq!(upper(Datum::binary(vec![1, 255, 255]), 2), Some(Datum::binary(vec![2])));
        assert_eq!(upper(Datum::binary(vec![255, 255, 255]), 2), None);
    }

    #[test]
    fn decimals_and_nan_are_told_from_their_bytes() {
        let small = PrimitiveType::Decimal { precision: 9, scale: 2 };
        assert_eq!(datum(&small, &(-5_i32).to_le_bytes()).map(|d| d.to_string()), Some("-0.05".to_owned()));
        let large = PrimitiveType::Decimal { precision: 38, scale: 0 };
        assert_eq!(datum(&large, &7_i128.to_be_bytes()).map(|d| d.to_string()), Some("7".to_owned()));
        assert_eq!(datum(&PrimitiveType::Double, &f64::NAN.to_le_bytes()), None);
        assert_eq!(datum(&PrimitiveType::Int, &[1]), None, "too short is no bound, and no panic");
    }
}
