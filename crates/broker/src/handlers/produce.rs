//! Produce: batches from the frame to the log, untouched.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use commitlog::{
    Append, Appended, Topic,
    record::{Batch, Compression, Header, Records, recompress},
    transactions::{Identity, TransactionError},
};
use futures::future::BoxFuture;
use kafka_protocol::messages::{
    ProduceRequest, ProduceResponse, TopicName as WireTopic,
    produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
};
use model::{
    Error, Result, TopicPartition,
    error::codes::{RECORD_WITHOUT_KEY, SHUTTING_DOWN},
};
use uuid::Uuid;

use super::{code, errors, place, text};
use crate::{
    access::{self, Operation},
    dispatch::{Answering, Context, Outcome, encode},
    frame::{Malformed, Read, Reader},
    quotas::{Limit, throttle_ms},
    stats::TopicCounters,
};

/// Most partitions in one request.
const PARTITIONS_MAX: usize = 100_000;
/// Where a batch keeps its attributes, its last offset delta, and how long its header is.
const ATTRIBUTES_AT: usize = 21;
const RECORD_COUNT_AT: usize = 57;
const HEADER_BYTES: usize = 61;
const CODEC_MASK: u8 = 0b111;
const CODEC_ZSTD: u8 = 4;
/// From this version on answers tell which records are wrong.
const RECORD_ERRORS_FROM: i16 = 8;
/// Most records that are told one by one; the batch's own error is for the rest.
const RECORD_ERRORS_MAX: usize = 100;
/// Largest block that is looked into for that; the log does not look into larger ones either.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// Batches up to this are compressed where they arrive; larger ones take turns, so that others are answered meanwhile.
const COMPRESSED_AT_ONCE_BYTES_MAX: usize = 16 << 10;
/// Largest block that is compressed anew: what a batch of the largest size may well hold, and not what one can claim to hold.
const FITTED_BYTES_MAX: usize = 64 << 20;
const UNFIT: &str = "the batch cannot be compressed as the topic's compression.type asks: it is damaged, or too large";
/// First version that is the second transaction protocol (KIP-890), and first that names topics by id (KIP-516).
const TRANSACTIONS_V2_FROM: i16 = 12;
const TOPIC_IDS_FROM: i16 = 13;

/// The request as read: nothing of it is appended before all of it is.
pub(crate) struct Wanted<'a> {
    /// Empty if null.
    transactional_id: &'a str,
    acks: i16,
    pub(crate) topics: Vec<WantedTopic<'a>>,
}

/// A topic by its name (up to version 12) or id (from 13), and batches by partition.
pub(crate) struct WantedTopic<'a> {
    name: &'a str,
    id: Uuid,
    pub(crate) partitions: Vec<(i32, Option<Bytes>)>,
}

/// One topic of the request and what became of its partitions.
struct TopicAppends {
    name: WireTopic,
    id: Uuid,
    partitions: Vec<(i32, PartitionAppend)>,
}

enum PartitionAppend {
    Refused(i16, &'static str),
    Going(Going),
}

struct Going {
    append: BoxFuture<'static, Result<Appended>>,
    counters: Arc<TopicCounters>,
    records: u64,
    bytes: u64,
    /// The batch, where the answer says which of its records have no key.
    keyed: Option<Bytes>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn parse(body: &'a Bytes, version: i16) -> Read<Self> {
        let compact = version >= 9;
        let mut reader = Reader::new(body);
        let transactional_id = reader.text(compact)?.unwrap_or("");
        let acks = reader.i16()?;
        let _timeout_ms = reader.i32()?; // The disk is as fast as it is; there are no replicas to wait for.
        let mut things = 0;
        let mut topics = Vec::new();
        for _ in 0..reader.count(compact, 2)? {
            let (name, id) = if version >= TOPIC_IDS_FROM {
                ("", reader.uuid()?)
            } else {
                (reader.text(compact)?.unwrap_or(""), Uuid::nil())
            };
            let count = reader.count(compact, 5)?;
            things += count + 1;
            if things > PARTITIONS_MAX {
                return Err(Malformed::TooMany);
            }
            let mut partitions = Vec::with_capacity(count);
            for _ in 0..count {
                partitions.push((reader.i32()?, reader.blob(compact)?));
                if compact {
                    reader.tags()?;
                }
            }
            if compact {
                reader.tags()?;
            }
            topics.push(WantedTopic { name, id, partitions });
        }
        if compact {
            reader.tags()?;
        }
        Ok(Self { transactional_id, acks, topics })
    }

