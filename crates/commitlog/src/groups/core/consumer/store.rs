//! What is kept of a group in the log, and how it comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    ConsumerGroup, Step,
    reconcile::{Progress, State},
};
use crate::groups::{
    core::{GroupCoordinator, Out, group::Group},
    records::consumer::{self as stored, Line, StoredCurrent, StoredEpoch},
    types::*,
};

impl State {
    fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
        }
    }

    fn of_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            // What we do not know is led on from where it is, which is what this state asks for.
            _ => Self::Unreleased,
        }
    }
}

impl ConsumerGroup {
    /// The line as it is now; a tombstone if there is no such thing (any more).
    pub(super) fn record(&self, group: &str, line: &Line) -> (Bytes, Option<Bytes>) {
        let value = match line {
            Line::Classic => None,
            Line::Epoch => Some(stored::epoch_value(&StoredEpoch {
                epoch: self.epoch,
                metadata_hash: self.metadata_hash,
                since_ms: self.since_ms,
            })),
            Line::TargetEpoch => Some(stored::target_epoch_value(self.target_epoch)),
            Line::Member(id) => self.members.get(id).map(|m| stored::subscription_value(&m.subscription)),
            Line::Target(id) => self.members.get(id).map(|m| stored::target_value(&m.target)),
            Line::Current(id) => self.members.get(id).map(|m| {
                let Progress { epoch, previous_epoch, state, assigned, revoking } = m.progress.clone();
                let state = state.number();
                stored::current_value(&StoredCurrent { epoch, previous_epoch, state, assigned, revoking })
            }),
        };
        (stored::key(group, line), value)
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let of = |id: &Arc<str>| [Line::Member(id.clone()), Line::Target(id.clone()), Line::Current(id.clone())];
        [Line::Epoch, Line::TargetEpoch].into_iter().chain(self.members.keys().flat_map(of)).collect()
    }

    #[cfg(test)]
    pub(in crate::groups::core) fn snapshot(&self, group: &str) -> Vec<(Bytes, Bytes)> {
        let all = self.lines().into_iter().map(|line| self.record(group, &line));
        all.filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// All there may be in the log.
    pub(in crate::groups::core) fn all_lines(&self) -> BTreeSet<Line> {
        // Also of what was to become one, had the write not failed, and of what the write under way may fail to take out.
        let under_way = self.writing.iter().flat_map(|writing| &writing.lines);
        self.lines().into_iter().chain(self.touched.iter().chain(under_way).cloned()).collect()
    }

    // ── replay ──

    /// `None`: the value is not understood.
    fn replay(&mut self, line: Line, value: Option<&[u8]>) -> Option<()> {
        match (line, value) {
            (Line::Epoch, Some(value)) => {
                let StoredEpoch { epoch, metadata_hash, since_ms } = stored::parse_epoch(value)?;
                (self.epoch, self.metadata_hash, self.since_ms) = (epoch, metadata_hash, since_ms);
            }
            (Line::TargetEpoch, Some(value)) => self.target_epoch = stored::parse_target_epoch(value)?,
            (Line::Classic | Line::Epoch | Line::TargetEpoch, None) => {}
            (Line::Classic, Some(_)) => return None,
            (Line::Member(id), Some(value)) => {
                self.members.entry(id).or_default().subscription = stored::parse_subscription(value)?;
            }
            (Line::Target(id), Some(value)) => {
                self.members.entry(id).or_default().target = stored::parse_target(value)?;
            }
            (Line::Current(id), Some(value)) => {
                let StoredCurrent { epoch, previous_epoch, state, assigned, revoking } = stored::parse_current(value)?;
                let state = State::of_number(state);
                let progress = Progress { epoch, previous_epoch, state, assigned, revoking };
                self.take_over(&id, &progress);
                self.members.entry(id).or_default().progress = progress;
            }
            (Line::Member(id), None) => self.forget(&id),
            (Line::Target(id), None) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.target.clear();
                }
            }
            (Line::Current(id), None) => {
                if let Some(member) = self.members.get_mut(&id) {
                    let before = std::mem::take(&mut member.progress);
                    self.let_go(&before);
                }
            }
        }
        Some(())
    }

    /// GRP-4: a record that gives a member a partition says that whoever had it before let go of it, even if the record of
    /// that was not written.
    fn take_over(&mut self, id: &Arc<str>, progress: &Progress) {
        if let Some(before) = self.members.get_mut(id).map(|m| std::mem::take(&mut m.progress)) {
            self.let_go(&before);
        }
        for place in progress.held() {
            if let Some(former) = self.owners.insert(*place, id.clone())
                && former != *id
                && let Some(former) = self.members.get_mut(&former)
            {
                former.progress.assigned.remove(place);
                former.progress.revoking.remove(place);
            }
        }
    }

    fn forget(&mut self, id: &Arc<str>) {
        if let Some(member) = self.members.remove(id) {
            self.let_go(&member.progress);
        }
    }

    /// After a replay: time starts anew, and what happened to topics meanwhile is caught up with.
    pub(in crate::groups::core) fn resume(&mut self, out: &Out, topics: &TopicsSeen, group: &str) {
        let step = Step { out, topics, group };
        self.instances = BTreeMap::new();
        for (id, member) in &mut self.members {
            member.session_until = step.now() + member.session_timeout(&out.settings, group);
            let timeout = member.subscription.rebalance_timeout;
            member.revoke_until = (member.progress.is_revoking() && !member.is_classic()).then(|| step.now() + timeout);
            if let Some(instance) = &member.subscription.instance {
                self.instances.insert(instance.clone(), id.clone());
            }
        }
        let readers = self.members.iter().filter(|(_, member)| member.subscription.pattern().is_some());
        let readers: Vec<_> = readers.map(|(id, _)| id.clone()).collect();
        for member in readers {
            self.resolve_regex(&member, &step);
        }
        let is_torn = self.target_epoch != self.epoch;
        if !self.members.is_empty() && (is_torn || self.hash_metadata(topics) != self.metadata_hash) {
            self.bump(&step);
        }
    }
}

impl GroupCoordinator {
    pub(in crate::groups::core) fn replay_consumer(&mut self, group: String, line: Line, value: Option<&[u8]>) -> bool {
        let name: Arc<str> = group.into();
        if value.is_none() {
            let Some(group) = self.groups.get_mut(&name) else { return true };
            if line == Line::Epoch {
                group.generation = group.consumer.take().map_or(group.generation, |c| c.epoch);
                self.rearm(&name);
            } else if let Some(consumer) = &mut group.consumer {
                consumer.replay(line, None);
            }
            return true;
        }
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name, 0));
        group.consumer.get_or_insert_default().replay(line, value).is_some()
    }
}
