//! Where the store was before: a data directory may be moved, renamed or copied.
//!
//! Iceberg's metadata holds absolute URLs, so after a move they name a place where the store no longer is. The store
//! therefore remembers the directories it was opened at, in the file [`ROOTS_FILE`] at its base (a JSON array of paths,
//! the newest last), and takes a location below a former one as the same location below its base.

use std::{
    io,
    path::{Path, PathBuf},
    sync::RwLock,
};

use model::{Error, Result, error::codes};
use world::Disk;

use crate::failed;

/// Name of the file that lists them.
pub(crate) const ROOTS_FILE: &str = ".roots.json";

/// The directories the store was at, other than the one it is at.
#[derive(Debug, Default)]
pub(crate) struct FormerRoots(RwLock<Vec<PathBuf>>);

impl FormerRoots {
    /// Reads the list kept in `dir`, and adds `dir` if it is new there.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let at = dir.join(ROOTS_FILE);
        let mut roots: Vec<PathBuf> = match disk.read(&at).map_err(|e| failed("read", &shown(&at), &e))? {
            None => Vec::new(),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::new(codes::CORRUPT, format!("could not read `{}`", at.display()))
                    .detail(e.to_string())
                    .hint("it lists the directories these files were in before: a JSON array of paths")
            })?,
        };
        if !roots.iter().any(|root| root == dir) {
            if !roots.is_empty() {
                tracing::info!(from = %roots[roots.len() - 1].display(), to = %dir.display(), "the files were moved");
            }
            roots.push(dir.to_owned());
            store(disk, dir, &roots).map_err(|e| failed("write", &shown(&at), &e))?;
        }
        roots.retain(|root| root != dir);
        Ok(Self(RwLock::new(roots)))
    }

    /// What `path` is below a former root; `None` if it lies below none.
    pub(crate) fn below(&self, path: &Path) -> Option<PathBuf> {
        let roots = self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        roots.iter().rev().find_map(|root| path.strip_prefix(root).ok()).map(Path::to_owned)
    }

    /// Notes that the store, now at `dir`, was at `root` too.
    pub(crate) fn add(&self, disk: &dyn Disk, dir: &Path, root: PathBuf) -> Result<()> {
        let mut all = {
            let mut roots = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            if !roots.contains(&root) {
                roots.push(root);
            }
            roots.clone()
        };
        all.push(dir.to_owned());
        store(disk, dir, &all).map_err(|e| failed("write", &shown(&dir.join(ROOTS_FILE)), &e))
    }
}

fn store(disk: &dyn Disk, dir: &Path, roots: &[PathBuf]) -> io::Result<()> {
    let json = serde_json::to_vec(roots).map_err(io::Error::other)?;
    disk.write_atomic(&dir.join(ROOTS_FILE), &json)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
