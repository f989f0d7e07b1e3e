//! The simulator: the log, its recovery and its coordinators as they run in production, on a machine that fails when a seed
//! says so, among clients whose requests and answers get lost. A run is a function of its seed: the same seed gives the same
//! bytes, so whatever it finds can be looked at again (`docs/simulator.md`).
//!
//! ```text
//!  clients ──requests──► log, groups, transactions ──► disk that tears, loses, fails, fills up, rots
//!     │                        ▲                          │ while it syncs, others' steps may come
//!     └─ what they were told ─►│ steps of the log's threads, time, kills, power cuts: one at a time, as the seed says
//!                model: what must be there, what must not ── compared after every restart and at the end
//! ```

mod chance;
mod clients;
pub mod invariants;
mod machine;
mod model;
mod node;
mod run;
mod story;

use std::fmt;

pub use invariants::Invariant;
pub use machine::Lie;
pub use run::Counts;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: usize,
    /// The disk fails and runs full, besides being cut off.
    pub has_faults: bool,
    /// How the disk deceives, to see that it is found out.
    pub lie: Option<Lie>,
    /// Tells the whole story as it goes.
    pub is_told: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { steps: 400, has_faults: true, lie: None, is_told: false }
    }
}

/// A run in which all laws held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    /// Of all that happened, and of every byte on the disk at the end.
    pub digest: u64,
    /// Of the disk, in the last life.
    pub operations: u64,
    pub counts: Counts,
}

/// A run in which one did not.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: usize,
    pub invariant: Invariant,
    pub how: String,
    /// The last steps.
    pub story: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}, step {}: {} does not hold: {}", self.seed, self.step, self.invariant.name(), self.how)?;
        write!(f, "again: cargo xtask sim --seed {} --verbose", self.seed)
    }
}

/// Runs one seed.
///
/// # Errors
/// When a law does not hold.
pub fn run(seed: u64, plan: &Plan) -> Result<Report, Box<Failure>> {
    run::run(seed, plan).map_err(Box::new)
}
