//! Members of one group that speak the consumer protocol (KIP-848), and some that speak the classic one: the group changes over
//! and back while they are at work.
//!
//! They do what the Java and C clients do: say what they hold when that has changed, give up before they take up, take up nothing
//! between saying what they hold and hearing of it, and say everything when they do not know what was heard. Some are paused, and
//! go on with what they had; some die; those with an instance id leave for a while and come back, in either protocol.
//!
//! [`heartbeat`] is what they say in the consumer protocol, [`classic`] in the classic one, [`laws`] what must hold.

mod classic;
mod heartbeat;
mod laws;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use commitlog::{
    Log as _,
    groups::{ConsumerHeartbeat, GroupError, MemberRef, Partitions},
};

pub use self::classic::Heard as HeardOfClassic;
use self::classic::Stage;
use super::Run;
use crate::{
    chance::Chance,
    clients::Told,
    invariants::{Held, Invariant, broken},
};

/// Their group.
pub(super) const GROUP: &str = "c";
/// The first of them have instance ids.
const STATIC: usize = 2;
const GHOSTS_MAX: usize = 8;
/// Rounds in which everybody gets where it shall be, when nothing stands in the way.
const ROUNDS_MAX: usize = 80;

/// What a member subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    names: &'static [&'static str],
    regex: &'static str,
    /// All topics that these are, should there be such.
    all: &'static [&'static str],
}

const WISHES: [Wish; 6] = [
    Wish { names: &["t0"], regex: "", all: &["t0"] },
    Wish { names: &["t0", "t1"], regex: "", all: &["t0", "t1"] },
    Wish { names: &["t1", "t2"], regex: "", all: &["t1", "t2"] },
    Wish { names: &["t0", "t1", "t2", "t3"], regex: "", all: &["t0", "t1", "t2", "t3"] },
    Wish { names: &[], regex: "t[02]", all: &["t0", "t2"] },
    Wish { names: &["t1"], regex: "t[0-3]", all: &["t0", "t1", "t2", "t3"] },
];

/// A member as it sees itself.
pub(super) struct Client {
    /// The life it is in: answers to an earlier one reach nobody.
    life: u32,
    is_classic: bool,
    instance: Option<String>,
    /// Names of its earlier lives, until this one has taken their place.
    former: Vec<String>,
    name: String,
    /// What it was told last, or its generation; 0: it is not in.
    epoch: i32,
    /// What it reads.
    owned: Partitions,
    /// What it may read, as it was told last.
    told: Option<Partitions>,
    wish: Wish,
    assignor: Option<&'static str>,
    rebalance_timeout: Duration,
    said: Option<Partitions>,
    said_wish: Option<Wish>,
    /// Says everything: it joins, or does not know what was heard.
    is_full: bool,
    /// It said what it holds, and has not heard since.
    is_unheard: bool,
    is_busy: bool,
    /// The step until which it does nothing.
    asleep_until: usize,
    /// Until then it is a member, whatever comes: it spoke in time, and has nothing to give up.
    safe_until: Duration,
    stage: Stage,
}

impl Client {
    fn new(life: u32, instance: Option<String>, former: Vec<String>) -> Self {
        Self {
            life,
            is_classic: false,
            instance,
            former,
            name: String::new(),
            epoch: 0,
            owned: Partitions::new(),
            told: None,
            wish: WISHES[1],
            assignor: None,
            rebalance_timeout: Duration::from_secs(5),
            said: None,
            said_wish: None,
            is_full: true,
            is_unheard: false,
            is_busy: false,
            asleep_until: 0,
            safe_until: Duration::ZERO,
            stage: Stage::Out,
        }
    }

    /// It is no member any more, and knows.
    fn start_over(&mut self) {
        (self.epoch, self.told, self.said) = (0, None, None);
        (self.is_full, self.is_unheard) = (true, false);
        self.safe_until = Duration::ZERO;
        self.owned.clear();
        self.stage = Stage::Out;
    }
}

/// Somebody who is not heard of again, or what was said long ago.
#[derive(Clone)]
struct Ghost {
    name: String,
    instance: Option<String>,
    epoch: i32,
    is_classic: bool,
}

/// What members of the group have come to know, all together.
pub(super) struct Known {
    /// Of a thousand steps so many are theirs.
    liveliness: u64,
    /// Of a thousand lives so many speak the classic protocol.
    classic: u64,
    /// Members of the classic protocol keep what they have while they join.
    is_cooperative: bool,
    clients: Vec<Client>,
    lives: u32,
    /// The newest epoch of each member that was told: it is on disk.
    told: BTreeMap<String, i32>,
    /// Who was told to have left, or was replaced by one who was told to be in: that is on disk too.
    gone: BTreeSet<String>,
    /// Who was told to be no member, by this life of the node.
    unknown: BTreeSet<String>,
    ghosts: Vec<Ghost>,
}

