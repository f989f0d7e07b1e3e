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

/// Offsets of open transactions, by producer.
pub(super) type Open = BTreeMap<ProducerId, OpenOffsets>;

/// What a producer's open transaction will commit.
pub(super) struct OpenOffsets {
    epoch: i16,
    /// And with which write each came.
    offsets: BTreeMap<Place, (WriteId, CommittedOffset)>,
}

impl OpenOffsets {
    /// Its commit would bring the group offsets.
    pub(super) fn concerns(&self, group: &Arc<str>) -> bool {
        self.offsets
            .range((group.clone(), Arc::from(""), PartitionId::MIN)..)
            .next()
            .is_some_and(|(p, _)| p.0 == *group)
    }
}
/// Group, topic and partition of an offset.
pub(super) type Place = (Arc<str>, Arc<str>, PartitionId);

impl GroupCoordinator {
    pub(super) fn commit_in_transaction(&mut self, reply: ReplyId, request: CommitRequest, producer: Identity) {
        let name: Arc<str> = request.who.group.as_str().into();
        if let Err(error) = self.check_transactional_commit(&name, &request.who) {
            let results = request.offsets.iter().map(|_| Err(error)).collect();
            return self.out.answer(reply, Answer::Each(results));
        }
        let (results, offsets, lines) = self.lines(&name, request.offsets);
        if offsets.is_empty() {
            return self.out.answer(reply, Answer::Each(results));
        }
        let write = Write::TransactionalCommit { group: name, reply, results, offsets, producer };
        self.out.write_in(Some(producer), lines, write);
    }

    /// Committers older than KIP-447 do not say which member they are; the others may commit whatever the group is about (as in
    /// Kafka's `ClassicGroup.validateOffsetCommit`).
    fn check_transactional_commit(&self, name: &Arc<str>, who: &MemberRef) -> Result<(), GroupError> {
        match self.groups.get(name) {
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
        let open = self
            .open
            .entry(producer.producer)
            .or_insert_with(|| OpenOffsets { epoch: producer.epoch, offsets: BTreeMap::new() });
        open.epoch = producer.epoch;
        open.offsets.insert(place, (id, offset));
    }

    /// The marker of a producer's transaction is durable. Of each offset the last record counts, not the last marker: so it does
    /// after compaction, and in Kafka (`CommitRecordMetadataAndOffset.olderThan`).
    pub(super) fn end_transaction(&mut self, producer: ProducerId, marker: Marker) {
        let Some(open) = self.open.remove(&producer).filter(|_| marker == Marker::Commit) else { return };
        for ((name, topic, partition), (id, offset)) in open.offsets {
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
        let place = (Arc::from(group), Arc::from(topic), partition);
        self.open.values().any(|open| open.offsets.contains_key(&place))
    }

    /// Offsets of a group that open transactions may change.
    pub(super) fn open_of(&self, group: &Arc<str>) -> BTreeSet<(Arc<str>, PartitionId)> {
        let places = self.open.values().flat_map(|open| open.offsets.keys()).filter(|place| place.0 == *group);
        places.map(|(_, topic, partition)| (topic.clone(), *partition)).collect()
    }

    /// These offsets have been deleted, and what open transactions wrote of them before.
    pub(super) fn forget_open(&mut self, is_gone: impl Fn(&Place) -> bool) {
        self.open.values_mut().for_each(|open| open.offsets.retain(|place, _| !is_gone(place)));
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
