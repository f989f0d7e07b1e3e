//! Which batches are made durable where they are, in their segments, and which by way of the write-ahead log.
//!
//! By way of the log one sync does for all partitions, but every byte goes to disk twice. A segment's own sync costs about as
//! much as the log's, so where much goes to few segments it is the better bargain: when the disk is what limits a node, it
//! takes nearly twice as much (docs/decisions/0003).

/// From this many bytes of one group on, a segment is worth a sync of its own.
pub(crate) const SHARE_BYTES_MIN: u64 = 64 << 10;

/// Syncs that a group may cost beside the log's.
const SYNCS_MAX: usize = 4;

/// Bytes that are not the group's and that it may have to wait for.
const OTHERS_BYTES_MAX: u64 = 512 << 10;

/// What of a group lies in one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) bytes: u64,
    /// Bytes that a sync of the segment brings to disk, these among them. `None`: it would not make them durable by itself.
    pub(crate) unsynced: Option<u64>,
}

/// For each share of a group: whether its segment is synced instead of the write-ahead log.
pub(crate) fn synced_in_place(shares: &[Share]) -> Vec<bool> {
    let is_worth = |share: &Share| {
        let others = share.unsynced.map(|unsynced| unsynced.saturating_sub(share.bytes));
        share.bytes >= SHARE_BYTES_MIN && others.is_some_and(|others| others <= OTHERS_BYTES_MAX)
    };
    let chosen: Vec<bool> = shares.iter().map(is_worth).collect();
    let syncs = chosen.iter().filter(|is_worth| **is_worth).count();
    if syncs <= SYNCS_MAX { chosen } else { vec![false; shares.len()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: Share = Share { bytes: 100 << 10, unsynced: Some(120 << 10) };
    const LITTLE: Share = Share { bytes: 1 << 10, unsynced: Some(1 << 10) };

    #[test]
    fn much_for_few_segments_is_synced_where_it_is() {
        assert_eq!(synced_in_place(&[MUCH]), [true]);
        assert_eq!(synced_in_place(&[LITTLE, MUCH, LITTLE]), [false, true, false]);
        assert_eq!(synced_in_place(&[MUCH; SYNCS_MAX]), [true; SYNCS_MAX]);
        assert_eq!(synced_in_place(&[]), [false; 0]);
    }

    #[test]
    fn little_or_for_many_goes_through_the_log() {
        assert_eq!(synced_in_place(&[LITTLE]), [false]);
        assert_eq!(synced_in_place(&[MUCH; SYNCS_MAX + 1]), [false; SYNCS_MAX + 1]);
    }

    #[test]
    fn what_would_wait_for_others_or_not_be_durable_goes_through_the_log() {
        assert_eq!(synced_in_place(&[Share { unsynced: Some(MUCH.bytes + OTHERS_BYTES_MAX + 1), ..MUCH }]), [false]);
        assert_eq!(synced_in_place(&[Share { unsynced: None, ..MUCH }]), [false]);
    }
}
