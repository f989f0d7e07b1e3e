//! A group of the consumer protocol (KIP-848): the coordinator shares the partitions, each member is led to its share.
//!
//! ```text
//! subscriptions, members, topics ──change──► group epoch + 1 ──assignor──► target of every member
//!                                                                             │  heartbeat by heartbeat, each on its own
//!           member:  epoch, what it may hold  ◄──revoke first, then grant what the others let go──┘
//! ```
//! One file for each part: [`heartbeat`] what a member says and is told, [`assign`] the assignors, [`reconcile`] a member's
//! way to its target, [`subscription`] topics and regular expressions, [`store`] what is kept in the log, [`migration`] how a
//! group comes from the classic protocol and goes back, and [`classic`] members that speak that one in between.
//!
//! What holds at any time:
//! * GRP-4: a partition is held (assigned, or still to be given up) by one member at most, also after a restart.
//! * GRP-5: a member is told of an epoch or an assignment only once it is durable, so neither goes back. A group's writes come one
//!   after the other, each with all that is not durable yet.
//! * GRP-6: a member whose epoch is the group's, and who waits for nothing, holds its target and nothing else.
//! * GRP-7: a member that speaks in time, and gives up in time what it has to, is not removed, also over a restart.

pub(in crate::groups) mod assign;
mod classic;
mod heartbeat;
mod migration;
mod reconcile;
mod store;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use model::{PartitionId, TimestampMs, TopicId};

use self::{
    assign::{Assignor, Sizes, Subscriber},
    reconcile::Progress,
    subscription::Resolved,
};
use super::{Answer, Answers, GroupCoordinator, Out, ReplyId, Write, WriteId};
use crate::{
    groups::{
        records::consumer::{Line, StoredSubscription},
        types::*,
    },
    planted::{self, Bug},
};

/// Epoch of a static member that left for a while (KIP-848).
const LEFT_FOR_A_WHILE: i32 = -2;

#[derive(Default)]
pub(super) struct ConsumerGroup {
    /// Rises with each change of members, subscriptions or topics; the target is always of this epoch.
    pub(super) epoch: i32,
    /// Of the target as it was replayed.
    target_epoch: i32,
    /// Of names, ids and sizes of the topics subscribed to: tells after a restart whether they changed.
    metadata_hash: i64,
    /// Wall time at which the group got or lost its members.
    pub(super) since_ms: TimestampMs,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    /// Member id of each static member, by instance id.
    instances: BTreeMap<String, Arc<str>>,
    /// GRP-4: who holds a partition.
    owners: BTreeMap<(TopicId, PartitionId), Arc<str>>,
    /// Topics each regular expression in use stands for, by who looks at them.
    resolved: BTreeMap<String, BTreeMap<Option<Arc<str>>, Resolved>>,
    /// What is not written as it is now.
    touched: BTreeSet<Line>,
    writing: Option<Writing>,
    /// Answers that rest on what is touched, or on all that is being written.
    waiting: Answers,
}

/// A group's write that is under way. The next one waits for it: so one that fails leaves nothing out of what is written after
/// it, and after a crash a group is as it was at one time.
struct Writing {
    id: WriteId,
    lines: Vec<Line>,
}

#[derive(Default)]
pub(super) struct Member {
    pub(super) subscription: StoredSubscription,
    /// Whose rights its regular expression is resolved with. Not known after a restart, until it speaks.
    viewer: Option<Viewer>,
    /// What it shall have.
    target: Partitions,
    /// Where it is on its way there.
    progress: Progress,
    /// When it is given up, if it says nothing.
    session_until: Duration,
    /// When it is given up, if it does not let go of what it shall give up.
    revoke_until: Option<Duration>,
    /// When a member of the classic protocol is given up, if it does not join again or sync.
    join_until: Option<Duration>,
    sync_until: Option<Duration>,
}

impl Member {
    /// Speaks the classic protocol.
    pub(super) fn is_classic(&self) -> bool {
        self.subscription.classic.is_some()
    }

