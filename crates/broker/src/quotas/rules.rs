//! Who may use how much: entities, limits, and which of several limits counts (KIP-13, KIP-55, KIP-546, KIP-612).

use std::{
    collections::BTreeMap,
    hash::{Hash as _, Hasher as _},
};

use serde::{Deserialize, Serialize};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Limit {
    /// Bytes of Produce requests in a second.
    #[serde(rename = "producer_byte_rate")]
    Produce,
    /// Bytes of records in Fetch responses in a second.
    #[serde(rename = "consumer_byte_rate")]
    Fetch,
    /// Time spent on requests: 100 is one processor.
    #[serde(rename = "request_percentage")]
    Request,
    /// Partitions made or deleted in a second.
    #[serde(rename = "controller_mutation_rate")]
    Mutation,
    /// Connections from an address in a second.
    #[serde(rename = "connection_creation_rate")]
    Connection,
}

impl Limit {
    pub(crate) const ALL: [Self; 5] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation, Self::Connection];

    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::Mutation => "controller_mutation_rate",
            Self::Connection => "connection_creation_rate",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Produce | Self::Fetch | Self::Connection)
    }
}

/// The kinds of parts an entity has, by Kafka's names.
pub(crate) const USER: &str = "user";
pub(crate) const CLIENT: &str = "client-id";
pub(crate) const IP: &str = "ip";
/// How those without a quota of their own are written down; nobody may be called so.
const DEFAULT: &str = "<default>";

/// One of a kind by name, or all that have no quota of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) enum Who {
    Default,
    Named(String),
}

impl From<String> for Who {
    fn from(text: String) -> Self {
        if text == DEFAULT { Self::Default } else { Self::Named(text) }
    }
}

impl From<Who> for String {
    fn from(who: Who) -> Self {
        who.name().unwrap_or(DEFAULT).to_owned()
    }
}

impl Who {
    /// Addresses have many spellings, and are compared as text.
    pub(crate) fn named(kind: &str, name: &str) -> Self {
        match name.parse::<std::net::IpAddr>() {
            Ok(address) if kind == IP => Self::Named(address.to_canonical().to_string()),
            _ => Self::Named(name.to_owned()),
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// Whom limits are for: a user, a client id, both together, or an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Entity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Who>,
    #[serde(rename = "client-id", default, skip_serializing_if = "Option::is_none")]
    client: Option<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<Who>,
}

/// Why an entity, a limit or a filter is no such thing.
pub(crate) type Reason = String;

impl Entity {
    /// From kinds and names (`None`: the default).
    pub(crate) fn new<'a>(parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self, Reason> {
        let mut entity = Self::default();
        for (kind, name) in parts {
            let part = match kind {
                USER => &mut entity.user,
                CLIENT => &mut entity.client,
                IP => &mut entity.ip,
                other => return Err(format!("`{other}` is no kind of entity: user, client-id and ip are")),
            };
            let who = name.map_or(Who::Default, |name| Who::named(kind, name));
            if part.replace(who).is_some() {
                return Err(format!("the entity has more than one {kind}"));
            }
            match name {
                Some("" | DEFAULT) => return Err(format!("the {kind} cannot be called `{}`", name.unwrap_or(""))),
                Some(name) if kind == IP && name.parse::<std::net::IpAddr>().is_err() => {
                    return Err(format!("`{name}` is no IP address"));
                }
                _ => {}
            }
        }
        match (&entity.ip, entity.user.is_some() || entity.client.is_some()) {
            (Some(_), true) => Err("an address cannot be combined with a user or client id".to_owned()),
            (None, false) => Err("the entity is empty".to_owned()),
            _ => Ok(entity),
        }
    }

    /// Kinds and who of each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &Who)> {
        let parts = [(USER, &self.user), (CLIENT, &self.client), (IP, &self.ip)];
        parts.into_iter().filter_map(|(kind, who)| Some((kind, who.as_ref()?)))
    }

    /// Checks that a limit makes sense for this entity, and reads it.
    pub(crate) fn check(&self, name: &str, value: f64) -> Result<Limit, Reason> {
        let limit = Limit::of_name(name).ok_or_else(|| format!("`{name}` is no quota"))?;
        if (limit == Limit::Connection) != self.ip.is_some() {
            return Err(format!(
                "`{name}` is not a quota of {}",
                if self.ip.is_some() { "addresses" } else { "users" }
            ));
        }
        if !(value > 0.0 && value.is_finite()) || (limit.is_whole() && value.fract() != 0.0) {
            let whole = if limit.is_whole() { "whole " } else { "" };
            return Err(format!("`{name}` must be a {whole}number above 0, not {value}"));
        }
        Ok(limit)
    }
}

