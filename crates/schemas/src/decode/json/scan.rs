//! The tokens of JSON (RFC 8259), strictly: what is accepted here is JSON and nothing else.

use std::borrow::Cow;

use crate::decode::fault::{Fault, Outcome, abridged};

/// A cursor over one payload that is known to be UTF-8.
pub(crate) struct Scan<'a> {
    text: &'a str,
    pub(crate) at: usize,
    /// How much deeper values may nest.
    depth_left: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a str, depth_max: usize) -> Self {
        Self { text, at: 0, depth_left: depth_max }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    #[inline]
    pub(crate) fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    /// Text from `start` to here. Both ends are next to ASCII, hence on character boundaries.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[cold]
    pub(crate) fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("`{}`", abridged(&c.to_string())),
            None => "the end".into(),
        };
        Fault::new(format!("invalid JSON at byte {}: expected {wanted}, found {found}", self.at))
    }

    pub(crate) fn end(&mut self) -> Outcome {
        self.blank();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected("the end of the payload")) }
    }

    pub(crate) fn descend(&mut self) -> Outcome {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(Fault::new(format!("JSON nests too deeply at byte {}", self.at))),
        }
        Ok(())
    }

    pub(crate) fn ascend(&mut self) {
        self.depth_left += 1;
    }

    #[inline]
    pub(crate) fn word(&mut self, word: &'static str) -> Outcome {
        if self.bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected(word))
    }

    /// A string, standing on its opening quote; borrowed unless it has escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Outcome<Cow<'a, str>> {
        let start = self.at + 1;
        self.at = start + plain_length(&self.bytes()[start..]);
        match self.peek() {
            Some(b'"') => {
                let text = self.since(start);
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.escaped_string(start).map(Cow::Owned),
            Some(_) => Err(self.unexpected("no control character inside a string")),
            None => Err(self.unexpected("the closing quote of a string")),
        }
    }

    fn escaped_string(&mut self, start: usize) -> Outcome<String> {
        let mut text = self.since(start).to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(byte) if byte < 0x20 => return Err(self.unexpected("no control character inside a string")),
                Some(_) => {
                    let start = self.at;
                    self.at += plain_length(&self.bytes()[start..]);
                    text.push_str(self.since(start));
                }
                None => return Err(self.unexpected("the closing quote of a string")),
            }
        }
    }

    /// What follows a backslash. A lone surrogate becomes U+FFFD, as no text can hold it.
    fn escape(&mut self) -> Outcome<char> {
        let Some(byte) = self.peek() else { return Err(self.unexpected("an escape")) };
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex4()?;
                if (0xD800..0xDC00).contains(&unit) && self.bytes()[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex4()?;
                    if (0xDC00..0xE000).contains(&low) {
                        let code = 0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => {
                self.at -= 1;
                return Err(self.unexpected("one of \"\\/bfnrtu after a backslash"));
            }
        })
    }

    fn hex4(&mut self) -> Outcome<u16> {
        let digits = self.text.get(self.at..self.at + 4).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let Some(value) = value else { return Err(self.unexpected("four hexadecimal digits")) };
        self.at += 4;
        Ok(value)
    }

    /// A number, standing on its first character.
    #[inline]
    pub(crate) fn number(&mut self) -> Outcome<Number<'a>> {
        let start = self.at;
        let negative = self.take(b'-');
        let (mut mantissa, mut digits) = (0u64, 0u32);
        let first = self.at;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            digits += 1;
            self.at += 1;
        }
        if digits == 0 || (digits > 1 && self.bytes()[first] == b'0') {
            self.at = first;
            return Err(self.unexpected("a number"));
        }
        let whole_digits = digits;
        let mut exponent = 0i32;
        let mut integral = true;
        if self.take(b'.') {
            integral = false;
            while let Some(byte @ b'0'..=b'9') = self.peek() {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                digits += 1;
                self.at += 1;
            }
            if digits == whole_digits {
                return Err(self.unexpected("a digit after the decimal point"));
            }
            exponent = -((digits - whole_digits) as i32);
        }
        if let Some(b'e' | b'E') = self.peek() {
            integral = false;
            self.at += 1;
            let sign = if self.take(b'-') {
                -1
            } else {
                self.take(b'+');
                1
            };
            let (mut value, digits_at) = (0i32, self.at);
            while let Some(byte @ b'0'..=b'9') = self.peek() {
                value = value.saturating_mul(10).saturating_add(i32::from(byte - b'0'));
                self.at += 1;
            }
            if self.at == digits_at {
                return Err(self.unexpected("a digit of the exponent"));
            }
            exponent = exponent.saturating_add(sign * value);
        }
        Ok(Number { text: self.since(start), mantissa, digits, exponent, negative, integral })
    }

    /// Passes over any value and gives its text.
    pub(crate) fn raw_value(&mut self) -> Outcome<&'a str> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => {
                self.descend()?;
                self.at += 1;
                self.blank();
                if !self.take(b'}') {
                    loop {
                        if self.peek() != Some(b'"') {
                            return Err(self.unexpected("a field name"));
                        }
                        self.string()?;
                        self.colon()?;
                        self.raw_value()?;
                        if !self.comma_or(b'}')? {
                            break;
                        }
                    }
                }
                self.ascend();
            }
            Some(b'[') => {
                self.descend()?;
                self.at += 1;
                self.blank();
                if !self.take(b']') {
                    loop {
                        self.raw_value()?;
                        if !self.comma_or(b']')? {
                            break;
                        }
                    }
                }
                self.ascend();
            }
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
            }
            _ => return Err(self.unexpected("a value")),
        }
        Ok(self.since(start))
    }

    /// `:` and the blanks around it.
    #[inline]
    pub(crate) fn colon(&mut self) -> Outcome {
        self.blank();
        if !self.take(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.blank();
        Ok(())
    }

    /// True after a comma (and standing on the next item), false after `close`.
    #[inline]
    pub(crate) fn comma_or(&mut self, close: u8) -> Outcome<bool> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blank();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }
}

