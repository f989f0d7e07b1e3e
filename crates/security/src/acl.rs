//! Rules: who may do what to which resource from where (KIP-11; prefixed patterns KIP-290).

use serde::{Deserialize, Serialize};

/// Declares an enum whose members have numbers on Kafka's wire and names in records and messages.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($member:ident = $number:literal $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $member = $number),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$member),*];

            /// `None`: a number that means nothing or, in filters, any.
            pub fn from_wire(number: i8) -> Option<Self> {
                match number { $($number => Some(Self::$member),)* _ => None }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$member => $text),* }
            }
        }
    };
}

named! {
    /// `org.apache.kafka.common.resource.ResourceType`
    ResourceType {
        Topic = 2 "TOPIC",
        Group = 3 "GROUP",
        Cluster = 4 "CLUSTER",
        TransactionalId = 5 "TRANSACTIONAL_ID",
        DelegationToken = 6 "DELEGATION_TOKEN",
        User = 7 "USER",
    }
}

named! {
    /// `org.apache.kafka.common.acl.AclOperation`
    Operation {
        All = 2 "ALL",
        Read = 3 "READ",
        Write = 4 "WRITE",
        Create = 5 "CREATE",
        Delete = 6 "DELETE",
        Alter = 7 "ALTER",
        Describe = 8 "DESCRIBE",
        ClusterAction = 9 "CLUSTER_ACTION",
        DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        AlterConfigs = 11 "ALTER_CONFIGS",
        IdempotentWrite = 12 "IDEMPOTENT_WRITE",
        CreateTokens = 13 "CREATE_TOKENS",
        DescribeTokens = 14 "DESCRIBE_TOKENS",
        TwoPhaseCommit = 15 "TWO_PHASE_COMMIT",
    }
}

named! {
    /// `org.apache.kafka.common.acl.AclPermissionType`
    Permission { Deny = 2 "DENY", Allow = 3 "ALLOW" }
}

named! {
    /// How a rule's resource name is meant (`org.apache.kafka.common.resource.PatternType`).
    Pattern { Literal = 3 "LITERAL", Prefixed = 4 "PREFIXED" }
}

/// The only name of a resource of type [`ResourceType::Cluster`].
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// As the literal name of a resource: all of its type. As a host: from anywhere.
pub const WILDCARD: &str = "*";
/// Longest principal, host or resource name.
const TEXT_BYTES_MAX: usize = 1024;

/// A rule. Its fields in this order are its key in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Acl {
    pub resource_type: ResourceType,
    pub resource: String,
    pub pattern: Pattern,
    pub principal: String,
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl Acl {
    /// Why it cannot be a rule, if so (as Kafka's `AclControlManager.validateNewAcl`).
    pub fn check(&self) -> Result<(), &'static str> {
        if self.resource_type == ResourceType::Cluster && self.resource != CLUSTER_NAME {
            return Err("the only name of a cluster resource is kafka-cluster");
        }
        if self.resource.is_empty() {
            return Err("the resource has no name");
        }
        if crate::Principal::parse(&self.principal).is_none() {
            return Err("a principal is a kind and a name with a colon between, as User:alice");
        }
        if self.host.is_empty() {
            return Err("the host is empty; * is from anywhere");
        }
        if [&self.resource, &self.principal, &self.host].iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err("a name is longer than 1024 bytes");
        }
        Ok(())
    }
}

/// How a filter's resource name is compared with those of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternFilter {
    Any,
    /// Rules that would apply to a resource of this name.
    Match,
    Is(Pattern),
}

impl PatternFilter {
    pub fn from_wire(number: i8) -> Option<Self> {
        match number {
            1 => Some(Self::Any),
            2 => Some(Self::Match),
            number => Pattern::from_wire(number).map(Self::Is),
        }
    }
}

/// Which rules are meant; `None` is any.
#[derive(Clone, Debug)]
pub struct AclFilter {
    pub resource_type: Option<ResourceType>,
    pub resource: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

impl AclFilter {
    pub fn matches(&self, acl: &Acl) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.resource_type.as_ref(), &acl.resource_type)
            && self.matches_resource(acl)
            && is(self.principal.as_ref(), &acl.principal)
            && is(self.host.as_ref(), &acl.host)
            && is(self.operation.as_ref(), &acl.operation)
            && is(self.permission.as_ref(), &acl.permission)
    }

    fn matches_resource(&self, acl: &Acl) -> bool {
        match (self.pattern, &self.resource) {
            (PatternFilter::Is(pattern), _) if pattern != acl.pattern => false,
            (_, None) => true,
            (PatternFilter::Match, Some(name)) => match acl.pattern {
                Pattern::Literal => acl.resource == *name || acl.resource == WILDCARD,
                Pattern::Prefixed => name.starts_with(&acl.resource),
            },
            (_, Some(name)) => acl.resource == *name,
        }
    }
}
