//! What compaction promises, as a check that tests, the simulator and tools share.
//!
//! LOG-6: *compaction keeps the last value per key.* Who reads the committed records of a partition from anywhere on learns of
//! each key the same last value, whether it has been compacted in between or not; no record moves, changes or appears.

use std::collections::{BTreeMap, HashMap};

use model::Offset;

/// A committed record, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: Offset,
    pub key: Vec<u8>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
}

/// LOG-6 for what a reader from the start of a partition saw `before` and `after`. Whatever was appended in between is in neither.
pub fn keeps_the_last_value_per_key(before: &[Seen], after: &[Seen]) -> Result<(), String> {
    let there: BTreeMap<Offset, &Seen> = before.iter().map(|seen| (seen.offset, seen)).collect();
    let mut last_offset = -1;
    for seen in after {
        if seen.offset <= last_offset {
            return Err(format!("LOG-6: offset {} follows {last_offset}", seen.offset));
        }
        last_offset = seen.offset;
        match there.get(&seen.offset) {
            Some(was) if *was == seen => {}
            Some(was) => return Err(format!("LOG-6: {was:?} became {seen:?}")),
            None => return Err(format!("LOG-6: {seen:?} was not there")),
        }
    }
    let last_of = |records: &[Seen]| -> HashMap<Vec<u8>, Seen> {
        records.iter().map(|seen| (seen.key.clone(), seen.clone())).collect()
    };
    let left = last_of(after);
    for (key, last) in last_of(before) {
        match left.get(&key) {
            Some(found) if *found == last => {}
            // A tombstone goes after all that it ends.
            None if last.value.is_none() => {}
            found => return Err(format!("LOG-6: the last of its key was {last:?}, now it is {found:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(offset: Offset, key: &str, value: Option<&str>) -> Seen {
        Seen { offset, key: key.into(), value: value.map(Into::into) }
    }

    #[test]
    fn the_check_can_fail() {
        let a = |offset| seen(offset, "a", Some("1"));
        let before = [a(0), seen(1, "b", Some("2")), a(2), seen(3, "b", None)];
        let check = |after: &[Seen]| keeps_the_last_value_per_key(&before, after);
        check(&before).expect("nothing happened");
        check(&[a(2), seen(3, "b", None)]).expect("compacted");
        check(&[a(2)]).expect("the tombstone is gone, and all that it ended");
        for (what, after) in [
            ("a key is lost", vec![seen(3, "b", None)]),
            ("an older value is left", vec![a(0)]),
            ("what was deleted is back", vec![seen(1, "b", Some("2")), a(2)]),
            ("a record moved", vec![a(1), a(2)]),
            ("a value changed", vec![seen(2, "a", Some("3"))]),
            ("something new", vec![a(2), seen(9, "c", None)]),
            ("out of order", vec![seen(3, "b", None), a(2)]),
        ] {
            check(&after).expect_err(what);
        }
    }
}
