//! A disk slower than the clients: what is too much for now waits in their sockets, and nothing is refused.

mod common;

use std::{sync::Arc, time::Duration};

use broker::BrokerSettings;
use common::*;
use kafka_protocol::messages::ProduceRequest;
use testkit::MemoryDisk;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::oneshot, time::timeout};
use world::{ManualClock, TaskKind, World};

const VERSION: i16 = 9;
const BATCH_BYTES: usize = 900 << 10;
/// Together more than the log refuses (LH0116), and what sockets hold besides.
const REQUESTS: i32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_disk_takes_waits_in_turn_and_is_not_refused() {
    let disk = MemoryDisk::new();
    let clock = Arc::new(ManualClock::at(World::real().clock.now_ms()));
    let world = World { disk: Arc::new(disk.clone()), clock, ..World::real() };
    let server = serve_in(world, "/log".as_ref(), BrokerSettings::default()).await;
    server.client().await.create_topic("t", 1).await;
    disk.hold_syncs(true);

    // As librdkafka does it: no limit to requests on their way.
    let (read, mut write) = TcpStream::connect(server.handle.addr).await.expect("connects").into_split();
    let mut greedy = Client::on(tokio::io::join(read, tokio::io::sink()));
    let (sent, mut all_sent) = oneshot::channel();
    server.world.tasks.spawn(TaskKind::Background, async move {
        let large = produce("t", batch(&[&"x".repeat(BATCH_BYTES)]), -1);
        for n in 0..REQUESTS {
            write.write_all(&frame(VERSION, n, &large)).await.expect("sends");
        }
        drop(sent.send(write));
    });
    assert!(
        timeout(Duration::from_secs(1), &mut all_sent).await.is_err(),
        "the broker takes in what it has no room for"
    );

    let before = server.handle.stats().bytes_in;
    let mut polite = server.client().await;
    polite.send(VERSION, &produce("t", batch(&["small"]), -1)).await;
    while server.handle.stats().bytes_in == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    disk.hold_syncs(false);

    let answer = polite.receive::<ProduceRequest>(VERSION).await;
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, 0, "{:?}", partition.error_message);
    let turn = partition.base_offset;
    assert!(turn < i64::from(REQUESTS) / 2, "it was let in behind {turn} of the greedy one's");
    for n in 0..i64::from(REQUESTS) {
        let answer = greedy.receive::<ProduceRequest>(VERSION).await;
        let partition = &answer.responses[0].partition_responses[0];
        let offset = n + i64::from(n >= turn);
        assert_eq!((partition.error_code, partition.base_offset), (0, offset), "{:?}", partition.error_message);
    }
    drop(all_sent.await.expect("sent"));
    server.stop().await;
}
