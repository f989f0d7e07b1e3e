//! A disk in memory that can lose power, run full and fail to sync.
//!
//! It keeps two pictures: what programs see, and what has been synced. [`MemoryDisk::power_cut`] throws the first away,
//! except for pages and names that happen to have been written back, which a seed decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use world::{Disk, DiskFile, DiskLock, OpenMode};

/// Size of what is written back as one, if all goes well.
const PAGE: usize = 4096;
/// What a device writes whole or not at all: a page may be torn between two of these.
const SECTOR: usize = 512;

/// What a faulty disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Writes that need more room fail with ENOSPC.
    Full,
    /// Syncs fail with EIO, and what was to be synced is lost at the next power cut even if synced again.
    SyncFails,
    /// The next sync of a file fails like that, and none after it.
    OneSyncFails,
}

#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>, Arc<Gate>);

/// Where syncs wait while the disk is held.
#[derive(Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    /// Names as programs see them, and as they are on the platter.
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    fault: Option<Fault>,
    /// Bytes that may be used in all files together, if there is a limit.
    capacity: Option<usize>,
    syncs: u64,
    written: u64,
    /// Changes that still succeed, if not all do.
    changes_left: Option<u64>,
}

type Inode = Arc<Mutex<File>>;

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Pages written since the last sync.
    dirty: BTreeSet<usize>,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_fault(&self, fault: Option<Fault>) {
        self.0.lock().fault = fault;
    }

    /// Whether syncs of files wait until this is called again: a disk that is slower than everything else.
    pub fn hold_syncs(&self, hold: bool) {
        *self.1.is_shut.lock() = hold;
        self.1.opened.notify_all();
    }

    /// Limits the bytes of all files together; `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.0.lock().capacity = bytes;
    }

    /// Lets so many changes succeed and no more: for looking at what is there at each step of something.
    pub fn stop_after(&self, changes: u64) {
        self.0.lock().changes_left = Some(changes + 1);
    }

    /// Whether a change has been refused because of [`MemoryDisk::stop_after`].
    pub fn has_stopped(&self) -> bool {
        self.0.lock().changes_left == Some(0)
    }

    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    /// Bytes that programs have written so far, to all files together.
    pub fn written(&self) -> u64 {
        self.0.lock().written
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// The disk as it is after power was lost now. `seed` decides which unsynced pages made it; 0: none.
    pub fn power_cut(&self, seed: u64) -> MemoryDisk {
        let state = self.0.lock();
        let mut chance = seed;
        let mut lucky = move || {
            if seed == 0 {
                return false;
            }
            // SplitMix64: the same seed gives the same disk.
            chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = chance;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)) & 4 == 0
        };
        let mut names = state.durable_names.clone();
        names.retain(|path, _| state.names.contains_key(path) || !lucky());
        for (path, inode) in &state.names {
            if lucky() {
                names.insert(path.clone(), inode.clone());
            }
        }
        let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
        // Parents come before what lies in them.
        for dir in &state.dirs {
            let has_parent = dir.parent().is_none_or(|parent| dirs.contains(parent));
            if has_parent && (state.durable_dirs.contains(dir) || lucky()) {
                dirs.insert(dir.clone());
            }
        }
        names.retain(|path, _| path.parent().is_some_and(|parent| dirs.contains(parent)));
        let mut after = State { dirs: dirs.clone(), durable_dirs: dirs, ..State::default() };
        for (path, inode) in names {
            let file = inode.lock();
            let mut bytes = file.durable.clone();
            let whole_length = lucky();
            for page in &file.dirty {
                let range = page * PAGE..((page + 1) * PAGE).min(file.bytes.len());
                if range.start < range.end && lucky() {
                    if bytes.len() < range.end {
                        if !whole_length {
                            continue;
                        }
                        bytes.resize(range.end, 0);
                    }
                    let sectors = range.len().div_ceil(SECTOR);
                    let torn_from = if lucky() { sectors } else { file.bytes.len() % (sectors + 1) };
                    let written = range.start..(range.start + torn_from * SECTOR).min(range.end);
                    bytes[written.clone()].copy_from_slice(&file.bytes[written]);
                }
            }
            let copy = Arc::new(Mutex::new(File { durable: bytes.clone(), bytes, dirty: BTreeSet::new() }));
            after.names.insert(path.clone(), copy.clone());
            after.durable_names.insert(path, copy);
        }
        MemoryDisk(Arc::new(Mutex::new(after)), Arc::default())
    }

    /// The disk as it is after the process was killed now: everything written is there.
    pub fn process_kill(&self) -> MemoryDisk {
        let state = self.0.lock();
        let mut copies: BTreeMap<*const Mutex<File>, Inode> = BTreeMap::new();
        let mut copy_of = |inode: &Inode| {
            copies.entry(Arc::as_ptr(inode)).or_insert_with(|| Arc::new(Mutex::new(inode.lock().clone()))).clone()
        };
        let mut copied = |names: &BTreeMap<PathBuf, Inode>| -> BTreeMap<PathBuf, Inode> {
            names.iter().map(|(path, inode)| (path.clone(), copy_of(inode))).collect()
        };
        let after = State {
            names: copied(&state.names),
            durable_names: copied(&state.durable_names),
            dirs: state.dirs.clone(),
            durable_dirs: state.durable_dirs.clone(),
            ..State::default()
        };
        MemoryDisk(Arc::new(Mutex::new(after)), Arc::default())
    }

    /// Every file and its bytes, by path.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.0.lock().names.iter().map(|(path, inode)| (path.clone(), inode.lock().bytes.clone())).collect()
    }

    /// Paths of all files, for tests that damage them.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.0.lock().names.get(path).cloned().expect("the file exists");
        let mut file = inode.lock();
        change(&mut file.bytes);
        file.durable = file.bytes.clone();
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            None => Ok(()),
            // The last one is never used up: it tells that something was refused.
            Some(0 | 1) => {
                self.changes_left = Some(0);
                Err(io::Error::other("the disk has stopped"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|inode| inode.lock().bytes.len()).sum()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let inode = match state.names.get(path) {
            Some(inode) => inode.clone(),
            None if mode == OpenMode::Read => return Err(io::ErrorKind::NotFound.into()),
            None if !path.parent().is_some_and(|parent| state.dirs.contains(parent)) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            None => {
                state.change()?;
                let inode = Inode::default();
                state.names.insert(path.to_owned(), inode.clone());
                inode
            }
        };
        Ok(Arc::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.0.lock();
        state.names.contains_key(path) || state.dirs.contains(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let below = state.names.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        let names: BTreeSet<_> =
            below.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        Ok(names.into_iter().collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        // The first one is where the disk is mounted.
        if state.dirs.is_empty() {
            state.durable_dirs.extend(dir.ancestors().map(ToOwned::to_owned));
        }
        state.dirs.extend(dir.ancestors().map(ToOwned::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if let Some(inode) = state.names.remove(from) {
            state.names.insert(to.to_owned(), inode);
            return Ok(());
        }
        if !state.dirs.contains(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let moved = |path: &Path| {
            path.strip_prefix(from).ok().map(|rest| if rest == Path::new("") { to.to_owned() } else { to.join(rest) })
        };
        // Of directories renaming is durable at once.
        for table in [true, false] {
            let dirs = if table { &mut state.dirs } else { &mut state.durable_dirs };
            *dirs = std::mem::take(dirs).into_iter().map(|dir| moved(&dir).unwrap_or(dir)).collect();
        }
        for table in [true, false] {
            let names = if table { &mut state.names } else { &mut state.durable_names };
            *names =
                std::mem::take(names).into_iter().map(|(path, inode)| (moved(&path).unwrap_or(path), inode)).collect();
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.names.contains_key(path) {
            state.change()?;
        }
        state.names.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.names.retain(|path, _| !path.starts_with(dir));
        state.durable_names.retain(|path, _| !path.starts_with(dir));
        state.dirs.retain(|path| !path.starts_with(dir));
        state.durable_dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if state.fault == Some(Fault::SyncFails) {
            return Err(io::Error::other("input/output error"));
        }
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let now: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .map(|(path, inode)| (path.clone(), inode.clone()))
            .collect();
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        state.durable_names.extend(now);
        let below: Vec<_> = state.dirs.iter().filter(|path| path.parent() == Some(dir)).cloned().collect();
        state.durable_dirs.extend(below);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        struct Guard(MemoryDisk, PathBuf, AtomicBool);
        impl Drop for Guard {
            fn drop(&mut self) {
                if !self.2.swap(true, Ordering::SeqCst) {
                    self.0.0.lock().locks.remove(&self.1);
                }
            }
        }
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Guard(self.clone(), path.to_owned(), AtomicBool::new(false)))))
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: Inode,
}

impl MemoryFile {
    fn grow_to(&self, len: usize) -> io::Result<()> {
        let state = self.disk.0.lock();
        let have = self.inode.lock().bytes.len();
        let more = len.saturating_sub(have);
        let full = state.fault == Some(Fault::Full) || state.capacity.is_some_and(|max| state.used() + more > max);
        if more > 0 && full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.inode.lock();
        let from = (offset as usize).min(file.bytes.len());
        let read = buf.len().min(file.bytes.len() - from);
        buf[..read].copy_from_slice(&file.bytes[from..from + read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.0.lock().change()?;
        let range = offset as usize..offset as usize + bytes.len();
        let room = self.grow_to(range.end);
        // A full disk takes the first half.
        let taken = if room.is_ok() { bytes.len() } else { bytes.len() / 2 };
        self.disk.0.lock().written += taken as u64;
        let mut file = self.inode.lock();
        let range = range.start..range.start + taken;
        if file.bytes.len() < range.end {
            file.bytes.resize(range.end, 0);
        }
        file.bytes[range.clone()].copy_from_slice(&bytes[..taken]);
        file.dirty.extend(range.start / PAGE..range.end.div_ceil(PAGE));
        room
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.1.opened.wait_while(&mut self.disk.1.is_shut.lock(), |is_shut| *is_shut);
        let mut state = self.disk.0.lock();
        let mut file = self.inode.lock();
        state.change()?;
        state.syncs += 1;
        if matches!(state.fault, Some(Fault::SyncFails | Fault::OneSyncFails)) {
            state.fault = state.fault.filter(|fault| *fault != Fault::OneSyncFails);
            // As on Linux: the pages are clean now, whatever became of them.
            file.dirty.clear();
            return Err(io::Error::other("input/output error"));
        }
        let dirty = std::mem::take(&mut file.dirty);
        let File { bytes, durable, .. } = &mut *file;
        durable.resize(bytes.len(), 0);
        for page in dirty {
            let range = page * PAGE..((page + 1) * PAGE).min(bytes.len());
            if range.start < range.end {
                durable[range.clone()].copy_from_slice(&bytes[range]);
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.lock().bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.0.lock().change()?;
        self.inode.lock().bytes.resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.0.lock().change()?;
        self.grow_to(len as usize)?;
        let mut file = self.inode.lock();
        if file.bytes.len() < len as usize {
            file.bytes.resize(len as usize, 0);
        }
        Ok(())
    }
}
