//! The laws of groups, held against the core alone.

mod any_order;
mod gone;

use super::*;

/// A group of one coordinator on a clock that the test moves; writes are durable at once unless held back.
struct Bench {
    core: GroupCoordinator,
    now: Now,
    next_reply: u64,
    answers: BTreeMap<ReplyId, Answer>,
    log: Vec<(Bytes, Option<Bytes>)>,
    hold_writes: bool,
    held: Vec<WriteId>,
}

impl Bench {
    fn new() -> Self {
        Self::with(GroupSettings::default())
    }

    fn with(settings: GroupSettings) -> Self {
        let mut core = GroupCoordinator::new(settings);
        let now = Now { monotonic: Duration::from_secs(1000), wall_ms: 1_000_000 };
        core.replayed(now, TopicsSeen::new());
        Self {
            core,
            now,
            next_reply: 0,
            answers: BTreeMap::new(),
            log: Vec::new(),
            hold_writes: false,
            held: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) {
        for effect in self.core.step(self.now, event) {
            match effect {
                Effect::Answer { reply, answer } => {
                    assert!(self.answers.insert(reply, answer).is_none(), "a question is answered once");
                }
                Effect::Write { id, records, .. } => {
                    self.log.extend(records);
                    self.held.push(id);
                }
            }
        }
        if !self.hold_writes {
            for id in std::mem::take(&mut self.held) {
                self.step(Event::Written { id, durable: true });
            }
        }
    }

    fn ask(&mut self, event: impl FnOnce(ReplyId) -> Event) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.step(event(reply));
        reply
    }

    /// Lets time pass, waking the core whenever it wants.
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

    fn join(&mut self, request: JoinRequest) -> ReplyId {
        let fresh = u128::from(self.next_reply);
        self.ask(|reply| Event::Join { reply, request, fresh })
    }

    fn joined(&mut self, reply: ReplyId) -> Option<JoinAnswer> {
        match self.answers.remove(&reply)? {
            Answer::Join(answer) => Some(answer),
            other => panic!("not to a join: {other:?}"),
        }
    }

    fn synced(&mut self, reply: ReplyId) -> Option<SyncAnswer> {
        match self.answers.remove(&reply)? {
            Answer::Sync(answer) => Some(answer),
            other => panic!("not to a sync: {other:?}"),
        }
    }

    /// Joins with the two steps of a modern client; the answer may be pending.
    fn enter(&mut self, request: JoinRequest) -> (String, ReplyId) {
        let first = self.join(request.clone());
        let member = self.joined(first).expect("answered at once").member;
        let reply = self.join(JoinRequest { member: member.clone(), ..request });
        (member, reply)
    }

