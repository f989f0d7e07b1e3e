//! What columns without a name are called.
//!
//! DataFusion calls `SELECT 1 + a` `Int64(1) + t.a`, and refuses `SELECT a, CAST(a AS INT)` because both are called `a`.
//! Columns of the outermost query are called by their text instead (`1 + a`), and equal ones are told apart (`a_1`); or,
//! where clients expect it, as PostgreSQL calls them: by the function (`count`), the type of a cast (`int4`), else
//! `?column?`. There several columns may have one name, which the engine does not allow: it gets names with a number
//! behind [`MARK`], which [`shown`] takes away again. Elsewhere equal names of an answer get a number: clients make objects
//! of rows.

use std::{borrow::Cow, collections::HashSet, ops::ControlFlow, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        AccessExpr, DataType, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, Subscript,
        TrimWhereField, Value, Visit, Visitor, VisitorMut,
    },
};

use super::{folded, scopes};
use crate::{Headings, text::VERSION_FUNCTION};

const CHARS_MAX: usize = 60;
/// Between a name and what tells it from others of the same name.
const MARK: char = '\u{1f}';

/// An answer (`answers`) may have a name twice; what is kept, as a table or a view, may not.
pub(super) fn rewrite(statement: &mut DfStatement, style: Headings, answers: bool) {
    let DfStatement::Statement(statement) = statement else { return };
    let Statement::Query(query) = statement.as_mut() else { return };
    let sorted = sorts_by_expression(query);
    if let Some(select) = first_select(&mut query.body) {
        // ORDER BY must repeat the expressions of SELECT DISTINCT as they are.
        if select.distinct.is_none() || !sorted {
            name(select, style, answers);
        }
    }
}

/// The schema a client sees, if it differs.
pub(crate) fn shown(schema: &SchemaRef, style: Headings) -> Option<SchemaRef> {
    let names: Vec<String> = match style {
        Headings::Postgres => {
            let names = schema.fields().iter().map(|field| field.name().split(MARK).next().unwrap_or_default());
            names.map(str::to_owned).collect()
        }
        // `SELECT * FROM a, b` brings columns of one name along.
        Headings::Text => {
            let taken: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let mut given = HashSet::new();
            let fresh = |name: &String| match given.insert(name.clone()) {
                true => name.clone(),
                false => (1..)
                    .map(|n| told_apart(name, n, style))
                    .find(|fresh| !taken.contains(fresh.as_str()) && given.insert(fresh.clone()))
                    .expect("there are more numbers than columns"),
            };
            schema.fields().iter().map(|field| field.name()).map(fresh).collect()
        }
    };
    if schema.fields().iter().zip(&names).all(|(field, name)| field.name() == name) {
        return None;
    }
    let fields = schema.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
    Some(Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())))
}

/// What the other queries of a UNION call their columns does not matter, but the engine wants names that differ.
pub(super) fn tell_branches_apart(statement: &mut DfStatement) {
    struct Branches;
    impl VisitorMut for Branches {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            branches(&mut query.body, false);
            ControlFlow::Continue(())
        }
    }
    let _ = scopes::visit(statement, &mut Branches);
}

fn branches(body: &mut SetExpr, is_other: bool) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            branches(left, is_other);
            branches(right, true);
        }
        SetExpr::Select(select) if is_other => {
            let mut seen = HashSet::new();
            for (index, item) in select.projection.iter_mut().enumerate() {
                let fresh = || Ident::with_quote('"', format!("column{MARK}{index}"));
                match item {
                    SelectItem::ExprWithAlias { alias, .. } if !seen.insert(folded(alias)) => *alias = fresh(),
                    SelectItem::UnnamedExpr(expr) if !seen.insert(column(expr).unwrap_or_else(|| expr.to_string())) => {
                        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: fresh() };
                    }
                    _ => {}
                }
            }
        }
        // Nested queries are visited by themselves.
        _ => {}
    }
}

