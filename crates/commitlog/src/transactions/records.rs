//! What the transactions' topic holds: Kafka's own formats (`TransactionLogKey.json`, `TransactionLogValue.json`).
//!
//! ```text
//! key    int16 version 0, transactional id: string
//! value  null: forgotten
//!        int16 version 1, producer id int64, epoch int16, timeout in ms int32, state int8, partitions, changed int64, begun int64,
//!        tags
//!        state       0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort
//!        partitions  array or null of { topic: string, array of partition: int32, tags }
//!        tags        0: the producer id before this one, whose epochs are used up; 1: the one after it
//! ```
//! A key's string has an int16 length. In values lengths are compact (varint of length + 1, 0 is null), and tags are a varint
//! count of { varint tag, varint size, bytes }. Values of version 0, with lengths of int16 and int32 and no tags, are read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{TopicName, TopicPartition};

use super::{
    core::{EPOCH_MAX, State, Transaction},
    types::Identity,
};
use crate::{
    compact::{get_tags, get_varint, put_tags, put_text, put_varint, take},
    record::Marker,
};

const KEY_VERSION: i16 = 0;
/// Version 0 has neither compact lengths nor tags.
const VALUE_VERSION: i16 = 1;
const TAG_BEFORE: u32 = 0;
const TAG_NEXT: u32 = 1;

/// `id` is not longer than a string of the protocol can be.
pub fn key(id: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + id.len());
    out.put_i16(KEY_VERSION);
    out.put_i16(id.len() as i16);
    out.put_slice(id.as_bytes());
    out.freeze()
}

/// `None`: a key of a version we do not know.
pub fn parse_key(mut key: &[u8]) -> Option<String> {
    let input = &mut key;
    (input.try_get_i16().ok()? == KEY_VERSION).then(|| get_string(input, false))?
}

pub fn value(transaction: &Transaction) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(VALUE_VERSION);
    out.put_i64(transaction.identity.producer);
    out.put_i16(transaction.identity.epoch);
    out.put_i32(transaction.timeout_ms);
    out.put_i8(match transaction.state {
        State::Empty => 0,
        State::Ongoing => 1,
        State::Prepared(Marker::Commit) => 2,
        State::Prepared(Marker::Abort) => 3,
        State::Complete(Marker::Commit) => 4,
        State::Complete(Marker::Abort) => 5,
    });
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &transaction.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    put_varint(&mut out, topics.len() as u32 + 1);
    for (topic, partitions) in topics {
        put_text(&mut out, Some(topic));
        put_varint(&mut out, partitions.len() as u32 + 1);
        partitions.iter().for_each(|partition| out.put_i32(*partition));
        put_tags(&mut out, &[]);
    }
    out.put_i64(transaction.updated_ms);
    out.put_i64(transaction.started_ms);
    let before = transaction.before.map(|before| before.producer).filter(|id| *id != transaction.identity.producer);
    let ids = [(TAG_BEFORE, before), (TAG_NEXT, transaction.next)];
    let ids: Vec<_> = ids.into_iter().filter_map(|(tag, id)| Some((tag, id?.to_be_bytes()))).collect();
    put_tags(&mut out, &ids.iter().map(|(tag, id)| (*tag, &id[..])).collect::<Vec<_>>());
    out.freeze()
}

