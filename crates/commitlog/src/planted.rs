//! Mistakes that somebody might make here, for the simulator to find. Without the feature `planted` there are none.

/// One mistake each, at the place that calls [`is`] with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A start relies on names that a kill left in the page cache.
    NamesOfAKillNotSynced,
    /// A checkpoint forgets which transactions were aborted.
    AbortedForgotten,
    /// A checkpoint forgets what producers have written.
    ProducersForgotten,
    /// A batch is told to be durable before the write-ahead log is synced.
    ToldBeforeSync,
    /// What was logged and failed is not declared void.
    FailedNotVoid,
    /// A producer that was replaced may still write.
    OldEpochTaken,
    /// Compaction takes the last value of a key along.
    CompactionDropsLast,
    /// What a member of a consumer group shall give up is another's before it has.
    GrantedBeforeLetGo,
    /// A member of a consumer group is told its epoch before that is on disk.
    EpochToldBeforeWritten,
    /// A commit in an epoch that is over is taken.
    StaleEpochTaken,
    /// A consumer group does not look at topics that were made, grew or went.
    TopicsNotLookedAt,
}

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a mistake in this thread, or takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use switch::is;
#[cfg(feature = "planted")]
pub use switch::plant;

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}