    fn sync(&mut self, who: MemberRef, assignments: &[(&str, &'static str)]) -> ReplyId {
        let assignments =
            assignments.iter().map(|(m, a)| ((*m).to_owned(), Bytes::from_static(a.as_bytes()))).collect();
        self.ask(|reply| Event::Sync { reply, request: SyncRequest { who, assignments, ..SyncRequest::default() } })
    }

    fn heartbeat(&mut self, who: &MemberRef) -> Result<(), GroupError> {
        let who = who.clone();
        let reply = self.ask(|reply| Event::Heartbeat { reply, who });
        match self.answers.remove(&reply) {
            Some(Answer::Done(result)) => result,
            other => panic!("not to a heartbeat: {other:?}"),
        }
    }

    fn commit(&mut self, who: MemberRef, offset: i64) -> ReplyId {
        let offsets =
            vec![OffsetToCommit { topic: "t".into(), partition: 0, offset, leader_epoch: 3, metadata: "m".into() }];
        self.ask(|reply| Event::Commit { reply, request: CommitRequest { who, offsets } })
    }

    fn committed(&mut self, reply: ReplyId) -> Option<Result<(), GroupError>> {
        match self.answers.remove(&reply)? {
            Answer::Each(results) => Some(results[0]),
            other => panic!("not to a commit: {other:?}"),
        }
    }

    fn offset(&self) -> Option<i64> {
        self.core.offset("g", "t", 0).map(|o| o.offset)
    }

    fn state(&self) -> Option<GroupState> {
        self.core.describe("g").map(|g| g.state)
    }

    /// Two members in a stable group: leader first.
    fn two_stable(&mut self) -> (MemberRef, MemberRef) {
        let (a, join_a) = self.enter(wish("a"));
        assert_eq!(self.joined(join_a).expect("alone").generation, 1);
        let (b, join_b) = self.enter(wish("b"));
        assert_eq!(self.joined(join_b), None, "waits for a");
        let join_a = self.join(JoinRequest { member: a.clone(), ..wish("a") });
        let (led, followed) = (self.joined(join_a).expect("both there"), self.joined(join_b).expect("both there"));
        assert_eq!((led.generation, followed.generation), (2, 2));
        assert_eq!((led.members.len(), followed.members.len()), (2, 0), "only the leader gets the members");
        let (a, b) = (member(&a, 2), member(&b, 2));
        let sync_b = self.sync(b.clone(), &[]);
        assert_eq!(self.synced(sync_b), None, "waits for the leader");
        let sync_a = self.sync(a.clone(), &[(&a.member, "left"), (&b.member, "right")]);
        assert_eq!(self.synced(sync_a).expect("assigned").assignment, "left");
        assert_eq!(self.synced(sync_b).expect("assigned").assignment, "right");
        (a, b)
    }
}

fn wish(client: &str) -> JoinRequest {
    JoinRequest {
        group: "g".into(),
        client_id: client.into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription("t")), ("sticky".into(), subscription("t"))],
        knows_member_id_first: true,
        knows_skip_assignment: true,
        ..JoinRequest::default()
    }
}

fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
    bytes.extend(topic.as_bytes());
    bytes.into()
}

fn member(id: &str, generation: i32) -> MemberRef {
    MemberRef { group: "g".into(), member: id.into(), instance: None, generation }
}

fn outsider() -> MemberRef {
    MemberRef { group: "g".into(), generation: -1, ..MemberRef::default() }
}

#[test]
fn a_new_member_is_told_its_id_first() {
    let mut bench = Bench::new();
    let reply = bench.join(wish("a"));
    let answer = bench.joined(reply).expect("at once");
    assert_eq!(answer.error, Some(GroupError::MemberIdRequired));
    assert!(answer.member.starts_with("a-"));
    bench.pass(Duration::from_secs(11));
    let late = bench.join(JoinRequest { member: answer.member, ..wish("a") });
    assert_eq!(bench.joined(late).expect("forgotten").error, Some(GroupError::UnknownMember));
}

#[test]
fn old_clients_join_in_one_step() {
    let mut bench = Bench::new();
    let reply = bench.join(JoinRequest { knows_member_id_first: false, ..wish("a") });
    let answer = bench.joined(reply).expect("alone");
    assert_eq!((answer.error, answer.generation, answer.leader == answer.member), (None, 1, true));
}

#[test]
fn a_second_member_rebalances_and_both_get_their_share() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    assert_eq!(bench.state(), Some(GroupState::Stable));
    assert_eq!(bench.heartbeat(&a), Ok(()));
    let again = bench.sync(b, &[]);
    assert_eq!(bench.synced(again).expect("stable").assignment, "right");
}

#[test]
fn silent_members_are_removed_and_the_others_rebalance() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    for _ in 0..4 {
        bench.pass(Duration::from_secs(3));
        let _ = bench.heartbeat(&a);
    }
    assert_eq!(bench.heartbeat(&a), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.heartbeat(&b), Err(GroupError::UnknownMember));
    let rejoin = bench.join(JoinRequest { member: a.member.clone(), ..wish("a") });
    let answer = bench.joined(rejoin).expect("alone again");
    assert_eq!((answer.generation, answer.members.len()), (3, 1));
    assert_eq!(bench.heartbeat(&a), Err(GroupError::IllegalGeneration));
}

