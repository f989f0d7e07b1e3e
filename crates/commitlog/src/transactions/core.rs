//! The coordinator's decisions, free of I/O (Kafka's `TransactionMetadata.scala` and `TransactionCoordinator.scala`).

use std::collections::BTreeSet;

use model::{ProducerId, TimestampMs, TopicPartition};

use super::types::{Identity, TransactionError};
use crate::record::Marker;

/// Where a transaction is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The id is known; nothing has begun.
    Empty,
    Ongoing,
    /// Decided; markers are being written.
    Prepared(Marker),
    /// Every partition has its marker.
    Complete(Marker),
}

impl State {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Prepared(Marker::Commit) => "PrepareCommit",
            Self::Prepared(Marker::Abort) => "PrepareAbort",
            Self::Complete(Marker::Commit) => "CompleteCommit",
            Self::Complete(Marker::Abort) => "CompleteAbort",
        }
    }
}

/// Which of Kafka's two transaction protocols a producer speaks (its feature `transaction.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Partitions are added by a request of their own, and a producer keeps its epoch (KIP-98).
    V1,
    /// Partitions are added by what is written to them, and each end raises the epoch, so that nothing late can join the
    /// producer's next transaction (KIP-890).
    V2,
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub identity: Identity,
    /// Who it was before, should it not have heard otherwise: an answer was lost, or its transaction took too long. Nobody, if
    /// somebody else came in its place.
    pub before: Option<Identity>,
    /// Who it will be once all markers are written, because `identity` has no epoch left.
    pub next: Option<ProducerId>,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    /// When the transaction began, or the one that ended last. −1: none has.
    pub started_ms: TimestampMs,
    pub updated_ms: TimestampMs,
}

/// What becomes of a producer's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    /// Write this and answer with its identity.
    Become(Transaction),
    /// The answer to the same question was lost: give it again.
    Again(Identity),
    /// Write this, which ends what is open and fences whoever opened it; then ask again.
    AbortFirst(Transaction),
}

/// What becomes of the wish to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Write this, then the markers.
    Prepare(Transaction),
    /// It ended so already, and its producer has been this since.
    Already(Identity),
}

/// The largest epoch that is given to a producer; the next one is for fencing it.
pub(super) const EPOCH_MAX: i16 = i16::MAX - 1;

/// Whether [`init`] needs a new producer id for `current`.
pub fn needs_new_id(current: Option<&Transaction>) -> bool {
    current.is_none_or(|current| current.identity.epoch >= EPOCH_MAX)
}

/// A producer starts, or asks for a new epoch because it failed. `claims`: who it thinks it is (KIP-360). `fresh`: an id nobody
/// has had, if [`needs_new_id`].
pub fn init(
    current: Option<&Transaction>,
    claims: Option<Identity>,
    timeout_ms: i32,
    fresh: ProducerId,
    now: TimestampMs,
) -> Result<Init, TransactionError> {
    let empty = |identity, before| Transaction {
        identity,
        before,
        next: None,
        timeout_ms,
        state: State::Empty,
        partitions: BTreeSet::new(),
        started_ms: -1,
        updated_ms: now,
    };
    let Some(current) = current else { return Ok(Init::Become(empty(Identity { producer: fresh, epoch: 0 }, None))) };
    if let Some(claims) = claims
        && claims != current.identity
    {
        return match current.state {
            _ if current.before != Some(claims) => Err(TransactionError::Fenced),
            State::Ongoing => Err(TransactionError::Fenced),
            State::Prepared(_) => Err(TransactionError::Concurrent),
            // The epoch that fenced it is nobody's.
            _ if current.identity.epoch > EPOCH_MAX => {
                Ok(Init::Become(empty(Identity { producer: fresh, epoch: 0 }, Some(claims))))
            }
            State::Empty | State::Complete(_) => Ok(Init::Again(current.identity)),
        };
    }
    match current.state {
        State::Prepared(_) => Err(TransactionError::Concurrent),
        State::Ongoing => Ok(Init::AbortFirst(abort(current, now))),
        State::Empty | State::Complete(_) => {
            let identity = if needs_new_id(Some(current)) {
                Identity { producer: fresh, epoch: 0 }
            } else {
                Identity { epoch: current.identity.epoch + 1, ..current.identity }
            };
            // Whoever does not say who it was may be somebody else: then who was there before gets no epoch of its successor's.
            Ok(Init::Become(empty(identity, claims)))
        }
    }
}

