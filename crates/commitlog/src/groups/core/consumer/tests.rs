//! The laws of the consumer protocol, held against the core alone.

mod any_order;
mod disk;
mod migration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::groups::core::{Effect, Event, Now};

const GROUP: &str = "g";
const INTERVAL: Duration = Duration::from_secs(5);

fn id(topic: u8) -> TopicId {
    TopicId::from_u128(u128::from(topic) + 100)
}

fn named(topic: u8) -> Arc<str> {
    format!("t{topic}").into()
}

fn topics(sizes: &[(u8, i32)]) -> TopicsSeen {
    sizes.iter().map(|(t, size)| (named(*t), (id(*t), *size))).collect()
}

type Records = Vec<(Bytes, Option<Bytes>)>;

/// A coordinator on a clock that the test moves, and a log that keeps what is durable.
struct Bench {
    core: GroupCoordinator,
    settings: GroupSettings,
    now: Now,
    topics: TopicsSeen,
    next_reply: u64,
    answers: BTreeMap<ReplyId, Answer>,
    log: Records,
    /// Writes are durable only when the test says so.
    hold: bool,
    held: Vec<(WriteId, Records)>,
}

impl Bench {
    fn new(sizes: &[(u8, i32)]) -> Self {
        Self::with(GroupSettings::default(), sizes)
    }

    fn with(settings: GroupSettings, sizes: &[(u8, i32)]) -> Self {
        let mut core = GroupCoordinator::new(settings.clone());
        let now = Now { monotonic: Duration::from_secs(1000), wall_ms: 1_000_000 };
        core.replayed(now, topics(sizes));
        Self {
            core,
            settings,
            now,
            topics: topics(sizes),
            next_reply: 0,
            answers: BTreeMap::new(),
            log: Vec::new(),
            hold: false,
            held: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) {
        for effect in self.core.step(self.now, event) {
            match effect {
                Effect::Answer { reply, answer } => {
                    assert!(self.answers.insert(reply, answer).is_none(), "a question is answered once");
                }
                Effect::Write { id, records, .. } => self.held.push((id, records)),
            }
        }
        self.check();
        if !self.hold {
            self.flush(true);
        }
    }

    /// All writes end, well or not.
    fn flush(&mut self, durable: bool) {
        for (id, records) in std::mem::take(&mut self.held) {
            if durable {
                self.log.extend(records);
            }
            self.step(Event::Written { id, durable });
        }
    }

    /// Writes end as `ends` says, in their order; those that come after these end well.
    fn flush_as(&mut self, ends: &[bool]) {
        let mut ends = ends.iter();
        while !self.held.is_empty() {
            let (id, records) = self.held.remove(0);
            let durable = *ends.next().unwrap_or(&true);
            if durable {
                self.log.extend(records);
            }
            self.step(Event::Written { id, durable });
        }
    }

    /// GRP-4, and that the books about it are right.
    fn check(&self) {
        let Some(consumer) = self.core.groups.get(GROUP).and_then(|g| g.consumer.as_ref()) else { return };
        let mut owners = BTreeMap::new();
        for (member, state) in &consumer.members {
            for place in state.progress.held() {
                assert!(owners.insert(*place, member.clone()).is_none(), "GRP-4: {place:?} is held twice");
            }
            if state.progress.has_arrived(consumer.epoch) {
                assert_eq!(state.progress.assigned, state.target, "GRP-6");
            }
        }
        assert_eq!(owners, consumer.owners, "who holds what is known");
        assert!(
            consumer
                .resolved
                .keys()
                .all(|pattern| { consumer.members.values().any(|m| m.subscription.regex.as_ref() == Some(pattern)) })
        );
    }

    fn restart(&mut self) {
        self.held.clear();
        self.answers.clear();
        self.core = GroupCoordinator::new(self.settings.clone());
        for (key, value) in &self.log {
            assert!(self.core.replay(key, value.as_deref()), "every record is understood");
        }
        self.core.replayed(self.now, self.topics.clone());
        self.check();
    }

    /// Of each key the last record stays.
    fn compact(&mut self) {
        let newest: BTreeMap<_, _> = self.log.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        let mut at = 0..;
        self.log.retain(|(key, _)| at.next() == newest.get(key).copied());
    }

    fn put(&mut self, event: impl FnOnce(ReplyId) -> Event) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.step(event(reply));
        reply
    }

