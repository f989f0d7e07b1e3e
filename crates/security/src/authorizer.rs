//! The decision: a pure function of the rules, who asks, from where, for what.
//!
//! As Kafka's `StandardAuthorizer`: super users may all; a rule that denies beats every rule that allows; without a rule
//! that allows the answer is no, unless no rule names the resource at all and the settings say that means yes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use crate::{
    Principal,
    acl::{Acl, Operation, Pattern, Permission, ResourceType, WILDCARD},
    exclusive::Writers,
};

/// What somebody wants to use, by its own name (never a pattern).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub kind: ResourceType,
    pub name: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied(Why),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule says so.
    DenyRule,
    /// No rule allows it.
    NoAllowRule,
    /// The topic is for one writer, and this is somebody else.
    OneWriter,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Self::DenyRule => "a rule denies it",
            Self::NoAllowRule => "no rule allows it",
            Self::OneWriter => "the topic has one writer, who is somebody else",
        }
    }
}

impl Decision {
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Whoever no rule is made for.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// `super.users`: may everything.
    pub super_users: BTreeSet<Principal>,
    /// `allow.everyone.if.no.acl.found`
    pub allow_if_no_acl: bool,
}

/// Everything somebody asks for it with.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub principal: &'a Principal,
    pub host: IpAddr,
}

/// Rules, found by the resources they apply to.
#[derive(Clone, Debug, Default)]
pub struct AclSet {
    all: BTreeSet<Acl>,
    kinds: HashMap<ResourceType, Kind>,
    /// Topics that only one may write to.
    writers: Writers,
}

/// The rules for resources of one kind.
#[derive(Clone, Debug, Default)]
struct Kind {
    literal: HashMap<String, Vec<Rule>>,
    prefixed: HashMap<String, Vec<Rule>>,
    /// Lengths of the prefixes in use and how many rules have each: only these are looked up.
    prefix_lengths: BTreeMap<usize, usize>,
}

/// A rule without its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: Operation,
    pub(crate) permission: Permission,
}

impl Rule {
    fn of(acl: &Acl) -> Self {
        Self {
            principal: acl.principal.clone(),
            // Addresses have many spellings; anything else never is one, as in Kafka.
            host: acl.host.parse().map_or_else(|_| acl.host.clone(), |at: IpAddr| at.to_canonical().to_string()),
            operation: acl.operation,
            permission: acl.permission,
        }
    }

    fn is_for(&self, principal: &Principal, host: &str) -> bool {
        (self.principal == principal.as_str() || self.principal == Principal::EVERYBODY)
            && (self.host == host || self.host == WILDCARD)
    }

    /// Allowing implies what the allowed cannot be done without; denying means just what it says.
    fn covers(&self, operation: Operation) -> bool {
        use Operation::*;
        self.operation == All
            || self.operation == operation
            || self.permission == Permission::Allow
                && match operation {
                    Describe => matches!(self.operation, Read | Write | Delete | Alter),
                    DescribeConfigs => self.operation == AlterConfigs,
                    _ => false,
                }
    }
}

impl AclSet {
    pub fn insert(&mut self, acl: Acl) {
        if !self.all.insert(acl.clone()) {
            return;
        }
        let kind = self.kinds.entry(acl.resource_type).or_default();
        let rules = match acl.pattern {
            Pattern::Literal => &mut kind.literal,
            Pattern::Prefixed => {
                *kind.prefix_lengths.entry(acl.resource.len()).or_default() += 1;
                &mut kind.prefixed
            }
        };
        let rule = Rule::of(&acl);
        rules.entry(acl.resource).or_default().push(rule);
    }

