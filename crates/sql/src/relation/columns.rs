//! `information_schema` as the standard has it. DataFusion's calls types by Arrow's names, which tools cannot read, counts
//! columns from 0, and its numbers are of a type that no client has.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{AsArray, StringArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    catalog::TableProvider,
    datasource::{ViewTable, provider_as_source},
    error::Result,
    logical_expr::{self, ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, lit, try_cast},
};

use crate::functions::simple;

/// A view over DataFusion's table called `name`, if it has to be another.
pub(crate) fn standard_table(name: &str, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    static TYPE_NAME: LazyLock<ScalarUDF> = LazyLock::new(|| simple("sql_type_name", 1, |_| Ok(DataType::Utf8), named));
    let is_columns = name == "columns";
    if !is_columns && table.schema().fields().iter().all(|field| *field.data_type() != DataType::UInt64) {
        return Ok(table);
    }
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let fields = scan.schema().iter().map(|(_, field)| field.data_type().clone()).collect::<Vec<_>>();
    let exprs = scan.schema().columns().into_iter().zip(fields).map(|(column, data_type)| {
        let name = column.name.clone();
        let expr = Expr::Column(column);
        match (is_columns, name.as_str(), data_type) {
            (true, "data_type", _) => TYPE_NAME.call(vec![expr]).alias(name),
            (true, "ordinal_position", _) => logical_expr::cast(expr + lit(1_u64), DataType::Int32).alias(name),
            // NULL stands for lengths without a limit.
            (_, _, DataType::UInt64) => try_cast(expr, DataType::Int32).alias(name),
            _ => expr,
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(Arc::new(ViewTable::new(scan.project(exprs)?.build()?, None)))
}

fn named(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrow = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
    let names: StringArray = arrow.as_string::<i32>().iter().map(|name| name.map(standard_name)).collect();
    Ok(ColumnarValue::Array(Arc::new(names)))
}

/// What the standard's `information_schema`, as PostgreSQL has it, calls the type Arrow shows as `arrow`.
fn standard_name(arrow: &str) -> &'static str {
    let name = arrow.split('(').next().unwrap_or_default();
    match name {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "UInt64" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => "numeric",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time without time zone",
        "Timestamp" if arrow.contains('"') || arrow.contains("Some") || arrow.contains('+') => {
            "timestamp with time zone"
        }
        "Timestamp" => "timestamp without time zone",
        "Interval" | "Duration" => "interval",
        "Binary" | "LargeBinary" | "BinaryView" | "FixedSizeBinary" => "bytea",
        "List" | "LargeList" | "ListView" | "LargeListView" | "FixedSizeList" => "ARRAY",
        "Struct" | "Map" | "Union" => "json",
        // Dictionaries are of text.
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    #[test]
    fn types_are_called_as_the_standard_does() {
        let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
        for (data_type, name) in [
            (DataType::Int64, "bigint"),
            (DataType::Utf8View, "text"),
            (DataType::Float64, "double precision"),
            (DataType::Decimal128(10, 2), "numeric"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp without time zone"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), "timestamp with time zone"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp with time zone"),
            (list, "ARRAY"),
        ] {
            assert_eq!(standard_name(&data_type.to_string()), name, "{data_type}");
        }
    }
}
