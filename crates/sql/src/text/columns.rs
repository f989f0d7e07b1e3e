//! Column lists and types of CREATE statements.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::{
    ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, TimezoneInfo},
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use super::front::{Failure, Read, end_of, take_word, unsupported};

/// A declared column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) role: ColumnRole,
}

/// Where a column of a stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnRole {
    Value,
    Key,
    PrimaryKey,
    /// `HEADERS`: all of them.
    Headers,
    /// `HEADER('k')`: the last of that name.
    Header(String),
}

/// `( name type [KEY | PRIMARY KEY | NOT NULL | HEADERS | HEADER('k')] , … )`, without the opening parenthesis.
pub(super) fn columns(p: &mut Parser<'_>) -> Read<Vec<Declared>> {
    let mut columns = Vec::new();
    loop {
        if p.consume_token(&Token::RParen) {
            return Ok(columns);
        }
        refuse_table_constraint(p)?;
        if take_word(p, "PRIMARY") {
            // A table constraint: PRIMARY KEY (a, b).
            end_of(p, &["KEY"])?;
            p.expect_token(&Token::LParen)?;
            let names = p.parse_comma_separated(Parser::parse_identifier)?;
            p.expect_token(&Token::RParen)?;
            for name in names {
                let found = columns.iter_mut().find(|c: &&mut Declared| c.name.eq_ignore_ascii_case(&name.value));
                match found {
                    Some(column) => column.role = ColumnRole::PrimaryKey,
                    None => {
                        let why = format!("primary key column `{name}` is not declared");
                        return Err(Failure::Text(ParserError::ParserError(why)));
                    }
                }
            }
        } else {
            columns.push(column(p)?);
        }
        if !p.consume_token(&Token::Comma) {
            p.expect_token(&Token::RParen)?;
            return Ok(columns);
        }
    }
}

/// `CHECK (…)` and the like among the columns. A column may be called so, and then a type follows.
fn refuse_table_constraint(p: &Parser<'_>) -> Read<()> {
    let word = |n| p.peek_nth_token(n).token.to_string().to_uppercase();
    let what = match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
        ("CHECK", "(", _) => "CHECK",
        ("UNIQUE", "(", _) => "UNIQUE",
        ("FOREIGN", "KEY", _) => "FOREIGN KEY",
        ("CONSTRAINT", _, "CHECK" | "UNIQUE" | "FOREIGN" | "PRIMARY") => "CONSTRAINT",
        _ => return Ok(()),
    };
    Err(unsupported(format!("{what} of a table"), "rows are not checked: leave it out"))
}

/// Of a column: what databases with constraints offer.
const REFUSED: [(&str, &str); 7] = [
    ("DEFAULT", "name the value in INSERT"),
    ("GENERATED", "compute the value in INSERT, or in a view"),
    ("AUTO_INCREMENT", "name the value in INSERT"),
    ("UNIQUE", "rows are not checked: leave it out"),
    ("CHECK", "rows are not checked: leave it out"),
    ("REFERENCES", "rows are not checked: leave it out"),
    ("CONSTRAINT", "rows are not checked: leave it out"),
];

pub(super) fn column(p: &mut Parser<'_>) -> Read<Declared> {
    let name = p.parse_identifier()?;
    // As PostgreSQL: unquoted names are kept in lower case.
    let name = if name.quote_style.is_none() { name.value.to_lowercase() } else { name.value };
    let data_type = data_type(p)?;
    let mut column = Declared { name, data_type, nullable: true, role: ColumnRole::Value };
    loop {
        if take_word(p, "PRIMARY") {
            end_of(p, &["KEY"])?;
            column.role = ColumnRole::PrimaryKey;
        } else if take_word(p, "KEY") {
            column.role = ColumnRole::Key;
        } else if take_word(p, "HEADERS") {
            column.role = ColumnRole::Headers;
        } else if take_word(p, "HEADER") {
            p.expect_token(&Token::LParen)?;
            column.role = ColumnRole::Header(p.parse_literal_string()?);
            p.expect_token(&Token::RParen)?;
        } else if take_word(p, "NOT") {
            end_of(p, &["NULL"])?;
            column.nullable = false;
        } else if take_word(p, "NULL") {
            column.nullable = true;
        } else if let Some((word, hint)) = REFUSED.into_iter().find(|(word, _)| take_word(p, word)) {
            return Err(unsupported(format!("{word} of column `{}`", column.name), hint));
        } else {
            return Ok(column);
        }
    }
}

/// A type: SQL's names, and ksqlDB's `ARRAY<T>`, `MAP<K, V>`, `STRUCT<name T, …>`.
pub(crate) fn data_type(p: &mut Parser<'_>) -> Result<DataType, ParserError> {
    let mut closers = 0;
    let data_type = nested_type(p, &mut closers, 0)?;
    if closers > 0 {
        return Err(ParserError::ParserError("one `>` too many in a type".to_owned()));
    }
    Ok(data_type)
}