/// A number as it stands in the text.
pub(crate) struct Number<'a> {
    pub(crate) text: &'a str,
    /// All digits without the point; wrapped when there are more than 19.
    mantissa: u64,
    digits: u32,
    exponent: i32,
    negative: bool,
    /// Written without a point and exponent.
    pub(crate) integral: bool,
}

impl Number<'_> {
    /// As an integer if it is one (`5`, `5.0`, `5e2`) and in range.
    #[inline]
    pub(crate) fn as_i64(&self) -> Option<i64> {
        if self.integral && self.digits <= 19 {
            let limit = i64::MAX as u64 + u64::from(self.negative);
            // 19 digits fit u64 without wrapping.
            return (self.mantissa <= limit)
                .then(|| if self.negative { (self.mantissa as i64).wrapping_neg() } else { self.mantissa as i64 });
        }
        crate::text::parse_decimal(self.text.as_bytes(), 38, 0).and_then(|value| i64::try_from(value).ok())
    }

    #[inline]
    pub(crate) fn as_f64(&self) -> f64 {
        const EXACT: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
            1e19, 1e20, 1e21, 1e22,
        ];
        // A mantissa below 2^53 and a power of ten up to 10^22 are both exact, so one operation rounds once.
        let power = EXACT.get(self.exponent.unsigned_abs() as usize);
        if let (true, Some(power)) = (self.digits <= 19 && self.mantissa < 1 << 53, power) {
            let value = if self.exponent < 0 { self.mantissa as f64 / power } else { self.mantissa as f64 * power };
            return if self.negative { -value } else { value };
        }
        self.text.parse().unwrap_or(f64::NAN)
    }
}

/// Bytes before the first quote, backslash or control character: eight at a time.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_byte(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stop = quote | backslash | control;
        if stop != 0 {
            return at + (stop.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes[at..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(bytes.len() - at)
}