/// `None`: not a value of a version we know.
pub fn parse_value(mut value: &[u8]) -> Option<Transaction> {
    let input = &mut value;
    let is_compact = match input.try_get_i16().ok()? {
        0 => false,
        VALUE_VERSION => true,
        _ => return None,
    };
    let identity = Identity { producer: input.try_get_i64().ok()?, epoch: input.try_get_i16().ok()? };
    let timeout_ms = input.try_get_i32().ok()?;
    let state = match input.try_get_i8().ok()? {
        0 => State::Empty,
        1 => State::Ongoing,
        2 => State::Prepared(Marker::Commit),
        3 => State::Prepared(Marker::Abort),
        4 => State::Complete(Marker::Commit),
        5 => State::Complete(Marker::Abort),
        _ => return None,
    };
    let mut partitions = BTreeSet::new();
    for _ in 0..get_length(input, is_compact, 4)?.unwrap_or(0) {
        let topic = TopicName::new(&get_string(input, is_compact)?).ok()?;
        for _ in 0..get_length(input, is_compact, 4)?? {
            partitions.insert(TopicPartition::new(topic.clone(), input.try_get_i32().ok()?));
        }
        if is_compact {
            get_tags(input)?;
        }
    }
    let (updated_ms, started_ms) = (input.try_get_i64().ok()?, input.try_get_i64().ok()?);
    let tags = if is_compact { get_tags(input)? } else { BTreeMap::new() };
    let id = |tag| tags.get(&tag).copied().and_then(|mut bytes: &[u8]| bytes.try_get_i64().ok()).filter(|id| *id >= 0);
    let before = id(TAG_BEFORE).map(|producer| Identity { producer, epoch: EPOCH_MAX });
    Some(Transaction { identity, before, next: id(TAG_NEXT), timeout_ms, state, partitions, started_ms, updated_ms })
}

/// The length of an array or, with `bytes` 2, a string; `Some(None)` is null.
fn get_length(input: &mut &[u8], is_compact: bool, bytes: usize) -> Option<Option<usize>> {
    Some(match is_compact {
        true => get_varint(input)?.checked_sub(1).map(|length| length as usize),
        false => usize::try_from(input.try_get_int(bytes).ok()?).ok(),
    })
}

fn get_string(input: &mut &[u8], is_compact: bool) -> Option<String> {
    let length = get_length(input, is_compact, 2)??;
    String::from_utf8(take(input, length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_values_survive_the_round_trip() {
        assert_eq!(parse_key(&key("büro")).as_deref(), Some("büro"));
        let at = |topic, partition| TopicPartition::new(TopicName::new(topic).expect("legal"), partition);
        let states = [Marker::Commit, Marker::Abort].map(|marker| [State::Prepared(marker), State::Complete(marker)]);
        for state in [State::Empty, State::Ongoing].into_iter().chain(states.into_iter().flatten()) {
            let transaction = Transaction {
                identity: Identity { producer: 7, epoch: 3 },
                before: None,
                next: None,
                timeout_ms: 60_000,
                state,
                partitions: [at("a", 0), at("a", 5), at("b", 1)].into(),
                started_ms: 12,
                updated_ms: 34,
            };
            assert_eq!(parse_value(&value(&transaction)), Some(transaction.clone()));
            let rotating = Transaction { next: Some(8), ..transaction.clone() };
            assert_eq!(parse_value(&value(&rotating)), Some(rotating));
            let before = Some(Identity { producer: 6, epoch: EPOCH_MAX });
            let rotated = Transaction { before, ..transaction };
            assert_eq!(parse_value(&value(&rotated)), Some(rotated));
        }
    }

    /// As the first version of this program wrote it.
    #[test]
    fn values_of_version_0_are_read() {
        let mut old = BytesMut::new();
        old.put_i16(0);
        old.put_i64(7);
        old.put_i16(3);
        old.put_i32(60_000);
        old.put_i8(1);
        old.put_i32(1);
        old.put_slice(b"\0\x01t");
        old.put_i32(2);
        old.put_i32(0);
        old.put_i32(5);
        old.put_i64(34);
        old.put_i64(12);
        let read = parse_value(&old).expect("a value");
        assert_eq!((read.identity, read.state), (Identity { producer: 7, epoch: 3 }, State::Ongoing));
        assert_eq!(read.partitions.iter().map(|at| at.partition).collect::<Vec<_>>(), [0, 5]);
        assert_eq!((read.updated_ms, read.started_ms), (34, 12));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_key(&bytes), parse_value(&bytes));
        }
    }
}
