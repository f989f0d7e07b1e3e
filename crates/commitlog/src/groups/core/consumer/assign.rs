//! Who shall have which partition: the assignors of the broker's side (KIP-848), pure functions.
//!
//! Both give every partition of a topic to exactly one of the topic's subscribers. [`uniform`](Assignor::Uniform) keeps the
//! numbers even and lets members keep what they had; [`range`](Assignor::Range) gives neighbours of each topic together, so
//! that topics of equal size fall to the same members.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use model::{PartitionId, TopicId};

use crate::groups::types::Partitions;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::groups) enum Assignor {
    Uniform,
    Range,
}

/// A member as an assignor sees it.
#[derive(Clone, Debug)]
pub(super) struct Subscriber<'a> {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<&'a str>,
    pub(super) topics: Arc<BTreeSet<TopicId>>,
    /// What it was to have before.
    pub(super) previous: &'a Partitions,
}

/// Number of partitions of each topic that somebody subscribed to.
pub(super) type Sizes = BTreeMap<TopicId, i32>;

pub(super) type Assignment = BTreeMap<Arc<str>, Partitions>;

impl Assignor {
    /// What a group uses whose members do not say (the first of Kafka's `group.consumer.assignors`).
    pub(super) const DEFAULT: Self = Self::Uniform;

    pub(in crate::groups) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range].into_iter().find(|a| a.name() == name)
    }

    /// Everybody in `members` is in the result, if with nothing.
    pub(super) fn assign(self, members: &[Subscriber<'_>], sizes: &Sizes) -> Assignment {
        if members.is_empty() {
            return Assignment::new();
        }
        match self {
            Self::Range => range(members, sizes),
            Self::Uniform if members.iter().all(|m| m.topics == members[0].topics) => uniform_same(members, sizes),
            Self::Uniform => uniform_mixed(members, sizes),
        }
    }
}

/// For each topic, its subscribers in order (static members by instance id, then the others by member id) get neighbouring
/// partitions; the first ones get one more if it does not divide.
fn range(members: &[Subscriber<'_>], sizes: &Sizes) -> Assignment {
    let mut order: Vec<_> = members.iter().collect();
    order.sort_by_key(|m| (m.instance.is_none(), m.instance, m.member.clone()));
    let mut result: Assignment = members.iter().map(|m| (m.member.clone(), Partitions::new())).collect();
    for (&topic, &size) in sizes {
        let subscribers: Vec<_> = order.iter().filter(|m| m.topics.contains(&topic)).collect();
        let count = subscribers.len() as i32;
        let mut next = 0;
        for (index, member) in subscribers.into_iter().enumerate() {
            let share = size / count + i32::from((index as i32) < size % count);
            let mine = result.get_mut(&member.member).expect("everybody has an entry");
            mine.extend((next..next + share).map(|p| (topic, p)));
            next += share;
        }
    }
    result
}

/// What members keep of before, each partition once, and who owns it.
fn kept(members: &[Subscriber<'_>], sizes: &Sizes) -> (Vec<Partitions>, Partitions) {
    let mut taken = Partitions::new();
    let keep = |member: &Subscriber<'_>| {
        let valid = |place: &&(TopicId, PartitionId)| {
            member.topics.contains(&place.0) && sizes.get(&place.0).is_some_and(|size| place.1 < *size)
        };
        member.previous.iter().filter(valid).copied().filter(|place| taken.insert(*place)).collect()
    };
    (members.iter().map(keep).collect(), taken)
}

fn all(sizes: &Sizes) -> impl Iterator<Item = (TopicId, PartitionId)> + '_ {
    sizes.iter().flat_map(|(&topic, &size)| (0..size).map(move |p| (topic, p)))
}

