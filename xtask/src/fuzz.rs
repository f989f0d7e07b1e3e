//! `cargo xtask fuzz [TARGET…]`: throws bytes at every parser of outside bytes (docs/fuzzing.md).
//!
//! The targets lie in `fuzz/` as cargo-fuzz lays them out, but are built here with plain cargo: coverage comes from LLVM,
//! which a stable compiler can ask for too, and with next to no unsafe code of our own a sanitizer has little to find.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{run, test};

/// Targets that need the crates around DataFusion, and so most of the time to build.
const SQL_TARGETS: &[&str] = &["sql_text", "pg_message"];

/// What makes LLVM tell libFuzzer which edges and comparisons an input reaches (the flags of cargo-fuzz).
const INSTRUMENTATION: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

#[derive(Args)]
pub struct Options {
    /// Which; all if none is named.
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only run these inputs, once: what failed before.
    #[arg(long, value_name = "FILE")]
    input: Vec<String>,
    /// Passed on to libFuzzer after `--`.
    #[arg(last = true)]
    rest: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target `{unknown}`: there are {}", known.join(", "));
    }
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    let (host, build_dir) = (host()?, test::target_dir().join("fuzz"));
    build(chosen, &host, &build_dir)?;
    for name in chosen {
        let program = build_dir.join(&host).join("release").join(name);
        let mut command = Command::new(program);
        command.args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"]);
        if options.input.is_empty() {
            let (corpus, artifacts) = (folder("corpus", name)?, folder("artifacts", name)?);
            command.arg(format!("-max_total_time={}", options.seconds)).arg(format!("-artifact_prefix={artifacts}/"));
            command.args(dictionary(name)).args(&options.rest).arg(corpus);
            let seeds = format!("fuzz/seeds/{name}");
            command.args(Path::new(&seeds).is_dir().then_some(seeds));
        } else {
            command.args(&options.rest).args(&options.input);
        }
        run::command(&mut command).with_context(|| format!("`{name}` found something"))?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let files = fs::read_dir("fuzz/fuzz_targets")?.collect::<Result<Vec<_>, _>>()?;
    let names = files.iter().filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(|name| (SQL_TARGETS.contains(&name.as_str()), name.clone()));
    Ok(names)
}

/// Cargo keeps these flags from build scripts and macros only if it is told a target.
fn host() -> Result<String> {
    let version = run::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

fn build(names: &[String], host: &str, build_dir: &Path) -> Result<()> {
    let mut cargo = run::cargo_command();
    cargo.args(["build", "--manifest-path=fuzz/Cargo.toml", "--release", "--target", host]);
    if names.iter().any(|name| SQL_TARGETS.contains(&name.as_str())) {
        cargo.args(["--features", "sql"]);
    }
    for name in names {
        cargo.args(["--bin", name]);
    }
    run::command(cargo.env("RUSTFLAGS", INSTRUMENTATION.join(" ")).env("CARGO_TARGET_DIR", build_dir))
}

/// `fuzz/KIND/TARGET`, where a run keeps what it found; not for the repository.
fn folder(kind: &str, name: &str) -> Result<String> {
    let folder = format!("fuzz/{kind}/{name}");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Words worth trying, if the target has a list of them.
fn dictionary(name: &str) -> Option<String> {
    let words = format!("fuzz/dictionaries/{name}.dict");
    Path::new(&words).is_file().then(|| format!("-dict={words}"))
}
