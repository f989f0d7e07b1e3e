//! Which tables changed, for upkeep: it sleeps until something happens.

use std::collections::BTreeSet;

use model::TableName;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Tables;

/// As many names as there are tables, at most.
#[derive(Default)]
pub(crate) struct Changed {
    names: Mutex<BTreeSet<TableName>>,
    bell: Notify,
}

impl Changed {
    pub(crate) fn note(&self, name: &TableName) {
        let mut names = self.names.lock();
        if !names.contains(name) {
            names.insert(name.clone());
        }
        drop(names);
        self.bell.notify_one();
    }

    /// The table is gone; its files are left to the sweeper.
    pub(crate) fn forget(&self, name: &TableName) {
        self.names.lock().remove(name);
        self.bell.notify_one();
    }
}

impl Tables {
    /// Returns once a table was committed to or dropped since the last call. For one waiter: that is upkeep.
    pub async fn changed(&self) {
        self.changes().bell.notified().await;
    }

    /// Whether [`Tables::take_changed`] has something to give.
    pub fn has_changed(&self) -> bool {
        !self.changes().names.lock().is_empty()
    }

    /// Up to `count_max` of the tables that were committed to since they were last taken.
    pub fn take_changed(&self, count_max: usize) -> Vec<TableName> {
        let mut names = self.changes().names.lock();
        std::iter::from_fn(|| names.pop_first()).take(count_max).collect()
    }

    /// As if `name` had been committed to; wakes nobody.
    pub fn look_again_at(&self, name: TableName) {
        self.changes().names.lock().insert(name);
    }
}
