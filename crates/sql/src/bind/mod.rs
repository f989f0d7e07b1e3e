//! From a parsed statement to a logical plan.
//!
//! 1. Every relation named is looked up and **pinned**: one state per name and statement, so a self-join, or a topic and a
//!    view over it, see the same rows.
//! 2. The statement is rewritten: unquoted names to the case they exist in ([`names`]), `*` to leave pseudo-columns out
//!    ([`stars`]), versions to pinned names, `?` to `$n`.
//! 3. DataFusion plans it through our [`context`].

mod context;
mod headings;
mod identity;
mod idioms;
mod lists;
mod meanings;
mod membership;
mod merged;
mod names;
mod params;
mod scopes;
mod series;
mod stars;
mod tuples;
mod whole;

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    datasource::{ViewTable, provider_as_source},
    execution::SessionState,
    logical_expr::{LogicalPlan, LogicalPlanBuilder, TableSource},
    sql::{
        ResolvedTableReference,
        parser::Statement as DfStatement,
        planner::{ParserOptions, SqlToRel},
        sqlparser::ast::{Expr, Ident, TableVersion},
    },
};
use futures::future::BoxFuture;
use lake::TopicPin;
use model::{Error, Result, TableName, error::codes};
use parking_lot::Mutex;
use tables::{Table, Version};

pub(crate) use headings::shown as shown_headings;
pub(crate) use params::{constant, number as number_params, say_intervals};

use self::{context::Context, scopes::Written};
use crate::{
    Engine, Headings, errors,
    relation::{self, CATALOG, Pseudo, Relation, TopicProvider, ViewDefinition},
    text::{self, Statement, VERSION_FUNCTION},
};

/// Views may use views, to this depth.
const VIEWS_MAX: usize = 16;

/// Plans statements of one session, against one set of pins.
#[derive(Clone)]
pub(crate) struct Binder<'a> {
    engine: &'a Engine,
    state: &'a SessionState,
    /// Zone of unqualified names.
    namespace: Arc<str>,
    pins: Arc<Pins>,
    views: usize,
    /// The text errors point into.
    text: Option<&'a str>,
    headings: Headings,
    /// The columns are an answer's, in which equal names are told apart.
    answers: bool,
    /// The table that is called [`rows_name`]: with the place of each row.
    rows_of: Option<Arc<Table>>,
}

/// What was looked up for this statement.
#[derive(Default)]
struct Pins {
    relations: Mutex<HashMap<TableName, Pinned>>,
}

#[derive(Clone)]
enum Pinned {
    Topic(Arc<TopicPin>),
    Table(Arc<Table>),
    View(ViewDefinition),
    Metadata(Arc<Table>, String),
}

/// A relation of the statement, ready to be planned.
pub(crate) struct Source {
    /// What DataFusion will ask for.
    reference: ResolvedTableReference,
    provider: Arc<dyn TableSource>,
    /// Shows pseudo-columns that `*` must leave out.
    is_topic: bool,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(engine: &'a Engine, state: &'a SessionState, namespace: &str) -> Self {
        Self {
            engine,
            state,
            namespace: namespace.into(),
            pins: Arc::default(),
            views: 0,
            text: None,
            headings: Headings::Text,
            answers: false,
            rows_of: None,
        }
    }

    /// Errors show their place in `text`.
    pub(crate) fn with_text(mut self, text: &'a str) -> Self {
        self.text = Some(text);
        self
    }

    /// The statement answers a client, who wants its columns called so.
    pub(crate) fn with_headings(mut self, headings: Headings) -> Self {
        (self.headings, self.answers) = (headings, true);
        self
    }

    /// Lets the statement use `table` with the place of each row, under [`rows_name`].
    pub(crate) fn with_rows_of(mut self, table: Arc<Table>) -> Self {
        self.pins.relations.lock().insert(table.name().clone(), Pinned::Table(table.clone()));
        self.rows_of = Some(table);
        self
    }

