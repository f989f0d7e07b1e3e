//! A log on a disk in memory, in small files, and what tests put into it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use commitlog::{EmbeddedLog, Isolation, Log, LogSettings, record::Header};
use testkit::{
    MemoryDisk,
    log_conformance::{batch, tp},
};
use world::World;

/// Where the log is on its disk.
pub const DIR: &str = "/log";

pub fn settings() -> LogSettings {
    LogSettings { wal_file_bytes: 16 << 10, checkpoint_bytes: 48 << 10, ..LogSettings::default() }
}

pub async fn open(disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    open_with(disk, settings()).await
}

pub async fn open_with(disk: &MemoryDisk, settings: LogSettings) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(Path::new(DIR), settings, on(disk)).await.expect("open")
}

/// For a start that may fail.
pub async fn try_open(disk: &MemoryDisk) -> model::Result<Arc<EmbeddedLog>> {
    EmbeddedLog::open(Path::new(DIR), settings(), on(disk)).await
}

/// The real world, but for its disk.
pub fn on(disk: &MemoryDisk) -> World {
    World { disk: Arc::new(disk.clone()), ..World::real() }
}

/// A batch of one record that says its number, and has some `bytes` more.
pub fn sized(n: usize, bytes: usize) -> Bytes {
    batch(1, &[&format!("record {n} {}", "x".repeat(bytes))])
}

/// The same in many sizes.
pub fn numbered(n: usize) -> Bytes {
    sized(n, n % 300)
}

/// The file of the first records of a topic's partition 0.
pub fn first_segment(disk: &MemoryDisk) -> PathBuf {
    let is_first = |path: &PathBuf| path.ends_with("0/00000000000000000000.log");
    disk.files().into_iter().find(is_first).expect("written")
}

/// The header of the batch that readers of `t`, partition 0, get at `offset`.
pub async fn header_at(log: &EmbeddedLog, offset: i64) -> model::Result<Header> {
    let slice = log.read(&tp("t", 0), offset, 1, Isolation::Uncommitted).await?;
    Ok(Header::parse(&slice.records).expect("a batch"))
}
