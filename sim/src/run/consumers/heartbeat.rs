//! What members of the consumer protocol say, and what they make of what they are told.

use std::{sync::Arc, time::Duration};

use commitlog::groups::{ConsumerHeartbeat, ConsumerHeartbeatAnswer, GroupError};

use super::{Client, GROUP};
use crate::{
    clients::Told,
    invariants::{Held, Invariant, broken},
    node::SESSION_TIMEOUT,
    run::Run,
};

const LEAVES: i32 = -1;
const LEAVES_FOR_A_WHILE: i32 = -2;

impl Client {
    fn request(&mut self) -> ConsumerHeartbeat {
        let is_full = self.is_full || self.epoch == 0;
        let owned = Some(self.owned.clone()).filter(|owned| is_full || self.said.as_ref() != Some(owned));
        if owned.is_some() {
            self.is_unheard = true;
            self.said.clone_from(&owned);
        }
        let says_wish = is_full || self.said_wish != Some(self.wish);
        self.said_wish = Some(self.wish);
        ConsumerHeartbeat {
            group: GROUP.to_owned(),
            member: self.name.clone(),
            epoch: self.epoch,
            instance: self.instance.clone(),
            rebalance_timeout: is_full.then_some(self.rebalance_timeout),
            topics: says_wish.then(|| self.wish.names.iter().map(|name| Arc::from(*name)).collect()),
            regex: says_wish.then(|| self.wish.regex.to_owned()),
            assignor: self.assignor.filter(|_| is_full).map(str::to_owned),
            owned,
            ..ConsumerHeartbeat::default()
        }
    }
}

impl Run<'_> {
    pub(super) fn beat_as_consumer(&mut self, of: usize) {
        let client = &mut self.consumers.clients[of];
        if client.is_busy {
            return;
        }
        client.is_busy = true;
        let (life, request) = (client.life, client.request());
        if request.epoch == 0 {
            self.consumers.asks_in(&request.member);
        }
        let (sent, groups) = (self.monotonic(), self.node().groups.clone());
        let says = request.owned.as_ref().map(|owned| format!(", has {}", self.shown(owned)));
        self.story.tell(format!(
            "consumer {of}, `{}`, is alive in epoch {}{}",
            request.member,
            request.epoch,
            says.unwrap_or_default()
        ));
        self.ask(async move { Told::Alive { of, life, sent, answer: groups.consumer_heartbeat(request).await } });
    }

    /// It gives up what it may not read any more, and takes up what it may.
    pub(super) fn obey(&mut self, of: usize, only_gives_up: bool) -> Held {
        let client = &mut self.consumers.clients[of];
        let Some(told) = client.told.as_ref().filter(|told| !client.is_unheard && **told != client.owned) else {
            return Ok(());
        };
        if only_gives_up {
            client.owned = client.owned.intersection(told).copied().collect();
        } else {
            client.owned.clone_from(told);
        }
        let line = format!("consumer {of} now has {}", self.shown(&self.consumers.clients[of].owned));
        self.story.tell(line);
        self.is_alone(of)
    }

    pub(super) fn leave_as_consumer(&mut self, of: usize) {
        let client = &self.consumers.clients[of];
        if client.epoch == 0 {
            return;
        }
        let for_a_while = client.instance.is_some() && self.chance.permille(700);
        let epoch = if for_a_while { LEAVES_FOR_A_WHILE } else { LEAVES };
        let (name, instance) = (client.name.clone(), client.instance.clone());
        self.story.tell(format!("consumer {of}, `{name}`, leaves: {epoch}"));
        self.consumers.begin_life(of, &mut self.chance);
        self.consumers.clients[of].asleep_until = self.story.step + self.chance.below(50);
        let groups = self.node().groups.clone();
        self.ask(async move {
            let group = GROUP.to_owned();
            let request =
                ConsumerHeartbeat { group, member: name.clone(), epoch, instance, ..ConsumerHeartbeat::default() };
            Told::LeftAsConsumer { name, result: groups.consumer_heartbeat(request).await.map(drop) }
        });
    }

    pub(in crate::run) fn told_alive(
        &mut self,
        of: usize,
        life: u32,
        sent: Duration,
        answer: Result<ConsumerHeartbeatAnswer, GroupError>,
        is_lost: bool,
    ) -> Held {
        let client = &self.consumers.clients[of];
        if client.life != life {
            return Ok(());
        }
        let line = match &answer {
            Ok(answer) => {
                let told = answer.assignment.as_ref().map(|told| format!(", may have {}", self.shown(told)));
                format!("epoch {}{}", answer.epoch, told.unwrap_or_default())
            }
            Err(error) => format!("{error:?}"),
        };
        self.story.tell(format!("consumer {of} was told: {line}{}", if is_lost { " (lost)" } else { "" }));
        let now = self.monotonic();
        let known = &mut self.consumers;
        let client = &mut known.clients[of];
        client.is_busy = false;
        if is_lost {
            client.is_full = true;
            return Ok(());
        }
        match answer {
            Ok(answer) => {
                if answer.epoch > client.epoch && client.epoch > 0 {
                    known.remember(of);
                }
                let client = &mut known.clients[of];
                let name = client.name.clone();
                client.epoch = answer.epoch;
                (client.is_full, client.is_unheard) = (false, false);
                if answer.assignment.is_some() {
                    // Clients say what they hold after each assignment, also when it is what they said before.
                    client.said = None;
                }
                client.told = answer.assignment.or(client.told.take());
                if client.told.as_ref().is_some_and(|told| client.owned.is_subset(told)) {
                    client.safe_until = sent + SESSION_TIMEOUT.min(client.rebalance_timeout);
                }
                known.told_in(of, &name, answer.epoch)
            }
            Err(GroupError::NotAvailable) => {
                client.is_full = true;
                Ok(())
            }
            // Its place is not free yet.
            Err(GroupError::UnreleasedInstanceId) if client.epoch == 0 => Ok(()),
            Err(error) if now < client.safe_until => {
                broken(Invariant::Grp7, format!("`{}`, who spoke in time, was told {error:?}", client.name))
            }
            Err(
                GroupError::FencedMemberEpoch
                | GroupError::UnknownMember
                | GroupError::GroupIdNotFound
                | GroupError::FencedInstanceId,
            ) if client.epoch > 0 => {
                known.remember(of);
                if matches!(answer, Err(GroupError::UnknownMember | GroupError::GroupIdNotFound)) {
                    let name = known.clients[of].name.clone();
                    known.told_out(name);
                }
                known.clients[of].start_over();
                Ok(())
            }
            Err(error) => broken(
                Invariant::Grp7,
                format!("`{}`, who does all as it should, was told {error:?} in epoch {}", client.name, client.epoch),
            ),
        }
    }
}
