//! Subqueries and LATERAL relations that refer to the rows around them, where DataFusion cannot take them apart.
//!
//! DataFusion decorrelates the common forms (EXISTS, IN, an aggregate over an equality) and leaves the others in the plan,
//! where nothing can run them: `t, UNNEST(t.list)`, `LATERAL (SELECT …)`, scalar subqueries with other conditions. Those
//! are made joins here, by the general method (Neumann and Kemper, "Unnesting arbitrary queries", 2015):
//!
//! ```text
//!  left ⟕ dependent(left.a)   =   left  ⟕ left.a = D.a   dependent(D.a),     D = the different values of left.a
//! ```
//!
//! `dependent(D.a)` is the dependent plan with D **grafted** under it: its operators carry D's columns along, from where
//! the plan no longer depends on anything (there D is cross joined) up to its top. An inner LATERAL without aggregates
//! needs no D: the left rows themselves are grafted, and `t, UNNEST(t.list)` becomes one Unnest over t.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{
        Column, DFSchema, JoinType, ScalarValue, Spans,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    functions_aggregate::expr_fn::{count, first_value},
    functions_window::expr_fn::row_number,
    logical_expr::{
        Aggregate, Distinct, EmptyRelation, Expr, ExprFunctionExt, ExprSchemable, Join, Limit, LogicalPlan,
        LogicalPlanBuilder, Operator, Projection, SortExpr, Subquery, SubqueryAlias, Unnest, binary_expr,
        expr::InSubquery, lit, utils::conjunction, when,
    },
};
use model::{Error, error::codes};

use crate::functions::single_row;

/// Whether `plan` holds what cannot be run as it is.
pub(crate) fn remains(plan: &LogicalPlan) -> bool {
    let stuck = |expr: &Expr| {
        expr.exists(|e| Ok(is_subquery(e) || matches!(e, Expr::OuterReferenceColumn(..)))).expect("looking never fails")
    };
    plan.exists(|node| Ok(node.expressions().iter().any(stuck))).expect("looking never fails")
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_))
}

/// Whether something in `plan` refers to the rows around it.
pub(crate) fn depends_on_outside(plan: &LogicalPlan) -> bool {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let outside = |expr: &Expr| expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))));
        for expr in node.expressions() {
            found |= outside(&expr)?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking never fails");
    found
}

/// `plan` with its dependent joins and scalar subqueries taken apart, as far as they can be.
pub(crate) fn flattened(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut flatten = Flatten { made: 0 };
    let done = plan.transform_up_with_subqueries(|node| flatten.node(node))?;
    match done.transformed {
        // What a node gives may be nullable now.
        true => done.data.transform_up(|node| node.recompute_schema().map(Transformed::yes)).map(|done| done.data),
        false => Ok(done.data),
    }
}

/// What is said of the rest.
pub(crate) fn refused() -> Error {
    Error::new(codes::SQL_UNSUPPORTED, "a subquery that refers to the query around it is not offered in this form")
        .detail("set operations, outer joins and grouping sets inside of it cannot use columns from outside")
        .hint("write it as a join, or compute it in a WITH query and join that")
}

/// What is said of subqueries that refer to nothing around them, and stand where nothing can take them apart.
pub(crate) fn misplaced() -> Error {
    Error::new(codes::SQL_UNSUPPORTED, "a subquery is not offered in this place")
        .hint("compute it in a WITH query and join that, or select it in a subquery in FROM")
}

struct Flatten {
    made: usize,
}

/// What a dependent plan depends on, ready to be put under it.
struct Outer {
    plan: LogicalPlan,
    /// Columns of `plan` every operator above gives on.
    carried: Vec<Column>,
    /// What stands for a column from outside.
    map: HashMap<Column, Expr>,
}

