//! `cargo xtask test`: crates first, then end to end with real clients.
//!
//! End-to-end tests live in `tests/` and drive the built binary with clients from PyPI in a virtual environment under
//! `target/`. Clients that need more than Python (kcat, kafkajs, Java) run where their tools are installed and are named
//! as skipped where not; CI installs them all.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};
use clap::Args;

use crate::run;

#[derive(Args)]
pub struct Options {
    /// Only the tests of the crates.
    #[arg(long)]
    crates: bool,
    /// Only the end-to-end tests.
    #[arg(long)]
    e2e: bool,
    /// Passed on to pytest (e2e) after `--`.
    #[arg(last = true)]
    rest: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let python = if options.crates { None } else { Some(virtual_environment()?) };
    // One build for both halves: `cargo test` also builds the binary, and asking for it alone would build the
    // dependencies a second time with fewer features.
    let mut crates = run::cargo_command();
    crates.args(["test", "--workspace", "--quiet"]);
    if options.e2e {
        crates.arg("--no-run");
    }
    if let Some(python) = &python {
        // Other engines read what the crates write.
        crates.env("LAKEHEAD_INTEROP_PYTHON", python);
    }
    run::command(&mut crates)?;
    if let Some(python) = python {
        run::command(
            Command::new(python)
                .args(["-m", "pytest", "-q", "-rs", "tests"])
                .args(&options.rest)
                .env("LAKEHEAD", target_dir().join("debug/lakehead")),
        )?;
    }
    Ok(())
}

#[derive(Args)]
pub struct Kills {
    /// How often the node is killed with `kill -9`; copiers are killed as well.
    #[arg(long, default_value_t = 500)]
    loops: u32,
    /// The copiers' group speaks the consumer protocol (KIP-848).
    #[arg(long)]
    consumer_protocol: bool,
    /// What is killed when.
    #[arg(long, default_value_t = 98)]
    seed: u64,
}

/// `cargo xtask kills`: the exactly-once test of `tests/`, as often as one has time for. LAKEHEAD may name a binary to take
/// instead of building one.
pub fn kills(options: &Kills) -> Result<()> {
    let python = virtual_environment()?;
    let binary = match std::env::var_os("LAKEHEAD") {
        Some(binary) => binary.into(),
        None => {
            run::cargo(&["build", "--package", "lakehead"])?;
            target_dir().join("debug/lakehead")
        }
    };
    run::command(
        Command::new(python)
            .args(["-m", "pytest", "-q", "-s", "tests/test_exactly_once.py", "-k", "killed"])
            .env("LAKEHEAD", binary)
            .env("LAKEHEAD_KILLS", options.loops.to_string())
            .env("LAKEHEAD_SEED", options.seed.to_string())
            .env("LAKEHEAD_GROUP_PROTOCOL", if options.consumer_protocol { "consumer" } else { "classic" }),
    )
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    run::root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

/// Python with what `tests/requirements.txt` names, made once.
pub fn virtual_environment() -> Result<PathBuf> {
    let venv = target_dir().join("venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string("tests/requirements.txt")?;
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if !run::has("python3") {
        bail!(
            "the end-to-end tests need Python 3 (with venv); the crates' own tests run with `cargo xtask test --crates`"
        );
    }
    run::command(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run::command(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-r",
        "tests/requirements.txt",
    ]))?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}
