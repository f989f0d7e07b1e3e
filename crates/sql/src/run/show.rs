//! SHOW and DESCRIBE.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use catalog::EntryKind;
use datafusion::sql::{parser::Statement as DfStatement, sqlparser::ast::Ident};
use lake::{StreamKind, TopicTable};
use model::{Error, Result, TableName, error::codes};
use schemas::sql::{quoted, type_name};
use tables::{Table, iceberg::Transform};

use super::Run;
use crate::{
    Outcome,
    bind::folded,
    errors,
    relation::{Pseudo, Relation},
    text::Show,
};

impl Run<'_> {
    pub(super) async fn show(&self, show: &Show) -> Result<Outcome> {
        let parts = &self.engine().parts;
        match show {
            Show::Tables { namespace, like } => self.show_tables(namespace.as_ref(), like.as_deref()).await,
            Show::Views => {
                let views = parts.catalog.entries(EntryKind::View).await?;
                let rows = views
                    .into_iter()
                    .map(|view| {
                        let sql = view.definition.get("sql").and_then(|sql| sql.as_str()).map(str::to_owned);
                        [Some(view.namespace.to_string()), Some(view.name), sql]
                    })
                    .collect();
                Ok(Outcome::table("SHOW VIEWS", ["zone", "name", "query"], rows))
            }
            Show::Topics { all } => {
                let mut topics = parts.log.topics();
                topics.sort_by(|a, b| a.name.cmp(&b.name));
                let rows = topics
                    .iter()
                    .filter(|topic| *all || !topic.name.is_internal())
                    .map(|topic| {
                        let bounds =
                            commitlog::partitions(topic).filter_map(|partition| parts.log.bounds(&partition).ok());
                        let records: i64 = bounds.map(|b| b.high_watermark - b.log_start).sum();
                        [
                            Some(topic.name.to_string()),
                            Some(topic.partitions.to_string()),
                            Some(records.to_string()),
                            Some(topic.config.retention_ms.to_string()),
                        ]
                    })
                    .collect();
                Ok(Outcome::table("SHOW TOPICS", ["topic", "partitions", "records", "retention_ms"], rows))
            }
            Show::Streams => {
                let rows = parts
                    .lake
                    .declarations()
                    .iter()
                    .map(|d| {
                        [
                            Some(d.name.to_string()),
                            Some(kind(d.kind).to_owned()),
                            Some(d.topic.to_string()),
                            Some(d.key_format.to_string()),
                            Some(d.value_format.to_string()),
                        ]
                    })
                    .collect();
                Ok(Outcome::table("SHOW STREAMS", ["name", "kind", "topic", "key_format", "value_format"], rows))
            }
            Show::Queries => Ok(Outcome::table("SHOW QUERIES", ["query"], Vec::new())
                .notice("continuous queries are not part of this release")),
            Show::Functions { like } => {
                let state = &self.state;
                let mut names: Vec<(String, &str)> =
                    state.scalar_functions().keys().map(|name| (name.clone(), "scalar")).collect();
                names.extend(state.aggregate_functions().keys().map(|name| (name.clone(), "aggregate")));
                names.extend(state.window_functions().keys().map(|name| (name.clone(), "window")));
                names.extend(state.table_functions().keys().map(|name| (name.clone(), "table")));
                names.sort();
                let rows = names
                    .into_iter()
                    .filter(|(name, _)| like.as_deref().is_none_or(|like| matches_like(name, like)))
                    .map(|(name, kind)| [Some(name), Some(kind.to_owned())])
                    .collect();
                Ok(Outcome::table("SHOW FUNCTIONS", ["name", "kind"], rows))
            }
            Show::Columns { of } => self.describe_relation(of, false).await,
            Show::Create { of } => self.show_create(of).await,
            Show::Zones => {
                let rows = parts.catalog.names().namespaces.keys().map(|zone| [Some(zone.to_string())]).collect();
                Ok(Outcome::table("SHOW SCHEMAS", ["zone"], rows))
            }
            Show::All => {
                let rows = self.all_settings()?.into_iter().map(|(key, value)| [Some(key), Some(value)]).collect();
                Ok(Outcome::table("SHOW ALL", ["name", "setting"], rows))
            }
            Show::Variable(key) => {
                let value = self.setting(key)?;
                Ok(Outcome::table("SHOW", [key.as_str()], vec![[Some(value)]]))
            }
        }
    }

    async fn show_tables(&self, namespace: Option<&Ident>, like: Option<&str>) -> Result<Outcome> {
        let parts = &self.engine().parts;
        let names = parts.catalog.names();
        let zones: Vec<Arc<str>> = match namespace {
            Some(zone) => {
                let zone: Arc<str> = folded(zone).into();
                if names.namespace(&zone).is_none() {
                    return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no zone `{zone}`"))
                        .hint("SHOW SCHEMAS lists the zones"));
                }
                vec![zone]
            }
            None => names.namespaces.keys().cloned().collect(),
        };
        let mut rows = Vec::new();
        for zone in zones {
            for name in self.engine().names_in(&zone, false) {
                if like.is_some_and(|like| !matches_like(&name, like)) {
                    continue;
                }
                let known = names.namespace(&zone);
                let is_topic = &*zone == TableName::DEFAULT_NAMESPACE && parts.log.topic(&name).is_some();
                let kind = match known {
                    Some(known) if known.has_entry(EntryKind::View, &name) => "view",
                    Some(known) if known.has_entry(EntryKind::Stream, &name) => {
                        let declared = parts.lake.declaration(&TableName::new(&zone, &name));
                        declared.map_or("stream", |declared| self::kind(declared.kind))
                    }
                    _ if is_topic => "topic",
                    _ => "table",
                };
                rows.push([Some(zone.to_string()), Some(name.to_string()), Some(kind.to_owned())]);
            }
        }
        Ok(Outcome::table("SHOW TABLES", ["zone", "name", "kind"], rows))
    }

    pub(super) async fn describe_relation(&self, name: &[Ident], extended: bool) -> Result<Outcome> {
        let name = self.binder().resolve(name)?;
        let Some(relation) = self.engine().relation(&name).await? else {
            let known = self.engine().names_in(&name.namespace, true);
            return Err(errors::table_not_found(&name.name, known.iter().map(|known| &**known)));
        };
        let mut rows = match &relation {
            Relation::Topic(topic) => topic_columns(topic),
            Relation::Table(table) => columns(table.arrow_schema(), "table"),
            Relation::View(_) => columns(&self.columns_of(&name).await?, "view"),
            Relation::Metadata(..) => columns(&self.columns_of(&name).await?, "metadata"),
        };
        if extended {
            rows.extend(
                self.facts(&relation)?.into_iter().map(|(key, value)| [Some(key.to_owned()), Some(value), None, None]),
            );
        }
        Ok(Outcome::table("DESCRIBE", ["column_name", "data_type", "is_nullable", "origin"], rows))
    }

    /// `DESCRIBE SELECT …`
    pub(super) async fn describe_columns(&self, query: &DfStatement) -> Result<Outcome> {
        let schema = self.describe_query(query, &[]).await?.schema;
        let rows = columns(&schema, "query");
        Ok(Outcome::table("DESCRIBE", ["column_name", "data_type", "is_nullable", "origin"], rows))
    }

    async fn columns_of(&self, name: &TableName) -> Result<SchemaRef> {
        let provider = self.binder().provider(name, Pseudo::NONE).await?;
        provider
            .map(|provider| provider.schema())
            .ok_or_else(|| errors::table_not_found(&name.to_string(), std::iter::empty()))
    }

    /// What is worth knowing beside the columns; keys begin with `#`.
    fn facts(&self, relation: &Relation) -> Result<Vec<(&'static str, String)>> {
        let mut facts = Vec::new();
        match relation {
            Relation::Topic(topic) => {
                facts.push(("# topic", topic.topic.to_string()));
                facts.push(("# partitions", topic.partitions.to_string()));
                facts.push(("# key format", topic.key_format.to_string()));
                facts.push(("# value format", topic.value_format.to_string()));
                facts.push(("# table", topic.table.to_string()));
                if let Some(status) = self.engine().parts.lake.status().into_iter().find(|s| s.topic == topic.topic) {
                    facts.push(("# rows in the table", status.rows_committed.to_string()));
                    facts.push(("# records in the tail", status.lag.to_string()));
                    facts.push(("# records not decoded", status.rejected.to_string()));
                    if let Some(error) = status.error {
                        facts.push(("# last error", error));
                    }
                }
            }
            Relation::Table(table) | Relation::Metadata(table, _) => {
                let metadata = table.metadata();
                facts.push(("# location", metadata.location().to_owned()));
                facts.push(("# snapshots", metadata.snapshots().len().to_string()));
                if let Some(snapshot) = table.current_snapshot() {
                    facts.push(("# snapshot", snapshot.snapshot_id().to_string()));
                    let totals = &snapshot.summary().additional_properties;
                    for (fact, key) in
                        [("# rows", "total-records"), ("# files", "total-data-files"), ("# bytes", "total-files-size")]
                    {
                        if let Some(total) = totals.get(key) {
                            facts.push((fact, total.clone()));
                        }
                    }
                }
                let partitions = partitions(table);
                if !partitions.is_empty() {
                    facts.push(("# partitioned by", partitions.join(", ")));
                }
                facts.extend(
                    metadata.properties().iter().map(|(key, value)| ("# property", format!("{key} = {value}"))),
                );
            }
            Relation::View(view) => {
                facts.push(("# query", view.sql.clone()));
                facts.push(("# names looked up in", view.namespace.clone()));
            }
        }
        Ok(facts)
    }

    async fn show_create(&self, name: &[Ident]) -> Result<Outcome> {
        let name = self.binder().resolve(name)?;
        let text = match self.engine().relation(&name).await? {
            Some(Relation::View(view)) => {
                let columns: Vec<String> = view.columns.iter().map(|column| quoted(column)).collect();
                let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
                format!("CREATE VIEW {}{columns} AS {}", written(&name), view.sql)
            }
            Some(Relation::Table(table)) => create_table(&name, &table),
            Some(Relation::Topic(topic)) => match &topic.declaration {
                Some(declared) if !declared.statement.is_empty() => declared.statement.clone(),
                _ => create_stream(&name, &topic),
            },
            Some(Relation::Metadata(..)) => {
                return Err(Error::new(codes::SQL_UNSUPPORTED, "metadata tables are not created by a statement"));
            }
            None => {
                let known = self.engine().names_in(&name.namespace, true);
                return Err(errors::table_not_found(&name.name, known.iter().map(|known| &**known)));
            }
        };
        Ok(Outcome::table("SHOW CREATE", ["name", "statement"], vec![[Some(name.to_string()), Some(text)]]))
    }
}

