//! SELECT and EXPLAIN.

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, SchemaRef},
};
use datafusion::{
    common::ParamValues,
    execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
    physical_plan::{execute_stream, stream::RecordBatchStreamAdapter},
    scalar::ScalarValue,
    sql::parser::Statement as DfStatement,
};
use futures::StreamExt;
use model::{Error, Result, error::codes};

use super::{Described, Run, param_types};
use crate::{
    Outcome,
    bind::shown_headings,
    functions::plain,
    stream::Guarded,
    text,
    workers::{Rows, interruptible},
};

impl Run<'_> {
    pub(super) async fn query(&self, statement: &DfStatement, params: Vec<ScalarValue>) -> Result<Outcome> {
        let headings = self.session.options().headings;
        let plan = self.binder().with_headings(headings).plan(statement.clone(), self.parsed.named).await?;
        let plan = plain(plan)?;
        let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let rows = self.stream(plan, params).await?;
        Ok(Outcome::rows(if explains { "EXPLAIN" } else { "SELECT" }, self.guard(rows)))
    }

    pub(super) async fn describe_query(
        &self,
        statement: &DfStatement,
        given: &[Option<DataType>],
    ) -> Result<Described> {
        let headings = self.session.options().headings;
        let plan = self.binder().with_headings(headings).plan(statement.clone(), self.parsed.named).await?;
        let plan = plain(plan)?;
        let param_types = param_types(&plan, given)?;
        // Coercion, which happens while optimizing, may change the types of columns.
        let typed = match param_types.iter().all(Option::is_some) {
            true => {
                let values = param_types.iter().flatten().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>();
                values.ok().and_then(|values| self.optimized(plan.clone(), values).ok())
            }
            false => None,
        };
        let schema: SchemaRef = typed.as_ref().unwrap_or(&plan).schema().inner().clone();
        let schema = shown_headings(&schema).unwrap_or(schema);
        Ok(Described { schema, param_types, gives_rows: true })
    }

    /// The plan with its parameters, checked and optimized.
    pub(super) fn optimized(&self, plan: LogicalPlan, params: Vec<ScalarValue>) -> Result<LogicalPlan> {
        let needed = param_types(&plan, &[])?;
        if needed.len() > params.len() {
            return Err(Error::new(codes::SQL_PARAMETER, format!("parameter ${} has no value", params.len() + 1))
                .detail(format!("{} given, {} needed", params.len(), needed.len())));
        }
        text::with_stack(|| {
            let plan = if needed.is_empty() { plan } else { plan.with_param_values(ParamValues::from(params))? };
            self.state.optimize(&plan)
        })
        .map_err(|e| self.map(e))
    }

    /// Starts a plan. Its rows come as they are asked for.
    pub(super) async fn stream(
        &self,
        plan: LogicalPlan,
        params: Vec<ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = self.optimized(plan, params)?;
        let physical = self.state.query_planner().create_physical_plan(&plan, &self.state).await;
        let physical =
            physical.and_then(|physical| interruptible(physical, &self.interrupt)).map_err(|e| self.map(e))?;
        execute_stream(physical, self.state.task_ctx()).map_err(|e| self.map(e))
    }

    /// Time limit, errors and the way to the door, for rows that go to a client.
    pub(super) fn guard(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let rows = Guarded::new(rows, self.sql.clone(), self.session.settings().timeout, self.reading.clone());
        let rows = renamed(Box::pin(rows));
        Box::pin(Rows::new(rows, self.ticket.clone(), self.interrupt.clone()))
    }
}

/// `rows` under the names a client sees.
fn renamed(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let Some(schema) = shown_headings(&rows.schema()) else { return rows };
    let batch_schema = schema.clone();
    let rows = rows.map(move |batch| {
        let batch = batch?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(batch_schema.clone(), batch.columns().to_vec(), &options)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
