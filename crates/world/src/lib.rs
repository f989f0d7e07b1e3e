//! The outside world: clock, randomness, tasks and disk.
//!
//! Everything that makes one run differ from another comes through here, so that a simulated world can take its
//! place. A [`World`] is cheap to clone and is handed down from the composition root.

mod clock;
mod disk;
mod memory;
mod random;
mod tasks;

use std::sync::Arc;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{Disk, DiskFile, DiskLock, OpenMode, RealDisk, fsync_dir_of};
pub use memory::{forget_program, small_pages};
pub use random::{Random, SystemRandom};
pub use tasks::{TaskKind, Tasks};

/// One of each.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub disk: Arc<dyn Disk>,
    pub tasks: Tasks,
}

impl World {
    /// The real one. Tasks run on the Tokio runtime that is current now.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            disk: Arc::new(RealDisk),
            tasks: Tasks::new(),
        }
    }
}
