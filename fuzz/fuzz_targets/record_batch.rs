//! Record batches: header, checksum, what the log asks of a batch, decompression, records and their headers.
//!
//! Laws: nothing panics; a header is the bytes it was read from; decompression stays within its limit, in result and in
//! memory; no batch gives more records than it claims, nor offsets it does not span; what is admitted is whole.

#![no_main]

use bytes::Bytes;
use commitlog::{
    TopicConfig,
    embedded::fuzzing::admit,
    record::{Batch, HEADER_BYTES, Header, MAGIC, Records, batches},
};
use lakehead_fuzz::within;

/// Largest block taken here.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// The block twice while it grows, and the buffers of a decompressor: lz4 takes two blocks of up to 8 MiB (old frames).
const DECOMPRESSION_BYTES_MAX: usize = 20 << 20;
const NOW: i64 = 1_700_000_000_000;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let bytes = if how & 1 == 0 { Bytes::copy_from_slice(data) } else { sealed(data) };
    let config = TopicConfig {
        log_append_time: how & 2 != 0,
        timestamp_before_ms_max: if how & 4 == 0 { i64::MAX } else { 1 << 40 },
        ..TopicConfig::defaults(false)
    };
    if let Some(kept) = admit(&bytes, &config, NOW) {
        assert!(
            kept.size() == bytes.len() && kept.count > 0 && kept.crc_matches(&[&kept.write(), &bytes[61..]].concat())
        );
    }
    for batch in batches(bytes).flatten() {
        let _damaged = batch.check_crc();
        look_into(&batch);
    }
});

/// `data` as a batch whose length, format and checksum are right, so that what lies behind them is reached.
fn sealed(data: &[u8]) -> Bytes {
    let mut head = [0; HEADER_BYTES];
    let (from, records) = data.split_at(data.len().min(HEADER_BYTES));
    head[..from.len()].copy_from_slice(from);
    head[8..12].copy_from_slice(&((HEADER_BYTES - 12 + records.len()) as i32).to_be_bytes());
    head[16] = MAGIC as u8;
    head[23] &= 0x7f;
    let mut header = Header::parse(&head).expect("length, format and last offset delta are good");
    header.seal(records);
    Bytes::from([&header.write(), records].concat())
}

fn look_into(batch: &Batch) {
    let header = batch.header;
    assert_eq!(header.write()[..], batch.bytes[..HEADER_BYTES]);
    let Ok(block) = within(DECOMPRESSION_BYTES_MAX, || batch.decompress(BLOCK_BYTES_MAX)) else { return };
    assert!(header.attributes & 7 == 0 || block.len() <= BLOCK_BYTES_MAX);
    let mut count = 0;
    for record in Records::new(&header, &block).flatten() {
        count += 1;
        assert!((header.base_offset..=header.last_offset()).contains(&record.offset));
        let announced = record.headers().size_hint().0;
        assert_eq!(record.headers().count(), announced);
    }
    assert!(count <= header.count.max(0));
}
