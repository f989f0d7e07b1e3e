//! What the records so far say.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use model::Result;

use super::record::{ConfigValue, Event, Record, SchemaValue};
use super::{Compatibility, Mode};
use crate::{ParsedSchema, Reference, RegisteredSchema, SchemaType};

/// The registry as its records say it is.
#[derive(Default)]
pub struct Registry {
    pub(super) subjects: BTreeMap<String, BTreeMap<i32, Version>>,
    pub(super) schemas: BTreeMap<i32, Stored>,
    /// Which id a schema has, wherever it was registered.
    pub(super) ids: HashMap<Content, i32>,
    /// Schemas whose references are not there (yet).
    unresolved: BTreeSet<i32>,
    pub(super) configs: BTreeMap<Option<String>, ConfigValue>,
    pub(super) modes: BTreeMap<Option<String>, Mode>,
    pub(super) id_max: i32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    pub(super) id: i32,
    pub(super) deleted: bool,
}

/// What makes two schemas the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Content {
    pub(super) schema_type: SchemaType,
    pub(super) text: Arc<str>,
    pub(super) references: Vec<Reference>,
}

pub(super) struct Stored {
    pub(super) content: Content,
    /// `None`: of a type not supported here, or with references that are gone.
    pub(super) registered: Option<Arc<RegisteredSchema>>,
    /// Versions, soft-deleted ones too, that are this schema.
    pub(super) used: BTreeSet<(String, i32)>,
}

/// References followed from one schema at most.
const REFERENCES_MAX: usize = 1_000;

