//! Our files as Iceberg's library wants them.
//!
//! [`FilesStorage`] reads and writes through [`Files`]. [`Stage`] only collects what the library writes, so that a
//! commit's manifests, list and metadata reach the disk together, with one sync of their directory.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use files::{FileReader, Files};
use futures::{StreamExt, stream::BoxStream};
use iceberg::{
    Error, ErrorKind, Result,
    io::{
        FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
        StorageFactory,
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// A [`FileIO`] over `files`.
pub(crate) fn file_io(files: &Files) -> FileIO {
    FileIOBuilder::new(Arc::new(FilesStorage { files: Some(files.clone()) })).build()
}

/// The library wants storages to be serializable, to send them to other machines. This one is a live handle: what is
/// deserialized from it says so when used.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FilesStorage {
    #[serde(skip)]
    files: Option<Files>,
}

impl FilesStorage {
    fn files(&self) -> Result<&Files> {
        self.files.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::FeatureUnsupported, "this storage is only valid in the process that made it")
        })
    }
}

#[typetag::serde(name = "LakeheadFiles")]
impl StorageFactory for FilesStorage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "LakeheadFiles")]
impl Storage for FilesStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        self.files()?.exists(path).await.map_err(to_iceberg)
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        Ok(FileMetadata { size: self.files()?.size(path).await.map_err(to_iceberg)? })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        self.files()?.get(path).await.map_err(to_iceberg)
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader(self.files()?.reader(path).await.map_err(to_iceberg)?)))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.files()?.put(path, bytes).await.map_err(to_iceberg)
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(Writer { sink: Some(self.files()?.create(path).await.map_err(to_iceberg)?) }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.files()?.delete(path).await.map_err(to_iceberg)
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        self.files()?.delete_prefix(path).await.map_err(to_iceberg)
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

struct Reader(FileReader);

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.0.read(range).await.map_err(to_iceberg)
    }
}

struct Writer {
    /// `None` once closed, or after a failed write.
    sink: Option<files::FileSink>,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.sink = Some(self.take()?.write(bytes).await.map_err(to_iceberg)?);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.take()?.finish().await.map_err(to_iceberg).map(drop)
    }
}

impl Writer {
    fn take(&mut self) -> Result<files::FileSink> {
        self.sink.take().ok_or_else(|| Error::new(ErrorKind::PreconditionFailed, "the file is closed"))
    }
}

/// Files written but not stored yet, in the order they were closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stage {
    #[serde(skip)]
    files: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Stage {
    pub(crate) fn output(&self, location: String) -> OutputFile {
        OutputFile::new(Arc::new(self.clone()), location)
    }

    pub(crate) fn writer(&self, location: String) -> Box<dyn FileWrite> {
        Box::new(StageWriter { stage: self.clone(), location, bytes: Vec::new() })
    }

    pub(crate) fn put(&self, location: String, bytes: Bytes) {
        self.files.lock().push((location, bytes));
    }

    /// What was staged since the last call.
    pub(crate) fn take(&self) -> Vec<(String, Bytes)> {
        std::mem::take(&mut *self.files.lock())
    }

    fn unsupported<T>() -> Result<T> {
        Err(Error::new(ErrorKind::FeatureUnsupported, "a stage only takes files"))
    }
}

#[typetag::serde(name = "LakeheadStage")]
impl StorageFactory for Stage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "LakeheadStage")]
impl Storage for Stage {
    async fn exists(&self, _path: &str) -> Result<bool> {
        Self::unsupported()
    }

    async fn metadata(&self, _path: &str) -> Result<FileMetadata> {
        Self::unsupported()
    }

    async fn read(&self, _path: &str) -> Result<Bytes> {
        Self::unsupported()
    }

    async fn reader(&self, _path: &str) -> Result<Box<dyn FileRead>> {
        Self::unsupported()
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.put(path.to_owned(), bytes);
        Ok(())
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        Ok(self.writer(path.to_owned()))
    }

    async fn delete(&self, _path: &str) -> Result<()> {
        Self::unsupported()
    }

    async fn delete_prefix(&self, _path: &str) -> Result<()> {
        Self::unsupported()
    }

    async fn delete_stream(&self, _paths: BoxStream<'static, String>) -> Result<()> {
        Self::unsupported()
    }

    fn new_input(&self, _path: &str) -> Result<InputFile> {
        Self::unsupported()
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(self.output(path.to_owned()))
    }
}

struct StageWriter {
    stage: Stage,
    location: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl FileWrite for StageWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.stage.put(std::mem::take(&mut self.location), std::mem::take(&mut self.bytes).into());
        Ok(())
    }
}

/// Keeps our error as the source, so that [`crate::error::from_iceberg`] finds it again.
fn to_iceberg(error: model::Error) -> Error {
    Error::new(ErrorKind::Unexpected, error.message().to_owned()).with_source(error)
}
