//! Zig-zag variable-length integers, as records use them.

/// Reads one from the front of `bytes`; `None` if it does not end there or is too long for an `i64`.
pub(super) fn read_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// The same for an `i32`.
pub(super) fn read_int(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(read_long(bytes)?).ok()
}

pub(super) fn write_long(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// Bytes [`write_long`] needs.
pub(super) fn long_bytes(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_round_trip_in_the_announced_size(value: i64) {
            let mut bytes = Vec::new();
            write_long(&mut bytes, value);
            prop_assert_eq!(bytes.len(), long_bytes(value));
            let mut rest = &bytes[..];
            prop_assert_eq!(read_long(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn garbage_is_refused_or_read_within_its_bytes(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            let value = read_long(&mut rest);
            prop_assert!(value.is_some() || rest.len() == bytes.len());
        }
    }
}
