//! Requests that change the registry: what to answer, and what to write first.

use model::{Error, Result, error::codes};

use super::{
    ConfigAnswer, ConfigUpdate, Mode, ModeAnswer, Record, Registered, Registry, SchemaRequest, VersionSpec,
    read::{no_subject, no_version},
    record::{ConfigValue, Event},
};

/// An answer that may be given once `records` are durable, in this order and all or none.
#[derive(Debug)]
pub struct Decision<T> {
    pub answer: T,
    /// Empty: nothing changes.
    pub records: Vec<Record>,
}

impl<T> Decision<T> {
    fn new(answer: T, events: &[Event]) -> Self {
        Self { answer, records: events.iter().map(Event::write).collect() }
    }
}

/// Checks a subject's name, without the prefix of the default context.
pub(super) fn subject_name(subject: &str) -> Result<&str> {
    let name = subject.strip_prefix(":.:").unwrap_or(subject);
    let why = if name.is_empty() {
        "it is empty"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else if matches!(name, "__GLOBAL" | "__EMPTY") {
        "the registry uses it itself"
    } else if name.len() > 1024 {
        "it is longer than 1024 bytes"
    } else {
        return Ok(name);
    };
    Err(Error::new(codes::SUBJECT_INVALID, format!("`{}` cannot name a subject", name.escape_debug())).detail(why))
}

impl Registry {
    /// Makes this schema the next version of `subject`, unless it is a version of it already.
    pub fn register(&self, subject: &str, request: &SchemaRequest, normalize: bool) -> Result<Decision<Registered>> {
        let subject = subject_name(subject)?;
        let normalize = normalize || self.normalizes(subject);
        let given_id = request.id.filter(|&id| id >= 0);
        if given_id.is_none()
            && let Ok(known) = self.lookup(subject, request, normalize, false)
        {
            return Ok(Decision::new(Registered { id: known.id }, &[]));
        }
        let mode = self.writable(subject)?;
        let (content, parsed) = self.content(request, normalize)?;
        let versions = self.subjects.get(subject);
        let next_version = versions.and_then(|versions| versions.keys().next_back()).map_or(1, |last| last + 1);
        let (id, version) = match (mode, given_id) {
            (Mode::Import, Some(id)) => {
                if self.schemas.get(&id).is_some_and(|stored| stored.content != content) {
                    return Err(refused(format!("overwrite new schema with id {id} is not permitted")));
                }
                (id, request.version.filter(|&version| version > 0).unwrap_or(next_version))
            }
            (Mode::Import, None) => {
                return Err(refused(format!("subject '{subject}' is in import mode: a schema needs an id")));
            }
            (_, Some(_)) => {
                return Err(refused(format!("subject '{subject}' is not in import mode: no id may be given")));
            }
            (_, None) => {
                let level = self.compatibility_of(subject);
                let conflicts = self.conflicts_with_subject(level, subject, &parsed);
                if !conflicts.is_empty() {
                    return Err(Error::new(
                        codes::SCHEMA_INCOMPATIBLE,
                        format!(
                            "schema being registered is incompatible with an earlier schema for subject \"{subject}\""
                        ),
                    )
                    .detail(format!("[{}]", conflicts.join(", "))));
                }
                let id = self.ids.get(&content).copied();
                (id.map_or_else(|| self.next_id(), Ok)?, next_version)
            }
        };
        let event = self.schema_event(subject, version, id, &content, false);
        Ok(Decision::new(Registered { id }, &[event]))
    }

    fn next_id(&self) -> Result<i32> {
        self.id_max.checked_add(1).ok_or_else(|| Error::internal("the registry has used up all ids"))
    }

    /// The mode of `subject`, unless it forbids writing.
    fn writable(&self, subject: &str) -> Result<Mode> {
        match self.mode_of(Some(subject)) {
            Mode::ReadOnly => Err(refused(format!("subject '{subject}' is not in read-write mode"))),
            mode => Ok(mode),
        }
    }

    /// Hides all versions, or with `permanent` removes them once they are hidden. Answers with their numbers.
    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Decision<Vec<i32>>> {
        let subject = subject_name(subject)?;
        self.writable(subject)?;
        let versions = self.subjects.get(subject).filter(|v| !v.is_empty()).ok_or_else(|| no_subject(subject))?;
        let live: Vec<i32> = versions.iter().filter(|(_, v)| !v.deleted).map(|(&n, _)| n).collect();
        if permanent {
            if !live.is_empty() {
                return Err(Error::new(
                    codes::SUBJECT_NOT_SOFT_DELETED,
                    format!("subject '{subject}' was not deleted first before being permanently deleted"),
                ));
            }
            let gone: Vec<i32> = versions.keys().copied().collect();
            let events =
                gone.iter().map(|&version| Event::Schema { subject: subject.to_owned(), version, value: None });
            let events: Vec<_> = events.chain(self.forget_settings(subject)).collect();
            return Ok(Decision::new(gone, &events));
        }
        let Some(&last) = live.last() else {
            return Err(Error::new(
                codes::SUBJECT_SOFT_DELETED,
                format!("subject '{subject}' was soft deleted; set permanent=true to delete permanently"),
            ));
        };
        live.iter().try_for_each(|&version| self.unreferenced(subject, version))?;
        let deletion = Event::DeleteSubject { subject: subject.to_owned(), version: last };
        let events: Vec<_> = [deletion].into_iter().chain(self.forget_settings(subject)).collect();
        Ok(Decision::new(live, &events))
    }

    /// A deleted subject takes its settings with it.
    fn forget_settings(&self, subject: &str) -> impl Iterator<Item = Event> + use<> {
        let name = Some(subject.to_owned());
        let config = self.configs.contains_key(&name).then(|| Event::Config { subject: name.clone(), value: None });
        let mode = self.modes.contains_key(&name).then_some(Event::Mode { subject: name, value: None });
        config.into_iter().chain(mode)
    }

    fn unreferenced(&self, subject: &str, version: i32) -> Result<()> {
        let referrers = self.referrers(subject, version);
        if referrers.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = referrers.iter().map(i32::to_string).collect();
        Err(Error::new(
            codes::SCHEMA_REFERENCED,
            format!("other schemas refer to version {version} of subject '{subject}'"),
        )
        .detail(format!("their ids are {}", ids.join(", "))))
    }

    /// Hides one version, or with `permanent` removes it once it is hidden. Answers with its number.
    pub fn delete_version(&self, subject: &str, version: VersionSpec, permanent: bool) -> Result<Decision<i32>> {
        let subject = subject_name(subject)?;
        self.writable(subject)?;
        let (number, found) = self.find_version(subject, version, matches!(version, VersionSpec::Number(_)))?;
        let content = &self.schemas.get(&found.id).ok_or_else(|| no_version(subject, version))?.content;
        let event = match (permanent, found.deleted) {
            (true, true) => Event::Schema { subject: subject.to_owned(), version: number, value: None },
            (true, false) => {
                return Err(Error::new(
                    codes::VERSION_NOT_SOFT_DELETED,
                    format!(
                        "subject '{subject}' version {number} was not deleted first before being permanently deleted"
                    ),
                ));
            }
            (false, true) => {
                return Err(Error::new(
                    codes::VERSION_SOFT_DELETED,
                    format!(
                        "subject '{subject}' version {number} was soft deleted; set permanent=true to delete permanently"
                    ),
                ));
            }
            (false, false) => {
                self.unreferenced(subject, number)?;
                self.schema_event(subject, number, found.id, content, true)
            }
        };
        Ok(Decision::new(number, &[event]))
    }

    /// Changes what is given and keeps the rest.
    pub fn set_config(&self, subject: Option<&str>, update: ConfigUpdate) -> Result<Decision<ConfigUpdate>> {
        update.others.refuse(&[
            "alias",
            "compatibilityGroup",
            "compatibilityPolicy",
            "defaultMetadata",
            "overrideMetadata",
            "defaultRuleSet",
            "overrideRuleSet",
            "validateFields",
            "validateNames",
            "validateRules",
        ])?;
        let subject = self.setting_subject(subject)?;
        let level = update.compatibility.as_deref().map(str::parse).transpose()?;
        let known = self.configs.get(&subject).copied().unwrap_or_default();
        let value = ConfigValue {
            compatibility_level: level.or(known.compatibility_level),
            normalize: update.normalize.or(known.normalize),
        };
        let compatibility = level.map(|level| level.to_string());
        let answer = ConfigUpdate { compatibility, normalize: update.normalize, ..ConfigUpdate::default() };
        Ok(Decision::new(answer, &[Event::Config { subject, value: Some(value) }]))
    }

    fn setting_subject(&self, subject: Option<&str>) -> Result<Option<String>> {
        let subject = subject.map(subject_name).transpose()?;
        // The mode itself can always be changed back; this is for other settings.
        if self.mode_of(subject) == Mode::ReadOnly {
            return Err(refused("the registry is not in read-write mode".into()));
        }
        Ok(subject.map(str::to_owned))
    }

    /// Back to the default. Answers with what is gone.
    pub fn delete_config(&self, subject: Option<&str>) -> Result<Decision<ConfigAnswer>> {
        let gone = self.config(subject, false)?;
        let subject = self.setting_subject(subject)?;
        Ok(Decision::new(gone, &[Event::Config { subject, value: None }]))
    }

    /// IMPORT needs an empty registry or subject, or `force`: its ids could meet others.
    pub fn set_mode(&self, subject: Option<&str>, mode: &str, force: bool) -> Result<Decision<ModeAnswer>> {
        let mode: Mode = mode.parse()?;
        let subject = subject.map(subject_name).transpose()?;
        let occupied = match subject {
            Some(subject) => self.versions(subject, false, false).is_ok(),
            None => !self.subjects(None, false, false).is_empty(),
        };
        if mode == Mode::Import && occupied && !force && self.mode_of(subject) != Mode::Import {
            return Err(refused("cannot import since found existing subjects".into())
                .hint("`force=true` takes the risk that ids collide"));
        }
        let subject = subject.map(str::to_owned);
        Ok(Decision::new(ModeAnswer { mode }, &[Event::Mode { subject, value: Some(mode) }]))
    }

    /// Back to the global mode. Answers with what is gone.
    pub fn delete_mode(&self, subject: &str) -> Result<Decision<ModeAnswer>> {
        let gone = self.mode(Some(subject), false)?;
        let subject = subject_name(subject)?.to_owned();
        Ok(Decision::new(gone, &[Event::Mode { subject: Some(subject), value: None }]))
    }
}

fn refused(why: String) -> Error {
    Error::new(codes::REGISTRY_OPERATION_REFUSED, why)
}
