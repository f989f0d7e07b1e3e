//! Columns that USING and NATURAL make one of two.
//!
//! The standard's `a` of `t FULL JOIN u USING (a)` is whichever of `t.a` and `u.a` there is. DataFusion 53 takes the left one for
//! it, which is NULL in rows of the right alone, and knows no `a` in a WHERE (its issue 22881). So such joins are planned here:
//!
//! ```text
//!  t FULL JOIN u USING (a)   =   SELECT coalesce(t.a, u.a) AS "merged".a, t.*, u.* FROM t FULL JOIN u ON t.a = u.a
//! ```
//!
//! where `a` and `*` mean `"merged".a`, and `t.a` and `u.a` are what they are. [`rewrite`] brackets such joins under a name of
//! their own, by which [`Merging`] knows them. Other joins are left to the engine, as all of them can be when it has the mend.

use std::ops::ControlFlow;

use datafusion::{
    common::{Column, JoinType, TableReference},
    error::{DataFusionError, Result},
    functions::core::expr_fn::coalesce,
    logical_expr::{
        Expr, Join, LogicalPlan, LogicalPlanBuilder, logical_plan as planned,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{
            self, Ident, JoinConstraint, JoinOperator, Query, Select, TableAlias, TableFactor, TableWithJoins,
            VisitMut, VisitorMut,
        },
    },
};
use model::{Error, error::codes};

use super::{folded, scopes};
use crate::text;

/// What the relations of merged columns are called, with a number behind it. Of columns that are one, the engine keeps that of
/// the first relation by name: so this comes before what people call theirs, and that of an outer join before those in it.
const MERGED: &str = "\u{1f}merged";

pub(super) fn rewrite(statement: &mut DfStatement) {
    let _ = scopes::visit(statement, &mut Brackets { made: 0 });
}

/// Whether what is merged in `from` is not what the left side has.
pub(super) fn takes_sides(from: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => takes_sides(table_with_joins),
        _ => false,
    };
    let right = |join: &ast::Join| matches!(merges(join), Some((JoinType::Right | JoinType::Full, _)));
    nested(&from.relation) || from.joins.iter().any(|join| right(join) || nested(&join.relation))
}

// ── brackets, before planning ──

struct Brackets {
    made: usize,
}

/// A merged column that can be named without a relation.
struct Live {
    name: String,
    relation: Ident,
}

impl VisitorMut for Brackets {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        scopes::selects(&mut query.body).into_iter().for_each(|select| self.select(select));
        ControlFlow::Continue(())
    }
}

impl Brackets {
    fn select(&mut self, select: &mut Select) {
        let mut using = Vec::new();
        select.from.iter().for_each(|from| using_names(from, &mut using));
        let asked = select.selection.as_mut().is_some_and(|condition| {
            let mut seen = false;
            outermost(condition, &mut |ident| seen |= using.contains(&folded(ident)));
            seen
        });
        if !asked && !select.from.iter().any(takes_sides) {
            return;
        }
        let live: Vec<Live> = select.from.iter_mut().flat_map(|from| self.relations(from)).collect();
        if let Some(condition) = &mut select.selection {
            // Elsewhere the engine finds them by itself.
            replace(condition, &live);
        }
    }

    fn relations(&mut self, from: &mut TableWithJoins) -> Vec<Live> {
        let relation = Ident::with_quote('"', format!("{MERGED}{:06}", self.made));
        self.made += 1;
        let mut live = self.factor(&mut from.relation);
        let mut left = TableWithJoins { relation: take(&mut from.relation), joins: Vec::new() };
        for mut join in from.joins.drain(..) {
            live.extend(self.factor(&mut join.relation));
            let Some((_, names)) = merges(&join) else {
                left.joins.push(join);
                continue;
            };
            match names {
                Names::Given(names) => {
                    live.retain(|column| !names.contains(&column.name));
                    live.extend(names.into_iter().map(|name| Live { name, relation: relation.clone() }));
                }
                // Which ones it merges is known when the relations are.
                Names::Shared => live.clear(),
            }
            let inner = match left.joins.is_empty() {
                true => left.relation,
                false => bracket(left, None),
            };
            let alias = TableAlias { explicit: true, name: relation.clone(), columns: Vec::new() };
            let merged = bracket(TableWithJoins { relation: inner, joins: vec![join] }, Some(alias));
            left = TableWithJoins { relation: merged, joins: Vec::new() };
        }
        *from = left;
        live
    }

    fn factor(&mut self, factor: &mut TableFactor) -> Vec<Live> {
        let TableFactor::NestedJoin { table_with_joins, alias } = factor else { return Vec::new() };
        let live = self.relations(table_with_joins);
        if alias.is_none() { live } else { Vec::new() }
    }
}

/// What a join merges, in the words of the statement.
enum Names {
    Given(Vec<String>),
    /// All that both sides have.
    Shared,
}

fn merges(join: &ast::Join) -> Option<(JoinType, Names)> {
    let (kind, constraint) = match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    };
    let is_lateral = match &join.relation {
        TableFactor::Derived { lateral, .. } | TableFactor::Function { lateral, .. } => *lateral,
        TableFactor::UNNEST { .. } => true,
        _ => false,
    };
    let name = |name: &ast::ObjectName| match name.0.as_slice() {
        [name] => name.as_ident().map(folded),
        _ => None,
    };
    match constraint {
        _ if is_lateral => None,
        JoinConstraint::Using(names) => Some((kind, Names::Given(names.iter().map(name).collect::<Option<_>>()?))),
        JoinConstraint::Natural => Some((kind, Names::Shared)),
        _ => None,
    }
}

