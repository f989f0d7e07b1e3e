//! Running statements.

mod create;
mod declare;
mod delete;
mod explain;
mod export;
pub(crate) mod files;
mod grant;
mod insert;
mod patterns;
mod publish;
mod query;
mod settings;
mod show;
mod sniff;
mod write;

use std::{panic::AssertUnwindSafe, sync::Arc};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::{
    execution::SessionState,
    logical_expr::LogicalPlan,
    scalar::ScalarValue,
    sql::{parser::Statement as DfStatement, sqlparser::ast::Statement as SqlStatement},
};
use futures::FutureExt;
use model::{Error, Result, error::codes};
use tables::Reading;

use crate::{
    Engine, Outcome, Session,
    bind::Binder,
    errors, stream,
    text::{Parsed, Statement},
    workers::{Interrupt, Ticket},
};

/// One statement about to run.
pub(crate) struct Run<'a> {
    session: &'a Session,
    /// The whole script, for the places in errors.
    sql: Arc<str>,
    parsed: &'a Parsed,
    state: SessionState,
    namespace: String,
    ticket: &'a Ticket,
    interrupt: Interrupt,
    /// From before anything is pinned until the last row was read.
    reading: Arc<Reading>,
}

/// What a statement takes and gives.
pub(crate) struct Described {
    pub(crate) schema: SchemaRef,
    pub(crate) param_types: Vec<Option<DataType>>,
    pub(crate) gives_rows: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(session: &'a Session, sql: Arc<str>, parsed: &'a Parsed, ticket: &'a Ticket) -> Self {
        let interrupt = Interrupt::new(ticket, session.settings().timeout);
        let reading = Arc::new(session.engine().parts.tables.reading());
        let (state, namespace) = (session.context().state(), session.namespace());
        Self { session, sql, parsed, state, namespace, ticket, interrupt, reading }
    }

    fn engine(&self) -> &Arc<Engine> {
        self.session.engine()
    }

