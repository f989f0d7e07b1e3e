//! Changes of the metadata alone: columns and properties.

use std::collections::HashMap;

use model::{Error, Result, error::codes};

use super::{Attempt, Proposal};
use crate::{SchemaChange, schema::evolved};

pub(crate) struct EvolveWork(pub(crate) Vec<SchemaChange>);

impl EvolveWork {
    pub(super) fn propose(&self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let Some(schema) = evolved(attempt.base.metadata(), &self.0)? else { return Ok(Proposal::Nothing) };
        attempt.metadata_only(Vec::new(), |builder| {
            builder.add_current_schema(schema).map_err(|e| {
                let what = format!("could not change the columns of `{}`", attempt.base.name());
                Error::new(codes::SCHEMA_CHANGE_ILLEGAL, what).detail(e.to_string())
            })
        })
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
        attempt.metadata_only(Vec::new(), |builder| {
            let changed = builder.set_properties(self.set.clone()).and_then(|b| b.remove_properties(&self.remove));
            changed.map_err(|e| {
                let what = format!("could not set properties of `{}`", attempt.base.name());
                Error::new(codes::TABLE_SCHEMA_INVALID, what).detail(e.to_string())
            })
        })
    }
}
