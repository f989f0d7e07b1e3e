//! Values as text, the way `psql` shows them (`DateStyle = ISO`, `IntervalStyle = postgres`, `bytea_output = hex`).

use std::fmt::Write;

use arrow::{array::timezone::Tz, datatypes::IntervalMonthDayNanoType};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, Timelike};
use model::{Error, Result};

use super::Cells;
use crate::types::oid;

const MICROS: i64 = 1_000_000;

impl Cells {
    /// The value of `row`, which is not NULL.
    pub(super) fn put_text(&self, row: usize, zone: Tz, b: &mut BytesMut) -> Result<()> {
        match self {
            Self::Null => {}
            Self::Bool(a) => b.put_u8(if a.value(row) { b't' } else { b'f' }),
            Self::Int2(a) => put(b, format_args!("{}", a.value(row))),
            Self::Int4(a) => put(b, format_args!("{}", a.value(row))),
            Self::Int8(a) => put(b, format_args!("{}", a.value(row))),
            Self::Float4(a) => {
                put_float(b, f64::from(a.value(row)), &a.value(row).to_string(), &format!("{:e}", a.value(row)), 6)
            }
            Self::Float8(a) => {
                put_float(b, a.value(row), &a.value(row).to_string(), &format!("{:e}", a.value(row)), 15)
            }
            Self::Numeric128(a) => b.put_slice(a.value_as_string(row).as_bytes()),
            Self::Numeric256(a) => b.put_slice(a.value_as_string(row).as_bytes()),
            Self::Text(a) | Self::Jsonb(a) => put_str(b, a.value(row)),
            Self::TextView(a) => put_str(b, a.value(row)),
            Self::Bytes(a) => {
                b.put_slice(b"\\x");
                put_hex(b, a.value(row));
            }
            Self::Uuid(a) => put_uuid(b, a.value(row)),
            Self::Date(a) => put_date(b, a.value(row))?,
            Self::Time(a) => put_time(b, a.value(row)),
            Self::Timestamp(a) => put_timestamp(b, a.value(row))?,
            Self::TimestampTz(a) => put_timestamp_tz(b, a.value(row), zone)?,
            Self::Interval(a) => {
                let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(a.value(row));
                put_interval(b, months, days, nanos / 1000);
            }
            Self::Duration(a) => put_interval(b, 0, 0, a.value(row)),
            Self::List { list, items, item_oid } => {
                let offsets = list.value_offsets();
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                b.put_u8(b'{');
                let mut item = BytesMut::new();
                for i in start..end {
                    if i > start {
                        b.put_u8(b',');
                    }
                    if items.is_null(i) {
                        b.put_slice(b"NULL");
                        continue;
                    }
                    item.clear();
                    items.put_text(i, zone, &mut item)?;
                    put_array_item(b, &item, *item_oid);
                }
                b.put_u8(b'}');
            }
        }
        Ok(())
    }
}

fn put(b: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    b.write_fmt(text).expect("a buffer grows as needed");
}

/// PostgreSQL has no NUL in text; a client would see the value end there.
fn put_str(b: &mut BytesMut, text: &str) {
    if text.as_bytes().contains(&0) {
        b.put_slice(text.replace('\0', "\u{fffd}").as_bytes());
    } else {
        b.put_slice(text.as_bytes());
    }
}

