//! The laws hold, runs are functions of their seeds, and mistakes are found.

use commitlog::planted::{Bug, plant};
use sim::{Invariant, Lie, Plan, run};

#[test]
fn the_laws_hold_for_the_first_seeds() {
    for seed in 1..=60 {
        if let Err(failure) = run(seed, &Plan::default()) {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_bytes_twice() {
    for seed in 1000..1008 {
        let [first, second] = [(); 2].map(|()| run(seed, &Plan::default()).expect("the laws hold"));
        assert_eq!(first, second);
    }
    let [one, other] = [1000, 1001].map(|seed| run(seed, &Plan::default()).expect("the laws hold").digest);
    assert_ne!(one, other, "the digest tells runs apart");
}

/// The first of `seeds` that finds what `plan` and `bug` have in store.
fn found_after(seeds: u64, plan: &Plan, bug: Option<Bug>) -> Option<(u64, Invariant)> {
    plant(bug);
    let found = (1..=seeds).find_map(|seed| run(seed, plan).err().map(|failure| (seed, failure.invariant)));
    plant(None);
    // It is the mistake that was found.
    if let Some((seed, _)) = found {
        run(seed, &Plan::default()).expect("without it the laws hold");
    }
    found
}

#[test]
fn a_disk_that_lies_is_found_out() {
    for lie in [Lie::SyncsNothing, Lie::SyncsNoNames] {
        let plan = Plan { lie: Some(lie), ..Plan::default() };
        let found = found_after(20, &plan, None);
        eprintln!("{lie:?}: {found:?}");
        assert!(found.is_some(), "{lie:?}");
    }
}

/// How many seeds it may take is what it took, with room for a change of order.
#[test]
fn planted_mistakes_are_found() {
    for (bug, seeds) in [
        (Bug::ToldBeforeSync, 20),
        (Bug::ProducersForgotten, 60),
        (Bug::AbortedForgotten, 100),
        (Bug::OldEpochTaken, 200),
        (Bug::CompactionDropsLast, 100),
        (Bug::FailedNotVoid, 300),
        (Bug::NamesOfAKillNotSynced, 1000),
        (Bug::GrantedBeforeLetGo, 60),
        (Bug::EpochToldBeforeWritten, 20),
        (Bug::StaleEpochTaken, 20),
        (Bug::TopicsNotLookedAt, 200),
    ] {
        let found = found_after(seeds, &Plan::default(), Some(bug));
        eprintln!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in {seeds} seeds");
    }
}
