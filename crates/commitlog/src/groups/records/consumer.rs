//! What the offsets topic holds of a group of the consumer protocol, in Kafka 4.1's own formats (`ConsumerGroupMetadataKey`,
//! `ConsumerGroupMemberMetadataKey`, …, group-coordinator's `common/message`).
//!
//! ```text
//! key    int16 version  3: the group's epoch           group: string
//!                       5: a member                    group, member: string
//!                       6: epoch of the target         group: string
//!                       7: target of a member          group, member: string
//!                       8: where a member is           group, member: string
//! value  null: gone. Otherwise int16 version 0, then, with compact lengths and tagged fields:
//!   3: epoch int32; tag 0: hash of the topics' metadata int64; tag 10000 (ours, skipped by others): since when, int64 ms
//!   5: instance, rack: string or null, client id, client host: string, topics: array of string, regex: string or null,
//!      rebalance timeout int32 ms, assignor: string or null; tag 0: null (varint 0), or varint 1 and what a member of the
//!      classic protocol said: session timeout int32 ms, protocols: array of { name: string, metadata: bytes, tags }, tags
//!   6: epoch int32
//!   7: array of { topic uuid, partitions: array of int32 }
//!   8: epoch, epoch before: int32, state int8 (0 stable, 1 unrevoked, 2 unreleased), assigned, revoking: arrays as in 7
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{PartitionId, TopicId};

use super::{duration, get_string, millis, put_string};
use crate::{
    compact::{get_tags, get_text, get_varint, put_tags, put_text, put_varint, take},
    groups::types::Partitions,
};

const TAG_METADATA_HASH: u32 = 0;
const TAG_SINCE: u32 = 10_000;
const TAG_CLASSIC: u32 = 0;

