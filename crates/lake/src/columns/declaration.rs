//! Columns as `CREATE STREAM` and `CREATE TABLE` declare them, and as the catalog keeps them.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use model::{TableName, TopicName};
use schemas::Format;
use serde::{Deserialize, Serialize};

/// What a declared name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    /// Each record is a row.
    Stream,
    /// A record replaces the earlier one of the same key.
    Table,
}

/// One declared column. Types are Arrow's: the ones `schemas` decodes into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredColumn {
    pub name: String,
    #[serde(with = "super::stored_type")]
    pub data_type: DataType,
    /// `KEY` or `PRIMARY KEY`: read from the record's key.
    #[serde(default)]
    pub key: bool,
}

/// A declared stream or table over a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamDeclaration {
    /// The name SQL knows it by; the topic may be called differently.
    pub name: TableName,
    pub kind: StreamKind,
    pub topic: TopicName,
    pub key_format: Format,
    pub value_format: Format,
    /// In the order written. Without value columns they come from the registry, or are inferred.
    pub columns: Vec<DeclaredColumn>,
    /// `WRAP_SINGLE_VALUE`
    #[serde(default = "yes")]
    pub wrap_single_value: bool,
    /// Shows some of the columns its topic has, and changes nothing about the topic.
    #[serde(default)]
    pub is_projection: bool,
    /// All properties as written, for `DESCRIBE`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The statement, for people.
    #[serde(default)]
    pub statement: String,
}

fn yes() -> bool {
    true
}
