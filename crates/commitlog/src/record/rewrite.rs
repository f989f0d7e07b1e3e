//! Batches of which only some records stay (Kafka's `MemoryRecords.filterTo`).
//!
//! Offsets, sequences, producer and epoch are those of the original: who reads or repeats it finds nothing changed but the
//! holes. Count, largest timestamp and checksum are made anew.

use bytes::Bytes;
use model::{Result, TimestampMs};

use super::{
    Header, Record, Records, compress,
    varint::{long_bytes, write_long},
};

/// The header and records of a batch of which only the records that `keep` says stay. `block`: its records, decompressed.
/// `horizon`: the delete horizon to give it, if it has none.
pub(crate) fn rewrite(
    header: &Header,
    block: &[u8],
    horizon: Option<TimestampMs>,
    keep: impl Fn(&Record<'_>) -> bool,
) -> Result<(Header, Bytes)> {
    let mut new = *header;
    if let Some(at) = horizon {
        new.set_delete_horizon(at);
    }
    let (mut records, mut count, mut max_timestamp) = (Vec::with_capacity(block.len()), 0, super::NO_TIMESTAMP);
    for record in Records::new(header, block) {
        let record = record?;
        if keep(&record) {
            write(&mut records, &record, &new);
            count += 1;
            max_timestamp = max_timestamp.max(record.timestamp);
        }
    }
    if count == 0 {
        return Ok(emptied(header));
    }
    new.count = count;
    if !header.is_log_append_time() {
        new.max_timestamp = max_timestamp;
    }
    let records = compress(header.codec()?, &records);
    new.fit(&records);
    Ok((new, records.into()))
}

/// The batch without its records.
pub(crate) fn emptied(header: &Header) -> (Header, Bytes) {
    let mut new = *header;
    new.set_empty();
    new.fit(&[]);
    (new, Bytes::new())
}

fn write(out: &mut Vec<u8>, record: &Record<'_>, header: &Header) {
    let timestamp_delta = record.timestamp.wrapping_sub(header.base_timestamp);
    let offset_delta = record.offset - header.base_offset;
    let sized = |bytes: Option<&[u8]>| bytes.map_or(long_bytes(-1), |b| long_bytes(b.len() as i64) + b.len());
    let body = 1
        + long_bytes(timestamp_delta)
        + long_bytes(offset_delta)
        + sized(record.key)
        + sized(record.value)
        + long_bytes(record.header_count as i64)
        + record.headers.len();
    write_long(out, body as i64);
    out.push(0);
    write_long(out, timestamp_delta);
    write_long(out, offset_delta);
    for bytes in [record.key, record.value] {
        write_long(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
        out.extend_from_slice(bytes.unwrap_or_default());
    }
    write_long(out, record.header_count as i64);
    out.extend_from_slice(record.headers);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::*, *};

    type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn records_of(batch: &Batch) -> Vec<Owned> {
        let block = batch.decompress(1 << 20).expect("decompress");
        let owned = |r: Record<'_>| {
            (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.headers().count())
        };
        Records::new(&batch.header, &block).map(|r| owned(r.expect("record"))).collect()
    }

    proptest! {
        /// Whatever is taken out and stamped: what stays is what it was, where it was.
        #[test]
        fn what_stays_is_what_it_was(
            codec in proptest::sample::select(Codec::ALL.to_vec()),
            records in proptest::collection::vec((0i64..4_000_000_000_000, any::<Option<Vec<u8>>>(), any::<bool>()), 1..30),
            horizon: Option<u32>,
        ) {
            let mut builder = BatchBuilder::new(codec).producer(7, 1, 3);
            for (at, (timestamp, value, _)) in records.iter().enumerate() {
                let headers: [(&str, &[u8]); 2] = [("h", b"v"), ("", b"")];
                builder.push(*timestamp, Some(&[at as u8]), value.as_deref(), &headers[..at % 3]);
            }
            let mut batch = Batch::parse(&builder.build()).expect("a batch");
            batch.header.base_offset = 1000;
            let kept = |offset: i64| records[(offset - 1000) as usize].2;
            let block = batch.decompress(1 << 20).expect("decompress");
            let horizon = horizon.map(i64::from);
            let (header, rest) = rewrite(&batch.header, &block, horizon, |r| kept(r.offset)).expect("whole");
            let after = Batch::parse(&Bytes::from([&header.write()[..], &rest].concat())).expect("a batch");
            after.check_crc().expect("sealed");
            let mut expected = records_of(&batch);
            expected.retain(|r| kept(r.0));
            prop_assert_eq!(records_of(&after), expected.clone());
            let max = expected.iter().map(|r| r.1).max().unwrap_or(NO_TIMESTAMP);
            prop_assert_eq!((header.max_timestamp, header.count as usize), (max, expected.len()));
            prop_assert_eq!(header.delete_horizon(), horizon.filter(|_| !expected.is_empty()));
            prop_assert_eq!(
                (header.base_offset, header.last_offset(), header.producer_id, header.producer_epoch, header.last_sequence()),
                (1000, batch.header.last_offset(), 7, 1, batch.header.last_sequence())
            );
        }
    }
}
