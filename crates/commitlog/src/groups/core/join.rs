//! The way into a generation: joining, rebalancing, and the moment a generation begins.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    Answer, GroupCoordinator, Out, Records, ReplyId, Write,
    group::{Group, Member, Phase},
};
use crate::groups::types::*;

impl JoinAnswer {
    pub(in crate::groups) fn refused(error: GroupError, member: String) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            member,
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

impl GroupCoordinator {
    pub(super) fn join(&mut self, reply: ReplyId, request: JoinRequest, fresh: u128) {
        let settings = &self.out.settings;
        let known = self.groups.contains_key(request.group.as_str());
        let refusal = if request.group.is_empty() {
            Some(GroupError::GroupIdInvalid)
        } else if request.session_timeout < settings.session_timeout_min
            || request.session_timeout > settings.session_timeout_max
        {
            Some(GroupError::InvalidSessionTimeout)
        } else if let Err(error) = check_protocols(&request, settings) {
            Some(error)
        } else if !known && !request.member.is_empty() {
            Some(GroupError::UnknownMember)
        } else if !known && self.groups.len() >= settings.groups_max {
            Some(GroupError::GroupMaxSizeReached)
        } else {
            None
        };
        if let Some(error) = refusal {
            return self.out.answer(reply, Answer::Join(JoinAnswer::refused(error, request.member)));
        }
        let name: Arc<str> = request.group.as_str().into();
        let now_ms = self.out.now.wall_ms;
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group::new(name.clone(), now_ms));
        if group.consumer.is_some() {
            if !group.has_no_members() {
                return self.join_of_classic(reply, &name, request, fresh);
            }
            if !request.member.is_empty() {
                let answer = JoinAnswer::refused(GroupError::UnknownMember, request.member);
                return self.out.answer(reply, Answer::Join(answer));
            }
            group.become_classic(&mut self.out);
        }
        if let Err(refused) = group.join(&mut self.out, reply, &request, fresh) {
            self.out.answer(reply, Answer::Join(refused.answer(request.member)));
        }
        self.rearm(&name);
    }
}

/// Most protocols of a member. Real ones have a handful; each is compared with those of all others, while all groups wait.
const PROTOCOLS_MAX: usize = 100;

/// What a group keeps of each member has an end.
fn check_protocols(request: &JoinRequest, settings: &GroupSettings) -> Result<(), GroupError> {
    let bytes: usize = request.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
    if request.protocols.len() > PROTOCOLS_MAX {
        Err(GroupError::InvalidRequest("the member has too many protocols"))
    } else if bytes > settings.subscription_bytes_max {
        Err(GroupError::InvalidRequest("the protocols of the member take too many bytes"))
    } else {
        Ok(())
    }
}

pub(super) fn have_a_common_one<'a>(
    wanted: &[(String, Bytes)],
    others: impl Iterator<Item = &'a [(String, Bytes)]>,
) -> bool {
    let mut common: HashSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    for theirs in others {
        let theirs: HashSet<&str> = theirs.iter().map(|(name, _)| name.as_str()).collect();
        common.retain(|name| theirs.contains(name));
        if common.is_empty() {
            break;
        }
    }
    !common.is_empty()
}

pub(super) enum Refused {
    Because(GroupError),
    JoinAgainAs(String),
}

impl Refused {
    pub(super) fn answer(self, asked_as: String) -> JoinAnswer {
        match self {
            Self::Because(error) => JoinAnswer::refused(error, asked_as),
            Self::JoinAgainAs(member) => JoinAnswer::refused(GroupError::MemberIdRequired, member),
        }
    }
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Self {
        Self::Because(error)
    }
}

impl Group {
    fn join(&mut self, out: &mut Out, reply: ReplyId, request: &JoinRequest, fresh: u128) -> Result<(), Refused> {
        if !self.can_follow(request) {
            return Err(GroupError::InconsistentProtocol.into());
        }
        if request.member.is_empty() {
            self.join_unknown(out, reply, request, fresh)
        } else {
            self.rejoin(out, reply, request)
        }
    }

    /// A member without an id: new, or a static one that came back.
    fn join_unknown(
        &mut self,
        out: &mut Out,
        reply: ReplyId,
        request: &JoinRequest,
        fresh: u128,
    ) -> Result<(), Refused> {
        let member = request.fresh_id(fresh);
        if let Some(instance) = &request.instance {
            if let Some(old) = self.instances.get(instance).and_then(|id| self.members.remove(id)) {
                self.replace_static(out, reply, request, old, member);
                return Ok(());
            }
        } else if request.knows_member_id_first {
            self.check_room(out)?;
            self.pending.insert(member.clone(), out.now.monotonic + request.session_timeout);
            return Err(Refused::JoinAgainAs(member));
        }
        self.check_room(out)?;
        self.add_member(out, reply, request, member);
        Ok(())
    }

