//! Writing the write-ahead log: full files, spare files, and the one in use.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    path::PathBuf,
    sync::Arc,
};

use model::{Error, Offset, PartitionId, Result, TopicId};
use parking_lot::Mutex;
use world::{Disk, DiskFile, OpenMode};

use super::format::{ENTRY_HEADER_BYTES, Entry, FILE_HEADER_BYTES, FileHeader, Kind, Lsn};
use crate::{
    embedded::{layout, partition::Stored},
    planted::{self, Bug},
    record::HEADER_BYTES,
};

/// What the thread that writes shares with the one that checkpoints.
pub(crate) struct WalFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file_bytes: u64,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Files that recovery may still need, oldest first.
    full: VecDeque<Full>,
    /// Files to be used again, all of `file_bytes`.
    spare: Vec<u64>,
    /// Number of the next new file.
    next_number: u64,
    /// Entries before this one are durable, and what they say has taken effect.
    settled: Lsn,
    /// Entries before this one may have been written.
    used: Lsn,
    /// Bytes logged since the log was opened.
    logged_bytes: u64,
}

struct Full {
    number: u64,
    /// Lsn after its last entry.
    end: Lsn,
    reusable: bool,
}

/// What the device is given at once while a spare file is made: appends wait behind no more than this.
const PREPARED_AT_ONCE_BYTES: usize = 64 << 10;

impl WalFiles {
    /// `present`: numbers of the files that are there, and whether each can be used again. All are kept until
    /// [`WalFiles::free_before`] says that nobody needs them.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        file_bytes: u64,
        present: Vec<(u64, bool)>,
        next: Lsn,
    ) -> Self {
        let next_number = present.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        let full = present.into_iter().map(|(number, reusable)| Full { number, end: next, reusable }).collect();
        let shared = Mutex::new(Shared { full, next_number, settled: next, used: next, ..Shared::default() });
        Self { disk, dir, file_bytes, shared }
    }

    /// Entries are numbered from `next` on; all files there are hold earlier ones.
    pub(crate) fn restart_at(&self, next: Lsn) {
        let mut shared = self.shared.lock();
        assert!(next >= shared.settled, "numbers rise");
        (shared.settled, shared.used) = (next, next);
        shared.full.iter_mut().for_each(|full| full.end = next);
    }

    /// Entries before this one may have been written.
    pub(crate) fn used(&self) -> Lsn {
        self.shared.lock().used
    }

    /// Entries before this one are durable, and what they say has taken effect.
    pub(crate) fn settled(&self) -> Lsn {
        self.shared.lock().settled
    }

    pub(crate) fn logged_bytes(&self) -> u64 {
        self.shared.lock().logged_bytes
    }

    /// Bytes of the files that recovery may still need, the one in use not counted.
    pub(crate) fn full_bytes(&self) -> u64 {
        self.shared.lock().full.len() as u64 * self.file_bytes
    }

    /// No entry before `lsn` is needed any more: its files become spare, at most `spare_max`.
    pub(crate) fn free_before(&self, lsn: Lsn, spare_max: usize) {
        let mut surplus = Vec::new();
        {
            let mut shared = self.shared.lock();
            while let Some(full) = shared.full.pop_front_if(|full| full.end <= lsn) {
                if full.reusable && shared.spare.len() < spare_max {
                    shared.spare.push(full.number);
                } else {
                    surplus.push(full.number);
                }
            }
        }
        for number in surplus {
            if let Err(error) = self.disk.remove_file(&layout::wal_file(&self.dir, number)) {
                tracing::warn!(number, %error, "cannot remove a file of the write-ahead log");
            }
        }
    }

    /// Makes a spare file if there is none. Its blocks are written once, so that syncing into them later changes no
    /// metadata.
    pub(crate) fn prepare_spare(&self) -> io::Result<()> {
        let number = {
            let mut shared = self.shared.lock();
            if !shared.spare.is_empty() {
                return Ok(());
            }
            shared.next_number += 1;
            shared.next_number - 1
        };
        let path = layout::wal_file(&self.dir, number);
        let made = (|| {
            let file = self.disk.open(&path, OpenMode::ReadWrite)?;
            file.allocate(self.file_bytes)?;
            let zeros = vec![0; PREPARED_AT_ONCE_BYTES];
            let mut at = 0;
            while at < self.file_bytes {
                let len = (self.file_bytes - at).min(zeros.len() as u64);
                file.write_all_at(&zeros[..len as usize], at)?;
                file.write_back(at, len)?;
                at += len;
            }
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        })();
        match made {
            Ok(()) => self.shared.lock().spare.push(number),
            Err(_) => self.disk.remove_file(&path)?,
        }
        made
    }
}

