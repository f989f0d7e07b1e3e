//! What is deleted is gone for good, or can be deleted again.

use super::*;

impl Bench {
    /// The writes asked for succeed, or fail and leave nothing in the log.
    fn settle(&mut self, durable: bool) {
        for id in std::mem::take(&mut self.held) {
            self.step(Event::Written { id, durable });
        }
    }

    /// Asks on a disk that takes everything or nothing.
    fn ask_disk(&mut self, durable: bool, event: impl FnOnce(ReplyId) -> Event) -> Option<Answer> {
        self.hold_writes = true;
        let before = self.log.len();
        let reply = self.ask(event);
        self.settle(durable);
        if !durable {
            self.log.truncate(before);
        }
        self.hold_writes = false;
        self.answers.remove(&reply)
    }

    fn delete(&mut self, durable: bool) -> Option<Answer> {
        self.ask_disk(durable, |reply| Event::DeleteGroup { reply, group: "g".into() })
    }

    /// Offset of the group as a start finds it.
    fn stored_offset(&self) -> Option<i64> {
        let mut core = GroupCoordinator::new(GroupSettings::default());
        self.log.iter().for_each(|(key, value)| assert!(core.replay(key, value.as_deref())));
        core.replayed(self.now, TopicsSeen::new());
        core.offset("g", "t", 0).map(|offset| offset.offset)
    }
}

const DONE: Option<Answer> = Some(Answer::Done(Ok(())));
const NOT_AVAILABLE: Option<Answer> = Some(Answer::Done(Err(GroupError::NotAvailable)));
const NOT_FOUND: Option<Answer> = Some(Answer::Done(Err(GroupError::GroupIdNotFound)));

fn committed() -> Bench {
    let mut bench = Bench::new();
    let commit = bench.commit(outsider(), 5);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    bench
}

#[test]
fn a_deletion_that_the_disk_refused_can_be_asked_for_again() {
    let mut bench = committed();
    assert_eq!(bench.delete(false), NOT_AVAILABLE);
    assert_eq!(bench.stored_offset(), Some(5), "the disk has it still");
    assert_eq!(bench.delete(false), NOT_AVAILABLE);
    assert_eq!(bench.delete(true), DONE);
    assert_eq!(bench.stored_offset(), None);
    assert_eq!(bench.delete(true), NOT_FOUND);
}

#[test]
fn a_deletion_that_nobody_asks_for_again_is_written_with_the_next_check() {
    let mut bench = committed();
    assert_eq!(bench.delete(false), NOT_AVAILABLE);
    bench.pass(GroupSettings::default().expiry_interval);
    assert_eq!(bench.stored_offset(), None);
    let written = bench.log.len();
    bench.pass(GroupSettings::default().expiry_interval);
    assert_eq!(bench.log.len(), written, "once");
    assert_eq!(bench.delete(true), NOT_FOUND);
}

#[test]
fn what_is_committed_after_a_failed_deletion_stays() {
    let mut bench = committed();
    assert_eq!(bench.delete(false), NOT_AVAILABLE);
    let commit = bench.commit(outsider(), 7);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    for _ in 0..2 {
        bench.pass(GroupSettings::default().expiry_interval);
        assert_eq!((bench.offset(), bench.stored_offset()), (Some(7), Some(7)));
    }
    // Also while its transaction is open.
    let mut bench = committed();
    assert_eq!(bench.delete(false), NOT_AVAILABLE);
    let offsets =
        vec![OffsetToCommit { topic: "t".into(), partition: 0, offset: 8, leader_epoch: 3, metadata: "m".into() }];
    let producer = Identity { producer: 1, epoch: 0 };
    let request = CommitRequest { who: outsider(), offsets };
    bench.ask(|reply| Event::CommitInTransaction { reply, request, producer });
    let written = bench.log.len();
    bench.pass(GroupSettings::default().expiry_interval);
    let tombstones = bench.log[written..].iter().filter(|(key, _)| *key == records::offset_key("g", "t", 0)).count();
    assert_eq!(tombstones, 0, "the record of the transaction would go with what was deleted before it");
    bench.step(Event::TransactionEnded { producer: 1, marker: Marker::Commit });
    assert_eq!(bench.offset(), Some(8));
}

#[test]
fn offsets_whose_deletion_the_disk_refused_can_be_deleted_again() {
    let mut bench = committed();
    let delete = |bench: &mut Bench, durable| {
        let partitions = vec![("t".into(), 0)];
        bench.ask_disk(durable, |reply| Event::DeleteOffsets { reply, group: "g".into(), partitions })
    };
    assert_eq!(delete(&mut bench, false), Some(Answer::Each(vec![Err(GroupError::NotAvailable)])));
    assert_eq!(bench.stored_offset(), Some(5));
    assert_eq!(delete(&mut bench, true), Some(Answer::Each(vec![Ok(())])));
    assert_eq!(bench.stored_offset(), None);
}

/// Kafka lets committers without a group have the one without a name, and nobody join it.
#[test]
fn the_group_without_a_name_has_offsets_and_no_members() {
    let mut bench = Bench::new();
    let nobody = MemberRef { group: String::new(), ..outsider() };
    let commit = bench.commit(nobody.clone(), 5);
    assert_eq!(bench.committed(commit), Some(Ok(())));
    assert_eq!(bench.core.offset("", "t", 0).map(|offset| offset.offset), Some(5));
    let join = bench.join(JoinRequest { group: String::new(), ..wish("a") });
    assert_eq!(bench.joined(join).expect("answered").error, Some(GroupError::GroupIdInvalid));
    let offsets =
        vec![OffsetToCommit { topic: "t".into(), partition: 0, offset: 8, leader_epoch: 3, metadata: "m".into() }];
    let (producer, request) = (Identity { producer: 1, epoch: 0 }, CommitRequest { who: nobody, offsets });
    let reply = bench.ask(|reply| Event::CommitInTransaction { reply, request, producer });
    assert_eq!(bench.committed(reply), Some(Err(GroupError::GroupIdInvalid)), "in no transaction");
    let delete = |bench: &mut Bench| bench.ask_disk(true, |reply| Event::DeleteGroup { reply, group: String::new() });
    assert_eq!(delete(&mut bench), DONE);
    assert_eq!(delete(&mut bench), NOT_FOUND);
}
