//! The coordinator at work: questions in, records out, timers kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{Error, Offset, PartitionId, ProducerId, Result, TopicName, TopicPartition, error::codes};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use world::{TaskKind, World};

use super::{OFFSETS_TOPIC, core::Answer, types::*};
use crate::{
    groups::core::{Effect, Event, GroupCoordinator, Now, ReplyId, WriteId},
    log::{Append, Appended, Isolation, Log},
    own_topic,
    record::{self, BatchBuilder, Codec, Marker, NO_SEQUENCE},
    transactions::Identity,
};

/// How much of the offsets topic is read at a time when it is replayed.
const REPLAY_BYTES: usize = 4 << 20;

/// All consumer groups of a log. Cheap to share; everything it keeps is in the log.
pub struct Groups {
    log: Arc<dyn Log>,
    world: World,
    settings: RwLock<Arc<GroupSettings>>,
    place: TopicPartition,
    state: Mutex<State>,
    /// Appends under way, in order. Not longer than the questions that caused them, whose number the doors bound.
    written: mpsc::UnboundedSender<Outcome>,
    /// The next deadline may have changed.
    timers: Notify,
}

struct State {
    core: GroupCoordinator,
    waiting: BTreeMap<ReplyId, oneshot::Sender<Answer>>,
    next_reply: u64,
    /// Tells whether the core has seen the topics as they are.
    topics: watch::Receiver<u64>,
}

/// An append whose end the core waits for.
enum Outcome {
    Write {
        id: WriteId,
        append: BoxFuture<'static, Result<Appended>>,
    },
    Marker {
        producer: ProducerId,
        marker: Marker,
        append: BoxFuture<'static, Result<Appended>>,
        done: oneshot::Sender<Result<()>>,
    },
}

impl Groups {
    pub async fn open(log: Arc<dyn Log>, world: World) -> Result<Arc<Self>> {
        Self::open_with(log, GroupSettings::default(), world).await
    }

    /// Replays the offsets topic and starts the timers.
    pub async fn open_with(log: Arc<dyn Log>, settings: GroupSettings, world: World) -> Result<Arc<Self>> {
        let place = TopicPartition::new(TopicName::new(OFFSETS_TOPIC).expect("a legal name"), 0);
        let mut core = GroupCoordinator::new(settings.clone());
        if own_topic::update(&*log, &place.topic).await? {
            replay(&*log, &place, &mut core).await?;
        }
        let mut topics = log.topics_changed();
        topics.mark_changed();
        core.replayed(now(&world), topics_seen(&*log));
        let (written, outcomes) = mpsc::unbounded_channel();
        let state = State { core, waiting: BTreeMap::new(), next_reply: 0, topics };
        let (settings, state) = (RwLock::new(Arc::new(settings)), Mutex::new(state));
        let groups = Arc::new(Self { log, world, settings, place, state, written, timers: Notify::new() });
        groups.forget_gone_topics();
        let tasks = groups.world.tasks.clone();
        tasks.spawn(TaskKind::Background, groups.clone().hear_outcomes(outcomes));
        tasks.spawn(TaskKind::Background, groups.clone().keep_time());
        tasks.spawn(TaskKind::Background, groups.clone().watch_topics());
        Ok(groups)
    }

    pub fn settings(&self) -> Arc<GroupSettings> {
        self.settings.read().clone()
    }

    /// Other settings from here on, for what begins then.
    pub fn reconfigure(&self, settings: GroupSettings) {
        let mut state = self.state.lock();
        state.core.reconfigure(settings.clone());
        *self.settings.write() = Arc::new(settings);
    }

    // ── members ──

    /// Answers when the next generation begins, which may take as long as the slowest member's rebalance timeout.
    pub async fn join(&self, request: JoinRequest) -> JoinAnswer {
        let member = request.member.clone();
        let fresh = (u128::from(self.world.random.u64()) << 64) | u128::from(self.world.random.u64());
        // The group may be of the consumer protocol: see `consumer_heartbeat`.
        self.see_topics(&mut self.state.lock());
        match self.ask(|reply| Event::Join { reply, request, fresh }).await {
            Some(Answer::Join(answer)) => answer,
            _ => JoinAnswer::refused(GroupError::NotAvailable, member),
        }
    }

    /// Answers when the leader's assignment is durable.
    pub async fn sync(&self, request: SyncRequest) -> SyncAnswer {
        match self.ask(|reply| Event::Sync { reply, request }).await {
            Some(Answer::Sync(answer)) => answer,
            _ => SyncAnswer::refused(GroupError::NotAvailable),
        }
    }

