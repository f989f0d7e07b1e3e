//! One commit: rows beyond the mark become Parquet, and table and mark move in the same instant.
//!
//! Steps, each of which may be the last one before a crash:
//! 1. undecodable records are durable in `_exceptions`;
//! 2. the table exists and has the columns (a change of its own, visible but harmless);
//! 3. data files are written (nobody refers to them yet);
//! 4. one snapshot adds them and moves the mark, if the mark still is where the rows began.
//!
//! After a crash the next writer starts from the mark in the table: what 4 did not reach is done again, what it reached is
//! not.

use std::sync::{Arc, atomic::Ordering};

use model::{Error, Result, error::codes};
use tables::{Append, NewTable, Progress, Table};

use super::exceptions;
use crate::{
    TailFilter, TopicTable,
    columns::{
        fit::fit,
        resolve::{conflicts, property},
    },
    lake::Parts,
    tail::read::{Reader, advance, rejects_too_many, step},
    topic::{PartitionTail, TopicState, WriterState},
};

/// Several times the usual size: what one commit takes at most, the rest goes with the next one.
const COMMIT_FACTOR: usize = 4;
/// Rounds after a lost race.
const ATTEMPTS: usize = 5;

/// Where a planted failure stops a commit, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    ExceptionsWritten,
    TableReady,
    FilesWritten,
    Committed,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    pub rows: u64,
    /// There is more that could be committed right away.
    pub more: bool,
}

/// Reads the mark, lets go of nothing before it, and begins to keep undecodable records.
pub(crate) async fn begin(parts: &Parts, state: &Arc<TopicState>) -> Result<()> {
    let mut writer = state.writer.lock().await;
    ensure_begun(parts, state, &mut writer).await
}

async fn ensure_begun(parts: &Parts, state: &Arc<TopicState>, writer: &mut WriterState) -> Result<()> {
    if writer.mark.is_some() {
        return Ok(());
    }
    let table = state.load_table(parts).await?;
    let mark = match &table {
        None => None,
        Some(table) => table.progress()?,
    };
    if !state.is_written.swap(true, Ordering::AcqRel) {
        // What readers decoded before did not keep its undecodable records.
        state.forget_decoded();
    }
    if let Some(table) = &table {
        state.figures.rows_committed.store(total_rows(table), Ordering::Relaxed);
    }
    moved(parts, state, mark.as_ref());
    writer.mark = Some(mark);
    Ok(())
}

/// Tells log and cache where the mark is.
fn moved(parts: &Parts, state: &TopicState, mark: Option<&Progress>) {
    for partition in &state.partitions {
        let previous = partition.tail(|tail| tail.mark);
        let mark = mark.and_then(|mark| mark.get(&partition.at.partition.to_string()));
        parts.log.hold(&partition.at, super::HOLDER, Some(mark.unwrap_or(0)));
        partition.tail(|tail| {
            tail.mark = mark.unwrap_or(0);
            // One commit's rows stay for readers that pinned the state before.
            tail.core.trim(previous);
        });
    }
}

/// Commits what is decoded of `state` by now.
pub(crate) async fn commit(parts: &Parts, state: &Arc<TopicState>) -> Result<Commit> {
    let mut writer = state.writer.lock().await;
    let _turn = parts.commits.acquire().await.map_err(|_| Error::new(codes::SHUTTING_DOWN, "could not commit"))?;
    let mut lost_race = None;
    for _ in 0..ATTEMPTS {
        ensure_begun(parts, state, &mut writer).await?;
        match attempt(parts, state, &mut writer).await {
            Err(error) if error.is(codes::PROGRESS_CONFLICT) || error.is(codes::COMMIT_CONFLICT) => {
                tracing::info!(topic = %state.topic.name, %error, "another writer moved the mark: reading it again");
                writer.mark = None;
                // A table that is built again comes to records whose exceptions are there.
                writer.exceptions = exceptions::Written::default();
                lost_race = Some(error);
            }
            Ok(done) => {
                *state.figures.error.lock() = None;
                return Ok(done);
            }
            Err(error) => return Err(error),
        }
    }
    Err(lost_race.expect("left the loop only by losing races"))
}

