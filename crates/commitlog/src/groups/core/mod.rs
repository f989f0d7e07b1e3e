//! The coordinator's decisions, free of I/O: events in, effects out.
//!
//! Each file below holds one part of a group's life: [`group`] its data and timers, [`join`] the way into a generation,
//! [`sync`] the assignment, [`membership`] staying and leaving, [`offsets`] commits, [`gone`] their end, [`transactional`]
//! commits in transactions; [`consumer`] is the other protocol, in which the coordinator itself assigns.

mod consumer;
mod gone;
mod group;
mod join;
mod membership;
mod offsets;
mod sync;
#[cfg(test)]
mod tests;
mod transactional;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use model::{Offset, PartitionId, ProducerId, TimestampMs};

use self::group::Group;
use super::{
    records::{self, consumer::Line},
    types::*,
};
use crate::{record::Marker, transactions::Identity};

/// The time of an event: one clock for timers, one for records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub monotonic: Duration,
    pub wall_ms: TimestampMs,
}

/// Names a question until it is answered; given by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// Names a write until its outcome is known. Rises with the order of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Everything that can happen to groups.
#[derive(Debug)]
pub enum Event {
    /// `fresh` is random: the id of the member if it needs one.
    Join {
        reply: ReplyId,
        request: JoinRequest,
        fresh: u128,
    },
    Sync {
        reply: ReplyId,
        request: SyncRequest,
    },
    Heartbeat {
        reply: ReplyId,
        who: MemberRef,
    },
    Leave {
        reply: ReplyId,
        group: String,
        leavers: Vec<Leaver>,
    },
    /// `fresh` as in [`Event::Join`].
    ConsumerHeartbeat {
        reply: ReplyId,
        request: ConsumerHeartbeat,
        fresh: u128,
    },
    Commit {
        reply: ReplyId,
        request: CommitRequest,
    },
    /// Kept aside until the transaction of `producer` ends.
    CommitInTransaction {
        reply: ReplyId,
        request: CommitRequest,
        producer: Identity,
    },
    /// The marker of a transaction is durable in the offsets topic.
    TransactionEnded {
        producer: ProducerId,
        marker: Marker,
    },
    DeleteGroup {
        reply: ReplyId,
        group: String,
    },
    DeleteOffsets {
        reply: ReplyId,
        group: String,
        partitions: Vec<(Arc<str>, PartitionId)>,
    },
    /// Topics were made, changed or deleted; these are there now.
    TopicsSeen {
        topics: TopicsSeen,
    },
    /// The topic was deleted: nobody needs its offsets.
    TopicGone {
        topic: Arc<str>,
    },
    /// The records of an [`Effect::Write`] are durable, or will never be.
    Written {
        id: WriteId,
        durable: bool,
    },
    /// Time passed.
    Tick,
}

/// Everything the core wants done, in this order.
#[derive(Debug)]
pub enum Effect {
    Answer {
        reply: ReplyId,
        answer: Answer,
    },
    /// Append to the offsets topic in the order of these effects, then say [`Event::Written`]. `None`: a tombstone.
    Write {
        id: WriteId,
        /// As part of this producer's transaction.
        producer: Option<Identity>,
        records: Vec<(Bytes, Option<Bytes>)>,
    },
}

#[derive(Debug, PartialEq)]
pub enum Answer {
    Join(JoinAnswer),
    Sync(SyncAnswer),
    ConsumerHeartbeat(Result<ConsumerHeartbeatAnswer, GroupError>),
    /// To a heartbeat, or to a deletion.
    Done(Result<(), GroupError>),
    /// One result for each leaver, offset or partition asked about, in their order.
    Each(Vec<Result<(), GroupError>>),
}

impl Answer {
    /// Says no, and so rests on nothing that was written.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Join(answer) => answer.error.is_some(),
            Self::Sync(answer) => answer.error.is_some(),
            Self::ConsumerHeartbeat(result) => result.is_err(),
            Self::Done(result) => result.is_err(),
            Self::Each(_) => false,
        }
    }

    /// What is said instead when the record it rests on could not be written.
    fn unavailable(self) -> Self {
        let error = GroupError::NotAvailable;
        match self {
            Self::Join(answer) => Self::Join(JoinAnswer::refused(error, answer.member)),
            Self::Sync(_) => Self::Sync(SyncAnswer::refused(error)),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(Err(error)),
            Self::Done(_) => Self::Done(Err(error)),
            Self::Each(results) => Self::Each(results.into_iter().map(|result| result.and(Err(error))).collect()),
        }
    }
}

