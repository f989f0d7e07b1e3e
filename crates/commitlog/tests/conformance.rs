//! The embedded log keeps the promises of [`commitlog::Log`], killed or closed in between.

use std::{path::Path, sync::Arc};

use commitlog::{EmbeddedLog, Log, LogSettings};
use parking_lot::Mutex;
use testkit::{MemoryDisk, log_conformance};
use world::World;

/// Small files, so that short tests cross their boundaries.
fn settings() -> LogSettings {
    LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 64 << 10, ..LogSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_real_disk_conforms() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().to_owned();
    let world = World::real();
    log_conformance::run(&move || {
        let (path, world) = (path.clone(), world.clone());
        Box::pin(async move { EmbeddedLog::open(&path, settings(), world).await.expect("open") as Arc<dyn Log> })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_machine_loses_power_conforms() {
    for seed in 0..12u64 {
        let disk = Mutex::new(MemoryDisk::new());
        let world = World::real();
        log_conformance::run(&move || {
            let after = disk.lock().power_cut(seed);
            *disk.lock() = after.clone();
            let world = World { disk: Arc::new(after), ..world.clone() };
            Box::pin(async move {
                EmbeddedLog::open(Path::new("/log"), settings(), world).await.expect("open") as Arc<dyn Log>
            })
        })
        .await;
    }
}
