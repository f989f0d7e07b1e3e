//! Decimals with the digits they are written with.

use datafusion::common::ScalarValue;

/// Digits of the longest decimal.
const DIGITS_MAX: usize = 76;

/// A number as it is written, with as many digits as it has; `None` for NaN, infinity and what no decimal holds.
pub fn read_decimal(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > DIGITS_MAX || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if scale < 0 {
        all.extend(std::iter::repeat_n('0', usize::try_from(-scale).ok().filter(|zeros| *zeros <= DIGITS_MAX)?));
        scale = 0;
    }
    let scale_digits = usize::try_from(scale).ok()?;
    let precision = all.trim_start_matches('0').len().max(scale_digits).max(1);
    if precision > DIGITS_MAX {
        return None;
    }
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    Some(match precision {
        ..=38 => ScalarValue::Decimal128(Some(format!("{sign}{all}").parse().ok()?), precision, scale),
        _ => {
            let value = arrow::datatypes::i256::from_string(&format!("{sign}{all}"))?;
            ScalarValue::Decimal256(Some(value), precision, scale)
        }
    })
}
