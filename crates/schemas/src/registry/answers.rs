//! What goes over the registry's HTTP door, under Confluent's field names.

use std::{collections::BTreeMap, fmt, str::FromStr};

use model::{Error, error::codes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Reference, SchemaType};

/// What else a body holds. Fields that mean nothing are passed over, as Confluent does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Others(BTreeMap<String, Value>);

impl Others {
    /// Refuses what would be asked for in vain: whoever relies on rules or on an alias must not believe that they are there.
    pub(super) fn refuse(&self, not_kept: &[&str]) -> Result<(), Error> {
        match self.0.iter().find(|(name, value)| not_kept.contains(&name.as_str()) && !is_empty(value)) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Error::new(codes::REGISTRY_NOT_KEPT, format!("`{name}` is not kept by this registry"))
                    .hint(format!("leave `{name}` out; nothing of the request was done")))
            }
        }
    }
}

/// Clients write out what they do not set.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(asked) => !asked,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(_) => false,
    }
}

/// Body of a registration, lookup or compatibility test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaRequest {
    /// Without one the schema is invalid, as for Confluent, and not the body.
    #[serde(default)]
    pub schema: String,
    #[serde(default)]
    pub schema_type: Option<String>,
    #[serde(default)]
    pub references: Option<Vec<Reference>>,
    /// Only in mode IMPORT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i32>,
    /// Only in mode IMPORT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    #[serde(flatten, skip_serializing)]
    pub others: Others,
}

/// `POST /subjects/{subject}/versions`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub id: i32,
}

/// A schema as one version of a subject. AVRO goes without `schemaType`, and no references without `references`, as
/// Confluent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectVersion {
    pub subject: String,
    pub version: i32,
    pub id: i32,
    #[serde(default, skip_serializing_if = "is_avro")]
    pub schema_type: SchemaType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    pub schema: String,
}

/// `GET /schemas/ids/{id}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaString {
    #[serde(default, skip_serializing_if = "is_avro")]
    pub schema_type: SchemaType,
    pub schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Largest id so far, when asked for (`fetchMaxId=true`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_id: Option<i32>,
}

/// `GET /schemas/ids/{id}/versions`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionOf {
    pub subject: String,
    pub version: i32,
}

fn is_avro(schema_type: &SchemaType) -> bool {
    *schema_type == SchemaType::Avro
}

/// `POST /compatibility/…`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompatibilityAnswer {
    pub is_compatible: bool,
    /// Each offending field and rule; only when asked for (`verbose=true`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<String>>,
}

/// Body and answer of `PUT /config/…`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    #[serde(flatten, skip_serializing)]
    pub others: Others,
}

/// Answer of `GET /config/…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigAnswer {
    pub compatibility_level: Compatibility,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
}

/// Body and answer of `/mode/…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeAnswer {
    pub mode: Mode,
}

/// Which earlier versions a new one must get on with, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    None,
    /// The new schema reads what the latest one wrote.
    #[default]
    Backward,
    /// … what every one wrote.
    BackwardTransitive,
    /// The latest schema reads what the new one writes.
    Forward,
    ForwardTransitive,
    /// Both.
    Full,
    FullTransitive,
}

impl Compatibility {
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// The new schema must read old data.
    pub fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Old schemas must read new data.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// All earlier versions count, not just the latest.
    pub fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compatibility {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(name)).ok_or_else(|| {
            Error::new(codes::COMPATIBILITY_LEVEL_INVALID, format!("`{name}` is not a compatibility level")).hint(
                "levels are NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL and FULL_TRANSITIVE",
            )
        })
    }
}

/// What may be done to a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    #[default]
    ReadWrite,
    ReadOnly,
    /// Schemas come with their ids and versions from another registry; compatibility is not checked.
    Import,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::Import => "IMPORT",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        [Self::ReadWrite, Self::ReadOnly, Self::Import]
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                Error::new(codes::REGISTRY_MODE_INVALID, format!("`{name}` is not a mode"))
                    .hint("modes are READWRITE, READONLY and IMPORT")
            })
    }
}

/// A version as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSpec {
    Latest,
    Number(i32),
}

impl FromStr for VersionSpec {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.parse::<i32>()) {
            ("latest" | "-1", _) => Ok(Self::Latest),
            (_, Ok(number)) if number >= 1 => Ok(Self::Number(number)),
            _ => Err(Error::new(
                codes::VERSION_INVALID,
                format!("the specified version '{}' is not a valid version id", text.escape_debug()),
            )
            .hint("a version is a whole number from 1 to 2147483647, or `latest` or `-1`")),
        }
    }
}
