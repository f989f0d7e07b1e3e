//! What exists: zones, tables and the pointer to each table's newest state, streams, views, and files awaiting deletion.
//!
//! A small database that other programs may read: the tables `iceberg_tables` and `iceberg_namespace_properties` are
//! those of pyiceberg's `SqlCatalog` and Java's `JdbcCatalog` (catalog name [`CATALOG_NAME`]). Our own tables stand
//! beside them; all of them are described in [`mod@store`].
//!
//! Changes queue up and share a transaction: hundreds of tables that commit in the same second pay for a few syncs,
//! not for hundreds. Each change succeeds or fails on its own (a savepoint each); none is answered before the shared
//! COMMIT has been, and its result looked at.
//!
//! The names of everything are also kept in memory ([`Catalog::names`]), for planners that cannot wait.
//!
//! This crate knows no files and no Iceberg metadata: a table is a name and a location.

mod change;
mod entry;
mod names;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use model::{Error, Result, TableName, TimestampMs, error::codes};
use parking_lot::RwLock;
use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;
use world::World;

use self::{
    change::{Change, Done},
    writer::Writer,
};
pub use self::{
    entry::{Entry, EntryKind},
    names::{Names, NamespaceNames},
};

/// Name of the catalog inside the database: `SqlCatalog("lakehead", uri="sqlite:///…")`.
pub const CATALOG_NAME: &str = "lakehead";

/// Zones that exist from the start.
pub const ZONES: [&str; 5] = ["public", "raw", "trusted", "refined", "sandbox"];

/// The catalog. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    readers: SqlitePool,
    writer: Arc<Writer>,
    names: RwLock<Arc<Names>>,
    changed: watch::Sender<u64>,
    world: World,
}

impl Catalog {
    /// Opens the database at `url`, `sqlite:///absolute/path/catalog.db`; made if missing.
    pub async fn open(url: &str, world: World) -> Result<Self> {
        let path = store::path(url)?;
        let mut connection = store::connect(&path).await?;
        store::migrate(&mut connection).await?;
        let names = Names::read(&mut connection).await?;
        Ok(Self(Arc::new(Inner {
            readers: store::readers(&path),
            writer: Arc::new(Writer::new(path, connection)),
            names: RwLock::new(Arc::new(names)),
            changed: watch::Sender::new(0),
            world,
        })))
    }

    // Tables.

    /// Tables of a zone, by name. Read from the database, so it also knows those that other programs made.
    pub async fn tables(&self, namespace: &str) -> Result<Vec<TableName>> {
        store::tables(&self.0.readers, namespace).await
    }

    /// Where the table's newest `metadata.json` is; `None` if there is no such table.
    pub async fn table_location(&self, table: &TableName) -> Result<Option<String>> {
        store::table_location(&self.0.readers, table).await
    }

    pub async fn create_table(&self, table: &TableName, metadata_location: &str) -> Result<()> {
        names::check(&table.name)?;
        let change = Change::CreateTable { table: table.clone(), location: metadata_location.to_owned() };
        self.change(change).await.map(drop)
    }

    /// Moves the table's pointer from `old` to `new` and queues `pending_deletes` (location, not before) in the same
    /// transaction. False if the pointer was not at `old`: another writer won, or the table is gone.
    pub async fn swap_table(
        &self,
        table: &TableName,
        old: &str,
        new: &str,
        pending_deletes: &[(String, TimestampMs)],
    ) -> Result<bool> {
        let change = Change::SwapTable {
            table: table.clone(),
            old: old.to_owned(),
            new: new.to_owned(),
            pending_deletes: pending_deletes.to_vec(),
        };
        match self.change(change).await {
            Ok(done) => Ok(done == Done::Yes),
            // The COMMIT may have happened although its answer says otherwise, or never came: the row knows.
            Err(error) => match self.table_location(table).await {
                Ok(Some(now)) if now == new => Ok(true),
                Ok(Some(now)) if now != old => Ok(false),
                Ok(_) | Err(_) => Err(error),
            },
        }
    }

    /// Takes the table out of the catalog, and returns where its metadata was. `None` if there is no such table.
    pub async fn drop_table(&self, table: &TableName) -> Result<Option<String>> {
        match self.change(Change::DropTable { table: table.clone() }).await? {
            Done::Location(location) => Ok(Some(location)),
            _ => Ok(None),
        }
    }

