//! Which batches are made durable where they are, in their segments, and which by way of the write-ahead log.
//!
//! By way of the log one sync does for all partitions, but every byte goes to disk twice. A segment takes a sync of its own,
//! and its bytes go there once: the better bargain if the disk would write more in the time of a sync than there is to write.
//! How much that is differs from disk to disk by a factor of a hundred, so it is measured as syncs go by
//! (docs/decisions/0003).

use std::time::Duration;

/// From this many bytes of one group on, a segment may be worth a sync of its own.
pub(crate) const SHARE_BYTES_MIN: u64 = 64 << 10;

/// What a sync of a segment takes, in syncs of the write-ahead log: it changes where the file ends, and that is written, too.
const SEGMENT_SYNC: f64 = 2.0;

/// Syncs that a group may cost beside the log's.
const SYNCS_MAX: usize = 16;

/// How long a group may have to wait for bytes that are not its own: those behind it that have been written meanwhile, or those
/// before it that went through the log. The disk takes them only once, too.
const OTHERS_SECONDS_MAX: f64 = 0.01;

/// How fast the disk is, from what syncs took: their bytes and what each costs besides.
///
/// Both figures are medians of what was seen lately: each goes up or down by a twentieth, however far away what is seen lies, so a
/// disk that stalls for a second says no more than one that stalls for a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    sync_seconds: f64,
    bytes_per_second: f64,
}

/// By which a figure rises or falls with each sync that is seen.
const STEP: f64 = 0.05;
/// What is up to so large says what a sync costs, what is at least so large how fast bytes go.
const SMALL_BYTES: u64 = 64 << 10;
const LARGE_BYTES: u64 = 512 << 10;

impl Default for Device {
    /// A quick disk, for which [`SHARE_BYTES_MIN`] is worth a sync, until another is seen.
    fn default() -> Self {
        Self { sync_seconds: 0.1e-3, bytes_per_second: 250e6 }
    }
}

impl Device {
    /// The write-ahead log has taken so many bytes and synced them.
    pub(crate) fn logged(&mut self, bytes: u64, took: Duration) {
        if bytes <= SMALL_BYTES {
            step(&mut self.sync_seconds, took.as_secs_f64());
        } else {
            self.transferred(bytes, took.as_secs_f64() - self.sync_seconds);
        }
    }

    /// A segment has been synced, and so many bytes had not been on disk.
    pub(crate) fn synced(&mut self, bytes: u64, took: Duration) {
        self.transferred(bytes, took.as_secs_f64() - SEGMENT_SYNC * self.sync_seconds);
    }

    fn transferred(&mut self, bytes: u64, seconds: f64) {
        if bytes >= LARGE_BYTES && seconds > 0.0 {
            step(&mut self.bytes_per_second, bytes as f64 / seconds);
        }
    }

    /// What of one group must lie in a segment that is synced for it.
    fn share_bytes_min(&self) -> u64 {
        ((SEGMENT_SYNC * self.sync_seconds * self.bytes_per_second) as u64).max(SHARE_BYTES_MIN)
    }

    /// What else may lie there and has to be synced, too.
    fn others_bytes_max(&self) -> u64 {
        (OTHERS_SECONDS_MAX * self.bytes_per_second) as u64
    }
}

fn step(median: &mut f64, seen: f64) {
    *median *= if seen > *median { 1.0 + STEP } else { 1.0 - STEP };
}

/// What of a group lies in one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) bytes: u64,
    /// Bytes that a sync of the segment brings to disk, these among them. `None`: it would not make them durable by itself.
    pub(crate) unsynced: Option<u64>,
}

/// For each share of a group: whether its segment is synced instead of the write-ahead log.
pub(crate) fn synced_in_place(shares: &[Share], device: &Device) -> Vec<bool> {
    let (bytes_min, others_max) = (device.share_bytes_min(), device.others_bytes_max());
    let is_worth = |share: &Share| {
        let others = share.unsynced.map(|unsynced| unsynced.saturating_sub(share.bytes));
        share.bytes >= bytes_min && others.is_some_and(|others| others <= others_max)
    };
    let mut worth: Vec<usize> = (0..shares.len()).filter(|at| is_worth(&shares[*at])).collect();
    worth.sort_by_key(|at| std::cmp::Reverse(shares[*at].bytes));
    worth.truncate(SYNCS_MAX);
    let mut chosen = vec![false; shares.len()];
    worth.into_iter().for_each(|at| chosen[at] = true);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: Share = Share { bytes: 100 << 10, unsynced: Some(120 << 10) };
    const LITTLE: Share = Share { bytes: 1 << 10, unsynced: Some(1 << 10) };

    fn chosen(shares: &[Share]) -> Vec<bool> {
        synced_in_place(shares, &Device::default())
    }

    /// One that takes so long for a sync and writes so many bytes a second.
    fn device(sync: Duration, bytes_per_second: u64) -> Device {
        let mut device = Device::default();
        let time_of = |bytes: u64| Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
        for at in 0..2000 {
            // Now and then the host has something else to do.
            let stall = Duration::from_millis(if at % 10 == 0 { 500 } else { 0 });
            device.logged(4 << 10, sync + stall + time_of(4 << 10));
            device.logged(2 << 20, sync + stall + time_of(2 << 20));
            device.synced(1 << 20, 2 * sync + stall + time_of(1 << 20));
        }
        device
    }

    #[test]
    fn much_is_synced_where_it_is() {
        assert_eq!(chosen(&[MUCH]), [true]);
        assert_eq!(chosen(&[LITTLE, MUCH, LITTLE]), [false, true, false]);
        assert_eq!(chosen(&[]), [false; 0]);
    }

    #[test]
    fn little_goes_through_the_log() {
        assert_eq!(chosen(&[LITTLE]), [false]);
    }

    #[test]
    fn of_many_segments_those_with_most_are_synced() {
        let most = Share { bytes: 200 << 10, unsynced: Some(200 << 10) };
        let mut shares = [MUCH; SYNCS_MAX + 2];
        shares[SYNCS_MAX + 1] = most;
        let chosen = chosen(&shares);
        assert_eq!(chosen.iter().filter(|is_chosen| **is_chosen).count(), SYNCS_MAX);
        assert!(chosen[SYNCS_MAX + 1]);
    }

    #[test]
    fn what_would_wait_for_others_or_not_be_durable_goes_through_the_log() {
        assert_eq!(
            chosen(&[Share { unsynced: Some(MUCH.bytes + Device::default().others_bytes_max() + 1), ..MUCH }]),
            [false]
        );
        assert_eq!(chosen(&[Share { unsynced: None, ..MUCH }]), [false]);
    }

    #[test]
    fn the_slower_a_sync_the_more_there_must_be() {
        let of = |bytes| Share { bytes, unsynced: Some(bytes) };
        let chosen_by = |device: &Device, bytes| synced_in_place(&[of(bytes)], device) == [true];
        // 2 × 0.3 ms × 230 MB/s = 138 KB
        let quick = device(Duration::from_micros(300), 230_000_000);
        assert!(chosen_by(&quick, 200_000) && !chosen_by(&quick, 90_000), "{quick:?}");
        // 2 × 4 ms × 500 MB/s = 4 MB
        let slow = device(Duration::from_millis(4), 500_000_000);
        assert!(chosen_by(&slow, 6_000_000) && !chosen_by(&slow, 2_600_000), "{slow:?}");
        // Nothing but memory.
        assert!(chosen_by(&device(Duration::from_micros(2), 2_000_000_000), SHARE_BYTES_MIN));
    }
}
