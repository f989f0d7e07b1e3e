//! Opening a log: from its directory to its threads, by way of recovery if it was not closed.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use model::{Error, PartitionId, Result, TopicId, error::codes::DATA_DIR_IN_USE};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use world::{Disk, DiskLock, OpenMode, World};

use crate::{
    planted::{self, Bug},
    topic::TopicConfig,
};

use super::{
    LogSettings, checkpoint,
    checkpoint::{Checkpoint, Saved},
    compactor::Counters,
    core::{Core, Producers, Transactions},
    layout::{self, Layout},
    meta::Meta,
    partition::{Compaction, OpenFiles, Partition, Start},
    queue::{Nudge, Queue},
    shared::Shared,
    side_by_side::side_by_side,
    topics,
    wal::{LSN_JUMP, Logged, Wal, WalFiles, replay},
};

/// Segment files open at once, if the system's limit is unknown or larger.
const OPEN_FILES_MAX: u64 = 8192;

/// A log that is ready for its threads.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) wal: Wal,
    pub(super) lock: DiskLock,
}

pub(super) fn open(dir: &Path, settings: LogSettings, world: World) -> Result<Opened> {
    let disk = world.disk.clone();
    let layout = Layout::new(dir);
    disk.create_dir_all(dir).map_err(|error| Error::io(format!("cannot make {}", dir.display()), &error))?;
    let lock = disk
        .lock(&layout.lock())
        .map_err(|error| Error::io(format!("cannot lock {}", dir.display()), &error))?
        .ok_or_else(|| {
            Error::new(DATA_DIR_IN_USE, format!("another node uses {}", dir.display()))
                .hint("stop it, or choose another directory with `--data`")
        })?;
    let meta = Meta::open(&layout, &world)?;
    let (saved, clean) = checkpoint::load(&*disk, &layout)?;
    if !clean && !planted::is(Bug::NamesOfAKillNotSynced) {
        sync_all_names(&*disk, &layout).map_err(|error| Error::io("cannot bring names of files to disk", &error))?;
    }
    let present = wal_files(&world, &layout, settings.wal_file_bytes)?;
    let wal =
        Arc::new(WalFiles::new(disk.clone(), layout.wal_dir(), settings.wal_file_bytes, present, saved.lsn + LSN_JUMP));
    let mut shared = Shared {
        layout,
        meta,
        topics: RwLock::default(),
        topic_defaults: RwLock::new(TopicConfig::defaults(settings.unsafe_ack_before_fsync)),
        topics_changed: watch::Sender::new(0),
        topics_admin: Mutex::default(),
        open_files: OpenFiles::new(disk, open_files_max()),
        appends: Queue::new(),
        written: Queue::new(),
        wal,
        in_flight_bytes: AtomicUsize::new(0),
        room: Notify::new(),
        turn: tokio::sync::Mutex::default(),
        keeper: Nudge::default(),
        compactor: Nudge::default(),
        compacting: Mutex::default(),
        compaction: Counters::default(),
        checkpointing: Mutex::default(),
        clean_mark: AtomicBool::new(clean),
        written_bytes: AtomicU64::new(0),
        checkpoint_bytes: AtomicU64::new(0),
        graveyard: Mutex::default(),
        unsure_names: AtomicBool::new(false),
        unsettled: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        settings,
        world,
    };
    let topics = topics::load(&shared, |topic, number| saved.partitions.get(&(topic, number)).map(restore))?;
    *shared.topics.get_mut() = topics;
    if clean {
        shared.wal.free_before(shared.wal.settled(), checkpoint::spare_files_max(&shared.settings));
    } else if !shared.topics.get_mut().is_empty() {
        recover(&shared, &saved)?;
    }
    let next = shared.wal.settled();
    Ok(Opened { wal: Wal::new(shared.wal.clone(), next), shared: Arc::new(shared), lock })
}

/// Brings to disk the names of what is found. A node that was killed may have made or replaced files and not come to it;
/// what is acknowledged from now on relies on them. Segments' names are the first checkpoint's.
pub(super) fn sync_all_names(disk: &dyn Disk, layout: &Layout) -> io::Result<()> {
    let topics = disk.list(&layout.topics())?.into_iter().map(|name| layout.topics().join(name));
    [layout.dir().to_owned(), layout.wal_dir(), layout.topics()]
        .into_iter()
        .chain(topics)
        .filter(|dir| disk.exists(dir))
        .try_for_each(|dir| disk.sync_dir(&dir))
}

