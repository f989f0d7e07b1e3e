//! How fast JSON becomes columns on one core: flat records like flights (19 fields), and the same with a field missing
//! here and there. `cargo run --release -p schemas --example decode`
#![expect(clippy::disallowed_methods, reason = "a stopwatch")]

use std::{io::Write as _, time::Instant};

use schemas::{Format, decode::*, infer, no_schemas};

fn main() {
    for (name, sparse) in [("every field", false), ("fields missing", true)] {
        let payloads: Vec<Vec<u8>> = (0..200_000u32).map(|n| record(n, sparse)).collect();
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let sample = payloads.iter().take(100).map(|p| Some(p.as_slice()));
        let inferred = infer::infer(sample, &*no_schemas()).expect("payloads");
        let mut decoder =
            Decoder::new(Format::Json, inferred.columns, DecodeOptions::default(), no_schemas()).expect("columns");
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for batch in payloads.chunks(8192) {
                let decoded = decoder.decode(batch.iter().map(|p| Some(p.as_slice())));
                assert_eq!(decoded.batch.num_rows(), batch.len());
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        let (rows, megabytes) = (payloads.len() as f64, bytes as f64 / 1e6);
        println!(
            "{name}: {:.0} MB/s, {:.0} rows/s ({} bytes a row)",
            megabytes / best,
            rows / best,
            bytes / payloads.len()
        );
    }
}

fn record(n: u32, sparse: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let delay = if sparse && n.is_multiple_of(7) { String::new() } else { format!(r#""dep_delay":{},"#, n % 90) };
    let tail = if n.is_multiple_of(50) { "null".to_owned() } else { format!("\"N{}\"", 10_000 + n % 90_000) };
    write!(
        out,
        r#"{{"year":2013,"month":1,"day":{},"dep_time":{},"sched_dep_time":515,{delay}"arr_time":830,"sched_arr_time":819,"arr_delay":{}.5,"carrier":"UA","flight":{},"tailnum":{tail},"origin":"EWR","dest":"IAH","air_time":227,"distance":1400,"hour":5,"minute":{},"time_hour":"2013-01-01T{:02}:00:00Z"}}"#,
        n % 31 + 1, 500 + n % 1900, n % 40, n % 9999, n % 60, n % 24
    )
    .expect("a Vec takes any text");
    out
}
