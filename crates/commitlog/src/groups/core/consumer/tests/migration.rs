//! The laws of a group whose members change from one protocol to the other while it is at work.

use super::*;
use crate::groups::records::{self, embedded};

const TIMEOUT: Duration = Duration::from_secs(10);

/// As clients write it: version 1, without user data.
fn subscription(to: &[u8], owned: &Partitions) -> Bytes {
    let mut out = vec![0, 1];
    let text = |out: &mut Vec<u8>, name: &str| {
        out.extend((name.len() as i16).to_be_bytes());
        out.extend(name.as_bytes());
    };
    out.extend((to.len() as i32).to_be_bytes());
    to.iter().for_each(|topic| text(&mut out, &named(*topic)));
    out.extend((-1i32).to_be_bytes());
    out.extend((owned.len() as i32).to_be_bytes());
    for (topic, partition) in owned {
        text(&mut out, &named((topic.as_u128() - 100) as u8));
        out.extend(1i32.to_be_bytes());
        out.extend(partition.to_be_bytes());
    }
    out.into()
}

/// All partitions of topic 1.
fn every(size: i32) -> Partitions {
    (0..size).map(|partition| (id(1), partition)).collect()
}

fn assignment(partitions: &Partitions) -> Bytes {
    let names: std::collections::HashMap<_, _> =
        partitions.iter().map(|(id, _)| (*id, named((id.as_u128() - 100) as u8))).collect();
    let mut named: BTreeMap<&str, Vec<PartitionId>> = BTreeMap::new();
    for (topic, partition) in partitions {
        named.entry(&names[topic]).or_default().push(*partition);
    }
    embedded::assignment(1, &named)
}

fn partitions(assignment: &[u8], topics: &TopicsSeen) -> Partitions {
    let read = embedded::parse_assignment(assignment).expect("an assignment");
    read.partitions.iter().map(|(topic, partition)| (topics[topic].0, *partition)).collect()
}

fn classic(member: &str, to: &[u8], owned: &Partitions) -> JoinRequest {
    JoinRequest {
        group: GROUP.into(),
        member: member.into(),
        client_id: "c".into(),
        session_timeout: TIMEOUT,
        rebalance_timeout: TIMEOUT,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(to, owned))],
        knows_member_id_first: true,
        ..JoinRequest::default()
    }
}

impl Bench {
    fn put_join(&mut self, request: JoinRequest) -> ReplyId {
        let fresh = u128::from(self.next_reply);
        self.put(|reply| Event::Join { reply, request, fresh })
    }

    fn joined(&mut self, reply: ReplyId) -> Option<JoinAnswer> {
        match self.answers.remove(&reply)? {
            Answer::Join(answer) => Some(answer),
            other => panic!("not to a join: {other:?}"),
        }
    }

    /// As a client does that is told its id first.
    fn put_join_twice(&mut self, mut request: JoinRequest) -> (String, ReplyId) {
        if request.member.is_empty() && request.instance.is_none() {
            let reply = self.put_join(request.clone());
            let answer = self.joined(reply).expect("answered at once");
            assert_eq!(answer.error, Some(GroupError::MemberIdRequired));
            request.member = answer.member;
        }
        (request.member.clone(), self.put_join(request))
    }

    fn put_sync(&mut self, member: &str, generation: i32, assignments: Vec<(String, Bytes)>) -> ReplyId {
        let who = MemberRef { group: GROUP.into(), member: member.into(), instance: None, generation };
        let (protocol_type, protocol) = (Some("consumer".into()), Some("range".into()));
        let request = SyncRequest { who, protocol_type, protocol, assignments };
        self.put(|reply| Event::Sync { reply, request })
    }

    fn synced(&mut self, reply: ReplyId) -> Option<Result<Partitions, GroupError>> {
        match self.answers.remove(&reply)? {
            Answer::Sync(answer) => Some(match answer.error {
                Some(error) => Err(error),
                None => Ok(partitions(&answer.assignment, &self.topics)),
            }),
            other => panic!("not to a sync: {other:?}"),
        }
    }

