//! Why one payload cannot be read.

use arrow::datatypes::DataType;

use crate::sql::type_name;

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

    /// A field without a column, in data that shall not be read without it.
    #[cold]
    pub(crate) fn no_column() -> Self {
        Self::new("there is no column for it, and none could be added")
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
