//! Leader epochs and where they began (KIP-101; Kafka's `LeaderEpochFileCache.java`).

use model::Offset;

use crate::log::EpochEnd;

/// Epochs that have records, and the current one. Never empty; both numbers rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(i32, Offset)>);

impl Epochs {
    pub(crate) fn first() -> Self {
        Self(vec![(0, 0)])
    }

    /// From what was stored; `None` if it makes no sense.
    pub(crate) fn restore(entries: Vec<(i32, Offset)>) -> Option<Self> {
        let rises = entries.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        (!entries.is_empty() && rises).then_some(Self(entries))
    }

    pub(crate) fn entries(&self) -> &[(i32, Offset)] {
        &self.0
    }

    pub(crate) fn current(&self) -> i32 {
        self.0.last().expect("never empty").0
    }

    /// `epoch` begins at `start`. An epoch that got no records leaves no trace.
    pub(crate) fn begin(&mut self, epoch: i32, start: Offset) {
        if epoch <= self.current() {
            return;
        }
        while self.0.last().is_some_and(|last| last.1 >= start) {
            self.0.pop();
        }
        self.0.push((epoch, start));
    }

    /// The largest known epoch ≤ `epoch` and where the next one began; `None` if `epoch` is newer than all.
    pub(crate) fn end_of(&self, epoch: i32, log_end: Offset) -> Option<EpochEnd> {
        let after = self.0.partition_point(|(known, _)| *known <= epoch);
        if after == self.0.len() {
            return (epoch == self.current()).then_some(EpochEnd { epoch, end_offset: log_end });
        }
        let end_offset = self.0[after].1;
        let known = after.checked_sub(1).map_or(epoch, |floor| self.0[floor].0);
        Some(EpochEnd { epoch: known, end_offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epochs_end_is_where_the_next_one_began() {
        let mut epochs = Epochs::restore(vec![(2, 0), (5, 10)]).expect("rising");
        epochs.begin(7, 30);
        let end = |epoch| epochs.end_of(epoch, 42).map(|end| (end.epoch, end.end_offset));
        assert_eq!(end(7), Some((7, 42)), "current: the end of the log");
        assert_eq!(end(8), None, "newer than all");
        assert_eq!(end(6), Some((5, 30)), "unknown, between two");
        assert_eq!(end(2), Some((2, 10)));
        assert_eq!(end(1), Some((1, 0)), "older than all");
    }

    #[test]
    fn epochs_without_records_leave_no_trace() {
        let mut epochs = Epochs::first();
        epochs.begin(1, 0);
        epochs.begin(2, 0);
        assert_eq!(epochs.entries(), [(2, 0)]);
        epochs.begin(3, 5);
        epochs.begin(2, 9);
        assert_eq!(epochs.entries(), [(2, 0), (3, 5)]);
    }
}
