//! What `benches/` need that an interpreter is too slow for, when tenths of milliseconds count: a client that sends requests when
//! they are due, and the least there is that makes them durable and answers.
//!
//! Neither knows the protocol beyond its frames (a length of four bytes) and where correlation ids are: requests and answers are
//! made by the benchmarks.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;

const LENGTH_BYTES: usize = 4;
/// Within a request: behind its API key and version. Within an answer: at its start.
const CORRELATION_AT: usize = 4;
const RECEIVED_BYTES: usize = 1 << 20;

/// Sends the frames on standard input in turn, each when it is due, whether or not earlier ones have been answered: who stalls is
/// charged for all that waited. Prints how long each answer took from the moment its request was due, in milliseconds.
#[derive(Args)]
pub struct OpenLoop {
    /// Where to send them, over one connection.
    address: String,
    /// Microseconds from one request to the next.
    #[arg(long)]
    every_us: f64,
    /// How many requests.
    #[arg(long)]
    count: usize,
    /// Where an answer has its error code, of two bytes: it must be 0.
    #[arg(long)]
    error_at: usize,
}

impl OpenLoop {
    pub fn run(&self) -> Result<()> {
        let mut requests = Vec::new();
        std::io::stdin().read_to_end(&mut requests)?;
        let requests: Vec<&[u8]> = frames(&requests).map(|frame| &requests[frame]).collect();
        if requests.is_empty() {
            bail!("there is no whole frame on standard input");
        }
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let answers = stream.try_clone()?;
        let schedule = Schedule::begin(self.every_us)?;
        let took = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| self.receive(answers, &schedule));
            let mut request = Vec::new();
            for (number, prepared) in requests.iter().cycle().take(self.count).enumerate() {
                schedule.wait(number);
                request.clear();
                request.extend_from_slice(prepared);
                request[LENGTH_BYTES + CORRELATION_AT..][..4].copy_from_slice(&u32::try_from(number)?.to_be_bytes());
                stream.write_all(&request)?;
            }
            receiver.join().expect("the receiver does not panic")
        })?;
        show(&took);
        Ok(())
    }

    fn receive(&self, mut answers: TcpStream, schedule: &Schedule) -> Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(self.count);
        let mut received = Received::default();
        while took.len() < self.count {
            if received.more(&mut answers)? == 0 {
                bail!("the connection was closed");
            }
            let now = schedule.now();
            received.each(|answer| {
                let error = answer.get(self.error_at..self.error_at + 2).context("an answer is too short")?;
                if error != [0, 0] {
                    bail!("answered with error {}", i16::from_be_bytes([error[0], error[1]]));
                }
                took.push(now.saturating_sub(schedule.due(be_u32(answer) as usize)));
                Ok(())
            })?;
        }
        Ok(took)
    }
}

/// One thread that takes what has come in, writes it to one file, syncs it, and answers each request with the frame that is given.
/// Whoever syncs before answering does at least this.
#[derive(Args)]
pub struct Floor {
    /// Where the file lies.
    dir: PathBuf,
    /// An answer without its length, in hexadecimal.
    #[arg(long)]
    answer: String,
}

/// Written over and over, as a write-ahead log that takes its files again: the file system has nothing to allocate.
const FILE_BYTES: u64 = 64 << 20;

impl Floor {
    /// Prints where it listens, and serves one connection after the other until it is killed.
    pub fn run(&self) -> Result<()> {
        let mut answer = parse_hex(&self.answer)?;
        let length = u32::try_from(answer.len())?;
        answer.splice(..0, length.to_be_bytes());
        let path = self.dir.join("floor");
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        std::fs::remove_file(&path)?; // It goes with this process.
        let block = vec![0xa5; RECEIVED_BYTES];
        for at in (0..FILE_BYTES).step_by(RECEIVED_BYTES) {
            file.write_all_at(&block, at)?;
        }
        file.sync_all()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("{}", listener.local_addr()?);
        let mut at = 0;
        for stream in listener.incoming() {
            let mut stream = stream?;
            stream.set_nodelay(true)?;
            let mut received = Received::default();
            loop {
                let count = match received.more(&mut stream) {
                    Ok(count) if count > 0 => count,
                    _ => break, // The client has what it wanted.
                };
                if at + count as u64 > FILE_BYTES {
                    at = 0;
                }
                file.write_all_at(received.newest(count), at)?;
                at += count as u64;
                let mut answers = Vec::new();
                received.each(|request| {
                    let correlation =
                        request.get(CORRELATION_AT..CORRELATION_AT + 4).context("a request is too short")?;
                    answers.extend_from_slice(&answer);
                    let start = answers.len() - answer.len() + LENGTH_BYTES;
                    answers[start..start + 4].copy_from_slice(correlation);
                    Ok(())
                })?;
                if !answers.is_empty() {
                    file.sync_data()?;
                    stream.write_all(&answers)?;
                }
            }
        }
        Ok(())
    }
}

/// When what is due.
struct Schedule {
    began: Instant,
    every_us: f64,
}

#[expect(clippy::disallowed_methods, reason = "measured for people; a request is due at its time")]
impl Schedule {
    fn begin(every_us: f64) -> Result<Self> {
        // Otherwise a sleep may last 50 µs longer than asked, and whoever is measured would be charged for it.
        std::fs::write("/proc/self/timerslack_ns", "1").context("cannot ask for exact sleeps")?;
        Ok(Self { began: Instant::now(), every_us })
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn due(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 * self.every_us / 1e6)
    }

    fn wait(&self, number: usize) {
        std::thread::sleep(self.due(number).saturating_sub(self.now()));
    }
}

fn show(took: &[Duration]) {
    let lines: Vec<String> = took.iter().map(|took| format!("{:.4}", took.as_secs_f64() * 1e3)).collect();
    println!("{}", lines.join("\n"));
}

/// What has come over a connection and is not a whole frame yet.
#[derive(Default)]
struct Received {
    buffer: Vec<u8>,
    filled: usize,
}

impl Received {
    /// Reads what there is, waiting for something; 0 at the end.
    fn more(&mut self, stream: &mut TcpStream) -> Result<usize> {
        self.buffer.resize(self.filled + RECEIVED_BYTES, 0);
        let count = stream.read(&mut self.buffer[self.filled..])?;
        self.filled += count;
        Ok(count)
    }

    fn newest(&self, count: usize) -> &[u8] {
        &self.buffer[self.filled - count..self.filled]
    }

    /// Takes all whole frames out, without their lengths.
    fn each(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut end = 0;
        for frame in frames(&self.buffer[..self.filled]) {
            end = frame.end;
            take(&self.buffer[frame.start + LENGTH_BYTES..frame.end])?;
        }
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(())
    }
}

/// Where the whole frames are, with their lengths.
fn frames(bytes: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let length = be_u32(bytes.get(start..start + LENGTH_BYTES)?) as usize;
        at = start + LENGTH_BYTES + length;
        (at <= bytes.len()).then_some(start..at)
    })
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn parse_hex(text: &str) -> Result<Vec<u8>> {
    let digits = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2).unwrap_or(""));
    digits.map(|two| u8::from_str_radix(two, 16).with_context(|| format!("`{two}` is no byte"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole() {
        let bytes = [0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 2, 8];
        assert_eq!(frames(&bytes).collect::<Vec<_>>(), [0..5, 5..9]);
    }
}