    fn put_beat(&mut self, request: ConsumerHeartbeat) -> ReplyId {
        self.put(|reply| Event::ConsumerHeartbeat { reply, request, fresh: 7 })
    }

    /// What was said to a heartbeat, if anything so far.
    fn told(&mut self, reply: ReplyId) -> Option<Result<ConsumerHeartbeatAnswer, GroupError>> {
        match self.answers.remove(&reply)? {
            Answer::ConsumerHeartbeat(result) => Some(result),
            other => panic!("not to a heartbeat: {other:?}"),
        }
    }

    fn ask(&mut self, request: ConsumerHeartbeat) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        let reply = self.put_beat(request);
        self.told(reply).expect("answered at once")
    }

    fn see(&mut self, sizes: &[(u8, i32)]) {
        self.topics = topics(sizes);
        self.step(Event::TopicsSeen { topics: self.topics.clone() });
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.monotonic + time;
        while self.core.next_deadline() <= until {
            let at = self.core.next_deadline().max(self.now.monotonic);
            self.now.wall_ms += (at - self.now.monotonic).as_millis() as i64;
            self.now.monotonic = at;
            self.step(Event::Tick);
            assert!(self.core.next_deadline() > at, "the timer moved on");
        }
        self.now.wall_ms += (until - self.now.monotonic).as_millis() as i64;
        self.now.monotonic = until;
    }

    fn group(&self) -> &ConsumerGroup {
        self.core.groups[GROUP].consumer.as_ref().expect("a group of the consumer protocol")
    }

    fn state(&self) -> &'static str {
        self.core.list().iter().find(|g| &*g.group == GROUP).map_or("Dead", |g| g.state.name())
    }

    fn join(&mut self, member: &str, to: &[u8]) -> ConsumerHeartbeatAnswer {
        self.ask(joining(member, to)).expect("joins")
    }

    fn beat(&mut self, member: &str, epoch: i32, owned: &Partitions) -> Result<ConsumerHeartbeatAnswer, GroupError> {
        self.ask(alive(member, epoch, Some(owned.clone())))
    }
}

fn joining(member: &str, to: &[u8]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        rebalance_timeout: Some(Duration::from_secs(60)),
        topics: Some(to.iter().copied().map(named).collect()),
        owned: Some(Partitions::new()),
        ..alive(member, 0, None)
    }
}

fn alive(member: &str, epoch: i32, owned: Option<Partitions>) -> ConsumerHeartbeat {
    ConsumerHeartbeat { group: GROUP.into(), member: member.into(), epoch, owned, ..ConsumerHeartbeat::default() }
}

fn places(of: &[(u8, i32)]) -> Partitions {
    of.iter().map(|(t, p)| (id(*t), *p)).collect()
}

// ── one at a time ──

#[test]
fn a_lone_member_gets_everything_at_once() {
    let mut bench = Bench::new(&[(1, 3)]);
    let joined = bench.join("a", &[1]);
    assert_eq!(joined.epoch, 1);
    assert_eq!(joined.assignment, Some(places(&[(1, 0), (1, 1), (1, 2)])));
    assert_eq!(bench.state(), "Stable");
    let again = bench.beat("a", 1, &joined.assignment.expect("given")).expect("alive");
    assert_eq!((again.epoch, again.assignment), (1, None), "nothing changed, so nothing is said");
}

#[test]
fn a_partition_is_granted_only_when_its_former_owner_let_go_of_it() {
    let mut bench = Bench::new(&[(1, 2)]);
    let all = bench.join("a", &[1]).assignment.expect("given");
    let b = bench.join("b", &[1]);
    assert_eq!((b.epoch, b.assignment), (2, Some(Partitions::new())), "in the epoch, but it has to wait");
    assert_eq!(bench.state(), "Reconciling");
    let told = bench.beat("a", 1, &all).expect("alive");
    let kept = told.assignment.expect("told to give up");
    assert_eq!((told.epoch, kept.len()), (1, 1), "its epoch waits until it has");
    assert_eq!(bench.beat("b", 2, &Partitions::new()).expect("alive").assignment, None);
    assert_eq!(bench.beat("a", 1, &all).expect("alive").epoch, 1, "it holds on still");
    assert_eq!(bench.beat("a", 1, &kept).expect("alive").epoch, 2);
    let granted = bench.beat("b", 2, &Partitions::new()).expect("alive").assignment.expect("granted");
    assert_eq!(granted, all.difference(&kept).copied().collect());
    assert_eq!(bench.state(), "Stable");
}

