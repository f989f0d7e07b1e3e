//! `cargo xtask`: everything one can do to this repository besides building it.

mod bench;
mod fuzz;
mod open_loop;
mod run;
mod sim;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Check, test and measure Lakehead")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, crate arrows, doubled dependencies, file hygiene.
    Tidy,
    /// Clippy with the workspace's lints; any warning fails.
    Lint,
    /// All tests: crates first, then end to end with real clients.
    Test(test::Options),
    /// Copy records in transactions while node and copiers are killed: each must arrive once and in order.
    Kills(test::Kills),
    /// Throw bytes at every parser of outside bytes.
    Fuzz(fuzz::Options),
    /// Run the log and its coordinators in a simulated world, seed by seed.
    #[command(disable_help_flag = true)]
    Sim(sim::Options),
    /// Measure against a peer in the same run.
    Bench(bench::Options),
    /// Part of benchmarks: send requests when they are due.
    #[command(hide = true)]
    OpenLoop(open_loop::OpenLoop),
    /// Part of benchmarks: the least that makes requests durable.
    #[command(hide = true)]
    Floor(open_loop::Floor),
}

fn main() -> Result<()> {
    std::env::set_current_dir(run::root())?;
    match Cli::parse().task {
        Task::Tidy => tidy::run(),
        Task::Lint => run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        Task::Test(options) => test::run(&options),
        Task::Kills(options) => test::kills(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::OpenLoop(options) => options.run(),
        Task::Floor(options) => options.run(),
    }
}
