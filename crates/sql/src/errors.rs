//! DataFusion's, Arrow's and the parser's errors as the house's own.

use arrow::error::ArrowError;
use datafusion::{common::SchemaError, error::DataFusionError, sql::sqlparser::tokenizer::Location};
use model::{Error, Result, TopicName, error::codes};
use schemas::sql::quoted;

use crate::text::{caret, parser_error};

/// The house's error for `error`, with the place in `sql` where it is known.
pub(crate) fn map(error: DataFusionError, sql: Option<&str>) -> Error {
    let place = error.diagnostic().and_then(|d| d.span).map(|span| span.start);
    let place = place.zip(sql).and_then(|(at, sql)| caret(sql, Location { line: at.line, column: at.column }));
    let mapped = of(error, sql);
    match place {
        Some(place) if mapped.detail_text().is_none() => mapped.detail(place),
        Some(place) if !mapped.detail_text().is_some_and(|d| d.contains('^')) => {
            let detail = format!("{}\n{place}", mapped.detail_text().unwrap_or_default());
            mapped.detail(detail)
        }
        _ => mapped,
    }
}

fn of(error: DataFusionError, sql: Option<&str>) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of(*inner, sql),
        DataFusionError::Shared(shared) => shared_error(&shared),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => of(first, sql),
            None => Error::internal("an empty collection of errors"),
        },
        DataFusionError::External(external) => external_error(external),
        DataFusionError::ArrowError(arrow, _) => of_arrow(*arrow),
        DataFusionError::SQL(parser, _) => parser_error(sql.unwrap_or_default(), *parser),
        DataFusionError::SchemaError(schema, _) => of_schema(&schema),
        DataFusionError::ParquetError(parquet) => {
            Error::new(codes::STORAGE_FAILED, "could not read a Parquet file").detail(parquet.to_string())
        }
        DataFusionError::ObjectStore(store) => {
            Error::new(codes::STORAGE_FAILED, "could not read a file").detail(store.to_string())
        }
        DataFusionError::IoError(io) => Error::io("a query could not use the disk", &io),
        DataFusionError::ExecutionJoin(join) if join.is_cancelled() => {
            Error::new(codes::SQL_CANCELLED, "the query was cancelled")
        }
        DataFusionError::ExecutionJoin(join) => {
            Error::internal("a part of the query failed unexpectedly").detail(join.to_string())
        }
        DataFusionError::ResourcesExhausted(text) => memory(&text),
        DataFusionError::NotImplemented(text) => not_offered(&text),
        DataFusionError::Configuration(text) => Error::new(codes::SQL_SETTING, clause(&text)),
        DataFusionError::Plan(text) => of_plan(&text),
        DataFusionError::Execution(text) => of_execution(&text),
        DataFusionError::Internal(text) => {
            let text = text.split("This issue was likely caused").next().unwrap_or_default().trim();
            Error::internal("the query planner reached a state it should not").detail(text.to_owned())
        }
        other => Error::internal("the query failed").detail(other.strip_backtrace()),
    }
}

fn external_error(external: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let external = match external.downcast::<Error>() {
        Ok(own) => return *own,
        Err(external) => external,
    };
    let external = match external.downcast::<DataFusionError>() {
        Ok(inner) => return of(*inner, None),
        Err(external) => external,
    };
    match external.downcast::<ArrowError>() {
        Ok(arrow) => of_arrow(*arrow),
        Err(external) => Error::new(codes::STORAGE_FAILED, "a source of the query failed").detail(external.to_string()),
    }
}

/// An error several consumers of one source share: it cannot be taken apart, only looked at.
fn shared_error(shared: &DataFusionError) -> Error {
    match shared {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => shared_error(inner),
        DataFusionError::Shared(inner) => shared_error(inner),
        DataFusionError::External(external) => match external.downcast_ref::<Error>() {
            Some(own) => own.clone(),
            None => Error::new(codes::STORAGE_FAILED, "a source of the query failed").detail(external.to_string()),
        },
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::DivideByZero => of_arrow(ArrowError::DivideByZero),
            other => Error::new(codes::SQL_VALUE, clause(&other.to_string())),
        },
        DataFusionError::ResourcesExhausted(text) => memory(text),
        DataFusionError::Execution(text) => of_execution(text),
        other => Error::new(codes::SQL_VALUE, clause(&other.strip_backtrace())),
    }
}

fn of_arrow(arrow: ArrowError) -> Error {
    match arrow {
        ArrowError::DivideByZero => {
            Error::new(codes::SQL_VALUE, "division by zero").hint("divide by NULLIF(divisor, 0) to get NULL instead")
        }
        ArrowError::CastError(text) | ArrowError::ParseError(text) => {
            Error::new(codes::SQL_VALUE, clause(&text)).hint("TRY_CAST gives NULL for values that cannot be converted")
        }
        ArrowError::ArithmeticOverflow(text) => {
            Error::new(codes::SQL_VALUE, format!("a number is too large: {}", clause(&text)))
                .hint("cast to a larger type first, for example to DECIMAL(38, 0)")
        }
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) | ArrowError::SchemaError(text) => {
            Error::new(codes::SQL_VALUE, clause(&text))
        }
        ArrowError::NotYetImplemented(text) => Error::new(codes::SQL_UNSUPPORTED, clause(&text)),
        ArrowError::MemoryError(text) => memory(&text),
        ArrowError::IoError(text, io) => Error::io(text, &io),
        ArrowError::OffsetOverflowError(_) | ArrowError::DictionaryKeyOverflowError => {
            memory("a column of one batch would be larger than 2 GiB")
        }
        ArrowError::ExternalError(external) => external_error(external),
        other => Error::new(codes::SQL_VALUE, clause(&other.to_string())),
    }
}

