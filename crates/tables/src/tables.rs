//! The façade.

use std::sync::Arc;

use catalog::Catalog;
use files::Files;
use iceberg::{io::FileIO, spec::DataFile};
use model::{Result, TableName, TimestampMs};
use world::World;

use crate::{
    Append, MaintenancePolicy, MaintenanceReport, Manifests, NewTable, Rewrite, RowDelta, SchemaChange, SweepReport,
    Table, TableWriter, WriterOptions,
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
}

impl Tables {
    pub fn new(_catalog: Catalog, _files: Files, _world: World) -> Self {
        unimplemented!()
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

    /// The newest state of a table, or `None` if there is no such table.
    pub async fn load(&self, _name: &TableName) -> Result<Option<Arc<Table>>> {
        unimplemented!()
    }
    /// [`Tables::load`], with an error if there is no such table.
    pub async fn get(&self, _name: &TableName) -> Result<Arc<Table>> {
        unimplemented!()
    }
    pub async fn create(&self, _name: &TableName, _new: NewTable) -> Result<Arc<Table>> {
        unimplemented!()
    }
    /// Takes the table out of the catalog; with `purge` its files go too. False if there was none.
    pub async fn drop(&self, _name: &TableName, _purge: bool) -> Result<bool> {
        unimplemented!()
    }
    pub async fn rename(&self, _from: &TableName, _to: &TableName) -> Result<()> {
        unimplemented!()
    }
    pub fn writer(&self, _table: &Arc<Table>) -> Result<TableWriter> {
        unimplemented!()
    }
    pub fn writer_with(&self, _table: &Arc<Table>, _options: WriterOptions) -> Result<TableWriter> {
        unimplemented!()
    }
    pub async fn append(&self, _name: &TableName, _append: Append) -> Result<Arc<Table>> {
        unimplemented!()
    }
    /// Writes delete files for rows of `table` given as (data file path, ascending positions).
    pub async fn write_position_deletes(&self, _table: &Arc<Table>, _rows: Vec<(String, Vec<u64>)>) -> Result<Vec<DataFile>> {
        unimplemented!()
    }
    pub async fn row_delta(&self, _name: &TableName, _delta: RowDelta) -> Result<Arc<Table>> {
        unimplemented!()
    }
    pub async fn rewrite(&self, _name: &TableName, _rewrite: Rewrite) -> Result<Arc<Table>> {
        unimplemented!()
    }
    /// Changes columns in place; does nothing (no commit) if all changes hold already.
    pub async fn evolve(&self, _name: &TableName, _changes: Vec<SchemaChange>) -> Result<Arc<Table>> {
        unimplemented!()
    }
    pub async fn set_properties(&self, _name: &TableName, _set: Vec<(String, String)>, _remove: Vec<String>) -> Result<Arc<Table>> {
        unimplemented!()
    }
    /// Compaction, expiry and (when asked for) removal of orphans.
    pub async fn maintain(&self, _name: &TableName, _policy: &MaintenancePolicy, _now: TimestampMs) -> Result<MaintenanceReport> {
        unimplemented!()
    }
    /// Deletes files whose grace time is over.
    pub async fn sweep(&self, _now: TimestampMs) -> Result<SweepReport> {
        unimplemented!()
    }
}
