//! The compact encoding of Kafka's flexible versions (KIP-482), as its own topics hold it: lengths are varints of length + 1,
//! 0 is null, and structures end with tagged fields.
//!
//! Whatever is read may be garbage: `None` says so, and nothing is allocated by a length that is only claimed.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, BytesMut};

pub(crate) fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(crate) fn get_varint(input: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..32).step_by(7) {
        let byte = input.try_get_u8().ok()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(crate) fn put_text(out: &mut BytesMut, text: Option<&str>) {
    let Some(text) = text else { return put_varint(out, 0) };
    put_varint(out, text.len() as u32 + 1);
    out.put_slice(text.as_bytes());
}

/// `Some(None)` is null.
pub(crate) fn get_text(input: &mut &[u8]) -> Option<Option<String>> {
    let Some(length) = get_varint(input)?.checked_sub(1) else { return Some(None) };
    take(input, length as usize).map(|text| String::from_utf8(text.to_vec()).ok()).and_then(|text| text.map(Some))
}

/// Tagged fields, by tag.
pub(crate) fn put_tags(out: &mut BytesMut, tags: &[(u32, &[u8])]) {
    put_varint(out, tags.len() as u32);
    for (tag, bytes) in tags {
        put_varint(out, *tag);
        put_varint(out, bytes.len() as u32);
        out.put_slice(bytes);
    }
}

pub(crate) fn get_tags<'a>(input: &mut &'a [u8]) -> Option<BTreeMap<u32, &'a [u8]>> {
    let mut tags = BTreeMap::new();
    for _ in 0..get_varint(input)? {
        let (tag, length) = (get_varint(input)?, get_varint(input)?);
        tags.insert(tag, take(input, length as usize)?);
    }
    Some(tags)
}

pub(crate) fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_got(number: u32, text: Option<String>, tag: u32, bytes: Vec<u8>) {
            let mut out = BytesMut::new();
            put_varint(&mut out, number);
            put_text(&mut out, text.as_deref());
            put_tags(&mut out, &[(tag, &bytes)]);
            let input = &mut &out[..];
            prop_assert_eq!(get_varint(input), Some(number));
            prop_assert_eq!(get_text(input), Some(text));
            prop_assert_eq!(get_tags(input), Some(BTreeMap::from([(tag, &bytes[..])])));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn garbage_is_read_within_its_bytes_or_refused(bytes: Vec<u8>) {
            let _ = (get_varint(&mut &bytes[..]), get_text(&mut &bytes[..]), get_tags(&mut &bytes[..]));
        }
    }
}
