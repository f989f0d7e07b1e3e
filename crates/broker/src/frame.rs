//! Bytes in and bytes out: reading the request header and the hot requests by hand, and responses as chunks.
//!
//! Nothing here trusts a length: every read is checked against what is there, and nothing is allocated by a claimed size.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

/// The bytes are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends too early")]
    Short,
    #[error("a length is negative")]
    Length,
    #[error("a text is not UTF-8")]
    Text,
    #[error("a text is too long")]
    LongText,
    #[error("it lists more things than a request may")]
    TooMany,
}

/// Longest text. The older form of lengths can say no more; a name that came by the newer one could not be told to clients that
/// ask in the older (Kafka's `MessageDataGenerator` sets the same limit).
const TEXT_BYTES_MAX: usize = i16::MAX as usize;

pub(crate) type Read<T> = Result<T, Malformed>;

/// A position in a frame. Byte strings read from it are slices of the frame, not copies.
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.frame.len() - self.at
    }

    pub(crate) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let bytes = self.frame[self.at..].get(..length).ok_or(Malformed::Short)?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("took N bytes"))
    }

    pub(crate) fn i8(&mut self) -> Read<i8> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Read<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn uuid(&mut self) -> Read<uuid::Uuid> {
        Ok(uuid::Uuid::from_bytes(self.array()?))
    }

    /// At most five bytes, as the codec reads it: a continuation bit on the fifth is ignored.
    pub(crate) fn varint(&mut self) -> Read<u32> {
        let mut value = 0;
        for shift in 0..5 {
            let byte = u32::from(self.array::<1>()?[0]);
            value |= (byte & 0x7f) << (shift * 7);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    /// Length of a string: int16, or varint(n + 1) if compact. `None`: null.
    fn text_length(&mut self, compact: bool) -> Read<Option<usize>> {
        let length = if compact { self.compact_length()? } else { nullable(i64::from(self.i16()?))? };
        if length.is_some_and(|length| length > TEXT_BYTES_MAX) { Err(Malformed::LongText) } else { Ok(length) }
    }

    /// Length of a byte string or number of elements of an array: int32, or varint(n + 1) if compact. `None`: null.
    pub(crate) fn length(&mut self, compact: bool) -> Read<Option<usize>> {
        if compact { self.compact_length() } else { nullable(i64::from(self.i32()?)) }
    }

    fn compact_length(&mut self) -> Read<Option<usize>> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    pub(crate) fn text(&mut self, compact: bool) -> Read<Option<&'a str>> {
        let Some(length) = self.text_length(compact)? else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed::Text)
    }

    /// Skips a string; the codec checks its UTF-8 when it decodes it.
    pub(crate) fn skip_text(&mut self, compact: bool) -> Read<()> {
        let length = self.text_length(compact)?.unwrap_or(0);
        self.take(length).map(drop)
    }

    pub(crate) fn blob(&mut self, compact: bool) -> Read<Option<Bytes>> {
        let Some(length) = self.length(compact)? else { return Ok(None) };
        let from = self.at;
        self.take(length)?;
        Ok(Some(self.frame.slice(from..self.at)))
    }

    pub(crate) fn skip_blob(&mut self, compact: bool) -> Read<()> {
        let length = self.length(compact)?.unwrap_or(0);
        self.take(length).map(drop)
    }

    /// Number of elements of an array that cannot be null in practice; each takes at least `bytes_min`.
    pub(crate) fn count(&mut self, compact: bool, bytes_min: usize) -> Read<usize> {
        let count = self.length(compact)?.unwrap_or(0);
        if count.saturating_mul(bytes_min) > self.remaining() { Err(Malformed::Short) } else { Ok(count) }
    }

    /// Skips tagged fields; returns how many there were.
    pub(crate) fn tags(&mut self) -> Read<usize> {
        let count = self.varint()? as usize;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()? as usize;
            self.take(length)?;
        }
        Ok(count)
    }
}

fn nullable(length: i64) -> Read<Option<usize>> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Malformed::Length),
    }
}

/// What every request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
}

impl Header {
    /// The first eight bytes, which are the same in all versions of the header.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Read<Self> {
        Ok(Self { key: reader.i16()?, version: reader.i16()?, correlation: reader.i32()? })
    }
}

