//! Bytes from strangers: whatever comes, the broker answers or closes, and goes on.

mod common;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broker::BrokerSettings;
use bytes::{BufMut, BytesMut};
use common::*;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, MetadataRequest, SaslHandshakeRequest,
    fetch_request::{FetchPartition, FetchTopic},
    metadata_request::MetadataRequestTopic,
};
use proptest::prelude::*;
use security::{BootstrapUser, Protocol, SecuritySettings, sasl::Mechanism};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};

/// Panics of the broker's tasks, which Tokio would otherwise hide. (Failing assertions of this file count, too.)
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// One broker for all cases of all tests.
fn shared() -> (&'static Runtime, &'static Server) {
    static SHARED: OnceLock<(Runtime, Server)> = OnceLock::new();
    let (runtime, server) = SHARED.get_or_init(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            hook(info);
        }));
        let runtime = Runtime::new().expect("runtime");
        let dir = tempfile::tempdir().expect("directory").keep();
        let server = runtime.block_on(serve(&dir));
        (runtime, server)
    });
    (runtime, server)
}

/// Sends the bytes, hears the broker out, and sees that it still serves others.
fn survives(bytes: &[u8]) {
    let (runtime, server) = shared();
    runtime.block_on(async {
        let mut stream = TcpStream::connect(server.handle.addr).await.expect("connects");
        // The broker may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(2500), stream.take(1 << 20).read_to_end(&mut answer)).await;
        let offers = server.client().await.ask(0, &ApiVersionsRequest::default()).await;
        assert_eq!(offers.error_code, 0);
    });
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "no task panicked");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_harm_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        survives(&bytes);
    }

    #[test]
    fn frames_with_lying_lengths_harm_nothing(length: i32, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = BytesMut::new();
        frame.put_i32(length);
        frame.put_slice(&bytes);
        survives(&frame);
    }

    #[test]
    fn half_a_request_harms_nothing(cut in 0usize..60) {
        let frame = frame(9, 1, &produce("t", batch(&["x"]), -1));
        survives(&frame[..cut.min(frame.len())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// Every request on offer, in every version, with a body of small numbers (which make plausible lengths) and noise.
    #[test]
    fn random_bodies_of_every_request_harm_nothing(
        which: prop::sample::Index, version: prop::sample::Index,
        body in proptest::collection::vec(prop_oneof![5 => 0u8..3, 2 => Just(b't'), 1 => any::<u8>()], 0..150),
    ) {
        let (runtime, server) = shared();
        runtime.block_on(async {
            let mut client = server.client().await;
            let offers = client.ask(0, &ApiVersionsRequest::default()).await.api_keys;
            let offer = which.get(&offers);
            let versions: Vec<_> = (offer.min_version..=offer.max_version).collect();
            let mut frame = BytesMut::new();
            frame.put_i32(body.len() as i32 + 10);
            frame.put_i16(offer.api_key);
            frame.put_i16(*version.get(&versions));
            frame.put_i32(77);
            frame.put_i16(-1);
            frame.put_slice(&body);
            client.stream.write_all(&frame).await.expect("sends");
            // Answered, closed, or parked (a fetch that waits): all are fine.
            let _ = tokio::time::timeout(Duration::from_millis(20), client.receive_frame()).await;
            assert_eq!(server.client().await.ask(0, &ApiVersionsRequest::default()).await.error_code, 0);
        });
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "no task panicked");
    }
}

/// A broker that asks for a login, for all cases.
fn guarded() -> (&'static Runtime, &'static Server) {
    static GUARDED: OnceLock<Server> = OnceLock::new();
    let (runtime, _) = shared();
    let server = GUARDED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("directory").keep();
        let security = SecuritySettings {
            protocol: Protocol::SaslPlaintext,
            mechanisms: vec![Mechanism::Plain, Mechanism::ScramSha256],
            bootstrap_user: Some(BootstrapUser { name: "root".to_owned(), password: "secret".to_owned() }),
            ..SecuritySettings::default()
        };
        runtime.block_on(serve_with(&dir, BrokerSettings { security, ..BrokerSettings::default() }))
    });
    (runtime, server)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever a stranger sends, in frames or not, before or in the middle of a login.
    #[test]
    fn strangers_get_nowhere_and_harm_nothing(
        handshake in prop::option::of((0i16..2, prop::sample::select(vec!["PLAIN", "SCRAM-SHA-256", "", "x"]))),
        framed: bool, key in prop::option::of(prop::sample::select(vec![17i16, 18, 36, 3, 0])), version in 0i16..4,
        body in proptest::collection::vec(prop_oneof![3 => 0u8..3, 2 => Just(b','), 1 => Just(b'='), 2 => any::<u8>()], 0..120),
    ) {
        let (runtime, server) = guarded();
        runtime.block_on(async {
            let mut client = server.client().await;
            if let Some((version, mechanism)) = handshake {
                client.send(version, &SaslHandshakeRequest::default().with_mechanism(mechanism.into())).await;
            }
            let mut frame = BytesMut::new();
            if framed {
                frame.put_i32(body.len() as i32 + if key.is_some() { 10 } else { 0 });
            }
            if let Some(key) = key {
                frame.put_i16(key);
                frame.put_i16(version);
                frame.put_i32(77);
                frame.put_i16(-1);
            }
            frame.put_slice(&body);
            // The broker may close before it has read everything.
            let _ = client.stream.write_all(&frame).await;
            let _ = client.stream.write_all(&common::frame(1, 9, &MetadataRequest::default())).await;
            let _ = client.stream.shutdown().await;
            while let Some(answer) = client.receive_frame().await {
                let correlation = answer.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
                assert_ne!(correlation, Some(9), "Metadata is not for strangers");
            }
        });
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "no task panicked");
    }
}

