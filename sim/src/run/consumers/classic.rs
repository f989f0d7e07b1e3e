//! What members of the classic protocol say in the same group (KIP-848, "Online migration"), alone among themselves or with
//! members of the consumer protocol.
//!
//! Eager ones give up everything before they join; cooperative ones keep what they have, learn what to give up, and join again
//! when they have. Whoever leads shares out, as long as the group is a classic one.

use std::{collections::BTreeMap, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use commitlog::{
    Log as _,
    groups::{
        GroupError, JoinAnswer, JoinRequest, JoinedMember, Leaver, MemberRef, Partitions, SyncAnswer, SyncRequest,
        records::embedded,
    },
};
use model::{PartitionId, TopicId};

use super::{Client, GROUP};
use crate::{
    clients::Told,
    invariants::{Held, Invariant, broken},
    run::Run,
};

const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
pub(super) enum Stage {
    #[default]
    Out,
    /// Of this generation, and has to learn its assignment. A leader knows all members.
    Joined(i32, Vec<JoinedMember>),
    /// Has its assignment.
    Works,
}

/// What one of them was told.
pub enum Heard {
    Joined(JoinAnswer),
    Synced { generation: i32, topics: Topics, answer: SyncAnswer },
    Beaten { is_over: bool, result: Result<(), GroupError> },
}

/// Id and number of partitions of each topic, by name.
type Topics = BTreeMap<String, (TopicId, i32)>;

impl Run<'_> {
    /// Now and then it does something else than to go on.
    pub(super) fn go_on_as_classic(&mut self, of: usize) {
        let client = &self.consumers.clients[of];
        if !client.is_busy && matches!(client.stage, Stage::Works) {
            match self.chance.weighted(&[10, 10, 80]) {
                0 => return self.leave_as_classic(of),
                1 => return self.join_as_classic(of),
                _ => {}
            }
        }
        self.take_part_as_classic(of);
    }

    /// The next step on its way to its assignment, and then a heartbeat.
    pub(super) fn take_part_as_classic(&mut self, of: usize) {
        let client = &self.consumers.clients[of];
        if client.is_busy {
            return;
        }
        match client.stage.clone() {
            Stage::Out => self.join_as_classic(of),
            Stage::Joined(generation, members) => self.sync_as_classic(of, generation, &members),
            Stage::Works if client.said_wish != Some(client.wish) => self.join_as_classic(of),
            Stage::Works => self.beat_as_classic(of),
        }
    }

    fn ask_as_classic(&mut self, of: usize, request: impl Future<Output = Heard> + Send + 'static) {
        let client = &mut self.consumers.clients[of];
        client.is_busy = true;
        let life = client.life;
        self.ask(async move { Told::OfClassic { of, life, heard: request.await } });
    }

    fn join_as_classic(&mut self, of: usize) {
        let (names, is_cooperative) = (self.topic_names(), self.consumers.is_cooperative);
        let client = &mut self.consumers.clients[of];
        client.stage = Stage::Out;
        client.said_wish = Some(client.wish);
        if !is_cooperative {
            client.owned.clear();
        }
        let protocol = if is_cooperative { "cooperative-sticky" } else { "range" };
        let request = JoinRequest {
            group: GROUP.to_owned(),
            member: client.name.clone(),
            instance: client.instance.clone(),
            client_id: format!("x{of}"),
            session_timeout: SESSION_TIMEOUT,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocol_type: "consumer".to_owned(),
            protocols: vec![(protocol.to_owned(), subscription(client, &names))],
            knows_member_id_first: true,
            ..JoinRequest::default()
        };
        // It may have been removed and not know, and then nobody tells it: it is new, maybe in a group that begins anew.
        self.consumers.told.remove(&request.member);
        let has = self.shown(&self.consumers.clients[of].owned);
        self.story.tell(format!("consumer {of}, `{}`, joins, has {has}", request.member));
        let groups = self.node().groups.clone();
        self.ask_as_classic(of, async move { Heard::Joined(groups.join(request).await) });
    }

    fn sync_as_classic(&mut self, of: usize, generation: i32, members: &[JoinedMember]) {
        let (topics, is_cooperative) = (self.topics(), self.consumers.is_cooperative);
        let client = &self.consumers.clients[of];
        let who = MemberRef {
            group: GROUP.to_owned(),
            member: client.name.clone(),
            instance: client.instance.clone(),
            generation,
        };
        let request =
            SyncRequest { who, assignments: share_out(members, &topics, is_cooperative), ..SyncRequest::default() };
        let groups = self.node().groups.clone();
        self.ask_as_classic(
            of,
            async move { Heard::Synced { generation, topics, answer: groups.sync(request).await } },
        );
    }

    fn beat_as_classic(&mut self, of: usize) {
        let client = &self.consumers.clients[of];
        let is_over = self.consumers.is_over(&client.name, client.epoch);
        let who = MemberRef {
            group: GROUP.to_owned(),
            member: client.name.clone(),
            instance: client.instance.clone(),
            generation: client.epoch,
        };
        let groups = self.node().groups.clone();
        self.ask_as_classic(of, async move { Heard::Beaten { is_over, result: groups.heartbeat(who).await } });
    }

    fn leave_as_classic(&mut self, of: usize) {
        let client = &self.consumers.clients[of];
        let (name, instance) = (client.name.clone(), client.instance.clone());
        self.story.tell(format!("consumer {of}, `{name}`, leaves"));
        self.consumers.begin_life(of, &mut self.chance);
        self.consumers.clients[of].asleep_until = self.story.step + self.chance.below(50);
        let groups = self.node().groups.clone();
        self.ask(async move {
            let leaver = Leaver { member: name.clone(), instance };
            let result = groups.leave(GROUP, vec![leaver]).await.into_iter().collect::<Result<(), _>>();
            Told::LeftAsClassic { name, result }
        });
    }

    pub(in crate::run) fn left_as_classic(&mut self, name: String, result: Result<(), GroupError>) {
        self.story.tell(format!("`{name}` left: {result:?}"));
        if result.is_ok() {
            self.consumers.unknown.insert(name);
        }
    }

    pub(in crate::run) fn told_as_classic(&mut self, of: usize, life: u32, heard: Heard, is_lost: bool) -> Held {
        let lost = if is_lost { " (lost)" } else { "" };
        if self.consumers.clients[of].life != life {
            return Ok(());
        }
        self.consumers.clients[of].is_busy = false;
        match heard {
            Heard::Joined(answer) => {
                let JoinAnswer { error, generation, member, leader, .. } = &answer;
                self.story.tell(format!(
                    "consumer {of}, `{member}`, joined: {error:?}, generation {generation} of `{leader}`{lost}"
                ));
                if is_lost { Ok(()) } else { self.joined_as_classic(of, answer) }
            }
            Heard::Synced { generation, topics, answer } => {
                let error = answer.error;
                self.story.tell(format!("consumer {of} synced generation {generation}: {error:?}{lost}"));
                if is_lost { Ok(()) } else { self.synced_as_classic(of, generation, &topics, &answer) }
            }
            Heard::Beaten { is_over, result } => {
                self.story.tell(format!("consumer {of} is alive: {result:?}{lost}"));
                if is_over && result.is_ok() {
                    let name = &self.consumers.clients[of].name;
                    return broken(Invariant::Grp2, format!("`{name}`, whose generation is over, is said to live"));
                }
                match result {
                    Err(error) if !is_lost => self.refused_as_classic(of, error),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    fn joined_as_classic(&mut self, of: usize, answer: JoinAnswer) -> Held {
        let client = &mut self.consumers.clients[of];
        match answer.error {
            None => {
                client.name.clone_from(&answer.member);
                let leads = answer.leader == answer.member;
                client.stage = Stage::Joined(answer.generation, if leads { answer.members } else { Vec::new() });
                // Only the coordinator itself leads nobody: then it is on disk. Generations are when they are assigned.
                if answer.leader.is_empty() {
                    return self.consumers.told_in(of, &answer.member, answer.generation);
                }
            }
            Some(GroupError::MemberIdRequired) => client.name = answer.member,
            Some(error) => self.refused_as_classic(of, error),
        }
        Ok(())
    }

    fn synced_as_classic(&mut self, of: usize, generation: i32, before: &Topics, answer: &SyncAnswer) -> Held {
        if let Some(error) = answer.error {
            self.refused_as_classic(of, error);
            return Ok(());
        }
        let Some(assignment) = embedded::parse_assignment(&answer.assignment) else {
            return broken(Invariant::Grp3, format!("consumer {of} cannot read its assignment"));
        };
        let now = self.topics();
        // Not of a topic that was made anew meanwhile: nobody can say which of the two is meant.
        let is_same = |name: &str| Some(now.get(name)?.0).filter(|id| before.get(name).is_some_and(|(it, _)| it == id));
        let told: Partitions =
            assignment.partitions.iter().filter_map(|(name, partition)| Some((is_same(name)?, *partition))).collect();
        let client = &mut self.consumers.clients[of];
        let gives_up = !client.owned.is_subset(&told);
        // A cooperative one says so at once that it has given up what it had to.
        client.stage = if gives_up { Stage::Out } else { Stage::Works };
        let former = std::mem::replace(&mut client.epoch, generation);
        client.owned.clone_from(&told);
        let name = client.name.clone();
        self.story.tell(format!("consumer {of} now has {}", self.shown(&told)));
        if former > 0 && former < generation {
            self.consumers.clients[of].epoch = former;
            self.consumers.remember(of);
            self.consumers.clients[of].epoch = generation;
        }
        self.consumers.told_in(of, &name, generation)?;
        self.is_alone(of)
    }

    fn refused_as_classic(&mut self, of: usize, error: GroupError) {
        let known = &mut self.consumers;
        let client = &mut known.clients[of];
        match (error, &client.stage) {
            (GroupError::NotAvailable, Stage::Works) => return,
            (GroupError::NotAvailable | GroupError::RebalanceInProgress, _) => {
                client.stage = Stage::Out;
                return;
            }
            _ => {}
        }
        known.remember(of);
        let client = &mut known.clients[of];
        client.start_over();
        if error != GroupError::IllegalGeneration {
            let name = std::mem::take(&mut client.name);
            if client.instance.is_some() && !name.is_empty() {
                client.former.push(name.clone());
            }
            if error == GroupError::UnknownMember {
                known.told_out(name);
            }
        }
    }

    fn topics(&self) -> Topics {
        self.node().log.topics().iter().map(|it| (it.name.to_string(), (it.id, it.partitions))).collect()
    }
}

/// As clients write it: version 1, without user data.
fn subscription(client: &Client, names: &BTreeMap<TopicId, String>) -> Bytes {
    let text = |out: &mut BytesMut, name: &str| {
        out.put_i16(name.len() as i16);
        out.put_slice(name.as_bytes());
    };
    let mut out = BytesMut::new();
    out.put_i16(1);
    out.put_i32(client.wish.all.len() as i32);
    client.wish.all.iter().for_each(|name| text(&mut out, name));
    out.put_i32(-1);
    let owned: Vec<_> = client.owned.iter().filter_map(|(id, partition)| Some((names.get(id)?, *partition))).collect();
    out.put_i32(owned.len() as i32);
    for (name, partition) in owned {
        text(&mut out, name);
        out.put_i32(1);
        out.put_i32(partition);
    }
    out.freeze()
}

/// What the leader gives everybody: each partition to one of those who want it, in turn; of cooperative members nothing that
/// another one still has.
fn share_out(members: &[JoinedMember], topics: &Topics, is_cooperative: bool) -> Vec<(String, Bytes)> {
    let wants: Vec<_> = members.iter().filter_map(|it| embedded::parse_subscription(&it.metadata)).collect();
    let mut shares: Vec<BTreeMap<&str, Vec<PartitionId>>> = vec![BTreeMap::new(); members.len()];
    for (name, (_, partitions)) in topics {
        let readers: Vec<_> = (0..wants.len()).filter(|at| wants[*at].topics.iter().any(|it| **it == **name)).collect();
        for partition in (0..*partitions).filter(|_| !readers.is_empty()) {
            let to = readers[partition as usize % readers.len()];
            let has = |of: usize| wants[of].owned.iter().any(|(topic, it)| **topic == **name && *it == partition);
            if !is_cooperative || !(0..wants.len()).any(|other| other != to && has(other)) {
                shares[to].entry(name).or_default().push(partition);
            }
        }
    }
    let version = |at: usize| wants.get(at).map_or(0, |wants| wants.version);
    let all = members.iter().zip(&shares).enumerate();
    all.map(|(at, (to, share))| (to.member.clone(), embedded::assignment(version(at), share))).collect()
}
