//! Filters on their way down a physical plan do not pass where a name means two columns.
//!
//! DataFusion 53 looks for a filter's columns by their names in what a node gives (`FilterRemapper`), and takes the first of
//! two: a condition on one table of a join was checked on the other one (its issues 21246, 25296 and 24002; its pull request
//! 25259 mends it). Here its rule is run with a barrier above each such node. Most conditions have found their scan in the
//! logical plan before.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::{
        JoinType,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::Result,
    physical_expr::expressions::Column,
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::{ExecutionPlan, joins::HashJoinExec, limit::GlobalLimitExec},
};

/// DataFusion's rules, with barriers around those that push filters down.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules.map(|rule| if rule.name().starts_with("FilterPushdown") { Arc::new(Barred(rule)) } else { rule }).collect()
}

#[derive(Debug)]
struct Barred(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for Barred {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !plan.exists(|node| Ok(is_ambiguous(node)))? {
            return self.0.optimize(plan, config);
        }
        let barred = plan.transform_up(|node| {
            Ok(if is_ambiguous(&node) { Transformed::yes(barrier(node)) } else { Transformed::no(node) })
        });
        let optimized = self.0.optimize(barred.data()?, config)?;
        let open = |node: Arc<dyn ExecutionPlan>| {
            Ok(match behind_barrier(&node) {
                Some(input) => Transformed::yes(input),
                None => Transformed::no(node),
            })
        };
        optimized.transform_up(open).data()
    }
}

/// A limit that limits nothing, which no plan has of itself: filters do not pass limits.
fn barrier(node: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(GlobalLimitExec::new(node, 0, None))
}

fn behind_barrier(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let limit = node.as_any().downcast_ref::<GlobalLimitExec>()?;
    (limit.skip() == 0 && limit.fetch().is_none()).then(|| limit.input().clone())
}

fn is_ambiguous(node: &Arc<dyn ExecutionPlan>) -> bool {
    let mut names = HashSet::new();
    let schema = node.schema();
    !schema.fields().iter().all(|field| names.insert(field.name())) || is_of_other_names(node)
}

/// Filters on the key of a semi or anti join go to both of its sides, by the name the key has on one of them.
fn is_of_other_names(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(join) = node.as_any().downcast_ref::<HashJoinExec>() else { return false };
    let has_one_side =
        matches!(join.join_type(), JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftAnti | JoinType::RightAnti);
    let name = |expr: &dyn std::any::Any| expr.downcast_ref::<Column>().map(|column| column.name().to_owned());
    has_one_side && join.on().iter().any(|(left, right)| name(left.as_any()) != name(right.as_any()))
}
