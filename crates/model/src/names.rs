//! Names, checked once where they enter.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    PartitionId,
    error::{Error, codes},
};

/// Where the schema registry keeps its subjects and versions.
pub const SCHEMAS_TOPIC: &str = "_schemas";

/// Where records are kept that could not be processed, with the reason.
pub const EXCEPTIONS_TOPIC: &str = "_exceptions";

/// Where refusals are kept: who was not let in, and what was not allowed.
pub const AUDIT_TOPIC: &str = "_audit";

/// Where users are kept: salted and hashed passwords, which no door hands out.
pub const USERS_TOPIC: &str = "__users";

/// Where the rules are kept that say who may do what.
pub const ACLS_TOPIC: &str = "__acls";

/// Where quotas are kept: how much users, client ids and addresses may use.
pub const QUOTAS_TOPIC: &str = "__quotas";

/// Where settings of brokers and groups are kept that were changed while the node ran.
pub const CONFIGS_TOPIC: &str = "__configs";

/// Where consumer groups keep their records (Kafka's name for it).
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Where transactions keep their records (Kafka's name for it).
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Bookkeeping, by name: what there is, and what Kafka has beyond it and nobody else may come to have.
const BOOKKEEPING: [&str; 8] = [
    OFFSETS_TOPIC,
    TRANSACTIONS_TOPIC,
    USERS_TOPIC,
    ACLS_TOPIC,
    QUOTAS_TOPIC,
    CONFIGS_TOPIC,
    "__cluster_metadata",
    "__share_group_state",
];

/// Made and written by Lakehead alone, and no bookkeeping: their settings are the user's.
const PROTECTED: [&str; 3] = [SCHEMAS_TOPIC, EXCEPTIONS_TOPIC, AUDIT_TOPIC];

/// Names of bookkeeping that later versions may need. Other names with `__` are anybody's: Debezium's topics of heartbeats are.
const BOOKKEEPING_PREFIX: &str = "__lakehead";

/// Name of a topic: 1–249 characters of `[a-zA-Z0-9._-]`, neither `.` nor `..` (Kafka's `Topic.validate`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Longest name allowed, so that `<name>-<partition>` still fits a file name.
    pub const LENGTH_MAX: usize = 249;

    pub fn new(name: &str) -> Result<Self, Error> {
        let why = if name.is_empty() {
            "it is empty"
        } else if name == "." || name == ".." {
            "`.` and `..` are not names"
        } else if name.len() > Self::LENGTH_MAX {
            "it is longer than 249 characters"
        } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            "only letters, digits, `.`, `_` and `-` are allowed"
        } else {
            return Ok(Self(name.into()));
        };
        Err(Error::new(codes::TOPIC_NAME_INVALID, format!("`{}` cannot name a topic", name.escape_debug())).detail(why))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lakehead's and Kafka's own topics start with `_`, as do those that programs make for their upkeep; they are not shown unless
    /// asked for.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }

    /// Bookkeeping of the node, which Kafka's clients are told is internal (`__consumer_offsets`).
    pub fn is_bookkeeping(&self) -> bool {
        Self::names_bookkeeping(&self.0)
    }

    /// [`Self::is_bookkeeping`] of a name that nobody checked.
    pub fn names_bookkeeping(name: &str) -> bool {
        BOOKKEEPING.contains(&name) || name.starts_with(BOOKKEEPING_PREFIX)
    }

    /// Written, made and removed by Lakehead alone.
    pub fn is_protected(&self) -> bool {
        self.is_bookkeeping() || PROTECTED.contains(&&*self.0)
    }

    /// `.` and `_` are the same to metric names; two topics may not differ in that alone (Kafka's `Topic.unifyCollisionChars`).
    pub fn collides_with(&self, other: &Self) -> bool {
        self.is_like(&other.0)
    }

    /// The name that Lakehead keeps for itself with which this one collides, whether or not there is such a topic yet.
    pub fn collides_with_kept(&self) -> Option<&'static str> {
        BOOKKEEPING.into_iter().chain(PROTECTED).find(|kept| self.is_like(kept))
    }

    fn is_like(&self, other: &str) -> bool {
        &*self.0 != other && self.0.replace('.', "_") == other.replace('.', "_")
    }
}

impl TryFrom<String> for TopicName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        Self::new(&name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for TopicName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    pub topic: TopicName,
    pub partition: PartitionId,
}

impl TopicPartition {
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Name of a zone: a SQL schema and an Iceberg namespace at once.
pub type NamespaceName = Arc<str>;

/// A table within its zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    pub namespace: NamespaceName,
    pub name: Arc<str>,
}

impl TableName {
    /// Where topics and unqualified tables live.
    pub const DEFAULT_NAMESPACE: &str = "public";

    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub fn public(name: &str) -> Self {
        Self::new(Self::DEFAULT_NAMESPACE, name)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rules() {
        for good in ["a", "orders", "a.b_c-D9", &"x".repeat(249)] {
            assert_eq!(TopicName::new(good).expect("legal name").as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            let error = TopicName::new(bad).expect_err("illegal name");
            assert_eq!(error.kind().kafka_code(), 17, "{bad}");
        }
    }

    #[test]
    fn what_is_kept_by_lakehead_itself_is_known_by_name() {
        let name = |s| TopicName::new(s).expect("legal name");
        for ours in ["__consumer_offsets", "__lakehead_later", SCHEMAS_TOPIC, EXCEPTIONS_TOPIC] {
            assert!(name(ours).is_protected() && name(ours).is_internal(), "{ours}");
        }
        for theirs in ["orders", "_orders", "a__b", "__orders", "__debezium-heartbeat.shop"] {
            assert!(!name(theirs).is_protected(), "{theirs}");
        }
        assert_eq!(name("__consumer.offsets").collides_with_kept(), Some(OFFSETS_TOPIC));
        assert_eq!(name(OFFSETS_TOPIC).collides_with_kept(), None);
    }

    #[test]
    fn names_collide_when_only_dots_and_underscores_differ() {
        let name = |s| TopicName::new(s).expect("legal name");
        assert!(name("a.b").collides_with(&name("a_b")));
        assert!(!name("a.b").collides_with(&name("a.b")));
        assert!(!name("a.b").collides_with(&name("a-b")));
    }
}