impl Flatten {
    fn node(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let flat = match &plan {
            LogicalPlan::Join(join) if depends(&join.right, join.left.schema()) => self.lateral(join)?,
            LogicalPlan::Projection(projection) => {
                let mut input = projection.input.as_ref().clone();
                let schema = projection.input.schema();
                let exprs = projection.expr.iter().map(|expr| self.scalars(&counted(expr, schema)?, &mut input));
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                match exprs == projection.expr {
                    true => None,
                    false => {
                        let named = exprs.into_iter().zip(&projection.expr).enumerate().map(|(index, (new, old))| {
                            if new == *old { new } else { named_as(new, &projection.schema, index) }
                        });
                        Some(LogicalPlanBuilder::from(input).project(named.collect::<Vec<_>>())?.build()?)
                    }
                }
            }
            LogicalPlan::Aggregate(aggregate) => match computed_before(aggregate)? {
                Some(LogicalPlan::Aggregate(mut aggregate)) => {
                    // Below it they are columns like any other.
                    aggregate.input = Arc::new(self.node(Arc::unwrap_or_clone(aggregate.input))?.data);
                    let below = LogicalPlanBuilder::from(LogicalPlan::Aggregate(aggregate));
                    let names = below.schema().columns().into_iter().enumerate();
                    let named = names.map(|(index, column)| named_as(Expr::Column(column), plan.schema(), index));
                    Some(below.clone().project(named.collect::<Vec<_>>())?.build()?)
                }
                _ => None,
            },
            LogicalPlan::Filter(filter)
                if has_scalar(std::slice::from_ref(&filter.predicate), filter.input.schema()) =>
            {
                let mut input = filter.input.as_ref().clone();
                let predicate = self.scalars(&filter.predicate, &mut input)?;
                let columns = filter.input.schema().columns().into_iter().map(Expr::Column);
                Some(LogicalPlanBuilder::from(input).filter(predicate)?.project(columns)?.build()?)
            }
            _ => None,
        };
        Ok(match flat {
            Some(flat) => Transformed::yes(flat),
            None => Transformed::no(plan),
        })
    }

    fn lateral(&mut self, join: &Join) -> Result<Option<LogicalPlan>> {
        let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let condition = conjunction(on.chain(join.filter.iter().filter(|filter| !is_true(filter)).cloned()));
        let joined = match (join.join_type, condition) {
            (JoinType::Inner, condition) => {
                let direct = match has_groups(&join.right) {
                    true => None,
                    // Names of both sides may be the same: then D keeps them apart.
                    false => grafted_directly(&join.left, &join.right).unwrap_or(None),
                };
                let joined = match direct {
                    Some(joined) => Some(joined),
                    None => self.dependent(&join.left, &join.right, JoinType::Inner, None)?,
                };
                match (joined, condition) {
                    (Some(joined), Some(condition)) => {
                        Some(LogicalPlanBuilder::from(joined).filter(condition)?.build()?)
                    }
                    (joined, _) => joined,
                }
            }
            (JoinType::Left, None) => self.dependent(&join.left, &join.right, JoinType::Left, None)?,
            _ => None,
        };
        Ok(joined)
    }

    /// `expr` with each dependent scalar subquery as a column, which `input` now has.
    fn scalars(&mut self, expr: &Expr, input: &mut LogicalPlan) -> Result<Expr> {
        let done = expr.clone().transform_down(|expr| {
            let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
            if !depends(&subquery.subquery, input.schema()) {
                return Ok(Transformed::no(expr));
            }
            let name = format!("__scalar{}", self.made);
            match self.dependent(input, &subquery.subquery, JoinType::Left, Some(&name))? {
                Some(joined) => {
                    *input = joined;
                    Ok(Transformed::yes(Expr::Column(Column::new(Some(name), "v"))))
                }
                None => Ok(Transformed::no(expr)),
            }
        });
        done.map(|done| done.data)
    }

