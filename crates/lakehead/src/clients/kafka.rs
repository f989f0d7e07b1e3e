//! A small Kafka client: enough to produce, to consume and to manage topics, over any Kafka door.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        BrokerId, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, FetchRequest, ListOffsetsRequest,
        MetadataRequest, ProduceRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
        TopicName,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        delete_topics_request::DeleteTopicState,
        describe_configs_request::DescribeConfigsResource,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use model::{
    Error,
    error::{Code, codes},
};
use security::{scram, scram_client::ScramClient};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::login::{DoorSecurity, Login, Mechanism};

/// Largest answer taken from a broker, so that a wrong address cannot make us allocate without end.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// `isolation_level` of Fetch.
const READ_COMMITTED: i8 = 1;

/// One connection to a broker.
pub struct KafkaClient {
    stream: Box<dyn Stream>,
    correlation: i32,
}

/// Bytes to and from a broker, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a broker is and how one comes in.
#[derive(Clone, Default)]
pub struct KafkaDoor {
    pub address: String,
    pub security: DoorSecurity,
}

/// `DescribeConfigs` of a topic, and a value that was set for it.
const RESOURCE_TOPIC: i8 = 2;
const SOURCE_TOPIC: i8 = 1;

/// A topic as the broker tells it.
pub struct TopicInfo {
    pub name: String,
    pub partitions: i32,
    pub is_internal: bool,
}

/// A setting of a topic.
pub struct TopicSetting {
    pub name: String,
    pub value: String,
    /// Set for this topic, not a default.
    pub is_set: bool,
}

/// Batches of a partition.
pub struct Fetched {
    pub records: Bytes,
    /// Producers and first offsets of aborted transactions in `records`.
    pub aborted: Vec<(i64, i64)>,
}

