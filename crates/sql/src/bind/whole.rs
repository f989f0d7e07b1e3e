//! `row_to_json(t)`: a relation's name as an argument is its whole row.
//!
//! Columns of relations are known by now, and those of subqueries by what they select; a column there that has no name gets
//! the one PostgreSQL would give it.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Select, SelectItem,
        SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    },
};

use super::{
    Source, folded,
    headings::figured,
    idioms,
    scopes::{self, Ctes},
};
use crate::relation::Pseudo;

/// Functions that take rows.
const OF_ROWS: &[&str] = &["row_to_json", "to_json", "to_jsonb", "json_agg", "jsonb_agg"];

pub(super) fn rewrite(statement: &mut DfStatement, sources: &HashMap<String, Source>, named: Pseudo) {
    let _ = scopes::visit(statement, &mut Whole { sources, named, with: Vec::new() });
}

struct Whole<'a> {
    sources: &'a HashMap<String, Source>,
    named: Pseudo,
    /// Columns of what WITH names, innermost query last.
    with: Vec<HashMap<String, Option<Vec<String>>>>,
}

/// A relation of a FROM, and its columns as far as they are known.
struct Item {
    name: String,
    columns: Option<Vec<String>>,
}

impl VisitorMut for Whole<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.with.push(HashMap::new());
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            let written: Vec<_> = cte.alias.columns.iter().map(|column| folded(&column.name)).collect();
            let columns = if written.is_empty() { self.selected(&mut cte.query.body) } else { Some(written) };
            let name = folded(&cte.alias.name);
            self.with.last_mut().expect("pushed above").insert(name, columns);
        }
        scopes::selects(&mut query.body).into_iter().for_each(|select| self.select(select));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }
}

impl Whole<'_> {
    fn select(&self, select: &mut Select) {
        let mut wanted = Wanted::default();
        let _ = select.projection.visit(&mut wanted);
        let _ = select.having.visit(&mut wanted);
        if wanted.0.is_empty() {
            return;
        }
        let items = self.items(&mut select.from);
        let is_column = |name: &str| {
            items.iter().flat_map(|item| item.columns.iter().flatten()).any(|column| column.eq_ignore_ascii_case(name))
        };
        let mut rows = HashMap::new();
        for item in &items {
            if let Some(columns) = &item.columns
                && wanted.0.contains(&item.name)
                && !is_column(&item.name)
            {
                rows.insert(item.name.clone(), row(&item.name, columns));
            }
        }
        let mut put = Put(rows);
        let _ = select.projection.visit(&mut put);
        let _ = select.having.visit(&mut put);
    }

    fn items(&self, from: &mut [TableWithJoins]) -> Vec<Item> {
        let mut items = Vec::new();
        for from in from {
            self.item(&mut from.relation, &mut items);
            for join in &mut from.joins {
                self.item(&mut join.relation, &mut items);
            }
        }
        items
    }

    fn item(&self, factor: &mut TableFactor, items: &mut Vec<Item>) {
        let source = Ctes::default().relation(factor).and_then(|written| self.sources.get(&written.key()));
        let (name, alias, columns) = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.item(&mut table_with_joins.relation, items);
                for join in &mut table_with_joins.joins {
                    self.item(&mut join.relation, items);
                }
                return;
            }
            TableFactor::Table { name, alias, args: None, .. } => {
                let Some(last) = name.0.last().and_then(|part| part.as_ident()).map(folded) else { return };
                let with = match name.0.as_slice() {
                    [_] => self.with.iter().rev().find_map(|names| names.get(&last)).cloned(),
                    _ => None,
                };
                let columns = with.unwrap_or_else(|| source.map(|source| self.columns(source)));
                (last, alias, columns)
            }
            TableFactor::Derived { subquery, alias: alias @ Some(_), .. } => {
                (String::new(), alias, self.selected(&mut subquery.body))
            }
            _ => return,
        };
        let (name, columns) = match alias {
            Some(alias) if alias.columns.is_empty() => (folded(&alias.name), columns),
            Some(alias) => {
                (folded(&alias.name), Some(alias.columns.iter().map(|column| folded(&column.name)).collect()))
            }
            None => (name, columns),
        };
        items.push(Item { name, columns });
    }

    fn columns(&self, source: &Source) -> Vec<String> {
        let hidden: HashSet<&str> = if source.is_topic { self.named.names().collect() } else { HashSet::new() };
        let schema = source.provider.schema();
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .filter(|name| !hidden.contains(name.as_str()))
            .collect()
    }

    /// Columns a query gives.
    fn selected(&self, body: &mut SetExpr) -> Option<Vec<String>> {
        let select = match body {
            SetExpr::Select(select) => select,
            SetExpr::SetOperation { left, .. } => return self.selected(left),
            SetExpr::Query(query) => return self.selected(&mut query.body),
            SetExpr::Values(values) => {
                return Some((1..=values.rows.first()?.len()).map(|n| format!("column{n}")).collect());
            }
            _ => return None,
        };
        let items = self.items(&mut select.from);
        let mut columns = Vec::new();
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => columns.push(folded(alias)),
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => columns.push(folded(ident)),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => columns.push(folded(idents.last()?)),
                SelectItem::UnnamedExpr(expr) => {
                    let name = figured(expr);
                    columns.push(name.clone());
                    let expr = idioms::take(expr);
                    *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
                }
                SelectItem::Wildcard(options) if *options == Default::default() => {
                    for item in &items {
                        columns.extend(item.columns.clone()?);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if *options == Default::default() =>
                {
                    let name = folded(name.0.last()?.as_ident()?);
                    columns.extend(items.iter().find(|item| item.name == name)?.columns.clone()?);
                }
                _ => return None,
            }
        }
        let different: HashSet<_> = columns.iter().collect();
        (different.len() == columns.len()).then_some(columns)
    }
}

/// `named_struct('a', t.a, 'b', t.b)`
fn row(name: &str, columns: &[String]) -> Expr {
    let quoted = |name: &str| Ident::with_quote('"', name);
    let args = columns.iter().flat_map(|column| {
        [idioms::string(column.clone()), Expr::CompoundIdentifier(vec![quoted(name), quoted(column)])]
    });
    idioms::call("named_struct", args.collect())
}

/// The argument of a function that takes rows, if it is a lone name.
fn lone(expr: &mut Expr) -> Option<&mut Expr> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr else { return None };
    let [name] = name.0.as_slice() else { return None };
    let takes = OF_ROWS.contains(&folded(name.as_ident()?).as_str());
    match list.args.first_mut()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(arg @ Expr::Identifier(_))) if takes => Some(arg),
        _ => None,
    }
}

#[derive(Default)]
struct Wanted(HashSet<String>);

impl VisitorMut for Wanted {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(Expr::Identifier(ident)) = lone(expr) {
            self.0.insert(folded(ident));
        }
        ControlFlow::Continue(())
    }
}

struct Put(HashMap<String, Expr>);

impl VisitorMut for Put {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(arg) = lone(expr)
            && let Expr::Identifier(ident) = &*arg
            && let Some(row) = self.0.get(&folded(ident))
        {
            *arg = row.clone();
        }
        ControlFlow::Continue(())
    }
}
