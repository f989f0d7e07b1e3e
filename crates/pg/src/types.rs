//! Arrow types and PostgreSQL types (OIDs of `pg_type`, PostgreSQL 17).

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// A type as the protocol names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PgType {
    pub(crate) oid: u32,
    /// `pg_type.typlen`.
    pub(crate) length: i16,
    /// `pg_attribute.atttypmod`.
    pub(crate) modifier: i32,
}

pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

/// What `numeric` without precision and scale is to the engine; clients are not told of its scale.
pub(crate) const ANY_NUMERIC: DataType = DataType::Decimal128(38, 10);

/// Array types by element type.
const ARRAYS: &[(u32, u32)] = &[
    (oid::BOOL, 1000),
    (oid::BYTEA, 1001),
    (oid::NAME, 1003),
    (oid::INT2, 1005),
    (oid::INT4, 1007),
    (oid::TEXT, 1009),
    (oid::BPCHAR, 1014),
    (oid::VARCHAR, 1015),
    (oid::INT8, 1016),
    (oid::FLOAT4, 1021),
    (oid::FLOAT8, 1022),
    (oid::OID, 1028),
    (oid::TIMESTAMP, 1115),
    (oid::DATE, 1182),
    (oid::TIME, 1183),
    (oid::TIMESTAMPTZ, 1185),
    (oid::INTERVAL, 1187),
    (oid::NUMERIC, 1231),
    (oid::UUID, 2951),
];

impl PgType {
    const fn new(oid: u32, length: i16) -> Self {
        Self { oid, length, modifier: -1 }
    }

    /// What a column of `field` is to a client. Structs, maps and nested lists travel as `json`.
    pub(crate) fn of(field: &Field) -> Self {
        if field.extension_type_name() == Some("arrow.uuid") {
            return Self::new(oid::UUID, 16);
        }
        match sql::text_type(field) {
            Some("json") => return Self::new(oid::JSON, -1),
            Some("jsonb") => return Self::new(oid::JSONB, -1),
            Some("uuid") => return Self::new(oid::UUID, 16),
            _ => {}
        }
        match field.data_type() {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => {
                let element = Self::of(item).oid;
                ARRAYS.iter().find(|(e, _)| *e == element).map_or(Self::new(oid::JSON, -1), |(_, a)| Self::new(*a, -1))
            }
            other => Self::of_scalar(other),
        }
    }

    fn of_scalar(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::new(oid::BOOL, 1),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::new(oid::INT2, 2),
            DataType::UInt16 | DataType::Int32 => Self::new(oid::INT4, 4),
            DataType::UInt32 | DataType::Int64 => Self::new(oid::INT8, 8),
            DataType::UInt64 => Self::new(oid::NUMERIC, -1),
            DataType::Float16 | DataType::Float32 => Self::new(oid::FLOAT4, 4),
            DataType::Float64 => Self::new(oid::FLOAT8, 8),
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => {
                let modifier =
                    if *s >= 0 && *data_type != ANY_NUMERIC { ((i32::from(*p) << 16) | i32::from(*s)) + 4 } else { -1 };
                Self { oid: oid::NUMERIC, length: -1, modifier }
            }
            DataType::Date32 | DataType::Date64 => Self::new(oid::DATE, 4),
            DataType::Time32(_) | DataType::Time64(_) => Self::new(oid::TIME, 8),
            DataType::Timestamp(_, None) => Self::new(oid::TIMESTAMP, 8),
            DataType::Timestamp(_, Some(_)) => Self::new(oid::TIMESTAMPTZ, 8),
            DataType::Interval(_) | DataType::Duration(_) => Self::new(oid::INTERVAL, 16),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::new(oid::BYTEA, -1)
            }
            DataType::Struct(_) | DataType::Map(_, _) | DataType::Union(_, _) => Self::new(oid::JSON, -1),
            DataType::Dictionary(_, value) => Self::of_scalar(value),
            DataType::RunEndEncoded(_, value) => Self::of_scalar(value.data_type()),
            _ => Self::new(oid::TEXT, -1),
        }
    }
}

/// The Arrow type a parameter of PostgreSQL type `oid` is handed to SQL as; `None` leaves it to the statement (as for
/// `numeric`, whose scale only the value knows).
pub(crate) fn parameter_type(oid: u32) -> Option<DataType> {
    Some(match oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 | oid::OID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::BYTEA => DataType::Binary,
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON | oid::JSONB | oid::UUID => DataType::Utf8,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => {
            let (element, _) = ARRAYS.iter().find(|(_, array)| *array == oid)?;
            let item = if *element == oid::NUMERIC { ANY_NUMERIC } else { parameter_type(*element)? };
            DataType::List(Field::new_list_field(item, true).into())
        }
    })
}

/// The array type of an element type.
pub(crate) fn array_of(element: u32) -> Option<u32> {
    ARRAYS.iter().find(|(e, _)| *e == element).map(|(_, array)| *array)
}

/// A type as `pg_typeof` and people write it.
pub(crate) fn name_of(field: &Field) -> String {
    if field.data_type().is_null() {
        return "unknown".to_owned();
    }
    let oid = PgType::of(field).oid;
    match ARRAYS.iter().find(|(_, array)| *array == oid) {
        Some((element, _)) => format!("{}[]", scalar_name(*element)),
        None => scalar_name(oid).to_owned(),
    }
}

fn scalar_name(oid: u32) -> &'static str {
    match oid {
        oid::BOOL => "boolean",
        oid::BYTEA => "bytea",
        oid::INT8 => "bigint",
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::JSON => "json",
        oid::JSONB => "jsonb",
        oid::FLOAT4 => "real",
        oid::FLOAT8 => "double precision",
        oid::DATE => "date",
        oid::TIME => "time without time zone",
        oid::TIMESTAMP => "timestamp without time zone",
        oid::TIMESTAMPTZ => "timestamp with time zone",
        oid::INTERVAL => "interval",
        oid::NUMERIC => "numeric",
        oid::UUID => "uuid",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_type_comes_back_as_itself() {
        for oid in [
            oid::BOOL,
            oid::INT2,
            oid::INT4,
            oid::INT8,
            oid::FLOAT8,
            oid::TEXT,
            oid::TIMESTAMPTZ,
            oid::INTERVAL,
            1016,
            1009,
        ] {
            let data_type = parameter_type(oid).expect("known type");
            assert_eq!(PgType::of(&Field::new("x", data_type, true)).oid, oid);
        }
        assert_eq!(parameter_type(0), None);
    }

    #[test]
    fn decimals_carry_precision_and_scale() {
        let field = Field::new("x", DataType::Decimal128(12, 2), true);
        assert_eq!(PgType::of(&field).modifier, (12 << 16) + 2 + 4);
        assert_eq!(PgType::of(&Field::new("x", ANY_NUMERIC, true)).modifier, -1);
    }

    #[test]
    fn types_have_the_names_postgresql_gives_them() {
        let list = DataType::List(Field::new_list_field(DataType::Int32, true).into());
        for (data_type, name) in [
            (DataType::Utf8View, "text"),
            (DataType::Int64, "bigint"),
            (list, "integer[]"),
            (DataType::Null, "unknown"),
        ] {
            assert_eq!(name_of(&Field::new("x", data_type, true)), name);
        }
    }
}
