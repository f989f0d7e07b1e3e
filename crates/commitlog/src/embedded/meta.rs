//! `meta.json`: who this log is, and which producer ids it has given out.

use std::path::PathBuf;

use model::{Error, ProducerId, Result, error::codes::CORRUPT};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use world::{Disk, World};

use super::layout::{FORMAT_VERSION, Layout};

/// Producer ids are reserved on disk in blocks of this many.
const PRODUCER_ID_BLOCK: i64 = 1000;

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    version: u32,
    cluster_id: String,
    /// Ids from here on have not been given to anyone.
    next_producer_id: ProducerId,
}

pub(crate) struct Meta {
    path: PathBuf,
    pub(crate) cluster_id: String,
    ids: Mutex<Ids>,
}

struct Ids {
    next: ProducerId,
    reserved: ProducerId,
    /// The file is on disk, not only in the page cache: an empty folder must open fast, so that waits for the first use.
    durable: bool,
}

impl Meta {
    pub(crate) fn open(layout: &Layout, world: &World) -> Result<Self> {
        let path = layout.meta();
        let failed = |error: std::io::Error| Error::io(format!("cannot use {}", path.display()), &error);
        let stored = match world.disk.read(&path).map_err(failed)? {
            // Torn before it was first persisted: nothing in the log depends on it yet.
            Some(bytes)
                if serde_json::from_slice::<Stored>(&bytes).is_err() && !world.disk.exists(&layout.topics()) =>
            {
                world.disk.remove_file(&path).map_err(failed)?;
                Self::fresh(world)
            }
            Some(bytes) => {
                let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
                    Error::new(CORRUPT, format!("{} is damaged", path.display())).detail(error.to_string())
                })?;
                if stored.version != FORMAT_VERSION {
                    return Err(Error::new(CORRUPT, format!("{} was written by another version", path.display()))
                        .detail(format!("format {}, this is {FORMAT_VERSION}", stored.version)));
                }
                stored
            }
            None => Self::fresh(world),
        };
        let ids = Ids { next: stored.next_producer_id, reserved: stored.next_producer_id, durable: false };
        let meta = Self { path, cluster_id: stored.cluster_id, ids: Mutex::new(ids) };
        if !world.disk.exists(&meta.path) {
            let file = world.disk.open(&meta.path, world::OpenMode::ReadWrite);
            file.and_then(|file| file.write_all_at(&meta.bytes(0), 0))
                .map_err(|error| Error::io(format!("cannot write {}", meta.path.display()), &error))?;
        }
        Ok(meta)
    }

    fn fresh(world: &World) -> Stored {
        let id = u128::from(world.random.u64()) << 64 | u128::from(world.random.u64());
        Stored { version: FORMAT_VERSION, cluster_id: base64url(id), next_producer_id: 0 }
    }

    /// Makes sure that the log keeps its identity whatever happens. Waits for the disk the first time.
    pub(crate) fn persist(&self, disk: &dyn Disk) -> Result<()> {
        let mut ids = self.ids.lock();
        if !ids.durable {
            self.write(disk, ids.reserved)?;
            ids.durable = true;
        }
        Ok(())
    }

    /// An id nobody has had. Waits for the disk once per block.
    pub(crate) fn new_producer_id(&self, disk: &dyn Disk) -> Result<ProducerId> {
        let mut ids = self.ids.lock();
        if ids.next == ids.reserved {
            self.write(disk, ids.reserved + PRODUCER_ID_BLOCK)?;
            ids.reserved += PRODUCER_ID_BLOCK;
            ids.durable = true;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    fn write(&self, disk: &dyn Disk, next_producer_id: ProducerId) -> Result<()> {
        disk.write_atomic(&self.path, &self.bytes(next_producer_id))
            .map_err(|error| Error::io(format!("cannot write {}", self.path.display()), &error))
    }

    fn bytes(&self, next_producer_id: ProducerId) -> Vec<u8> {
        let stored = Stored { version: FORMAT_VERSION, cluster_id: self.cluster_id.clone(), next_producer_id };
        serde_json::to_vec(&stored).expect("text and numbers are JSON")
    }
}

/// 22 characters, as Kafka writes ids.
fn base64url(id: u128) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..22)
        .map(|at| {
            let shift = 122 - 6 * at;
            let digit = if shift >= 0 { id >> shift } else { id << -shift };
            char::from(DIGITS[(digit & 63) as usize])
        })
        .collect()
}
