//! The one request of a member: what it may say, what becomes of it, what it is told (KIP-848, "Consumer Group Heartbeat").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{ConsumerGroup, LEFT_FOR_A_WHILE, Member, Step, assign::Assignor, subscription};
use crate::groups::{records::consumer::Line, types::*};

/// What can be seen from the request alone.
pub(super) fn check(request: &ConsumerHeartbeat, settings: &GroupSettings) -> Result<(), GroupError> {
    let invalid = |why| Err(GroupError::InvalidRequest(why));
    let blank = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    if request.group.is_empty() {
        return invalid("the group id is empty");
    }
    if blank(&request.instance) || blank(&request.rack) {
        return invalid("an instance id or rack that is given must not be empty");
    }
    if request.member.is_empty() && (request.epoch > 0 || request.epoch == -1) {
        return invalid("a member that joined must say its member id");
    }
    match request.epoch {
        0 if request.rebalance_timeout.is_none() => {
            return invalid("a member that joins must say its rebalance timeout");
        }
        0 if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("a member that joins must say that it owns no partitions");
        }
        0 if request.topics.is_none() && request.regex.is_none() => {
            return invalid("a member that joins must say what it subscribes to");
        }
        LEFT_FOR_A_WHILE if request.instance.is_none() => {
            return invalid("only a member with an instance id can leave for a while");
        }
        epoch if epoch < LEFT_FOR_A_WHILE => return invalid("there is no such member epoch"),
        _ => {}
    }
    let names: usize = request.topics.iter().flatten().map(|name| name.len()).sum();
    if names > settings.subscription_bytes_max {
        return invalid("the names of the topics subscribed to take too many bytes: subscribe to a regular expression");
    }
    if request.assignor.as_deref().is_some_and(|name| Assignor::of_name(name).is_none()) {
        return Err(GroupError::UnsupportedAssignor);
    }
    match request.regex.as_deref().filter(|pattern| !pattern.is_empty()) {
        Some(pattern) => subscription::compile(pattern, settings).map(drop),
        None => Ok(()),
    }
}