    /// `left` joined with `right`, which depends on it: the columns of both. The only column of a `scalar` is called
    /// `scalar.v`, and more than one row of it is an error.
    fn dependent(
        &mut self,
        left: &LogicalPlan,
        right: &LogicalPlan,
        kind: JoinType,
        scalar: Option<&str>,
    ) -> Result<Option<LogicalPlan>> {
        let id = self.made;
        self.made += 1;
        let (outer_name, inner_name) = (format!("__outer{id}"), format!("__inner{id}"));
        let needed = needed(right, left.schema());
        let carried: Vec<Column> =
            (0..needed.len()).map(|index| Column::new(Some(outer_name.clone()), format!("c{index}"))).collect();
        let values = needed.iter().zip(&carried).map(|(from, to)| renamed(from, to));
        let outer = Outer {
            plan: LogicalPlanBuilder::from(left.clone()).project(values.collect::<Vec<_>>())?.distinct()?.build()?,
            map: needed.iter().cloned().zip(carried.iter().cloned().map(Expr::Column)).collect(),
            carried,
        };
        let Some(mut inner) = graft(right, &outer)? else { return Ok(None) };

        // An aggregate over nothing still is a row.
        let of_left = needed.iter().map(|column| (column.clone(), Expr::Column(column.clone()))).collect();
        let absent = when_empty(right, &of_left)?;
        if absent.is_none() && has_total(right) {
            return Ok(None);
        }
        let mut columns: Vec<Column> = inner.schema().columns().split_off(outer.carried.len());
        if scalar.is_some() && absent.is_none() {
            let [value] = columns.as_slice() else { return Ok(None) };
            let value = Expr::Column(value.clone());
            let group = outer.carried.iter().cloned().map(Expr::Column);
            let first = first_value(value, Vec::new()).alias("__first");
            let rows = count(lit(1_i64)).alias("__rows");
            let only =
                single_row(Expr::Column(Column::from_name("__first")), Expr::Column(Column::from_name("__rows")));
            let carried = outer.carried.iter().cloned().map(Expr::Column);
            inner = LogicalPlanBuilder::from(inner)
                .aggregate(group, [first, rows])?
                .project(carried.chain([only.alias("__only")]))?
                .build()?;
            columns = vec![Column::from_name("__only")];
        }
        let given: Vec<Column> =
            (0..columns.len()).map(|index| Column::new(Some(inner_name.clone()), format!("v{index}"))).collect();
        let there = Column::new(Some(inner_name.clone()), "there");
        let shown = outer.carried.iter().cloned().map(Expr::Column);
        let shown = shown.chain(columns.iter().zip(&given).map(|(from, to)| renamed(from, to)));
        let shown = shown.chain([lit(true).alias_qualified(Some(inner_name.clone()), "there")]);
        let inner = LogicalPlanBuilder::from(inner).project(shown.collect::<Vec<_>>())?.build()?;

        let kind = if absent.is_some() { JoinType::Left } else { kind };
        let same = needed.iter().zip(&outer.carried).map(|(left, right)| {
            binary_expr(Expr::Column(left.clone()), Operator::IsNotDistinctFrom, Expr::Column(right.clone()))
        });
        let joined = LogicalPlanBuilder::from(left.clone()).join_on(inner, kind, same)?.build()?;
        let mut exprs: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
        for (index, column) in given.into_iter().enumerate() {
            let value = match &absent {
                Some(absent) => when(Expr::Column(there.clone()).is_null(), absent[index].clone())
                    .otherwise(Expr::Column(column))?,
                None => Expr::Column(column),
            };
            exprs.push(match scalar {
                Some(name) => value.alias_qualified(Some(name.to_owned()), "v"),
                None => named_as(value, right.schema(), index),
            });
        }
        Ok(Some(LogicalPlanBuilder::from(joined).project(exprs)?.build()?))
    }
}

/// `expr` with each EXISTS and IN as a count of rows: among the columns of a SELECT there is no join that tells. `schema` is
/// that of the rows around it.
fn counted(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let done = expr.clone().transform_down(|expr| {
        let counted = match &expr {
            Expr::Exists(exists) => there(exists.subquery.subquery.as_ref().clone(), exists.negated)?,
            Expr::InSubquery(within) => match contained(within, schema)? {
                Some(contained) => contained,
                None => return Ok(Transformed::no(expr)),
            },
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::new(counted, true, TreeNodeRecursion::Jump))
    });
    done.map(|done| done.data)
}

/// Whether `plan` has rows, or has none, as a subquery of one row.
fn there(plan: LogicalPlan, negated: bool) -> Result<Expr> {
    let rows = count(lit(1_i64)).alias("__rows");
    let there = Expr::Column(Column::from_name("__rows")).gt(lit(0_i64));
    let there = if negated { Expr::Not(Box::new(there)) } else { there };
    let plan = LogicalPlanBuilder::from(plan)
        .aggregate(Vec::<Expr>::new(), [rows])?
        .project([there.alias("__there")])?
        .build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }))
}