/// All subscribe to the same topics: numbers differ by one at most, and nobody gives up more than that asks for.
fn uniform_same(members: &[Subscriber<'_>], sizes: &Sizes) -> Assignment {
    let wanted = &members[0].topics;
    let sizes: Sizes = sizes.iter().filter(|(topic, _)| wanted.contains(topic)).map(|(t, s)| (*t, *s)).collect();
    let total: usize = sizes.values().map(|s| usize::try_from(*s).unwrap_or(0)).sum();
    let (least, mut extra) = (total / members.len(), total % members.len());
    let (mut shares, taken) = kept(members, &sizes);
    let mut free: Vec<_> = all(&sizes).filter(|place| !taken.contains(place)).collect();
    // Who has more than the least keeps one of the extra partitions, while there are such.
    let mut quotas = vec![least; members.len()];
    for (share, quota) in shares.iter_mut().zip(&mut quotas) {
        if share.len() > least && extra > 0 {
            extra -= 1;
            *quota += 1;
        }
        while share.len() > *quota {
            free.push(share.pop_last().expect("more than the quota"));
        }
    }
    for (share, quota) in shares.iter().zip(&mut quotas) {
        if extra > 0 && *quota == least && share.len() <= least {
            extra -= 1;
            *quota += 1;
        }
    }
    let mut free = free.into_iter();
    for (share, quota) in shares.iter_mut().zip(quotas) {
        let missing = quota - share.len();
        share.extend(free.by_ref().take(missing));
    }
    assert!(free.next().is_none(), "quotas add up to all partitions");
    members.iter().map(|m| m.member.clone()).zip(shares).collect()
}

/// Members subscribe to different topics: as even as single moves can make it.
fn uniform_mixed(members: &[Subscriber<'_>], sizes: &Sizes) -> Assignment {
    let (mut shares, taken) = kept(members, sizes);
    let mut subscribers: HashMap<TopicId, Vec<usize>> = HashMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in member.topics.iter().filter(|t| sizes.contains_key(t)) {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    // Topics with the fewest subscribers first: they have the least choice.
    let mut topics: Vec<TopicId> = subscribers.keys().copied().collect();
    topics.sort_by_key(|topic| (subscribers[topic].len(), *topic));
    for topic in &topics {
        for place in (0..sizes[topic]).map(|p| (*topic, p)).filter(|place| !taken.contains(place)) {
            let poorest = subscribers[topic].iter().copied().min_by_key(|&i| shares[i].len());
            shares[poorest.expect("a topic without subscribers is not listed")].insert(place);
        }
    }
    // Each move makes the sum of the squares of the loads smaller, so this ends.
    let mut moved = true;
    while moved {
        moved = false;
        for topic in &topics {
            let whole = (*topic, 0)..=(*topic, PartitionId::MAX);
            loop {
                let these = &subscribers[topic];
                let load = |i: &usize| shares[*i].len();
                let owner = |i: &usize| shares[*i].range(whole.clone()).next_back().is_some();
                let Some(richest) = these.iter().copied().filter(owner).max_by_key(load) else { break };
                let poorest = these.iter().copied().min_by_key(load).expect("there is the richest at least");
                if shares[richest].len() <= shares[poorest].len() + 1 {
                    break;
                }
                let place = *shares[richest].range(whole.clone()).next_back().expect("it owns one of the topic");
                shares[richest].remove(&place);
                shares[poorest].insert(place);
                moved = true;
            }
        }
    }
    members.iter().map(|m| m.member.clone()).zip(shares).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(number: u8) -> TopicId {
        TopicId::from_u128(u128::from(number) + 1)
    }

    /// Members with their topics and what they had; then how many partitions each topic has.
    #[derive(Clone, Debug)]
    struct Case {
        members: Vec<(String, Option<String>, BTreeSet<TopicId>, Partitions)>,
        sizes: Sizes,
    }

    impl Case {
        fn subscribers(&self) -> Vec<Subscriber<'_>> {
            self.members
                .iter()
                .map(|(member, instance, topics, previous)| Subscriber {
                    member: member.as_str().into(),
                    instance: instance.as_deref(),
                    topics: Arc::new(topics.clone()),
                    previous,
                })
                .collect()
        }

        fn assign(&self, assignor: Assignor) -> Assignment {
            assignor.assign(&self.subscribers(), &self.sizes)
        }

        /// As it was, with what members shall have as what they had.
        fn after(mut self, assignment: &Assignment) -> Self {
            for (member, _, _, previous) in &mut self.members {
                previous.clone_from(&assignment[member.as_str()]);
            }
            self
        }
    }

    fn case(same_topics: bool) -> impl Strategy<Value = Case> {
        let member = (
            any::<bool>(),
            proptest::collection::btree_set(0u8..6, 0..6),
            proptest::collection::btree_set((0u8..6, 0i32..9), 0..20),
        );
        (proptest::collection::vec(member, 1..7), proptest::collection::btree_map(0u8..6, 0i32..9, 0..6)).prop_map(
            move |(members, sizes)| {
                let sizes: Sizes = sizes.into_iter().map(|(t, size)| (topic(t), size)).collect();
                let first = members[0].1.clone();
                let members = members.into_iter().enumerate().map(|(i, (is_static, topics, previous))| {
                    let topics = if same_topics { first.clone() } else { topics };
                    // Subscriptions name only topics that exist: the group sees to that.
                    let topics = topics.into_iter().map(topic).filter(|t| sizes.contains_key(t)).collect();
                    let previous = previous.into_iter().map(|(t, p)| (topic(t), p)).collect();
                    (format!("m{i}"), is_static.then(|| format!("i{}", 9 - i)), topics, previous)
                });
                Case { members: members.collect(), sizes: sizes.clone() }
            },
        )
    }

    fn check_whole(case: &Case, assignment: &Assignment) -> Result<(), TestCaseError> {
        prop_assert_eq!(assignment.len(), case.members.len());
        let mut seen = Partitions::new();
        for (member, _, topics, _) in &case.members {
            for place in &assignment[member.as_str()] {
                prop_assert!(topics.contains(&place.0), "{} did not subscribe to {}", member, place.0);
                prop_assert!(seen.insert(*place), "{:?} is given twice", place);
            }
        }
        let subscribed = |place: &(TopicId, PartitionId)| case.members.iter().any(|m| m.2.contains(&place.0));
        let expected: Partitions = all(&case.sizes).filter(subscribed).collect();
        prop_assert_eq!(seen, expected, "every partition has an owner");
        Ok(())
    }

    proptest! {
        #[test]
        fn every_partition_goes_to_one_subscriber(case in case(false)) {
            for assignor in [Assignor::Uniform, Assignor::Range] {
                check_whole(&case, &case.assign(assignor))?;
            }
        }

        #[test]
        fn uniform_is_even_and_takes_no_more_than_evenness_asks(case in case(true)) {
            let assignment = case.assign(Assignor::Uniform);
            check_whole(&case, &assignment)?;
            let loads: Vec<_> = assignment.values().map(Partitions::len).collect();
            let (least, most) = (loads.iter().min().unwrap_or(&0), loads.iter().max().unwrap_or(&0));
            prop_assert!(most - least <= 1, "{:?}", loads);
            // Who had no more than the least, and nothing that others had too, keeps all of it.
            let (kept, _) = kept(&case.subscribers(), &case.sizes);
            for ((member, ..), kept) in case.members.iter().zip(kept) {
                if kept.len() <= *least {
                    prop_assert!(assignment[member.as_str()].is_superset(&kept), "{} lost something", member);
                }
            }
        }

        #[test]
        fn nothing_moves_when_nothing_changed(case in case(false)) {
            for assignor in [Assignor::Uniform, Assignor::Range] {
                let first = case.assign(assignor);
                prop_assert_eq!(&case.clone().after(&first).assign(assignor), &first);
            }
        }

        #[test]
        fn uniform_over_mixed_subscriptions_cannot_be_improved_by_a_single_move(case in case(false)) {
            let assignment = case.assign(Assignor::Uniform);
            for (from, _, _, _) in &case.members {
                for place in &assignment[from.as_str()] {
                    for (to, _, topics, _) in &case.members {
                        let better = assignment[from.as_str()].len() > assignment[to.as_str()].len() + 1;
                        prop_assert!(!(topics.contains(&place.0) && better), "{:?}: {} -> {}", place, from, to);
                    }
                }
            }
        }

        #[test]
        fn a_newcomer_takes_only_its_share(case in case(true)) {
            let first = case.assign(Assignor::Uniform);
            let mut grown = case.after(&first);
            let topics = grown.members[0].2.clone();
            grown.members.push(("new".to_owned(), None, topics, Partitions::new()));
            let second = grown.assign(Assignor::Uniform);
            for (member, partitions) in &first {
                prop_assert!(second[member].is_subset(partitions), "{} got something from another old member", member);
            }
        }
    }

    fn give(members: &[(&str, Option<&str>, &[u8])], sizes: &[(u8, i32)]) -> Vec<(String, Vec<(u8, i32)>)> {
        let number = |id: TopicId| (id.as_u128() - 1) as u8;
        let case = Case {
            members: members
                .iter()
                .map(|(m, i, t)| {
                    let topics = t.iter().copied().map(topic).collect();
                    ((*m).to_owned(), i.map(str::to_owned), topics, Partitions::new())
                })
                .collect(),
            sizes: sizes.iter().map(|(t, size)| (topic(*t), *size)).collect(),
        };
        let rows = case.assign(Assignor::Range).into_iter();
        rows.map(|(m, p)| (m.to_string(), p.into_iter().map(|(t, p)| (number(t), p)).collect())).collect()
    }

    /// The examples of Kafka's `RangeAssignor`.
    #[test]
    fn range_lays_out_as_kafka_does() {
        let row = |m: &str, p: &[(u8, i32)]| (m.to_owned(), p.to_vec());
        let both: &[u8] = &[1, 2];
        assert_eq!(
            give(&[("C0", None, both), ("C1", None, both)], &[(1, 3), (2, 3)]),
            [row("C0", &[(1, 0), (1, 1), (2, 0), (2, 1)]), row("C1", &[(1, 2), (2, 2)])]
        );
        // Static members come first, by instance id.
        assert_eq!(
            give(&[("A", None, both), ("B", Some("i2"), both), ("C", Some("i1"), both)], &[(1, 3), (2, 4)]),
            [row("A", &[(1, 2), (2, 3)]), row("B", &[(1, 1), (2, 2)]), row("C", &[(1, 0), (2, 0), (2, 1)])]
        );
        // Only subscribers of a topic count for it.
        assert_eq!(
            give(&[("A", None, both), ("B", None, &[2])], &[(1, 2), (2, 2)]),
            [row("A", &[(1, 0), (1, 1), (2, 0)]), row("B", &[(2, 1)])]
        );
        // More members than partitions: the last get nothing.
        assert_eq!(give(&[("A", None, &[1]), ("B", None, &[1])], &[(1, 1)]), [row("A", &[(1, 0)]), row("B", &[])]);
    }
}
