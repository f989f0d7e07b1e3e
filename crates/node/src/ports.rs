//! `DATA/run/ports.json`: where the doors of a running node are, for scripts and for our own commands.

use std::path::PathBuf;

use model::{Error, Result};
use world::World;

use crate::{Addresses, Settings};

fn path(settings: &Settings) -> PathBuf {
    settings.data.join("run").join("ports.json")
}

/// Written once all doors answer, whole or not at all.
pub(crate) fn publish(settings: &Settings, world: &World, addresses: &Addresses) -> Result<()> {
    let path = path(settings);
    let text = serde_json::to_vec(addresses).expect("addresses are plain data");
    world
        .disk
        .create_dir_all(path.parent().expect("the path has a directory"))
        .and_then(|()| world.disk.write_atomic(&path, &text))
        .map_err(|error| Error::io(format!("cannot write {}", path.display()), &error))
}

/// Removed at stop, and at start in case the last stop was not clean.
pub(crate) fn forget(settings: &Settings, world: &World) -> Result<()> {
    let path = path(settings);
    world.disk.remove_file(&path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), &error))
}