/// The end of an ongoing transaction that its producer did not decide: the epoch rises, so that the producer learns of it. It may ask
/// for the new one by the old one, as long as nobody else has come (KIP-588).
pub fn abort(current: &Transaction, now: TimestampMs) -> Transaction {
    let epoch = current.identity.epoch.saturating_add(1);
    Transaction {
        identity: Identity { epoch, ..current.identity },
        before: Some(current.identity),
        next: None,
        state: State::Prepared(Marker::Abort),
        updated_ms: now,
        ..current.clone()
    }
}

/// Partitions join the transaction, which begins with the first. `None`: they are in it.
pub fn add(
    current: &Transaction,
    who: Identity,
    partitions: &BTreeSet<TopicPartition>,
    now: TimestampMs,
) -> Result<Option<Transaction>, TransactionError> {
    check_identity(current, who)?;
    let begun = match current.state {
        State::Prepared(_) => return Err(TransactionError::Concurrent),
        State::Ongoing if partitions.is_subset(&current.partitions) => return Ok(None),
        State::Ongoing => current.clone(),
        State::Empty | State::Complete(_) => {
            Transaction { state: State::Ongoing, partitions: BTreeSet::new(), started_ms: now, ..current.clone() }
        }
    };
    let partitions = begun.partitions.union(partitions).cloned().collect();
    Ok(Some(Transaction { partitions, updated_ms: now, ..begun }))
}

/// The producer commits or aborts. `fresh`: an id nobody has had, if [`needs_new_id`].
pub fn end(
    current: &Transaction,
    who: Identity,
    how: Marker,
    protocol: Protocol,
    fresh: ProducerId,
    now: TimestampMs,
) -> Result<End, TransactionError> {
    match protocol {
        Protocol::V1 => end_v1(current, who, how, now),
        Protocol::V2 => end_v2(current, who, how, fresh, now),
    }
}

fn end_v1(current: &Transaction, who: Identity, how: Marker, now: TimestampMs) -> Result<End, TransactionError> {
    check_identity(current, who)?;
    match current.state {
        State::Ongoing => {
            Ok(End::Prepare(Transaction { state: State::Prepared(how), updated_ms: now, ..current.clone() }))
        }
        State::Prepared(other) if other == how => Err(TransactionError::Concurrent),
        State::Complete(other) if other == how => Ok(End::Already(current.identity)),
        State::Empty | State::Prepared(_) | State::Complete(_) => Err(TransactionError::StateInvalid),
    }
}

/// The epoch tells a repeated question from the next one: it is the one before. A transaction without partitions can be
/// aborted, because its producer cannot know whether its writes arrived.
fn end_v2(
    current: &Transaction,
    who: Identity,
    how: Marker,
    fresh: ProducerId,
    now: TimestampMs,
) -> Result<End, TransactionError> {
    let is_repeated = is_before(current, who);
    if !is_repeated {
        check_identity(current, who)?;
    }
    match (current.state, is_repeated) {
        (State::Ongoing, false) => Ok(End::Prepare(decide(current, how, fresh, now))),
        (State::Empty | State::Complete(_), false) if how == Marker::Abort => {
            Ok(End::Prepare(Transaction { started_ms: now, ..decide(current, how, fresh, now) }))
        }
        (State::Prepared(other), true) if other == how => Err(TransactionError::Concurrent),
        (State::Complete(other), true) if other == how => Ok(End::Already(current.identity)),
        (State::Prepared(_) | State::Complete(_), true) | (State::Empty | State::Complete(_), false) => {
            Err(TransactionError::StateInvalid)
        }
        (State::Empty | State::Ongoing, true) | (State::Prepared(_), false) => Err(TransactionError::Fenced),
    }
}

/// Whether `who` is what the producer was before its epoch last rose.
fn is_before(current: &Transaction, who: Identity) -> bool {
    let raised = Identity { epoch: who.epoch.saturating_add(1), ..who };
    let was_last = who.epoch == EPOCH_MAX && current.identity.epoch == 0 && current.before == Some(who);
    (raised == current.identity && raised != who) || was_last
}

/// Markers carry the raised epoch: whatever is still under way with the old one comes too late for the log.
fn decide(current: &Transaction, how: Marker, fresh: ProducerId, now: TimestampMs) -> Transaction {
    let epoch = current.identity.epoch.saturating_add(1);
    Transaction {
        identity: Identity { epoch, ..current.identity },
        before: Some(current.identity),
        next: needs_new_id(Some(current)).then_some(fresh),
        state: State::Prepared(how),
        updated_ms: now,
        ..current.clone()
    }
}

