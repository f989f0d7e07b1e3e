//! What must last is records in a compacted topic, the last value of each key; a record without a value takes it away.
//!
//! ```text
//! topic    key (JSON)                                               value (JSON)
//! __users  {"user": "…", "mechanism": "SCRAM-SHA-512"}              {"iterations": 8192, "salt": …, "stored_key": …, "server_key": …}
//! __users  {"secret": "nobody"}                                     {"bytes": …}
//! __acls   {"resource_type": "TOPIC", "resource": "…", "pattern":   {"since_ms": …, "by": "User:…"}
//!           "LITERAL", "principal": "User:…", "host": "*",
//!           "operation": "READ", "permission": "ALLOW"}
//! __acls   {"one_writer_of": "…"}                                   {"since_ms": …, "by": "User:…", "writer": "User:…"}
//! ```
//! Bytes in values are base64. A change of several keys is one batch: all of it lasts, or nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use commitlog::{
    log::{Append, Isolation, Log, TopicSpec},
    record::{self, BatchBuilder, Codec},
};
use model::{Error, ErrorKind, Result, TopicName, TopicPartition};
use serde::{Serialize, de::DeserializeOwned};
use world::World;

/// How much of a topic is read at a time when it is replayed.
const REPLAY_BYTES: usize = 4 << 20;
/// Largest block of it after decompression.
const RECORDS_BYTES_MAX: usize = 64 << 20;
/// Most records in one batch; changes are limited to it.
pub const CHANGES_MAX: usize = 10_000;

/// A topic of keys and values.
pub struct Store {
    log: Arc<dyn Log>,
    world: World,
    place: TopicPartition,
}

impl Store {
    /// Opens the topic if there is one, and returns what it holds. Records that are not understood are passed over.
    pub async fn open<K, V>(log: Arc<dyn Log>, world: World, topic: &str) -> Result<(Self, BTreeMap<K, V>)>
    where
        K: DeserializeOwned + Ord,
        V: DeserializeOwned,
    {
        let place = TopicPartition::new(TopicName::new(topic)?, 0);
        let store = Self { log, world, place };
        let held = if store.log.topic(topic).is_some() { store.replay().await? } else { BTreeMap::new() };
        Ok((store, held))
    }

    async fn replay<K: DeserializeOwned + Ord, V: DeserializeOwned>(&self) -> Result<BTreeMap<K, V>> {
        let mut held = BTreeMap::new();
        let mut next = self.log.bounds(&self.place)?.log_start;
        let mut unknown = 0;
        loop {
            let slice = self.log.read(&self.place, next, REPLAY_BYTES, Isolation::Uncommitted).await?;
            if slice.records.is_empty() {
                break;
            }
            for batch in record::batches(slice.records) {
                let batch = batch?;
                next = next.max(batch.header.next_offset());
                if batch.header.is_control() {
                    continue;
                }
                let block = batch.decompress(RECORDS_BYTES_MAX)?;
                for line in record::Records::new(&batch.header, &block) {
                    let line = line?;
                    let key = serde_json::from_slice(line.key.unwrap_or_default());
                    match (key, line.value.map(serde_json::from_slice)) {
                        (Ok(key), None) => drop(held.remove(&key)),
                        (Ok(key), Some(Ok(value))) => drop(held.insert(key, value)),
                        _ => unknown += 1,
                    }
                }
            }
        }
        if unknown > 0 {
            tracing::warn!(unknown, topic = %self.place.topic, "records that are not understood");
        }
        Ok(held)
    }

    /// Writes new values, or takes keys away; durable on return, all or nothing.
    pub async fn write<K: Serialize, V: Serialize>(&self, changes: &[(K, Option<V>)]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let json =
            |error: serde_json::Error| Error::internal(format!("a record could not be written as JSON: {error}"));
        let mut batch = BatchBuilder::new(Codec::None);
        let now = self.world.clock.now_ms();
        for (key, value) in changes {
            let key = serde_json::to_vec(key).map_err(json)?;
            let value = value.as_ref().map(serde_json::to_vec).transpose().map_err(json)?;
            batch.push(now, Some(&key), value.as_deref(), &[]);
        }
        self.append(batch.build()).await
    }

    async fn append(&self, batch: Bytes) -> Result<()> {
        let spec = TopicSpec::new(self.place.topic.clone(), 1)
            .with("cleanup.policy", "compact")
            .with("segment.bytes", "16777216")
            .with("max.message.bytes", "67108864");
        ensure(&*self.log, spec).await?;
        self.log.append(&self.place, batch, Append { internal: true }).await.map(drop)
    }
}

/// Makes the topic unless it is there.
pub(crate) async fn ensure(log: &dyn Log, spec: TopicSpec) -> Result<()> {
    if log.topic(&spec.name).is_some() {
        return Ok(());
    }
    match log.create_topic(spec, false).await {
        Err(error) if error.kind() != ErrorKind::TopicExists => Err(error),
        _ => Ok(()),
    }
}
