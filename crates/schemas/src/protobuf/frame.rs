//! Which message of its file a payload is: the list of indexes that Confluent's serializers write behind the schema's id.
//!
//! Numbers are zig-zag varints: how many, then each. A single zero stands for the list `[0]`, the first message.

use super::parse::DEPTH_MAX;
use crate::decode::fault::{Fault, Outcome};

/// Indexes from the file's messages inwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessagePath {
    indexes: [usize; DEPTH_MAX],
    len: usize,
}

impl MessagePath {
    pub(crate) fn indexes(&self) -> &[usize] {
        &self.indexes[..self.len]
    }
}

/// Takes the list off the beginning of `body`, the payload behind the schema's id.
pub(crate) fn read_indexes(body: &[u8]) -> Outcome<(MessagePath, &[u8])> {
    let (count, mut rest) = index(body)?;
    let mut path = MessagePath { indexes: [0; DEPTH_MAX], len: count.max(1) };
    if count > DEPTH_MAX {
        return Err(Fault::new(format!("a message {count} levels deep; at most {DEPTH_MAX} are taken")));
    }
    for at in 0..count {
        (path.indexes[at], rest) = index(rest)?;
    }
    Ok((path, rest))
}

fn index(bytes: &[u8]) -> Outcome<(usize, &[u8])> {
    let mut value = 0u64;
    for (at, &byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let number = (value >> 1) as i64 ^ -((value & 1) as i64);
            return match usize::try_from(number) {
                Ok(number) => Ok((number, &bytes[at + 1..])),
                Err(_) => Err(Fault::new(format!("the index of its message is {number}"))),
            };
        }
    }
    Err(Fault::new("the payload ends within the indexes of its message"))
}

/// The list as serializers write it.
pub fn write_indexes(indexes: &[usize], out: &mut Vec<u8>) {
    let mut put = |number: usize| {
        let mut rest = number << 1;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    };
    match indexes {
        [] | [0] => put(0),
        indexes => {
            put(indexes.len());
            indexes.iter().copied().for_each(put);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_come_back_as_they_were_written_and_zero_is_the_first_message() {
        for (indexes, bytes) in
            [(&[0][..], &[0][..]), (&[1], &[2, 2]), (&[0, 0], &[4, 0, 0]), (&[3, 200, 1], &[6, 6, 0x90, 3, 2])]
        {
            let mut out = Vec::new();
            write_indexes(indexes, &mut out);
            assert_eq!(out, bytes);
            out.push(7);
            let (path, rest) = read_indexes(&out).expect("just written");
            assert_eq!((path.indexes(), rest), (indexes, &[7][..]));
        }
        // The list [0] written in full.
        assert_eq!(read_indexes(&[2, 0]).expect("a list").0.indexes(), [0]);
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for bytes in [&[][..], &[1], &[2], &[2, 1], &[0x80], &[0xff; 11], &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0]] {
            assert!(read_indexes(bytes).is_err(), "{bytes:?}");
        }
    }
}