impl ConsumerGroup {
    /// A member joins, or is alive.
    pub(super) fn live(
        &mut self,
        step: &Step<'_>,
        request: &ConsumerHeartbeat,
        fresh: u128,
    ) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        let (id, is_new) = self.enroll(step, request, fresh)?;
        let with_other_eyes = self.members[&id].viewer != request.viewer;
        let seen_before = with_other_eyes.then(|| self.topics_seen_by(&id));
        let member = self.members.get_mut(&id).expect("enrolled just now");
        // A member of the classic protocol may change over.
        let changes_over = member.subscription.classic.take().is_some();
        (member.join_until, member.sync_until) = (None, None);
        // It joins, or missed the answer that gave it its epoch.
        let is_behind = request.epoch == 0 || request.epoch != member.progress.epoch;
        member.session_until = step.now() + step.out.settings.consumer_session_timeout_of(step.group);
        let told = member.subscription.update(request);
        member.viewer.clone_from(&request.viewer);
        if told.anything || changes_over {
            self.touched.insert(Line::Member(id.clone()));
        }
        // Kafka resolves expressions behind the answer, and clients count on hearing of the topics they named before those that
        // match. Who named none need not wait for the next heartbeat.
        let is_later = !member.subscription.topics.is_empty() && (is_new || told.subscription);
        let has_new_regex = self.has_new_regex(&id);
        if has_new_regex && !is_later {
            self.resolve_regex(&id, step);
        }
        if told.subscription || with_other_eyes {
            self.forget_unused_regexes();
        }
        let sees_other =
            self.refresh_regex(&id, step) || seen_before.is_some_and(|before| before != self.topics_seen_by(&id));
        if is_new || told.subscription || sees_other || self.epoch == 0 {
            self.bump(step);
        }
        let changed = self.reconcile(step, &id, request.owned.as_ref());
        if has_new_regex && is_later {
            self.resolve_regex(&id, step);
            if self.matches_more(&id) {
                self.bump(step);
            }
        }
        let progress = &mut self.members.get_mut(&id).expect("enrolled just now").progress;
        if request.epoch > 0 {
            // What it was given since, step by step, it may not have heard of. What it said before was long on its way if it comes
            // now, and what it held then says nothing. The log may hold an older one, and takes more for lost.
            progress.previous_epoch = request.epoch;
        }
        // A full request is what a client sends that is not sure any more what it was told.
        let is_full = request.rebalance_timeout.is_some()
            && (request.topics.is_some() || request.regex.is_some())
            && request.owned.is_some();
        let assignment = (changed || is_full || is_behind).then(|| progress.assigned.clone());
        Ok(ConsumerHeartbeatAnswer { member: id.to_string(), epoch: progress.epoch, assignment })
    }

    /// The member that speaks; says whether the group had none like it.
    fn enroll(
        &mut self,
        step: &Step<'_>,
        request: &ConsumerHeartbeat,
        fresh: u128,
    ) -> Result<(Arc<str>, bool), GroupError> {
        let joins = request.epoch == 0;
        let id: Arc<str> = if request.member.is_empty() {
            uuid::Uuid::from_u128(fresh).hyphenated().to_string().into()
        } else {
            request.member.as_str().into()
        };
        let holder = request.instance.as_ref().map(|instance| self.instances.get(instance).cloned());
        match holder {
            Some(Some(holder)) if joins => {
                let holding = &self.members[&holder];
                let has_left = holding.progress.epoch == LEFT_FOR_A_WHILE || holding.is_classic();
                if holder != id && !has_left {
                    return Err(GroupError::UnreleasedInstanceId);
                }
                self.replace(step, &holder, &id);
                return Ok((id, false));
            }
            Some(Some(holder)) if holder != id => return Err(GroupError::FencedInstanceId),
            Some(None) if !joins => return Err(GroupError::UnknownMember),
            _ => {}
        }
        let Some(member) = self.members.get(&id) else {
            if !joins {
                return Err(GroupError::UnknownMember);
            }
            if self.members.len() >= step.out.settings.members_max {
                return Err(GroupError::GroupMaxSizeReached);
            }
            self.admit(step, &id, request.instance.as_ref());
            return Ok((id, true));
        };
        if joins {
            // Its answer was lost, or it was told to start anew: it has empty hands, so nothing can be held twice.
            self.replace(step, &id, &id);
        } else {
            check_epoch(member, request)?;
        }
        Ok((id, false))
    }

    pub(super) fn admit(&mut self, step: &Step<'_>, id: &Arc<str>, instance: Option<&String>) {
        tracing::info!(group = step.group, member = %id, instance, "member joins");
        if self.members.is_empty() {
            self.since_ms = step.out.now.wall_ms;
        }
        let mut member = Member::default();
        if let Some(instance) = instance {
            member.subscription.instance = Some(instance.clone());
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.insert(id.clone(), member);
        self.touched.extend([Line::Member(id.clone()), Line::Target(id.clone()), Line::Current(id.clone())]);
    }

    /// A member starts anew, maybe under a new id, with what it had (KIP-345, KIP-848).
    pub(super) fn replace(&mut self, step: &Step<'_>, old: &Arc<str>, new: &Arc<str>) {
        let mut member = self.members.remove(old).expect("found by the caller");
        tracing::info!(group = step.group, member = %new, replaced = %old, "member joins again");
        let anew = member.progress.joined_anew();
        let before = std::mem::replace(&mut member.progress, anew);
        member.revoke_until = None;
        if let Some(instance) = &member.subscription.instance {
            self.instances.insert(instance.clone(), new.clone());
        }
        self.let_go(&before);
        self.owners.extend(member.progress.held().map(|place| (*place, new.clone())));
        for id in [old, new] {
            self.touched.extend([Line::Member(id.clone()), Line::Target(id.clone()), Line::Current(id.clone())]);
        }
        self.members.insert(new.clone(), member);
    }

    /// A member leaves, for good or for a while.
    pub(super) fn leave(
        &mut self,
        step: &Step<'_>,
        request: &ConsumerHeartbeat,
    ) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        let leaver = Leaver { member: request.member.clone(), instance: request.instance.clone() };
        let id = self.leaver(&leaver)?;
        if request.epoch == LEFT_FOR_A_WHILE {
            tracing::info!(group = step.group, member = %id, "static member left for a while");
            let member = self.members.get_mut(&id).expect("found above");
            let mut progress = member.progress.joined_anew();
            progress.epoch = LEFT_FOR_A_WHILE;
            let before = std::mem::replace(&mut member.progress, progress);
            member.revoke_until = None;
            self.account(&id, &before);
            self.touched.insert(Line::Current(id.clone()));
        } else {
            tracing::info!(group = step.group, member = %id, "member left");
            self.remove_members(step, &BTreeSet::from([id.clone()]));
        }
        Ok(ConsumerHeartbeatAnswer { member: id.to_string(), epoch: request.epoch, assignment: None })
    }
}

/// The member says the epoch it was given last; or one since the last that it said, if all it holds is still its own: then it
/// missed answers. (Kafka, where an answer that cannot be written changes nothing, takes this from whoever missed one answer and
/// holds nothing that it was to give up.)
fn check_epoch(member: &Member, request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let progress = &member.progress;
    let has_said_one = progress.previous_epoch > 0;
    let missed_answers = has_said_one
        && (progress.previous_epoch..progress.epoch).contains(&request.epoch)
        && request.owned.as_ref().is_some_and(|owned| owned.iter().all(|place| progress.holds(place)));
    if request.epoch == progress.epoch || missed_answers { Ok(()) } else { Err(GroupError::FencedMemberEpoch) }
}

/// What a request changed of what is known of a member.
struct Told {
    anything: bool,
    /// The topics it wants to read.
    subscription: bool,
}

impl crate::groups::records::consumer::StoredSubscription {
    fn update(&mut self, request: &ConsumerHeartbeat) -> Told {
        fn set<T: PartialEq>(place: &mut T, value: Option<T>) -> bool {
            match value {
                Some(value) if *place != value => {
                    *place = value;
                    true
                }
                _ => false,
            }
        }
        let pattern = self.pattern().cloned();
        let said_of_regex = set(&mut self.regex, request.regex.clone().map(Some));
        let subscription =
            set(&mut self.topics, request.topics.as_ref().map(|topics| topics.iter().cloned().collect()))
                | (pattern.as_ref() != self.pattern());
        let details = said_of_regex
            | set(&mut self.rack, request.rack.clone().map(Some))
            | set::<Duration>(&mut self.rebalance_timeout, request.rebalance_timeout)
            | set(&mut self.assignor, request.assignor.clone().map(Some))
            | set(&mut self.client_id, Some(request.client_id.clone()))
            | set(&mut self.client_host, Some(request.client_host.clone()));
        Told { anything: subscription | details, subscription }
    }
}
