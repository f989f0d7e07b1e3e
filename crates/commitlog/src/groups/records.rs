//! What the offsets topic holds: Kafka's own key and value formats (`OffsetCommitKey`, `GroupMetadataKey`, …), so that its
//! tools read the topic.
//!
//! ```text
//! key    int16 version  0, 1: an offset   group, topic: string, partition: int32
//!                       2:    a group     group: string
//!                       3, 5–8: a group of the consumer protocol, see [`consumer`]
//! value  null: gone
//!   of an offset   int16 version 3: offset int64, leader epoch int32, metadata string, commit time int64
//!                  (read: 0–3; 0–2 lack the epoch, 1 has an expiry at the end)
//!   of a group     int16 version 3: protocol type string, generation int32, protocol, leader: string or null,
//!                  time of the state int64, members: array of
//!                  { member id string, instance id string or null, client id, client host string,
//!                    rebalance timeout, session timeout int32, metadata, assignment bytes }
//! ```
//! Strings have an int16 length, bytes and arrays an int32; −1 is null.

pub mod consumer;
pub mod embedded;

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::PartitionId;

use super::types::CommittedOffset;

/// A decoded key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Offset { group: String, topic: String, partition: PartitionId },
    Group { group: String },
    Consumer { group: String, line: consumer::Line },
}

/// A group as it is stored when a generation is complete, or when its last member left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredGroup {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    pub state_since_ms: i64,
    pub members: Vec<StoredMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredMember {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout: Duration,
    pub session_timeout: Duration,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

pub fn offset_key(group: &str, topic: &str, partition: PartitionId) -> Bytes {
    let mut out = BytesMut::with_capacity(10 + group.len() + topic.len());
    out.put_i16(1);
    put_string(&mut out, group);
    put_string(&mut out, topic);
    out.put_i32(partition);
    out.freeze()
}

pub fn group_key(group: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + group.len());
    out.put_i16(2);
    put_string(&mut out, group);
    out.freeze()
}

pub fn offset_value(offset: &CommittedOffset) -> Bytes {
    let mut out = BytesMut::with_capacity(24 + offset.metadata.len());
    out.put_i16(3);
    out.put_i64(offset.offset);
    out.put_i32(offset.leader_epoch);
    put_string(&mut out, &offset.metadata);
    out.put_i64(offset.committed_ms);
    out.freeze()
}

pub fn group_value(group: &StoredGroup) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(3);
    put_string(&mut out, &group.protocol_type);
    out.put_i32(group.generation);
    put_nullable(&mut out, group.protocol.as_deref());
    put_nullable(&mut out, group.leader.as_deref());
    out.put_i64(group.state_since_ms);
    out.put_i32(group.members.len() as i32);
    for member in &group.members {
        put_string(&mut out, &member.member);
        put_nullable(&mut out, member.instance.as_deref());
        put_string(&mut out, &member.client_id);
        put_string(&mut out, &member.client_host);
        out.put_i32(millis(member.rebalance_timeout));
        out.put_i32(millis(member.session_timeout));
        put_bytes(&mut out, &member.metadata);
        put_bytes(&mut out, &member.assignment);
    }
    out.freeze()
}

/// `None`: a key of a version or kind we do not know, which is skipped.
pub fn parse_key(mut key: &[u8]) -> Option<Key> {
    let input = &mut key;
    match input.try_get_i16().ok()? {
        0 | 1 => Some(Key::Offset {
            group: get_string(input)?,
            topic: get_string(input)?,
            partition: input.try_get_i32().ok()?,
        }),
        2 => Some(Key::Group { group: get_string(input)? }),
        version => {
            let (group, line) = consumer::parse_key(version, input)?;
            Some(Key::Consumer { group, line })
        }
    }
}

