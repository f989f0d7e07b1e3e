//! Files, with the promises a log needs spelled out: what is durable, and when.

use std::{
    fs, io,
    io::{IoSlice, Write as _},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; read only.
    Read,
    /// Made if missing; read and write.
    ReadWrite,
}

/// A file system. Nothing is durable before the matching sync: file bytes by [`DiskFile::sync_data`], names
/// (creation, rename, removal) by [`Disk::sync_dir`] on the directory that holds them.
pub trait Disk: Send + Sync + 'static {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    fn exists(&self, path: &Path) -> bool;
    /// File names (not paths) in `dir`, sorted; empty if `dir` does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Fine if it does not exist.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Fine if it does not exist.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Claims `path` for this process until the guard is dropped; `None` if another has it.
    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;

    /// The whole file, or `None` if it does not exist.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        if !self.exists(path) {
            return Ok(None);
        }
        let file = self.open(path, OpenMode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// Replaces `path` so that after any crash it holds either the old bytes or all of `bytes`; durable on return.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        self.remove_file(&temporary)?;
        let file = self.open(&temporary, OpenMode::ReadWrite)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        fsync_dir_of(self, path)
    }
}

/// A claim made by [`Disk::lock`]; dropping it lets go.
pub type DiskLock = Box<dyn Send + Sync>;

/// Makes the name of `path` durable.
pub fn fsync_dir_of<D: Disk + ?Sized>(disk: &D, path: &Path) -> io::Result<()> {
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// An open file; positions are explicit, so it can be shared.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `parts`, one after the other.
    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for part in parts {
            self.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }
    /// Appends up to `len` bytes from `offset` to `into`; fewer only at the end of the file.
    fn read_onto(&self, into: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        let before = into.len();
        into.resize(before + len, 0);
        let read = self.read_at(&mut into[before..], offset);
        into.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }
    /// Whether these bytes can most likely be read without waiting for the device.
    fn is_cached(&self, _offset: u64, _len: usize) -> bool {
        true
    }
    /// Sends these bytes to the device and waits until it has taken them. Promises nothing: it only spreads out the work of
    /// the next [`DiskFile::sync_data`], so that others do not wait behind all of it at once.
    fn write_back(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    /// Bytes (and the length needed to find them) are on disk when this returns.
    fn sync_data(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room up to `len` and makes the file at least that long (zeros), so that later writes neither run out
    /// of space nor change the file's size.
    fn allocate(&self, len: u64) -> io::Result<()>;

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_at(buf, offset)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The machine's file system.
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        if mode == OpenMode::ReadWrite {
            options.write(true).create(true).truncate(false);
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        ignore_missing(fs::remove_file(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        ignore_missing(fs::remove_dir_all(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir: PathBuf = if dir.as_os_str().is_empty() { ".".into() } else { dir.into() };
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Parts one system call takes (Linux' `UIO_MAXIOV`).
const IOV_MAX: usize = 1024;

struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for many in parts.chunks(IOV_MAX) {
            let mut many = many.to_vec();
            let mut left = &mut many[..];
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, at) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        at += n as u64;
                        IoSlice::advance_slices(&mut left, n);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    fn read_onto(&self, into: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<usize> {
        into.reserve_exact(len);
        let before = into.len();
        while into.len() < before + len {
            let at = offset + (into.len() - before) as u64;
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(into), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        into.truncate(before + len);
        Ok(into.len() - before)
    }

    fn is_cached(&self, offset: u64, len: usize) -> bool {
        let probe = |at: u64| {
            let mut byte = [0];
            let mut parts = [io::IoSliceMut::new(&mut byte)];
            rustix::io::preadv2(&self.0, &mut parts, at, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
        };
        len == 0 || (probe(offset) && probe(offset + len as u64 - 1))
    }

    #[cfg(target_os = "linux")]
    fn write_back(&self, offset: u64, len: u64) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return Ok(()) };
        let wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: takes no pointers, and the descriptor is open as long as `self` is.
        match unsafe { libc::sync_file_range(self.0.as_raw_fd(), offset, len, wait) } {
            0 => Ok(()),
            // A file system that has no such thing does without. Everything else `sync_data` would report as well,
            // but only to the first who asks: it must not get lost here.
            _ => match io::Error::last_os_error() {
                error if matches!(error.raw_os_error(), Some(libc::ESPIPE | libc::EINVAL | libc::ENOSYS)) => Ok(()),
                error => Err(error),
            },
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // A file system without fallocate: write the zeros.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let mut file = &self.0;
                let from = self.0.metadata()?.len();
                if from < len {
                    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
                    io::copy(&mut io::Read::take(io::repeat(0), len - from), &mut file)?;
                    file.flush()?;
                }
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomic_write_replaces_the_whole_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("meta.json");
        RealDisk.write_atomic(&path, b"first, and longer").expect("write");
        RealDisk.write_atomic(&path, b"second").expect("write");
        assert_eq!(RealDisk.read(&path).expect("read").as_deref(), Some(&b"second"[..]));
        assert_eq!(RealDisk.list(dir.path()).expect("list"), ["meta.json"]);
    }

    #[test]
    fn parts_are_written_and_read_in_order() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = RealDisk.open(&dir.path().join("parts"), OpenMode::ReadWrite).expect("open");
        let parts: Vec<Vec<u8>> = (0..3000usize).map(|i| vec![i as u8; i % 7]).collect();
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_parts_at(&slices, 5).expect("write");
        let mut read = Vec::new();
        file.read_onto(&mut read, 1 << 20, 5).expect("read");
        assert_eq!(read, parts.concat());
        assert!(file.is_cached(5, read.len()));
        file.write_back(0, 1 << 20).expect("write back");
        file.sync_data().expect("sync");
    }

    #[test]
    fn a_locked_path_is_refused_until_the_guard_is_gone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("lock");
        let guard = RealDisk.lock(&path).expect("lock").expect("free");
        assert!(RealDisk.lock(&path).expect("lock").is_none());
        drop(guard);
        assert!(RealDisk.lock(&path).expect("lock").is_some());
    }

    #[test]
    fn allocation_extends_and_keeps_bytes() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = RealDisk.open(&dir.path().join("wal"), OpenMode::ReadWrite).expect("open");
        file.write_all_at(b"abc", 0).expect("write");
        file.allocate(8192).expect("allocate");
        let mut bytes = [1; 4];
        file.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!((&bytes, file.len().expect("len")), (b"abc\0", 8192));
    }
}
