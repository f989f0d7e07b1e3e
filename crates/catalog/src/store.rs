//! The database: its schema, how it is opened, and what is read from it.
//!
//! ```text
//! iceberg_tables                 pointer to each table's newest metadata.json   (layout of pyiceberg and Java)
//! iceberg_namespace_properties   zones; each has at least the property `exists` (layout of pyiceberg and Java)
//! entries                        streams, views: kind, zone, name → definition (JSON)
//! pending_deletes                files to delete, and the moment before which readers may still need them
//! PRAGMA user_version            version of this schema: 1
//! ```

use std::{path::PathBuf, time::Duration};

use model::{Error, Result, TableName, TimestampMs, error::codes};
use sqlx::{
    Connection as _, Row as _, Sqlite, SqliteConnection, SqliteExecutor,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::{CATALOG_NAME, Entry, EntryKind, ZONES};

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key)
);
CREATE TABLE entries (
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE pending_deletes (
    location TEXT PRIMARY KEY,
    not_before_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX pending_deletes_due ON pending_deletes (not_before_ms);
PRAGMA user_version = 1;
";

/// The file `url` names.
pub(crate) fn path(url: &str) -> Result<PathBuf> {
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.contains('?') => Ok(path.into()),
        _ => Err(Error::new(codes::CATALOG_URL_UNSUPPORTED, format!("could not open the catalog `{url}`"))
            .hint("use `sqlite:///absolute/path/catalog.db`")),
    }
}

fn options(path: &PathBuf) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL may lose the last commits when the power fails; a table's pointer must not go back.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .thread_name(|id| format!("catalog-{id}"))
}

pub(crate) async fn connect(path: &PathBuf) -> Result<SqliteConnection> {
    SqliteConnection::connect_with(&options(path))
        .await
        .map_err(|e| failed("open the catalog", &e).hint(format!("the file is `{}`", path.display())))
}

/// Connections for reading; none is opened before it is needed.
pub(crate) fn readers(path: &PathBuf) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .connect_lazy_with(options(path))
}

/// Makes the schema, or checks that it is one we know.
pub(crate) async fn migrate(db: &mut SqliteConnection) -> Result<()> {
    if version(db).await? == SCHEMA_VERSION {
        return Ok(());
    }
    let mut transaction = db.begin_with("BEGIN IMMEDIATE").await.map_err(|e| failed("set up the catalog", &e))?;
    // Asked again inside the transaction: another process may have been faster.
    match version(&mut transaction).await? {
        SCHEMA_VERSION => return Ok(()),
        0 => {}
        newer => {
            return Err(Error::new(codes::CATALOG_VERSION, "could not open the catalog")
                .detail(format!("its schema has version {newer}, this program knows {SCHEMA_VERSION}")));
        }
    }
    sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await.map_err(|e| failed("set up the catalog", &e))?;
    for zone in ZONES {
        insert_namespace(&mut transaction, zone).await?;
    }
    transaction.commit().await.map_err(|e| failed("set up the catalog", &e))
}

async fn version(db: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(db).await.map_err(|e| failed("read the catalog's version", &e))
}

pub(crate) async fn insert_namespace(db: &mut SqliteConnection, namespace: &str) -> Result<()> {
    let sql =
        "INSERT OR IGNORE INTO iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
        VALUES (?, ?, 'exists', 'true')";
    let query = sqlx::query(sql).bind(CATALOG_NAME).bind(namespace);
    query.execute(db).await.map_err(|e| failed("create a zone", &e))?;
    Ok(())
}

pub(crate) async fn namespace_exists(db: &mut SqliteConnection, namespace: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
        OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";
    let query = sqlx::query_scalar(sql).bind(CATALOG_NAME).bind(namespace);
    query.fetch_one(db).await.map_err(|e| failed("look up a zone", &e))
}

pub(crate) async fn namespaces(db: impl SqliteExecutor<'_>) -> Result<Vec<String>> {
    let sql = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
        UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1";
    let query = sqlx::query_scalar(sql).bind(CATALOG_NAME);
    query.fetch_all(db).await.map_err(|e| failed("list the zones", &e))
}

pub(crate) async fn tables(db: impl SqliteExecutor<'_>, namespace: &str) -> Result<Vec<TableName>> {
    let sql = "SELECT table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?
        AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL) ORDER BY table_name";
    let query = sqlx::query_scalar::<_, String>(sql).bind(CATALOG_NAME).bind(namespace);
    let names = query.fetch_all(db).await.map_err(|e| failed("list the tables", &e))?;
    Ok(names.iter().map(|name| TableName::new(namespace, name)).collect())
}

