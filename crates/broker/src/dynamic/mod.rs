//! Settings that are changed while the broker runs, and last (KIP-226; those of groups KIP-848).
//!
//! ```text
//! topic      key (JSON)                          value (JSON)
//! __configs  {"kind": "broker", "name": "1"}     {"log.retention.ms": "60000"}             this broker
//!            {"kind": "broker", "name": ""}      {"max.connections": "100"}                all brokers
//!            {"kind": "group", "name": "loader"} {"consumer.session.timeout.ms": "50000"}
//! ```
//! [`rows`] says which there are and what they do. This broker's count before those of all, and both before what the node was
//! started with. A change is whole or not there: all of it makes sense, then it is on disk, then it is in force.

pub(crate) mod rows;

use std::{collections::BTreeMap, sync::Arc};

use commitlog::{
    Log,
    groups::{ConsumerTimes, GroupSettings, Groups},
};
use model::{CONFIGS_TOPIC, Error, Result};
use parking_lot::RwLock;
use security::store::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as Lock, MutexGuard};
use world::World;

use self::rows::{DOOR, GROUP_ROWS, GROUPS, OF_TOPICS, Reason};
use crate::BrokerSettings;

/// Most groups with settings of their own.
const HOLDERS_MAX: usize = 10_000;

/// Who has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Holder {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Broker,
    Group,
}

impl Holder {
    pub(crate) fn this_broker() -> Self {
        Self { kind: Kind::Broker, name: crate::NODE_ID.to_string() }
    }

    pub(crate) fn all_brokers() -> Self {
        Self { kind: Kind::Broker, name: String::new() }
    }

    pub(crate) fn group(name: &str) -> Self {
        Self { kind: Kind::Group, name: name.to_owned() }
    }
}

/// The right to change settings, topics' too. Whoever reads them, makes others of them and writes those needs it all the while:
/// else the change of somebody faster is lost.
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held, not looked at")] MutexGuard<'a, ()>);

/// Settings by name.
pub(crate) type Values = BTreeMap<String, String>;

/// Why nothing was changed.
pub(crate) enum Refused {
    /// A setting does not exist, may not be changed here, or cannot have the value.
    Setting(Reason),
    TooMany,
    /// The log refuses it, or cannot write it.
    Log(Error),
}

/// What was changed, and what is in force because of it.
pub(crate) struct Dynamic {
    held: RwLock<BTreeMap<Holder, Values>>,
    door: RwLock<Arc<BrokerSettings>>,
    /// As the node was started.
    door_given: BrokerSettings,
    groups_given: GroupSettings,
    /// Changes take turns, and what they begin with is read in the same one.
    turn: Lock<()>,
    store: Store,
    log: Arc<dyn Log>,
    groups: Arc<Groups>,
}

/// Everything that settings say together.
struct InForce {
    door: BrokerSettings,
    groups: GroupSettings,
    topics: Values,
}

impl Dynamic {
    /// Replays what was changed, and puts it in force.
    pub(crate) async fn open(
        log: Arc<dyn Log>,
        groups: Arc<Groups>,
        world: World,
        given: &BrokerSettings,
    ) -> Result<Self> {
        let (store, held) = Store::open::<Holder, Values>(log.clone(), world, CONFIGS_TOPIC).await?;
        let dynamic = Self {
            held: RwLock::default(),
            door: RwLock::new(Arc::new(given.clone())),
            door_given: given.clone(),
            groups_given: (*groups.settings()).clone(),
            turn: Lock::new(()),
            store,
            log,
            groups,
        };
        // What an older or newer version kept must not keep the door shut.
        let mut sound = BTreeMap::new();
        for (holder, mut values) in held {
            values.retain(|name, value| {
                let only = BTreeMap::from([(holder.clone(), Values::from([(name.clone(), value.clone())]))]);
                let in_force = dynamic.in_force(&only);
                in_force
                    .inspect_err(|why| tracing::warn!(name, value, why, "a setting that was kept is left out"))
                    .is_ok()
            });
            sound.insert(holder, values);
        }
        match dynamic.in_force(&sound) {
            Ok(in_force) => match dynamic.put(in_force).await {
                Ok(()) => *dynamic.held.write() = sound,
                Err(error) => tracing::warn!(%error, "settings that were kept are left out"),
            },
            Err(why) => tracing::warn!(why, "settings that were kept are left out"),
        }
        Ok(dynamic)
    }

