//! Lines of the log that clients can cause as often as they like.

use std::time::Duration;

use parking_lot::Mutex;

/// Lines a minute.
const LINES_MAX: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// One kind of lines.
#[derive(Default)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the minute began, by the monotonic clock; `None`: nothing was ever told.
    since: Option<Duration>,
    told: u32,
    left_out: u64,
}

impl Seldom {
    /// Whether to write the line, and how many were left out since the last.
    pub(crate) fn tell(&self, now: Duration) -> Option<u64> {
        let mut state = self.0.lock();
        if state.since.is_none_or(|since| now.saturating_sub(since) >= MINUTE) {
            (state.since, state.told) = (Some(now), 0);
        }
        if state.told == LINES_MAX {
            state.left_out += 1;
            return None;
        }
        state.told += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_lines_a_minute_and_the_next_says_how_many_there_were_not() {
        let seldom = Seldom::default();
        let told = |at: u64| (0..100).filter_map(|_| seldom.tell(Duration::from_secs(at))).collect::<Vec<_>>();
        assert_eq!(told(7), [0; 10]);
        assert!(told(66).is_empty());
        let mut next = [0; 10];
        next[0] = 190;
        assert_eq!(told(67), next);
    }
}