fn first_select(mut body: &mut SetExpr) -> Option<&mut Select> {
    loop {
        match body {
            SetExpr::SetOperation { left, .. } => body = left.as_mut(),
            SetExpr::Select(select) => return Some(select),
            _ => return None,
        }
    }
}

fn sorts_by_expression(query: &Query) -> bool {
    match query.order_by.as_ref().map(|order| &order.kind) {
        None | Some(OrderByKind::All(_)) => false,
        Some(OrderByKind::Expressions(exprs)) => exprs
            .iter()
            .any(|by| !matches!(by.expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))),
    }
}

fn name(select: &mut Select, style: Headings, answers: bool) {
    let mut taken: HashSet<String> = HashSet::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => drop(taken.insert(folded(alias))),
            SelectItem::UnnamedExpr(expr) => drop(column(expr).map(|name| taken.insert(name))),
            _ => {}
        }
    }
    // A column must not take a name these clauses mean something else by, or one that `*` brings along.
    let mut elsewhere = Identifiers::default();
    let _ = select.group_by.visit(&mut elsewhere);
    let _ = select.having.visit(&mut elsewhere);
    let _ = select.qualify.visit(&mut elsewhere);
    let wild = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen: HashSet<String> = HashSet::new();
    let mut given: HashSet<String> = HashSet::new();
    for item in &mut select.projection {
        // People may give one name twice.
        if let SelectItem::ExprWithAlias { alias, .. } = &mut *item
            && answers
            && !given.insert(folded(alias))
        {
            let fresh = (1..).map(|n| told_apart(&folded(alias), n, style)).find(|name| !taken.contains(name));
            let fresh = fresh.expect("there are more numbers than columns");
            taken.insert(fresh.clone());
            *alias = Ident::with_quote('"', fresh);
        }
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let heading = match (column(expr), style) {
            // Selected twice: the engine wants names that differ.
            (Some(name), _) if !given.contains(&name) && seen.insert(seen_as(&name, expr, answers)) => continue,
            (Some(name), _) => name,
            (None, Headings::Text) => match &*expr {
                // As in PostgreSQL a cast column keeps its name; the engine would take it for the column itself.
                Expr::Cast { expr: inner, .. } => {
                    column(inner).filter(|name| !taken.contains(name)).unwrap_or_else(|| text(expr))
                }
                expr => text(expr),
            },
            (None, Headings::Postgres) => figured(expr),
        };
        let free = match style {
            Headings::Text => !taken.contains(&heading),
            Headings::Postgres => !wild && !taken.contains(&heading) && !elsewhere.0.contains(&heading),
        };
        let alias = match free {
            true => heading,
            false => (1..)
                .map(|n| told_apart(&heading, n, style))
                .find(|name| !taken.contains(name))
                .expect("there are more numbers than columns"),
        };
        taken.insert(alias.clone());
        let expr = expr.clone();
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', alias) };
    }
}

fn told_apart(name: &str, number: u32, style: Headings) -> String {
    match style {
        Headings::Text => format!("{name}_{number}"),
        Headings::Postgres => format!("{name}{MARK}{number}"),
    }
}

/// What a column selected once more has in common with itself: in an answer, its name.
fn seen_as(name: &str, expr: &Expr, answers: bool) -> String {
    if answers { name.to_owned() } else { expr.to_string().to_lowercase() }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        _ => None,
    }
}

fn text(expr: &Expr) -> String {
    versions_as_written(&expr.to_string()).chars().take(CHARS_MAX).collect()
}

/// What the front parser made of `FOR VERSION AS OF 12`, back again.
fn versions_as_written(text: &str) -> String {
    let made = format!("FOR SYSTEM_TIME AS OF {VERSION_FUNCTION}(");
    let mut pieces = text.split(&made);
    let mut written = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (version, after) = piece.split_once(')').unwrap_or((piece, ""));
        written.extend(["FOR VERSION AS OF ", version, after]);
    }
    written
}

