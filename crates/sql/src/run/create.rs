//! CREATE, DROP and ALTER of tables, views and zones; OPTIMIZE and VACUUM.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{Field, Fields, Schema};
use catalog::{Entry, EntryKind};
use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        CreateView, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Statement as SqlStatement,
    },
};
use model::{Error, ErrorKind, Result, TableName, error::codes};
use schemas::sql::quoted;
use tables::{NewTable, PartitionBy, SchemaChange, Table, iceberg::Transform};

use super::{
    Run,
    write::{nullable, storable, storable_schema},
};
use crate::{
    Outcome,
    bind::{Binder, folded, rename},
    errors,
    functions::plain,
    relation::{Relation, ViewDefinition},
    text::{self, CreateTable, Declared, Dropped},
};

/// OPTIMIZE and VACUUM wait so long for statements that are changing rows.
const MAINTAIN_PATIENCE: Duration = Duration::from_secs(10);

impl Run<'_> {
    pub(super) async fn create_table(&self, create: &CreateTable) -> Result<Outcome> {
        let name = self.new_name(&create.name)?;
        let claim = self.engine().parts.lake.claim(&name).await;
        let taken = self.engine().relation(&name).await?;
        match &taken {
            Some(_) if create.if_not_exists => {
                return Ok(Outcome::done("CREATE TABLE").notice(format!("`{name}` exists already, skipped")));
            }
            Some(Relation::Table(_)) if create.or_replace => {}
            Some(_) => return Err(exists(&name)),
            None => {}
        }
        match &create.query {
            None => {
                if create.columns.is_empty() {
                    return Err(Error::new(codes::SQL_INVALID, format!("table `{name}` has no columns")));
                }
                let schema = storable_schema(&schema_of(&create.columns)?)?;
                let new = new_table(schema, create)?;
                let tables = &self.engine().parts.tables;
                match taken {
                    None => drop(tables.create(&name, new).await?),
                    Some(_) => {
                        let unfinished = tables.unfinished_name(&name.namespace);
                        tables.create(&unfinished, new.in_folder_of(&name.name)).await?;
                        tables.replace(&unfinished, &name).await?;
                    }
                }
                Ok(Outcome::done("CREATE TABLE"))
            }
            Some(query) => {
                // It may take long; the name is claimed again when the rows are there.
                drop(claim);
                self.create_table_as(&name, create, query, taken.is_some()).await
            }
        }
    }

    /// The table appears under its name with all its rows, or not at all.
    async fn create_table_as(
        &self,
        name: &TableName,
        create: &CreateTable,
        query: &Query,
        replaces: bool,
    ) -> Result<Outcome> {
        let statement = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query.clone()))));
        let plan = plain(self.binder().plan(statement, self.parsed.named).await?)?;
        let names: Vec<String> = create.columns.iter().map(|column| column.name.clone()).collect();
        let plan = rename(plan, &names)?;
        let plan = self.optimized(plan, Vec::new())?;
        let schema = Schema::new(nullable(storable_schema(plan.schema().as_arrow())?.fields()));
        let plan = self.shaped(plan, schema.fields())?;
        let new = new_table(schema, create)?.in_folder_of(&name.name);
        let tables = &self.engine().parts.tables;
        let unfinished = tables.unfinished_name(&name.namespace);
        let table = tables.create(&unfinished, new).await?;
        let filled = async {
            let mut rows = 0;
            if create.with_data {
                rows = self.append(&table, self.stream(plan, Vec::new()).await?).await?;
            }
            let _claim = self.engine().parts.lake.claim(name).await;
            match self.engine().relation(name).await? {
                None | Some(Relation::Table(_)) => {}
                Some(_) => return Err(exists(name)),
            }
            match replaces {
                true => tables.replace(&unfinished, name).await?,
                false => tables.rename(&unfinished, name).await?,
            }
            Ok::<_, Error>(rows)
        };
        match filled.await {
            Ok(rows) => Ok(Outcome::written(format!("SELECT {rows}"), rows)),
            Err(error) => {
                if let Err(left) = tables.drop(&unfinished, true).await {
                    tracing::warn!(table = %unfinished, error = %left, "could not remove an unfinished table");
                }
                Err(if error.kind() == ErrorKind::AlreadyExists { exists(name) } else { error })
            }
        }
    }

    pub(super) async fn create_view(&self, view: &CreateView) -> Result<Outcome> {
        if view.materialized {
            return Err(Error::new(
                codes::SQL_CONTINUOUS,
                "a materialized view is a continuous query, which is not part of this release",
            )
            .hint("CREATE VIEW name AS SELECT … is always fresh"));
        }
        if view.temporary {
            return Err(Error::new(codes::SQL_UNSUPPORTED, "a temporary view is not offered")
                .hint("name a part of the query with WITH"));
        }
        let name = self.new_name(&self.parts(&view.name)?)?;
        let _claim = self.engine().parts.lake.claim(&name).await;
        match self.engine().relation(&name).await? {
            Some(_) if view.if_not_exists => {
                return Ok(Outcome::done("CREATE VIEW").notice(format!("`{name}` exists already, skipped")));
            }
            Some(Relation::View(_)) if view.or_replace => {}
            Some(_) => return Err(exists(&name)),
            None => {}
        }
        let definition = ViewDefinition {
            sql: text::after_as(&self.parsed.text)?.to_owned(),
            namespace: self.namespace.clone(),
            columns: view.columns.iter().map(|column| folded(&column.name)).collect(),
        };
        // It must read as it is stored, and its columns must be what they are called.
        let plan = Binder::new(self.engine(), &self.state, &self.namespace)
            .with_text(&definition.sql)
            .plan_text(&definition.sql)
            .await?;
        let plan = rename(plan, &definition.columns)?;
        let fields = plan.schema().fields();
        storable_names(fields)?;
        let json = serde_json::to_value(&definition)
            .map_err(|e| Error::internal("a view cannot be written down").detail(e.to_string()))?;
        self.engine().parts.catalog.put_entry(Entry::new(EntryKind::View, &name.namespace, &name.name, json)).await?;
        Ok(Outcome::done("CREATE VIEW"))
    }

    pub(super) async fn create_zone(&self, name: &Ident, if_not_exists: bool) -> Result<Outcome> {
        let zone = folded(name);
        let catalog = &self.engine().parts.catalog;
        let plain = zone.starts_with(|c: char| c.is_ascii_lowercase())
            && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || zone == "information_schema" || zone.starts_with("pg_") {
            return Err(Error::new(codes::SQL_INVALID, format!("`{zone}` cannot name a zone"))
                .hint("a zone is a letter, then letters, digits and `_`"));
        }
        if catalog.names().namespace(&zone).is_some() {
            if if_not_exists {
                return Ok(Outcome::done("CREATE SCHEMA").notice(format!("zone `{zone}` exists already, skipped")));
            }
            return Err(Error::new(codes::SQL_EXISTS, format!("zone `{zone}` exists already")));
        }
        catalog.create_namespace(&zone).await?;
        Ok(Outcome::done("CREATE SCHEMA"))
    }

    pub(super) async fn drop_zone(&self, name: &Ident, if_exists: bool) -> Result<Outcome> {
        let zone = folded(name);
        let catalog = &self.engine().parts.catalog;
        if zone == TableName::DEFAULT_NAMESPACE {
            return Err(Error::new(codes::SQL_UNSUPPORTED, "zone `public` cannot be dropped").hint("topics live in it"));
        }
        if !catalog.drop_namespace(&zone).await? {
            if if_exists {
                return Ok(Outcome::done("DROP SCHEMA").notice(format!("there is no zone `{zone}`, skipped")));
            }
            return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no zone `{zone}`"))
                .hint("SHOW SCHEMAS lists the zones"));
        }
        Ok(Outcome::done("DROP SCHEMA"))
    }

    pub(super) async fn drop(
        &self,
        what: Dropped,
        name: &[Ident],
        if_exists: bool,
        delete_topic: bool,
    ) -> Result<Outcome> {
        let name = self.binder().resolve(name)?;
        let parts = &self.engine().parts;
        let tag = match what {
            Dropped::Stream => "DROP STREAM",
            Dropped::Table => "DROP TABLE",
            Dropped::View => "DROP VIEW",
            Dropped::Topic => "DROP TOPIC",
        };
        let wrong = |is: &str, write: &str| {
            Err(Error::new(codes::SQL_INVALID, format!("`{name}` is a {is}"))
                .hint(format!("write {write} {}", quoted(&name.name))))
        };
        match (what, self.engine().relation(&name).await?) {
            (_, None) if if_exists => {
                return Ok(Outcome::done(tag).notice(format!("there is no `{name}`, skipped")));
            }
            (_, None) => {
                let known = self.engine().names_in(&name.namespace, false);
                return Err(errors::table_not_found(&name.name, known.iter().map(|known| &**known)));
            }
            // Also one that a topic hides.
            (Dropped::View, Some(_)) if self.engine().view(&name).await?.is_some() => {
                parts.catalog.drop_entry(EntryKind::View, &name.namespace, &name.name).await?;
            }
            (Dropped::Table, Some(Relation::Table(_))) => {
                parts.tables.drop(&name, true).await?;
            }
            (Dropped::Topic, Some(Relation::Topic(topic))) => {
                errors::unless_protected(&topic.topic)?;
                parts.log.delete_topic(topic.topic.as_str()).await?;
            }
            (Dropped::Stream | Dropped::Table, Some(Relation::Topic(topic))) => {
                if delete_topic {
                    errors::unless_protected(&topic.topic)?;
                }
                let declared = parts.lake.undeclare(&name).await?;
                if !declared && !delete_topic {
                    return Err(Error::new(codes::SQL_INVALID, format!("`{name}` is a topic without a declaration"))
                        .hint(format!(
                            "{tag} {} DELETE TOPIC deletes the topic with its records",
                            quoted(&name.name)
                        )));
                }
                if delete_topic {
                    parts.log.delete_topic(topic.topic.as_str()).await?;
                }
            }
            (_, Some(Relation::View(_))) => return wrong("view", "DROP VIEW"),
            (_, Some(Relation::Topic(_))) => return wrong("topic or stream", "DROP STREAM"),
            (_, Some(Relation::Table(_))) => return wrong("table", "DROP TABLE"),
            (_, Some(Relation::Metadata(..))) => {
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("`{name}` is metadata and cannot be dropped")));
            }
        }
        Ok(Outcome::done(tag))
    }

    pub(super) async fn add_columns(
        &self,
        table: &[Ident],
        columns: &[Declared],
        if_not_exists: bool,
    ) -> Result<Outcome> {
        let table = self.table_only(table, "ALTER TABLE").await?;
        let mut changes = Vec::with_capacity(columns.len());
        for column in columns {
            if table.arrow_schema().fields().iter().any(|f| f.name().eq_ignore_ascii_case(&column.name)) {
                if if_not_exists {
                    continue;
                }
                return Err(Error::new(codes::SQL_EXISTS, format!("column `{}` exists already", column.name)));
            }
            if !column.nullable {
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("column `{}` cannot be NOT NULL", column.name))
                    .detail("rows that are there already have no value for it"));
            }
            check_role(column)?;
            let data_type = storable(&column.name, &column.data_type)?;
            changes.push(SchemaChange::add_column(Field::new(&column.name, data_type, true)));
        }
        self.engine().parts.tables.evolve(table.name(), changes).await?;
        Ok(Outcome::done("ALTER TABLE"))
    }

    pub(super) async fn maintain(&self, verb: &'static str, table: &[Ident]) -> Result<Outcome> {
        let name = self.binder().resolve(table)?;
        let parts = &self.engine().parts;
        let name = match self.engine().relation(&name).await? {
            Some(Relation::Table(table)) => table.name().clone(),
            Some(Relation::Topic(topic)) => topic.table.clone(),
            _ => return Err(errors::table_not_found(&name.to_string(), std::iter::empty())),
        };
        if parts.tables.load(&name).await?.is_none() {
            return Ok(Outcome::done(verb).notice(format!("`{name}` has no rows yet")));
        }
        if verb == "ANALYZE" {
            return Ok(Outcome::done(verb).notice("statistics are kept with every file; there is nothing to gather"));
        }
        let policy = tables::MaintenancePolicy {
            small_files_min: 2,
            remove_orphans: verb == "VACUUM",
            patience: MAINTAIN_PATIENCE,
            ..Default::default()
        };
        let now_ms = parts.world.clock.now_ms();
        let report = parts.tables.maintain(&name, &policy, now_ms).await?;
        let outcome = Outcome::done(verb);
        let outcome = match report.yielded {
            true => {
                outcome.notice("statements were changing rows of the table, so files were left: run it again later")
            }
            false => outcome,
        };
        Ok(outcome.notice(format!(
            "{} files became {}, {} snapshots expired, {} files queued for deletion",
            report.files_compacted, report.files_written, report.snapshots_expired, report.files_queued_for_deletion
        )))
    }

    /// The Iceberg table called so; anything else is refused.
    pub(super) async fn table_only(&self, name: &[Ident], verb: &str) -> Result<Arc<Table>> {
        let name = self.binder().resolve(name)?;
        match self.engine().relation(&name).await? {
            Some(Relation::Table(table)) => Ok(table),
            Some(Relation::Topic(_)) => {
                Err(Error::new(codes::SQL_UNSUPPORTED, format!("{verb} on topic `{}` is not offered", name.name))
                    .detail("records of a topic are what happened; they are not changed afterwards")
                    .hint("CREATE TABLE name AS SELECT … makes a table of its own"))
            }
            Some(Relation::View(_)) => {
                Err(Error::new(codes::SQL_UNSUPPORTED, format!("{verb} on view `{}` is not offered", name.name)))
            }
            Some(Relation::Metadata(..)) => {
                Err(Error::new(codes::SQL_UNSUPPORTED, format!("{verb} on metadata is not offered")))
            }
            None => {
                let known = self.engine().names_in(&name.namespace, false);
                Err(errors::table_not_found(&name.name, known.iter().map(|known| &**known)))
            }
        }
    }

    /// A name for something new: unquoted in lower case, in a zone that exists.
    pub(super) fn new_name(&self, parts: &[Ident]) -> Result<TableName> {
        let (zone, name) = match parts {
            [name] => (self.namespace.clone(), folded(name)),
            [zone, name] => (folded(zone), folded(name)),
            [catalog, zone, name] if folded(catalog) == crate::relation::CATALOG => (folded(zone), folded(name)),
            _ => return Err(Error::new(codes::SQL_INVALID, "a name has at most three parts: catalog.zone.name")),
        };
        if self.engine().parts.catalog.names().namespace(&zone).is_none() {
            return Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no zone `{zone}`"))
                .hint(format!("CREATE SCHEMA {} makes it", quoted(&zone))));
        }
        let why = match () {
            _ if name.is_empty() => "it is empty",
            _ if name.len() > 200 => "it is longer than 200 bytes",
            _ if name.contains(['$', '@', '/', '\\', '\0']) => "`$`, `@`, `/` and `\\` are not allowed",
            _ if name.chars().any(char::is_control) => "control characters are not allowed",
            _ if name.starts_with('_') => "names with `_` in front are Lakehead's own",
            _ => return Ok(TableName::new(&zone, &name)),
        };
        Err(Error::new(codes::SQL_INVALID, format!("`{}` cannot name a table", name.escape_debug())).detail(why))
    }
}