    pub fn remove(&mut self, acl: &Acl) {
        if !self.all.remove(acl) {
            return;
        }
        let kind = self.kinds.entry(acl.resource_type).or_default();
        let rules = match acl.pattern {
            Pattern::Literal => &mut kind.literal,
            Pattern::Prefixed => {
                let count = kind.prefix_lengths.entry(acl.resource.len()).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    kind.prefix_lengths.remove(&acl.resource.len());
                }
                &mut kind.prefixed
            }
        };
        if let Some(found) = rules.get_mut(&acl.resource) {
            found.retain(|rule| *rule != Rule::of(acl));
            if found.is_empty() {
                rules.remove(&acl.resource);
            }
        }
    }

    /// Makes somebody the only writer of a topic, or nobody.
    pub fn set_writer(&mut self, topic: &str, writer: Option<Principal>) {
        match writer {
            Some(writer) => drop(self.writers.insert(topic.to_owned(), writer)),
            None => drop(self.writers.remove(topic)),
        }
    }

    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// The only writer of a resource, if it has one.
    fn writer_of(&self, on: Resource<'_>) -> Option<&Principal> {
        self.writers.get(on.name).filter(|_| on.kind == ResourceType::Topic)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Acl> {
        self.all.iter()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn contains(&self, acl: &Acl) -> bool {
        self.all.contains(acl)
    }

    /// All rules for a resource: by its name, by prefixes of it, and by `*`.
    pub(crate) fn rules_for<'a>(&'a self, resource: Resource<'a>) -> impl Iterator<Item = &'a Rule> {
        self.kinds.get(&resource.kind).into_iter().flat_map(move |kind| {
            let names = if resource.name == WILDCARD { &[WILDCARD][..] } else { &[resource.name, WILDCARD] };
            let literal = names.iter().filter_map(|name| kind.literal.get(*name)).collect::<Vec<_>>();
            let lengths = kind.prefix_lengths.keys().take_while(|length| **length <= resource.name.len());
            let prefixes = lengths.filter_map(|length| resource.name.get(..*length));
            literal.into_iter().chain(prefixes.filter_map(|prefix| kind.prefixed.get(prefix))).flatten()
        })
    }

    /// May `who` do `operation` to `resource`?
    pub fn authorize(&self, except: &Exceptions, who: Asker<'_>, operation: Operation, on: Resource<'_>) -> Decision {
        let writer = self.writer_of(on);
        if operation == Operation::Write && writer.is_some_and(|writer| writer != who.principal) {
            return Decision::Denied(Why::OneWriter);
        }
        if except.super_users.contains(who.principal) {
            return Decision::Allowed;
        }
        let host = who.host.to_canonical().to_string();
        let writes = matches!(operation, Operation::Write | Operation::Describe);
        let (mut any, mut allowed) = (writer.is_some(), writes && writer == Some(who.principal));
        for rule in self.rules_for(on) {
            any = true;
            if rule.is_for(who.principal, &host) && rule.covers(operation) {
                match rule.permission {
                    Permission::Deny => return Decision::Denied(Why::DenyRule),
                    Permission::Allow => allowed = true,
                }
            }
        }
        match allowed || (!any && except.allow_if_no_acl) {
            true => Decision::Allowed,
            false => Decision::Denied(Why::NoAllowRule),
        }
    }

    /// May `who` do `operation` to at least one resource of this kind, existing or not (KIP-679)?
    pub fn authorize_any(
        &self,
        except: &Exceptions,
        who: Asker<'_>,
        operation: Operation,
        kind: ResourceType,
    ) -> Decision {
        if except.super_users.contains(who.principal) {
            return Decision::Allowed;
        }
        let host = who.host.to_canonical().to_string();
        let of = |permission| {
            let host = host.clone();
            self.all.iter().filter(move |acl| {
                let rule = Rule::of(acl);
                acl.resource_type == kind
                    && acl.permission == permission
                    && rule.is_for(who.principal, &host)
                    // Here an operation is meant itself, not what it implies (Kafka's `authorizeByResourceType`).
                    && (acl.operation == operation || acl.operation == Operation::All)
            })
        };
        let denied: Vec<&Acl> = of(Permission::Deny).collect();
        let is_denied = |name: &str, pattern: Pattern| {
            denied.iter().any(|deny| match deny.pattern {
                Pattern::Literal => deny.resource == WILDCARD || (pattern == Pattern::Literal && deny.resource == name),
                Pattern::Prefixed => {
                    (pattern == Pattern::Prefixed || name != WILDCARD) && name.starts_with(&deny.resource)
                }
            })
        };
        if is_denied(WILDCARD, Pattern::Literal) {
            return Decision::Denied(Why::DenyRule);
        }
        let own = self.writers.iter().filter(|(_, writer)| *writer == who.principal).map(|(topic, _)| topic);
        let mut own = own.filter(|_| kind == ResourceType::Topic && operation == Operation::Write);
        let allowed = of(Permission::Allow).any(|allow| !is_denied(&allow.resource, allow.pattern))
            || own.any(|topic| !is_denied(topic, Pattern::Literal));
        match allowed || except.allow_if_no_acl {
            true => Decision::Allowed,
            false => Decision::Denied(Why::NoAllowRule),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acl(pattern: Pattern, resource: &str, principal: &str, operation: Operation, permission: Permission) -> Acl {
        Acl {
            resource_type: ResourceType::Topic,
            resource: resource.to_owned(),
            pattern,
            principal: principal.to_owned(),
            host: WILDCARD.to_owned(),
            operation,
            permission,
        }
    }

    fn set(acls: &[Acl]) -> AclSet {
        let mut set = AclSet::default();
        acls.iter().cloned().for_each(|acl| set.insert(acl));
        set
    }

    fn asks(set: &AclSet, who: &str, operation: Operation, topic: &str) -> Decision {
        let principal = Principal::user(who);
        let asker = Asker { principal: &principal, host: "10.0.0.1".parse().expect("an address") };
        set.authorize(&Exceptions::default(), asker, operation, Resource { kind: ResourceType::Topic, name: topic })
    }

    #[test]
    fn without_a_rule_nobody_may_anything_but_super_users() {
        let (root, eve) = (Principal::user("root"), Principal::user("eve"));
        let except = Exceptions { super_users: [root.clone()].into(), allow_if_no_acl: false };
        let host = "10.0.0.1".parse().expect("an address");
        let topic = Resource { kind: ResourceType::Topic, name: "t" };
        let set = set(&[acl(Pattern::Literal, "t", "User:*", Operation::All, Permission::Deny)]);
        let ask = |principal| set.authorize(&except, Asker { principal, host }, Operation::Read, topic);
        assert_eq!(ask(&root), Decision::Allowed);
        assert_eq!(ask(&eve), Decision::Denied(Why::DenyRule));
        assert_eq!(asks(&AclSet::default(), "eve", Operation::Read, "t"), Decision::Denied(Why::NoAllowRule));
    }

    #[test]
    fn reading_writing_deleting_and_altering_imply_describing_and_denying_implies_nothing() {
        use Operation::*;
        for operation in [Read, Write, Delete, Alter, All] {
            let set = set(&[acl(Pattern::Literal, "t", "User:a", operation, Permission::Allow)]);
            assert!(asks(&set, "a", Describe, "t").is_allowed(), "{operation:?}");
            assert!(!asks(&set, "b", Describe, "t").is_allowed());
            assert!(!asks(&set, "a", Describe, "other").is_allowed());
        }
        let set = set(&[
            acl(Pattern::Literal, "t", "User:a", All, Permission::Allow),
            acl(Pattern::Prefixed, "", "User:a", Read, Permission::Deny),
        ]);
        assert!(asks(&set, "a", Describe, "t").is_allowed());
        assert_eq!(asks(&set, "a", Read, "t"), Decision::Denied(Why::DenyRule));
    }

    #[test]
    fn a_host_is_where_the_asker_is_whichever_family_it_is_told_in() {
        let mut only = acl(Pattern::Literal, "*", "User:a", Operation::Read, Permission::Allow);
        only.host = "10.0.0.1".to_owned();
        let set = set(&[only]);
        assert!(asks(&set, "a", Operation::Read, "any").is_allowed());
        let principal = Principal::user("a");
        let from = |host: &str| {
            let asker = Asker { principal: &principal, host: host.parse().expect("an address") };
            let on = Resource { kind: ResourceType::Topic, name: "any" };
            set.authorize(&Exceptions::default(), asker, Operation::Read, on).is_allowed()
        };
        assert!(from("::ffff:10.0.0.1"));
        assert!(!from("10.0.0.2"));
    }

    #[test]
    fn writing_to_any_topic_needs_one_rule_that_no_denial_covers() {
        use Pattern::*;
        let may = |acls: &[Acl]| {
            let principal = Principal::user("a");
            let asker = Asker { principal: &principal, host: "::1".parse().expect("an address") };
            let except = Exceptions::default();
            set(acls).authorize_any(&except, asker, Operation::Write, ResourceType::Topic).is_allowed()
        };
        let allow = |pattern, name| acl(pattern, name, "User:a", Operation::Write, Permission::Allow);
        let deny = |pattern, name| acl(pattern, name, "User:*", Operation::All, Permission::Deny);
        assert!(!may(&[]));
        assert!(may(&[allow(Literal, "t")]));
        assert!(!may(&[allow(Literal, "t"), deny(Literal, "t")]));
        assert!(!may(&[allow(Literal, "team.t"), deny(Prefixed, "team.")]));
        assert!(may(&[allow(Prefixed, "team."), deny(Literal, "team.t")]));
        assert!(!may(&[allow(Prefixed, "team.x"), deny(Prefixed, "team.")]));
        assert!(!may(&[allow(Literal, "*"), deny(Literal, "*")]));
        assert!(may(&[allow(Literal, "*"), deny(Prefixed, "team.")]));
    }

    fn any_acl() -> impl Strategy<Value = Acl> {
        (
            prop::sample::select(vec!["", "a", "ab", "abc", "b", "*"]),
            prop::sample::select(Pattern::ALL),
            prop::sample::select(vec!["User:a", "User:b", "User:*"]),
            prop::sample::select(vec!["*", "10.0.0.1", "10.0.0.2"]),
            prop::sample::select(Operation::ALL),
            prop::sample::select(Permission::ALL),
        )
            .prop_map(|(resource, pattern, principal, host, operation, permission)| Acl {
                resource_type: ResourceType::Topic,
                resource: resource.to_owned(),
                pattern,
                principal: principal.to_owned(),
                host: host.to_owned(),
                operation,
                permission,
            })
    }

    /// The same question put to each rule in turn.
    fn judge(acls: &[Acl], who: &str, operation: Operation, topic: &str) -> bool {
        let applies = |acl: &&Acl| {
            let on = match acl.pattern {
                Pattern::Literal => acl.resource == topic || acl.resource == "*",
                Pattern::Prefixed => topic.starts_with(&acl.resource),
            };
            on && (acl.principal == format!("User:{who}") || acl.principal == "User:*")
                && (acl.host == "*" || acl.host == "10.0.0.1")
                && Rule::of(acl).covers(operation)
        };
        let hits: Vec<_> = acls.iter().filter(applies).collect();
        hits.iter().all(|acl| acl.permission == Permission::Allow) && !hits.is_empty()
    }

    proptest! {
        #[test]
        fn the_index_decides_as_rules_taken_one_by_one(
            acls in prop::collection::vec(any_acl(), 0..12), gone in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            who in prop::sample::select(vec!["a", "b", "c"]), operation in prop::sample::select(Operation::ALL),
            topic in prop::sample::select(vec!["a", "ab", "abc", "abcd", "b", "c", "*"]),
        ) {
            let mut set = set(&acls);
            let mut left = acls.clone();
            for index in gone {
                if !left.is_empty() {
                    let acl = left[index.index(left.len())].clone();
                    set.remove(&acl);
                    left.retain(|other| *other != acl);
                }
            }
            prop_assert_eq!(asks(&set, who, operation, topic).is_allowed(), judge(&left, who, operation, topic));
            // Deny wins: one more denial never allows anything.
            set.insert(acl(Pattern::Prefixed, "", "User:*", operation, Permission::Deny));
            prop_assert!(!asks(&set, who, operation, topic).is_allowed());
        }
    }
}
