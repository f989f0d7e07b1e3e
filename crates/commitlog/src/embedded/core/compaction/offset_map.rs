//! The last offset of each key, within a budget (Kafka's `SkimpyOffsetMap.java`).
//!
//! Keys are remembered by 128 bits of keyed hash: 24 bytes each, however long they are. With the hash's key unknown to
//! producers nobody can make two keys meet, and by chance 10⁹ keys do with a probability of 10⁻²¹.

use std::hash::{DefaultHasher, Hasher};

use model::Offset;

/// Bytes of memory for one key.
const ENTRY_BYTES: usize = 24;
/// How full the table may become: beyond, looking for a key takes long.
const FULL_PERCENT: usize = 80;
const NOTHING: Offset = -1;

pub(crate) struct OffsetMap {
    seeds: [u64; 2],
    hashes: Vec<u128>,
    offsets: Vec<Offset>,
    len: usize,
    len_max: usize,
}

impl OffsetMap {
    /// Room for `keys`, or for as many as `bytes_max` hold: at least one.
    pub(crate) fn new(keys: u64, bytes_max: usize, seeds: [u64; 2]) -> Self {
        let affordable = (bytes_max / ENTRY_BYTES).max(2);
        let wanted = usize::try_from(keys.saturating_mul(100) / FULL_PERCENT as u64 + 2).unwrap_or(usize::MAX);
        let slots = wanted.min(affordable);
        let len_max = (slots * FULL_PERCENT / 100).max(1);
        Self { seeds, hashes: vec![0; slots], offsets: vec![NOTHING; slots], len: 0, len_max }
    }

    /// Remembers that `key` is at `offset`, which lies behind all that were put before. False: there is no room for another key.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (slot, is_there) = self.slot(key);
        if !is_there && self.len == self.len_max {
            return false;
        }
        self.len += usize::from(!is_there);
        self.offsets[slot.0] = offset;
        self.hashes[slot.0] = slot.1;
        true
    }

    /// Where `key` was last.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let (slot, is_there) = self.slot(key);
        is_there.then(|| self.offsets[slot.0])
    }

    /// Its slot and hash, or the free slot where it would go.
    fn slot(&self, key: &[u8]) -> ((usize, u128), bool) {
        let hash = self.hash(key);
        let slots = self.hashes.len();
        // The hash's lower half as a fraction of all slots.
        let mut at = ((u128::from(hash as u64) * slots as u128) >> 64) as usize;
        while self.offsets[at] != NOTHING {
            if self.hashes[at] == hash {
                return ((at, hash), true);
            }
            at = (at + 1) % slots;
        }
        ((at, hash), false)
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let half = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher.write(key);
            hasher.finish()
        };
        u128::from(half(self.seeds[0])) << 64 | u128::from(half(self.seeds[1]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_offset_counts(keys in proptest::collection::vec(0u16..500, 0..2000)) {
            let mut map = OffsetMap::new(keys.len() as u64, 1 << 20, [1, 2]);
            let mut expected = HashMap::new();
            for (offset, key) in keys.iter().enumerate() {
                prop_assert!(map.put(&key.to_be_bytes(), offset as i64), "there was room for all");
                expected.insert(*key, offset as i64);
            }
            for key in 0..500u16 {
                prop_assert_eq!(map.get(&key.to_be_bytes()), expected.get(&key).copied());
            }
        }
    }

    #[test]
    fn it_takes_no_more_than_its_budget_and_what_it_took_stays() {
        let mut map = OffsetMap::new(1_000_000, 24_000, [3, 4]);
        let taken = (0..).take_while(|n: &i64| map.put(&n.to_be_bytes(), *n)).count() as i64;
        assert_eq!(taken, 800);
        assert!(map.put(&7i64.to_be_bytes(), taken), "a key that is there needs no room");
        assert_eq!((map.get(&7i64.to_be_bytes()), map.get(&8i64.to_be_bytes())), (Some(taken), Some(8)));
        assert_eq!(map.get(&taken.to_be_bytes()), None);
        assert!(OffsetMap::new(10, 0, [0, 0]).put(b"k", 0), "one at least");
    }
}