pub fn parse_offset(mut value: &[u8]) -> Option<CommittedOffset> {
    let input = &mut value;
    let version = input.try_get_i16().ok()?;
    if !(0..=3).contains(&version) {
        return None;
    }
    Some(CommittedOffset {
        offset: input.try_get_i64().ok()?,
        leader_epoch: if version >= 3 { input.try_get_i32().ok()? } else { -1 },
        metadata: get_string(input)?,
        committed_ms: input.try_get_i64().ok()?,
    })
}

pub fn parse_group(mut value: &[u8]) -> Option<StoredGroup> {
    let input = &mut value;
    let version = input.try_get_i16().ok()?;
    if !(0..=3).contains(&version) {
        return None;
    }
    let mut group = StoredGroup {
        protocol_type: get_string(input)?,
        generation: input.try_get_i32().ok()?,
        protocol: get_nullable(input)?,
        leader: get_nullable(input)?,
        state_since_ms: if version >= 2 { input.try_get_i64().ok()? } else { -1 },
        members: Vec::new(),
    };
    for _ in 0..input.try_get_i32().ok()? {
        let member = get_string(input)?;
        let instance = if version >= 3 { get_nullable(input)? } else { None };
        let (client_id, client_host) = (get_string(input)?, get_string(input)?);
        let rebalance = if version >= 1 { Some(duration(input.try_get_i32().ok()?)) } else { None };
        let session_timeout = duration(input.try_get_i32().ok()?);
        group.members.push(StoredMember {
            member,
            instance,
            client_id,
            client_host,
            rebalance_timeout: rebalance.unwrap_or(session_timeout),
            session_timeout,
            metadata: get_bytes(input)?,
            assignment: get_bytes(input)?,
        });
    }
    Some(group)
}

/// Topics a member of type `consumer` subscribed to (`ConsumerProtocolSubscription`); `None` if the bytes are something else.
pub fn subscribed_topics(mut metadata: &[u8]) -> Option<Vec<Arc<str>>> {
    let input = &mut metadata;
    if input.try_get_i16().ok()? < 0 {
        return None;
    }
    let mut topics = Vec::new();
    for _ in 0..input.try_get_i32().ok()? {
        topics.push(get_string(input)?.into());
    }
    Some(topics)
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

fn duration(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn put_string(out: &mut BytesMut, text: &str) {
    // Texts come from requests whose own lengths are int16 or that were checked; longer ones are cut at a character.
    let mut end = text.len().min(i16::MAX as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_i16(end as i16);
    out.put_slice(&text.as_bytes()[..end]);
}

fn put_nullable(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn get_string(input: &mut &[u8]) -> Option<String> {
    get_nullable(input)?
}

fn get_nullable(input: &mut &[u8]) -> Option<Option<String>> {
    let length = input.try_get_i16().ok()?;
    if length < 0 {
        return Some(None);
    }
    let (text, rest) = input.split_at_checked(length as usize)?;
    *input = rest;
    Some(Some(String::from_utf8(text.to_vec()).ok()?))
}

fn get_bytes(input: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(input.try_get_i32().ok()?).unwrap_or(0);
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_values_survive_the_round_trip() {
        let key = Key::Offset { group: "g".into(), topic: "t".into(), partition: 7 };
        assert_eq!(parse_key(&offset_key("g", "t", 7)), Some(key));
        assert_eq!(parse_key(&group_key("g")), Some(Key::Group { group: "g".into() }));
        let offset = CommittedOffset { offset: 5, leader_epoch: 2, metadata: "büro".into(), committed_ms: 99 };
        assert_eq!(parse_offset(&offset_value(&offset)), Some(offset));
        let group = StoredGroup {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            leader: None,
            state_since_ms: 12,
            members: vec![StoredMember {
                member: "m".into(),
                instance: Some("i".into()),
                session_timeout: Duration::from_secs(10),
                assignment: Bytes::from_static(b"a"),
                ..StoredMember::default()
            }],
        };
        assert_eq!(parse_group(&group_value(&group)), Some(group));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_key(&bytes), parse_offset(&bytes), parse_group(&bytes), subscribed_topics(&bytes));
        }
    }
}
