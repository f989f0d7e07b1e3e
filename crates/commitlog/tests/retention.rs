//! What retention removes, and what it must not.

use std::{path::Path, sync::Arc, time::Duration};

use commitlog::{EmbeddedLog, Log, LogSettings};
use testkit::{
    MemoryDisk,
    log_conformance::{append, batch, create, read_all, tp},
};
use world::{Clock, ManualClock, World};

const NOW: i64 = 1_700_000_000_000;

async fn log(clock: &Arc<ManualClock>, disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    let world = World { clock: clock.clone(), disk: Arc::new(disk.clone()), ..World::real() };
    let settings = LogSettings { file_delete_delay: Duration::ZERO, ..LogSettings::default() };
    EmbeddedLog::open(Path::new("/log"), settings, world).await.expect("open")
}

fn start(log: &dyn Log) -> i64 {
    log.bounds(&tp("t", 0)).expect("bounds").log_start
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_segments_go_by_their_newest_record() {
    let (clock, disk) = (Arc::new(ManualClock::at(NOW)), MemoryDisk::new());
    let log = log(&clock, &disk).await;
    create(&*log, "t", 1, &[("retention.ms", "100000"), ("segment.bytes", "1024")]).await;
    for n in 0..100 {
        append(&*log, &tp("t", 0), batch(NOW + n * 1000, &[&"v".repeat(100)])).await.expect("append");
    }
    log.retain().await.expect("retain");
    assert_eq!(start(&*log), 0, "nothing is old yet");
    clock.advance(Duration::from_secs(150));
    log.retain().await.expect("retain");
    let kept = start(&*log);
    assert!((45..=50).contains(&kept), "whole segments older than 100 s are gone: {kept}");
    assert_eq!(read_all(&*log, &tp("t", 0)).await.len() as i64, 100 - kept);
    clock.advance(Duration::from_secs(1000));
    log.retain().await.expect("retain");
    assert_eq!(start(&*log), 100, "the last one too, once all of it is old");
    assert_eq!(log.size(&tp("t", 0)).expect("size"), 0);
    let young = batch(clock.now_ms(), &["x"]);
    assert_eq!(append(&*log, &tp("t", 0), young).await.expect("append").base_offset, 100);
    drop(log);
    let log = self::log(&clock, &disk).await;
    assert_eq!(read_all(&*log, &tp("t", 0)).await, [(100, "x".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_and_holds_decide_together() {
    let (clock, disk) = (Arc::new(ManualClock::at(NOW)), MemoryDisk::new());
    let log = log(&clock, &disk).await;
    create(&*log, "t", 1, &[("retention.bytes", "5000"), ("segment.bytes", "1024")]).await;
    for _ in 0..100 {
        append(&*log, &tp("t", 0), batch(NOW, &[&"v".repeat(100)])).await.expect("append");
    }
    let before = log.size(&tp("t", 0)).expect("size");
    log.hold(&tp("t", 0), "lake", Some(20));
    log.retain().await.expect("retain");
    let held = start(&*log);
    assert!((10..=20).contains(&held), "the hold keeps what is needed: {held}");
    log.hold(&tp("t", 0), "lake", None);
    log.retain().await.expect("retain");
    let size = log.size(&tp("t", 0)).expect("size");
    assert!((5000..6100).contains(&size) && size < before, "{size}");
    let on_disk = disk.files().into_iter().filter(|path| path.extension() == Some("log".as_ref())).count();
    assert!(on_disk < 8, "files go with them: {on_disk}");
}
