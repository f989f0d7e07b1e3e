//! What a disk that is slow, or fails, does to a group: GRP-4 and GRP-5 hold over any crash.

use super::*;

impl Bench {
    fn members(&self) -> Vec<String> {
        self.group().members.keys().map(|id| id.to_string()).collect()
    }

    fn end(&mut self, end: End) {
        match end {
            End::Deleted => {
                self.put(|reply| Event::DeleteGroup { reply, group: GROUP.into() });
            }
            End::BecomesClassic => {
                join_classic(self);
            }
            End::Expired => self.pass(self.settings.expiry_interval),
        }
    }
}

/// How a group of the consumer protocol ends that has no members.
#[derive(Clone, Copy, Debug)]
enum End {
    Deleted,
    BecomesClassic,
    Expired,
}

const ENDS: [End; 3] = [End::Deleted, End::BecomesClassic, End::Expired];

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.hold = true;
    let (first, second) = (bench.put_beat(joining("a", &[1])), bench.put_beat(alive("a", 1, None)));
    assert!(bench.answers.is_empty(), "neither the change nor what rests on it");
    bench.flush(false);
    for reply in [first, second] {
        let told = bench.told(reply);
        assert_eq!(told, Some(Err(GroupError::NotAvailable)), "what could not be written did not happen");
    }
    bench.hold = false;
    bench.join("a", &[1]);
    bench.restart();
    assert_eq!(bench.state(), "Stable", "the failed lines came with the next write");
    assert_eq!(bench.beat("a", 1, &places(&[(1, 0)])).expect("known").epoch, 1);
}

/// Or who was removed is back after a crash and reads on, and the group's epoch is behind its members'.
#[test]
fn what_could_not_be_written_is_not_left_out_of_what_is_written_next() {
    let mut bench = Bench::new(&[(1, 2)]);
    bench.join("a", &[1]);
    bench.join("b", &[1]);
    let (left, right) = (places(&[(1, 0)]), places(&[(1, 1)]));
    bench.beat("a", 1, &places(&[(1, 0), (1, 1)])).expect("told to give up");
    bench.beat("a", 1, &left).expect("has given up");
    assert_eq!(bench.beat("b", 2, &Partitions::new()).expect("known").assignment, Some(right.clone()));
    bench.pass(Duration::from_secs(40));
    bench.beat("a", 2, &left).expect("known");
    bench.hold = true;
    bench.pass(Duration::from_secs(10));
    let reply = bench.put_beat(alive("a", 2, None));
    // That `b` is out cannot be written, what `a` has instead can.
    bench.flush_as(&[false]);
    let told = bench.told(reply).expect("answered").expect("alive");
    assert_eq!((told.epoch, told.assignment), (3, Some(places(&[(1, 0), (1, 1)]))));
    bench.hold = false;
    bench.restart();
    assert_eq!((bench.group().epoch, bench.state()), (3, "Stable"), "GRP-5");
    assert_eq!(bench.beat("b", 2, &right), Err(GroupError::UnknownMember), "GRP-4: another reads it");
}

#[test]
fn the_writes_of_a_group_come_one_after_the_other() {
    let mut bench = Bench::new(&[(1, 1)]);
    bench.hold = true;
    let (first, second) = (bench.put_beat(joining("a", &[1])), bench.put_beat(joining("b", &[1])));
    assert_eq!(bench.held.len(), 1);
    let (id, _) = bench.held.remove(0);
    bench.step(Event::Written { id, durable: true });
    assert!(bench.told(first).is_some_and(|told| told.is_ok()));
    assert_eq!((bench.told(second), bench.held.len()), (None, 1), "GRP-5: what rests on the next waits for that");
    bench.flush(false);
    assert_eq!(bench.told(second), Some(Err(GroupError::NotAvailable)));
    assert!(bench.held.is_empty(), "nobody waits: a disk that fails is not asked again and again");
}

/// A group that goes, or becomes a classic one, when the disk does not even take that its last member left.
#[test]
fn who_could_not_be_taken_out_is_taken_out_with_the_next_write() {
    for is_deleted in [true, false] {
        let mut bench = Bench::new(&[(1, 2)]);
        bench.join("a", &[1]);
        bench.hold = true;
        let left = bench.put_beat(alive("a", -1, None));
        bench.flush(false);
        assert_eq!(bench.told(left), Some(Err(GroupError::NotAvailable)));
        if is_deleted {
            let reply = bench.put(|reply| Event::DeleteGroup { reply, group: GROUP.into() });
            bench.flush(false);
            assert_eq!(bench.answers.remove(&reply), Some(Answer::Done(Err(GroupError::NotAvailable))));
        } else {
            let leavers = vec![Leaver { member: join_classic(&mut bench).member, instance: None }];
            bench.put(|reply| Event::Leave { reply, group: GROUP.into(), leavers });
            bench.flush(false);
        }
        bench.hold = false;
        assert_eq!(bench.join("b", &[1]).assignment, Some(places(&[(1, 0), (1, 1)])));
        bench.restart();
        assert_eq!(bench.members(), ["b"], "deleted: {is_deleted}");
    }
}

#[test]
fn what_waits_for_a_group_that_ends_is_answered() {
    for (end, durable) in ENDS.into_iter().flat_map(|end| [(end, true), (end, false)]) {
        let mut bench = Bench::new(&[(1, 1)]);
        bench.hold = true;
        let joined = bench.put_beat(joining("a", &[1]));
        let left = bench.put_beat(alive("a", -1, None));
        bench.end(end);
        bench.flush_as(&[true, durable]);
        assert!(bench.told(joined).is_some_and(|told| told.is_ok()));
        assert_eq!(bench.told(left).map(|told| told.is_ok()), Some(durable), "{end:?}");
        bench.restart();
        assert_eq!(bench.core.list().is_empty(), durable, "{end:?}: it goes with what was under way");
    }
}

#[test]
fn whom_a_write_under_way_fails_to_take_out_goes_with_the_group() {
    for end in ENDS {
        let mut bench = Bench::new(&[(1, 1)]);
        bench.join("a", &[1]);
        bench.hold = true;
        bench.put_beat(alive("a", -1, None));
        bench.end(end);
        bench.flush_as(&[false]);
        bench.restart();
        bench.hold = false;
        bench.join("b", &[1]);
        bench.compact();
        bench.restart();
        assert_eq!(bench.members(), ["b"], "{end:?}");
    }
}
