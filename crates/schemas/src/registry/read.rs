//! Questions to the registry.

use std::{collections::BTreeSet, sync::Arc};

use model::{Error, Result, error::codes};

use super::{
    Compatibility, CompatibilityAnswer, ConfigAnswer, ModeAnswer, Registry, SchemaRequest, SchemaString,
    SubjectVersion, VersionOf, VersionSpec,
    decide::subject_name,
    state::{Content, Version},
};
use crate::{ParsedSchema, RegisteredSchema, SchemaType, avro::schema::TEXT_BYTES_MAX};

impl Registry {
    /// Names of subjects that begin with `prefix`; with `deleted` also those that are soft-deleted, with
    /// `deleted_only` only those.
    pub fn subjects(&self, prefix: Option<&str>, deleted: bool, deleted_only: bool) -> Vec<String> {
        let prefix = prefix.unwrap_or_default();
        let prefix = prefix.strip_prefix(":.:").unwrap_or(prefix);
        let shown = |versions: &std::collections::BTreeMap<i32, Version>| {
            let live = versions.values().any(|version| !version.deleted);
            !versions.is_empty() && if deleted_only { !live } else { deleted || live }
        };
        let names = self.subjects.iter().filter(|(name, versions)| name.starts_with(prefix) && shown(versions));
        names.map(|(name, _)| name.clone()).collect()
    }

    pub fn versions(&self, subject: &str, deleted: bool, deleted_only: bool) -> Result<Vec<i32>> {
        let subject = subject_name(subject)?;
        let all = self.subjects.get(subject).into_iter().flatten();
        let shown = all.filter(|(_, v)| if deleted_only { v.deleted } else { deleted || !v.deleted });
        let versions: Vec<i32> = shown.map(|(&number, _)| number).collect();
        if versions.is_empty() { Err(no_subject(subject)) } else { Ok(versions) }
    }

    pub fn version(&self, subject: &str, version: VersionSpec, deleted: bool) -> Result<SubjectVersion> {
        let subject = subject_name(subject)?;
        let (number, version) = self.find_version(subject, version, deleted)?;
        self.subject_version(subject, number, version.id)
            .ok_or_else(|| Error::internal(format!("schema {} of subject {subject} is gone", version.id)))
    }

    pub(super) fn find_version(&self, subject: &str, version: VersionSpec, deleted: bool) -> Result<(i32, Version)> {
        let versions = self.subjects.get(subject).filter(|v| v.values().any(|v| deleted || !v.deleted));
        let mut shown = versions.ok_or_else(|| no_subject(subject))?.iter().filter(|(_, v)| deleted || !v.deleted);
        let found = match version {
            VersionSpec::Latest => shown.next_back(),
            VersionSpec::Number(wanted) => shown.find(|&(&number, _)| number == wanted),
        };
        found.map(|(&number, &version)| (number, version)).ok_or_else(|| no_version(subject, version))
    }

    fn subject_version(&self, subject: &str, version: i32, id: i32) -> Option<SubjectVersion> {
        let content = &self.schemas.get(&id)?.content;
        Some(SubjectVersion {
            subject: subject.to_owned(),
            version,
            id,
            schema_type: content.schema_type,
            references: content.references.clone(),
            schema: content.text.to_string(),
        })
    }

    /// The version of `subject` that is this very schema.
    pub fn lookup(
        &self,
        subject: &str,
        request: &SchemaRequest,
        normalize: bool,
        deleted: bool,
    ) -> Result<SubjectVersion> {
        let subject = subject_name(subject)?;
        if self.versions(subject, deleted, false).is_err() {
            return Err(no_subject(subject));
        }
        let (content, _) = self.content(request, normalize || self.normalizes(subject))?;
        let same = |&(_, version): &(&i32, &Version)| {
            (deleted || !version.deleted)
                && self.schemas.get(&version.id).is_some_and(|stored| same_content(&stored.content, &content))
        };
        let found = self.subjects.get(subject).into_iter().flatten().rev().find(same);
        found.and_then(|(&number, version)| self.subject_version(subject, number, version.id)).ok_or_else(|| {
            Error::new(codes::REGISTERED_SCHEMA_NOT_FOUND, format!("schema not found under subject '{subject}'"))
        })
    }

