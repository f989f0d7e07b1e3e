//! Bytes of a PostgreSQL connection: startup packets, messages, parameters, and statements on their way to the engine.
//!
//! Laws: nothing panics, overflows the stack or takes for ever; memory stays in proportion to the bytes that came.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use lakehead_fuzz::within;
use pg::fuzzing::Door;

const GROWTH_MAX: usize = 20_000;
const FIXED_BYTES: usize = 4 << 20;
/// Types that parameters are sent as: each reads bytes its own way.
const OIDS: [u32; 24] = [
    0, 16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 3802, 1016, 1009, 1231,
    1115, 1022,
];

static DOOR: LazyLock<Door> = LazyLock::new(Door::default);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let door = &*DOOR;
    let Some((how, data)) = data.split_first() else { return };
    within(FIXED_BYTES + GROWTH_MAX * data.len(), || match how % 4 {
        0 => drop(door.read(data)),
        // Behind a good startup packet.
        1 => drop(door.read(&[&[0, 0, 0, 9, 0, 3, 0, 0, 0], data].concat())),
        2 => door.parameter(
            Some(&Bytes::copy_from_slice(data)),
            how & 128 != 0,
            OIDS[usize::from(how >> 2) % OIDS.len()],
        ),
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                door.statement(text);
            }
        }
    });
});
