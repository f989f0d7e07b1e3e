//! The closed list of changes, and what each does to the database.

use model::{Error, Result, TableName, TimestampMs, error::codes};
use sqlx::{Row as _, SqliteConnection};

use crate::{
    CATALOG_NAME, Entry, EntryKind,
    store::{self, failed},
};

#[derive(Debug)]
pub(crate) enum Change {
    CreateTable {
        table: TableName,
        location: String,
    },
    SwapTable {
        table: TableName,
        old: String,
        new: String,
        pending_deletes: Vec<(String, TimestampMs)>,
    },
    DropTable {
        table: TableName,
    },
    RenameTable {
        from: TableName,
        to: TableName,
    },
    /// A rename that puts `from` in the place of `to`.
    ReplaceTable {
        from: TableName,
        to: TableName,
    },
    CreateNamespace {
        namespace: String,
    },
    DropNamespace {
        namespace: String,
    },
    PutEntry {
        entry: Entry,
    },
    DropEntry {
        kind: EntryKind,
        namespace: String,
        name: String,
    },
    QueueDeletes {
        deletes: Vec<(String, TimestampMs)>,
    },
    ForgetDeletes {
        locations: Vec<String>,
    },
}

/// What a change found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Yes,
    /// There was nothing to do it to, or (swap) another value.
    No,
    Location(String),
}

impl Change {
    /// Whether [`crate::Names`] or an entry differ afterwards.
    pub(crate) fn touches_names(&self) -> bool {
        match self {
            Self::CreateTable { .. }
            | Self::DropTable { .. }
            | Self::RenameTable { .. }
            | Self::ReplaceTable { .. }
            | Self::CreateNamespace { .. }
            | Self::DropNamespace { .. }
            | Self::PutEntry { .. }
            | Self::DropEntry { .. } => true,
            Self::SwapTable { .. } | Self::QueueDeletes { .. } | Self::ForgetDeletes { .. } => false,
        }
    }

    /// Runs inside a transaction. An error leaves traces that the caller rolls back.
    pub(crate) async fn apply(&self, db: &mut SqliteConnection) -> Result<Done> {
        match self {
            Self::CreateTable { table, location } => create_table(db, table, location).await,
            Self::SwapTable { table, old, new, pending_deletes } => swap(db, table, old, new, pending_deletes).await,
            Self::DropTable { table } => drop_table(db, table).await,
            Self::RenameTable { from, to } => rename_table(db, from, to).await,
            Self::ReplaceTable { from, to } => {
                drop_table(db, to).await?;
                rename_table(db, from, to).await
            }
            Self::CreateNamespace { namespace } => create_namespace(db, namespace).await,
            Self::DropNamespace { namespace } => drop_namespace(db, namespace).await,
            Self::PutEntry { entry } => put_entry(db, entry).await,
            Self::DropEntry { kind, namespace, name } => {
                let sql = "DELETE FROM entries WHERE kind = ? AND namespace = ? AND name = ?";
                let query = sqlx::query(sql).bind(kind.as_str()).bind(namespace).bind(name);
                Ok(yes_if(query.execute(db).await.map_err(|e| failed("drop an entry", &e))?.rows_affected() > 0))
            }
            Self::QueueDeletes { deletes } => queue_deletes(db, deletes).await,
            Self::ForgetDeletes { locations } => {
                for location in locations {
                    let query = sqlx::query("DELETE FROM pending_deletes WHERE location = ?").bind(location);
                    query.execute(&mut *db).await.map_err(|e| failed("forget a deleted file", &e))?;
                }
                Ok(Done::Yes)
            }
        }
    }
}

async fn create_table(db: &mut SqliteConnection, table: &TableName, location: &str) -> Result<Done> {
    require_namespace(db, &table.namespace).await?;
    let sql = "INSERT INTO iceberg_tables
        (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
        VALUES (?, ?, ?, ?, NULL, 'TABLE') ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(CATALOG_NAME).bind(&*table.namespace).bind(&*table.name).bind(location);
    match query.execute(db).await.map_err(|e| failed("create a table", &e))?.rows_affected() {
        0 => Err(exists(table)),
        _ => Ok(Done::Yes),
    }
}

async fn swap(
    db: &mut SqliteConnection,
    table: &TableName,
    old: &str,
    new: &str,
    pending_deletes: &[(String, TimestampMs)],
) -> Result<Done> {
    let sql = "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
        WHERE catalog_name = ? AND table_namespace = ? AND table_name = ? AND metadata_location = ?";
    let query = sqlx::query(sql).bind(new).bind(old).bind(CATALOG_NAME);
    let query = query.bind(&*table.namespace).bind(&*table.name).bind(old);
    match query.execute(&mut *db).await.map_err(|e| failed("commit to a table", &e))?.rows_affected() {
        0 => Ok(Done::No),
        _ => queue_deletes(db, pending_deletes).await,
    }
}

async fn drop_table(db: &mut SqliteConnection, table: &TableName) -> Result<Done> {
    let sql = "DELETE FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?
        AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL) RETURNING metadata_location";
    let query = sqlx::query(sql).bind(CATALOG_NAME).bind(&*table.namespace).bind(&*table.name);
    match query.fetch_optional(db).await.map_err(|e| failed("drop a table", &e))? {
        None => Ok(Done::No),
        Some(row) => Ok(Done::Location(row.try_get(0).map_err(|e| failed("drop a table", &e))?)),
    }
}

