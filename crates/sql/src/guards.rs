//! What a condition rules out is not evaluated: `a <> 0 AND 10 / a > 1` divides by no zero.
//!
//! The engine evaluates both sides of AND and OR for all rows of a batch, unless the left side leaves few of them, and what
//! an aggregate is given for rows too that its FILTER leaves out. That only matters where the right side can fail. So
//! rules of planning give what can fail a condition to go by:
//! * of a filter's conditions, those that cannot fail come first, and each of the others is a filter of its own behind them;
//! * inside AND and OR elsewhere (what is selected, grouped by, joined on), and in an aggregate's arguments, [`Guarded`] and
//!   [`Chosen`] look at fewer rows.
//!
//! Plans without anything that can fail stay as they are.
//!
//! Upstream: apache/datafusion#8927 (AND and OR), #21643 (in which order filters are put together), #24443 (FILTER).

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array},
    compute::{and_kleene, or_kleene},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use datafusion::{
    common::{
        ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{ColumnarValue, Operator},
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{BinaryExpr, CastExpr, Column, Literal},
        split_conjunction,
        utils::{collect_columns, conjunction},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy},
        filter::{FilterExec, FilterExecBuilder},
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
        projection::{ProjectionExec, ProjectionExpr},
    },
};

type Physical = Arc<dyn PhysicalExpr>;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// `rules` of the physical optimizer, and guards: what is projected is guarded first, before a scan takes it over; the rest last,
/// as other rules know the conditions of the engine's own kind.
pub(crate) fn around(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.insert(0, Arc::new(Guards::OfValues));
    rules.push(Arc::new(Guards::OfConditions));
    rules
}

#[derive(Debug, PartialEq, Eq)]
enum Guards {
    OfValues,
    OfConditions,
}

impl PhysicalOptimizerRule for Guards {
    fn name(&self) -> &str {
        match self {
            Self::OfValues => "guards_of_values",
            Self::OfConditions => "guards_of_conditions",
        }
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let any = node.as_any();
            let guarded = if let Some(projection) = any.downcast_ref::<ProjectionExec>() {
                projected(projection)?
            } else if *self == Self::OfValues {
                any.downcast_ref::<AggregateExec>().map(grouped).transpose()?.flatten()
            } else if let Some(filter) = any.downcast_ref::<FilterExec>() {
                filters(filter)?
            } else if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
                aggregated(aggregate)?
            } else if let Some(join) = any.downcast_ref::<HashJoinExec>() {
                match join.filter().map(joined).transpose()?.flatten() {
                    Some(filter) => Some(join.builder().with_filter(Some(filter)).build_exec()?),
                    None => None,
                }
            } else if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
                match join.filter().map(joined).transpose()?.flatten() {
                    Some(filter) => {
                        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
                        Some(Arc::new(join) as Arc<dyn ExecutionPlan>)
                    }
                    None => None,
                }
            } else {
                None
            };
            Ok(guarded.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .map(|done| done.data)
    }
}

/// Several filters for one, if it has a condition that can fail and others.
fn filters(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = filter.input().schema();
    let conditions: Vec<Physical> = split_conjunction(filter.predicate()).into_iter().cloned().collect();
    let (failing, safe): (Vec<_>, Vec<_>) = conditions.into_iter().partition(|condition| can_fail(condition, &schema));
    if failing.is_empty() {
        return Ok(None);
    }
    let mut changed = false;
    let mut steps = Vec::with_capacity(failing.len() + 1);
    if !safe.is_empty() {
        steps.push(conjunction(safe));
    }
    for condition in failing {
        let done = guarded(condition, &schema)?;
        changed |= done.transformed;
        steps.push(done.data);
    }
    if steps.len() == 1 && !changed {
        return Ok(None);
    }
    let last = steps.pop().expect("one condition fails, at least");
    let mut input = filter.input().clone();
    for step in steps {
        let step = FilterExecBuilder::new(step, input)
            .with_default_selectivity(filter.default_selectivity())
            .with_batch_size(filter.batch_size())
            .build()?;
        input = Arc::new(step);
    }
    let last = FilterExecBuilder::from(filter).with_input(input).with_predicate(last).build()?;
    Ok(Some(Arc::new(last)))
}

