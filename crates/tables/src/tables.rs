//! The façade.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use catalog::Catalog;
use files::Files;
use iceberg::{
    io::FileIO,
    spec::{DataFile, FormatVersion, SortOrder, TableMetadata, TableMetadataBuilder},
};
use model::{Error, Result, TableName, TimestampMs, error::codes};
use parking_lot::Mutex;
use world::World;

use crate::{
    Append, Manifests, NewTable, Rewrite, RowDelta, SchemaChange, Table, TableWriter, WriterOptions,
    changed::Changed,
    commit::{self, AppendWork, EvolveWork, PropertiesWork, RelocateWork, RewriteWork, RowDeltaWork, Work},
    error::{corrupt, internal, unwrap_or},
    readers::{Readers, Reading},
    storage::{self, Stage},
    turns::Turns,
    write::write_position_deletes,
};

/// All tables of one catalog. Cheap to clone.
#[derive(Clone)]
pub struct Tables(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    files: Files,
    world: World,
    manifests: Manifests,
    file_io: FileIO,
    /// The newest state seen of each table; right if the catalog still points to it.
    newest: Mutex<HashMap<TableName, Arc<Table>>>,
    /// Held while committing, so that our own tasks queue up instead of racing. Gone when nobody holds it.
    locks: Mutex<HashMap<TableName, Weak<tokio::sync::Mutex<()>>>>,
    turns: Turns,
    changed: Changed,
    readers: Arc<Readers>,
    /// When each table's folder was last searched for files that nothing refers to.
    orphans_sought: Mutex<HashMap<TableName, TimestampMs>>,
    #[cfg(test)]
    failpoint: Mutex<Option<&'static str>>,
}

impl Tables {
    pub fn new(catalog: Catalog, files: Files, world: World) -> Self {
        Self(Arc::new(Inner {
            manifests: Manifests::new(&files),
            file_io: storage::file_io(&files),
            catalog,
            files,
            world,
            newest: Mutex::default(),
            locks: Mutex::default(),
            turns: Turns::default(),
            changed: Changed::default(),
            readers: Arc::default(),
            orphans_sought: Mutex::default(),
            #[cfg(test)]
            failpoint: Mutex::default(),
        }))
    }

    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// Shared with scans.
    pub fn manifests(&self) -> &Manifests {
        &self.0.manifests
    }

    /// The same files, as Iceberg's own reader wants them.
    pub fn file_io(&self) -> &FileIO {
        &self.0.file_io
    }

    /// To be held by whoever loads states of tables and reads their files: until it is dropped, none of these is deleted.
    pub fn reading(&self) -> Reading {
        self.0.readers.begin(self.0.world.clock.now_ms())
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn changes(&self) -> &Changed {
        &self.0.changed
    }

    /// The newest state of a table, or `None` if there is no such table.
    pub async fn load(&self, name: &TableName) -> Result<Option<Arc<Table>>> {
        let Some(location) = self.0.catalog.table_location(name).await? else {
            self.0.newest.lock().remove(name);
            return Ok(None);
        };
        let known = self.0.newest.lock().get(name).cloned();
        if let Some(known) = known.filter(|table| table.metadata_location() == location) {
            return Ok(Some(known));
        }
        let read = || async {
            TableMetadata::read_from(&self.0.file_io, &location).await.map_err(|e| {
                unwrap_or(&e, || corrupt(format!("could not read the metadata of `{name}` at `{location}`"), &e))
            })
        };
        let metadata = match read().await {
            // <zone>/<folder>/metadata/<file>
            Err(error) if error.is(codes::FILE_LOCATION_INVALID) && self.0.files.learn_move(&location, 4)? => {
                read().await?
            }
            read => read?,
        };
        self.remember(Table::new(name.clone(), location.into(), Arc::new(metadata))?).map(Some)
    }

    /// [`Tables::load`], with an error if there is no such table.
    pub async fn get(&self, name: &TableName) -> Result<Arc<Table>> {
        match self.load(name).await? {
            Some(table) => Ok(table),
            None => Err(Error::new(codes::TABLE_NOT_FOUND, format!("there is no table `{name}`"))),
        }
    }

    /// Makes an empty table in a folder of its own: `<base>/<zone>/<name>-<8 hex>`.
    pub async fn create(&self, name: &TableName, new: NewTable) -> Result<Arc<Table>> {
        // Before anything is written; the catalog checks once more.
        if self.0.catalog.table_location(name).await?.is_some() {
            return Err(Error::new(codes::TABLE_EXISTS, format!("table `{name}` exists already")));
        }
        let schema = new.iceberg_schema()?;
        let spec = new.partition_spec(&schema)?;
        let uuid = random_uuid(&self.0.world);
        let short = &uuid.as_simple().to_string()[..8];
        let folder = new.folder.as_deref().unwrap_or(&name.name);
        let (zone, folder) = (folder_name(&name.namespace), folder_name(folder));
        let location = format!("{}/{zone}/{folder}-{short}", self.0.files.base_url());

        let properties = defaults().into_iter().chain(new.properties).collect();
        let unlikely = |e| internal(format!("could not make the metadata of `{name}`"), e);
        let order = SortOrder::unsorted_order();
        let builder =
            TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, properties).map_err(|e| {
                Error::new(codes::TABLE_SCHEMA_INVALID, format!("could not create table `{name}`"))
                    .detail(e.to_string())
            })?;
        let metadata = builder.assign_uuid(uuid).build().map_err(unlikely)?.metadata;
        let metadata = commit::dated(&metadata, self.0.world.clock.now_ms(), 0)?;

        let stage = Stage::default();
        let location = commit::stage_metadata(&stage, "", &metadata).await?;
        self.0.files.put_all(stage.take()).await?;
        if let Err(error) = self.0.catalog.create_table(name, &location).await {
            // Unless it was made all the same, nobody refers to the file.
            if let Ok(found) = self.0.catalog.table_location(name).await {
                if found.as_deref() == Some(location.as_str()) {
                    return self.remember(Table::new(name.clone(), location.into(), Arc::new(metadata))?);
                }
                if let Err(error) = self.0.files.delete_prefix(metadata.location()).await {
                    tracing::warn!(table = %name, %error, "the folder of a table that was not made stays behind");
                }
            }
            return Err(error);
        }
        self.remember(Table::new(name.clone(), location.into(), Arc::new(metadata))?)
    }