impl Registry {
    /// Takes one record into account. Fails only on a record no registry writes; the state is then as before.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match Event::read(key, value)? {
            Event::Schema { subject, version, value: Some(value) } => self.put_version(subject, version, value),
            Event::Schema { subject, version, value: None } => self.remove_version(&subject, version),
            Event::DeleteSubject { subject, version } => {
                for (_, entry) in self.subjects.entry(subject).or_default().range_mut(..=version) {
                    entry.deleted = true;
                }
            }
            Event::Config { subject, value: Some(value) } => drop(self.configs.insert(subject, value)),
            Event::Config { subject, value: None } => drop(self.configs.remove(&subject)),
            Event::Mode { subject, value: Some(value) } => drop(self.modes.insert(subject, value)),
            Event::Mode { subject, value: None } => drop(self.modes.remove(&subject)),
            Event::Noop { max_id } => self.id_max = self.id_max.max(max_id.unwrap_or(0)),
            Event::Other => {}
        }
        Ok(())
    }

    fn put_version(&mut self, subject: String, version: i32, value: SchemaValue) {
        let known = self.subjects.get(&subject).and_then(|versions| versions.get(&version));
        if known.is_some_and(|known| known.id != value.id) {
            self.remove_version(&subject, version);
        }
        self.id_max = self.id_max.max(value.id);
        let content = Content {
            schema_type: value.schema_type,
            text: value.schema.into(),
            references: value.references.unwrap_or_default(),
        };
        let stored = self.schemas.entry(value.id).or_insert_with(|| {
            self.ids.insert(content.clone(), value.id);
            self.unresolved.insert(value.id);
            Stored { content, registered: None, used: BTreeSet::new() }
        });
        stored.used.insert((subject.clone(), version));
        self.subjects.entry(subject).or_default().insert(version, Version { id: value.id, deleted: value.deleted });
        self.resolve();
    }

    fn remove_version(&mut self, subject: &str, version: i32) {
        let Some(versions) = self.subjects.get_mut(subject) else { return };
        let Some(Version { id, .. }) = versions.remove(&version) else { return };
        if versions.is_empty() {
            self.subjects.remove(subject);
        }
        if let Some(stored) = self.schemas.get_mut(&id) {
            stored.used.remove(&(subject.to_owned(), version));
            if stored.used.is_empty() {
                self.ids.remove(&stored.content);
                self.schemas.remove(&id);
                self.unresolved.remove(&id);
            }
        }
    }

    /// Parses what could not be parsed before: a topic may hold a schema before those it refers to.
    fn resolve(&mut self) {
        loop {
            let mut progress = false;
            for id in self.unresolved.clone() {
                let Some(stored) = self.schemas.get(&id) else { continue };
                let content = stored.content.clone();
                let Ok(parsed) = self.parse(&content) else { continue };
                let Content { schema_type, text, references } = content;
                let registered = RegisteredSchema { id, schema_type, text, references, parsed };
                if let Some(stored) = self.schemas.get_mut(&id) {
                    stored.registered = Some(Arc::new(registered));
                }
                self.unresolved.remove(&id);
                progress = true;
            }
            if !progress || self.unresolved.is_empty() {
                return;
            }
        }
    }

    pub(super) fn parse(&self, content: &Content) -> Result<ParsedSchema> {
        let references = self.resolved(&content.references)?;
        ParsedSchema::parse(content.schema_type, &content.text, &references)
    }

    /// Names and texts of everything `references` lead to, dependencies first.
    pub(super) fn resolved(&self, references: &[Reference]) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        self.follow(references, &mut HashSet::new(), &mut found, 0)?;
        Ok(found)
    }

    fn follow(
        &self,
        references: &[Reference],
        seen: &mut HashSet<(String, i32)>,
        found: &mut Vec<(String, String)>,
        depth: usize,
    ) -> Result<()> {
        for reference in references {
            let missing = || {
                model::Error::new(model::error::codes::SCHEMA_INVALID, "a referenced schema is not there").detail(
                    format!(
                        "no schema reference found for subject \"{}\" and version {}",
                        reference.subject, reference.version
                    ),
                )
            };
            if seen.len() >= REFERENCES_MAX || depth > 32 {
                return Err(missing().detail("too many references"));
            }
            let versions = self.subjects.get(&reference.subject).ok_or_else(missing)?;
            let version = match reference.version {
                -1 => versions.iter().rev().find(|(_, version)| !version.deleted).map(|(&number, _)| number),
                number => Some(number),
            };
            let version = version.ok_or_else(missing)?;
            let id = versions.get(&version).ok_or_else(missing)?.id;
            if !seen.insert((reference.subject.clone(), version)) {
                continue;
            }
            let stored = self.schemas.get(&id).ok_or_else(missing)?;
            self.follow(&stored.content.references, seen, found, depth + 1)?;
            found.push((reference.name.clone(), stored.content.text.to_string()));
        }
        Ok(())
    }

    /// The fewest records that say the same as all so far.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut events = vec![Event::Noop { max_id: Some(self.id_max) }];
        events.extend(self.configs.iter().map(|(s, v)| Event::Config { subject: s.clone(), value: Some(*v) }));
        events.extend(self.modes.iter().map(|(s, v)| Event::Mode { subject: s.clone(), value: Some(*v) }));
        for stored in self.schemas.iter() {
            for (subject, version) in &stored.1.used {
                let deleted = self.subjects.get(subject).and_then(|v| v.get(version)).is_some_and(|v| v.deleted);
                events.push(self.schema_event(subject, *version, *stored.0, &stored.1.content, deleted));
            }
        }
        events.iter().map(Event::write).collect()
    }

    pub(super) fn schema_event(&self, subject: &str, version: i32, id: i32, content: &Content, deleted: bool) -> Event {
        let value = SchemaValue {
            subject: subject.to_owned(),
            version,
            id,
            schema_type: content.schema_type,
            references: (!content.references.is_empty()).then(|| content.references.clone()),
            schema: content.text.to_string(),
            deleted,
        };
        Event::Schema { subject: subject.to_owned(), version, value: Some(value) }
    }

    /// How many records [`Registry::snapshot`] has.
    pub fn live_records(&self) -> usize {
        1 + self.configs.len() + self.modes.len() + self.subjects.values().map(BTreeMap::len).sum::<usize>()
    }

    pub(super) fn compatibility_of(&self, subject: &str) -> Compatibility {
        let own = self.configs.get(&Some(subject.to_owned())).and_then(|config| config.compatibility_level);
        let global = || self.configs.get(&None).and_then(|config| config.compatibility_level);
        own.or_else(global).unwrap_or_default()
    }

    pub(super) fn normalizes(&self, subject: &str) -> bool {
        let own = self.configs.get(&Some(subject.to_owned())).and_then(|config| config.normalize);
        let global = || self.configs.get(&None).and_then(|config| config.normalize);
        own.or_else(global).unwrap_or(false)
    }

    pub(super) fn mode_of(&self, subject: Option<&str>) -> Mode {
        let own = subject.and_then(|subject| self.modes.get(&Some(subject.to_owned())));
        own.or_else(|| self.modes.get(&None)).copied().unwrap_or_default()
    }
}
