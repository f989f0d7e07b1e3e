//! Which files a pattern stands for: `*` is any part of a name, `?` any character of it.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use model::{Error, Result, error::codes};

/// Files, or folders on the way to them, that a pattern may stand for.
const FOUND_MAX: usize = 10_000;

/// The files below `root` that `pattern` stands for, in order; links are followed, and what leads out of `root` is not there.
pub(super) fn matching(root: &Path, pattern: &Path) -> Result<Vec<PathBuf>> {
    let Ok(real) = root.canonicalize() else { return Ok(Vec::new()) };
    let Ok(inside) = pattern.strip_prefix(root).or_else(|_| pattern.strip_prefix(&real)) else {
        return Ok(Vec::new());
    };
    let mut found = BTreeSet::from([real.clone()]);
    for part in inside.components() {
        let mut next = BTreeSet::new();
        for dir in &found {
            let paths = named(dir, &part.as_os_str().to_string_lossy());
            let paths = paths.map_err(|e| Error::io(format!("could not list {}", dir.display()), &e))?;
            // Each step of the way: or a link would have all of the machine listed.
            next.extend(
                paths.iter().filter_map(|path| path.canonicalize().ok()).filter(|path| path.starts_with(&real)),
            );
            if next.len() > FOUND_MAX {
                return Err(Error::new(
                    codes::SQL_INVALID,
                    format!("`{}` stands for more than {FOUND_MAX} files", inside.display()),
                )
                .hint("name their folder instead: all files in it are one table"));
            }
        }
        found = next;
    }
    Ok(found.into_iter().filter(|path| path.is_file()).collect())
}

/// What in `dir` is called `part`, or as it says.
fn named(dir: &Path, part: &str) -> io::Result<Vec<PathBuf>> {
    if !part.contains(['*', '?']) {
        return Ok(vec![dir.join(part)]);
    }
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if matches_name(part, &entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// Hidden names want to be called by their dot, as in a shell.
fn matches_name(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut reached) = (0, 0);
    // Only the last `*` is ever tried again, one character further: the time is the product of both lengths at most.
    let mut star = None;
    while reached < name.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, reached));
                at += 1;
            }
            (Some(c), _) if *c == '?' || *c == name[reached] => (at, reached) = (at + 1, reached + 1),
            (_, Some((place, from))) => {
                star = Some((place, from + 1));
                (at, reached) = (place + 1, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, matches) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c*", "abc", true),
            ("a?c*", "ac", false),
            ("*", ".drafts", false),
            (".*", ".drafts", true),
            ("year=*", "year=2024", true),
            ("*a*b", "xaxxb", true),
            ("*ab", "aab", true),
            ("**", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches_name(pattern, name), matches, "{pattern} {name}");
        }
        // By trying all ways this would not end.
        assert!(!matches_name(&"*a".repeat(100), &("a".repeat(250) + "b")));
    }

    #[test]
    fn nothing_outside_is_found() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("a.csv"), "x").expect("written");
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("in")).expect("made");
        std::fs::write(root.path().join("in/a.csv"), "x").expect("written");
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).expect("linked");
        let found = |pattern: &str| matching(root.path(), &root.path().join(pattern)).expect("listed");
        assert_eq!(found("*/*.csv"), [root.path().canonicalize().expect("there").join("in/a.csv")]);
        assert_eq!(found("out/*.csv"), [] as [PathBuf; 0]);
        assert_eq!(found("in/a.csv/*"), [] as [PathBuf; 0]);
    }
}
