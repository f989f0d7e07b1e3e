//! What a batch must be before it gets an offset.

use bytes::Bytes;
use model::{
    Error, Result, TimestampMs,
    error::codes::{
        BATCH_CORRUPT, BATCH_INVALID, BATCH_LARGER_THAN_SEGMENT, BATCH_TOO_LARGE, RECORD_UNREADABLE,
        RECORD_WITHOUT_KEY, TIMESTAMP_INVALID, TRANSACTION_NOT_OPEN,
    },
};

use super::compaction::KEYS_BLOCK_BYTES_MAX;
use crate::{
    log::Append,
    record::{HEADER_BYTES, Header, Marker, NO_TIMESTAMP, Record, Records, decompress},
    topic::TopicConfig,
};

/// A batch that may be admitted: its header, to be patched, and the rest, which stays as it came.
pub(crate) struct Checked {
    pub(crate) header: Header,
    pub(crate) records: Bytes,
    /// What it says if it is a control batch.
    pub(crate) marker: Option<Marker>,
}

/// Largest block of records: who reads them needs so much memory, compaction among them.
const DECODED_BYTES_MAX: usize = KEYS_BLOCK_BYTES_MAX;

/// Largest batch that Lakehead itself writes.
const INTERNAL_BATCH_BYTES_MAX: usize = 64 << 20;

/// Checks a batch and the records in it (Kafka's `LogValidator.java`).
pub(crate) fn check_batch(bytes: &Bytes, how: Append, config: &TopicConfig, now: TimestampMs) -> Result<Checked> {
    let mut header = Header::parse(bytes)?;
    match header.size() {
        size if size > bytes.len() => {
            return Err(Error::new(BATCH_CORRUPT, "a record batch is cut short")
                .detail(format!("it says it has {size} bytes, {} came", bytes.len())));
        }
        size if size < bytes.len() => {
            return Err(invalid(format!(
                "exactly one batch is taken at a time; {} bytes follow it",
                bytes.len() - size
            )));
        }
        _ => {}
    }
    // Markers fit into any topic, and what we keep of others has limits of its own: a segment may be larger for once.
    let batch_bytes_max = if how.internal { INTERNAL_BATCH_BYTES_MAX } else { config.batch_bytes_max };
    if bytes.len() > batch_bytes_max {
        return Err(Error::new(BATCH_TOO_LARGE, format!("a record batch of {} bytes is too large", bytes.len()))
            .detail(format!("the topic's max.message.bytes is {}", config.batch_bytes_max)));
    }
    if !how.internal && bytes.len() as u64 > config.segment_bytes {
        return Err(Error::new(
            BATCH_LARGER_THAN_SEGMENT,
            format!("a record batch of {} bytes is too large", bytes.len()),
        )
        .detail(format!("the topic's segment.bytes is {}", config.segment_bytes)));
    }
    if !header.crc_matches(bytes) {
        return Err(Error::new(BATCH_CORRUPT, "a record batch arrived damaged")
            .detail(format!("its checksum is not the {:#010x} it carries", header.crc)));
    }
    header.codec()?;
    if header.count <= 0 || header.last_offset_delta != header.count - 1 {
        return Err(invalid(format!("{} records, last offset delta {}", header.count, header.last_offset_delta)));
    }
    if header.is_control() && !how.internal {
        return Err(invalid("control batches are not taken from clients".to_owned()));
    }
    if header.is_transactional() && header.producer_id < 0 {
        return Err(Error::new(TRANSACTION_NOT_OPEN, "a batch of a transaction names no producer"));
    }
    let lacks_sequence = header.base_sequence < 0 && !(how.internal && header.has_no_sequence());
    if header.producer_id >= 0 && (lacks_sequence || header.producer_epoch < 0) {
        return Err(invalid(format!(
            "producer {} with sequence {} and epoch {}",
            header.producer_id, header.base_sequence, header.producer_epoch
        )));
    }
    if header.delete_horizon().is_some() {
        return Err(invalid("only compaction gives delete horizons".to_owned()));
    }
    let records = bytes.slice(HEADER_BYTES..);
    if header.is_log_append_time() {
        return Err(invalid("only the log itself gives append times".to_owned()));
    }
    let block = decompress(header.codec()?, &records, DECODED_BYTES_MAX).map_err(|error| {
        // Trying again would not help.
        if error.code() == RECORD_UNREADABLE { invalid(error.to_string()) } else { error }
    })?;
    let max_timestamp = check_records(&header, &block, config, now)?;
    if config.cleanup.compact && !header.is_control() {
        check_keys(&header, &block)?;
    }
    if config.log_append_time {
        header.set_log_append_time(now);
        header.seal(&records);
    } else if header.max_timestamp != max_timestamp {
        // Looking for a time relies on it. As in Kafka, what the records say counts.
        header.max_timestamp = max_timestamp;
        header.seal(&records);
    }
    let marker = Marker::of(&header, &records)?;
    Ok(Checked { header, records, marker })
}

/// The records are what the header says: readers stop for good at a batch that is not. Gives the newest of their times.
fn check_records(header: &Header, block: &[u8], config: &TopicConfig, now: TimestampMs) -> Result<TimestampMs> {
    let (before_max, after_max) = (config.timestamp_before_ms_max, config.timestamp_after_ms_max);
    let times = now.saturating_sub(before_max)..=now.saturating_add(after_max);
    let mut newest = NO_TIMESTAMP;
    for (number, record) in (0..).zip(Records::new(header, block)) {
        let record = record.map_err(|error| invalid(error.to_string()))?;
        let told = record.offset - header.base_offset;
        if told != number {
            return Err(invalid(format!("record {number} says it is number {told}")));
        }
        let time = record.timestamp;
        if !config.log_append_time && time != NO_TIMESTAMP && !times.contains(&time) {
            return Err(Error::new(
                TIMESTAMP_INVALID,
                format!("a record's timestamp {time} is too far from the node's clock {now}"),
            )
            .detail(format!("allowed are {before_max} ms before and {after_max} ms after"))
            .hint("timestamps are milliseconds since 1970"));
        }
        newest = newest.max(time);
    }
    Ok(newest)
}

/// Compaction tells records apart by their keys.
fn check_keys(header: &Header, block: &[u8]) -> Result<()> {
    let lacks_key = |record: &Result<Record<'_>>| record.as_ref().is_ok_and(|record| record.key.is_none());
    match Records::new(header, block).position(|record| lacks_key(&record)) {
        None => Ok(()),
        Some(index) => Err(Error::new(RECORD_WITHOUT_KEY, "a record of a compacted topic has no key")
            .detail(format!("record {index} of the batch"))
            .hint("compaction keeps the last record of each key, so every record needs one")),
    }
}

fn invalid(detail: String) -> Error {
    Error::new(BATCH_INVALID, "a record batch breaks the format's rules").detail(detail)
}