    /// A member with an id: expected, known, or fenced.
    fn rejoin(&mut self, out: &mut Out, reply: ReplyId, request: &JoinRequest) -> Result<(), Refused> {
        if request.instance.is_none() && self.pending.remove(&request.member).is_some() {
            self.add_member(out, reply, request, request.member.clone());
            return Ok(());
        }
        self.check_member(&request.member, request.instance.as_deref())?;
        let unchanged = self.members[&request.member].protocols == request.protocols;
        let is_leader = self.leader.as_ref() == Some(&request.member);
        match self.state {
            GroupState::Empty => return Err(GroupError::UnknownMember.into()),
            GroupState::PreparingRebalance => self.park_join(out, reply, request),
            GroupState::CompletingRebalance if unchanged => {
                // The answer was lost: the same once more.
                let answer = self.generation_answer(&request.member);
                out.answer(reply, Answer::Join(answer));
                self.renew(out, &request.member);
            }
            GroupState::Stable if unchanged && !is_leader => {
                let answer = self.generation_answer(&request.member);
                out.answer(reply, Answer::Join(answer));
                self.renew(out, &request.member);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.park_join(out, reply, request);
                self.rebalance(out);
            }
        }
        Ok(())
    }

    /// A protocol of this type that everybody, the newcomer included, can follow.
    fn can_follow(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(&request.protocol_type)
            && have_a_common_one(&request.protocols, self.members.values().map(|m| m.protocols.as_slice()))
    }

    fn check_room(&self, out: &Out) -> Result<(), GroupError> {
        let full = self.members.len() + self.pending.len() >= out.settings.members_max;
        if full { Err(GroupError::GroupMaxSizeReached) } else { Ok(()) }
    }