impl KafkaClient {
    pub async fn connect(door: &KafkaDoor) -> Result<Self> {
        let address = &door.address;
        let stream = TcpStream::connect(address).await.map_err(|error| {
            Error::new(codes::NODE_NOT_FOUND, format!("no Kafka door answers at {address}"))
                .detail(error.to_string())
                .hint("is the node up? `lakehead up` starts one")
        })?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &door.security.tls {
            None => Box::new(stream),
            Some(tls) => {
                let refused = |why: String| {
                    Error::new(codes::BROKER_REFUSED, format!("no TLS with the Kafka door at {address}")).detail(why)
                };
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).trim_matches(['[', ']']);
                let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(error.to_string()))?;
                let connecting = TlsConnector::from(tls.clone()).connect(name, stream);
                Box::new(connecting.await.map_err(|error| refused(error.to_string()))?)
            }
        };
        let mut client = Self { stream, correlation: 0 };
        if let Some(login) = &door.security.login {
            client.log_in(login).await?;
        }
        Ok(client)
    }

    async fn log_in(&mut self, login: &Login) -> Result<()> {
        let mechanism = StrBytes::from_static_str(login.mechanism.name());
        let answer = self.call(SaslHandshakeRequest::default().with_mechanism(mechanism), 1).await?;
        if answer.error_code != 0 {
            let offered = answer.mechanisms.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::new(
                codes::BROKER_REFUSED,
                format!("the Kafka door does not take {}", login.mechanism.name()),
            )
            .detail(format!("it takes {offered}"))
            .into());
        }
        let (user, password) = (&login.user, &login.password);
        match login.mechanism {
            Mechanism::Plain => drop(self.authenticate(format!("\0{user}\0{password}")).await?),
            Mechanism::OauthBearer => drop(self.authenticate(format!("n,,\x01auth=Bearer {password}\x01\x01")).await?),
            Mechanism::Scram(hash) => {
                let (client, first) = ScramClient::begin(hash, user, &scram::nonce());
                let reply = self.authenticate(first).await?;
                let (proved, last) = client.prove(password, &reply).map_err(|error| {
                    Error::new(codes::BROKER_REFUSED, "the Kafka door's half of the login makes no sense")
                        .detail(error.to_string())
                })?;
                let last = self.authenticate(last).await?;
                if !proved.is_server_known(&last) {
                    return Err(Error::new(codes::BROKER_REFUSED, "the Kafka door does not know our password")
                        .detail("it could not prove that it does, so it may be somebody else's")
                        .into());
                }
            }
        }
        Ok(())
    }

    async fn authenticate(&mut self, token: String) -> Result<Bytes> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
        let answer = self.call(request, 1).await?;
        if answer.error_code == 0 {
            return Ok(answer.auth_bytes);
        }
        let why = answer.error_message.as_deref().unwrap_or("it does not say why").to_owned();
        Err(Error::new(codes::BROKER_REFUSED, "the Kafka door did not let us in")
            .detail(why)
            .hint("look at user and password in the file of `--kafka-config`")
            .into())
    }

    /// Appends batches to partitions of a topic. They are durable on return.
    pub async fn produce(&mut self, topic: &str, batches: Vec<(i32, Bytes)>) -> Result<()> {
        let sent = batches.len();
        let partitions = batches
            .into_iter()
            .map(|(partition, batch)| PartitionProduceData::default().with_index(partition).with_records(Some(batch)));
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![
            TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(partitions.collect()),
        ]);
        let response = self.call(request, 9).await?;
        let answers: Vec<_> = response.responses.iter().flat_map(|topic| &topic.partition_responses).collect();
        if answers.len() != sent {
            bail!("the broker answered for {} of {sent} partitions", answers.len());
        }
        for answer in answers {
            let what = || format!("could not write to partition {} of `{topic}`", answer.index);
            check(what, topic, answer.error_code, answer.error_message.as_deref())?;
        }
        Ok(())
    }

    /// Batches from `offset` on, up to the first open transaction (waiting up to `wait_ms` for the first).
    pub async fn fetch(&mut self, topic: &str, partition: i32, offset: i64, wait_ms: i32) -> Result<Fetched> {
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(8 << 20)
            .with_session_epoch(-1)
            .with_isolation_level(READ_COMMITTED)
            .with_topics(vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![
                FetchPartition::default()
                    .with_partition(partition)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(8 << 20),
            ])]);
        let response = self.call(request, 12).await?;
        let what = || format!("could not read partition {partition} of `{topic}`");
        check(what, topic, response.error_code, None)?;
        let answer = response
            .responses
            .into_iter()
            .next()
            .and_then(|topic| topic.partitions.into_iter().next())
            .ok_or_else(|| anyhow!("the broker did not answer for the partition"))?;
        check(what, topic, answer.error_code, None)?;
        let aborted = answer.aborted_transactions.unwrap_or_default();
        let aborted = aborted.iter().map(|aborted| (*aborted.producer_id, aborted.first_offset)).collect();
        Ok(Fetched { records: answer.records.unwrap_or_default(), aborted })
    }

    /// The offset at `timestamp` (−1: the end, −2: the start).
    pub async fn offset_at(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
            ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![
                ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp),
            ]),
        ]);
        let response = self.call(request, 7).await?;
        let answer = response
            .topics
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or_else(|| anyhow!("the broker did not answer for the partition"))?;
        let what = || format!("could not ask for the offsets of partition {partition} of `{topic}`");
        check(what, topic, answer.error_code, None)?;
        Ok(answer.offset)
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
                check(|| format!("could not look up topic `{name}`"), &name, topic.error_code, None)?;
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
        check(|| format!("could not make topic `{name}`"), name, topic.error_code, topic.error_message.as_deref())
    }

    pub async fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![DeleteTopicState::default().with_name(Some(topic_name(name)))]);
        let response = self.call(request, 6).await?;
        let topic = response.responses.first().ok_or_else(|| anyhow!("the broker did not answer for the topic"))?;
        check(|| format!("could not remove topic `{name}`"), name, topic.error_code, topic.error_message.as_deref())
    }

    /// The settings of a topic, in the broker's order.
    pub async fn settings(&mut self, topic: &str) -> Result<Vec<TopicSetting>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_owned()))
            .with_configuration_keys(None);
        let response = self.call(DescribeConfigsRequest::default().with_resources(vec![resource]), 4).await?;
        let answer = response.results.first().ok_or_else(|| anyhow!("the broker did not answer for the topic"))?;
        let what = || format!("could not ask for the settings of topic `{topic}`");
        check(what, topic, answer.error_code, answer.error_message.as_deref())?;
        let settings = answer.configs.iter().map(|setting| TopicSetting {
            name: setting.name.to_string(),
            value: setting.value.as_deref().unwrap_or_default().to_owned(),
            is_set: setting.config_source == SOURCE_TOPIC,
        });
        Ok(settings.collect())
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
        self.stream.flush().await?;

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

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Turns an error of the Kafka protocol into one people can read. Our own broker says it all in its message; the
/// protocol's codes alone, and those of other brokers, are given the nearest code we have.
fn check(what: impl FnOnce() -> String, topic: &str, code: i16, message: Option<&str>) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let message = message.unwrap_or_default();
    if message.split_once(':').is_some_and(|(name, _)| codes::find(name).is_some()) {
        bail!("{message}");
    }
    let name = kafka_protocol::ResponseError::try_from_code(code)
        .map_or_else(|| format!("Kafka error {code}"), |error| format!("Kafka error {code}, {error:?}"));
    let detail = if message.is_empty() { name } else { format!("{message} ({name})") };
    let error = |code, message: String| Error::new(code, message).detail(detail.clone());
    Err(match known(code) {
        code if code == codes::TOPIC_NOT_FOUND => error(code, format!("there is no topic `{topic}`"))
            .hint(format!("`lakehead topics ls` shows those there are, `lakehead topics create {topic}` makes it")),
        code => error(code, what()).hint(format!("see `lakehead explain {}`", code.name)),
    }
    .into())
}

fn known(kafka: i16) -> &'static Code {
    match kafka {
        1 => codes::OFFSET_OUT_OF_RANGE,
        2 => codes::BATCH_CORRUPT,
        3 => codes::TOPIC_NOT_FOUND,
        10 => codes::BATCH_TOO_LARGE,
        17 => codes::TOPIC_NAME_INVALID,
        20 => codes::APPEND_UNCERTAIN,
        32 => codes::TIMESTAMP_INVALID,
        36 => codes::TOPIC_EXISTS,
        37 => codes::PARTITIONS_INVALID,
        40 => codes::TOPIC_CONFIG_INVALID,
        56 => codes::STORAGE_FAILED,
        _ => codes::BROKER_REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_code_a_cause_and_a_next_step() {
        let told = |code, message| {
            let error = check(|| "could not read `nope`".to_owned(), "nope", code, message).expect_err("refused");
            crate::failure::told(&error)
        };
        expect_test::expect![[r#"
            LH0102: there is no topic `nope`
            Kafka error 3, UnknownTopicOrPartition
            hint: `lakehead topics ls` shows those there are, `lakehead topics create nope` makes it"#]]
        .assert_eq(&told(3, None));
        expect_test::expect![[r#"
            LH0012: could not read `nope`
            busy (Kafka error 15, CoordinatorNotAvailable)
            hint: see `lakehead explain LH0012`"#]]
        .assert_eq(&told(15, Some("busy")));
        assert_eq!(told(40, Some("LH0104: no such setting")), "LH0104: no such setting");
        assert!(check(String::new, "there", 0, None).is_ok());
    }
}
