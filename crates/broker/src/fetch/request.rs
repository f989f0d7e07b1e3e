//! The Fetch request, read by hand: it is the hottest of all, and its tagged fields are not checked by the codec.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;
use commitlog::Isolation;
use uuid::Uuid;

use super::Want;
use crate::{
    frame::{Malformed, Read, Reader},
    handlers::isolation,
};

/// Most partitions in one request.
const PARTITIONS_MAX: usize = 250_000;

/// How the client names a topic: by name up to version 12, by id after.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

#[derive(Debug)]
pub(crate) struct FetchRequest {
    pub(super) max_wait_ms: i32,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    /// `None`: there is no such level.
    pub(super) isolation: Option<Isolation>,
    pub(super) session: i32,
    pub(super) epoch: i32,
    pub(super) by_id: bool,
    pub(super) wants: Vec<Want>,
    pub(super) forgotten: Vec<(TopicKey, i32)>,
}

impl FetchRequest {
    pub(crate) fn parse(body: &Bytes, version: i16) -> Read<Self> {
        let compact = version >= 12;
        let by_id = version >= 13;
        let mut reader = Reader::new(body);
        if version <= 14 {
            reader.i32()?; // replica id: nobody replicates from us
        }
        let (max_wait_ms, min_bytes, max_bytes) = (reader.i32()?, reader.i32()?, reader.i32()?);
        let isolation = isolation(reader.i8()?);
        let (session, epoch) = if version >= 7 { (reader.i32()?, reader.i32()?) } else { (0, -1) };
        let topic = |reader: &mut Reader<'_>| {
            Ok(if by_id {
                TopicKey::Id(reader.uuid()?)
            } else {
                TopicKey::Name(reader.text(compact)?.unwrap_or_default().into())
            })
        };
        let tags = |reader: &mut Reader<'_>| if compact { reader.tags().map(drop) } else { Ok(()) };

        let mut wants = Vec::new();
        for _ in 0..reader.count(compact, 2)? {
            let key = topic(&mut reader)?;
            let count = reader.count(compact, 16)?;
            if wants.len() + count > PARTITIONS_MAX {
                return Err(Malformed::TooMany);
            }
            for _ in 0..count {
                let partition = reader.i32()?;
                let leader_epoch = if version >= 9 { reader.i32()? } else { -1 };
                let offset = reader.i64()?;
                if version >= 12 {
                    reader.i32()?; // last fetched epoch: only followers diverge
                }
                if version >= 5 {
                    reader.i64()?; // the follower's log start
                }
                let bytes_max = usize::try_from(reader.i32()?).unwrap_or(0);
                tags(&mut reader)?;
                wants.push(Want { topic: key.clone(), partition, offset, bytes_max, leader_epoch });
            }
            tags(&mut reader)?;
        }
        let mut forgotten = Vec::new();
        if version >= 7 {
            for _ in 0..reader.count(compact, 2)? {
                let key = topic(&mut reader)?;
                let count = reader.count(compact, 4)?;
                if forgotten.len() + count > PARTITIONS_MAX {
                    return Err(Malformed::TooMany);
                }
                for _ in 0..count {
                    forgotten.push((key.clone(), reader.i32()?));
                }
                tags(&mut reader)?;
            }
        }
        if version >= 11 {
            reader.skip_text(compact)?; // rack id: there is one place
        }
        tags(&mut reader)?;
        let wants = if may_repeat(&wants) { last_of_each(wants) } else { wants };
        Ok(Self { max_wait_ms, min_bytes, max_bytes, isolation, session, epoch, by_id, wants, forgotten })
    }
}

/// Whether a partition may be named more than once. Hardly ever, and that is seen without looking each of them up.
fn may_repeat(wants: &[Want]) -> bool {
    let mut topics = HashSet::new();
    let mut numbers = Vec::new();
    wants.chunk_by(|a, b| a.topic == b.topic).any(|of_topic| {
        numbers.clear();
        numbers.extend(of_topic.iter().map(|want| want.partition));
        numbers.sort_unstable();
        !topics.insert(&of_topic[0].topic) || numbers.windows(2).any(|pair| pair[0] == pair[1])
    })
}