#[test]
fn those_who_do_not_join_again_in_time_are_dropped() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    let rejoin = bench.join(JoinRequest { member: a.member.clone(), ..wish("a") });
    for _ in 0..13 {
        bench.pass(Duration::from_secs(5));
        let _ = bench.heartbeat(&b); // alive, but busy: its session does not end, the join phase does
    }
    let answer = bench.joined(rejoin).expect("the join phase is over");
    assert_eq!((answer.generation, answer.members.len()), (3, 1));
    assert_eq!(bench.heartbeat(&b), Err(GroupError::UnknownMember));
}

#[test]
fn a_leader_that_never_assigns_is_dropped() {
    let mut bench = Bench::new();
    let (_, join) = bench.enter(wish("a"));
    let a = bench.joined(join).expect("alone");
    assert_eq!(bench.state(), Some(GroupState::CompletingRebalance));
    for _ in 0..13 {
        bench.pass(Duration::from_secs(5));
        let _ = bench.heartbeat(&member(&a.member, 1));
    }
    assert_eq!(bench.heartbeat(&member(&a.member, 1)), Err(GroupError::UnknownMember));
    assert_eq!(bench.core.list().len(), 0, "nothing was stored, nothing is kept");
}

#[test]
fn an_unchanged_follower_is_answered_at_once_but_the_leader_rebalances() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    let again = bench.join(JoinRequest { member: b.member.clone(), ..wish("b") });
    assert_eq!(bench.joined(again).expect("unchanged").generation, 2);
    let again = bench.join(JoinRequest { member: a.member.clone(), ..wish("a") });
    assert_eq!(bench.joined(again), None);
    assert_eq!(bench.state(), Some(GroupState::PreparingRebalance));
    assert_eq!(bench.heartbeat(&b), Err(GroupError::RebalanceInProgress));
}

#[test]
fn leaving_rebalances_the_rest_and_the_last_one_empties_the_group() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    let leave = |bench: &mut Bench, who: &MemberRef| {
        let leavers = vec![Leaver { member: who.member.clone(), instance: None }];
        let reply = bench.ask(|reply| Event::Leave { reply, group: "g".into(), leavers });
        bench.answers.remove(&reply)
    };
    assert_eq!(leave(&mut bench, &b), Some(Answer::Each(vec![Ok(())])));
    assert_eq!(bench.heartbeat(&a), Err(GroupError::RebalanceInProgress));
    assert_eq!(leave(&mut bench, &b), Some(Answer::Each(vec![Err(GroupError::UnknownMember)])));
    assert_eq!(leave(&mut bench, &a), Some(Answer::Each(vec![Ok(())])));
    assert_eq!(bench.state(), Some(GroupState::Empty));
    assert_eq!(bench.core.describe("g").expect("kept").generation, 3);
}

#[test]
fn members_without_a_common_protocol_are_refused() {
    let mut bench = Bench::new();
    bench.two_stable();
    for odd in [
        JoinRequest { protocols: vec![("other".into(), Bytes::new())], ..wish("c") },
        JoinRequest { protocol_type: "connect".into(), ..wish("c") },
        JoinRequest { protocols: Vec::new(), ..wish("c") },
    ] {
        let reply = bench.join(odd);
        assert_eq!(bench.joined(reply).expect("refused").error, Some(GroupError::InconsistentProtocol));
    }
}

