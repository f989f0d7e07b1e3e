//! Compaction: small files become large ones, and files full of deleted rows become small ones.
//!
//! Small files are merged with others of about their size, as in a log-structured merge tree: a file is rewritten only
//! together with at least half as many bytes again, so that each row is rewritten a few times at most on its way from a
//! commit per second to a file of full size.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::TryStreamExt;
use iceberg::spec::{DataContentType, DataFile, DataFileFormat, ManifestContentType, ManifestEntryRef, Struct};
use model::{Result, TableName, error::codes};

use super::{MaintenancePolicy, MaintenanceReport};
use crate::{
    Rewrite, Table, Tables, WriterOptions,
    error::internal,
    scan::{PlannedFile, live_rows},
};

/// Below this, sizes do not matter: the cost of a file is that it exists.
const TINY_BYTES: u64 = 1 << 20;
/// A file is worth rewriting for its deletes alone when so many of its rows are gone.
const DELETED_SHARE: f64 = 0.3;
/// So much is rewritten, for so long, while statements that change rows wait. The rest is rewritten beside them.
const HELD_BYTES_MAX: u64 = 16 << 20;
const HELD_MAX: Duration = Duration::from_millis(500);

/// A live data file and what is deleted from it.
#[derive(Clone)]
struct Input {
    entry: ManifestEntryRef,
    deletes: Vec<ManifestEntryRef>,
    /// Rows deleted by files that name this one.
    deleted: u64,
}

impl Input {
    fn bytes(&self) -> u64 {
        self.entry.file_size_in_bytes()
    }

    /// Whether the file is worth rewriting for its deletes alone: for their rows, or because opening all those small files
    /// costs readers about as much as the file.
    fn is_eaten(&self, files_min: usize) -> bool {
        let files = self.deletes.len();
        self.deleted > 0
            && (self.deleted as f64 >= DELETED_SHARE * self.entry.record_count() as f64
                || (files >= files_min && files as u64 * 2 * TINY_BYTES >= self.bytes()))
    }
}

