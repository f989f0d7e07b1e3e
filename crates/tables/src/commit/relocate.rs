//! A table whose folder was moved with the whole store: its metadata is written anew with the locations of today.
//!
//! We read such a table as it is, because the store knows where it was before; other engines do not. The new snapshot
//! lists the same rows under their present locations. Older snapshots keep manifests that name the former place: only
//! we can still read them, until they expire.

use std::{borrow::Cow, collections::BTreeMap};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use files::Files;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, ManifestContentType, ManifestEntry, ManifestEntryRef, ManifestFile,
    Operation, TableMetadata,
};
use model::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Attempt, Counts, NewSnapshot, Proposal};
use crate::{
    error::{corrupt, internal},
    write::{Target, write_targets},
};

pub(crate) struct RelocateWork;

impl RelocateWork {
    pub(super) async fn propose(&self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let files = attempt.tables.files();
        let base = attempt.base.metadata();
        if matches!(files.current(base.location()), Cow::Borrowed(_)) {
            return Ok(Proposal::Nothing);
        }
        let location = files.current(base.location()).into_owned();
        if attempt.base.current_snapshot().is_none() {
            return attempt.metadata_only(Vec::new(), |builder| Ok(builder.set_location(location)));
        }
        let mut counts = Counts::default();
        let mut manifests = Vec::new();
        for manifest in attempt.base_manifests().await? {
            manifests.push(relocated(attempt, manifest, &mut counts).await?);
        }
        Ok(Proposal::Snapshot(NewSnapshot {
            operation: Operation::Replace,
            manifests,
            counts,
            progress: attempt.base.progress()?,
            properties: Vec::new(),
        }))
    }
}

/// The metadata with all its locations as they are now.
pub(super) fn current_locations(metadata: &TableMetadata, files: &Files) -> Result<TableMetadata> {
    let unlikely = |e| internal(format!("could not move the metadata of `{}`", metadata.location()), e);
    let mut json = serde_json::to_value(metadata).map_err(unlikely)?;
    let current = |value: &mut serde_json::Value| {
        if let Some(now) = value.as_str().map(|location| files.current(location).into_owned()) {
            *value = now.into();
        }
    };
    current(&mut json["location"]);
    for (list, field) in [
        ("snapshots", "manifest-list"),
        ("metadata-log", "metadata-file"),
        ("statistics", "statistics-path"),
        ("partition-statistics", "statistics-path"),
    ] {
        for entry in json.get_mut(list).and_then(|list| list.as_array_mut()).into_iter().flatten() {
            current(&mut entry[field]);
        }
    }
    serde_json::from_value(json).map_err(unlikely)
}

/// `manifest` under its present location, written anew if it names files by former ones.
async fn relocated(attempt: &Attempt<'_>, mut manifest: ManifestFile, counts: &mut Counts) -> Result<ManifestFile> {
    let files = attempt.tables.files();
    let entries = attempt.tables.manifests().entries(&manifest).await?;
    let moved = |location: &str| matches!(files.current(location), Cow::Owned(_));
    let names_former = |entry: &ManifestEntryRef| {
        moved(entry.file_path()) || entry.data_file().referenced_data_file().is_some_and(|path| moved(&path))
    };
    if !entries.iter().any(|entry| entry.is_alive() && names_former(entry)) {
        manifest.manifest_path = files.current(&manifest.manifest_path).into_owned();
        return Ok(manifest);
    }
    let spec_id = manifest.partition_spec_id;
    let mut writer = attempt.manifest(manifest.content, spec_id)?;
    for entry in entries.iter().filter(|entry| entry.is_alive()) {
        let by_position = manifest.content == ManifestContentType::Deletes
            && entry.content_type() == DataContentType::PositionDeletes;
        let described = match by_position {
            // These name data files inside.
            true => deletes_anew(attempt, entry.data_file(), spec_id, counts).await?,
            false => vec![at_current_location(entry.data_file(), files, spec_id)?],
        };
        for data_file in described {
            writer.keep(&ManifestEntryRef::new(ManifestEntry { data_file, ..entry.as_ref().clone() }))?;
        }
    }
    writer.write().await
}

/// The position deletes of `file`, written anew with the present locations of the data files.
async fn deletes_anew(
    attempt: &Attempt<'_>,
    file: &DataFile,
    spec_id: i32,
    counts: &mut Counts,
) -> Result<Vec<DataFile>> {
    let files = attempt.tables.files();
    let spec = attempt.base.metadata().partition_spec_by_id(spec_id).cloned();
    let spec = spec.ok_or_else(|| Error::internal("a manifest names a partition spec that does not exist"))?;
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let unreadable = |cause: &dyn std::fmt::Display| {
        corrupt(format!("could not read the position deletes in `{}`", file.file_path()), cause)
    };
    let bytes = files.get(file.file_path()).await?;
    let batches = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(ParquetRecordBatchReaderBuilder::build);
    for batch in batches.map_err(|e| unreadable(&e))? {
        let batch = batch.map_err(|e| unreadable(&e))?;
        for (path, position) in positions(&batch).ok_or_else(|| unreadable(&"it needs columns file_path and pos"))? {
            rows.entry(files.current(&path).into_owned()).or_default().push(position);
        }
    }
    let target =
        |(path, positions)| Target { path, positions, partition: file.partition().clone(), spec: spec.clone() };
    let written = write_targets(attempt.tables, attempt.base, rows.into_iter().map(target).collect()).await?;
    counts.remove(file);
    written.iter().for_each(|file| counts.add(file));
    Ok(written)
}

/// Rows of a position delete file; `None` if it is none.
fn positions(batch: &RecordBatch) -> Option<Vec<(String, i64)>> {
    let paths = arrow::compute::cast(batch.column_by_name("file_path")?, &DataType::Utf8).ok()?;
    let positions = arrow::compute::cast(batch.column_by_name("pos")?, &DataType::Int64).ok()?;
    let paths = paths.as_string::<i32>().iter();
    let rows = paths.zip(positions.as_primitive::<Int64Type>().iter());
    rows.map(|(path, position)| Some((path?.to_owned(), position?))).collect()
}

/// The same file, described by its present location.
fn at_current_location(file: &DataFile, files: &Files, spec_id: i32) -> Result<DataFile> {
    let mut builder = DataFileBuilder::default();
    if let Some(order) = file.sort_order_id() {
        builder.sort_order_id(order);
    }
    builder
        .content(file.content_type())
        .file_path(files.current(file.file_path()).into_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(spec_id)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(file.first_row_id())
        .referenced_data_file(file.referenced_data_file().map(|path| files.current(&path).into_owned()))
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes())
        .build()
        .map_err(|e| internal(format!("could not describe `{}`", file.file_path()), e))
}