    /// Its own, or that of its group.
    fn session_timeout(&self, settings: &GroupSettings, group: &str) -> Duration {
        let own = self.subscription.classic.as_ref().map(|classic| classic.session_timeout);
        own.unwrap_or_else(|| settings.consumer_session_timeout_of(group))
    }

    fn deadlines(&self) -> impl Iterator<Item = Duration> {
        [Some(self.session_until), self.revoke_until, self.join_until, self.sync_until].into_iter().flatten()
    }
}

impl GroupCoordinator {
    pub(super) fn consumer_heartbeat(&mut self, reply: ReplyId, request: &ConsumerHeartbeat, fresh: u128) {
        let name: Arc<str> = request.group.as_str().into();
        let result = self.try_consumer_heartbeat(&name, request, fresh);
        let answer = Answer::ConsumerHeartbeat(result);
        self.settle(&name, Some((reply, answer)));
    }

    fn try_consumer_heartbeat(
        &mut self,
        name: &Arc<str>,
        request: &ConsumerHeartbeat,
        fresh: u128,
    ) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        heartbeat::check(request, &self.out.settings)?;
        let joins = request.epoch == 0;
        let groups = self.groups.len();
        // The generation of the classic group that it was. What its leader had not shared out is nobody's yet.
        let mut former = None;
        let group = match self.groups.get_mut(name) {
            Some(group) if group.consumer.is_some() => group,
            Some(group) if joins && group.members.is_empty() => {
                group.become_consumer(&mut self.out);
                group
            }
            Some(group) if joins => {
                former = Some(group.generation);
                group.upgrade(&mut self.out, &self.topics)?;
                group
            }
            Some(_) => return Err(GroupError::GroupIdNotFound), // It speaks the classic protocol.
            None if joins && groups >= self.out.settings.groups_max => return Err(GroupError::GroupMaxSizeReached),
            None if joins => {
                let group = super::group::Group::new(name.clone(), self.out.now.wall_ms);
                let group = self.groups.entry(name.clone()).or_insert(group);
                group.become_consumer(&mut self.out);
                group
            }
            // Kafka says GROUP_ID_NOT_FOUND also to the living, which ends their client; this lets it join again.
            None if request.epoch > 0 => return Err(GroupError::UnknownMember),
            None => return Err(GroupError::GroupIdNotFound),
        };
        let consumer = group.consumer.as_mut().expect("made above if it was not there");
        let step = Step { out: &self.out, topics: &self.topics, group: name };
        let result =
            if request.epoch < 0 { consumer.leave(&step, request) } else { consumer.live(&step, request, fresh) };
        if former == Some(consumer.epoch) {
            consumer.bump(&step);
        }
        result
    }

    /// Writes what changed in a group, and answers when it is durable, together with all before it (GRP-5).
    pub(super) fn settle(&mut self, name: &Arc<str>, mut answer: Option<(ReplyId, Answer)>) {
        let consumer = self.groups.get_mut(name).and_then(|g| g.consumer.as_mut());
        if consumer.as_ref().is_some_and(|consumer| consumer.is_all_classic()) {
            return self.downgrade(name, answer, true);
        }
        let is_refusal = answer.as_ref().is_some_and(|(_, answer)| answer.is_refusal());
        let Some(consumer) = consumer.filter(|_| !is_refusal) else {
            if let Some((reply, answer)) = answer {
                self.out.answer(reply, answer);
            }
            return self.rearm(name);
        };
        if planted::is(Bug::EpochToldBeforeWritten)
            && let Some((reply, answer)) = answer.take()
        {
            self.out.answer(reply, answer);
        }
        consumer.waiting.extend(answer);
        self.write_touched(name);
        self.rearm(name);
    }

    /// Writes what changed in a group, and what waits for that is answered then; unless a write is under way: that comes first.
    fn write_touched(&mut self, name: &Arc<str>) {
        let Some(consumer) = self.groups.get_mut(name).and_then(|g| g.consumer.as_mut()) else { return };
        if let Some(writing) = &consumer.writing {
            // What rests on nothing newer need not wait longer.
            if consumer.touched.is_empty()
                && let Some(Write::Consumer { answers, .. }) = self.out.writes.get_mut(&writing.id)
            {
                answers.append(&mut consumer.waiting);
            }
            return;
        }
        let answers = consumer.take_waiting();
        if consumer.touched.is_empty() {
            return self.out.answer_all(answers, true);
        }
        let lines: Vec<_> = std::mem::take(&mut consumer.touched).into_iter().collect();
        let records = lines.iter().map(|line| consumer.record(name, line)).collect();
        let id = self.out.write(records, Write::Consumer { group: name.clone(), answers });
        consumer.writing = Some(Writing { id, lines });
    }

    /// A write of [`Self::write_touched`] is durable, or failed: then its lines are due again with the next.
    pub(super) fn consumer_written(&mut self, name: &Arc<str>, id: WriteId, answers: Answers, durable: bool) {
        self.out.answer_all(answers, durable);
        // Not of a group that took the place of the one that was written.
        let consumer = self.groups.get_mut(name).and_then(|g| g.consumer.as_mut());
        let Some(consumer) = consumer.filter(|c| c.writing.as_ref().is_some_and(|writing| writing.id == id)) else {
            return;
        };
        let lines = consumer.writing.take().map(|writing| writing.lines);
        if !durable {
            consumer.touched.extend(lines.into_iter().flatten());
        }
        // After a failure only for those who wait: otherwise a disk that fails would be asked again and again.
        if durable || !consumer.waiting.is_empty() {
            self.write_touched(name);
        }
    }

    /// Topics were made, grew or went: groups that read them get a new target.
    pub(super) fn topics_seen(&mut self, topics: TopicsSeen) {
        self.topics = topics;
        let live = |g: &super::group::Group| g.consumer.as_ref().is_some_and(|c| !c.members.is_empty());
        let names: Vec<_> = self.groups.iter().filter(|(_, g)| live(g)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let consumer = self.groups.get_mut(&name).and_then(|g| g.consumer.as_mut()).expect("listed above");
            let step = Step { out: &self.out, topics: &self.topics, group: &name };
            if consumer.topics_changed(&step) {
                self.settle(&name, None);
            }
        }
    }
}

