//! The wire format (protobuf.dev, "Encoding"): fields of a message, values of a packed list, entries of a map.

use std::collections::HashMap;

use super::{
    super::{
        fault::{Fault, Outcome},
        utf8,
    },
    DEPTH_MAX,
    plan::Scalar,
};

/// A value as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// What stands between the two tags of a group.
    Group(&'a [u8]),
}

/// A value, understood.
#[derive(Clone, Copy, Debug)]
pub(super) enum Datum<'a> {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Of an enum: its number, and its name if the enum has it.
    Symbol(i32, Option<&'a str>),
}

/// Gives every field of `bytes` to `visit`, in order.
pub(super) fn fields<'a>(bytes: &'a [u8], mut visit: impl FnMut(u32, Raw<'a>) -> Outcome) -> Outcome {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire_type) = tag(&mut rest)?;
        let raw = match wire_type {
            3 => Raw::Group(group(&mut rest, number)?),
            4 => return Err(Fault::new("a group ends that never began")),
            _ => plain(&mut rest, wire_type)?,
        };
        visit(number, raw)?;
    }
    Ok(())
}

fn tag(rest: &mut &[u8]) -> Outcome<(u32, u8)> {
    let tag = varint(rest)?;
    match u32::try_from(tag >> 3) {
        Ok(number @ 1..=0x1fff_ffff) => Ok((number, (tag & 7) as u8)),
        _ => Err(Fault::new(format!("{} is no number of a field", tag >> 3))),
    }
}

fn plain<'a>(rest: &mut &'a [u8], wire_type: u8) -> Outcome<Raw<'a>> {
    Ok(match wire_type {
        0 => Raw::Varint(varint(rest)?),
        1 => Raw::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().expect("eight bytes"))),
        2 => {
            let length = varint(rest)?;
            Raw::Bytes(take(rest, usize::try_from(length).unwrap_or(usize::MAX))?)
        }
        5 => Raw::Fixed32(u32::from_le_bytes(take(rest, 4)?.try_into().expect("four bytes"))),
        other => return Err(Fault::new(format!("{other} is no wire type"))),
    })
}

/// The bytes up to the end of group `number`, whose tag has been read.
fn group<'a>(rest: &mut &'a [u8], number: u32) -> Outcome<&'a [u8]> {
    let whole = *rest;
    let mut open = vec![number];
    loop {
        let length = whole.len() - rest.len();
        match tag(rest)? {
            (number, 3) => {
                open.push(number);
                if open.len() > DEPTH_MAX {
                    return Err(Fault::new("the data nest too deeply"));
                }
            }
            (number, 4) => {
                if open.pop() != Some(number) {
                    return Err(Fault::new(format!("group {number} ends within another")));
                }
                if open.is_empty() {
                    return Ok(&whole[..length]);
                }
            }
            (_, wire_type) => drop(plain(rest, wire_type)?),
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Outcome<&'a [u8]> {
    match rest.split_at_checked(n) {
        Some((taken, after)) => {
            *rest = after;
            Ok(taken)
        }
        None => Err(Fault::new(format!("the payload ends {} bytes too early", n - rest.len()))),
    }
}

#[inline]
fn varint(rest: &mut &[u8]) -> Outcome<u64> {
    let bytes = *rest;
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(Fault::new(if bytes.len() < 10 { "the payload ends within a number" } else { "a number is too long" }))
}

/// Gives every value of a packed list to `visit`.
pub(super) fn packed<'a>(scalar: &Scalar, mut bytes: &'a [u8], mut visit: impl FnMut(Raw<'a>) -> Outcome) -> Outcome {
    while !bytes.is_empty() {
        visit(plain(&mut bytes, scalar.wire_type())?)?;
    }
    Ok(())
}

/// The two fields of a Timestamp or a Duration.
pub(super) fn seconds_and_nanos(pieces: &[&[u8]]) -> Outcome<(i64, i32)> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for piece in pieces {
        fields(piece, |number, raw| {
            match (number, raw) {
                (1, Raw::Varint(value)) => seconds = value as i64,
                (2, Raw::Varint(value)) => nanos = value as i32,
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok((seconds, nanos))
}

/// One entry of a map.
pub(super) struct Entry<'a> {
    pub(super) key: Option<Raw<'a>>,
    pub(super) values: Vec<Raw<'a>>,
}

/// A key, for telling whether it came before.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Number(i128),
    Text(&'a str),
}

/// The entries of a map; of several with one key the last, in the place of the first. `count` is asked for each value that is
/// kept: an entry may have any number of them, and a message is what all of them say together.
pub(super) fn entries<'a>(
    values: &[Raw<'a>],
    key: &Scalar,
    is_value: impl Fn(&Raw<'a>) -> bool,
    mut count: impl FnMut() -> Outcome,
) -> Outcome<Vec<Entry<'a>>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    let mut places: HashMap<Identity<'a>, usize> = HashMap::new();
    for raw in values {
        let Raw::Bytes(bytes) = *raw else { continue };
        let mut entry = Entry { key: None, values: Vec::new() };
        fields(bytes, |number, raw| {
            match number {
                1 if key.accepts(&raw) => entry.key = Some(raw),
                2 if is_value(&raw) => {
                    count()?;
                    entry.values.push(raw);
                }
                _ => {}
            }
            Ok(())
        })?;
        let identity = match entry.key.map(|raw| identity(key, raw)).transpose()? {
            Some(identity) => identity,
            None if key.is_text() => Identity::Text(""),
            None => Identity::Number(0),
        };
        match places.get(&identity) {
            Some(&place) => entries[place] = entry,
            None => {
                places.insert(identity, entries.len());
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn identity<'a>(key: &Scalar, raw: Raw<'a>) -> Outcome<Identity<'a>> {
    if let (true, Raw::Bytes(bytes)) = (key.is_text(), raw) {
        return Ok(Identity::Text(utf8(bytes)?));
    }
    Ok(match key.datum(raw)? {
        Datum::Bool(value) => Identity::Number(value.into()),
        Datum::Int(value) => Identity::Number(value.into()),
        Datum::Unsigned(value) => Identity::Number(value.into()),
        Datum::Symbol(number, _) => Identity::Number(number.into()),
        Datum::Float(_) | Datum::Text(_) | Datum::Bytes(_) => return Err(Fault::new("no key of a map")),
    })
}