fn memory(text: &str) -> Error {
    Error::new(codes::SQL_MEMORY, "the query needs more memory than it may have")
        .detail(text.to_owned())
        .hint("select fewer columns or rows, aggregate before joining, or raise `query_memory_bytes` in the settings")
}

fn of_schema(schema: &SchemaError) -> Error {
    match schema {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = Error::new(codes::SQL_UNRESOLVED, format!("there is no column `{}`", field.flat_name()));
            let names: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
            let near = nearest(&field.name, names.iter().copied());
            if let Some(near) = near {
                let near =
                    if near.bytes().any(|b| b.is_ascii_uppercase()) { format!("\"{near}\"") } else { near.to_owned() };
                return error.hint(format!("did you mean {near}?"));
            }
            if names.is_empty() {
                return error.hint("nothing is selected from here: is a FROM missing, or are single quotes meant?");
            }
            let more = if names.len() > 12 { ", …" } else { "" };
            error.hint(format!("columns here are {}{more}", names[..names.len().min(12)].join(", ")))
        }
        SchemaError::AmbiguousReference { field } => {
            Error::new(codes::SQL_INVALID, format!("column `{}` could be of more than one table", field.name))
                .hint("write it with its table: table.column")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(codes::SQL_INVALID, format!("column `{name}` is there twice"))
                .hint("give one of them another name with AS")
        }
    }
}

fn of_plan(text: &str) -> Error {
    let text = text.trim_start_matches("Error during planning: ");
    if let Some(function) = text.strip_prefix("Invalid function '") {
        let name = function.split('\'').next().unwrap_or_default();
        let error = Error::new(codes::SQL_UNRESOLVED, format!("there is no function `{name}`"));
        // The planner names the nearest of all its functions, however far.
        let near = text.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next());
        return match near.and_then(|near| nearest(name, std::iter::once(near))) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("SHOW FUNCTIONS lists all of them"),
        };
    }
    if text.starts_with("table '") && text.contains("not found") {
        let name = text.split('\'').nth(1).unwrap_or_default();
        return table_not_found(name, std::iter::empty());
    }
    if text.contains("require unique expression names") {
        let name = text.split('"').nth(1).unwrap_or_default();
        let name = name.rsplit(" AS ").next().unwrap_or(name);
        return Error::new(codes::SQL_INVALID, format!("column `{name}` is selected twice"))
            .hint("give one of them another name with AS");
    }
    if text.contains("must appear in the GROUP BY clause") || text.contains("must be in GROUP BY or an aggregate") {
        let name = text.split('"').nth(1).unwrap_or_default();
        return Error::new(codes::SQL_INVALID, format!("column `{name}` is neither grouped by nor aggregated"))
            .hint("add it to GROUP BY, or put it into an aggregate function such as max()");
    }
    if text.contains("Accessing outer reference columns is not allowed") || text.contains("orrelated") {
        return crate::correlated::refused();
    }
    // "No function matches the given name and argument types 'sum(Utf8)'. You might need …", with all there are behind it.
    if let Some(called) = text.split("name and argument types '").nth(1).and_then(|rest| rest.split('\'').next()) {
        let name = called.split('(').next().unwrap_or(called);
        return Error::new(codes::SQL_TYPE, format!("there is no {}: `{name}` takes other types", clause(called)))
            .hint(format!("cast what it is given, for example {name}(CAST(x AS DOUBLE))"));
    }
    let types = [
        "coerce",
        "No function matches",
        "Cannot infer common",
        "Cannot get result type",
        "Failed to find",
        "type_coercion",
        "but received",
        "Unsupported CAST",
        "Invalid argument",
        "argument type",
        "incompatible",
        "Cannot automatically convert",
    ];
    if types.iter().any(|sign| text.contains(sign)) {
        return Error::new(codes::SQL_TYPE, clause(text));
    }
    if text.contains("No value found for placeholder") || text.contains("placeholder") {
        return Error::new(codes::SQL_PARAMETER, clause(text));
    }
    Error::new(codes::SQL_INVALID, clause(text))
}

fn of_execution(text: &str) -> Error {
    if text.contains("No value found for placeholder") || text.contains("Placeholder") {
        return Error::new(codes::SQL_PARAMETER, clause(text));
    }
    Error::new(codes::SQL_VALUE, clause(text))
}