    fn sync(&mut self, member: &str, generation: i32) -> Result<Partitions, GroupError> {
        let reply = self.put_sync(member, generation, Vec::new());
        self.synced(reply).expect("answered at once")
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let who = MemberRef { group: GROUP.into(), member: member.into(), instance: None, generation };
        let reply = self.put(|reply| Event::Heartbeat { reply, who });
        match self.answers.remove(&reply) {
            Some(Answer::Done(result)) => result,
            other => panic!("not to a heartbeat: {other:?}"),
        }
    }

    /// A classic group of one member that has everything; its id and generation.
    fn lone_classic(&mut self, request: JoinRequest) -> (String, i32) {
        let (_, reply) = self.put_join_twice(request);
        let joined = self.joined(reply).expect("joined");
        assert_eq!(joined.error, None);
        let all: Partitions = self.topics.values().flat_map(|(id, size)| (0..*size).map(|p| (*id, p))).collect();
        let assignments = vec![(joined.member.clone(), assignment(&all))];
        let reply = self.put_sync(&joined.member, joined.generation, assignments);
        assert_eq!(self.synced(reply), Some(Ok(all)));
        (joined.member, joined.generation)
    }

    fn is_consumer(&self) -> bool {
        self.core.group_type(GROUP) == Some(GroupType::Consumer)
    }

    /// What the log holds of the group, newest of each key.
    fn kept(&self) -> Vec<records::Key> {
        let mut kept = BTreeMap::new();
        for (key, value) in &self.log {
            kept.insert(key.clone(), value.is_some());
        }
        kept.iter().filter(|(_, is_there)| **is_there).map(|(key, _)| records::parse_key(key).expect("a key")).collect()
    }
}

#[test]
fn a_group_changes_over_and_back_while_its_members_go_on() {
    let mut bench = Bench::new(&[(1, 4)]);
    let none = Partitions::new();
    let (old, generation) = bench.lone_classic(classic("", &[1], &none));
    commit(&mut bench, &old, generation).expect("committed");

    // The newcomer waits for what the old member gives up.
    let new = bench.join("new", &[1]);
    assert!(bench.is_consumer());
    assert_eq!((new.epoch, new.assignment), (generation + 1, Some(none.clone())));
    assert!(
        !bench.kept().iter().any(|key| matches!(key, records::Key::Group { .. })),
        "the classic record has a tombstone"
    );
    assert_eq!(commit(&mut bench, &old, generation), Ok(()), "the old member may commit until it joins again");
    assert_eq!(bench.heartbeat(&old, generation), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.sync(&old, generation), Err(GroupError::RebalanceInProgress));
    let reply = bench.put_join(classic(&old, &[1], &none));
    let joined = bench.joined(reply).expect("there is no barrier");
    assert_eq!((joined.error, joined.generation, &*joined.leader, joined.members.len()), (None, new.epoch, "", 0));
    let half = bench.sync(&old, joined.generation).expect("synced");
    assert_eq!(half.len(), 2);
    assert_eq!(commit(&mut bench, &old, generation), Err(GroupError::IllegalGeneration), "GRP-2");
    let new = bench.beat("new", new.epoch, &none).expect("alive");
    let other_half = new.assignment.expect("what was let go");
    assert!(other_half.len() == 2 && other_half.is_disjoint(&half));
    assert_eq!(bench.heartbeat(&old, joined.generation), Ok(()));
    let described = bench.core.describe_consumer(GROUP).expect("described");
    assert_eq!(described.members.iter().filter(|member| member.is_classic).count(), 1);

    // All of it is in the log.
    bench.restart();
    assert_eq!(bench.heartbeat(&old, joined.generation), Ok(()));
    assert_eq!(bench.state(), "Stable");

    // And back.
    bench.ask(alive("new", -1, None)).expect("leaves");
    assert!(!bench.is_consumer());
    assert!(bench.kept().iter().all(|key| !matches!(key, records::Key::Consumer { .. })), "{:?}", bench.kept());
    bench.restart();
    assert!(!bench.is_consumer());
    let described = bench.core.describe(GROUP).expect("described");
    assert_eq!((&*described.protocol_type, described.members.len()), ("consumer", 1));
    assert_eq!(bench.core.offsets(GROUP).len(), 1, "its offsets stayed all the while");
    let (member, generation) = bench.lone_classic(classic(&old, &[1], &none));
    assert!(member == old && generation > joined.generation, "GRP-3");
}