/// `x IN (SELECT …)` as a value: true where a row is equal; else NULL where one could be, if a NULL were known; else false.
fn contained(within: &InSubquery, schema: &DFSchema) -> Result<Option<Expr>> {
    let plan = within.subquery.subquery.as_ref();
    let [column] = plan.schema().columns().try_into().unwrap_or_else(|_| [Column::from_name("")]);
    if column.name.is_empty() || within.expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))? {
        return Ok(None);
    }
    // In the subquery, the value is one from outside.
    let value = within.expr.as_ref().clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let (_, field) = schema.qualified_field(schema.index_of_column(column)?);
        Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column.clone())))
    });
    let (value, column) = (value?.data, Expr::Column(column));
    let rows = |condition: Expr| LogicalPlanBuilder::from(plan.clone()).filter(condition)?.build();
    let equal = there(rows(column.clone().eq(value))?, false)?;
    let unknown = there(rows(column.is_null())?, false)?;
    let unknown = unknown.or(within.expr.as_ref().clone().is_null().and(there(plan.clone(), false)?));
    let is_in = when(equal, lit(true)).when(unknown, lit(ScalarValue::Boolean(None))).otherwise(lit(false))?;
    Ok(Some(if within.negated { Expr::Not(Box::new(is_in)) } else { is_in }))
}

/// `aggregate` over a projection that computes its subqueries, if it has any.
fn computed_before(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let mut computed = Vec::new();
    let mut column = |expr: &Expr| {
        expr.clone().transform_down(|expr| {
            if !is_subquery(&expr) {
                return Ok(Transformed::no(expr));
            }
            let name = Column::new(Some("__computed"), format!("v{}", computed.len()));
            computed.push(expr.alias_qualified(name.relation.clone(), &name.name));
            Ok(Transformed::new(Expr::Column(name), true, TreeNodeRecursion::Jump))
        })
    };
    let groups = aggregate.group_expr.iter().map(|expr| Ok(column(expr)?.data)).collect::<Result<Vec<_>>>()?;
    let values = aggregate.aggr_expr.iter().map(|expr| Ok(column(expr)?.data)).collect::<Result<Vec<_>>>()?;
    if computed.is_empty() {
        return Ok(None);
    }
    let below = aggregate.input.schema().columns().into_iter().map(Expr::Column).chain(computed);
    let below = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(below)?;
    below.aggregate(groups, values)?.build().map(Some)
}

/// An inner dependent join as one pipeline over the left rows.
fn grafted_directly(left: &LogicalPlan, right: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let carried = left.schema().columns();
    let map = carried.iter().map(|column| (column.clone(), Expr::Column(column.clone()))).collect();
    graft(right, &Outer { plan: left.clone(), carried, map })
}

/// `plan` for each row of `outer`: its carried columns, then those of `plan`. `None` if an operator cannot carry them.
fn graft(plan: &LogicalPlan, outer: &Outer) -> Result<Option<LogicalPlan>> {
    if !plan.all_out_ref_exprs().iter().any(|expr| outer.stands_for(expr)) {
        return Ok(Some(match plan {
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }) => outer.plan.clone(),
            _ => {
                let both = LogicalPlanBuilder::from(outer.plan.clone()).cross_join(plan.clone())?;
                let columns = outer.carried.iter().cloned().chain(plan.schema().columns()).map(Expr::Column);
                both.project(columns)?.build()?
            }
        }));
    }
    let below = |input: &LogicalPlan| graft(input, outer).map(|below| below.map(LogicalPlanBuilder::from));
    let carried = || outer.carried.iter().cloned().map(Expr::Column);
    let built = match plan {
        LogicalPlan::Projection(projection) => {
            let Some(below) = below(&projection.input)? else { return Ok(None) };
            let exprs = projection.expr.iter().enumerate().map(|(index, expr)| {
                let new = outer.replaced(expr)?;
                Ok(if new == *expr { new } else { named_as(new, &projection.schema, index) })
            });
            below.project(carried().chain(exprs.collect::<Result<Vec<_>>>()?))?
        }
        LogicalPlan::Filter(filter) => {
            let Some(below) = below(&filter.input)? else { return Ok(None) };
            below.filter(outer.replaced(&filter.predicate)?)?
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, schema, .. }) => {
            let Some(below) = below(input)? else { return Ok(None) };
            let columns = input.schema().columns().into_iter().map(Expr::Column).enumerate();
            let exprs = columns.map(|(index, column)| named_as(column, schema, index));
            below.project(carried().chain(exprs).collect::<Vec<_>>())?
        }
        LogicalPlan::Subquery(subquery) => return graft(&subquery.subquery, outer),
        LogicalPlan::Unnest(Unnest { input, exec_columns, options, .. }) => {
            let Some(below) = below(input)? else { return Ok(None) };
            below.unnest_columns_with_options(exec_columns.clone(), options.clone())?
        }
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) => {
            if group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
                return Ok(None);
            }
            let Some(below) = below(input)? else { return Ok(None) };
            let replaced = |(index, expr): (usize, &Expr)| {
                let new = outer.replaced(expr)?;
                Ok(if new == *expr { new } else { named_as(new, schema, index) })
            };
            let group = group_expr.iter().enumerate().map(replaced).collect::<Result<Vec<_>>>()?;
            let aggregates = aggr_expr.iter().enumerate().map(|(index, expr)| replaced((index + group.len(), expr)));
            let aggregates = aggregates.collect::<Result<Vec<_>>>()?;
            below.aggregate(carried().chain(group), aggregates)?
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let Some(below) = below(input)? else { return Ok(None) };
            below.distinct()?
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => return graft(&sort.input, outer),
        LogicalPlan::Limit(limit) => return limited(limit, outer),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let inner = |side: &LogicalPlan| side.all_out_ref_exprs().iter().any(|expr| outer.stands_for(expr));
            if inner(&join.right) {
                return Ok(None);
            }
            let Some(below) = below(&join.left)? else { return Ok(None) };
            let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
            let condition = on.chain(join.filter.clone()).map(|expr| outer.replaced(&expr));
            let both = below.cross_join(join.right.as_ref().clone())?;
            match conjunction(condition.collect::<Result<Vec<_>>>()?) {
                Some(condition) => both.filter(condition)?,
                None => both,
            }
        }
        _ => return Ok(None),
    };
    built.build().map(Some)
}

