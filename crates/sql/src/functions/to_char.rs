//! `to_char(time, pattern)` with PostgreSQL's patterns (`YYYY-MM-DD HH24:MI:SS`), or strftime's where there is a `%`.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder, timezone::Tz},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
    temporal_conversions::timestamp_us_to_datetime,
};
use chrono::{DateTime, Datelike, FixedOffset, Offset, TimeZone, Timelike};
use datafusion::{
    common::{DataFusionError, exec_err},
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF},
};
use model::{Error, error::codes};

use super::simple::Simple;

pub(super) fn function() -> ScalarUDF {
    Simple::new("to_char", Some(2), |_| Ok(DataType::Utf8), run).udf().with_aliases(["date_format"])
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Field { field: Field, case: Case, padded: bool, ordinal: Option<bool> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field {
    Year(u8),
    IsoYear,
    Month,
    MonthName,
    MonthShort,
    Day,
    DayOfYear,
    DayOfWeek,
    IsoDayOfWeek,
    DayName,
    DayShort,
    Hour24,
    Hour12,
    Minute,
    Second,
    SecondsOfDay,
    Millis,
    Micros,
    Meridiem(bool),
    Quarter,
    Week,
    IsoWeek,
    WeekOfMonth,
    Century,
    Julian,
    Zone,
    ZoneOffset,
    Era(bool),
}

/// Longer ones first. Upper case here; a name's case is that of its pattern.
const FIELDS: [(&str, Field); 42] = [
    ("Y,YYY", Field::Year(5)),
    ("SSSSS", Field::SecondsOfDay),
    ("MONTH", Field::MonthName),
    ("SSSS", Field::SecondsOfDay),
    ("YYYY", Field::Year(4)),
    ("IYYY", Field::IsoYear),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("A.M.", Field::Meridiem(true)),
    ("P.M.", Field::Meridiem(true)),
    ("B.C.", Field::Era(true)),
    ("A.D.", Field::Era(true)),
    ("YYY", Field::Year(3)),
    ("MON", Field::MonthShort),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("YY", Field::Year(2)),
    ("MM", Field::Month),
    ("MI", Field::Minute),
    ("MS", Field::Millis),
    ("US", Field::Micros),
    ("DD", Field::Day),
    ("DY", Field::DayShort),
    ("ID", Field::IsoDayOfWeek),
    ("HH", Field::Hour12),
    ("SS", Field::Second),
    ("AM", Field::Meridiem(false)),
    ("PM", Field::Meridiem(false)),
    ("BC", Field::Era(false)),
    ("AD", Field::Era(false)),
    ("WW", Field::Week),
    ("IW", Field::IsoWeek),
    ("CC", Field::Century),
    ("TZ", Field::Zone),
    ("OF", Field::ZoneOffset),
    ("FF3", Field::Millis),
    ("FF6", Field::Micros),
    ("Y", Field::Year(1)),
    ("D", Field::DayOfWeek),
    ("Q", Field::Quarter),
    ("W", Field::WeekOfMonth),
    ("J", Field::Julian),
];

const REFUSED: [&str; 7] = ["IDDD", "IYY", "TZH", "TZM", "RM", "FF", "SP"];

pub(super) fn parse(pattern: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    let mut padded = true;
    while let Some(first) = rest.chars().next() {
        let upper = rest.to_ascii_uppercase();
        if let Some(after) = rest.strip_prefix('"') {
            let end = after.find('"').unwrap_or(after.len());
            text.push_str(&after[..end]);
            rest = after.get(end + 1..).unwrap_or_default();
            continue;
        }
        if upper.starts_with("FM") || upper.starts_with("TM") {
            padded &= !upper.starts_with("FM");
            rest = &rest[2..];
            continue;
        }
        // IYYY is a field of its own, IYY is not.
        let refused = REFUSED.iter().find(|name| upper.starts_with(**name) && !upper.starts_with("IYYY"));
        if let Some(name) = refused
            && !upper.starts_with("FF3")
            && !upper.starts_with("FF6")
        {
            let error = Error::new(codes::SQL_UNSUPPORTED, format!("the pattern `{name}` is not offered"))
                .hint("patterns are as in PostgreSQL, or as in strftime: '%Y-%m-%d'; text goes in double quotes");
            return Err(DataFusionError::External(Box::new(error)));
        }
        let Some((name, field)) = FIELDS.iter().find(|(name, _)| upper.starts_with(name)) else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        let case = match rest.as_bytes() {
            [a, ..] if a.is_ascii_lowercase() => Case::Lower,
            [_, b, ..] if b.is_ascii_lowercase() => Case::Capital,
            _ => Case::Upper,
        };
        rest = &rest[name.len()..];
        let ordinal = match rest.get(..2) {
            Some("TH") => Some(true),
            Some("th") => Some(false),
            _ => None,
        };
        if ordinal.is_some() {
            rest = &rest[2..];
        }
        parts.push(Part::Field { field: *field, case, padded, ordinal });
        padded = true;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn run(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let times = args.args[0].to_array(args.number_rows)?;
    let (zone, times): (Option<Tz>, ArrayRef) = match times.data_type() {
        DataType::Timestamp(_, Some(zone)) => {
            let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone()));
            (Some(zone.parse()?), cast(&times, &wanted)?)
        }
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Null => {
            (None, cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = cast(&cast(&times, &DataType::Time64(TimeUnit::Microsecond))?, &DataType::Int64)?;
            (None, cast(&micros, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
        }
        other => {
            let error = Error::new(
                codes::SQL_UNSUPPORTED,
                format!("to_char of {} is not offered: it takes a date or a time", schemas::sql::type_name(other)),
            )
            .hint("CAST(round(x, 2) AS VARCHAR) shows a number, lpad() gives it a width");
            return Err(DataFusionError::External(Box::new(error)));
        }
    };
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let patterns = cast(&args.args[1].to_array(args.number_rows)?, &DataType::Utf8)?;
    let patterns = patterns.as_string::<i32>();
    let mut texts = StringBuilder::with_capacity(times.len(), times.len() * 16);
    // Nearly always one for all rows.
    let mut last: Option<(String, Vec<Part>)> = None;
    for row in 0..times.len() {
        if times.is_null(row) || patterns.is_null(row) {
            texts.append_null();
            continue;
        }
        let Some(utc) = timestamp_us_to_datetime(times.value(row)) else {
            return exec_err!("to_char cannot show a year this far away");
        };
        let offset = zone.map_or(FixedOffset::east_opt(0).expect("zero is in range"), |zone| {
            zone.offset_from_utc_datetime(&utc).fix()
        });
        let at = offset.from_utc_datetime(&utc);
        let pattern = patterns.value(row);
        if pattern.contains('%') {
            let mut text = String::new();
            if write!(text, "{}", at.format(pattern)).is_err() {
                return exec_err!("`{pattern}` is not a pattern of strftime");
            }
            texts.append_value(text);
            continue;
        }
        if last.as_ref().is_none_or(|(known, _)| known != pattern) {
            last = Some((pattern.to_owned(), parse(pattern)?));
        }
        let parts = last.as_ref().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
        texts.append_value(shown(parts, &at, zone.is_some()));
    }
    Ok(ColumnarValue::Array(Arc::new(texts.finish())))
}

fn shown(parts: &[Part], at: &DateTime<FixedOffset>, zoned: bool) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Field { field, case, padded, ordinal } => {
                let shown = one(*field, *case, *padded, at, zoned);
                text.push_str(&shown);
                if let (Some(upper), Ok(number)) = (ordinal, shown.trim().parse::<i64>()) {
                    let suffix = match (number % 100, number % 10) {
                        (11..=13, _) => "th",
                        (_, 1) => "st",
                        (_, 2) => "nd",
                        (_, 3) => "rd",
                        _ => "th",
                    };
                    text.push_str(&if *upper { suffix.to_uppercase() } else { suffix.to_owned() });
                }
            }
        }
    }
    text
}

fn one(field: Field, case: Case, padded: bool, at: &DateTime<FixedOffset>, zoned: bool) -> String {
    let number = |value: i64, width: usize| match padded {
        true => format!("{value:0width$}"),
        false => value.to_string(),
    };
    let name = |pattern: &str, width: usize| {
        let name = at.format(pattern).to_string();
        let name = match case {
            Case::Upper => name.to_uppercase(),
            Case::Capital => name,
            Case::Lower => name.to_lowercase(),
        };
        if padded { format!("{name:width$}") } else { name }
    };
    let letters = |name: &str, dotted: bool| {
        let name = if dotted { name.chars().flat_map(|c| [c, '.']).collect() } else { name.to_owned() };
        if case == Case::Lower { name.to_lowercase() } else { name }
    };
    let year = i64::from(at.year());
    let years = if year > 0 { year } else { 1 - year };
    match field {
        Field::Year(5) => format!("{},{:03}", years / 1000, years % 1000),
        Field::Year(4) => number(years, 4),
        Field::Year(digits) => number(years % 10_i64.pow(digits.into()), digits.into()),
        Field::IsoYear => number(i64::from(at.iso_week().year()), 4),
        Field::Month => number(at.month().into(), 2),
        Field::MonthName => name("%B", 9),
        Field::MonthShort => name("%b", 3),
        Field::Day => number(at.day().into(), 2),
        Field::DayOfYear => number(at.ordinal().into(), 3),
        Field::DayOfWeek => (at.weekday().num_days_from_sunday() + 1).to_string(),
        Field::IsoDayOfWeek => at.weekday().number_from_monday().to_string(),
        Field::DayName => name("%A", 9),
        Field::DayShort => name("%a", 3),
        Field::Hour24 => number(at.hour().into(), 2),
        Field::Hour12 => number(at.hour12().1.into(), 2),
        Field::Minute => number(at.minute().into(), 2),
        Field::Second => number(at.second().into(), 2),
        Field::SecondsOfDay => at.num_seconds_from_midnight().to_string(),
        Field::Millis => format!("{:03}", at.timestamp_subsec_millis() % 1_000),
        Field::Micros => format!("{:06}", at.timestamp_subsec_micros() % 1_000_000),
        Field::Meridiem(dotted) => letters(if at.hour() < 12 { "AM" } else { "PM" }, dotted),
        Field::Quarter => (at.month0() / 3 + 1).to_string(),
        Field::Week => number((at.ordinal0() / 7 + 1).into(), 2),
        Field::IsoWeek => number(at.iso_week().week().into(), 2),
        Field::WeekOfMonth => (at.day0() / 7 + 1).to_string(),
        Field::Century => number((years - 1) / 100 + 1, 2),
        Field::Julian => (i64::from(at.num_days_from_ce()) + 1_721_425).to_string(),
        Field::Zone if zoned && at.offset().local_minus_utc() == 0 => letters("UTC", false),
        Field::Zone | Field::ZoneOffset if zoned || field == Field::ZoneOffset => {
            let seconds = at.offset().local_minus_utc();
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
            match minutes % 60 {
                0 => format!("{sign}{:02}", minutes / 60),
                rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
            }
        }
        Field::Zone | Field::ZoneOffset => String::new(),
        Field::Era(dotted) => letters(if year > 0 { "AD" } else { "BC" }, dotted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_char(pattern: &str) -> String {
        let at = DateTime::parse_from_rfc3339("2020-03-01T14:05:09.012345+02:00").expect("a time");
        parse(pattern).map_or_else(|error| error.to_string(), |parts| shown(&parts, &at, true))
    }

    #[test]
    fn patterns_mean_what_they_mean_to_postgresql() {
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2020-03-01 14:05:09"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.MSOF", "2020-03-01T14:05:09.012+02"),
            ("yyyy/mm/dd hh:mi:ss.us am", "2020/03/01 02:05:09.012345 pm"),
            ("FMDD. FMMonth YY", "1. March 20"),
            ("FMDay, DDth Mon", "Sunday, 01st Mar"),
            ("MONTH|Month|mon", "MARCH    |March    |mar"),
            ("DDD D ID Q WW IW IYYY W CC J", "061 1 7 1 09 09 2020 1 21 2458910"),
            ("P.M. y", "P.M. 0"),
        ] {
            assert_eq!(to_char(pattern), expected, "{pattern}");
        }
        assert!(to_char("RM").contains("the pattern `RM` is not offered"));
    }
}
