//! Intervals compare by how long they are, as in PostgreSQL: a day is 24 hours, a month is 30 days.
//!
//! Arrow compares the parts of an interval one after the other, months first: 2000 hours would be less than a day, and
//! so would the difference of two times, which becomes an interval of nanoseconds before it is compared with one. So
//! analyzer rules, once types are known, put `interval_length` around what is compared or sorted, and have functions of
//! their own stand for those that choose among intervals. Grouping alone goes by the parts, as they are written.

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray},
    datatypes::{
        DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
        IntervalMonthDayNano, IntervalUnit, TimeUnit,
    },
};
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Between, Case, Cast, ColumnarValue, Expr, ExprSchemable,
        LogicalPlan, LogicalPlanBuilder, Operator, ScalarFunctionArgs, ScalarUDF, Signature, SortExpr, Volatility,
        WindowFunctionDefinition, binary_expr, cast,
        expr_rewriter::NamePreserver,
        function::AccumulatorArgs,
        lit,
        utils::{AggregateOrderSensitivity, merge_schema},
        when,
    },
    scalar::ScalarValue,
    sql::sqlparser::ast::BinaryOperator,
};

use model::{Error, error::codes};

use crate::functions::{simple, simple_variadic};

/// Parts of an interval; every door and function gives intervals of this type.
const PARTS: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// Nanoseconds: the longest interval has 26 digits.
const LENGTH: DataType = DataType::Decimal128(38, 0);

const DAY_NANOS: i128 = 86_400_000_000_000;
const MONTH_DAYS: i128 = 30;

/// The order of windows comes before type coercion, which knows no ranges of intervals.
pub(crate) fn windows_by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        if !matches!(plan, LogicalPlan::Window(_)) {
            return Ok(Transformed::no(plan));
        }
        rewritten(plan, |mut expr, schema| {
            let Expr::WindowFunction(called) = &mut expr else { return Ok(Transformed::no(expr)) };
            let mut changed = false;
            for sort in &mut called.params.order_by {
                let of_time = matches!(sort.expr.get_type(schema), Ok(DataType::Interval(_) | DataType::Duration(_)));
                if of_time {
                    sort.expr = length(take(&mut sort.expr), schema);
                    changed = true;
                }
            }
            Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
        })
    })
    .map(|done| done.data)
}

/// Everything else, which comes after.
pub(crate) fn by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| rewritten(plan, expression)).map(|done| done.data)
}

/// `later - sooner > '1 day'`: a text beside an interval is one. A day and an interval are a moment. Moments of two time
/// zones have a distance.
#[derive(Debug)]
pub(crate) struct Texts;

impl ExprPlanner for Texts {
    fn plan_binary_op(&self, mut raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, Minus, NotEq, Plus};
        if matches!(raw.op, Plus | Minus) {
            raw.left = moment(raw.left, &raw.right, schema)?;
            raw.right = match raw.op {
                Plus => moment(raw.right, &raw.left, schema)?,
                _ => in_zone_of(&raw.left, raw.right, schema),
            };
            return Ok(PlannerResult::Original(raw));
        }
        let op = match raw.op {
            Eq => Operator::Eq,
            NotEq => Operator::NotEq,
            Lt => Operator::Lt,
            LtEq => Operator::LtEq,
            Gt => Operator::Gt,
            GtEq => Operator::GtEq,
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let is_text = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.try_as_str().flatten().is_some());
        let of_time = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_) | DataType::Duration(_)));
        Ok(match (is_text(&raw.left), is_text(&raw.right)) {
            (true, false) if of_time(&raw.right) => {
                PlannerResult::Planned(binary_expr(cast(raw.left, PARTS), op, raw.right))
            }
            (false, true) if of_time(&raw.left) => {
                PlannerResult::Planned(binary_expr(raw.left, op, cast(raw.right, PARTS)))
            }
            _ => PlannerResult::Original(raw),
        })
    }
}

/// `time` in the time zone of `other`, if both have one: the engine subtracts only moments of the same.
fn in_zone_of(other: &Expr, time: Expr, schema: &DFSchema) -> Expr {
    match (other.get_type(schema), time.get_type(schema)) {
        (Ok(DataType::Timestamp(_, Some(zone))), Ok(DataType::Timestamp(unit, Some(own)))) if zone != own => {
            cast(time, DataType::Timestamp(unit, Some(zone)))
        }
        _ => time,
    }
}

/// `time` as what an interval can be added to. Hours would get lost on a day; of times of day there is no sum yet.
fn moment(time: Expr, by: &Expr, schema: &DFSchema) -> Result<Expr> {
    if !matches!(by.get_type(schema), Ok(DataType::Interval(_))) {
        return Ok(time);
    }
    match time.get_type(schema) {
        Ok(DataType::Date32 | DataType::Date64) => Ok(cast(time, DataType::Timestamp(TimeUnit::Microsecond, None))),
        Ok(DataType::Time32(_) | DataType::Time64(_)) => {
            let error = Error::new(codes::SQL_UNSUPPORTED, "a TIME and an INTERVAL do not add up here")
                .hint("add the interval to a TIMESTAMP and cast the result to TIME");
            Err(DataFusionError::External(Box::new(error)))
        }
        _ => Ok(time),
    }
}