    /// Takes the table out of the catalog; with `purge` its files go too. False if there was none.
    pub async fn drop(&self, name: &TableName, purge: bool) -> Result<bool> {
        let lock = self.lock(name);
        let _held = lock.lock().await;
        let table = if purge { self.load(name).await? } else { None };
        self.0.newest.lock().remove(name);
        self.0.orphans_sought.lock().remove(name);
        if self.0.catalog.drop_table(name).await?.is_none() {
            return Ok(false);
        }
        if let Some(table) = table {
            self.purge(&table).await?;
        }
        self.0.changed.forget(name);
        Ok(true)
    }

    pub async fn rename(&self, from: &TableName, to: &TableName) -> Result<()> {
        let lock = self.lock(from);
        let _held = lock.lock().await;
        self.0.catalog.rename_table(from, to).await?;
        self.0.newest.lock().remove(from);
        self.0.changed.forget(from);
        self.0.changed.note(to);
        Ok(())
    }

    /// [`Tables::rename`] that puts `from` in the place of the table `to`, in one instant. The files of that one go.
    pub async fn replace(&self, from: &TableName, to: &TableName) -> Result<()> {
        let lock = self.lock(to);
        let _held = lock.lock().await;
        let replaced = self.load(to).await?;
        self.0.catalog.replace_table(from, to).await?;
        for name in [from, to] {
            self.0.newest.lock().remove(name);
            self.0.orphans_sought.lock().remove(name);
        }
        self.0.changed.forget(from);
        self.0.changed.note(to);
        if let Some(replaced) = replaced
            && let Err(error) = self.purge(&replaced).await
        {
            tracing::warn!(table = %to, %error, "the files of a replaced table stay behind");
        }
        Ok(())
    }

    pub fn writer(&self, table: &Arc<Table>) -> Result<TableWriter> {
        self.writer_with(table, WriterOptions::of(table))
    }

    pub fn writer_with(&self, table: &Arc<Table>, options: WriterOptions) -> Result<TableWriter> {
        TableWriter::new(&self.0.files, &self.0.world, table, options)
    }

    /// Adds files to a table. Lost races are tried again; a progress other than expected is an error
    /// (`PROGRESS_CONFLICT`), because the rows may be in the table already, and so is another table under its name
    /// (`COMMIT_CONFLICT`).
    pub async fn append(&self, name: &TableName, append: Append) -> Result<Arc<Table>> {
        self.commit(name, Work::Append(AppendWork::new(append))).await
    }

    /// Writes delete files for rows of `table` given as (data file path, positions).
    pub async fn write_position_deletes(
        &self,
        table: &Arc<Table>,
        rows: Vec<(String, Vec<u64>)>,
    ) -> Result<Vec<DataFile>> {
        write_position_deletes(self, table, rows).await
    }