/// `ORDER BY … LIMIT n` for each row of `outer`: its first n rows, by their number.
fn limited(limit: &Limit, outer: &Outer) -> Result<Option<LogicalPlan>> {
    let (None, Some(rows)) = (&limit.skip, rows_max(limit)) else { return Ok(None) };
    // `SELECT a … ORDER BY b LIMIT 1` is a projection over the order: it changes no rows, and the limit goes below it.
    if let LogicalPlan::Projection(projection) = limit.input.as_ref()
        && let LogicalPlan::Sort(_) = projection.input.as_ref()
    {
        let limit = Limit { input: projection.input.clone(), ..limit.clone() };
        let below = Arc::new(LogicalPlan::Limit(limit));
        let projection = Projection::try_new_with_schema(projection.expr.clone(), below, projection.schema.clone())?;
        return graft(&LogicalPlan::Projection(projection), outer);
    }
    let (input, order): (_, Vec<SortExpr>) = match limit.input.as_ref() {
        LogicalPlan::Sort(sort) => (&sort.input, sort.expr.clone()),
        _ => (&limit.input, Vec::new()),
    };
    let Some(below) = graft(input, outer)? else { return Ok(None) };
    let order = order.into_iter().map(|by| Ok(SortExpr { expr: outer.replaced(&by.expr)?, ..by }));
    let partition = outer.carried.iter().cloned().map(Expr::Column).collect();
    let order = order.collect::<Result<Vec<_>>>()?;
    let number = row_number().partition_by(partition);
    let number = if order.is_empty() { number.build()? } else { number.order_by(order).build()? };
    let column = Expr::Column(Column::from_name(number.schema_name().to_string()));
    let columns = below.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let plan = LogicalPlanBuilder::from(below).window([number])?.filter(column.lt_eq(lit(rows)))?.project(columns)?;
    plan.build().map(Some)
}

