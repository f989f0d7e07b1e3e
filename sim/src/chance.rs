//! Where all chance of a run comes from: one seed, and streams of numbers that follow from it.

use parking_lot::Mutex;
use world::Random;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and any seed is as good as another.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own: what is taken from it changes nothing here.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `of` out of 1000.
    pub fn permille(&mut self, of: u64) -> bool {
        self.next() % 1000 < of
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// The index of one of `weights`, each as likely as it is large.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut at = self.next() % u64::from(weights.iter().sum::<u32>());
        for (index, weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return index,
            }
        }
        weights.len() - 1
    }
}

/// The randomness that the node sees.
pub struct SimRandom(pub Mutex<Chance>);

impl Random for SimRandom {
    fn u64(&self) -> u64 {
        self.0.lock().next()
    }
}
