//! Members of the classic protocol in a group of the consumer protocol (KIP-848, "Online migration"): they join, sync and send
//! heartbeats as ever, and are led to their target like everybody else. Their generation is their member epoch.
//!
//! ```text
//! heartbeat ─► REBALANCE_IN_PROGRESS: there is something to give up or to get
//! join      ─► tells what it wants and what it holds; answered at once with its epoch: there is no barrier, and no leader
//! sync      ─► what it may hold now
//! ```
//! Eager members come to a join with empty hands. Cooperative ones keep what they have, learn from sync what to give up, and
//! join again when they have.

use std::{collections::HashMap, sync::Arc};

use model::TopicId;

use super::{
    ConsumerGroup, Member, Step,
    migration::{by_id, written},
    reconcile::State,
};
use crate::groups::{
    core::{
        Answer, GroupCoordinator, Out, ReplyId,
        join::{Refused, have_a_common_one},
    },
    records::{
        consumer::{Line, StoredClassic, StoredSubscription},
        embedded,
    },
    types::*,
};

/// The type of the classic protocol that consumers speak.
const CONSUMERS: &str = "consumer";

/// A join that was taken.
struct Joined {
    answer: JoinAnswer,
    /// It took the place of a static member that subscribed to the same.
    is_replacement: bool,
}

impl GroupCoordinator {
    /// A join to a group of the consumer protocol that has members.
    pub(in crate::groups::core) fn join_of_classic(
        &mut self,
        reply: ReplyId,
        name: &Arc<str>,
        request: JoinRequest,
        fresh: u128,
    ) {
        let Some(consumer) = self.groups.get_mut(name).and_then(|group| group.consumer.as_mut()) else { return };
        let step = Step { out: &self.out, topics: &self.topics, group: name };
        match consumer.join_of_classic(&step, &request, fresh) {
            Err(refused) => self.settle(name, Some((reply, Answer::Join(refused.answer(request.member))))),
            Ok(Joined { mut answer, is_replacement }) if consumer.is_all_classic() => {
                // It replaced the last one that spoke the consumer protocol.
                answer.generation = consumer.epoch;
                let is_settled = is_replacement && consumer.has_arrived();
                self.downgrade(name, Some((reply, Answer::Join(answer))), !is_settled);
            }
            Ok(Joined { answer, .. }) => self.settle(name, Some((reply, Answer::Join(answer)))),
        }
    }
}

impl ConsumerGroup {
    fn join_of_classic(&mut self, step: &Step<'_>, request: &JoinRequest, fresh: u128) -> Result<Joined, Refused> {
        let is_known = self.members.contains_key(request.member.as_str());
        if !is_known && self.members.len() >= step.out.settings.members_max {
            return Err(GroupError::GroupMaxSizeReached.into());
        }
        let subscription = match request.protocols.first() {
            // All protocols of a consumer carry the same subscription.
            Some((_, metadata)) if self.can_follow(request) => embedded::parse_subscription(metadata),
            _ => None,
        };
        let subscription = subscription.ok_or(GroupError::InconsistentProtocol)?;
        let (id, is_new, is_replacement) = self.enroll_classic(step, request, fresh)?;

        let now = step.now();
        let member = self.members.get_mut(&id).expect("enrolled just now");
        let wanted = StoredSubscription {
            instance: member.subscription.instance.clone(),
            rack: subscription.rack.or(member.subscription.rack.clone()),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            topics: subscription.topics.into_iter().collect(),
            regex: None,
            rebalance_timeout: request.rebalance_timeout,
            assignor: None,
            classic: Some(StoredClassic {
                session_timeout: request.session_timeout,
                protocols: request.protocols.clone(),
            }),
        };
        let wants_other = !member.subscription.means_the_same(&wanted);
        if member.subscription != wanted {
            member.subscription = wanted;
            self.touched.insert(Line::Member(id.clone()));
        }
        member.session_until = now + request.session_timeout;
        member.sync_until = Some(now + request.rebalance_timeout);
        (member.join_until, member.revoke_until) = (None, None);
        if wants_other {
            self.forget_unused_regexes();
        }
        if is_new || wants_other || self.epoch == 0 {
            self.bump(step);
        }
        self.reconcile(step, &id, Some(&by_id(&subscription.owned, step.topics)));
        let answer = JoinAnswer {
            error: None,
            generation: self.members[&id].progress.epoch,
            protocol_type: Some(CONSUMERS.to_owned()),
            protocol: request.protocols.first().map(|(name, _)| name.clone()),
            leader: String::new(),
            member: id.to_string(),
            skip_assignment: false,
            members: Vec::new(),
        };
        Ok(Joined { answer, is_replacement: is_replacement && !wants_other })
    }