/// A response ready to be sent: length, header and body, in chunks that need not be copied together.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) chunks: Vec<Bytes>,
    /// Share of the memory for responses, given back when the chunks are sent.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// Builds a response whose large byte strings are linked in, not copied.
pub(crate) struct Writer {
    pub(crate) out: BytesMut,
    /// Byte strings that go between the bytes of `out`, with their positions there.
    links: Vec<(usize, Bytes)>,
    linked: usize,
}

impl Writer {
    /// Starts with the header; `tagged` as the response header version says.
    pub(crate) fn new(correlation: i32, tagged: bool, capacity: usize) -> Self {
        let mut out = BytesMut::with_capacity(capacity + 9);
        out.put_i32(0); // the length, known at the end
        out.put_i32(correlation);
        if tagged {
            out.put_u8(0);
        }
        Self { out, links: Vec::new(), linked: 0 }
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    pub(crate) fn count(&mut self, compact: bool, count: usize) {
        if compact { self.varint(count as u32 + 1) } else { self.out.put_i32(count as i32) }
    }

    pub(crate) fn text(&mut self, compact: bool, text: &str) {
        if compact {
            self.varint(text.len() as u32 + 1)
        } else {
            self.out.put_i16(text.len() as i16)
        }
        self.out.put_slice(text.as_bytes());
    }

    /// A byte string that stays where it is.
    pub(crate) fn link(&mut self, compact: bool, bytes: Bytes) {
        self.count(compact, bytes.len());
        if !bytes.is_empty() {
            self.linked += bytes.len();
            self.links.push((self.out.len(), bytes));
        }
    }

    pub(crate) fn finish(mut self) -> Response {
        let length = self.out.len() - 4 + self.linked;
        self.out[..4].copy_from_slice(&(length as u32).to_be_bytes());
        let mut rest = self.out.freeze();
        let mut chunks = Vec::with_capacity(self.links.len() * 2 + 1);
        let mut sent = 0;
        for (at, bytes) in self.links {
            chunks.push(rest.split_to(at - sent));
            chunks.push(bytes);
            sent = at;
        }
        chunks.push(rest);
        chunks.retain(|chunk| !chunk.is_empty());
        Response { chunks, permit: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn linked_bytes_come_where_they_belong() {
        let mut writer = Writer::new(7, false, 0);
        writer.link(false, Bytes::from_static(b"abc"));
        writer.out.put_u8(9);
        writer.link(true, Bytes::new());
        let response = writer.finish();
        let whole: Vec<u8> = response.chunks.concat();
        assert_eq!(whole, [&[0, 0, 0, 13, 0, 0, 0, 7, 0, 0, 0, 3][..], b"abc", &[9, 1]].concat());
    }

    #[test]
    fn a_text_is_no_longer_than_the_oldest_clients_can_be_told() {
        for (length, is_taken) in [(TEXT_BYTES_MAX, true), (TEXT_BYTES_MAX + 1, false)] {
            let mut writer = Writer::new(0, false, 0);
            writer.varint(length as u32 + 1);
            writer.out.put_bytes(b'a', length);
            let bytes = Bytes::from(writer.finish().chunks.concat());
            let reader = || Reader { frame: &bytes, at: 8 };
            let expected = if is_taken { Ok(Some(length)) } else { Err(Malformed::LongText) };
            assert_eq!(reader().text(true).map(|text| text.map(str::len)), expected);
            assert_eq!(reader().skip_text(true).is_ok(), is_taken);
            assert_eq!(reader().skip_blob(true), Ok(()), "bytes may be more");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), compact: bool) {
            let bytes = Bytes::from(bytes);
            let mut reader = Reader::new(&bytes);
            let _ = Header::parse(&mut reader);
            let _ = reader.text(compact);
            let _ = reader.blob(compact);
            let _ = reader.tags();
            prop_assert!(reader.position() <= bytes.len());
        }

        #[test]
        fn varints_survive_the_round_trip(value: u32) {
            let mut writer = Writer::new(0, false, 0);
            writer.varint(value);
            let bytes = Bytes::from(writer.finish().chunks.concat());
            prop_assert_eq!(Reader { frame: &bytes, at: 8 }.varint(), Ok(value));
        }
    }
}
