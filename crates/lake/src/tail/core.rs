//! The decoded records of one partition: a run of chunks without a gap. Pure: no log, no time, no lock.
//!
//! ```text
//!       start                                  end
//!   ──────┼─ chunk ─┼──── chunk ────┼─ chunk ─┼──────>  offsets
//!   cold  │         read from here            │  decoded next
//! ```

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use model::{Offset, TimestampMs};

use crate::columns::pseudo;

/// Small neighbours are joined up to this many rows.
const JOINED_ROWS_MAX: usize = 16 * 1024;

/// Decoded records of `range`. There may be fewer rows than offsets, even none.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub range: Range<Offset>,
    pub batch: RecordBatch,
    /// Smallest and largest timestamp of the rows (inclusive).
    pub timestamps: Option<(TimestampMs, TimestampMs)>,
    pub bytes: usize,
}

impl Chunk {
    pub(crate) fn new(
        range: Range<Offset>,
        batch: RecordBatch,
        timestamps: Option<(TimestampMs, TimestampMs)>,
    ) -> Self {
        let bytes = batch.get_array_memory_size();
        Self { range, batch, timestamps, bytes }
    }

    /// The rows with offsets in `range`.
    pub(crate) fn rows(&self, range: &Range<Offset>) -> RecordBatch {
        if range.start <= self.range.start && range.end >= self.range.end {
            return self.batch.clone();
        }
        let column = self.batch.schema().index_of(pseudo::OFFSET).expect("every decoded batch has the pseudo-columns");
        let offsets = self.batch.column(column).as_primitive::<Int64Type>().values();
        let from = offsets.partition_point(|offset| *offset < range.start);
        let to = offsets.partition_point(|offset| *offset < range.end);
        self.batch.slice(from, to.saturating_sub(from))
    }
}

/// What [`TailCore::find`] found at a position.
#[derive(Debug)]
pub(crate) enum Found {
    Chunk(Arc<Chunk>),
    /// Not decoded (any more); decoded records begin again at this offset.
    Cold {
        until: Offset,
    },
    /// Nothing from here on: decode on.
    End,
}

#[derive(Debug, Default)]
pub(crate) struct TailCore {
    chunks: VecDeque<Arc<Chunk>>,
    start: Offset,
    end: Offset,
    bytes: usize,
}

impl TailCore {
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the chunks that hold something at or beyond `from`.
    pub(crate) fn bytes_from(&self, from: Offset) -> usize {
        self.chunks.iter().filter(|chunk| chunk.range.end > from).map(|chunk| chunk.bytes).sum()
    }

    /// Forgets everything; decoding begins at `at`.
    pub(crate) fn reset(&mut self, at: Offset) {
        *self = Self { start: at, end: at, ..Self::default() };
    }

    pub(crate) fn append(&mut self, chunk: Chunk) {
        assert_eq!(chunk.range.start, self.end, "TAIL-1: decoded records have no gap");
        self.end = chunk.range.end;
        self.bytes += chunk.bytes;
        self.chunks.push_back(Arc::new(chunk));
    }

    pub(crate) fn find(&self, position: Offset) -> Found {
        if position >= self.end {
            return Found::End;
        }
        if position < self.start {
            return Found::Cold { until: self.start };
        }
        let index = self.chunks.partition_point(|chunk| chunk.range.end <= position);
        match self.chunks.get(index) {
            Some(chunk) => Found::Chunk(chunk.clone()),
            None => Found::End,
        }
    }

    /// Drops chunks that end at or before `before`.
    pub(crate) fn trim(&mut self, before: Offset) {
        while self.chunks.front().is_some_and(|chunk| chunk.range.end <= before) {
            self.pop_front();
        }
    }

    /// Drops the oldest chunk, unless it is the only one.
    pub(crate) fn evict(&mut self) -> bool {
        let evicts = self.chunks.len() > 1;
        if evicts {
            self.pop_front();
        }
        evicts
    }