    /// Plans `statement`; `named` are the pseudo-columns its text names.
    pub(crate) fn plan(&self, mut statement: DfStatement, named: Pseudo) -> BoxFuture<'_, Result<LogicalPlan>> {
        Box::pin(async move {
            let written = text::with_stack(|| scopes::relations(&statement));
            let mut sources = HashMap::with_capacity(written.len());
            for written in written {
                if let Some(source) = self.source(&written, named).await? {
                    sources.insert(written.key(), source);
                }
            }
            text::with_stack(|| {
                identity::rewrite(&mut statement, &self.namespace);
                // In this order: `stars` finds relations by the text they were looked up with.
                stars::rewrite(&mut statement, &sources, named)?;
                names::rewrite(&mut statement, &sources);
                number_params(&mut statement);
                headings::tell_branches_apart(&mut statement);
                if self.views == 0 {
                    headings::rewrite(&mut statement, self.headings, self.answers);
                }
                // Columns are called by what was written.
                names::place_versions(&mut statement, &sources);
                whole::rewrite(&mut statement, &sources, named);
                tuples::rewrite(&mut statement)?;
                idioms::rewrite(&mut statement)?;
                merged::rewrite(&mut statement);
                let context = Context::new(self.state, &self.namespace, sources);
                SqlToRel::new_with_options(&context, parser_options(self.state))
                    .statement_to_plan(statement)
                    .and_then(meanings::give)
                    .map_err(|error| self.explain(errors::map(error, self.text), &context))
            })
        })
    }

    /// Plans a query given as text, such as a view's. The error does not point into the caller's text.
    pub(crate) async fn plan_text(&self, sql: &str) -> Result<LogicalPlan> {
        let pieces = text::split(sql)?;
        let [piece] = pieces.as_slice() else {
            return Err(Error::internal("a stored query is not one statement"));
        };
        let parsed = text::parse(sql, piece)?;
        match parsed.statement {
            Statement::Sql(statement) => self.plan(*statement, parsed.named).await,
            _ => Err(Error::internal("a stored query is not a query")),
        }
    }

    /// `name`, exactly, for those who look it up by itself.
    pub(crate) async fn provider(&self, name: &TableName, named: Pseudo) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.pin(name).await? {
            Some(pinned) => self.provider_of(name, &pinned, None, named).await.map(Some),
            None => Ok(None),
        }
    }

    /// The name a possibly qualified written name stands for, in a zone of ours.
    pub(crate) fn resolve(&self, parts: &[Ident]) -> Result<TableName> {
        let (namespace, name) = self.zone_and_name(parts)?;
        let matched = self.engine.match_name(&namespace, name);
        Ok(match matched {
            Some(matched) => TableName { namespace, name: matched },
            None => TableName { namespace, name: folded(name).into() },
        })
    }

    fn zone_and_name<'i>(&self, parts: &'i [Ident]) -> Result<(Arc<str>, &'i Ident)> {
        match parts {
            [name] => Ok((self.namespace.clone(), name)),
            [zone, name] => Ok((folded(zone).into(), name)),
            [catalog, zone, name] if folded(catalog) == CATALOG => Ok((folded(zone).into(), name)),
            [catalog, _, _] => {
                Err(Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no catalog `{}`", catalog.value))
                    .hint(format!("the only one is {CATALOG}")))
            }
            _ => Err(Error::new(codes::SQL_INVALID, "a name has at most three parts: catalog.zone.name")),
        }
    }

    async fn source(&self, written: &Written, named: Pseudo) -> Result<Option<Source>> {
        if let Some(path) = written.file() {
            let provider = crate::run::files::listing(self.engine, self.state, path).await?;
            let reference = reference(&self.namespace, path);
            return Ok(Some(Source { reference, provider: provider_as_source(provider), is_topic: false }));
        }
        let (namespace, _) = self.zone_and_name(&written.name)?;
        if self.engine.parts.catalog.names().namespace(&namespace).is_none() {
            return self.foreign(&written.name).await;
        }
        if let (Some(table), Some(last)) = (&self.rows_of, written.name.last())
            && last.value == rows_name(&table.name().name)
        {
            let provider = tables::scan::provider_with_positions(&self.engine.parts.tables, table.clone())?;
            let reference = reference(&namespace, &last.value);
            return Ok(Some(Source { reference, provider: provider_as_source(provider), is_topic: false }));
        }
        let name = self.resolve(&written.name)?;
        let Some(pinned) = self.pin(&name).await? else {
            return if written.name.len() == 1 { self.system(&name).await } else { Ok(None) };
        };
        let version = match &written.version {
            Some(version) => Some(self.version(version, &name)?),
            None => None,
        };
        let provider = self.provider_of(&name, &pinned, version.clone(), named).await?;
        let shown = match &version {
            None => name.name.to_string(),
            Some(version) => format!("{}@{version:?}", name.name),
        };
        Ok(Some(Source {
            reference: reference(&name.namespace, &shown),
            provider: provider_as_source(provider),
            is_topic: matches!(pinned, Pinned::Topic(_)),
        }))
    }

    /// Schemas that are not zones: `information_schema`, `pg_catalog`.
    async fn foreign(&self, parts: &[Ident]) -> Result<Option<Source>> {
        let (namespace, name) = self.zone_and_name(parts)?;
        let reference = reference(&namespace, &folded(name));
        let is_information = &*namespace == "information_schema";
        let schema = match self.state.config_options().catalog.information_schema && is_information {
            true => self.state.schema_for_ref(reference.clone()).ok(),
            false => self.state.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema(&namespace)),
        };
        let Some(schema) = schema else { return Ok(None) };
        let found = schema.table(&reference.table).await.and_then(|found| match found {
            Some(table) if is_information => relation::standard_table(&reference.table, table).map(Some),
            None if is_information => relation::missing_table(&reference.table),
            found => Ok(found),
        });
        let Some(provider) = found.map_err(|e| errors::map(e, None))? else { return Ok(None) };
        Ok(Some(Source { reference, provider: provider_as_source(provider), is_topic: false }))
    }

    /// `pg_locks` is `pg_catalog.pg_locks`, where a door has that and nothing else is called so.
    async fn system(&self, name: &TableName) -> Result<Option<Source>> {
        let schema = self.state.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema("pg_catalog"));
        let Some(schema) = schema.filter(|_| name.name.starts_with("pg_")) else { return Ok(None) };
        let table = schema.table(&name.name).await.map_err(|e| errors::map(e, None))?;
        let reference = reference(&name.namespace, &name.name);
        Ok(table.map(|table| Source { reference, provider: provider_as_source(table), is_topic: false }))
    }

    /// Looks `name` up, once per statement.
    async fn pin(&self, name: &TableName) -> Result<Option<Pinned>> {
        if let Some(pinned) = self.pins.relations.lock().get(name) {
            return Ok(Some(pinned.clone()));
        }
        let pinned = match self.engine.relation(name).await? {
            None => return Ok(None),
            Some(Relation::Topic(topic)) => Pinned::Topic(Arc::new(self.engine.parts.lake.pin(&topic).await?)),
            Some(Relation::Table(table)) => Pinned::Table(table),
            Some(Relation::View(view)) => Pinned::View(view),
            Some(Relation::Metadata(table, kind)) => Pinned::Metadata(table, kind),
        };
        self.pins.relations.lock().insert(name.clone(), pinned.clone());
        Ok(Some(pinned))
    }

    async fn provider_of(
        &self,
        name: &TableName,
        pinned: &Pinned,
        version: Option<Version>,
        named: Pseudo,
    ) -> Result<Arc<dyn TableProvider>> {
        let parts = &self.engine.parts;
        Ok(match (pinned, version) {
            (Pinned::Topic(pin), None) => {
                Arc::new(TopicProvider::new(parts.lake.clone(), parts.tables.clone(), pin.clone(), named))
            }
            (Pinned::Topic(pin), Some(version)) => match &pin.table {
                Some(table) => relation::versioned(&parts.tables, table.clone(), version, named)?,
                None => {
                    return Err(Error::new(codes::SQL_VERSION, format!("topic `{name}` has no table yet"))
                        .hint("the lake writer makes it with its first commit"));
                }
            },
            (Pinned::Table(table), version) => {
                let version = version.unwrap_or_default();
                let schema = tables::scan::with_string_views(table.arrow_schema_at(&version)?.as_ref());
                tables::scan::provider_as(&parts.tables, table.clone(), version, schema)?
            }
            (Pinned::View(view), None) => Arc::new(self.view(name, view).await?),
            (Pinned::View(_), Some(_)) => {
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("view `{name}` has no versions"))
                    .hint("put FOR VERSION AS OF on the tables inside the view"));
            }
            (Pinned::Metadata(table, kind), None) => relation::metadata_provider(&parts.tables, table.clone(), kind)?,
            (Pinned::Metadata(..), Some(_)) => {
                return Err(Error::new(codes::SQL_UNSUPPORTED, "metadata tables have no versions"));
            }
        })
    }

    async fn view(&self, name: &TableName, view: &ViewDefinition) -> Result<ViewTable> {
        if self.views >= VIEWS_MAX {
            return Err(Error::new(
                codes::SQL_INVALID,
                format!("view `{name}` uses more than {VIEWS_MAX} views inside each other"),
            )
            .detail("a view that uses itself, by way of others, never ends"));
        }
        let inner =
            Self { namespace: view.namespace.as_str().into(), views: self.views + 1, text: None, ..self.clone() };
        let plan = inner.plan_text(&view.sql).await.map_err(|error| {
            let detail = error.detail_text().map(|d| format!("\n{d}")).unwrap_or_default();
            Error::new(error.code(), format!("view `{name}` cannot be read: {}", error.message()))
                .detail(format!("its query is: {}{detail}", view.sql))
                .hint(error.hint_text().unwrap_or("replace the view with CREATE OR REPLACE VIEW").to_owned())
        })?;
        let plan = rename(plan, &view.columns)?;
        Ok(ViewTable::new(plan, Some(view.sql.clone())))
    }

    /// The version `written` asks for. It must be known while planning.
    fn version(&self, written: &TableVersion, name: &TableName) -> Result<Version> {
        let expr = match written {
            TableVersion::ForSystemTimeAsOf(expr) | TableVersion::TimestampAsOf(expr) => expr,
            TableVersion::VersionAsOf(expr) => return version_of(expr, name),
            other => {
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("version `{other}` is not offered"))
                    .hint("write FOR VERSION AS OF id, FOR VERSION AS OF 'tag' or FOR TIMESTAMP AS OF time"));
            }
        };
        if let Expr::Function(function) = expr
            && function.name.to_string().eq_ignore_ascii_case(VERSION_FUNCTION)
        {
            return params::only_argument(function)
                .map_or_else(|| Err(version_invalid(name, "it is not an id or a tag")), |arg| version_of(arg, name));
        }
        let moment = params::constant_ms(self.state, expr).map_err(|why| version_invalid(name, &why))?;
        Ok(Version::AsOf(moment))
    }

    /// Says more about what was not found: DataFusion does not know what there is.
    fn explain(&self, error: Error, context: &Context<'_>) -> Error {
        if !error.is(codes::SQL_TABLE_NOT_FOUND) {
            return error;
        }
        let Some(missing) = context.missing() else { return error };
        if self.engine.parts.catalog.names().namespace(&missing.schema).is_none()
            && self
                .state
                .catalog_list()
                .catalog(CATALOG)
                .is_none_or(|catalog| catalog.schema(&missing.schema).is_none())
            && &*missing.schema != "information_schema"
        {
            return Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no zone `{}`", missing.schema))
                .hint("SHOW SCHEMAS lists the zones");
        }
        let known = self.engine.names_in(&missing.schema, true);
        let shown = match *missing.schema == *self.namespace {
            true => missing.table.to_string(),
            false => format!("{}.{}", missing.schema, missing.table),
        };
        // What a deleted topic has left is still listed for a moment.
        errors::table_not_found(&shown, known.iter().map(|name| &**name).filter(|name| **name != *missing.table))
    }
}