/// All groups. See the module's documentation.
pub struct GroupCoordinator {
    groups: BTreeMap<Arc<str>, Group>,
    topics: TopicsSeen,
    /// Offsets of open transactions.
    open: transactional::Open,
    /// When each group wants to be looked at, at the latest.
    timers: BTreeSet<(Duration, Arc<str>)>,
    next_expiry: Duration,
    out: Out,
}

/// What a group needs while it decides: the time, the limits, and where its effects go.
struct Out {
    settings: GroupSettings,
    now: Now,
    effects: Vec<Effect>,
    /// Outcomes waited for.
    writes: BTreeMap<WriteId, Write>,
    next_write: u64,
    /// What has been taken out of groups, and may be in the log still.
    leftovers: BTreeMap<Arc<str>, Leftovers>,
    /// The same of offsets, by the write that takes them out. What failed is written again, see [`gone`].
    gone: BTreeMap<WriteId, Gone>,
}

/// Offsets of a group that were deleted.
struct Gone {
    group: Arc<str>,
    offsets: BTreeSet<(Arc<str>, PartitionId)>,
}

/// Lines that are gone once a write is durable. Until then whatever is written of the group takes them out too: or after a crash
/// members that had gone would be back, among those that have their partitions.
struct Leftovers {
    write: WriteId,
    lines: BTreeSet<Line>,
}

/// What a write was for.
enum Write {
    /// The leader's assignment: the generation is complete when it is durable.
    Assignment {
        group: Arc<str>,
        generation: i32,
    },
    Commit {
        group: Arc<str>,
        reply: ReplyId,
        results: Vec<Result<(), GroupError>>,
        offsets: Vec<Committed>,
    },
    TransactionalCommit {
        group: Arc<str>,
        reply: ReplyId,
        results: Vec<Result<(), GroupError>>,
        offsets: Vec<Committed>,
        producer: Identity,
    },
    /// Lines of a group of the consumer protocol, and the answers that rest on them.
    Consumer {
        group: Arc<str>,
        answers: Answers,
    },
    /// Has happened in memory already: the answers that rest on it, if somebody waits for any.
    Upkeep {
        /// The group of which it takes lines out.
        group: Option<Arc<str>>,
        answers: Answers,
    },
}

impl Write {
    /// The group whose leftovers it takes out.
    fn takes_leftovers_of(&self) -> Option<&Arc<str>> {
        match self {
            Self::Assignment { group, .. } => Some(group),
            Self::Upkeep { group, .. } => group.as_ref(),
            Self::Commit { .. } | Self::TransactionalCommit { .. } | Self::Consumer { .. } => None,
        }
    }
}

/// Keys and values; `None`: a tombstone.
type Records = Vec<(Bytes, Option<Bytes>)>;

/// What is told to whom.
type Answers = Vec<(ReplyId, Answer)>;

struct Committed {
    topic: Arc<str>,
    partition: PartitionId,
    offset: CommittedOffset,
}

impl Out {
    fn answer(&mut self, reply: ReplyId, answer: Answer) {
        self.effects.push(Effect::Answer { reply, answer });
    }

    /// Says what rests on a write, if that is durable.
    fn answer_written(&mut self, reply: ReplyId, answer: Answer, durable: bool) {
        self.answer(reply, if durable { answer } else { answer.unavailable() });
    }

    fn answer_all(&mut self, answers: Answers, durable: bool) {
        for (reply, answer) in answers {
            self.answer_written(reply, answer, durable);
        }
    }

    /// Numbers rise in the order of the records they stand for, replayed ones included.
    fn next_write_id(&mut self) -> WriteId {
        self.next_write += 1;
        WriteId(self.next_write - 1)
    }

    fn write(&mut self, records: Records, write: Write) -> WriteId {
        self.write_in(None, records, write)
    }

    /// Takes lines out of a group, and writes what it has instead.
    fn take_out(&mut self, group: &Arc<str>, mut lines: BTreeSet<Line>, others: Records, answers: Answers) -> WriteId {
        lines.extend(self.take_leftovers(group));
        let records = lines.iter().map(|line| (records::consumer::key(group, line), None)).chain(others).collect();
        let id = self.write(records, Write::Upkeep { group: Some(group.clone()), answers });
        if !lines.is_empty() {
            self.leftovers.insert(group.clone(), Leftovers { write: id, lines });
        }
        id
    }

    /// Whoever asks takes them out.
    fn take_leftovers(&mut self, group: &Arc<str>) -> BTreeSet<Line> {
        self.leftovers.remove(group).map(|left| left.lines).unwrap_or_default()
    }

