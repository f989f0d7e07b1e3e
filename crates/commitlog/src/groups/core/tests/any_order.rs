//! The laws when everything happens in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Move {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Commit(usize, i64),
    Pass(u64),
    FailWrites(bool),
    Static(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = 0usize..4;
    let one = prop_oneof![
        3 => who.clone().prop_map(Move::Join),
        3 => who.clone().prop_map(Move::Sync),
        1 => who.clone().prop_map(Move::Heartbeat),
        1 => who.clone().prop_map(Move::Leave),
        1 => (who.clone(), 0i64..1000).prop_map(|(w, o)| Move::Commit(w, o)),
        1 => (0u64..40).prop_map(Move::Pass),
        1 => any::<bool>().prop_map(Move::FailWrites),
        1 => who.prop_map(Move::Static),
    ];
    proptest::collection::vec(one, 0..120)
}

/// A client that follows what it is told.
#[derive(Default)]
struct Player {
    member: String,
    generation: i32,
    waiting: Option<ReplyId>,
    leads: Vec<String>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn generations_rise_questions_are_answered_and_replay_agrees(moves in moves()) {
        let mut bench = Bench::new();
        let mut players: Vec<Player> = (0..4).map(|_| Player::default()).collect();
        let (mut generation, mut fail) = (0, false);
        for step in moves {
            bench.hold_writes = true;
            match step {
                Move::Join(p) | Move::Static(p) => {
                    let instance = matches!(step, Move::Static(_)).then(|| format!("i{p}"));
                    let member = if instance.is_some() { String::new() } else { players[p].member.clone() };
                    let request = JoinRequest { member, instance, ..wish("p") };
                    players[p].waiting = Some(bench.join(request));
                }
                Move::Sync(p) => {
                    let me = &players[p];
                    let shares: Vec<_> = me.leads.iter().map(|m| (m.as_str(), "share")).collect();
                    bench.sync(member(&me.member, me.generation), &shares);
                }
                Move::Heartbeat(p) => drop(bench.heartbeat(&member(&players[p].member, players[p].generation))),
                Move::Leave(p) => {
                    let leavers = vec![Leaver { member: players[p].member.clone(), instance: None }];
                    bench.ask(|reply| Event::Leave { reply, group: "g".into(), leavers });
                }
                Move::Commit(p, offset) => {
                    bench.commit(member(&players[p].member, players[p].generation), offset);
                }
                Move::Pass(seconds) => bench.pass(Duration::from_secs(seconds)),
                Move::FailWrites(now) => fail = now,
            }
            while let Some(id) = (!bench.held.is_empty()).then(|| bench.held.remove(0)) {
                bench.step(Event::Written { id, durable: !fail });
            }
            for player in &mut players {
                let Some(reply) = player.waiting else { continue };
                if let Some(answer) = bench.joined(reply) {
                    player.waiting = None;
                    player.member = answer.member.clone();
                    if answer.error.is_none() {
                        player.generation = answer.generation;
                        player.leads = answer.members.iter().map(|m| m.member.clone()).collect();
                    } else if answer.error == Some(GroupError::UnknownMember) {
                        player.member.clear();
                    }
                }
            }
            if let Some(group) = bench.core.describe("g") {
                prop_assert!(group.generation >= generation, "GRP-3");
                generation = group.generation;
            } else {
                generation = 0;
            }
        }
        // In time every question is answered, and every member that fell silent is gone.
        bench.hold_writes = false;
        for id in std::mem::take(&mut bench.held) {
            bench.step(Event::Written { id, durable: true });
        }
        bench.pass(Duration::from_secs(1200));
        for player in &players {
            prop_assert!(player.waiting.is_none_or(|reply| bench.answers.contains_key(&reply)));
        }
        prop_assert!(bench.core.describe("g").is_none_or(|g| g.members.is_empty()));
        // A snapshot says what memory says.
        let mut after = Bench::new();
        for (key, value) in bench.core.snapshot() {
            after.core.replay(&key, Some(&value));
        }
        prop_assert_eq!(after.core.offsets("g"), bench.core.offsets("g"));
    }
}
