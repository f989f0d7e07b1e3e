//! Parameters of prepared statements: bytes of a Bind message to scalar values.

use arrow::datatypes::{DataType, Field};
use bytes::{Buf, Bytes};
use datafusion::scalar::ScalarValue;
use model::{Error, Result, error::codes};
use sql::read_decimal as decimal;

use crate::types::{ANY_NUMERIC, name_of, oid, parameter_type};

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The value of parameter `number` (from 1). `client_oid` is the type the client gave in Parse (0: none), `inferred` what
/// the statement needs there.
pub(crate) fn decode(
    number: usize,
    value: Option<&Bytes>,
    binary: bool,
    client_oid: u32,
    inferred: Option<&DataType>,
) -> Result<ScalarValue> {
    let target = parameter_type(client_oid).or_else(|| inferred.cloned()).unwrap_or(match client_oid {
        oid::NUMERIC => ANY_NUMERIC,
        _ => DataType::Utf8,
    });
    let Some(bytes) = value else {
        return ScalarValue::try_from(&target).map_err(|e| invalid(number, &target, &e.to_string()));
    };
    if binary {
        let wire_oid = if client_oid == 0 {
            crate::types::PgType::of(&Field::new("", target.clone(), true)).oid
        } else {
            client_oid
        };
        let decoded =
            from_binary(bytes, wire_oid).ok_or_else(|| invalid(number, &target, "the binary value is malformed"))?;
        // What the client sent may be narrower than what the statement needs.
        return if client_oid == 0 && decoded.data_type() != target && target != ANY_NUMERIC {
            decoded.cast_to(&target).map_err(|e| invalid(number, &target, &e.to_string()))
        } else {
            Ok(decoded)
        };
    }
    let text = std::str::from_utf8(bytes).map_err(|_| invalid(number, &target, "the text is not UTF-8"))?;
    from_text(text, &target, client_oid)
        .ok_or_else(|| invalid(number, &target, &format!("\"{}\" is not one", shortened(text))))
}

fn from_text(text: &str, target: &DataType, client_oid: u32) -> Option<ScalarValue> {
    let trimmed = text.trim();
    Some(match target {
        _ if client_oid == oid::NUMERIC || *target == ANY_NUMERIC => decimal(trimmed)?,
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Boolean => ScalarValue::Boolean(Some(match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => true,
            "f" | "false" | "n" | "no" | "off" | "0" => false,
            _ => return None,
        })),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => sql::read_text(text, target)?,
        DataType::List(item) => {
            let items = sql::list_items(trimmed)?
                .into_iter()
                .map(|item_text| match item_text {
                    Some(item_text) => exactly(from_text(&item_text, item.data_type(), 0)?, item.data_type()),
                    None => ScalarValue::try_from(item.data_type()).ok(),
                })
                .collect::<Option<Vec<_>>>()?;
            ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type()))
        }
        other => sql::read_text(zoneless(trimmed, other), other)?,
    })
}

/// `text` without what a type has no place for: drivers that do not know the column's type send dates with a zone, and
/// PostgreSQL passes it over.
fn zoneless<'a>(text: &'a str, target: &DataType) -> &'a str {
    let day_end = text.find([' ', 'T']).unwrap_or(text.len());
    let time = match target {
        DataType::Date32 | DataType::Date64 => return &text[..day_end],
        DataType::Timestamp(_, None) => day_end,
        DataType::Time32(_) | DataType::Time64(_) => 0,
        _ => return text,
    };
    let zone = text[time..].find(['+', '-', 'Z']).map_or(text.len(), |at| time + at);
    text[..zone].trim_end()
}

