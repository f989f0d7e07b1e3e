//! Fixtures and conformance suites: what every driver of a store must do, written once.
//!
//! A failed expectation panics: this crate is for tests only.

pub mod log_conformance;
mod memory_disk;

pub use memory_disk::{Fault, MemoryDisk};