    /// The door's settings as they are now.
    pub(crate) fn door(&self) -> Arc<BrokerSettings> {
        self.door.read().clone()
    }

    pub(crate) fn door_given(&self) -> &BrokerSettings {
        &self.door_given
    }

    pub(crate) fn groups_given(&self) -> &GroupSettings {
        &self.groups_given
    }

    /// What was changed for `holder`.
    pub(crate) fn of(&self, holder: &Holder) -> Values {
        self.held.read().get(holder).cloned().unwrap_or_default()
    }

    /// What was changed of one setting of `holder`.
    pub(crate) fn said(&self, holder: &Holder, name: &str) -> Option<String> {
        self.held.read().get(holder)?.get(name).cloned()
    }

    /// Groups with settings of their own.
    pub(crate) fn groups(&self) -> Vec<String> {
        let held = self.held.read();
        held.keys().filter(|holder| holder.kind == Kind::Group).map(|holder| holder.name.clone()).collect()
    }

    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn(self.turn.lock().await)
    }

    /// Replaces what was changed for `holder`; durable and in force on return, all or nothing.
    pub(crate) async fn set(
        &self,
        _in_turn: &Turn<'_>,
        holder: Holder,
        values: Values,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let mut held = self.held.read().clone();
        if values.is_empty() {
            held.remove(&holder);
        } else {
            held.insert(holder.clone(), values.clone());
        }
        if held.len() > HOLDERS_MAX {
            return Err(Refused::TooMany);
        }
        let in_force = self.in_force(&held).map_err(Refused::Setting)?;
        self.log.set_topic_defaults(in_force.topics.clone(), true).await.map_err(Refused::Log)?;
        if validate_only {
            return Ok(());
        }
        let value = (!values.is_empty()).then_some(values);
        self.store.write(&[(holder, value)]).await.map_err(Refused::Log)?;
        self.put(in_force).await.map_err(Refused::Log)?;
        *self.held.write() = held;
        Ok(())
    }

    async fn put(&self, in_force: InForce) -> Result<()> {
        self.log.set_topic_defaults(in_force.topics, false).await?;
        self.groups.reconfigure(in_force.groups);
        *self.door.write() = Arc::new(in_force.door);
        Ok(())
    }

    fn in_force(&self, held: &BTreeMap<Holder, Values>) -> Result<InForce, Reason> {
        let mut door = self.door_given.clone();
        let mut groups = self.groups_given.clone();
        let mut topics = Values::new();
        for holder in [Holder::all_brokers(), Holder::this_broker()] {
            for (name, value) in held.get(&holder).into_iter().flatten() {
                if let Some(row) = DOOR.iter().find(|row| row.name == name) {
                    row.set(&mut door, value)?;
                } else if let Some(row) = GROUPS.iter().find(|row| row.name == name) {
                    row.set(&mut groups, value)?;
                } else if let Some((_, of_topic)) = OF_TOPICS.iter().find(|(broker, _)| broker == name) {
                    topics.insert((*of_topic).to_owned(), value.clone());
                } else {
                    return Err(rows::not_offered(name));
                }
            }
        }
        let mut of_groups = BTreeMap::new();
        for (holder, values) in held.iter().filter(|(holder, _)| holder.kind == Kind::Group) {
            let mut times = ConsumerTimes::default();
            for (name, value) in values {
                let row = GROUP_ROWS.iter().find(|row| row.name == name);
                row.ok_or_else(|| rows::not_of_groups(name))?.set(&mut times, value)?;
            }
            of_groups.insert(holder.name.clone(), times);
        }
        groups.of_groups = Arc::new(of_groups);
        if groups.session_timeout_min > groups.session_timeout_max {
            return Err("`group.min.session.timeout.ms` cannot be above `group.max.session.timeout.ms`".to_owned());
        }
        door.check().map_err(|error| error.to_string())?;
        Ok(InForce { door, groups, topics })
    }
}