fn projected(projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = projection.input().schema();
    let mut changed = false;
    let mut exprs = Vec::with_capacity(projection.expr().len());
    for ProjectionExpr { expr, alias } in projection.expr() {
        let done = guarded(expr.clone(), &schema)?;
        changed |= done.transformed;
        exprs.push(ProjectionExpr { expr: done.data, alias: alias.clone() });
    }
    if !changed {
        return Ok(None);
    }
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, projection.input().clone())?)))
}

/// What is grouped by, and FILTERs.
fn grouped(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if aggregate.mode().input_mode() != AggregateInputMode::Raw {
        return Ok(None);
    }
    let schema = aggregate.input_schema();
    let mut changed = false;
    let mut guard = |expr: &Physical| -> Result<Physical> {
        let done = guarded(expr.clone(), &schema)?;
        changed |= done.transformed;
        Ok(done.data)
    };
    let by = aggregate.group_expr();
    let exprs = by.expr().iter().map(|(expr, name)| Ok((guard(expr)?, name.clone()))).collect::<Result<Vec<_>>>()?;
    let filters = aggregate.filter_expr().iter().map(|filter| filter.as_ref().map(&mut guard).transpose());
    let filters = filters.collect::<Result<Vec<_>>>()?;
    if !changed {
        return Ok(None);
    }
    let by = PhysicalGroupBy::new(exprs, by.null_expr().to_vec(), by.groups().to_vec(), by.has_grouping_set());
    let (values, input) = (aggregate.aggr_expr().to_vec(), aggregate.input().clone());
    let guarded = AggregateExec::try_new(*aggregate.mode(), by, values, filters, input, schema)?;
    Ok(Some(Arc::new(guarded.with_limit_options(aggregate.limit_options()))))
}

fn joined(filter: &JoinFilter) -> Result<Option<JoinFilter>> {
    let done = guarded(filter.expression().clone(), filter.schema())?;
    let with = |expr| JoinFilter::new(expr, filter.column_indices().to_vec(), filter.schema().clone());
    Ok(done.transformed.then(|| with(done.data)))
}

/// Arguments that can fail are evaluated for the rows that FILTER leaves.
fn aggregated(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if aggregate.mode().input_mode() != AggregateInputMode::Raw {
        return Ok(None);
    }
    let schema = aggregate.input_schema();
    let mut changed = false;
    let mut exprs = aggregate.aggr_expr().to_vec();
    for (expr, filter) in exprs.iter_mut().zip(aggregate.filter_expr()) {
        let Some(filter) = filter else { continue };
        let all = expr.all_expressions();
        if !all.args.iter().any(|arg| can_fail(arg, &schema)) {
            continue;
        }
        let choose = |arg: Physical| -> Physical {
            if can_fail(&arg, &schema) { Arc::new(Chosen::new(filter.clone(), arg)) } else { arg }
        };
        if let Some(new) = expr.with_new_expressions(all.args.into_iter().map(choose).collect(), all.order_by_exprs) {
            *expr = Arc::new(new);
            changed = true;
        }
    }
    Ok(changed.then(|| Arc::new(aggregate.with_new_aggr_exprs(exprs)) as Arc<dyn ExecutionPlan>))
}

