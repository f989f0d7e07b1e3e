//! The embedded log: partitions in segment files, made durable together by one write-ahead log.

mod settings;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use model::{Offset, ProducerId, Result, TopicId, TopicPartition};
use tokio::sync::{Notify, watch};
use world::World;

pub use settings::LogSettings;

use crate::log::{Append, Appended, Bounds, EpochEnd, Log, OffsetAt, Slice, Subscription, TimeQuery, Topic, TopicSpec};

/// A log in a directory of its own.
pub struct EmbeddedLog {}

impl EmbeddedLog {
    /// Opens the log in `dir`, making it if it is not there.
    pub async fn open(_dir: &Path, _settings: LogSettings, _world: World) -> Result<Arc<EmbeddedLog>> {
        unimplemented!()
    }

    /// Takes no more appends, writes what is queued and leaves everything so that the next start has nothing to scan.
    pub async fn close(&self) -> Result<()> {
        unimplemented!()
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn topics(&self) -> Vec<Arc<Topic>> {
        unimplemented!()
    }
    fn topic(&self, _name: &str) -> Option<Arc<Topic>> {
        unimplemented!()
    }
    fn topic_by_id(&self, _id: TopicId) -> Option<Arc<Topic>> {
        unimplemented!()
    }
    fn topics_changed(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }
    async fn create_topic(&self, _spec: TopicSpec, _validate_only: bool) -> Result<Arc<Topic>> {
        unimplemented!()
    }
    async fn delete_topic(&self, _name: &str) -> Result<()> {
        unimplemented!()
    }
    async fn create_partitions(&self, _name: &str, _total: i32, _validate_only: bool) -> Result<()> {
        unimplemented!()
    }
    async fn alter_topic(&self, _name: &str, _overrides: BTreeMap<String, String>, _validate_only: bool) -> Result<()> {
        unimplemented!()
    }
    fn append(&self, _to: &TopicPartition, _batch: Bytes, _how: Append) -> BoxFuture<'static, Result<Appended>> {
        unimplemented!()
    }
    async fn read(&self, _at: &TopicPartition, _from: Offset, _bytes_max: usize) -> Result<Slice> {
        unimplemented!()
    }
    fn bounds(&self, _of: &TopicPartition) -> Result<Bounds> {
        unimplemented!()
    }
    fn subscribe(&self, _to: &TopicPartition, _waker: Arc<Notify>) -> Result<Subscription> {
        unimplemented!()
    }
    async fn offset_at(&self, _of: &TopicPartition, _time: TimeQuery) -> Result<Option<OffsetAt>> {
        unimplemented!()
    }
    fn epoch_end(&self, _of: &TopicPartition, _epoch: i32) -> Result<Option<EpochEnd>> {
        unimplemented!()
    }
    async fn delete_records(&self, _of: &TopicPartition, _before: Offset) -> Result<Offset> {
        unimplemented!()
    }
    fn hold(&self, _of: &TopicPartition, _holder: &'static str, _from: Option<Offset>) {
        unimplemented!()
    }
    fn size(&self, _of: &TopicPartition) -> Result<u64> {
        unimplemented!()
    }
    async fn new_producer_id(&self) -> Result<ProducerId> {
        unimplemented!()
    }
    fn cluster_id(&self) -> &str {
        unimplemented!()
    }
}
