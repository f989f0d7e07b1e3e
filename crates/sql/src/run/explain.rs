//! EXPLAIN, of queries and of statements that write.

use datafusion::{
    common::format::ExplainFormat,
    logical_expr::{ExplainOption, LogicalPlan, LogicalPlanBuilder},
    sql::{
        parser::{CopyToSource, ExplainStatement, Statement as DfStatement},
        sqlparser::ast::{Query, Statement as SqlStatement},
    },
};
use model::{Error, Result, error::codes};

use super::{Run, export::query_of};

impl Run<'_> {
    /// The plan of a query, or of what EXPLAIN shows.
    pub(super) async fn plan_query(&self, statement: &DfStatement) -> Result<LogicalPlan> {
        if let DfStatement::Explain(explain) = statement
            && let Some(plan) = self.plan_of_writer(explain).await?
        {
            return self.explained(plan, explain);
        }
        let binder = self.binder().with_headings(self.session.options().headings);
        binder.plan(statement.clone(), self.parsed.named).await
    }

    /// For a statement that writes: the plan of the rows it writes, or of those it changes.
    async fn plan_of_writer(&self, explain: &ExplainStatement) -> Result<Option<LogicalPlan>> {
        let statement = match explain.statement.as_ref() {
            DfStatement::Statement(statement) => statement.as_ref(),
            DfStatement::CopyTo(copy) => {
                let query = match &copy.source {
                    CopyToSource::Query(query) => query.clone(),
                    CopyToSource::Relation(name) => query_of(&format!("SELECT * FROM {name}"))?,
                };
                return self.plan_rows(explain, &query).await.map(Some);
            }
            _ => return Ok(None),
        };
        let plan = match statement {
            SqlStatement::Query(_) | SqlStatement::Explain { .. } => return Ok(None),
            SqlStatement::Insert(insert) => {
                refuse_analyze(explain)?;
                self.plan_insert(insert).await?.plan
            }
            SqlStatement::Delete(delete) => {
                refuse_analyze(explain)?;
                self.plan_delete(delete).await?.plan
            }
            SqlStatement::Update(update) => {
                refuse_analyze(explain)?;
                self.plan_update(update).await?.plan
            }
            SqlStatement::CreateTable(table) if table.query.is_some() => {
                let query = table.query.as_ref().expect("checked in the pattern");
                self.plan_rows(explain, query).await?
            }
            SqlStatement::CreateView(view) => self.plan_rows(explain, &view.query).await?,
            other => {
                let text = other.to_string();
                let verb: Vec<&str> = text.split_whitespace().take(2).collect();
                return Err(Error::new(codes::SQL_UNSUPPORTED, format!("EXPLAIN {} is not offered", verb.join(" ")))
                    .hint("EXPLAIN shows queries, INSERT, UPDATE, DELETE, COPY, CREATE TABLE … AS and CREATE VIEW"));
            }
        };
        Ok(Some(plan))
    }

    async fn plan_rows(&self, explain: &ExplainStatement, query: &Query) -> Result<LogicalPlan> {
        refuse_analyze(explain)?;
        let statement = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query.clone()))));
        self.binder().plan(statement, self.parsed.named).await
    }

    fn explained(&self, plan: LogicalPlan, explain: &ExplainStatement) -> Result<LogicalPlan> {
        let format = match &explain.format {
            Some(format) => format.parse().map_err(|e| self.map(e))?,
            None if explain.verbose => ExplainFormat::Indent,
            None => self.state.config_options().explain.format.clone(),
        };
        let option = ExplainOption::default().with_verbose(explain.verbose).with_format(format);
        let explained = LogicalPlanBuilder::from(plan).explain_option_format(option);
        explained.and_then(LogicalPlanBuilder::build).map_err(|e| self.map(e))
    }
}

fn refuse_analyze(explain: &ExplainStatement) -> Result<()> {
    match explain.analyze {
        false => Ok(()),
        true => Err(Error::new(codes::SQL_UNSUPPORTED, "EXPLAIN ANALYZE of a statement that writes is not offered")
            .detail("it would have to write")
            .hint("EXPLAIN shows its plan; EXPLAIN ANALYZE of its query runs that")),
    }
}
