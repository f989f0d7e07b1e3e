//! Which segments keep their files open.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak, atomic::Ordering},
};

use parking_lot::Mutex;
use world::Disk;

use super::Segment;

/// The segment files that are open: at most so many, because a process may have only so many.
pub(crate) struct OpenFiles {
    pub(in crate::embedded::partition) disk: Arc<dyn Disk>,
    max: usize,
    open: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, max: usize) -> Self {
        Self { disk, max: max.max(16), open: Mutex::default() }
    }

    /// `segment` has opened its file; one that has not been used lately closes its own.
    pub(super) fn note(&self, segment: &Arc<Segment>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(segment));
        let mut chances = open.len();
        while open.len() > self.max && chances > 0 {
            chances -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(segment) = oldest.upgrade() else { continue };
            if segment.used.swap(false, Ordering::Relaxed) && chances > 0 {
                open.push_back(oldest);
            } else if let Some(mut file) = segment.file.try_lock() {
                *file = None;
            }
        }
    }
}