/// The beginning of a value, for a message.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Refuses what only Lakehead itself writes, makes and removes, whoever asks.
pub(crate) fn unless_protected(topic: &TopicName) -> Result<()> {
    match topic.is_protected() {
        true => Err(Error::new(codes::INTERNAL_TOPIC, format!("topic `{topic}` is kept by Lakehead itself"))),
        false => Ok(()),
    }
}

/// `name` does not exist; `known` are names that do.
pub(crate) fn table_not_found<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no table, topic, stream or view `{name}`"));
    let bare = name.rsplit('.').next().unwrap_or(name);
    match nearest(bare, known) {
        Some(near) => error.hint(format!("did you mean {}?", quoted(near))),
        None => error.hint("SHOW TABLES and SHOW TOPICS list what there is"),
    }
}

/// The one of `known` that `name` was probably meant to be.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const CHARS_MAX: usize = 64;
    let lower = name.to_lowercase();
    let limit = 1 + lower.chars().count() / 4;
    known
        .filter(|k| k.len() <= CHARS_MAX && lower.len() <= CHARS_MAX)
        .map(|k| (distance(&lower, &k.to_lowercase()), k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// One clause in lower case, without a full stop or a prefix of the library's.
fn clause(text: &str) -> String {
    let mut text = text.trim();
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Arrow error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "External error: ",
        "Optimizer rule ",
    ] {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let text = without_internals(text);
    let mut text = text.trim_end_matches('.').replace("DataFusion", "the query engine");
    // Types as SQL calls them.
    for (arrow, sql) in [
        ("Utf8View", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Float64", "DOUBLE"),
    ] {
        text = text.replace(arrow, sql);
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // Not for names in capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(std::iter::once(second)).chain(chars).collect()
        }
        _ => text,
    }
}

/// What the planner cannot do, in our words where its own are Rust.
fn not_offered(text: &str) -> Error {
    let unsupported = |what: String| Error::new(codes::SQL_UNSUPPORTED, what);
    if text.contains("OuterReferenceColumn") || text.contains("outer_ref") {
        return crate::correlated::refused();
    }
    if text.contains("ScalarSubquery") || text.contains("InSubquery") {
        return crate::correlated::misplaced();
    }
    // "Unsupported ast node Pivot { table: … } in create_relation"
    if let Some(node) = text.split("nsupported ast node ").nth(1) {
        let name: String =
            node.trim_start_matches(['`', '\'']).chars().take_while(char::is_ascii_alphanumeric).collect();
        if !name.is_empty() {
            return unsupported(format!("{} is not offered here", in_capitals(&name)));
        }
    }
    unsupported(clause(text))
}

/// `MatchRecognize` as `MATCH RECOGNIZE`.
fn in_capitals(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_uppercase());
    }
    words
}

/// `text` up to where a Rust value is printed in it: `Ident { value: "a", … }`, `Some(Span(…))`.
fn without_internals(text: &str) -> &str {
    const SIGNS: [&str; 8] = [" { ", "Span(", "Some(", "Location(", "Ident(", "Identifier(", "[Ident", "ValueWithSpan"];
    let Some(at) = SIGNS.iter().filter_map(|sign| text.find(sign)).min() else { return text };
    // Back to where the value begins: the words it is wrapped in have no space between them.
    let start = text[..at].rfind(|c: char| c.is_whitespace() || c == '"' || c == '\'').map_or(0, |space| space + 1);
    let kept = text[..start].trim_end_matches(|c: char| c.is_whitespace() || ":,\"'([{".contains(c));
    let kept = kept.trim_end_matches(" got").trim_end_matches(" expr").trim_end_matches([':', ',']);
    if kept.is_empty() { "this is not offered here" } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["dep_delay", "arr_delay", "carrier"];
        assert_eq!(nearest("depdelay", known.into_iter()), Some("dep_delay"));
        assert_eq!(nearest("Carier", known.into_iter()), Some("carrier"));
        assert_eq!(nearest("altitude", known.into_iter()), None);
    }

    #[test]
    fn no_rust_reaches_a_user() {
        for (text, shown) in [
            (
                "Dot access not supported for non-string expr: Identifier(Ident { value: \"sku\", quote_style: None })",
                "dot access not supported for non-string",
            ),
            ("compound identifier: [Ident { value: \"a\" }]", "compound identifier"),
            ("Unsupported Value 'Placeholder(Span(Location(1,2)))'", "unsupported Value"),
            ("type List(Int64) is not supported", "type List(BIGINT) is not supported"),
            ("a map such as {\"a\": 1} is fine", "a map such as {\"a\": 1} is fine"),
        ] {
            assert_eq!(clause(text), shown);
        }
        let pivot =
            not_offered("Unsupported ast node Pivot { table: Table { name: ObjectName([]) } } in create_relation");
        assert_eq!(pivot.message(), "PIVOT is not offered here");
    }

    #[test]
    fn our_own_errors_survive_the_way_through_the_engine() {
        let own = Error::new(codes::SQL_TIMEOUT, "too late");
        let wrapped = DataFusionError::Context(
            "a".into(),
            Box::new(DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(DataFusionError::External(Box::new(own))))),
                None,
            )),
        );
        assert!(map(wrapped, None).is(codes::SQL_TIMEOUT));
    }
}