async fn attempt(parts: &Parts, state: &Arc<TopicState>, writer: &mut WriterState) -> Result<Commit> {
    let mark = writer.mark.clone().flatten();
    exceptions::write(parts, state, mark.as_ref(), &mut writer.exceptions).await?;
    parts.reached(Step::ExceptionsWritten)?;

    let mut next = mark.clone().unwrap_or_default();
    let mut ranges = Vec::new();
    for (partition, until) in state.partitions.iter().zip(&writer.exceptions.until) {
        let key = partition.at.partition.to_string();
        let bounds = parts.log.bounds(&partition.at)?;
        let mut from = mark.as_ref().and_then(|mark| mark.get(&key)).unwrap_or(0);
        if from < bounds.log_start {
            // A table that never had a row begins where the log begins; any other one has lost what lies between.
            if mark.as_ref().is_some_and(|mark| mark.get(&key).is_some()) {
                exceptions::note_loss(parts, state, &partition.at, from, bounds.log_start).await?;
                state.figures.lost.fetch_add((bounds.log_start - from) as u64, Ordering::Relaxed);
            }
            from = bounds.log_start;
            next.set(key.clone(), from);
        }
        if *until > from {
            ranges.push((partition, key, from..*until));
        }
    }
    if ranges.is_empty() && Some(&next) == mark.as_ref().or(Some(&Progress::default())) {
        return Ok(Commit::default());
    }

    let (table, columns) = ready_table(parts, state).await?;
    parts.reached(Step::TableReady)?;
    let mut rows = parts.tables.writer(&table)?;
    let (mut taken, mut more) = (0, false);
    let everything = TailFilter::default();
    for (partition, key, mut range) in ranges {
        while range.start < range.end {
            if taken > parts.settings.commit_bytes.saturating_mul(COMMIT_FACTOR) {
                more = true;
                break;
            }
            let (batch, position) =
                step(parts, state, partition, &columns, &range, &everything, Reader::Writer).await?;
            if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
                taken += batch.get_array_memory_size();
                rows.write(batch).await?;
            }
            range.start = position;
            if rejects_too_many(partition) {
                exceptions::write(parts, state, mark.as_ref(), &mut writer.exceptions).await?;
            }
        }
        next.set(key, range.start);
    }
    // Columns that were found again meanwhile, and records decoded again, may have left out what was taken before.
    exceptions::write(parts, state, mark.as_ref(), &mut writer.exceptions).await?;
    if let Some(place) = exceptions::place_beyond(parts, &writer.exceptions, mark.as_ref(), &next) {
        next.set(exceptions::PROGRESS_KEY, place);
    }
    let count = rows.rows();
    let files = rows.close().await?;
    parts.reached(Step::FilesWritten)?;

    let paths: Vec<_> = files.iter().map(|file| file.file_path().to_owned()).collect();
    let append = Append::new(&table, files).with_progress(mark, next.clone());
    let committed = match parts.tables.append(table.name(), append).await {
        Ok(table) => table,
        Err(error) => {
            // Only when it is sure that nobody refers to them; otherwise upkeep removes them one day.
            if error.is(codes::PROGRESS_CONFLICT) || error.is(codes::COMMIT_CONFLICT) {
                for path in &paths {
                    parts.tables.files().delete(path).await?;
                }
            }
            return Err(error);
        }
    };
    parts.reached(Step::Committed)?;
    moved(parts, state, Some(&next));
    writer.mark = Some(Some(next));
    state.figures.rows_committed.store(total_rows(&committed), Ordering::Relaxed);
    state.figures.commits.fetch_add(1, Ordering::Relaxed);
    *state.figures.last_commit_ms.lock() = Some(parts.world.clock.now_ms());
    tracing::debug!(topic = %state.topic.name, rows = count, more, "committed");
    Ok(Commit { rows: count, more })
}

/// The topic's table, made or grown as its columns ask for.
async fn ready_table(parts: &Parts, state: &Arc<TopicState>) -> Result<(Arc<Table>, Arc<TopicTable>)> {
    let name = state.table_name();
    for _ in 0..ATTEMPTS {
        let columns = state.columns(parts).await?;
        let shape = serde_json::to_string(&columns.shape()).expect("a shape is JSON");
        let Some(table) = state.load_table(parts).await? else {
            parts.names.drop_table_of_former(&state.topic.name).await?;
            let new = NewTable::new(columns.schema.clone())
                .with_property(property::TOPIC_ID, state.topic.id.to_string())
                .with_property(property::LOG_ID, parts.log.cluster_id())
                .with_property(property::SHAPE, shape);
            return Ok((parts.tables.create(&name, new).await?, columns));
        };
        let conflicts = conflicts(&columns, &table);
        if !conflicts.is_empty() {
            if state.log_is_whole(parts).await? {
                tracing::info!(topic = %state.topic.name, columns = ?conflicts, "columns changed their type: building the table again from the log");
                parts.tables.drop(&name, true).await?;
                // The mark went with the table.
                return Err(Error::new(codes::PROGRESS_CONFLICT, format!("table `{name}` is built again")));
            }
            state.forget_columns();
            continue;
        }
        let fit = fit(&columns.schema, table.arrow_schema());
        let mut table = table;
        if !fit.changes.is_empty() {
            table = parts.tables.evolve(&name, fit.changes).await?;
        }
        if table.metadata().properties().get(property::SHAPE) != Some(&shape) {
            table = parts.tables.set_properties(&name, vec![(property::SHAPE.into(), shape)], Vec::new()).await?;
        }
        return Ok((table, columns));
    }
    Err(Error::new(codes::STREAM_COLUMNS_CONFLICT, format!("could not bring table `{name}` to its topic's columns")))
}

/// Decodes up to the end of what is committed at this moment and commits until the mark is there.
pub(crate) async fn flush(parts: &Parts, state: &Arc<TopicState>) -> Result<()> {
    begin(parts, state).await?;
    let goals = state.partitions.iter().map(|p| parts.log.bounds(&p.at).map(|b| b.last_stable));
    let goals = goals.collect::<Result<Vec<_>>>()?;
    loop {
        for (partition, goal) in state.partitions.iter().zip(&goals) {
            loop {
                let (end, mark) = partition.tail(|tail| (tail.end(), tail.mark));
                let enough = parts.budget.is_exceeded() && end > mark;
                if end >= *goal
                    || enough
                    || !advance(parts, state, partition, log_start(parts, partition, end)?).await?
                {
                    break;
                }
            }
        }
        commit(parts, state).await?;
        let reached = |(partition, goal): (&Arc<PartitionTail>, &i64)| partition.tail(|t| t.mark) >= *goal;
        if state.partitions.iter().zip(&goals).all(reached) {
            return Ok(());
        }
    }
}

/// Where decoding goes on for the writer: it steps over what is gone.
pub(crate) fn log_start(parts: &Parts, partition: &PartitionTail, end: i64) -> Result<i64> {
    Ok(parts.log.bounds(&partition.at)?.log_start.max(end))
}

fn total_rows(table: &Table) -> u64 {
    table
        .current_snapshot()
        .and_then(|snapshot| snapshot.summary().additional_properties.get("total-records")?.parse().ok())
        .unwrap_or(0)
}
