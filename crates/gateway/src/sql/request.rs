//! What a client asks: SQL as text, or as JSON with parameters.

use arrow::datatypes::DataType;
use axum::http::{HeaderMap, header};
use model::{Error, Result, error::codes};
use serde::Deserialize;
use serde_json::Value;
use sql::datafusion::scalar::ScalarValue;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    pub(super) sql: String,
    /// Values of `$1…` or `?`. With parameters there must be exactly one statement.
    #[serde(default)]
    pub(super) params: Vec<Value>,
    /// Stop after this many rows; the JSON answer then says `"truncated": true`.
    #[serde(default)]
    pub(super) max_rows: Option<usize>,
}

impl SqlRequest {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("text/plain");
        let mime = content_type.split(';').next().unwrap_or_default().trim();
        if mime.eq_ignore_ascii_case("application/json") {
            return serde_json::from_slice(body).map_err(|error| {
                invalid(&format!("as application/json it must be {{\"sql\": …, \"params\": […]}}: {error}"))
            });
        }
        // What curl says when it is not told.
        let taken = ["text/plain", "application/sql", "application/x-www-form-urlencoded", "application/octet-stream"];
        if !taken.iter().any(|m| mime.eq_ignore_ascii_case(m)) {
            return Err(invalid(&format!("its Content-Type is `{}`", content_type.escape_debug())));
        }
        let sql = std::str::from_utf8(body).map_err(|_| invalid("SQL must be UTF-8"))?;
        Ok(Self { sql: sql.to_owned(), params: Vec::new(), max_rows: None })
    }

    /// The parameters as the types the statement needs, where it says so.
    pub(super) fn scalars(&self, types: &[Option<DataType>]) -> Result<Vec<ScalarValue>> {
        let each = self.params.iter().enumerate();
        each.map(|(i, value)| scalar(i + 1, value, types.get(i).and_then(Option::as_ref))).collect()
    }
}

fn scalar(number: usize, value: &Value, wanted: Option<&DataType>) -> Result<ScalarValue> {
    let plain = match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(b) => ScalarValue::from(*b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => ScalarValue::from(i),
            (None, Some(f)) => ScalarValue::from(f),
            (None, None) => ScalarValue::from(n.to_string()),
        },
        Value::String(s) => ScalarValue::from(s.as_str()),
        nested => ScalarValue::from(nested.to_string()),
    };
    let Some(wanted) = wanted else { return Ok(plain) };
    let fits = plain.cast_to(wanted).ok().filter(|cast| cast.is_null() == plain.is_null());
    fits.ok_or_else(|| invalid(&format!("parameter ${number} should be {wanted}, but is {value}")))
}

fn invalid(why: &str) -> Error {
    Error::new(codes::HTTP_BODY_INVALID, "could not read the request's body")
        .detail(why.to_owned())
        .hint("send SQL as text/plain, or {\"sql\": \"SELECT $1\", \"params\": [1]} as application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content_type: &str, body: &str) -> Result<SqlRequest> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().expect("a value"))]);
        SqlRequest::parse(&headers, body.as_bytes())
    }

    #[test]
    fn sql_comes_as_text_or_json() {
        assert_eq!(parse("text/plain; charset=utf-8", "SELECT 1").expect("text").sql, "SELECT 1");
        let request = parse("application/json", r#"{"sql":"SELECT $1","params":[1,"x",null]}"#).expect("json");
        assert_eq!((request.sql.as_str(), request.params.len()), ("SELECT $1", 3));
        for (content_type, body) in [("application/json", "SELECT 1"), ("application/json", "{}"), ("image/png", "x")] {
            assert!(parse(content_type, body).is_err(), "{content_type} {body}");
        }
    }

    #[test]
    fn parameters_take_the_type_the_statement_needs() {
        let of = |value: Value, wanted| scalar(1, &value, Some(&wanted));
        assert_eq!(of(Value::from(7), DataType::Int16).expect("fits"), ScalarValue::Int16(Some(7)));
        assert_eq!(of(Value::from("7"), DataType::Int64).expect("fits"), ScalarValue::Int64(Some(7)));
        assert!(of(Value::Null, DataType::Int64).expect("fits").is_null());
        assert!(of(Value::from("x"), DataType::Int64).is_err());
        assert!(of(Value::from(70_000), DataType::Int16).is_err());
    }
}
