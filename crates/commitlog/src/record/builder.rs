//! Making batches.

use bytes::Bytes;
use model::{ProducerId, TimestampMs};

use super::{
    Codec, HEADER_BYTES, Header, MAGIC, compress,
    header::{CONTROL, TRANSACTIONAL},
    varint::{long_bytes, write_long},
};

/// Collects records into one batch. Offsets are given by the log.
pub struct BatchBuilder {
    codec: Codec,
    records: Vec<u8>,
    count: i32,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    producer: (ProducerId, i16, i32),
    flags: i16,
}

impl BatchBuilder {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            records: Vec::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer: (-1, -1, -1),
            flags: 0,
        }
    }

    /// Makes it the batch of an idempotent producer.
    pub fn producer(mut self, id: ProducerId, epoch: i16, base_sequence: i32) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Makes it part of its producer's transaction.
    pub fn transactional(mut self) -> Self {
        self.flags |= TRANSACTIONAL;
        self
    }

    /// Makes it a control batch, which readers do not show.
    pub(crate) fn control(mut self) -> Self {
        self.flags |= CONTROL;
        self
    }

    /// Adds a record.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> &mut Self {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.count);
        let headers_bytes: usize =
            headers.iter().map(|(name, value)| sized(Some(name.as_bytes())) + sized(Some(value))).sum();
        let body = 1
            + long_bytes(timestamp_delta)
            + long_bytes(offset_delta)
            + sized(key)
            + sized(value)
            + long_bytes(headers.len() as i64)
            + headers_bytes;

        let out = &mut self.records;
        write_long(out, body as i64);
        out.push(0);
        write_long(out, timestamp_delta);
        write_long(out, offset_delta);
        write_bytes(out, key);
        write_bytes(out, value);
        write_long(out, headers.len() as i64);
        for (name, value) in headers {
            write_bytes(out, Some(name.as_bytes()));
            write_bytes(out, Some(value));
        }
        self.count += 1;
        self
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch. Must hold at least one record.
    pub fn build(self) -> Bytes {
        assert!(self.count > 0, "a batch has at least one record");
        let compressed = match self.codec {
            Codec::None => self.records,
            codec => compress(codec, &self.records),
        };
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let mut header = Header {
            base_offset: 0,
            batch_length: i32::try_from(compressed.len() + HEADER_BYTES - 12).expect("a batch is smaller than 2 GiB"),
            leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: self.codec.id() | self.flags,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            count: self.count,
        };
        header.seal(&compressed);
        let mut batch = Vec::with_capacity(HEADER_BYTES + compressed.len());
        batch.extend(header.write());
        batch.extend(compressed);
        batch.into()
    }
}

fn sized(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(long_bytes(-1), |bytes| long_bytes(bytes.len() as i64) + bytes.len())
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_long(out, -1),
        Some(bytes) => {
            write_long(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Batch, Records, batches};

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

    fn record() -> impl Strategy<Value = Owned> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        let headers = proptest::collection::vec(("[a-z]{0,8}", bytes()), 0..3);
        (0i64..4_000_000_000_000, proptest::option::of(bytes()), proptest::option::of(bytes()), headers)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            codec in proptest::sample::select(Codec::ALL.to_vec()),
            records in proptest::collection::vec(record(), 1..30),
        ) {
            let mut builder = BatchBuilder::new(codec).producer(7, 1, 3);
            for (timestamp, key, value, headers) in &records {
                let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
                builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
            }
            let size = builder.size_bytes();
            let bytes = builder.build();
            if codec == Codec::None {
                prop_assert_eq!(size, bytes.len());
            }
            let batch = batches(bytes.clone()).next().expect("a batch").expect("whole");
            batch.check_crc().expect("sealed");
            prop_assert_eq!(batch.header.max_timestamp, records.iter().map(|r| r.0).max().expect("not empty"));
            prop_assert_eq!(batch.header.last_sequence(), 3 + records.len() as i32 - 1);
            let block = batch.decompress(1 << 20).expect("decompress");
            let decoded: Vec<Owned> = Records::new(&batch.header, &block)
                .map(|r| {
                    let r = r.expect("record");
                    let headers = r.headers().map(|(k, v)| {
                        (String::from_utf8(k.to_vec()).expect("utf-8"), v.expect("not null").to_vec())
                    });
                    (r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), headers.collect())
                })
                .collect();
            prop_assert_eq!(decoded, records);
        }

        #[test]
        fn damaged_batches_never_panic(at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
            let mut builder = BatchBuilder::new(Codec::None);
            for i in 0..20 {
                builder.push(i, Some(b"key"), Some(b"value"), &[("h", b"v")]);
            }
            let mut bytes = builder.build().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = to;
            bytes.truncate(cut.index(bytes.len()) + 1);
            read_all(bytes.into());
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if bytes.len() > 16 {
                bytes[16] = 2;
                bytes[8..10].fill(0);
            }
            read_all(bytes.into());
        }

        #[test]
        fn random_blocks_never_panic(block: Vec<u8>, count: i32, last_offset_delta: i32) {
            let mut header = Batch::parse(&{
                let mut one = BatchBuilder::new(Codec::None);
                one.push(0, None, None, &[]);
                one.build()
            }).expect("batch").header;
            (header.count, header.last_offset_delta) = (count, last_offset_delta);
            let read = Records::new(&header, &block).count();
            prop_assert!(read <= block.len() + 1, "work is bounded by the bytes there are");
        }
    }

    fn read_all(bytes: Bytes) {
        for batch in batches(bytes).flatten() {
            let _ = batch.check_crc();
            if let Ok(block) = batch.decompress(1 << 16) {
                for record in Records::new(&batch.header, &block).flatten() {
                    assert!(record.headers().count() <= block.len());
                }
            }
        }
    }
}
