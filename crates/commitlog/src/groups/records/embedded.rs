//! What consumers of the classic protocol tell each other through the coordinator, which understands it only to take their
//! group over to the consumer protocol and back (KIP-848, "Online migration"). Kafka's `ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment`, versions 0 to 3; later ones only append fields.
//!
//! ```text
//! subscription  int16 version, topics: array of string, user data: bytes or null,
//!               1: owned: array of { topic: string, partitions: array of int32 }, 2: generation int32, 3: rack: string or null
//! assignment    int16 version, array of { topic: string, partitions: array of int32 }, user data: bytes or null
//! ```
//! Lengths as in the parent module.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::PartitionId;

use super::{get_bytes, get_nullable, get_string, put_string};

/// Newest version that is written.
const VERSION_MAX: i16 = 3;

/// Partitions by the names of their topics, in order.
pub type Named = Vec<(Arc<str>, PartitionId)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    pub version: i16,
    pub topics: Vec<Arc<str>>,
    /// What a cooperative member holds while it joins; empty for others.
    pub owned: Named,
    pub rack: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    pub partitions: Named,
    /// The leader's assignor told members something only it understands.
    pub has_user_data: bool,
}

/// `None`: the bytes are something else.
pub fn parse_subscription(mut metadata: &[u8]) -> Option<Subscription> {
    let input = &mut metadata;
    let version = input.try_get_i16().ok().filter(|version| *version >= 0)?;
    let mut topics = Vec::new();
    for _ in 0..input.try_get_i32().ok()? {
        topics.push(get_string(input)?.into());
    }
    get_bytes(input)?;
    let owned = if version >= 1 { get_partitions(input)? } else { Named::new() };
    let mut rack = None;
    if version >= 2 {
        input.try_get_i32().ok()?;
    }
    if version >= 3 {
        rack = get_nullable(input)?;
    }
    Some(Subscription { version, topics, owned, rack })
}

/// `None`: the bytes are something else. No bytes at all are an empty assignment.
pub fn parse_assignment(mut assignment: &[u8]) -> Option<Assignment> {
    let input = &mut assignment;
    if input.is_empty() {
        return Some(Assignment::default());
    }
    input.try_get_i16().ok().filter(|version| *version >= 0)?;
    let partitions = get_partitions(input)?;
    let has_user_data = !get_bytes(input)?.is_empty();
    Some(Assignment { partitions, has_user_data })
}

/// `version`: of the member's subscription.
pub fn assignment(version: i16, partitions: &BTreeMap<&str, Vec<PartitionId>>) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_i16(version.clamp(0, VERSION_MAX));
    out.put_i32(partitions.len() as i32);
    for (topic, partitions) in partitions {
        put_string(&mut out, topic);
        out.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|partition| out.put_i32(*partition));
    }
    out.put_i32(-1);
    out.freeze()
}

fn get_partitions(input: &mut &[u8]) -> Option<Named> {
    let mut partitions = Named::new();
    for _ in 0..input.try_get_i32().ok()? {
        let topic: Arc<str> = get_string(input)?.into();
        for _ in 0..input.try_get_i32().ok()? {
            partitions.push((topic.clone(), input.try_get_i32().ok()?));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_write_is_understood() {
        // As Java writes it: version 3, topic `t`, no user data, owned t-1 and t-2, generation 7, rack `r`.
        let java =
            b"\0\x03\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x07\0\x01r";
        let read = parse_subscription(java).expect("a subscription");
        assert_eq!((read.version, &read.topics[..], read.rack.as_deref()), (3, &["t".into()][..], Some("r")));
        assert_eq!(read.owned, [("t".into(), 1), ("t".into(), 2)]);
        let old = parse_subscription(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02xy").expect("a subscription");
        assert_eq!((old.version, &old.topics[..], old.owned.len()), (0, &["t".into()][..], 0));
        assert_eq!(parse_assignment(b""), Some(Assignment::default()));
        let custom = parse_assignment(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x05\0\0\0\x01x").expect("an assignment");
        assert_eq!(custom, Assignment { partitions: vec![("t".into(), 5)], has_user_data: true });
    }

    proptest! {
        #[test]
        fn assignments_survive_the_round_trip(
            version in 0i16..9,
            partitions in proptest::collection::btree_map("[a-z]{1,5}", proptest::collection::vec(0i32..100, 1..5), 0..5),
        ) {
            let written = assignment(version, &partitions.iter().map(|(topic, p)| (topic.as_str(), p.clone())).collect());
            let read = parse_assignment(&written).expect("an assignment");
            let named = partitions.iter().flat_map(|(t, of)| of.iter().map(|p| (Arc::from(t.as_str()), *p)));
            prop_assert_eq!(read, Assignment { partitions: named.collect(), has_user_data: false });
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_subscription(&bytes), parse_assignment(&bytes));
        }
    }
}