    /// A protocol of consumers that all members of the classic kind can follow: they may be a classic group again.
    fn can_follow(&self, request: &JoinRequest) -> bool {
        let others = self.members.iter().filter(|(id, _)| ***id != request.member);
        let classic = others.filter_map(|(_, member)| member.subscription.classic.as_ref());
        request.protocol_type == CONSUMERS
            && have_a_common_one(&request.protocols, classic.map(|classic| classic.protocols.as_slice()))
    }

    /// The member that joins; whether it is new; whether it took the place of another.
    fn enroll_classic(
        &mut self,
        step: &Step<'_>,
        request: &JoinRequest,
        fresh: u128,
    ) -> Result<(Arc<str>, bool, bool), Refused> {
        let is_anonymous = request.member.is_empty();
        let id: Arc<str> = if is_anonymous { request.fresh_id(fresh).into() } else { request.member.as_str().into() };
        let Some(instance) = &request.instance else {
            if is_anonymous && request.knows_member_id_first {
                return Err(Refused::JoinAgainAs(id.to_string()));
            }
            let is_new = !self.members.contains_key(&id);
            if is_new {
                self.admit(step, &id, None);
            }
            return Ok((id, is_new, false));
        };
        match self.instances.get(instance).cloned() {
            None if is_anonymous => {
                self.admit(step, &id, Some(instance));
                Ok((id, true, false))
            }
            None => Err(GroupError::UnknownMember.into()),
            Some(holder) if is_anonymous => {
                self.replace(step, &holder, &id);
                Ok((id, false, true))
            }
            Some(holder) if holder != id => Err(GroupError::FencedInstanceId.into()),
            Some(_) => Ok((id, false, false)),
        }
    }

    pub(in crate::groups::core) fn sync_of_classic(
        &mut self,
        out: &Out,
        topics: &TopicsSeen,
        request: &SyncRequest,
    ) -> Result<SyncAnswer, GroupError> {
        let epoch = self.epoch;
        let member = self.classic_member(&request.who)?;
        let classic = member.subscription.classic.as_ref().expect("checked above");
        let (protocol, metadata) = classic.protocols.first().cloned().unwrap_or_default();
        let differs = |given: &Option<String>, ours: &str| given.as_ref().is_some_and(|given| given != ours);
        if differs(&request.protocol_type, CONSUMERS) || differs(&request.protocol, &protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        // Whoever has to give up something first does that, and joins again for the newest target afterwards.
        if member.progress.epoch < epoch && !member.progress.is_revoking() {
            member.await_join(out);
            return Err(GroupError::RebalanceInProgress);
        }
        member.sync_until = None;
        member.session_until = out.now.monotonic + member.session_timeout(&out.settings, &request.who.group);
        let names: HashMap<TopicId, &Arc<str>> = topics.iter().map(|(name, (id, _))| (*id, name)).collect();
        Ok(SyncAnswer {
            error: None,
            protocol_type: Some(CONSUMERS.to_owned()),
            protocol: Some(protocol),
            assignment: written(&member.progress.assigned, &metadata, &names),
        })
    }

    pub(in crate::groups::core) fn heartbeat_of_classic(
        &mut self,
        out: &Out,
        who: &MemberRef,
    ) -> Result<(), GroupError> {
        let member = self.classic_member(who)?;
        member.session_until = out.now.monotonic + member.session_timeout(&out.settings, &who.group);
        if !self.has_to_join(&who.member) {
            return Ok(());
        }
        self.classic_member(who)?.await_join(out);
        Err(GroupError::RebalanceInProgress)
    }

    /// There is a newer target, or the member has something to give up, or all it waits for can be had.
    fn has_to_join(&self, id: &str) -> bool {
        let member = &self.members[id];
        let is_free = |place| self.owners.get(place).is_none_or(|owner| **owner == *id);
        match member.progress.state {
            _ if member.progress.epoch < self.epoch => true,
            State::Stable => false,
            State::Unrevoked => true,
            State::Unreleased => member.target.difference(&member.progress.assigned).all(is_free),
        }
    }

    /// The member that speaks, if it speaks the classic protocol, holds its instance id, and is of the epoch it was given last.
    fn classic_member(&mut self, who: &MemberRef) -> Result<&mut Member, GroupError> {
        if let Some(instance) = &who.instance {
            let holder = self.instances.get(instance).ok_or(GroupError::UnknownMember)?;
            if **holder != *who.member {
                return Err(GroupError::FencedInstanceId);
            }
        }
        match self.members.get_mut(who.member.as_str()) {
            Some(member) if !member.is_classic() => Err(GroupError::UnknownMember),
            Some(member) if member.progress.epoch != who.generation => Err(GroupError::IllegalGeneration),
            Some(member) => Ok(member),
            None => Err(GroupError::UnknownMember),
        }
    }
}

impl Member {
    /// It has to join again in time.
    fn await_join(&mut self, out: &Out) {
        self.join_until.get_or_insert(out.now.monotonic + self.subscription.rebalance_timeout);
    }
}
