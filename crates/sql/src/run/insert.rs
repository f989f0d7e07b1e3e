//! INSERT INTO a table or a topic.

use std::{ops::ControlFlow, sync::Arc};

use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::{
    logical_expr::LogicalPlan,
    scalar::ScalarValue,
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{
            Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Insert, Query, SelectItem, SetExpr,
            Statement as SqlStatement, TableObject, Value, VisitMut, VisitorMut,
        },
    },
};
use lake::{TopicTable, columns::pseudo};
use model::{Error, Result, TableName, error::codes};
use schemas::sql::quoted;
use tables::Table;

use super::Run;
use crate::{Outcome, bind::folded, errors, functions::plain, relation::Relation, text};

/// An INSERT whose table was replaced under it starts over until that happened this often.
const ATTEMPTS_MAX: u32 = 8;

/// Where rows go.
pub(super) enum Target {
    Table(Arc<Table>),
    Topic(Arc<TopicTable>),
}

/// An INSERT, planned: `plan` gives the rows in the shape of the columns they go to.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    /// Types of the parameters that stand in VALUES by themselves.
    pub(super) params: Vec<Option<DataType>>,
    target: Target,
}

impl Run<'_> {
    pub(super) async fn insert(&self, insert: &Insert, params: Vec<ScalarValue>) -> Result<Outcome> {
        let mut lost = 0;
        loop {
            let Planned { plan, target, .. } = self.plan_insert(insert).await?;
            let rows = self.stream(plan, params.clone()).await?;
            let written = match &target {
                Target::Table(table) => self.append(table, rows).await,
                Target::Topic(topic) => self.publish(topic, rows).await,
            };
            match written {
                Ok(rows) => return Ok(Outcome::written(format!("INSERT 0 {rows}"), rows)),
                // Another table is called so by now: the rows are made anew for the columns it has.
                Err(error) if error.is(codes::COMMIT_CONFLICT) && lost < ATTEMPTS_MAX => {
                    lost += 1;
                    tracing::debug!(%error, lost, "an INSERT starts over");
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn plan_insert(&self, insert: &Insert) -> Result<Planned> {
        refuse(insert)?;
        let TableObject::TableName(name) = &insert.table else {
            return Err(Error::new(codes::SQL_UNSUPPORTED, "INSERT INTO a function or a query is not offered"));
        };
        let parts = self.parts(name)?;
        let name = self.binder().resolve(&parts)?;
        let target = self.target(&name).await?;
        let fields = match &target {
            Target::Table(table) => columns(&insert.columns, table.arrow_schema().fields(), &[], &name)?,
            Target::Topic(topic) => {
                let all = topic.schema.fields();
                let own: Fields = all.iter().take(topic.own_columns()).cloned().collect();
                let settable: Vec<FieldRef> = all
                    .iter()
                    .skip(topic.own_columns())
                    .filter(|field| field.name() != pseudo::OFFSET)
                    .cloned()
                    .collect();
                columns(&insert.columns, &own, &settable, &name)?
            }
        };
        let Some(source) = &insert.source else {
            return Err(Error::new(codes::SQL_ROW_SHAPE, "INSERT without rows").hint("write VALUES (…) or a query"));
        };
        let mut source = source.clone();
        let params = type_parameters(&mut source, &fields);
        name_columns(&mut source);
        let statement = DfStatement::Statement(Box::new(SqlStatement::Query(source)));
        let plan = plain(self.binder().plan(statement, self.parsed.named).await?)?;
        Ok(Planned { plan: self.shaped(plan, &fields)?, params, target })
    }

    /// What can be written to as `name`.
    pub(super) async fn target(&self, name: &TableName) -> Result<Target> {
        match self.engine().relation(name).await? {
            Some(Relation::Table(table)) => Ok(Target::Table(table)),
            Some(Relation::Topic(topic)) => Ok(Target::Topic(topic)),
            Some(Relation::View(_)) => {
                Err(Error::new(codes::SQL_UNSUPPORTED, format!("`{name}` is a view and cannot be written to"))
                    .hint("write to the table or topic it reads"))
            }
            Some(Relation::Metadata(..)) => {
                Err(Error::new(codes::SQL_UNSUPPORTED, format!("`{name}` is metadata and cannot be written to")))
            }
            None => {
                let known = self.engine().names_in(&name.namespace, false);
                Err(errors::table_not_found(&name.name, known.iter().map(|known| &**known)))
            }
        }
    }

    pub(super) fn parts(&self, name: &datafusion::sql::sqlparser::ast::ObjectName) -> Result<Vec<Ident>> {
        let parts: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
        parts.ok_or_else(|| Error::new(codes::SQL_INVALID, format!("`{name}` is not a name")))
    }
}

fn refuse(insert: &Insert) -> Result<()> {
    let (what, hint) = match () {
        _ if insert.returning.is_some() => ("INSERT … RETURNING", "read the rows afterwards"),
        _ if insert.on.is_some() => ("INSERT … ON CONFLICT", "tables and topics have no unique keys to conflict on"),
        _ if insert.overwrite => {
            ("INSERT OVERWRITE", "DELETE the rows first, or CREATE OR REPLACE TABLE name AS SELECT …")
        }
        _ if insert.replace_into || insert.ignore || insert.or.is_some() => {
            ("REPLACE INTO or INSERT IGNORE", "use INSERT INTO")
        }
        _ if insert.partitioned.is_some() => ("INSERT … PARTITION", "rows find their partitions by themselves"),
        _ if !insert.assignments.is_empty() => ("INSERT … SET", "write INSERT INTO name (columns) VALUES (…)"),
        _ => return Ok(()),
    };
    Err(Error::new(codes::SQL_UNSUPPORTED, format!("{what} is not offered")).hint(hint))
}

/// The columns rows go to: all of `own` unless some are named; `settable` only by name.
fn columns(named: &[Ident], own: &Fields, settable: &[FieldRef], table: &TableName) -> Result<Vec<FieldRef>> {
    if named.is_empty() {
        return Ok(own.iter().cloned().collect());
    }
    let mut columns: Vec<FieldRef> = Vec::with_capacity(named.len());
    for ident in named {
        let exact = |field: &&FieldRef| *field.name() == ident.value;
        let alike = |field: &&FieldRef| ident.quote_style.is_none() && field.name().eq_ignore_ascii_case(&ident.value);
        let all = || own.iter().chain(settable);
        let Some(field) = all().find(exact).or_else(|| all().find(alike)) else {
            let error = Error::new(
                codes::SQL_UNRESOLVED,
                format!("`{}` has no column `{}` to write to", table.name, ident.value),
            );
            return Err(match folded(ident).as_str() {
                pseudo::OFFSET => error.hint("the log gives offsets itself"),
                _ => error.hint(format!("DESCRIBE {} shows its columns", quoted(&table.name))),
            });
        };
        if columns.iter().any(|known| known.name() == field.name()) {
            return Err(Error::new(codes::SQL_ROW_SHAPE, format!("column `{}` is named twice", field.name())));
        }
        columns.push(field.clone());
    }
    Ok(columns)
}

/// `VALUES ($1, …)`: a parameter has the type of the column it goes to.
fn type_parameters(query: &mut Query, fields: &[FieldRef]) -> Vec<Option<DataType>> {
    let mut types = Vec::new();
    let SetExpr::Values(values) = query.body.as_mut() else { return types };
    // Rows of one column may be written in different ways: a timestamp here, a text there.
    let first: Vec<_> = values.rows.first().into_iter().flatten().map(std::mem::discriminant).collect();
    let literal = |expr: &Expr| match expr {
        Expr::Value(value) => Some(std::mem::discriminant(&value.value)),
        _ => None,
    };
    let literals: Vec<_> = values.rows.first().into_iter().flatten().map(literal).collect();
    let mixed: Vec<bool> = (0..fields.len())
        .map(|column| {
            values.rows.iter().filter_map(|row| row.get(column)).any(|expr| {
                let differs = first.get(column) != Some(&std::mem::discriminant(expr))
                    || literals.get(column) != Some(&literal(expr));
                differs && !matches!(expr, Expr::Value(value) if value.value == Value::Null)
            })
        })
        .collect();
    let mut next = 0;
    for row in &mut values.rows {
        for (index, expr) in row.iter_mut().enumerate() {
            // `?` counts over the whole statement, so nested ones count as well.
            let _ = expr.visit(&mut Number(&mut next));
            let Some(field) = fields.get(index) else { continue };
            let placeholder = match &*expr {
                Expr::Value(value) => match &value.value {
                    Value::Placeholder(name) => Some(name.clone()),
                    _ => None,
                },
                _ => None,
            };
            if placeholder.is_none() && !mixed[index] {
                continue;
            }
            let Ok(mut cast) = text::expression(&format!("arrow_cast(NULL, '{}')", field.data_type())) else {
                continue;
            };
            if let Expr::Function(function) = &mut cast
                && let FunctionArguments::List(list) = &mut function.args
                && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = list.args.first_mut()
            {
                std::mem::swap(argument, expr);
            }
            *expr = cast;
            let number = placeholder.as_deref().and_then(|name| name.strip_prefix('$')?.parse::<u16>().ok());
            if let Some(number) = number.filter(|number| *number > 0) {
                types.resize(types.len().max(number.into()), None);
                types[usize::from(number) - 1] = Some(field.data_type().clone());
            }
        }
    }
    types
}

/// Rows go by position; what their columns are called must only differ.
fn name_columns(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if select.distinct.is_some() {
        return;
    }
    for (index, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::with_quote('"', format!("column{index}")),
            };
        }
    }
}

struct Number<'a>(&'a mut usize);

impl VisitorMut for Number<'_> {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut Value) -> ControlFlow<()> {
        if let Value::Placeholder(name) = value
            && name == "?"
        {
            *self.0 += 1;
            *name = format!("${}", self.0);
        }
        ControlFlow::Continue(())
    }
}