#[test]
fn the_protocol_most_prefer_wins_among_the_common_ones() {
    let mut bench = Bench::new();
    let only = |client: &str, protocols: &[&str]| JoinRequest {
        protocols: protocols.iter().map(|p| ((*p).to_owned(), subscription("t"))).collect(),
        ..wish(client)
    };
    let (a, _) = bench.enter(only("a", &["x", "y", "z"]));
    let (_, join_b) = bench.enter(only("b", &["z", "y"]));
    let (_, join_c) = bench.enter(only("c", &["z", "y"]));
    let join_a = bench.join(JoinRequest { member: a, ..only("a", &["x", "y", "z"]) });
    for join in [join_a, join_b, join_c] {
        assert_eq!(bench.joined(join).expect("all there").protocol.as_deref(), Some("z"));
    }
}

#[test]
fn what_a_member_brings_has_an_end() {
    let mut bench = Bench::new();
    let limit = GroupSettings::default().subscription_bytes_max;
    for protocols in [
        vec![("range".to_owned(), Bytes::from(vec![0; limit]))],
        (0..101).map(|n| (n.to_string(), Bytes::new())).collect(),
    ] {
        let reply = bench.join(JoinRequest { protocols, ..wish("a") });
        let refused = bench.joined(reply).expect("refused").error.map(GroupError::kafka_code);
        assert_eq!(refused, Some(42));
    }
    assert!(bench.core.list().is_empty(), "refusals leave nothing behind");
}

#[test]
fn sessions_outside_the_limits_and_empty_groups_are_refused() {
    let mut bench = Bench::new();
    for (request, error) in [
        (JoinRequest { session_timeout: Duration::from_secs(5), ..wish("a") }, GroupError::InvalidSessionTimeout),
        (JoinRequest { session_timeout: Duration::from_secs(1801), ..wish("a") }, GroupError::InvalidSessionTimeout),
        (JoinRequest { group: String::new(), ..wish("a") }, GroupError::GroupIdInvalid),
        (JoinRequest { member: "who".into(), ..wish("a") }, GroupError::UnknownMember),
    ] {
        let reply = bench.join(request);
        assert_eq!(bench.joined(reply).expect("refused").error, Some(error));
    }
    assert!(bench.core.list().is_empty(), "refusals leave nothing behind");
}

#[test]
fn a_static_member_comes_back_without_rebalance_and_fences_its_old_self() {
    let mut bench = Bench::new();
    let fixed = |instance: &str| JoinRequest { instance: Some(instance.into()), ..wish("s") };
    let join = bench.join(fixed("i1"));
    let first = bench.joined(join).expect("static members skip the first step");
    let old = MemberRef { instance: Some("i1".into()), ..member(&first.member, 1) };
    let sync = bench.sync(old.clone(), &[(&first.member, "share")]);
    assert_eq!(bench.synced(sync).expect("assigned").assignment, "share");

    let join = bench.join(fixed("i1"));
    let back = bench.joined(join).expect("no rebalance");
    assert_eq!((back.error, back.generation, back.skip_assignment), (None, 1, true));
    assert_ne!(back.member, first.member);
    assert_eq!(bench.state(), Some(GroupState::Stable));
    assert_eq!(bench.heartbeat(&old), Err(GroupError::FencedInstanceId));
    let new = MemberRef { instance: Some("i1".into()), ..member(&back.member, 1) };
    let sync = bench.sync(new, &[]);
    assert_eq!(bench.synced(sync).expect("kept").assignment, "share");

    let join = bench.join(JoinRequest { knows_skip_assignment: false, ..fixed("i1") });
    let old_client = bench.joined(join).expect("no rebalance");
    assert_eq!(old_client.leader, back.member, "an old client must not think that it leads");
    assert!(old_client.members.is_empty());
}

