//! `to_date(text, pattern)` and `to_timestamp(text, pattern)` with PostgreSQL's patterns, those of `to_char`; with strftime's
//! where there is a `%`. With one argument texts are read as casts read them, and numbers are seconds since 1970, or days
//! where a day is asked for.
//!
//! As in PostgreSQL a separator of the pattern stands for any separators of the text, or none; the text may end before the
//! pattern does, and what follows the last field is passed over.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray, timezone::Tz},
    compute::cast,
    datatypes::{DataType, Date32Type, Decimal128Type, TimeUnit},
};
use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Weekday};
use datafusion::{
    common::{DataFusionError, config::ConfigOptions},
    error::Result,
    execution::FunctionRegistry,
    logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
    prelude::SessionContext,
};
use model::{Error, error::codes};

use super::{
    coerced,
    now::zone,
    to_char::{Field, Part, parse},
};
use crate::{engine::UTC, errors::shortened, texts::read_times};

pub(super) fn register(context: &SessionContext) {
    let config = context.copied_config();
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some(zone(config.options())));
    for (name, gives) in [("to_date", DataType::Date32), ("to_timestamp", moment)] {
        let inner = context.udf(name).expect("DataFusion has it");
        context.register_udf(ScalarUDF::from(ToTime { inner, gives, signature: signature() }));
    }
}