#[test]
fn a_cooperative_member_keeps_what_it_has_until_it_has_given_up_the_rest() {
    let mut bench = Bench::new(&[(1, 4)]);
    let (old, generation) = bench.lone_classic(classic("", &[1], &Partitions::new()));
    let all = every(4);
    let new = bench.join("new", &[1]);
    assert_eq!(bench.heartbeat(&old, generation), Err(GroupError::RebalanceInProgress));
    let reply = bench.put_join(classic(&old, &[1], &all));
    let joined = bench.joined(reply).expect("joined");
    assert_eq!(joined.generation, generation, "it has something to give up first");
    let half = bench.sync(&old, joined.generation).expect("synced");
    assert_eq!(half.len(), 2);
    let waiting = bench.beat("new", new.epoch, &Partitions::new()).expect("alive");
    assert_eq!(waiting.assignment, None, "it is not given up yet");
    assert_eq!(bench.heartbeat(&old, joined.generation), Err(GroupError::RebalanceInProgress));
    let reply = bench.put_join(classic(&old, &[1], &half));
    let joined = bench.joined(reply).expect("joined");
    assert_eq!((joined.generation, bench.sync(&old, joined.generation)), (new.epoch, Ok(half.clone())));
    assert_eq!(bench.heartbeat(&old, joined.generation), Ok(()));
    let new = bench.beat("new", new.epoch, &Partitions::new()).expect("alive");
    assert_eq!(new.assignment, Some(&all - &half));
    // What another lets go makes it join again.
    bench.ask(alive("new", -1, None)).expect("leaves");
    assert_eq!(
        bench.heartbeat(&old, joined.generation),
        Err(GroupError::IllegalGeneration),
        "the group is classic, one on"
    );
}

#[test]
fn a_member_of_the_classic_protocol_that_does_nothing_is_removed() {
    for step in 0..3 {
        let mut bench = Bench::new(&[(1, 4)]);
        let (old, generation) = bench.lone_classic(classic("", &[1], &Partitions::new()));
        let mut new = bench.join("new", &[1]);
        // It is silent; it does not join again although it lives; it does not sync although it lives.
        let mut now = generation;
        if step == 2 {
            let reply = bench.put_join(classic(&old, &[1], &Partitions::new()));
            now = bench.joined(reply).expect("joined").generation;
        }
        let mut seconds = 0;
        while bench.group().members.len() == 2 {
            seconds += 1;
            assert!(seconds <= 11, "step {step}");
            bench.pass(Duration::from_secs(1));
            if step > 0 && seconds < 10 {
                assert_eq!(bench.heartbeat(&old, now).is_ok(), step == 2);
            }
            new = bench.beat("new", new.epoch, &Partitions::new()).expect("alive");
        }
        assert!(seconds >= 10, "step {step}: after {seconds} s");
        let new = bench.beat("new", new.epoch, &Partitions::new()).expect("alive");
        assert_eq!(bench.group().members[&Arc::from("new")].progress.assigned.len(), 4, "{new:?}");
    }
}

