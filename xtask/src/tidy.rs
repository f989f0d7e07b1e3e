//! What keeps the house in order, checked by a machine.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::run;

/// Rank of each crate (ARCHITECTURE.md): a crate may use those of lower rank, never the reverse or its equals.
const RANKS: &[(&str, u8)] = &[
    ("model", 0),
    ("world", 1),
    ("schemas", 1),
    ("catalog", 2),
    ("files", 2),
    ("commitlog", 2),
    ("tables", 3),
    ("security", 3),
    ("lake", 4),
    ("sql", 5),
    ("broker", 7),
    ("gateway", 7),
    ("pg", 7),
    ("node", 8),
    ("lakehead", 9),
];

/// Crates of which the tree must hold exactly one version (docs/decisions/0002).
const ONE_VERSION: &[&str] = &[
    "datafusion",
    "datafusion-pg-catalog",
    "arrow",
    "parquet",
    "object_store",
    "sqlparser",
    "axum",
    "sqlx",
    "iceberg",
];

/// Longest source file; beyond it a file has become two stories.
const LINES_MAX: usize = 650;

/// Largest file of any kind: what is larger was downloaded or built, and stays in every clone for ever.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub fn run() -> Result<()> {
    let mut complaints = Vec::new();
    formatting(&mut complaints);
    let metadata: Value = serde_json::from_str(&run::output(Command::new("cargo").args([
        "metadata",
        "--no-deps",
        "--format-version=1",
    ]))?)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        arrows(package, &mut complaints);
        unused_dependencies(package, &mut complaints)?;
    }
    one_version(&mut complaints)?;
    files(&mut complaints)?;
    if complaints.is_empty() {
        println!("tidy");
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("- {complaint}");
    }
    bail!("{} things to tidy", complaints.len());
}

fn formatting(complaints: &mut Vec<String>) {
    if run::cargo(&["fmt", "--all", "--check", "--quiet"]).is_err() {
        complaints.push("formatting: run `cargo fmt --all`".into());
    }
}

/// Dependencies between our crates point down.
fn arrows(package: &Value, complaints: &mut Vec<String>) {
    let ranks: BTreeMap<_, _> = RANKS.iter().copied().collect();
    let name = package["name"].as_str().unwrap_or_default();
    let Some(rank) = ranks.get(name) else {
        if !matches!(name, "sim" | "testkit" | "xtask") {
            complaints
                .push(format!("crate `{name}` has no rank: give it one in ARCHITECTURE.md and xtask/src/tidy.rs"));
        }
        return;
    };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let on = dependency["name"].as_str().unwrap_or_default();
        let for_tests = dependency["kind"].as_str() == Some("dev");
        if let Some(rank_on) = ranks.get(on)
            && rank_on >= rank
            && !for_tests
        {
            complaints.push(format!("`{name}` (rank {rank}) uses `{on}` (rank {rank_on}): arrows point down"));
        }
    }
}

/// A dependency is named somewhere in the crate's sources.
fn unused_dependencies(package: &Value, complaints: &mut Vec<String>) -> Result<()> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(folder) = package["manifest_path"].as_str().and_then(|path| Path::new(path).parent()) else {
        bail!("cargo metadata gives no manifest for `{name}`");
    };
    let mut sources = String::new();
    read_sources(folder, &mut sources)?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let on = dependency["rename"].as_str().or(dependency["name"].as_str()).unwrap_or_default();
        let word = on.replace('-', "_");
        let is_used = sources
            .match_indices(&word)
            .any(|(at, _)| !sources[..at].ends_with(is_word) && !sources[at + word.len()..].starts_with(is_word));
        if !is_used {
            complaints.push(format!("`{name}` names `{on}` in Cargo.toml and nowhere in its sources"));
        }
    }
    Ok(())
}

fn read_sources(folder: &Path, into: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path)?);
            into.push('\n');
        }
    }
    Ok(())
}

fn one_version(complaints: &mut Vec<String>) -> Result<()> {
    let lock = fs::read_to_string("Cargo.lock")?;
    for name in ONE_VERSION {
        let versions = lock.matches(&format!("\nname = \"{name}\"\n")).count();
        if versions != 1 {
            complaints.push(format!("Cargo.lock holds {versions} versions of `{name}`, must be one"));
        }
    }
    Ok(())
}

fn files(complaints: &mut Vec<String>) -> Result<()> {
    let listed = run::output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    for path in listed.lines().filter(|path| Path::new(path).is_file()) {
        let bytes = fs::metadata(path)?.len();
        if bytes > FILE_BYTES_MAX {
            complaints.push(format!(
                "{path}: {bytes} bytes; beyond {FILE_BYTES_MAX} a file does not belong in the repository"
            ));
        }
        let Ok(text) = fs::read_to_string(path) else { continue };
        if path.ends_with(".rs") {
            let lines = text.lines().count();
            if lines > LINES_MAX {
                complaints.push(format!("{path}: {lines} lines; beyond {LINES_MAX} a file has become two stories"));
            }
            if !text.starts_with("//!")
                && !text.starts_with("#!")
                && !path.contains("/tests/")
                && !path.ends_with("/tests.rs")
            {
                complaints.push(format!("{path}: starts without `//!`: say what the file is for"));
            }
        }
        if path.ends_with(".md") {
            links(path, &text, complaints);
        }
    }
    for needed in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", ".ci/run"] {
        if !Path::new(needed).is_file() {
            complaints.push(format!("{needed} is missing"));
        }
    }
    Ok(())
}

/// Relative links in Markdown lead somewhere.
fn links(path: &str, text: &str, complaints: &mut Vec<String>) {
    for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
        let Some(target) = rest.split([')', '#', ' ']).next() else { continue };
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let base = Path::new(path).parent().unwrap_or(Path::new(""));
        if !base.join(target).exists() {
            complaints.push(format!("{path}: link to `{target}` leads nowhere"));
        }
    }
}
