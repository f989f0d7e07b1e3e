//! What DataFusion's SQL planner asks, answered from the statement's own sources.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::{
    common::{
        DFSchema, config::ConfigOptions, file_options::file_type::FileType, plan_datafusion_err, tree_node::TreeNode,
    },
    datasource::{cte_worktable::CteWorkTable, file_format::format_as_file_type, provider_as_source},
    error::Result,
    execution::SessionState,
    functions_nested::{extract::array_element, map_extract::map_extract},
    logical_expr::{
        AggregateUDF, Expr, ExprSchemable, GetFieldAccess, ScalarUDF, TableSource, WindowUDF, lit,
        planner::{
            ContextProvider, ExprPlanner, PlannerResult, RawAggregateExpr, RawFieldAccessExpr, RawWindowExpr,
            RelationPlanner, TypePlanner,
        },
        simplify::SimplifyContext,
        var_provider::{VarType, is_system_variables},
    },
    optimizer::simplify_expressions::ExprSimplifier,
    sql::{
        ResolvedTableReference, TableReference,
        sqlparser::ast::{self, TimezoneInfo},
    },
};
use parking_lot::Mutex;

use super::{Source, merged::Merging, series};
use crate::{functions::zone, intervals::Texts, relation::CATALOG};

pub(super) struct Context<'a> {
    state: &'a SessionState,
    namespace: &'a str,
    sources: HashMap<ResolvedTableReference, Arc<dyn TableSource>>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    missing: Mutex<Option<ResolvedTableReference>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(state: &'a SessionState, namespace: &'a str, sources: HashMap<String, Source>) -> Self {
        let sources = sources.into_values().map(|source| (source.reference, source.provider)).collect();
        // Ours are asked first.
        let ours: [Arc<dyn ExprPlanner>; 3] = [Arc::new(MapAccess), Arc::new(Texts), Arc::new(CastsShow)];
        let expr_planners = ours.into_iter().chain(state.expr_planners().iter().cloned()).collect();
        let merging: Arc<dyn RelationPlanner> = Arc::new(Merging);
        let relation_planners = std::iter::once(merging).chain(state.relation_planners().iter().cloned()).collect();
        Self { state, namespace, sources, expr_planners, relation_planners, missing: Mutex::new(None) }
    }

    /// The last relation that was asked for in vain.
    pub(super) fn missing(&self) -> Option<ResolvedTableReference> {
        self.missing.lock().clone()
    }
}

/// `map['key']`: DataFusion compares a key only with keys of the very same type, and there are three of text.
#[derive(Debug)]
struct MapAccess;

impl ExprPlanner for MapAccess {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let DataType::Map(entries, _) = access.expr.get_type(schema)? else {
            return Ok(PlannerResult::Original(access));
        };
        let DataType::Struct(entry) = entries.data_type() else { return Ok(PlannerResult::Original(access)) };
        let key = match access.field_access {
            GetFieldAccess::NamedStructField { name } => Expr::Literal(name, None),
            GetFieldAccess::ListIndex { key } => *key,
            field_access @ GetFieldAccess::ListRange { .. } => {
                return Ok(PlannerResult::Original(RawFieldAccessExpr { expr: access.expr, field_access }));
            }
        };
        let key = key.cast_to(entry[0].data_type(), schema)?;
        Ok(PlannerResult::Planned(array_element(map_extract(access.expr, key), lit(1_i64))))
    }
}

/// `SELECT sum(a), sum(a::double)`: the engine calls both `sum(a)`, and then takes them for one. (What it leaves out of names
/// are casts: `Expr::schema_name`, apache/datafusion#18975.)
#[derive(Debug)]
struct CastsShow;

impl ExprPlanner for CastsShow {
    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        raw.args = raw.args.into_iter().map(with_casts).collect();
        Ok(PlannerResult::Original(raw))
    }

    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        raw.args = raw.args.into_iter().map(with_casts).collect();
        Ok(PlannerResult::Original(raw))
    }
}

/// `expr` under a name that tells its casts.
fn with_casts(expr: Expr) -> Expr {
    let is_cast = |expr: &Expr| matches!(expr, Expr::Cast(_) | Expr::TryCast(_));
    // Of literals nobody has a second one, and functions want to see them.
    let casts = !matches!(expr.clone().unalias_nested().data, Expr::Literal(..))
        && expr.exists(|expr| Ok(is_cast(expr))).expect("looking never fails")
        && expr.any_column_refs();
    if !casts {
        return expr;
    }
    let name = expr.to_string();
    expr.alias(name)
}

/// TIMESTAMP has microseconds, as it is stored: nanoseconds end with the year 2262.
#[derive(Debug)]
struct Times {
    zone: Arc<str>,
}

impl TypePlanner for Times {
    fn plan_type(&self, written: &ast::DataType) -> Result<Option<DataType>> {
        let ast::DataType::Timestamp(None, zoned) = written else { return Ok(None) };
        let zone = match zoned {
            TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => Some(self.zone.clone()),
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => None,
        };
        Ok(Some(DataType::Timestamp(TimeUnit::Microsecond, zone)))
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let name = name.resolve(CATALOG, self.namespace);
        if let Some(source) = self.sources.get(&name) {
            return Ok(source.clone());
        }
        let error = plan_datafusion_err!("table '{}.{}' not found", name.schema, name.table);
        *self.missing.lock() = Some(name);
        Err(error)
    }

    fn get_file_type(&self, extension: &str) -> Result<Arc<dyn FileType>> {
        self.state
            .get_file_format_factory(extension)
            .map(format_as_file_type)
            .ok_or_else(|| plan_datafusion_err!("there is no file format `{extension}`"))
    }

    fn get_table_function_source(&self, name: &str, arguments: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let function = self
            .state
            .table_functions()
            .get(&name.to_lowercase())
            .ok_or_else(|| plan_datafusion_err!("table function '{name}' not found"))?;
        let simplifier = ExprSimplifier::new(
            SimplifyContext::default()
                .with_config_options(self.state.config_options().clone())
                .with_query_execution_start_time(self.state.execution_props().query_execution_start_time),
        );
        let schema = DFSchema::empty();
        let arguments = arguments
            .into_iter()
            .map(|argument| simplifier.coerce(argument, &schema).and_then(|argument| simplifier.simplify(argument)))
            .collect::<Result<Vec<_>>>()?;
        if !series::is(name) {
            return Ok(provider_as_source(function.create_table_provider(&arguments)?));
        }
        let provider = function.create_table_provider(&series::arguments(arguments)?)?;
        series::in_micros(provider).map(provider_as_source)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Times { zone: zone(self.options()) }))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, names: &[String]) -> Option<DataType> {
        if names.is_empty() {
            return None;
        }
        let kind = if is_system_variables(names) { VarType::System } else { VarType::UserDefined };
        self.state.execution_props().var_providers.as_ref()?.get(&kind)?.get_type(names)
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
