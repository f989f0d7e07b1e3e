//! Batches as a topic's `compression.type` wants them (Kafka's `LogValidator.assignOffsetsNonCompressed` and its sibling).

use bytes::{Bytes, BytesMut};
use model::Result;

use super::{Batch, Compression, codec::compress_with};

/// `batch` with its records compressed by `to`; as it came if they are already. Everything else a header says stays, the
/// checksum is made anew. `bytes_max`: how large the records may be without compression.
///
/// A batch that arrived damaged is refused: a new checksum would vouch for it.
pub fn recompress(batch: &Bytes, to: Compression, bytes_max: usize) -> Result<Bytes> {
    let parsed = Batch::parse(batch)?;
    // Markers are the log's own. Bytes behind a batch are for the log to refuse.
    if parsed.header.codec()? == to.codec || parsed.header.is_control() || parsed.bytes.len() < batch.len() {
        return Ok(batch.clone());
    }
    parsed.check_crc()?;
    let records = compress_with(to, &parsed.decompress(bytes_max)?);
    let mut header = parsed.header;
    header.set_codec(to.codec);
    header.fit(&records);
    let mut out = BytesMut::with_capacity(header.size());
    out.extend_from_slice(&header.write());
    out.extend_from_slice(&records);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::*, *};

    const BYTES_MAX: usize = 1 << 20;

    fn levels(codec: Codec) -> Option<i32> {
        match codec {
            Codec::Gzip => Some(9),
            Codec::Zstd => Some(-5),
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn records_offsets_and_producer_stay_whatever_the_codec(
            from in proptest::sample::select(Codec::ALL.to_vec()), to in proptest::sample::select(Codec::ALL.to_vec()),
            values in proptest::collection::vec(any::<Vec<u8>>(), 1..20), with_level: bool,
        ) {
            let mut builder = BatchBuilder::new(from).producer(7, 1, 3).transactional();
            for (at, value) in values.iter().enumerate() {
                builder.push(at as i64, None, Some(value), &[]);
            }
            let batch = builder.build();
            let level = levels(to).filter(|_| with_level);
            let after = Batch::parse(&recompress(&batch, Compression { codec: to, level }, BYTES_MAX).expect("a batch"));
            let (before, after) = (Batch::parse(&batch).expect("a batch"), after.expect("a batch"));
            after.check_crc().expect("sealed");
            prop_assert_eq!(after.header.codec().expect("known"), to);
            prop_assert_eq!(
                after.decompress(BYTES_MAX).expect("decompresses"), before.decompress(BYTES_MAX).expect("decompresses")
            );
            let mut expected = before.header;
            (expected.attributes, expected.batch_length, expected.crc) =
                (after.header.attributes, after.header.batch_length, after.header.crc);
            prop_assert_eq!(after.header, expected);
            prop_assert_eq!(after.header.attributes & !7, before.header.attributes & !7);
        }

        #[test]
        fn damage_is_refused_and_not_sealed(at: prop::sample::Index, to: u8) {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.push(1, None, Some(b"some words"), &[]);
            let batch = builder.build();
            let at = 21 + at.index(batch.len() - 21);
            let mut damaged = batch.to_vec();
            damaged[at] = to;
            let after = recompress(&damaged.into(), Compression { codec: Codec::Lz4, level: None }, BYTES_MAX);
            // The attributes may now say that nothing is to be done: the log finds the damage.
            if to != batch[at] && let Ok(after) = after {
                prop_assert!(Batch::parse(&after).expect("a batch").check_crc().is_err());
            }
        }
    }

    #[test]
    fn what_claims_to_be_large_is_refused() {
        let mut builder = BatchBuilder::new(Codec::Zstd);
        builder.push(1, None, Some(&vec![0; 1 << 20]), &[]);
        let to = Compression { codec: Codec::Gzip, level: None };
        assert!(recompress(&builder.build(), to, 1 << 19).is_err());
    }
}