    /// Reads a request's schema: its canonical content, and what it means.
    pub(super) fn content(&self, request: &SchemaRequest, normalize: bool) -> Result<(Content, ParsedSchema)> {
        request.others.refuse(&[
            "metadata",
            "ruleSet",
            "schemaTagsToAdd",
            "schemaTagsToRemove",
            "propagateSchemaTags",
        ])?;
        let schema_type = match request.schema_type.as_deref() {
            None | Some("") => SchemaType::Avro,
            Some(name) => match name.to_ascii_uppercase().as_str() {
                "AVRO" => SchemaType::Avro,
                "JSON" => SchemaType::Json,
                "PROTOBUF" => SchemaType::Protobuf,
                _ => {
                    return Err(Error::new(codes::SCHEMA_INVALID, format!("invalid schema type {name}"))
                        .hint("types are AVRO, JSON and PROTOBUF"));
                }
            },
        };
        if request.schema.len() > TEXT_BYTES_MAX {
            return Err(Error::new(codes::REGISTRY_FULL, "the schema is too large")
                .detail(format!("its text has {} bytes; at most {TEXT_BYTES_MAX} are taken", request.schema.len())));
        }
        if request.schema.trim().is_empty() {
            return Err(Error::new(codes::SCHEMA_INVALID, "the schema is empty"));
        }
        let mut references = request.references.clone().unwrap_or_default();
        if normalize {
            references.sort();
            references.dedup();
        }
        let parsed = ParsedSchema::parse(schema_type, &request.schema, &self.resolved(&references)?)?;
        let text = parsed.canonical(normalize);
        Ok((Content { schema_type, text: text.into(), references }, parsed))
    }

    /// Ids of the schemas that refer to this version.
    pub fn referenced_by(&self, subject: &str, version: VersionSpec) -> Result<Vec<i32>> {
        let subject = subject_name(subject)?;
        let (number, _) = self.find_version(subject, version, true)?;
        Ok(self.referrers(subject, number))
    }

    pub(super) fn referrers(&self, subject: &str, version: i32) -> Vec<i32> {
        let refers = |stored: &super::state::Stored| {
            let names_it = stored.content.references.iter().any(|r| r.subject == subject && r.version == version);
            let alive = |(subject, version): &(String, i32)| {
                self.subjects.get(subject).and_then(|v| v.get(version)).is_some_and(|v| !v.deleted)
            };
            names_it && stored.used.iter().any(alive)
        };
        self.schemas.iter().filter(|(_, stored)| refers(stored)).map(|(&id, _)| id).collect()
    }

    /// All versions of all subjects that begin with `prefix`, or only the latest of each.
    pub fn schemas(&self, prefix: Option<&str>, deleted: bool, latest_only: bool) -> Vec<SubjectVersion> {
        let mut all = Vec::new();
        for subject in self.subjects(prefix, deleted, false) {
            let versions = self.subjects.get(&subject).into_iter().flatten().filter(|(_, v)| deleted || !v.deleted);
            let skipped = if latest_only { versions.clone().count().saturating_sub(1) } else { 0 };
            all.extend(versions.skip(skipped).filter_map(|(&n, v)| self.subject_version(&subject, n, v.id)));
        }
        all
    }

    pub fn schema(&self, id: i32, fetch_max_id: bool) -> Result<SchemaString> {
        let content = &self.schemas.get(&id).ok_or_else(|| no_schema(id))?.content;
        Ok(SchemaString {
            schema_type: content.schema_type,
            schema: content.text.to_string(),
            references: content.references.clone(),
            max_id: fetch_max_id.then_some(self.id_max),
        })
    }

    /// The text of schema `id` in another form, if it has one of that name: `serialized`, which Protobuf clients ask for.
    /// Other names mean the usual text, as for Confluent.
    pub fn formatted(&self, id: i32, format: &str) -> Option<String> {
        match &self.registered(id)?.parsed {
            ParsedSchema::Protobuf(schema) if format.eq_ignore_ascii_case("serialized") => Some(schema.serialized()),
            _ => None,
        }
    }

    /// Versions that are this schema, by subject and number.
    pub fn schema_versions(&self, id: i32, deleted: bool) -> Result<Vec<VersionOf>> {
        let used = &self.schemas.get(&id).ok_or_else(|| no_schema(id))?.used;
        let shown = used.iter().filter(|(subject, version)| {
            self.subjects.get(subject).and_then(|v| v.get(version)).is_some_and(|v| deleted || !v.deleted)
        });
        Ok(shown.map(|(subject, version)| VersionOf { subject: subject.clone(), version: *version }).collect())
    }