fn from_binary(bytes: &Bytes, type_oid: u32) -> Option<ScalarValue> {
    let mut b = bytes.clone();
    let fixed = |length: usize| (bytes.len() == length).then_some(());
    Some(match type_oid {
        oid::BOOL => {
            fixed(1)?;
            ScalarValue::Boolean(Some(b.get_u8() != 0))
        }
        oid::INT2 => {
            fixed(2)?;
            ScalarValue::Int16(Some(b.get_i16()))
        }
        oid::INT4 => {
            fixed(4)?;
            ScalarValue::Int32(Some(b.get_i32()))
        }
        oid::OID => {
            fixed(4)?;
            ScalarValue::Int64(Some(i64::from(b.get_u32())))
        }
        oid::INT8 => {
            fixed(8)?;
            ScalarValue::Int64(Some(b.get_i64()))
        }
        oid::FLOAT4 => {
            fixed(4)?;
            ScalarValue::Float32(Some(b.get_f32()))
        }
        oid::FLOAT8 => {
            fixed(8)?;
            ScalarValue::Float64(Some(b.get_f64()))
        }
        oid::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        oid::DATE => {
            fixed(4)?;
            ScalarValue::Date32(Some(b.get_i32().checked_add(EPOCH_DAYS)?))
        }
        oid::TIME => {
            fixed(8)?;
            ScalarValue::Time64Microsecond(Some(b.get_i64()))
        }
        oid::TIMESTAMP | oid::TIMESTAMPTZ => {
            fixed(8)?;
            let zone = (type_oid == oid::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(b.get_i64().checked_add(EPOCH_MICROS)?), zone)
        }
        oid::INTERVAL => {
            fixed(16)?;
            let (micros, days, months) = (b.get_i64(), b.get_i32(), b.get_i32());
            ScalarValue::new_interval_mdn(months, days, micros.checked_mul(1000)?)
        }
        oid::NUMERIC => decimal(&numeric_text(&mut b)?)?,
        oid::UUID => {
            fixed(16)?;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            ScalarValue::Utf8(Some(parts.join("-")))
        }
        oid::JSONB => {
            (b.has_remaining() && b.get_u8() == 1).then_some(())?;
            ScalarValue::Utf8(Some(String::from_utf8(b.to_vec()).ok()?))
        }
        _ => match parameter_type(type_oid) {
            Some(DataType::List(item)) => from_binary_array(b, item.data_type())?,
            _ => ScalarValue::Utf8(Some(String::from_utf8(bytes.to_vec()).ok()?)),
        },
    })
}

fn from_binary_array(mut b: Bytes, item: &DataType) -> Option<ScalarValue> {
    let need = |b: &Bytes, n: usize| (b.remaining() >= n).then_some(());
    need(&b, 12)?;
    let (dimensions, _has_nulls, item_oid) = (b.get_i32(), b.get_i32(), b.get_u32());
    let mut items = Vec::new();
    if dimensions == 1 {
        need(&b, 8)?;
        let (count, _lower) = (usize::try_from(b.get_i32()).ok()?, b.get_i32());
        for _ in 0..count {
            need(&b, 4)?;
            items.push(match b.get_i32() {
                -1 => ScalarValue::try_from(item).ok()?,
                length => {
                    let length = usize::try_from(length).ok()?;
                    need(&b, length)?;
                    // An array holds values of one type, whatever the client says they are.
                    exactly(from_binary(&b.split_to(length), item_oid)?, item)?
                }
            });
        }
    } else if dimensions != 0 {
        return None;
    }
    Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, item)))
}

/// `value` as `to`; `None` if a decimal would lose digits.
fn exactly(value: ScalarValue, to: &DataType) -> Option<ScalarValue> {
    let cast = value.cast_to(to).ok()?;
    let keeps = !value.data_type().is_decimal() || cast.cast_to(&value.data_type()).is_ok_and(|back| back == value);
    keeps.then_some(cast)
}

