//! `cargo xtask sim`: runs the log and its coordinators in a simulated world, seed by seed (docs/simulator.md).

use anyhow::Result;
use clap::Args;

use crate::run;

#[derive(Args)]
pub struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This one only, twice: the second run must be the first.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell the whole story.
    #[arg(long)]
    verbose: bool,
    /// Passed on to the simulator (`-- --help` lists what it takes).
    #[arg(last = true)]
    rest: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let (seeds, from) = (options.seeds.to_string(), options.from.to_string());
    let mut cargo = run::cargo_command();
    // As tests are built, with every check on; the little that it needs of our own is worth optimising.
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    cargo.args(["run", "--quiet", "--package", "sim", "--", "--seeds", &seeds, "--from", &from]);
    if let Some(seed) = options.seed {
        cargo.args(["--seed", &seed.to_string()]);
    }
    cargo.args(options.verbose.then_some("--verbose")).args(&options.rest);
    run::command(&mut cargo)
}
