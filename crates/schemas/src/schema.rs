//! A schema the registry knows, parsed once and shared.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use model::Result;
use serde::{Deserialize, Serialize};

use crate::{avro, json_schema, protobuf};

/// The language of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaType {
    #[default]
    Avro,
    Json,
    Protobuf,
}

impl SchemaType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A schema that another one uses: `name` is what the user writes (an Avro full name, a JSON `$ref`, a
/// Protobuf import).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    pub subject: String,
    pub version: i32,
}

/// A schema with everything it refers to.
#[derive(Clone, Debug)]
pub enum ParsedSchema {
    Avro(Arc<avro::Schema>),
    Json(Arc<json_schema::Schema>),
    Protobuf(Arc<protobuf::Schema>),
}

impl ParsedSchema {
    /// Parses `text`; `references` are the referenced schemas' names and texts, dependencies first.
    pub fn parse(schema_type: SchemaType, text: &str, references: &[(String, String)]) -> Result<Self> {
        match schema_type {
            SchemaType::Avro => avro::Schema::parse(text, references).map(|s| Self::Avro(Arc::new(s))),
            SchemaType::Json => json_schema::Schema::parse(text, references).map(|s| Self::Json(Arc::new(s))),
            SchemaType::Protobuf => protobuf::Schema::parse(text, references).map(|s| Self::Protobuf(Arc::new(s))),
        }
    }

    /// The columns that records of this schema have.
    pub fn columns(&self) -> Result<SchemaRef> {
        match self {
            Self::Avro(schema) => schema.columns(),
            Self::Json(schema) => schema.columns(),
            Self::Protobuf(schema) => schema.columns(),
        }
    }

    /// One text for all ways of writing the same schema. `normalize` also sorts what has no order.
    pub fn canonical(&self, normalize: bool) -> String {
        match self {
            Self::Avro(schema) => schema.canonical(normalize),
            Self::Json(schema) => schema.canonical(normalize),
            Self::Protobuf(schema) => schema.canonical(normalize),
        }
    }
}

/// A schema as the registry keeps it.
#[derive(Clone, Debug)]
pub struct RegisteredSchema {
    /// Global id, as in the frame of payloads.
    pub id: i32,
    pub schema_type: SchemaType,
    /// The text as registered (canonical).
    pub text: Arc<str>,
    pub references: Vec<Reference>,
    pub parsed: ParsedSchema,
}

/// Where schemas of framed payloads come from.
pub trait SchemaSource: Send + Sync {
    fn schema_by_id(&self, id: i32) -> Option<Arc<RegisteredSchema>>;
}

impl<F: Fn(i32) -> Option<Arc<RegisteredSchema>> + Send + Sync> SchemaSource for F {
    fn schema_by_id(&self, id: i32) -> Option<Arc<RegisteredSchema>> {
        self(id)
    }
}

/// A source that knows no schema.
pub fn no_schemas() -> Arc<dyn SchemaSource> {
    Arc::new(|_: i32| None)
}