#[test]
fn what_cannot_be_shared_out_stays_classic() {
    let none = Partitions::new();
    // Not consumers; no subscription; user data of an assignor that nobody else has.
    let connect = JoinRequest { protocol_type: "connect".into(), ..classic("", &[1], &none) };
    let blob =
        JoinRequest { protocols: vec![("range".into(), Bytes::from_static(b"\xff"))], ..classic("", &[1], &none) };
    let custom = JoinRequest { protocols: vec![("own".into(), subscription(&[1], &none))], ..classic("", &[1], &none) };
    let known = JoinRequest {
        protocols: vec![("cooperative-sticky".into(), subscription(&[1], &none))],
        ..classic("", &[1], &none)
    };
    for (request, expected) in [(connect, false), (blob, false), (custom, false), (known, true)] {
        let mut bench = Bench::new(&[(1, 4)]);
        let (_, reply) = bench.put_join_twice(request);
        let joined = bench.joined(reply).expect("joined");
        let mut assigned = assignment(&every(4)).to_vec();
        assigned.truncate(assigned.len() - 4);
        assigned.extend(b"\0\0\0\x01x");
        let who = MemberRef { group: GROUP.into(), member: joined.member.clone(), instance: None, generation: 1 };
        let assignments = vec![(joined.member.clone(), assigned.into())];
        let request = SyncRequest { who, assignments, ..SyncRequest::default() };
        bench.put(|reply| Event::Sync { reply, request });
        let newcomer = bench.ask(joining("new", &[1]));
        assert_eq!(newcomer.is_ok(), expected, "{newcomer:?}");
        if !expected {
            assert_eq!(newcomer, Err(GroupError::GroupIdNotFound));
            assert_eq!(bench.heartbeat(&joined.member, 1), Ok(()), "it goes on as it was");
        }
    }
}

#[test]
fn nobody_joins_in_while_an_assignment_is_handed_out() {
    let mut bench = Bench::new(&[(1, 4)]);
    let (_, reply) = bench.put_join_twice(classic("", &[1], &Partitions::new()));
    let joined = bench.joined(reply).expect("joined");
    bench.hold = true;
    let assignments = vec![(joined.member.clone(), assignment(&every(4)))];
    let reply = bench.put_sync(&joined.member, joined.generation, assignments);
    assert_eq!(bench.ask(joining("new", &[1])), Err(GroupError::NotAvailable));
    bench.hold = false;
    bench.flush(true);
    assert!(bench.synced(reply).expect("synced").is_ok());
    bench.join("new", &[1]);
    assert!(bench.is_consumer());
}

#[test]
fn a_static_member_changes_over_in_place() {
    let mut bench = Bench::new(&[(1, 4)]);
    let none = Partitions::new();
    let of_instance = |member: &str| JoinRequest { instance: Some("i".into()), ..classic(member, &[1], &none) };
    let (old, generation) = bench.lone_classic(of_instance(""));
    let mut request = joining("new", &[1]);
    request.instance = Some("i".into());
    let new = bench.ask(request).expect("takes its place");
    assert!(bench.is_consumer() && bench.group().members.len() == 1);
    assert_eq!(new.assignment, Some(every(4)), "with what it had");
    let who = MemberRef { group: GROUP.into(), member: old, instance: Some("i".into()), generation };
    let reply = bench.put(|reply| Event::Heartbeat { reply, who });
    assert_eq!(bench.answers.remove(&reply), Some(Answer::Done(Err(GroupError::FencedInstanceId))));
    // And back: the group is classic again at once.
    let reply = bench.put_join(of_instance(""));
    let joined = bench.joined(reply).expect("joined");
    assert!(joined.error.is_none() && !bench.is_consumer());
    let who = MemberRef {
        group: GROUP.into(),
        member: joined.member.clone(),
        instance: Some("i".into()),
        generation: joined.generation,
    };
    let reply = bench.put(|reply| Event::Sync { reply, request: SyncRequest { who, ..SyncRequest::default() } });
    assert_eq!(bench.synced(reply), Some(Ok(every(4))), "nothing moved");
    bench.restart();
    assert_eq!(bench.core.describe(GROUP).expect("classic").members.len(), 1);
}