impl super::group::Group {
    /// An empty classic group takes up the consumer protocol. Its offsets stay; epochs go on where generations ended.
    fn become_consumer(&mut self, out: &mut Out) {
        // One batch with what it becomes: after a crash it is the one or the other.
        let mut touched = out.take_leftovers(&self.id);
        if std::mem::take(&mut self.stored) {
            touched.insert(Line::Classic);
        }
        self.pending.clear();
        self.protocol_type = None;
        self.consumer = Some(Box::new(ConsumerGroup {
            epoch: self.generation,
            since_ms: out.now.wall_ms,
            touched,
            ..ConsumerGroup::default()
        }));
    }

    /// An empty group of the consumer protocol takes up the classic one.
    pub(super) fn become_classic(&mut self, out: &mut Out) {
        let Some(mut consumer) = self.consumer.take() else { return };
        self.generation = consumer.epoch;
        self.state_since_ms = consumer.since_ms;
        let answers = consumer.take_waiting();
        out.take_out(&self.id, consumer.all_lines(), Vec::new(), answers);
    }
}

/// What a group needs to know while it decides.
struct Step<'a> {
    out: &'a Out,
    topics: &'a TopicsSeen,
    /// For the log.
    group: &'a str,
}

impl Step<'_> {
    fn now(&self) -> Duration {
        self.out.now.monotonic
    }
}

impl ConsumerGroup {
    /// Answers that wait, for the write that takes over what they rest on.
    pub(super) fn take_waiting(&mut self) -> Answers {
        std::mem::take(&mut self.waiting)
    }