    pub async fn heartbeat(&self, who: MemberRef) -> Result<(), GroupError> {
        done(self.ask(|reply| Event::Heartbeat { reply, who }).await)
    }

    /// One result for each leaver.
    pub async fn leave(&self, group: &str, leavers: Vec<Leaver>) -> Vec<Result<(), GroupError>> {
        let count = leavers.len();
        each(self.ask(|reply| Event::Leave { reply, group: group.to_owned(), leavers }).await, count)
    }

    /// What a member of the consumer protocol says, and what it shall do (KIP-848). Answered when durable (GRP-5).
    pub async fn consumer_heartbeat(&self, request: ConsumerHeartbeat) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        let fresh = (u128::from(self.world.random.u64()) << 64) | u128::from(self.world.random.u64());
        // A topic made just before is in the member's first assignment, not in one a heartbeat later.
        self.see_topics(&mut self.state.lock());
        match self.ask(|reply| Event::ConsumerHeartbeat { reply, request, fresh }).await {
            Some(Answer::ConsumerHeartbeat(result)) => result,
            _ => Err(GroupError::NotAvailable),
        }
    }

    // ── offsets ──

    /// One result for each offset. Answered when durable (GRP-1).
    pub async fn commit(&self, request: CommitRequest) -> Vec<Result<(), GroupError>> {
        let count = request.offsets.len();
        each(self.ask(|reply| Event::Commit { reply, request }).await, count)
    }

    /// Durable offsets of a group.
    pub fn offsets(&self, group: &str) -> Offsets {
        self.state.lock().core.offsets(group)
    }

    pub fn offset(&self, group: &str, topic: &str, partition: PartitionId) -> Option<CommittedOffset> {
        self.state.lock().core.offset(group, topic, partition).cloned()
    }

    /// Smallest committed offset of a partition over all groups.
    pub fn lowest_offset(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        self.state.lock().core.lowest_offset(topic, partition)
    }

    // ── offsets in transactions ──

    /// Comes before [`Self::commit_in_transaction`].
    pub(crate) async fn ready(&self) -> Result<()> {
        self.ensure_topic().await
    }

    /// One result for each offset. Its place before or behind the transaction's marker is fixed on return; the future waits
    /// until it is durable. Shown when the transaction commits.
    pub(crate) fn commit_in_transaction(
        &self,
        request: CommitRequest,
        producer: Identity,
    ) -> impl Future<Output = Vec<Result<(), GroupError>>> + Send + use<'_> {
        let count = request.offsets.len();
        let answer = self.put(|reply| Event::CommitInTransaction { reply, request, producer });
        async move { each(self.hear(answer).await, count) }
    }

    /// Ends the transaction of `producer` in the offsets topic: its offsets are shown, or forgotten. Durable on return.
    pub async fn end_transaction(&self, producer: Identity, marker: Marker, coordinator_epoch: i32) -> Result<()> {
        self.ensure_topic().await?;
        let (done, ended) = oneshot::channel();
        {
            // Under the lock: behind all commits that were answered.
            let _state = self.state.lock();
            let batch = marker.batch(producer.producer, producer.epoch, coordinator_epoch, self.world.clock.now_ms());
            let append = self.log.append(&self.place, batch, Append { internal: true });
            self.hand_over(Outcome::Marker { producer: producer.producer, marker, append, done });
        }
        ended.await.unwrap_or_else(|_| Err(Error::new(codes::SHUTTING_DOWN, "the node stops")))
    }

    /// Whether an open transaction may change the offset.
    pub fn is_unstable(&self, group: &str, topic: &str, partition: PartitionId) -> bool {
        self.state.lock().core.is_unstable(group, topic, partition)
    }

    // ── admins ──

    pub fn list(&self) -> Vec<GroupSummary> {
        self.state.lock().core.list()
    }

    pub fn describe(&self, group: &str) -> Option<GroupDescription> {
        self.state.lock().core.describe(group)
    }

    pub fn describe_consumer(&self, group: &str) -> Option<ConsumerGroupDescription> {
        self.state.lock().core.describe_consumer(group)
    }

    /// Whether there is such a group, and which protocol it speaks.
    pub fn group_type(&self, group: &str) -> Option<GroupType> {
        self.state.lock().core.group_type(group)
    }

    /// Whether this is a member of a group of the consumer protocol.
    pub fn is_consumer_member(&self, group: &str, member: &str) -> bool {
        self.state.lock().core.is_consumer_member(group, member)
    }

    /// Whether a reader of offsets that says who it is may have them (OffsetFetch ≥ 9).
    pub fn check_reader(&self, group: &str, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        self.state.lock().core.check_reader(group, member, epoch)
    }

    pub async fn delete(&self, group: &str) -> Result<(), GroupError> {
        done(self.ask(|reply| Event::DeleteGroup { reply, group: group.to_owned() }).await)
    }

    /// One result for each partition, or one reason for all.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: Vec<(Arc<str>, PartitionId)>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(|reply| Event::DeleteOffsets { reply, group: group.to_owned(), partitions }).await {
            Some(Answer::Each(results)) => Ok(results),
            Some(Answer::Done(Err(error))) => Err(error),
            _ => Err(GroupError::NotAvailable),
        }
    }

    // ── the machine ──

    /// Puts a question to the core. `None`: the offsets topic cannot be had, or the node stops.
    async fn ask(&self, event: impl FnOnce(ReplyId) -> Event) -> Option<Answer> {
        if let Err(error) = self.ensure_topic().await {
            tracing::warn!(%error, "the offsets topic cannot be made");
            return None;
        }
        let answer = self.put(event);
        self.hear(answer).await
    }

    fn put(&self, event: impl FnOnce(ReplyId) -> Event) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.state.lock();
        let reply = ReplyId(state.next_reply);
        state.next_reply += 1;
        state.waiting.insert(reply, sender);
        self.step(&mut state, event(reply));
        answer
    }

    async fn hear(&self, answer: oneshot::Receiver<Answer>) -> Option<Answer> {
        tokio::select! {
            biased;
            answer = answer => answer.ok(),
            () = self.world.tasks.stopping() => None,
        }
    }

    fn step(&self, state: &mut State, event: Event) {
        let deadline = state.core.next_deadline();
        let effects = state.core.step(now(&self.world), event);
        for effect in effects {
            match effect {
                Effect::Answer { reply, answer } => {
                    if let Some(sender) = state.waiting.remove(&reply) {
                        // Whoever asked may have gone; the group's own timers notice.
                        let _gone = sender.send(answer);
                    }
                }
                Effect::Write { id, producer, records } => {
                    let records: Vec<_> = records.iter().map(|(k, v)| (k.as_ref(), v.as_deref())).collect();
                    // `append` fixes the order now; the lock is held, so it is the order of the core's decisions.
                    let append = self.append(producer, &records);
                    self.hand_over(Outcome::Write { id, append });
                }
            }
        }
        if state.core.next_deadline() < deadline {
            self.timers.notify_one();
        }
    }

    /// `producer`: whose transaction the records are part of.
    fn append(
        &self,
        producer: Option<Identity>,
        records: &[(&[u8], Option<&[u8]>)],
    ) -> BoxFuture<'static, Result<Appended>> {
        let time = self.world.clock.now_ms();
        let mut batch = BatchBuilder::new(Codec::None);
        if let Some(Identity { producer, epoch }) = producer {
            batch = batch.producer(producer, epoch, NO_SEQUENCE).transactional();
        }
        for (key, value) in records {
            batch.push(time, Some(key), *value, &[]);
        }
        self.log.append(&self.place, batch.build(), Append { internal: true })
    }

    fn hand_over(&self, outcome: Outcome) {
        // The receiver lives as long as the node; when it stops nobody waits for an answer any more.
        let _stopping = self.written.send(outcome);
    }

    async fn hear_outcomes(self: Arc<Self>, mut outcomes: mpsc::UnboundedReceiver<Outcome>) {
        loop {
            let outcome = tokio::select! {
                biased;
                () = self.world.tasks.stopping() => return,
                outcome = outcomes.recv() => outcome,
            };
            match outcome {
                Some(Outcome::Write { id, append }) => {
                    let result = append.await;
                    if let Err(error) = &result {
                        tracing::warn!(%error, "could not write to the offsets topic");
                    }
                    self.step(&mut self.state.lock(), Event::Written { id, durable: result.is_ok() });
                }
                Some(Outcome::Marker { producer, marker, append, done }) => {
                    let result = append.await;
                    if result.is_ok() {
                        self.step(&mut self.state.lock(), Event::TransactionEnded { producer, marker });
                    }
                    // Whoever asked may have gone.
                    let _gone = done.send(result.map(drop));
                }
                None => return,
            }
        }
    }

    async fn keep_time(self: Arc<Self>) {
        loop {
            let deadline = self.state.lock().core.next_deadline();
            let wait = deadline.saturating_sub(self.world.clock.monotonic()).min(Duration::from_secs(3600));
            tokio::select! {
                biased;
                () = self.world.tasks.stopping() => return,
                () = tokio::time::sleep(wait) => self.step(&mut self.state.lock(), Event::Tick),
                () = self.timers.notified() => {}
            }
        }
    }

    /// Offsets of deleted topics go; a topic made anew under the same name starts without.
    async fn watch_topics(self: Arc<Self>) {
        let mut changed = self.log.topics_changed();
        let identities =
            |log: &dyn Log| -> BTreeSet<_> { log.topics().iter().map(|t| (t.name.clone(), t.id)).collect() };
        let mut known = identities(&*self.log);
        loop {
            tokio::select! {
                biased;
                () = self.world.tasks.stopping() => return,
                changed = changed.changed() => if changed.is_err() { return },
            }
            let current = identities(&*self.log);
            for (name, _) in known.difference(&current).filter(|(name, _)| name.as_str() != OFFSETS_TOPIC) {
                self.step(&mut self.state.lock(), Event::TopicGone { topic: name.as_str().into() });
            }
            self.see_topics(&mut self.state.lock());
            known = current;
        }
    }

    /// Topics that went while nobody looked, or whose end was not written: one made anew must not begin at their offsets.
    fn forget_gone_topics(&self) {
        let mut state = self.state.lock();
        for topic in state.core.topics_with_offsets() {
            if self.log.topic(&topic).is_none() {
                self.step(&mut state, Event::TopicGone { topic });
            }
        }
    }

    /// Shows the core the topics there are, if they changed since it saw them last.
    fn see_topics(&self, state: &mut State) {
        if state.topics.has_changed().unwrap_or(false) {
            state.topics.mark_unchanged();
            self.step(state, Event::TopicsSeen { topics: topics_seen(&*self.log) });
        }
    }

    async fn ensure_topic(&self) -> Result<()> {
        own_topic::ensure(&*self.log, &self.place.topic).await
    }
}

