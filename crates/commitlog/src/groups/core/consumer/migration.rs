//! A group comes from the classic protocol and goes back while its members go on working (KIP-848, "Online migration"; Kafka's
//! `group.consumer.migration.policy=bidirectional`).
//!
//! ```text
//!                first member of the consumer protocol joins
//!  classic ────────────────────────────────────────────────────► consumer, with members of both
//!  generation n                                                    epoch n: classic members with what their leader gave them;
//!     ▲                                                            the newcomer makes it n + 1
//!     └────────────────────────────────────────────────────────┘
//!                last member of the consumer protocol leaves, and some are left
//! ```
//! Both ways the records of what the group was and of what it becomes are one batch: after a crash it is the one or the other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use model::{PartitionId, TopicId};

use super::{ConsumerGroup, Member, Progress};
use crate::groups::{
    core::{
        Answer, Answers, GroupCoordinator, Out, ReplyId,
        group::{Group, Member as ClassicMember, Phase},
    },
    records::{
        consumer::{Line, StoredClassic, StoredSubscription},
        embedded,
    },
    types::*,
};

/// Protocols whose assignors keep in their user data only what helps them to move little: nothing is lost without it.
/// (Kafka takes over no group with user data at all, and so none that a `cooperative-sticky` leader on librdkafka led.)
const KNOWN_ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

impl Group {
    /// A classic group of consumers with members becomes one of the consumer protocol.
    pub(super) fn upgrade(&mut self, out: &mut Out, topics: &TopicsSeen) -> Result<(), GroupError> {
        if !self.is_of_consumers() {
            return Err(GroupError::GroupIdNotFound); // Connect workers, for example: nothing we could share out.
        }
        if self.members.len() >= out.settings.members_max {
            return Err(GroupError::GroupMaxSizeReached);
        }
        // While an assignment is handed out nobody can say who holds what: the newcomer asks again.
        let leader_brought_it =
            self.leader.as_ref().and_then(|leader| self.members.get(leader)).is_some_and(|leader| leader.synced);
        let is_handed_out = match self.state {
            GroupState::Stable => self.members.values().all(|member| member.synced),
            GroupState::CompletingRebalance => !leader_brought_it,
            GroupState::Empty | GroupState::PreparingRebalance => true,
        };
        if !is_handed_out {
            return Err(GroupError::NotAvailable);
        }
        let mut consumer = self.as_consumer_group(out, topics)?;
        consumer.touched.extend(out.take_leftovers(&self.id));
        tracing::info!(group = %self.id, members = self.members.len(), "becomes a group of the consumer protocol");
        let again = GroupError::RebalanceInProgress;
        for member in self.members.values_mut() {
            if let Some(reply) = member.awaiting_join.take() {
                out.answer(reply, Answer::Join(JoinAnswer::refused(again, member.id.clone())));
            }
        }
        self.refuse_syncs(out, again);
        self.forget_classic();
        self.consumer = Some(Box::new(consumer));
        Ok(())
    }

    /// What the group is in terms of the other protocol: everybody has what the last leader gave them, and wants no more.
    fn as_consumer_group(&self, out: &Out, topics: &TopicsSeen) -> Result<ConsumerGroup, GroupError> {
        let mut consumer = ConsumerGroup {
            epoch: self.generation,
            target_epoch: self.generation,
            since_ms: self.state_since_ms,
            ..ConsumerGroup::default()
        };
        let is_known = self.protocol.as_deref().is_none_or(|protocol| KNOWN_ASSIGNORS.contains(&protocol));
        let mut members = self.members_in_order();
        members.sort_by_key(|member| member.assignment.is_empty());
        for member in members {
            let protocol = self.protocol.as_ref().or(member.protocols.first().map(|(name, _)| name));
            let metadata = protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default();
            let subscription = embedded::parse_subscription(&metadata).ok_or(GroupError::GroupIdNotFound)?;
            let assignment = embedded::parse_assignment(&member.assignment).ok_or(GroupError::GroupIdNotFound)?;
            if assignment.has_user_data && !is_known {
                tracing::info!(group = %self.id, "has an assignor of its own and stays a classic group");
                return Err(GroupError::GroupIdNotFound);
            }
            let id: Arc<str> = member.id.as_str().into();
            // A rebalance that began before the last one was over has forgotten what cooperative members hold meanwhile: they say
            // so themselves.
            let held = if member.assignment.is_empty() { &subscription.owned } else { &assignment.partitions };
            let mut assigned = by_id(held, topics);
            // GRP-4: a leader that gave a partition to two gets neither's word.
            assigned.retain(|place| !consumer.owners.contains_key(place));
            consumer.owners.extend(assigned.iter().map(|place| (*place, id.clone())));
            if let Some(instance) = &member.instance {
                consumer.instances.insert(instance.clone(), id.clone());
            }
            let subscription = StoredSubscription {
                instance: member.instance.clone(),
                rack: subscription.rack,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                topics: subscription.topics.into_iter().collect(),
                regex: None,
                rebalance_timeout: member.rebalance_timeout,
                assignor: None,
                classic: Some(StoredClassic {
                    session_timeout: member.session_timeout,
                    protocols: member.protocols.clone(),
                }),
            };
            let progress = Progress {
                epoch: self.generation,
                previous_epoch: self.generation,
                assigned: assigned.clone(),
                ..Progress::default()
            };
            let session_until = out.now.monotonic + member.session_timeout;
            let member = Member { subscription, target: assigned, progress, session_until, ..Member::default() };
            consumer.members.insert(id, member);
        }
        consumer.metadata_hash = consumer.hash_metadata(topics);
        consumer.touched.extend(consumer.lines());
        if self.stored {
            consumer.touched.insert(Line::Classic);
        }
        Ok(consumer)
    }

