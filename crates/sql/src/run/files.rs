//! Files SQL may touch.
//!
//! Doors are open to whoever can reach them, so SQL reads and writes files below the exports directory and nowhere else.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableProvider,
    datasource::{
        file_format::file_compression_type::FileCompressionType,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    execution::SessionState,
};
use model::{Error, Result, error::codes};

use super::{patterns::matching, sniff};
use crate::{Engine, SqlSettings, errors};

/// A table over the file or folder at `path`, or over the files that a pattern stands for, for `SELECT * FROM 'path'`.
pub(crate) async fn listing(engine: &Engine, state: &SessionState, path: &str) -> Result<Arc<dyn TableProvider>> {
    let resolved = readable(engine, path)?;
    let not_found = || {
        Error::new(codes::SQL_TABLE_NOT_FOUND, format!("there is no file `{path}`"))
            .hint("paths are looked up below the exports directory of the data directory; `*` and `?` are patterns")
    };
    let is_dir = resolved.is_dir();
    let files = match is_dir || resolved.is_file() {
        true => vec![resolved.clone()],
        false => matching(&engine.settings().exports_dir, &resolved)?,
    };
    let first = files.first().ok_or_else(not_found)?;
    let name = if is_dir { first_file(first).ok_or_else(not_found)? } else { first.clone() };
    let kind = Kind::of(&name)?;
    if let Some(other) =
        files.iter().find(|file| !is_dir && Kind::of(file).is_ok_and(|other| other.ending != kind.ending))
    {
        let (first, other) = (shown(&name), shown(other));
        return Err(Error::new(codes::SQL_INVALID, format!("`{path}` stands for files of several formats"))
            .detail(format!("`{first}` and `{other}`"))
            .hint("end the pattern in one of them: '*.csv'"));
    }
    let format = sniff::format(&name, &kind).map_err(|e| Error::io(format!("could not read `{path}`"), &e))?;
    let urls = files.iter().map(|file| url_of(file, is_dir)).collect::<Result<Vec<_>>>()?;
    // What COPY … PARTITIONED BY has put into the names of folders are columns.
    let folders = if is_dir { partition_columns(&resolved, &name) } else { Vec::new() };
    let folders = folders.into_iter().map(|column| (column, DataType::Utf8)).collect();
    let options = ListingOptions::new(format)
        .with_file_extension(if is_dir { kind.ending.as_str() } else { "" })
        .with_table_partition_cols(folders);
    let table = async {
        let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
        ListingTable::try_new(config.infer_schema(state).await?)
    };
    let table = table.await.map_err(|e| {
        let error = errors::map(e, None);
        Error::new(error.code(), format!("could not read `{path}`"))
            .detail(error.detail_text().unwrap_or(error.message()).to_owned())
    })?;
    Ok(Arc::new(table))
}

fn shown(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn url_of(path: &Path, is_dir: bool) -> Result<ListingTableUrl> {
    let text = path.to_str().ok_or_else(|| Error::new(codes::SQL_INVALID, "the path is not UTF-8"))?;
    let slash = if is_dir { "/" } else { "" };
    // Not `parse`: it would take `*` and `?` in names for patterns, and `%` for an escape.
    let url = format!("file://{}{slash}", encode(text));
    ListingTableUrl::parse(&url).map_err(|e| errors::map(e, None))
}

/// Percent-encodes what has a meaning in a URL or a glob.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%' | '?' | '#' | '[' | ']' | '*' | '{' | '}' | ' ' | '"' | '\\' => {
                encoded.push_str(&format!("%{:02X}", c as u32));
            }
            c => encoded.push(c),
        }
    }
    encoded
}

/// `a` and `b` of `dir/a=1/b=2/file`.
fn partition_columns(dir: &Path, file: &Path) -> Vec<String> {
    let folders = file.strip_prefix(dir).ok().and_then(Path::parent).into_iter().flat_map(Path::components);
    let columns: Option<Vec<_>> =
        folders.map(|folder| Some(folder.as_os_str().to_str()?.split_once('=')?.0.to_owned())).collect();
    columns.unwrap_or_default()
}

fn first_file(dir: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let files = entries.iter().find(|path| path.is_file() && Kind::of(path).is_ok());
    files.cloned().or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| first_file(path)))
}

