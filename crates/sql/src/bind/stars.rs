//! `*` leaves pseudo-columns out.
//!
//! A statement that names no pseudo-column does not see any: its topics simply do not have them, and there is nothing to
//! do here. One that names some (`SELECT *, _offset FROM t`) sees exactly those, everywhere in the statement, so each `*`
//! over a topic is rewritten to leave them out. A subquery that selects one by name gives it on as a column like any other:
//! `SELECT * FROM (SELECT a, _offset FROM t)` shows it.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        ExceptSelectItem, ExcludeSelectItem, Ident, JoinConstraint, ObjectName, Query, Select, SelectItem,
        SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitorMut, WildcardAdditionalOptions,
    },
};
use model::{Error, Result, error::codes};

use super::{
    Source, folded, merged, names,
    scopes::{self, Ctes},
};
use crate::relation::Pseudo;

pub(super) fn rewrite(statement: &mut DfStatement, sources: &HashMap<String, Source>, named: Pseudo) -> Result<()> {
    if named.is_none() || !sources.values().any(|source| source.is_topic) {
        return Ok(());
    }
    let mut stars = Stars { sources, named, ctes: Ctes::default() };
    match scopes::visit(statement, &mut stars) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Stars<'a> {
    sources: &'a HashMap<String, Source>,
    named: Pseudo,
    ctes: Ctes,
}

/// One relation of a FROM.
struct Item {
    /// What its columns can be qualified with.
    qualifier: Option<Vec<Ident>>,
    is_topic: bool,
    /// Columns that USING merges into those of an earlier relation.
    merged: Vec<Ident>,
}

impl VisitorMut for Stars<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.ctes.enter(query);
        scopes::selects(&mut query.body).into_iter().try_for_each(|select| self.select(select))
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.ctes.leave();
        ControlFlow::Continue(())
    }
}

impl Stars<'_> {
    fn select(&self, select: &mut Select) -> ControlFlow<Box<Error>> {
        let mut items = Vec::new();
        for from in &mut select.from {
            self.items(from, &mut items)?;
        }
        if !items.iter().any(|item| item.is_topic) {
            return ControlFlow::Continue(());
        }
        let mut projection = Vec::with_capacity(select.projection.len());
        for item in select.projection.drain(..) {
            match item {
                SelectItem::Wildcard(_) if select.from.iter().any(merged::takes_sides) => {
                    let error = Error::new(
                        codes::SQL_UNSUPPORTED,
                        "`*` of a RIGHT or FULL JOIN … USING of topics with pseudo-columns is not offered",
                    )
                    .hint("name the columns, or join subqueries that select those of each topic");
                    return ControlFlow::Break(Box::new(error));
                }
                SelectItem::Wildcard(options) => projection.extend(self.expand(options, &items)),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), mut options) => {
                    let topic = items.iter().any(|item| item.is_topic && qualifies(&name, item));
                    if topic {
                        self.leave_out(&mut options, &[]);
                    }
                    let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                    projection.push(SelectItem::QualifiedWildcard(kind, options));
                }
                other => projection.push(other),
            }
        }
        select.projection = projection;
        ControlFlow::Continue(())
    }

    fn items(&self, from: &mut TableWithJoins, items: &mut Vec<Item>) -> ControlFlow<Box<Error>> {
        self.item(&mut from.relation, Vec::new(), items)?;
        for join in &mut from.joins {
            let merged = match names::constraint(&mut join.join_operator) {
                Some(JoinConstraint::Using(names)) => {
                    names.iter().filter_map(|name| name.0.last()?.as_ident().cloned()).collect()
                }
                Some(JoinConstraint::Natural) => {
                    let error =
                        Error::new(codes::SQL_UNSUPPORTED, "NATURAL JOIN of topics with pseudo-columns is not offered")
                            .detail("topics share their pseudo-columns, and a natural join would compare them")
                            .hint("write JOIN … USING (…) or JOIN … ON …");
                    return ControlFlow::Break(Box::new(error));
                }
                _ => Vec::new(),
            };
            self.item(&mut join.relation, merged, items)?;
        }
        ControlFlow::Continue(())
    }

    fn item(&self, factor: &mut TableFactor, merged: Vec<Ident>, items: &mut Vec<Item>) -> ControlFlow<Box<Error>> {
        let source = self.ctes.relation(factor).and_then(|written| self.sources.get(&written.key()));
        let is_topic = source.is_some_and(|source| source.is_topic);
        let qualifier = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.items(table_with_joins, items),
            TableFactor::Table { name, alias, .. } => match alias {
                Some(alias) => Some(vec![alias.name.clone()]),
                None => scopes::parts(name),
            },
            TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Function { alias, .. } => alias.as_ref().map(|alias| vec![alias.name.clone()]),
            _ => None,
        };
        items.push(Item { qualifier, is_topic, merged });
        ControlFlow::Continue(())
    }

    /// What stands for `*`.
    fn expand(&self, mut options: WildcardAdditionalOptions, items: &[Item]) -> Vec<SelectItem> {
        let plain = options.opt_exclude.is_none() && options.opt_except.is_none() && options.opt_replace.is_none();
        let qualified = items.iter().all(|item| item.qualifier.is_some());
        if items.len() == 1 || !plain || !qualified {
            self.leave_out(&mut options, &[]);
            return vec![SelectItem::Wildcard(options)];
        }
        // One `t.*` for each relation: a derived table beside a topic keeps what it selected by name.
        items
            .iter()
            .map(|item| {
                let mut options = WildcardAdditionalOptions::default();
                if item.is_topic {
                    self.leave_out(&mut options, &item.merged);
                } else if !item.merged.is_empty() {
                    options.opt_except = except(item.merged.clone());
                }
                let name = ObjectName::from(item.qualifier.clone().expect("qualified: checked above"));
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
            })
            .collect()
    }

    fn leave_out(&self, options: &mut WildcardAdditionalOptions, merged: &[Ident]) {
        let mut left_out: Vec<Ident> = self.named.names().map(Ident::new).collect();
        let mut add = |ident: Ident| {
            if !left_out.iter().any(|known| folded(known) == folded(&ident)) {
                left_out.push(ident);
            }
        };
        merged.iter().cloned().for_each(&mut add);
        match options.opt_exclude.take() {
            Some(ExcludeSelectItem::Single(ident)) => add(ident),
            Some(ExcludeSelectItem::Multiple(idents)) => idents.into_iter().for_each(&mut add),
            None => {}
        }
        if let Some(given) = options.opt_except.take() {
            add(given.first_element);
            given.additional_elements.into_iter().for_each(&mut add);
        }
        options.opt_except = except(left_out);
    }
}

fn except(mut idents: Vec<Ident>) -> Option<ExceptSelectItem> {
    if idents.is_empty() {
        return None;
    }
    let first_element = idents.remove(0);
    Some(ExceptSelectItem { first_element, additional_elements: idents })
}

/// Whether `name.*` means `item`.
fn qualifies(name: &ObjectName, item: &Item) -> bool {
    let (Some(name), Some(qualifier)) = (scopes::parts(name), &item.qualifier) else { return false };
    name.len() <= qualifier.len()
        && name.iter().rev().zip(qualifier.iter().rev()).all(|(a, b)| folded(a).eq_ignore_ascii_case(&folded(b)))
}
