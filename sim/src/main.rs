//! `cargo xtask sim`: runs seeds, and tells the story of one (docs/simulator.md).

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use parking_lot::{Condvar, Mutex};
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
    let jobs = options.jobs.max(1) as usize;
    let running = Arc::new(Running { seeds: Mutex::new(vec![options.from; jobs]), ended: Condvar::new() });
    let threads: Vec<_> = (0..jobs)
        .map(|job| {
            let (next, found, plan, running) = (next.clone(), found.clone(), plan.clone(), running.clone());
            tasks.thread(&format!("sim-{job}"), move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    running.seeds.lock()[job] = seed.min(end);
                    if seed >= end {
                        running.ended.notify_all();
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
    let stuck = watch(&running, end);
    if stuck.is_none() {
        for thread in threads {
            thread.join().ok().context("a thread of the simulator has panicked")?;
        }
    }
    let seconds = world::Clock::monotonic(&clock).as_secs_f64();
    let (counts, failures) = std::mem::take(&mut *found.lock());
    println!("{} seeds in {seconds:.1} s, {:.1} a second; {counts:?}", options.seeds, options.seeds as f64 / seconds);
    if failures.is_empty() && stuck.is_none() {
        return Ok(());
    }
    fs::create_dir_all(&options.failures)?;
    for failure in &failures {
        fs::write(options.failures.join(format!("{}.txt", failure.seed)), format!("{failure}\n"))?;
    }
    if let Some(seed) = stuck {
        bail!("seed {seed} does not end, and {} others failed; look at it: --seed {seed} --verbose", failures.len());
    }
    bail!("{} seeds failed; their stories are in {}", failures.len(), options.failures.display())
}

/// Which seed each thread is at.
struct Running {
    seeds: Mutex<Vec<u64>>,
    /// One of them has come to the end.
    ended: Condvar,
}

/// How often somebody looks whether a seed goes on.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks at which one seed is at most seen running. A run takes some milliseconds.
const LOOKS_MAX: u32 = 600;

/// Waits until all `running` seeds have come to the end, or for one that does not. What waits for itself nothing within a run can
/// notice. Counts looks, not time: whoever stops the process for a while stops both.
fn watch(running: &Running, end: u64) -> Option<u64> {
    let mut seeds = running.seeds.lock();
    let mut seen = vec![(end, 0); seeds.len()];
    while seeds.iter().any(|seed| *seed < end) {
        let _one_has_ended = running.ended.wait_for(&mut seeds, LOOK_EVERY);
        for (seed, (was, looks)) in seeds.iter().zip(&mut seen) {
            *looks = if seed == was && *seed < end { *looks + 1 } else { 0 };
            *was = *seed;
            if *looks > LOOKS_MAX {
                return Some(*seed);
            }
        }
    }
    None
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