#[test]
fn a_commit_shows_only_once_durable_and_is_answered_then() {
    let mut bench = Bench::new();
    let (a, _) = bench.two_stable();
    bench.hold_writes = true;
    let (first, second) = (bench.commit(a.clone(), 5), bench.commit(a.clone(), 9));
    assert_eq!((bench.committed(first), bench.offset()), (None, None));
    let held = std::mem::take(&mut bench.held);
    bench.step(Event::Written { id: held[0], durable: true });
    assert_eq!((bench.committed(first), bench.offset()), (Some(Ok(())), Some(5)));
    bench.step(Event::Written { id: held[1], durable: false });
    assert_eq!((bench.committed(second), bench.offset()), (Some(Err(GroupError::NotAvailable)), Some(5)));
}

#[test]
fn commits_of_strangers_and_old_generations_are_refused() {
    let mut bench = Bench::new();
    let first = bench.commit(outsider(), 1);
    assert_eq!(bench.committed(first), Some(Ok(())), "an empty group may be moved from outside");
    let (a, _) = bench.two_stable();
    for (who, error) in [
        (outsider(), GroupError::UnknownMember),
        (member("stranger", 2), GroupError::UnknownMember),
        (member(&a.member, 1), GroupError::IllegalGeneration),
        (MemberRef { group: String::new(), ..member("a", 1) }, GroupError::IllegalGeneration),
    ] {
        let reply = bench.commit(who, 7);
        assert_eq!(bench.committed(reply), Some(Err(error)));
    }
    let rejoin = bench.join(JoinRequest { member: a.member.clone(), ..wish("a") });
    assert_eq!(bench.joined(rejoin), None);
    let during = bench.commit(a, 8);
    assert_eq!(bench.committed(during), Some(Ok(())), "allowed while members join again");
    assert_eq!(bench.offset(), Some(8));
}

#[test]
fn an_assignment_is_handed_out_only_once_durable() {
    let mut bench = Bench::new();
    let (_, join) = bench.enter(wish("a"));
    let a = bench.joined(join).expect("alone").member;
    bench.hold_writes = true;
    let sync = bench.sync(member(&a, 1), &[(&a, "all")]);
    assert_eq!(bench.synced(sync), None);
    let id = bench.held.pop().expect("a write");
    bench.step(Event::Written { id, durable: false });
    assert_eq!(bench.synced(sync).expect("refused").error, Some(GroupError::NotAvailable));
    assert_eq!(bench.state(), Some(GroupState::PreparingRebalance), "and everybody starts over");
}

#[test]
fn groups_live_on_after_a_restart() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    let commit = bench.commit(a.clone(), 42);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    for snapshot in [false, true] {
        let mut after = Bench::new();
        let records: Vec<_> = match snapshot {
            true => bench.core.snapshot().into_iter().map(|(k, v)| (k, Some(v))).collect(),
            false => bench.log.clone(),
        };
        for (key, value) in &records {
            assert!(after.core.replay(key, value.as_deref()));
        }
        after.core.replayed(after.now, TopicsSeen::new());
        assert_eq!((after.offset(), after.state()), (Some(42), Some(GroupState::Stable)));
        assert_eq!((after.heartbeat(&a), after.heartbeat(&b)), (Ok(()), Ok(())), "members notice nothing");
        assert_eq!(after.core.describe("g"), bench.core.describe("g"));
        after.pass(Duration::from_secs(11));
        assert_eq!(after.heartbeat(&a), Err(GroupError::UnknownMember), "unless they are gone");
    }
}

