//! What must hold of the group, compared with what its members were told and what they read.

use std::collections::BTreeMap;

use commitlog::{
    Log as _,
    groups::{ConsumerGroupDescription, ConsumerGroupState, GroupDescription, Partitions},
};

use super::{Client, GROUP, classic::Stage};
use crate::{
    invariants::{Held, Invariant, broken},
    run::Run,
};

/// The group as its coordinator shows it.
enum View {
    Consumer(ConsumerGroupDescription),
    Classic(GroupDescription),
    /// There is none.
    Nothing,
}

impl View {
    fn epoch_of(&self, name: &str) -> Option<i32> {
        match self {
            Self::Consumer(group) => group.members.iter().find(|it| it.member == name).map(|it| it.epoch),
            Self::Classic(group) => group.members.iter().any(|it| it.member == name).then_some(group.generation),
            Self::Nothing => None,
        }
    }

    /// What the client reads is its own: the group knows it, and has not heard that it knows better.
    fn stands_by(&self, client: &Client) -> bool {
        match self.epoch_of(&client.name) {
            Some(epoch) if client.is_classic => epoch == client.epoch,
            // The answer that told it a newer one may be on its way.
            Some(epoch) => epoch >= client.epoch && client.epoch > 0,
            None => false,
        }
    }
}

impl Run<'_> {
    fn view(&self) -> View {
        let groups = &self.node().groups;
        let consumer = groups.describe_consumer(GROUP).map(View::Consumer);
        consumer.or_else(|| groups.describe(GROUP).map(View::Classic)).unwrap_or(View::Nothing)
    }

    /// GRP-4, of what one member has taken up.
    pub(super) fn is_alone(&self, of: usize) -> Held {
        let clients = &self.consumers.clients;
        let one = &clients[of];
        let overlaps = |other: &Client| other.life != one.life && !other.owned.is_disjoint(&one.owned);
        if !clients.iter().any(overlaps) {
            return Ok(());
        }
        let (view, now) = (self.view(), self.monotonic());
        let stands = |client: &Client| view.stands_by(client) || now < client.safe_until;
        let Some(other) = clients.iter().find(|other| overlaps(other) && stands(other) && stands(one)) else {
            return Ok(());
        };
        let both: Partitions = one.owned.intersection(&other.owned).copied().collect();
        broken(Invariant::Grp4, format!("`{}` and `{}` both read {}", one.name, other.name, self.shown(&both)))
    }

    /// After a restart, and whenever somebody looks.
    pub(in crate::run) fn check_consumers(&self) -> Held {
        let known = &self.consumers;
        for of in 0..known.clients.len() {
            self.is_alone(of)?;
        }
        let (view, now) = (self.view(), self.monotonic());
        let (group, members): (i32, Vec<_>) = match &view {
            View::Consumer(group) => {
                (group.epoch, group.members.iter().map(|it| (it.member.as_str(), it.epoch)).collect())
            }
            View::Classic(group) => {
                (group.generation, group.members.iter().map(|it| (it.member.as_str(), group.generation)).collect())
            }
            View::Nothing => (0, Vec::new()),
        };
        for (name, epoch) in members {
            if known.gone.contains(name) && epoch > 0 {
                return broken(Invariant::Grp5, format!("`{name}`, which has left or was replaced, is back"));
            }
            let told = known.told.get(name).copied().unwrap_or(0);
            // Whoever left for a while, or was told nothing since it had to begin anew, has no epoch.
            if epoch > 0 && epoch < told || group < told {
                return broken(
                    Invariant::Grp5,
                    format!("`{name}` was told epoch {told}, and is in {epoch} of {group}"),
                );
            }
        }
        for client in known.clients.iter().filter(|client| now < client.safe_until) {
            if !view.stands_by(client) {
                let found = view.epoch_of(&client.name);
                return broken(
                    Invariant::Grp7,
                    format!("`{}`, in epoch {}, spoke in time, and is {found:?}", client.name, client.epoch),
                );
            }
        }
        Ok(())
    }

    /// GRP-6, once nothing happens any more. Says what is not so, or not yet.
    pub(super) fn is_shared_out(&self) -> Result<(), String> {
        let known = &self.consumers;
        let View::Consumer(group) = self.view() else {
            return Err("the group is none of the consumer protocol, and one of its members speaks it".to_owned());
        };
        if group.state != ConsumerGroupState::Stable || group.assignment_epoch != group.epoch {
            return Err(format!("the group is {:?}", group.state));
        }
        if group.members.len() != known.clients.len() {
            return Err(format!("the group has {} members, {} are alive", group.members.len(), known.clients.len()));
        }
        let mut read: BTreeMap<_, &Client> = BTreeMap::new();
        for client in &known.clients {
            let Some(member) = group.members.iter().find(|member| member.member == client.name) else {
                return Err(format!("`{}` is not in the group", client.name));
            };
            let knows = if client.is_classic {
                matches!(client.stage, Stage::Works)
            } else {
                !client.is_unheard && client.said.as_ref() == Some(&client.owned)
            };
            if !knows
                || client.said_wish != Some(client.wish)
                || client.is_busy
                || member.epoch != client.epoch
                || member.epoch != group.epoch
            {
                return Err(format!("`{}` is in epoch {} of {}", client.name, client.epoch, group.epoch));
            }
            if member.assigned != member.target || member.assigned != client.owned {
                return Err(format!(
                    "`{}` shall have {}, may have {}, and has {}",
                    client.name,
                    self.shown(&member.target),
                    self.shown(&member.assigned),
                    self.shown(&client.owned)
                ));
            }
            for place in &client.owned {
                if let Some(other) = read.insert(*place, client) {
                    return Err(format!("`{}` and `{}` both read {place:?}", client.name, other.name));
                }
            }
        }
        for topic in self.node().log.topics() {
            let wants = |client: &Client| client.wish.all.contains(&topic.name.as_str());
            if !known.clients.iter().any(wants) {
                continue;
            }
            for partition in 0..topic.partitions {
                match read.get(&(topic.id, partition)) {
                    None => return Err(format!("nobody reads {}-{partition}", topic.name)),
                    Some(reader) if !wants(reader) => {
                        return Err(format!("`{}` reads {}-{partition}, and did not ask", reader.name, topic.name));
                    }
                    Some(_) => {}
                }
            }
        }
        let topics = self.topic_names();
        match read.keys().find(|(topic, _)| !topics.contains_key(topic)) {
            Some(place) => Err(format!("{place:?} is read, and is not there")),
            None => Ok(()),
        }
    }
}