#[tokio::test]
async fn a_huge_claim_is_refused_before_memory_is_given() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(dir.path()).await;
    for claimed in [i32::MAX, -1, 101 << 20, 7] {
        let mut client = server.client().await;
        client.stream.write_all(&claimed.to_be_bytes()).await.expect("sends");
        assert!(client.receive_frame().await.is_none(), "{claimed}");
    }
    // 99 MiB is only for Produce.
    let mut client = server.client().await;
    let mut frame = BytesMut::new();
    frame.put_i32(99 << 20);
    frame.put_i16(3);
    frame.put_i16(9);
    frame.put_bytes(0, 1000);
    client.stream.write_all(&frame).await.expect("sends");
    assert!(client.receive_frame().await.is_none());
    assert_eq!(server.client().await.ask(9, &MetadataRequest::default()).await.error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve_with(dir.path(), BrokerSettings { connections_max: 2, ..BrokerSettings::default() }).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.ask(0, &ApiVersionsRequest::default()).await;
    second.ask(0, &ApiVersionsRequest::default()).await;
    let mut third = server.client().await;
    assert!(third.receive_frame().await.is_none());
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.client().await.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(server.handle.stats().connections_refused, 1);
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let dir = tempfile::tempdir().expect("directory");
    let idle_max = Duration::from_millis(200);
    let server = serve_with(dir.path(), BrokerSettings { idle_max, ..BrokerSettings::default() }).await;
    let mut client = server.client().await;
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert!(client.receive_frame().await.is_none());
    server.stop().await;
}

/// What a client has asked and not been answered is bounded: it cannot hold the memory that requests of all need.
#[test]
fn a_client_that_waits_and_asks_on_takes_nothing_from_others() {
    let (runtime, _) = shared();
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("directory");
        let settings = BrokerSettings {
            request_bytes_max: 3 << 20,
            control_request_bytes_max: 2 << 20,
            in_flight_bytes_max: 4 << 20,
            ..BrokerSettings::default()
        };
        let server = serve_with(dir.path(), settings).await;
        let mut greedy = server.client().await;
        greedy.create_topic("quiet", 1).await;
        let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(topic_name("quiet")).with_partitions(vec![partition]);
        let wait = FetchRequest::default().with_max_wait_ms(i32::MAX).with_min_bytes(1).with_max_bytes(1 << 20);
        greedy.send(11, &wait.with_session_epoch(-1).with_topics(vec![topic])).await;
        // Names of topics that are not there, in frames of nearly two megabytes.
        let long = "x".repeat(249);
        let names = (0..7_500).map(|_| MetadataRequestTopic::default().with_name(Some(topic_name(&long))));
        let large = MetadataRequest::default().with_topics(Some(names.collect())).with_allow_auto_topic_creation(false);
        let flood = async {
            for _ in 0..8 {
                greedy.send(8, &large).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(2), flood).await.is_err(), "the rest stays in the socket");
        let mut other = server.client().await;
        let asked = other.ask(8, &large);
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.expect("there is room for others");
        assert_eq!(answer.topics[0].error_code, 3);
        server.stop().await;
    });
}
