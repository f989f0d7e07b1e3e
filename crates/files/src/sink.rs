//! Writing a file piece by piece.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use model::Result;
use world::{Disk, DiskFile, OpenMode, fsync_dir_of};

use crate::{Files, blocking, failed};

/// Names of files still being written start so; nobody else's do.
pub(crate) const TEMPORARY_PREFIX: &str = ".writing-";

/// A file being written. It appears under its location, whole and durable, when [`FileSink::finish`] returns; dropped
/// before, it leaves nothing.
pub struct FileSink {
    file: Temporary,
    /// Small pieces are gathered, so that an encoder's many writes are few on disk.
    buffer: Vec<u8>,
}

const BUFFER_BYTES: usize = 256 << 10;

impl FileSink {
    pub(crate) fn create(files: &Files, location: &str) -> Result<Self> {
        Ok(Self { file: Temporary::create(files, location)?, buffer: Vec::new() })
    }

    pub fn location(&self) -> &str {
        &self.file.location
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.file.len + self.buffer.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub async fn write(mut self, bytes: Bytes) -> Result<Self> {
        blocking(move || {
            self.write_blocking(&bytes)?;
            Ok(self)
        })
        .await
    }

    /// Returns the size of the file.
    pub async fn finish(self) -> Result<u64> {
        blocking(move || self.finish_blocking()).await
    }

    pub fn write_blocking(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.file.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub fn finish_blocking(mut self) -> Result<u64> {
        self.flush_buffer()?;
        let len = self.file.len;
        let disk = self.file.disk.clone();
        let path = self.file.sync_and_rename()?;
        fsync_dir_of(&*disk, &path).map_err(|e| failed("sync the directory of", &path.display().to_string(), &e))?;
        Ok(len)
    }

    fn flush_buffer(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// For encoders. The error's text carries ours; encoders wrap it in their own.
impl io::Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_blocking(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file under its temporary name, in the directory where it will appear.
pub(crate) struct Temporary {
    disk: Arc<dyn Disk>,
    /// `None` once renamed.
    file: Option<Arc<dyn DiskFile>>,
    location: String,
    temporary: PathBuf,
    path: PathBuf,
    len: u64,
}

impl Temporary {
    pub(crate) fn create(files: &Files, location: &str) -> Result<Self> {
        let path = files.local_path(location)?;
        let disk = files.0.world.disk.clone();
        let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(crate::location::invalid(location, files.base_url()));
        };
        create_dir_durably(&*disk, dir).map_err(|e| failed("make the directory of", location, &e))?;
        let temporary = dir.join(format!("{TEMPORARY_PREFIX}{:016x}-{name}", files.0.world.random.u64()));
        let file = disk.open(&temporary, OpenMode::ReadWrite).map_err(|e| failed("create", location, &e))?;
        Ok(Self { disk, file: Some(file), location: location.to_owned(), temporary, path, len: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_ref().expect("open until renamed, which takes self");
        file.write_all_at(bytes, self.len).map_err(|e| failed("write", &self.location, &e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The bytes are on disk and under their name; the name itself is not durable before its directory is synced.
    pub(crate) fn sync_and_rename(mut self) -> Result<PathBuf> {
        let file = self.file.as_ref().expect("open until renamed, which takes self");
        file.sync_data().map_err(|e| failed("sync", &self.location, &e))?;
        self.disk.rename(&self.temporary, &self.path).map_err(|e| failed("rename", &self.location, &e))?;
        self.file = None;
        Ok(self.path.clone())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = self.disk.remove_file(&self.temporary)
        {
            tracing::warn!(path = %self.temporary.display(), %error, "an unfinished file could not be removed");
        }
    }
}

/// Makes `dir` and whatever is missing above it, each name durable in its parent.
fn create_dir_durably(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if disk.exists(dir) {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_dir_durably(disk, parent)?;
    }
    disk.create_dir_all(dir)?;
    fsync_dir_of(disk, dir)
}
