//! Compaction, as decisions: which segments are worth it, what each key was last, and what becomes of each batch (Kafka's
//! `LogCleaner.java` and `Cleaner.java`).
//!
//! ```text
//!  log start         cleaned to                    end                active
//!  ├─ clean: a key once ─┼─ dirty: to be mapped ───────┼─ not yet ────────┼──►
//!                                                     │ open transactions, what a holder wants, too young,
//!                                                     │ not in the last checkpoint
//! ```
//! A run maps the keys of the dirty part to their last offsets, then goes over all segments from the start and leaves out what
//! has a later record. If the map is full before the dirty part ends, a run does what it has mapped and the next one goes on.
//!
//! Vocabulary: a *tombstone* is a record without a value, which says that its key is gone. Tombstones, and *markers* of
//! transactions nothing is left of, get a *delete horizon* when they are first met, and go when it has passed (KIP-534).

mod choice;
mod filter;
mod mapping;
mod offset_map;

pub(crate) use choice::{Candidate, Choice, Rules, choose, joins};
pub(crate) use filter::{Fate, Filter};
pub(crate) use mapping::{KEYS_BLOCK_BYTES_MAX, Mapping};
pub(crate) use offset_map::OffsetMap;

use std::{collections::HashMap, iter::Peekable, vec::IntoIter};

use model::ProducerId;

use crate::{
    log::Aborted,
    record::{Header, Marker},
};

/// Which aborted transactions are open at the batch that is looked at.
struct Aborting {
    /// By first offset.
    ahead: Peekable<IntoIter<Aborted>>,
    /// And whether records of it have been met.
    open: HashMap<ProducerId, (Aborted, bool)>,
}

impl Aborting {
    /// `aborted`: all that touch what is going to be looked at, by their first offset.
    fn new(aborted: Vec<Aborted>) -> Self {
        Self { ahead: aborted.into_iter().peekable(), open: HashMap::new() }
    }

    fn come_to(&mut self, header: &Header) {
        while let Some(aborted) = self.ahead.next_if(|aborted| aborted.first <= header.last_offset()) {
            self.open.insert(aborted.producer, (aborted, false));
        }
    }

    /// Whether a batch of data is aborted.
    fn meet(&mut self, header: &Header) -> bool {
        match self.open.get_mut(&header.producer_id) {
            // Its marker may be what is damaged, and then nothing else ends it.
            Some((aborted, met)) if header.is_transactional() && header.base_offset < aborted.last => {
                *met = true;
                true
            }
            _ => false,
        }
    }

    /// A marker; gives what it ends, and whether records of that have been met.
    fn end(&mut self, header: &Header, marker: Marker) -> Option<(Aborted, bool)> {
        (marker == Marker::Abort).then(|| self.open.remove(&header.producer_id))?
    }
}
