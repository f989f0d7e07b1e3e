//! The same work for many files before anything else runs: what takes long is waiting for the device, which takes many at once.

use std::{
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use model::Result;

const THREADS_MAX: usize = 16;

/// With fewer for each, threads cost more than they gain; and who has few partitions sees everything happen in order.
const ITEMS_FOR_A_THREAD: usize = 32;

/// Does `work` for all of `items`, in any order. After an error no new ones are begun.
pub(super) fn side_by_side<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads = (items.len() / ITEMS_FOR_A_THREAD).min(THREADS_MAX);
    if threads < 2 {
        return items.iter().try_for_each(work);
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        ends.into_iter().try_for_each(|end| end.unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_by_however_many_threads() {
        for count in [0, 1, 63, 64, 1000, 5000] {
            let done: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            side_by_side(&done, |item| {
                item.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .expect("nothing fails");
            assert!(done.iter().all(|item| item.load(Ordering::Relaxed) == 1), "{count}");
        }
    }

    #[test]
    fn an_error_of_one_is_the_error_of_all() {
        let failed = |item: &usize| match item {
            777 => Err(model::Error::new(model::error::codes::CORRUPT, "no")),
            _ => Ok(()),
        };
        let items: Vec<_> = (0..1000).collect();
        assert!(side_by_side(&items, failed).is_err());
    }
}