/// Every partition has its marker.
pub fn complete(current: &Transaction, how: Marker, now: TimestampMs) -> Transaction {
    Transaction {
        identity: current.next.map_or(current.identity, |producer| Identity { producer, epoch: 0 }),
        next: None,
        state: State::Complete(how),
        partitions: BTreeSet::new(),
        updated_ms: now,
        ..current.clone()
    }
}

/// When an ongoing transaction has taken too long.
pub fn deadline_ms(current: &Transaction) -> Option<TimestampMs> {
    (current.state == State::Ongoing).then(|| current.started_ms.saturating_add(i64::from(current.timeout_ms)))
}

fn check_identity(current: &Transaction, who: Identity) -> Result<(), TransactionError> {
    if current.identity.producer != who.producer {
        Err(TransactionError::MappingInvalid)
    } else if current.identity.epoch != who.epoch {
        Err(TransactionError::Fenced)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::TopicName;

    use super::*;

    const ONE: Identity = Identity { producer: 7, epoch: 0 };

    fn started() -> Transaction {
        match init(None, None, 1000, 7, 1).expect("a start") {
            Init::Become(transaction) => transaction,
            other => panic!("{other:?}"),
        }
    }

    fn partitions(numbers: &[i32]) -> BTreeSet<TopicPartition> {
        numbers.iter().map(|n| TopicPartition::new(TopicName::new("t").expect("legal"), *n)).collect()
    }

    fn ongoing() -> Transaction {
        add(&started(), ONE, &partitions(&[1]), 5).expect("added").expect("new")
    }

    fn epoch(transaction: &Transaction, epoch: i16) -> Transaction {
        Transaction { identity: Identity { epoch, ..transaction.identity }, ..transaction.clone() }
    }

    #[test]
    fn each_start_has_a_higher_epoch() {
        let first = started();
        assert_eq!(first.identity, ONE);
        let Ok(Init::Become(second)) = init(Some(&first), None, 500, -1, 2) else { panic!("a start") };
        assert_eq!((second.identity.epoch, second.timeout_ms, second.before), (1, 500, None));
        assert_eq!(add(&second, ONE, &partitions(&[1]), 3), Err(TransactionError::Fenced));
        assert!(!needs_new_id(Some(&second)));
        let last = epoch(&second, EPOCH_MAX);
        assert!(needs_new_id(Some(&last)));
        let Ok(Init::Become(rotated)) = init(Some(&last), None, 500, 8, 2) else { panic!("a start") };
        assert_eq!(rotated.identity, Identity { producer: 8, epoch: 0 });
        assert_eq!(add(&rotated, last.identity, &partitions(&[1]), 3), Err(TransactionError::MappingInvalid));
    }

    #[test]
    fn a_producer_that_failed_gets_one_new_epoch_however_often_it_asks() {
        let first = started();
        let Ok(Init::Become(second)) = init(Some(&first), Some(ONE), 500, -1, 2) else { panic!("a start") };
        assert_eq!(init(Some(&second), Some(ONE), 500, -1, 3), Ok(Init::Again(second.identity)));
        let Ok(Init::Become(third)) = init(Some(&second), None, 500, -1, 4) else { panic!("a start") };
        assert_eq!(init(Some(&third), Some(ONE), 500, -1, 5), Err(TransactionError::Fenced));
        // Nor does it get the epoch of who came in its place.
        assert_eq!(init(Some(&third), Some(second.identity), 500, -1, 5), Err(TransactionError::Fenced));
        let stranger = Identity { producer: 99, epoch: 0 };
        assert_eq!(init(Some(&third), Some(stranger), 500, -1, 5), Err(TransactionError::Fenced));
    }

    #[test]
    fn a_start_aborts_what_is_open_and_fences_its_producer() {
        let open = ongoing();
        let Ok(Init::AbortFirst(aborting)) = init(Some(&open), None, 500, -1, 9) else { panic!("abort first") };
        assert_eq!(aborting.state, State::Prepared(Marker::Abort));
        assert_eq!((aborting.identity.epoch, &aborting.partitions), (1, &open.partitions));
        assert_eq!(end_v1(&aborting, ONE, Marker::Commit, 9), Err(TransactionError::Fenced));
        assert_eq!(init(Some(&aborting), None, 500, -1, 9), Err(TransactionError::Concurrent));
        let Ok(Init::Become(next)) = init(Some(&complete(&aborting, Marker::Abort, 9)), None, 500, -1, 9) else {
            panic!("a start")
        };
        assert_eq!(next.identity.epoch, 2);
        // A zombie that asks for a new epoch does not abort its successor's transaction.
        let theirs = epoch(&open, 3);
        assert_eq!(init(Some(&theirs), Some(ONE), 500, -1, 9), Err(TransactionError::Fenced));
    }

    #[test]
    fn partitions_join_until_it_is_decided() {
        let open = ongoing();
        assert_eq!((open.state, open.started_ms), (State::Ongoing, 5));
        assert_eq!(add(&open, ONE, &partitions(&[1]), 6), Ok(None));
        let more = add(&open, ONE, &partitions(&[2]), 6).expect("added").expect("new");
        assert_eq!((&more.partitions, more.started_ms), (&partitions(&[1, 2]), 5));
        let Ok(End::Prepare(decided)) = end_v1(&more, ONE, Marker::Commit, 7) else { panic!("prepared") };
        assert_eq!(add(&decided, ONE, &partitions(&[3]), 8), Err(TransactionError::Concurrent));
        let done = complete(&decided, Marker::Commit, 8);
        assert_eq!(done.started_ms, 5, "of the last one");
        let next = add(&done, ONE, &partitions(&[3]), 9).expect("added").expect("new");
        assert_eq!((&next.partitions, next.started_ms), (&partitions(&[3]), 9));
    }

    #[test]
    fn an_end_is_told_again_but_never_changed() {
        assert_eq!(end_v1(&started(), ONE, Marker::Commit, 1), Err(TransactionError::StateInvalid));
        let Ok(End::Prepare(decided)) = end_v1(&ongoing(), ONE, Marker::Commit, 7) else { panic!("prepared") };
        assert_eq!(end_v1(&decided, ONE, Marker::Commit, 8), Err(TransactionError::Concurrent));
        assert_eq!(end_v1(&decided, ONE, Marker::Abort, 8), Err(TransactionError::StateInvalid));
        let done = complete(&decided, Marker::Commit, 8);
        assert_eq!(end_v1(&done, ONE, Marker::Commit, 9), Ok(End::Already(ONE)));
        assert_eq!(end_v1(&done, ONE, Marker::Abort, 9), Err(TransactionError::StateInvalid));
    }

    /// KIP-890's table, row by row.
    #[test]
    fn with_the_second_protocol_the_epoch_tells_a_repeated_end_from_the_next() {
        use Marker::{Abort, Commit};
        let ended = |how| {
            let Ok(End::Prepare(decided)) = end_v2(&ongoing(), ONE, how, -1, 7) else { panic!("prepared") };
            assert_eq!((decided.identity.epoch, decided.before, decided.next), (1, Some(ONE), None));
            assert_eq!(add(&decided, decided.identity, &partitions(&[1]), 7), Err(TransactionError::Concurrent));
            assert_eq!(end_v2(&decided, ONE, how, -1, 8), Err(TransactionError::Concurrent));
            assert_eq!(end_v2(&decided, decided.identity, how, -1, 8), Err(TransactionError::Fenced));
            complete(&decided, how, 8)
        };
        let raised = Identity { epoch: 1, ..ONE };
        let is_empty_abort = |ended: Result<End, TransactionError>, from: Identity| {
            let Ok(End::Prepare(decided)) = ended else { panic!("{ended:?}") };
            assert_eq!(decided.identity, Identity { epoch: from.epoch + 1, ..from });
            assert_eq!((decided.state, decided.partitions.len()), (State::Prepared(Abort), 0));
        };
        let first = epoch(&started(), 1);
        assert_eq!(end_v2(&first, ONE, Abort, -1, 9), Err(TransactionError::Fenced));
        assert_eq!(end_v2(&first, ONE, Commit, -1, 9), Err(TransactionError::Fenced));
        is_empty_abort(end_v2(&first, raised, Abort, -1, 9), raised);
        assert_eq!(end_v2(&first, raised, Commit, -1, 9), Err(TransactionError::StateInvalid));

        let aborted = ended(Abort);
        assert_eq!(end_v2(&aborted, ONE, Abort, -1, 9), Ok(End::Already(raised)));
        assert_eq!(end_v2(&aborted, ONE, Commit, -1, 9), Err(TransactionError::StateInvalid));
        is_empty_abort(end_v2(&aborted, raised, Abort, -1, 9), raised);
        assert_eq!(end_v2(&aborted, raised, Commit, -1, 9), Err(TransactionError::StateInvalid));

        let committed = ended(Commit);
        assert_eq!(end_v2(&committed, ONE, Commit, -1, 9), Ok(End::Already(raised)));
        assert_eq!(end_v2(&committed, ONE, Abort, -1, 9), Err(TransactionError::StateInvalid));
        is_empty_abort(end_v2(&committed, raised, Abort, -1, 9), raised);
        assert_eq!(end_v2(&committed, raised, Commit, -1, 9), Err(TransactionError::StateInvalid));

        let next = add(&committed, raised, &partitions(&[2]), 10).expect("added").expect("new");
        assert_eq!(end_v2(&next, ONE, Commit, -1, 11), Err(TransactionError::Fenced));
        let stranger = Identity { producer: 99, epoch: 1 };
        assert_eq!(end_v2(&next, stranger, Commit, -1, 11), Err(TransactionError::MappingInvalid));
    }

    #[test]
    fn a_producer_whose_epochs_are_used_up_goes_on_with_a_new_id() {
        let last = epoch(&ongoing(), EPOCH_MAX);
        let Ok(End::Prepare(decided)) = end_v2(&last, last.identity, Marker::Commit, 8, 7) else { panic!("prepared") };
        assert_eq!((decided.identity.epoch, decided.next), (i16::MAX, Some(8)));
        assert_eq!(end_v2(&decided, last.identity, Marker::Commit, -1, 8), Err(TransactionError::Concurrent));
        let done = complete(&decided, Marker::Commit, 8);
        let fresh = Identity { producer: 8, epoch: 0 };
        assert_eq!((done.identity, done.next), (fresh, None));
        assert_eq!(end_v2(&done, last.identity, Marker::Commit, -1, 9), Ok(End::Already(fresh)));
        assert_eq!(end_v2(&done, ONE, Marker::Commit, -1, 9), Err(TransactionError::MappingInvalid));
    }

    #[test]
    fn a_producer_that_was_too_slow_learns_its_new_epoch_by_aborting() {
        let aborted = complete(&abort(&ongoing(), 9), Marker::Abort, 9);
        let raised = Identity { epoch: 1, ..ONE };
        assert_eq!(end_v2(&aborted, ONE, Marker::Commit, -1, 9), Err(TransactionError::StateInvalid));
        assert_eq!(end_v2(&aborted, ONE, Marker::Abort, -1, 9), Ok(End::Already(raised)));
        assert_eq!(end_v1(&aborted, ONE, Marker::Abort, 9), Err(TransactionError::Fenced));
    }

    #[test]
    fn a_producer_that_was_too_slow_goes_on_with_the_epoch_that_ended_its_transaction() {
        let raised = Identity { epoch: 1, ..ONE };
        let aborting = abort(&ongoing(), 9);
        assert_eq!(init(Some(&aborting), Some(ONE), 500, -1, 9), Err(TransactionError::Concurrent));
        let aborted = complete(&aborting, Marker::Abort, 9);
        assert_eq!(init(Some(&aborted), Some(ONE), 500, -1, 9), Ok(Init::Again(raised)));
        assert_eq!(init(Some(&aborted), Some(ONE), 500, -1, 9), Ok(Init::Again(raised)));
        let begun = add(&aborted, raised, &partitions(&[1]), 9).expect("added").expect("new");
        assert_eq!(init(Some(&begun), Some(ONE), 500, -1, 9), Err(TransactionError::Fenced));
        // Once somebody else has come it is too late.
        let Ok(Init::Become(other)) = init(Some(&aborted), None, 500, -1, 9) else { panic!("a start") };
        for late in [ONE, raised] {
            assert_eq!(init(Some(&other), Some(late), 500, -1, 9), Err(TransactionError::Fenced));
        }
        // The last epoch is for fencing, and never given.
        let last = epoch(&ongoing(), EPOCH_MAX);
        let aborted = complete(&abort(&last, 9), Marker::Abort, 9);
        let Ok(Init::Become(rotated)) = init(Some(&aborted), Some(last.identity), 500, 8, 9) else { panic!("a start") };
        assert_eq!(rotated.identity, Identity { producer: 8, epoch: 0 });
        assert_eq!(init(Some(&rotated), Some(last.identity), 500, -1, 9), Ok(Init::Again(rotated.identity)));
    }

    #[test]
    fn only_what_is_open_times_out() {
        assert_eq!(deadline_ms(&started()), None);
        assert_eq!(deadline_ms(&ongoing()), Some(1005));
    }
}
