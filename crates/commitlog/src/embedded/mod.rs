//! The embedded log: partitions in segment files, made durable together by one write-ahead log.
//!
//! ```text
//!              callers                       writer thread               write-ahead thread            keeper thread
//!  append ── check, admit ──► appends ──► segment files (page cache) ──► written ──► one file, one fsync     checkpoint:
//!            (offset given,    queue         one write per partition       queue     for all partitions      fsync segments,
//!             order fixed)                    │                                       │                       free the log
//!                                            └► relaxed topics: done here            └► high watermark moves, acks, wakers
//! ```
//! Where a group has much for few segments, these are synced instead of logged, and every byte is written once.
//!
//! One fsync costs the same whether its batches belong to one partition or to a thousand, and while it runs the next
//! group gathers. Reading needs only segments. A start after a crash reads segments from the last checkpoint on, cuts torn
//! tails and puts back from the write-ahead log what the segments have lost.
//!
//! Of compacted topics a fourth thread rewrites the segments that a checkpoint has behind it: of each key the last record
//! stays, at its offset (`core/compaction`, `partition/compacted.rs`).
//!
//! Backpressure: appends are never delayed inside, so their order stays that of the calls. Doors await
//! [`Log::writable`] before they take more in; whoever does not is refused at four times the budget (LH0116).

mod checkpoint;
mod committer;
mod compactor;
mod core;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod keeper;
mod layout;
mod meta;
mod open;
mod partition;
mod queue;
mod settings;
mod shared;
mod side_by_side;
mod steps;
mod topics;
mod wal;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use model::{
    Error, Offset, ProducerId, Result, TopicId, TopicPartition,
    error::codes::{DELETE_NOT_ALLOWED, LOG_BUSY, OFFSET_OUT_OF_RANGE, SHUTTING_DOWN, STORAGE_FAILED},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use world::{DiskLock, Tasks, World};

pub use settings::LogSettings;
pub use steps::Steps;

use self::{
    committer::Committer,
    core::{Admission, check_batch},
    partition::{Partition, Stored, uncertain},
    queue::{Item, Pending},
    shared::{Shared, no_topic},
};
use crate::log::{
    ActiveProducer, Append, Appended, Bounds, CompactionStats, EpochEnd, Isolation, Log, OffsetAt, SharedNames, Slice,
    Subscription, TimeQuery, Topic, TopicSpec,
};

/// Appends are refused at this many times the budget for bytes in flight.
const REFUSED_AT_BUDGETS: usize = 4;

/// A log in a directory of its own. Dropping it without [`EmbeddedLog::close`] is like a crash: nothing acknowledged is
/// lost, and the next start recovers.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    /// Who else gives names, if anybody does.
    names: OnceLock<Arc<dyn SharedNames>>,
    /// Until it is closed.
    drivers: Mutex<Option<Drivers>>,
    /// Keeps other nodes out.
    lock: Mutex<Option<DiskLock>>,
}

/// Who does what the log's threads are for.
enum Drivers {
    Threads(Vec<JoinHandle<()>>),
    Steps(Arc<Steps>),
}

impl Drivers {
    /// Waits until what is queued is written. Nothing more comes into the queue.
    fn finish(self) -> Result<()> {
        match self {
            Drivers::Threads(threads) => threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| Error::internal("a thread of the log has panicked"))),
            Drivers::Steps(steps) => {
                while steps.write() || steps.commit() {}
                Ok(())
            }
        }
    }
}