/// Or its join is that of one who comes back, in the place of nobody, and never answered.
#[test]
fn a_classic_group_that_changed_over_is_forgotten_whole() {
    let mut bench = Bench::new(&[(1, 4)]);
    let static_member = || JoinRequest { instance: Some("i".into()), ..classic("", &[1], &Partitions::new()) };
    let (old, generation) = bench.lone_classic(static_member());
    let who = MemberRef { group: GROUP.into(), member: old.clone(), instance: Some("i".into()), generation };
    let offsets = vec![OffsetToCommit { topic: named(1), ..OffsetToCommit::default() }];
    bench.put(|reply| Event::Commit { reply, request: CommitRequest { who, offsets } });
    bench.join("new", &[1]);
    let leavers = ["new", &old].map(|member| Leaver { member: member.into(), instance: None }).into();
    bench.put(|reply| Event::Leave { reply, group: GROUP.into(), leavers });
    bench.restart();
    assert!(bench.is_consumer() && bench.group().members.is_empty());
    assert!(bench.core.groups[GROUP].instances.is_empty());
    let reply = bench.put_join(static_member());
    let joined = bench.joined(reply).expect("alone");
    assert_eq!((joined.error, joined.members.len()), (None, 1));
}

#[test]
fn a_change_that_cannot_be_written_is_not_told() {
    let mut bench = Bench::new(&[(1, 4)]);
    let (old, generation) = bench.lone_classic(classic("", &[1], &Partitions::new()));
    bench.hold = true;
    let reply = bench.put_beat(joining("new", &[1]));
    assert!(!bench.answers.contains_key(&reply), "GRP-5");
    bench.flush(false);
    assert_eq!(bench.told(reply), Some(Err(GroupError::NotAvailable)));
    bench.restart();
    assert_eq!((bench.is_consumer(), bench.heartbeat(&old, generation)), (false, Ok(())));
    bench.hold = false;
    let new = bench.join("new", &[1]);
    bench.hold = true;
    let reply = bench.put_beat(alive("new", -1, None));
    assert!(!bench.answers.contains_key(&reply), "GRP-5");
    bench.flush(false);
    assert_eq!(bench.told(reply), Some(Err(GroupError::NotAvailable)));
    bench.hold = false;
    bench.restart();
    assert!(bench.is_consumer() && bench.group().epoch == new.epoch, "it is what it was");
}

/// The group goes back to the classic protocol while the disk fails, and comes again, at once or after a generation.
#[test]
fn whom_a_change_could_not_take_out_is_not_back_after_the_next() {
    for is_at_once in [true, false] {
        let mut bench = Bench::new(&[(1, 4)]);
        let (old, _) = bench.lone_classic(classic("", &[1], &Partitions::new()));
        bench.join("new", &[1]);
        bench.hold = true;
        bench.put_beat(alive("new", -1, None));
        bench.flush(false);
        bench.hold = false;
        assert!(!bench.is_consumer());
        if !is_at_once {
            bench.lone_classic(classic(&old, &[1], &Partitions::new()));
            assert!(bench.core.out.leftovers.is_empty(), "that took them out");
            bench.restart();
        }
        bench.join("other", &[1]);
        bench.compact();
        bench.restart();
        let members: Vec<_> = bench.group().members.keys().map(|id| &**id).collect();
        assert_eq!(members, [&*old, "other"], "at once: {is_at_once}");
    }
}

#[test]
fn what_waits_for_a_group_that_becomes_classic_is_answered() {
    let mut bench = Bench::new(&[(1, 4), (2, 1)]);
    bench.lone_classic(classic("", &[1], &Partitions::new()));
    let new = bench.join("new", &[1]);
    bench.hold = true;
    let wants = |to: &[u8]| ConsumerHeartbeat { epoch: new.epoch, ..joining("new", to) };
    let requests = [wants(&[2]), wants(&[1, 2]), alive("new", -1, None)];
    let replies = requests.map(|request| bench.put_beat(request));
    assert!(!bench.is_consumer());
    bench.flush(true);
    for reply in replies {
        let told = bench.told(reply);
        assert!(matches!(told, Some(Ok(_))), "{told:?}");
    }
}

