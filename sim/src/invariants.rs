//! What must hold whatever happens: each law in one sentence, under the name by which the code that keeps it calls it.

/// A law that a run can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// An append that succeeded is readable after any crash, once, at the offset it was given (`commitlog::log`).
    Log1,
    /// Offsets of a partition are dense (`commitlog::log`).
    Log2,
    /// The high watermark and the leader epoch never regress, the start never moves back behind what a user deleted, and no read
    /// returns a record at or beyond the watermark (`commitlog::log`).
    Log3,
    /// A failed append leaves nothing behind that anyone can read, and does not advance a producer's window, or its error says that
    /// this is not certain (`commitlog::log`).
    Log4,
    /// A committed reader sees nothing of a transaction that is open or aborted (`commitlog::log`).
    Log5,
    /// Compaction keeps the last value per key (`commitlog::compaction`).
    Log6,
    /// No producer id is given twice, and a log's identity stays (`commitlog::log`).
    Log7,
    /// What damage to a sealed segment does is reported with place and code, never served (`commitlog::log`).
    Log8,
    /// Whatever a crash left, the next start opens it (`commitlog::embedded`).
    Log9,
    /// A topic that was made is there after any crash, one that was deleted stays away (`commitlog::log`).
    Log10,
    /// A decision that was told is on disk and its markers follow: a transaction is whole or not there (`commitlog::transactions`).
    Txn1,
    /// Nothing is taken from a producer that has been fenced: one writer per transactional id (`commitlog::transactions`).
    Txn2,
    /// Every start of a producer gets an identity above all that were told before (`commitlog::transactions`).
    Txn3,
    /// A committed offset is there after any crash; one committed in a transaction counts with it (`commitlog::groups`).
    Grp1,
    /// Nothing is taken from a member of an older generation or epoch, or from one that has left (`commitlog::groups`).
    Grp2,
    /// Generations only rise, and every member of one has its assignment from the same leader (`commitlog::groups`).
    Grp3,
    /// A partition is read by one member of a group at most, of those that the group has not given up (`commitlog::groups`).
    Grp4,
    /// Epochs of a group and of its members that were told never go back, and what has left stays away, over any crash
    /// (`commitlog::groups`).
    Grp5,
    /// Once everybody is heard again every partition is read by one of those who want it, and all have what they shall have
    /// (`commitlog::groups`).
    Grp6,
    /// A member that speaks in time, and gives up what it has to, stays one (`commitlog::groups`).
    Grp7,
    /// Once the disk works again everything that was asked is answered.
    Live,
    /// Nothing panics.
    Panic,
}

impl Invariant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Log1 => "LOG-1",
            Self::Log2 => "LOG-2",
            Self::Log3 => "LOG-3",
            Self::Log4 => "LOG-4",
            Self::Log5 => "LOG-5",
            Self::Log6 => "LOG-6",
            Self::Log7 => "LOG-7",
            Self::Log8 => "LOG-8",
            Self::Log9 => "LOG-9",
            Self::Log10 => "LOG-10",
            Self::Txn1 => "TXN-1",
            Self::Txn2 => "TXN-2",
            Self::Txn3 => "TXN-3",
            Self::Grp1 => "GRP-1",
            Self::Grp2 => "GRP-2",
            Self::Grp3 => "GRP-3",
            Self::Grp4 => "GRP-4",
            Self::Grp5 => "GRP-5",
            Self::Grp6 => "GRP-6",
            Self::Grp7 => "GRP-7",
            Self::Live => "LIVE",
            Self::Panic => "PANIC",
        }
    }
}

/// A law was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub invariant: Invariant,
    pub how: String,
}

pub type Held<T = ()> = Result<T, Broken>;

pub fn broken<T>(invariant: Invariant, how: impl Into<String>) -> Held<T> {
    Err(Broken { invariant, how: how.into() })
}
