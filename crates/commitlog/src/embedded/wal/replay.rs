//! Reading the write-ahead log after an unclean end.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use model::{Error, Result, error::codes::CORRUPT};
use world::{Disk, DiskFile, OpenMode};

use super::format::{ENTRY_HEADER_BYTES, Entry, FILE_HEADER_BYTES, FileHeader, Kind, LSN_JUMP, Lsn};
use crate::{
    embedded::layout,
    record::{HEADER_BYTES, Header},
};

/// Something that was acknowledged, or was about to be.
pub(crate) enum Logged {
    Batch(Entry, Header, Bytes),
    LogStart(Entry),
}

struct LogFile {
    number: u64,
    header: FileHeader,
    file: Arc<dyn DiskFile>,
    len: u64,
}

/// Calls `each` with every entry from `from` on that counts, in order. Returns the lsn after the last one.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    from: Lsn,
    mut each: impl FnMut(Logged) -> Result<()>,
) -> Result<Lsn> {
    let failed = |error: std::io::Error| Error::io("cannot read the write-ahead log", &error);
    let mut files = Vec::new();
    for name in disk.list(dir).map_err(failed)? {
        let Some(number) = layout::wal_file_number(&name) else { continue };
        let file = disk.open(&dir.join(&name), OpenMode::Read).map_err(failed)?;
        let mut head = [0; FILE_HEADER_BYTES];
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        if read == head.len()
            && let Some(header) = FileHeader::read(&head)
        {
            let len = file.len().map_err(failed)?;
            files.push(LogFile { number, header, file, len });
        }
    }
    files.sort_by_key(|file| file.header.first_lsn);
    // Files whose last entry lies before `from` are spare: all but the last one that begins before it.
    let needed = files.partition_point(|file| file.header.first_lsn <= from).saturating_sub(1);
    let mut next = from;
    for at in needed..files.len() {
        let file = &files[at];
        let void_from = files[at + 1..].iter().map(|later| later.header.void_from).min().unwrap_or(Lsn::MAX);
        let (end, whole) =
            read_file(file, |logged, lsn| if lsn >= from && lsn < void_from { each(logged) } else { Ok(()) })?;
        let until = files.get(at + 1).map_or(end, |later| later.header.first_lsn);
        // A file was begun only when all entries of the one before were durable, or void; or by a later start, which took in
        // all that there was.
        let is_of_later_start = until >= end.saturating_add(LSN_JUMP);
        if end < until.min(void_from) && !whole && until > from && !is_of_later_start {
            return Err(Error::new(CORRUPT, "the write-ahead log is damaged").detail(format!(
                "{} ends at entry {end}, the next file begins with {until}",
                layout::wal_file(dir, file.number).display()
            )));
        }
        next = next.max(end).max(until);
    }
    Ok(next)
}

/// Reads entries until they end; says with which number, and whether the file says so itself.
fn read_file(file: &LogFile, mut each: impl FnMut(Logged, Lsn) -> Result<()>) -> Result<(Lsn, bool)> {
    let failed = |error: std::io::Error| Error::io("cannot read the write-ahead log", &error);
    let mut lsn = file.header.first_lsn;
    let mut at = FILE_HEADER_BYTES as u64;
    let mut head = [0; ENTRY_HEADER_BYTES + HEADER_BYTES];
    loop {
        let read = file.file.read_at(&mut head, at).map_err(failed)?;
        let Some(entry) = Entry::read(&head[..read], lsn) else { return Ok((lsn, false)) };
        at += ENTRY_HEADER_BYTES as u64;
        let logged = match entry.kind {
            Kind::End => return Ok((lsn, true)),
            Kind::LogStart => Logged::LogStart(entry),
            Kind::Batch => {
                if at + u64::from(entry.payload_bytes) > file.len {
                    return Ok((lsn, false));
                }
                let mut batch = Vec::new();
                file.file.read_onto(&mut batch, entry.payload_bytes as usize, at).map_err(failed)?;
                let batch = Bytes::from(batch);
                at += u64::from(entry.payload_bytes);
                match Header::parse(&batch) {
                    Ok(header) if header.size() == batch.len() && header.crc_matches(&batch) => {
                        Logged::Batch(entry, header, batch.slice(HEADER_BYTES..))
                    }
                    _ => return Ok((lsn, false)),
                }
            }
        };
        each(logged, lsn)?;
        lsn += 1;
    }
}
