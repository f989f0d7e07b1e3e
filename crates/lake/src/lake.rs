//! The façade.

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::Catalog;
use commitlog::Log;
use model::{Result, TableName};
use tables::Tables;
use world::World;

use crate::{
    LakeSettings, StreamDeclaration, TailFilter, TopicPin, TopicStatus, TopicTable, registry::RegistryStore,
};

/// What a lake is made of.
pub struct LakeParts {
    pub log: Arc<dyn Log>,
    pub tables: Tables,
    pub catalog: Catalog,
    pub registry: Arc<RegistryStore>,
    pub world: World,
    pub settings: LakeSettings,
}

/// All topics of a node as tables.
pub struct Lake {
    parts: LakeParts,
}

impl Lake {
    /// Cheap: reads nothing yet.
    pub async fn open(parts: LakeParts) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { parts }))
    }

    /// What topic `topic` looks like as a table, by its columns of this moment; `None` if there is no such topic.
    pub async fn topic_table(&self, _topic: &str) -> Result<Option<Arc<TopicTable>>> {
        let _ = &self.parts;
        unimplemented!()
    }

    /// The stream declared as `name`, or the topic that is called so if `name` is in `public`.
    pub async fn lookup(&self, _name: &TableName) -> Result<Option<Arc<TopicTable>>> {
        unimplemented!()
    }

    /// One state of a topic, up to the high watermarks of this moment. Fails rather than leave a gap.
    pub async fn pin(&self, _topic: &Arc<TopicTable>) -> Result<TopicPin> {
        unimplemented!()
    }

    /// The records of `pin` that are not in its table, decoded, with the schema of `pin.topic`: batches are shared with the
    /// cache, nothing is copied that was decoded before.
    pub async fn tail(&self, _pin: &TopicPin, _filter: &TailFilter) -> Result<Vec<RecordBatch>> {
        unimplemented!()
    }

    /// Declares columns for a topic (which must exist) and keeps them in the catalog.
    pub async fn declare(&self, _declaration: StreamDeclaration, _or_replace: bool) -> Result<()> {
        unimplemented!()
    }

    /// Forgets a declaration; the topic, its records and its table stay. False if there was none.
    pub async fn undeclare(&self, _name: &TableName) -> Result<bool> {
        unimplemented!()
    }

    /// The declaration called `name`.
    pub async fn declaration(&self, _name: &TableName) -> Result<Option<Arc<StreamDeclaration>>> {
        unimplemented!()
    }

    /// All declarations, by name.
    pub async fn declarations(&self) -> Result<Vec<Arc<StreamDeclaration>>> {
        unimplemented!()
    }

    /// Role `lake`: follows all topics and commits their records to their tables until the node stops. Once per log.
    pub async fn start_writer(self: &Arc<Self>) -> Result<()> {
        unimplemented!()
    }

    /// Commits what is in the log of `topic` at this moment, and returns once it is in the table.
    pub async fn flush(&self, _topic: &str) -> Result<()> {
        unimplemented!()
    }

    /// What is being done, topic by topic.
    pub fn status(&self) -> Vec<TopicStatus> {
        unimplemented!()
    }
}