impl Known {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let count = 2 + chance.below(4);
        let statics = chance.below(STATIC + 1);
        let client = |of| Client::new(0, (of < statics).then(|| format!("i{of}")), Vec::new());
        let mut known = Self {
            liveliness: *chance.one_of(&[0, 100, 300, 500]),
            classic: *chance.one_of(&[0, 250, 600]),
            is_cooperative: chance.permille(500),
            clients: (0..count).map(client).collect(),
            lives: 0,
            told: BTreeMap::new(),
            gone: BTreeSet::new(),
            unknown: BTreeSet::new(),
            ghosts: Vec::new(),
        };
        for of in 0..count {
            known.begin_life(of, chance);
        }
        known
    }

    /// Another process takes the place of one that has gone, and knows nothing of it.
    fn begin_life(&mut self, of: usize, chance: &mut Chance) {
        self.lives += 1;
        let before = &mut self.clients[of];
        let mut former = std::mem::take(&mut before.former);
        if before.instance.is_some() && !before.name.is_empty() {
            former.push(before.name.clone());
        }
        let mut client = Client::new(self.lives, before.instance.clone(), former);
        client.is_classic = chance.permille(self.classic);
        if !client.is_classic {
            client.name = format!("k{of}-{}", self.lives);
        }
        client.wish = *chance.one_of(&WISHES);
        client.assignor = *chance.one_of(&[None, Some("uniform"), Some("range")]);
        client.rebalance_timeout = Duration::from_secs(*chance.one_of(&[4, 20]));
        self.remember(of);
        self.clients[of] = client;
    }

    /// What it says now may be said again, by nobody who is to be heard.
    fn remember(&mut self, of: usize) {
        let Client { name, instance, epoch, is_classic, .. } = &self.clients[of];
        if *epoch > 0 {
            let ghost =
                Ghost { name: name.clone(), instance: instance.clone(), epoch: *epoch, is_classic: *is_classic };
            self.ghosts.push(ghost);
            if self.ghosts.len() > GHOSTS_MAX {
                self.ghosts.remove(0);
            }
        }
    }

    /// The node stopped: what was asked is not answered, and who was removed may be back.
    pub(super) fn stopped(&mut self) {
        self.unknown.clear();
        for client in &mut self.clients {
            client.is_full |= client.is_busy;
            client.is_busy = false;
            if !matches!(client.stage, Stage::Works) {
                client.stage = Stage::Out;
            }
        }
    }

    /// Whether nothing may be taken from it any more.
    fn is_over(&self, name: &str, epoch: i32) -> bool {
        let is_late = self.told.get(name).is_some_and(|told| epoch < *told);
        is_late || self.gone.contains(name) || self.unknown.contains(name)
    }

    /// It was told to be no member. A group without members and offsets goes, so that the next of its name begins anew.
    fn told_out(&mut self, name: String) {
        self.told.remove(&name);
        self.unknown.insert(name);
    }

    /// It asks to be in. If the group has begun anew its epochs have, too, and what was said under this id in an earlier life may be
    /// of the same epoch: nobody can tell, Kafka cannot either.
    fn asks_in(&mut self, name: &str) {
        self.unknown.remove(name);
    }

    /// It was told to be in, in this epoch, which is on disk.
    fn told_in(&mut self, of: usize, name: &str, epoch: i32) -> Held {
        let before = self.told.insert(name.to_owned(), epoch).unwrap_or(0);
        let former = std::mem::take(&mut self.clients[of].former);
        self.gone.extend(former);
        self.unknown.remove(name);
        if epoch < before {
            return broken(Invariant::Grp5, format!("`{name}` was told epoch {before}, and now {epoch}"));
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Now and then one of them does something.
    pub(super) fn go_on_as_consumer(&mut self) -> Held {
        if !self.chance.permille(self.consumers.liveliness) {
            return Ok(());
        }
        let of = self.chance.below(self.consumers.clients.len());
        if self.consumers.clients[of].asleep_until > self.story.step {
            return Ok(());
        }
        match self.chance.weighted(&[20, 25, 15, 45, 900]) {
            0 => {
                self.story.tell(format!("consumer {of}, `{}`, dies", self.consumers.clients[of].name));
                self.consumers.begin_life(of, &mut self.chance);
            }
            1 => {
                let steps = 1 + self.chance.below(60);
                self.story.tell(format!("consumer {of} is paused for {steps} steps"));
                self.consumers.clients[of].asleep_until = self.story.step + steps;
            }
            2 => {
                let client = &mut self.consumers.clients[of];
                client.wish = *self.chance.one_of(&WISHES);
                self.story.tell(format!("consumer {of} wants {:?}", client.wish));
            }
            3 => self.speak_as_ghost(),
            _ if self.consumers.clients[of].is_classic => self.go_on_as_classic(of),
            _ if self.chance.permille(60) && !self.consumers.clients[of].is_busy => self.leave_as_consumer(of),
            _ if self.chance.permille(350) => {
                let only_gives_up = self.chance.permille(300);
                return self.obey(of, only_gives_up);
            }
            _ => self.beat_as_consumer(of),
        }
        Ok(())
    }

    /// Who commits next: somebody who is in, or was; and whether nothing may be taken from it.
    pub(super) fn some_consumer(&mut self) -> Option<(MemberRef, bool)> {
        let known = &self.consumers;
        let is_in = |client: &&Client| client.epoch > 0;
        let member = |name: &String, instance: &Option<String>, epoch| MemberRef {
            group: GROUP.to_owned(),
            member: name.clone(),
            instance: instance.clone(),
            generation: epoch,
        };
        let living = known.clients.iter().filter(is_in).map(|it| member(&it.name, &it.instance, it.epoch));
        let ghosts = known.ghosts.iter().rev().take(3).map(|it| member(&it.name, &it.instance, it.epoch));
        let all: Vec<_> = living.chain(ghosts).collect();
        if all.is_empty() {
            return None;
        }
        let who = self.chance.one_of(&all).clone();
        let is_over = self.consumers.is_over(&who.member, who.generation);
        Some((who, is_over))
    }

    /// A heartbeat that was long on its way, or comes from somebody who should not speak any more.
    fn speak_as_ghost(&mut self) {
        let known = &self.consumers;
        let over = known.ghosts.iter().filter(|ghost| known.is_over(&ghost.name, ghost.epoch)).cloned();
        let over: Vec<_> = over.collect();
        if over.is_empty() {
            return;
        }
        let Ghost { name, instance, epoch, is_classic } = self.chance.one_of(&over).clone();
        self.story.tell(format!("a heartbeat of `{name}` in epoch {epoch} arrives"));
        let groups = self.node().groups.clone();
        self.ask(async move {
            let group = GROUP.to_owned();
            let result = if is_classic {
                groups.heartbeat(MemberRef { group, member: name.clone(), instance, generation: epoch }).await
            } else {
                let request =
                    ConsumerHeartbeat { group, member: name.clone(), epoch, instance, ..ConsumerHeartbeat::default() };
                groups.consumer_heartbeat(request).await.map(drop)
            };
            Told::GhostBeaten { name, epoch, result }
        });
    }

    pub(super) fn ghost_beaten(&mut self, name: &str, epoch: i32, result: Result<(), GroupError>) -> Held {
        self.story.tell(format!("the ghost of `{name}` heard {result:?}"));
        match result {
            Ok(()) => broken(Invariant::Grp2, format!("`{name}`, whose epoch {epoch} is over, is said to live")),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn left_as_consumer(&mut self, name: String, result: Result<(), GroupError>) {
        self.story.tell(format!("`{name}` left: {result:?}"));
        if result.is_ok() {
            self.consumers.gone.insert(name);
        }
    }

    /// Everybody gets where it shall be, and is there.
    pub(super) fn settle_consumers(&mut self) -> Held {
        if self.consumers.liveliness == 0 {
            return Ok(());
        }
        if self.consumers.clients.iter().all(|client| client.is_classic) {
            self.consumers.classic = 0;
            self.consumers.begin_life(0, &mut self.chance);
        }
        let mut why = String::new();
        for _ in 0..ROUNDS_MAX {
            self.story.step += 1;
            for of in 0..self.consumers.clients.len() {
                self.consumers.clients[of].asleep_until = 0;
                if self.consumers.clients[of].is_classic {
                    self.take_part_as_classic(of);
                } else {
                    self.obey(of, false)?;
                    self.beat_as_consumer(of);
                }
            }
            for _ in 0..4 {
                self.work(2)?;
                self.go_on(4)?;
                if !self.consumers.clients.iter().any(|client| client.is_busy) {
                    break;
                }
            }
            match self.is_shared_out() {
                Ok(()) => return Ok(()),
                Err(not_yet) => why = not_yet,
            }
            let clock = self.parts.clock.clone();
            self.node().advance(&clock, Duration::from_millis(1500));
        }
        broken(Invariant::Grp6, why)
    }

    /// Topics by id.
    fn topic_names(&self) -> BTreeMap<model::TopicId, String> {
        self.node().log.topics().iter().map(|topic| (topic.id, topic.name.to_string())).collect()
    }

    fn monotonic(&self) -> Duration {
        world::Clock::monotonic(&*self.parts.clock)
    }

    /// As the story shows them.
    fn shown(&self, partitions: &Partitions) -> String {
        let names = self.topic_names();
        let mut text = String::new();
        for (topic, partition) in partitions {
            let name = names.get(topic).map_or("?", String::as_str);
            let _a_string_takes_all = write!(text, " {name}-{partition}");
        }
        if text.is_empty() { "nothing".to_owned() } else { text.trim_start().to_owned() }
    }
}
