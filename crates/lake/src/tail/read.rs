//! Reading the tail: from the cache where it is decoded, from the log where it is not, each record once.

use std::{ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use commitlog::{Isolation, Slice};
use futures::{Stream, stream};
use model::{Error, Offset, Result, error::codes};

use super::{
    TailFilter, TopicPin,
    adapt::{Adapted, adapt},
    core::{Chunk, Found, joined},
    decode::{DecodedSlice, SliceDecoder},
};
use crate::{
    TopicTable,
    lake::Parts,
    topic::{PartitionTail, TopicState},
};

/// Slices larger than this are decoded on a thread of their own, so that doors answer meanwhile.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// Slices decoded at most to find out about new columns.
const CATCH_UP_SLICES: usize = 16;

/// Undecodable records kept for `_exceptions` at most, in bytes, before decoding waits for them to be written.
const REJECTED_BYTES_MAX: usize = 16 << 20;

/// The records of `pin` that are not in its table, partition after partition, decoded as the stream is read.
pub(crate) fn stream(
    parts: Arc<Parts>,
    pin: TopicPin,
    filter: TailFilter,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let start = (Arc::new((parts, pin, filter)), 0usize, None);
    stream::try_unfold(start, |(what, mut index, mut range)| async move {
        let (parts, pin, filter) = &*what;
        let state = parts.state_behind(&pin.topic)?;
        while let (Some(partition), Some(all)) = (state.partitions.get(index), pin.tail.get(index)) {
            let mut left = range.take().unwrap_or_else(|| filter.offsets_of(partition.at.partition, all));
            while left.start < left.end {
                let (rows, next) = step(parts, &state, partition, &pin.topic, &left, filter, Reader::Query).await?;
                left.start = next;
                if let Some(rows) = rows.filter(|rows| rows.num_rows() > 0) {
                    return Ok(Some((rows, (what, index, Some(left)))));
                }
            }
            index += 1;
        }
        Ok(None)
    })
}

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Sees the columns it was planned with.
    Query,
    /// Must not leave out a column: when there are new ones it begins again.
    Writer,
}

fn columns_changed(topic: &TopicTable) -> Error {
    Error::new(codes::COMMIT_CONFLICT, format!("the columns of `{}` changed during a commit", topic.topic))
}

/// The next rows of `range` (all of which must be committed), and where to go on.
pub(crate) async fn step(
    parts: &Parts,
    state: &Arc<TopicState>,
    partition: &Arc<PartitionTail>,
    topic: &Arc<TopicTable>,
    range: &Range<Offset>,
    filter: &TailFilter,
    reader: Reader,
) -> Result<(Option<RecordBatch>, Offset)> {
    loop {
        let found = partition.tail(|tail| if tail.is_begun { tail.core.find(range.start) } else { Found::End });
        match found {
            Found::Chunk(chunk) => {
                let next = chunk.range.end.min(range.end);
                if !filter.wants_times(chunk.timestamps) {
                    return Ok((None, next));
                }
                match (adapt(chunk.rows(range), &topic.schema)?, reader) {
                    (Adapted::Whole(rows), _) | (Adapted::Part(rows), Reader::Query) => return Ok((Some(rows), next)),
                    (Adapted::Misfit, Reader::Query) => {
                        return cold(parts, state, partition, topic, range.start..next, filter, reader).await;
                    }
                    (_, Reader::Writer) => return Err(columns_changed(topic)),
                }
            }
            Found::Cold { until } => {
                let range = range.start..until.min(range.end);
                return cold(parts, state, partition, topic, range, filter, reader).await;
            }
            Found::End => advance(parts, state, partition, range.start).await?,
        };
    }
}

/// Decodes what follows the decoded tail, one slice of it, for everyone. `position`: where the reader who asks is. False if
/// there was nothing.
pub(crate) async fn advance(
    parts: &Parts,
    state: &Arc<TopicState>,
    partition: &Arc<PartitionTail>,
    position: Offset,
) -> Result<bool> {
    let mut decoder = partition.decoder.lock().await;
    loop {
        let from = partition.tail(|tail| {
            if !tail.is_begun {
                tail.begin(tail.mark.min(position));
            } else if position > tail.core.end() {
                // Another process committed what lies between.
                tail.begin(position);
            }
            tail.core.end()
        });
        let bounds = parts.log.bounds(&partition.at)?;
        if bounds.last_stable <= from {
            return Ok(false);
        }
        if bounds.log_start > from {
            // What lies between was never in the table, or is there by now: a reader that needs it learns so in `pin`.
            if position >= bounds.log_start {
                partition.tail(|tail| tail.begin(bounds.log_start));
                continue;
            }
            return Err(gap(&partition.at, from, bounds.log_start));
        }
        let slice = parts.log.read(&partition.at, from, parts.settings.decode_bytes, Isolation::Committed).await?;
        if slice.records.is_empty() {
            return Ok(false);
        }
        let wanted = from..slice.bounds.last_stable;
        let topic = state.columns(parts).await?;
        let ready = match decoder.take().filter(|decoder| Arc::ptr_eq(decoder.table(), &topic)) {
            Some(decoder) => decoder,
            None => SliceDecoder::new(&topic, parts.schemas(), true)?,
        };
        let (ready, decoded) = run(ready, partition, slice.clone(), wanted).await?;
        *decoder = Some(ready);
        if state.wants_growth(&topic, &decoded) && state.grow(parts, &topic, &slice, &decoded).await? {
            continue;
        }
        if decoded.range.is_empty() {
            return Err(Error::internal(format!("decoding of {} does not move on from {from}", partition.at)));
        }
        keep(parts, state, partition, decoded)?;
        return Ok(true);
    }
}