/// The write-ahead log as its one writer holds it.
pub(crate) struct Wal {
    files: Arc<WalFiles>,
    current: Option<Current>,
    /// Number of the next entry.
    next: Lsn,
    /// To be written into the header of the next file.
    void_from: Lsn,
}

struct Current {
    number: u64,
    file: Arc<dyn DiskFile>,
    len: u64,
    at: u64,
    /// Bytes not written yet: the header of a file that has just been begun.
    begin: Option<FileHeader>,
    /// Its header is on disk.
    is_begun: bool,
}

/// What is to be logged.
pub(crate) enum Write<'a> {
    Batch(TopicId, PartitionId, &'a Stored),
    LogStart(TopicId, PartitionId, Offset),
}

impl Write<'_> {
    fn payload_bytes(&self) -> usize {
        match self {
            Write::Batch(_, _, stored) => stored.size(),
            Write::LogStart(..) => 0,
        }
    }
}

/// Why none of a group was logged.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// No start will find anything of it.
    pub(crate) is_gone: bool,
}

/// Records up to this size are copied together; larger ones are handed to the system as they are.
const COPIED_BYTES_MAX: usize = 2048;

impl Wal {
    pub(crate) fn new(files: Arc<WalFiles>, next: Lsn) -> Self {
        Self { files, current: None, next, void_from: Lsn::MAX }
    }