impl EmbeddedLog {
    /// Opens the log in `dir`, making it if it is not there.
    pub async fn open(dir: &Path, settings: LogSettings, world: World) -> Result<Arc<EmbeddedLog>> {
        let opened = Self::opened(dir, settings, world).await?;
        let shared = opened.shared;
        let tasks = shared.world.tasks.clone();
        let thread = |name: &str, body: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = shared.clone();
            tasks.thread(name, move || {
                let guard = OnPanic(shared);
                body(&guard.0);
            })
        };
        let wal = opened.wal;
        let threads = vec![
            thread("log-writer", Box::new(writer::run)),
            thread("log-wal", Box::new(move |shared| committer::run(shared, Committer::new(wal)))),
            thread("log-keeper", Box::new(keeper::run)),
            thread("log-compactor", Box::new(compactor::run)),
        ];
        Ok(Self::driven(shared, Drivers::Threads(threads), opened.lock))
    }

    /// The same without threads: what they would do is done when [`Steps`] are taken, and not before.
    pub async fn open_stepped(
        dir: &Path,
        settings: LogSettings,
        world: World,
    ) -> Result<(Arc<EmbeddedLog>, Arc<Steps>)> {
        let opened = Self::opened(dir, settings, world).await?;
        let steps = Arc::new(Steps::new(opened.shared.clone(), opened.wal));
        Ok((Self::driven(opened.shared, Drivers::Steps(steps.clone()), opened.lock), steps))
    }

    async fn opened(dir: &Path, settings: LogSettings, world: World) -> Result<open::Opened> {
        let (dir, tasks) = (dir.to_owned(), world.tasks.clone());
        blocking(&tasks, move || open::open(&dir, settings, world)).await
    }

    fn driven(shared: Arc<Shared>, drivers: Drivers, lock: DiskLock) -> Arc<Self> {
        let (drivers, lock) = (Mutex::new(Some(drivers)), Mutex::new(Some(lock)));
        Arc::new(Self { shared, names: OnceLock::new(), drivers, lock })
    }

    /// Takes no more appends, writes what is queued and leaves everything so that the next start has nothing to scan.
    pub async fn close(&self) -> Result<()> {
        let Some(drivers) = self.drivers.lock().take() else { return Ok(()) };
        let shared = self.shared.clone();
        let closed = blocking(&self.shared.world.tasks, move || {
            shared.appends.close();
            shared.keeper.stop();
            shared.compactor.stop();
            drivers.finish()?;
            keeper::empty_graveyard(&shared, Duration::ZERO);
            checkpoint::close(&shared)
        })
        .await;
        self.lock.lock().take();
        closed
    }

    /// Runs retention now instead of when it is due.
    pub async fn retain(&self) -> Result<()> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || {
            keeper::retain(&shared)?;
            keeper::empty_graveyard(&shared, shared.settings.file_delete_delay);
            Ok(())
        })
        .await
    }

    /// Compacts what is worth it now instead of when it is due, as fast as it goes.
    pub async fn compact(&self) -> Result<()> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || {
            compactor::compact(&shared, false)?;
            keeper::empty_graveyard(&shared, shared.settings.file_delete_delay);
            Ok(())
        })
        .await
    }

    /// Brings everything complete to disk now and frees the write-ahead log.
    pub async fn checkpoint(&self) -> Result<()> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || checkpoint::checkpoint(&shared)).await
    }

    /// Gives a batch its place. What comes out of the receiver says when it is durable.
    fn admit(&self, to: &TopicPartition, bytes: Bytes, how: Append) -> Result<oneshot::Receiver<Result<Appended>>> {
        let shared = &self.shared;
        let partition = shared.partition(to)?;
        let config = partition.config();
        let now = shared.world.clock.now_ms();
        let mut checked = check_batch(&bytes, how, &config, now)?;
        let in_flight = shared.in_flight_bytes.load(Ordering::Acquire);
        if in_flight > REFUSED_AT_BUDGETS * shared.settings.queue_bytes_max {
            return Err(Error::new(LOG_BUSY, format!("{to} takes no more for the moment"))
                .detail(format!("{in_flight} bytes are waiting to be written")));
        }
        if shared.unsettled.load(Ordering::Acquire) {
            return Err(Error::new(STORAGE_FAILED, format!("{to} takes nothing yet"))
                .detail("the checkpoint after the last crash did not succeed, and is being tried again")
                .hint("look at the node's log: is the disk full?"));
        }
        let (done, receiver) = oneshot::channel();
        let mut core = partition.core.lock();
        match core.admit(&mut checked.header, checked.marker, config.unsafe_ack_before_fsync, now)? {
            Admission::Repeated(original) => {
                let (end, durable) = (original.last_offset + 1, core.high_watermark > original.last_offset);
                let appended = Appended {
                    base_offset: original.base_offset,
                    log_append_time: original.log_append_time,
                    log_start: core.log_start,
                    duplicate: true,
                };
                let tell = move |result: Result<()>| drop(done.send(result.map(|()| appended)));
                if durable {
                    tell(Ok(()));
                } else {
                    core.repeat(end, Box::new(tell));
                }
            }
            Admission::Accepted(admitted) => {
                let log_append_time = if config.log_append_time { checked.header.max_timestamp } else { -1 };
                let stored = Stored::new(&checked.header, checked.records);
                let pending = Pending { partition: partition.clone(), admitted, stored, log_append_time, done };
                shared.in_flight_bytes.fetch_add(pending.bytes(), Ordering::AcqRel);
                // Under the core's lock: the order in the queue is the order of offsets.
                if let Err(Item::Batch(refused)) = shared.appends.push(Item::Batch(Box::new(pending))) {
                    let error = shutting_down();
                    core.cut(admitted.base_offset, &error);
                    drop(core);
                    shared.in_flight_bytes.fetch_sub(refused.bytes(), Ordering::AcqRel);
                    refused.fail(error);
                }
            }
        }
        Ok(receiver)
    }
}

