//! The assignment: brought by the leader, stored, handed to everybody.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    Answer, GroupCoordinator, Out, ReplyId, Write,
    group::{Group, Phase},
};
use crate::groups::types::*;

impl SyncAnswer {
    pub(in crate::groups) fn refused(error: GroupError) -> Self {
        Self { error: Some(error), protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

impl GroupCoordinator {
    pub(super) fn sync(&mut self, reply: ReplyId, request: SyncRequest) {
        let name: Arc<str> = request.who.group.as_str().into();
        let result = match self.groups.get_mut(&name) {
            _ if name.is_empty() => Err(GroupError::GroupIdInvalid),
            None => Err(GroupError::UnknownMember),
            Some(Group { consumer: Some(consumer), .. }) => {
                let answer = consumer.sync_of_classic(&self.out, &self.topics, &request);
                let answer = answer.unwrap_or_else(SyncAnswer::refused);
                return self.settle(&name, Some((reply, Answer::Sync(answer))));
            }
            Some(group) => group.sync(&mut self.out, reply, request),
        };
        if let Err(error) = result {
            self.out.answer(reply, Answer::Sync(SyncAnswer::refused(error)));
        }
        self.rearm(&name);
    }
}

impl Group {
    fn sync(&mut self, out: &mut Out, reply: ReplyId, request: SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.who.member, request.who.instance.as_deref())?;
        if request.who.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |given: &Option<String>, ours: &Option<String>| given.is_some() && given != ours;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            GroupState::Empty => return Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => return Err(GroupError::RebalanceInProgress),
            GroupState::Stable => {
                self.renew(out, &request.who.member);
                let answer = self.sync_answer(&request.who.member);
                out.answer(reply, Answer::Sync(answer));
            }
            GroupState::CompletingRebalance => {
                let leads = self.leader.as_deref() == Some(&request.who.member);
                if let Some(member) = self.members.get_mut(&request.who.member) {
                    member.synced = true;
                    if let Some(earlier) = member.awaiting_sync.replace(reply) {
                        out.answer(earlier, Answer::Sync(SyncAnswer::refused(GroupError::RebalanceInProgress)));
                    }
                }
                if leads {
                    self.assign(out, request.assignments);
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, out: &mut Out, assignments: Vec<(String, Bytes)>) {
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
        for member in self.members.values_mut() {
            // Copied: the bytes would otherwise keep the whole request alive.
            member.assignment = assignments.remove(&member.id).map(|a| Bytes::copy_from_slice(&a)).unwrap_or_default();
        }
        let records = self.records(out);
        out.write(records, Write::Assignment { group: self.id.clone(), generation: self.generation });
    }

    /// The assignment is durable, or failed to become so.
    pub(super) fn assignment_written(&mut self, out: &mut Out, generation: i32, durable: bool) {
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return; // A new rebalance overtook it and has answered everybody.
        }
        if !durable {
            self.refuse_syncs(out, GroupError::NotAvailable);
            return self.rebalance(out);
        }
        self.enter(GroupState::Stable, out);
        self.phase = Phase::Syncing { until: out.now.monotonic + self.rebalance_timeout() };
        let waiting: Vec<_> =
            self.members.values().filter(|m| m.awaiting_sync.is_some()).map(|m| m.id.clone()).collect();
        for id in waiting {
            let answer = self.sync_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.renew(out.now.monotonic);
            if let Some(reply) = member.awaiting_sync.take() {
                out.answer(reply, Answer::Sync(answer));
            }
        }
        if self.members.values().all(|m| m.synced) {
            self.phase = Phase::Nothing;
        }
    }

    /// Members who never asked for their assignment are gone.
    pub(super) fn drop_unsynced(&mut self, out: &mut Out) {
        self.phase = Phase::Nothing;
        let missing: Vec<_> = self.members.values().filter(|m| !m.synced).map(|m| m.id.clone()).collect();
        for member in missing {
            tracing::info!(group = %self.id, member, "did not sync in time: member removed");
            self.remove_member(out, &member);
        }
    }

    pub(super) fn refuse_syncs(&mut self, out: &mut Out, error: GroupError) {
        for member in self.members.values_mut() {
            if let Some(reply) = member.awaiting_sync.take() {
                member.renew(out.now.monotonic);
                out.answer(reply, Answer::Sync(SyncAnswer::refused(error)));
            }
        }
    }

    fn sync_answer(&mut self, member: &str) -> SyncAnswer {
        let assignment = match self.members.get_mut(member) {
            Some(member) => {
                member.synced = true;
                member.assignment.clone()
            }
            None => Bytes::new(),
        };
        SyncAnswer {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }
}