fn now(world: &World) -> Now {
    Now { monotonic: world.clock.monotonic(), wall_ms: world.clock.now_ms() }
}

fn topics_seen(log: &dyn Log) -> TopicsSeen {
    log.topics().iter().map(|topic| (topic.name.as_str().into(), (topic.id, topic.partitions))).collect()
}

fn done(answer: Option<Answer>) -> Result<(), GroupError> {
    match answer {
        Some(Answer::Done(result)) => result,
        _ => Err(GroupError::NotAvailable),
    }
}

fn each(answer: Option<Answer>, count: usize) -> Vec<Result<(), GroupError>> {
    match answer {
        Some(Answer::Each(results)) => results,
        _ => vec![Err(GroupError::NotAvailable); count],
    }
}

/// Feeds the core all records of the offsets topic.
async fn replay(log: &dyn Log, place: &TopicPartition, core: &mut GroupCoordinator) -> Result<()> {
    const RECORDS_BYTES_MAX: usize = 64 << 20;
    let mut next = log.bounds(place)?.log_start;
    let (mut count, mut unknown) = (0, 0);
    loop {
        let slice = log.read(place, next, REPLAY_BYTES, Isolation::Uncommitted).await?;
        if slice.records.is_empty() {
            break;
        }
        for batch in record::batches(slice.records) {
            let batch = batch?;
            let header = &batch.header;
            if let Some(marker) = batch.marker()? {
                core.replay_marker(header.producer_id, marker);
                next = header.next_offset();
                continue;
            }
            let identity = Identity { producer: header.producer_id, epoch: header.producer_epoch };
            let producer = header.is_transactional().then_some(identity);
            let bytes: Bytes = batch.decompress(RECORDS_BYTES_MAX)?;
            for line in record::Records::new(&batch.header, &bytes) {
                let line = line?;
                count += 1;
                if line.offset < next {
                    continue;
                }
                let key = line.key.unwrap_or_default();
                let is_known = match producer {
                    Some(producer) => core.replay_in_transaction(producer, key, line.value),
                    None => core.replay(key, line.value),
                };
                unknown += usize::from(!is_known);
            }
            next = next.max(batch.header.last_offset() + 1);
        }
    }
    if unknown > 0 {
        tracing::warn!(unknown, count, "records of the offsets topic that are not understood");
    }
    Ok(())
}
