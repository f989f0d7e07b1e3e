//! Deleted rows of a data file, as positions, and positions as a Parquet access plan.
//!
//! Position deletes are read as they are. Equality deletes (which Lakehead never writes, but Flink does) are turned into
//! positions by reading the key columns of the data file. So the scan itself knows one kind of delete only.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, new_null_array},
    compute::cast,
    datatypes::DataType,
    row::{OwnedRow, RowConverter, SortField},
};
use datafusion::{
    common::cast::{as_int64_array, as_large_string_array, as_string_array, as_string_view_array},
    datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess},
};
use futures::TryStreamExt;
use iceberg::{
    metadata_columns::{RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_FIELD_ID_DELETE_FILE_POS},
    spec::{DataContentType, DataFile, ManifestEntryRef, NestedFieldRef, TableMetadata},
};
use model::Result;
use parking_lot::Mutex;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderOptions, RowSelection, RowSelector},
    },
    file::metadata::ParquetMetaData,
};

use super::{
    plan::PlannedFile,
    reader::{Reader, find_root},
};

/// Positions of deleted rows, ascending, each once.
pub(super) type Positions = Arc<[u64]>;

/// Which rows of `file` are deleted; empty if none.
pub(super) async fn deleted_positions(
    reader: &Reader,
    metadata: &TableMetadata,
    file: &PlannedFile,
) -> Result<Positions> {
    let mut key = file.path().to_owned();
    for delete in &file.deletes {
        key.push('\n');
        key.push_str(delete.file_path());
    }
    if let Some(known) = CACHE.lock().get(&key) {
        return Ok(known);
    }
    let mut positions = Vec::new();
    let (by_value, by_position): (Vec<&ManifestEntryRef>, Vec<_>) =
        file.deletes.iter().partition(|delete| delete.content_type() == DataContentType::EqualityDeletes);
    for delete in by_position {
        read_positions(reader, delete.data_file(), file.path(), &mut positions).await?;
    }
    if !by_value.is_empty() {
        let mut keys = Vec::with_capacity(by_value.len());
        for delete in by_value {
            keys.push(DeletedKeys::read(reader, metadata, delete.data_file()).await?);
        }
        find_keys(reader, file, &keys, &mut positions).await?;
    }
    positions.sort_unstable();
    positions.dedup();
    // A position past the end names no row, and must not be counted as one.
    positions.truncate(positions.partition_point(|position| *position < file.entry.record_count()));
    let positions: Positions = positions.into();
    CACHE.lock().put(key, positions.clone());
    Ok(positions)
}

/// Positions of `path` in one position delete file.
async fn read_positions(reader: &Reader, delete: &DataFile, path: &str, into: &mut Vec<u64>) -> Result<()> {
    let location = delete.file_path();
    let wrong = |cause: &str| reader.unreadable(location, cause);
    let builder = reader.open(location, delete.file_size_in_bytes(), ArrowReaderOptions::new()).await?;
    let schema = builder.schema();
    let path_at = find_root(schema, RESERVED_FIELD_ID_DELETE_FILE_PATH, "file_path")
        .ok_or_else(|| wrong("a position delete file needs the column file_path"))?;
    let pos_at = find_root(schema, RESERVED_FIELD_ID_DELETE_FILE_POS, "pos")
        .ok_or_else(|| wrong("a position delete file needs the column pos"))?;
    let (path_first, mask) = (path_at < pos_at, ProjectionMask::roots(builder.parquet_schema(), [path_at, pos_at]));
    let mut batches = builder.with_projection(mask).build().map_err(|e| reader.unreadable(location, e))?;
    while let Some(batch) = batches.try_next().await.map_err(|e| reader.unreadable(location, e))? {
        let (paths, positions) = if path_first { (0, 1) } else { (1, 0) };
        let positions = as_int64_array(batch.column(positions)).map_err(|e| reader.unreadable(location, e))?;
        let is_path = equals(batch.column(paths), path).map_err(|e| reader.unreadable(location, e))?;
        for (row, position) in positions.iter().enumerate() {
            if is_path(row) {
                let position = position.and_then(|p| u64::try_from(p).ok());
                into.push(position.ok_or_else(|| wrong("a position is null or negative"))?);
            }
        }
    }
    Ok(())
}

