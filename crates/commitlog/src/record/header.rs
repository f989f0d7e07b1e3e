//! The fixed part of a batch, big-endian (Kafka's `DefaultRecordBatch.java`).
//!
//! ```text
//!  0 baseOffset i64 │ 8 batchLength i32 │ 12 partitionLeaderEpoch i32 │ 16 magic i8 │ 17 crc u32
//! 21 attributes i16 │ 23 lastOffsetDelta i32 │ 27 baseTimestamp i64 │ 35 maxTimestamp i64
//! 43 producerId i64 │ 51 producerEpoch i16 │ 53 baseSequence i32 │ 57 recordCount i32 │ 61 records
//! ```
//! The CRC-32C covers byte 21 to the end, so offset and epoch (the first 12 bytes but the length) can be patched freely.

use model::{
    Error, Offset, ProducerId, Result, TimestampMs,
    error::codes::{BATCH_CORRUPT, BATCH_INVALID, COMPRESSION_UNSUPPORTED},
};

use super::Codec;

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// The only format there is since Kafka 4.0.
pub const MAGIC: i8 = 2;
/// "This record has no timestamp."
pub const NO_TIMESTAMP: TimestampMs = -1;

/// Bits of the attributes.
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;
/// The base timestamp is the delete horizon (KIP-534).
const DELETE_HORIZON: i16 = 0x40;
/// The codec.
const CODEC: i16 = 0x07;

/// "This batch is not in its producer's sequence."
pub(crate) const NO_SEQUENCE: i32 = -1;

/// Bytes of base offset and length, which `batch_length` does not count.
const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the bytes covered by the CRC begin.
const CRC_FROM: usize = 21;

/// All fields of a batch's header, as they stand in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub base_offset: Offset,
    /// Bytes after this field.
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    /// Offset of the last record, relative to `base_offset`.
    pub last_offset_delta: i32,
    pub base_timestamp: TimestampMs,
    pub max_timestamp: TimestampMs,
    /// −1: not from an idempotent producer.
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// As claimed; only decoding tells.
    pub count: i32,
}

