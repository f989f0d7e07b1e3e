//! DELETE and UPDATE of Iceberg tables.
//!
//! DataFusion hands a table only the part of the condition it understands, and an empty list for
//! `WHERE id IN (SELECT …)`, which would mean *all rows*. So neither goes through it: the statement becomes a query over the
//! table with the place of each row added (`_file`, `_pos`), its whole plan runs, and what comes out is what is deleted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{Field, FieldRef},
};
use datafusion::{
    common::cast::{as_int64_array, as_string_view_array},
    execution::memory_pool::{MemoryConsumer, MemoryReservation},
    logical_expr::LogicalPlan,
    scalar::ScalarValue,
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{
            AssignmentTarget, Delete, Expr, FromTable, Ident, ObjectName, SelectItem, SetExpr,
            Statement as SqlStatement, TableAlias, TableFactor, TableWithJoins, Update,
        },
    },
};
use futures::TryStreamExt;
use model::{Error, ErrorKind, Result, error::codes};
use tables::{
    RowDelta, Table,
    scan::{FILE_COLUMN, POS_COLUMN},
};

use super::Run;
use crate::{Outcome, text};

/// A statement that lost a race against other writers starts over until it lost this often.
const ATTEMPTS_MAX: u32 = 8;

/// A statement that changes rows.
#[derive(Clone, Copy)]
enum Change<'a> {
    Delete(&'a Delete),
    Update(&'a Update),
}

/// Rows of a table to delete, and for UPDATE the rows to take their place.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    table: Arc<Table>,
    /// Columns after `_file` and `_pos` to be written anew.
    rewrites: bool,
}

