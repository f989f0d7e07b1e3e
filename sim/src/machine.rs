//! The machine a node runs on: a clock that is moved by hand and a disk that fails when the seed says so.

use std::{
    any::Any,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use commitlog::Steps;
use model::TimestampMs;
use parking_lot::Mutex;
use testkit::{Fault, MemoryDisk};
use world::{Clock, Disk, DiskFile, DiskLock, OpenMode};

use crate::{chance::Chance, story::Digest};

/// Monotonic time moves together with Tokio's; the wall's may jump.
pub struct SimClock {
    passed_ms: AtomicU64,
    wall_ms: AtomicI64,
}

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

impl SimClock {
    pub fn new() -> Self {
        Self { passed_ms: AtomicU64::new(0), wall_ms: AtomicI64::new(BEGIN_MS) }
    }

    pub fn advance(&self, by: Duration) {
        let ms = by.as_millis() as u64;
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(ms as i64, Ordering::SeqCst);
    }

    /// Somebody sets the wall's clock.
    pub fn jump(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> TimestampMs {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
    }
}

/// How a disk deceives: bugs from outside, to see that the invariants notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Says that bytes are on disk that are not.
    SyncsNothing,
    /// Says that names are on disk that are not.
    SyncsNoNames,
}

/// Unwinds out of whatever the node was doing: nothing of it runs after the machine has stopped.
struct MachineStopped;

/// A [`MemoryDisk`] at which a machine may stop, an operation may fail, and others may go on while it is at work.
#[derive(Clone)]
pub struct SimDisk(Arc<Inner>);

struct Inner {
    disk: MemoryDisk,
    state: Mutex<State>,
    /// Of this life, reads included.
    calls: AtomicU64,
}

/// Calls of a life. A run has some ten thousand: whoever makes more goes round in circles.
const CALLS_MAX: u64 = 20_000_000;

struct State {
    chance: Chance,
    digest: Digest,
    operations: u64,
    stops_at: Option<u64>,
    has_stopped: bool,
    fails_at: Option<u64>,
    lie: Option<Lie>,
    /// Whose turn it may be while the disk is at work.
    others: Option<Weak<Steps>>,
    depth: u32,
}

/// Steps within steps within steps.
const DEPTH_MAX: u32 = 2;

impl SimDisk {
    pub fn new(disk: MemoryDisk, chance: Chance, lie: Option<Lie>) -> Self {
        let state = State {
            chance,
            digest: Digest::default(),
            operations: 0,
            stops_at: None,
            has_stopped: false,
            fails_at: None,
            lie,
            others: None,
            depth: 0,
        };
        Self(Arc::new(Inner { disk, state: Mutex::new(state), calls: AtomicU64::new(0) }))
    }

    pub fn memory(&self) -> &MemoryDisk {
        &self.0.disk
    }

    /// Of all operations so far.
    pub fn digest(&self) -> Digest {
        self.0.state.lock().digest
    }

    pub fn operations(&self) -> u64 {
        self.0.state.lock().operations
    }

    /// The machine stops after so many more operations.
    pub fn stop_after(&self, operations: Option<u64>) {
        let mut state = self.0.state.lock();
        state.stops_at = operations.map(|more| state.operations + more);
    }

    pub fn has_stopped(&self) -> bool {
        self.0.state.lock().has_stopped
    }

    pub fn stop_now(&self) {
        self.0.state.lock().has_stopped = true;
    }

    /// One operation fails, after so many more.
    pub fn fail_after(&self, operations: Option<u64>) {
        let mut state = self.0.state.lock();
        state.fails_at = operations.map(|more| state.operations + more);
    }

    /// While the disk syncs, other threads' steps may be taken.
    pub fn share_with(&self, others: Weak<Steps>) {
        self.0.state.lock().others = Some(others);
    }

    /// A run ends, whatever the node does.
    fn count_call(&self) {
        let calls = self.0.calls.fetch_add(1, Ordering::Relaxed);
        assert!(calls != CALLS_MAX, "the node ends what it does after fewer than {CALLS_MAX} calls of the disk");
    }

    /// Before every operation. `waits`: the device is at work, and others go on meanwhile.
    fn begin(&self, what: &str, path: &Path, bytes: usize, waits: bool) -> io::Result<()> {
        self.count_call();
        let (turn, others) = {
            let mut state = self.0.state.lock();
            if state.has_stopped {
                drop(state);
                return stopped();
            }
            state.operations += 1;
            let line = format!("{what} {} {bytes}", path.display());
            state.digest.add(line.as_bytes());
            if state.stops_at == Some(state.operations) {
                state.has_stopped = true;
                drop(state);
                return stopped();
            }
            if state.fails_at == Some(state.operations) {
                state.fails_at = None;
                return Err(io::Error::other("input/output error"));
            }
            let is_shared = waits && state.depth < DEPTH_MAX && state.fails_at.is_none() && state.chance.permille(300);
            if !is_shared {
                return Ok(());
            }
            let Some(others) = state.others.as_ref().and_then(Weak::upgrade) else { return Ok(()) };
            state.depth += 1;
            (state.chance.next(), others)
        };
        struct Leave<'a>(&'a Mutex<State>);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.lock().depth -= 1;
            }
        }
        let _leave = Leave(&self.0.state);
        match turn % 8 {
            0..3 => _ = others.write(),
            3..6 => _ = others.write() || others.commit(),
            6 => _ = others.commit(),
            _ => _ = others.keep(),
        }
        Ok(())
    }

    fn lies(&self, lie: Lie) -> bool {
        let mut state = self.0.state.lock();
        state.lie == Some(lie) && state.chance.permille(500)
    }
}

fn stopped() -> io::Result<()> {
    if std::thread::panicking() {
        return Err(io::Error::other("the machine has stopped"));
    }
    let stop: Box<dyn Any + Send> = Box::new(MachineStopped);
    std::panic::resume_unwind(stop)
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.begin("open", path, 0, false)?;
        let file = self.0.disk.open(path, mode)?;
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.begin("list", dir, 0, false)?;
        self.0.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.begin("mkdir", dir, 0, false)?;
        self.0.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin("rename", from, 0, false)?;
        self.0.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.begin("remove", path, 0, false)?;
        self.0.disk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.begin("remove all", dir, 0, false)?;
        self.0.disk.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.begin("sync names", dir, 0, true)?;
        if self.lies(Lie::SyncsNoNames) {
            return Ok(());
        }
        self.0.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.0.disk.lock(path)
    }
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.count_call();
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let begun = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.disk.begin("write", &self.path, bytes.len(), false)
        }));
        match begun {
            Ok(begun) => begun?,
            Err(stop) => {
                // The machine stops in the middle of it.
                let written = (self.disk.operations() as usize * 7919) % (bytes.len() + 1);
                self.file.write_all_at(&bytes[..written], offset)?;
                std::panic::resume_unwind(stop);
            }
        }
        self.file.write_all_at(bytes, offset)
    }

    fn write_back(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.disk.begin("write back", &self.path, 0, false)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.begin("sync", &self.path, 0, true).inspect_err(|_| {
            // As on Linux: what could not be synced is taken for clean from here on.
            self.disk.0.disk.set_fault(Some(Fault::OneSyncFails));
            let _told = self.file.sync_data();
            self.disk.0.disk.set_fault(None);
        })?;
        if self.disk.lies(Lie::SyncsNothing) {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.begin("cut", &self.path, len as usize, false)?;
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.begin("allocate", &self.path, len as usize, false)?;
        self.file.allocate(len)
    }
}
