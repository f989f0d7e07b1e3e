//! Looking into batches without copying.

use bytes::Bytes;
use model::{
    Error, Offset, Result, TimestampMs,
    error::codes::{BATCH_CORRUPT, RECORD_UNREADABLE},
};

use super::{
    HEADER_BYTES, Header, Marker, decompress,
    varint::{read_int, read_long},
};

/// One batch.
#[derive(Clone, Debug)]
pub struct Batch {
    pub header: Header,
    /// All of it, header included.
    pub bytes: Bytes,
}

impl Batch {
    /// The batch at the front of `bytes`; what follows it is ignored.
    pub fn parse(bytes: &Bytes) -> Result<Self> {
        let header = Header::parse(bytes)?;
        if header.size() > bytes.len() {
            return Err(Error::new(BATCH_CORRUPT, "a record batch is cut short").detail(format!(
                "it says it has {} bytes, {} are there",
                header.size(),
                bytes.len()
            )));
        }
        Ok(Self { header, bytes: bytes.slice(..header.size()) })
    }

    pub fn check_crc(&self) -> Result<()> {
        if self.header.crc_matches(&self.bytes) {
            return Ok(());
        }
        Err(Error::new(BATCH_CORRUPT, "a record batch is damaged")
            .detail(format!("its checksum is not the {:#010x} it carries", self.header.crc)))
    }

    /// What it says if it is a control batch.
    pub fn marker(&self) -> Result<Option<Marker>> {
        Marker::of(&self.header, &self.bytes.slice(HEADER_BYTES..))
    }

    /// Its records as one block, which may not be larger than `bytes_max`. Free if they are not compressed.
    pub fn decompress(&self, bytes_max: usize) -> Result<Bytes> {
        decompress(self.header.codec()?, &self.bytes.slice(HEADER_BYTES..), bytes_max)
    }
}

/// The batches in `bytes`, one after the other. After an error there is nothing more.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

/// See [`batches`].
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = Batch::parse(&self.rest);
        self.rest = match &batch {
            Ok(batch) => self.rest.slice(batch.bytes.len()..),
            Err(_) => Bytes::new(),
        };
        Some(batch)
    }
}

/// One record; keys, values and headers are borrowed from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    pub timestamp: TimestampMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub(super) header_count: usize,
    /// Headers as stored, checked when the record was read.
    pub(super) headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Names and values, in order; names may repeat.
    pub fn headers(&self) -> Headers<'a> {
        Headers { left: self.header_count, rest: self.headers }
    }

    pub fn has_headers(&self) -> bool {
        self.header_count > 0
    }
}

/// See [`Record::headers`].
#[derive(Clone)]
pub struct Headers<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    /// Name (UTF-8 by the protocol, but nobody checks) and value.
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((read_bytes(&mut self.rest)??, read_bytes(&mut self.rest)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The records of a batch, from its decompressed block. After an error there is nothing more.
pub struct Records<'a> {
    base_offset: Offset,
    last_offset_delta: i32,
    base_timestamp: TimestampMs,
    /// The time of all records, if the log gave it.
    log_append_time: Option<TimestampMs>,
    left: i32,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub fn new(header: &Header, block: &'a [u8]) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            log_append_time: header.is_log_append_time().then_some(header.max_timestamp),
            left: header.count.max(0),
            rest: block,
        }
    }

    /// `None` if the bytes are not a record.
    fn read(&mut self) -> Option<Record<'a>> {
        let length = usize::try_from(read_int(&mut self.rest)?).ok()?;
        let (mut body, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        body = body.get(1..)?; // attributes: none are defined
        let timestamp_delta = read_long(&mut body)?;
        let offset_delta = read_int(&mut body)?;
        if !(0..=self.last_offset_delta).contains(&offset_delta) {
            return None;
        }
        let key = read_bytes(&mut body)?;
        let value = read_bytes(&mut body)?;
        let header_count = usize::try_from(read_int(&mut body)?).ok()?;
        let headers = body;
        for _ in 0..header_count {
            read_bytes(&mut body)??;
            read_bytes(&mut body)?;
        }
        if !body.is_empty() {
            return None;
        }
        Some(Record {
            offset: self.base_offset.checked_add(i64::from(offset_delta))?,
            timestamp: self.log_append_time.unwrap_or_else(|| self.base_timestamp.saturating_add(timestamp_delta)),
            key,
            value,
            header_count,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.rest.is_empty() {
                return None;
            }
            let surplus = std::mem::take(&mut self.rest).len();
            return Some(Err(unreadable(self.base_offset, format!("{surplus} bytes follow its last record"))));
        }
        let left = self.left;
        let record = self.read();
        self.left -= 1;
        Some(record.ok_or_else(|| {
            (self.left, self.rest) = (0, &[]);
            unreadable(
                self.base_offset,
                format!("the bytes end or contradict themselves {left} records before its end"),
            )
        }))
    }
}

fn unreadable(base_offset: Offset, detail: String) -> Error {
    Error::new(RECORD_UNREADABLE, format!("the batch at offset {base_offset} cannot be decoded")).detail(detail)
}

/// Bytes with their length before them; the inner `None` is null (length −1).
fn read_bytes<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = read_int(from)?;
    if length == -1 {
        return Some(None);
    }
    let (bytes, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(Some(bytes))
}