/// `plan` and what is below it, subqueries too, with the expressions changed that hold what `concerns` it: most hold none.
pub(crate) fn rewritten_where(
    plan: LogicalPlan,
    concerns: fn(&Expr) -> bool,
    expression: fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|plan| {
        let mut any = false;
        plan.apply_expressions(|expr| {
            any = expr.exists(|expr| Ok(concerns(expr)))?;
            Ok(if any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if any { rewritten(plan, expression) } else { Ok(Transformed::no(plan)) }
    });
    done.map(|done| done.data)
}

/// `plan` with its expressions changed, and its columns called as before.
pub(crate) fn rewritten(
    plan: LogicalPlan,
    expression: fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    // What a column is called may come from the text of its expression.
    let names = NamePreserver::new(&plan);
    let done = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| expression(expr, &schema))?;
        Ok(done.update_data(|expr| name.restore(expr)))
    })?;
    let done = done.transform_data(|plan| Ok(relation(plan, &schema)))?;
    match done.transformed {
        true => done.map_data(LogicalPlan::recompute_schema),
        false => Ok(done),
    }
}

/// Sorts and joins keep what they compare in lists of their own.
fn relation(mut plan: LogicalPlan, schema: &DFSchema) -> Transformed<LogicalPlan> {
    let changed = match &mut plan {
        LogicalPlan::Sort(sort) => sorts(&mut sort.expr, schema),
        LogicalPlan::Join(join) => {
            let mut changed = false;
            for (left, right) in &mut join.on {
                changed |= compared([left, right], schema);
            }
            changed
        }
        _ => false,
    };
    if changed { Transformed::yes(plan) } else { Transformed::no(plan) }
}

fn expression(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            compared([binary.left.as_mut(), binary.right.as_mut()], schema)
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            compared([expr.as_mut(), low.as_mut(), high.as_mut()], schema)
        }
        Expr::InList(list) => compared(std::iter::once(list.expr.as_mut()).chain(&mut list.list), schema),
        Expr::Case(Case { expr: Some(base), when_then_expr, .. }) => {
            compared(std::iter::once(base.as_mut()).chain(when_then_expr.iter_mut().map(|(w, _)| w.as_mut())), schema)
        }
        Expr::InSubquery(within) if is_interval(&within.expr, schema) => {
            *within.expr = length(take(&mut within.expr), schema);
            within.subquery.subquery = lengths_of(&within.subquery.subquery)?.into();
            true
        }
        Expr::SetComparison(set) if is_interval(&set.expr, schema) => {
            *set.expr = length(take(&mut set.expr), schema);
            set.subquery.subquery = lengths_of(&set.subquery.subquery)?.into();
            true
        }
        Expr::AggregateFunction(called) => {
            let sorted = sorts(&mut called.params.order_by, schema);
            let chosen = extreme(&called.func, &called.params.args, schema);
            let changed = sorted || chosen.is_some();
            called.func = chosen.unwrap_or_else(|| called.func.clone());
            changed
        }
        Expr::WindowFunction(called) => {
            let sorted = sorts(&mut called.params.order_by, schema);
            let chosen = match &called.fun {
                WindowFunctionDefinition::AggregateUDF(function) => extreme(function, &called.params.args, schema),
                WindowFunctionDefinition::WindowUDF(_) => None,
            };
            let changed = sorted || chosen.is_some();
            if let Some(chosen) = chosen {
                called.fun = WindowFunctionDefinition::AggregateUDF(chosen);
            }
            changed
        }
        Expr::ScalarFunction(called) if called.args.first().is_some_and(|arg| is_parts(arg, schema)) => {
            match (called.func.name(), called.args.as_slice()) {
                ("nullif", [value, other]) => {
                    let same = length(value.clone(), schema).eq(length(other.clone(), schema));
                    expr = when(same, lit(ScalarValue::try_from(&PARTS)?)).otherwise(value.clone())?;
                    true
                }
                ("greatest", _) => replaced(&mut called.func, &GREATEST),
                ("least", _) => replaced(&mut called.func, &LEAST),
                _ => false,
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// What is compared with each other becomes lengths, if one of it is an interval. Differences of times by themselves are
/// plain numbers.
fn compared<'e>(exprs: impl IntoIterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let exprs: Vec<_> = exprs.into_iter().collect();
    if !exprs.iter().any(|expr| is_interval(expr, schema)) {
        return false;
    }
    for expr in exprs {
        *expr = length(take(expr), schema);
    }
    true
}

fn sorts(sorts: &mut [SortExpr], schema: &DFSchema) -> bool {
    let mut changed = false;
    for sort in sorts {
        changed |= compared([&mut sort.expr], schema);
    }
    changed
}

/// `plan` with its one column as lengths.
fn lengths_of(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let column = Expr::Column(plan.schema().columns().swap_remove(0));
    let column = length(column, plan.schema());
    LogicalPlanBuilder::from(plan.clone()).project([column])?.build()
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(_)))
}