    // ── members ──

    /// Takes members out; the others share what they had.
    pub(super) fn remove(&mut self, step_out: &Out, topics: &TopicsSeen, group: &str, members: &BTreeSet<Arc<str>>) {
        self.remove_members(&Step { out: step_out, topics, group }, members);
    }

    fn remove_members(&mut self, step: &Step<'_>, members: &BTreeSet<Arc<str>>) {
        let mut removed = false;
        for id in members {
            let Some(member) = self.members.remove(id) else { continue };
            removed = true;
            if let Some(instance) = &member.subscription.instance {
                self.instances.remove(instance);
            }
            self.let_go(&member.progress);
            self.touched.extend([Line::Member(id.clone()), Line::Target(id.clone()), Line::Current(id.clone())]);
        }
        if removed {
            self.forget_unused_regexes();
            if self.members.is_empty() {
                self.since_ms = step.out.now.wall_ms;
            }
            self.bump(step);
        }
    }

    /// The member that a request of the classic protocol's LeaveGroup means.
    pub(super) fn leaver(&self, leaver: &Leaver) -> Result<Arc<str>, GroupError> {
        let unknown = GroupError::UnknownMember;
        let Some(instance) = &leaver.instance else {
            let found = self.members.get_key_value(leaver.member.as_str()).ok_or(unknown)?;
            return Ok(found.0.clone());
        };
        let holder = self.instances.get(instance).ok_or(unknown)?;
        if !leaver.member.is_empty() && leaver.member != **holder {
            return Err(GroupError::FencedInstanceId);
        }
        Ok(holder.clone())
    }

    /// A committer or reader of offsets must be of the epoch the group gave it last.
    pub(super) fn check_epoch(&self, member: &str, epoch: i32) -> Result<(), GroupError> {
        match self.members.get(member) {
            None => Err(GroupError::UnknownMember),
            Some(member) if member.progress.epoch == epoch => Ok(()),
            Some(_) if planted::is(Bug::StaleEpochTaken) => Ok(()),
            Some(member) if member.is_classic() => Err(GroupError::IllegalGeneration),
            Some(_) => Err(GroupError::StaleMemberEpoch),
        }
    }

