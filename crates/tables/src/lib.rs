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

mod cache;
mod commit;
mod error;
mod maintain;
mod manifests;
mod schema;
mod storage;
mod table;
mod tables;
mod write;

pub mod scan;
#[cfg(test)]
mod tests;

pub use commit::{Append, ProgressCommit, Rewrite, RowDelta};
pub use maintain::{MaintenancePolicy, MaintenanceReport, SweepReport};
pub use manifests::{ManifestList, Manifests};
pub use schema::{NewTable, PartitionBy, SchemaChange, stored_type};
pub use table::{Progress, Table, Version};
pub use tables::Tables;
pub use write::{TableWriter, WriterOptions};

/// The Iceberg types that appear in this crate's interface.
pub mod iceberg {
    pub use iceberg::{
        io::FileIO,
        spec::{
            DataContentType, DataFile, Datum, ManifestEntryRef, ManifestFile, PartitionSpec, PrimitiveType,
            Schema, Snapshot, SnapshotRef, TableMetadata, Transform, Type,
        },
    };
}