/// A partition that is named more than once is read once, as it was named last (Kafka's `FetchRequest.fetchData`): else a small
/// request could have one partition read, and waited for, any number of times.
fn last_of_each(wants: Vec<Want>) -> Vec<Want> {
    let mut places = HashMap::new();
    let mut once: Vec<Want> = Vec::new();
    for want in wants {
        match places.entry((want.topic.clone(), want.partition)) {
            Entry::Occupied(place) => once[*place.get()] = want,
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(want);
            }
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::{
        messages::{
            BrokerId, FetchRequest as Encoded, TopicName,
            fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState},
        },
        protocol::{Encodable, StrBytes},
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_version_is_read_as_the_codec_writes_it() {
        for version in 4..=18 {
            let id = Uuid::from_u128(7);
            let mut partition = FetchPartition::default()
                .with_partition(3)
                .with_fetch_offset(42)
                .with_partition_max_bytes(1000)
                .with_current_leader_epoch(if version >= 9 { 2 } else { -1 });
            if version >= 17 {
                partition = partition.with_replica_directory_id(Uuid::from_u128(9));
            }
            let mut topic = FetchTopic::default().with_partitions(vec![partition]);
            let mut forgotten = ForgottenTopic::default().with_partitions(vec![5]);
            if version >= 13 {
                topic = topic.with_topic_id(id);
                forgotten = forgotten.with_topic_id(id);
            } else {
                topic = topic.with_topic(TopicName(StrBytes::from_static_str("t")));
                forgotten = forgotten.with_topic(TopicName(StrBytes::from_static_str("t")));
            }
            let mut request = Encoded::default()
                .with_max_wait_ms(500)
                .with_min_bytes(1)
                .with_max_bytes(9999)
                .with_isolation_level(1)
                .with_topics(vec![topic]);
            if version >= 7 {
                request =
                    request.with_session_id(11).with_session_epoch(12).with_forgotten_topics_data(vec![forgotten]);
            }
            if version >= 15 {
                request = request.with_replica_state(ReplicaState::default().with_replica_id(BrokerId(-1)));
            }
            let mut body = BytesMut::new();
            request.encode(&mut body, version).expect("encode");
            let read = FetchRequest::parse(&body.freeze(), version).expect("parse");
            let key = if version >= 13 { TopicKey::Id(id) } else { TopicKey::Name("t".into()) };
            let want = Want {
                topic: key.clone(),
                partition: 3,
                offset: 42,
                bytes_max: 1000,
                leader_epoch: if version >= 9 { 2 } else { -1 },
            };
            assert_eq!(read.wants, [want], "v{version}");
            assert_eq!(
                (read.max_wait_ms, read.min_bytes, read.max_bytes, read.isolation),
                (500, 1, 9999, Some(Isolation::Committed))
            );
            if version >= 7 {
                assert_eq!((read.session, read.epoch, read.forgotten), (11, 12, vec![(key, 5)]));
            }
        }
    }

    #[test]
    fn a_partition_named_twice_is_wanted_as_it_was_named_last() {
        let want = |topic: &str, partition, offset| Want {
            topic: TopicKey::Name(topic.into()),
            partition,
            offset,
            bytes_max: 1,
            leader_epoch: -1,
        };
        for (named, wanted) in [
            (vec![("t", 2, 1), ("t", 0, 2), ("u", 2, 3)], vec![("t", 2, 1), ("t", 0, 2), ("u", 2, 3)]),
            (vec![("t", 2, 1), ("t", 0, 2), ("t", 2, 3)], vec![("t", 2, 3), ("t", 0, 2)]),
            (vec![("t", 0, 1), ("u", 0, 2), ("t", 0, 3), ("t", 1, 4)], vec![("t", 0, 3), ("u", 0, 2), ("t", 1, 4)]),
        ] {
            let all = |rows: &[(&str, i32, i64)]| -> Vec<Want> { rows.iter().map(|r| want(r.0, r.1, r.2)).collect() };
            let mut request = Encoded::default();
            for &(topic, partition, offset) in &named {
                let partition = FetchPartition::default().with_partition(partition).with_fetch_offset(offset);
                let topic = FetchTopic::default().with_topic(TopicName(StrBytes::from_string(topic.to_owned())));
                request.topics.push(topic.with_partitions(vec![partition.with_partition_max_bytes(1)]));
            }
            let mut body = BytesMut::new();
            request.encode(&mut body, 12).expect("encode");
            let read = FetchRequest::parse(&body.freeze(), 12).expect("parse");
            assert_eq!(read.wants, all(&wanted));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 4i16..=18) {
            let _ = FetchRequest::parse(&Bytes::from(bytes), version);
        }
    }
}
