//! The topic `_schemas`: reading, appending, rewriting.

use std::sync::Arc;

use commitlog::{
    log::{Append, Isolation, Log, TopicSpec},
    record::{BatchBuilder, Codec, Records, batches},
};
use model::{Error, ErrorKind, Offset, Result, SCHEMAS_TOPIC, TopicName, TopicPartition, error::codes};
use schemas::registry::Record;
use world::World;

const READ_BYTES: usize = 4 << 20;
/// Uncompressed size of a batch; a single record may be larger.
const BATCH_BYTES: usize = 512 << 10;

pub(super) struct SchemasTopic {
    log: Arc<dyn Log>,
    world: World,
    partition: TopicPartition,
}

impl SchemasTopic {
    pub(super) fn new(log: Arc<dyn Log>, world: World) -> Result<Self> {
        Ok(Self { log, world, partition: TopicPartition::new(TopicName::new(SCHEMAS_TOPIC)?, 0) })
    }

    fn exists(&self) -> bool {
        self.log.topic(SCHEMAS_TOPIC).is_some()
    }

    /// Records from `from` on, as many as one read gives, and the offset after them.
    pub(super) async fn read(&self, from: Offset) -> Result<(Vec<Record>, Offset)> {
        if !self.exists() {
            return Ok((Vec::new(), from));
        }
        let bounds = self.log.bounds(&self.partition)?;
        let from = from.max(bounds.log_start);
        let mut next = from;
        let mut records = Vec::new();
        if from >= bounds.high_watermark {
            return Ok((records, next));
        }
        let slice = self.log.read(&self.partition, from, READ_BYTES, Isolation::Uncommitted).await?;
        for batch in batches(slice.records) {
            let batch = batch?;
            let block = batch.decompress(64 << 20)?;
            for record in Records::new(&batch.header, &block) {
                let record = record?;
                if record.offset >= from
                    && let Some(key) = record.key
                {
                    let value = record.value.map(bytes::Bytes::copy_from_slice);
                    records.push(Record { key: bytes::Bytes::copy_from_slice(key), value });
                }
            }
            next = next.max(batch.header.next_offset());
        }
        Ok((records, next))
    }

    /// Durable on return, all of them in one batch or none.
    pub(super) async fn append(&self, records: &[Record]) -> Result<()> {
        if !self.exists() {
            self.create().await?;
        }
        self.append_batch(records).await
    }

    async fn append_batch(&self, records: &[Record]) -> Result<()> {
        let now = self.world.clock.now_ms();
        let mut builder = BatchBuilder::new(Codec::None);
        for record in records {
            builder.push(now, Some(&record.key), record.value.as_deref(), &[]);
        }
        let appended = self.log.append(&self.partition, builder.build(), Append { internal: true }).await;
        appended.map(drop).map_err(|cause| {
            Error::new(codes::REGISTRY_TIMEOUT, "the registry could not write its topic").detail(cause.to_string())
        })
    }

    async fn create(&self) -> Result<()> {
        // Never shortened by time or size: the registry itself drops what no longer counts.
        let spec = TopicSpec::new(self.partition.topic.clone(), 1)
            .with("retention.ms", "-1")
            .with("retention.bytes", "-1")
            .with("max.message.bytes", "16777216");
        match self.log.create_topic(spec, false).await {
            Err(error) if error.kind() == ErrorKind::TopicExists => Ok(()),
            created => created.map(drop),
        }
    }

    /// How many offsets the topic holds.
    pub(super) fn len(&self) -> Result<usize> {
        let bounds = self.log.bounds(&self.partition)?;
        Ok(usize::try_from(bounds.high_watermark - bounds.log_start).unwrap_or(0))
    }

    /// Appends `snapshot`, then drops everything before `old_end`, where it began or earlier.
    pub(super) async fn replace(&self, snapshot: &[Record], old_end: Offset) -> Result<()> {
        let mut from = 0;
        while from < snapshot.len() {
            let mut size = 0;
            let count = snapshot[from..].iter().take_while(|record| {
                let fits = size < BATCH_BYTES;
                size += record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
                fits
            });
            let count = count.count();
            self.append_batch(&snapshot[from..from + count]).await?;
            from += count;
        }
        self.log.delete_records(&self.partition, old_end).await.map(drop)
    }
}