impl Run<'_> {
    pub(super) async fn delete(&self, delete: &Delete, params: Vec<ScalarValue>) -> Result<Outcome> {
        let rows = self.change(Change::Delete(delete), params).await?;
        Ok(Outcome::written(format!("DELETE {rows}"), rows))
    }

    pub(super) async fn update(&self, update: &Update, params: Vec<ScalarValue>) -> Result<Outcome> {
        let rows = self.change(Change::Update(update), params).await?;
        Ok(Outcome::written(format!("UPDATE {rows}"), rows))
    }

    /// Runs the statement, again and again if others change the table meanwhile: each time on the table as it is then.
    async fn change(&self, change: Change<'_>, params: Vec<ScalarValue>) -> Result<u64> {
        let parts = &self.engine().parts;
        // A statement without a table's name has no plan either, and planning says why.
        let table = match change.target() {
            Some(name) => Some(self.binder().resolve(&self.parts(name)?)?),
            None => None,
        };
        for lost in 0.. {
            let turn = match &table {
                Some(table) => Some(parts.tables.turn_to_change(table, lost).await),
                None => None,
            };
            let planned = match change {
                Change::Delete(delete) => self.plan_delete(delete).await?,
                Change::Update(update) => self.plan_update(update).await?,
            };
            match self.change_once(planned, params.clone()).await {
                Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
                Err(error) if lost + 1 == ATTEMPTS_MAX => {
                    return Err(error.hint(format!(
                        "it was tried {ATTEMPTS_MAX} times, and each time another process was quicker: run it again"
                    )));
                }
                Err(error) => tracing::debug!(%error, lost, "a change of rows starts over"),
                Ok(rows) => return Ok(rows),
            }
            drop(turn);
            // Random, so that two processes do not meet again.
            let pause = 1 + parts.world.random.u64() % (10 << lost);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        unreachable!("the loop ends by returning")
    }

    pub(super) async fn plan_delete(&self, delete: &Delete) -> Result<Planned> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        if !delete.tables.is_empty() || delete.using.is_some() || from.len() != 1 || !from[0].joins.is_empty() {
            return Err(unsupported("DELETE over more than one table", "write WHERE id IN (SELECT …)"));
        }
        if delete.returning.is_some() || delete.limit.is_some() || !delete.order_by.is_empty() {
            return Err(unsupported("DELETE with RETURNING, ORDER BY or LIMIT", ""));
        }
        self.plan_change(&from[0].relation, delete.selection.as_ref(), None, "DELETE").await
    }

    pub(super) async fn plan_update(&self, update: &Update) -> Result<Planned> {
        if update.from.is_some() || !update.table.joins.is_empty() {
            return Err(unsupported("UPDATE … FROM", "write SET column = (SELECT …) WHERE …"));
        }
        if update.returning.is_some() || update.limit.is_some() || update.or.is_some() {
            return Err(unsupported("UPDATE with RETURNING, LIMIT or OR", ""));
        }
        let mut assignments = Vec::with_capacity(update.assignments.len());
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(unsupported("UPDATE … SET (a, b) = …", "assign columns one by one"));
            };
            let column = name.0.last().and_then(|part| part.as_ident()).cloned();
            let column = column.ok_or_else(|| Error::new(codes::SQL_INVALID, format!("`{name}` is not a column")))?;
            assignments.push((column, assignment.value.clone()));
        }
        self.plan_change(&update.table.relation, update.selection.as_ref(), Some(assignments), "UPDATE").await
    }

    /// `SELECT _file, _pos [, columns] FROM table WHERE selection`
    async fn plan_change(
        &self,
        target: &TableFactor,
        selection: Option<&Expr>,
        assignments: Option<Vec<(Ident, Expr)>>,
        verb: &str,
    ) -> Result<Planned> {
        let TableFactor::Table { name, alias, args: None, version: None, .. } = target else {
            return Err(Error::new(codes::SQL_INVALID, format!("{verb} needs the name of a table")));
        };
        let parts = self.parts(name)?;
        let table = self.table_only(&parts, verb).await?;
        let fields: Vec<FieldRef> = table.arrow_schema().fields().iter().cloned().collect();
        let qualifier =
            alias.as_ref().map_or_else(|| Ident::with_quote('"', &*table.name().name), |alias| alias.name.clone());
        let column = |name: &str| Expr::CompoundIdentifier(vec![qualifier.clone(), Ident::with_quote('"', name)]);
        let mut projection =
            vec![SelectItem::UnnamedExpr(column(FILE_COLUMN)), SelectItem::UnnamedExpr(column(POS_COLUMN))];
        let mut shape: Vec<FieldRef> = vec![
            Arc::new(Field::new(FILE_COLUMN, arrow::datatypes::DataType::Utf8View, false)),
            Arc::new(Field::new(POS_COLUMN, arrow::datatypes::DataType::Int64, false)),
        ];
        let rewrites = assignments.is_some();
        if let Some(mut assignments) = assignments {
            for field in &fields {
                let found = assignments.iter().position(|(name, _)| {
                    name.value == *field.name()
                        || (name.quote_style.is_none() && name.value.eq_ignore_ascii_case(field.name()))
                });
                let expr = match found {
                    Some(index) => assignments.remove(index).1,
                    None => column(field.name()),
                };
                projection.push(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', field.name()) });
                shape.push(field.clone());
            }
            if let Some((left, _)) = assignments.first() {
                return Err(Error::new(
                    codes::SQL_UNRESOLVED,
                    format!("`{}` has no column `{}` to set", table.name(), left.value),
                )
                .hint("name each column once"));
            }
        }
        let statement = self.rows_query(&table, qualifier, projection, selection)?;
        let binder = self.binder().with_rows_of(table.clone());
        let plan = binder.plan(statement, self.parsed.named).await?;
        Ok(Planned { plan: self.shaped(plan, &shape)?, table, rewrites })
    }

    fn rows_query(
        &self,
        table: &Table,
        qualifier: Ident,
        projection: Vec<SelectItem>,
        selection: Option<&Expr>,
    ) -> Result<DfStatement> {
        // A skeleton from the parser is shorter than a dozen empty fields.
        let sql = "SELECT 1 FROM t";
        let pieces = text::split(sql)?;
        let text::Statement::Sql(mut statement) = text::parse(sql, &pieces[0])?.statement else {
            return Err(Error::internal("a query did not parse as one"));
        };
        let DfStatement::Statement(inner) = statement.as_mut() else {
            return Err(Error::internal("a query did not parse as one"));
        };
        let SqlStatement::Query(query) = inner.as_mut() else {
            return Err(Error::internal("a query did not parse as one"));
        };
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(Error::internal("a query did not parse as one"));
        };
        select.projection = projection;
        select.selection = selection.cloned();
        if let Some(TableWithJoins { relation: TableFactor::Table { name, alias, .. }, .. }) = select.from.first_mut() {
            *name = ObjectName::from(vec![
                Ident::with_quote('"', &*table.name().namespace),
                Ident::with_quote('"', crate::bind::rows_name(&table.name().name)),
            ]);
            *alias = Some(TableAlias { explicit: true, name: qualifier, columns: Vec::new() });
        }
        Ok(*statement)
    }

    /// Finds the rows, writes their successors, and commits both as one.
    async fn change_once(&self, planned: Planned, params: Vec<ScalarValue>) -> Result<u64> {
        let Planned { plan, table, rewrites } = planned;
        let Some(base) = table.current_snapshot().map(|snapshot| snapshot.snapshot_id()) else { return Ok(0) };
        let tables = &self.engine().parts.tables;
        let mut rows = self.stream(plan, params).await?;
        let mut places = Places::new(&self.state);
        let mut writer = if rewrites { Some(tables.writer(&table)?) } else { None };
        while let Some(batch) = rows.try_next().await.map_err(|e| self.map(e))? {
            places.take(&batch).map_err(|e| self.map(e))?;
            if let Some(writer) = &mut writer {
                let columns: Vec<usize> = (2..batch.num_columns()).collect();
                writer.write(batch.project(&columns).map_err(|e| self.map(e.into()))?).await?;
            }
        }
        let count = places.count;
        if count == 0 {
            return Ok(0);
        }
        let added = match writer {
            Some(writer) => writer.close().await?,
            None => Vec::new(),
        };
        let deletes = tables.write_position_deletes(&table, places.sorted()).await?;
        let delta = RowDelta {
            deletes,
            added,
            spec_id: table.metadata().default_partition_spec_id(),
            base_snapshot_id: base,
            serializable: true,
            properties: Vec::new(),
        };
        let written: Vec<String> =
            delta.deletes.iter().chain(&delta.added).map(|file| file.file_path().to_owned()).collect();
        match tables.row_delta(table.name(), delta).await {
            Ok(_) => Ok(count),
            Err(error) => {
                // Other errors leave open whether the commit stands.
                if error.is(codes::COMMIT_CONFLICT) {
                    self.discard(written).await;
                }
                Err(error)
            }
        }
    }

    /// Deletes files that nobody refers to.
    pub(super) async fn discard(&self, written: Vec<String>) {
        for location in written {
            if let Err(error) = self.engine().parts.files.delete(&location).await {
                tracing::warn!(%location, %error, "a file of a lost commit stays behind for now");
            }
        }
    }
}

