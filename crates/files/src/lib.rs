//! Objects by location: durable when written, read in parallel.
//!
//! A *location* is a URL such as `file:///data/files/public/orders-1f2e3d4c/data/x.parquet`: the very string that
//! Iceberg metadata carries, so that we and every other engine read the same paths. All locations lie below the store's
//! base, or below one it had before it was moved (`roots`). Writing is *write to a temporary name, fsync, rename, fsync the
//! directory*: after a crash a location holds all of its bytes or nothing. What was written is never changed again.
//!
//! This crate knows no tables. The only store so far is a local directory; object stores come as further drivers.

mod list;
mod location;
mod object;
mod roots;
mod sink;

use std::{borrow::Cow, io, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use model::{Error, Result, error::codes};
use object_store::ObjectStore;
use world::{DiskFile, OpenMode, World, fsync_dir_of};

pub use self::{list::FileInfo, sink::FileSink};
use crate::{location::Base, roots::FormerRoots, sink::Temporary};

/// A store of files. Cheap to clone.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    base: Base,
    world: World,
    object_store: Arc<dyn ObjectStore>,
}

impl Files {
    /// Opens the store at `url`: `file:///absolute/directory`, made if missing.
    pub fn open(url: &str, world: World) -> Result<Self> {
        let mut base = Base::parse(url)?;
        world.disk.create_dir_all(base.dir()).map_err(|e| failed("open", base.url(), &e))?;
        base.former = FormerRoots::open(&*world.disk, base.dir())?;
        let object_store = Arc::new(object::DurableLocal::new());
        Ok(Self(Arc::new(Inner { base, world, object_store })))
    }

    /// Where all locations start, without a slash at the end: `file:///data/files`.
    pub fn base_url(&self) -> &str {
        self.0.base.url()
    }

    /// The path of a location on this machine.
    pub fn local_path(&self, location: &str) -> Result<PathBuf> {
        self.0.base.path(location)
    }

