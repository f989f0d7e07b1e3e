//! Transactions of a partition: which are open, how far committed readers may go, and which were aborted (KIP-98; Kafka's
//! `ProducerStateManager.java` and `TransactionIndex.java`).
//!
//! A transaction begins with its first batch and ends with a marker. It counts as open until the marker is durable, because
//! until then nobody knows that it is not.

use std::collections::{BTreeMap, HashMap};

use model::{Offset, ProducerId};

use crate::{log::Aborted, record::Marker};

/// A transaction that has begun and whose end is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) producer: ProducerId,
    /// Where its marker is, once that has been admitted.
    pub(crate) end: Option<(Offset, Marker)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    /// By first offset.
    begun: BTreeMap<Offset, Begun>,
    /// First offsets of those without a marker.
    open: HashMap<ProducerId, Offset>,
    /// First offsets by the offset of the marker.
    ending: BTreeMap<Offset, Offset>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

impl Transactions {
    pub(crate) fn is_open(&self, producer: ProducerId) -> bool {
        self.open.contains_key(&producer)
    }

    /// The first offset of what `producer` has open.
    pub(crate) fn open_from(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    /// A transactional batch of `producer` was given this offset.
    pub(crate) fn write(&mut self, producer: ProducerId, at: Offset) {
        self.open.entry(producer).or_insert_with(|| {
            self.begun.insert(at, Begun { producer, end: None });
            at
        });
    }

    /// A marker of `producer` was given the offset `at`. Without an open transaction it ends nothing.
    pub(crate) fn end(&mut self, producer: ProducerId, at: Offset, marker: Marker) {
        if let Some(first) = self.open.remove(&producer) {
            self.begun.get_mut(&first).expect("what is open has begun").end = Some((at, marker));
            self.ending.insert(at, first);
        }
    }

    /// Everything before `to` is durable.
    pub(crate) fn advance(&mut self, to: Offset) {
        while let Some((&last, &first)) = self.ending.first_key_value()
            && last < to
        {
            self.ending.remove(&last);
            let ended = self.begun.remove(&first).expect("what ends has begun");
            if matches!(ended.end, Some((_, Marker::Abort))) {
                self.aborted.push(Aborted { producer: ended.producer, first, last });
            }
        }
    }

    /// Everything from `from` on has failed; it lies behind all that [`Self::advance`] was told of.
    pub(crate) fn cut(&mut self, from: Offset) {
        for (_, first) in self.ending.split_off(&from) {
            let again = self.begun.get_mut(&first).expect("what ends has begun");
            again.end = None;
            // A later one of the same producer, if any, lies behind the marker and is cut below.
            self.open.insert(again.producer, first);
        }
        self.begun.split_off(&from);
        self.open.retain(|_, first| *first < from);
    }

    /// End of what committed readers may see, if everything before `end` is durable.
    pub(crate) fn last_stable(&self, end: Offset) -> Offset {
        self.begun.first_key_value().map_or(end, |(&first, _)| first.min(end))
    }

    /// Those aborted that a reader of `from..to` has to know of, by their first offset.
    pub(crate) fn aborted_within(&self, from: Offset, to: Offset) -> Vec<Aborted> {
        let ended_before = self.aborted.partition_point(|aborted| aborted.last < from);
        let mut found: Vec<_> =
            self.aborted[ended_before..].iter().filter(|aborted| aborted.first < to).copied().collect();
        found.sort_unstable_by_key(|aborted| aborted.first);
        found
    }

    /// Nobody can read anything before `log_start` any more.
    pub(crate) fn forget_before(&mut self, log_start: Offset) {
        let gone = self.aborted.partition_point(|aborted| aborted.last < log_start);
        self.aborted.drain(..gone);
    }

    /// As it was, or will be, when everything before `end` is durable and nothing else has come.
    pub(crate) fn before(&self, end: Offset) -> (Vec<(Offset, ProducerId)>, Vec<Aborted>) {
        (self.begun.range(..end).map(|(&first, begun)| (first, begun.producer)).collect(), self.aborted.clone())
    }

    pub(crate) fn restore(begun: &[(Offset, ProducerId)], aborted: Vec<Aborted>) -> Self {
        let mut restored = Self { aborted, ..Self::default() };
        for &(first, producer) in begun {
            restored.write(producer, first);
        }
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn aborted(producer: ProducerId, first: Offset, last: Offset) -> Aborted {
        Aborted { producer, first, last }
    }

    #[test]
    fn a_transaction_is_open_until_its_marker_is_durable() {
        let mut transactions = Transactions::default();
        transactions.write(1, 10);
        transactions.write(1, 12);
        transactions.write(2, 11);
        assert_eq!(transactions.last_stable(20), 10);
        transactions.end(1, 13, Marker::Commit);
        assert!(!transactions.is_open(1));
        transactions.advance(13);
        assert_eq!(transactions.last_stable(20), 10, "the marker is not durable");
        transactions.advance(14);
        assert_eq!(transactions.last_stable(20), 11);
        transactions.end(2, 14, Marker::Abort);
        transactions.advance(15);
        assert_eq!(transactions.last_stable(15), 15);
        assert_eq!(transactions.aborted_within(0, 20), [aborted(2, 11, 14)]);
    }

    #[test]
    fn readers_hear_of_those_that_touch_what_they_read() {
        let mut transactions = Transactions::default();
        for (producer, first, last) in [(1, 0, 9), (2, 5, 6), (3, 20, 25)] {
            transactions.write(producer, first);
            transactions.end(producer, last, Marker::Abort);
        }
        transactions.advance(100);
        assert_eq!(transactions.aborted_within(0, 20), [aborted(1, 0, 9), aborted(2, 5, 6)]);
        assert_eq!(transactions.aborted_within(7, 21), [aborted(1, 0, 9), aborted(3, 20, 25)]);
        assert_eq!(transactions.aborted_within(10, 20), []);
        transactions.forget_before(9);
        assert_eq!(transactions.aborted_within(0, 100), [aborted(1, 0, 9), aborted(3, 20, 25)]);
        transactions.forget_before(10);
        assert_eq!(transactions.aborted_within(0, 100), [aborted(3, 20, 25)]);
    }

    #[test]
    fn a_cut_takes_back_what_it_cuts() {
        let mut transactions = Transactions::default();
        transactions.write(1, 10);
        let before = transactions.clone();
        transactions.end(1, 12, Marker::Abort);
        transactions.write(1, 13);
        transactions.write(2, 14);
        transactions.cut(12);
        assert_eq!(transactions, before);
        transactions.cut(10);
        assert_eq!(transactions, Transactions::default());
    }

    #[test]
    fn what_is_saved_is_what_was_durable() {
        let mut transactions = Transactions::default();
        transactions.write(1, 10);
        transactions.end(1, 12, Marker::Abort);
        transactions.advance(13);
        transactions.write(1, 13);
        transactions.end(1, 20, Marker::Commit);
        transactions.write(1, 21);
        let (begun, aborted) = transactions.before(20);
        assert_eq!(begun, [(13, 1)]);
        let mut again = Transactions::restore(&begun, aborted);
        again.end(1, 20, Marker::Commit);
        again.write(1, 21);
        assert_eq!(again, transactions);
    }
}