/// Shortest digits that read back the same; exponents outside of −4 ≤ e < `digits_max`, as PostgreSQL's `float8out`.
fn put_float(b: &mut BytesMut, value: f64, plain: &str, scientific: &str, digits_max: i32) {
    if value.is_nan() {
        return b.put_slice(b"NaN");
    }
    if value.is_infinite() {
        return b.put_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` has an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a number after the e");
    if value == 0.0 || (-4..digits_max).contains(&exponent) {
        b.put_slice(plain.as_bytes());
    } else {
        put(b, format_args!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    }
}

fn put_hex(b: &mut BytesMut, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        b.put_u8(DIGITS[usize::from(byte >> 4)]);
        b.put_u8(DIGITS[usize::from(byte & 15)]);
    }
}

fn put_uuid(b: &mut BytesMut, bytes: &[u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            b.put_u8(b'-');
        }
        put_hex(b, &[*byte]);
    }
}

fn put_date(b: &mut BytesMut, days: i32) -> Result<()> {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(TimeDelta::days(days.into())))
        .ok_or_else(out_of_range)?;
    put_ymd(b, date.year(), date);
    put_era(b, date.year());
    Ok(())
}

fn put_ymd(b: &mut BytesMut, year: i32, date: impl Datelike) {
    // The year before 1 AD is 1 BC to people and 0 to calendars.
    let shown = if year > 0 { year } else { 1 - year };
    put(b, format_args!("{shown:04}-{:02}-{:02}", date.month(), date.day()));
}

fn put_era(b: &mut BytesMut, year: i32) {
    if year <= 0 {
        b.put_slice(b" BC");
    }
}

fn put_time(b: &mut BytesMut, micros: i64) {
    let seconds = micros.div_euclid(MICROS);
    put(b, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    put_fraction(b, micros.rem_euclid(MICROS));
}

fn put_fraction(b: &mut BytesMut, micros: i64) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        put(b, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

fn put_date_time(b: &mut BytesMut, at: NaiveDateTime) {
    put_ymd(b, at.year(), at);
    put(b, format_args!(" {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()));
    put_fraction(b, i64::from(at.nanosecond() / 1000 % 1_000_000));
}

fn put_timestamp(b: &mut BytesMut, micros: i64) -> Result<()> {
    let at = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?.naive_utc();
    put_date_time(b, at);
    put_era(b, at.year());
    Ok(())
}

fn put_timestamp_tz(b: &mut BytesMut, micros: i64, zone: Tz) -> Result<()> {
    let at = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?.with_timezone(&zone);
    let offset = at.offset().fix().local_minus_utc();
    put_date_time(b, at.naive_local());
    let (sign, seconds) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    put(b, format_args!("{sign}{:02}", seconds / 3600));
    if seconds % 3600 != 0 {
        put(b, format_args!(":{:02}", seconds / 60 % 60));
    }
    put_era(b, at.year());
    Ok(())
}

/// `1 year 2 mons -3 days +04:05:06.7`.
fn put_interval(b: &mut BytesMut, months: i32, days: i32, micros: i64) {
    let mut first = true;
    let mut negative_before = false;
    for (count, one, many) in [(months / 12, "year", "years"), (months % 12, "mon", "mons"), (days, "day", "days")] {
        if count != 0 {
            let plus = if negative_before && count > 0 { "+" } else { "" };
            put(
                b,
                format_args!("{}{plus}{count} {}", if first { "" } else { " " }, if count == 1 { one } else { many }),
            );
            (first, negative_before) = (false, count < 0);
        }
    }
    if micros != 0 || first {
        let sign = if micros < 0 {
            "-"
        } else if negative_before {
            "+"
        } else {
            ""
        };
        let micros = micros.unsigned_abs();
        let (seconds, rest) = (micros / 1_000_000, (micros % 1_000_000) as i64);
        let space = if first { "" } else { " " };
        put(b, format_args!("{space}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        put_fraction(b, rest);
    }
}

fn put_array_item(b: &mut BytesMut, item: &[u8], item_oid: u32) {
    let texty = matches!(item_oid, oid::TEXT | oid::BYTEA | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL);
    let needs_quotes = item.is_empty()
        || item.eq_ignore_ascii_case(b"null")
        || texty && item.iter().any(|c| matches!(c, b'{' | b'}' | b',' | b'"' | b'\\') || c.is_ascii_whitespace());
    if !needs_quotes {
        return b.put_slice(item);
    }
    b.put_u8(b'"');
    for byte in item {
        if matches!(byte, b'"' | b'\\') {
            b.put_u8(b'\\');
        }
        b.put_u8(*byte);
    }
    b.put_u8(b'"');
}

fn out_of_range() -> Error {
    Error::new(model::error::codes::PG_VALUE_UNSENDABLE, "could not send a value of the result")
        .detail("a date or timestamp is outside of what PostgreSQL's calendar can show")
}