/// What a file is by its name.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) format: Format,
    pub(super) compression: FileCompressionType,
    /// `.csv`, `.csv.gz`
    ending: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Tsv,
    Json,
}

impl Kind {
    pub(super) fn of(file: &Path) -> Result<Self> {
        let name = shown(file).to_ascii_lowercase();
        let (plain, compression) = match compression_of(&name) {
            Some((plain, compression)) => (plain, compression),
            None => (name.as_str(), FileCompressionType::UNCOMPRESSED),
        };
        let ending = plain.rsplit_once('.').map_or("", |(_, ending)| ending);
        let format = match ending {
            "parquet" if !compression.is_compressed() => Format::Parquet,
            "csv" => Format::Csv,
            "tsv" => Format::Tsv,
            "json" | "ndjson" | "jsonl" => Format::Json,
            _ => {
                return Err(Error::new(
                    codes::SQL_UNSUPPORTED,
                    format!("the format of `{}` is not known", shown(file)),
                )
                .hint(
                    "files end in .parquet, .csv, .tsv, .json, .ndjson or .jsonl; text also in .csv.gz and the like",
                ));
            }
        };
        let ending = name[plain.len() - ending.len() - 1..].to_owned();
        Ok(Self { format, compression, ending })
    }
}

/// `name` without the ending that says how it is compressed.
pub(super) fn compression_of(name: &str) -> Option<(&str, FileCompressionType)> {
    let (plain, ending) = name.rsplit_once('.')?;
    let compression = match ending {
        "gz" => FileCompressionType::GZIP,
        "zst" => FileCompressionType::ZSTD,
        "bz2" => FileCompressionType::BZIP2,
        "xz" => FileCompressionType::XZ,
        _ => return None,
    };
    Some((plain, compression))
}

/// `path` if it may be read: it lies below the exports directory.
fn readable(engine: &Engine, path: &str) -> Result<PathBuf> {
    let exports = &engine.settings().exports_dir;
    let wanted = plain(path)?;
    let full = if wanted.is_absolute() { wanted } else { exports.join(wanted) };
    // Links are followed before the comparison, so none leads out.
    let real = full.canonicalize().unwrap_or(full);
    if allowed(&real, exports) { Ok(real) } else { Err(forbidden(path)) }
}

/// Where files lie that are not whole yet. On the same file system as their target; what a crash left there goes at the
/// next start.
pub(crate) fn drafts(settings: &SqlSettings) -> PathBuf {
    settings.exports_dir.join(".drafts")
}

/// `path` if it may be written: below the exports directory, and not among the drafts.
pub(super) fn writable(engine: &Engine, path: &str) -> Result<PathBuf> {
    let exports = &engine.settings().exports_dir;
    let disk = &engine.parts.world.disk;
    let failed = |e: std::io::Error| Error::io(format!("could not make the directory for `{path}`"), &e);
    disk.create_dir_all(exports).map_err(failed)?;
    let wanted = plain(path)?;
    let full = if wanted.is_absolute() { wanted } else { exports.join(wanted) };
    if !allowed(&full, exports) {
        return Err(forbidden(path));
    }
    let parent = full.parent().ok_or_else(|| forbidden(path))?;
    disk.create_dir_all(parent).map_err(failed)?;
    let real = parent.canonicalize().map_err(failed)?;
    if !allowed(&real, exports) || allowed(&real, &drafts(engine.settings())) {
        return Err(forbidden(path));
    }
    let name = full.file_name().ok_or_else(|| forbidden(path))?;
    let target = real.join(name);
    if target.is_symlink() {
        return Err(forbidden(path));
    }
    Ok(target)
}

fn plain(path: &str) -> Result<PathBuf> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let candidate = PathBuf::from(path);
    let climbs = candidate.components().any(|c| matches!(c, Component::ParentDir));
    if path.contains("://") || path.contains('\0') || path.is_empty() || climbs {
        return Err(forbidden(path));
    }
    Ok(candidate)
}

fn allowed(path: &Path, dir: &Path) -> bool {
    path.starts_with(dir) || dir.canonicalize().is_ok_and(|dir| path.starts_with(dir))
}

fn forbidden(path: &str) -> Error {
    Error::new(codes::SQL_PATH_FORBIDDEN, format!("SQL may not touch `{}`", path.escape_debug()))
        .hint("use a path relative to the exports directory of the data directory")
}
