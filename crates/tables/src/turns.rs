//! Taking turns: statements that change rows of one table lose no race twice for nothing.
//!
//! A change of rows (UPDATE, DELETE) holds only if nothing was added to the table since it looked; so of many at once one
//! wins, and the others look again. At first nobody waits for anybody. Who lost runs alone among those that change rows,
//! and who lost again also holds back those that add rows, so that everybody comes through however many there are.
//! Compaction changes no row but moves all of them: it commits only while nobody is at a change, and else leaves it.
//!
//! | | `changes` | `appends` |
//! |---|---|---|
//! | change, first try | shared | |
//! | change, second try | alone | |
//! | change, further tries | alone | alone |
//! | commit of added rows | | shared |
//! | compaction | alone, or not at all | |
//!
//! This holds within one process. Other processes are met at the commit, as ever.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use model::TableName;
use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::Tables;

/// Tables somebody has or waits for a turn of.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<TableName, Weak<Gates>>>);

/// Both are fair: who waits longest is next.
#[derive(Default)]
struct Gates {
    changes: Arc<RwLock<()>>,
    appends: Arc<RwLock<()>>,
}

/// A turn, until it is dropped.
#[must_use = "the turn is over when this is dropped"]
pub struct Turn {
    _changes: Option<Gate>,
    _appends: Option<Gate>,
    /// As long as somebody has it, others find the same.
    _gates: Arc<Gates>,
}

#[expect(dead_code, reason = "guards are held, not read")]
enum Gate {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Turns {
    fn of(&self, name: &TableName) -> Arc<Gates> {
        let mut known = self.0.lock();
        if let Some(gates) = known.get(name).and_then(Weak::upgrade) {
            return gates;
        }
        known.retain(|_, gates| gates.strong_count() > 0);
        let gates = Arc::new(Gates::default());
        known.insert(name.clone(), Arc::downgrade(&gates));
        gates
    }
}

impl Tables {
    /// For a change of rows, from before it looks at the table until it is committed. `lost` counts the tries that failed
    /// because others were quicker.
    pub async fn turn_to_change(&self, name: &TableName, lost: u32) -> Turn {
        let gates = self.turns().of(name);
        let changes = match lost {
            0 => Gate::Shared(gates.changes.clone().read_owned().await),
            _ => Gate::Alone(gates.changes.clone().write_owned().await),
        };
        let appends = match lost {
            0 | 1 => None,
            _ => Some(Gate::Alone(gates.appends.clone().write_owned().await)),
        };
        Turn { _changes: Some(changes), _appends: appends, _gates: gates }
    }

    /// For the commit of added rows, not for the writing of their files.
    pub async fn turn_to_append(&self, name: &TableName) -> Turn {
        let gates = self.turns().of(name);
        let appends = Gate::Shared(gates.appends.clone().read_owned().await);
        Turn { _changes: None, _appends: Some(appends), _gates: gates }
    }

    /// For files that take the place of others. `None` if rows are being changed for longer than `patience`.
    pub(crate) async fn turn_to_rewrite(&self, name: &TableName, patience: Duration) -> Option<Turn> {
        let gates = self.turns().of(name);
        let alone = tokio::time::timeout(patience, gates.changes.clone().write_owned()).await.ok()?;
        Some(Turn { _changes: Some(Gate::Alone(alone)), _appends: None, _gates: gates })
    }
}