/// A log without one of its threads takes nothing more, and says so to those who wait.
struct OnPanic(Arc<Shared>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a thread of the log has panicked: appends are refused until the node is started again");
            self.0.appends.abandon();
            self.0.written.abandon();
            // Whoever waits for room is told at its append.
            self.0.room.notify_waiters();
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        self.shared.appends.close();
        self.shared.keeper.stop();
        self.shared.compactor.stop();
        if let Some(Drivers::Threads(threads)) = self.drivers.get_mut().take() {
            for thread in threads {
                // A panic there has been reported where it happened.
                let _ = thread.join();
            }
        }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn topics(&self) -> Vec<Arc<Topic>> {
        self.shared.topics.read().values().map(|handle| handle.topic.read().clone()).collect()
    }

    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.shared.topics.read().get(name).map(|handle| handle.topic.read().clone())
    }

    fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.shared.topics.read().values().find(|handle| handle.id == id).map(|handle| handle.topic.read().clone())
    }

    fn topics_changed(&self) -> watch::Receiver<u64> {
        self.shared.topics_changed.subscribe()
    }

    fn share_names(&self, names: Arc<dyn SharedNames>) {
        let _first = self.names.set(names);
    }

    async fn create_topic(&self, spec: TopicSpec, validate_only: bool) -> Result<Arc<Topic>> {
        let claim = match self.names.get() {
            // That a topic is there already says more than what else has its name.
            Some(names) if self.topic(&spec.name).is_none() => Some(names.claim(&spec.name).await?),
            _ => None,
        };
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || {
            // The caller may go away before this ends.
            let _claim = claim;
            topics::create(&shared, spec, validate_only)
        })
        .await
    }

    async fn delete_topic(&self, name: &str) -> Result<()> {
        let (shared, name) = (self.shared.clone(), name.to_owned());
        let left = blocking(&self.shared.world.tasks, move || topics::delete(&shared, &name)).await?;
        let shared = self.shared.clone();
        // Nobody needs to wait for this; what a crash leaves is removed at the next start.
        let tasks = shared.world.tasks.clone();
        drop(tasks.blocking(move || {
            if let Err(error) = shared.world.disk.remove_dir_all(&left) {
                tracing::warn!(dir = %left.display(), %error, "cannot remove a deleted topic; tried again at the next start");
            }
        }));
        Ok(())
    }

    async fn create_partitions(&self, name: &str, total: i32, validate_only: bool) -> Result<()> {
        let (shared, name) = (self.shared.clone(), name.to_owned());
        blocking(&self.shared.world.tasks, move || topics::create_partitions(&shared, &name, total, validate_only))
            .await
    }

    async fn alter_topic(&self, name: &str, overrides: BTreeMap<String, String>, validate_only: bool) -> Result<()> {
        let (shared, name) = (self.shared.clone(), name.to_owned());
        blocking(&self.shared.world.tasks, move || {
            if topics::alter(&shared, &name, overrides, validate_only)? {
                checkpoint::checkpoint(&shared)?;
            }
            Ok(())
        })
        .await
    }

    async fn set_topic_defaults(&self, defaults: BTreeMap<String, String>, validate_only: bool) -> Result<()> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || topics::set_defaults(&shared, &defaults, validate_only)).await
    }

    fn append(&self, to: &TopicPartition, batch: Bytes, how: Append) -> BoxFuture<'static, Result<Appended>> {
        let (admitted, place) = (self.admit(to, batch, how), to.clone());
        // Who would answer is gone, and nobody knows how far it has come.
        let abandoned = move || Err(uncertain(place.to_string(), &shutting_down()));
        Box::pin(async move { admitted?.await.unwrap_or_else(|_| abandoned()) })
    }

    fn writable(&self) -> BoxFuture<'static, ()> {
        let shared = self.shared.clone();
        Box::pin(async move {
            // In turn: whoever has just been let in waits behind all others.
            let _turn = shared.turn.lock().await;
            loop {
                let room = shared.room.notified();
                if shared.has_room() {
                    return;
                }
                room.await;
            }
        })
    }

    async fn read(&self, at: &TopicPartition, from: Offset, bytes_max: usize, isolation: Isolation) -> Result<Slice> {
        let partition = self.shared.partition(at)?;
        if let Some(slice) = partition.read(&self.shared.open_files, from, bytes_max, isolation, false)? {
            return Ok(slice);
        }
        self.blocking_on(partition, move |partition, shared| {
            partition.read(&shared.open_files, from, bytes_max, isolation, true)
        })
        .await?
        .ok_or_else(|| Error::internal("a read that may wait did not"))
    }

    fn bounds(&self, of: &TopicPartition) -> Result<Bounds> {
        Ok(self.shared.partition(of)?.core.lock().bounds())
    }

    fn subscribe(&self, to: &TopicPartition, waker: Arc<Notify>) -> Result<Subscription> {
        let partition = self.shared.partition(to)?;
        let subscription = partition.subscribe(waker);
        // Deleted in between: nobody would wake it.
        if partition.is_deleted() { Err(no_topic(&to.topic)) } else { Ok(subscription) }
    }

    async fn offset_at(&self, of: &TopicPartition, time: TimeQuery) -> Result<Option<OffsetAt>> {
        let partition = self.shared.partition(of)?;
        match time {
            TimeQuery::Earliest | TimeQuery::Latest => partition.offset_at(&self.shared.open_files, time),
            TimeQuery::MaxTimestamp | TimeQuery::AtOrAfter(_) => {
                self.blocking_on(partition, move |partition, shared| partition.offset_at(&shared.open_files, time))
                    .await
            }
        }
    }

    fn epoch_end(&self, of: &TopicPartition, epoch: i32) -> Result<Option<EpochEnd>> {
        let partition = self.shared.partition(of)?;
        let core = partition.core.lock();
        Ok(core.epochs.end_of(epoch, core.high_watermark))
    }

    async fn delete_records(&self, of: &TopicPartition, before: Offset) -> Result<Offset> {
        let partition = self.shared.partition(of)?;
        if !partition.config().cleanup.delete {
            return Err(Error::new(DELETE_NOT_ALLOWED, format!("records of {of} cannot be deleted"))
                .detail("the topic's cleanup.policy is `compact`, without `delete`")
                .hint("write a tombstone for each key that shall go, or set cleanup.policy to `compact,delete`"));
        }
        let bounds = partition.core.lock().bounds();
        let to = if before == -1 { bounds.high_watermark } else { before };
        if !(0..=bounds.high_watermark).contains(&to) {
            return Err(Error::new(OFFSET_OUT_OF_RANGE, format!("records of {of} cannot be deleted up to {before}"))
                .detail(format!("the partition holds offsets {} to {}", bounds.log_start, bounds.high_watermark)));
        }
        // Retention may have moved the start further, and not on disk so far: whoever is told so may rely on it.
        let to = to.max(bounds.log_start);
        if to == 0 {
            return Ok(to);
        }
        let (done, moved) = oneshot::channel();
        if self.shared.appends.push(Item::LogStart { partition, to, done }).is_err() {
            return Err(shutting_down());
        }
        moved.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    fn hold(&self, of: &TopicPartition, holder: &'static str, from: Option<Offset>) {
        if let Ok(partition) = self.shared.partition(of) {
            partition.hold(holder, from);
        }
    }

    fn compaction(&self) -> CompactionStats {
        compactor::stats(&self.shared)
    }

    fn compacted_to(&self, of: &TopicPartition) -> Result<Offset> {
        Ok(self.shared.partition(of)?.compaction.lock().begun_to)
    }

    fn producers(&self, of: &TopicPartition) -> Result<Vec<ActiveProducer>> {
        Ok(self.shared.partition(of)?.core.lock().active_producers())
    }

    fn size(&self, of: &TopicPartition) -> Result<u64> {
        self.shared.partition(of)?.size(&self.shared.open_files)
    }

    async fn new_producer_id(&self) -> Result<ProducerId> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || shared.meta.new_producer_id(&*shared.world.disk)).await
    }

    fn cluster_id(&self) -> &str {
        &self.shared.meta.cluster_id
    }
}

impl EmbeddedLog {
    async fn blocking_on<T: Send + 'static>(
        &self,
        partition: Arc<Partition>,
        step: impl FnOnce(&Partition, &Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        blocking(&self.shared.world.tasks, move || step(&partition, &shared)).await
    }
}

/// Runs `step`, which waits for the disk, where waiting harms nobody.
async fn blocking<T: Send + 'static>(tasks: &Tasks, step: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tasks.blocking(step).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("a step of the log did not end").detail(error.to_string())),
    }
}

fn shutting_down() -> Error {
    Error::new(SHUTTING_DOWN, "the log is closed")
}