fn version_of(expr: &Expr, name: &TableName) -> Result<Version> {
    let text = text::literal_text(expr).ok_or_else(|| version_invalid(name, "it is not an id or a tag"))?;
    Ok(match text.parse::<i64>() {
        Ok(id) => Version::Snapshot(id),
        Err(_) => Version::Ref(text),
    })
}

fn version_invalid(name: &TableName, why: &str) -> Error {
    Error::new(codes::SQL_VERSION, format!("the version of `{name}` cannot be made out")).detail(why.to_owned()).hint(
        "write FOR VERSION AS OF 123, FOR VERSION AS OF 'tag' or FOR TIMESTAMP AS OF TIMESTAMP '2026-01-31 12:00:00'",
    )
}

fn reference(namespace: &str, table: &str) -> ResolvedTableReference {
    ResolvedTableReference { catalog: CATALOG.into(), schema: namespace.into(), table: table.into() }
}

/// What a table is called where its rows' places are wanted. No table can have this name.
pub(crate) fn rows_name(table: &str) -> String {
    format!("{table}@rows")
}

/// `ident` as DataFusion takes it: unquoted in lower case.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Gives the columns of `plan` the names a view declares.
pub(crate) fn rename(plan: LogicalPlan, columns: &[String]) -> Result<LogicalPlan> {
    if columns.is_empty() {
        return Ok(plan);
    }
    if columns.len() != plan.schema().fields().len() {
        return Err(Error::new(codes::SQL_ROW_SHAPE, "a view has as many column names as its query has columns")
            .detail(format!("{} names, {} columns", columns.len(), plan.schema().fields().len())));
    }
    let exprs: Vec<_> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| datafusion::logical_expr::Expr::Column(column).alias(name))
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| errors::map(e, None))
}

fn parser_options(state: &SessionState) -> ParserOptions {
    let options = &state.config_options().sql_parser;
    ParserOptions {
        parse_float_as_decimal: options.parse_float_as_decimal,
        enable_ident_normalization: true,
        enable_options_value_normalization: options.enable_options_value_normalization,
        support_varchar_with_length: options.support_varchar_with_length,
        map_string_types_to_utf8view: options.map_string_types_to_utf8view,
        collect_spans: true,
        default_null_ordering: options.default_null_ordering.as_str().into(),
    }
}
