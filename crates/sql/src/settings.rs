//! What the node decides for SQL.

use std::{path::PathBuf, time::Duration};

/// Limits and places of the SQL engine.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// Memory all running queries share; sorts, joins and aggregates spill beyond it, what cannot spill is refused.
    pub memory_bytes: usize,
    /// Degree of parallelism of one query; 0: as many as the machine has cores.
    pub target_partitions: usize,
    /// Where queries spill. Emptied at start.
    pub temp_dir: PathBuf,
    /// Most bytes all queries together may spill.
    pub spill_bytes_max: u64,
    /// Longest statement taken.
    pub statement_bytes_max: usize,
    /// A query that runs longer is cancelled, unless the session says otherwise (`SET statement_timeout`).
    pub timeout: Option<Duration>,
    /// `COPY … TO` and `UNLOAD` write below this directory only, and `FROM 'file.parquet'` reads only from there.
    pub exports_dir: PathBuf,
}

impl SqlSettings {
    /// Defaults for a node that keeps its data in `data_dir`.
    pub fn in_dir(data_dir: &std::path::Path) -> Self {
        Self {
            memory_bytes: 1 << 30,
            target_partitions: 0,
            temp_dir: data_dir.join("tmp").join("sql"),
            spill_bytes_max: 16 << 30,
            statement_bytes_max: 1 << 20,
            timeout: None,
            exports_dir: data_dir.join("exports"),
        }
    }
}