/// What `plan` gives over no rows, if it is an aggregate of all rows: one expression a column.
fn when_empty(plan: &LogicalPlan, map: &HashMap<Column, Expr>) -> Result<Option<Vec<Expr>>> {
    Ok(match plan {
        LogicalPlan::Aggregate(Aggregate { group_expr, aggr_expr, schema, .. }) if group_expr.is_empty() => {
            let empty = aggr_expr.iter().zip(schema.fields()).map(|(expr, field)| match expr.clone().unalias() {
                Expr::AggregateFunction(function) if counts(function.func.name()) => {
                    lit(0_i64).cast_to(field.data_type(), &DFSchema::empty())
                }
                _ => ScalarValue::try_from(field.data_type()).map(|null| Expr::Literal(null, None)),
            });
            Some(empty.collect::<Result<Vec<_>>>()?)
        }
        LogicalPlan::Projection(projection) => {
            let Some(inner) = when_empty(&projection.input, map)? else { return Ok(None) };
            let schema = projection.input.schema();
            let exprs = projection.expr.iter().map(|expr| {
                let done = expr.clone().unalias().transform(|expr| {
                    Ok(match &expr {
                        Expr::Column(column) => match schema.maybe_index_of_column(column) {
                            Some(index) => Transformed::yes(inner[index].clone()),
                            None => Transformed::no(expr),
                        },
                        Expr::OuterReferenceColumn(_, column) => match map.get(column) {
                            Some(left) => Transformed::yes(left.clone()),
                            None => Transformed::no(expr),
                        },
                        _ => Transformed::no(expr),
                    })
                });
                done.map(|done| done.data)
            });
            Some(exprs.collect::<Result<Vec<_>>>()?)
        }
        LogicalPlan::SubqueryAlias(alias) => when_empty(&alias.input, map)?,
        LogicalPlan::Subquery(subquery) => when_empty(&subquery.subquery, map)?,
        LogicalPlan::Sort(sort) => when_empty(&sort.input, map)?,
        LogicalPlan::Limit(limit) if limit.skip.is_none() && rows_max(limit).is_some_and(|rows| rows > 0) => {
            when_empty(&limit.input, map)?
        }
        _ => None,
    })
}

/// Aggregates that are zero over nothing.
fn counts(function: &str) -> bool {
    matches!(function, "count" | "approx_distinct" | "regr_count")
}

impl Outer {
    fn stands_for(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::OuterReferenceColumn(_, column) if self.map.contains_key(column))
    }

    fn replaced(&self, expr: &Expr) -> Result<Expr> {
        let done = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::OuterReferenceColumn(_, column) => match self.map.get(column) {
                    Some(new) => Transformed::yes(new.clone()),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        });
        done.map(|done| done.data)
    }
}

/// Columns from outside that `plan` uses and `schema` has, each once.
fn needed(plan: &LogicalPlan, schema: &DFSchema) -> Vec<Column> {
    let mut needed: Vec<Column> = Vec::new();
    for expr in plan.all_out_ref_exprs() {
        if let Expr::OuterReferenceColumn(_, column) = expr
            && schema.has_column(&column)
            && !needed.contains(&column)
        {
            needed.push(column);
        }
    }
    needed
}

fn depends(plan: &LogicalPlan, schema: &DFSchema) -> bool {
    !needed(plan, schema).is_empty()
}

fn has_scalar(exprs: &[Expr], schema: &DFSchema) -> bool {
    let scalar = |expr: &Expr| matches!(expr, Expr::ScalarSubquery(subquery) if depends(&subquery.subquery, schema));
    exprs.iter().any(|expr| expr.exists(|expr| Ok(scalar(expr))).expect("looking never fails"))
}

/// Whether rows that are equal must be kept apart: an operator puts rows together.
fn has_groups(plan: &LogicalPlan) -> bool {
    let groups = |node: &LogicalPlan| {
        matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Limit(_))
    };
    plan.exists(|node| Ok(groups(node))).expect("looking never fails")
}

/// Whether `plan` has an aggregate of all rows that depends on something: it gives a row even where there are none.
fn has_total(plan: &LogicalPlan) -> bool {
    let total = |node: &LogicalPlan| match node {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty() && !node.all_out_ref_exprs().is_empty(),
        _ => false,
    };
    plan.exists(|node| Ok(total(node))).expect("looking never fails")
}

fn rows_max(limit: &Limit) -> Option<i64> {
    match limit.fetch.as_deref() {
        Some(Expr::Literal(ScalarValue::Int64(rows), _)) => *rows,
        _ => None,
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

fn renamed(from: &Column, to: &Column) -> Expr {
    Expr::Column(from.clone()).alias_qualified(to.relation.clone(), to.name.clone())
}

/// `expr` as column `index` of `schema` is called.
fn named_as(expr: Expr, schema: &DFSchema, index: usize) -> Expr {
    let (qualifier, field) = schema.qualified_field(index);
    expr.alias_qualified(qualifier.cloned(), field.name())
}