impl Change<'_> {
    /// The table it names.
    fn target(&self) -> Option<&ObjectName> {
        let table = match self {
            Self::Update(update) => &update.table,
            Self::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                from.first()?
            }
        };
        match &table.relation {
            TableFactor::Table { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Where the rows are, by file; its memory counts towards the queries' pool.
struct Places {
    by_file: BTreeMap<String, Vec<u64>>,
    count: u64,
    memory: MemoryReservation,
}

impl Places {
    fn new(state: &datafusion::execution::SessionState) -> Self {
        let memory = MemoryConsumer::new("rows to delete").register(&state.runtime_env().memory_pool);
        Self { by_file: BTreeMap::new(), count: 0, memory }
    }

    /// Adds the rows of a batch. Each row comes once: the query reads one table, without joins.
    fn take(&mut self, batch: &RecordBatch) -> datafusion::error::Result<()> {
        self.memory.try_grow(batch.num_rows() * size_of::<u64>() * 2)?;
        let files = as_string_view_array(batch.column(0))?;
        let positions = as_int64_array(batch.column(1))?;
        for row in 0..batch.num_rows() {
            let position = u64::try_from(positions.value(row)).unwrap_or_default();
            let file = files.value(row);
            debug_assert!(files.is_valid(row), "every row is in a file");
            match self.by_file.get_mut(file) {
                Some(known) => known.push(position),
                None => {
                    self.by_file.insert(file.to_owned(), vec![position]);
                }
            }
            self.count += 1;
        }
        Ok(())
    }

    fn sorted(self) -> Vec<(String, Vec<u64>)> {
        self.by_file
            .into_iter()
            .map(|(file, mut positions)| {
                positions.sort_unstable();
                (file, positions)
            })
            .collect()
    }
}

fn unsupported(what: &str, hint: &'static str) -> Error {
    let error = Error::new(codes::SQL_UNSUPPORTED, format!("{what} is not offered"));
    if hint.is_empty() { error } else { error.hint(hint) }
}