async fn rename_table(db: &mut SqliteConnection, from: &TableName, to: &TableName) -> Result<Done> {
    require_namespace(db, &to.namespace).await?;
    let sql = "UPDATE OR IGNORE iceberg_tables SET table_namespace = ?, table_name = ?
        WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?";
    let query = sqlx::query(sql).bind(&*to.namespace).bind(&*to.name).bind(CATALOG_NAME);
    let query = query.bind(&*from.namespace).bind(&*from.name);
    if query.execute(&mut *db).await.map_err(|e| failed("rename a table", &e))?.rows_affected() > 0 {
        return Ok(Done::Yes);
    }
    match store::table_location(db, from).await? {
        None => Err(Error::new(codes::TABLE_NOT_FOUND, format!("could not rename `{from}`: there is no such table"))),
        Some(_) => Err(exists(to)),
    }
}

async fn create_namespace(db: &mut SqliteConnection, namespace: &str) -> Result<Done> {
    if store::namespace_exists(db, namespace).await? {
        return Err(Error::new(codes::NAMESPACE_EXISTS, format!("zone `{namespace}` exists already")));
    }
    store::insert_namespace(db, namespace).await?;
    Ok(Done::Yes)
}

async fn drop_namespace(db: &mut SqliteConnection, namespace: &str) -> Result<Done> {
    let sql = "SELECT table_name FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ?
        UNION ALL SELECT name FROM entries WHERE namespace = ? LIMIT 1";
    let query = sqlx::query_scalar::<_, String>(sql).bind(CATALOG_NAME).bind(namespace).bind(namespace);
    if let Some(name) = query.fetch_optional(&mut *db).await.map_err(|e| failed("drop a zone", &e))? {
        return Err(Error::new(codes::NAMESPACE_NOT_EMPTY, format!("could not drop zone `{namespace}`"))
            .detail(format!("it holds `{name}`")));
    }
    let sql = "DELETE FROM iceberg_namespace_properties WHERE catalog_name = ? AND namespace = ?";
    let query = sqlx::query(sql).bind(CATALOG_NAME).bind(namespace);
    Ok(yes_if(query.execute(db).await.map_err(|e| failed("drop a zone", &e))?.rows_affected() > 0))
}

async fn put_entry(db: &mut SqliteConnection, entry: &Entry) -> Result<Done> {
    require_namespace(db, &entry.namespace).await?;
    let sql = "INSERT OR REPLACE INTO entries (kind, namespace, name, definition, updated_ms) VALUES (?, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(entry.kind.as_str()).bind(&*entry.namespace).bind(&entry.name);
    let query = query.bind(entry.definition.to_string()).bind(entry.updated_ms);
    query.execute(db).await.map_err(|e| failed("write an entry", &e))?;
    Ok(Done::Yes)
}

async fn queue_deletes(db: &mut SqliteConnection, deletes: &[(String, TimestampMs)]) -> Result<Done> {
    for (location, not_before) in deletes {
        let sql = "INSERT OR IGNORE INTO pending_deletes (location, not_before_ms) VALUES (?, ?)";
        let query = sqlx::query(sql).bind(location).bind(not_before);
        query.execute(&mut *db).await.map_err(|e| failed("queue a file for deletion", &e))?;
    }
    Ok(Done::Yes)
}

async fn require_namespace(db: &mut SqliteConnection, namespace: &str) -> Result<()> {
    match store::namespace_exists(db, namespace).await? {
        true => Ok(()),
        false => {
            Err(Error::new(codes::NAMESPACE_NOT_FOUND, format!("there is no zone `{}`", namespace.escape_debug()))
                .hint("`CREATE SCHEMA` makes one"))
        }
    }
}

fn exists(table: &TableName) -> Error {
    Error::new(codes::TABLE_EXISTS, format!("table `{table}` exists already"))
}

fn yes_if(condition: bool) -> Done {
    if condition { Done::Yes } else { Done::No }
}
