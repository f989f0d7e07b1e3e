//! What the targets share: an allocator that knows how much is in use, so that "allocates no more than" is a law like any
//! other.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Metered;

#[global_allocator]
static ALLOCATOR: Metered = Metered;

// SAFETY: every call is passed on unchanged to the system's allocator; only its sizes are counted.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(IN_USE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(IN_USE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` and fails if it ever holds more than `bytes_max` beyond what was in use before.
pub fn within<T>(bytes_max: usize, work: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(peak <= bytes_max, "{peak} bytes were allocated; at most {bytes_max} are allowed here");
    result
}

/// Cuts `data` at each `byte`: fuzzers find the separator by themselves, and seeds stay readable.
pub fn parts(data: &[u8], byte: u8) -> impl Iterator<Item = &[u8]> {
    data.split(move |b| *b == byte)
}
