//! Where chance comes from.

/// Random bits. Ids made from them need not be secret.
pub trait Random: Send + Sync + 'static {
    fn u64(&self) -> u64;

    /// A positive `i64`, as Iceberg's snapshot ids want it.
    fn positive_i64(&self) -> i64 {
        ((self.u64() >> 1) as i64).max(1)
    }
}

/// The thread's own generator, seeded by the system.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn u64(&self) -> u64 {
        rand::random()
    }
}