fn kind(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Stream => "stream",
        StreamKind::Table => "table over a topic",
    }
}

fn row(field: &Field, origin: &str) -> [Option<String>; 4] {
    let nullable = if field.is_nullable() { "YES" } else { "NO" };
    [Some(field.name().clone()), Some(type_name(field.data_type())), Some(nullable.to_owned()), Some(origin.to_owned())]
}

fn columns(schema: &SchemaRef, origin: &str) -> Vec<[Option<String>; 4]> {
    schema.fields().iter().map(|field| row(field, origin)).collect()
}

fn topic_columns(topic: &TopicTable) -> Vec<[Option<String>; 4]> {
    let shown = |origin: &lake::Origin| match origin {
        lake::Origin::Registry { subject, version } => format!("registry ({subject} v{version})"),
        other => other.as_str().to_owned(),
    };
    let (origin, key_origin) = (shown(&topic.origin), shown(&topic.key_origin));
    let fields = topic.schema.fields().iter().enumerate();
    fields
        .map(|(index, field)| match index {
            _ if index < topic.key_columns => row(field, &format!("{key_origin}, key")),
            _ if index < topic.own_columns() => row(field, &origin),
            _ => row(field, "pseudo-column, not in *"),
        })
        .collect()
}

fn written(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.namespace), quoted(&name.name))
}