    /// Deletes and adds rows in one instant; `COMMIT_CONFLICT` if the rows were touched meanwhile.
    pub async fn row_delta(&self, name: &TableName, delta: RowDelta) -> Result<Arc<Table>> {
        self.commit(name, Work::RowDelta(RowDeltaWork::new(delta))).await
    }

    /// Replaces files by others with the same rows; `COMMIT_CONFLICT` if the files were touched meanwhile.
    pub async fn rewrite(&self, name: &TableName, rewrite: Rewrite) -> Result<Arc<Table>> {
        self.commit(name, Work::Rewrite(RewriteWork::new(rewrite))).await
    }

    /// Changes columns in place; does nothing (no commit) if all changes hold already.
    pub async fn evolve(&self, name: &TableName, changes: Vec<SchemaChange>) -> Result<Arc<Table>> {
        self.commit(name, Work::Evolve(EvolveWork(changes))).await
    }

    /// Sets and removes table properties; does nothing (no commit) if they are so already.
    pub async fn set_properties(
        &self,
        name: &TableName,
        set: Vec<(String, String)>,
        remove: Vec<String>,
    ) -> Result<Arc<Table>> {
        self.commit(name, Work::Properties(PropertiesWork { set: set.into_iter().collect(), remove })).await
    }

    /// Writes the metadata of tables that were moved with the whole store anew, so that other engines find their files.
    /// Returns how many were moved; what fails is left for the next time.
    pub async fn relocate_all(&self) -> Result<usize> {
        let mut moved = 0;
        for namespace in self.0.catalog.namespaces().await? {
            for name in self.0.catalog.tables(&namespace).await? {
                let relocated = async {
                    let Some(table) = self.load(&name).await? else { return Ok(false) };
                    let location = table.metadata().location();
                    if *self.0.files.current(location) == *location {
                        return Ok(false);
                    }
                    self.commit(&name, Work::Relocate(RelocateWork)).await.map(|_| true)
                };
                match relocated.await {
                    Ok(done) => moved += usize::from(done),
                    Err(error) => {
                        let error: Error = error;
                        tracing::warn!(table = %name, %error, "could not write the metadata of a moved table anew");
                    }
                }
            }
        }
        Ok(moved)
    }

    pub(crate) fn lock(&self, name: &TableName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.locks.lock();
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(name.clone(), Arc::downgrade(&lock));
        lock
    }

    /// Whether it is time again to look for orphans; counts as done if so.
    pub(crate) fn orphans_due(&self, name: &TableName, interval: Duration, now: TimestampMs) -> bool {
        let mut sought = self.0.orphans_sought.lock();
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let due = sought.get(name).is_none_or(|last| now.saturating_sub(*last) >= interval);
        if due {
            sought.insert(name.clone(), now);
        }
        due
    }

    pub(crate) fn remember(&self, table: Table) -> Result<Arc<Table>> {
        let table = Arc::new(table);
        self.0.newest.lock().insert(table.name().clone(), table.clone());
        Ok(table)
    }

    /// Where tests make a commit die.
    #[cfg(test)]
    pub(crate) fn failpoint(&self, name: &str) -> Result<()> {
        match *self.0.failpoint.lock() {
            Some(set) if set == name => Err(Error::internal(format!("died at `{name}`"))),
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn set_failpoint(&self, name: Option<&'static str>) {
        *self.0.failpoint.lock() = name;
    }

    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, reason = "fails in tests")]
    pub(crate) fn failpoint(&self, _name: &str) -> Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tables").field(&self.0.files).finish()
    }
}

/// Properties of new tables, where Iceberg's defaults do not suit tables that are committed to every second.
fn defaults() -> HashMap<String, String> {
    [
        // Old metadata files are only for forensics; each holds the whole history.
        ("write.metadata.previous-versions-max", "20"),
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("write.target-file-size-bytes", "134217728"),
        ("write.parquet.compression-codec", "zstd"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// A name as part of a location: what URLs and file systems take as it is.
fn folder_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let folder: String = name.chars().map(|c| if plain(c) { c } else { '_' }).take(100).collect();
    // A leading dot hides a folder.
    if folder.starts_with('.') { format!("_{folder}") } else { folder }
}

pub(crate) fn random_uuid(world: &World) -> uuid::Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&world.random.u64().to_le_bytes());
    bytes[8..].copy_from_slice(&world.random.u64().to_le_bytes());
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
