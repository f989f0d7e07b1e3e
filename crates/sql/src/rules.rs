//! Rules of the analyzer, which change a plan before it is optimized.

use std::sync::Arc;

use datafusion::{
    common::config::ConfigOptions,
    error::Result,
    logical_expr::LogicalPlan,
    optimizer::{Analyzer, AnalyzerRule},
};

use crate::{intervals, texts, truth};

/// All of them, ours among them: before types are coerced, and after.
pub(crate) fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules = vec![
        rule("windows_by_length", intervals::windows_by_length),
        rule("written_casts_of_text", texts::written_casts),
    ];
    rules.extend(Analyzer::new().rules);
    rules.push(rule("intervals_by_length", intervals::by_length));
    rules.push(rule("coerced_literals", texts::coerced_literals));
    rules.push(rule("truth", truth::known_truth));
    rules
}

fn rule(name: &'static str, apply: fn(LogicalPlan) -> Result<LogicalPlan>) -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Rule { name, apply })
}

/// A rule that is a name and a function.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    apply: fn(LogicalPlan) -> Result<LogicalPlan>,
}

impl AnalyzerRule for Rule {
    fn name(&self) -> &str {
        self.name
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        (self.apply)(plan)
    }
}
