//! What happened in a run, and one number that stands for all of it.

use std::collections::VecDeque;

/// Lines of a story that are kept.
const KEPT: usize = 60;

/// FNV-1a: the same bytes give the same number on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The steps of a run.
#[derive(Default)]
pub struct Story {
    pub step: usize,
    pub last: VecDeque<String>,
    pub digest: Digest,
    pub is_told: bool,
}

impl Story {
    pub fn tell(&mut self, line: impl AsRef<str>) {
        let line = format!("{:>5}  {}", self.step, line.as_ref());
        self.digest.add(line.as_bytes());
        if self.is_told {
            eprintln!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
