//! What PostgreSQL and DuckDB mean by an expression, where DataFusion means something else and its types tell.
//!
//! It happens once, right after planning: what a statement is said to give is what it gives.

use super::{membership::known, merged::is_note};
use crate::{
    correlated,
    functions::{maybe_null, simple_variadic, single_row},
    intervals::rewritten,
};
use std::sync::LazyLock;

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Column, DFSchema, ScalarValue, tree_node::Transformed},
    error::Result,
    functions::math::expr_fn::round,
    functions_aggregate::expr_fn::{count, first_value},
    logical_expr::{
        Between, Case, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
        ScalarFunctionArgs, ScalarUDF, Subquery, TryCast, expr::Placeholder, lit,
    },
};

pub(super) fn give(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        // Their types are settled.
        LogicalPlan::Values(_) => rewritten(plan, of_one_type),
        LogicalPlan::RecursiveQuery(_) => all_columns(plan).map(Transformed::yes),
        LogicalPlan::Filter(filter) => known(filter)?.transform_data(|plan| rewritten(plan, expression)),
        LogicalPlan::Join(mut join) if join.on.iter().any(|pair| is_note(pair, &join)) => {
            join.on = join.on.iter().filter(|pair| !is_note(pair, &join)).cloned().collect();
            rewritten(LogicalPlan::Join(join), expression)
        }
        _ => rewritten(plan, expression),
    })
    .map(|done| done.data)
}

fn expression(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::ScalarFunction(called) if matches!(called.func.name(), "ceil" | "floor") => {
            match called.args.as_mut_slice() {
                [arg] => wider(arg, schema),
                _ => false,
            }
        }
        Expr::AggregateFunction(called) if called.func.name() == "median" => match called.params.args.as_mut_slice() {
            // Between two whole numbers lies a half.
            [arg] if arg.get_type(schema).is_ok_and(|given| given.is_integer()) => {
                *arg = cast(take(arg), DataType::Float64);
                true
            }
            _ => false,
        },
        _ => return of_one_type(expr, schema),
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// What leaves the type of `expr` as it is.
fn of_one_type(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if compares(binary.op) => {
            texts_become([binary.left.as_mut(), binary.right.as_mut()], schema)
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            texts_become([expr.as_mut(), low.as_mut(), high.as_mut()], schema)
        }
        Expr::InList(list) => texts_become(std::iter::once(list.expr.as_mut()).chain(&mut list.list), schema),
        Expr::ScalarFunction(called) if called.func.name() == "array_has" => match called.args.as_mut_slice() {
            [list, value] => list_of(list, value, schema),
            _ => false,
        },
        Expr::Case(Case { expr: None, when_then_expr, .. }) => {
            let mut changed = false;
            for (condition, _) in when_then_expr {
                changed |= is_parameter(condition, DataType::Boolean);
            }
            changed
        }
        Expr::Not(condition) => is_parameter(condition, DataType::Boolean),
        Expr::Cast(Cast { expr, data_type }) | Expr::TryCast(TryCast { expr, data_type }) => {
            rounds(expr, data_type, schema)
        }
        Expr::ScalarSubquery(subquery) => match single(subquery)? {
            Some(single) => {
                *subquery = single;
                true
            }
            // The engine takes it for NOT NULL if its column is, and a value over no rows is NULL (DataFusion issue 24513).
            None if !gives_a_row(&subquery.subquery) && !expr.nullable(schema)? => {
                expr = maybe_null(expr);
                true
            }
            None => false,
        },
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::take(expr)
}

fn cast(expr: Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to))
}

/// `n > '9'`: the text is a number, and not the number a text. A time beside a text keeps its unit.
fn texts_become<'e>(exprs: impl IntoIterator<Item = &'e mut Expr>, schema: &DFSchema) -> bool {
    let exprs: Vec<_> = exprs.into_iter().collect();
    let has_own = |given: &DataType| given.is_numeric() || matches!(given, DataType::Timestamp(..));
    let given = exprs.iter().find_map(|expr| expr.get_type(schema).ok().filter(has_own));
    let Some(given) = given else { return false };
    // A decimal's digits are those of what it is compared with, not the most there may be.
    let to = if given.is_decimal() { DataType::Float64 } else { given.clone() };
    let mut changed = false;
    for expr in exprs {
        if let Expr::Literal(value, _) = expr
            && let Some(Some(text)) = value.try_as_str()
        {
            let exact = given.is_decimal().then(|| decimal(text)).flatten();
            *expr = exact.unwrap_or_else(|| cast(take(expr), to.clone()));
            changed = true;
        }
    }
    changed
}

