//! Position delete files: rows of data files that are gone.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    record_batch::RecordBatch,
};
use iceberg::{
    arrow::schema_to_arrow_schema,
    metadata_columns::{delete_file_path_field, delete_file_pos_field},
    spec::{DataFile, DataFileBuilder, PartitionSpecRef, Schema, Struct},
};
use model::{Error, Result, error::codes};

use super::{encoder::Encoder, joined};
use crate::{Table, Tables, error::internal};

/// A data file with rows to delete.
pub(crate) struct Target {
    pub path: String,
    /// Ascending, each once.
    pub positions: Vec<i64>,
    pub partition: Struct,
    pub spec: PartitionSpecRef,
}

/// One delete file per data file, so that a scan loads only the deletes of what it reads.
pub(crate) async fn write_position_deletes(
    tables: &Tables,
    table: &Arc<Table>,
    rows: Vec<(String, Vec<u64>)>,
) -> Result<Vec<DataFile>> {
    let targets = targets(tables, table, rows).await?;
    write_targets(tables, table, targets).await
}

/// One delete file for each target.
pub(crate) async fn write_targets(tables: &Tables, table: &Arc<Table>, targets: Vec<Target>) -> Result<Vec<DataFile>> {
    let (tables, table) = (tables.clone(), table.clone());
    joined(tokio::task::spawn_blocking(move || encode(&tables, &table, targets)).await)
}

async fn targets(tables: &Tables, table: &Table, rows: Vec<(String, Vec<u64>)>) -> Result<Vec<Target>> {
    let mut wanted: HashMap<String, Vec<u64>> = HashMap::with_capacity(rows.len());
    for (path, positions) in rows {
        wanted.entry(path).or_default().extend(positions);
    }
    let mut targets = Vec::with_capacity(wanted.len());
    if let Some(snapshot) = table.current_snapshot() {
        for manifest in tables.manifests().list(snapshot).await?.entries() {
            if manifest.content != iceberg::spec::ManifestContentType::Data || wanted.is_empty() {
                continue;
            }
            for entry in tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
                let Some(mut positions) = wanted.remove(entry.file_path()) else { continue };
                positions.sort_unstable();
                positions.dedup();
                if positions.last().is_some_and(|last| *last >= entry.record_count()) {
                    return Err(Error::internal(format!("`{}` has no such row", entry.file_path())));
                }
                // A manifest of deletes holds one partition spec, and a commit writes one such manifest.
                if manifest.partition_spec_id != table.metadata().default_partition_spec_id() {
                    return Err(Error::new(
                        codes::TABLE_FORMAT_UNSUPPORTED,
                        format!("could not delete rows of `{}`", table.name()),
                    )
                    .detail(format!("`{}` was written with an older partition spec", entry.file_path()))
                    .hint("let the engine that changed the spec rewrite the table's files"));
                }
                let spec = table.metadata().partition_spec_by_id(manifest.partition_spec_id).cloned();
                targets.push(Target {
                    path: entry.file_path().to_owned(),
                    positions: positions
                        .into_iter()
                        .map(|p| i64::try_from(p).expect("less than the rows of a file"))
                        .collect(),
                    partition: entry.data_file().partition().clone(),
                    spec: spec
                        .ok_or_else(|| Error::internal("a manifest names a partition spec that does not exist"))?,
                });
            }
        }
    }
    match wanted.into_keys().next() {
        None => Ok(targets),
        Some(gone) => Err(Error::new(codes::COMMIT_CONFLICT, format!("could not delete rows of `{}`", table.name()))
            .detail(format!("`{gone}` is no longer part of the table"))
            .hint("run the statement again")),
    }
}

fn encode(tables: &Tables, table: &Table, targets: Vec<Target>) -> Result<Vec<DataFile>> {
    let unlikely = |e| internal("could not describe a delete file".to_owned(), e);
    let fields = [delete_file_path_field().clone(), delete_file_pos_field().clone()];
    let schema = Arc::new(Schema::builder().with_fields(fields).build().map_err(unlikely)?);
    let arrow_schema = Arc::new(schema_to_arrow_schema(&schema).map_err(unlikely)?);
    let mut files = Vec::with_capacity(targets.len());
    for target in targets {
        let paths = StringArray::from_iter_values(std::iter::repeat_n(&target.path, target.positions.len()));
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(Int64Array::from(target.positions))];
        let batch = RecordBatch::try_new(arrow_schema.clone(), columns)
            .map_err(|e| internal("could not build deletes".to_owned(), e))?;
        let spec = target.spec;
        let mut encoder = Box::new(Encoder::for_deletes(
            tables.files(),
            tables.world(),
            table,
            schema.clone(),
            arrow_schema.clone(),
            spec.clone(),
        ));
        encoder.write_to(target.partition, &batch)?;
        for file in encoder.finish()? {
            files.push(referring(&file, &target.path, spec.spec_id())?);
        }
    }
    Ok(files)
}

/// `file` with the data file it belongs to.
fn referring(file: &DataFile, path: &str, spec_id: i32) -> Result<DataFile> {
    DataFileBuilder::default()
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(spec_id)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .referenced_data_file(Some(path.to_owned()))
        .build()
        .map_err(|e| internal("could not describe a delete file".to_owned(), e))
}