pub(super) fn exists(name: &TableName) -> Error {
    Error::new(codes::SQL_EXISTS, format!("`{name}` exists already"))
        .hint("topics, streams, tables and views of a zone share their names")
}

fn schema_of(columns: &[Declared]) -> Result<Schema> {
    let fields = columns.iter().map(|column| {
        check_role(column)?;
        Ok(Field::new(&column.name, column.data_type.clone(), column.nullable))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// A column of a table is a value and nothing else.
fn check_role(column: &Declared) -> Result<()> {
    let belongs_to_stream = |what: &str| {
        Err(Error::new(codes::SQL_INVALID, format!("column `{}`: {what} belongs to a stream", column.name)))
    };
    match column.role {
        text::ColumnRole::Value => Ok(()),
        text::ColumnRole::PrimaryKey => {
            Err(Error::new(codes::SQL_UNSUPPORTED, format!("column `{}`: PRIMARY KEY is not offered", column.name))
                .detail("nothing would keep two rows with the same key apart")
                .hint("leave it out; NOT NULL is obeyed"))
        }
        text::ColumnRole::Key => belongs_to_stream("KEY"),
        text::ColumnRole::Headers | text::ColumnRole::Header(_) => belongs_to_stream("HEADERS"),
    }
}

fn storable_names(fields: &Fields) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        if !seen.insert(field.name()) {
            return Err(Error::new(codes::SQL_INVALID, format!("column `{}` is there twice", field.name()))
                .hint("give one of them another name with AS"));
        }
    }
    Ok(())
}

/// The table `create` describes: partitions and properties.
fn new_table(schema: Schema, create: &CreateTable) -> Result<NewTable> {
    let mut partitions: Vec<Expr> = create.partitioned_by.clone();
    let mut properties = Vec::new();
    for (key, value) in &create.options {
        let lower = key.to_lowercase();
        let text = text::literal_text(value);
        let is =
            |allowed: &[&str]| text.as_deref().is_some_and(|text| allowed.iter().any(|a| a.eq_ignore_ascii_case(text)));
        let refuse = |hint: &'static str| {
            Err(Error::new(codes::SQL_UNSUPPORTED, format!("table property {key} = {value} is not offered")).hint(hint))
        };
        match lower.as_str() {
            "format" | "write.format.default" if !is(&["parquet"]) => {
                return refuse("tables are Parquet; COPY … TO writes CSV and JSON");
            }
            "table_type" if !is(&["iceberg"]) => return refuse("tables are Iceberg"),
            "write_compression" | "parquet_compression" | "compression" if !is(&["zstd"]) => {
                return refuse("tables are compressed with zstd");
            }
            "external_location" | "location" => {
                return refuse("tables live where their zone is; COPY … TO writes elsewhere");
            }
            "format"
            | "write.format.default"
            | "table_type"
            | "write_compression"
            | "parquet_compression"
            | "compression"
            | "is_external" => {}
            "partitioned_by" | "partitioning" => match value {
                Expr::Array(array) => {
                    for element in &array.elem {
                        partitions.push(match text::literal_text(element) {
                            Some(text) => text::expression(&text)?,
                            None => element.clone(),
                        });
                    }
                }
                _ => return refuse("write partitioned_by = ARRAY['column', 'day(column)']"),
            },
            _ if lower == "comment" || lower.contains('.') => match text {
                Some(text) => properties.push((lower, text)),
                None => return refuse("the value must be a literal"),
            },
            _ => return refuse("format, partitioned_by, comment and Iceberg's own properties ('write.…') are"),
        }
    }
    let mut new = NewTable::new(Arc::new(schema));
    for (key, value) in properties {
        new = new.with_property(key, value);
    }
    for partition in &partitions {
        let PartitionBy { column, transform } = partition_by(partition, &new.schema)?;
        new = new.partitioned_by(column, transform);
    }
    Ok(new)
}

