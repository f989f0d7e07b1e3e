//! A member's way from what it holds to what it shall have (KIP-848, "Reconciliation").
//!
//! ```text
//!            target differs                        all given up
//! Stable ───────────────────► Unrevoked ──────────────────────────┐
//!   │  nothing to give up        ▲ told to give up; epoch waits   │
//!   └───────────────────────────────────────────────┐             │
//!                             epoch := the group's; granted: what the others have let go
//!                             ├─ all of the target ──► Stable
//!                             └─ some still held by others ──► Unreleased ──(each heartbeat)──► …
//! ```

use model::{PartitionId, TopicId};

use crate::{
    groups::types::Partitions,
    planted::{self, Bug},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Has everything it shall have in its epoch.
    #[default]
    Stable,
    /// Was told to give up partitions, and holds some of them still.
    Unrevoked,
    /// Waits for partitions that others hold still.
    Unreleased,
}

/// Where a member is on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) epoch: i32,
    /// The last epoch it said: so may it say all those since, whose answers it missed. 0: it said none since it joined.
    pub(super) previous_epoch: i32,
    pub(super) state: State,
    /// What it may hold.
    pub(super) assigned: Partitions,
    /// What it was told to give up and may hold still.
    pub(super) revoking: Partitions,
}

type Place = (TopicId, PartitionId);

impl Progress {
    /// One step. `owned`: what the member says it holds, if it says so; `free`: nobody else holds the partition.
    pub(super) fn next(
        &self,
        target_epoch: i32,
        target: &Partitions,
        owned: Option<&Partitions>,
        free: impl Fn(&Place) -> bool,
    ) -> Self {
        let still_owns = |places: &Partitions| {
            owned.is_none_or(|owned| !owned.is_disjoint(places)) && !planted::is(Bug::GrantedBeforeLetGo)
        };
        let epoch = match self.state {
            State::Stable if self.epoch == target_epoch => return self.clone(),
            State::Unrevoked if still_owns(&self.revoking) => return self.clone(),
            State::Unrevoked => self.epoch + 1,
            State::Stable | State::Unreleased => self.epoch,
        };
        let revoking: Partitions = self.assigned.difference(target).copied().collect();
        let mut assigned: Partitions = self.assigned.intersection(target).copied().collect();
        if !revoking.is_empty() && still_owns(&revoking) {
            return self.at(epoch, State::Unrevoked, assigned, revoking);
        }
        let missing: Vec<_> = target.difference(&assigned).copied().collect();
        let before = assigned.len();
        assigned.extend(missing.iter().copied().filter(free));
        let all = assigned.len() - before == missing.len();
        self.at(target_epoch, if all { State::Stable } else { State::Unreleased }, assigned, Partitions::new())
    }

    fn at(&self, epoch: i32, state: State, assigned: Partitions, revoking: Partitions) -> Self {
        let previous_epoch = if epoch == self.epoch { self.previous_epoch } else { self.epoch };
        Self { epoch, previous_epoch, state, assigned, revoking }
    }

    /// It joined anew, with empty hands: what it is assigned is handed to it again, what it was to give up it has given up.
    pub(super) fn joined_anew(&self) -> Self {
        Self { assigned: self.assigned.clone(), ..Self::default() }
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &Place> {
        self.assigned.iter().chain(&self.revoking)
    }

    pub(super) fn holds(&self, place: &Place) -> bool {
        self.assigned.contains(place) || self.revoking.contains(place)
    }

    pub(super) fn is_revoking(&self) -> bool {
        self.state == State::Unrevoked
    }

    /// Nothing is left to do for the epoch.
    pub(super) fn has_arrived(&self, epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == epoch
    }
}
