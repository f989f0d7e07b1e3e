//! Stopping a query that is busy.
//!
//! A task can be stopped only where it waits. DataFusion's sources make a query pause now and then, but a join multiplies
//! what they give: between two batches of its input it may work for minutes. So a plan is given places to stop at:
//! * a join, and what makes many rows out of one, counts the batches it *gives* towards the task's budget as well;
//! * the condition of a join, which is tried on every pair of rows and may let none of them pass, looks up first whether
//!   anyone still waits for the answer.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, FieldRef, Schema},
};
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    error::DataFusionError,
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        ExecutionPlan,
        coop::CooperativeExec,
        joins::{
            CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
            utils::JoinFilter,
        },
        unnest::UnnestExec,
    },
};
use model::{Error, error::codes};
use world::World;

use super::Ticket;
use crate::stream::timed_out;

/// Longest time a worker keeps others waiting while it works on one batch.
const BREATH: Duration = Duration::from_millis(20);

/// Says to a statement that works whether it should stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    world: World,
    /// Nobody waits for this statement's rows any more.
    raised: Arc<AtomicBool>,
    /// Nobody waits for the whole call any more.
    abandoned: Arc<AtomicBool>,
    /// On the monotonic clock, and how long the statement was given.
    deadline: Option<(Duration, Duration)>,
}

impl Interrupt {
    pub(crate) fn new(ticket: &Ticket, timeout: Option<Duration>) -> Self {
        let world = ticket.world.clone();
        let deadline = timeout.map(|timeout| (world.clock.monotonic().saturating_add(timeout), timeout));
        Self { world, raised: Arc::default(), abandoned: ticket.abandoned.clone(), deadline }
    }

    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.raised.clone()
    }

    /// To be called often by work that does not wait: an error if it should stop, else it goes on when others on this
    /// thread had their turn.
    fn check(&self) -> Result<()> {
        thread_local! {
            static BREATHED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        }
        let cancelled =
            || Err(DataFusionError::External(Box::new(Error::new(codes::SQL_CANCELLED, "the query was cancelled"))));
        if self.raised.load(Ordering::Relaxed) || self.abandoned.load(Ordering::Relaxed) {
            return cancelled();
        }
        let now = self.world.clock.monotonic();
        if now.saturating_sub(BREATHED.get()) < BREATH {
            return Ok(());
        }
        BREATHED.set(now);
        if let Some((deadline, timeout)) = self.deadline
            && now >= deadline
        {
            return Err(DataFusionError::External(Box::new(timed_out(timeout))));
        }
        if self.world.tasks.is_stopping() {
            return cancelled();
        }
        // Other tasks of this thread move on to another one.
        tokio::task::block_in_place(|| ());
        Ok(())
    }
}

/// `plan` with places to stop at.
pub(crate) fn interruptible(plan: Arc<dyn ExecutionPlan>, interrupt: &Interrupt) -> Result<Arc<dyn ExecutionPlan>> {
    let done = plan.transform_up(|node| {
        let any = node.as_any();
        let busy: Arc<dyn ExecutionPlan> = if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
            let filter = join.filter().map(|filter| checked(filter, interrupt));
            Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?)
        } else if let Some(join) = any.downcast_ref::<HashJoinExec>() {
            match join.filter() {
                Some(filter) => join.builder().with_filter(Some(checked(filter, interrupt))).build_exec()?,
                None => node,
            }
        } else if any.is::<CrossJoinExec>() || any.is::<SortMergeJoinExec>() || any.is::<UnnestExec>() {
            node
        } else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(busy)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(done.data)
}

fn checked(filter: &JoinFilter, interrupt: &Interrupt) -> JoinFilter {
    let expression = Checked { inner: filter.expression().clone(), interrupt: interrupt.clone() };
    JoinFilter::new(Arc::new(expression), filter.column_indices().to_vec(), filter.schema().clone())
}

/// An expression that is not evaluated once the statement should stop.
#[derive(Clone)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    interrupt: Interrupt,
}

impl PhysicalExpr for Checked {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.inner.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.inner.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interrupt.check()?;
        self.inner.evaluate(batch)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) => Ok(Arc::new(Self { inner, interrupt: self.interrupt.clone() })),
            None => Ok(self),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checked").field(&self.inner).finish()
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
