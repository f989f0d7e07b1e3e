//! A broker on a free port, and a client that speaks the codec's requests to it.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod guarded;

use std::{path::Path, sync::Arc, time::Duration};

use broker::{Broker, BrokerHandle, BrokerParts, BrokerSettings};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use commitlog::{
    Log,
    embedded::{EmbeddedLog, LogSettings},
    groups::Groups,
    record::{BatchBuilder, Codec},
    transactions::Transactions,
};
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
        create_topics_request::CreatableTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use world::{ManualClock, World};

/// Longest wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub handle: BrokerHandle,
    pub log: Arc<EmbeddedLog>,
    pub world: World,
}

pub async fn serve(dir: &Path) -> Server {
    serve_with(dir, BrokerSettings::default()).await
}

pub async fn serve_with(dir: &Path, settings: BrokerSettings) -> Server {
    serve_in(World::real(), dir, settings).await
}

/// With a clock that stands still until it is told otherwise.
pub async fn serve_by_hand(dir: &Path, settings: BrokerSettings) -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(World::real().clock.now_ms()));
    let world = World { clock: clock.clone(), ..World::real() };
    (serve_in(world, dir, settings).await, clock)
}

pub async fn serve_in(world: World, dir: &Path, settings: BrokerSettings) -> Server {
    let log = EmbeddedLog::open(dir, LogSettings::default(), world.clone()).await.expect("log opens");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups open");
    let transactions = Transactions::open(log.clone(), groups.clone(), world.clone()).await.expect("transactions open");
    let handle = Broker::start(BrokerParts {
        log: log.clone(),
        groups,
        transactions,
        world: world.clone(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        settings,
    })
    .await
    .expect("listens");
    Server { handle, log, world }
}

impl Server {
    pub async fn client(&self) -> Client {
        Client::on(TcpStream::connect(self.handle.addr).await.expect("connects"))
    }

    pub fn log_has(&self, topic: &str) -> bool {
        self.log.topic(topic).is_some()
    }

    pub async fn stop(self) {
        assert!(self.world.tasks.stop(PATIENCE).await, "all tasks end");
        self.log.close().await.expect("log closes");
    }
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    /// Its client id.
    pub id: &'static str,
    correlation: i32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn on(stream: S) -> Self {
        Self { stream, id: "test", correlation: 0 }
    }

    /// Asks and waits for the answer.
    pub async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    pub async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation += 1;
        let frame = frame_of::<R>(self.id, version, self.correlation, request);
        self.stream.write_all(&frame).await.expect("sends");
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut body = self.receive_frame().await.unwrap_or_else(|| panic!("key {} v{version}: closed", R::KEY));
        ResponseHeader::decode(&mut body, R::Response::header_version(version)).expect("header");
        let response =
            R::Response::decode(&mut body, version).unwrap_or_else(|e| panic!("key {} v{version}: {e}", R::KEY));
        assert_eq!(body.remaining(), 0, "key {} v{version}: bytes are left", R::KEY);
        response
    }

    /// `None`: the connection is closed.
    pub async fn receive_frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut body = vec![0; usize::try_from(length).expect("a length")];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Bytes::from(body))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("answers or closes in time")
    }

    /// Whether the broker is silent for now: it would answer much sooner than this waits.
    pub async fn hears_nothing(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), self.stream.read(&mut byte)).await.is_err()
    }

    pub async fn create_topic(&mut self, name: &str, partitions: i32) {
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let created = self.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
    }

    /// One batch to partition 0; returns its base offset.
    pub async fn produce(&mut self, topic: &str, values: &[&str]) -> i64 {
        let response = self.ask(9, &produce(topic, batch(values), -1)).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 0, "{:?}", partition.error_message);
        partition.base_offset
    }
}

/// A request as it goes over the wire.
pub fn frame<R: Request>(version: i16, correlation: i32, request: &R) -> Bytes {
    frame_of("test", version, correlation, request)
}

fn frame_of<R: Request>(client: &'static str, version: i16, correlation: i32, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(client)));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, R::header_version(version)).expect("header");
    request.encode(&mut frame, version).unwrap_or_else(|e| panic!("key {} v{version}: {e}", R::KEY));
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub fn batch(values: &[&str]) -> Bytes {
    coded_batch(Codec::None, values)
}

pub fn coded_batch(codec: Codec, values: &[&str]) -> Bytes {
    let now = World::real().clock.now_ms();
    let mut batch = BatchBuilder::new(codec);
    for value in values {
        batch.push(now, None, Some(value.as_bytes()), &[]);
    }
    batch.build()
}

pub fn produce(topic: &str, batch: Bytes, acks: i16) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(1000).with_topic_data(vec![topic])
}
