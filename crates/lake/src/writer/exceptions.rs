//! `_exceptions`: records that could not be decoded, with bytes, place and cause.
//!
//! Each is written once. The table's mark says up to where records were dealt with; what was written after it is found
//! again by reading `_exceptions` from a place that is kept in the same progress: where the first of it is, or else the end.
//! Only a start after a crash has to look.

use std::{collections::HashMap, sync::atomic::Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use commitlog::{
    Append, Isolation, TopicSpec,
    record::{BatchBuilder, Codec},
};
use model::{EXCEPTIONS_TOPIC, Offset, PartitionId, Result, TopicName, TopicPartition, error::codes};
use serde_json::{Value, json};
use tables::Progress;

use crate::{
    lake::Parts,
    tail::decode::{Rejected, sample},
    topic::TopicState,
};

/// From where on `_exceptions` has what is beyond the mark of the topic's table: a key in the table's progress.
pub(crate) const PROGRESS_KEY: &str = "_exceptions";

/// Bytes of one record kept at most: larger ones are cut, and say so.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
const BATCH_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 1 << 20;

/// Which records of a topic are in `_exceptions` beyond the mark.
#[derive(Default)]
pub(crate) struct Written {
    /// With an offset in `_exceptions` that they are not before. `None` until the first undecodable record after the start
    /// came: then those of before are looked up.
    known: Option<HashMap<(PartitionId, Offset), Offset>>,
    /// Where each partition ended at the start: of what came since, nothing was written before it.
    ends: Vec<Offset>,
    /// Per partition: all undecodable records below are written.
    pub until: Vec<Offset>,
}

/// Writes the undecodable records that `state` collected; they are durable when this returns.
pub(crate) async fn write(
    parts: &Parts,
    state: &TopicState,
    mark: Option<&Progress>,
    written: &mut Written,
) -> Result<()> {
    written.until.resize(state.partitions.len(), 0);
    if written.ends.is_empty() {
        let ends = state.partitions.iter().map(|partition| Ok(parts.log.bounds(&partition.at)?.log_end));
        written.ends = ends.collect::<Result<_>>()?;
    }
    for (index, partition) in state.partitions.iter().enumerate() {
        let (rejected, until) = partition.tail(|tail| tail.take_rejected());
        if !rejected.is_empty()
            && &*state.topic.name != EXCEPTIONS_TOPIC
            && let Err(error) = append(parts, state, &partition.at, &rejected, mark, written).await
        {
            // They are found again when the same records are decoded again.
            state.forget_decoded();
            return Err(error);
        }
        written.until[index] = until;
    }
    Ok(())
}

/// Notes that records were gone from the log before the table had them.
pub(crate) async fn note_loss(
    parts: &Parts,
    state: &TopicState,
    at: &TopicPartition,
    mark: Offset,
    log_start: Offset,
) -> Result<()> {
    let lost = Rejected {
        code: codes::RECORDS_LOST,
        part: "log",
        cause: format!("records {mark} to {} left the log before they were in the table", log_start - 1),
        schema_id: None,
        offset: mark,
        records: log_start - mark,
        timestamp: parts.world.clock.now_ms(),
        key: None,
        value: None,
    };
    tracing::warn!(topic = %at.topic, partition = at.partition, mark, log_start, "records left the log before they were in the table");
    append_all(parts, state, at, &[&lost]).await
}

async fn append(
    parts: &Parts,
    state: &TopicState,
    at: &TopicPartition,
    rejected: &[Rejected],
    mark: Option<&Progress>,
    written: &mut Written,
) -> Result<()> {
    if written.known.is_none() {
        let from = mark.and_then(|mark| mark.get(PROGRESS_KEY)).unwrap_or(0);
        written.known = Some(find(parts, &state.topic.name, &state.topic.id.to_string(), from).await?);
    }
    let known = written.known.as_mut().expect("set above");
    // What the table has dealt with is not decoded again; the rest may be, when columns change.
    let dealt_with = |partition: PartitionId| mark.and_then(|mark| mark.get(&partition.to_string())).unwrap_or(0);
    known.retain(|(partition, offset), _| *offset >= dealt_with(*partition));
    let fresh: Vec<_> = rejected.iter().filter(|bad| !known.contains_key(&(at.partition, bad.offset))).collect();
    let place = end(parts).unwrap_or(0);
    append_all(parts, state, at, &fresh).await?;
    state.figures.rejected.fetch_add(fresh.len() as u64, Ordering::Relaxed);
    known.extend(fresh.iter().map(|bad| ((at.partition, bad.offset), place)));
    Ok(())
}

async fn append_all(parts: &Parts, state: &TopicState, at: &TopicPartition, rejected: &[&Rejected]) -> Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let to = ensure_topic(parts).await?;
    let now = parts.world.clock.now_ms();
    let mut batch = BatchBuilder::new(Codec::Zstd);
    for bad in rejected {
        let key = format!("{at}-{}", bad.offset);
        let value = record(&state.topic.id.to_string(), at, bad).to_string();
        batch.push(now, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        if batch.size_bytes() > BATCH_BYTES_MAX {
            let full = std::mem::replace(&mut batch, BatchBuilder::new(Codec::Zstd));
            parts.log.append(&to, full.build(), Append { internal: true }).await?;
        }
    }
    if !batch.is_empty() {
        parts.log.append(&to, batch.build(), Append { internal: true }).await?;
    }
    Ok(())
}

fn record(topic_id: &str, at: &TopicPartition, bad: &Rejected) -> Value {
    let is_cut = [&bad.key, &bad.value].into_iter().flatten().any(|bytes| bytes.len() > PAYLOAD_BYTES_MAX);
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| STANDARD.encode(&b[..b.len().min(PAYLOAD_BYTES_MAX)]));
    json!({
        "topic": at.topic.as_str(),
        "record_partition": at.partition,
        "record_offset": bad.offset,
        "record_timestamp": bad.timestamp,
        "records": bad.records,
        "code": bad.code.name,
        "part": bad.part,
        "cause": bad.cause,
        "schema_id": bad.schema_id,
        "key_base64": bytes(&bad.key),
        "value_base64": bytes(&bad.value),
        "is_cut": is_cut,
        "topic_id": topic_id,
    })
}

