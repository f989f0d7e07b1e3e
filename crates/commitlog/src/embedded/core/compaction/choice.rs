//! Whether a partition is worth compacting, and which of its segments become one (Kafka's `LogCleanerManager.java`,
//! `Cleaner.groupSegmentsBySize`).

use model::{Offset, TimestampMs};

/// A segment, as far as the choice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) base: Offset,
    /// Where the next one begins.
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    /// The largest time of its records, or when it was begun.
    pub(crate) newest_ms: TimestampMs,
    /// The time of its first batch, or when it was begun.
    pub(crate) oldest_ms: TimestampMs,
}

/// What holds for a partition now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) now: TimestampMs,
    /// Everything before it has been compacted.
    pub(crate) cleaned_to: Offset,
    /// Nothing at or beyond it may be touched: it is not stable, or somebody still wants it.
    pub(crate) bound: Offset,
    pub(crate) lag_ms_min: i64,
    pub(crate) lag_ms_max: i64,
    pub(crate) dirty_ratio_min: f64,
    /// When the first tombstone or marker may go.
    pub(crate) next_horizon: Option<TimestampMs>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    /// How many segments from the first one on may be compacted.
    pub(crate) count: usize,
    /// New bytes among them, as a part of all their bytes: 0 to 1.
    pub(crate) dirty_ratio: f64,
    pub(crate) is_due: bool,
}

/// Looks at the sealed segments of a partition, oldest first.
pub(crate) fn choose(segments: &[Candidate], rules: &Rules) -> Choice {
    let youngest = rules.now.saturating_sub(rules.lag_ms_min);
    let may_be_touched = |segment: &&Candidate| {
        let is_old_enough = rules.lag_ms_min == 0 || segment.newest_ms <= youngest;
        segment.end <= rules.bound && (segment.end <= rules.cleaned_to || is_old_enough)
    };
    let count = segments.iter().take_while(may_be_touched).count();
    let (mut clean, mut dirty, mut oldest) = (0, 0, TimestampMs::MAX);
    for segment in &segments[..count] {
        if segment.end <= rules.cleaned_to {
            clean += segment.bytes;
        } else {
            dirty += segment.bytes;
            oldest = oldest.min(segment.oldest_ms);
        }
    }
    let dirty_ratio = if dirty == 0 { 0.0 } else { dirty as f64 / (clean + dirty) as f64 };
    let is_late = rules.now.saturating_sub(oldest) > rules.lag_ms_max;
    let is_due = dirty > 0 && (dirty_ratio >= rules.dirty_ratio_min || is_late)
        || clean > 0 && rules.next_horizon.is_some_and(|at| at <= rules.now);
    Choice { count, dirty_ratio, is_due }
}

/// Whether a segment goes into the same file as what is left of those before it, which begin at `base` and have `bytes`: if it
/// fits by what it holds now. So the number of segments stays bounded.
pub(crate) fn joins(base: Offset, bytes: u64, next: &Candidate, bytes_max: u64) -> bool {
    bytes + next.bytes <= bytes_max && next.end - base <= i64::from(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(bytes: &[u64]) -> Vec<Candidate> {
        let at = |at: usize| at as i64 * 10;
        let one = |(n, bytes): (usize, &u64)| Candidate {
            base: at(n),
            end: at(n + 1),
            bytes: *bytes,
            newest_ms: at(n + 1),
            oldest_ms: at(n),
        };
        bytes.iter().enumerate().map(one).collect()
    }

    const RULES: Rules = Rules {
        now: 100,
        cleaned_to: 0,
        bound: 1000,
        lag_ms_min: 0,
        lag_ms_max: i64::MAX,
        dirty_ratio_min: 0.5,
        next_horizon: None,
    };

    #[test]
    fn what_is_bound_or_young_is_not_touched() {
        let segments = segments(&[100, 100, 100]);
        assert_eq!(choose(&segments, &RULES), Choice { count: 3, dirty_ratio: 1.0, is_due: true });
        assert_eq!(choose(&segments, &Rules { bound: 29, ..RULES }).count, 2, "the third ends beyond");
        assert_eq!(choose(&segments, &Rules { lag_ms_min: 75, ..RULES }).count, 2, "the third is younger than 25");
        let young = Rules { lag_ms_min: 75, cleaned_to: 30, ..RULES };
        assert_eq!(choose(&segments, &young).count, 3, "what has been compacted is not young");
        assert_eq!(choose(&[], &RULES), Choice { count: 0, dirty_ratio: 0.0, is_due: false });
    }

    #[test]
    fn it_is_due_when_enough_is_new_or_something_is_old_or_a_horizon_has_passed() {
        let segments = segments(&[100, 100, 100, 100]);
        let due = |rules: Rules| choose(&segments, &rules).is_due;
        assert!(due(Rules { cleaned_to: 20, ..RULES }));
        assert!(!due(Rules { cleaned_to: 30, ..RULES }), "a quarter is new");
        assert!(due(Rules { cleaned_to: 30, dirty_ratio_min: 0.25, ..RULES }));
        assert!(due(Rules { cleaned_to: 30, lag_ms_max: 69, ..RULES }), "it is 70 old");
        assert!(!due(Rules { cleaned_to: 30, lag_ms_max: 70, ..RULES }));
        assert!(!due(Rules { cleaned_to: 40, dirty_ratio_min: 0.0, lag_ms_max: 1, ..RULES }), "nothing is new");
        assert!(due(Rules { cleaned_to: 40, next_horizon: Some(100), ..RULES }));
        assert!(!due(Rules { cleaned_to: 40, next_horizon: Some(101), ..RULES }));
    }

    #[test]
    fn small_segments_become_one() {
        let next = segments(&[40])[0];
        assert!(joins(0, 60, &next, 100) && !joins(0, 61, &next, 100));
        let far = Candidate { end: 1 << 31, ..next };
        assert!(!joins(0, 0, &far, 100) && joins(1, 0, &far, 100), "offsets in a file are 32 bits from its first");
    }
}