#[derive(Default)]
struct Identifiers(HashSet<String>);

impl Visitor for Identifiers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.0.extend(column(expr));
        ControlFlow::Continue(())
    }
}

/// How sure PostgreSQL is of a name: a cast or CASE goes by what is inside only if that has a name proper.
#[derive(PartialEq)]
enum Name {
    Proper,
    Makeshift,
}

/// What PostgreSQL calls a column of `expr`.
pub(super) fn figured(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name.into_owned())
}

/// PostgreSQL's `FigureColname`.
fn figure(expr: &Expr) -> Option<(Cow<'static, str>, Name)> {
    let proper = |name: &'static str| Some((Cow::Borrowed(name), Name::Proper));
    let inside = |expr: &Expr| figure(expr).filter(|(_, name)| *name == Name::Proper);
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some((column(expr)?.into(), Name::Proper)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(field) => column(field),
                AccessExpr::Subscript(Subscript::Index { .. } | Subscript::Slice { .. }) => None,
            });
            field.map(|field| (field.into(), Name::Proper)).or_else(|| figure(root))
        }
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident().map(folded)?;
            Some((name.into(), Name::Proper))
        }
        Expr::Cast { expr, data_type, .. } => inside(expr).or_else(|| Some((type_name(data_type), Name::Makeshift))),
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), Name::Makeshift)),
        Expr::Interval(_) => Some(("interval".into(), Name::Makeshift)),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some(("bool".into(), Name::Makeshift)),
        Expr::Nested(expr) | Expr::Collate { expr, .. } => figure(expr),
        Expr::Case { else_result, .. } => {
            else_result.as_deref().and_then(inside).or(Some(("case".into(), Name::Makeshift)))
        }
        Expr::Subquery(query) => match first_projected(&query.body)? {
            SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias).into(), Name::Proper)),
            SelectItem::UnnamedExpr(expr) => figure(expr),
            _ => None,
        },
        Expr::Exists { .. } => proper("exists"),
        Expr::Array(_) => proper("array"),
        Expr::Tuple(_) => proper("row"),
        Expr::Extract { .. } => proper("extract"),
        Expr::Ceil { .. } => proper("ceil"),
        Expr::Floor { .. } => proper("floor"),
        Expr::Position { .. } => proper("position"),
        Expr::Substring { .. } => proper("substring"),
        Expr::Overlay { .. } => proper("overlay"),
        Expr::AtTimeZone { .. } => proper("timezone"),
        Expr::Trim { trim_where, .. } => proper(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        _ => None,
    }
}

fn first_projected(body: &SetExpr) -> Option<&SelectItem> {
    match body {
        SetExpr::SetOperation { left, .. } => first_projected(left),
        SetExpr::Query(query) => first_projected(&query.body),
        SetExpr::Select(select) => select.projection.first(),
        _ => None,
    }
}

/// What PostgreSQL's catalog calls a type.
fn type_name(data_type: &DataType) -> Cow<'static, str> {
    let text = data_type.to_string().to_lowercase();
    let name = text.split('(').next().unwrap_or_default().trim();
    match name {
        "int" | "integer" => "int4".into(),
        "bigint" => "int8".into(),
        "smallint" => "int2".into(),
        "real" => "float4".into(),
        "double" | "double precision" | "float" => "float8".into(),
        "boolean" => "bool".into(),
        "decimal" | "dec" => "numeric".into(),
        "character varying" | "char varying" | "string" => "varchar".into(),
        "char" | "character" => "bpchar".into(),
        "bytes" | "binary" | "varbinary" => "bytea".into(),
        "timestamp" if text.ends_with("with time zone") => "timestamptz".into(),
        "timestamp with time zone" => "timestamptz".into(),
        "timestamp without time zone" => "timestamp".into(),
        name => name.to_owned().into(),
    }
}
