//! Athena's `date_add(unit, n, time)` and `date_diff(unit, from, to)`, and what AT TIME ZONE stands for.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray, timezone::Tz},
    compute::{cast, kernels::numeric::add},
    datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType},
    temporal_conversions::timestamp_us_to_datetime,
};
use chrono::{Datelike, NaiveDateTime, TimeZone};
use datafusion::{
    common::{ScalarValue, exec_err},
    error::Result,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF},
};

use super::{simple::Simple, to_time::moment};

const DAY_US: i64 = 86_400_000_000;

#[derive(Clone, Copy)]
enum Unit {
    Months(i32),
    Micros(i64),
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        Simple::new("date_add", Some(3), |types| Ok(stored(&types[2])), date_add).udf(),
        Simple::new("timezone", Some(2), |types| Ok(moved(&types[1])), timezone).udf(),
        Simple::new("date_diff", Some(3), |_| Ok(DataType::Int64), date_diff).udf(),
    ]
}

/// A moment becomes what clocks show there, and what clocks show there a moment.
fn moved(data_type: &DataType) -> DataType {
    let zone = match data_type {
        DataType::Timestamp(_, Some(_)) => None,
        _ => Some("+00:00".into()),
    };
    DataType::Timestamp(TimeUnit::Microsecond, zone)
}

/// PostgreSQL's `timezone(zone, time)`.
fn timezone(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let Some(Some(name)) = (match &args.args[0] {
        ColumnarValue::Scalar(zone) => zone.try_as_str(),
        ColumnarValue::Array(_) => None,
    }) else {
        return exec_err!("AT TIME ZONE takes the zone as a text that is the same for all rows");
    };
    let zone: Tz = name.parse()?;
    let times = args.args[1].to_array(args.number_rows)?;
    let wanted = moved(times.data_type());
    let naive = |us: i64| timestamp_us_to_datetime(us);
    let array = match times.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            let times = micros(&times)?;
            let shown = times.as_primitive::<TimestampMicrosecondType>().iter().map(|us| {
                let utc = us.and_then(naive)?;
                Some(zone.from_utc_datetime(&utc).naive_local().and_utc().timestamp_micros())
            });
            Arc::new(shown.collect::<TimestampMicrosecondArray>()) as ArrayRef
        }
        _ => {
            let times = cast(&times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let moments = times.as_primitive::<TimestampMicrosecondType>().iter().map(|us| {
                let shown = us.and_then(naive)?;
                Some(moment(shown, zone)?.timestamp_micros())
            });
            Arc::new(moments.collect::<TimestampMicrosecondArray>().with_timezone(name)) as ArrayRef
        }
    };
    Ok(ColumnarValue::Array(cast(&array, &wanted)?))
}

/// What a moment is given as; text is read as one.
fn stored(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date32 => data_type.clone(),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

fn unit(args: &ScalarFunctionArgs) -> Result<Unit> {
    let written = match &args.args[0] {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(unit)) | ScalarValue::Utf8View(Some(unit)) | ScalarValue::LargeUtf8(Some(unit)),
        ) => unit.to_lowercase(),
        _ => return exec_err!("the unit of {} must be a literal such as 'day'", "date_add and date_diff"),
    };
    Ok(match written.strip_suffix('s').unwrap_or(&written) {
        "microsecond" => Unit::Micros(1),
        "millisecond" => Unit::Micros(1_000),
        "second" => Unit::Micros(1_000_000),
        "minute" => Unit::Micros(60_000_000),
        "hour" => Unit::Micros(3_600_000_000),
        "day" => Unit::Micros(DAY_US),
        "week" => Unit::Micros(7 * DAY_US),
        "month" => Unit::Months(1),
        "quarter" => Unit::Months(3),
        "year" => Unit::Months(12),
        _ => {
            return exec_err!(
                "`{written}` is not a unit: they are microsecond, millisecond, second, minute, hour, day, week, month, quarter and year"
            );
        }
    })
}

fn micros(array: &ArrayRef) -> Result<ArrayRef> {
    let zone = match array.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    Ok(cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))?)
}

fn date_add(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = unit(args)?;
    let counts = cast(&args.args[1].to_array(args.number_rows)?, &DataType::Int64)?;
    let times = args.args[2].to_array(args.number_rows)?;
    let wanted = stored(times.data_type());
    let steps = counts.as_primitive::<Int64Type>().iter().map(|count| {
        let Some(count) = count else { return Ok(None) };
        let step = match unit {
            Unit::Months(months) => {
                i32::try_from(count).ok().and_then(|count| count.checked_mul(months)).map(|months| (months, 0, 0))
            }
            // Days are kept apart from time: a day may have 23 hours where the clock is changed.
            Unit::Micros(us) if us % DAY_US == 0 => {
                let days = i32::try_from(us / DAY_US).ok().zip(i32::try_from(count).ok());
                days.and_then(|(days, count)| count.checked_mul(days)).map(|days| (0, days, 0))
            }
            Unit::Micros(us) => count.checked_mul(us).and_then(|us| us.checked_mul(1_000)).map(|nanos| (0, 0, nanos)),
        };
        match step {
            Some((months, days, nanos)) => Ok(Some(IntervalMonthDayNanoType::make_value(months, days, nanos))),
            None => exec_err!("date_add cannot add {count} of these: the result is out of range"),
        }
    });
    let steps = steps.collect::<Result<IntervalMonthDayNanoArray>>()?;
    let moved = add(&micros(&times)?, &steps)?;
    Ok(ColumnarValue::Array(cast(&moved, &wanted)?))
}

/// Whole units from the first moment to the second.
fn date_diff(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = unit(args)?;
    let moment = |index: usize| -> Result<ArrayRef> {
        Ok(cast(
            &micros(&args.args[index].to_array(args.number_rows)?)?,
            &DataType::Timestamp(TimeUnit::Microsecond, None),
        )?)
    };
    let (from, to) = (moment(1)?, moment(2)?);
    let (from, to) = (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
    let between = (0..args.number_rows).map(|row| {
        if from.is_null(row) || to.is_null(row) {
            return None;
        }
        match unit {
            Unit::Micros(us) => to.value(row).checked_sub(from.value(row)).map(|distance| distance / us),
            Unit::Months(months) => {
                let from = timestamp_us_to_datetime(from.value(row))?;
                let to = timestamp_us_to_datetime(to.value(row))?;
                Some(whole_months(from, to) / i64::from(months))
            }
        }
    });
    Ok(ColumnarValue::Array(Arc::new(between.collect::<Int64Array>())))
}

fn whole_months(from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    let rest = |at: NaiveDateTime| (at.day(), at.time());
    let between = months(to) - months(from);
    if between > 0 && rest(to) < rest(from) {
        between - 1
    } else if between < 0 && rest(to) > rest(from) {
        between + 1
    } else {
        between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_whole_when_its_day_and_time_are_reached() {
        let at = |text: &str| text.parse::<NaiveDateTime>().expect("a time");
        for (from, to, months) in [
            ("2024-01-31T00:00:00", "2024-02-29T00:00:00", 0),
            ("2024-01-15T10:00:00", "2024-02-15T09:00:00", 0),
            ("2024-01-15T10:00:00", "2024-02-15T10:00:00", 1),
            ("2024-02-15T10:00:00", "2024-01-15T10:00:00", -1),
            ("2024-02-15T10:00:00", "2024-01-15T11:00:00", 0),
            ("2024-01-15T10:00:00", "2025-01-15T10:00:00", 12),
        ] {
            assert_eq!(whole_months(at(from), at(to)), months, "{from} {to}");
        }
    }
}
