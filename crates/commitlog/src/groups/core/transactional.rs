//! Offsets committed in transactions: durable at once, shown when the transaction commits (KIP-98, KIP-447).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{PartitionId, ProducerId};

use super::{
    Answer, Committed, GroupCoordinator, ReplyId, Write, WriteId,
    group::{Group, OffsetEntry},
};
use crate::{
    groups::{records, types::*},
    record::Marker,
    transactions::Identity,
};

/// Group, topic and partition of an offset.
pub(super) type Place = (Arc<str>, Arc<str>, PartitionId);

/// Offsets of open transactions.
#[derive(Default)]
pub(super) struct Open {
    by_producer: BTreeMap<ProducerId, BTreeMap<Place, (WriteId, CommittedOffset)>>,
    /// How many of them hold an offset of each place: readers ask that for every partition they read.
    holders: BTreeMap<Place, usize>,
}

impl Open {
    /// With which write it came, and what it is.
    fn hold(&mut self, producer: ProducerId, place: Place, id: WriteId, offset: CommittedOffset) {
        if self.by_producer.entry(producer).or_default().insert(place.clone(), (id, offset)).is_none() {
            *self.holders.entry(place).or_default() += 1;
        }
    }

    /// What the transaction of `producer` holds, when it is over.
    fn release(&mut self, producer: ProducerId) -> BTreeMap<Place, (WriteId, CommittedOffset)> {
        let held = self.by_producer.remove(&producer).unwrap_or_default();
        for place in held.keys() {
            let Some(count) = self.holders.get_mut(place) else { continue };
            *count -= 1;
            if *count == 0 {
                self.holders.remove(place);
            }
        }
        held
    }

    fn forget(&mut self, is_gone: impl Fn(&Place) -> bool) {
        self.by_producer.values_mut().for_each(|held| held.retain(|place, _| !is_gone(place)));
        self.holders.retain(|place, _| !is_gone(place));
    }

    fn of<'a>(&'a self, group: &'a Arc<str>) -> impl Iterator<Item = &'a Place> {
        let from = (group.clone(), Arc::from(""), PartitionId::MIN);
        self.holders.range(from..).map(|(place, _)| place).take_while(move |place| place.0 == *group)
    }

    /// A commit would bring the group offsets.
    pub(super) fn concerns(&self, group: &Arc<str>) -> bool {
        self.of(group).next().is_some()
    }
}

impl GroupCoordinator {
    pub(super) fn commit_in_transaction(&mut self, reply: ReplyId, request: CommitRequest, producer: Identity) {
        let name: Arc<str> = request.who.group.as_str().into();
        if let Err(error) = self.check_transactional_commit(&name, &request.who) {
            let results = request.offsets.iter().map(|_| Err(error)).collect();
            return self.out.answer(reply, Answer::Each(results));
        }
        let (results, offsets, records) = self.records_of_commit(&name, request.offsets);
        if offsets.is_empty() {
            return self.out.answer(reply, Answer::Each(results));
        }
        let write = Write::TransactionalCommit { group: name, reply, results, offsets, producer };
        self.out.write_in(Some(producer), records, write);
    }

    /// Committers older than KIP-447 do not say which member they are; the others may commit whatever the group is about (as in
    /// Kafka's `ClassicGroup.validateOffsetCommit`).
    fn check_transactional_commit(&self, name: &Arc<str>, who: &MemberRef) -> Result<(), GroupError> {
        match self.groups.get(name) {
            // Others may commit for the group without a name, for the sake of clients from before there were groups.
            _ if name.is_empty() => Err(GroupError::GroupIdInvalid),
            Some(_) if who.generation < 0 && who.member.is_empty() && who.instance.is_none() => Ok(()),
            // The client of a transaction does not know that error (Kafka's `validateTransactionalOffsetCommit`).
            Some(group) => group.check_commit(who, true).map_err(|error| match error {
                GroupError::StaleMemberEpoch => GroupError::IllegalGeneration,
                error => error,
            }),
            None => self.check_commit(name, who),
        }
    }

    pub(super) fn transactional_commit_written(
        &mut self,
        group: &Arc<str>,
        id: WriteId,
        offsets: Vec<Committed>,
        producer: Identity,
    ) {
        for Committed { topic, partition, offset } in offsets {
            self.keep_open(producer, (group.clone(), topic, partition), id, offset);
        }
    }

    fn keep_open(&mut self, producer: Identity, place: Place, id: WriteId, offset: CommittedOffset) {
        self.open.hold(producer.producer, place, id, offset);
    }

    /// The marker of a producer's transaction is durable. Of each offset the last record counts, not the last marker: so it does
    /// after compaction, and in Kafka (`CommitRecordMetadataAndOffset.olderThan`).
    pub(super) fn end_transaction(&mut self, producer: ProducerId, marker: Marker) {
        let held = self.open.release(producer);
        if marker != Marker::Commit {
            return;
        }
        for ((name, topic, partition), (id, offset)) in held {
            let now_ms = offset.committed_ms;
            let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name.clone(), now_ms));
            let entry = group.offsets.entry((topic, partition)).or_insert_with(|| OffsetEntry {
                durable: None,
                at: id,
                pending: None,
                born: WriteId(0),
            });
            if entry.durable.is_none() || entry.at < id {
                (entry.durable, entry.at) = (Some(offset), id);
            }
            self.rearm(&name);
        }
    }

    /// Whether an open transaction may change the offset.
    pub fn is_unstable(&self, group: &str, topic: &str, partition: PartitionId) -> bool {
        !self.open.holders.is_empty()
            && self.open.holders.contains_key(&(Arc::from(group), Arc::from(topic), partition))
    }

    /// Offsets of a group that open transactions may change.
    pub(super) fn open_of(&self, group: &Arc<str>) -> BTreeSet<(Arc<str>, PartitionId)> {
        self.open.of(group).map(|(_, topic, partition)| (topic.clone(), *partition)).collect()
    }

    /// These offsets have been deleted, and what open transactions wrote of them before.
    pub(super) fn forget_open(&mut self, is_gone: impl Fn(&Place) -> bool) {
        self.open.forget(is_gone);
    }

    // ── replay ──

    /// As [`Self::replay`], of a record in a producer's transaction.
    pub fn replay_in_transaction(&mut self, producer: Identity, key: &[u8], value: Option<&[u8]>) -> bool {
        let Some(records::Key::Offset { group, topic, partition }) = records::parse_key(key) else { return false };
        let Some(offset) = value.and_then(records::parse_offset) else { return false };
        let id = self.out.next_write_id();
        self.keep_open(producer, (group.into(), topic.into(), partition), id, offset);
        true
    }

    pub fn replay_marker(&mut self, producer: ProducerId, marker: Marker) {
        self.end_transaction(producer, marker);
    }
}
