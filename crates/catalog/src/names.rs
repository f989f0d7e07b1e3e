//! Everything's name, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{Error, NamespaceName, Result, error::codes};
use sqlx::SqliteConnection;

use crate::{EntryKind, store};

/// The names of all zones and of what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub namespaces: BTreeMap<NamespaceName, NamespaceNames>,
}

/// The names in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceNames {
    pub tables: BTreeSet<Arc<str>>,
    pub entries: BTreeMap<EntryKind, BTreeSet<Arc<str>>>,
}

impl Names {
    pub fn namespace(&self, namespace: &str) -> Option<&NamespaceNames> {
        self.namespaces.get(namespace)
    }

    pub(crate) async fn read(connection: &mut SqliteConnection) -> Result<Self> {
        let mut names = Self::default();
        for namespace in store::namespaces(&mut *connection).await? {
            names.namespaces.entry(namespace.into()).or_default();
        }
        for (namespace, table) in store::all_tables(&mut *connection).await? {
            names.namespaces.entry(namespace.into()).or_default().tables.insert(table.into());
        }
        for (kind, namespace, name) in store::all_entries(&mut *connection).await? {
            let entries = &mut names.namespaces.entry(namespace.into()).or_default().entries;
            entries.entry(kind).or_default().insert(name.into());
        }
        Ok(names)
    }
}

impl NamespaceNames {
    pub fn has_table(&self, name: &str) -> bool {
        self.tables.contains(name)
    }

    pub fn has_entry(&self, kind: EntryKind, name: &str) -> bool {
        self.entries.get(&kind).is_some_and(|names| names.contains(name))
    }

    /// Names of the entries of a kind.
    pub fn entries(&self, kind: EntryKind) -> impl Iterator<Item = &Arc<str>> {
        self.entries.get(&kind).into_iter().flatten()
    }
}

/// Longest name: it must still fit a file name with a suffix.
const LENGTH_MAX: usize = 249;

pub(crate) fn check(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > LENGTH_MAX {
        "it is longer than 249 bytes"
    } else if name == "." || name == ".." {
        "`.` and `..` are not names"
    } else if name.chars().any(|c| c == '/' || c == '\\' || c.is_control()) {
        "it contains `/`, `\\` or a control character"
    } else {
        return Ok(());
    };
    Err(Error::new(codes::NAME_INVALID, format!("`{}` cannot be a name", name.escape_debug())).detail(why))
}