fn using_names(from: &TableWithJoins, found: &mut Vec<String>) {
    let mut nested = |factor: &TableFactor| {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            using_names(table_with_joins, found);
        }
    };
    nested(&from.relation);
    from.joins.iter().for_each(|join| nested(&join.relation));
    for join in &from.joins {
        if let Some((_, Names::Given(names))) = merges(join) {
            found.extend(names);
        }
    }
}

fn bracket(joins: TableWithJoins, alias: Option<TableAlias>) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(joins), alias }
}

fn take(factor: &mut TableFactor) -> TableFactor {
    let nothing = ast::ObjectName::from(Vec::<Ident>::new());
    std::mem::replace(factor, TableFactor::Function { lateral: false, name: nothing, args: Vec::new(), alias: None })
}

/// Shows `see` the columns that stand in `condition` without a relation, outside of its subqueries.
fn outermost(condition: &mut ast::Expr, see: &mut dyn FnMut(&Ident)) {
    replaced(condition, &mut |ident| {
        see(ident);
        None
    });
}

fn replace(condition: &mut ast::Expr, live: &[Live]) {
    replaced(condition, &mut |ident| {
        let name = folded(ident);
        let mut found = live.iter().filter(|column| column.name == name);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(vec![only.relation.clone(), Ident::with_quote('"', name)]),
            _ => None,
        }
    });
}

fn replaced(condition: &mut ast::Expr, by: &mut dyn FnMut(&Ident) -> Option<Vec<Ident>>) {
    struct Outermost<'a> {
        queries: usize,
        by: &'a mut dyn FnMut(&Ident) -> Option<Vec<Ident>>,
    }
    impl VisitorMut for Outermost<'_> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.queries += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.queries -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Identifier(ident) = expr
                && self.queries == 0
                && let Some(parts) = (self.by)(ident)
            {
                *expr = ast::Expr::CompoundIdentifier(parts);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = condition.visit(&mut Outermost { queries: 0, by });
}

// ── planning ──

/// Plans what [`rewrite`] bracketed.
#[derive(Debug)]
pub(super) struct Merging;

impl RelationPlanner for Merging {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if !is_bracket(&relation) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let TableFactor::NestedJoin { mut table_with_joins, alias: Some(alias) } = relation else {
            unreachable!("just seen")
        };
        let join = table_with_joins.joins.pop().expect("just seen");
        let (kind, names) = merges(&join).expect("just seen");
        // Each bracket is some steps deeper.
        let plan = text::with_stack(|| {
            let left = context.plan(table_with_joins.relation)?;
            let right = context.plan(join.relation)?;
            merged(left, right, kind, names, TableReference::bare(alias.name.value))
        });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan?, None))))
    }
}

fn is_bracket(relation: &TableFactor) -> bool {
    let TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } = relation else { return false };
    alias.name.value.starts_with(MERGED)
        && matches!(table_with_joins.joins.as_slice(), [join] if merges(join).is_some())
}

fn merged(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    names: Names,
    relation: TableReference,
) -> Result<LogicalPlan> {
    let names = match names {
        Names::Given(names) => names,
        Names::Shared => shared(&left, &right),
    };
    if names.is_empty() {
        return LogicalPlanBuilder::from(left).join_on(right, kind, Vec::<Expr>::new())?.build();
    }
    let of = |plan: &LogicalPlan, name: &str| {
        Column::from_name(name).normalize_with_schemas_and_ambiguity_check(&[&[plan.schema()]], &plan.using_columns()?)
    };
    let keys = names.iter().map(|name| Ok((of(&left, name)?, of(&right, name)?))).collect::<Result<Vec<_>>>()?;
    let columns = names.iter().map(Column::from_name).collect();
    let LogicalPlan::Join(joined) = LogicalPlanBuilder::from(left).join_using(right, kind, columns)?.build()? else {
        let error = Error::new(codes::SQL_UNSUPPORTED, "columns of this type cannot be joined by USING")
            .hint("write JOIN … ON with the parts that are to be equal");
        return Err(DataFusionError::External(Box::new(error)));
    };

    let (mut exprs, mut one) = (Vec::new(), Vec::new());
    for column in joined.schema.columns() {
        let merged = Column::new(Some(relation.clone()), &column.name);
        if let Some((left, right)) = keys.iter().find(|(left, _)| *left == column) {
            let value = match kind {
                JoinType::Full => coalesce(vec![left.clone().into(), right.clone().into()]),
                JoinType::Right => right.clone().into(),
                _ => left.clone().into(),
            };
            exprs.push(value.alias_qualified(Some(relation.clone()), &column.name));
        }
        match (names.contains(&column.name), is_of_merged(&column)) {
            (false, _) => exprs.push(column.into()),
            // What was merged before is part of what is merged now.
            (true, true) => {}
            (true, false) => {
                one.push((column.clone().into(), merged.into()));
                exprs.push(column.into());
            }
        }
    }
    // All that a join by USING compares is one to those who look for a name: no other way to say it ([`is_note`]).
    let on = joined.on.into_iter().chain(one).collect();
    let joined = Join { on, join_constraint: planned::JoinConstraint::Using, ..joined };
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(exprs)?.build()
}

/// Names that both have, in the order of the left one.
fn shared(left: &LogicalPlan, right: &LogicalPlan) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for field in left.schema().fields() {
        if !names.contains(field.name()) && right.schema().has_column_with_unqualified_name(field.name()) {
            names.push(field.name().clone());
        }
    }
    names
}

fn is_of_merged(column: &Column) -> bool {
    column.relation.as_ref().is_some_and(|relation| relation.table().starts_with(MERGED))
}

/// Whether a pair of what `join` compares only notes that both are one. Such pairs go once all names are found.
pub(super) fn is_note(pair: &(Expr, Expr), join: &Join) -> bool {
    matches!(&pair.1, Expr::Column(right) if is_of_merged(right) && !join.right.schema().has_column(right))
}
