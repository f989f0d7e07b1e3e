//! Committed offsets: written, and shown once durable.

use std::sync::Arc;

use model::PartitionId;

use super::{
    Answer, Committed, GroupCoordinator, Records, ReplyId, Write, WriteId,
    group::{Group, OffsetEntry},
};
use crate::groups::{records, types::*};

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
}
