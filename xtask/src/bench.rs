//! `cargo xtask bench NAME`: measured against a peer in the same run, printed as ratios.
//!
//! The benchmarks are the programs in `benches/`; this builds what they measure and gives them Python with the clients.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::{run, test};

/// Programs that only the others use.
const SHARED: &[&str] = &["common", "floor", "kept"];

#[derive(Args)]
pub struct Options {
    /// disk, produce, consume, transactions, latency, connections, start, restart, costs, freshness, ingest, scan
    name: String,
    /// Passed on to the benchmark (`-- --help` lists what it takes).
    #[arg(last = true)]
    rest: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "measured for people")]
pub fn run(options: &Options) -> Result<()> {
    let script = run::root().join("benches").join(format!("{}.py", options.name));
    if !script.is_file() || SHARED.contains(&options.name.as_str()) {
        bail!("there is no benchmark `{}`: see benches/", options.name);
    }
    let began = std::time::Instant::now();
    run::cargo(&["build", "--release", "--package", "lakehead"])?;
    eprintln!("release build: {:.0} s", began.elapsed().as_secs_f64());
    let python = test::virtual_environment()?;
    run::command(
        Command::new(python)
            .arg(script)
            .args(&options.rest)
            .env("LAKEHEAD", test::target_dir().join("release/lakehead"))
            .env("XTASK", std::env::current_exe()?),
    )
}
