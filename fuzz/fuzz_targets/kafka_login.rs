//! What somebody unknown may send: requests of a login, the tokens of every mechanism, certificates, lists of keys.
//!
//! Laws: nothing panics; memory stays in proportion to the bytes that came; nobody gets in with a credential that no password
//! fits.

#![no_main]

use broker::fuzzing::read_before_login;
use bytes::Bytes;
use lakehead_fuzz::within;
use security::fuzzing::{documents, login};

const GROWTH_MAX: usize = 400;
/// A hash of fixed size is computed for some inputs.
const FIXED_BYTES: usize = 64 << 10;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes_max = FIXED_BYTES + GROWTH_MAX * data.len();
    within(bytes_max, || read_before_login(Bytes::copy_from_slice(data)));
    within(bytes_max, || login(data));
    within(bytes_max, || documents(data));
});
