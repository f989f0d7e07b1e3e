//! Which topics members mean: by name, and by regular expression (KIP-848, "SubscribedTopicRegex").
//!
//! Expressions follow RE2, as Kafka's do: no look-around, no back-references, so matching takes time linear in the name.
//! They stand for whole names. Kafka resolves them over all topics; we leave out the broker's own bookkeeping (`__…`),
//! as Kafka's clients do when they resolve expressions themselves: a reader of `.*` would otherwise read its own commits.

use std::{collections::BTreeSet, sync::Arc};

use regex::{Regex, RegexBuilder};

use super::{ConsumerGroup, Step};
use crate::groups::{records::consumer::StoredSubscription, types::*};

/// Deepest nesting of an expression.
const NESTING_MAX: u32 = 64;

pub(super) fn compile(pattern: &str, settings: &GroupSettings) -> Result<Regex, GroupError> {
    if pattern.len() > settings.regex_bytes_max {
        return Err(GroupError::InvalidRegularExpression);
    }
    let refused = |_| GroupError::InvalidRegularExpression;
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(settings.regex_program_bytes_max)
            .dfa_size_limit(settings.regex_program_bytes_max)
            .nest_limit(NESTING_MAX)
            .build()
    };
    // By itself first: `a)|(b` must not become valid by our brackets.
    build(pattern).map_err(refused)?;
    build(&format!("^(?:{pattern})$")).map_err(refused)
}

fn resolve(pattern: &str, step: &Step<'_>) -> BTreeSet<Arc<str>> {
    match compile(pattern, &step.out.settings) {
        Ok(regex) => {
            let shown = |name: &&Arc<str>| !name.starts_with("__") && regex.is_match(name);
            step.topics.keys().filter(shown).cloned().collect()
        }
        Err(_) => {
            // Only replayed expressions can get here, if limits were narrowed in between.
            tracing::warn!(group = step.group, pattern, "a stored regular expression is no longer accepted");
            BTreeSet::new()
        }
    }
}

impl StoredSubscription {
    /// Both subscribe to the same topics.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        self.topics == other.topics && self.pattern() == other.pattern()
    }

    /// The regular expression subscribed to; an empty one is none.
    pub(super) fn pattern(&self) -> Option<&String> {
        self.regex.as_ref().filter(|pattern| !pattern.is_empty())
    }
}

impl ConsumerGroup {
    pub(super) fn resolve_regexes(&mut self, step: &Step<'_>) {
        for (pattern, topics) in &mut self.resolved {
            *topics = resolve(pattern, step);
        }
    }

    pub(super) fn resolve_regex(&mut self, pattern: &str, step: &Step<'_>) {
        if !self.resolved.contains_key(pattern) {
            self.resolved.insert(pattern.to_owned(), resolve(pattern, step));
        }
    }

    pub(super) fn forget_unused_regexes(&mut self) {
        if !self.resolved.is_empty() {
            let used: BTreeSet<_> = self.members.values().filter_map(|m| m.subscription.pattern()).collect();
            self.resolved.retain(|pattern, _| used.contains(pattern));
        }
    }

    /// Topics a member subscribed to, whether they exist or not; some maybe twice.
    pub(super) fn topics_of<'a>(&'a self, subscription: &'a StoredSubscription) -> impl Iterator<Item = &'a Arc<str>> {
        let matched = subscription.pattern().and_then(|pattern| self.resolved.get(pattern));
        subscription.topics.iter().chain(matched.into_iter().flatten())
    }

    /// What members subscribe to; neighbours that subscribe to the same are listed once.
    fn subscriptions(&self) -> Vec<&StoredSubscription> {
        let mut all: Vec<_> = self.members.values().map(|m| &m.subscription).collect();
        all.dedup_by(|a, b| a.means_the_same(b));
        all
    }

    /// Everything anybody in the group subscribed to.
    pub(in crate::groups::core) fn subscribed_topics(&self) -> BTreeSet<Arc<str>> {
        self.subscriptions().into_iter().flat_map(|subscription| self.topics_of(subscription)).cloned().collect()
    }

    /// Says whether the target changed.
    pub(super) fn topics_changed(&mut self, step: &Step<'_>) -> bool {
        self.resolve_regexes(step);
        if self.hash_metadata(step.topics) == self.metadata_hash {
            return false;
        }
        self.bump(step);
        true
    }

    /// FNV-1a of name, id and size of each existing topic subscribed to: any change of them is a change of it.
    pub(super) fn hash_metadata(&self, topics: &TopicsSeen) -> i64 {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| bytes.iter().for_each(|b| hash = (hash ^ u64::from(*b)).wrapping_mul(PRIME));
        let names: BTreeSet<_> = self.subscriptions().into_iter().flat_map(|s| self.topics_of(s)).collect();
        for name in names {
            if let Some((id, partitions)) = topics.get(name) {
                add(name.as_bytes());
                add(id.as_bytes());
                add(&partitions.to_be_bytes());
            }
        }
        hash as i64
    }
}
