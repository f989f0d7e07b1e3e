//! `cargo xtask sim`: runs the log and its coordinators in a simulated world, seed by seed (docs/simulator.md).

use anyhow::Result;
use clap::Args;

use crate::run;

/// All of them are the simulator's own: `sim/src/main.rs` says which there are.
#[derive(Args)]
pub struct Options {
    /// As the simulator takes them: `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let mut cargo = run::cargo_command();
    // As tests are built, with every check on; the little that it needs of our own is worth optimising.
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    cargo.args(["run", "--quiet", "--package", "sim", "--"]).args(&options.options);
    run::command(&mut cargo)
}
