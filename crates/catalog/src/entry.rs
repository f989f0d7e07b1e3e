//! What is declared besides tables.

use std::fmt;

use model::{NamespaceName, TimestampMs};

/// Something declared in a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: EntryKind,
    pub namespace: NamespaceName,
    pub name: String,
    /// Whatever its owner needs; the catalog does not look inside.
    pub definition: serde_json::Value,
    pub updated_ms: TimestampMs,
}

impl Entry {
    pub fn new(kind: EntryKind, namespace: &str, name: &str, definition: serde_json::Value) -> Self {
        Self { kind, namespace: namespace.into(), name: name.to_owned(), definition, updated_ms: 0 }
    }
}

/// What an [`Entry`] declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Columns and format of a topic.
    Stream,
    /// A named query.
    View,
}

impl EntryKind {
    pub const ALL: [Self; 2] = [Self::Stream, Self::View];

    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::View => "view",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
