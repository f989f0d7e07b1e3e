//! Members of a classic group: they join, learn their assignment, commit, leave, or are never heard of again and come back after
//! somebody else has their place.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use commitlog::groups::{GroupError, JoinAnswer, JoinRequest, Leaver, MemberRef, SyncAnswer, SyncRequest};

use super::Run;
use crate::{
    clients::Told,
    invariants::{Held, Invariant, broken},
};

/// Their group, and how many there are at most.
pub(super) const GROUP: &str = "m";
const MEMBERS: usize = 3;
/// Times that are over before the longest of a run's waits.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(5);

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// The life it is in: answers to an earlier one reach nobody.
    pub(super) life: u32,
    name: String,
    stage: Stage,
    pub(super) is_busy: bool,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Out,
    /// Of this generation, and has to learn its assignment. A leader knows all members.
    Joined(i32, Vec<String>),
    /// Has its assignment.
    Works(i32),
}

/// What members of the group have come to know, all together.
#[derive(Default)]
pub(super) struct Known {
    pub(super) members: Vec<Member>,
    /// Who led each generation, as far as this life of the node has told.
    leaders: BTreeMap<i32, String>,
    /// The last generation of which an assignment was told: it is on disk.
    assigned: i32,
    /// Who once was a member: name and generation.
    ghosts: Vec<(String, i32)>,
    /// Those of this life of the node who were told that they have left.
    left: Vec<String>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { members: vec![Member::default(); MEMBERS], ..Self::default() }
    }

    /// The node stopped: generations that were not assigned may be given again, and whoever has left may be there.
    pub(super) fn stopped(&mut self) {
        self.leaders.clear();
        self.left.clear();
        for member in &mut self.members {
            member.is_busy = false;
        }
    }

    /// The newest generation that was told.
    fn generation(&self) -> i32 {
        self.leaders.keys().next_back().copied().unwrap_or(0).max(self.assigned)
    }

    /// Whether nothing may be taken from it any more.
    pub(super) fn is_over(&self, name: &str, generation: i32) -> bool {
        generation < self.generation() || self.left.iter().any(|left| left == name)
    }
}

