//! Values in PostgreSQL's binary form (`*_send` of each type).

use arrow::datatypes::IntervalMonthDayNanoType;
use bytes::{BufMut, BytesMut};
use model::Result;

use super::Cells;

/// PostgreSQL counts from 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Cells {
    /// The value of `row`, which is not NULL.
    pub(super) fn put_binary(&self, row: usize, b: &mut BytesMut) -> Result<()> {
        match self {
            Self::Null => {}
            Self::Bool(a) => b.put_u8(u8::from(a.value(row))),
            Self::Int2(a) => b.put_i16(a.value(row)),
            Self::Int4(a) => b.put_i32(a.value(row)),
            Self::Int8(a) | Self::Time(a) => b.put_i64(a.value(row)),
            Self::Float4(a) => b.put_f32(a.value(row)),
            Self::Float8(a) => b.put_f64(a.value(row)),
            Self::Numeric128(a) => put_numeric(b, &a.value_as_string(row)),
            Self::Numeric256(a) => put_numeric(b, &a.value_as_string(row)),
            Self::Text(a) => b.put_slice(a.value(row).as_bytes()),
            // The version of the format, which is the text.
            Self::Jsonb(a) => {
                b.put_u8(1);
                b.put_slice(a.value(row).as_bytes());
            }
            Self::TextView(a) => b.put_slice(a.value(row).as_bytes()),
            Self::Bytes(a) | Self::Uuid(a) => b.put_slice(a.value(row)),
            Self::Date(a) => b.put_i32(a.value(row).saturating_sub(EPOCH_DAYS)),
            Self::Timestamp(a) | Self::TimestampTz(a) => b.put_i64(a.value(row).saturating_sub(EPOCH_MICROS)),
            Self::Interval(a) => {
                let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(a.value(row));
                b.put_i64(nanos / 1000);
                b.put_i32(days);
                b.put_i32(months);
            }
            Self::Duration(a) => {
                b.put_i64(a.value(row));
                b.put_i64(0);
            }
            Self::List { list, items, item_oid } => {
                let offsets = list.value_offsets();
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                b.put_i32(i32::from(end > start));
                b.put_i32(i32::from((start..end).any(|i| items.is_null(i))));
                b.put_u32(*item_oid);
                if end > start {
                    b.put_i32((end - start) as i32);
                    b.put_i32(1);
                }
                for i in start..end {
                    items.put_value(i, true, chrono_utc(), b)?;
                }
            }
        }
        Ok(())
    }
}

/// Binary values know no time zone.
fn chrono_utc() -> arrow::array::timezone::Tz {
    "+00:00".parse().expect("an offset is a time zone")
}

/// `[digits][weight][sign][scale]` and the digits in base 10 000, from plain decimal text.
fn put_numeric(b: &mut BytesMut, text: &str) {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    // Groups of four around the point: zeros fill the first group on its left and the last on its right.
    let mut padded = "0".repeat((4 - whole.len() % 4) % 4) + whole + fraction;
    padded.push_str(&"0".repeat((4 - fraction.len() % 4) % 4));
    let mut groups: Vec<i16> = padded
        .as_bytes()
        .chunks(4)
        .map(|four| four.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0')))
        .collect();
    let mut weight = whole.len().div_ceil(4) as i16 - 1;
    let leading = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..leading);
    weight -= leading as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    b.put_i16(groups.len() as i16);
    b.put_i16(weight);
    b.put_u16(if negative && !groups.is_empty() { 0x4000 } else { 0 });
    b.put_u16(fraction.len() as u16);
    groups.iter().for_each(|group| b.put_i16(*group));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_digits_in_base_ten_thousand() {
        for (text, digits, weight, sign, scale) in [
            ("0", &[][..], 0, 0, 0),
            ("0.00", &[], 0, 0, 2),
            ("1", &[1], 0, 0, 0),
            ("-12345.678", &[1, 2345, 6780], 1, 0x4000, 3),
            ("0.0001", &[1], -1, 0, 4),
            ("0.00001", &[1000], -2, 0, 5),
            ("100000000", &[1], 2, 0, 0),
        ] {
            let mut expected = BytesMut::new();
            expected.put_i16(digits.len() as i16);
            expected.put_i16(weight);
            expected.put_u16(sign);
            expected.put_u16(scale);
            digits.iter().for_each(|d: &i16| expected.put_i16(*d));
            let mut b = BytesMut::new();
            put_numeric(&mut b, text);
            assert_eq!(b, expected, "{text}");
        }
    }
}