/// `column`, `day(column)`, `bucket(16, column)`, `truncate(column, 4)`.
fn partition_by(expr: &Expr, schema: &Schema) -> Result<PartitionBy> {
    let wrong = || {
        Error::new(codes::SQL_INVALID, format!("`{expr}` cannot partition a table"))
            .hint("partition by a column or by year, month, day, hour(column), bucket(n, column), truncate(n, column)")
    };
    let column = |expr: &Expr| -> Result<String> {
        let Expr::Identifier(ident) = expr else { return Err(wrong()) };
        let exact = schema.fields().iter().find(|f| *f.name() == folded(ident));
        let found = exact.or_else(|| schema.fields().iter().find(|f| f.name().eq_ignore_ascii_case(&ident.value)));
        found.map(|f| f.name().clone()).ok_or_else(|| {
            Error::new(codes::SQL_UNRESOLVED, format!("there is no column `{}` to partition by", ident.value))
        })
    };
    let Expr::Function(function) = expr else {
        return Ok(PartitionBy { column: column(expr)?, transform: Transform::Identity });
    };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    let mut number = None;
    let mut of = None;
    for argument in &list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else { return Err(wrong()) };
        match text::literal_text(argument).and_then(|text| text.parse::<u32>().ok()) {
            Some(n) => number = Some(n),
            None => of = Some(column(argument)?),
        }
    }
    let transform = match (function.name.to_string().to_lowercase().as_str(), number) {
        ("year" | "years", None) => Transform::Year,
        ("month" | "months", None) => Transform::Month,
        ("day" | "days" | "date", None) => Transform::Day,
        ("hour" | "hours", None) => Transform::Hour,
        ("bucket", Some(n)) if n > 0 => Transform::Bucket(n),
        ("truncate", Some(n)) if n > 0 => Transform::Truncate(n),
        _ => return Err(wrong()),
    };
    Ok(PartitionBy { column: of.ok_or_else(wrong)?, transform })
}
