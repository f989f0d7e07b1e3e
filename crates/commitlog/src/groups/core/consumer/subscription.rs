//! Which topics members mean: by name, and by regular expression (KIP-848, "SubscribedTopicRegex").
//!
//! Expressions follow RE2, as Kafka's do: no look-around, no back-references, so matching takes time linear in the name.
//! They stand for whole names. Kafka resolves them over all topics; we leave out the broker's own bookkeeping,
//! as Kafka's clients do when they resolve expressions themselves: a reader of `.*` would otherwise read its own commits.
//! What a member may not see its expression does not stand for, so another one whose rights go further reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use model::TopicName;
use regex::{Regex, RegexBuilder};

use super::{ConsumerGroup, Member, Step};
use crate::{
    groups::{records::consumer::StoredSubscription, types::*},
    planted::{self, Bug},
};

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

/// What a regular expression stands for.
pub(super) struct Resolved {
    topics: BTreeSet<Arc<str>>,
    /// When this was found.
    at: Duration,
}

impl Resolved {
    fn new(pattern: &str, viewer: Option<&Viewer>, step: &Step<'_>) -> Self {
        let topics = match compile(pattern, &step.out.settings) {
            Ok(regex) => {
                let matches = |name: &&Arc<str>| !TopicName::names_bookkeeping(name) && regex.is_match(name);
                let shown = |name: &&Arc<str>| viewer.is_none_or(|viewer| viewer.may_see(name));
                step.topics.keys().filter(matches).filter(shown).cloned().collect()
            }
            Err(_) => {
                // Only replayed expressions can get here, if limits were narrowed in between.
                tracing::warn!(group = step.group, pattern, "a stored regular expression is no longer accepted");
                BTreeSet::new()
            }
        };
        Self { topics, at: step.now() }
    }
}

impl Member {
    /// Both read the same topics, as far as that is said.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        self.subscription.means_the_same(&other.subscription)
            && (self.subscription.pattern().is_none() || self.viewer == other.viewer)
    }

    fn viewer_name(&self) -> Option<Arc<str>> {
        self.viewer.as_ref().map(|viewer| viewer.name().clone())
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
    /// Of all members, as the topics and the rights are now. Says whether one stands for others than before.
    fn resolve_regexes(&mut self, step: &Step<'_>) -> bool {
        let mut changed = false;
        let viewers: BTreeMap<_, _> =
            self.members.values().filter_map(|m| Some((m.viewer_name()?, &m.viewer))).collect();
        for (pattern, by_viewer) in &mut self.resolved {
            for (name, resolved) in by_viewer {
                let viewer = name.as_ref().and_then(|name| viewers.get(name)).and_then(|viewer| viewer.as_ref());
                let before = std::mem::replace(resolved, Resolved::new(pattern, viewer, step));
                changed |= before.topics != resolved.topics;
            }
        }
        changed
    }

    /// Of one member, unless it was done for another one like it.
    pub(super) fn resolve_regex(&mut self, member: &str, step: &Step<'_>) {
        let member = &self.members[member];
        let Some(pattern) = member.subscription.pattern() else { return };
        let by_viewer = self.resolved.entry(pattern.clone()).or_default();
        by_viewer.entry(member.viewer_name()).or_insert_with(|| Resolved::new(pattern, member.viewer.as_ref(), step));
    }

    /// Of one member, if it is long ago. Says whether it stands for other topics now.
    pub(super) fn refresh_regex(&mut self, member: &str, step: &Step<'_>) -> bool {
        let member = &self.members[member];
        let (Some(pattern), Some(viewer)) = (member.subscription.pattern(), &member.viewer) else { return false };
        let found = self.resolved.get_mut(pattern).and_then(|by_viewer| by_viewer.get_mut(&member.viewer_name()));
        match found {
            Some(resolved) if resolved.at + step.out.settings.regex_refresh_interval <= step.now() => {
                let before = std::mem::replace(resolved, Resolved::new(pattern, Some(viewer), step));
                before.topics != resolved.topics
            }
            _ => false,
        }
    }

    /// A member's regular expression was not looked at yet.
    pub(super) fn has_new_regex(&self, member: &str) -> bool {
        let member = &self.members[member];
        let is_known =
            |pattern: &String| self.resolved.get(pattern).is_some_and(|of| of.contains_key(&member.viewer_name()));
        member.subscription.pattern().is_some_and(|pattern| !is_known(pattern))
    }

    pub(super) fn forget_unused_regexes(&mut self) {
        if !self.resolved.is_empty() {
            let used: BTreeSet<_> =
                self.members.values().filter_map(|m| Some((m.subscription.pattern()?, m.viewer_name()))).collect();
            for (pattern, by_viewer) in &mut self.resolved {
                by_viewer.retain(|name, _| used.contains(&(pattern, name.clone())));
            }
            self.resolved.retain(|_, by_viewer| !by_viewer.is_empty());
        }
    }

    /// Topics a member subscribed to, whether they exist or not; some maybe twice.
    pub(super) fn topics_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a Arc<str>> {
        let by_viewer = member.subscription.pattern().and_then(|pattern| self.resolved.get(pattern));
        let matched = by_viewer.and_then(|by_viewer| by_viewer.get(&member.viewer_name())).map(|found| &found.topics);
        member.subscription.topics.iter().chain(matched.into_iter().flatten())
    }

    pub(super) fn topics_seen_by(&self, member: &str) -> BTreeSet<Arc<str>> {
        self.topics_of(&self.members[member]).cloned().collect()
    }

    /// A member's regular expression stands for topics that it did not name.
    pub(super) fn matches_more(&self, member: &str) -> bool {
        let member = &self.members[member];
        self.topics_of(member).any(|topic| !member.subscription.topics.contains(topic))
    }

    /// Members, of neighbours that subscribe to the same only one.
    fn subscribers(&self) -> Vec<&Member> {
        let mut all: Vec<_> = self.members.values().collect();
        all.dedup_by(|a, b| a.means_the_same(b));
        all
    }

    /// Everything anybody in the group subscribed to.
    pub(in crate::groups::core) fn subscribed_topics(&self) -> BTreeSet<Arc<str>> {
        self.subscribers().into_iter().flat_map(|member| self.topics_of(member)).cloned().collect()
    }

    /// Says whether the target changed.
    pub(super) fn topics_changed(&mut self, step: &Step<'_>) -> bool {
        let changed = self.resolve_regexes(step) || self.hash_metadata(step.topics) != self.metadata_hash;
        if changed && !planted::is(Bug::TopicsNotLookedAt) {
            self.bump(step);
        }
        changed
    }

    /// FNV-1a of name, id and size of each existing topic subscribed to: any change of them is a change of it.
    pub(super) fn hash_metadata(&self, topics: &TopicsSeen) -> i64 {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| bytes.iter().for_each(|b| hash = (hash ^ u64::from(*b)).wrapping_mul(PRIME));
        let names: BTreeSet<_> = self.subscribers().into_iter().flat_map(|member| self.topics_of(member)).collect();
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
