//! SQL text → statements: splitting, our own statements, ksqlDB's, and everything sqlparser reads.
//!
//! Laws: nothing panics, overflows the stack or takes for ever; the texts of the statements come in order from the script;
//! each of them is one statement again, which parses if it parsed in the script.

#![no_main]

use lakehead_fuzz::within;
use sql::fuzzing::{parse, parts, split};

/// Tokens and trees for each byte of text.
const GROWTH_MAX: usize = 20_000;
const FIXED_BYTES: usize = 4 << 20;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    within(FIXED_BYTES + GROWTH_MAX * sql.len(), || {
        let _ = parts(sql);
        let Some(pieces) = split(sql) else { return };
        let mut rest = sql;
        let parsed = parse(sql);
        assert_eq!(parsed.len(), pieces.len());
        for (piece, parsed) in pieces.into_iter().zip(parsed) {
            rest = &rest[rest.find(piece).expect("in the order of the script") + piece.len()..];
            assert_eq!(split(piece).as_deref(), Some(&[piece][..]));
            assert_eq!(parse(piece)[0].is_ok(), parsed.is_ok(), "{piece:?} alone and in its script");
        }
    });
});