#[test]
fn who_does_not_let_go_in_time_is_removed() {
    let mut bench = Bench::new(&[(1, 2)]);
    let all = bench.join("a", &[1]).assignment.expect("given");
    bench.join("b", &[1]);
    bench.beat("a", 1, &all).expect("told to give up");
    for _ in 0..11 {
        bench.pass(INTERVAL);
        bench.beat("a", 1, &all).expect("within its rebalance timeout");
        bench.beat("b", 2, &Partitions::new()).expect("alive");
    }
    bench.pass(INTERVAL);
    assert_eq!(bench.beat("a", 1, &all), Err(GroupError::UnknownMember));
    assert_eq!(bench.beat("b", 2, &Partitions::new()).expect("alive").assignment, Some(all));
}

#[test]
fn a_silent_member_is_removed_after_its_session() {
    let mut bench = Bench::new(&[(1, 2)]);
    bench.join("a", &[1]);
    bench.pass(Duration::from_secs(44));
    assert_eq!(bench.state(), "Stable");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.state(), "Empty");
    assert_eq!(bench.beat("a", 1, &Partitions::new()), Err(GroupError::UnknownMember));
}

#[test]
fn a_member_that_missed_an_answer_is_told_again_and_others_are_fenced() {
    let mut bench = Bench::new(&[(1, 2)]);
    let all = bench.join("a", &[1]).assignment.expect("given");
    bench.see(&[(1, 3)]);
    let grown = bench.beat("a", 1, &all).expect("alive");
    assert_eq!((grown.epoch, grown.assignment.as_ref().map(Partitions::len)), (2, Some(3)));
    // That answer was lost: the member still says 1, and holds nothing that is not its own.
    assert_eq!(bench.beat("a", 1, &all).expect("taken as it is meant"), grown);
    assert_eq!(bench.beat("a", 1, &places(&[(9, 9)])), Err(GroupError::FencedMemberEpoch));
    assert_eq!(bench.ask(alive("a", 1, None)), Err(GroupError::FencedMemberEpoch), "what it holds is not known");
    assert_eq!(bench.beat("a", 3, &all), Err(GroupError::FencedMemberEpoch));
    let anew = bench.join("a", &[1]);
    assert_eq!((anew.epoch, anew.assignment), (2, grown.assignment), "with empty hands it may start anew");
}

#[test]
fn however_many_answers_a_member_missed_it_goes_on_with_what_is_still_its_own() {
    let mut bench = Bench::new(&[(1, 2)]);
    let two = bench.join("a", &[1]).assignment.expect("given");
    let beat = |bench: &mut Bench, epoch| bench.beat("a", epoch, &two).map(|told| told.epoch);
    assert_eq!(beat(&mut bench, 1), Ok(1));
    for size in 3..6 {
        bench.see(&[(1, size)]);
        assert_eq!(beat(&mut bench, 1), Ok(size - 1), "heard of nothing");
    }
    // What it says may be late: it has heard more since.
    assert_eq!(beat(&mut bench, 3), Ok(4));
    assert_eq!(beat(&mut bench, 2), Err(GroupError::FencedMemberEpoch), "it said a later one");
    assert_eq!(beat(&mut bench, 4), Ok(4));
    assert_eq!(beat(&mut bench, 3), Err(GroupError::FencedMemberEpoch), "it said that it heard of the last");
    // What it was to give up is its own until it has: it is told again.
    bench.join("b", &[1]);
    let kept = bench.beat("a", 4, &places(&[(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)])).expect("told to give up");
    let half = kept.assignment.expect("told to give up");
    bench.see(&[(1, 1)]);
    assert_eq!(bench.beat("a", 4, &half).expect("alive").epoch, 5, "and more to give up");
    let again = bench.beat("a", 4, &half).expect("that answer was lost");
    assert_eq!((again.epoch, again.assignment.expect("told again").len()), (5, 1));
    // Nobody who joined anew says what was before.
    bench.join("a", &[1]);
    assert_eq!(bench.beat("a", 4, &Partitions::new()), Err(GroupError::FencedMemberEpoch));
}

