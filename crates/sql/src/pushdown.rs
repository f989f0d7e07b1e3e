//! Filters that go down a physical plan only where names tell columns apart.
//!
//! DataFusion 53 finds the columns of a filter by their names on its way down, and takes the first of a name: below a join of
//! two tables with a column `year`, a condition on the one was asked of the other (its issues 21246, 25296; its pull request
//! 25259 mends it). So what gives a name twice lets no filter through here: those above stay there, and those below it
//! go down from there on. Conditions of one table are at that table already, which the logical plan sees to.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    common::config::ConfigOptions,
    error::Result,
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    physical_plan::ExecutionPlan,
};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// All rules of the physical optimizer, with those that push filters down kept to where they are right.
pub(crate) fn physical_rules() -> Vec<Rule> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules.map(|rule| if rule.name().starts_with("FilterPushdown") { Arc::new(ByName(rule)) } else { rule }).collect()
}

/// A rule that goes by names.
#[derive(Debug)]
struct ByName(Rule);

impl PhysicalOptimizerRule for ByName {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        match self.below(plan, config)? {
            (plan, true) => self.0.optimize(plan, config),
            (plan, false) => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

impl ByName {
    /// `plan`, and whether all names in it tell columns apart: then nothing is done yet.
    fn below(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<(Arc<dyn ExecutionPlan>, bool)> {
        let inputs = plan.children().into_iter().map(|input| self.below(input.clone(), config));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        if inputs.iter().all(|(_, apart)| *apart) {
            return match tells_apart(&plan) {
                true => Ok((plan, true)),
                // What it has to say to its inputs, it says by their names.
                false => Ok((self.0.optimize(plan, config)?, false)),
            };
        }
        let inputs =
            inputs.into_iter().map(|(input, apart)| if apart { self.0.optimize(input, config) } else { Ok(input) });
        Ok((plan.with_new_children(inputs.collect::<Result<_>>()?)?, false))
    }
}

fn tells_apart(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut names = HashSet::new();
    plan.schema().fields().iter().all(|field| names.insert(field.name().clone()))
}