fn restore(saved: &Saved) -> Start {
    let mut producers = Producers::default();
    for (pid, producer) in &saved.producers {
        producers.restore(*pid, producer.clone());
    }
    let transactions = Transactions::restore(&saved.begun, saved.aborted.clone());
    let epochs = saved.epochs.clone();
    Start {
        core: Core::new(saved.log_start, saved.end, saved.place, epochs, producers, transactions),
        since: saved.since,
        compaction: Compaction::restore(saved.cleaned_to, saved.next_horizon),
        checkpointed: saved.place.segment,
    }
}

/// Files of the write-ahead log: number, and whether it has the size of a new one.
fn wal_files(world: &World, layout: &Layout, file_bytes: u64) -> Result<Vec<(u64, bool)>> {
    let dir = layout.wal_dir();
    let list = || {
        let mut files = Vec::new();
        for name in world.disk.list(&dir)? {
            if let Some(number) = layout::wal_file_number(&name) {
                let len = world.disk.open(&layout::wal_file(&dir, number), OpenMode::Read)?.len()?;
                files.push((number, len == file_bytes));
            }
        }
        Ok(files)
    };
    list().map_err(|error| Error::io(format!("cannot read {}", dir.display()), &error))
}

/// Brings the partitions to where the write-ahead log says they were, and starts a new leader epoch: what readers saw
/// beyond may be gone if their topic acknowledges before the disk has it.
fn recover(shared: &Shared, saved: &Checkpoint) -> Result<()> {
    let now = shared.world.clock.now_ms();
    let open = &shared.open_files;
    let handles: Vec<_> = shared.topics.read().values().cloned().collect();
    let mut partitions: BTreeMap<(TopicId, PartitionId), Arc<Partition>> = BTreeMap::new();
    let mut with_files = Vec::new();
    for handle in &handles {
        let present = shared.world.disk.list(&handle.dir);
        let present = present.map_err(|error| Error::io(format!("cannot list {}", handle.dir.display()), &error))?;
        for partition in handle.partitions.read().iter() {
            let number = partition.name.partition;
            if present.binary_search(&number.to_string()).is_ok() {
                with_files.push(partition.clone());
            }
            partitions.insert((handle.id, number), partition.clone());
        }
    }
    side_by_side(&with_files, |partition| partition.recover(open, now))?;
    let mut replayed = 0u64;
    let next = replay(&*shared.world.disk, &shared.layout.wal_dir(), saved.lsn, |logged| {
        // Topics that are not there any more have been deleted.
        match logged {
            Logged::Batch(entry, header, records) => {
                let key = (entry.topic, entry.partition);
                let Some(partition) = partitions.get(&key) else { return Ok(()) };
                let synced_to = saved.partitions.get(&key).map_or(0, |saved| saved.end);
                replayed += u64::from(partition.replay(open, &header, records, synced_to, now)?);
            }
            Logged::LogStart(entry) => {
                if let Some(partition) = partitions.get(&(entry.topic, entry.partition)) {
                    partition.core.lock().set_log_start(entry.log_start);
                }
            }
        }
        Ok(())
    })?;
    for partition in partitions.values() {
        let mut core = partition.core.lock();
        core.recovered();
        if core.log_end > 0 {
            let (epoch, end) = (core.epochs.current() + 1, core.log_end);
            core.epochs.begin(epoch, end);
        }
    }
    tracing::info!(partitions = partitions.len(), replayed, "log recovered");
    shared.wal.restart_at(next + LSN_JUMP);
    // What has been found may be in the page cache alone, and is taken for durable from here on.
    shared.unsettled.store(true, Ordering::Release);
    if let Err(error) = checkpoint::checkpoint_at_start(shared) {
        // Reads can go on, and the write-ahead log is kept; appends must wait until a checkpoint succeeds.
        tracing::error!(%error, "no checkpoint after recovery: appends are refused until there is one");
    }
    Ok(())
}

fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(OPEN_FILES_MAX).min(2 * OPEN_FILES_MAX) / 2).expect("a small number")
}
