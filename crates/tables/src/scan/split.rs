//! Spreads files over the partitions of a scan.
//!
//! Big files are cut where row groups start; the Parquet source gives each row group to the one range that holds its
//! first byte, so the pieces of a file cover it exactly once wherever the cuts fall.

use std::ops::Range;

/// Below this, another partition costs more than it saves.
const PIECE_BYTES_MIN: u64 = 512 << 10;

/// A part of a file: row groups that start in `range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) file: usize,
    pub(super) range: Range<u64>,
}

impl Piece {
    fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Pieces of `files` (bytes, where row groups start) in at most `partitions` groups of about the same size, none empty.
pub(super) fn split(files: &[(u64, &[i64])], partitions: usize) -> Vec<Vec<Piece>> {
    let partitions = partitions.max(1);
    let total: u64 = files.iter().map(|(bytes, _)| bytes).sum();
    let ideal = total.div_ceil(partitions as u64).max(PIECE_BYTES_MIN);

    let mut pieces = Vec::with_capacity(files.len());
    for (file, (bytes, starts)) in files.iter().enumerate() {
        cut(file, *bytes, starts, ideal, partitions, &mut pieces);
    }
    // Longest first to the least loaded group: at most a third above the best possible.
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(pieces[at].bytes()), at));
    let mut groups: Vec<(u64, Vec<usize>)> = vec![(0, Vec::new()); partitions.min(pieces.len())];
    for at in order {
        let least = groups.iter_mut().min_by_key(|(bytes, members)| (*bytes, members.len()));
        let (bytes, members) = least.expect("a piece has a group");
        *bytes += pieces[at].bytes();
        members.push(at);
    }
    groups
        .into_iter()
        .map(|(_, mut members)| {
            members.sort_unstable(); // neighbours stay neighbours
            members.into_iter().map(|at| pieces[at].clone()).collect()
        })
        .collect()
}

fn cut(file: usize, bytes: u64, starts: &[i64], ideal: u64, partitions: usize, pieces: &mut Vec<Piece>) {
    let mut begin = 0;
    // A piece of half the ideal size leaves the groups room to even out.
    let wanted = if partitions > 1 { ideal.div_ceil(2).max(PIECE_BYTES_MIN) } else { u64::MAX };
    for &start in starts.iter().skip(1) {
        let Ok(start) = u64::try_from(start) else { continue };
        if start < bytes && start > begin && start - begin >= wanted {
            pieces.push(Piece { file, range: begin..start });
            begin = start;
        }
    }
    // An empty file still has rows to count to.
    pieces.push(Piece { file, range: begin..bytes.max(begin + 1) });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_big_file_is_shared_by_all_partitions() {
        let mb = 1 << 20;
        let starts: Vec<i64> = (0..8).map(|i| i * 10 * mb + 4).collect();
        let groups = split(&[(80 * mb as u64, &starts)], 2);
        let bytes: Vec<u64> = groups.iter().map(|g| g.iter().map(Piece::bytes).sum()).collect();
        assert_eq!(groups.len(), 2);
        assert!(bytes.iter().all(|b| *b >= 39 * mb as u64), "{bytes:?}");
    }

    #[test]
    fn nothing_to_read_makes_no_partitions() {
        assert!(split(&[], 4).is_empty());
    }

    proptest! {
        #[test]
        fn every_byte_of_every_file_is_in_exactly_one_piece(
            files in prop::collection::vec((1u64..200_000_000, prop::collection::vec(0i64..200_000_000, 0..12)), 0..12),
            partitions in 1usize..9,
        ) {
            let files: Vec<(u64, Vec<i64>)> = files.into_iter().map(|(bytes, mut starts)| {
                starts.sort_unstable();
                (bytes, starts)
            }).collect();
            let views: Vec<(u64, &[i64])> = files.iter().map(|(bytes, starts)| (*bytes, starts.as_slice())).collect();
            let groups = split(&views, partitions);
            prop_assert!(groups.len() <= partitions && groups.iter().all(|g| !g.is_empty()));
            for (file, (bytes, _)) in files.iter().enumerate() {
                let mut pieces: Vec<_> =
                    groups.iter().flatten().filter(|p| p.file == file).map(|p| p.range.clone()).collect();
                pieces.sort_by_key(|r| r.start);
                prop_assert_eq!(pieces[0].start, 0);
                prop_assert_eq!(pieces[pieces.len() - 1].end, *bytes);
                prop_assert!(pieces.windows(2).all(|w| w[0].end == w[1].start));
            }
        }
    }
}
