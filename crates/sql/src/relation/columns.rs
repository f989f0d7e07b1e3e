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
    common::ScalarValue,
    datasource::{ViewTable, provider_as_source},
    error::Result,
    logical_expr::{self, ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, lit, try_cast},
};

use super::CATALOG;
use crate::functions::simple;

/// Columns that the standard has and DataFusion has not, and what they always are here.
const MORE: &[(&str, &[(&str, Option<&str>)])] = &[
    (
        "columns",
        &[
            ("character_set_name", None),
            ("collation_name", None),
            ("domain_catalog", None),
            ("domain_schema", None),
            ("domain_name", None),
            ("udt_catalog", Some(CATALOG)),
            ("udt_schema", Some("pg_catalog")),
            ("is_self_referencing", Some("NO")),
            ("is_identity", Some("NO")),
            ("identity_generation", None),
            ("identity_start", None),
            ("identity_increment", None),
            ("identity_maximum", None),
            ("identity_minimum", None),
            ("identity_cycle", Some("NO")),
            ("is_generated", Some("NEVER")),
            ("generation_expression", None),
            ("is_updatable", Some("YES")),
        ],
    ),
    (
        "tables",
        &[
            ("self_referencing_column_name", None),
            ("reference_generation", None),
            ("user_defined_type_catalog", None),
            ("user_defined_type_schema", None),
            ("user_defined_type_name", None),
            ("is_insertable_into", Some("YES")),
            ("is_typed", Some("NO")),
            ("commit_action", None),
        ],
    ),
    (
        "views",
        &[
            ("check_option", Some("NONE")),
            ("is_updatable", Some("NO")),
            ("is_insertable_into", Some("NO")),
            ("is_trigger_updatable", Some("NO")),
            ("is_trigger_deletable", Some("NO")),
            ("is_trigger_insertable_into", Some("NO")),
        ],
    ),
];

/// A view over DataFusion's table called `name`, if it has to be another.
pub(crate) fn standard_table(name: &str, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    static TYPE_NAME: LazyLock<ScalarUDF> = LazyLock::new(|| simple("sql_type_name", 1, |_| Ok(DataType::Utf8), named));
    static UDT_NAME: LazyLock<ScalarUDF> =
        LazyLock::new(|| simple("sql_udt_name", 1, |_| Ok(DataType::Utf8), udt_named));
    let more = MORE.iter().find(|(of, _)| *of == name).map(|(_, more)| *more);
    if more.is_none() && table.schema().fields().iter().all(|field| *field.data_type() != DataType::UInt64) {
        return Ok(table);
    }
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let fields = scan.schema().iter().map(|(_, field)| field.data_type().clone()).collect::<Vec<_>>();
    let mut exprs = Vec::with_capacity(fields.len() + more.map_or(0, <[_]>::len) + 2);
    for (column, data_type) in scan.schema().columns().into_iter().zip(fields) {
        let column_name = column.name.clone();
        let expr = Expr::Column(column);
        let shown = match (name, column_name.as_str(), data_type) {
            ("columns", "data_type", _) => {
                exprs.push(UDT_NAME.call(vec![expr.clone()]).alias("udt_name"));
                TYPE_NAME.call(vec![expr]).alias(column_name)
            }
            ("columns", "ordinal_position", _) => {
                logical_expr::cast(expr + lit(1_u64), DataType::Int32).alias(column_name)
            }
            ("views", "definition", _) => {
                // As DataFusion calls it, too.
                exprs.push(expr.clone());
                expr.alias("view_definition")
            }
            // NULL stands for lengths without a limit.
            (_, _, DataType::UInt64) => try_cast(expr, DataType::Int32).alias(column_name),
            _ => expr,
        };
        exprs.push(shown);
    }
    exprs.extend(
        more.into_iter().flatten().map(|(name, value)| lit(ScalarValue::Utf8(value.map(str::to_owned))).alias(*name)),
    );
    Ok(Arc::new(ViewTable::new(scan.project(exprs)?.build()?, None)))
}

/// Tables that the standard has and DataFusion has not.
pub(crate) fn missing_table(name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    if name != "information_schema_catalog_name" {
        return Ok(None);
    }
    let one = LogicalPlanBuilder::empty(true).project([lit(CATALOG).alias("catalog_name")])?.build()?;
    Ok(Some(Arc::new(ViewTable::new(one, None))))
}

fn named(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrow = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
    let names: StringArray = arrow.as_string::<i32>().iter().map(|name| name.map(standard_name)).collect();
    Ok(ColumnarValue::Array(Arc::new(names)))
}

fn udt_named(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let arrow = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8)?;
    let names: StringArray = arrow.as_string::<i32>().iter().map(|name| name.map(udt_name)).collect();
    Ok(ColumnarValue::Array(Arc::new(names)))
}

/// What PostgreSQL itself calls the type Arrow shows as `arrow`.
fn udt_name(arrow: &str) -> String {
    match standard_name(arrow) {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "time without time zone" => "time",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "ARRAY" => {
            // `List(non-null Int64, field: 'element')`
            let element = arrow.split_once('(').map_or("", |(_, element)| element);
            let element = element.rsplit_once(", field:").map_or(element, |(element, _)| element);
            return format!("_{}", udt_name(element.trim_start_matches("non-null ")));
        }
        name => name,
    }
    .to_owned()
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
        let list = |element| DataType::List(Arc::new(Field::new("element", element, true)));
        for (data_type, name) in [
            (DataType::Int64, "int8"),
            (DataType::Decimal128(10, 2), "numeric"),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), "timestamptz"),
            (list(DataType::Int32), "_int4"),
            (list(DataType::Utf8), "_text"),
        ] {
            assert_eq!(udt_name(&data_type.to_string()), name, "{data_type}");
        }
    }
}
