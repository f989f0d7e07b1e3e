//! Bytes of a Kafka connection → frames → requests, for every API and version on offer.
//!
//! Laws: nothing panics; memory stays in proportion to the bytes that came, whatever lengths they claim; what the door's
//! own readers see (Produce, Fetch, and the walk before the codec) is what Kafka's codec sees in the same bytes.

#![no_main]

use broker::fuzzing::{next_frame, read};
use bytes::Bytes;
use lakehead_fuzz::within;

/// A thing of two bytes on the wire is a structure of a few hundred in memory.
const GROWTH_MAX: usize = 400;
const FIXED_BYTES: usize = 64 << 10;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut inbox = Bytes::copy_from_slice(data);
    while let Some(frame) = next_frame(&mut inbox) {
        let bytes_max = FIXED_BYTES + GROWTH_MAX * frame.len();
        within(bytes_max, || read(frame));
    }
    // The same bytes with the length they should have had: most mutations would otherwise end at the prefix.
    within(FIXED_BYTES + GROWTH_MAX * data.len(), || read(Bytes::copy_from_slice(data)));
});
