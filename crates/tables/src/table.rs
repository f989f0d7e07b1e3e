//! One state of a table.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::SchemaRef as ArrowSchemaRef;
use chrono::DateTime;
use iceberg::spec::{SchemaRef, SnapshotLog, SnapshotRef, TableMetadata};
use model::{Error, Result, TableName, TimestampMs, error::codes};
use serde::{Deserialize, Serialize};

use crate::error::corrupt;

/// How far a writer got: partition → next offset, or whatever else the writer counts. Stored as compact JSON in the
/// snapshot's summary under [`Progress::PROPERTY`], so data and progress become visible in the same instant.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Progress(pub BTreeMap<String, i64>);

impl Progress {
    /// Key in the snapshot summary.
    pub const PROPERTY: &str = "lakehead.progress";

    pub fn get(&self, key: &str) -> Option<i64> {
        self.0.get(key).copied()
    }

    pub fn set(&mut self, key: impl Into<String>, next: i64) {
        self.0.insert(key.into(), next);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(key, next)| (key.as_str(), *next))
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of strings to integers is JSON")
    }
}

impl FromIterator<(String, i64)> for Progress {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// Which state of a table to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// The newest one.
    #[default]
    Current,
    /// A snapshot by id.
    Snapshot(i64),
    /// What was current at this moment.
    AsOf(TimestampMs),
    /// A branch or tag.
    Ref(String),
}

/// One state of one table: immutable, cheap to share, valid as long as it is held.
pub struct Table {
    name: TableName,
    metadata_location: Arc<str>,
    metadata: Arc<TableMetadata>,
    arrow_schema: ArrowSchemaRef,
}

impl Table {
    pub(crate) fn new(name: TableName, metadata_location: Arc<str>, metadata: Arc<TableMetadata>) -> Result<Self> {
        let arrow_schema = crate::schema::arrow_schema(metadata.current_schema(), &name)?;
        Ok(Self { name, metadata_location, metadata, arrow_schema })
    }

    pub fn name(&self) -> &TableName {
        &self.name
    }

    pub fn metadata(&self) -> &Arc<TableMetadata> {
        &self.metadata
    }

    /// URL of the `metadata.json` this state was read from.
    pub fn metadata_location(&self) -> &str {
        &self.metadata_location
    }

    /// The current schema as Arrow; each field carries its id as `PARQUET:field_id`.
    pub fn arrow_schema(&self) -> &ArrowSchemaRef {
        &self.arrow_schema
    }

    pub fn current_snapshot(&self) -> Option<&SnapshotRef> {
        self.metadata.current_snapshot()
    }

    /// The snapshot `version` names; `None` when the table has no data yet and the current state is asked for.
    pub fn snapshot(&self, version: &Version) -> Result<Option<SnapshotRef>> {
        let unknown = |what: String| {
            Error::new(codes::VERSION_UNKNOWN, format!("table `{}` has no {what}", self.name))
                .hint("the table's history lists the snapshots that are still kept")
        };
        match version {
            Version::Current => Ok(self.current_snapshot().cloned()),
            Version::Snapshot(id) => match self.metadata.snapshot_by_id(*id) {
                Some(snapshot) => Ok(Some(snapshot.clone())),
                None => Err(unknown(format!("snapshot {id}"))),
            },
            Version::Ref(name) => match self.metadata.snapshot_for_ref(name) {
                Some(snapshot) => Ok(Some(snapshot.clone())),
                None => Err(unknown(format!("branch or tag `{name}`"))),
            },
            Version::AsOf(moment) => {
                let entry = self.metadata.history().iter().rev().find(|entry| entry.timestamp_ms <= *moment);
                match entry.and_then(|entry| self.metadata.snapshot_by_id(entry.snapshot_id)) {
                    Some(snapshot) => Ok(Some(snapshot.clone())),
                    None => Err(unknown(format!("state as of {}", time(*moment))).detail(match self.oldest_ms() {
                        Some(oldest) => format!("the oldest state that is kept is of {}", time(oldest)),
                        None => "nothing was written to it yet".to_owned(),
                    })),
                }
            }
        }
    }

    /// When the oldest state that can still be read began.
    fn oldest_ms(&self) -> Option<TimestampMs> {
        let kept = |entry: &&SnapshotLog| self.metadata.snapshot_by_id(entry.snapshot_id).is_some();
        self.metadata.history().iter().find(kept).map(|entry| entry.timestamp_ms)
    }

    /// The schema to read `version` with: the current one for the current state, the snapshot's own for any other.
    pub fn schema_at(&self, version: &Version) -> Result<SchemaRef> {
        if *version == Version::Current {
            return Ok(self.metadata.current_schema().clone());
        }
        match self.snapshot(version)? {
            None => Ok(self.metadata.current_schema().clone()),
            Some(snapshot) => snapshot
                .schema(&self.metadata)
                .map_err(|e| corrupt(format!("could not read the schema of `{}`", self.name), e)),
        }
    }

    /// [`Table::schema_at`] as Arrow, with field ids.
    pub fn arrow_schema_at(&self, version: &Version) -> Result<ArrowSchemaRef> {
        if *version == Version::Current {
            return Ok(self.arrow_schema.clone());
        }
        let schema = self.schema_at(version)?;
        crate::schema::arrow_schema(&schema, &self.name)
    }

    /// The newest progress mark: of the current snapshot, or of its nearest ancestor that has one, because other
    /// engines do not carry it forward.
    pub fn progress(&self) -> Result<Option<Progress>> {
        match self.current_snapshot() {
            None => Ok(None),
            Some(snapshot) => self.progress_at(snapshot),
        }
    }

    /// The progress mark that holds at `snapshot`.
    pub fn progress_at(&self, snapshot: &SnapshotRef) -> Result<Option<Progress>> {
        let Some(marked) = self.ancestors(snapshot).find(|s| mark(s).is_some()) else { return Ok(None) };
        let json = mark(&marked).expect("found by its mark");
        serde_json::from_str(json).map(Some).map_err(|e| {
            corrupt(format!("could not read the progress of `{}` in snapshot {}", self.name, marked.snapshot_id()), e)
        })
    }

    /// `snapshot` and its ancestors that are still kept, newest first.
    pub(crate) fn ancestors(&self, snapshot: &SnapshotRef) -> impl Iterator<Item = SnapshotRef> {
        ancestors(&self.metadata, snapshot)
    }

    /// Whether the history of the current snapshot holds `id`.
    pub(crate) fn has_ancestor(&self, id: i64) -> bool {
        self.current_snapshot().is_some_and(|current| self.ancestors(current).any(|s| s.snapshot_id() == id))
    }

    /// Property `key` of the table, parsed; `default` when absent or not parsable.
    pub(crate) fn property<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        property(&self.metadata, key, default)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("metadata_location", &self.metadata_location).finish()
    }
}

/// A moment for people, in UTC.
fn time(moment: TimestampMs) -> String {
    DateTime::from_timestamp_millis(moment)
        .map_or_else(|| format!("{moment} ms"), |time| time.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string())
}

pub(crate) fn property<T: std::str::FromStr>(metadata: &TableMetadata, key: &str, default: T) -> T {
    metadata.properties().get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
}

pub(crate) fn ancestors(metadata: &TableMetadata, from: &SnapshotRef) -> impl Iterator<Item = SnapshotRef> {
    std::iter::successors(Some(from.clone()), |snapshot| {
        snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent)).cloned()
    })
}

pub(crate) fn mark(snapshot: &SnapshotRef) -> Option<&str> {
    snapshot.summary().additional_properties.get(Progress::PROPERTY).map(String::as_str)
}