fn create_table(name: &TableName, table: &Table) -> String {
    let columns: Vec<String> = table
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("  {} {}{not_null}", quoted(field.name()), type_name(field.data_type()))
        })
        .collect();
    let mut text = format!("CREATE TABLE {} (\n{}\n)", written(name), columns.join(",\n"));
    let partitions = partitions(table);
    if !partitions.is_empty() {
        text.push_str(&format!("\nPARTITIONED BY ({})", partitions.join(", ")));
    }
    text
}

fn partitions(table: &Table) -> Vec<String> {
    let metadata = table.metadata();
    let schema = metadata.current_schema();
    let fields = metadata.default_partition_spec().fields().to_vec();
    fields
        .iter()
        .map(|field| {
            let column = schema.field_by_id(field.source_id).map_or_else(|| field.name.clone(), |f| quoted(&f.name));
            match field.transform {
                Transform::Identity => column,
                Transform::Bucket(n) => format!("bucket({n}, {column})"),
                Transform::Truncate(n) => format!("truncate({n}, {column})"),
                other => format!("{other}({column})"),
            }
        })
        .collect()
}

fn create_stream(name: &TableName, topic: &TopicTable) -> String {
    let fields = topic.schema.fields().iter().take(topic.own_columns()).enumerate();
    let columns: Vec<String> = fields
        .map(|(index, field)| {
            let key = if index < topic.key_columns { " KEY" } else { "" };
            format!("  {} {}{key}", quoted(field.name()), type_name(field.data_type()))
        })
        .collect();
    format!(
        "CREATE STREAM {} (\n{}\n) WITH (KAFKA_TOPIC='{}', VALUE_FORMAT='{}')",
        written(name),
        columns.join(",\n"),
        topic.topic,
        topic.value_format
    )
}

/// SQL's LIKE, for short names: `%` and `_`, case does not matter.
fn matches_like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    // `reached[i]`: the first i characters of the name match the pattern so far.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for p in pattern {
        let mut next = vec![false; name.len() + 1];
        match p {
            '%' => {
                let mut any = false;
                for (index, before) in reached.iter().enumerate() {
                    any |= before;
                    next[index] = any;
                }
            }
            p => {
                for index in 0..name.len() {
                    next[index + 1] = reached[index] && (p == '_' || p == name[index]);
                }
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::matches_like;

    #[test]
    fn like_knows_its_two_wildcards() {
        assert!(matches_like("orders", "ord%"));
        assert!(matches_like("Orders", "o_d%s"));
        assert!(matches_like("a%b", "%"));
        assert!(!matches_like("orders", "order"));
    }
}