impl Run<'_> {
    /// The next thing that a member does.
    pub(super) fn go_on_as_member(&mut self) {
        let of = self.chance.below(MEMBERS);
        if self.chance.permille(60) {
            return self.die(of);
        }
        let member = &self.group.members[of];
        if member.is_busy {
            return;
        }
        match member.stage.clone() {
            Stage::Out => self.join_group(of),
            Stage::Joined(generation, members) => self.sync_group(of, generation, &members),
            Stage::Works(generation) => match self.chance.weighted(&[60, 10, 30]) {
                0 => self.beat(of, generation),
                1 => self.leave_group(of),
                _ => self.join_group(of),
            },
        }
    }

    /// It is not heard of again; its place is taken by another, who knows nothing of it.
    fn die(&mut self, of: usize) {
        let member = &mut self.group.members[of];
        let life = member.life + 1;
        let was = std::mem::replace(member, Member { life, ..Member::default() });
        if let Stage::Works(generation) = was.stage {
            self.group.ghosts.push((was.name.clone(), generation));
        }
        self.story.tell(format!("member {of}, `{}`, dies", was.name));
    }

    /// Who commits next: somebody who works, or did.
    pub(super) fn some_member(&mut self) -> Option<MemberRef> {
        let working = self.group.members.iter().filter_map(|member| match member.stage {
            Stage::Works(generation) => Some((member.name.clone(), generation)),
            _ => None,
        });
        let all: Vec<_> = working.chain(self.group.ghosts.iter().rev().take(2).cloned()).collect();
        if all.is_empty() {
            return None;
        }
        let (member, generation) = self.chance.one_of(&all).clone();
        Some(MemberRef { group: GROUP.to_owned(), member, generation, ..MemberRef::default() })
    }

    fn join_group(&mut self, of: usize) {
        let member = &mut self.group.members[of];
        member.is_busy = true;
        let (life, name) = (member.life, member.name.clone());
        let request = JoinRequest {
            group: GROUP.to_owned(),
            member: name.clone(),
            client_id: format!("member-{of}"),
            session_timeout: SESSION_TIMEOUT,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"t0"))],
            knows_member_id_first: true,
            ..JoinRequest::default()
        };
        let (groups, before) = (self.node().groups.clone(), self.group.assigned);
        self.story.tell(format!("member {of}, `{name}`, joins"));
        self.ask(async move { Told::JoinedGroup { of, life, before, answer: groups.join(request).await } });
    }

    fn sync_group(&mut self, of: usize, generation: i32, members: &[String]) {
        let member = &mut self.group.members[of];
        member.is_busy = true;
        let (life, name) = (member.life, member.name.clone());
        let assignment = |to: &String| (to.clone(), Bytes::from(assignment(generation, &name, to)));
        let assignments: Vec<_> = members.iter().map(assignment).collect();
        let who = MemberRef { group: GROUP.to_owned(), member: name, generation, ..MemberRef::default() };
        let request = SyncRequest { who, assignments, ..SyncRequest::default() };
        let groups = self.node().groups.clone();
        self.ask(async move { Told::SyncedGroup { of, life, generation, answer: groups.sync(request).await } });
    }

    fn beat(&mut self, of: usize, generation: i32) {
        let member = &mut self.group.members[of];
        member.is_busy = true;
        let (life, name) = (member.life, member.name.clone());
        let is_over = self.group.is_over(&name, generation);
        let who = MemberRef { group: GROUP.to_owned(), member: name, generation, ..MemberRef::default() };
        let groups = self.node().groups.clone();
        self.ask(async move { Told::Beaten { of, life, is_over, result: groups.heartbeat(who).await } });
    }

    fn leave_group(&mut self, of: usize) {
        let member = &mut self.group.members[of];
        member.is_busy = true;
        let (life, name) = (member.life, member.name.clone());
        let groups = self.node().groups.clone();
        self.story.tell(format!("member {of}, `{name}`, leaves"));
        self.ask(async move {
            let leaver = Leaver { member: name.clone(), ..Leaver::default() };
            let result = groups.leave(GROUP, vec![leaver]).await.into_iter().collect::<Result<(), _>>();
            Told::LeftGroup { of, life, name, result }
        });
    }

    /// `before`: the last generation that had been assigned when it asked.
    pub(super) fn joined_group(&mut self, of: usize, life: u32, before: i32, answer: JoinAnswer) -> Held {
        let JoinAnswer { error, generation, leader, member: name, members, .. } = answer;
        self.story.tell(format!("member {of}, `{name}`, joined: {error:?}, generation {generation} of `{leader}`"));
        if error.is_none() {
            // GRP-3, whether or not anybody is there to hear it.
            if generation < before {
                return broken(Invariant::Grp3, format!("generation {generation} begins after {before}"));
            }
            // A generation in which nobody was assigned anything goes with its group, when all have gone before.
            let known = &mut self.group;
            known.leaders.retain(|other, _| *other <= generation);
            let before = known.leaders.insert(generation, leader.clone());
            if generation <= known.assigned
                && let Some(before) = before.filter(|before| *before != leader)
            {
                return broken(Invariant::Grp3, format!("generation {generation} is led by `{before}` and `{leader}`"));
            }
        }
        let member = &mut self.group.members[of];
        if member.life != life {
            return Ok(());
        }
        member.is_busy = false;
        match error {
            None => {
                let members =
                    if leader == name { members.into_iter().map(|it| it.member).collect() } else { Vec::new() };
                (member.name, member.stage) = (name, Stage::Joined(generation, members));
            }
            Some(GroupError::MemberIdRequired) => member.name = name,
            Some(_) => (member.name, member.stage) = Default::default(),
        }
        Ok(())
    }

    pub(super) fn synced_group(&mut self, of: usize, life: u32, generation: i32, answer: SyncAnswer) -> Held {
        let told = String::from_utf8_lossy(&answer.assignment).into_owned();
        self.story.tell(format!("member {of} synced generation {generation}: {:?}, `{told}`", answer.error));
        let known = &mut self.group;
        if answer.error.is_none() {
            known.assigned = known.assigned.max(generation);
        }
        let member = &mut known.members[of];
        if member.life != life {
            return Ok(());
        }
        member.is_busy = false;
        if answer.error.is_some() {
            member.stage = Stage::Out;
            return Ok(());
        }
        let expected = known.leaders.get(&generation).map(|leader| assignment(generation, leader, &member.name));
        member.stage = Stage::Works(generation);
        match expected {
            Some(expected) if expected != told => {
                broken(Invariant::Grp3, format!("`{}` was assigned `{told}`, not `{expected}`", member.name))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn beaten(&mut self, of: usize, life: u32, is_over: bool, result: Result<(), GroupError>) -> Held {
        let member = &mut self.group.members[of];
        if member.life != life {
            return Ok(());
        }
        member.is_busy = false;
        match result {
            Ok(()) if is_over => {
                broken(Invariant::Grp2, format!("`{}`, whose generation is over, is said to live", member.name))
            }
            Ok(()) | Err(GroupError::NotAvailable) => Ok(()),
            Err(GroupError::UnknownMember) => {
                (member.name, member.stage) = Default::default();
                Ok(())
            }
            Err(_) => {
                member.stage = Stage::Out;
                Ok(())
            }
        }
    }

    pub(super) fn left_group(&mut self, of: usize, life: u32, name: String, result: Result<(), GroupError>) {
        self.story.tell(format!("member {of}, `{name}`, left: {result:?}"));
        let known = &mut self.group;
        if result.is_ok() {
            known.left.push(name.clone());
        }
        let member = &mut known.members[of];
        if member.life == life {
            if let Stage::Works(generation) = member.stage {
                known.ghosts.push((name, generation));
            }
            *member = Member { life, ..Member::default() };
        }
    }
}

/// What `leader` gives `member`: enough to tell whose it is.
fn assignment(generation: i32, leader: &str, member: &str) -> String {
    format!("{generation} {leader} {member}")
}
