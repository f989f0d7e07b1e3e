//! The records of `_schemas`, as Confluent's registry writes them.
//!
//! | key | value |
//! |---|---|
//! | `{"keytype":"SCHEMA","subject":s,"version":n,"magic":1}` | the schema, `"deleted":true` when soft-deleted; null: gone |
//! | `{"keytype":"DELETE_SUBJECT","subject":s,"magic":0}` | `{"subject":s,"version":n}`: versions up to n are soft-deleted |
//! | `{"keytype":"CONFIG","subject":s or null,"magic":0}` | `{"compatibilityLevel":…}`; null: back to the default |
//! | `{"keytype":"MODE","subject":s or null,"magic":0}` | `{"mode":…}`; null: back to the default |
//! | `{"keytype":"NOOP","magic":0}` | null, or here `{"maxId":n}`: ids up to n have been used |

use bytes::Bytes;
use model::{Error, Result, error::codes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Compatibility, Mode};
use crate::{Reference, SchemaType};

/// One record of `_schemas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A record, understood.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Schema {
        subject: String,
        version: i32,
        value: Option<SchemaValue>,
    },
    DeleteSubject {
        subject: String,
        version: i32,
    },
    Config {
        subject: Option<String>,
        value: Option<ConfigValue>,
    },
    Mode {
        subject: Option<String>,
        value: Option<Mode>,
    },
    Noop {
        max_id: Option<i32>,
    },
    /// Of a kind this registry does not know.
    Other,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaValue {
    pub(super) subject: String,
    pub(super) version: i32,
    pub(super) id: i32,
    #[serde(default, skip_serializing_if = "is_avro")]
    pub(super) schema_type: SchemaType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) references: Option<Vec<Reference>>,
    pub(super) schema: String,
    #[serde(default)]
    pub(super) deleted: bool,
}

fn is_avro(schema_type: &SchemaType) -> bool {
    *schema_type == SchemaType::Avro
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigValue {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compatibility_level: Option<Compatibility>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) normalize: Option<bool>,
}

#[derive(Deserialize)]
struct Key {
    keytype: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    version: Option<i32>,
}

impl Event {
    pub(super) fn read(key: &[u8], value: Option<&[u8]>) -> Result<Self> {
        let bad = |why: String| {
            Error::new(codes::REGISTRY_RECORD_INVALID, "a record of `_schemas` cannot be read").detail(why)
        };
        let parsed = |what: &str, e: serde_json::Error| bad(format!("its {what}: {e}"));
        let key: Key = serde_json::from_slice(key).map_err(|e| parsed("key", e))?;
        let subject = |key: &Key| key.subject.clone().ok_or_else(|| bad("its key has no subject".into()));
        fn value_of<T: for<'a> Deserialize<'a>>(value: Option<&[u8]>) -> serde_json::Result<Option<T>> {
            value.map_or(Ok(None), serde_json::from_slice)
        }
        Ok(match key.keytype.as_str() {
            "SCHEMA" => Self::Schema {
                subject: subject(&key)?,
                version: key.version.ok_or_else(|| bad("its key has no version".into()))?,
                value: value_of(value).map_err(|e| parsed("value", e))?,
            },
            "DELETE_SUBJECT" => {
                let value: Option<Value> = value_of(value).map_err(|e| parsed("value", e))?;
                let version = value.and_then(|value| value.get("version").and_then(Value::as_i64));
                let version = version.map_or(i32::MAX, |version| i32::try_from(version).unwrap_or(i32::MAX));
                Self::DeleteSubject { subject: subject(&key)?, version }
            }
            "CONFIG" => Self::Config { subject: key.subject, value: value_of(value).map_err(|e| parsed("value", e))? },
            "MODE" => {
                let value: Option<Value> = value_of(value).map_err(|e| parsed("value", e))?;
                let mode = value.as_ref().and_then(|value| value.get("mode").and_then(Value::as_str));
                Self::Mode { subject: key.subject, value: mode.map(str::parse).transpose()? }
            }
            "NOOP" => {
                let value: Option<Value> = value_of(value).map_err(|e| parsed("value", e))?;
                let max_id = value.and_then(|value| value.get("maxId").and_then(Value::as_i64));
                Self::Noop { max_id: max_id.and_then(|id| i32::try_from(id).ok()) }
            }
            _ => Self::Other,
        })
    }

    pub(super) fn write(&self) -> Record {
        let setting =
            |keytype: &str, subject: &Option<String>| json!({"keytype": keytype, "subject": subject, "magic": 0});
        let (key, value) = match self {
            Self::Schema { subject, version, value } => (
                json!({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}),
                value.as_ref().map(|value| json!(value)),
            ),
            Self::DeleteSubject { subject, version } => (
                json!({"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0}),
                Some(json!({"subject": subject, "version": version})),
            ),
            Self::Config { subject, value } => (setting("CONFIG", subject), value.as_ref().map(|value| json!(value))),
            Self::Mode { subject, value } => (setting("MODE", subject), value.map(|mode| json!({"mode": mode}))),
            Self::Noop { max_id } => (json!({"keytype": "NOOP", "magic": 0}), max_id.map(|id| json!({"maxId": id}))),
            Self::Other => (json!({"keytype": "NOOP", "magic": 0}), None),
        };
        Record { key: key.to_string().into(), value: value.map(|value| value.to_string().into()) }
    }
}
