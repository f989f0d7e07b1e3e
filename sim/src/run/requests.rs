//! What clients ask for next.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use commitlog::{
    Append, Isolation, Log, TopicSpec,
    groups::{CommitRequest, MemberRef, OffsetToCommit},
    record::Marker,
    transactions::{Identity, Protocol},
};
use futures::future::BoxFuture;
use model::TopicName;

use super::{Run, consumers, members};
use crate::{
    clients::{Idempotent, Refusal, Spot, Told, Writer, make_batch},
    invariants::Held,
    model::{Fate, Standing, Topic, Transaction},
};

/// Topics at a time, and idempotent producers.
const TOPICS_MAX: usize = 6;
const PRODUCERS_MAX: usize = 4;
/// Batches of an idempotent producer on their way: as many as Kafka's clients may have.
const WINDOW: usize = 5;
/// Of a thousand requests of idempotent producers so many arrive twice.
const TWICE: u64 = 60;

impl Run<'_> {
    /// Some client asks for something.
    pub(super) fn ask_something(&mut self) -> Held {
        if self.model.topics.is_empty() {
            self.make_topic();
            return Ok(());
        }
        match self.chance.weighted(&[30, 40, 45, 10, 12, 12, 20]) {
            0 => self.write_plainly(),
            1 => {
                let of = self.chance.below(PRODUCERS_MAX);
                self.write_idempotently(of);
            }
            2 => {
                let of = self.chance.below(self.transactional.len());
                self.go_on_with_transaction(of);
            }
            3 => self.commit_offset(),
            4 => self.administrate(),
            5 => self.read_something(),
            _ => self.go_on_as_member(),
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, request: impl Future<Output = Told> + Send + 'static) {
        self.asked += 1;
        self.node().ask(&self.told, request);
    }

    /// A partition that takes records.
    fn some_spot(&mut self, is_fit: impl Fn(&Topic) -> bool) -> Option<Spot> {
        let topics = self.model.topics.iter().enumerate();
        let fit: Vec<_> =
            topics.filter(|(_, t)| t.standing == Standing::There && is_fit(t)).map(|(at, _)| at).collect();
        if fit.is_empty() {
            return None;
        }
        let topic = *self.chance.one_of(&fit);
        let partitions = self.model.topics[topic].partitions;
        Some((topic, self.chance.below(partitions as usize) as i32))
    }

    fn now(&self) -> i64 {
        world::Clock::now_ms(&*self.parts.clock)
    }

    // ── records ──

    fn write_plainly(&mut self) {
        let Some(spot) = self.some_spot(|_| true) else { return };
        let now = self.now();
        let (batch, bytes) = make_batch(&mut self.model, &mut self.chance, spot, now, None, None);
        self.story.tell(format!("batch {batch} goes to {}", self.place(spot)));
        self.send(Writer::Plain, batch, bytes);
    }

    /// Sends a batch as it is.
    fn send(&mut self, by: Writer, batch: usize, bytes: Bytes) {
        let (topic, partition) = (self.model.batches[batch].topic, self.model.batches[batch].partition);
        let place = self.place((topic, partition));
        let sent = &mut self.model.batches[batch];
        sent.flying += 1;
        sent.is_lost = false;
        let mut is_late = false;
        let appended: BoxFuture<'static, Result<_, Refusal>> = if let Writer::Transactional(of) = by {
            let client = &self.transactional[of];
            let who = client.who.expect("it has begun");
            is_late = self.is_replaced(&client.id, who);
            match self.node().inside(|node| node.transactions.append(&place, bytes, who)) {
                Ok(append) => Box::pin(async move { append.await.map_err(Refusal::Log) }),
                Err(error) => Box::pin(async move { Err(Refusal::Transaction(error)) }),
            }
        } else {
            let append = self.node().inside(|node| node.log.append(&place, bytes, Append::default()));
            Box::pin(async move { append.await.map_err(Refusal::Log) })
        };
        self.ask(async move { Told::Appended { by, batch, is_late, result: appended.await } });
    }

    /// Whether somebody newer than `who` was told that the id is theirs.
    pub(super) fn is_replaced(&self, id: &str, who: Identity) -> bool {
        self.model.newest.get(id).is_some_and(|newest| (who.producer, who.epoch) < (newest.producer, newest.epoch))
    }

    pub(super) fn write_idempotently(&mut self, of: usize) {
        while self.idempotent.len() <= of {
            let Some(spot) = self.some_spot(|_| true) else { return };
            self.producers_made += 1;
            self.idempotent.push(Idempotent {
                number: self.producers_made,
                spot,
                id: None,
                is_asking: false,
                next_sequence: 0,
                queue: Default::default(),
                flying: 0,
                is_broken: false,
            });
        }
        let client = &self.idempotent[of];
        let topic = &self.model.topics[client.spot.0];
        if topic.standing != Standing::There || (client.queue.is_empty() && self.chance.permille(40)) {
            if client.flying == 0 && !client.is_asking {
                self.idempotent.remove(of);
            }
            return;
        }
        let Some(id) = client.id else {
            if !client.is_asking {
                let number = client.number;
                self.idempotent[of].is_asking = true;
                let log = self.node().log.clone();
                self.story.tell(format!("producer {number} asks who it is"));
                self.ask(async move {
                    let result = log.new_producer_id().await.map_err(|error| error.to_string());
                    Told::ProducerId { number, result }
                });
            }
            return;
        };
        if client.is_broken {
            if client.flying == 0 {
                self.send_again(of);
            }
            return;
        }
        if client.queue.len() == WINDOW {
            return;
        }
        let (spot, sequence, now) = (client.spot, client.next_sequence, self.now());
        let who = Identity { producer: id, epoch: 0 };
        let (batch, bytes) = make_batch(&mut self.model, &mut self.chance, spot, now, Some((who, sequence)), None);
        let count = self.model.batches[batch].records.len() as i32;
        let client = &mut self.idempotent[of];
        client.next_sequence += count;
        client.queue.push_back(batch);
        let times = if self.chance.permille(TWICE) { 2 } else { 1 };
        self.story.tell(format!(
            "batch {batch} of producer {id} from {sequence} goes to {}, {times} times",
            self.place(spot)
        ));
        for _ in 0..times {
            self.idempotent[of].flying += 1;
            self.send(Writer::Idempotent(id as usize), batch, bytes.clone());
        }
    }

    /// Nothing new: only what is left of what was sent.
    pub(super) fn write_idempotently_again(&mut self, of: usize) {
        let client = &self.idempotent[of];
        if client.is_broken && client.flying == 0 {
            self.send_again(of);
        }
    }

    /// All that was not acknowledged, in order.
    fn send_again(&mut self, of: usize) {
        let client = &mut self.idempotent[of];
        client.is_broken = false;
        let (queue, id) = (client.queue.clone(), client.id.expect("it has sent something"));
        self.story.tell(format!("producer {id} sends {queue:?} again"));
        for batch in queue {
            let bytes = self.model.batches[batch].bytes.clone();
            self.idempotent[of].flying += 1;
            self.send(Writer::Idempotent(id as usize), batch, bytes);
        }
    }

    // ── transactions ──

    /// The next thing that a transactional producer does.
    pub(super) fn go_on_with_transaction(&mut self, of: usize) {
        let client = &self.transactional[of];
        if client.is_busy {
            return;
        }
        if client.joined.iter().any(|spot| self.model.topics[spot.0].standing != Standing::There) {
            self.abandon(of);
            return;
        }
        let id = client.id.clone();
        let Some(who) = client.who else { return self.start_producer(of, id) };
        if let Some(how) = client.ending {
            return self.end(of, how);
        }
        if let Some(batch) = client.unsure {
            let bytes = self.model.batches[batch].bytes.clone();
            self.transactional[of].is_busy = true;
            self.story.tell(format!("{who:?} of `{id}` sends batch {batch} again"));
            return self.send(Writer::Transactional(of), batch, bytes);
        }
        let Some(transaction) = client.transaction else {
            let begun = Transaction { id, fate: Fate::Open, batches: Vec::new(), offset: None, was_seen: false };
            self.model.transactions.push(begun);
            let client = &mut self.transactional[of];
            client.transaction = Some(self.model.transactions.len() - 1);
            client.joined.clear();
            return self.join(of);
        };
        if client.joined.is_empty() {
            return self.join(of);
        }
        match self.chance.weighted(&[55, 10, 10, 15, 6, 2]) {
            0 => {
                let joined: Vec<_> = client.joined.iter().copied().collect();
                let spot = *self.chance.one_of(&joined);
                self.write_in_transaction(of, transaction, spot, who);
            }
            1 => self.join(of),
            2 => self.add_offset(of, transaction, who, id),
            3 => self.end(of, Marker::Commit),
            4 => self.end(of, Marker::Abort),
            // It dies, and a successor takes its place.
            _ => self.abandon(of),
        }
    }

    pub(super) fn abandon(&mut self, of: usize) {
        let client = &mut self.transactional[of];
        if let Some(transaction) = client.transaction {
            let transaction = &mut self.model.transactions[transaction];
            if transaction.fate == Fate::Open {
                transaction.fate = Fate::Aborted;
            }
        }
        client.give_up();
        self.story.tell(format!("producer {of} of `{}` gives up", self.transactional[of].id));
    }

    fn start_producer(&mut self, of: usize, id: String) {
        self.transactional[of].is_busy = true;
        let newest = self.model.newest.get(&id).copied();
        let transactions = self.node().transactions.clone();
        let timeout_ms = *self.chance.one_of(&[500, 30_000, 600_000]);
        self.story.tell(format!("a producer of `{id}` starts"));
        self.ask(async move {
            let result = transactions.init(&id, timeout_ms, None).await;
            Told::Started { of, newest, result }
        });
    }

    fn join(&mut self, of: usize) {
        // What a power cut takes from a relaxed topic no transaction brings back.
        let Some(spot) = self.some_spot(|topic| !topic.is_relaxed) else { return };
        let place = self.place(spot);
        let client = &mut self.transactional[of];
        let (id, who) = (client.id.clone(), client.who.expect("it has begun"));
        client.is_busy = true;
        let is_late = self.is_replaced(&id, who);
        let transactions = self.node().transactions.clone();
        self.story.tell(format!("{who:?} of `{id}` adds {place}"));
        self.ask(async move {
            let result = transactions.add(&id, who, BTreeSet::from([place])).await;
            Told::Joined { of, is_late, spot, result }
        });
    }

    fn write_in_transaction(&mut self, of: usize, transaction: usize, spot: Spot, who: Identity) {
        let now = self.now();
        let sequence = self.transactional[of].sequences.get(&spot).copied().unwrap_or(0);
        let producer = Some((who, sequence));
        let (batch, bytes) = make_batch(&mut self.model, &mut self.chance, spot, now, producer, Some(transaction));
        self.model.transactions[transaction].batches.push(batch);
        let client = &mut self.transactional[of];
        (client.is_busy, client.unsure) = (true, Some(batch));
        self.story.tell(format!("batch {batch} of {who:?} from {sequence} goes to {}", self.place(spot)));
        self.send(Writer::Transactional(of), batch, bytes);
    }

    fn add_offset(&mut self, of: usize, transaction: usize, who: Identity, id: String) {
        let has_topic = self.model.topics[0].standing == Standing::There;
        if !has_topic || self.model.transactions[transaction].offset.is_some() {
            return;
        }
        let offset = transaction as i64 + 1;
        // From here on it may count.
        self.model.transactions[transaction].offset = Some(offset);
        let client = &mut self.transactional[of];
        (client.is_busy, client.is_adding_offset) = (true, true);
        let protocol = client.protocol;
        let is_late = self.is_replaced(&id, who);
        let transactions = self.node().transactions.clone();
        self.story.tell(format!("{who:?} of `{id}` commits offset {offset} in its transaction"));
        self.ask(async move {
            let result = async {
                if protocol == Protocol::V1 {
                    transactions.add_offsets(&id, who).await.map_err(|error| error.to_string())?;
                }
                let group = MemberRef { group: format!("g{id}"), generation: -1, ..MemberRef::default() };
                let request = commit_request(group, offset);
                let committed = transactions.commit_offsets(&id, who, request, protocol).await;
                let results = committed.map_err(|error| error.to_string())?;
                results.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
            };
            let result = result.await;
            Told::OffsetAdded { of, is_late, transaction, offset, result }
        });
    }

    fn end(&mut self, of: usize, how: Marker) {
        let client = &mut self.transactional[of];
        (client.is_busy, client.ending) = (true, Some(how));
        let (id, who, protocol) = (client.id.clone(), client.who.expect("it has begun"), client.protocol);
        let transaction = client.transaction.expect("it has begun");
        let fate = &mut self.model.transactions[transaction].fate;
        *fate = if how == Marker::Commit { Fate::CommitAsked } else { Fate::Aborted };
        let is_late = self.is_replaced(&id, who);
        let transactions = self.node().transactions.clone();
        self.story.tell(format!("{who:?} of `{id}` ends transaction {transaction}: {how:?}"));
        self.ask(async move {
            let result = transactions.end(&id, who, how, protocol).await;
            Told::Ended { of, is_late, how, result }
        });
    }

    // ── groups ──

    fn commit_offset(&mut self) {
        let of = self.chance.below(self.committers.len());
        // A start forgets the offsets of topics that are not there.
        if self.model.topics[0].standing != Standing::There {
            return;
        }
        if self.committers[of].is_busy {
            return;
        }
        let (mut who, mut is_over) = (MemberRef { generation: -1, ..MemberRef::default() }, false);
        if self.committers[of].group == members::GROUP {
            let Some(member) = self.some_member() else { return };
            is_over = self.group.is_over(&member.member, member.generation);
            who = member;
        } else if self.committers[of].group == consumers::GROUP {
            let Some(consumer) = self.some_consumer() else { return };
            (who, is_over) = consumer;
        }
        let client = &mut self.committers[of];
        who.group.clone_from(&client.group);
        let offset = client.next;
        client.next += 1;
        (client.is_busy, client.asked) = (true, Some(offset));
        let request = commit_request(who, offset);
        let groups = self.node().groups.clone();
        self.story.tell(format!("group {of} commits {offset}"));
        self.ask(async move {
            let results = groups.commit(request).await;
            let result = results.into_iter().collect::<Result<(), _>>();
            Told::Committed { of, offset, is_over, result }
        });
    }

    // ── admins and readers ──

    fn administrate(&mut self) {
        let live = self.model.topics.iter().filter(|t| matches!(t.standing, Standing::There | Standing::Asked)).count();
        match self.chance.weighted(&[30, 8, 10, 12, 25]) {
            0 if live < TOPICS_MAX => self.make_topic(),
            1 => {
                let Some((topic, _)) = self.some_spot(|topic| topic.name != "t0") else { return };
                self.model.topics[topic].standing = Standing::Doomed;
                let name = self.model.topics[topic].name.clone();
                self.story.tell(format!("topic `{name}` is to be deleted"));
                let log = self.node().log.clone();
                self.ask(async move {
                    let result = log.delete_topic(&name).await.map_err(|error| error.to_string());
                    Told::Deleted { topic, result }
                });
            }
            2 => {
                let Some((topic, _)) = self.some_spot(|topic| topic.partitions < 4) else { return };
                let (name, total) = (self.model.topics[topic].name.clone(), self.model.topics[topic].partitions + 1);
                self.story.tell(format!("topic `{name}` shall have {total} partitions"));
                let log = self.node().log.clone();
                self.ask(async move {
                    let result = log.create_partitions(&name, total, false).await.map_err(|error| error.to_string());
                    Told::Grown { topic, total, result }
                });
            }
            3 => {
                let Some((topic, _)) = self.some_spot(|_| true) else { return };
                let name = self.model.topics[topic].name.clone();
                let log = self.node().log.clone();
                let Some(there) = log.topic(&name) else { return };
                let mut overrides = there.overrides.clone();
                let least = if self.model.topics[topic].takes_large { 200_000 } else { 2000 };
                let bytes = least + self.chance.below(4000);
                overrides.insert("segment.bytes".into(), bytes.to_string());
                self.story.tell(format!("topic `{name}` shall have segments of {bytes} bytes"));
                self.ask(async move {
                    let result = log.alter_topic(&name, overrides, false).await.map_err(|error| error.to_string());
                    Told::Changed { topic, result }
                });
            }
            _ => {
                let Some(spot) = self.some_spot(|topic| !topic.is_compacted) else { return };
                let end = self.model.topics[spot.0].parts.get(&spot.1).map_or(0, |part| part.high_watermark);
                let before = self.chance.below(end as usize + 1) as i64;
                let part = self.model.topics[spot.0].parts.entry(spot.1).or_default();
                part.delete_asked = part.delete_asked.max(before);
                let place = self.place(spot);
                self.story.tell(format!("records of {place} before {before} are to be deleted"));
                let log = self.node().log.clone();
                self.ask(async move {
                    let result = log.delete_records(&place, before).await.map_err(|error| error.to_string());
                    Told::RecordsDeleted { spot, result }
                });
            }
        }
    }

    fn make_topic(&mut self) {
        // Now and then one under a name that has been there before.
        let gone: Vec<_> =
            self.model.topics.iter().filter(|t| t.standing == Standing::Gone).map(|t| t.name.clone()).collect();
        let again = (!gone.is_empty() && self.chance.permille(500)).then(|| self.chance.one_of(&gone).clone());
        let name = again.filter(|name| self.model.topic_named(name).is_none()).unwrap_or_else(|| {
            self.topics_made += 1;
            format!("t{}", self.topics_made - 1)
        });
        let is_first = name == "t0";
        let kind = if is_first { 0 } else { self.chance.weighted(&[40, 30, 15, 15]) };
        let segment_bytes = *self.chance.one_of(&[2000, 3000, 6000, 400_000]);
        let partitions = 1 + self.chance.below(3) as i32;
        let mut spec = TopicSpec::new(TopicName::new(&name).expect("a legal name"), partitions)
            .with("segment.bytes", &segment_bytes.to_string())
            .with("message.timestamp.after.max.ms", &i64::MAX.to_string());
        match kind {
            1 => {
                let lag = *self.chance.one_of(&[0, 0, 5000]);
                spec = spec
                    .with("cleanup.policy", "compact")
                    .with("min.cleanable.dirty.ratio", self.chance.one_of::<&str>(&["0", "0.3"]))
                    .with("delete.retention.ms", self.chance.one_of::<&str>(&["0", "10000", "86400000"]))
                    .with("min.compaction.lag.ms", &lag.to_string())
                    .with("segment.ms", self.chance.one_of::<&str>(&["8000", "604800000"]));
            }
            2 => {
                spec = spec
                    .with("retention.bytes", self.chance.one_of::<&str>(&["4000", "20000"]))
                    .with("retention.ms", "60000");
            }
            3 => spec = spec.with("lakehead.unsafe.ack.before.fsync", "true"),
            _ => {}
        }
        self.model.topics.push(Topic {
            name: name.clone(),
            id: None,
            standing: Standing::Asked,
            is_compacted: kind == 1,
            is_relaxed: kind == 3,
            expires: kind == 2,
            takes_large: segment_bytes > 100_000,
            partitions,
            parts: Default::default(),
        });
        let topic = self.model.topics.len() - 1;
        self.story.tell(format!("topic `{name}` is to be made: {partitions} partitions, {:?}", spec.overrides));
        let log = self.node().log.clone();
        self.ask(async move {
            let result = log.create_topic(spec, false).await;
            Told::Made { topic, result: result.map(|topic| topic.id).map_err(|error| error.to_string()) }
        });
    }

    fn read_something(&mut self) {
        let Some(spot) = self.some_spot(|_| true) else { return };
        let place = self.place(spot);
        let log = self.node().log.clone();
        let Ok(bounds) = log.bounds(&place) else { return };
        let is_committed = self.chance.permille(500);
        let isolation = if is_committed { Isolation::Committed } else { Isolation::Uncommitted };
        let span = bounds.end(isolation) - bounds.log_start;
        let from = bounds.log_start + self.chance.below(span.max(0) as usize + 1) as i64;
        let bytes = *self.chance.one_of(&[1, 1000, 1 << 20]);
        self.story.tell(format!("{place} is read from {from}, {isolation:?}"));
        self.ask(async move {
            let result = log.read(&place, from, bytes, isolation).await.map_err(|error| error.to_string());
            Told::Read { spot, is_committed, result }
        });
    }
}

fn commit_request(who: MemberRef, offset: i64) -> CommitRequest {
    let offset =
        OffsetToCommit { topic: Arc::from("t0"), partition: 0, offset, leader_epoch: -1, ..OffsetToCommit::default() };
    CommitRequest { who, offsets: vec![offset] }
}