/// Binary `numeric` as plain decimal text.
fn numeric_text(b: &mut Bytes) -> Option<String> {
    if b.remaining() < 8 {
        return None;
    }
    let (count, weight, sign, scale) = (b.get_u16(), b.get_i16(), b.get_u16(), b.get_u16());
    if sign & 0xC000 == 0xC000 || b.remaining() != usize::from(count) * 2 || count > 100 || scale > 76 || weight > 20 {
        return None;
    }
    let groups: Vec<i16> = (0..count).map(|_| b.get_i16()).collect();
    let group = |i: i32| usize::try_from(i).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    let mut whole: String = (0..=i32::from(weight)).map(|i| format!("{:04}", group(i))).collect();
    whole = whole.trim_start_matches('0').to_owned();
    text += if whole.is_empty() { "0" } else { &whole };
    if scale > 0 {
        let first = i32::from(weight) + 1;
        // Groups before the first digit of the fraction are zeros when the weight is negative.
        let fraction: String = (0..i32::from(scale.div_ceil(4)))
            .map(|i| format!("{:04}", if first < 0 && i < -first { 0 } else { group(first + i) }))
            .collect();
        text.push('.');
        text += &fraction[..usize::from(scale)];
    }
    Some(text)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn invalid(number: usize, target: &DataType, why: &str) -> Error {
    Error::new(codes::PG_PARAMETER_INVALID, format!("the value of parameter ${number} does not fit"))
        .detail(format!("it should be {}: {why}", name_of(&Field::new("", target.clone(), true))))
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str, inferred: DataType) -> Result<ScalarValue> {
        decode(1, Some(&Bytes::copy_from_slice(value.as_bytes())), false, 0, Some(&inferred))
    }

    #[test]
    fn moments_without_a_zone_pass_it_over() {
        let day = DataType::Date32;
        let moment = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
        let time = DataType::Time64(arrow::datatypes::TimeUnit::Microsecond);
        for (texts, data_type) in [
            (["2024-02-29", "2024-02-29 +00", "2024-02-29 12:00:00-05"], day),
            (["2024-02-29 12:34:56.5", "2024-02-29 12:34:56.5+05:30", "2024-02-29T12:34:56.5Z"], moment),
            (["01:02:03", "01:02:03+00", "01:02:03-08"], time),
        ] {
            let [plain, zoned, other] = texts.map(|value| text(value, data_type.clone()).expect(value));
            assert_eq!((&plain, &plain), (&zoned, &other), "{data_type}");
        }
    }

    #[test]
    fn untyped_text_becomes_what_the_statement_needs() {
        assert_eq!(text("42", DataType::Int64).expect("fits"), ScalarValue::Int64(Some(42)));
        assert_eq!(text("on", DataType::Boolean).expect("fits"), ScalarValue::Boolean(Some(true)));
        assert_eq!(text(" a ", DataType::Utf8).expect("fits"), ScalarValue::from(" a "));
        assert_eq!(text("\\x00ff", DataType::Binary).expect("fits"), ScalarValue::Binary(Some(vec![0, 255])));
        assert!(text("forty-two", DataType::Int64).is_err());
    }

    #[test]
    fn numbers_keep_the_digits_they_are_written_with() {
        for (written, shown, precision, scale) in [
            ("1.25", "125", 3, 2),
            ("-0.001", "-1", 3, 3),
            ("+7", "7", 1, 0),
            ("1E+3", "1000", 4, 0),
            ("12e-3", "12", 3, 3),
            (".5", "5", 1, 1),
        ] {
            let expected = ScalarValue::Decimal128(Some(shown.parse().expect("a number")), precision, scale);
            assert_eq!(decimal(written), Some(expected), "{written}");
        }
        let long = "9".repeat(50);
        assert!(matches!(decimal(&long), Some(ScalarValue::Decimal256(Some(_), 50, 0))));
        for wrong in ["", ".", "NaN", "1.2.3", "1e999999999999", "1e99", "--1", "Infinity", "1e-2147483648"] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
        let typed = |oid| decode(1, Some(&Bytes::from_static(b"1.25")), false, oid, None);
        assert_eq!(typed(oid::NUMERIC).expect("fits"), ScalarValue::Decimal128(Some(125), 3, 2));
        let list = decode(1, Some(&Bytes::from_static(b"{1.5,2}")), false, 1231, None).expect("fits");
        assert!(decode(1, Some(&Bytes::from_static(b"{1.234E-11}")), false, 1231, None).is_err());
        assert!(matches!(list.data_type(), DataType::List(item) if *item.data_type() == ANY_NUMERIC));
        let day = decode(1, Some(&Bytes::from_static(b"1 day 5 second")), false, oid::INTERVAL, None);
        assert_eq!(day.expect("fits"), ScalarValue::new_interval_mdn(0, 1, 5_000_000_000));
    }

    #[test]
    fn binary_numerics_are_read() {
        let mut b = BytesMut::new();
        [3u16, 1, 0x4000, 3, 1, 2345, 6780].iter().for_each(|v| b.put_u16(*v));
        assert_eq!(numeric_text(&mut b.freeze()).as_deref(), Some("-12345.678"));
        let mut small = BytesMut::new();
        small.put_u16(1);
        small.put_i16(-2);
        [0u16, 5, 1000].iter().for_each(|v| small.put_u16(*v));
        assert_eq!(numeric_text(&mut small.freeze()).as_deref(), Some("0.00001"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, oid in prop::sample::select(vec![16u32, 17, 20, 21, 23, 25, 700, 1082, 1114, 1186, 1700, 2950, 3802, 1016, 1009, 1231]), binary: bool) {
            let _ = decode(1, Some(&bytes.into()), binary, oid, None);
        }

        #[test]
        fn no_text_panics(value in r#"[{}",\\a0 -]{0,12}"#) {
            let _ = text(&value, DataType::List(Field::new_list_field(DataType::Int64, true).into()));
            let _ = text(&value, DataType::Decimal128(20, 4));
        }
    }
}