fn is_parts(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(PARTS))
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::take(expr)
}

/// `expr`, an interval or the difference of two times, in nanoseconds.
fn length(expr: Expr, schema: &DFSchema) -> Expr {
    static UDF: LazyLock<ScalarUDF> =
        LazyLock::new(|| simple("interval_length", 1, |_| Ok(LENGTH), |args| lengths(&args.args[0])));
    // Coercion made intervals of differences, which overflows after 292 years.
    let expr = match expr {
        expr if matches!(expr.get_type(schema), Ok(DataType::Duration(_))) => expr,
        Expr::Cast(Cast { expr: inner, data_type: PARTS })
            if matches!(inner.get_type(schema), Ok(DataType::Duration(_))) =>
        {
            *inner
        }
        expr if is_parts(&expr, schema) => expr,
        expr => Expr::Cast(Cast::new(Box::new(expr), PARTS)),
    };
    UDF.call(vec![expr])
}

fn lengths(value: &ColumnarValue) -> Result<ColumnarValue> {
    let array = match value {
        ColumnarValue::Array(array) => array.clone(),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    let lengths: Decimal128Array = match array.data_type() {
        DataType::Duration(TimeUnit::Second) => {
            array.as_primitive::<DurationSecondType>().unary(|v| i128::from(v) * 1_000_000_000)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            array.as_primitive::<DurationMillisecondType>().unary(|v| i128::from(v) * 1_000_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            array.as_primitive::<DurationMicrosecondType>().unary(|v| i128::from(v) * 1_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => array.as_primitive::<DurationNanosecondType>().unary(i128::from),
        _ => intervals(&array)?.unary(nanos),
    };
    let lengths = lengths.with_data_type(LENGTH);
    Ok(match value {
        ColumnarValue::Array(_) => ColumnarValue::Array(Arc::new(lengths)),
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?),
    })
}

fn nanos(parts: IntervalMonthDayNano) -> i128 {
    let days = i128::from(parts.months) * MONTH_DAYS + i128::from(parts.days);
    days * DAY_NANOS + i128::from(parts.nanoseconds)
}

fn intervals(array: &ArrayRef) -> Result<&IntervalMonthDayNanoArray> {
    datafusion::common::cast::as_interval_mdn_array(array)
}

// ── choosing among intervals ──

static GREATEST: LazyLock<ScalarUDF> =
    LazyLock::new(|| simple_variadic("greatest", |_| Ok(PARTS), |args| chosen(args, |new, old| new > old)));
static LEAST: LazyLock<ScalarUDF> =
    LazyLock::new(|| simple_variadic("least", |_| Ok(PARTS), |args| chosen(args, |new, old| new < old)));
static MAX: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::named("max").into());
static MIN: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Extreme::named("min").into());

fn replaced(function: &mut Arc<ScalarUDF>, by: &ScalarUDF) -> bool {
    *function = by.clone().into();
    true
}

/// What stands for `max` or `min` of intervals.
fn extreme(function: &AggregateUDF, args: &[Expr], schema: &DFSchema) -> Option<Arc<AggregateUDF>> {
    let [value] = args else { return None };
    let stands = match function.name() {
        "max" => &MAX,
        "min" => &MIN,
        _ => return None,
    };
    is_parts(value, schema).then(|| Arc::clone(stands))
}

/// The first of the longest or shortest of each row; NULLs are passed over.
fn chosen(args: &ScalarFunctionArgs, better: fn(i128, i128) -> bool) -> Result<ColumnarValue> {
    let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
    let columns = arrays.iter().map(intervals).collect::<Result<Vec<_>>>()?;
    let rows = (0..args.number_rows).map(|row| {
        let values = columns.iter().filter(|column| column.is_valid(row)).map(|column| column.value(row));
        values.reduce(|old, new| if better(nanos(new), nanos(old)) { new } else { old })
    });
    Ok(ColumnarValue::Array(Arc::new(rows.collect::<IntervalMonthDayNanoArray>())))
}

/// `max` or `min`, under its own name so that columns are called as ever.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    name: &'static str,
    signature: Signature,
}

impl Extreme {
    fn named(name: &'static str) -> AggregateUDF {
        AggregateUDF::from(Self { name, signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl AggregateUDFImpl for Extreme {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(PARTS)
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Best { greatest: self.name == "max", best: None }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Best {
    greatest: bool,
    best: Option<IntervalMonthDayNano>,
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for new in intervals(&values[0])?.iter().flatten() {
            let better = self.best.is_none_or(|old| match self.greatest {
                true => nanos(new) > nanos(old),
                false => nanos(new) < nanos(old),
            });
            if better {
                self.best = Some(new);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.best))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
