//! What each key was last, in the dirty part (Kafka's `Cleaner.buildOffsetMap`).

use bytes::Bytes;
use model::Offset;

use super::{Aborting, OffsetMap};
use crate::{
    log::Aborted,
    record::{Batch, Header, Records},
};

/// Largest block of records that is looked into; a batch that is larger stays as it is.
pub(crate) const KEYS_BLOCK_BYTES_MAX: usize = 64 << 20;

/// Collects keys, batch by batch.
pub(crate) struct Mapping {
    map: OffsetMap,
    from: Offset,
    /// Everything before it is in the map.
    to: Offset,
    aborting: Aborting,
}

impl Mapping {
    /// From `from` on. `aborted`: transactions that touch what comes, by their first offset.
    pub(crate) fn new(map: OffsetMap, from: Offset, aborted: Vec<Aborted>) -> Self {
        Self { map, from, to: from, aborting: Aborting::new(aborted) }
    }

    /// Takes in the next batch; false if there is no room for all of it.
    pub(crate) fn batch(&mut self, header: &Header, bytes: &[u8]) -> bool {
        if !header.crc_matches(bytes) {
            // It is damaged, perhaps in what it says of itself, and stays as it is.
            self.to = self.to.max(header.next_offset());
            return true;
        }
        self.aborting.come_to(header);
        if header.is_control() {
            if let Ok(Some(marker)) = (Batch { header: *header, bytes: Bytes::copy_from_slice(bytes) }).marker() {
                self.aborting.end(header, marker);
            }
        } else if !self.aborting.meet(header)
            && header.next_offset() > self.from
            && let Some(block) = super::filter::open(header, bytes)
        {
            for record in Records::new(header, &block) {
                let Ok(record) = record else { break };
                let Some(key) = record.key.filter(|_| record.offset >= self.from) else { continue };
                if !self.map.put(key, record.offset) {
                    self.to = self.to.max(record.offset);
                    return false;
                }
            }
        }
        self.to = self.to.max(header.next_offset());
        true
    }

    /// The map, and the offset before which everything is in it.
    pub(crate) fn finish(self) -> (OffsetMap, Offset) {
        (self.map, self.to)
    }
}