#[test]
fn a_static_member_that_left_for_a_while_finds_everything_as_it_was() {
    let mut bench = Bench::new(&[(1, 4)]);
    let with = |request| ConsumerHeartbeat { instance: Some("i".into()), ..request };
    bench.ask(with(joining("a", &[1]))).expect("joins");
    bench.join("b", &[1]);
    let half = places(&[(1, 0), (1, 1)]);
    bench.ask(with(alive("a", 1, Some(half.clone())))).expect("alive");
    let theirs = bench.beat("b", 2, &Partitions::new()).expect("alive").assignment.expect("granted");
    assert_eq!(bench.ask(with(joining("c", &[1]))), Err(GroupError::UnreleasedInstanceId));
    assert_eq!(bench.ask(with(alive("a", -2, None))).expect("leaves").epoch, -2);
    assert_eq!(bench.beat("b", 2, &theirs).expect("alive").assignment, None, "what it had is kept for it");
    let back = bench.ask(with(joining("c", &[1]))).expect("joins");
    assert_eq!((back.epoch, back.assignment.as_ref()), (2, Some(&half)));
    assert_eq!(bench.ask(with(alive("a", 2, None))), Err(GroupError::FencedInstanceId));
    // Gone for longer than its session.
    bench.ask(with(alive("c", -2, None))).expect("leaves");
    for _ in 0..10 {
        bench.pass(INTERVAL);
        bench.beat("b", bench.group().members["b"].progress.epoch, &theirs).expect("alive");
    }
    assert_eq!(bench.group().members.len(), 1);
    assert_eq!(bench.ask(with(alive("c", 2, None))), Err(GroupError::UnknownMember));
}

#[test]
fn regular_expressions_stand_for_whole_names_and_follow_the_topics() {
    let mut bench = Bench::new(&[(1, 1), (2, 1), (12, 1)]);
    let with = |member, epoch, pattern: &str| ConsumerHeartbeat {
        topics: None,
        regex: Some(pattern.into()),
        epoch,
        ..joining(member, &[])
    };
    let joined = bench.ask(with("a", 0, "t(1|2)")).expect("joins");
    assert_eq!(joined.assignment, Some(places(&[(1, 0), (2, 0)])), "t12 is another name");
    bench.see(&[(1, 1), (12, 1)]);
    let less = bench.beat("a", 1, &places(&[(1, 0), (2, 0)])).expect("alive");
    assert_eq!(less.assignment, Some(places(&[(1, 0)])));
    let wider = bench.ask(with("a", 1, "t.*"));
    assert_eq!(
        wider,
        Ok(ConsumerHeartbeatAnswer { member: "a".into(), epoch: 3, assignment: Some(places(&[(1, 0), (12, 0)])) })
    );
    for bad in ["(", "a)|(b", r"(?=x)", r"(x)\1", &"x".repeat(20_000), "(((a{100}){100}){100}){100}"] {
        assert_eq!(bench.ask(with("b", 0, bad)), Err(GroupError::InvalidRegularExpression), "{bad:.20}");
    }
    assert!(!bench.group().members.contains_key("b"));
    bench.ask(ConsumerHeartbeat { regex: Some(String::new()), ..alive("a", 3, None) }).expect("unsubscribes");
    assert!(bench.group().members["a"].target.is_empty());
}

#[test]
fn topics_that_were_named_come_before_those_that_match() {
    let mut bench = Bench::new(&[(1, 1), (2, 1)]);
    let both = ConsumerHeartbeat { regex: Some("t2".into()), ..joining("a", &[1]) };
    let joined = bench.ask(both).expect("joins");
    assert_eq!((joined.epoch, joined.assignment), (1, Some(places(&[(1, 0)]))));
    let more = bench.beat("a", 1, &places(&[(1, 0)])).expect("alive");
    assert_eq!((more.epoch, more.assignment), (2, Some(places(&[(1, 0), (2, 0)]))));
}