    // ── timers ──

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.members.values().flat_map(Member::deadlines).min()
    }

    pub(super) fn on_time(&mut self, out: &Out, topics: &TopicsSeen, group: &str) {
        let step = Step { out, topics, group };
        let now = step.now();
        let mut over = BTreeSet::new();
        for (id, member) in &self.members {
            if member.session_until <= now {
                tracing::info!(group, member = %id, "session over: member removed");
                over.insert(id.clone());
            } else if member.revoke_until.is_some_and(|at| at <= now) {
                tracing::info!(group, member = %id, "did not give up its partitions in time: member removed");
                over.insert(id.clone());
            } else if member.deadlines().any(|at| at <= now) {
                tracing::info!(group, member = %id, "did not join again or sync in time: member removed");
                over.insert(id.clone());
            }
        }
        self.remove_members(&step, &over);
    }

    // ── the target ──

    /// A new epoch, and what everybody shall have in it.
    fn bump(&mut self, step: &Step<'_>) {
        assert!(self.epoch < i32::MAX, "GRP-3: epochs only rise");
        self.epoch += 1;
        self.metadata_hash = self.hash_metadata(step.topics);
        self.touched.extend([Line::Epoch, Line::TargetEpoch]);
        self.target_epoch = self.epoch;
        let assignor = self.preferred_assignor();
        let mut sizes = Sizes::new();
        let mut subscribers = Vec::with_capacity(self.members.len());
        let mut last: Option<(&Member, Arc<BTreeSet<TopicId>>)> = None;
        for (id, member) in &self.members {
            // Most groups subscribe to the same all over: it is looked up once.
            let same = last.as_ref().filter(|(other, _)| other.means_the_same(member));
            let topics = match same {
                Some((_, topics)) => topics.clone(),
                None => {
                    let known = self.topics_of(member).filter_map(|name| step.topics.get(name)).copied();
                    let known: Vec<_> = known.collect();
                    let topics: Arc<BTreeSet<_>> = Arc::new(known.iter().map(|(id, _)| *id).collect());
                    sizes.extend(known);
                    last = Some((member, topics.clone()));
                    topics
                }
            };
            let instance = member.subscription.instance.as_deref();
            subscribers.push(Subscriber { member: id.clone(), instance, topics, previous: &member.target });
        }
        let targets = assignor.assign(&subscribers, &sizes);
        tracing::debug!(group = step.group, epoch = self.epoch, assignor = assignor.name(), "new target assignment");
        for (id, target) in targets {
            let member = self.members.get_mut(&id).expect("assignors answer for those they were asked about");
            if member.target != target {
                member.target = target;
                self.touched.insert(Line::Target(id));
            }
        }
    }

    /// What most of the members ask for; the first in order of [`Assignor`] if they are at odds.
    fn preferred_assignor(&self) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let asked = self.members.values().filter_map(|m| m.subscription.assignor.as_deref());
        for assignor in asked.filter_map(Assignor::of_name) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.values().copied().max();
        let first = votes.iter().find(|(_, count)| Some(**count) == most).map(|(assignor, _)| *assignor);
        first.unwrap_or(Assignor::DEFAULT)
    }

    /// Leads a member one step on; says whether what it may hold changed.
    fn reconcile(&mut self, step: &Step<'_>, id: &Arc<str>, owned: Option<&Partitions>) -> bool {
        let (epoch, owners) = (self.epoch, &self.owners);
        let Some(member) = self.members.get_mut(id) else { return false };
        let free = |place: &(TopicId, PartitionId)| owners.get(place).is_none_or(|owner| owner == id);
        let next = member.progress.next(epoch, &member.target, owned, free);
        if next == member.progress {
            return false;
        }
        let before = std::mem::replace(&mut member.progress, next);
        let changed = before.assigned != member.progress.assigned;
        // Members of the classic protocol have to join again instead, within the same time.
        let waits = member.progress.is_revoking() && !member.is_classic();
        member.revoke_until = waits.then(|| step.now() + member.subscription.rebalance_timeout);
        self.touched.insert(Line::Current(id.clone()));
        self.account(id, &before);
        changed
    }

    /// Whoever was there holds nothing any more.
    fn let_go(&mut self, progress: &Progress) {
        for place in progress.held() {
            self.owners.remove(place);
        }
    }

    /// Keeps `owners` right after a member's progress changed.
    fn account(&mut self, id: &Arc<str>, before: &Progress) {
        let progress = &self.members[id].progress;
        for place in before.held().filter(|place| !progress.holds(place)) {
            self.owners.remove(place);
        }
        for place in progress.held() {
            let former = self.owners.insert(*place, id.clone());
            assert!(former.is_none_or(|owner| owner == *id), "GRP-4: one owner at most");
        }
    }

    // ── what others see ──

    pub(super) fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.has_arrived() {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    pub(super) fn describe(&self, group: Arc<str>) -> ConsumerGroupDescription {
        let member = |(id, member): (&Arc<str>, &Member)| {
            let subscription = member.subscription.clone();
            ConsumerMemberDescription {
                member: id.to_string(),
                instance: subscription.instance,
                rack: subscription.rack,
                epoch: member.progress.epoch,
                client_id: subscription.client_id,
                client_host: subscription.client_host,
                topics: subscription.topics.into_iter().collect(),
                regex: subscription.regex,
                assigned: member.progress.assigned.clone(),
                target: member.target.clone(),
                is_classic: subscription.classic.is_some(),
            }
        };
        ConsumerGroupDescription {
            group,
            state: self.state(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: self.preferred_assignor().name(),
            members: self.members.iter().map(member).collect(),
        }
    }
}
