//! How much was used, and how long to wait for more. Times are since any fixed moment.

use std::{collections::VecDeque, time::Duration};

/// Kafka's `quota.window.size.seconds` and `quota.window.num`.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS: u32 = 11;
/// Longest wait, should somebody use a thousand times what is allowed at once.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What was used lately, by window: the running one and ten before it (Kafka's `Rate.java` over `SampledStat.java`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    /// Starts and amounts.
    windows: VecDeque<(Duration, f64)>,
}

impl Rate {
    pub(crate) fn record(&mut self, now: Duration, amount: f64) {
        self.expire(now);
        match self.windows.back_mut() {
            Some((start, used)) if now < *start + WINDOW => *used += amount,
            _ => self.windows.push_back((now, amount)),
        }
    }

    /// How long until no more than `limit` a second was used. The average is over ten windows even if the first began a
    /// moment ago, so that a short burst is not slowed down.
    pub(crate) fn excess(&mut self, now: Duration, limit: f64) -> Duration {
        self.expire(now);
        let Some(&(oldest, _)) = self.windows.front() else { return Duration::ZERO };
        let used: f64 = self.windows.iter().map(|(_, used)| used).sum();
        let over = (WINDOWS - 1) * WINDOW;
        let over = over.max(now.saturating_sub(oldest));
        let rate = used / over.as_secs_f64();
        if rate <= limit {
            return Duration::ZERO;
        }
        // After this time the same use is `limit` a second.
        Duration::try_from_secs_f64(used / limit - over.as_secs_f64()).unwrap_or(WAIT_MAX).min(WAIT_MAX)
    }

    pub(crate) fn is_idle(&mut self, now: Duration) -> bool {
        self.expire(now);
        self.windows.is_empty()
    }

    fn expire(&mut self, now: Duration) {
        while self.windows.front().is_some_and(|(start, _)| now >= *start + WINDOWS * WINDOW) {
            self.windows.pop_front();
        }
    }
}

/// Most that can be used at once under `limit` a second.
pub(crate) fn burst(limit: f64) -> f64 {
    limit * f64::from(WINDOWS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn within_the_limit_nobody_waits() {
        let mut rate = Rate::default();
        for step in 0..100 {
            rate.record(ms(step * 100), 100.0);
            assert_eq!(rate.excess(ms(step * 100), 1000.0), Duration::ZERO, "{step}");
        }
    }

    #[test]
    fn a_burst_is_allowed_and_what_is_beyond_it_is_waited_for() {
        let mut rate = Rate::default();
        rate.record(ms(0), burst(1000.0));
        assert_eq!(rate.excess(ms(0), 1000.0), Duration::ZERO);
        rate.record(ms(10), 2000.0);
        assert_eq!(rate.excess(ms(10), 1000.0), ms(2000));
    }

    /// What matters: whoever waits as told gets the limit, over any longer time.
    #[test]
    fn whoever_waits_as_told_gets_what_the_limit_says() {
        for (limit, piece) in [(1000.0, 700.0), (1000.0, 5000.0), (50_000.0, 16_384.0)] {
            let mut rate = Rate::default();
            let (mut now, mut used) = (Duration::ZERO, 0.0);
            while now < ms(300_000) {
                rate.record(now, piece);
                used += piece;
                now += rate.excess(now, limit) + ms(1);
            }
            let got = used / now.as_secs_f64();
            assert!((0.8 * limit..1.2 * limit).contains(&got), "{got} of {limit} in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rate = Rate::default();
        rate.record(ms(0), 1e9);
        assert!(!rate.is_idle(ms(10_999)));
        assert!(rate.excess(ms(10_999), 1.0) > Duration::ZERO);
        assert!(rate.is_idle(ms(11_000)));
        assert_eq!(rate.excess(ms(11_000), 1.0), Duration::ZERO);
    }
}