    fn binder(&self) -> Binder<'_> {
        Binder::new(self.engine(), &self.state, &self.namespace).with_text(&self.sql)
    }

    /// Runs the statement; `params` are `None` where the client cannot give any.
    pub(crate) async fn execute(&self, params: Option<Vec<ScalarValue>>) -> Result<Outcome> {
        let timeout = self.session.settings().timeout;
        // A defect in a library fails the statement it happens in and no other.
        let work = AssertUnwindSafe(Box::pin(self.dispatch(params.unwrap_or_default()))).catch_unwind();
        let done = match timeout {
            None => work.await,
            Some(timeout) => match tokio::time::timeout(timeout, work).await {
                Ok(done) => done,
                Err(_) => return Err(stream::timed_out(timeout)),
            },
        };
        done.unwrap_or_else(|_| Err(self.defect()))
    }

    /// What the statement takes and gives, without running it.
    pub(crate) async fn describe(&self, given: &[Option<DataType>]) -> Result<Described> {
        let work = AssertUnwindSafe(Box::pin(self.described(given))).catch_unwind();
        work.await.unwrap_or_else(|_| Err(self.defect()))
    }

    fn defect(&self) -> Error {
        Error::internal("a statement failed unexpectedly").detail(self.parsed.text.clone())
    }

    async fn dispatch(&self, params: Vec<ScalarValue>) -> Result<Outcome> {
        let needs_no_params = !matches!(self.parsed.statement, Statement::Sql(_));
        if needs_no_params && !params.is_empty() {
            return Err(Error::new(codes::SQL_PARAMETER, "this statement takes no parameters"));
        }
        match &self.parsed.statement {
            Statement::Sql(statement) => self.sql(statement, params).await,
            Statement::CreateTable(table) => self.create_table(table).await,
            Statement::Declare(stream) => self.declare(stream).await,
            Statement::CreateZone { name, if_not_exists } => self.create_zone(name, *if_not_exists).await,
            Statement::DropZone { name, if_exists } => self.drop_zone(name, *if_exists).await,
            Statement::Drop { what, name, if_exists, delete_topic } => {
                self.drop(*what, name, *if_exists, *delete_topic).await
            }
            Statement::AddColumns { table, columns, if_not_exists } => {
                self.add_columns(table, columns, *if_not_exists).await
            }
            Statement::OneWriter { topic, user, is_granted } => self.one_writer(topic, user, *is_granted).await,
            Statement::Show(show) => self.show(show).await,
            Statement::Describe { name, extended } => self.describe_relation(name, *extended).await,
            Statement::DescribeQuery(query) => self.describe_columns(query).await,
            Statement::Maintain { verb, table } => self.maintain(verb, table).await,
            Statement::Unload { query, path, options } => self.unload(query, path, options).await,
            Statement::Set { key, value } => self.set(key, value),
            Statement::Reset { key } => self.reset(key.as_deref()),
            Statement::Use { namespace } => self.set("search_path", &crate::bind::folded(namespace)),
            Statement::Prepare { name, types, statement } => {
                let inner = Parsed { statement: statement.as_ref().clone(), ..self.parsed.clone() };
                let types: Vec<_> = types.iter().cloned().map(Some).collect();
                let prepared = self.session.prepare_parsed(self.sql.clone(), inner, &types, self.ticket).await?;
                self.session.keep_prepared(crate::bind::folded(name), prepared)?;
                Ok(Outcome::done("PREPARE"))
            }
            Statement::Execute { name, arguments } => {
                let prepared = self.session.prepared(&crate::bind::folded(name))?;
                let values = arguments.iter().map(|argument| self.constant(argument)).collect::<Result<Vec<_>>>()?;
                Box::pin(prepared.execute_here(values, self.ticket)).await
            }
            Statement::Deallocate { name } => {
                self.session.forget_prepared(name.as_ref().map(crate::bind::folded).as_deref())?;
                Ok(Outcome::done(if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" }))
            }
            Statement::Transaction { tag } => Ok(match *tag {
                "ROLLBACK" => Outcome::done("ROLLBACK")
                    .notice("there are no transactions: each statement is one by itself, and nothing was undone"),
                "BEGIN" | "START TRANSACTION" => {
                    Outcome::done(*tag).notice("there are no transactions: each statement takes effect by itself")
                }
                tag => Outcome::done(tag),
            }),
            Statement::Nothing { tag } => {
                if *tag == "DISCARD ALL" {
                    self.session.forget_prepared(None)?;
                }
                Ok(Outcome::done(*tag))
            }
        }
    }

    async fn sql(&self, statement: &DfStatement, params: Vec<ScalarValue>) -> Result<Outcome> {
        match statement {
            DfStatement::Explain(_) => self.query(statement, params).await,
            DfStatement::CopyTo(copy) => self.copy(copy).await,
            DfStatement::CreateExternalTable(_) => Err(Error::new(codes::SQL_UNSUPPORTED, "CREATE EXTERNAL TABLE is not offered")
                .hint("read the file where it is: SELECT * FROM 'file.parquet'; or keep it: CREATE TABLE name AS SELECT * FROM 'file.parquet'")),
            DfStatement::Reset(_) => Err(Error::internal("RESET is read by the front parser")),
            DfStatement::Statement(inner) => match inner.as_ref() {
                SqlStatement::Query(_) | SqlStatement::Explain { .. } => self.query(statement, params).await,
                SqlStatement::Insert(insert) => self.insert(insert, params).await,
                SqlStatement::Delete(delete) => self.delete(delete, params).await,
                SqlStatement::Update(update) => self.update(update, params).await,
                SqlStatement::CreateView(view) => self.create_view(view).await,
                other => {
                    let text = other.to_string();
                    let verb: Vec<&str> = text.split_whitespace().take(2).collect();
                    Err(Error::new(codes::SQL_UNSUPPORTED, format!("{} is not offered", verb.join(" "))))
                }
            },
        }
    }

    async fn described(&self, given: &[Option<DataType>]) -> Result<Described> {
        let nothing = || Described { schema: Arc::new(Schema::empty()), param_types: Vec::new(), gives_rows: false };
        match &self.parsed.statement {
            Statement::Sql(statement) => match statement.as_ref() {
                DfStatement::Explain(_) => self.describe_query(statement, given).await,
                DfStatement::Statement(inner) => match inner.as_ref() {
                    SqlStatement::Query(_) | SqlStatement::Explain { .. } => {
                        self.describe_query(statement, given).await
                    }
                    SqlStatement::Insert(insert) => {
                        let planned = self.plan_insert(insert).await?;
                        let mut types = param_types(&planned.plan, given)?;
                        for (slot, data_type) in types.iter_mut().zip(planned.params) {
                            *slot = slot.take().or(data_type);
                        }
                        Ok(Described { param_types: types, ..nothing() })
                    }
                    SqlStatement::Delete(delete) => {
                        let plan = self.plan_delete(delete).await?.plan;
                        Ok(Described { param_types: param_types(&plan, given)?, ..nothing() })
                    }
                    SqlStatement::Update(update) => {
                        let plan = self.plan_update(update).await?.plan;
                        Ok(Described { param_types: param_types(&plan, given)?, ..nothing() })
                    }
                    _ => Ok(nothing()),
                },
                _ => Ok(nothing()),
            },
            // These only look; running them is the way to their columns.
            Statement::Show(_) | Statement::Describe { .. } | Statement::DescribeQuery(_) => {
                let outcome = self.dispatch(Vec::new()).await?;
                Ok(Described { schema: outcome.schema, param_types: Vec::new(), gives_rows: true })
            }
            Statement::Execute { name, .. } => {
                let prepared = self.session.prepared(&crate::bind::folded(name))?;
                Ok(Described {
                    schema: prepared.schema().clone(),
                    param_types: Vec::new(),
                    gives_rows: prepared.gives_rows(),
                })
            }
            _ => Ok(nothing()),
        }
    }

    fn constant(&self, expr: &datafusion::sql::sqlparser::ast::Expr) -> Result<ScalarValue> {
        let value = crate::bind::constant(&self.state, expr, None)
            .and_then(|value| value.into_array(1))
            .and_then(|array| ScalarValue::try_from_array(&array, 0));
        value.map_err(|e| errors::map(e, Some(&self.sql)))
    }

    fn map(&self, error: datafusion::error::DataFusionError) -> Error {
        errors::map(error, Some(&self.sql))
    }
}

/// Types of `$1…` in order: what the client gave, else what the plan found out.
fn param_types(plan: &LogicalPlan, given: &[Option<DataType>]) -> Result<Vec<Option<DataType>>> {
    const PARAMS_MAX: usize = 65_535;
    let found = plan.get_parameter_types().map_err(|e| errors::map(e, None))?;
    let mut types: Vec<Option<DataType>> = Vec::new();
    for (name, data_type) in found {
        let index =
            name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=PARAMS_MAX).contains(n));
        let Some(index) = index else {
            return Err(Error::new(codes::SQL_PARAMETER, format!("`{name}` is not a parameter"))
                .hint("parameters are $1, $2, … or ?"));
        };
        if types.len() < index {
            types.resize(index, None);
        }
        // How strings are laid out inside is no business of a client's.
        types[index - 1] = data_type.map(|data_type| match data_type {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
            other => other,
        });
    }
    for (index, data_type) in given.iter().enumerate() {
        if let (Some(slot), Some(data_type)) = (types.get_mut(index), data_type) {
            *slot = Some(data_type.clone());
        }
    }
    Ok(types)
}
