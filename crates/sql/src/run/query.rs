//! SELECT and EXPLAIN.

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::ParamValues, execution::SendableRecordBatchStream, logical_expr::LogicalPlan,
    physical_plan::execute_stream, scalar::ScalarValue, sql::parser::Statement as DfStatement,
};
use model::{Error, Result, error::codes};

use super::{Described, Run, param_types};
use crate::{Outcome, functions::plain, stream::Guarded, text};

impl Run<'_> {
    pub(super) async fn query(&self, statement: &DfStatement, params: Vec<ScalarValue>) -> Result<Outcome> {
        let plan = plain(self.binder().plan(statement.clone(), self.parsed.named).await?)?;
        let explains = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let rows = self.stream(plan, params).await?;
        Ok(Outcome::rows(if explains { "EXPLAIN" } else { "SELECT" }, self.guard(rows)))
    }

    pub(super) async fn describe_query(
        &self,
        statement: &DfStatement,
        given: &[Option<DataType>],
    ) -> Result<Described> {
        let plan = plain(self.binder().plan(statement.clone(), self.parsed.named).await?)?;
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
        let physical = physical.map_err(|e| self.map(e))?;
        execute_stream(physical, self.state.task_ctx()).map_err(|e| self.map(e))
    }

    /// Time limit and errors, for rows that go to a client.
    pub(super) fn guard(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Guarded::new(rows, self.sql.clone(), self.session.settings().timeout))
    }
}
