//! COPY … TO and UNLOAD: rows into files.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::AsArray;
use datafusion::{
    datasource::file_format::{
        FileFormatFactory, format_as_file_type, json::JsonFormatFactory, parquet::ParquetFormatFactory,
    },
    logical_expr::{LogicalPlan, dml::CopyTo},
    sql::{
        parser::{CopyToSource, CopyToStatement, Statement as DfStatement},
        sqlparser::ast::{Expr, Query, Statement as SqlStatement, Value},
    },
};
use futures::TryStreamExt;
use model::{Error, Result, error::codes};
use world::{Disk, OpenMode, fsync_dir_of};

use super::{Run, files};
use crate::{
    Engine, Outcome, csv,
    functions::{flat, plain},
    text,
};

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
        // Where one may not write, how is no question.
        files::writable(self.engine(), copy.target.trim_end_matches('/'))?;
        let format = match &copy.stored_as {
            Some(name) => format_named(name)?,
            None => format_of(&copy.target)?,
        };
        let mut options = HashMap::new();
        let target = copy.target.to_ascii_lowercase();
        let (plain, compression) = files::compression_of(&target).unzip();
        if plain.unwrap_or(&target).ends_with(".tsv") {
            options.insert("format.delimiter".to_owned(), "\t".to_owned());
        }
        if let (Some(compression), Format::Csv | Format::Json) = (compression, format) {
            options.insert("format.compression".to_owned(), compression.get_variant().to_string());
        }
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
        self.export(&query, &copy.target, export).await.map(|written| written.outcome("COPY", &copy.target))
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
        self.export(query, &folder, export).await.map(|written| written.outcome("UNLOAD", &folder))
    }

    async fn export(&self, query: &Query, path: &str, export: Export) -> Result<Written> {
        let target = files::writable(self.engine(), path.trim_end_matches('/'))?;
        let is_dir = path.ends_with('/') || !export.partition_by.is_empty() || Path::new(path).extension().is_none();
        let statement = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query.clone()))));
        let input = self.binder().plan(statement, self.parsed.named).await?;
        let input = if export.format == Format::Csv { flat(input)? } else { plain(input)? };
        let factory: Arc<dyn FileFormatFactory> = match export.format {
            Format::Parquet => Arc::new(ParquetFormatFactory::new()),
            Format::Csv => Arc::new(csv::Factory::new()),
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
        let draft = Draft::new(self.engine(), target, is_dir);
        let url = files::url_of(&draft.path, is_dir)?;
        let plan = LogicalPlan::Copy(CopyTo::new(
            Arc::new(input),
            url.as_str().to_owned(),
            export.partition_by,
            format_as_file_type(factory),
            options,
        ));
        let batches: Vec<_> = self.stream(plan, Vec::new()).await?.try_collect().await.map_err(|e| self.map(e))?;
        let count = batches.first().filter(|batch| batch.num_rows() > 0);
        let rows = count.map_or(0, |batch| batch.column(0).as_primitive::<arrow::datatypes::UInt64Type>().value(0));
        let files = draft.keep().map_err(|e| Error::io(format!("could not put the files at `{path}`"), &e))?;
        Ok(Written { rows, files: if is_dir { files } else { Vec::new() } })
    }
}

/// What an export wrote.
struct Written {
    rows: u64,
    /// Names in the folder, if it is one.
    files: Vec<String>,
}

impl Written {
    fn outcome(self, verb: &str, folder: &str) -> Outcome {
        const NAMED_MAX: usize = 5;
        let outcome = Outcome::written(format!("{verb} {}", self.rows), self.rows);
        if self.files.is_empty() {
            return outcome;
        }
        let count = self.files.len();
        let named = self.files[..count.min(NAMED_MAX)].join(", ");
        let (s, more) = (if count == 1 { "" } else { "s" }, if count > NAMED_MAX { ", …" } else { "" });
        outcome.notice(format!("{count} file{s} in `{}/`: {named}{more}", folder.trim_end_matches('/')))
    }
}

/// Files that are not at their target before they are whole and on disk. A draft that is dropped leaves nothing.
struct Draft {
    engine: Arc<Engine>,
    path: PathBuf,
    target: PathBuf,
    is_dir: bool,
}

impl Draft {
    fn new(engine: &Arc<Engine>, target: PathBuf, is_dir: bool) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = files::drafts(engine.settings()).join(format!("{}-{name}", uuid::Uuid::new_v4().simple()));
        Self { engine: engine.clone(), path, target, is_dir }
    }

    /// Moves the files to their target and says what they are called there.
    fn keep(self) -> io::Result<Vec<String>> {
        let disk = &self.engine.parts.world.disk;
        if !self.is_dir {
            if disk.exists(&self.path) {
                move_durably(&**disk, &self.path, &self.target)?;
                fsync_dir_of(&**disk, &self.target)?;
            }
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            if !disk.exists(&self.path.join(&folder)) {
                continue;
            }
            let kept = self.target.join(&folder);
            disk.create_dir_all(&kept)?;
            for name in disk.list(&self.path.join(&folder))? {
                let inner = folder.join(name);
                if self.path.join(&inner).is_dir() {
                    folders.push(inner);
                } else {
                    move_durably(&**disk, &self.path.join(&inner), &self.target.join(&inner))?;
                    files.push(inner.to_string_lossy().into_owned());
                }
            }
            disk.sync_dir(&kept)?;
            fsync_dir_of(&**disk, &kept)?;
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let disk = &self.engine.parts.world.disk;
        let removed = if self.is_dir { disk.remove_dir_all(&self.path) } else { disk.remove_file(&self.path) };
        if let Err(error) = removed {
            tracing::warn!(%error, path = %self.path.display(), "could not remove what a failed export left");
        }
    }
}

fn move_durably(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.open(from, OpenMode::Read)?.sync_data()?;
    disk.rename(from, to)
}

pub(super) fn query_of(sql: &str) -> Result<Box<Query>> {
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

/// By the ending of a file; a folder holds Parquet.
fn format_of(path: &str) -> Result<Format> {
    if path.ends_with('/') {
        return Ok(Format::Parquet);
    }
    let lower = path.to_ascii_lowercase();
    let (plain, compression) = files::compression_of(&lower).unzip();
    let path = plain.unwrap_or(path);
    let Some(ending) = Path::new(path).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()) else {
        return Ok(Format::Parquet);
    };
    Ok(match ending.as_str() {
        "csv" | "tsv" => Format::Csv,
        "json" | "ndjson" | "jsonl" => Format::Json,
        // It is compressed inside.
        "parquet" if compression.is_none() => Format::Parquet,
        _ => {
            return Err(Error::new(codes::SQL_UNSUPPORTED, format!("`.{ending}` does not say which format to write"))
                .hint("end the name in .parquet, .csv, .tsv, .json, .ndjson or .jsonl, or say STORED AS PARQUET, CSV or JSON"));
        }
    })
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
