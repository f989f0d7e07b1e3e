//! What is in a folder.

use std::{fs, io, path::Path, time::UNIX_EPOCH};

use model::{Result, TimestampMs};
use world::Disk;

use crate::{failed, location::Base, roots::ROOTS_FILE, sink::TEMPORARY_PREFIX};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    pub location: String,
    pub size: u64,
    pub modified_ms: TimestampMs,
}

pub(crate) fn walk(base: &Base, dir: &Path) -> Result<Vec<FileInfo>> {
    let mut found = Vec::new();
    visit(dir, &mut |path, metadata| {
        let temporary = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY_PREFIX));
        let of_store = path.file_name().is_some_and(|name| name == ROOTS_FILE) && path.parent() == Some(base.dir());
        // A name that is not UTF-8 was not written by us and cannot be referred to.
        if !temporary
            && !of_store
            && let Some(location) = base.location(path)
        {
            found.push(FileInfo { location, size: metadata.len(), modified_ms: modified_ms(metadata) });
        }
        Ok(())
    })
    .map_err(|e| failed("list", &dir.display().to_string(), &e))?;
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

pub(crate) fn remove_abandoned(disk: &dyn Disk, dir: &Path, before_ms: TimestampMs) -> Result<usize> {
    let mut removed = 0;
    visit(dir, &mut |path, metadata| {
        let temporary = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY_PREFIX));
        if temporary && modified_ms(metadata) < before_ms {
            disk.remove_file(path)?;
            removed += 1;
        }
        Ok(())
    })
    .map_err(|e| failed("clean", &dir.display().to_string(), &e))?;
    Ok(removed)
}

/// Depth first. Files that vanish meanwhile are skipped; links are not followed.
fn visit(dir: &Path, found: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let Some(entries) = unless_missing(fs::read_dir(dir))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            visit(&entry.path(), found)?;
        } else if kind.is_file()
            && let Some(metadata) = unless_missing(entry.metadata())?
        {
            found(&entry.path(), &metadata)?;
        }
    }
    Ok(())
}

fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn modified_ms(metadata: &fs::Metadata) -> TimestampMs {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}