#[test]
fn bookkeeping_topics_are_in_no_regular_expression() {
    let mut bench = Bench::new(&[]);
    let theirs = "__debezium-heartbeat.shop";
    bench.topics =
        [("__consumer_offsets".into(), (id(1), 1)), ("t".into(), (id(2), 1)), (theirs.into(), (id(3), 1))].into();
    bench.step(Event::TopicsSeen { topics: bench.topics.clone() });
    let request = ConsumerHeartbeat { topics: None, regex: Some(".*".into()), ..joining("a", &[]) };
    assert_eq!(bench.ask(request).expect("joins").assignment, Some(places(&[(2, 0), (3, 0)])));
}

#[test]
fn an_expression_stands_for_what_its_member_may_see() {
    let mut bench = Bench::new(&[(1, 2), (2, 2)]);
    let hidden = Arc::new(parking_lot::Mutex::new(named(2)));
    let viewer = |name: &str, hidden: &Arc<parking_lot::Mutex<Arc<str>>>| {
        let hidden = hidden.clone();
        Some(Viewer::new(name, move |topic| *topic != **hidden.lock()))
    };
    let of_all = |member: &str, viewer| ConsumerHeartbeat {
        topics: None,
        regex: Some("t.*".into()),
        viewer,
        ..joining(member, &[])
    };
    // What `a` may not see is read by `b`, who may.
    let nothing_hidden = Arc::new(parking_lot::Mutex::new(named(9)));
    let a = bench.ask(of_all("a", viewer("a", &hidden))).expect("joins");
    assert_eq!(a.assignment, Some(places(&[(1, 0), (1, 1)])));
    bench.ask(of_all("b", viewer("b", &nothing_hidden))).expect("joins");
    let targets = |bench: &Bench| {
        let targets = bench.group().members.iter().map(|(id, member)| (id.to_string(), member.target.clone()));
        targets.collect::<BTreeMap<_, _>>()
    };
    let read = |bench: &Bench| targets(bench).into_values().flatten().collect::<Partitions>();
    assert_eq!(read(&bench).len(), 4);
    assert!(targets(&bench)["a"].iter().all(|(topic, _)| *topic == id(1)));
    bench.see(&[(1, 2), (2, 2), (3, 4)]);
    assert_eq!(read(&bench).len(), 8, "with everybody's own eyes");
    assert!(targets(&bench)["a"].iter().all(|(topic, _)| *topic != id(2)));
    // After a restart nobody's eyes are known until they speak.
    bench.restart();
    let beat = |bench: &mut Bench| {
        let epoch = bench.group().members["a"].progress.epoch;
        let request = alive("a", epoch, Some(Partitions::new()));
        bench.ask(ConsumerHeartbeat { viewer: viewer("a", &hidden), ..request }).expect("alive")
    };
    beat(&mut bench);
    assert!(targets(&bench)["a"].iter().all(|(topic, _)| *topic != id(2)));
    // Rights that change are seen after a while.
    *hidden.lock() = named(1);
    bench.pass(Duration::from_secs(40));
    beat(&mut bench);
    bench.pass(Duration::from_secs(40));
    beat(&mut bench);
    assert!(targets(&bench)["a"].iter().all(|(topic, _)| *topic != id(1)));
}