/// The last record of an offset counts, whenever its transaction ends: so it does once compaction has taken the others.
#[test]
fn of_an_offset_the_last_record_counts_not_the_last_marker() {
    let producer = Identity { producer: 7, epoch: 0 };
    let transactional = |bench: &mut Bench, offset| {
        let offsets = vec![OffsetToCommit { topic: "t".into(), offset, ..OffsetToCommit::default() }];
        let request = CommitRequest { who: outsider(), offsets };
        bench.ask(|reply| Event::CommitInTransaction { reply, request, producer });
    };
    let end = |bench: &mut Bench| bench.step(Event::TransactionEnded { producer: 7, marker: Marker::Commit });

    let mut bench = Bench::new();
    transactional(&mut bench, 5);
    bench.commit(outsider(), 9);
    end(&mut bench);
    assert_eq!(bench.offset(), Some(9), "written later");
    transactional(&mut bench, 11);
    end(&mut bench);
    assert_eq!(bench.offset(), Some(11));

    // Replayed whole, and without the records that later ones have replaced.
    let (first, second) = (bench.log[0].clone(), bench.log[1].clone());
    for is_compacted in [false, true] {
        let mut after = Bench::new();
        if !is_compacted {
            after.core.replay_in_transaction(producer, &first.0, first.1.as_deref());
        }
        after.core.replay(&second.0, second.1.as_deref());
        after.core.replay_marker(7, Marker::Commit);
        assert_eq!(after.offset(), Some(9));
    }

    // What was deleted is not brought back by a marker; what a transaction may change does not expire meanwhile.
    transactional(&mut bench, 12);
    bench.pass(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(bench.offset(), Some(11));
    let partitions = vec![("t".into(), 0)];
    bench.ask(|reply| Event::DeleteOffsets { reply, group: "g".into(), partitions });
    end(&mut bench);
    assert_eq!(bench.offset(), None);
}

#[test]
fn an_offset_is_unstable_until_the_last_transaction_that_may_change_it_is_over() {
    let mut bench = Bench::new();
    let is_unstable = |bench: &Bench| ["g", "f", "h"].map(|group| bench.core.is_unstable(group, "t", 0));
    for producer in [7, 8, 7] {
        let offsets = vec![OffsetToCommit { topic: "t".into(), offset: producer, ..OffsetToCommit::default() }];
        let request = CommitRequest { who: outsider(), offsets };
        let producer = Identity { producer, epoch: 0 };
        bench.ask(|reply| Event::CommitInTransaction { reply, request, producer });
    }
    for (producer, marker) in [(7, Marker::Abort), (8, Marker::Commit)] {
        assert_eq!(is_unstable(&bench), [true, false, false]);
        bench.step(Event::TransactionEnded { producer, marker });
    }
    assert_eq!((is_unstable(&bench), bench.offset()), ([false; 3], Some(8)));
}

#[test]
fn offsets_of_abandoned_groups_go_after_a_week() {
    let mut bench = Bench::new();
    let commit = bench.commit(outsider(), 1);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    bench.pass(Duration::from_secs(6 * 24 * 3600));
    assert_eq!(bench.offset(), Some(1));
    bench.pass(Duration::from_secs(2 * 24 * 3600));
    assert!(bench.core.list().is_empty());
    assert!(bench.log.last().is_some_and(|(_, value)| value.is_none()), "tombstones are written");
}

#[test]
fn offsets_of_a_read_topic_never_expire() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    let commit = bench.commit(a.clone(), 1);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    for _ in 0..(8 * 24 * 3600 / 9) {
        bench.pass(Duration::from_secs(9));
        assert_eq!((bench.heartbeat(&a), bench.heartbeat(&b)), (Ok(()), Ok(())));
    }
    assert_eq!(bench.offset(), Some(1));
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut bench = Bench::new();
    let delete = |bench: &mut Bench| {
        let reply = bench.ask(|reply| Event::DeleteGroup { reply, group: "g".into() });
        bench.answers.remove(&reply)
    };
    assert_eq!(delete(&mut bench), Some(Answer::Done(Err(GroupError::GroupIdNotFound))));
    let commit = bench.commit(outsider(), 1);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    assert_eq!(delete(&mut bench), Some(Answer::Done(Ok(()))));
    assert_eq!(bench.offset(), None);
    bench.two_stable();
    assert_eq!(delete(&mut bench), Some(Answer::Done(Err(GroupError::GroupNotEmpty))));
    let partitions = vec![("t".into(), 0)];
    let reply = bench.ask(|reply| Event::DeleteOffsets { reply, group: "g".into(), partitions });
    assert_eq!(bench.answers.remove(&reply), Some(Answer::Each(vec![Err(GroupError::SubscribedToTopic)])));
}