    /// Number of the file in use.
    pub(crate) fn file_number(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.number)
    }

    /// Whether all that is in its files and not void by what they say has been acknowledged.
    pub(crate) fn is_sure(&self) -> bool {
        self.void_from == Lsn::MAX
    }

    /// Logs a prefix of `writes`, as many as fit into one file, and returns once they are on disk. On failure none of
    /// `writes` counts, whatever is in the file, from when the next group is logged on; before that, if nothing is there.
    pub(crate) fn log(&mut self, writes: &[Write<'_>]) -> Result<usize, Failed> {
        assert!(!writes.is_empty(), "a group has something to log");
        let first = self.next;
        match self.try_log(writes) {
            Ok(count) => {
                self.void_from = Lsn::MAX;
                Ok(count)
            }
            Err(error) => {
                // After a failed fsync nobody knows what is on disk: leave the file, say in the next one what does not
                // count, and never use this one again.
                if !planted::is(Bug::FailedNotVoid) {
                    self.void_from = self.void_from.min(first);
                }
                let mut is_gone = self.next == first;
                if let Some(current) = self.current.take()
                    && current.begin.is_none()
                {
                    // A node that ends before there is a next file leaves only this one to the next: what did reach it
                    // shall not be found. Where its header is not there for sure the one of an earlier use may be, and what
                    // followed that is what is overwritten: then the file holds nothing.
                    let taken_out = match current.is_begun {
                        true => current.file.write_all_at(&[0; ENTRY_HEADER_BYTES], current.at),
                        false => current.file.write_all_at(&[0; FILE_HEADER_BYTES + ENTRY_HEADER_BYTES], 0),
                    };
                    match taken_out.and_then(|()| current.file.sync_data()) {
                        Ok(()) => is_gone = true,
                        Err(error) => {
                            tracing::warn!(%error, "what failed cannot be taken out of the write-ahead log");
                        }
                    }
                    self.files.shared.lock().full.push_back(Full {
                        number: current.number,
                        end: self.next,
                        reusable: false,
                    });
                } else {
                    self.next = first;
                }
                Err(Failed { error, is_gone })
            }
        }
    }

    fn try_log(&mut self, writes: &[Write<'_>]) -> Result<usize> {
        let first_bytes = (writes[0].payload_bytes() + ENTRY_HEADER_BYTES) as u64;
        let full = self.current.as_ref().is_some_and(|c| c.at + first_bytes + ENTRY_HEADER_BYTES as u64 > c.len);
        if full {
            self.finish()?;
        }
        if self.current.is_none() {
            self.begin(first_bytes)?;
        }
        let current = self.current.as_mut().expect("begun: above");
        let mut next = self.next;

        // Small things are copied into one buffer, large ones stay where they are.
        let mut copied: Vec<u8> = Vec::with_capacity(64 << 10);
        let mut parts: Vec<(usize, &[u8])> = Vec::new();
        if let Some(header) = &current.begin {
            copied.extend_from_slice(&header.write());
        }
        let mut count = 0;
        let mut at = current.at;
        for write in writes {
            let bytes = (write.payload_bytes() + ENTRY_HEADER_BYTES) as u64;
            if at + bytes + ENTRY_HEADER_BYTES as u64 > current.len {
                break;
            }
            match write {
                Write::Batch(topic, partition, stored) => {
                    let entry = Entry {
                        kind: Kind::Batch,
                        lsn: next,
                        payload_bytes: stored.size() as u32,
                        topic: *topic,
                        partition: *partition,
                        log_start: 0,
                    };
                    copied.extend_from_slice(&entry.write(&stored.head));
                    copied.extend_from_slice(&stored.head);
                    if stored.records.len() <= COPIED_BYTES_MAX {
                        copied.extend_from_slice(&stored.records);
                    } else {
                        parts.push((copied.len(), &stored.records));
                    }
                }
                Write::LogStart(topic, partition, log_start) => {
                    let entry = Entry {
                        kind: Kind::LogStart,
                        lsn: next,
                        payload_bytes: 0,
                        topic: *topic,
                        partition: *partition,
                        log_start: *log_start,
                    };
                    copied.extend_from_slice(&entry.write(&[]));
                }
            }
            next += 1;
            at += bytes;
            count += 1;
        }
        assert!(count > 0, "the file was chosen to hold the first entry");

        let mut slices = Vec::with_capacity(parts.len() * 2 + 1);
        let mut from = 0;
        for (to, part) in parts {
            slices.push(IoSlice::new(&copied[from..to]));
            slices.push(IoSlice::new(part));
            from = to;
        }
        if from < copied.len() {
            slices.push(IoSlice::new(&copied[from..]));
        }
        let write_at = if current.begin.take().is_some() { 0 } else { current.at };
        let logged = at - write_at;
        // From here on the numbers are used up, even if this fails: they may have reached the disk.
        self.next = next;
        self.files.shared.lock().used = next;
        let failed = |what: &str, error: io::Error| Error::io(format!("cannot {what} the write-ahead log"), &error);
        current.file.write_parts_at(&slices, write_at).map_err(|error| failed("write", error))?;
        if !planted::is(Bug::ToldBeforeSync) {
            current.file.sync_data().map_err(|error| failed("sync", error))?;
        }
        (current.at, current.is_begun) = (at, true);
        self.files.shared.lock().logged_bytes += logged;
        Ok(count)
    }

    /// All that was logged has taken effect: a checkpoint from now on covers it.
    pub(crate) fn took_effect(&self) {
        self.files.shared.lock().settled = self.next;
    }

    /// Closes the current file, which is full.
    fn finish(&mut self) -> Result<()> {
        let current = self.current.as_ref().expect("there is a current file: checked by the caller");
        let end = Entry {
            kind: Kind::End,
            lsn: self.next,
            payload_bytes: 0,
            topic: TopicId::nil(),
            partition: 0,
            log_start: 0,
        };
        current
            .file
            .write_all_at(&end.write(&[]), current.at)
            .and_then(|()| current.file.sync_data())
            .map_err(|error| Error::io("cannot finish a file of the write-ahead log", &error))?;
        let current = self.current.take().expect("as above");
        let reusable = current.len == self.files.file_bytes;
        self.files.shared.lock().full.push_back(Full { number: current.number, end: self.next, reusable });
        Ok(())
    }

    /// Takes a spare file, or makes one, that holds an entry of `first_bytes`.
    fn begin(&mut self, first_bytes: u64) -> Result<()> {
        let files = &self.files;
        let need = first_bytes + (FILE_HEADER_BYTES + ENTRY_HEADER_BYTES) as u64;
        let len = need.max(files.file_bytes);
        let spare = if len == files.file_bytes { files.shared.lock().spare.pop() } else { None };
        let is_new = spare.is_none();
        let number = spare.unwrap_or_else(|| {
            let mut shared = files.shared.lock();
            shared.next_number += 1;
            shared.next_number - 1
        });
        let path = layout::wal_file(&files.dir, number);
        let opened = (|| {
            if is_new {
                files.disk.create_dir_all(&files.dir)?;
            }
            let file = files.disk.open(&path, OpenMode::ReadWrite)?;
            if is_new {
                file.allocate(len)?;
                file.sync_data()?;
                files.disk.sync_dir(&files.dir)?;
                if let Some(parent) = files.dir.parent() {
                    files.disk.sync_dir(parent)?;
                }
            }
            Ok(file)
        })();
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                if is_new {
                    // Room for it may be what is missing.
                    let _ = files.disk.remove_file(&path);
                } else {
                    files.shared.lock().spare.push(number);
                }
                return Err(Error::io("cannot begin a file of the write-ahead log", &error));
            }
        };
        let header = FileHeader { first_lsn: self.next, void_from: self.void_from };
        let at = FILE_HEADER_BYTES as u64;
        self.current = Some(Current { number, file, len, at, begin: Some(header), is_begun: false });
        Ok(())
    }
}

const _: () = assert!(HEADER_BYTES == 61, "entries sum the header of a batch");
