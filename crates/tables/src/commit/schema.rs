//! Changes of the metadata alone: columns and properties.

use std::collections::HashMap;

use iceberg::spec::TableMetadataBuilder;
use model::{Error, Result, error::codes};

use super::{Attempt, Proposal};
use crate::{SchemaChange, schema::evolved};

pub(crate) struct EvolveWork(pub(crate) Vec<SchemaChange>);

impl EvolveWork {
    pub(super) fn propose(&self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let Some(schema) = evolved(attempt.base.metadata(), &self.0)? else { return Ok(Proposal::Nothing) };
        let builder = attempt.builder().add_current_schema(schema).map_err(|e| {
            Error::new(codes::SCHEMA_CHANGE_ILLEGAL, format!("could not change the columns of `{}`", attempt.base.name()))
                .detail(e.to_string())
        })?;
        attempt.metadata_only(builder)
    }
}

pub(crate) struct PropertiesWork {
    pub(crate) set: HashMap<String, String>,
    pub(crate) remove: Vec<String>,
}

impl PropertiesWork {
    pub(super) fn propose(&self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let now = attempt.base.metadata().properties();
        let set = self.set.iter().all(|(key, value)| now.get(key) == Some(value));
        if set && !self.remove.iter().any(|key| now.contains_key(key)) {
            return Ok(Proposal::Nothing);
        }
        let refused = |e: iceberg::Error| {
            Error::new(codes::TABLE_SCHEMA_INVALID, format!("could not set properties of `{}`", attempt.base.name()))
                .detail(e.to_string())
        };
        let builder = attempt.builder().set_properties(self.set.clone()).map_err(refused)?;
        attempt.metadata_only(builder.remove_properties(&self.remove).map_err(refused)?)
    }
}

impl Attempt<'_> {
    fn metadata_only(&self, builder: TableMetadataBuilder) -> Result<Proposal> {
        Ok(Proposal::Metadata(Box::new(self.built(builder)?), Vec::new()))
    }
}
