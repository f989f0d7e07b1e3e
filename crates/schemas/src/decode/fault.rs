//! Why one payload cannot be read.

use arrow::datatypes::DataType;

/// The cause and the field it was met at. Cold: made once for a payload that is left out.
#[derive(Debug)]
pub(crate) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    cause: String,
    /// Innermost field first.
    path: Vec<String>,
}

pub(crate) type Outcome<T = ()> = Result<T, Fault>;

impl Fault {
    #[cold]
    pub(crate) fn new(cause: impl Into<String>) -> Self {
        Self(Box::new(Inner { cause: cause.into(), path: Vec::new() }))
    }

    /// A value that is not of the column's type. `found` is cut to a length people can read.
    #[cold]
    pub(crate) fn expected(data_type: &DataType, found: &str) -> Self {
        Self::new(format!("expected {}, found {}", type_name(data_type), abridged(found)))
    }

    #[cold]
    pub(crate) fn within(mut self, field: &str) -> Self {
        self.0.path.push(field.to_owned());
        self
    }

    pub(crate) fn into_text(self) -> String {
        if self.0.path.is_empty() {
            return self.0.cause;
        }
        let path: Vec<_> = self.0.path.iter().rev().map(String::as_str).collect();
        format!("field `{}`: {}", path.join("."), self.0.cause)
    }
}

/// At most 60 characters of `text`, with control characters made visible.
pub(crate) fn abridged(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = text.chars().take(SHOWN).flat_map(shown).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let visible = (!c.is_control()).then_some(c);
    let hidden = c.is_control().then(|| c.escape_default()).into_iter().flatten();
    visible.into_iter().chain(hidden)
}

/// A type as SQL writes it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTES".into()
        }
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            _ => "MAP".into(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}