/// (zone, table) of all tables.
pub(crate) async fn all_tables(db: impl SqliteExecutor<'_>) -> Result<Vec<(String, String)>> {
    let sql = "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ?
        AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";
    let query = sqlx::query_as(sql).bind(CATALOG_NAME);
    query.fetch_all(db).await.map_err(|e| failed("list the tables", &e))
}

pub(crate) async fn table_location(db: impl SqliteExecutor<'_>, table: &TableName) -> Result<Option<String>> {
    let sql = "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?
        AND table_name = ? AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";
    let query = sqlx::query_scalar(sql).bind(CATALOG_NAME).bind(&*table.namespace).bind(&*table.name);
    query.fetch_optional(db).await.map_err(|e| failed("look up a table", &e))
}

pub(crate) async fn entry(
    db: impl SqliteExecutor<'_>,
    kind: EntryKind,
    namespace: &str,
    name: &str,
) -> Result<Option<Entry>> {
    let sql =
        "SELECT namespace, name, definition, updated_ms FROM entries WHERE kind = ? AND namespace = ? AND name = ?";
    let query = sqlx::query(sql).bind(kind.as_str()).bind(namespace).bind(name);
    let row = query.fetch_optional(db).await.map_err(|e| failed("look up an entry", &e))?;
    row.map(|row| to_entry(kind, &row)).transpose()
}

pub(crate) async fn entries(db: impl SqliteExecutor<'_>, kind: EntryKind) -> Result<Vec<Entry>> {
    let sql = "SELECT namespace, name, definition, updated_ms FROM entries WHERE kind = ? ORDER BY namespace, name";
    let rows = sqlx::query(sql).bind(kind.as_str()).fetch_all(db).await.map_err(|e| failed("list the entries", &e))?;
    rows.iter().map(|row| to_entry(kind, row)).collect()
}

/// (kind, zone, name) of all entries; kinds of a later release are left out.
pub(crate) async fn all_entries(db: impl SqliteExecutor<'_>) -> Result<Vec<(EntryKind, String, String)>> {
    let query = sqlx::query_as::<Sqlite, (String, String, String)>("SELECT kind, namespace, name FROM entries");
    let rows = query.fetch_all(db).await.map_err(|e| failed("list the entries", &e))?;
    Ok(rows.into_iter().filter_map(|(kind, zone, name)| Some((EntryKind::parse(&kind)?, zone, name))).collect())
}

fn to_entry(kind: EntryKind, row: &SqliteRow) -> Result<Entry> {
    let read = |e| failed("read an entry", &e);
    let name: String = row.try_get(1).map_err(read)?;
    let definition: String = row.try_get(2).map_err(read)?;
    let definition = serde_json::from_str(&definition).map_err(|e| {
        Error::new(codes::CORRUPT, format!("could not read the {kind} `{name}` in the catalog")).detail(e.to_string())
    })?;
    let namespace: String = row.try_get(0).map_err(read)?;
    Ok(Entry { kind, namespace: namespace.into(), name, definition, updated_ms: row.try_get(3).map_err(read)? })
}

pub(crate) async fn due_deletes(db: impl SqliteExecutor<'_>, now: TimestampMs, limit: u32) -> Result<Vec<String>> {
    let sql = "SELECT location FROM pending_deletes WHERE not_before_ms <= ? ORDER BY not_before_ms LIMIT ?";
    let query = sqlx::query_scalar(sql).bind(now).bind(limit);
    query.fetch_all(db).await.map_err(|e| failed("list the files to delete", &e))
}

pub(crate) async fn next_delete_due(db: impl SqliteExecutor<'_>) -> Result<Option<TimestampMs>> {
    sqlx::query_scalar("SELECT min(not_before_ms) FROM pending_deletes")
        .fetch_one(db)
        .await
        .map_err(|e| failed("look when a file is to be deleted", &e))
}

pub(crate) async fn pending_deletes(db: impl SqliteExecutor<'_>) -> Result<u64> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pending_deletes")
        .fetch_one(db)
        .await
        .map_err(|e| failed("count the files to delete", &e))?;
    Ok(count.unsigned_abs())
}

/// SQLite's primary result code for "no room".
const SQLITE_FULL: i32 = 13;

pub(crate) fn failed(what: &str, error: &sqlx::Error) -> Error {
    let full = error
        .as_database_error()
        .and_then(|e| e.code())
        .and_then(|code| code.parse::<i32>().ok())
        .is_some_and(|code| code & 0xff == SQLITE_FULL);
    let code = if full { codes::DISK_FULL } else { codes::CATALOG_FAILED };
    Error::new(code, format!("could not {what}")).detail(format!("catalog: {error}"))
}
