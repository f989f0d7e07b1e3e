//! Topics, streams, tables and views of a zone share their names: whoever comes first has it.
//!
//! Topics are in the log and the others in the catalog, and neither knows of the other. So whoever makes something claims
//! its name, looks, and makes it before the claim ends.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use catalog::EntryKind;
use commitlog::{Log, NameClaim, SharedNames};
use model::{Error, Result, TableName, TopicName, error::codes};
use parking_lot::Mutex;
use tables::{Table, Tables};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::declarations::Declarations;
use crate::columns::resolve::property;

pub(crate) struct Names {
    tables: Tables,
    declarations: Arc<Declarations>,
    /// In lower case: a topic hides what differs from it in case alone.
    claimed: Mutex<HashMap<TableName, Weak<AsyncMutex<()>>>>,
}

impl Names {
    pub(crate) fn new(tables: Tables, declarations: Arc<Declarations>) -> Self {
        Self { tables, declarations, claimed: Mutex::default() }
    }

    /// Waits until nobody else is making or taking away something of this name.
    pub(crate) async fn claim(&self, name: &TableName) -> OwnedMutexGuard<()> {
        let name = TableName::new(&name.namespace.to_lowercase(), &name.name.to_lowercase());
        let lock = {
            let mut claimed = self.claimed.lock();
            match claimed.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    claimed.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(AsyncMutex::new(()));
                    claimed.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    /// The table or view, no topic's own, that has the name or differs from it in case alone.
    pub(crate) async fn taken(&self, name: &TableName) -> Result<Option<String>> {
        let names = self.tables.catalog().names();
        let Some(zone) = names.namespace(&name.namespace) else { return Ok(None) };
        let is_alike = |known: &&Arc<str>| known.eq_ignore_ascii_case(&name.name);
        if let Some(view) = zone.entries(EntryKind::View).find(is_alike) {
            return Ok(Some(format!("`{}.{view}` is a view", name.namespace)));
        }
        // The catalog is asked for the name itself: the table may be another program's.
        let mut tables = vec![name.clone()];
        tables.extend(zone.tables.iter().filter(is_alike).map(|known| TableName::new(&name.namespace, known)));
        for table in tables {
            if self.tables.load(&table).await?.is_some_and(|table| !is_of_topic(&table)) {
                return Ok(Some(format!("`{table}` is a table")));
            }
        }
        Ok(None)
    }

    /// Drops the table that an earlier topic of this name has left, in this log or in one that was here before. Any other
    /// table stays.
    pub(crate) async fn drop_table_of_former(&self, topic: &TopicName) -> Result<()> {
        let name = TableName::public(topic);
        let _claim = self.claim(&name).await;
        let Some(table) = self.tables.load(&name).await? else { return Ok(()) };
        if !is_of_topic(&table) {
            return Err(Error::new(codes::TOPIC_NAME_TAKEN, format!("could not make the table of topic `{topic}`"))
                .detail(format!("`{name}` is a table of its own, and stays"))
                .hint("the records stay in the log: read them into a topic of another name, and delete this one"));
        }
        self.tables.drop(&name, true).await.map(drop)
    }
}

#[async_trait]
impl SharedNames for Names {
    async fn claim(&self, topic: &TopicName) -> Result<NameClaim> {
        let name = TableName::public(topic);
        let claim = self.claim(&name).await;
        // What Lakehead keeps for itself must not depend on what others make.
        if topic.is_protected() {
            return Ok(Box::new(claim));
        }
        let stream = self.declarations.get_exact(&name).filter(|stream| stream.topic != *topic);
        let taken = match stream {
            Some(stream) => Some(format!("`{name}` is a stream over topic `{}`", stream.topic)),
            None => self.taken(&name).await?,
        };
        match taken {
            None => Ok(Box::new(claim)),
            Some(what) => Err(Error::new(codes::TOPIC_NAME_TAKEN, format!("could not make topic `{topic}`"))
                .detail(what)
                .hint("topics, streams, tables and views of a zone share their names: choose another one")),
        }
    }
}

/// Whether the topic that the table was made for was deleted from this very log: the table goes next, and is no longer there for
/// anybody who looks.
pub(crate) fn is_left_behind(log: &dyn Log, table: &Table) -> bool {
    let properties = table.metadata().properties();
    let is_of_this_log = properties.get(property::LOG_ID).is_some_and(|id| id == log.cluster_id());
    let topic = properties.get(property::TOPIC_ID).and_then(|id| id.parse().ok());
    is_of_this_log && topic.is_some_and(|id| log.topic_by_id(id).is_none())
}

/// Whether the lake made it for a topic, of now or of before.
fn is_of_topic(table: &Table) -> bool {
    table.metadata().properties().contains_key(property::TOPIC_ID)
}