    fn pop_front(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.bytes -= chunk.bytes;
            self.start = chunk.range.end;
        }
    }

    /// The two newest chunks, if they should become one: the newer at least half as large as the older, so that each row is
    /// copied only a few times on its way into large chunks.
    pub(crate) fn joinable(&self) -> Option<(Arc<Chunk>, Arc<Chunk>)> {
        let newer = self.chunks.back()?;
        let older = self.chunks.get(self.chunks.len().checked_sub(2)?)?;
        let (old, new) = (older.batch.num_rows(), newer.batch.num_rows());
        let fits = old + new <= JOINED_ROWS_MAX && new * 2 >= old && older.batch.schema() == newer.batch.schema();
        fits.then(|| (older.clone(), newer.clone()))
    }

    /// Puts `joined` in the place of the pair that [`TailCore::joinable`] gave, if it is still there.
    pub(crate) fn join(&mut self, pair: &(Arc<Chunk>, Arc<Chunk>), joined: Chunk) -> bool {
        let n = self.chunks.len();
        let there = n >= 2 && Arc::ptr_eq(&self.chunks[n - 2], &pair.0) && Arc::ptr_eq(&self.chunks[n - 1], &pair.1);
        if there {
            self.chunks.truncate(n - 2);
            self.bytes = self.bytes + joined.bytes - pair.0.bytes - pair.1.bytes;
            self.chunks.push_back(Arc::new(joined));
        }
        there
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }
}

/// Two neighbours as one.
pub(crate) fn joined(older: &Chunk, newer: &Chunk) -> model::Result<Chunk> {
    let batch = arrow::compute::concat_batches(&older.batch.schema(), [&older.batch, &newer.batch])
        .map_err(|e| model::Error::internal("could not join decoded batches").detail(e.to_string()))?;
    let timestamps = match (older.timestamps, newer.timestamps) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
    Ok(Chunk::new(older.range.start..newer.range.end, batch, timestamps))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::Int64Array,
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    fn chunk(range: Range<Offset>) -> Chunk {
        let schema = Arc::new(Schema::new(vec![Field::new(pseudo::OFFSET, DataType::Int64, false)]));
        let offsets = Int64Array::from_iter_values(range.clone());
        Chunk::new(range, RecordBatch::try_new(schema, vec![Arc::new(offsets)]).unwrap(), None)
    }

    fn offsets(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn every_position_is_found_cold_or_at_the_end() {
        let mut core = TailCore::default();
        core.reset(10);
        core.append(chunk(10..15));
        core.append(chunk(15..15 + 40));
        for position in 10..55 {
            let Found::Chunk(found) = core.find(position) else { panic!("{position} is decoded") };
            assert!(found.range.contains(&position));
            assert_eq!(offsets(&found.rows(&(position..position + 2)))[0], position);
        }
        assert!(matches!(core.find(9), Found::Cold { until: 10 }));
        assert!(matches!(core.find(55), Found::End));
        core.trim(20);
        assert!(matches!(core.find(14), Found::Cold { until: 15 }), "only whole chunks go");
        assert!(!core.evict(), "the last chunk stays");
    }

    #[test]
    fn small_chunks_grow_together_and_keep_every_row() {
        let mut core = TailCore::default();
        for n in 0..1000 {
            core.append(chunk(n * 3..n * 3 + 3));
            while let Some(pair) = core.joinable() {
                let together = joined(&pair.0, &pair.1).unwrap();
                assert!(core.join(&pair, together));
            }
        }
        assert!(core.len() < 12, "{} chunks", core.len());
        let (mut position, mut seen) = (0, Vec::new());
        while let Found::Chunk(chunk) = core.find(position) {
            seen.extend(offsets(&chunk.batch));
            position = chunk.range.end;
        }
        assert_eq!(seen, (0..3000).collect::<Vec<_>>());
        assert_eq!(core.bytes(), core.bytes_from(0));
    }
}
