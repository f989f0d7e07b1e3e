//! Committed offsets: written, shown once durable, forgotten in time.

use std::{collections::BTreeSet, sync::Arc};

use model::PartitionId;

use super::{
    Answer, Committed, GroupCoordinator, Records, ReplyId, Write, WriteId,
    group::{Group, OffsetEntry},
};
use crate::groups::{
    records::{self, consumer::Line},
    types::*,
};

type Results = Vec<Result<(), GroupError>>;

impl GroupCoordinator {
    pub(super) fn commit(&mut self, reply: ReplyId, request: CommitRequest) {
        let name: Arc<str> = request.who.group.as_str().into();
        if let Err(error) = self.check_commit(&name, &request.who) {
            let results = request.offsets.iter().map(|_| Err(error)).collect();
            return self.out.answer(reply, Answer::Each(results));
        }
        let now_ms = self.out.now.wall_ms;
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name.clone(), now_ms));
        group.renew(&self.out, &request.who.member);
        let (results, offsets, records) = self.records_of_commit(&name, request.offsets);
        if offsets.is_empty() {
            self.out.answer(reply, Answer::Each(results));
        } else {
            let id = WriteId(self.out.next_write);
            let group = self.groups.get_mut(&name).expect("made above");
            for committed in &offsets {
                let entry = group
                    .offsets
                    .entry((committed.topic.clone(), committed.partition))
                    .or_insert_with(|| OffsetEntry { durable: None, at: id, pending: None, born: id });
                entry.pending = Some((id, committed.offset.clone()));
            }
            let written = self.out.write(records, Write::Commit { group: name.clone(), reply, results, offsets });
            assert_eq!(written, id, "writes are numbered in order");
        }
        self.rearm(&name);
    }

    /// What to write for a commit, and what to say of each offset in it.
    pub(super) fn records_of_commit(
        &self,
        group: &str,
        wanted: Vec<OffsetToCommit>,
    ) -> (Results, Vec<Committed>, Records) {
        let (mut results, mut offsets, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in wanted {
            if wanted.metadata.len() > self.out.settings.metadata_bytes_max {
                results.push(Err(GroupError::OffsetMetadataTooLarge));
                continue;
            }
            results.push(Ok(()));
            let offset = CommittedOffset {
                offset: wanted.offset,
                leader_epoch: wanted.leader_epoch,
                metadata: wanted.metadata,
                committed_ms: self.out.now.wall_ms,
            };
            let key = records::offset_key(group, &wanted.topic, wanted.partition);
            records.push((key, Some(records::offset_value(&offset))));
            offsets.push(Committed { topic: wanted.topic, partition: wanted.partition, offset });
        }
        (results, offsets, records)
    }

    pub(super) fn check_commit(&self, name: &str, who: &MemberRef) -> Result<(), GroupError> {
        if name.is_empty() {
            return Err(GroupError::GroupIdInvalid);
        }
        match self.groups.get(name) {
            None if who.generation >= 0 => Err(GroupError::IllegalGeneration),
            None if self.groups.len() >= self.out.settings.groups_max => Err(GroupError::GroupMaxSizeReached),
            None => Ok(()),
            Some(group) => group.check_commit(who, false),
        }
    }

    pub(super) fn commit_written(&mut self, name: &Arc<str>, id: WriteId, offsets: &[Committed], durable: bool) {
        let Some(group) = self.groups.get_mut(name) else { return };
        for committed in offsets {
            let key = (committed.topic.clone(), committed.partition);
            let Some(entry) = group.offsets.get_mut(&key).filter(|entry| entry.born <= id) else { continue };
            if durable {
                (entry.durable, entry.at) = (Some(committed.offset.clone()), id);
            }
            if entry.pending.as_ref().is_some_and(|(pending, _)| *pending == id) {
                entry.pending = None;
            }
            if entry.durable.is_none() && entry.pending.is_none() {
                group.offsets.remove(&key);
            }
        }
        self.rearm(&name.clone());
    }

    pub(super) fn delete_group(&mut self, reply: ReplyId, name: &str) {
        let refusal = match self.groups.get(name) {
            _ if name.is_empty() => Some(GroupError::GroupIdInvalid),
            None => Some(GroupError::GroupIdNotFound),
            Some(group) if !group.has_no_members() => Some(GroupError::GroupNotEmpty),
            Some(_) => None,
        };
        if let Some(error) = refusal {
            return self.out.answer(reply, Answer::Done(Err(error)));
        }
        let mut group = self.remove_group(&name.into()).expect("found above");
        self.forget_open(|place| *place.0 == *name);
        let mut answers = group.consumer.as_mut().map(|consumer| consumer.take_waiting()).unwrap_or_default();
        answers.push((reply, Answer::Done(Ok(()))));
        self.out.take_out(&group.id, group.lines(), group.offset_tombstones(), answers);
    }

    pub(super) fn delete_offsets(&mut self, reply: ReplyId, name: &str, partitions: Vec<(Arc<str>, PartitionId)>) {
        let name: Arc<str> = name.into();
        let Some(group) = self.groups.get_mut(&name) else {
            return self.out.answer(reply, Answer::Done(Err(GroupError::GroupIdNotFound)));
        };
        if !group.members.is_empty() && !group.is_of_consumers() {
            // What members of other types read is theirs alone to know.
            return self.out.answer(reply, Answer::Done(Err(GroupError::GroupNotEmpty)));
        }
        // Not known (yet): maybe.
        let in_doubt = !group.has_no_members();
        let subscribed = group.subscribed_topics();
        let (mut results, mut records, mut gone) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (topic, partition) in partitions {
            if subscribed.as_ref().map_or(in_doubt, |topics| topics.contains(&topic)) {
                results.push(Err(GroupError::SubscribedToTopic));
                continue;
            }
            results.push(Ok(()));
            records.push((records::offset_key(&name, &topic, partition), None));
            group.offsets.remove(&(topic.clone(), partition));
            gone.insert((topic, partition));
        }
        self.forget_open(|(group, topic, partition)| *group == name && gone.contains(&(topic.clone(), *partition)));
        if records.is_empty() {
            self.out.answer(reply, Answer::Each(results));
        } else {
            self.out.write(records, Write::Upkeep { group: None, answers: vec![(reply, Answer::Each(results))] });
        }
        self.rearm(&name);
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
        let (mut records, mut lines, mut answers) = (Vec::new(), BTreeSet::new(), Vec::new());
        group.offsets.retain(|key, entry| {
            let remove = gone(key, entry);
            if remove {
                records.push((records::offset_key(name, &key.0, key.1), None));
            }
            !remove
        });
        let is_over = group.state == GroupState::Empty
            && group.has_no_members()
            && group.offsets.is_empty()
            && group.pending.is_empty()
            && !is_awaited;
        if is_over && (is_due || !records.is_empty()) {
            if std::mem::take(&mut group.stored) {
                lines.insert(Line::Classic);
            }
            if let Some(mut consumer) = group.consumer.take() {
                lines.extend(consumer.all_lines());
                answers = consumer.take_waiting();
            }
        }
        if !lines.is_empty() {
            self.out.take_out(name, lines, records, answers);
        } else if !records.is_empty() {
            self.out.write(records, Write::Upkeep { group: None, answers });
        }
        self.rearm(&name.clone());
    }

    // ── replay ──

    pub(super) fn replay_offset(
        &mut self,
        group: String,
        topic: Arc<str>,
        partition: PartitionId,
        value: Option<&[u8]>,
    ) -> bool {
        let name: Arc<str> = group.into();
        let at = self.out.next_write_id();
        let Some(value) = value else {
            self.forget_open(|place| *place == (name.clone(), topic.clone(), partition));
            if let Some(group) = self.groups.get_mut(&name) {
                group.offsets.remove(&(topic, partition));
                self.rearm(&name);
            }
            return true;
        };
        let Some(offset) = records::parse_offset(value) else { return false };
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name, offset.committed_ms));
        let entry = OffsetEntry { durable: Some(offset), at, pending: None, born: WriteId(0) };
        group.offsets.insert((topic, partition), entry);
        true
    }

    pub(super) fn replay_group(&mut self, group: String, value: Option<&[u8]>) -> bool {
        let name: Arc<str> = group.into();
        let Some(value) = value else {
            if let Some(group) = self.groups.get_mut(&name) {
                group.forget_classic();
                self.rearm(&name);
            }
            return true;
        };
        let Some(stored) = records::parse_group(value) else { return false };
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name, stored.state_since_ms));
        group.restore(stored);
        true
    }
}

impl Group {
    /// GRP-2: who may commit now.
    pub(super) fn check_commit(&self, who: &MemberRef, is_transactional: bool) -> Result<(), GroupError> {
        if who.generation < 0 && self.has_no_members() {
            return Ok(()); // From outside of any generation, or an admin who moves offsets.
        }
        if let Some(consumer) = &self.consumer {
            return consumer.check_epoch(&who.member, who.generation);
        }
        self.check_member(&who.member, who.instance.as_deref())?;
        if who.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            GroupState::CompletingRebalance if !is_transactional => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn offset_tombstones(&self) -> Records {
        let places = self.offsets.keys();
        places.map(|(topic, partition)| (records::offset_key(&self.id, topic, *partition), None)).collect()
    }

    /// All there may be of the group, but its offsets.
    fn lines(&self) -> BTreeSet<Line> {
        let consumer = self.consumer.iter().flat_map(|consumer| consumer.all_lines());
        consumer.chain([Line::Classic]).collect()
    }
}
