//! The end of groups and of their offsets: deleted, or forgotten in time.
//!
//! What goes leaves the memory at once, and the log with the next write. Should that fail it is remembered until one succeeds: whoever
//! deletes it again is answered by what becomes of it then, and what nobody asks for again is written with the next check, or a
//! restart would bring it back.

use std::{collections::BTreeSet, sync::Arc};

use model::PartitionId;

use super::{Answer, Answers, Gone, GroupCoordinator, Out, ReplyId, Write, WriteId, group::OffsetEntry};
use crate::groups::{
    records::{self, consumer::Line},
    types::*,
};

/// Topics and partitions.
type Places = BTreeSet<(Arc<str>, PartitionId)>;

impl GroupCoordinator {
    pub(super) fn delete_group(&mut self, reply: ReplyId, name: &str) {
        let name: Arc<str> = name.into();
        let refusal = match self.groups.get(&name) {
            None if self.is_going(&name) => None,
            None => Some(GroupError::GroupIdNotFound),
            Some(group) if !group.has_no_members() => Some(GroupError::GroupNotEmpty),
            Some(_) => None,
        };
        if let Some(error) = refusal {
            return self.out.answer(reply, Answer::Done(Err(error)));
        }
        self.forget_open(|place| *place.0 == *name);
        let mut group = self.remove_group(&name);
        let consumer = group.as_mut().and_then(|group| group.consumer.as_mut());
        let mut answers = consumer.map(|consumer| consumer.take_waiting()).unwrap_or_default();
        answers.push((reply, Answer::Done(Ok(()))));
        let mut places = self.take_gone(&name);
        let mut lines = BTreeSet::from([Line::Classic]);
        if let Some(group) = group {
            places.extend(group.offsets.into_keys());
            lines.extend(group.consumer.iter().flat_map(|consumer| consumer.all_lines()));
        }
        self.out.take_out_with_offsets(&name, lines, places, answers);
    }

    pub(super) fn delete_offsets(&mut self, reply: ReplyId, name: &str, partitions: Vec<(Arc<str>, PartitionId)>) {
        let name: Arc<str> = name.into();
        let (in_doubt, subscribed) = match self.groups.get(&name) {
            None if self.is_going(&name) => (false, None),
            None => return self.out.answer(reply, Answer::Done(Err(GroupError::GroupIdNotFound))),
            Some(group) if !group.members.is_empty() && !group.is_of_consumers() => {
                // What members of other types read is theirs alone to know.
                return self.out.answer(reply, Answer::Done(Err(GroupError::GroupNotEmpty)));
            }
            // Not known (yet): maybe.
            Some(group) => (!group.has_no_members(), group.subscribed_topics()),
        };
        let (mut results, mut gone) = (Vec::new(), Places::new());
        for (topic, partition) in partitions {
            if subscribed.as_ref().map_or(in_doubt, |topics| topics.contains(&topic)) {
                results.push(Err(GroupError::SubscribedToTopic));
                continue;
            }
            results.push(Ok(()));
            gone.insert((topic, partition));
        }
        if let Some(group) = self.groups.get_mut(&name) {
            group.offsets.retain(|place, _| !gone.contains(place));
        }
        self.forget_open(|(group, topic, partition)| *group == name && gone.contains(&(topic.clone(), *partition)));
        if gone.is_empty() {
            self.out.answer(reply, Answer::Each(results));
        } else {
            self.out.take_out_with_offsets(&name, BTreeSet::new(), gone, vec![(reply, Answer::Each(results))]);
        }
        self.rearm(&name);
    }

    /// It has left the memory, and perhaps not the log.
    fn is_going(&self, name: &Arc<str>) -> bool {
        self.out.leftovers.contains_key(name) || self.out.gone.values().any(|gone| gone.group == *name)
    }

    /// What could not be taken out of the log, once more.
    fn take_out_again(&mut self) {
        let failed = |id: &WriteId| !self.out.writes.contains_key(id);
        let lines = self.out.leftovers.iter().filter(|(_, left)| failed(&left.write)).map(|(name, _)| name);
        // A group that is there takes its lines out with what it writes next.
        let lines = lines.filter(|name| !self.groups.contains_key(*name));
        let offsets = self.out.gone.iter().filter(|(id, _)| failed(id)).map(|(_, gone)| &gone.group);
        let names: BTreeSet<_> = lines.chain(offsets).cloned().collect();
        for name in names {
            let places = self.take_gone(&name);
            let lines = match self.groups.contains_key(&name) {
                true => BTreeSet::new(),
                false => self.out.take_leftovers(&name),
            };
            self.out.take_out_with_offsets(&name, lines, places, Vec::new());
        }
    }