fn signature() -> Signature {
    Signature::user_defined(Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToTime {
    /// DataFusion's, for strftime's patterns and for days.
    inner: Arc<ScalarUDF>,
    gives: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for ToTime {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerced(types, &self.inner)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let DataType::Timestamp(unit, _) = self.gives else { return None };
        let inner = self.inner.inner().with_updated_config(config).map_or_else(|| self.inner.clone(), Arc::new);
        let gives = DataType::Timestamp(unit, Some(zone(config)));
        Some(ScalarUDF::from(Self { inner, gives, signature: signature() }))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_text = args.args[0].data_type().is_string();
        let array = match args.args.as_slice() {
            [texts] if is_text => read_times(&texts.to_array(args.number_rows)?, &self.gives, false)?,
            [seconds] if seconds.data_type().is_numeric() && self.zone().is_some() => {
                self.since_1970(seconds, args.number_rows)?
            }
            [texts, patterns] if is_text && patterns.data_type().is_string() && !is_strftime(patterns)? => {
                self.read(&texts.to_array(args.number_rows)?, &patterns.to_array(args.number_rows)?)?
            }
            _ => {
                let types: Vec<_> = args.args.iter().map(ColumnarValue::data_type).collect();
                let field = args.return_field.as_ref().clone().with_data_type(self.inner.return_type(&types)?);
                args.return_field = Arc::new(field);
                return self.inner.invoke_with_args(args)?.cast_to(&self.gives, None);
            }
        };
        Ok(ColumnarValue::Array(array))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Whether the first of `patterns` is.
fn is_strftime(patterns: &ColumnarValue) -> Result<bool> {
    let patterns = cast(&patterns.to_array(1)?, &DataType::Utf8)?;
    Ok(patterns.as_string::<i32>().iter().flatten().next().is_some_and(|pattern| pattern.contains('%')))
}

impl ToTime {
    /// Of the moments it gives; a day has none.
    fn zone(&self) -> Option<&Arc<str>> {
        if let DataType::Timestamp(_, zone) = &self.gives { zone.as_ref() } else { None }
    }

    /// DataFusion's nanoseconds cut microseconds off a DOUBLE, and end with the year 2262.
    fn since_1970(&self, seconds: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
        let micros = seconds.cast_to(&DataType::Decimal128(38, 6), None)?.to_array(rows)?;
        let too_far = |_| {
            let error = Error::new(codes::SQL_VALUE, "a number of seconds is too far from 1970 to be a time");
            DataFusionError::External(Box::new(error))
        };
        let micros = micros.as_primitive::<Decimal128Type>();
        let moments: TimestampMicrosecondArray = micros.try_unary(|micros| i64::try_from(micros).map_err(too_far))?;
        Ok(Arc::new(moments.with_timezone_opt(self.zone().cloned())))
    }

    fn read(&self, texts: &ArrayRef, patterns: &ArrayRef) -> Result<ArrayRef> {
        let (texts, patterns) = (cast(texts, &DataType::Utf8)?, cast(patterns, &DataType::Utf8)?);
        let (texts, patterns) = (texts.as_string::<i32>(), patterns.as_string::<i32>());
        let session: Tz = self.zone().map_or(UTC, |zone| &**zone).parse()?;
        // Nearly always one for all rows.
        let mut last: Option<(&str, Vec<Part>)> = None;
        let mut times = Vec::with_capacity(texts.len());
        for (text, pattern) in texts.iter().zip(patterns) {
            let (Some(text), Some(pattern)) = (text, pattern) else {
                times.push(None);
                continue;
            };
            if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
                last = Some((pattern, parse(pattern)?));
            }
            let parts = last.as_ref().map(|(_, parts)| parts.as_slice()).unwrap_or_default();
            let read = Reader::new(text).read(parts)?.time();
            let time = read.and_then(|(time, zone)| moment(time, zone.unwrap_or(session)));
            times.push(Some(time.ok_or_else(|| refused(text, pattern))?));
        }
        let Some(zone) = self.zone() else {
            let days = times.iter().map(|time| Some(Date32Type::from_naive_date((*time)?.date_naive())));
            return Ok(Arc::new(days.collect::<Date32Array>()));
        };
        let moments = times.iter().map(|time| Some((*time)?.timestamp_micros()));
        Ok(Arc::new(moments.collect::<TimestampMicrosecondArray>().with_timezone(zone.clone())))
    }
}

/// What the clocks of `zone` call `time`, as in PostgreSQL: the later moment of two, and where clocks go forward past it, what
/// it would be had they not.
pub(crate) fn moment(time: NaiveDateTime, zone: Tz) -> Option<DateTime<Tz>> {
    let day = Duration::days(1);
    let at = |time| zone.from_local_datetime(&time).latest();
    at(time).or_else(|| at(time.checked_sub_signed(day)?)?.checked_add_signed(day))
}

fn refused(text: &str, pattern: &str) -> DataFusionError {
    let what = format!("`{}` is not a time written as `{pattern}`", shortened(text));
    let error = Error::new(codes::SQL_VALUE, what)
        .hint("patterns are as in PostgreSQL, or as in strftime: '%Y-%m-%d'; text goes in double quotes");
    DataFusionError::External(Box::new(error))
}

/// Reads the fields of one text; `None` where one is not there.
struct Reader<'a> {
    rest: &'a str,
    fails: bool,
    year: Option<i32>,
    iso_year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    iso_week: Option<u32>,
    weekday: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    seconds_of_day: Option<u32>,
    micros: u32,
    half_day: Option<bool>,
    before_christ: bool,
    zone: Option<Tz>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            fails: false,
            year: None,
            iso_year: None,
            month: None,
            day: None,
            day_of_year: None,
            iso_week: None,
            weekday: None,
            hour: 0,
            minute: 0,
            second: 0,
            seconds_of_day: None,
            micros: 0,
            half_day: None,
            before_christ: false,
            zone: None,
        }
    }

    fn read(mut self, parts: &[Part]) -> Result<Self> {
        for (index, part) in parts.iter().enumerate() {
            if self.rest.is_empty() {
                break;
            }
            match part {
                Part::Text(text) => self.skip(text),
                Part::Field { field, ordinal, .. } => {
                    let runs_on = !matches!(parts.get(index + 1), Some(Part::Field { .. }));
                    self.field(*field, runs_on)?;
                    if ordinal.is_some() {
                        self.letters();
                    }
                }
            }
        }
        Ok(self)
    }

    /// Letters and digits stand for one character each, all else for whatever separates.
    fn skip(&mut self, text: &str) {
        for c in text.chars() {
            let mut rest = self.rest.chars();
            if c.is_alphanumeric() {
                rest.next();
                self.rest = rest.as_str();
            } else {
                self.rest = self.rest.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '-'));
                self.rest = self.rest.strip_prefix(c).unwrap_or(self.rest);
            }
        }
    }

    fn field(&mut self, field: Field, runs_on: bool) -> Result<()> {
        if !matches!(field, Field::Zone | Field::ZoneOffset) {
            self.rest = self.rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        }
        match field {
            Field::Year(4) => self.year = self.number(if runs_on { 6 } else { 4 }),
            Field::Year(digits @ 1..=3) => {
                self.year = self.number(digits.into()).map(|year: i32| match year {
                    0..70 => year + 2000,
                    70..100 => year + 1900,
                    100..520 => year + 2000,
                    520..1000 => year + 1000,
                    year => year,
                });
            }
            Field::IsoYear => self.iso_year = self.number(4),
            Field::Month => self.month = self.number(2),
            Field::MonthName | Field::MonthShort => self.month = self.name(&MONTHS),
            Field::Day => self.day = self.number(2),
            Field::DayOfYear => self.day_of_year = self.number(3),
            Field::DayName | Field::DayShort => drop(self.name(&DAYS)),
            Field::DayOfWeek | Field::Quarter => drop(self.number::<u32>(1)),
            Field::IsoDayOfWeek => self.weekday = self.number(1),
            Field::IsoWeek => self.iso_week = self.number(2),
            Field::Hour24 => self.hour = self.number(2).unwrap_or(0),
            Field::Hour12 => {
                self.hour = self.number(2).unwrap_or(0);
                self.fails |= !(1..=12).contains(&self.hour);
                self.half_day = self.half_day.or(Some(false));
            }
            Field::Minute => self.minute = self.number(2).unwrap_or(0),
            Field::Second => self.second = self.number(2).unwrap_or(0),
            Field::SecondsOfDay => self.seconds_of_day = self.number(5),
            Field::Millis => self.micros = self.fraction(3),
            Field::Micros => self.micros = self.fraction(6),
            Field::Meridiem(_) => {
                let letters = self.letters().replace('.', "").to_ascii_uppercase();
                self.half_day = Some(letters == "PM");
                self.fails |= letters != "AM" && letters != "PM";
            }
            Field::Era(_) => self.before_christ = self.letters().to_ascii_uppercase().starts_with('B'),
            Field::Zone | Field::ZoneOffset => self.zone(),
            Field::Year(_) | Field::Week | Field::WeekOfMonth | Field::Century | Field::Julian => {
                let error = Error::new(codes::SQL_UNSUPPORTED, "the pattern has a part that is only written")
                    .detail("`Y,YYY`, `WW`, `W`, `CC` and `J` show times and do not read them");
                return Err(DataFusionError::External(Box::new(error)));
            }
        }
        Ok(())
    }

    fn number<N: std::str::FromStr>(&mut self, digits_max: usize) -> Option<N> {
        let digits = self.rest.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = number.parse().ok();
        self.fails |= number.is_none();
        number
    }

    /// Digits behind the point of a second, in microseconds.
    fn fraction(&mut self, digits_max: usize) -> u32 {
        let before = self.rest.len();
        let number: u32 = self.number(digits_max).unwrap_or(0);
        let digits = u32::try_from(before - self.rest.len()).unwrap_or(0);
        number * 10_u32.pow(6_u32.saturating_sub(digits))
    }

    fn letters(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let (letters, rest) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic() && c != '.').unwrap_or(rest.len()));
        self.rest = rest;
        letters
    }

    /// The place, from 1, of the name that comes next, whole or by its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let letters = self.letters().trim_end_matches('.');
        let is = |name: &str| name.eq_ignore_ascii_case(letters) || name[..3].eq_ignore_ascii_case(letters);
        let place = names.iter().position(|name| is(name)).and_then(|place| u32::try_from(place + 1).ok());
        self.fails |= place.is_none();
        place
    }

    /// `+02`, `-05:30`, `Z`, `UTC`, `Europe/Vienna`.
    fn zone(&mut self) {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (zone, rest) = self.rest.split_at(end);
        self.rest = rest;
        let zone = if zone.eq_ignore_ascii_case("z") { UTC } else { zone };
        self.zone = zone.parse().ok();
        self.fails |= self.zone.is_none();
    }

    /// What was read, and the time zone if that was said.
    fn time(self) -> Option<(NaiveDateTime, Option<Tz>)> {
        if self.fails {
            return None;
        }
        // The year before 1 is 1 BC.
        let year = self.year.unwrap_or(0);
        let year = if self.before_christ { 1 - year } else { year };
        let day = match (self.iso_week, self.day_of_year) {
            (Some(week), _) => {
                let weekday = u8::try_from(self.weekday.unwrap_or(1).checked_sub(1)?).ok()?;
                NaiveDate::from_isoywd_opt(self.iso_year.or(self.year)?, week, Weekday::try_from(weekday).ok()?)?
            }
            (None, Some(day)) => NaiveDate::from_yo_opt(year, day)?,
            (None, None) => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match self.half_day {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let time = match self.seconds_of_day {
            Some(seconds) => NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0)?,
            None => NaiveTime::from_hms_opt(hour, self.minute, self.second)?,
        };
        Some((day.and_time(time) + Duration::microseconds(self.micros.into()), self.zone))
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, pattern: &str) -> Option<String> {
        let reader = Reader::new(text).read(&parse(pattern).expect("a pattern")).expect("a pattern that reads");
        reader.time().map(|(time, zone)| format!("{time}{}", zone.map(|zone| zone.to_string()).unwrap_or_default()))
    }

    #[test]
    fn patterns_read_what_postgresql_reads_by_them() {
        for (text, pattern, time) in [
            ("02/01/2024", "DD/MM/YYYY", Some("2024-01-02 00:00:00")),
            ("2024-02-29 13:14:15.5", "YYYY-MM-DD HH24:MI:SS.MS", Some("2024-02-29 13:14:15.500")),
            ("20240229131415", "YYYYMMDDHH24MISS", Some("2024-02-29 13:14:15")),
            ("2000    JUN", "YYYY MON", Some("2000-06-01 00:00:00")),
            ("5 Dec 2000", "DD Mon YYYY", Some("2000-12-05 00:00:00")),
            ("Tuesday, March 5, 99", "Day, Month DD, YY", Some("1999-03-05 00:00:00")),
            ("12:30 am 1.2.24", "HH12:MI AM DD.MM.YY", Some("2024-02-01 00:30:00")),
            ("01:30 P.M.", "HH:MI P.M.", Some("0000-01-01 13:30:00")),
            ("2024-060", "YYYY-DDD", Some("2024-02-29 00:00:00")),
            ("2024-W09-4", "IYYY-\"W\"IW-ID", Some("2024-02-29 00:00:00")),
            (
                "2024-01-01T10:00:00.000123+02",
                "YYYY-MM-DD\"T\"HH24:MI:SS.USOF",
                Some("2024-01-01 10:00:00.000123+02:00"),
            ),
            ("2024-07-01 10 Europe/Vienna", "YYYY-MM-DD HH24 TZ", Some("2024-07-01 10:00:00Europe/Vienna")),
            ("2024-01-01xyz", "YYYY-MM-DD", Some("2024-01-01 00:00:00")),
            ("2024-02-30", "YYYY-MM-DD", None),
            ("2024-13-01", "YYYY-MM-DD", None),
            ("2024", "YYYY-MM-DD", Some("2024-01-01 00:00:00")),
            ("x", "YYYY-MM-DD", None),
            ("13:00", "HH12:MI", None),
            ("5 Foo 2000", "DD Mon YYYY", None),
        ] {
            assert_eq!(read(text, pattern).as_deref(), time, "{text} {pattern}");
        }
        assert!(Reader::new("1").read(&parse("CC").expect("a pattern")).is_err());
    }

    #[test]
    fn what_clocks_show_twice_or_never_is_a_moment_as_in_postgresql() {
        let vienna: Tz = "Europe/Vienna".parse().expect("a time zone");
        for (time, utc) in [
            ("2024-07-01T10:00:00", "2024-07-01 08:00:00"),
            ("2024-10-27T02:30:00", "2024-10-27 01:30:00"),
            ("2024-03-31T02:30:00", "2024-03-31 01:30:00"),
        ] {
            let found = moment(time.parse().expect("a time"), vienna).expect("a moment");
            assert_eq!(found.naive_utc().to_string(), utc, "{time}");
        }
    }
}
