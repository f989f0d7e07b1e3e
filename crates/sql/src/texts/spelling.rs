//! Times and intervals as PostgreSQL and people write them, in the spelling the engine reads.

use arrow::{compute::kernels::cast_utils::string_to_datetime, datatypes::DataType};
use chrono::Utc;

/// `text` as the engine reads it as `to`; `None` if it is not written in a way known here.
pub(super) fn spelled(text: &str, to: &DataType) -> Option<String> {
    match to {
        DataType::Timestamp(..) => moment(text).map(|(day, time)| day + &time),
        // A time must be one, though the day alone counts.
        DataType::Date32 => moment(text)
            .filter(|(day, time)| time.is_empty() || string_to_datetime(&Utc, &format!("{day}{time}")).is_ok())
            .map(|(day, _)| day),
        DataType::Interval(_) => interval(text),
        _ => None,
    }
}

/// The day and the time, which may be empty, of `2024-1-5 9:30 +02`: minutes are enough, and zeros may be left out.
fn moment(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let (day, time) = text.split_at(text.find([' ', 'T', 't']).unwrap_or(text.len()));
    let [year, month, date] = parts(day, '-')?;
    if year.len() < 4 {
        return None;
    }
    let day = format!("{year}-{month:0>2}-{date:0>2}");
    let time = time.get(1..).unwrap_or_default().trim_start();
    if time.is_empty() {
        return Some((day, String::new()));
    }
    let (clock, zone) = time.split_at(time.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(time.len()));
    let (hour, minute, second, fraction) = clock_parts(clock)?;
    Some((day, format!(" {hour:0>2}:{minute:0>2}:{second:0>2}{fraction}{zone}")))
}

/// `1 mon 2 days -03:04:05.6`, PostgreSQL's own form of an interval: `1 mon 2 days -3 hours -4 minutes -5.6 seconds`. A number
/// before the time counts days.
pub(crate) fn interval(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut spelled = Vec::with_capacity(words.len());
    let mut found = false;
    for (index, word) in words.iter().enumerate() {
        if !word.contains(':') {
            spelled.push((*word).to_owned());
            continue;
        }
        found = true;
        let after_number = index.checked_sub(1).is_some_and(|before| is_number(words[before]));
        if after_number {
            spelled.push("days".to_owned());
        }
        let (sign, clock) = match word.strip_prefix('-') {
            Some(clock) => ("-", clock),
            None => ("", word.strip_prefix('+').unwrap_or(word)),
        };
        let (hours, minutes, seconds, fraction) = clock_parts(clock)?;
        spelled.push(format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds}{fraction} seconds"));
    }
    found.then(|| spelled.join(" "))
}

/// Hours, minutes, seconds and their fraction, of `9:30` or `09:30:05.25`.
fn clock_parts(clock: &str) -> Option<(&str, &str, &str, &str)> {
    let (whole, fraction) = clock.split_at(clock.find('.').unwrap_or(clock.len()));
    if let Some([hours, minutes]) = parts(whole, ':') {
        return fraction.is_empty().then_some((hours, minutes, "00", ""));
    }
    let [hours, minutes, seconds] = parts(whole, ':')?;
    Some((hours, minutes, seconds, fraction))
}

/// The `N` numbers of `text`.
fn parts<const N: usize>(text: &str, between: char) -> Option<[&str; N]> {
    let parts: Vec<&str> = text.split(between).collect();
    let all_digits = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if all_digits { parts.try_into().ok() } else { None }
}

fn is_number(word: &str) -> bool {
    word.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{IntervalUnit, TimeUnit};

    use super::*;

    fn check(to: &DataType, spellings: &[(&str, Option<&str>)]) {
        for (text, read) in spellings {
            assert_eq!(spelled(text, to).as_deref(), *read, "{text} as {to}");
        }
    }

    #[test]
    fn times_need_no_seconds() {
        let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
        let moments = [
            ("2024-01-01 10:00", Some("2024-01-01 10:00:00")),
            (" 2024-1-5T9:30 ", Some("2024-01-05 09:30:00")),
            ("2024-01-01 10:00+02", Some("2024-01-01 10:00:00+02")),
            ("2024-01-01 10:00 Europe/Vienna", Some("2024-01-01 10:00:00 Europe/Vienna")),
            ("2024-01-01 1:2:3.5Z", Some("2024-01-01 01:02:03.5Z")),
            ("2024-1-1", Some("2024-01-01")),
            ("24-01-01", None),
            ("2024-01-01 10", None),
            ("2024-01-01 10:00.5", None),
            ("yesterday", None),
            ("ö", None),
        ];
        check(&moment, &moments);
        let days = [("2024-1-5 10:00", Some("2024-01-05")), ("2024-1-5 25:00", None), ("2024-1-5 10:00 nowhere", None)];
        check(&DataType::Date32, &days);
    }

    #[test]
    fn intervals_are_read_as_postgresql_writes_them() {
        let intervals = [
            ("1 day 03:04:05", Some("1 day 03 hours 04 minutes 05 seconds")),
            ("-1 days +02:03", Some("-1 days 02 hours 03 minutes 00 seconds")),
            ("1 mon -00:00:01.5", Some("1 mon -00 hours -00 minutes -01.5 seconds")),
            ("2 1:00", Some("2 days 1 hours 00 minutes 00 seconds")),
            ("1 day", None),
            ("1:2:3:4", None),
            ("day 1:x", None),
        ];
        check(&DataType::Interval(IntervalUnit::MonthDayNano), &intervals);
    }
}
