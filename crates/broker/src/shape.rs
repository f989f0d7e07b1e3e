//! The shape of requests, checked before the codec decodes them.
//!
//! The codec allocates arrays by the length a request claims. So each request is walked first against the table below:
//! every length must be covered by bytes that are really there, and the number of things listed is limited, since a thing
//! of two bytes on the wire is a hundred in memory. Produce and Fetch are read by hand elsewhere.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;

use crate::frame::{Malformed, Read, Reader};

/// Most array elements and tagged fields in one request.
const THINGS_MAX: usize = 250_000;

/// A field and the versions that have it.
struct Field {
    from: i16,
    to: i16,
    kind: Kind,
}

enum Kind {
    Fixed(usize),
    Text,
    Blob,
    /// Array of structures.
    List(&'static [Field]),
    /// Array of plain values.
    Values(&'static Kind),
    /// One byte that says whether the structure follows (1: it does).
    Maybe(&'static [Field]),
}

struct Shape {
    /// First version with compact lengths and tagged fields.
    flexible: i16,
    fields: &'static [Field],
}

const fn all(kind: Kind) -> Field {
    Field { from: 0, to: i16::MAX, kind }
}

const fn from(from: i16, kind: Kind) -> Field {
    Field { from, to: i16::MAX, kind }
}

const fn until(to: i16, kind: Kind) -> Field {
    Field { from: 0, to, kind }
}

const BOOL: Kind = Kind::Fixed(1);
const I8: Kind = Kind::Fixed(1);
const I16: Kind = Kind::Fixed(2);
const I32: Kind = Kind::Fixed(4);
const I64: Kind = Kind::Fixed(8);
const F64: Kind = Kind::Fixed(8);
const UUID: Kind = Kind::Fixed(16);
const TEXT: Kind = Kind::Text;
const TEXTS: Kind = Kind::Values(&Kind::Text);
const I32S: Kind = Kind::Values(&Kind::Fixed(4));

macro_rules! list {
    ($($field:expr),* $(,)?) => { Kind::List(const { &[$($field),*] }) };
}

const CONFIG_RESOURCES: Kind = list![all(I8), all(TEXT), all(list![all(TEXT), all(TEXT)])];

fn shape(key: ApiKey) -> Option<Shape> {
    macro_rules! shape {
        ($flexible:expr; $($field:expr),* $(,)?) => { Shape { flexible: $flexible, fields: const { &[$($field),*] } } };
    }
    const NEVER: i16 = i16::MAX;
    Some(match key {
        ApiKey::ListOffsets => shape![6; all(I32), from(2, I8),
            all(list![all(TEXT), all(list![all(I32), from(4, I32), all(I64)])]), from(10, I32)],
        ApiKey::Metadata => shape![9; all(list![from(10, UUID), all(TEXT)]), from(4, BOOL),
            Field { from: 8, to: 10, kind: BOOL }, from(8, BOOL)],
        ApiKey::OffsetCommit => shape![8; all(TEXT), all(I32), all(TEXT), from(7, TEXT), until(4, I64),
            all(list![all(TEXT), all(list![all(I32), all(I64), from(6, I32), all(TEXT)])])],
        ApiKey::OffsetFetch => shape![6; until(7, TEXT), until(7, list![all(TEXT), all(I32S)]),
            from(8, list![all(TEXT), from(9, TEXT), from(9, I32), all(list![all(TEXT), all(I32S)])]), from(7, BOOL)],
        ApiKey::FindCoordinator => shape![3; until(3, TEXT), from(1, I8), from(4, TEXTS)],
        ApiKey::JoinGroup => shape![6; all(TEXT), all(I32), from(1, I32), all(TEXT), from(5, TEXT), all(TEXT),
            all(list![all(TEXT), all(Kind::Blob)]), from(8, TEXT)],
        ApiKey::Heartbeat => shape![4; all(TEXT), all(I32), all(TEXT), from(3, TEXT)],
        ApiKey::LeaveGroup => shape![4; all(TEXT), until(2, TEXT), from(3, list![all(TEXT), all(TEXT), from(5, TEXT)])],
        ApiKey::SyncGroup => shape![4; all(TEXT), all(I32), all(TEXT), from(3, TEXT), from(5, TEXT), from(5, TEXT),
            all(list![all(TEXT), all(Kind::Blob)])],
        ApiKey::DescribeGroups => shape![5; all(TEXTS), from(3, BOOL)],
        ApiKey::ListGroups => shape![3; from(4, TEXTS), from(5, TEXTS)],
        ApiKey::SaslHandshake => shape![NEVER; all(TEXT)],
        ApiKey::SaslAuthenticate => shape![2; all(Kind::Blob)],
        ApiKey::ApiVersions => shape![3; from(3, TEXT), from(3, TEXT)],
        ApiKey::CreateTopics => shape![5; all(list![all(TEXT), all(I32), all(I16), all(list![all(I32), all(I32S)]),
            all(list![all(TEXT), all(TEXT)])]), all(I32), all(BOOL)],
        ApiKey::DeleteTopics => shape![4; from(6, list![all(TEXT), all(UUID)]), until(5, TEXTS), all(I32)],
        ApiKey::DeleteRecords => shape![2; all(list![all(TEXT), all(list![all(I32), all(I64)])]), all(I32)],
        ApiKey::InitProducerId => shape![2; all(TEXT), all(I32), from(3, I64), from(3, I16)],
        ApiKey::AddPartitionsToTxn => shape![3; all(TEXT), all(I64), all(I16), all(list![all(TEXT), all(I32S)])],
        ApiKey::AddOffsetsToTxn => shape![3; all(TEXT), all(I64), all(I16), all(TEXT)],
        ApiKey::EndTxn => shape![3; all(TEXT), all(I64), all(I16), all(BOOL)],
        ApiKey::TxnOffsetCommit => shape![3; all(TEXT), all(TEXT), all(I64), all(I16), from(3, I32), from(3, TEXT),
            from(3, TEXT), all(list![all(TEXT), all(list![all(I32), all(I64), from(2, I32), all(TEXT)])])],
        ApiKey::DescribeClientQuotas => shape![1; all(list![all(TEXT), all(I8), all(TEXT)]), all(BOOL)],
        ApiKey::AlterClientQuotas => shape![1; all(list![all(list![all(TEXT), all(TEXT)]),
            all(list![all(TEXT), all(F64), all(BOOL)])]), all(BOOL)],
        ApiKey::DescribeProducers => shape![0; all(list![all(TEXT), all(I32S)])],
        ApiKey::DescribeTransactions => shape![0; all(TEXTS)],
        ApiKey::ListTransactions => shape![0; all(TEXTS), all(Kind::Values(&I64)), from(1, I64), from(2, TEXT)],
        ApiKey::OffsetForLeaderEpoch => {
            shape![4; from(3, I32), all(list![all(TEXT), all(list![all(I32), all(I32), all(I32)])])]
        }
        ApiKey::DescribeAcls => shape![2; all(I8), all(TEXT), all(I8), all(TEXT), all(TEXT), all(I8), all(I8)],
        ApiKey::CreateAcls | ApiKey::DeleteAcls => {
            shape![2; all(list![all(I8), all(TEXT), all(I8), all(TEXT), all(TEXT), all(I8), all(I8)])]
        }
        ApiKey::DescribeUserScramCredentials => shape![0; all(list![all(TEXT)])],
        ApiKey::AlterUserScramCredentials => shape![0; all(list![all(TEXT), all(I8)]),
            all(list![all(TEXT), all(I8), all(I32), all(Kind::Blob), all(Kind::Blob)])],
        ApiKey::DescribeConfigs => shape![4; all(list![all(I8), all(TEXT), all(TEXTS)]), all(BOOL), from(3, BOOL)],
        ApiKey::AlterConfigs => shape![2; all(CONFIG_RESOURCES), all(BOOL)],
        ApiKey::IncrementalAlterConfigs => {
            shape![1; all(list![all(I8), all(TEXT), all(list![all(TEXT), all(I8), all(TEXT)])]), all(BOOL)]
        }
        ApiKey::DescribeLogDirs => shape![2; all(list![all(TEXT), all(I32S)])],
        ApiKey::AlterReplicaLogDirs => shape![2; all(list![all(TEXT), all(list![all(TEXT), all(I32S)])])],
        ApiKey::AlterPartitionReassignments => shape![0; all(I32), from(1, BOOL),
            all(list![all(TEXT), all(list![all(I32), all(I32S)])])],
        ApiKey::ListPartitionReassignments => shape![0; all(I32), all(list![all(TEXT), all(I32S)])],
        ApiKey::DescribeQuorum => shape![0; all(list![all(TEXT), all(list![all(I32)])])],
        ApiKey::WriteTxnMarkers => {
            shape![1; all(list![all(I64), all(I16), all(BOOL), all(list![all(TEXT), all(I32S)]), all(I32)])]
        }
        ApiKey::CreatePartitions => {
            shape![2; all(list![all(TEXT), all(I32), all(list![all(I32S)])]), all(I32), all(BOOL)]
        }
        ApiKey::DeleteGroups => shape![2; all(TEXTS)],
        ApiKey::OffsetDelete => shape![NEVER; all(TEXT), all(list![all(TEXT), all(list![all(I32)])])],
        ApiKey::ElectLeaders => shape![2; from(1, I8), all(list![all(TEXT), all(I32S)]), all(I32)],
        ApiKey::ConsumerGroupHeartbeat => shape![0; all(TEXT), all(TEXT), all(I32), all(TEXT), all(TEXT), all(I32),
            all(TEXTS), from(1, TEXT), all(TEXT), all(list![all(UUID), all(I32S)])],
        ApiKey::ConsumerGroupDescribe => shape![0; all(TEXTS), all(BOOL)],
        ApiKey::ListConfigResources => shape![0; from(1, Kind::Values(&I8))],
        // The byte behind the level is a permission to downgrade in version 0, and the kind of the update from then on.
        ApiKey::UpdateFeatures => shape![0; all(I32), all(list![all(TEXT), all(I16), all(I8)]), from(1, BOOL)],
        ApiKey::DescribeCluster => shape![0; all(BOOL), from(1, I8), from(2, BOOL)],
        ApiKey::DescribeTopicPartitions => {
            shape![0; all(list![all(TEXT)]), all(I32), all(Kind::Maybe(const { &[all(TEXT), all(I32)] }))]
        }
        _ => return None,
    })
}

/// Walks the body of a request; `Ok` means the codec may decode it, and says how many bytes follow it.
pub(crate) fn check(key: ApiKey, version: i16, body: &Bytes) -> Read<usize> {
    let shape = shape(key).expect("every API on offer that the codec decodes has a shape: tested below");
    let mut walk = Walk { reader: Reader::new(body), version, flexible: version >= shape.flexible, things: 0 };
    walk.structure(shape.fields)?;
    Ok(walk.reader.remaining())
}

struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    flexible: bool,
    things: usize,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &'static [Field]) -> Read<()> {
        for field in fields {
            if (field.from..=field.to).contains(&self.version) {
                self.value(&field.kind)?;
            }
        }
        if self.flexible {
            let tags = self.reader.tags()?;
            self.add(tags)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: &'static Kind) -> Read<()> {
        match kind {
            Kind::Fixed(length) => self.reader.take(*length).map(drop),
            Kind::Text => self.reader.skip_text(self.flexible),
            Kind::Blob => self.reader.skip_blob(self.flexible),
            Kind::List(fields) => {
                for _ in 0..self.count()? {
                    self.structure(fields)?;
                }
                Ok(())
            }
            Kind::Values(kind) => {
                for _ in 0..self.count()? {
                    self.value(kind)?;
                }
                Ok(())
            }
            Kind::Maybe(fields) => match self.reader.i8()? {
                1 => self.structure(fields),
                _ => Ok(()),
            },
        }
    }

    fn count(&mut self) -> Read<usize> {
        let count = self.reader.count(self.flexible, 1)?;
        self.add(count)?;
        Ok(count)
    }

    fn add(&mut self, things: usize) -> Read<()> {
        self.things = self.things.saturating_add(things);
        if self.things > THINGS_MAX { Err(Malformed::TooMany) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::RequestKind;
    use proptest::prelude::*;

    use super::*;
    use crate::versions::OFFERS;

    fn by_hand(key: ApiKey) -> bool {
        matches!(key, ApiKey::Produce | ApiKey::Fetch)
    }

    /// Whatever the codec reads from these bytes: nothing, or exactly what the walk saw.
    fn decode(key: ApiKey, version: i16, body: &Bytes) -> Option<usize> {
        let mut rest = body.clone();
        RequestKind::decode(key, &mut rest, version).ok().map(|_| rest.len())
    }

    #[test]
    fn a_claimed_length_without_bytes_is_refused() {
        let mut body = BytesMut::new();
        bytes::BufMut::put_i32(&mut body, i32::MAX);
        for offer in OFFERS.iter().filter(|o| !by_hand(o.key)) {
            for version in offer.served_from..=offer.max {
                let _refused = check(offer.key, version, &body.clone().freeze());
            }
        }
        assert_eq!(check(ApiKey::Metadata, 1, &body.freeze()), Err(Malformed::Short));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_passes_the_walk_is_decoded_to_its_last_byte(
            which in 0..OFFERS.len(), seed: u16,
            bytes in proptest::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..120),
        ) {
            let offer = OFFERS[which];
            if !by_hand(offer.key) {
                let version = offer.served_from + (seed as i16).rem_euclid(offer.max - offer.served_from + 1);
                let mut body = Bytes::from(bytes);
                // Cut where the walk ends, so that many of the random bodies are whole requests.
                for length in 0..=body.len() {
                    if check(offer.key, version, &body.slice(..length)).is_ok() {
                        body = body.slice(..length);
                        if let Some(left) = decode(offer.key, version, &body) {
                            prop_assert_eq!(left, 0, "{:?} v{}", offer.key, version);
                        }
                        break;
                    }
                }
            }
        }
    }
}
