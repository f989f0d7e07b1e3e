//! What a name in FROM can be: a topic, an Iceberg table, a view, or a table's metadata.

mod columns;
mod metadata;
mod tail;
mod topic;
mod zones;

use std::{collections::BTreeSet, sync::Arc};

use catalog::EntryKind;
use datafusion::sql::sqlparser::ast::Ident;
use lake::TopicTable;
use model::{Result, TableName};
use serde::{Deserialize, Serialize};
use tables::Table;

pub(crate) use columns::{missing_table, standard_table};
pub(crate) use metadata::provider as metadata_provider;
pub(crate) use topic::{Pseudo, TopicProvider, versioned};
pub(crate) use zones::{CATALOG, Zones};

use crate::Engine;

/// Something one can select from.
#[derive(Clone)]
pub(crate) enum Relation {
    Topic(Arc<TopicTable>),
    Table(Arc<Table>),
    View(ViewDefinition),
    /// `t$snapshots` and its kin.
    Metadata(Arc<Table>, String),
}

/// A view, as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ViewDefinition {
    /// The query.
    pub(crate) sql: String,
    /// Zone of unqualified names in it.
    pub(crate) namespace: String,
    /// Names given to its columns, if any were.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
}

impl Engine {
    /// What `name` is. Declared streams come first, then topics, tables, views.
    pub(crate) async fn relation(&self, name: &TableName) -> Result<Option<Relation>> {
        if let Some(topic) = self.parts.lake.lookup(name).await? {
            return Ok(Some(Relation::Topic(topic)));
        }
        if let Some(table) = self.parts.lake.table(name).await? {
            return Ok(Some(Relation::Table(table)));
        }
        if let Some(view) = self.view(name).await? {
            return Ok(Some(Relation::View(view)));
        }
        if let Some((base, kind)) = name.name.rsplit_once('$')
            && !base.is_empty()
        {
            let base = TableName::new(&name.namespace, base);
            let table = match self.parts.lake.lookup(&base).await? {
                Some(topic) => self.parts.tables.load(&topic.table).await?,
                None => self.parts.lake.table(&base).await?,
            };
            return Ok(table.map(|table| Relation::Metadata(table, kind.to_owned())));
        }
        Ok(None)
    }

    pub(crate) async fn view(&self, name: &TableName) -> Result<Option<ViewDefinition>> {
        let Some(entry) = self.parts.catalog.entry(EntryKind::View, &name.namespace, &name.name).await? else {
            return Ok(None);
        };
        serde_json::from_value(entry.definition).map(Some).map_err(|e| {
            model::Error::internal(format!("the definition of view `{name}` cannot be read")).detail(e.to_string())
        })
    }

    /// Names of everything in a zone; topics whose names begin with `_` only with `internal`.
    pub(crate) fn names_in(&self, namespace: &str, internal: bool) -> BTreeSet<Arc<str>> {
        let mut found = BTreeSet::new();
        let names = self.parts.catalog.names();
        if let Some(names) = names.namespace(namespace) {
            found.extend(names.tables.iter().filter(|name| internal || !name.starts_with('_')).cloned());
            for kind in EntryKind::ALL {
                found.extend(names.entries(kind).cloned());
            }
        }
        if namespace == TableName::DEFAULT_NAMESPACE {
            let mut topics = self.parts.log.topics();
            // No door hands out salted passwords.
            topics.retain(|t| t.name.as_str() != model::USERS_TOPIC);
            found.extend(
                topics.iter().filter(|t| internal || !t.name.is_internal()).map(|t| Arc::from(t.name.as_str())),
            );
        }
        found
    }

    /// The name in `namespace` that `ident` stands for: quoted exactly; unquoted exactly as written, else in lower case, else
    /// the only one that differs in case alone.
    pub(crate) fn match_name(&self, namespace: &str, ident: &Ident) -> Option<Arc<str>> {
        let names = self.names_in(namespace, true);
        // `t$snapshots` matches by its table.
        let (written, suffix) = match ident.value.rsplit_once('$') {
            Some((base, kind)) if !base.is_empty() && !names.contains(ident.value.as_str()) => (base, Some(kind)),
            _ => (ident.value.as_str(), None),
        };
        let found = if ident.quote_style.is_some() { names.get(written).cloned() } else { pick(written, &names) }?;
        Some(match suffix {
            Some(kind) => format!("{found}${}", kind.to_lowercase()).into(),
            None => found,
        })
    }
}

/// `written` among `names` by the rule for unquoted names.
pub(crate) fn pick(written: &str, names: &BTreeSet<Arc<str>>) -> Option<Arc<str>> {
    if let Some(exact) = names.get(written) {
        return Some(exact.clone());
    }
    let lower = written.to_lowercase();
    if let Some(folded) = names.get(lower.as_str()) {
        return Some(folded.clone());
    }
    let mut alike = names.iter().filter(|name| name.to_lowercase() == lower);
    match (alike.next(), alike.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}