/// What a record of a group is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// The record of the classic group that it was: only ever a tombstone.
    Classic,
    Epoch,
    TargetEpoch,
    Member(Arc<str>),
    Target(Arc<str>),
    Current(Arc<str>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredEpoch {
    pub epoch: i32,
    pub metadata_hash: i64,
    /// Wall time at which the group got or lost its members.
    pub since_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSubscription {
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<Arc<str>>,
    pub regex: Option<String>,
    pub rebalance_timeout: Duration,
    pub assignor: Option<String>,
    /// The member speaks the classic protocol (KIP-848, "Online migration").
    pub classic: Option<StoredClassic>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClassic {
    pub session_timeout: Duration,
    /// Names and metadata of the protocols it can follow, best first.
    pub protocols: Vec<(String, Bytes)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredCurrent {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: i8,
    pub assigned: Partitions,
    pub revoking: Partitions,
}

pub fn key(group: &str, line: &Line) -> Bytes {
    let (version, member) = match line {
        Line::Classic => return super::group_key(group),
        Line::Epoch => (3, None),
        Line::Member(member) => (5, Some(member)),
        Line::TargetEpoch => (6, None),
        Line::Target(member) => (7, Some(member)),
        Line::Current(member) => (8, Some(member)),
    };
    let mut out = BytesMut::with_capacity(6 + group.len() + member.map_or(0, |m| m.len()));
    out.put_i16(version);
    put_string(&mut out, group);
    if let Some(member) = member {
        put_string(&mut out, member);
    }
    out.freeze()
}

/// The rest of a key after its version.
pub(super) fn parse_key(version: i16, input: &mut &[u8]) -> Option<(String, Line)> {
    if !matches!(version, 3 | 5..=8) {
        return None;
    }
    let group = get_string(input)?;
    let line = match version {
        3 => Line::Epoch,
        6 => Line::TargetEpoch,
        5 => Line::Member(get_string(input)?.into()),
        7 => Line::Target(get_string(input)?.into()),
        _ => Line::Current(get_string(input)?.into()),
    };
    Some((group, line))
}

// ── values ──

pub fn epoch_value(stored: &StoredEpoch) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    out.put_i16(0);
    out.put_i32(stored.epoch);
    let (hash, since) = (stored.metadata_hash.to_be_bytes(), stored.since_ms.to_be_bytes());
    put_tags(&mut out, &[(TAG_METADATA_HASH, &hash), (TAG_SINCE, &since)]);
    out.freeze()
}

pub fn parse_epoch(value: &[u8]) -> Option<StoredEpoch> {
    let input = &mut version_0(value)?;
    let epoch = input.try_get_i32().ok()?;
    let tags = get_tags(input)?;
    let number = |tag| match tags.get(&tag).copied() {
        Some(mut field) => field.try_get_i64().ok(),
        None => Some(0),
    };
    Some(StoredEpoch { epoch, metadata_hash: number(TAG_METADATA_HASH)?, since_ms: number(TAG_SINCE)? })
}

pub fn target_epoch_value(epoch: i32) -> Bytes {
    let mut out = BytesMut::with_capacity(7);
    out.put_i16(0);
    out.put_i32(epoch);
    put_tags(&mut out, &[]);
    out.freeze()
}

pub fn parse_target_epoch(value: &[u8]) -> Option<i32> {
    version_0(value)?.try_get_i32().ok()
}

pub fn subscription_value(stored: &StoredSubscription) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    out.put_i16(0);
    put_text(&mut out, stored.instance.as_deref());
    put_text(&mut out, stored.rack.as_deref());
    put_text(&mut out, Some(&stored.client_id));
    put_text(&mut out, Some(&stored.client_host));
    put_varint(&mut out, stored.topics.len() as u32 + 1);
    for topic in &stored.topics {
        put_text(&mut out, Some(topic));
    }
    put_text(&mut out, stored.regex.as_deref());
    out.put_i32(millis(stored.rebalance_timeout));
    put_text(&mut out, stored.assignor.as_deref());
    // Kafka takes a missing tag for a member of the classic protocol that said nothing.
    put_tags(&mut out, &[(TAG_CLASSIC, &classic_value(stored.classic.as_ref()))]);
    out.freeze()
}

fn classic_value(classic: Option<&StoredClassic>) -> Bytes {
    let mut out = BytesMut::new();
    let Some(classic) = classic else {
        put_varint(&mut out, 0);
        return out.freeze();
    };
    put_varint(&mut out, 1);
    out.put_i32(millis(classic.session_timeout));
    put_varint(&mut out, classic.protocols.len() as u32 + 1);
    for (name, metadata) in &classic.protocols {
        put_text(&mut out, Some(name));
        put_varint(&mut out, metadata.len() as u32 + 1);
        out.put_slice(metadata);
        put_tags(&mut out, &[]);
    }
    put_tags(&mut out, &[]);
    out.freeze()
}

fn parse_classic(mut field: &[u8]) -> Option<Option<StoredClassic>> {
    let input = &mut field;
    if get_varint(input)? == 0 {
        return Some(None);
    }
    let session_timeout = duration(input.try_get_i32().ok()?);
    let mut protocols = Vec::new();
    for _ in 0..get_varint(input)?.saturating_sub(1) {
        let name = get_text(input)??;
        let length = get_varint(input)?.checked_sub(1)?;
        protocols.push((name, Bytes::copy_from_slice(take(input, length as usize)?)));
        get_tags(input)?;
    }
    Some(Some(StoredClassic { session_timeout, protocols }))
}

pub fn parse_subscription(value: &[u8]) -> Option<StoredSubscription> {
    let input = &mut version_0(value)?;
    let (instance, rack) = (get_text(input)?, get_text(input)?);
    let (client_id, client_host) = (get_text(input)??, get_text(input)??);
    let mut topics = BTreeSet::new();
    for _ in 0..get_varint(input)?.saturating_sub(1) {
        topics.insert(get_text(input)??.into());
    }
    let regex = get_text(input)?;
    let rebalance_timeout = duration(input.try_get_i32().ok()?);
    let assignor = get_text(input)?;
    let classic = match get_tags(input)?.get(&TAG_CLASSIC) {
        Some(field) => parse_classic(field)?,
        None => None,
    };
    Some(StoredSubscription {
        instance,
        rack,
        client_id,
        client_host,
        topics,
        regex,
        rebalance_timeout,
        assignor,
        classic,
    })
}

pub fn target_value(target: &Partitions) -> Bytes {
    let mut out = BytesMut::with_capacity(32 + 4 * target.len());
    out.put_i16(0);
    put_partitions(&mut out, target);
    put_tags(&mut out, &[]);
    out.freeze()
}

pub fn parse_target(value: &[u8]) -> Option<Partitions> {
    get_partitions(&mut version_0(value)?)
}

pub fn current_value(stored: &StoredCurrent) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + 4 * (stored.assigned.len() + stored.revoking.len()));
    out.put_i16(0);
    out.put_i32(stored.epoch);
    out.put_i32(stored.previous_epoch);
    out.put_i8(stored.state);
    put_partitions(&mut out, &stored.assigned);
    put_partitions(&mut out, &stored.revoking);
    put_tags(&mut out, &[]);
    out.freeze()
}

pub fn parse_current(value: &[u8]) -> Option<StoredCurrent> {
    let input = &mut version_0(value)?;
    Some(StoredCurrent {
        epoch: input.try_get_i32().ok()?,
        previous_epoch: input.try_get_i32().ok()?,
        state: input.try_get_i8().ok()?,
        assigned: get_partitions(input)?,
        revoking: get_partitions(input)?,
    })
}

fn version_0(mut value: &[u8]) -> Option<&[u8]> {
    (value.try_get_i16().ok()? == 0).then_some(value)
}