/// What is asked of one kind of part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Exactly(Who),
    Any,
}

/// Which entities are asked for: those that have all of these kinds and, if `strict`, no others.
pub(crate) struct Filter {
    pub(crate) parts: BTreeMap<String, Match>,
    pub(crate) strict: bool,
}

impl Filter {
    pub(crate) fn matches(&self, entity: &Entity) -> bool {
        let of_kind = |kind: &str| entity.parts().find(|(other, _)| *other == kind).map(|(_, who)| who);
        let all = self.parts.iter().all(|(kind, wanted)| match (of_kind(kind), wanted) {
            (Some(who), Match::Exactly(wanted)) => who == wanted,
            (Some(_), Match::Any) => true,
            (None, _) => false,
        });
        all && (!self.strict || entity.parts().count() == self.parts.len())
    }
}

/// Limits of an entity.
pub(crate) type Limits = BTreeMap<Limit, f64>;

/// All limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rules(BTreeMap<Entity, Limits>);

/// Those who share what a limit gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sharers {
    user: Option<String>,
    client: Option<String>,
}

/// Longest client id that is kept as it is.
const CLIENT_BYTES_KEPT: usize = 64;

/// A client id as rates are kept by it: of a long one its hash, since clients choose what they are called.
fn shortened(client: &str) -> String {
    if client.len() <= CLIENT_BYTES_KEPT {
        return client.to_owned();
    }
    let mut hasher = std::hash::DefaultHasher::new();
    client.hash(&mut hasher);
    let start: String = client.chars().take(16).collect();
    format!("{start}…{:016x}", hasher.finish())
}

impl Rules {
    pub(crate) fn new(held: BTreeMap<Entity, Limits>) -> Self {
        Self(held)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Entity, &Limits)> {
        self.0.iter()
    }

    pub(crate) fn of(&self, entity: &Entity) -> Limits {
        self.0.get(entity).cloned().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, entity: Entity, limits: Limits) {
        if limits.is_empty() {
            self.0.remove(&entity);
        } else {
            self.0.insert(entity, limits);
        }
    }

    /// The limit that counts for a user and client id: the most specific of Kafka's eight levels that has one.
    pub(crate) fn find(&self, limit: Limit, user: &str, client: &str) -> Option<(Sharers, f64)> {
        let named = |name: &str| Some(Who::Named(name.to_owned()));
        let default = Some(Who::Default);
        let levels = [
            (named(user), named(client)),
            (named(user), default.clone()),
            (named(user), None),
            (default.clone(), named(client)),
            (default.clone(), default.clone()),
            (default.clone(), None),
            (None, named(client)),
            (None, default),
        ];
        levels.into_iter().find_map(|(by_user, by_client)| {
            let sharers = Sharers {
                user: by_user.is_some().then(|| user.to_owned()),
                client: by_client.is_some().then(|| shortened(client)),
            };
            let entity = Entity { user: by_user, client: by_client, ip: None };
            Some((sharers, *self.0.get(&entity)?.get(&limit)?))
        })
    }

    /// Connections that an address may open in a second.
    pub(crate) fn find_of_ip(&self, ip: &str) -> Option<f64> {
        [Who::Named(ip.to_owned()), Who::Default].into_iter().find_map(|ip| {
            let entity = Entity { ip: Some(ip), ..Entity::default() };
            self.0.get(&entity)?.get(&Limit::Connection).copied()
        })
    }