    /// Offsets of a group that are gone, but for those that have come back or may.
    fn take_gone(&mut self, name: &Arc<str>) -> Places {
        let mut awaited = self.open_of(name);
        for write in self.out.writes.values() {
            if let Write::TransactionalCommit { group, offsets, .. } = write
                && group == name
            {
                awaited.extend(offsets.iter().map(|offset| (offset.topic.clone(), offset.partition)));
            }
        }
        let there = self.groups.get(name).map(|group| &group.offsets);
        let mut places = Places::new();
        self.out.gone.retain(|id, gone| {
            if gone.group != *name {
                return true;
            }
            gone.offsets.retain(|place| match there.and_then(|there| there.get(place)) {
                // Its record takes the place of the one that was to go.
                Some(entry) => entry.durable.is_none() || entry.at < *id,
                None if awaited.contains(place) => true,
                None => {
                    places.insert(place.clone());
                    false
                }
            });
            !gone.offsets.is_empty()
        });
        places
    }

    pub(super) fn forget_topic(&mut self, topic: &Arc<str>) {
        self.forget_open(|place| place.1 == *topic);
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.remove_offsets(&name, false, |key, _| key.0 == *topic);
        }
    }

    /// Lets go of offsets nobody needed for the retention time (reference: Kafka's `GroupMetadata.removeExpiredOffsets`).
    pub(super) fn expire_offsets(&mut self) {
        let retention = i64::try_from(self.out.settings.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let now = self.out.now.wall_ms;
        let over = |since: i64| now.saturating_sub(since) >= retention;
        self.take_out_again();
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            let Some(group) = self.groups.get(&name) else { continue };
            let is_settled = group.consumer.is_some() || group.state == GroupState::Stable;
            let subscribed = group.subscribed_topics().filter(|_| is_settled);
            let awaited = self.open_of(&name);
            let (is_empty, since, committer_only) = match &group.consumer {
                Some(consumer) => (consumer.members.is_empty(), consumer.since_ms, false),
                None => (group.state == GroupState::Empty, group.state_since_ms, group.protocol_type.is_none()),
            };
            let expired = |key: &(Arc<str>, PartitionId), entry: &OffsetEntry| {
                let is_awaited = entry.pending.is_some() || awaited.contains(key);
                let Some(offset) = entry.durable.as_ref().filter(|_| !is_awaited) else { return false };
                match is_empty {
                    true if committer_only => over(offset.committed_ms),
                    true => over(since.max(offset.committed_ms)),
                    false => subscribed.as_ref().is_some_and(|s| !s.contains(&key.0)) && over(offset.committed_ms),
                }
            };
            self.remove_offsets(&name, true, expired);
        }
    }

    /// Removes offsets, and with the last of them a group without members; if `is_due`, also one that had none (as Kafka's
    /// `cleanupExpiredOffsets` does at each check).
    fn remove_offsets(
        &mut self,
        name: &Arc<str>,
        is_due: bool,
        gone: impl Fn(&(Arc<str>, PartitionId), &OffsetEntry) -> bool,
    ) {
        let is_awaited = self.open.concerns(name);
        let Some(group) = self.groups.get_mut(name) else { return };
        let (mut places, mut lines, mut answers) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        group.offsets.retain(|key, entry| {
            let remove = gone(key, entry);
            if remove {
                places.insert(key.clone());
            }
            !remove
        });
        let is_over = group.state == GroupState::Empty
            && group.has_no_members()
            && group.offsets.is_empty()
            && group.pending.is_empty()
            && !is_awaited;
        if is_over && (is_due || !places.is_empty()) {
            if std::mem::take(&mut group.stored) {
                lines.insert(Line::Classic);
            }
            if let Some(mut consumer) = group.consumer.take() {
                lines.extend(consumer.all_lines());
                answers = consumer.take_waiting();
            }
        }
        self.out.take_out_with_offsets(name, lines, places, answers);
        self.rearm(&name.clone());
    }
}

impl Out {
    /// Takes lines and offsets out of a group.
    fn take_out_with_offsets(&mut self, group: &Arc<str>, lines: BTreeSet<Line>, offsets: Places, answers: Answers) {
        let key = |(topic, partition): &(Arc<str>, PartitionId)| records::offset_key(group, topic, *partition);
        let tombstones: Vec<_> = offsets.iter().map(|place| (key(place), None)).collect();
        let id = match (lines.is_empty(), tombstones.is_empty()) {
            (false, _) => self.take_out(group, lines, tombstones, answers),
            (true, false) => self.write(tombstones, Write::Upkeep { group: None, answers }),
            (true, true) => return self.answer_all(answers, true),
        };
        if !offsets.is_empty() {
            self.gone.insert(id, Gone { group: group.clone(), offsets });
        }
    }
}
