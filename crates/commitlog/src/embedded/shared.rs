//! What the log's threads and its callers share.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use model::{Error, Offset, Result, TopicId, TopicName, TopicPartition, error::codes::TOPIC_NOT_FOUND};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use world::World;

use super::{
    LogSettings,
    compactor::Counters,
    layout::Layout,
    meta::Meta,
    partition::{OpenFiles, Partition, Segment},
    queue::{Item, Nudge, Queue},
    wal::WalFiles,
};
use crate::topic::{Topic, TopicConfig};

/// Of what keeps nothing of the write-ahead log so many bytes count as one towards the next checkpoint: it only makes the next start
/// longer, and each checkpoint is a time in which everybody's writes stumble over it.
pub(crate) const WITHOUT_LOG: u64 = 8;

pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) settings: LogSettings,
    pub(crate) world: World,
    pub(crate) meta: Meta,
    pub(crate) topics: RwLock<BTreeMap<TopicName, Arc<TopicHandle>>>,
    /// What topics get that do not say otherwise. Changed under [`Self::topics_admin`].
    pub(crate) topic_defaults: RwLock<TopicConfig>,
    pub(crate) topics_changed: watch::Sender<u64>,
    /// Held while topics are made, changed or deleted; these wait for the disk.
    pub(crate) topics_admin: Mutex<()>,
    pub(crate) open_files: OpenFiles,
    /// To the writer of segments.
    pub(crate) appends: Queue<Item>,
    /// From there to the write-ahead log.
    pub(crate) written: Queue<Item>,
    pub(crate) wal: Arc<WalFiles>,
    /// Bytes of batches in flight.
    pub(crate) in_flight_bytes: AtomicUsize,
    pub(crate) room: Notify,
    /// Held by the one who is next when there is room.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) keeper: Nudge,
    pub(crate) compactor: Nudge,
    /// Held while segments are compacted.
    pub(crate) compacting: Mutex<()>,
    /// What compaction has done since the log was opened.
    pub(crate) compaction: Counters,
    pub(crate) checkpointing: Mutex<()>,
    /// The clean mark is on disk and must go before anything is written.
    pub(crate) clean_mark: AtomicBool,
    /// Bytes that have become durable since the log was opened, as they count towards a checkpoint, and how many of them the last
    /// one covers.
    pub(crate) written_bytes: AtomicU64,
    pub(crate) checkpoint_bytes: AtomicU64,
    pub(crate) graveyard: Mutex<Vec<Buried>>,
    /// A change of a topic failed on its way to disk: which names of files are there nobody knows.
    pub(crate) unsure_names: AtomicBool,
    /// What recovery found may not be on disk, and nothing is taken until it is.
    pub(crate) unsettled: AtomicBool,
    /// The last owner went away without closing: finish nothing.
    pub(crate) abandoned: AtomicBool,
}

/// A topic and its partitions.
pub(crate) struct TopicHandle {
    pub(crate) id: TopicId,
    pub(crate) dir: PathBuf,
    pub(crate) topic: Arc<RwLock<Arc<Topic>>>,
    pub(crate) partitions: RwLock<Vec<Arc<Partition>>>,
}

/// A removed segment whose files stay a little for readers that are on them.
pub(crate) struct Buried {
    pub(crate) segment: Arc<Segment>,
    /// By the monotonic clock.
    pub(crate) since: std::time::Duration,
}

impl Shared {
    pub(crate) fn handle(&self, name: &str) -> Result<Arc<TopicHandle>> {
        self.topics.read().get(name).cloned().ok_or_else(|| no_topic(name))
    }

    pub(crate) fn partition(&self, of: &TopicPartition) -> Result<Arc<Partition>> {
        let topics = self.topics.read();
        let handle = topics.get(of.topic.as_str()).ok_or_else(|| no_topic(&of.topic))?;
        let partitions = handle.partitions.read();
        match usize::try_from(of.partition).ok().and_then(|number| partitions.get(number)) {
            Some(partition) => Ok(partition.clone()),
            None => Err(Error::new(TOPIC_NOT_FOUND, format!("topic `{}` has no partition {}", of.topic, of.partition))
                .detail(format!("it has {}", partitions.len()))),
        }
    }

    pub(crate) fn all_partitions(&self) -> Vec<Arc<Partition>> {
        let handles: Vec<_> = self.topics.read().values().cloned().collect();
        handles.iter().flat_map(|handle| handle.partitions.read().clone()).collect()
    }

    pub(crate) fn changed(&self) {
        self.topics_changed.send_modify(|version| *version += 1);
    }

    /// So many bytes more are the next checkpoint's.
    pub(crate) fn owe(&self, bytes: u64) {
        let before = self.written_bytes.fetch_add(bytes.max(1), Ordering::Relaxed);
        if before == 0 || self.is_checkpoint_due() {
            self.keeper.nudge();
        }
    }

    /// Whether more may be taken in. A log that is closed has room: it refuses what comes.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight_bytes.load(Ordering::Acquire) < self.settings.queue_bytes_max || self.appends.is_closed()
    }

    /// `bytes` are no longer in flight.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.in_flight_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before >= self.settings.queue_bytes_max && before - bytes < self.settings.queue_bytes_max {
            self.room.notify_waiters();
        }
    }

    pub(crate) fn bury(&self, segments: Vec<Arc<Segment>>) {
        let since = self.world.clock.monotonic();
        self.graveyard.lock().extend(segments.into_iter().map(|segment| Buried { segment, since }));
    }
}

pub(crate) fn no_topic(name: &str) -> Error {
    Error::new(TOPIC_NOT_FOUND, format!("there is no topic `{}`", name.escape_debug()))
}

/// Wakes readers of the partitions in `moved`, each once.
pub(crate) fn wake(moved: &mut Vec<Arc<Partition>>) {
    moved.sort_unstable_by_key(|partition| partition.slot);
    moved.dedup_by_key(|partition| partition.slot);
    for partition in moved.drain(..) {
        partition.wake();
    }
}

/// The start of a partition has been moved durably.
pub(crate) fn apply_log_start(shared: &Shared, partition: &Arc<Partition>, to: Offset) -> Offset {
    let (moved, start) = {
        let mut core = partition.core.lock();
        (core.set_log_start(to), core.log_start)
    };
    if moved {
        partition.wake();
        shared.keeper.nudge();
    }
    start
}
