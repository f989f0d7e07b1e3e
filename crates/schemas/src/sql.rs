//! How SQL writes types and names: the one place that errors, `DESCRIBE` and the doors take them from.

use arrow::datatypes::DataType;

/// `BIGINT`, `DECIMAL(10, 2)`, `ARRAY<STRUCT<a BIGINT>>`.
pub fn type_name(data_type: &DataType) -> String {
    let plain = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => return format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BYTES",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => return format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|f| format!("{} {}", quoted(f.name()), type_name(f.data_type()))).collect();
            return format!("STRUCT<{}>", fields.join(", "));
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                return format!("MAP<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()));
            }
            _ => "MAP",
        },
        DataType::Dictionary(_, value) => return type_name(value),
        DataType::RunEndEncoded(_, value) => return type_name(value.data_type()),
        DataType::Union(_, _) => "UNION",
    };
    plain.to_owned()
}

/// `name` as it must be written to mean exactly this one: in quotes unless it is plain and in lower case.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Fields, TimeUnit};

    use super::*;

    #[test]
    fn types_read_as_they_are_declared() {
        let inner = Fields::from(vec![
            Field::new("id", DataType::Int32, true),
            Field::new("At", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
        ]);
        let list = DataType::new_list(DataType::Struct(inner), true);
        assert_eq!(type_name(&list), "ARRAY<STRUCT<id INT, \"At\" TIMESTAMPTZ>>");
        assert_eq!(type_name(&DataType::Decimal128(10, 2)), "DECIMAL(10, 2)");
    }

    #[test]
    fn only_names_that_need_it_are_quoted() {
        assert_eq!(
            ["a_1", "_x", "A", "1a", "a\"b", ""].map(quoted),
            ["a_1", "_x", "\"A\"", "\"1a\"", "\"a\"\"b\"", "\"\""]
        );
    }
}
