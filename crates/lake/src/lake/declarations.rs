//! Declared streams: a copy in memory of what the catalog keeps.

use std::{collections::BTreeMap, sync::Arc};

use catalog::{Catalog, Entry, EntryKind};
use model::{Error, Result, TableName, error::codes};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::StreamDeclaration;

pub(crate) struct Declarations {
    by_name: RwLock<BTreeMap<TableName, Arc<StreamDeclaration>>>,
    /// One change at a time.
    pub changing: Mutex<()>,
}

impl Declarations {
    pub(crate) async fn load(catalog: &Catalog) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for entry in catalog.entries(EntryKind::Stream).await? {
            match serde_json::from_value::<StreamDeclaration>(entry.definition) {
                Ok(declaration) => drop(by_name.insert(declaration.name.clone(), Arc::new(declaration))),
                Err(error) => {
                    return Err(Error::new(codes::CATALOG_VERSION, format!("could not read stream `{}`", entry.name))
                        .detail(error.to_string()));
                }
            }
        }
        Ok(Self { by_name: RwLock::new(by_name), changing: Mutex::new(()) })
    }

    /// By name: as written, or else without regard to case.
    pub(crate) fn get(&self, name: &TableName) -> Option<Arc<StreamDeclaration>> {
        let all = self.by_name.read();
        let similar = |known: &&TableName| {
            known.namespace.eq_ignore_ascii_case(&name.namespace) && known.name.eq_ignore_ascii_case(&name.name)
        };
        all.get(name).or_else(|| all.get(all.keys().find(similar)?)).cloned()
    }

    pub(crate) fn get_exact(&self, name: &TableName) -> Option<Arc<StreamDeclaration>> {
        self.by_name.read().get(name).cloned()
    }

    /// The declaration that gives a topic its columns: the first by name, and the others agree with it or show a part.
    pub(crate) fn of_topic(&self, topic: &str) -> Option<Arc<StreamDeclaration>> {
        self.by_name.read().values().find(|d| &*d.topic == topic && !d.is_projection).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<StreamDeclaration>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Whether another name gives the same topic other columns; by its name.
    pub(crate) fn rival(&self, new: &StreamDeclaration) -> Option<TableName> {
        let differs = |old: &StreamDeclaration| {
            (&old.columns, old.key_format, old.value_format, old.wrap_single_value)
                != (&new.columns, new.key_format, new.value_format, new.wrap_single_value)
        };
        let all = self.by_name.read();
        let rival = all
            .values()
            .find(|old| old.topic == new.topic && old.name != new.name && !old.is_projection && differs(old));
        rival.map(|old| old.name.clone())
    }

    pub(crate) async fn put(&self, catalog: &Catalog, declaration: Arc<StreamDeclaration>) -> Result<()> {
        let definition = serde_json::to_value(&*declaration)
            .map_err(|e| Error::internal("could not keep a declaration").detail(e.to_string()))?;
        let name = &declaration.name;
        catalog.put_entry(Entry::new(EntryKind::Stream, &name.namespace, &name.name, definition)).await?;
        self.by_name.write().insert(declaration.name.clone(), declaration);
        Ok(())
    }

    pub(crate) async fn remove(&self, catalog: &Catalog, name: &TableName) -> Result<bool> {
        let found = catalog.drop_entry(EntryKind::Stream, &name.namespace, &name.name).await?;
        self.by_name.write().remove(name);
        Ok(found)
    }
}
