//! A small Kafka client: enough to produce, to consume and to manage topics, over any Kafka door.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use commitlog::{
    partition_of,
    record::{BatchBuilder, Codec},
};
use kafka_protocol::{
    messages::{
        BrokerId, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
        ProduceRequest, RequestHeader, ResponseHeader, TopicName,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        delete_topics_request::DeleteTopicState,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest answer taken from a broker, so that a wrong address cannot make us allocate without end.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// One connection to a broker.
pub struct KafkaClient {
    stream: TcpStream,
    correlation: i32,
}

/// A topic as the broker tells it.
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub is_internal: bool,
}

impl KafkaClient {
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("no Kafka door at {address}; is the node up? (`lakehead up`)"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Appends one batch and returns its first offset, once it is durable.
    pub async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> Result<i64> {
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![
            TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![
                PartitionProduceData::default().with_index(partition).with_records(Some(batch)),
            ]),
        ]);
        let response = self.call(request, 9).await?;
        let partition = response
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .ok_or_else(|| anyhow!("the broker did not answer for the partition"))?;
        check(partition.error_code, partition.error_message.as_deref())?;
        Ok(partition.base_offset)
    }

    /// Batches from `offset` on (waiting up to `wait_ms` for the first) and the high watermark.
    pub async fn fetch(&mut self, topic: &str, partition: i32, offset: i64, wait_ms: i32) -> Result<(Bytes, i64)> {
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(8 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![
                FetchPartition::default()
                    .with_partition(partition)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(8 << 20),
            ])]);
        let response = self.call(request, 12).await?;
        check(response.error_code, None)?;
        let partition = response
            .responses
            .into_iter()
            .next()
            .and_then(|topic| topic.partitions.into_iter().next())
            .ok_or_else(|| anyhow!("the broker did not answer for the partition"))?;
        check(partition.error_code, None)?;
        Ok((partition.records.unwrap_or_default(), partition.high_watermark))
    }

    /// The offset at `timestamp` (−1: the end, −2: the start).
    pub async fn offset_at(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
            ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![
                ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp),
            ]),
        ]);
        let response = self.call(request, 7).await?;
        let partition = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or_else(|| anyhow!("the broker did not answer for the partition"))?;
        check(partition.error_code, None)?;
        Ok(partition.offset)
    }

    /// The topics there are, or the one asked for (made if missing when `create` is set and the broker allows it).
    pub async fn topics(&mut self, only: Option<&str>, create: bool) -> Result<Vec<TopicInfo>> {
        let topics = only.map(|name| vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]);
        let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(create);
        let response = self.call(request, 9).await?;
        response
            .topics
            .into_iter()
            .map(|topic| {
                let name = topic.name.map(|name| name.to_string()).unwrap_or_default();
                check(topic.error_code, None).with_context(|| format!("topic `{name}`"))?;
                let partitions = i32::try_from(topic.partitions.len())?;
                Ok(TopicInfo { name, partitions, is_internal: topic.is_internal })
            })
            .collect()
    }

    pub async fn create_topic(&mut self, name: &str, partitions: i32, config: &BTreeMap<String, String>) -> Result<()> {
        let config = config
            .iter()
            .map(|(key, value)| {
                CreatableTopicConfig::default()
                    .with_name(StrBytes::from_string(key.clone()))
                    .with_value(Some(StrBytes::from_string(value.clone())))
            })
            .collect();
        let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![
            CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(partitions)
                .with_replication_factor(-1)
                .with_configs(config),
        ]);
        let response = self.call(request, 5).await?;
        let topic = response.topics.first().ok_or_else(|| anyhow!("the broker did not answer for the topic"))?;
        check(topic.error_code, topic.error_message.as_deref())
    }

    pub async fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(name)))]);
        let response = self.call(request, 6).await?;
        let topic = response.responses.first().ok_or_else(|| anyhow!("the broker did not answer for the topic"))?;
        check(topic.error_code, topic.error_message.as_deref())
    }

    async fn call<R: Request>(&mut self, request: R, version: i16) -> Result<R::Response> {
        self.correlation = self.correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("lakehead")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version))?;
        request.encode(&mut frame, version)?;
        self.stream.write_all(&u32::try_from(frame.len())?.to_be_bytes()).await?;
        self.stream.write_all(&frame).await?;

        let length = usize::try_from(self.stream.read_u32().await.context("the broker closed the connection")?)?;
        if length > ANSWER_BYTES_MAX {
            bail!("an answer of {length} bytes: this is not a Kafka door");
        }
        let mut answer = Vec::new();
        (&mut self.stream).take(length as u64).read_to_end(&mut answer).await?;
        if answer.len() < length {
            bail!("the broker closed the connection in the middle of an answer");
        }
        let mut answer = Bytes::from(answer);
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        if header.correlation_id != self.correlation {
            bail!("the broker answered request {} instead of {}", header.correlation_id, self.correlation);
        }
        R::Response::decode(&mut answer, version)
    }
}

/// Collects records for the partitions of one topic and sends them in batches.
pub struct Producer {
    client: KafkaClient,
    topic: String,
    batches: Vec<BatchBuilder>,
    next: usize,
}

/// Records per partition and request.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 256 << 10;

impl Producer {
    /// Connects and asks for the topic's partitions (making the topic if it is missing and the broker allows it).
    pub async fn connect(address: &str, topic: &str) -> Result<Self> {
        let mut client = KafkaClient::connect(address).await?;
        let partitions = client.topics(Some(topic), true).await?.first().map_or(0, |topic| topic.partitions);
        if partitions < 1 {
            bail!("topic `{topic}` has no partitions");
        }
        let batches = (0..partitions).map(|_| BatchBuilder::new(Codec::None)).collect();
        Ok(Self { client, topic: topic.to_owned(), batches, next: 0 })
    }

    /// Adds a record; sends when the batch of its partition is full. Keyed records go where Kafka's clients send them,
    /// the others in turn.
    pub async fn send(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let partitions = self.batches.len();
        let at = match key {
            Some(key) => partition_of(key, partitions),
            None => self.next % partitions,
        };
        let batch = &mut self.batches[at];
        batch.push(timestamp_ms, key, value, &[]);
        if batch.len() >= BATCH_RECORDS || batch.size_bytes() >= BATCH_BYTES {
            self.next += 1;
            self.flush_partition(at).await?;
        }
        Ok(())
    }

    /// Sends what is left. On return everything sent is durable.
    pub async fn flush(&mut self) -> Result<()> {
        for partition in 0..self.batches.len() {
            self.flush_partition(partition).await?;
        }
        Ok(())
    }

    async fn flush_partition(&mut self, at: usize) -> Result<()> {
        let batch = std::mem::replace(&mut self.batches[at], BatchBuilder::new(Codec::None));
        if !batch.is_empty() {
            self.client.produce(&self.topic, i32::try_from(at)?, batch.build()).await?;
        }
        Ok(())
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Turns a Kafka error code into an error people can read.
fn check(code: i16, message: Option<&str>) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let name =
        kafka_protocol::ResponseError::try_from_code(code).map_or_else(String::new, |error| format!("{error:?}"));
    match message {
        Some(message) => bail!("{message} (Kafka error {code} {name})"),
        None => bail!("Kafka error {code} {name}"),
    }
}
