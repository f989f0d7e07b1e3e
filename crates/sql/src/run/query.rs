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
    Headings, Outcome,
    bind::shown_headings,
    correlated,
    functions::plain,
    stream::Guarded,
    text,
    workers::{Rows, interruptible},
};

impl Run<'_> {
    pub(super) async fn query(&self, statement: &DfStatement, params: Vec<ScalarValue>) -> Result<Outcome> {
        let plan = plain(self.plan_query(statement).await?)?;
        let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let rows = self.stream(plan, params).await?;
        Ok(Outcome::rows(if explains { "EXPLAIN" } else { "SELECT" }, self.guard(rows)))
    }

    pub(super) async fn describe_query(
        &self,
        statement: &DfStatement,
        given: &[Option<DataType>],
    ) -> Result<Described> {
        let plan = plain(self.plan_query(statement).await?)?;
        let param_types = param_types(&plan, given)?;
        // Coercion, which happens while optimizing, may change the types of columns. A parameter of which nothing is known
        // comes as text.
        let values = param_types.iter().map(|found| ScalarValue::try_from(found.as_ref().unwrap_or(&DataType::Utf8)));
        let values = values.collect::<Result<Vec<_>, _>>();
        let typed = values.ok().and_then(|values| self.optimized(plan.clone(), values).ok());
        let schema: SchemaRef = typed.as_ref().unwrap_or(&plan).schema().inner().clone();
        let schema = shown_headings(&schema, self.session.options().headings).unwrap_or(schema);
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
            let plan = match needed.is_empty() {
                true => plan,
                false => plan.with_param_values(ParamValues::from(params)).map_err(|e| self.map(e))?,
            };
            let optimized = self.state.optimize(&plan);
            let stuck = correlated::remains(optimized.as_ref().unwrap_or(&plan));
            if !stuck || (optimized.is_err() && !correlated::depends_on_outside(&plan)) {
                return optimized.map_err(|e| self.map(e));
            }
            let depends = correlated::depends_on_outside(&plan);
            // That rule confuses columns that different relations have.
            let mut state = self.state.clone();
            state.config_mut().options_mut().optimizer.enable_leaf_expression_pushdown = false;
            let flattened = correlated::flattened(plan).and_then(|plan| state.optimize(&plan));
            match flattened {
                Ok(flattened) if !correlated::remains(&flattened) => Ok(flattened),
                // What is wrong with the statement is told by the plan as it was written.
                _ if depends => Err(optimized.map_or_else(|e| self.map(e), |_| correlated::refused())),
                _ => Err(optimized.map_or_else(|e| self.map(e), |_| correlated::misplaced())),
            }
        })
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
        let rows = renamed(Box::pin(rows), self.session.options().headings);
        Box::pin(Rows::new(rows, self.ticket.clone(), self.interrupt.clone()))
    }
}

/// `rows` under the names a client sees.
fn renamed(rows: SendableRecordBatchStream, style: Headings) -> SendableRecordBatchStream {
    let Some(schema) = shown_headings(&rows.schema(), style) else { return rows };
    let batch_schema = schema.clone();
    let rows = rows.map(move |batch| {
        let batch = batch?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(batch_schema.clone(), batch.columns().to_vec(), &options)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}