/// `>>` is one token and closes two brackets; `closers` carries the second one outwards.
fn nested_type(p: &mut Parser<'_>, closers: &mut usize, depth: usize) -> Result<DataType, ParserError> {
    if depth > 32 {
        return Err(ParserError::RecursionLimitExceeded);
    }
    let opens = p.peek_nth_token(1).token == Token::Lt;
    if opens && take_word(p, "ARRAY") {
        p.expect_token(&Token::Lt)?;
        let element = nested_type(p, closers, depth + 1)?;
        close(p, closers)?;
        return Ok(list_of(element));
    }
    if opens && take_word(p, "MAP") {
        p.expect_token(&Token::Lt)?;
        let key = nested_type(p, closers, depth + 1)?;
        p.expect_token(&Token::Comma)?;
        let value = nested_type(p, closers, depth + 1)?;
        close(p, closers)?;
        return Ok(map_of(key, value));
    }
    if opens && take_word(p, "STRUCT") {
        p.expect_token(&Token::Lt)?;
        let mut fields = Vec::new();
        loop {
            let name = p.parse_identifier()?;
            let _ = p.consume_token(&Token::Colon);
            let name = if name.quote_style.is_none() { name.value.to_lowercase() } else { name.value };
            fields.push(Field::new(name, nested_type(p, closers, depth + 1)?, true));
            if *closers > 0 || !p.consume_token(&Token::Comma) {
                break;
            }
        }
        close(p, closers)?;
        return Ok(DataType::Struct(Fields::from(fields)));
    }
    let written = p.parse_data_type()?;
    from_sql(&written).ok_or_else(|| ParserError::ParserError(format!("type {written} is not offered")))
}

fn close(p: &mut Parser<'_>, closers: &mut usize) -> Result<(), ParserError> {
    if *closers > 0 {
        *closers -= 1;
        return Ok(());
    }
    match p.next_token().token {
        Token::Gt => Ok(()),
        Token::ShiftRight => {
            *closers += 1;
            Ok(())
        }
        _ => {
            p.prev_token();
            p.expected("> to close the type", p.peek_token())
        }
    }
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false)
}

/// The one table from SQL's type names to what tables store.
pub(crate) fn from_sql(written: &SqlType) -> Option<DataType> {
    Some(match written {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(_) | SqlType::SmallInt(_) | SqlType::Int2(_) | SqlType::Int16 | SqlType::MediumInt(_) => {
            DataType::Int32
        }
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) | SqlType::Int32 => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) | SqlType::Int64 => DataType::Int64,
        SqlType::Real | SqlType::Float4 | SqlType::Float32 => DataType::Float32,
        SqlType::Float(_) | SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float64 => {
            DataType::Float64
        }
        SqlType::Decimal(info) | SqlType::Numeric(info) | SqlType::Dec(info) => match info {
            ExactNumberInfo::None => DataType::Decimal128(38, 10),
            ExactNumberInfo::Precision(p) => {
                DataType::Decimal128(u8::try_from(*p).ok().filter(|p| (1..=38).contains(p))?, 0)
            }
            ExactNumberInfo::PrecisionAndScale(p, s) => {
                let p = u8::try_from(*p).ok().filter(|p| (1..=38).contains(p))?;
                DataType::Decimal128(p, i8::try_from(*s).ok().filter(|s| *s >= 0 && *s as u8 <= p)?)
            }
        },
        SqlType::Varchar(_)
        | SqlType::CharVarying(_)
        | SqlType::CharacterVarying(_)
        | SqlType::Char(_)
        | SqlType::Character(_)
        | SqlType::Nvarchar(_)
        | SqlType::Text
        | SqlType::String(_)
        | SqlType::Uuid
        | SqlType::JSON
        | SqlType::JSONB
        | SqlType::LongText
        | SqlType::MediumText
        | SqlType::TinyText => DataType::Utf8,
        SqlType::Bytea | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Blob(_) | SqlType::Bytes(_) => {
            DataType::Binary
        }
        SqlType::Date => DataType::Date32,
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time64(TimeUnit::Microsecond),
        SqlType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | SqlType::Datetime(_) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        SqlType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
        }
        SqlType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            list_of(from_sql(element)?)
        }
        // Names sqlparser takes for types of the user's own.
        SqlType::Custom(name, _) => match name.to_string().to_ascii_uppercase().as_str() {
            "STRING" => DataType::Utf8,
            "BYTES" => DataType::Binary,
            "LONG" => DataType::Int64,
            "TIMESTAMPTZ" => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            _ => return None,
        },
        _ => return None,
    })
}