impl Header {
    /// Reads the fields. Refuses what cannot be the start of a batch; the records need not be there yet.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Error::new(BATCH_CORRUPT, "a record batch is cut short")
                .detail(format!("{} bytes are left where a header of {HEADER_BYTES} must be", bytes.len())));
        };
        let header = Self::read(head);
        if header.magic != MAGIC {
            return Err(Error::new(BATCH_INVALID, "only record batches of format 2 are taken")
                .detail(format!("the batch says format {}", header.magic))
                .hint("use a client of Kafka 0.11 or newer"));
        }
        if header.batch_length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 || header.last_offset_delta < 0 {
            return Err(Error::new(BATCH_CORRUPT, "a record batch contradicts itself")
                .detail(format!("length {}, last offset delta {}", header.batch_length, header.last_offset_delta)));
        }
        Ok(header)
    }

    fn read(b: &[u8; HEADER_BYTES]) -> Self {
        fn at<const N: usize>(b: &[u8; HEADER_BYTES], from: usize) -> [u8; N] {
            b[from..from + N].try_into().expect("fields lie within the header")
        }
        Self {
            base_offset: i64::from_be_bytes(at(b, 0)),
            batch_length: i32::from_be_bytes(at(b, 8)),
            leader_epoch: i32::from_be_bytes(at(b, 12)),
            magic: b[16] as i8,
            crc: u32::from_be_bytes(at(b, 17)),
            attributes: i16::from_be_bytes(at(b, 21)),
            last_offset_delta: i32::from_be_bytes(at(b, 23)),
            base_timestamp: i64::from_be_bytes(at(b, 27)),
            max_timestamp: i64::from_be_bytes(at(b, 35)),
            producer_id: i64::from_be_bytes(at(b, 43)),
            producer_epoch: i16::from_be_bytes(at(b, 51)),
            base_sequence: i32::from_be_bytes(at(b, 53)),
            count: i32::from_be_bytes(at(b, 57)),
        }
    }

    /// The fields as bytes. The CRC is written as it stands: see [`Header::seal`].
    pub fn write(&self) -> [u8; HEADER_BYTES] {
        let mut b = [0; HEADER_BYTES];
        b[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        b[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        b[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        b[16] = self.magic as u8;
        b[17..21].copy_from_slice(&self.crc.to_be_bytes());
        b[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        b[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        b[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        b[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        b[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        b[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        b[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        b[57..61].copy_from_slice(&self.count.to_be_bytes());
        b
    }

    /// Sets the CRC for these fields followed by `records`.
    pub fn seal(&mut self, records: &[u8]) {
        self.crc = crc32c::crc32c_append(crc32c::crc32c(&self.write()[CRC_FROM..]), records);
    }

    /// Whether the CRC fits `batch`, the whole batch these fields were read from.
    pub fn crc_matches(&self, batch: &[u8]) -> bool {
        batch.len() >= HEADER_BYTES && crc32c::crc32c(&batch[CRC_FROM..]) == self.crc
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.batch_length as usize + LENGTH_PREFIX_BYTES
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    pub fn codec(&self) -> Result<Codec> {
        Codec::from_id(self.attributes & 0x07).ok_or_else(|| {
            Error::new(COMPRESSION_UNSUPPORTED, "the batch's compression is unknown")
                .detail(format!("codec {} is not one of gzip 1, snappy 2, lz4 3, zstd 4", self.attributes & 0x07))
        })
    }

    /// The log gave the time; all records carry `max_timestamp`.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// When its tombstones, or its marker, may go: given by the compaction that first saw them without what they end
    /// (KIP-534). Times of records are still relative to [`Header::base_timestamp`].
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Sets the delete horizon. Times of records are relative to it: they must be written anew.
    pub(super) fn set_delete_horizon(&mut self, at: TimestampMs) {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = at;
    }

    /// Makes it the header of a batch without records, which keeps offsets and producer (Kafka's
    /// `DefaultRecordBatch.writeEmptyHeader`).
    pub(super) fn set_empty(&mut self) {
        self.attributes &= !(DELETE_HORIZON | CODEC);
        (self.base_timestamp, self.max_timestamp) = (NO_TIMESTAMP, NO_TIMESTAMP);
        self.count = 0;
    }

    /// Says what the records behind it are compressed with.
    pub(super) fn set_codec(&mut self, codec: Codec) {
        self.attributes = self.attributes & !CODEC | codec.id();
    }

    /// Says how long the records behind it are, and seals.
    pub(super) fn fit(&mut self, records: &[u8]) {
        self.batch_length = i32::try_from(records.len() + HEADER_BYTES - LENGTH_PREFIX_BYTES)
            .expect("a batch of fewer records is smaller than 2 GiB");
        self.seal(records);
    }

    /// Gives all records the log's time. The CRC must be made anew.
    pub(crate) fn set_log_append_time(&mut self, now: TimestampMs) {
        self.attributes |= 0x08;
        self.max_timestamp = now;
    }

    /// It is of a producer but not in its sequence: a marker, or offsets of a transaction.
    pub(crate) fn has_no_sequence(&self) -> bool {
        self.base_sequence == NO_SEQUENCE
    }

    /// Sequence of the last record: sequences wrap from 2³¹ − 1 to 0.
    pub fn last_sequence(&self) -> i32 {
        add_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// `sequence + delta`, wrapping from 2³¹ − 1 to 0. Both are ≥ 0.
pub(crate) fn add_sequence(sequence: i32, delta: i32) -> i32 {
    ((i64::from(sequence) + i64::from(delta)) & i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_parse_to_the_same_bytes_or_are_refused(bytes in proptest::array::uniform32(any::<u8>()), magic in 0u8..4) {
            let mut head = [0u8; HEADER_BYTES];
            head[..32].copy_from_slice(&bytes);
            head[29..].copy_from_slice(&bytes);
            head[16] = magic;
            if let Ok(header) = Header::parse(&head) {
                prop_assert_eq!(header.write(), head);
                prop_assert!(header.size() >= HEADER_BYTES);
            }
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
        assert_eq!(add_sequence(5, 2), 7);
    }
}