    /// `location` as it is called now: below the base, if it was written when the store was somewhere else. Two
    /// locations of one file are compared like this.
    pub fn current<'a>(&self, location: &'a str) -> Cow<'a, str> {
        match self.0.base.moved(location) {
            None => Cow::Borrowed(location),
            Some(moved) => Cow::Owned(moved),
        }
    }

    /// Looks whether `location`, which lies nowhere in the store, is a file of it under a name from before a move that
    /// nobody noted: its last `parts` parts then name a file here. Notes the move if so.
    pub fn learn_move(&self, location: &str, parts: usize) -> Result<bool> {
        let Some((root, rest)) = location::split(location, parts) else { return Ok(false) };
        let base = &self.0.base;
        if root == base.dir() || !self.0.world.disk.exists(&base.dir().join(rest)) {
            return Ok(false);
        }
        base.former.add(&*self.0.world.disk, base.dir(), root)?;
        Ok(true)
    }

    /// Writes one file; durable on return.
    pub async fn put(&self, location: &str, bytes: Bytes) -> Result<()> {
        self.put_all(vec![(location.to_owned(), bytes)]).await
    }

    /// Writes several files; all are durable on return. Each directory is synced once, so a commit of three small
    /// files costs four syncs instead of six.
    pub async fn put_all(&self, files: Vec<(String, Bytes)>) -> Result<()> {
        let this = self.clone();
        blocking(move || this.put_all_blocking(files)).await
    }

    fn put_all_blocking(&self, files: Vec<(String, Bytes)>) -> Result<()> {
        let mut written = Vec::with_capacity(files.len());
        for (location, bytes) in &files {
            let mut file = Temporary::create(self, location)?;
            file.write(bytes)?;
            written.push(file);
        }
        let mut dirs = Vec::new();
        for file in written {
            let path = file.sync_and_rename()?;
            if !dirs.iter().any(|seen: &PathBuf| seen.parent() == path.parent()) {
                dirs.push(path);
            }
        }
        for path in dirs {
            fsync_dir_of(&*self.0.world.disk, &path)
                .map_err(|e| failed("sync the directory of", &path.display().to_string(), &e))?;
        }
        Ok(())
    }

    /// Starts a file that is written piece by piece.
    pub async fn create(&self, location: &str) -> Result<FileSink> {
        let (this, location) = (self.clone(), location.to_owned());
        blocking(move || this.create_blocking(&location)).await
    }

    /// [`Files::create`] for code that runs on a thread of its own, such as an encoder.
    pub fn create_blocking(&self, location: &str) -> Result<FileSink> {
        FileSink::create(self, location)
    }

    /// The whole file.
    pub async fn get(&self, location: &str) -> Result<Bytes> {
        let (this, location) = (self.clone(), location.to_owned());
        blocking(move || {
            let file = this.open_blocking(&location)?;
            let len = file.len().map_err(|e| failed("read", &location, &e))?;
            read_range(&*file, &location, 0..len)
        })
        .await
    }

    /// A handle for many reads of one file.
    pub async fn reader(&self, location: &str) -> Result<FileReader> {
        let (this, location) = (self.clone(), location.to_owned());
        blocking(move || {
            let file = this.open_blocking(&location)?;
            let len = file.len().map_err(|e| failed("read", &location, &e))?;
            Ok(FileReader { file, location: location.into(), len })
        })
        .await
    }

    /// Bytes in the file.
    pub async fn size(&self, location: &str) -> Result<u64> {
        Ok(self.reader(location).await?.len)
    }

    pub async fn exists(&self, location: &str) -> Result<bool> {
        let path = self.local_path(location)?;
        let disk = self.0.world.disk.clone();
        blocking(move || Ok(disk.exists(&path))).await
    }

    /// Removes the file; fine if it is not there.
    pub async fn delete(&self, location: &str) -> Result<()> {
        let path = self.local_path(location)?;
        let (disk, location) = (self.0.world.disk.clone(), location.to_owned());
        blocking(move || disk.remove_file(&path).map_err(|e| failed("delete", &location, &e))).await
    }

    /// [`Files::delete`] for code that runs on a thread of its own.
    pub fn delete_blocking(&self, location: &str) -> Result<()> {
        let path = self.local_path(location)?;
        self.0.world.disk.remove_file(&path).map_err(|e| failed("delete", location, &e))
    }

    /// Removes everything below `prefix`, a folder; fine if it is not there.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        let path = self.local_path(prefix)?;
        if path == self.0.base.dir() {
            return Err(Error::internal("refused to delete the whole store"));
        }
        let (disk, prefix) = (self.0.world.disk.clone(), prefix.to_owned());
        blocking(move || disk.remove_dir_all(&path).map_err(|e| failed("delete", &prefix, &e))).await
    }

    /// All files below `prefix`, a folder, in order of their location; none if it is not there. Files still being
    /// written are left out.
    pub async fn list(&self, prefix: &str) -> Result<Vec<FileInfo>> {
        let this = self.clone();
        let path = self.local_path(prefix)?;
        blocking(move || list::walk(&this.0.base, &path)).await
    }

    /// Removes what writers left behind when they died: temporary files below `prefix` older than `age_min_ms`.
    pub async fn remove_abandoned(&self, prefix: &str, now_ms: i64, age_min_ms: i64) -> Result<usize> {
        let this = self.clone();
        let path = self.local_path(prefix)?;
        blocking(move || list::remove_abandoned(&*this.0.world.disk, &path, now_ms - age_min_ms)).await
    }

    /// The same files for DataFusion, registered under [`Files::object_store_url`].
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        self.0.object_store.clone()
    }

    /// URL the object store is registered under: locations are its absolute paths.
    pub fn object_store_url(&self) -> &'static str {
        "file:///"
    }

    /// The object store's name of `location`.
    pub fn object_path(&self, location: &str) -> Result<object_store::path::Path> {
        let path = self.local_path(location)?;
        object_store::path::Path::from_absolute_path(&path)
            .map_err(|e| location::invalid(location, self.base_url()).detail(e.to_string()))
    }

    fn open_blocking(&self, location: &str) -> Result<Arc<dyn DiskFile>> {
        let path = self.local_path(location)?;
        self.0.world.disk.open(&path, OpenMode::Read).map_err(|e| failed("open", location, &e))
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Files").field(&self.base_url()).finish()
    }
}

/// An open file; reads do not wait for each other.
#[derive(Clone)]
pub struct FileReader {
    file: Arc<dyn DiskFile>,
    location: Arc<str>,
    len: u64,
}

impl FileReader {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes `range`; it must lie within the file.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let this = self.clone();
        blocking(move || read_range(&*this.file, &this.location, range)).await
    }
}

fn read_range(file: &dyn DiskFile, location: &str, range: Range<u64>) -> Result<Bytes> {
    let len = file.len().map_err(|e| failed("read", location, &e))?;
    // Checked before the buffer is made: offsets come from files that may lie.
    if range.start > range.end || range.end > len {
        return Err(Error::new(codes::CORRUPT, format!("could not read `{location}`"))
            .detail(format!("bytes {}..{} were asked for, it has {len}", range.start, range.end)));
    }
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(|e| Error::internal(e.to_string()))?];
    file.read_exact_at(&mut bytes, range.start).map_err(|e| failed("read", location, &e))?;
    Ok(bytes.into())
}

/// Runs `work` where blocking is allowed. Only a panic in `work` or the runtime's end keeps it from answering.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Error::new(codes::SHUTTING_DOWN, "could not reach the files")),
    }
}

fn failed(what: &str, location: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(codes::FILE_NOT_FOUND, format!("could not {what} `{location}`")).detail(error.to_string())
        }
        _ => Error::io(format!("could not {what} `{location}`"), error),
    }
}

#[cfg(test)]
mod tests;