    fn is_transactional(&self) -> bool {
        let mut batches = self.topics.iter().flat_map(|topic| &topic.partitions);
        batches.any(|(_, batch)| batch.as_ref().is_some_and(|batch| transaction_of(batch).is_some()))
    }
}

/// Appends fix their place in the log before this returns; the future it gives waits until they are durable.
pub(crate) async fn produce(context: Context, body: &Bytes) -> Read<Pin<Box<Answering>>> {
    let version = context.version;
    let wanted = Wanted::parse(body, version)?;
    let wait = context.charge(Limit::Produce, body.len() as f64);
    // The batches say which transaction they belong to; the id says who may write to it.
    let may_use_id = !wanted.is_transactional()
        || !wanted.transactional_id.is_empty()
            && context.authorize(Operation::Write, access::transactional_id(wanted.transactional_id)).is_ok();
    // Whoever may not write to a topic does not learn whether it exists.
    let may = |wanted: &WantedTopic<'_>| match topic(&context, wanted) {
        Some(topic) => context.authorize(Operation::Write, access::topic(&topic.name)).is_ok(),
        None if version >= TOPIC_IDS_FROM => true, // There is none with this id, and so nothing to learn.
        None => context.authorize(Operation::Write, access::topic(wanted.name)).is_ok(),
    };
    let may_write: Vec<bool> = wanted.topics.iter().map(|topic| may_use_id && may(topic)).collect();
    let not_added = match version >= TRANSACTIONS_V2_FROM {
        true => add_partitions(&context, &wanted, &may_write).await,
        false => Ok(()),
    };
    let Wanted { acks, mut topics, transactional_id } = wanted;
    let unfit = fit(&context, &mut topics, &may_write).await;
    let refusal = if !may_use_id {
        Some((errors::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "the client may not use this transactional id"))
    } else if !(-1..=1).contains(&acks) {
        Some((errors::INVALID_REQUIRED_ACKS, "acks is none of -1, 0 and 1"))
    } else {
        None
    };
    // Like adding partitions this comes before the next request is read: each connection has one request that waits, and none
    // gets in twice before another that has waited as long.
    context.shared.log.writable().await;
    let mut appends = Vec::with_capacity(topics.len());
    for (at, (wanted, may)) in topics.into_iter().zip(may_write).enumerate() {
        let topic = topic(&context, &wanted);
        let WantedTopic { name, id, partitions } = wanted;
        let counters = topic.as_ref().map(|t| context.shared.stats.topic(&t.name));
        let start = |(index, batch): (i32, Option<Bytes>)| {
            let append = match (&topic, &counters, batch) {
                _ if refusal.is_some() => refused(refusal.expect("is some")),
                _ if !may => refused((errors::TOPIC_AUTHORIZATION_FAILED, "the client may not write to this topic")),
                (Some(topic), Some(counters), Some(batch)) => match place(topic, index) {
                    None => refused((errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition")),
                    Some(_) if topic.name.is_protected() => {
                        refused((errors::INVALID_TOPIC, "the topic is kept by Lakehead itself"))
                    }
                    Some(_) if unfit.contains_key(&(at, index)) => refused((unfit[&(at, index)], UNFIT)),
                    Some(place) => match check(&batch, version) {
                        Err(refusal) => refused(refusal),
                        Ok(records) => {
                            let bytes = batch.len() as u64;
                            let keyed = topic.config.cleanup.compact.then(|| batch.clone());
                            match append(&context, transactional_id, &place, batch, not_added) {
                                Err(refusal) => refused(refusal),
                                Ok(append) => {
                                    let counters = counters.clone();
                                    PartitionAppend::Going(Going { append, counters, records, bytes, keyed })
                                }
                            }
                        }
                    },
                },
                (Some(_), _, _) => refused((errors::INVALID_RECORD, "there are no records")),
                (None, _, _) if version >= TOPIC_IDS_FROM => {
                    refused((errors::UNKNOWN_TOPIC_ID, "there is no topic with this id"))
                }
                (None, _, _) => refused((errors::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic")),
            };
            (index, append)
        };
        let partitions = partitions.into_iter().map(start).collect();
        appends.push(TopicAppends { name: WireTopic(text(name)), id, partitions });
    }
    Ok(Box::pin(finish(context, acks, appends, wait)))
}

/// Compresses batches as their topics want them. Those that cannot be, by the topic's place in the request and the partition, with
/// the code to answer. Like adding partitions this comes before anything is appended and before the next request is read.
async fn fit(context: &Context, topics: &mut [WantedTopic<'_>], may_write: &[bool]) -> HashMap<(usize, i32), i16> {
    let mut unfit = HashMap::new();
    for (at, (wanted, _)) in topics.iter_mut().zip(may_write).enumerate().filter(|(_, (_, may))| **may) {
        let Some(topic) = topic(context, wanted) else { continue };
        let Some(to) = topic.config.compression() else { continue };
        for (index, batch) in &mut wanted.partitions {
            // What the log refuses anyway is not looked into.
            let taken = |batch: &&mut Bytes| {
                batch.len() <= topic.config.batch_bytes_max && check(batch, context.version).is_ok()
            };
            let Some(batch) = batch.as_mut().filter(taken) else { continue };
            match compressed(context, batch, to).await {
                Ok(compressed) => *batch = compressed,
                Err(error) => drop(unfit.insert((at, *index), code(&error))),
            }
        }
    }
    unfit
}

async fn compressed(context: &Context, batch: &Bytes, to: Compression) -> Result<Bytes> {
    let is_so = Header::parse(batch).and_then(|header| header.codec()).is_ok_and(|codec| codec == to.codec);
    if is_so {
        return Ok(batch.clone());
    }
    if batch.len() <= COMPRESSED_AT_ONCE_BYTES_MAX {
        return recompress(batch, to, FITTED_BYTES_MAX);
    }
    let stopping = || Error::new(SHUTTING_DOWN, "the node stops");
    let _turn = context.shared.compressing.acquire().await.map_err(|_| stopping())?;
    let (batch, clock) = (batch.clone(), context.shared.world.clock.clone());
    let fitted = tokio::task::spawn_blocking(move || {
        let start = clock.monotonic();
        (recompress(&batch, to, FITTED_BYTES_MAX), clock.monotonic().saturating_sub(start))
    });
    let (fitted, took) = fitted.await.map_err(|_| stopping())?;
    if let Some(spent) = &context.spent {
        spent.add(took);
    }
    fitted
}

/// With the second transaction protocol what is written to a partition adds it to the transaction (KIP-890). This waits for the
/// disk, once per partition and transaction, before anything of the request is appended and before the next one is read: a
/// producer's batches must not overtake each other.
async fn add_partitions(context: &Context, wanted: &Wanted<'_>, may_write: &[bool]) -> Result<(), TransactionError> {
    let id = wanted.transactional_id;
    let mut partitions: BTreeMap<Identity, BTreeSet<TopicPartition>> = BTreeMap::new();
    let allowed = wanted.topics.iter().zip(may_write).filter_map(|(topic, may)| may.then_some(topic));
    for wanted in allowed {
        let Some(topic) = topic(context, wanted).filter(|topic| !topic.name.is_protected()) else { continue };
        for (index, batch) in &wanted.partitions {
            let who = batch.as_ref().and_then(|batch| transaction_of(batch));
            let who = who.filter(|who| context.shared.transactions.is_of(id, who.producer));
            if let (Some(who), Some(place)) = (who, place(&topic, *index)) {
                partitions.entry(who).or_default().insert(place);
            }
        }
    }
    for (who, partitions) in partitions {
        context.shared.transactions.add_missing(id, who, partitions).await?;
    }
    Ok(())
}

/// `not_added`: what came of adding partitions to the transaction.
fn append(
    context: &Context,
    transactional_id: &str,
    to: &TopicPartition,
    batch: Bytes,
    not_added: Result<(), TransactionError>,
) -> Result<BoxFuture<'static, Result<Appended>>, (i16, &'static str)> {
    let transactions = &context.shared.transactions;
    let Some(who) = transaction_of(&batch) else {
        // Else anybody could write under the id of a transactional producer, and stand in its way.
        if Header::parse(&batch).is_ok_and(|header| transactions.is_transactional(header.producer_id)) {
            return Err((errors::INVALID_TXN_STATE, "the producer writes in transactions only"));
        }
        // The log refuses what is no batch.
        return Ok(context.shared.log.append(to, batch, Append::default()));
    };
    // The id says who may write, so the producer must be the id's.
    if !transactions.is_of(transactional_id, who.producer) {
        return Err((errors::INVALID_PRODUCER_ID_MAPPING, "the producer id does not belong to the transactional id"));
    }
    let appended = not_added.and_then(|()| transactions.append(to, batch, who));
    appended.map_err(|error| match error {
        TransactionError::EpochOld | TransactionError::Fenced => {
            (errors::INVALID_PRODUCER_EPOCH, "a newer producer has taken over")
        }
        TransactionError::StateInvalid if context.version >= 11 => {
            (errors::TRANSACTION_ABORTABLE, "the partition is not in an open transaction of the producer")
        }
        // Only the second protocol asks the coordinator here.
        TransactionError::MappingInvalid if context.version >= TRANSACTIONS_V2_FROM => {
            (error.kafka_code(), "the producer id does not belong to the transactional id")
        }
        TransactionError::Concurrent => {
            (error.kafka_code(), "the producer's transaction before is being completed: try again")
        }
        TransactionError::NotAvailable => {
            // Clients try again after this one (KIP-890), and not after what the coordinator itself would say.
            (errors::NOT_ENOUGH_REPLICAS, "the transaction coordinator cannot write its records")
        }
        TransactionError::TooMany => (error.kafka_code(), "the transaction has as many partitions as it may have"),
        _ => (errors::INVALID_TXN_STATE, "the partition is not in an open transaction of the producer"),
    })
}

/// Who writes a batch, if it belongs to a transaction.
fn transaction_of(batch: &[u8]) -> Option<Identity> {
    let header = Header::parse(batch).ok().filter(Header::is_transactional);
    header.map(|header| Identity { producer: header.producer_id, epoch: header.producer_epoch })
}

/// The topic that is wanted, by id if it has no name.
fn topic(context: &Context, wanted: &WantedTopic<'_>) -> Option<Arc<Topic>> {
    match context.version >= TOPIC_IDS_FROM {
        true => context.shared.log.topic_by_id(wanted.id),
        false => context.shared.log.topic(wanted.name),
    }
}

fn refused((code, why): (i16, &'static str)) -> PartitionAppend {
    PartitionAppend::Refused(code, why)
}

/// What depends on the version of the request, and how many records the batch says it has. The log checks the rest.
pub(crate) fn check(batch: &[u8], version: i16) -> Result<u64, (i16, &'static str)> {
    if batch.len() < HEADER_BYTES {
        return Err((errors::INVALID_RECORD, "the batch is shorter than its header"));
    }
    let attributes = batch[ATTRIBUTES_AT + 1];
    if attributes & CODEC_MASK == CODEC_ZSTD && version < 7 {
        return Err((errors::UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7"));
    }
    let count = batch[RECORD_COUNT_AT..HEADER_BYTES].try_into().expect("four bytes");
    Ok(u64::from(u32::from_be_bytes(count)))
}

/// The records of a batch that have no key (KIP-467).
fn without_key(batch: &Bytes) -> Vec<BatchIndexAndErrorMessage> {
    let Ok(batch) = Batch::parse(batch) else { return Vec::new() };
    let Ok(block) = batch.decompress(BLOCK_BYTES_MAX) else { return Vec::new() };
    let refusal = |index| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some("a record of a compacted topic needs a key".into()))
    };
    let records = (0..).zip(Records::new(&batch.header, &block));
    let without = records.filter(|(_, record)| record.as_ref().is_ok_and(|r| r.key.is_none()));
    without.map(|(at, _)| refusal(at)).take(RECORD_ERRORS_MAX).collect()
}

async fn finish(context: Context, acks: i16, appends: Vec<TopicAppends>, wait: Duration) -> Outcome {
    let stats = &context.shared.stats;
    let mut failed = None;
    let mut topics = Vec::with_capacity(appends.len());
    for topic in appends {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, append) in topic.partitions {
            let response = PartitionProduceResponse::default().with_index(index);
            let response = match append {
                PartitionAppend::Refused(code, why) => {
                    response.with_error_code(code).with_base_offset(-1).with_error_message(Some(why.into()))
                }
                PartitionAppend::Going(Going { append, counters, records, bytes, keyed }) => match append.await {
                    Ok(appended) => {
                        if !appended.duplicate {
                            stats.batches_in.fetch_add(1, Relaxed);
                            stats.records_in.fetch_add(records, Relaxed);
                            counters.batches_in.fetch_add(1, Relaxed);
                            counters.records_in.fetch_add(records, Relaxed);
                            counters.bytes_in.fetch_add(bytes, Relaxed);
                        }
                        response
                            .with_base_offset(appended.base_offset)
                            .with_log_append_time_ms(appended.log_append_time)
                            .with_log_start_offset(appended.log_start)
                    }
                    Err(error) => {
                        let refused =
                            keyed.filter(|_| context.version >= RECORD_ERRORS_FROM && error.is(RECORD_WITHOUT_KEY));
                        response
                            .with_error_code(code(&error))
                            .with_base_offset(-1)
                            .with_error_message(Some(text(&error.to_string())))
                            .with_record_errors(refused.map(|batch| without_key(&batch)).unwrap_or_default())
                    }
                },
            };
            if response.error_code != 0 {
                stats.errors.fetch_add(1, Relaxed);
                failed.get_or_insert(response.error_code);
            }
            partitions.push(response);
        }
        topics.push(
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_topic_id(topic.id)
                .with_partition_responses(partitions),
        );
    }
    match (acks, failed) {
        (0, None) => Outcome::Silence,
        // Nobody would read a response; closing is the only way to be noticed.
        (0, Some(code)) => Outcome::Close(format!("a Produce request without acks failed with error code {code}")),
        _ => {
            let response = ProduceResponse::default().with_throttle_time_ms(throttle_ms(wait)).with_responses(topics);
            encode::<ProduceRequest>(&context, &response)
        }
    }
}