/// `name = ANY ($1)`: the parameter is a list of names.
fn list_of(list: &mut Expr, value: &Expr, schema: &DFSchema) -> bool {
    match value.get_type(schema) {
        Ok(given) if given.is_string() => is_parameter(list, list_type(DataType::Utf8)),
        Ok(given) if !given.is_null() => is_parameter(list, list_type(given)),
        _ => false,
    }
}

fn list_type(item: DataType) -> DataType {
    DataType::List(Field::new_list_field(item, true).into())
}

/// Says that `expr`, if it is a parameter of which nothing is known, is of type `of`.
fn is_parameter(expr: &mut Expr, of: DataType) -> bool {
    let Expr::Placeholder(Placeholder { field: field @ None, .. }) = expr else { return false };
    *field = Some(Field::new("", of, true).into());
    true
}

/// `12.3450` with all its digits.
fn decimal(text: &str) -> Option<Expr> {
    let digits = text.trim().trim_start_matches(['-', '+']);
    let scale = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let scale = i8::try_from(scale).ok().filter(|_| digits.len() <= 38)?;
    ScalarValue::try_from_string(text.trim().to_owned(), &DataType::Decimal128(38, scale)).ok().map(lit)
}

/// Casts round.
fn rounds(expr: &mut Expr, to: &DataType, schema: &DFSchema) -> bool {
    let Ok(given) = expr.get_type(schema) else { return false };
    if to.is_integer() && (given.is_floating() || (given.is_decimal())) {
        *expr = round(vec![take(expr)]);
        return true;
    }
    false
}

/// Rounding up may take a digit more: 9.99 of DECIMAL(3, 2) becomes 10.00.
fn wider(arg: &mut Expr, schema: &DFSchema) -> bool {
    match arg.get_type(schema) {
        Ok(DataType::Decimal128(precision @ ..38, scale @ 1..)) => {
            *arg = cast(take(arg), DataType::Decimal128(precision + 1, scale));
            true
        }
        _ => false,
    }
}

/// A subquery used as a value that is sure to give one row, of NULL if there was none, or to fail. Those that refer to the rows
/// around them are taken apart elsewhere.
fn single(subquery: &Subquery) -> Result<Option<Subquery>> {
    let plan = &subquery.subquery;
    if (gives_a_row(plan) && plan.max_rows().is_some_and(|rows| rows <= 1))
        || !subquery.outer_ref_columns.is_empty()
        || correlated::depends_on_outside(plan)
    {
        return Ok(None);
    }
    let [column] = plan.schema().columns().try_into().unwrap_or_else(|_| [Column::from_name("")]);
    if column.name.is_empty() {
        return Ok(None);
    }
    let (value, rows) = (Expr::Column(column.clone()), "\u{1f}rows");
    let name = "\u{1f}value";
    let one = LogicalPlanBuilder::from(plan.as_ref().clone())
        .limit(0, Some(2))?
        .aggregate(Vec::<Expr>::new(), [first_value(value, Vec::new()).alias(name), count(lit(1_i64)).alias(rows)])?
        .project([single_row(Expr::Column(Column::from_name(name)), Expr::Column(Column::from_name(rows)))
            .alias_qualified(column.relation.clone(), &column.name)])?
        .build()?;
    Ok(Some(subquery.with_plan(one.into())))
}

/// Whether `plan` gives a row at least, whatever its tables hold.
fn gives_a_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Values(values) => !values.values.is_empty(),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => gives_a_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_a_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch != Some(0) && gives_a_row(&sort.input),
        _ => false,
    }
}

/// A recursive query of which nobody may leave out columns: the engine would take them from what recurs, too, where they are
/// needed.
fn all_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    static UDF: LazyLock<ScalarUDF> = LazyLock::new(|| {
        let yes = |_: &ScalarFunctionArgs| Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        simple_variadic("all_columns", |_| Ok(DataType::Boolean), yes)
    });
    let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).filter(UDF.call(columns))?.build()
}
