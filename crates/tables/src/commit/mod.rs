//! The commit engine.

use iceberg::spec::DataFile;
use model::Result;

use crate::{Progress, Table};

/// Data files to add, and how far that brings their writer.
#[derive(Clone, Debug)]
pub struct Append {
    /// From [`crate::TableWriter::close`]; may be empty when only the progress moves.
    pub files: Vec<DataFile>,
    /// Partition spec the files were written with.
    pub spec_id: i32,
    pub progress: Option<ProgressCommit>,
    /// Further entries for the snapshot's summary.
    pub properties: Vec<(String, String)>,
}

impl Append {
    /// Files written for this state of `table`.
    pub fn new(table: &Table, files: Vec<DataFile>) -> Self {
        Self { files, spec_id: table.metadata().default_partition_spec_id(), progress: None, properties: Vec::new() }
    }

    /// Commits only if the table's progress still is `expected`, and moves it to `next` in the same instant.
    pub fn with_progress(mut self, expected: Option<Progress>, next: Progress) -> Self {
        self.progress = Some(ProgressCommit { expected, next });
        self
    }

    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }
}

/// Exactly-once: the mark the writer started from, and the mark its rows lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressCommit {
    pub expected: Option<Progress>,
    pub next: Progress,
}

/// Rows to delete by file and position, and rows to add in the same instant.
#[derive(Clone, Debug)]
pub struct RowDelta {
    /// From [`crate::Tables::write_position_deletes`].
    pub deletes: Vec<DataFile>,
    pub added: Vec<DataFile>,
    pub spec_id: i32,
    /// Snapshot the rows to delete were found in.
    pub base_snapshot_id: i64,
    pub properties: Vec<(String, String)>,
}

/// Files to take the place of others without changing a row.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Paths of the data files that go.
    pub inputs: Vec<String>,
    pub outputs: Vec<DataFile>,
    pub spec_id: i32,
    /// Sequence number of the state the inputs were read at; the outputs keep it, so that later deletes still hit.
    pub base_sequence_number: i64,
}

const _: fn() -> Result<()> = || Ok(());