#[test]
fn what_a_leader_had_not_shared_out_is_when_a_group_changes_over() {
    let mut bench = Bench::new(&[(1, 4)]);
    let request = JoinRequest { instance: Some("i".into()), ..classic("", &[1], &Partitions::new()) };
    let reply = bench.put_join(request);
    let joined = bench.joined(reply).expect("joined");
    let who =
        MemberRef { group: GROUP.into(), member: joined.member.clone(), instance: Some("i".into()), generation: 1 };
    let assignments = vec![(joined.member, assignment(&every(1)))];
    let request = SyncRequest { who, assignments, ..SyncRequest::default() };
    bench.put(|reply| Event::Sync { reply, request });
    // It takes its own place: nobody comes or goes, and nobody wants anything else.
    let request = ConsumerHeartbeat { instance: Some("i".into()), ..joining("new", &[1]) };
    let new = bench.ask(request).expect("takes its place");
    assert_eq!(new.assignment, Some(every(1)), "with what it had");
    assert_eq!(bench.beat("new", new.epoch, &every(1)).expect("alive").assignment, Some(every(4)), "GRP-6");
}

// ── any order ──

#[derive(Clone, Debug)]
enum Op {
    /// A client does its next step.
    Beat(usize),
    /// A client leaves and comes back with the other protocol, or leaves for good and comes back later.
    Roll(usize),
    Stop(usize),
    Restart,
    Grow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Step {
    #[default]
    Out,
    Joining(ReplyId),
    Syncing(ReplyId),
    In,
}

/// A client that does as it is told; an eager one, if it speaks the classic protocol.
#[derive(Default)]
struct Client {
    speaks_classic: bool,
    is_stopped: bool,
    id: String,
    epoch: i32,
    step: Step,
    owned: Partitions,
}

impl Client {
    fn beat(&mut self, bench: &mut Bench) {
        self.is_stopped = false;
        if self.speaks_classic { self.beat_classic(bench) } else { self.beat_consumer(bench) }
    }

    fn beat_consumer(&mut self, bench: &mut Bench) {
        if self.id.is_empty() {
            self.id = format!("k{}", bench.next_reply);
        }
        let request = match self.step {
            Step::In => alive(&self.id, self.epoch, Some(self.owned.clone())),
            _ => joining(&self.id, &[1]),
        };
        match bench.ask(request) {
            Ok(answer) => {
                (self.epoch, self.step) = (answer.epoch, Step::In);
                if let Some(told) = answer.assignment {
                    self.owned = told;
                }
            }
            Err(GroupError::NotAvailable) => {}
            Err(GroupError::UnknownMember | GroupError::FencedMemberEpoch) => self.lose(),
            Err(other) => panic!("a consumer was told: {other}"),
        }
    }

    fn beat_classic(&mut self, bench: &mut Bench) {
        match self.step {
            Step::Out => {
                let (id, reply) = bench.put_join_twice(classic(&self.id, &[1], &Partitions::new()));
                (self.id, self.step) = (id, Step::Joining(reply));
            }
            Step::Joining(reply) => {
                let Some(answer) = bench.joined(reply) else { return };
                match answer.error {
                    None => {
                        let all: Vec<_> = every(bench.topics[&named(1)].1).into_iter().collect();
                        let count = answer.members.len().max(1);
                        let share = |index| all.iter().copied().skip(index).step_by(count).collect::<Partitions>();
                        let members = answer.members.iter().enumerate();
                        let shares = members.map(|(index, m)| (m.member.clone(), assignment(&share(index)))).collect();
                        self.epoch = answer.generation;
                        self.step = Step::Syncing(bench.put_sync(&self.id, self.epoch, shares));
                    }
                    Some(error) => self.refused(error),
                }
            }
            Step::Syncing(reply) => match bench.synced(reply) {
                Some(Ok(assigned)) => (self.owned, self.step) = (assigned, Step::In),
                Some(Err(error)) => self.refused(error),
                None => {}
            },
            Step::In => {
                if let Err(error) = bench.heartbeat(&self.id, self.epoch) {
                    self.refused(error);
                }
            }
        }
    }

