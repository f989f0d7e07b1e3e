//! Walking over the batches of a segment file.

use std::sync::Arc;

use model::{Error, Offset, Result, error::codes::CORRUPT};
use world::DiskFile;

use crate::record::{HEADER_BYTES, Header};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// How the offset of a batch follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Densely,
    /// Nobody asks.
    Somehow,
    /// Compaction has taken some away, before this end.
    WithHoles {
        end: Offset,
    },
}

/// Reads batches from `position` on; large ones are skipped over, not read, unless asked for. LOG-8: batches that are not in
/// order are damaged: their own checksums leave their offsets out.
pub(crate) struct Scan<'a> {
    file: Arc<dyn DiskFile>,
    name: &'a std::path::Path,
    end: u64,
    position: u64,
    /// Offset of the next batch, or the first that it may have.
    next: Option<Offset>,
    follows: Follows,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(file: Arc<dyn DiskFile>, name: &'a std::path::Path, position: u64, end: u64) -> Self {
        let (next, follows) = (None, Follows::Somehow);
        Self { file, name, end, position, next, follows, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Looks at the order of offsets. `next`: of the first batch, or the first that it may have; `None` if it is not known.
    pub(super) fn following(self, next: Option<Offset>, follows: Follows) -> Self {
        Self { next, follows, ..self }
    }

    /// Position and header of the next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Header)>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let header = match Header::parse(self.bytes(position, HEADER_BYTES)?) {
            Ok(header) if position + header.size() as u64 <= self.end => header,
            Ok(header) => {
                return Err(self.corrupt(position, format!("a batch of {} bytes does not fit", header.size())));
            }
            Err(error) => return Err(self.corrupt(position, error.to_string())),
        };
        let base = header.base_offset;
        let is_next = self.next.is_none_or(|next| match self.follows {
            Follows::Somehow => true,
            Follows::Densely => base == next,
            Follows::WithHoles { end } => (next..end).contains(&base) && header.next_offset() <= end,
        });
        if !is_next {
            return Err(self.corrupt(position, format!("a batch of offset {base}, where {:?} is expected", self.next)));
        }
        if self.follows != Follows::Somehow {
            self.next = Some(header.next_offset());
        }
        self.position += header.size() as u64;
        Ok(Some((position, header)))
    }

    /// All bytes of a batch that [`Scan::next`] returned.
    pub(crate) fn batch(&mut self, position: u64, header: &Header) -> Result<&[u8]> {
        self.bytes(position, header.size())
    }

    fn bytes(&mut self, position: u64, len: usize) -> Result<&[u8]> {
        let len = len.min(usize::try_from(self.end - position).unwrap_or(usize::MAX));
        let have = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if !(have.contains(&position) && position + len as u64 <= have.end) {
            let want = CHUNK_BYTES.max(len).min((self.end - position) as usize);
            self.buffer.clear();
            self.buffer_at = position;
            self.file
                .read_onto(&mut self.buffer, want, position)
                .map_err(|error| Error::io(format!("cannot read {} at {position}", self.name.display()), &error))?;
        }
        let from = (position - self.buffer_at) as usize;
        Ok(&self.buffer[from..(from + len).min(self.buffer.len())])
    }

    fn corrupt(&self, position: u64, detail: String) -> Error {
        corrupt(self.name, position, detail)
    }
}

/// LH0004 with the place.
pub(super) fn corrupt(name: &std::path::Path, position: u64, detail: String) -> Error {
    Error::new(CORRUPT, format!("{} is damaged at byte {position}", name.display())).detail(detail)
}