/// Whether row `n` of the string column is `text`, whatever kind of strings it holds.
fn equals<'a>(
    column: &'a ArrayRef,
    text: &'a str,
) -> datafusion::error::Result<Box<dyn Fn(usize) -> bool + Send + 'a>> {
    Ok(match column.data_type() {
        DataType::LargeUtf8 => {
            let strings = as_large_string_array(column)?;
            Box::new(move |row| strings.is_valid(row) && strings.value(row) == text)
        }
        DataType::Utf8View => {
            let strings = as_string_view_array(column)?;
            Box::new(move |row| strings.is_valid(row) && strings.value(row) == text)
        }
        _ => {
            let strings = as_string_array(column)?;
            Box::new(move |row| strings.is_valid(row) && strings.value(row) == text)
        }
    })
}

/// The keys one equality delete file names.
struct DeletedKeys {
    fields: Vec<(NestedFieldRef, DataType)>,
    rows: HashSet<OwnedRow>,
    converter: RowConverter,
}

impl DeletedKeys {
    async fn read(reader: &Reader, metadata: &TableMetadata, delete: &DataFile) -> Result<Self> {
        let location = delete.file_path();
        let mut fields = Vec::new();
        for id in delete.equality_ids().unwrap_or_default() {
            // The widest type a column ever had is its newest; a dropped one is in an older schema.
            let field = std::iter::once(metadata.current_schema())
                .chain(metadata.schemas_iter())
                .find_map(|schema| schema.field_by_id(id).cloned())
                .ok_or_else(|| reader.unreadable(location, format!("column {id} is in no schema")))?;
            let to =
                iceberg::arrow::type_to_arrow_type(&field.field_type).map_err(|e| reader.unreadable(location, e))?;
            fields.push((field, to));
        }
        let sort_fields = fields.iter().map(|(_, to)| SortField::new(to.clone())).collect();
        let converter = RowConverter::new(sort_fields).map_err(|e| reader.unreadable(location, e))?;
        let mut keys = Self { fields, rows: HashSet::new(), converter };

        let builder = reader.open(location, delete.file_size_in_bytes(), ArrowReaderOptions::new()).await?;
        let mut batches = builder.build().map_err(|e| reader.unreadable(location, e))?;
        while let Some(batch) = batches.try_next().await.map_err(|e| reader.unreadable(location, e))? {
            let columns = keys.columns(&batch).map_err(|e| reader.unreadable(location, e))?;
            let rows = keys.converter.convert_columns(&columns).map_err(|e| reader.unreadable(location, e))?;
            keys.rows.extend(rows.iter().map(|row| row.owned()));
        }
        Ok(keys)
    }

    /// The key columns of `batch`, null where it has none.
    fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, arrow::error::ArrowError> {
        let find = |(field, to): &(NestedFieldRef, DataType)| match find_root(&batch.schema(), field.id, &field.name) {
            Some(at) => cast(batch.column(at), to),
            None => Ok(new_null_array(to, batch.num_rows())),
        };
        self.fields.iter().map(find).collect()
    }
}

/// Positions of the rows of `file` that any of `keys` names.
async fn find_keys(reader: &Reader, file: &PlannedFile, keys: &[DeletedKeys], into: &mut Vec<u64>) -> Result<()> {
    let location = file.path();
    let size = file.entry.file_size_in_bytes();
    let builder = reader.open(location, size, ArrowReaderOptions::new()).await?;
    let schema = builder.schema();
    let roots: Vec<usize> = keys
        .iter()
        .flat_map(|keys| &keys.fields)
        .filter_map(|(field, _)| find_root(schema, field.id, &field.name))
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut batches = builder.with_projection(mask).build().map_err(|e| reader.unreadable(location, e))?;
    let mut first = 0;
    while let Some(batch) = batches.try_next().await.map_err(|e| reader.unreadable(location, e))? {
        for keys in keys {
            let columns = keys.columns(&batch).map_err(|e| reader.unreadable(location, e))?;
            let rows = keys.converter.convert_columns(&columns).map_err(|e| reader.unreadable(location, e))?;
            let hits = rows.iter().enumerate().filter(|(_, row)| keys.rows.contains(&row.owned()));
            into.extend(hits.map(|(row, _)| first + row as u64));
        }
        first += batch.num_rows() as u64;
    }
    Ok(())
}