    /// A group of the consumer protocol, all of whose members speak the classic one, becomes classic. The answers rest on that.
    fn downgrade(&mut self, out: &mut Out, topics: &TopicsSeen, mut answers: Answers) {
        let Some(mut consumer) = self.consumer.take() else { return };
        tracing::info!(group = %self.id, members = consumer.members.len(), "becomes a classic group");
        answers.extend(consumer.take_waiting());
        let lines = consumer.all_lines();
        let names: HashMap<TopicId, &Arc<str>> = topics.iter().map(|(name, (id, _))| (*id, name)).collect();
        self.generation = consumer.epoch;
        self.protocol_type = Some("consumer".to_owned());
        let mut held: BTreeMap<String, Partitions> = BTreeMap::new();
        for (id, member) in consumer.members {
            let subscription = member.subscription;
            let Some(classic) = subscription.classic else { continue };
            // Not what it shall have, which it may never hear of: should the group change again before the next assignment,
            // nobody else may have what it holds.
            held.insert(id.to_string(), member.progress.held().copied().collect());
            if let Some(instance) = &subscription.instance {
                self.instances.insert(instance.clone(), id.to_string());
            }
            let mut member = ClassicMember {
                id: id.to_string(),
                instance: subscription.instance,
                client_id: subscription.client_id,
                client_host: subscription.client_host,
                session_timeout: classic.session_timeout,
                rebalance_timeout: subscription.rebalance_timeout,
                protocols: classic.protocols,
                order: self.next_order,
                synced: true,
                ..ClassicMember::default()
            };
            member.renew(out.now.monotonic);
            self.next_order += 1;
            self.leader.get_or_insert_with(|| id.to_string());
            self.members.insert(id.to_string(), member);
        }
        self.protocol = self.choose_protocol();
        let protocol = self.protocol.clone().unwrap_or_default();
        for (id, held) in held {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.assignment = written(&held, &member.metadata(&protocol), &names);
        }
        self.phase = Phase::Nothing;
        self.enter(GroupState::Stable, out);
        let record = self.record();
        out.take_out(&self.id, lines, vec![record], answers);
    }
}

impl GroupCoordinator {
    /// The last member of the consumer protocol is gone. The others share anew (`rebalances`), except after one was replaced by
    /// its like.
    pub(super) fn downgrade(&mut self, name: &Arc<str>, answer: Option<(ReplyId, Answer)>, rebalances: bool) {
        let Some(group) = self.groups.get_mut(name) else { return };
        group.downgrade(&mut self.out, &self.topics, answer.into_iter().collect());
        if rebalances {
            group.rebalance(&mut self.out);
        }
        self.rearm(name);
    }
}

impl ConsumerGroup {
    /// Everybody has what it shall have.
    pub(super) fn has_arrived(&self) -> bool {
        self.members.values().all(|member| member.progress.has_arrived(self.epoch))
    }

    /// There are members, and all speak the classic protocol.
    pub(super) fn is_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(Member::is_classic)
    }
}

/// Partitions of topics that exist.
pub(super) fn by_id(named: &embedded::Named, topics: &TopicsSeen) -> Partitions {
    let found = named.iter().filter_map(|(name, partition)| Some((topics.get(name)?.0, *partition)));
    found.filter(|(_, partition)| *partition >= 0).collect()
}

/// As a member with this subscription reads it. Topics that are gone have no name any more.
pub(super) fn written(partitions: &Partitions, subscription: &[u8], names: &HashMap<TopicId, &Arc<str>>) -> Bytes {
    let mut named: BTreeMap<&str, Vec<PartitionId>> = BTreeMap::new();
    for (topic, partition) in partitions {
        if let Some(name) = names.get(topic) {
            named.entry(name).or_default().push(*partition);
        }
    }
    let version = embedded::parse_subscription(subscription).map_or(0, |subscription| subscription.version);
    embedded::assignment(version, &named)
}
