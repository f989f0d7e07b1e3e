//! Collects records for the partitions of one topic and sends them in batches.

use anyhow::{Result, bail};
use commitlog::{
    partition_of,
    record::{BatchBuilder, Codec},
};

use super::kafka::{KafkaClient, KafkaDoor};

/// Most that is collected for one partition.
const BATCH_RECORDS: usize = 10_000;
const BATCH_BYTES: usize = 256 << 10;
/// Most that is collected for all of them, and so about the largest request.
const REQUEST_BYTES: usize = 4 << 20;

pub struct Producer {
    client: KafkaClient,
    topic: String,
    batches: Vec<BatchBuilder>,
    collected_bytes: usize,
    /// Where records without a key go until the next batch.
    keyless: usize,
}

impl Producer {
    /// Connects and asks for the topic's partitions (making the topic if it is missing and the broker allows it).
    pub async fn connect(door: &KafkaDoor, topic: &str) -> Result<Self> {
        let mut client = KafkaClient::connect(door).await?;
        let partitions = client.topics(Some(topic), true).await?.first().map_or(0, |topic| topic.partitions);
        if partitions < 1 {
            bail!("topic `{topic}` has no partitions");
        }
        let batches = (0..partitions).map(|_| BatchBuilder::new(Codec::None)).collect();
        Ok(Self { client, topic: topic.to_owned(), batches, collected_bytes: 0, keyless: 0 })
    }

    /// Adds a record; sends what is collected when that is much. Keyed records go where Kafka's clients send them, the
    /// others to one partition after the other.
    pub async fn send(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let at = key.map_or(self.keyless, |key| partition_of(key, self.batches.len()));
        let batch = &mut self.batches[at];
        batch.push(timestamp_ms, key, value, &[]);
        self.collected_bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if batch.len() >= BATCH_RECORDS || batch.size_bytes() >= BATCH_BYTES || self.collected_bytes >= REQUEST_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what is left, in one request. On return everything sent is durable.
    pub async fn flush(&mut self) -> Result<()> {
        let mut full = Vec::new();
        for (partition, batch) in (0i32..).zip(&mut self.batches) {
            if !batch.is_empty() {
                full.push((partition, std::mem::replace(batch, BatchBuilder::new(Codec::None)).build()));
            }
        }
        if full.is_empty() {
            return Ok(());
        }
        self.collected_bytes = 0;
        self.keyless = (self.keyless + 1) % self.batches.len();
        self.client.produce(&self.topic, full).await
    }
}