/// Reads everything but `positions`.
pub(super) fn access_plan(footer: &ParquetMetaData, positions: &[u64]) -> ParquetAccessPlan {
    let mut first = 0;
    let mut rest = positions;
    let groups = footer.row_groups().iter().map(|group| {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        let (here, later) = rest.split_at(rest.partition_point(|p| *p < first + rows));
        let access = match here.len() as u64 {
            0 => RowGroupAccess::Scan,
            n if n == rows => RowGroupAccess::Skip,
            _ => RowGroupAccess::Selection(selection(here, first, rows)),
        };
        rest = later;
        first += rows;
        access
    });
    ParquetAccessPlan::new(groups.collect())
}

/// Rows `first..first + rows` without `deleted`.
fn selection(deleted: &[u64], first: u64, rows: u64) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = first;
    for &position in deleted {
        if position > next {
            selectors.push(RowSelector::select((position - next) as usize));
        }
        match selectors.last_mut() {
            Some(last) if last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::skip(1)),
        }
        next = position + 1;
    }
    if next < first + rows {
        selectors.push(RowSelector::select((first + rows - next) as usize));
    }
    selectors.into()
}

/// Positions already read: delete files never change, so neither does what they delete from a file.
static CACHE: LazyLock<Mutex<PositionCache>> = LazyLock::new(Mutex::default);

/// Positions kept at most, in bytes.
const CACHE_BYTES_MAX: usize = 32 << 20;

#[derive(Default)]
struct PositionCache {
    known: HashMap<String, Positions>,
    order: VecDeque<String>,
    bytes: usize,
}

impl PositionCache {
    fn get(&self, key: &str) -> Option<Positions> {
        self.known.get(key).cloned()
    }

    /// Oldest out first. What alone exceeds the budget is not kept.
    fn put(&mut self, key: String, positions: Positions) {
        let cost = |key: &String, positions: &Positions| 2 * key.len() + positions.len() * 8 + 64;
        let bytes = cost(&key, &positions);
        if bytes > CACHE_BYTES_MAX || self.known.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > CACHE_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(gone) = self.known.remove(&oldest) {
                self.bytes -= cost(&oldest, &gone);
            }
        }
        self.bytes += bytes;
        self.order.push_back(key.clone());
        self.known.insert(key, positions);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_selection_keeps_exactly_the_rows_not_deleted(
            first in 0u64..1000,
            keep in prop::collection::vec(any::<bool>(), 1..200),
        ) {
            let deleted: Vec<u64> =
                keep.iter().enumerate().filter(|(_, keep)| !**keep).map(|(i, _)| first + i as u64).collect();
            let selectors: Vec<RowSelector> = selection(&deleted, first, keep.len() as u64).into();
            let rows: Vec<bool> =
                selectors.iter().flat_map(|s| std::iter::repeat_n(!s.skip, s.row_count)).collect();
            prop_assert_eq!(rows, keep);
        }
    }

    #[test]
    fn the_cache_stays_within_its_budget() {
        let mut cache = PositionCache::default();
        for i in 0..100 {
            cache.put(format!("file-{i}"), vec![0; 1 << 17].into());
            assert!(cache.bytes <= CACHE_BYTES_MAX);
        }
        assert!(cache.get("file-99").is_some() && cache.get("file-0").is_none());
        assert_eq!(cache.known.len(), cache.order.len());
    }
}