    /// A write is durable that takes them out: theirs, or a later one.
    fn leftovers_taken(&mut self, group: &Arc<str>, id: WriteId) {
        if self.leftovers.get(group).is_some_and(|left| left.write <= id) {
            self.leftovers.remove(group);
        }
    }

    /// Takes them out with whatever else is written.
    fn leftovers_of(&self, group: &Arc<str>) -> impl Iterator<Item = (Bytes, Option<Bytes>)> {
        let left = self.leftovers.get(group).into_iter().flat_map(|left| &left.lines);
        left.map(|line| (records::consumer::key(group, line), None))
    }

    fn write_in(&mut self, producer: Option<Identity>, records: Records, write: Write) -> WriteId {
        let id = self.next_write_id();
        self.writes.insert(id, write);
        self.effects.push(Effect::Write { id, producer, records });
        id
    }
}

impl GroupCoordinator {
    pub fn new(settings: GroupSettings) -> Self {
        let out = Out {
            settings,
            now: Now::default(),
            effects: Vec::new(),
            writes: BTreeMap::new(),
            next_write: 0,
            leftovers: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        let (groups, topics, open) = (BTreeMap::new(), TopicsSeen::new(), transactional::Open::default());
        Self { groups, topics, open, timers: BTreeSet::new(), next_expiry: Duration::ZERO, out }
    }

    /// Other settings from here on. Deadlines that were set stay.
    pub fn reconfigure(&mut self, settings: GroupSettings) {
        self.out.settings = settings;
    }

    pub fn settings(&self) -> &GroupSettings {
        &self.out.settings
    }

    /// Takes in one stored record, oldest first, before the first [`step`](Self::step). Says whether it was understood.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        match records::parse_key(key) {
            Some(records::Key::Offset { group, topic, partition }) => {
                self.replay_offset(group, topic.into(), partition, value)
            }
            Some(records::Key::Group { group }) => self.replay_group(group, value),
            Some(records::Key::Consumer { group, line }) => self.replay_consumer(group, line, value),
            None => false,
        }
    }

    /// Ends the replay: members found have a full session to show up again. `topics` are those there now.
    pub fn replayed(&mut self, now: Now, topics: TopicsSeen) {
        self.out.now = now;
        self.topics = topics;
        self.next_expiry = now.monotonic + self.out.settings.expiry_interval;
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            let group = self.groups.get_mut(&name).expect("listed above");
            group.resume(&self.out, &self.topics);
            self.rearm(&name);
        }
    }

    /// One decision.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.out.now = now;
        match event {
            Event::Join { reply, request, fresh } => self.join(reply, request, fresh),
            Event::Sync { reply, request } => self.sync(reply, request),
            Event::Heartbeat { reply, who } => {
                let result = self.heartbeat(&who);
                self.out.answer(reply, Answer::Done(result));
            }
            Event::Leave { reply, group, leavers } => {
                self.leave(reply, &group, &leavers);
            }
            Event::ConsumerHeartbeat { reply, request, fresh } => self.consumer_heartbeat(reply, &request, fresh),
            Event::Commit { reply, request } => self.commit(reply, request),
            Event::CommitInTransaction { reply, request, producer } => {
                self.commit_in_transaction(reply, request, producer);
            }
            Event::TransactionEnded { producer, marker } => self.end_transaction(producer, marker),
            Event::DeleteGroup { reply, group } => self.delete_group(reply, &group),
            Event::DeleteOffsets { reply, group, partitions } => self.delete_offsets(reply, &group, partitions),
            Event::TopicsSeen { topics } => self.topics_seen(topics),
            Event::TopicGone { topic } => self.forget_topic(&topic),
            Event::Written { id, durable } => self.written(id, durable),
            Event::Tick => self.tick(),
        }
        std::mem::take(&mut self.out.effects)
    }

    /// When [`Event::Tick`] is due next.
    pub fn next_deadline(&self) -> Duration {
        self.timers.first().map_or(self.next_expiry, |(at, _)| (*at).min(self.next_expiry))
    }

    fn tick(&mut self) {
        let now = self.out.now.monotonic;
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let (_, name) = self.timers.pop_first().expect("there is a first");
            if let Some(group) = self.groups.get_mut(&name) {
                group.timer = None;
                group.on_time(&mut self.out);
                if let Some(consumer) = &mut group.consumer {
                    consumer.on_time(&self.out, &self.topics, &name);
                }
                self.settle(&name, None);
            }
        }
        if self.next_expiry <= now {
            self.next_expiry = now + self.out.settings.expiry_interval;
            self.expire_offsets();
        }
    }

    fn written(&mut self, id: WriteId, durable: bool) {
        let Some(write) = self.out.writes.remove(&id) else { return };
        if durable {
            self.out.gone.remove(&id);
            if let Some(group) = write.takes_leftovers_of() {
                self.out.leftovers_taken(group, id);
            }
        }
        match write {
            Write::Assignment { group, generation } => {
                if let Some(found) = self.groups.get_mut(&group) {
                    found.assignment_written(&mut self.out, generation, durable);
                    self.rearm(&group);
                }
            }
            Write::Commit { group, reply, results, offsets } => {
                self.commit_written(&group, id, &offsets, durable);
                self.out.answer_written(reply, Answer::Each(results), durable);
            }
            Write::TransactionalCommit { group, reply, results, offsets, producer } => {
                if durable {
                    self.transactional_commit_written(&group, id, offsets, producer);
                }
                self.out.answer_written(reply, Answer::Each(results), durable);
            }
            Write::Consumer { group, answers } => self.consumer_written(&group, id, answers, durable),
            Write::Upkeep { answers, .. } => self.out.answer_all(answers, durable),
        }
    }

    /// Keeps `timers` right after something happened to a group; a group nobody needs is dropped.
    fn rearm(&mut self, name: &Arc<str>) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let next = group.next_deadline();
        if group.timer != next {
            if let Some(old) = group.timer.take() {
                self.timers.remove(&(old, name.clone()));
            }
            if let Some(at) = next {
                self.timers.insert((at, name.clone()));
            }
            group.timer = next;
        }
        if group.is_blank() {
            self.remove_group(&name.clone());
        }
    }

    fn remove_group(&mut self, name: &Arc<str>) -> Option<Group> {
        let group = self.groups.remove(name)?;
        if let Some(at) = group.timer {
            self.timers.remove(&(at, name.clone()));
        }
        Some(group)
    }

    // ── questions ──

    pub fn list(&self) -> Vec<GroupSummary> {
        let mut list: Vec<_> = self.groups.values().map(Group::summary).collect();
        list.sort_by(|a, b| a.group.cmp(&b.group));
        list
    }

    /// A classic group; `None` also if it speaks the other protocol.
    pub fn describe(&self, group: &str) -> Option<GroupDescription> {
        self.groups.get(group).filter(|g| g.consumer.is_none()).map(Group::describe)
    }

    /// A group of the consumer protocol; `None` also if it speaks the other protocol.
    pub fn describe_consumer(&self, group: &str) -> Option<ConsumerGroupDescription> {
        let group = self.groups.get(group)?;
        Some(group.consumer.as_ref()?.describe(group.id.clone()))
    }

    /// Whether there is such a group, and which protocol it speaks.
    pub fn group_type(&self, group: &str) -> Option<GroupType> {
        self.groups.get(group).map(Group::group_type)
    }

    /// Whether this is a member that speaks the consumer protocol.
    pub fn is_consumer_member(&self, group: &str, member: &str) -> bool {
        let consumer = self.groups.get(group).and_then(|g| g.consumer.as_ref());
        consumer.and_then(|consumer| consumer.members.get(member)).is_some_and(|member| !member.is_classic())
    }

    /// Whether a reader of offsets that says who it is may have them (OffsetFetch ≥ 9).
    pub fn check_reader(&self, group: &str, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        match self.groups.get(group).and_then(|g| g.consumer.as_ref()) {
            Some(consumer) if member.is_some() || epoch >= 0 => consumer.check_epoch(member.unwrap_or_default(), epoch),
            _ => Ok(()),
        }
    }

    /// Durable offsets of a group; none if there is no such group.
    pub fn offsets(&self, group: &str) -> Offsets {
        self.groups.get(group).map(Group::committed_offsets).unwrap_or_default()
    }

    /// One durable offset.
    pub fn offset(&self, group: &str, topic: &str, partition: PartitionId) -> Option<&CommittedOffset> {
        self.groups.get(group)?.committed_offset(topic, partition)
    }

    /// Topics of which offsets are committed.
    pub fn topics_with_offsets(&self) -> BTreeSet<Arc<str>> {
        self.groups.values().flat_map(|group| group.offsets.keys().map(|(topic, _)| topic.clone())).collect()
    }

    /// Smallest committed offset of a partition over all groups.
    pub fn lowest_offset(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        self.groups.values().filter_map(|g| g.committed_offset(topic, partition)).map(|o| o.offset).min()
    }

    /// Records that say all there is to say, as of the writes asked for so far.
    #[cfg(test)]
    pub fn snapshot(&self) -> Vec<(Bytes, Bytes)> {
        self.groups.values().flat_map(Group::snapshot).collect()
    }
}