/// Decodes what came since, within reason: a long backlog is left to those who read it.
pub(crate) async fn catch_up(parts: &Parts, state: &Arc<TopicState>) -> Result<()> {
    let mut slices = CATCH_UP_SLICES;
    for partition in &state.partitions {
        loop {
            let end = partition.tail(|tail| tail.end());
            let bounds = parts.log.bounds(&partition.at)?;
            if slices == 0 || bounds.last_stable <= end || parts.budget.is_exceeded() {
                break;
            }
            slices -= 1;
            advance(parts, state, partition, bounds.log_start.max(end)).await?;
        }
    }
    Ok(())
}

/// Puts a decoded slice behind the others and keeps within the budget.
fn keep(parts: &Parts, state: &TopicState, partition: &PartitionTail, decoded: DecodedSlice) -> Result<()> {
    let is_written = state.is_written.load(std::sync::atomic::Ordering::Acquire);
    let chunk = Chunk::new(decoded.range, decoded.batch, decoded.timestamps);
    partition.tail(|tail| {
        // The columns may have changed under us: then all is decoded again.
        if tail.is_begun && tail.core.end() == chunk.range.start {
            tail.core.append(chunk);
            if is_written {
                tail.reject(decoded.rejected);
            }
        }
    });
    while let Some(pair) = partition.tail(|tail| tail.core.joinable()) {
        let together = joined(&pair.0, &pair.1)?;
        if !partition.tail(|tail| tail.core.join(&pair, together)) {
            break;
        }
    }
    if parts.budget.is_exceeded() {
        parts.trim_committed();
        while parts.budget.is_exceeded() && partition.tail(|tail| tail.core.evict()) {}
    }
    Ok(())
}

/// Whether so many undecodable records wait to be written that decoding shall wait too.
pub(crate) fn rejects_too_many(partition: &PartitionTail) -> bool {
    partition.tail(|tail| tail.rejected_bytes > REJECTED_BYTES_MAX)
}

/// Reads what is not decoded (any more), for one reader only.
async fn cold(
    parts: &Parts,
    state: &TopicState,
    partition: &PartitionTail,
    topic: &Arc<TopicTable>,
    range: Range<Offset>,
    filter: &TailFilter,
    reader: Reader,
) -> Result<(Option<RecordBatch>, Offset)> {
    // A query may look with columns of a moment ago: a record that has more by now is a row without it, not no row.
    let is_current = || state.last_columns().is_some_and(|columns| Arc::ptr_eq(&columns, topic));
    let keep_whole = reader == Reader::Writer || is_current();
    let slice = decode_cold(parts, partition, topic, range, keep_whole).await?;
    if reader == Reader::Writer {
        // Most of them are written by now, and are not written twice. But columns may have changed since they were decoded.
        partition.tail(|tail| tail.reject(slice.rejected));
    }
    let rows = filter.wants_times(slice.timestamps).then_some(slice.batch);
    Ok((rows, slice.range.end))
}

async fn decode_cold(
    parts: &Parts,
    partition: &PartitionTail,
    topic: &Arc<TopicTable>,
    range: Range<Offset>,
    keep_whole: bool,
) -> Result<DecodedSlice> {
    let bounds = parts.log.bounds(&partition.at)?;
    if bounds.log_start > range.start {
        return Err(gap(&partition.at, range.start, bounds.log_start));
    }
    let slice = parts.log.read(&partition.at, range.start, parts.settings.decode_bytes, Isolation::Committed).await?;
    // What the table has got meanwhile compaction may have taken, and the reader looks at the table as it was.
    let compacted_to = parts.log.compacted_to(&partition.at)?;
    if compacted_to > range.start && partition.tail(|tail| tail.mark) > range.start {
        return Err(gap(&partition.at, range.start, compacted_to));
    }
    let decoder = SliceDecoder::new(topic, parts.schemas(), keep_whole)?;
    let from = range.start;
    let (_, mut decoded) = run(decoder, partition, slice, range.clone()).await?;
    if decoded.range.is_empty() {
        // Nothing but a hole (records that retention or compaction took) up to the end.
        decoded.range = from..range.end;
    }
    Ok(decoded)
}

async fn run(
    mut decoder: SliceDecoder,
    partition: &PartitionTail,
    slice: Slice,
    wanted: Range<Offset>,
) -> Result<(SliceDecoder, DecodedSlice)> {
    let number = partition.at.partition;
    if slice.records.len() <= INLINE_BYTES_MAX {
        let decoded = decoder.decode(number, &slice, wanted)?;
        return Ok((decoder, decoded));
    }
    let decode = move || decoder.decode(number, &slice, wanted).map(|decoded| (decoder, decoded));
    tokio::task::spawn_blocking(decode)
        .await
        .map_err(|e| Error::internal(format!("could not decode records of {}", partition.at)).detail(e.to_string()))?
}

pub(crate) fn gap(at: &model::TopicPartition, mark: Offset, log_start: Offset) -> Error {
    Error::new(codes::TOPIC_HISTORY_GAP, format!("could not read `{}` without a gap", at.topic))
        .detail(format!("partition {} of the table ends at {mark}, its log begins at {log_start}", at.partition))
        .hint("a node with the role `lake` notes the loss and goes on; try again once it did")
}