fn put_partitions(out: &mut BytesMut, partitions: &Partitions) {
    let mut topics: Vec<(TopicId, Vec<PartitionId>)> = Vec::new();
    for &(topic, partition) in partitions {
        match topics.last_mut() {
            Some((last, partitions)) if *last == topic => partitions.push(partition),
            _ => topics.push((topic, vec![partition])),
        }
    }
    put_varint(out, topics.len() as u32 + 1);
    for (topic, partitions) in topics {
        out.put_slice(topic.as_bytes());
        put_varint(out, partitions.len() as u32 + 1);
        partitions.into_iter().for_each(|p| out.put_i32(p));
        put_tags(out, &[]);
    }
}

fn get_partitions(input: &mut &[u8]) -> Option<Partitions> {
    let mut partitions = Partitions::new();
    for _ in 0..get_varint(input)?.saturating_sub(1) {
        let topic = TopicId::from_u128(input.try_get_u128().ok()?);
        for _ in 0..get_varint(input)?.saturating_sub(1) {
            partitions.insert((topic, input.try_get_i32().ok()?));
        }
        get_tags(input)?;
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_values_survive_the_round_trip() {
        for line in [
            Line::Epoch,
            Line::TargetEpoch,
            Line::Member("m".into()),
            Line::Target("m".into()),
            Line::Current("m".into()),
        ] {
            let key = super::super::parse_key(&key("g", &line)).expect("a key");
            assert_eq!(key, super::super::Key::Consumer { group: "g".into(), line });
        }
        let epoch = StoredEpoch { epoch: 7, metadata_hash: -3, since_ms: 99 };
        assert_eq!(parse_epoch(&epoch_value(&epoch)), Some(epoch));
        assert_eq!(parse_target_epoch(&target_epoch_value(300)), Some(300));
        let subscription = StoredSubscription {
            instance: Some("i".into()),
            client_id: "c".repeat(200),
            topics: ["a".into(), "b".into()].into(),
            regex: Some("x.*".into()),
            rebalance_timeout: Duration::from_secs(300),
            ..StoredSubscription::default()
        };
        assert_eq!(parse_subscription(&subscription_value(&subscription)), Some(subscription.clone()));
        let protocols = vec![("range".into(), Bytes::from_static(b"\0\x01")), ("sticky".into(), Bytes::new())];
        let classic = Some(StoredClassic { session_timeout: Duration::from_secs(10), protocols });
        let subscription = StoredSubscription { classic, ..subscription };
        assert_eq!(parse_subscription(&subscription_value(&subscription)), Some(subscription));
        let (a, b) = (TopicId::from_u128(1), TopicId::from_u128(2));
        let current = StoredCurrent {
            epoch: 5,
            previous_epoch: 4,
            state: 1,
            assigned: [(a, 0), (a, 200), (b, 1)].into(),
            revoking: [(b, 0)].into(),
        };
        assert_eq!(parse_current(&current_value(&current)), Some(current.clone()));
        assert_eq!(parse_target(&target_value(&current.assigned)), Some(current.assigned));
    }

    #[test]
    fn bytes_in_kafkas_layout_are_understood() {
        // Laid out by hand after the schemas: epoch 4 with a metadata hash; a member that is stable at epoch 2 with one partition.
        let value = [0, 0, 0, 0, 0, 4, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(parse_epoch(&value), Some(StoredEpoch { epoch: 4, metadata_hash: 9, since_ms: 0 }));
        let topic = TopicId::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let mut value = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2];
        value.extend_from_slice(topic.as_bytes());
        value.extend_from_slice(&[2, 0, 0, 0, 3, 0, 1, 0]);
        let current =
            StoredCurrent { epoch: 2, previous_epoch: 1, assigned: [(topic, 3)].into(), ..StoredCurrent::default() };
        assert_eq!(parse_current(&value), Some(current));
        // A member of the classic protocol: a host, a session of 2 ms and the protocol `r`; then one of the other.
        let classic = b"\0\0\0\0\x01\x02h\x01\0\0\0\0\x01\0\x01\0\x0b\x01\0\0\0\x02\x02\x02r\x01\0\0";
        let read = parse_subscription(classic).expect("a member").classic.expect("of the classic protocol");
        assert_eq!(
            (read.session_timeout, read.protocols),
            (Duration::from_millis(2), vec![("r".into(), Bytes::new())])
        );
        let other = b"\0\0\0\0\x01\x02h\x01\0\0\0\0\x01\0\x01\0\x01\0";
        assert_eq!(parse_subscription(other).expect("a member").classic, None);
        assert_eq!(subscription_value(&parse_subscription(other).expect("a member"))[..], other[..]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_epoch(&bytes), parse_subscription(&bytes), parse_target(&bytes), parse_current(&bytes));
            bytes.splice(0..bytes.len().min(2), [0, 0]);
            let _ = (parse_epoch(&bytes), parse_subscription(&bytes), parse_target(&bytes), parse_current(&bytes));
            let _ = super::super::parse_key(&bytes);
        }
    }
}