    fn add_member(&mut self, out: &mut Out, reply: ReplyId, request: &JoinRequest, id: String) {
        self.protocol_type = Some(request.protocol_type.clone());
        if let Some(instance) = &request.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            id: id.clone(),
            instance: request.instance.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols.clone(),
            order: self.next_order,
            awaiting_join: Some(reply),
            knows_skip_assignment: request.knows_skip_assignment,
            is_new: true,
            deadline: out.now.monotonic + out.settings.new_member_join_timeout,
            ..Member::default()
        };
        self.next_order += 1;
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        if let Phase::InitialDelay { arrived, .. } = &mut self.phase {
            *arrived = true;
        }
        self.rebalance(out);
    }

    fn park_join(&mut self, out: &mut Out, reply: ReplyId, request: &JoinRequest) {
        let Some(member) = self.members.get_mut(&request.member) else { return };
        member.update(request);
        if let Some(earlier) = member.awaiting_join.replace(reply) {
            // The client asked again on another connection; the first question has nobody left to hear the answer.
            out.answer(
                earlier,
                Answer::Join(JoinAnswer::refused(GroupError::RebalanceInProgress, request.member.clone())),
            );
        }
        self.try_complete_join(out);
    }

    /// A static member is back under a new id (KIP-345). Its old self is fenced; the group goes on if it can.
    fn replace_static(
        &mut self,
        out: &mut Out,
        reply: ReplyId,
        request: &JoinRequest,
        mut member: Member,
        new: String,
    ) {
        let old = std::mem::replace(&mut member.id, new.clone());
        let fenced = GroupError::FencedInstanceId;
        if let Some(parked) = member.awaiting_join.take() {
            out.answer(parked, Answer::Join(JoinAnswer::refused(fenced, old.clone())));
        }
        if let Some(parked) = member.awaiting_sync.take() {
            out.answer(parked, Answer::Sync(SyncAnswer::refused(fenced)));
        }
        member.update(request);
        member.renew(out.now.monotonic);
        self.members.insert(new.clone(), member);
        if let Some(instance) = &request.instance {
            self.instances.insert(instance.clone(), new.clone());
        }
        let old_leader = self.leader.clone();
        let leads = old_leader.as_ref() == Some(&old);
        if leads {
            self.leader = Some(new.clone());
        }
        match self.state {
            GroupState::Stable if self.choose_protocol() == self.protocol => {
                let mut answer = self.generation_answer(&new);
                if leads && request.knows_skip_assignment {
                    answer.skip_assignment = true;
                } else {
                    // The client must not think that it has to assign.
                    answer.leader = old_leader.unwrap_or_default();
                    answer.members.clear();
                }
                let records = self.records(out);
                let answers = vec![(reply, Answer::Join(answer))];
                out.write(records, Write::Upkeep { group: Some(self.id.clone()), answers });
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(&new) {
                    member.awaiting_join = Some(reply);
                }
                self.rebalance(out);
            }
            GroupState::PreparingRebalance | GroupState::Empty => {
                if let Some(member) = self.members.get_mut(&new) {
                    member.awaiting_join = Some(reply);
                }
                self.try_complete_join(out);
            }
        }
    }

    /// Calls everybody to join again, unless that is going on already.
    pub(super) fn rebalance(&mut self, out: &mut Out) {
        let now = out.now.monotonic;
        match self.state {
            GroupState::PreparingRebalance => {}
            GroupState::Empty => {
                let delay = out.settings.initial_rebalance_delay;
                self.phase = if delay.is_zero() {
                    Phase::Joining { until: now + self.rebalance_timeout() }
                } else {
                    let at_most = now + self.rebalance_timeout().max(delay);
                    Phase::InitialDelay { until: now + delay, at_most, arrived: false }
                };
                self.enter(GroupState::PreparingRebalance, out);
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.refuse_syncs(out, GroupError::RebalanceInProgress);
                if self.state == GroupState::CompletingRebalance {
                    self.members.values_mut().for_each(|m| m.assignment.clear());
                }
                self.phase = Phase::Joining { until: now + self.rebalance_timeout() };
                self.enter(GroupState::PreparingRebalance, out);
            }
        }
        self.try_complete_join(out);
    }

    /// Begins the generation as soon as everybody expected is there.
    pub(super) fn try_complete_join(&mut self, out: &mut Out) {
        let all_there = self.pending.is_empty() && self.members.values().all(|m| m.awaiting_join.is_some());
        if self.state == GroupState::PreparingRebalance && all_there && matches!(self.phase, Phase::Joining { .. }) {
            self.complete_join(out);
        }
    }

    /// The join phase is over, whoever is there.
    pub(super) fn complete_join(&mut self, out: &mut Out) {
        let late: Vec<_> = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && m.instance.is_none())
            .map(|m| m.id.clone())
            .collect();
        for member in late {
            tracing::info!(group = %self.id, member, "did not join again in time: member removed");
            self.members.remove(&member);
        }
        if self.members.is_empty() {
            return self.become_empty(out);
        }
        let joined = |id: &String| self.members.get(id).is_some_and(|m| m.awaiting_join.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            match self.members_in_order().into_iter().find(|m| m.awaiting_join.is_some()) {
                Some(first) => self.leader = Some(first.id.clone()),
                None => {
                    // Only static members, none back yet: their sessions decide.
                    self.phase = Phase::Joining { until: out.now.monotonic + self.rebalance_timeout() };
                    return;
                }
            }
        }
        assert!(self.generation < i32::MAX, "GRP-3: generations only rise");
        self.generation += 1;
        self.protocol = self.choose_protocol();
        self.phase = Phase::Syncing { until: out.now.monotonic + self.rebalance_timeout() };
        self.enter(GroupState::CompletingRebalance, out);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.generation_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.synced = false;
            member.renew(out.now.monotonic);
            if let Some(reply) = member.awaiting_join.take() {
                out.answer(reply, Answer::Join(answer));
            }
        }
    }

    /// What a classic group is, and no longer what it was before.
    pub(super) fn records(&mut self, out: &Out) -> Records {
        let record = self.record();
        out.leftovers_of(&self.id).chain([record]).collect()
    }

    fn become_empty(&mut self, out: &mut Out) {
        self.generation += 1;
        self.protocol = None;
        self.leader = None;
        self.instances.clear();
        self.phase = Phase::Nothing;
        self.enter(GroupState::Empty, out);
        if self.stored || !self.offsets.is_empty() {
            let records = self.records(out);
            out.write(records, Write::Upkeep { group: Some(self.id.clone()), answers: Vec::new() });
        }
    }

    /// Of the protocols everybody knows, the one most prefer.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let members = self.members_in_order();
        let mut knowing: HashMap<&str, usize> = HashMap::new();
        for member in &members {
            let names: HashSet<&str> = member.protocols.iter().map(|(name, _)| name.as_str()).collect();
            names.into_iter().for_each(|name| *knowing.entry(name).or_default() += 1);
        }
        let favourites: Vec<&str> = members
            .iter()
            .copied()
            .filter_map(|member| {
                let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
                names.find(|name| knowing[name] == members.len())
            })
            .collect();
        let mut votes: HashMap<&str, usize> = HashMap::new();
        favourites.iter().for_each(|name| *votes.entry(name).or_default() += 1);
        let most = votes.values().copied().max()?;
        // Among equals, that of the member that came first.
        favourites.into_iter().find(|name| votes[name] == most).map(str::to_owned)
    }

    /// What `member` is told of the current generation.
    fn generation_answer(&self, member: &str) -> JoinAnswer {
        let leads = self.leader.as_deref() == Some(member);
        let protocol = self.protocol.clone().unwrap_or_default();
        let joined = |m: &Member| JoinedMember {
            member: m.id.clone(),
            instance: m.instance.clone(),
            metadata: m.metadata(&protocol),
        };
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: member.to_owned(),
            skip_assignment: false,
            members: if leads { self.members_in_order().into_iter().map(joined).collect() } else { Vec::new() },
        }
    }
}

impl JoinRequest {
    /// The id of a member that has none.
    pub(super) fn fresh_id(&self, fresh: u128) -> String {
        let prefix = self.instance.as_ref().unwrap_or(&self.client_id);
        format!("{prefix}-{}", uuid::Uuid::from_u128(fresh).hyphenated())
    }
}

impl Member {
    fn update(&mut self, request: &JoinRequest) {
        self.protocols.clone_from(&request.protocols);
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.client_id.clone_from(&request.client_id);
        self.client_host.clone_from(&request.client_host);
        self.knows_skip_assignment = request.knows_skip_assignment;
    }
}
