//! Unquoted names match whatever their case.
//!
//! DataFusion folds unquoted names to lower case and then compares exactly, so a column `tailNum` of a JSON topic could
//! only be written `"tailNum"`. Here every unquoted name of the statement that some table, column or field in it has in
//! another case is replaced by that one, quoted. It is one function of the written name for the whole statement, applied to
//! definitions (aliases) and uses alike, so both stay the same.

use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

use arrow::datatypes::{DataType, Fields};
use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
        SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor, VisitorMut, WildcardAdditionalOptions,
    },
};

use super::{
    Source,
    scopes::{self, Ctes},
};
use crate::relation::pick;

/// Rewrites names of relations to how they exist, and names of columns to how they are written in their tables.
pub(super) fn rewrite(statement: &mut DfStatement, sources: &HashMap<String, Source>) {
    let mut known = BTreeSet::new();
    for source in sources.values() {
        known.insert(Arc::from(&*source.reference.table));
        collect(source.provider.schema().fields(), &mut known);
    }
    // Nothing in capitals: folding is all there is to do, and DataFusion does it.
    if !known.iter().any(|name: &Arc<str>| name.chars().any(char::is_uppercase)) {
        return;
    }
    let mut names = Names { known, sources, ctes: Ctes::default() };
    let _ = scopes::visit(statement, &mut names);
}

fn collect(fields: &Fields, known: &mut BTreeSet<Arc<str>>) {
    for field in fields {
        known.insert(field.name().as_str().into());
        match field.data_type() {
            DataType::Struct(fields) => collect(fields, known),
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                if let DataType::Struct(fields) = item.data_type() {
                    collect(fields, known);
                }
            }
            _ => {}
        }
    }
}

struct Names<'a> {
    known: BTreeSet<Arc<str>>,
    sources: &'a HashMap<String, Source>,
    ctes: Ctes,
}

impl Names<'_> {
    fn ident(&self, ident: &mut Ident) {
        if ident.quote_style.is_some() {
            return;
        }
        if let Some(found) = pick(&ident.value, &self.known)
            && found.chars().any(char::is_uppercase)
        {
            ident.value = found.to_string();
            ident.quote_style = Some('"');
        }
    }

    fn idents<'i>(&self, idents: impl IntoIterator<Item = &'i mut Ident>) {
        idents.into_iter().for_each(|ident| self.ident(ident));
    }

    fn object_name(&self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.ident(ident);
            }
        }
    }

    fn alias(&self, alias: &mut Option<TableAlias>) {
        if let Some(alias) = alias {
            self.ident(&mut alias.name);
            self.idents(alias.columns.iter_mut().map(|column| &mut column.name));
        }
    }

    fn wildcard(&self, options: &mut WildcardAdditionalOptions) {
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => self.ident(name),
            Some(ExcludeSelectItem::Multiple(names)) => self.idents(names),
            None => {}
        }
        if let Some(except) = &mut options.opt_except {
            self.ident(&mut except.first_element);
            self.idents(&mut except.additional_elements);
        }
        if let Some(replace) = &mut options.opt_replace {
            self.idents(replace.items.iter_mut().map(|item| &mut item.column_name));
        }
    }

    fn select(&self, select: &mut Select) {
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.ident(alias),
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.object_name(name);
                    }
                    self.wildcard(options);
                }
                SelectItem::Wildcard(options) => self.wildcard(options),
                SelectItem::UnnamedExpr(_) => {}
            }
        }
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            if let Some(JoinConstraint::Using(names)) = constraint(&mut join.join_operator) {
                names.iter_mut().for_each(|name| self.object_name(name));
            }
        }
    }
}

pub(super) fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint) => Some(constraint),
        _ => None,
    }
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.ident(&mut cte.alias.name);
            self.idents(cte.alias.columns.iter_mut().map(|column| &mut column.name));
        }
        self.ctes.enter(query);
        scopes::selects(&mut query.body).into_iter().for_each(|select| self.select(select));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.ctes.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let source = self.ctes.relation(factor).and_then(|written| self.sources.get(&written.key()));
        match factor {
            TableFactor::Table { name, alias, args, version, .. } => {
                self.alias(alias);
                if let Some(source) = source
                    && version.is_none()
                    && let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut()
                    && last.quote_style.is_none()
                {
                    last.value = source.reference.table.to_string();
                    last.quote_style = Some('"');
                } else if source.is_none() && args.is_none() {
                    self.object_name(name);
                }
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Function { alias, .. } => self.alias(alias),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(idents) => self.idents(idents),
            Expr::QualifiedWildcard(name, _) => self.object_name(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Puts the pinned name in the place of each versioned table, under the name it was written with.
pub(super) fn place_versions(statement: &mut DfStatement, sources: &HashMap<String, Source>) {
    if !sources.keys().any(|key| key.contains('@')) {
        return;
    }
    struct Place<'a>(&'a HashMap<String, Source>);
    impl VisitorMut for Place<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            let source = Ctes::default().relation(factor).and_then(|written| self.0.get(&written.key()));
            if let (TableFactor::Table { name, alias, version, .. }, Some(source)) = (factor, source)
                && version.take().is_some()
            {
                if alias.is_none() {
                    let shown = source.reference.table.split('@').next().unwrap_or_default();
                    *alias =
                        Some(TableAlias { explicit: true, name: Ident::with_quote('"', shown), columns: Vec::new() });
                }
                *name = ObjectName::from(vec![
                    Ident::with_quote('"', &*source.reference.schema),
                    Ident::with_quote('"', &*source.reference.table),
                ]);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = scopes::visit(statement, &mut Place(sources));
}