#[test]
fn a_group_that_never_committed_dies_at_the_next_check() {
    let mut bench = Bench::new();
    let (a, b) = bench.two_stable();
    for who in [a, b] {
        let leavers = vec![Leaver { member: who.member, instance: None }];
        bench.ask(|reply| Event::Leave { reply, group: "g".into(), leavers });
    }
    assert_eq!(bench.state(), Some(GroupState::Empty));
    bench.pass(Duration::from_secs(600));
    assert!(bench.core.list().is_empty());
    let last = bench.log.last().expect("written");
    assert_eq!(last, &(records::group_key("g"), None), "and a restart does not bring it back");
}

#[test]
fn a_promised_member_id_does_not_keep_a_group_from_being_deleted() {
    let mut bench = Bench::new();
    bench.join(wish("a"));
    let reply = bench.ask(|reply| Event::DeleteGroup { reply, group: "g".into() });
    assert_eq!(bench.answers.remove(&reply), Some(Answer::Done(Ok(()))));
}

#[test]
fn offsets_of_topics_that_are_read_are_not_deleted_during_a_rebalance_either() {
    let mut bench = Bench::new();
    let (a, _) = bench.two_stable();
    let commit = bench.commit(a, 1);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    bench.enter(wish("c"));
    assert_eq!(bench.state(), Some(GroupState::PreparingRebalance));
    let partitions = vec![("t".into(), 0), ("other".into(), 0)];
    let reply = bench.ask(|reply| Event::DeleteOffsets { reply, group: "g".into(), partitions });
    let expected = Answer::Each(vec![Err(GroupError::SubscribedToTopic), Ok(())]);
    assert_eq!(bench.answers.remove(&reply), Some(expected));
    assert_eq!(bench.offset(), Some(1));
}

#[test]
fn a_transaction_commits_offsets_whatever_the_group_is_about() {
    let mut bench = Bench::new();
    let (a, join_a) = bench.enter(wish("a"));
    bench.joined(join_a).expect("alone");
    assert_eq!(bench.state(), Some(GroupState::CompletingRebalance));
    let commit = bench.commit(member(&a, 1), 1);
    assert_eq!(bench.committed(commit), Some(Err(GroupError::RebalanceInProgress)));
    let offsets = vec![OffsetToCommit { topic: "t".into(), offset: 2, ..OffsetToCommit::default() }];
    let request = CommitRequest { who: member(&a, 1), offsets };
    let producer = Identity { producer: 9, epoch: 0 };
    let commit = bench.ask(|reply| Event::CommitInTransaction { reply, request, producer });
    assert_eq!(bench.committed(commit), Some(Ok(())));
}

#[test]
fn offsets_go_with_their_topic_even_if_a_commit_is_on_its_way() {
    let mut bench = Bench::new();
    bench.hold_writes = true;
    let commit = bench.commit(outsider(), 1);
    bench.step(Event::TopicGone { topic: "t".into() });
    bench.hold_writes = false;
    bench.step(Event::Tick);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    assert_eq!(bench.offset(), None);
}

#[test]
fn the_first_generation_waits_for_company_if_told_to() {
    let mut bench =
        Bench::with(GroupSettings { initial_rebalance_delay: Duration::from_secs(3), ..Default::default() });
    let (_, join_a) = bench.enter(wish("a"));
    bench.pass(Duration::from_secs(2));
    let (_, join_b) = bench.enter(wish("b"));
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.joined(join_a), None, "somebody came: a little longer");
    bench.pass(Duration::from_secs(3));
    let (a, b) = (bench.joined(join_a).expect("begun"), bench.joined(join_b).expect("begun"));
    assert_eq!((a.generation, b.generation), (1, 1), "one rebalance for both");
}