/// `expr` with a guard at each AND and OR whose one side can fail.
fn guarded(expr: Physical, schema: &Schema) -> Result<Transformed<Physical>> {
    if !can_fail(&expr, schema) {
        return Ok(Transformed::no(expr));
    }
    expr.transform_up(|expr| {
        let Some(binary) = expr.as_any().downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(expr)) };
        let op = *binary.op();
        if !matches!(op, Operator::And | Operator::Or) {
            return Ok(Transformed::no(expr));
        }
        let (left, right) = (binary.left().clone(), binary.right().clone());
        // What cannot fail comes first, wherever it is written.
        let (left, right) = match (can_fail(&left, schema), can_fail(&right, schema)) {
            (_, true) => (left, right),
            (true, false) => (right, left),
            (false, false) => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(Arc::new(Guarded::new(op, left, right)) as Physical))
    })
}

// ── what can fail ──

/// Functions that take whatever they are given.
const SAFE: &[&str] = &[
    "abs",
    "ascii",
    "bit_length",
    "btrim",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "date_part",
    "date_trunc",
    "ends_with",
    "floor",
    "get_field",
    "greatest",
    "initcap",
    "interval_length",
    "is_json",
    "isnan",
    "iszero",
    "json_as_text",
    "json_contains",
    "json_get",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_json",
    "json_get_str",
    "json_length",
    "least",
    "length",
    "lower",
    "ltrim",
    "md5",
    "now",
    "nullif",
    "nvl",
    "octet_length",
    "reverse",
    "round",
    "rtrim",
    "sha256",
    "signum",
    "starts_with",
    "strpos",
    "to_char",
    "trunc",
    "upper",
];

/// Whether there can be a row for which `expr` is an error.
fn can_fail(expr: &Physical, schema: &Schema) -> bool {
    let mut fails = false;
    expr.apply(|expr| {
        fails = fails_itself(expr, schema);
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("nothing in it fails");
    fails
}

fn fails_itself(expr: &Physical, schema: &Schema) -> bool {
    let any = expr.as_any();
    if let Some(binary) = any.downcast_ref::<BinaryExpr>() {
        return matches!(binary.op(), Operator::Divide | Operator::Modulo) && !divides(binary.right(), schema);
    }
    if let Some(cast) = any.downcast_ref::<CastExpr>() {
        return cast.expr().data_type(schema).map_or(true, |from| !always_fits(&from, cast.cast_type()));
    }
    any.downcast_ref::<ScalarFunctionExpr>().is_some_and(|called| !SAFE.contains(&called.fun().name()))
}

/// Whether nothing fails that is divided by `expr`.
fn divides(expr: &Physical, schema: &Schema) -> bool {
    if let Some(literal) = expr.as_any().downcast_ref::<Literal>() {
        let zero = ScalarValue::new_zero(&literal.value().data_type());
        return zero.is_ok_and(|zero| *literal.value() != zero);
    }
    expr.data_type(schema).is_ok_and(|of| of.is_floating())
}

/// Whether each value of type `from` is one of type `to`.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, BinaryView, Boolean, Date32, Dictionary, LargeBinary, Timestamp};
    let width = |of: &DataType| of.primitive_width().unwrap_or(usize::MAX);
    match (from, to) {
        (from, to) if from == to => true,
        (Dictionary(_, from), to) => always_fits(from, to),
        (from, Dictionary(_, to)) => always_fits(from, to),
        (_, to) if to.is_string() => !from.is_binary(),
        (from, Boolean) => from.is_numeric(),
        (Boolean, to) => to.is_integer(),
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => width(from) <= width(to),
        (from, to) if from.is_unsigned_integer() && to.is_integer() => width(from) < width(to),
        (from, to) if to.is_floating() => from.is_numeric(),
        (from, DataType::Decimal128(precision, scale)) if from.is_integer() => {
            i32::from(*precision) - i32::from(*scale) >= if width(from) < 8 { 10 } else { 20 }
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(precision, scale)) => {
            scale >= s && i32::from(*precision) - i32::from(*scale) >= i32::from(*p) - i32::from(*s)
        }
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => true,
        (Binary | BinaryView | LargeBinary, Binary | BinaryView | LargeBinary) => true,
        (DataType::Null, _) => true,
        _ => false,
    }
}

// ── what is evaluated for some rows ──

/// An expression, and the columns of a batch it needs: the others are not filtered for it.
#[derive(Debug)]
struct Narrow {
    columns: Vec<usize>,
    expr: Physical,
}

impl Narrow {
    fn new(expr: &Physical) -> Self {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let done = expr.clone().transform_up(|expr| {
            let Some(column) = expr.as_any().downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let place = columns.binary_search(&column.index()).expect("all columns were collected");
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), place)) as Physical))
        });
        let expr = done.expect("nothing in it fails").data;
        Self { columns, expr }
    }

    /// Its values where `rows` are true, and NULL elsewhere.
    fn evaluate(&self, batch: &RecordBatch, rows: &BooleanArray) -> Result<ArrayRef> {
        if rows.true_count() == 0 {
            let schema = batch.schema_ref().project(&self.columns)?;
            return Ok(new_null_array(&self.expr.data_type(&schema)?, batch.num_rows()));
        }
        self.expr.evaluate_selection(&batch.project(&self.columns)?, rows)?.into_array(batch.num_rows())
    }
}

