//! Rows into tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use datafusion::{
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder},
};
use futures::TryStreamExt;
use model::{Error, Result, error::codes};
use schemas::sql::type_name;
use tables::{Append, Table, iceberg::DataFile};

use super::Run;

impl Run<'_> {
    /// Writes all rows into files of `table`. Nobody sees them before they are committed; after an error they are gone.
    pub(super) async fn write_files(
        &self,
        table: &Arc<Table>,
        mut rows: SendableRecordBatchStream,
    ) -> Result<(Vec<DataFile>, u64)> {
        let mut writer = self.engine().parts.tables.writer(table)?;
        while let Some(batch) = rows.try_next().await.map_err(|e| self.map(e))? {
            writer.write(batch).await?;
        }
        let rows = writer.rows();
        Ok((writer.close().await?, rows))
    }

    /// Appends all rows to `table` in one commit, or none of them.
    pub(super) async fn append(&self, table: &Arc<Table>, rows: SendableRecordBatchStream) -> Result<u64> {
        let (files, rows) = self.write_files(table, rows).await?;
        if rows > 0 {
            let tables = &self.engine().parts.tables;
            let written: Vec<String> = files.iter().map(|file| file.file_path().to_owned()).collect();
            let _turn = tables.turn_to_append(table.name()).await;
            if let Err(error) = tables.append(table.name(), Append::new(table, files)).await {
                // Other errors leave open whether the commit stands.
                if error.is(codes::COMMIT_CONFLICT) {
                    self.discard(written).await;
                }
                return Err(error);
            }
        }
        Ok(rows)
    }

    /// `plan` with its columns, by position, cast to `fields` and called by their names.
    pub(super) fn shaped(&self, plan: LogicalPlan, fields: &[FieldRef]) -> Result<LogicalPlan> {
        let given = plan.schema().fields().len();
        if given != fields.len() {
            return Err(Error::new(
                codes::SQL_ROW_SHAPE,
                format!("{given} value{} given for {} columns", if given == 1 { " is" } else { "s are" }, fields.len()),
            )
            .detail(format!("columns: {}", fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "))));
        }
        let schema = plan.schema().clone();
        let exprs = schema.columns().into_iter().zip(fields).map(|(column, field)| {
            let expr = Expr::Column(column);
            let from = expr.get_type(schema.as_ref()).map_err(|e| self.map(e))?;
            if from == *field.data_type() {
                return Ok(expr.alias(field.name()));
            }
            match expr.cast_to(field.data_type(), schema.as_ref()) {
                Ok(expr) => Ok(expr.alias(field.name())),
                Err(_) => Err(Error::new(
                    codes::SQL_ROW_SHAPE,
                    format!("column `{}` takes {}", field.name(), type_name(field.data_type())),
                )
                .detail(format!("the value is {}, which cannot be converted", type_name(&from)))),
            }
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(|e| self.map(e))
    }
}

/// What a table stores for a column of this type: Iceberg has fewer types than Arrow.
pub(super) fn storable(name: &str, data_type: &DataType) -> Result<DataType> {
    let nested = |field: &FieldRef| -> Result<FieldRef> {
        Ok(Arc::new(Field::new(field.name(), storable(name, field.data_type())?, field.is_nullable())))
    };
    Ok(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(p, s) if *p <= 38 => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, value) => storable(name, value)?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item) => DataType::List(nested(item)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect::<Result<Fields>>()?),
        DataType::Map(entries, sorted) => DataType::Map(nested(entries)?, *sorted),
        DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::Decimal256(..)
        | DataType::LargeListView(_) => {
            return Err(Error::new(
                codes::SQL_TYPE,
                format!("column `{name}` is {}, which a table cannot store", type_name(data_type)),
            )
            .hint("cast it, for example to VARCHAR"));
        }
        same => same.clone(),
    })
}

/// Columns of a table for rows of `schema`.
pub(super) fn storable_schema(schema: &Schema) -> Result<Schema> {
    let mut names = std::collections::HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        if !names.insert(field.name().to_lowercase()) {
            return Err(Error::new(codes::SQL_INVALID, format!("column `{}` is there twice", field.name()))
                .hint("give one of them another name with AS"));
        }
        Ok(Field::new(field.name(), storable(field.name(), field.data_type())?, field.is_nullable()))
    });
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

/// `fields` that take NULL, whatever the query they come from can give: later rows are not its rows.
pub(super) fn nullable(fields: &Fields) -> Fields {
    let within = |data_type: &DataType| match data_type {
        DataType::List(item) => DataType::List(nullable(&Fields::from([item.clone()]))[0].clone()),
        DataType::Struct(fields) => DataType::Struct(nullable(fields)),
        same => same.clone(),
    };
    fields.iter().map(|field| Field::new(field.name(), within(field.data_type()), true)).collect()
}
