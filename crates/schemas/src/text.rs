//! Text forms of values: dates, times, timestamps, decimals.
//!
//! Everything here takes bytes from outside: no input panics, none is read differently from what it says.

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A cursor over ASCII text.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Exactly `n` digits.
    fn digits(&mut self, n: usize) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + n)?;
        let mut value = 0u32;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
        }
        self.at += n;
        Some(value)
    }

    fn date(&mut self) -> Option<i64> {
        let year = i64::from(self.digits(4)?);
        self.take(b'-')?;
        let month = self.digits(2)?;
        self.take(b'-')?;
        let day = self.digits(2)?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        Some(days_from_civil(year, month, day))
    }

    /// `HH:MM[:SS[.f{1,9}]]` as nanoseconds of the day, and the number of fraction digits.
    fn time(&mut self) -> Option<(i64, usize)> {
        let hour = self.digits(2)?;
        self.take(b':')?;
        let minute = self.digits(2)?;
        let (mut second, mut nanos, mut width) = (0, 0i64, 0);
        if self.take(b':').is_some() {
            second = self.digits(2)?;
            if self.take(b'.').is_some() || self.take(b',').is_some() {
                let mut scale = 100_000_000i64;
                while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
                    if width == 9 {
                        return None;
                    }
                    nanos += i64::from(digit - b'0') * scale;
                    scale /= 10;
                    width += 1;
                    self.at += 1;
                }
                if width == 0 {
                    return None;
                }
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some((i64::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos, width))
    }

    /// `Z`, `+HH:MM`, `+HHMM` or `+HH`, as seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.take(b'Z').is_some() || self.take(b'z').is_some() {
            return Some(0);
        }
        let sign = match self.peek()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let hours = self.digits(2)?;
        let minutes = if self.take(b':').is_some() { self.digits(2)? } else { self.digits(2).unwrap_or(0) };
        if hours > 18 || minutes > 59 {
            return None;
        }
        Some(sign * i64::from(hours * 3600 + minutes * 60))
    }

    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }
}

/// `YYYY-MM-DD` as days since 1970-01-01.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let mut scan = Scan { text, at: 0 };
    let days = scan.date()?;
    if scan.is_done() { i32::try_from(days).ok() } else { None }
}

/// `HH:MM[:SS[.fraction]]` as nanoseconds of the day.
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let mut scan = Scan { text, at: 0 };
    let (nanos, _) = scan.time()?;
    scan.is_done().then_some(nanos)
}

/// A moment read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    pub nanos: u32,
    /// Digits of its fraction of a second.
    pub fraction_digits: usize,
    /// It says its offset from UTC; without one it is taken as UTC.
    pub has_zone: bool,
}

/// ISO 8601: `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][zone]]`; missing parts are zero, a missing zone is UTC.
pub fn parse_timestamp(text: &[u8]) -> Option<Moment> {
    let mut scan = Scan { text, at: 0 };
    let days = scan.date()?;
    let mut moment = Moment { seconds: days * 86_400, nanos: 0, fraction_digits: 0, has_zone: false };
    if scan.is_done() {
        return Some(moment);
    }
    if scan.take(b'T').is_none() && scan.take(b't').is_none() {
        scan.take(b' ')?;
    }
    let (nanos, width) = scan.time()?;
    moment.seconds += nanos / 1_000_000_000;
    moment.nanos = (nanos % 1_000_000_000) as u32;
    moment.fraction_digits = width;
    if !scan.is_done() {
        if scan.peek() == Some(b' ') {
            scan.at += 1; // PostgreSQL and Python write `… +00:00` with a blank now and then.
        }
        moment.seconds -= scan.zone()?;
        moment.has_zone = true;
    }
    scan.is_done().then_some(moment)
}

/// A decimal number (`-12.50`, `1e3`) as its unscaled value at `scale`. `None`: not a number, more than `precision`
/// digits, or not exact at this scale.
pub fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let mut at = 0;
    let negative = match text.first()? {
        b'-' => {
            at = 1;
            true
        }
        b'+' => {
            at = 1;
            false
        }
        _ => false,
    };
    let (mut value, mut exponent, mut digits, mut point) = (0i128, 0i64, 0usize, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                exponent -= i64::from(point);
                digits += 1;
            }
            b'.' if !point => point = true,
            b'e' | b'E' if digits > 0 => {
                let tail = std::str::from_utf8(&text[at + 1..]).ok()?;
                exponent = exponent.checked_add(tail.parse::<i32>().ok()?.into())?;
                at = text.len() - 1;
            }
            _ => return None,
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    let mut shift = exponent + i64::from(scale);
    if value == 0 {
        return Some(0);
    }
    while shift < 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        shift += 1;
    }
    if shift > 38 {
        return None;
    }
    let value = value.checked_mul(10i128.pow(shift as u32))?;
    let limit = 10i128.checked_pow(u32::from(precision))?;
    if value >= limit { None } else { Some(if negative { -value } else { value }) }
}

/// The decimal text of an unscaled value: `1250` at scale 2 is `12.50`.
pub fn format_decimal(value: i128, scale: i8) -> String {
    if scale <= 0 {
        let zeros = if value == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return format!("{value}{}", "0".repeat(zeros));
    }
    let width = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = width + 1);
    let (whole, fraction) = digits.split_at(digits.len() - width);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Option<(i64, u32)> {
        parse_timestamp(text.as_bytes()).map(|m| (m.seconds, m.nanos))
    }

    #[test]
    fn timestamps_are_read_as_iso_8601_says() {
        assert_eq!(moment("2013-01-01T10:00:00Z"), Some((1_357_034_400, 0)));
        assert_eq!(moment("2013-01-01 10:00"), Some((1_357_034_400, 0)));
        assert_eq!(moment("2013-01-01T12:00:00+02:00"), Some((1_357_034_400, 0)));
        assert_eq!(moment("2013-01-01T12:00:00.25+0200"), Some((1_357_034_400, 250_000_000)));
        assert_eq!(moment("2013-01-01"), Some((1_356_998_400, 0)));
        assert_eq!(moment("1969-12-31T23:59:59.999Z"), Some((-1, 999_000_000)));
        for bad in ["", "2013-02-29", "2013-1-1", "2013-01-01T", "2013-01-01T25:00", "2013-01-01T10:00:00.Z", "x"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_comes_after_the_one_before() {
        let (mut year, mut month, mut day) = (1600, 1, 1);
        let first = parse_date(b"1600-01-01").expect("a date");
        for n in 0..2 * 146_097 {
            let text = format!("{year:04}-{month:02}-{day:02}");
            assert_eq!(parse_date(text.as_bytes()), Some(first + n), "{text}");
            day += 1;
            if day > days_in_month(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!((year, parse_date(b"1970-01-01")), (2400, Some(0)));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_decimal(b"12.5", 5, 2), Some(1250));
        assert_eq!(parse_decimal(b"-0.05", 5, 2), Some(-5));
        assert_eq!(parse_decimal(b"1e2", 5, 2), Some(10_000));
        assert_eq!(parse_decimal(b"12.500", 5, 2), Some(1250));
        for bad in
            ["12.345", "1000", "", "-", ".", "1e", "abc", "1e999999999", "99999999999999999999999999999999999999999"]
        {
            assert_eq!(parse_decimal(bad.as_bytes(), 5, 2), None, "{bad}");
        }
        assert_eq!(format_decimal(1250, 2), "12.50");
        assert_eq!(format_decimal(-5, 2), "-0.05");
        assert_eq!(format_decimal(7, 0), "7");
    }
}
