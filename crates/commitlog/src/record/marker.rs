//! Markers: the control batches that end a transaction in a partition (KIP-98; Kafka's `ControlRecordType.java` and
//! `EndTransactionMarker.java`).
//!
//! ```text
//! key    int16 version 0, int16 type: 0 abort, 1 commit
//! value  int16 version 0, int32 epoch of the coordinator
//! ```

use bytes::{Buf, Bytes};
use model::{Error, ProducerId, Result, TimestampMs, error::codes::BATCH_INVALID};

use super::{BatchBuilder, Codec, Header, Records, decompress};

/// Larger blocks hold no marker.
const MARKER_BYTES_MAX: usize = 1 << 10;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    Abort,
    Commit,
}

impl Marker {
    /// The batch that says so for a transaction of `producer` at `epoch`.
    pub fn batch(self, producer: ProducerId, epoch: i16, coordinator_epoch: i32, now: TimestampMs) -> Bytes {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        let mut batch = BatchBuilder::new(Codec::None).producer(producer, epoch, -1).transactional().control();
        batch.push(now, Some(&[0, 0, 0, self as u8]), Some(&value), &[]);
        batch.build()
    }

    /// What a batch says if it is a control batch; `records` follow its header.
    pub(crate) fn of(header: &Header, records: &Bytes) -> Result<Option<Self>> {
        // Compaction leaves an empty one where the marker has gone and its producer lives.
        (header.is_control() && header.count > 0).then(|| Self::of_control(header, records)).transpose()
    }

    fn of_control(header: &Header, records: &Bytes) -> Result<Self> {
        let block = decompress(header.codec()?, records, MARKER_BYTES_MAX)?;
        let mut records = Records::new(header, &block);
        match (records.next().transpose()?, records.next()) {
            (Some(record), None) => Self::of_key(record.key.unwrap_or_default()),
            _ => Err(invalid("it does not hold exactly one record".to_owned())),
        }
    }

    fn of_key(mut key: &[u8]) -> Result<Self> {
        let version = key.try_get_i16().unwrap_or(-1);
        match (version, key.try_get_i16()) {
            (0.., Ok(0)) => Ok(Self::Abort),
            (0.., Ok(1)) => Ok(Self::Commit),
            (_, kind) => Err(invalid(format!("version {version}, type {kind:?}"))),
        }
    }
}

fn invalid(detail: String) -> Error {
    Error::new(BATCH_INVALID, "a control batch ends no transaction").detail(detail)
}

#[cfg(test)]
mod tests {
    use super::{super::Batch, *};

    #[test]
    fn markers_say_what_they_were_made_for() {
        for marker in [Marker::Abort, Marker::Commit] {
            let batch = Batch::parse(&marker.batch(7, 3, 5, 99)).expect("a batch");
            batch.check_crc().expect("sealed");
            assert!(batch.header.is_control() && batch.header.is_transactional());
            let header = &batch.header;
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, -1));
            assert_eq!(batch.marker().expect("a marker"), Some(marker));
        }
    }

    #[test]
    fn other_control_batches_are_told_apart() {
        for keys in [&[&[0u8, 0, 0, 2][..]][..], &[&[0, 0]], &[&[0, 0, 0, 1], &[0, 0, 0, 1]]] {
            let mut batch = BatchBuilder::new(Codec::None).producer(1, 0, -1).transactional().control();
            for key in keys {
                batch.push(0, Some(key), None, &[]);
            }
            Batch::parse(&batch.build()).expect("a batch").marker().expect_err("no marker");
        }
    }
}
