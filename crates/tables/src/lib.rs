//! Iceberg v2 tables: our own commit engine, writers, maintenance and scan provider.
//!
//! A [`Table`] is an immutable pin on one `metadata.json`; everything read through it sees one state. [`Tables`] makes
//! new states: each commit writes files nobody refers to yet and then moves the catalog's pointer in one
//! compare-and-swap, so a commit that dies anywhere leaves the table as it was.
//!
//! This crate has never heard of topics. What a writer has consumed is an opaque [`Progress`] inside the snapshot.
//!
//! ```text
//! TableWriter ──Parquet──> Vec<DataFile> ──┐
//!                                          ├─ append / row_delta / rewrite ─> manifest, list, metadata.json ─> swap
//!                       expected Progress ─┘        (lost race: reload, check, try again)
//! ```
//!
//! Table properties that are honoured, Iceberg's own unless they start with `lakehead`:
//!
//! | property | default | meaning |
//! |---|---|---|
//! | `write.target-file-size-bytes` | 128 MiB | where writers and compaction cut files |
//! | `write.parquet.compression-level` | 1 | of zstd |
//! | `commit.manifest-merge.enabled`, `commit.manifest.min-count-to-merge`, `commit.manifest.target-size-bytes` | true, 100, 8 MiB | merging of manifests, in the commit |
//! | `write.metadata.previous-versions-max`, `write.metadata.delete-after-commit.enabled` | 20, true | old `metadata.json` files |
//! | `write.metadata.compression-codec` | none | `gzip` makes them small, and unreadable to some |
//! | `history.expire.max-snapshot-age-ms`, `history.expire.min-snapshots-to-keep` | 5 days, 1 | expiry by age |
//! | `lakehead.history.max-snapshots` | 100 with progress, else 300 | expiry by number |
//! | `lakehead.delete-grace-ms` | 15 min | between a file's becoming unreachable and its deletion |
//! | `gc.enabled` | true | `false`: nothing expires, and a purge keeps data files |

mod cache;
mod changed;
mod commit;
mod error;
mod maintain;
mod manifests;
mod readers;
mod schema;
mod storage;
mod table;
mod tables;
mod turns;
mod write;

pub mod scan;
#[cfg(test)]
mod tests;

pub use commit::{Append, ProgressCommit, Rewrite, RowDelta};
pub use maintain::{MaintenancePolicy, MaintenanceReport, SweepReport};
pub use manifests::{ManifestList, Manifests};
pub use readers::Reading;
pub use schema::{NewTable, PartitionBy, SchemaChange, stored_type};
pub use table::{Progress, Table, Version};
pub use tables::Tables;
pub use turns::Turn;
pub use write::{TableWriter, WriterOptions};

/// The Iceberg types that appear in this crate's interface.
pub mod iceberg {
    pub use iceberg::{
        io::FileIO,
        spec::{
            DataContentType, DataFile, Datum, ManifestEntryRef, ManifestFile, PartitionSpec, PrimitiveType, Schema,
            Snapshot, SnapshotRef, TableMetadata, Transform, Type,
        },
    };
}