pub(super) async fn compact(
    tables: &Tables,
    name: &TableName,
    policy: &MaintenancePolicy,
    report: &mut MaintenanceReport,
) -> Result<()> {
    let mut table = tables.get(name).await?;
    let mut found = groups(tables, &table, policy).await?;
    if found.is_empty() {
        return Ok(());
    }
    // Small groups have their turn like statements that change rows: beside them, where rows change all the time, they
    // would always come too late.
    let mut turn = tables.turn_to_rewrite(name, policy.patience).await;
    if turn.is_none() {
        report.yielded = true;
        return Ok(());
    }
    let clock = &tables.world().clock;
    let (began, mut held_bytes) = (clock.monotonic(), 0);
    let now = tables.get(name).await?;
    if now.metadata_location() != table.metadata_location() {
        table = now;
        found = groups(tables, &table, policy).await?;
    }
    let mut budget = policy.rewrite_bytes_max;
    for group in found {
        let bytes: u64 = group.iter().map(Input::bytes).sum();
        if bytes > budget || tables.world().tasks.is_stopping() {
            break;
        }
        budget -= bytes;
        held_bytes += bytes;
        if held_bytes > HELD_BYTES_MAX || clock.monotonic().saturating_sub(began) > HELD_MAX {
            turn = None;
        }
        let inputs = group.iter().map(|input| input.entry.file_path().to_owned()).collect::<Vec<_>>();
        let files_compacted = inputs.len();
        let (outputs, rows) = rewrite(tables, &table, group, policy).await?;
        let paths: Vec<String> = outputs.iter().map(|file| file.file_path().to_owned()).collect();
        let work = Rewrite {
            inputs,
            outputs,
            spec_id: table.metadata().default_partition_spec_id(),
            rows,
            base_sequence_number: table.metadata().last_sequence_number(),
        };
        let late = if turn.is_none() { tables.turn_to_rewrite(name, policy.patience).await } else { None };
        if turn.is_none() && late.is_none() {
            report.yielded = true;
            return discard(tables, paths).await;
        }
        match tables.rewrite(name, work).await {
            Ok(_) => {
                report.files_compacted += files_compacted;
                report.files_written += paths.len();
                report.bytes_rewritten += bytes;
            }
            // Somebody deleted rows of these files, or rewrote them, in the meantime. The other groups may be fine.
            Err(error) if error.is(codes::COMMIT_CONFLICT) => {
                tracing::debug!(table = %name, %error, "a compaction came too late");
                discard(tables, paths).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Deletes files that were not committed.
async fn discard(tables: &Tables, paths: Vec<String>) -> Result<()> {
    for path in paths {
        tables.files().delete(&path).await?;
    }
    Ok(())
}

/// Files to be rewritten together, the smallest first.
async fn groups(tables: &Tables, table: &Table, policy: &MaintenancePolicy) -> Result<Vec<Vec<Input>>> {
    let target = table.property("write.target-file-size-bytes", policy.target_file_bytes);
    let mut groups = Vec::new();
    for inputs in by_partition(tables, table).await?.into_values() {
        let files_min = policy.small_files_min.max(2);
        let (eaten, whole): (Vec<Input>, Vec<Input>) = inputs.into_iter().partition(|input| input.is_eaten(files_min));
        groups.extend(bins(eaten, target));
        let small = whole.into_iter().filter(|input| input.bytes() < target / 4 * 3).collect();
        for tier in tiers(small, Input::bytes) {
            groups.extend(bins(tier, target).into_iter().filter(|bin| bin.len() >= files_min));
        }
    }
    groups.sort_by_key(|group| group.iter().map(Input::bytes).sum::<u64>());
    Ok(groups)
}

/// Live files of the default partition spec, by partition. Files of older specs stay where they are.
async fn by_partition(tables: &Tables, table: &Table) -> Result<HashMap<Struct, Vec<Input>>> {
    let mut partitions: HashMap<Struct, Vec<Input>> = HashMap::new();
    let Some(snapshot) = table.current_snapshot() else { return Ok(partitions) };
    let spec_id = table.metadata().default_partition_spec_id();
    let list = tables.manifests().list(snapshot).await?;
    let mut deletes: Vec<(ManifestEntryRef, i32)> = Vec::new();
    for manifest in list.entries() {
        if manifest.content == ManifestContentType::Data && manifest.partition_spec_id != spec_id {
            continue;
        }
        for entry in tables.manifests().entries(manifest).await?.iter().filter(|entry| entry.is_alive()) {
            match manifest.content {
                ManifestContentType::Deletes => deletes.push((entry.clone(), manifest.partition_spec_id)),
                ManifestContentType::Data if entry.file_format() == DataFileFormat::Parquet => {
                    let input = Input { entry: entry.clone(), deletes: Vec::new(), deleted: 0 };
                    partitions.entry(entry.data_file().partition().clone()).or_default().push(input);
                }
                ManifestContentType::Data => {}
            }
        }
    }
    // Our own deletes name their file; only those of other engines must be held against every file.
    let (named, unnamed): (Vec<_>, Vec<_>) =
        deletes.into_iter().partition(|(delete, _)| delete.data_file().referenced_data_file().is_some());
    let mut by_name: HashMap<String, Vec<ManifestEntryRef>> = HashMap::new();
    for (delete, _) in named {
        let path = delete.data_file().referenced_data_file().expect("partitioned by it");
        by_name.entry(path).or_default().push(delete);
    }
    for (partition, inputs) in &mut partitions {
        for input in inputs {
            let named = by_name.remove(input.entry.file_path()).unwrap_or_default();
            input.deleted = named.iter().map(|delete| delete.record_count()).sum();
            let unnamed = unnamed.iter().filter(|(delete, spec)| applies(delete, *spec, input, spec_id, partition));
            input.deletes = named.into_iter().chain(unnamed.map(|(delete, _)| delete.clone())).collect();
        }
    }
    Ok(partitions)
}

/// Whether `delete`, which names no file, may concern `input`: by partition and age.
fn applies(delete: &ManifestEntryRef, delete_spec: i32, input: &Input, spec_id: i32, partition: &Struct) -> bool {
    let (Some(deleted_at), Some(written_at)) = (delete.sequence_number(), input.entry.sequence_number()) else {
        return false;
    };
    let file = delete.data_file();
    let same_partition = delete_spec == spec_id && file.partition() == partition;
    match file.content_type() {
        DataContentType::PositionDeletes => same_partition && written_at <= deleted_at,
        // Without partition values a delete holds for the whole table.
        DataContentType::EqualityDeletes => {
            (file.partition().fields().is_empty() || same_partition) && written_at < deleted_at
        }
        DataContentType::Data => false,
    }
}

/// Items of similar size together: ascending, cut where the next is more than twice all before it in its tier.
fn tiers<T>(mut items: Vec<T>, size: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    items.sort_by_key(&size);
    let mut tiers: Vec<Vec<T>> = Vec::new();
    let mut sum = 0;
    for item in items {
        let bytes = size(&item);
        if tiers.is_empty() || bytes / 2 > sum.max(TINY_BYTES) {
            tiers.push(Vec::new());
            sum = 0;
        }
        sum += bytes;
        tiers.last_mut().expect("pushed above").push(item);
    }
    tiers
}

/// In order of age, each bin about one file of the target size.
fn bins(mut inputs: Vec<Input>, target: u64) -> Vec<Vec<Input>> {
    inputs.sort_by(|a, b| {
        let key = |input: &Input| (input.entry.sequence_number(), input.entry.file_path().to_owned());
        key(a).cmp(&key(b))
    });
    let mut bins: Vec<Vec<Input>> = Vec::new();
    let mut room = 0;
    for input in inputs {
        if bins.is_empty() || input.bytes() > room {
            bins.push(Vec::new());
            room = target;
        }
        room = room.saturating_sub(input.bytes());
        bins.last_mut().expect("pushed above").push(input);
    }
    bins
}

/// Reads the live rows of `group` and writes them anew. Decoding runs on a thread for blocking work.
async fn rewrite(
    tables: &Tables,
    table: &Arc<Table>,
    group: Vec<Input>,
    policy: &MaintenancePolicy,
) -> Result<(Vec<DataFile>, u64)> {
    let spec = table.metadata().default_partition_spec();
    let files =
        group.into_iter().map(|input| PlannedFile { entry: input.entry, spec: spec.clone(), deletes: input.deletes });
    let rows = live_rows(tables, table.clone(), files.collect())?;
    let mut options = WriterOptions::of(table);
    options.target_file_bytes = table.property("write.target-file-size-bytes", policy.target_file_bytes);
    let mut writer = tables.writer_with(table, options)?;
    let work = async move {
        let mut rows = std::pin::pin!(rows);
        while let Some(batch) = rows.try_next().await? {
            writer.write(batch).await?;
        }
        let rows = writer.rows();
        Ok((writer.close().await?, rows))
    };
    let handle = tokio::runtime::Handle::current();
    match tokio::task::spawn_blocking(move || handle.block_on(work)).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(e) => Err(internal("compaction was cut short".to_owned(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_hold_files_of_similar_size() {
        let kb = |n: u64| n << 10;
        let mb = |n: u64| n << 20;
        let sizes = vec![mb(60), kb(20), kb(20), mb(61), mb(5), kb(20), mb(6)];
        assert_eq!(
            tiers(sizes, |size| *size),
            [vec![kb(20), kb(20), kb(20)], vec![mb(5), mb(6)], vec![mb(60), mb(61)]]
        );
        let even = vec![mb(5); 6];
        assert_eq!(tiers(even.clone(), |size| *size), [even]);
    }
}
