//! COPY … TO and UNLOAD: rows into files.

use std::{collections::HashMap, path::Path, sync::Arc};

use arrow::array::AsArray;
use datafusion::{
    datasource::file_format::{
        FileFormatFactory, csv::CsvFormatFactory, format_as_file_type, json::JsonFormatFactory,
        parquet::ParquetFormatFactory,
    },
    logical_expr::{LogicalPlan, dml::CopyTo},
    sql::{
        parser::{CopyToSource, CopyToStatement, Statement as DfStatement},
        sqlparser::ast::{Expr, Query, Statement as SqlStatement, Value},
    },
};
use futures::TryStreamExt;
use model::{Error, Result, error::codes};

use super::{Run, files};
use crate::{Outcome, functions::plain, text};

/// What files are written.
struct Export {
    format: Format,
    /// As DataFusion's writers name them.
    options: HashMap<String, String>,
    partition_by: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
    Json,
}

impl Run<'_> {
    pub(super) async fn copy(&self, copy: &CopyToStatement) -> Result<Outcome> {
        let query = match &copy.source {
            CopyToSource::Query(query) => query.clone(),
            CopyToSource::Relation(name) => query_of(&format!("SELECT * FROM {name}"))?,
        };
        let format = match &copy.stored_as {
            Some(name) => format_named(name)?,
            None => format_of(&copy.target),
        };
        let mut options = HashMap::new();
        for (key, value) in &copy.options {
            let value = match value {
                Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
                Value::Number(number, _) => number.clone(),
                Value::Boolean(boolean) => boolean.to_string(),
                other => other.to_string(),
            };
            let key = key.to_lowercase();
            let key = key.strip_prefix("format.").unwrap_or(&key);
            options.insert(format!("format.{key}"), value);
        }
        let export = Export { format, options, partition_by: copy.partitioned_by.clone() };
        let rows = self.export(&query, &copy.target, export).await?;
        Ok(Outcome::written(format!("COPY {rows}"), rows))
    }

    pub(super) async fn unload(&self, query: &Query, path: &str, options: &[(String, Expr)]) -> Result<Outcome> {
        let mut export = Export { format: Format::Parquet, options: HashMap::new(), partition_by: Vec::new() };
        for (key, value) in options {
            let text = text::literal_text(value);
            let unsupported =
                || Error::new(codes::SQL_UNSUPPORTED, format!("UNLOAD WITH ({key} = {value}) is not offered"));
            match (key.to_lowercase().as_str(), text) {
                ("format", Some(text)) => export.format = format_named(&text)?,
                ("compression", Some(text)) => {
                    export.options.insert("format.compression".to_owned(), text.to_lowercase());
                }
                ("field_delimiter", Some(text)) if text.len() == 1 => {
                    export.options.insert("format.delimiter".to_owned(), text);
                }
                ("partitioned_by", None) => {
                    let Expr::Array(array) = value else { return Err(unsupported()) };
                    for element in &array.elem {
                        export.partition_by.push(text::literal_text(element).ok_or_else(unsupported)?);
                    }
                }
                _ => return Err(unsupported()),
            }
        }
        let target = files::writable(self.engine(), path.trim_end_matches('/'))?;
        if target.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || target.is_file() {
            return Err(Error::new(codes::SQL_EXISTS, format!("`{path}` is not empty"))
                .hint("UNLOAD writes into an empty folder"));
        }
        let folder = format!("{}/", path.trim_end_matches('/'));
        let rows = self.export(query, &folder, export).await?;
        Ok(Outcome::written(format!("UNLOAD {rows}"), rows))
    }

    async fn export(&self, query: &Query, path: &str, export: Export) -> Result<u64> {
        let target = files::writable(self.engine(), path.trim_end_matches('/'))?;
        let is_dir = path.ends_with('/') || !export.partition_by.is_empty() || Path::new(path).extension().is_none();
        let statement = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query.clone()))));
        let input = plain(self.binder().plan(statement, self.parsed.named).await?)?;
        let factory: Arc<dyn FileFormatFactory> = match export.format {
            Format::Parquet => Arc::new(ParquetFormatFactory::new()),
            Format::Csv => Arc::new(CsvFormatFactory::new()),
            Format::Json => Arc::new(JsonFormatFactory::new()),
        };
        let mut options = export.options;
        match export.format {
            Format::Csv => {
                options.entry("format.has_header".to_owned()).or_insert_with(|| "true".to_owned());
            }
            Format::Parquet => {
                options.entry("format.compression".to_owned()).or_insert_with(|| "zstd(3)".to_owned());
            }
            Format::Json => {}
        }
        let url = files::url_of(&target, is_dir)?;
        let plan = LogicalPlan::Copy(CopyTo::new(
            Arc::new(input),
            url.as_str().to_owned(),
            export.partition_by,
            format_as_file_type(factory),
            options,
        ));
        let batches: Vec<_> = self.stream(plan, Vec::new()).await?.try_collect().await.map_err(|e| self.map(e))?;
        let count = batches.first().filter(|batch| batch.num_rows() > 0);
        Ok(count.map_or(0, |batch| batch.column(0).as_primitive::<arrow::datatypes::UInt64Type>().value(0)))
    }
}

fn query_of(sql: &str) -> Result<Box<Query>> {
    let pieces = text::split(sql)?;
    if let Some(piece) = pieces.first()
        && let text::Statement::Sql(statement) = text::parse(sql, piece)?.statement
        && let DfStatement::Statement(inner) = *statement
        && let SqlStatement::Query(query) = *inner
    {
        return Ok(query);
    }
    Err(Error::new(codes::SQL_INVALID, "COPY needs a table or a query in brackets"))
}

fn format_of(path: &str) -> Format {
    match Path::new(path).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Format::Csv,
        Some("json" | "ndjson" | "jsonl") => Format::Json,
        _ => Format::Parquet,
    }
}

fn format_named(name: &str) -> Result<Format> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "PARQUET" => Format::Parquet,
        "CSV" | "TEXTFILE" => Format::Csv,
        "JSON" | "NDJSON" => Format::Json,
        _ => {
            return Err(Error::new(codes::SQL_UNSUPPORTED, format!("format {name} is not offered"))
                .hint("files are PARQUET, CSV or JSON (one object a line)"));
        }
    })
}