#[test]
fn requests_that_say_too_little_are_refused() {
    let mut bench = Bench::new(&[(1, 1)]);
    let join = || joining("a", &[1]);
    let invalid = |result| matches!(result, Err(GroupError::InvalidRequest(_)));
    assert!(invalid(bench.ask(ConsumerHeartbeat { group: String::new(), ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { rebalance_timeout: None, ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { topics: None, ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { owned: None, ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { owned: Some(places(&[(1, 0)])), ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { instance: Some(String::new()), ..join() })));
    assert!(invalid(bench.ask(ConsumerHeartbeat { member: String::new(), ..alive("", 1, None) })));
    assert!(invalid(bench.ask(alive("a", -2, None))));
    assert!(invalid(bench.ask(alive("a", -3, None))));
    let many = (0..3000).map(|n| format!("{n:01000}").into()).collect();
    assert!(invalid(bench.ask(ConsumerHeartbeat { topics: Some(many), ..join() })));
    let unknown = ConsumerHeartbeat { assignor: Some("sticky".into()), ..join() };
    assert_eq!(bench.ask(unknown), Err(GroupError::UnsupportedAssignor));
    assert_eq!(bench.ask(alive("a", 1, None)), Err(GroupError::UnknownMember));
    assert_eq!(bench.ask(alive("a", -1, None)), Err(GroupError::GroupIdNotFound));
    assert!(bench.core.list().is_empty(), "a refused request leaves nothing behind");
    assert!(bench.log.is_empty());
}

#[test]
fn a_member_without_an_id_is_given_one() {
    let mut bench = Bench::new(&[(1, 1)]);
    let joined = bench.join("", &[1]);
    assert!(!joined.member.is_empty());
    bench.beat(&joined.member, 1, &Partitions::new()).expect("known by it");
}

#[test]
fn most_members_choose_the_assignor() {
    let mut bench = Bench::new(&[(1, 4)]);
    for member in ["a", "b", "c"] {
        let assignor = if member == "b" { "uniform" } else { "range" };
        bench.ask(ConsumerHeartbeat { assignor: Some(assignor.into()), ..joining(member, &[1]) }).expect("joins");
    }
    let described = bench.core.describe_consumer(GROUP).expect("there");
    assert_eq!(described.assignor, "range");
    assert_eq!(described.members[0].target, places(&[(1, 0), (1, 1)]));
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut bench = Bench::with(GroupSettings { members_max: 1, ..GroupSettings::default() }, &[(1, 1)]);
    bench.join("a", &[1]);
    assert_eq!(bench.ask(joining("b", &[1])), Err(GroupError::GroupMaxSizeReached));
    bench.beat("a", 1, &Partitions::new()).expect("who is in stays in");
}

#[test]
fn topics_that_changed_while_the_node_was_down_are_caught_up_with() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.join("a", &[1]);
    bench.restart();
    assert_eq!(bench.beat("a", 1, &places(&[(1, 0)])).expect("known").epoch, 1, "nothing changed");
    bench.topics = topics(&[(1, 2)]);
    bench.restart();
    let grown = bench.beat("a", 1, &places(&[(1, 0)])).expect("known");
    assert_eq!((grown.epoch, grown.assignment), (2, Some(places(&[(1, 0), (1, 1)]))));
}

#[test]
fn the_snapshot_says_all_there_is_to_say() {
    let mut bench = Bench::new(&[(1, 4)]);
    let all = bench.join("a", &[1]).assignment.expect("given");
    bench.join("b", &[1]);
    bench.beat("a", 1, &all).expect("told to give up");
    let before = bench.core.describe_consumer(GROUP);
    bench.log = bench.core.snapshot().into_iter().map(|(key, value)| (key, Some(value))).collect();
    bench.restart();
    assert_eq!(bench.core.describe_consumer(GROUP), before);
}

// ── offsets and the other protocol ──

fn commit(bench: &mut Bench, member: &str, epoch: i32) -> Result<(), GroupError> {
    let who = MemberRef { group: GROUP.into(), member: member.into(), generation: epoch, instance: None };
    let offsets = vec![OffsetToCommit { topic: named(1), partition: 0, offset: 5, ..OffsetToCommit::default() }];
    let reply = bench.put(|reply| Event::Commit { reply, request: CommitRequest { who, offsets } });
    match bench.answers.remove(&reply) {
        Some(Answer::Each(results)) => results[0],
        other => panic!("not to a commit: {other:?}"),
    }
}

fn join_classic(bench: &mut Bench) -> JoinAnswer {
    let request = JoinRequest {
        group: GROUP.into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::new())],
        ..JoinRequest::default()
    };
    let reply = bench.put(|reply| Event::Join { reply, request, fresh: 1 });
    match bench.answers.remove(&reply) {
        Some(Answer::Join(answer)) => answer,
        other => panic!("not to a join: {other:?}"),
    }
}

#[test]
fn commits_and_reads_need_the_current_epoch() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.join("a", &[1]);
    assert_eq!(commit(&mut bench, "a", 1), Ok(()));
    assert_eq!(commit(&mut bench, "a", 0), Err(GroupError::StaleMemberEpoch));
    assert_eq!(commit(&mut bench, "b", 1), Err(GroupError::UnknownMember));
    assert_eq!(commit(&mut bench, "", -1), Err(GroupError::UnknownMember), "from outside only while it is empty");
    assert_eq!(bench.core.check_reader(GROUP, Some("a"), 1), Ok(()));
    assert_eq!(bench.core.check_reader(GROUP, Some("a"), 2), Err(GroupError::StaleMemberEpoch));
    assert_eq!(bench.core.check_reader(GROUP, Some("b"), 1), Err(GroupError::UnknownMember));
    assert_eq!(bench.core.check_reader(GROUP, None, -1), Ok(()), "an admin");
    bench.ask(alive("a", -1, None)).expect("leaves");
    assert_eq!(commit(&mut bench, "", -1), Ok(()));
}

#[test]
fn an_empty_group_takes_up_either_protocol_and_a_live_one_keeps_its_own() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.join("a", &[1]);
    commit(&mut bench, "a", 1).expect("committed");
    assert_eq!(join_classic(&mut bench).error, Some(GroupError::InconsistentProtocol));
    assert!(bench.core.describe(GROUP).is_none() && bench.core.describe_consumer(GROUP).is_some());
    bench.ask(alive("a", -1, None)).expect("leaves");
    let joined = join_classic(&mut bench);
    assert_eq!((joined.error, joined.generation), (None, 3), "epochs and generations go on in one row (GRP-3)");
    assert!(bench.core.describe(GROUP).is_some() && bench.core.describe_consumer(GROUP).is_none());
    assert_eq!(bench.ask(joining("a", &[1])), Err(GroupError::GroupIdNotFound));
    let leaver = Leaver { member: joined.member, instance: None };
    bench.put(|reply| Event::Leave { reply, group: GROUP.into(), leavers: vec![leaver] });
    let again = bench.join("a", &[1]);
    assert_eq!(again.epoch, 5);
    bench.restart();
    assert_eq!(bench.state(), "Stable");
    assert_eq!(bench.core.group_type(GROUP), Some(GroupType::Consumer));
    assert_eq!(bench.core.offsets(GROUP).len(), 1, "its offsets stayed all the while");
}

