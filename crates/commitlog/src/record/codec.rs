//! Compression of a batch's records.
//!
//! Snappy comes with the xerial block framing (Java, most clients) or raw (librdkafka reads both); lz4 is the frame format;
//! output is limited because a few kilobytes can claim to be gigabytes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use model::{
    Error, Result,
    error::codes::{BATCH_TOO_LARGE, RECORD_UNREADABLE},
};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// By its number in a batch's attributes.
    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Its number in a batch's attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// By Kafka's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// What records are to be compressed with, and how hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub codec: Codec,
    /// Of gzip (1 to 9) or zstd; `None`: the codec's default, as for codecs that have one level.
    pub level: Option<i32>,
}

const ZSTD_LEVEL_DEFAULT: i32 = 3;

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version and compatible version.
const XERIAL_HEADER_BYTES: usize = 16;
/// Block size of the reference implementation.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

/// The compressed form of `records`.
pub fn compress(codec: Codec, records: &[u8]) -> Vec<u8> {
    compress_with(Compression { codec, level: None }, records)
}

pub(super) fn compress_with(Compression { codec, level }: Compression, records: &[u8]) -> Vec<u8> {
    let in_memory = "writing to memory cannot fail";
    match codec {
        Codec::None => records.to_vec(),
        Codec::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok()).map(flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level.unwrap_or_default());
            encoder.write_all(records).expect(in_memory);
            encoder.finish().expect(in_memory)
        }
        Codec::Snappy => {
            let mut out = XERIAL_MAGIC.to_vec();
            out.extend([0, 0, 0, 1, 0, 0, 0, 1]);
            let mut encoder = snap::raw::Encoder::new();
            for block in records.chunks(XERIAL_BLOCK_BYTES) {
                let block = encoder.compress_vec(block).expect("a block of 32 KiB is within snappy's limit");
                out.extend((block.len() as u32).to_be_bytes());
                out.extend(block);
            }
            out
        }
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(records).expect(in_memory);
            encoder.finish().expect(in_memory)
        }
        Codec::Zstd => zstd::bulk::compress(records, level.unwrap_or(ZSTD_LEVEL_DEFAULT)).expect(in_memory),
    }
}

/// The records in `compressed`, which may not be larger than `bytes_max`.
pub fn decompress(codec: Codec, compressed: &Bytes, bytes_max: usize) -> Result<Bytes> {
    let records = match codec {
        Codec::None => return Ok(compressed.clone()),
        Codec::Gzip => read_limited(flate2::read::MultiGzDecoder::new(&compressed[..]), compressed.len(), bytes_max),
        Codec::Snappy => unsnap(compressed, bytes_max),
        Codec::Lz4 => read_limited(lz4_flex::frame::FrameDecoder::new(&compressed[..]), compressed.len(), bytes_max),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(&compressed[..])
            .and_then(|decoder| read_limited(decoder, compressed.len(), bytes_max)),
    };
    records.map(Bytes::from).map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            return Error::new(BATCH_TOO_LARGE, "the records of a batch are too large once decompressed")
                .detail(format!("{error}, although compressed they have {}", compressed.len()))
                .hint("send fewer records in a batch");
        }
        Error::new(RECORD_UNREADABLE, format!("the records of a batch do not decompress as {}", codec.name()))
            .detail(error.to_string())
    })
}

fn read_limited(from: impl Read, compressed_bytes: usize, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(compressed_bytes.saturating_mul(4).min(bytes_max));
    from.take(bytes_max as u64 + 1).read_to_end(&mut out)?;
    if out.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(out) }
}

fn too_large(bytes_max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("they have more than {bytes_max} bytes"))
}

fn unsnap(compressed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut decoder = snap::raw::Decoder::new();
    let mut out = Vec::new();
    let mut add = |block: &[u8], out: &mut Vec<u8>| -> io::Result<()> {
        let (before, len) = (out.len(), snap::raw::decompress_len(block).map_err(io::Error::other)?);
        // Snappy's densest output is 64 bytes from a copy of 3; what claims more is lying.
        if len / 32 > block.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block claims more than snappy can hold"));
        }
        if before + len > bytes_max {
            return Err(too_large(bytes_max));
        }
        out.resize(before + len, 0);
        decoder.decompress(block, &mut out[before..]).map(|_| ()).map_err(io::Error::other)
    };
    if !compressed.starts_with(&XERIAL_MAGIC) {
        add(compressed, &mut out)?;
        return Ok(out);
    }
    let mut rest = compressed.get(XERIAL_HEADER_BYTES..).ok_or(io::ErrorKind::UnexpectedEof)?;
    while let Some((len, blocks)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        add(blocks.get(..len).ok_or(io::ErrorKind::UnexpectedEof)?, &mut out)?;
        rest = &blocks[len..];
    }
    if rest.is_empty() { Ok(out) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codecs() -> impl Strategy<Value = Codec> {
        proptest::sample::select(Codec::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn records_round_trip(codec in codecs(), seed in proptest::collection::vec(any::<u8>(), 0..300), times in 0usize..400) {
            let records = seed.repeat(times);
            let compressed = Bytes::from(compress(codec, &records));
            prop_assert_eq!(&decompress(codec, &compressed, records.len()).expect("round trip")[..], &records[..]);
            if codec != Codec::None && !records.is_empty() {
                prop_assert!(decompress(codec, &compressed, records.len() - 1).is_err());
            }
        }

        #[test]
        fn garbage_is_refused(codec in codecs(), bytes: Vec<u8>) {
            let _ = decompress(codec, &Bytes::from(bytes), 1 << 20);
        }

        #[test]
        fn damage_is_refused_or_stays_within_the_limit(codec in codecs(), at: prop::sample::Index, to: u8) {
            let mut compressed = compress(codec, &b"the same words again and again ".repeat(50));
            let at = at.index(compressed.len());
            compressed[at] = to;
            if let Ok(records) = decompress(codec, &Bytes::from(compressed), 4096) {
                prop_assert!(records.len() <= 4096);
            }
        }
    }

    #[test]
    fn raw_snappy_is_taken_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").expect("compress");
        assert_eq!(&decompress(Codec::Snappy, &raw.into(), 100).expect("raw")[..], b"hello hello hello");
    }
}
