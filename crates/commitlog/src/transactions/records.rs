//! What the transactions' topic holds: Kafka's own formats (`TransactionLogKey.json`, `TransactionLogValue.json`).
//!
//! ```text
//! key    int16 version 0, transactional id: string
//! value  null: forgotten
//!        int16 version 0, producer id int64, epoch int16, timeout in ms int32, state int8, partitions, changed int64, begun int64
//!        state       0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort
//!        partitions  array or null of { topic: string, array of partition: int32 }
//! ```
//! Strings have an int16 length, arrays an int32; −1 is null.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{TopicName, TopicPartition};

use super::{
    core::{State, Transaction},
    types::Identity,
};
use crate::record::Marker;

const VERSION: i16 = 0;

/// `id` is not longer than a string of the protocol can be.
pub fn key(id: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(4 + id.len());
    out.put_i16(VERSION);
    put_string(&mut out, id);
    out.freeze()
}

/// `None`: a key of a version we do not know.
pub fn parse_key(mut key: &[u8]) -> Option<String> {
    let input = &mut key;
    (input.try_get_i16().ok()? == VERSION).then(|| get_string(input))?
}

pub fn value(transaction: &Transaction) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(VERSION);
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
    out.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        put_string(&mut out, topic);
        out.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|partition| out.put_i32(*partition));
    }
    out.put_i64(transaction.updated_ms);
    out.put_i64(transaction.started_ms);
    out.freeze()
}

/// `None`: not a value of this version.
pub fn parse_value(mut value: &[u8]) -> Option<Transaction> {
    let input = &mut value;
    if input.try_get_i16().ok()? != VERSION {
        return None;
    }
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
    for _ in 0..input.try_get_i32().ok()? {
        let topic = TopicName::new(&get_string(input)?).ok()?;
        for _ in 0..input.try_get_i32().ok()? {
            partitions.insert(TopicPartition::new(topic.clone(), input.try_get_i32().ok()?));
        }
    }
    let (updated_ms, started_ms) = (input.try_get_i64().ok()?, input.try_get_i64().ok()?);
    Some(Transaction { identity, before: None, timeout_ms, state, partitions, started_ms, updated_ms })
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn get_string(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(input.try_get_i16().ok()?).ok()?;
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
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
                timeout_ms: 60_000,
                state,
                partitions: [at("a", 0), at("a", 5), at("b", 1)].into(),
                started_ms: 12,
                updated_ms: 34,
            };
            assert_eq!(parse_value(&value(&transaction)), Some(transaction));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_key(&bytes), parse_value(&bytes));
        }
    }
}