    pub fn schema_subjects(&self, id: i32, deleted: bool) -> Result<Vec<String>> {
        let versions = self.schema_versions(id, deleted)?;
        Ok(versions.into_iter().map(|v| v.subject).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The parsed schema with this id.
    pub fn registered(&self, id: i32) -> Option<Arc<RegisteredSchema>> {
        self.schemas.get(&id)?.registered.clone()
    }

    /// The newest version of `subject` and its schema.
    pub fn latest(&self, subject: &str) -> Option<(i32, Arc<RegisteredSchema>)> {
        let (number, version) = self.find_version(subject, VersionSpec::Latest, false).ok()?;
        Some((number, self.registered(version.id)?))
    }

    /// Would this schema get on with one version, or with all that the subject's level names?
    pub fn compatibility(
        &self,
        subject: &str,
        version: Option<VersionSpec>,
        request: &SchemaRequest,
        verbose: bool,
        normalize: bool,
    ) -> Result<CompatibilityAnswer> {
        let subject = subject_name(subject)?;
        let level = self.compatibility_of(subject);
        let (_, parsed) = self.content(request, normalize || self.normalizes(subject))?;
        let messages = match version {
            // One version is asked for: the level's direction counts, not how many versions it covers.
            Some(version) => match self.find_version(subject, version, false) {
                Ok((number, version)) => self.conflicts(level, &parsed, [(number, version.id)]),
                // As Confluent: a subject's first schema breaks nothing.
                Err(_) if version == VersionSpec::Latest => Vec::new(),
                Err(error) => return Err(error),
            },
            None => self.conflicts_with_subject(level, subject, &parsed),
        };
        Ok(CompatibilityAnswer { is_compatible: messages.is_empty(), messages: verbose.then_some(messages) })
    }

    /// The level in force for `subject` (`None`: everywhere).
    pub fn config(&self, subject: Option<&str>, default_to_global: bool) -> Result<ConfigAnswer> {
        let Some(subject) = subject else {
            let global = self.configs.get(&None).copied().unwrap_or_default();
            let compatibility_level = global.compatibility_level.unwrap_or_default();
            return Ok(ConfigAnswer { compatibility_level, normalize: global.normalize });
        };
        let subject = subject_name(subject)?;
        match self.configs.get(&Some(subject.to_owned())) {
            Some(own) => Ok(ConfigAnswer {
                compatibility_level: own.compatibility_level.unwrap_or_else(|| self.compatibility_of(subject)),
                normalize: own.normalize,
            }),
            None if default_to_global => self.config(None, false),
            None => Err(Error::new(
                codes::SUBJECT_CONFIG_NOT_FOUND,
                format!("subject '{subject}' does not have subject-level compatibility configured"),
            )),
        }
    }

    /// The mode in force for `subject` (`None`: everywhere).
    pub fn mode(&self, subject: Option<&str>, default_to_global: bool) -> Result<ModeAnswer> {
        let Some(subject) = subject else { return Ok(ModeAnswer { mode: self.mode_of(None) }) };
        let subject = subject_name(subject)?;
        match self.modes.get(&Some(subject.to_owned())) {
            Some(&mode) => Ok(ModeAnswer { mode }),
            None if default_to_global => self.mode(None, false),
            None => Err(Error::new(
                codes::SUBJECT_MODE_NOT_FOUND,
                format!("subject '{subject}' does not have subject-level mode configured"),
            )),
        }
    }

    /// The contexts in which there are subjects, the default one first.
    pub fn contexts(&self) -> Vec<String> {
        let mut contexts = BTreeSet::from(["."]);
        // `:.context:subject`
        let named = self.subjects.iter().filter(|(_, versions)| !versions.is_empty());
        contexts.extend(named.filter_map(|(subject, _)| Some(subject.strip_prefix(':')?.split_once(':')?.0)));
        contexts.into_iter().filter(|context| context.starts_with('.')).map(str::to_owned).collect()
    }

    /// The newest version of `subject` with metadata (tags, owners) that are asked for. Metadata are not kept, so no version has
    /// any.
    pub fn latest_with_metadata(&self, subject: &str, deleted: bool) -> Result<SubjectVersion> {
        self.versions(subject, deleted, false)?;
        Err(Error::new(codes::REGISTERED_SCHEMA_NOT_FOUND, format!("no schema of subject '{subject}' has metadata"))
            .hint("metadata of schemas are not kept"))
    }

    /// The level for `subject`, its own or the global one.
    pub fn level(&self, subject: &str) -> Compatibility {
        self.compatibility_of(subject)
    }
}

/// References may be given in any order.
fn same_content(a: &Content, b: &Content) -> bool {
    a.schema_type == b.schema_type && a.text == b.text && (a.references == b.references || sorted(a) == sorted(b))
}

fn sorted(content: &Content) -> Vec<&crate::Reference> {
    let mut references: Vec<_> = content.references.iter().collect();
    references.sort();
    references
}

pub(super) fn no_subject(subject: &str) -> Error {
    Error::new(codes::SUBJECT_NOT_FOUND, format!("subject '{subject}' not found"))
}

pub(super) fn no_version(subject: &str, version: VersionSpec) -> Error {
    let version = match version {
        VersionSpec::Latest => "latest".to_owned(),
        VersionSpec::Number(number) => number.to_string(),
    };
    Error::new(codes::VERSION_NOT_FOUND, format!("version {version} of subject '{subject}' not found"))
}

fn no_schema(id: i32) -> Error {
    Error::new(codes::REGISTERED_SCHEMA_NOT_FOUND, format!("schema {id} not found"))
}