    /// Whether anybody is limited in this.
    pub(crate) fn limit(&self, limit: Limit) -> bool {
        self.0.values().any(|limits| limits.contains_key(&limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and names of an entity.
    type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

    fn entity(parts: Parts<'_>) -> Entity {
        Entity::new(parts.iter().copied()).expect("an entity")
    }

    fn rules(all: &[(Parts<'_>, f64)]) -> Rules {
        let mut rules = Rules::default();
        for (parts, value) in all {
            rules.set(entity(parts), BTreeMap::from([(Limit::Produce, *value)]));
        }
        rules
    }

    /// Kafka's documentation, "Quota configuration".
    #[test]
    fn the_most_specific_limit_counts() {
        let levels: [Parts<'_>; 8] = [
            &[(USER, Some("ann")), (CLIENT, Some("app"))],
            &[(USER, Some("ann")), (CLIENT, None)],
            &[(USER, Some("ann"))],
            &[(USER, None), (CLIENT, Some("app"))],
            &[(USER, None), (CLIENT, None)],
            &[(USER, None)],
            &[(CLIENT, Some("app"))],
            &[(CLIENT, None)],
        ];
        for first in 0..levels.len() {
            let all: Vec<_> = levels.iter().enumerate().skip(first).map(|(at, parts)| (*parts, at as f64)).collect();
            let (sharers, value) = rules(&all).find(Limit::Produce, "ann", "app").expect("a limit");
            assert_eq!(value, first as f64);
            let has = |kind| levels[first].iter().any(|(other, _)| *other == kind);
            assert_eq!((sharers.user.is_some(), sharers.client.is_some()), (has(USER), has(CLIENT)), "level {first}");
            // What is limited by default is each one's own.
            assert!(sharers.user.is_none_or(|user| user == "ann"));
        }
        assert_eq!(rules(&[(levels[0], 1.0)]).find(Limit::Produce, "bob", "app"), None);
        assert_eq!(rules(&[(levels[0], 1.0)]).find(Limit::Fetch, "ann", "app"), None);
    }

    #[test]
    fn entities_and_limits_that_make_no_sense_are_refused() {
        for parts in [
            &[][..],
            &[("colour", Some("red"))],
            &[(USER, Some("a")), (USER, Some("b"))],
            &[(IP, Some("10.0.0.1")), (USER, Some("a"))],
            &[(IP, Some("10.0.0"))],
            &[(USER, Some(""))],
            &[(USER, Some(DEFAULT))],
        ] {
            assert!(Entity::new(parts.iter().copied()).is_err(), "{parts:?}");
        }
        let (user, ip) = (entity(&[(USER, Some("a"))]), entity(&[(IP, None)]));
        for (entity, name, value) in [
            (&user, "producer_byte_rate", 0.0),
            (&user, "producer_byte_rate", 1.5),
            (&user, "producer_byte_rate", f64::NAN),
            (&user, "request_percentage", f64::INFINITY),
            (&user, "connection_creation_rate", 1.0),
            (&ip, "consumer_byte_rate", 1.0),
            (&user, "speed", 1.0),
        ] {
            assert!(entity.check(name, value).is_err(), "{name} {value}");
        }
        assert_eq!(user.check("request_percentage", 0.5), Ok(Limit::Request));
        assert_eq!(ip.check("connection_creation_rate", 5.0), Ok(Limit::Connection));
    }

    #[test]
    fn filters_ask_for_some_kinds_or_exactly_these() {
        let all = [
            entity(&[(USER, Some("ann"))]),
            entity(&[(USER, None)]),
            entity(&[(USER, Some("ann")), (CLIENT, Some("app"))]),
            entity(&[(CLIENT, Some("app"))]),
        ];
        let found = |parts: &[(&str, Match)], strict| {
            let parts = parts.iter().map(|(kind, wanted)| ((*kind).to_owned(), wanted.clone())).collect();
            let filter = Filter { parts, strict };
            all.iter().enumerate().filter(|(_, entity)| filter.matches(entity)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let ann = || Match::Exactly(Who::Named("ann".to_owned()));
        assert_eq!(found(&[(USER, ann())], false), [0, 2]);
        assert_eq!(found(&[(USER, ann())], true), [0]);
        assert_eq!(found(&[(USER, Match::Any)], false), [0, 1, 2]);
        assert_eq!(found(&[(USER, Match::Exactly(Who::Default))], true), [1]);
        assert_eq!(found(&[(USER, Match::Any), (CLIENT, Match::Any)], true), [2]);
        assert_eq!(found(&[], false), [0, 1, 2, 3]);
        assert_eq!(found(&[], true), [] as [usize; 0]);
    }

    #[test]
    fn entities_survive_being_written_down() {
        for parts in
            [&[(USER, Some("ann")), (CLIENT, None)][..], &[(IP, None)], &[(IP, Some("10.0.0.1"))], &[(USER, None)]]
        {
            let entity = entity(parts);
            let text = serde_json::to_string(&entity).expect("JSON");
            assert_eq!(serde_json::from_str::<Entity>(&text).expect("an entity"), entity, "{text}");
        }
    }
}