    fn refused(&mut self, error: GroupError) {
        self.owned.clear();
        self.step = Step::Out;
        match error {
            GroupError::RebalanceInProgress | GroupError::IllegalGeneration | GroupError::NotAvailable => {}
            GroupError::UnknownMember => self.id.clear(),
            other => panic!("a classic consumer was told: {other}"),
        }
    }

    fn lose(&mut self) {
        self.owned.clear();
        (self.epoch, self.step) = (0, Step::Out);
    }

    fn stop(&mut self, bench: &mut Bench) {
        if !self.id.is_empty() {
            if self.speaks_classic {
                let leavers = vec![Leaver { member: self.id.clone(), instance: None }];
                let reply = bench.put(|reply| Event::Leave { reply, group: GROUP.into(), leavers });
                bench.answers.remove(&reply);
            } else {
                let request = alive(&self.id, -1, None);
                let reply = bench.put_beat(request);
                bench.answers.remove(&reply);
            }
        }
        *self = Self { speaks_classic: self.speaks_classic, is_stopped: true, ..Self::default() };
    }
}

proptest! {
    #[test]
    fn a_partition_has_one_reader_whoever_changes_over_when(
        first in proptest::collection::vec(any::<bool>(), 1..5),
        ops in proptest::collection::vec(prop_oneof![
            30 => (0usize..4).prop_map(Op::Beat),
            3 => (0usize..4).prop_map(Op::Roll),
            1 => (0usize..4).prop_map(Op::Stop),
            1 => Just(Op::Restart),
            1 => Just(Op::Grow),
        ], 0..150),
    ) {
        let mut bench = Bench::new(&[(1, 4)]);
        let mut clients: Vec<_> =
            first.into_iter().map(|speaks_classic| Client { speaks_classic, ..Client::default() }).collect();
        let one_reader = |clients: &[Client]| {
            let mut read = Partitions::new();
            clients.iter().flat_map(|client| &client.owned).all(|place| read.insert(*place))
        };
        for op in ops {
            match op {
                Op::Beat(client) | Op::Roll(client) | Op::Stop(client) if client >= clients.len() => {}
                Op::Beat(client) => clients[client].beat(&mut bench),
                Op::Roll(client) => {
                    clients[client].stop(&mut bench);
                    clients[client].speaks_classic ^= true;
                    clients[client].beat(&mut bench);
                }
                Op::Stop(client) => clients[client].stop(&mut bench),
                Op::Restart => {
                    bench.restart();
                    // Connections are gone, and with them what was asked on them.
                    for client in &mut clients {
                        if matches!(client.step, Step::Joining(_) | Step::Syncing(_)) {
                            client.step = Step::Out;
                        }
                    }
                }
                Op::Grow if bench.topics[&named(1)].1 < 9 => {
                    let size = bench.topics[&named(1)].1 + 1;
                    bench.see(&[(1, size)]);
                }
                Op::Grow => {}
            }
            prop_assert!(one_reader(&clients), "two read the same");
        }
        // When all is quiet, everything is read, and the group is what its members speak; for as long as it takes until members
        // are given up that left unheard because of a restart.
        for _ in 0..80 {
            for client in &mut clients {
                client.beat(&mut bench);
                bench.pass(Duration::from_millis(500));
            }
            prop_assert!(one_reader(&clients), "two read the same");
        }
        let read: Partitions = clients.iter().flat_map(|client| client.owned.iter().copied()).collect();
        // A classic group hears of new partitions from its leader, who looks for them itself.
        let expected = bench.topics[&named(1)].1;
        prop_assert!(read.len() as i32 == expected || !bench.is_consumer() && read.len() >= 4, "{} of {expected}", read.len());
        prop_assert_eq!(bench.is_consumer(), clients.iter().any(|client| !client.speaks_classic));
    }
}