#[test]
fn an_admin_removes_members_and_deletes_only_empty_groups() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.join("a", &[1]);
    commit(&mut bench, "a", 1).expect("committed");
    let delete = |bench: &mut Bench| {
        let reply = bench.put(|reply| Event::DeleteGroup { reply, group: GROUP.into() });
        bench.answers.remove(&reply)
    };
    assert_eq!(delete(&mut bench), Some(Answer::Done(Err(GroupError::GroupNotEmpty))));
    let partitions = vec![(named(1), 0), (named(2), 0)];
    let reply = bench.put(|reply| Event::DeleteOffsets { reply, group: GROUP.into(), partitions });
    let expected = Answer::Each(vec![Err(GroupError::SubscribedToTopic), Ok(())]);
    assert_eq!(bench.answers.remove(&reply), Some(expected));
    let leavers = vec![Leaver { member: "a".into(), instance: None }, Leaver { member: "b".into(), instance: None }];
    let reply = bench.put(|reply| Event::Leave { reply, group: GROUP.into(), leavers });
    assert_eq!(bench.answers.remove(&reply), Some(Answer::Each(vec![Ok(()), Err(GroupError::UnknownMember)])));
    assert_eq!(bench.state(), "Empty");
    assert_eq!(delete(&mut bench), Some(Answer::Done(Ok(()))));
    bench.restart();
    assert!(bench.core.list().is_empty(), "nothing is left of it in the log");
}

#[test]
fn offsets_of_a_live_group_stay_and_an_empty_one_dies_after_the_retention() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let mut bench = Bench::new(&[(1, 1)]);
    bench.join("a", &[1]);
    commit(&mut bench, "a", 1).expect("committed");
    // Eight days of heartbeats; those in between are left out by lengthening the session.
    bench
        .core
        .groups
        .get_mut(GROUP)
        .and_then(|g| g.consumer.as_mut())
        .expect("there")
        .members
        .get_mut("a")
        .expect("in")
        .session_until = bench.now.monotonic + 9 * DAY;
    bench.pass(8 * DAY);
    assert_eq!(bench.core.offsets(GROUP).len(), 1, "subscribed to");
    bench.ask(alive("a", -1, None)).expect("leaves");
    bench.restart();
    bench.pass(6 * DAY);
    assert_eq!(bench.core.offsets(GROUP).len(), 1, "counted from when it became empty, also over a restart");
    bench.pass(2 * DAY);
    assert_eq!(bench.state(), "Dead");
    bench.restart();
    assert!(bench.core.list().is_empty());
}