    pub async fn rename_table(&self, from: &TableName, to: &TableName) -> Result<()> {
        names::check(&to.name)?;
        self.change(Change::RenameTable { from: from.clone(), to: to.clone() }).await.map(drop)
    }

    /// [`Catalog::rename_table`] that takes the name from the table that has it, if there is one.
    pub async fn replace_table(&self, from: &TableName, to: &TableName) -> Result<()> {
        names::check(&to.name)?;
        self.change(Change::ReplaceTable { from: from.clone(), to: to.clone() }).await.map(drop)
    }

    // Zones.

    pub async fn namespaces(&self) -> Result<Vec<String>> {
        store::namespaces(&self.0.readers).await
    }

    pub async fn create_namespace(&self, namespace: &str) -> Result<()> {
        names::check(namespace)?;
        self.change(Change::CreateNamespace { namespace: namespace.to_owned() }).await.map(drop)
    }

    /// Only an empty one. False if there is none.
    pub async fn drop_namespace(&self, namespace: &str) -> Result<bool> {
        Ok(self.change(Change::DropNamespace { namespace: namespace.to_owned() }).await? == Done::Yes)
    }

    // Streams, views and other entries.

    /// Makes or replaces an entry; its `updated_ms` is set here.
    pub async fn put_entry(&self, mut entry: Entry) -> Result<()> {
        names::check(&entry.name)?;
        entry.updated_ms = self.0.world.clock.now_ms();
        self.change(Change::PutEntry { entry }).await.map(drop)
    }

    pub async fn entry(&self, kind: EntryKind, namespace: &str, name: &str) -> Result<Option<Entry>> {
        store::entry(&self.0.readers, kind, namespace, name).await
    }

    /// All entries of a kind, by zone and name.
    pub async fn entries(&self, kind: EntryKind) -> Result<Vec<Entry>> {
        store::entries(&self.0.readers, kind).await
    }

    /// False if there was none.
    pub async fn drop_entry(&self, kind: EntryKind, namespace: &str, name: &str) -> Result<bool> {
        let change = Change::DropEntry { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        Ok(self.change(change).await? == Done::Yes)
    }

    // Names in memory.

    /// Everything's name, as of the last change made through this catalog.
    pub fn names(&self) -> Arc<Names> {
        self.0.names.read().clone()
    }

    /// Ticks whenever [`Catalog::names`] or an entry's definition changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    // Files awaiting deletion.

    /// Queues files (location, not before).
    pub async fn queue_deletes(&self, deletes: &[(String, TimestampMs)]) -> Result<()> {
        if deletes.is_empty() {
            return Ok(());
        }
        self.change(Change::QueueDeletes { deletes: deletes.to_vec() }).await.map(drop)
    }

    /// Files whose time has come, oldest first.
    pub async fn due_deletes(&self, now_ms: TimestampMs, limit: u32) -> Result<Vec<String>> {
        store::due_deletes(&self.0.readers, now_ms, limit).await
    }

    /// When the first of the queued files may go.
    pub async fn next_delete_due(&self) -> Result<Option<TimestampMs>> {
        store::next_delete_due(&self.0.readers).await
    }

    /// Number of files awaiting deletion.
    pub async fn pending_deletes(&self) -> Result<u64> {
        store::pending_deletes(&self.0.readers).await
    }

    /// Strikes files off the list: they are gone.
    pub async fn forget_deletes(&self, locations: Vec<String>) -> Result<()> {
        self.change(Change::ForgetDeletes { locations }).await.map(drop)
    }

    /// Lets go of the database: whatever was queued is written first. For an orderly stop and for tests.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }

    async fn change(&self, change: Change) -> Result<Done> {
        let answer = self.0.writer.submit(change, self);
        // The writer answers every change it takes; only the end of the runtime silences it.
        answer.await.map_err(|_| Error::new(codes::SHUTTING_DOWN, "could not change the catalog"))?
    }

    fn set_names(&self, names: Names) {
        *self.0.names.write() = Arc::new(names);
        self.0.changed.send_modify(|tick| *tick += 1);
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog")
    }
}
