//! A map bounded by weight that forgets what was not used for longest.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use parking_lot::Mutex;

/// Shared by threads; the lock is held for a few map operations.
pub(crate) struct Cache<K, V>(Mutex<Inner<K, V>>);

struct Inner<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Moment of last use → key; the first is the next to go.
    by_use: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
    weight_max: usize,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(weight_max: usize) -> Self {
        Self(Mutex::new(Inner { entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, weight_max }))
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let inner = &mut *self.0.lock();
        inner.uses += 1;
        let entry = inner.entries.get_mut(key)?;
        let key = inner.by_use.remove(&entry.used).expect("each entry stands under its last use");
        entry.used = inner.uses;
        inner.by_use.insert(entry.used, key);
        Some(entry.value.clone())
    }

    /// What is heavier than the whole cache is not kept.
    pub(crate) fn insert(&self, key: K, value: V, weight: usize) {
        let inner = &mut *self.0.lock();
        inner.remove(&key);
        if weight > inner.weight_max {
            return;
        }
        inner.uses += 1;
        let used = inner.uses;
        inner.entries.insert(key.clone(), Entry { value, weight, used });
        inner.by_use.insert(used, key);
        inner.weight += weight;
        while inner.weight > inner.weight_max {
            let (_, oldest) = inner.by_use.first_key_value().expect("weight comes from entries");
            let oldest = oldest.clone();
            inner.remove(&oldest);
        }
    }

    pub(crate) fn remove(&self, key: &K) {
        self.0.lock().remove(key);
    }
}

impl<K: Hash + Eq + Clone, V> Inner<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_weight_stays_bounded() {
        let cache = Cache::new(10);
        cache.insert("a", 1, 4);
        cache.insert("b", 2, 4);
        assert_eq!(cache.get("a"), Some(1));
        cache.insert("c", 3, 4);
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(1), None, Some(3)));
        cache.insert("huge", 4, 11);
        assert_eq!((cache.get("huge"), cache.get("a")), (None, Some(1)));
        cache.insert("a", 5, 10);
        assert_eq!((cache.get("a"), cache.get("c")), (Some(5), None));
        cache.remove(&"a");
        assert_eq!(cache.get("a"), None);
    }
}
