//! What every part of the lake shares.

use std::sync::Arc;

use catalog::Catalog;
use commitlog::{Log, Topic};
use dashmap::DashMap;
use model::{Error, Result, TopicName, USERS_TOPIC, error::codes};
#[cfg(test)]
use parking_lot::Mutex;
use schemas::SchemaSource;
use tables::Tables;
use tokio::sync::Semaphore;
use world::World;

use super::{LakeParts, declarations::Declarations, names::Names};
use crate::{
    LakeSettings, TopicTable,
    registry::RegistryStore,
    topic::{TailBudget, TopicState},
    writer::commit::Step,
};

/// [`LakeParts`] and what grows from them.
pub(crate) struct Parts {
    pub log: Arc<dyn Log>,
    pub tables: Tables,
    pub catalog: Catalog,
    pub registry: Arc<RegistryStore>,
    pub world: World,
    pub settings: LakeSettings,
    pub declarations: Arc<Declarations>,
    pub names: Arc<Names>,
    pub budget: Arc<TailBudget>,
    /// Commits under way at the same time.
    pub commits: Semaphore,
    topics: DashMap<TopicName, Arc<TopicState>>,
    /// Tests stop commits at any step.
    #[cfg(test)]
    planted: Mutex<Option<Step>>,
}

impl Parts {
    pub(crate) fn new(parts: LakeParts, declarations: Declarations) -> Self {
        let LakeParts { log, tables, catalog, registry, world, settings } = parts;
        let declarations = Arc::new(declarations);
        let names = Arc::new(Names::new(tables.clone(), declarations.clone()));
        log.share_names(names.clone());
        Self {
            log,
            tables,
            catalog,
            registry,
            world,
            declarations,
            names,
            budget: TailBudget::new(settings.tail_bytes_max),
            commits: Semaphore::new(settings.commits_max.max(1)),
            topics: DashMap::new(),
            #[cfg(test)]
            planted: Mutex::new(None),
            settings,
        }
    }

    pub(crate) fn schemas(&self) -> Arc<dyn SchemaSource> {
        self.registry.clone()
    }

    /// The state of a topic, by name; `None` if there is no such topic (any more).
    pub(crate) fn state(&self, topic: &str) -> Option<Arc<TopicState>> {
        // Nobody is shown salted passwords.
        match self.log.topic(topic).filter(|topic| topic.name.as_str() != USERS_TOPIC) {
            Some(topic) => Some(self.state_of(&topic)),
            None => {
                self.topics.remove(topic);
                None
            }
        }
    }

    /// The state of this very topic: a namesake of before, or one with fewer partitions, makes room.
    pub(crate) fn state_of(&self, topic: &Arc<Topic>) -> Arc<TopicState> {
        let is_same = |state: &TopicState| {
            state.topic.id == topic.id && state.topic.partitions == topic.partitions && !state.is_gone()
        };
        if let Some(state) = self.topics.get(&topic.name)
            && is_same(&state)
        {
            return state.clone();
        }
        let mut slot = self
            .topics
            .entry(topic.name.clone())
            .or_insert_with(|| Arc::new(TopicState::new(topic.clone(), &self.budget)));
        if !is_same(&slot) {
            *slot = Arc::new(TopicState::new(topic.clone(), &self.budget));
        }
        slot.clone()
    }

    /// The state of the topic that `table` was made of, if it still is that topic.
    pub(crate) fn state_behind(&self, table: &TopicTable) -> Result<Arc<TopicState>> {
        let state = self.state(&table.topic).filter(|state| state.topic.id == table.topic_id);
        state.ok_or_else(|| no_topic(&table.topic).detail("it was deleted meanwhile"))
    }

    pub(crate) fn forget(&self, state: &Arc<TopicState>) {
        self.topics.remove_if(&state.topic.name, |_, known| Arc::ptr_eq(known, state));
    }

    pub(crate) fn states(&self) -> Vec<Arc<TopicState>> {
        self.topics.iter().map(|state| state.clone()).collect()
    }

    /// Drops decoded records that are in the tables.
    pub(crate) fn trim_committed(&self) {
        for state in &self.topics {
            for partition in &state.partitions {
                partition.tail(|tail| tail.core.trim(tail.mark));
            }
        }
    }

    /// A commit got here.
    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, reason = "fails in tests")]
    pub(crate) fn reached(&self, _step: Step) -> Result<()> {
        Ok(())
    }

    /// A commit got here: the planted failure, if it was planted here.
    #[cfg(test)]
    pub(crate) fn reached(&self, step: Step) -> Result<()> {
        let mut planted = self.planted.lock();
        match *planted == Some(step) {
            false => Ok(()),
            true => {
                *planted = None;
                Err(Error::internal(format!("stopped at {step:?} by a test")))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn plant(&self, step: Step) {
        *self.planted.lock() = Some(step);
    }
}

pub(crate) fn no_topic(topic: &TopicName) -> Error {
    Error::new(codes::TOPIC_NOT_FOUND, format!("there is no topic `{topic}`"))
}
