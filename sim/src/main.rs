//! `cargo xtask sim`: runs seeds, and tells the story of one (docs/simulator.md).

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use parking_lot::Mutex;
use sim::{Counts, Failure, Plan, Report, run};

/// Runs the log and its coordinators in a simulated world, seed by seed.
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Options {
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
    /// Steps of a run.
    #[arg(long, default_value_t = Plan::default().steps)]
    steps: usize,
    /// Seeds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// Where the stories of failures go.
    #[arg(long, default_value = "sim/failures")]
    failures: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let plan = Plan { steps: options.steps, is_told: options.verbose, ..Plan::default() };
    if let Some(seed) = options.seed {
        return one(seed, &plan);
    }
    let clock = world::SystemClock::new();
    let (next, end) = (Arc::new(AtomicU64::new(options.from)), options.from + options.seeds);
    let found: Arc<Mutex<(Counts, Vec<Failure>)>> = Arc::default();
    let tasks = world::Tasks::new();
    let threads: Vec<_> = (0..options.jobs.max(1))
        .map(|job| {
            let (next, found, plan) = (next.clone(), found.clone(), plan.clone());
            tasks.thread(&format!("sim-{job}"), move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match run(seed, &plan) {
                        Ok(report) => found.lock().0 += report.counts,
                        Err(failure) => {
                            eprintln!("seed {seed}: {} {}", failure.invariant.name(), failure.how);
                            found.lock().1.push(*failure);
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a thread of the simulator has panicked")?;
    }
    let seconds = world::Clock::monotonic(&clock).as_secs_f64();
    let (counts, failures) = std::mem::take(&mut *found.lock());
    println!("{} seeds in {seconds:.1} s, {:.1} a second; {counts:?}", options.seeds, options.seeds as f64 / seconds);
    if failures.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&options.failures)?;
    for failure in &failures {
        fs::write(options.failures.join(format!("{}.txt", failure.seed)), format!("{failure}\n"))?;
    }
    bail!("{} seeds failed; their stories are in {}", failures.len(), options.failures.display())
}

/// Runs one seed twice: the second run must be the first.
fn one(seed: u64, plan: &Plan) -> Result<()> {
    let (first, second) = (run(seed, plan), run(seed, &Plan { is_told: false, ..plan.clone() }));
    let told = |result: &Result<Report, Box<Failure>>| match result {
        Ok(report) => format!("{report:?}"),
        Err(failure) => failure.to_string(),
    };
    println!("{}", told(&first));
    if told(&first) != told(&second) {
        bail!("the second run of seed {seed} was another:\n{}", told(&second));
    }
    if first.is_err() { bail!("seed {seed} failed") } else { Ok(()) }
}