/// What [`PROGRESS_KEY`] is with the mark `next`, after `mark`; `None` if there is no `_exceptions` yet.
pub(crate) fn place_beyond(
    parts: &Parts,
    written: &Written,
    mark: Option<&Progress>,
    next: &Progress,
) -> Option<Offset> {
    let dealt_with = |partition: PartitionId| next.get(&partition.to_string()).unwrap_or(0);
    let end = end(parts)?;
    let Some(known) = &written.known else {
        // Nobody has looked for what was written before the start. It stays where it can be found until the mark is past it.
        let is_past = (0..).zip(&written.ends).all(|(partition, end)| dealt_with(partition) >= *end);
        return Some(if is_past { end } else { mark.and_then(|mark| mark.get(PROGRESS_KEY)).unwrap_or(0) });
    };
    let beyond = known.iter().filter(|((partition, offset), _)| *offset >= dealt_with(*partition));
    Some(beyond.map(|(_, place)| *place).min().unwrap_or(end))
}

/// Where `_exceptions` ends now; `None` if there is no such topic yet.
fn end(parts: &Parts) -> Option<Offset> {
    parts.log.bounds(&partition()).ok().map(|bounds| bounds.last_stable)
}

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new(EXCEPTIONS_TOPIC).expect("a legal name"), 0)
}

async fn ensure_topic(parts: &Parts) -> Result<TopicPartition> {
    let to = partition();
    if parts.log.topic(&to.topic).is_none() {
        let spec = TopicSpec::new(to.topic.clone(), 1).with("max.message.bytes", &(64 << 20).to_string());
        match parts.log.create_topic(spec, false).await {
            Err(error) if error.kind() != model::ErrorKind::TopicExists => return Err(error),
            _ => {}
        }
    }
    Ok(to)
}

/// The records of a topic that are in `_exceptions` from `from` on, and where.
async fn find(
    parts: &Parts,
    topic: &str,
    topic_id: &str,
    from: Offset,
) -> Result<HashMap<(PartitionId, Offset), Offset>> {
    let mut found = HashMap::new();
    let at = partition();
    let Ok(bounds) = parts.log.bounds(&at) else { return Ok(found) };
    let mut position = from.max(bounds.log_start);
    while position < bounds.last_stable {
        let slice = parts.log.read(&at, position, READ_BYTES, Isolation::Committed).await?;
        let mut next = position;
        sample(&slice, &(position..bounds.last_stable), |record| {
            next = record.offset + 1;
            let Some(Ok(value)) = record.value.map(serde_json::from_slice::<Value>) else { return };
            let is_ours = value["topic"] == topic && value["topic_id"] == topic_id && value["part"] != "log";
            let place = value["record_partition"].as_i64().zip(value["record_offset"].as_i64());
            if let (true, Some((partition, offset))) = (is_ours, place) {
                let known = PartitionId::try_from(partition).ok().map(|partition| (partition, offset));
                found.extend(known.map(|known| (known, record.offset)));
            }
        })?;
        if next == position {
            break;
        }
        position = next;
    }
    Ok(found)
}