/// AND or OR whose right side is evaluated only where the left side does not decide.
#[derive(Debug)]
struct Guarded {
    op: Operator,
    left: Physical,
    right: Physical,
    narrow: Narrow,
}

impl Guarded {
    fn new(op: Operator, left: Physical, right: Physical) -> Self {
        let narrow = Narrow::new(&right);
        Self { op, left, right, narrow }
    }
}

impl PhysicalExpr for Guarded {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        let nullable = self.left.nullable(schema)? || self.right.nullable(schema)?;
        Ok(Arc::new(Field::new(self.to_string(), DataType::Boolean, nullable)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.left.evaluate(batch)?.into_array(batch.num_rows())?;
        let left = left.as_boolean();
        // The value that decides.
        let is_or = self.op == Operator::Or;
        let open = |value: Option<bool>| Some(value != Some(is_or));
        let rows: BooleanArray = left.iter().map(open).collect();
        if rows.true_count() == 0 {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        let right = self.narrow.evaluate(batch, &rows)?;
        let both = if is_or { or_kleene } else { and_kleene };
        Ok(ColumnarValue::Array(Arc::new(both(left, right.as_boolean())?)))
    }

    fn children(&self) -> Vec<&Physical> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Physical>) -> Result<Physical> {
        Ok(Arc::new(Self::new(self.op, children[0].clone(), children[1].clone())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, self.op, self.right)
    }
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Eq for Guarded {}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.op.hash(state);
        self.left.hash(state);
        self.right.hash(state);
    }
}

/// An expression that is evaluated where `by` is true, and NULL elsewhere.
#[derive(Debug)]
struct Chosen {
    by: Physical,
    expr: Physical,
    narrow: Narrow,
}

impl Chosen {
    fn new(by: Physical, expr: Physical) -> Self {
        let narrow = Narrow::new(&expr);
        Self { by, expr, narrow }
    }
}

impl PhysicalExpr for Chosen {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(self.expr.return_field(schema)?.as_ref().clone().with_nullable(true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = self.by.evaluate(batch)?.into_array(batch.num_rows())?;
        let rows: BooleanArray = rows.as_boolean().iter().map(|row| Some(row == Some(true))).collect();
        Ok(ColumnarValue::Array(self.narrow.evaluate(batch, &rows)?))
    }

    fn children(&self) -> Vec<&Physical> {
        vec![&self.by, &self.expr]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Physical>) -> Result<Physical> {
        Ok(Arc::new(Self::new(children[0].clone(), children[1].clone())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.by.eq(&other.by) && self.expr.eq(&other.expr)
    }
}

impl Eq for Chosen {}

impl Hash for Chosen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by.hash(state);
        self.expr.hash(state);
    }
}
