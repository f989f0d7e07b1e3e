//! Bytes of the write-ahead log.
//!
//! ```text
//! file:   header │ entry* │ end entry, once the file is full
//!
//! header  0 "LHWL" │ 4 version u32 │ 8 first lsn u64 │ 16 void from u64 │ 24 crc u32 of bytes 0..24 │ 28 zeros to 64
//! entry   0 crc u32 │ 4 payload bytes u32 │ 8 lsn u64 │ 16 kind u8 │ 17 zeros │ 20 partition i32 │ 24 topic id, 16 bytes
//!        40 log start i64 │ 48 payload
//! ```
//! * Entries are numbered without gaps (`lsn`); the first of a file has the file's first lsn. Files are used again without
//!   being emptied: what an earlier use left behind has another number than the one that must stand there.
//! * The CRC of an entry covers bytes 4..48 and the first 61 bytes of the payload, the header of a batch. The rest of the
//!   batch has its own checksum in there, so no byte is summed twice.
//! * `void from`: entries with this or a higher lsn in *earlier* files were never acknowledged (their fsync failed) and do
//!   not count. `u64::MAX`: none.
//! * Kinds: 1 a batch · 2 the start of a partition has moved to `log start` (no payload) · 3 the end of a full file.

use model::{Offset, PartitionId, TopicId};

use crate::{embedded::layout::FORMAT_VERSION, record::HEADER_BYTES};

/// Number of an entry.
pub(crate) type Lsn = u64;

/// Entries of the write-ahead log written before a start can never be taken for entries written after it: numbers
/// jump by more than anyone can have used up in between.
pub(crate) const LSN_JUMP: Lsn = 1 << 32;

pub(super) const FILE_HEADER_BYTES: usize = 64;
pub(super) const ENTRY_HEADER_BYTES: usize = 48;
const MAGIC: &[u8; 4] = b"LHWL";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) first_lsn: Lsn,
    pub(super) void_from: Lsn,
}

impl FileHeader {
    pub(super) fn write(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.first_lsn.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.void_from.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// `None`: no file of ours, or not yet begun.
    pub(super) fn read(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let crc = u32::from_be_bytes(bytes[24..28].try_into().expect("4 bytes"));
        let ours = &bytes[..4] == MAGIC && bytes[4..8] == FORMAT_VERSION.to_be_bytes();
        (ours && crc == crc32c::crc32c(&bytes[..24])).then(|| Self { first_lsn: u64_at(8), void_from: u64_at(16) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Batch = 1,
    LogStart = 2,
    End = 3,
}

/// What an entry says before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) kind: Kind,
    pub(super) lsn: Lsn,
    pub(super) payload_bytes: u32,
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionId,
    pub(crate) log_start: Offset,
}

impl Entry {
    /// `payload_head`: the batch's header; empty if there is no batch.
    pub(super) fn write(&self, payload_head: &[u8]) -> [u8; ENTRY_HEADER_BYTES] {
        let mut bytes = [0; ENTRY_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.lsn.to_be_bytes());
        bytes[16] = self.kind as u8;
        bytes[20..24].copy_from_slice(&self.partition.to_be_bytes());
        bytes[24..40].copy_from_slice(self.topic.as_bytes());
        bytes[40..48].copy_from_slice(&self.log_start.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[4..]), payload_head);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The entry at the front of `bytes`, if it is whole up to the header of its batch and has number `lsn`.
    pub(super) fn read(bytes: &[u8], lsn: Lsn) -> Option<Self> {
        let (head, payload) = bytes.split_first_chunk::<ENTRY_HEADER_BYTES>()?;
        let u32_at = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let kind = match head[16] {
            1 => Kind::Batch,
            2 => Kind::LogStart,
            3 => Kind::End,
            _ => return None,
        };
        let payload_head = match kind {
            Kind::Batch => payload.get(..HEADER_BYTES)?,
            Kind::LogStart | Kind::End => &[],
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[4..]), payload_head);
        if crc != u32_at(0) || u64_at(8) != lsn {
            return None;
        }
        Some(Self {
            kind,
            lsn,
            payload_bytes: u32_at(4),
            partition: u32_at(20) as i32,
            topic: TopicId::from_bytes(head[24..40].try_into().expect("16 bytes")),
            log_start: u64_at(40) as i64,
        })
    }
}
