//! Opening Parquet files of a table outside of DataFusion's own source: delete files, and data files whose row groups or
//! row numbers planning needs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use chrono::DateTime;
use datafusion::{
    catalog::Session,
    datasource::physical_plan::parquet::metadata::DFParquetMetadata,
    execution::{cache::cache_manager::FileMetadataCache, runtime_env::RuntimeEnv},
};
use files::Files;
use model::{Result, TableName};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use parquet::{
    arrow::{
        PARQUET_FIELD_ID_META_KEY, ParquetRecordBatchStreamBuilder,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
        async_reader::ParquetObjectReader,
    },
    file::metadata::ParquetMetaData,
};

use crate::error::corrupt;

/// How this scan reaches files, and the footers other scans have read already.
#[derive(Clone)]
pub(super) struct Reader {
    files: Files,
    store: Arc<dyn ObjectStore>,
    footers: Arc<dyn FileMetadataCache>,
    table: TableName,
}

impl Reader {
    pub(super) fn new(files: &Files, table: &TableName, session: &dyn Session) -> Self {
        Self::with_runtime(files, table, session.runtime_env())
    }

    pub(super) fn with_runtime(files: &Files, table: &TableName, runtime: &RuntimeEnv) -> Self {
        Self {
            files: files.clone(),
            store: files.object_store(),
            footers: runtime.cache_manager.get_file_metadata_cache(),
            table: table.clone(),
        }
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(super) fn footers(&self) -> &Arc<dyn FileMetadataCache> {
        &self.footers
    }

    /// Files never change once written, so their size stands for their version.
    pub(super) fn object_meta(&self, location: &str, size: u64) -> Result<ObjectMeta> {
        let location: Path = self.files.object_path(location)?;
        Ok(ObjectMeta { location, last_modified: DateTime::UNIX_EPOCH, size, e_tag: None, version: None })
    }

    /// The footer with its page index, from the session's cache if it is there.
    pub(super) async fn footer(&self, location: &str, size: u64) -> Result<Arc<ParquetMetaData>> {
        let meta = self.object_meta(location, size)?;
        let footer = DFParquetMetadata::new(&*self.store, &meta)
            .with_metadata_size_hint(Some(64 << 10))
            .with_file_metadata_cache(Some(self.footers.clone()))
            .fetch_metadata()
            .await;
        footer.map_err(|e| self.unreadable(location, e))
    }

    /// A stream over the file, to be given a projection.
    pub(super) async fn open(
        &self,
        location: &str,
        size: u64,
        options: ArrowReaderOptions,
    ) -> Result<ParquetRecordBatchStreamBuilder<ParquetObjectReader>> {
        let footer = self.footer(location, size).await?;
        let metadata = ArrowReaderMetadata::try_new(footer, options).map_err(|e| self.unreadable(location, e))?;
        let reader =
            ParquetObjectReader::new(self.store.clone(), self.files.object_path(location)?).with_file_size(size);
        Ok(ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata))
    }

    pub(super) fn unreadable(&self, location: &str, cause: impl std::fmt::Display) -> model::Error {
        corrupt(format!("could not read table `{}`", self.table), format!("`{location}`: {cause}"))
    }
}

/// The field id a Parquet file gives a column.
pub(super) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// Whether any column, at any depth, carries an id. Files written by other tools may have none: then names decide.
pub(super) fn has_field_ids(schema: &ArrowSchema) -> bool {
    fn any(field: &Field) -> bool {
        field_id(field).is_some()
            || match field.data_type() {
                DataType::Struct(fields) => fields.iter().any(|f| any(f)),
                DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => any(item),
                _ => false,
            }
    }
    schema.fields().iter().any(|f| any(f))
}

/// Index of the root column with `id`, or, in a file without ids, called `name`.
pub(super) fn find_root(schema: &ArrowSchema, id: i32, name: &str) -> Option<usize> {
    let by_id = schema.fields().iter().position(|field| field_id(field) == Some(id));
    by_id.or_else(|| if has_field_ids(schema) { None } else { schema.index_of(name).ok() })
}
