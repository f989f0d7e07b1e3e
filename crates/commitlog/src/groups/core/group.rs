//! One group: its data, its timers, and what others may see of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use model::{PartitionId, TimestampMs};

use super::{Out, ReplyId, WriteId, consumer::ConsumerGroup};
use crate::groups::{
    records::{self, StoredGroup, StoredMember},
    types::*,
};

pub(super) struct Group {
    pub(super) id: Arc<str>,
    pub(super) state: GroupState,
    /// Wall time at which the group became what it is.
    pub(super) state_since_ms: TimestampMs,
    pub(super) protocol_type: Option<String>,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Ids given by `MemberIdRequired`, and until when they are waited for.
    pub(super) pending: BTreeMap<String, Duration>,
    /// Member id of each static member, by instance id.
    pub(super) instances: BTreeMap<String, String>,
    pub(super) next_order: u64,
    pub(super) phase: Phase,
    pub(super) offsets: BTreeMap<(Arc<str>, PartitionId), OffsetEntry>,
    /// The group's entry in the coordinator's timers.
    pub(super) timer: Option<Duration>,
    /// There is a group record in the log.
    pub(super) stored: bool,
    /// The group speaks the consumer protocol (KIP-848): then all its members are here, and above it is Empty.
    pub(super) consumer: Option<Box<ConsumerGroup>>,
}

/// What the group as a whole waits for, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Nothing,
    /// First generation of an empty group: until `until`, moved on while members arrive, up to `at_most`.
    InitialDelay {
        until: Duration,
        at_most: Duration,
        arrived: bool,
    },
    /// Members may join again until then.
    Joining {
        until: Duration,
    },
    /// Members must have synced by then.
    Syncing {
        until: Duration,
    },
}

#[derive(Default)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
    /// Order of first arrival: the leader is the first who is still there.
    pub(super) order: u64,
    pub(super) awaiting_join: Option<ReplyId>,
    pub(super) knows_skip_assignment: bool,
    pub(super) awaiting_sync: Option<ReplyId>,
    pub(super) synced: bool,
    /// Has not been in any generation yet.
    pub(super) is_new: bool,
    pub(super) deadline: Duration,
}

/// An offset, what is durable of it and what is on its way.
pub(super) struct OffsetEntry {
    pub(super) durable: Option<CommittedOffset>,
    /// With which write that came.
    pub(super) at: WriteId,
    pub(super) pending: Option<(WriteId, CommittedOffset)>,
    /// Writes before this one belong to an entry that was deleted.
    pub(super) born: WriteId,
}

impl Member {
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, m)| m.clone()).unwrap_or_default()
    }

    /// When the member is given up, if it does nothing. Parked members are not: the phase has its own limit.
    fn deadline(&self) -> Option<Duration> {
        let parked = (self.awaiting_join.is_some() && !self.is_new) || self.awaiting_sync.is_some();
        (!parked).then_some(self.deadline)
    }

    pub(super) fn renew(&mut self, now: Duration) {
        self.deadline = now + self.session_timeout;
    }
}

