//! `lakehead produce TOPIC`: lines from standard input become records.
//!
//! Lines are sent as soon as they are there (`tail -f app.log | lakehead produce app`). Batches come from back-pressure
//! alone: while one request is on its way, a thread reads on, and all it has read by then is the next request.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result};
use clap::Args;
use model::{Error, error::codes};
use tokio::sync::mpsc;
use world::{Clock, SystemClock};

use crate::{clients::producer::Producer, out, target::Target};

/// Read at once; what one request carries is a few of these.
const READ_BYTES: usize = 64 << 10;
/// Pieces read ahead of the sender.
const PIECES_AHEAD: usize = 16;
/// Brokers take 1 MB unless a topic allows more; this only keeps input without line ends from filling the memory.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Args)]
pub struct ProduceArgs {
    topic: String,
    /// Text between key and value; without it, records have no key.
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: ProduceArgs) -> Result<()> {
    let mut producer = Producer::connect(&args.target.kafka()?, &args.topic).await?;
    let clock = SystemClock::new();
    let (sender, mut pieces) = mpsc::channel::<Vec<Vec<u8>>>(PIECES_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        read_lines(std::io::stdin().lock(), |lines| sender.blocking_send(lines).is_ok())
    });

    let mut sent = 0;
    let mut refused = None;
    'input: while let Some(lines) = pieces.recv().await {
        for line in lines {
            let (key, value) = match split(&line, args.key_separator.as_deref()) {
                Ok(record) => record,
                Err(error) => {
                    refused = Some(error.detail(format!("line {}", sent + 1)));
                    break 'input;
                }
            };
            producer.send(clock.now_ms(), key, Some(value)).await?;
            sent += 1;
        }
        // Nothing more is there yet: whoever waits for these records need not wait for the next.
        if pieces.is_empty() {
            producer.flush().await?;
        }
    }
    producer.flush().await?;
    out::note(format_args!(
        "{} {} in `{}`",
        out::counted(sent, "record"),
        if sent == 1 { "is" } else { "are" },
        args.topic
    ));
    match refused {
        Some(error) => Err(error.into()),
        None => reading.await.context("the reader ended")?,
    }
}

/// Key and value of a line.
fn split<'a>(line: &'a [u8], separator: Option<&str>) -> Result<(Option<&'a [u8]>, &'a [u8]), Error> {
    let Some(separator) = separator else { return Ok((None, line)) };
    let found = line.windows(separator.len()).position(|window| window == separator.as_bytes());
    let at = found.ok_or_else(|| {
        Error::new(codes::INPUT_INVALID, format!("a line has no `{separator}` between key and value"))
            .hint("mend the line, or leave `--key-separator` out to send lines without keys")
    })?;
    Ok((Some(&line[..at]), &line[at + separator.len()..]))
}

/// Hands over lines, all that one read brought at a time, until `take` wants no more. Their bytes are taken as they are,
/// without the line end (`\n` or `\r\n`).
fn read_lines(input: impl Read, mut take: impl FnMut(Vec<Vec<u8>>) -> bool) -> Result<()> {
    let mut input = BufReader::with_capacity(READ_BYTES, input);
    let mut begun = Vec::new();
    loop {
        let piece = match input.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("cannot read standard input", &error).into()),
        };
        if piece.is_empty() {
            if !begun.is_empty() {
                take(vec![begun]);
            }
            return Ok(());
        }
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            begun.extend_from_slice(part);
            if begun.ends_with(b"\n") {
                begun.pop();
                begun.pop_if(|byte| *byte == b'\r');
                lines.push(std::mem::take(&mut begun));
            }
        }
        let read = piece.len();
        input.consume(read);
        if begun.len() > LINE_BYTES_MAX {
            return Err(Error::new(codes::INPUT_INVALID, "a line of the input is too long")
                .detail(format!("more than {} MB without a line end", LINE_BYTES_MAX >> 20))
                .into());
        }
        if !lines.is_empty() && !take(lines) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bytes_without_their_ends() {
        let mut lines = Vec::new();
        let read = read_lines(&b"a\xff\r\n\n{\"b\":1}\nlast"[..], |more| {
            lines.extend(more);
            true
        });
        read.expect("readable");
        assert_eq!(lines, [&b"a\xff"[..], b"", b"{\"b\":1}", b"last"]);
    }

    #[test]
    fn a_line_is_handed_over_before_the_next_is_there() {
        // A reader that would block for ever after its first line is one that must not be asked twice.
        struct Slow(bool);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                assert!(std::mem::take(&mut self.0), "asked again before the first line was taken");
                buffer[..4].copy_from_slice(b"one\n");
                Ok(4)
            }
        }
        let mut taken = Vec::new();
        let read = read_lines(Slow(true), |lines| {
            taken = lines;
            false
        });
        read.expect("stopped when nobody wanted more");
        assert_eq!(taken, [b"one"]);
    }

    #[test]
    fn a_key_needs_its_separator() {
        assert_eq!(split(b"k::v::w", Some("::")).expect("has one"), (Some(&b"k"[..]), &b"v::w"[..]));
        assert_eq!(split(b"\xff:1", Some(":")).expect("has one"), (Some(&b"\xff"[..]), &b"1"[..]));
        assert!(split(b"none", Some(":")).is_err() && split(b"none", None).is_ok());
    }
}
