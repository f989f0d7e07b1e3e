//! Staying in a group and leaving it.

use std::sync::Arc;

use super::{Answer, GroupCoordinator, Out, ReplyId, group::Group};
use crate::groups::types::*;

impl GroupCoordinator {
    pub(super) fn heartbeat(&mut self, who: &MemberRef) -> Result<(), GroupError> {
        if who.group.is_empty() {
            return Err(GroupError::GroupIdInvalid);
        }
        let group = self.groups.get_mut(who.group.as_str()).ok_or(GroupError::UnknownMember)?;
        let Some(consumer) = &mut group.consumer else {
            // Sessions only get longer here, so the timer may stay: it fires once too early and is set anew.
            return group.heartbeat(&self.out, who);
        };
        let result = consumer.heartbeat_of_classic(&self.out, who);
        self.rearm(&who.group.as_str().into());
        result
    }

    pub(super) fn leave(&mut self, reply: ReplyId, name: &str, leavers: &[Leaver]) {
        let name: Arc<str> = name.into();
        if let Some(consumer) = self.groups.get_mut(&name).and_then(|g| g.consumer.as_mut()) {
            // An admin removes members, or one of the classic protocol leaves (KIP-848 knows no LeaveGroup of the others).
            let found: Vec<_> = leavers.iter().map(|leaver| consumer.leaver(leaver)).collect();
            let members = found.iter().flatten().cloned().collect();
            consumer.remove(&self.out, &self.topics, &name, &members);
            let results = found.into_iter().map(|result| result.map(drop)).collect();
            return self.settle(&name, Some((reply, Answer::Each(results))));
        }
        let results = self.leave_classic(&name, leavers);
        self.out.answer(reply, Answer::Each(results));
    }

    fn leave_classic(&mut self, name: &Arc<str>, leavers: &[Leaver]) -> Vec<Result<(), GroupError>> {
        let Some(group) = self.groups.get_mut(name) else {
            let error = if name.is_empty() { GroupError::GroupIdInvalid } else { GroupError::UnknownMember };
            return leavers.iter().map(|_| Err(error)).collect();
        };
        let results = leavers.iter().map(|leaver| group.leave(&mut self.out, leaver)).collect();
        self.rearm(name);
        results
    }
}

impl Group {
    fn heartbeat(&mut self, out: &Out, who: &MemberRef) -> Result<(), GroupError> {
        self.check_member(&who.member, who.instance.as_deref())?;
        if who.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.renew(out, &who.member);
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn leave(&mut self, out: &mut Out, leaver: &Leaver) -> Result<(), GroupError> {
        let member = match &leaver.instance {
            Some(instance) => {
                let member = self.instances.get(instance).cloned().ok_or(GroupError::UnknownMember)?;
                if !leaver.member.is_empty() && leaver.member != member {
                    return Err(GroupError::FencedInstanceId);
                }
                member
            }
            None if self.pending.remove(&leaver.member).is_some() => {
                self.try_complete_join(out);
                return Ok(());
            }
            None => {
                self.check_member(&leaver.member, None)?;
                leaver.member.clone()
            }
        };
        tracing::info!(group = %self.id, member, "member left");
        self.remove_member(out, &member);
        Ok(())
    }

    /// Takes a member out; the others share what it had.
    pub(super) fn remove_member(&mut self, out: &mut Out, id: &str) {
        let Some(mut member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if let Some(reply) = member.awaiting_join.take() {
            let answer = JoinAnswer::refused(GroupError::UnknownMember, id.to_owned());
            out.answer(reply, Answer::Join(answer));
        }
        if let Some(reply) = member.awaiting_sync.take() {
            out.answer(reply, Answer::Sync(SyncAnswer::refused(GroupError::UnknownMember)));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members_in_order().first().map(|m| m.id.clone());
        }
        match self.state {
            GroupState::Empty => {}
            GroupState::PreparingRebalance if self.members.is_empty() && self.pending.is_empty() => {
                self.complete_join(out)
            }
            GroupState::PreparingRebalance => self.try_complete_join(out),
            GroupState::CompletingRebalance | GroupState::Stable => self.rebalance(out),
        }
    }

    /// The member is known, and nobody took over its instance id.
    pub(super) fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if current != member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    pub(super) fn renew(&mut self, out: &Out, member: &str) {
        if let Some(member) = self.members.get_mut(member) {
            member.renew(out.now.monotonic);
        }
    }
}