impl Group {
    pub(super) fn new(id: Arc<str>, now_ms: TimestampMs) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_since_ms: now_ms,
            protocol_type: None,
            generation: 0,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            instances: BTreeMap::new(),
            next_order: 0,
            phase: Phase::Nothing,
            offsets: BTreeMap::new(),
            timer: None,
            stored: false,
            consumer: None,
        }
    }

    pub(super) fn group_type(&self) -> GroupType {
        if self.consumer.is_some() { GroupType::Consumer } else { GroupType::Classic }
    }

    /// Nobody is in it, in either protocol.
    pub(super) fn has_no_members(&self) -> bool {
        self.members.is_empty() && self.consumer.as_ref().is_none_or(|c| c.members.is_empty())
    }

    /// Nothing would be lost by forgetting this group.
    pub(super) fn is_blank(&self) -> bool {
        self.members.is_empty()
            && self.pending.is_empty()
            && self.offsets.is_empty()
            && !self.stored
            && self.consumer.is_none()
    }

    pub(super) fn enter(&mut self, state: GroupState, out: &Out) {
        self.state = state;
        self.state_since_ms = out.now.wall_ms;
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    /// Members in the order of their arrival.
    pub(super) fn members_in_order(&self) -> Vec<&Member> {
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_by_key(|m| m.order);
        members
    }

    // ── timers ──

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Nothing => None,
            Phase::InitialDelay { until, .. } | Phase::Joining { until } | Phase::Syncing { until } => Some(until),
        };
        let members = self.members.values().filter_map(Member::deadline);
        let consumer = self.consumer.as_ref().and_then(|c| c.next_deadline());
        phase.into_iter().chain(members).chain(self.pending.values().copied()).chain(consumer).min()
    }

    pub(super) fn on_time(&mut self, out: &mut Out) {
        let now = out.now.monotonic;
        let pending = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        if self.pending.len() < pending {
            self.try_complete_join(out);
        }
        let silent: Vec<_> =
            self.members.values().filter(|m| m.deadline().is_some_and(|at| at <= now)).map(|m| m.id.clone()).collect();
        for member in silent {
            tracing::info!(group = %self.id, member, "session over: member removed");
            self.remove_member(out, &member);
        }
        match self.phase {
            Phase::InitialDelay { until, at_most, arrived } if until <= now => {
                let longer = (now + out.settings.initial_rebalance_delay).min(at_most);
                if arrived && longer > now {
                    self.phase = Phase::InitialDelay { until: longer, at_most, arrived: false };
                } else {
                    self.complete_join(out);
                }
            }
            Phase::Joining { until } if until <= now => self.complete_join(out),
            Phase::Syncing { until } if until <= now => self.drop_unsynced(out),
            _ => {}
        }
    }

    // ── storing ──

    /// The group as it is stored.
    pub(super) fn stored(&self) -> StoredGroup {
        let protocol = self.protocol.clone();
        let member = |m: &Member| StoredMember {
            member: m.id.clone(),
            instance: m.instance.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            rebalance_timeout: m.rebalance_timeout,
            session_timeout: m.session_timeout,
            metadata: protocol.as_deref().map(|p| m.metadata(p)).unwrap_or_default(),
            assignment: m.assignment.clone(),
        };
        StoredGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms,
            members: self.members_in_order().into_iter().map(member).collect(),
        }
    }

    pub(super) fn record(&mut self) -> (Bytes, Option<Bytes>) {
        self.stored = true;
        (records::group_key(&self.id), Some(records::group_value(&self.stored())))
    }

    /// Takes the place of what was known of the group.
    pub(super) fn restore(&mut self, stored: StoredGroup) {
        // Lines of the consumer protocol that came before are of a group that is over.
        self.consumer = None;
        self.stored = true;
        self.generation = stored.generation;
        self.protocol_type = (!stored.protocol_type.is_empty()).then_some(stored.protocol_type);
        self.state_since_ms = stored.state_since_ms;
        self.leader = stored.leader;
        self.instances.clear();
        self.members.clear();
        for (order, member) in stored.members.into_iter().enumerate() {
            if let Some(instance) = &member.instance {
                self.instances.insert(instance.clone(), member.member.clone());
            }
            let protocols = stored.protocol.iter().map(|p| (p.clone(), member.metadata.clone())).collect();
            self.members.insert(
                member.member.clone(),
                Member {
                    id: member.member,
                    instance: member.instance,
                    client_id: member.client_id,
                    client_host: member.client_host,
                    session_timeout: member.session_timeout,
                    rebalance_timeout: member.rebalance_timeout,
                    protocols,
                    assignment: member.assignment,
                    order: order as u64,
                    synced: true,
                    ..Member::default()
                },
            );
        }
        self.next_order = self.members.len() as u64;
        self.state = if self.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.protocol = if self.members.is_empty() { None } else { stored.protocol };
    }

    /// Nothing is left but what groups of both protocols have.
    pub(super) fn forget_classic(&mut self) {
        self.state = GroupState::Empty;
        self.phase = Phase::Nothing;
        (self.protocol_type, self.protocol, self.leader) = (None, None, None);
        self.members.clear();
        self.instances.clear();
        self.pending.clear();
        self.stored = false;
    }

    /// After a replay: time starts anew.
    pub(super) fn resume(&mut self, out: &Out, topics: &TopicsSeen) {
        if let Some(consumer) = &mut self.consumer {
            consumer.resume(out, topics, &self.id);
        }
        for member in self.members.values_mut() {
            member.renew(out.now.monotonic);
        }
    }

    #[cfg(test)]
    pub(super) fn snapshot(&self) -> Vec<(Bytes, Bytes)> {
        let mut records = self.consumer.as_ref().map(|c| c.snapshot(&self.id)).unwrap_or_default();
        if self.stored {
            records.push((records::group_key(&self.id), records::group_value(&self.stored())));
        }
        for ((topic, partition), entry) in &self.offsets {
            if let Some(offset) = entry.pending.as_ref().map(|(_, o)| o).or(entry.durable.as_ref()) {
                records.push((records::offset_key(&self.id, topic, *partition), records::offset_value(offset)));
            }
        }
        records
    }

    // ── what others see ──

    pub(super) fn summary(&self) -> GroupSummary {
        if let Some(consumer) = &self.consumer {
            return GroupSummary {
                group: self.id.clone(),
                state: AnyGroupState::Consumer(consumer.state()),
                protocol_type: "consumer".to_owned(),
                members: consumer.members.len(),
            };
        }
        GroupSummary {
            group: self.id.clone(),
            state: AnyGroupState::Classic(self.state),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: self.members.len(),
        }
    }

    pub(super) fn describe(&self) -> GroupDescription {
        let protocol = self.protocol.clone().filter(|_| self.state == GroupState::Stable);
        let member = |m: &Member| MemberDescription {
            member: m.id.clone(),
            instance: m.instance.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            metadata: protocol.as_deref().map(|p| m.metadata(p)).unwrap_or_default(),
            assignment: if protocol.is_some() { m.assignment.clone() } else { Bytes::new() },
        };
        GroupDescription {
            group: self.id.clone(),
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            members: self.members_in_order().into_iter().map(member).collect(),
            protocol: protocol.unwrap_or_default(),
        }
    }

    pub(super) fn committed_offsets(&self) -> Offsets {
        let durable =
            |(key, entry): (&(Arc<str>, PartitionId), &OffsetEntry)| Some((key.clone(), entry.durable.clone()?));
        self.offsets.iter().filter_map(durable).collect()
    }

    pub(super) fn committed_offset(&self, topic: &str, partition: PartitionId) -> Option<&CommittedOffset> {
        self.offsets.get(&(Arc::from(topic), partition))?.durable.as_ref()
    }

    /// Its members are consumers: they share the partitions of topics.
    pub(super) fn is_of_consumers(&self) -> bool {
        self.consumer.is_some() || self.protocol_type.as_deref() == Some("consumer")
    }

    /// Topics the members read, if they said so in a way we understand, in the generation that began last.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<Arc<str>>> {
        if let Some(consumer) = &self.consumer {
            return Some(consumer.subscribed_topics());
        }
        if !self.is_of_consumers() {
            return None;
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(records::subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }
}
