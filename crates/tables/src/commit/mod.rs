//! The commit engine: from a base state and a piece of work to the next state.
//!
//! ```text
//! 1  manifests of the new files          survive a lost race: they carry no sequence number yet
//! 2  manifest list, metadata.json        one attempt each
//!    └── written together: temporary names, fsync, rename, one fsync of the directory
//! 3  catalog: pointer L0 → L1, files that became unreachable queued for deletion     one transaction
//! ```
//!
//! Whoever dies before 3 leaves files nobody refers to; after 3 the commit stands. When the swap is lost, the work
//! looks at the new base and says whether it still holds: an append does, unless its source's progress moved; a row
//! delta or rewrite does, unless its rows or files were touched.

mod append;
mod expire;
mod manifest;
mod reach;
mod relocate;
mod rewrite;
mod row_delta;
mod schema;
mod summary;

use std::{sync::Arc, time::Duration};

use iceberg::{
    MetadataLocation,
    io::{FileIO, FileIOBuilder},
    spec::{
        DataFile, FormatVersion, MAIN_BRANCH, ManifestFile, ManifestListWriter, Operation, Snapshot, Summary,
        TableMetadata, TableMetadataBuildResult, TableMetadataBuilder,
    },
};
use model::{Error, Result, TableName, TimestampMs, error::codes};

pub(crate) use self::{
    append::AppendWork,
    expire::{ExpireWork, Retention},
    relocate::RelocateWork,
    rewrite::RewriteWork,
    row_delta::RowDeltaWork,
    schema::{EvolveWork, PropertiesWork},
};
use self::{manifest::Manifest, summary::Counts};
use crate::{Progress, Table, Tables, error::internal, storage::Stage, table::property};

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
    /// The table the files were written for, and no other that has its name by now.
    table: uuid::Uuid,
}

impl Append {
    /// Files written for this state of `table`.
    pub fn new(table: &Table, files: Vec<DataFile>) -> Self {
        let metadata = table.metadata();
        let (spec_id, table) = (metadata.default_partition_spec_id(), metadata.uuid());
        Self { files, spec_id, progress: None, properties: Vec::new(), table }
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
    /// Whether rows added since `base_snapshot_id` are a conflict, because they might be among those meant.
    pub serializable: bool,
    pub properties: Vec<(String, String)>,
}

/// Files to take the place of others without changing a row.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Paths of the data files that go.
    pub inputs: Vec<String>,
    pub outputs: Vec<DataFile>,
    /// Partition spec of the outputs.
    pub spec_id: i32,
    /// Live rows that were read from the inputs; the outputs must hold as many.
    pub rows: u64,
    /// Sequence number of the state the inputs were read at; the outputs keep it, so that later deletes still hit.
    pub base_sequence_number: i64,
}

/// The closed list of what can be committed.
pub(crate) enum Work<'a> {
    Append(AppendWork),
    RowDelta(RowDeltaWork),
    Rewrite(RewriteWork),
    Evolve(EvolveWork),
    Properties(PropertiesWork),
    Relocate(RelocateWork),
    /// Reports back what it found.
    Expire(&'a mut ExpireWork),
}

/// What the work makes of a base.
pub(crate) enum Proposal {
    /// The base is as wanted already.
    Nothing,
    Snapshot(NewSnapshot),
    /// Another state with the same data, and files that nothing in it reaches.
    Metadata(Box<TableMetadataBuildResult>, Vec<String>),
}

pub(crate) struct NewSnapshot {
    operation: Operation,
    /// All manifests of the new state.
    manifests: Vec<ManifestFile>,
    counts: Counts,
    progress: Option<Progress>,
    properties: Vec<(String, String)>,
}

/// One try to commit.
pub(crate) struct Attempt<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) base: &'a Arc<Table>,
    /// The same in all attempts, so that a commit whose outcome was unknown is recognized.
    pub(crate) snapshot_id: i64,
    pub(crate) stage: &'a Stage,
    pub(crate) now: TimestampMs,
}

/// Lost races until the commit gives up. Our own tasks queue up and never race each other; only other processes do.
const ATTEMPTS_MAX: u32 = 12;

impl Tables {
    pub(crate) async fn commit(&self, name: &TableName, mut work: Work<'_>) -> Result<Arc<Table>> {
        let lock = self.lock(name);
        let _held = lock.lock().await;
        let snapshot_id = self.world().random.positive_i64();
        for attempt in 0..ATTEMPTS_MAX {
            let base = self.get(name).await?;
            if attempt > 0 && base.has_ancestor(snapshot_id) {
                return Ok(base);
            }
            check_format(&base)?;
            let stage = Stage::default();
            let now = self.world().clock.now_ms().max(base.metadata().last_updated_ms());
            let try_ = Attempt { tables: self, base: &base, snapshot_id, stage: &stage, now };
            let Some(next) = try_.build(&mut work).await? else { return Ok(base) };

            let staged = stage.take();
            let mine: Vec<String> = staged.iter().map(|(location, _)| location.clone()).collect();
            self.failpoint("files")?;
            self.files().put_all(staged).await?;
            self.failpoint("swap")?;
            let old = base.metadata_location();
            let won = self.catalog().swap_table(name, old, &next.location, &next.pending_deletes).await?;
            // The failpoint plays a swap whose answer was lost, found out only by looking.
            if won && self.failpoint("unknown").is_ok() {
                self.failpoint("answer")?;
                self.changes().note(name);
                if let (Some(snapshot), Some(manifests)) = (next.metadata.current_snapshot(), next.manifests) {
                    self.manifests().remember(snapshot, manifests, work.added());
                }
                return self.remember(Table::new(name.clone(), next.location.into(), Arc::new(next.metadata))?);
            }
            tracing::debug!(table = %name, attempt, "lost the race for a commit");
            self.discard(&work, mine, name, snapshot_id).await;
            tokio::time::sleep(self.backoff(attempt)).await;
        }
        Err(Error::new(codes::COMMIT_RETRIES, format!("could not commit to `{name}`"))
            .detail(format!("{ATTEMPTS_MAX} attempts lost against other writers")))
    }

    /// Removes what a lost attempt wrote and the next one will not use. Left to upkeep when in doubt: after an unknown
    /// outcome the "lost" commit may stand.
    async fn discard(&self, work: &Work<'_>, written: Vec<String>, name: &TableName, snapshot_id: i64) {
        match self.get(name).await {
            Ok(now) if !now.has_ancestor(snapshot_id) => {}
            Ok(_) | Err(_) => return,
        }
        for location in written.iter().filter(|location| !work.reuses(location)) {
            if let Err(error) = self.files().delete(location).await {
                tracing::warn!(%location, %error, "a file of a lost commit stays behind for now");
            }
        }
    }

    /// Short at first, random so that two writers do not meet again.
    fn backoff(&self, attempt: u32) -> Duration {
        let ceiling = 5_u64 << attempt.min(8);
        Duration::from_millis(1 + self.world().random.u64() % ceiling)
    }
}

fn check_format(base: &Table) -> Result<()> {
    match base.metadata().format_version() {
        FormatVersion::V2 => Ok(()),
        other => Err(Error::new(codes::TABLE_FORMAT_UNSUPPORTED, format!("could not commit to `{}`", base.name()))
            .detail(format!("it has Iceberg format {other}; commits are made in format v2"))),
    }
}

impl Work<'_> {
    async fn propose(&mut self, attempt: &Attempt<'_>) -> Result<Proposal> {
        match self {
            Self::Append(work) => work.propose(attempt).await,
            Self::RowDelta(work) => work.propose(attempt).await,
            Self::Rewrite(work) => work.propose(attempt).await,
            Self::Evolve(work) => work.propose(attempt),
            Self::Properties(work) => work.propose(attempt),
            Self::Relocate(work) => work.propose(attempt).await,
            Self::Expire(work) => work.propose(attempt).await,
        }
    }

    /// The manifest of newly added files, and the files.
    fn added(&self) -> Option<(&str, &[DataFile])> {
        match self {
            Self::Append(work) => work.added(),
            _ => None,
        }
    }

    /// Whether a file of a lost attempt is part of the next.
    fn reuses(&self, location: &str) -> bool {
        match self {
            Self::Append(work) => work.manifest.reuses(location),
            Self::RowDelta(work) => work.manifests().any(|manifest| manifest.reuses(location)),
            Self::Rewrite(work) => work.manifest.reuses(location),
            Self::Evolve(_) | Self::Properties(_) | Self::Relocate(_) | Self::Expire(_) => false,
        }
    }
}

/// The next state, staged but not written.
struct Next {
    metadata: TableMetadata,
    location: String,
    pending_deletes: Vec<(String, TimestampMs)>,
    /// Of the new snapshot, if there is one.
    manifests: Option<Vec<ManifestFile>>,
}

impl Attempt<'_> {
    /// Stages the files of the next state; `None` if the base is as wanted.
    async fn build(&self, work: &mut Work<'_>) -> Result<Option<Next>> {
        let (built, unreachable, manifests) = match work.propose(self).await? {
            Proposal::Nothing => return Ok(None),
            Proposal::Snapshot(mut new) => {
                new.manifests = self.merge_manifests(new.manifests).await?;
                let manifests = new.manifests.clone();
                let (built, unreachable) = self.add_snapshot(new).await?;
                (built, unreachable, Some(manifests))
            }
            Proposal::Metadata(built, unreachable) => (*built, unreachable, None),
        };
        let metadata = match work {
            Work::Relocate(_) => relocate::current_locations(&built.metadata, self.tables.files())?,
            _ => built.metadata,
        };
        let location = self.stage_metadata(&metadata).await?;
        let delete_logs = property(&metadata, "write.metadata.delete-after-commit.enabled", true);
        let grace = property(&metadata, GRACE_PROPERTY, GRACE_MS);
        let expired_logs = built.expired_metadata_logs.into_iter().filter(|_| delete_logs);
        let deletes = unreachable.into_iter().chain(expired_logs.map(|log| log.metadata_file));
        let pending_deletes = deletes.map(|path| (path, self.now + grace)).collect();
        Ok(Some(Next { metadata, location, pending_deletes, manifests }))
    }

    async fn add_snapshot(&self, new: NewSnapshot) -> Result<(TableMetadataBuildResult, Vec<String>)> {
        let base = self.base.metadata();
        let sequence_number = base.next_sequence_number();
        let list = self.stage_list(&new.manifests, sequence_number).await?;

        let parent = base.current_snapshot();
        let mut properties = new.counts.summary(parent.map(|snapshot| snapshot.summary()));
        properties.extend(new.properties);
        if let Some(progress) = new.progress {
            properties.insert(Progress::PROPERTY.to_owned(), progress.to_json());
        }
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(base.current_snapshot_id())
            .with_sequence_number(sequence_number)
            .with_timestamp_ms(self.now)
            .with_manifest_list(list)
            .with_schema_id(base.current_schema_id())
            .with_summary(Summary { operation: new.operation, additional_properties: properties })
            .build();

        let built = self.with_snapshot(&snapshot, &[])?;
        // Retention rides along: a table that commits every second must not grow for ever.
        let retention = Retention::of(&built.metadata);
        if retention.due_in_commit(&built.metadata) {
            // The parent stays: what is staged is described by it.
            let expired = expire::select(&built.metadata, &retention, self.now, base.current_snapshot_id());
            if !expired.is_empty() {
                let unreachable =
                    reach::unreachable(self.tables, &built.metadata, &expired, Some(self.snapshot_id)).await?;
                return Ok((self.with_snapshot(&snapshot, &expired)?, unreachable));
            }
        }
        Ok((built, Vec::new()))
    }

    /// The base with `snapshot`, without `expired` ones.
    fn with_snapshot(&self, snapshot: &Snapshot, expired: &[i64]) -> Result<TableMetadataBuildResult> {
        let builder = self
            .builder()
            .set_branch_snapshot(snapshot.clone(), MAIN_BRANCH)
            .map_err(|e| internal(format!("could not add a snapshot to `{}`", self.base.name()), e))?;
        self.built(self.without(builder, expired))
    }

    fn without(&self, mut builder: TableMetadataBuilder, expired: &[i64]) -> TableMetadataBuilder {
        for id in expired {
            if self.base.metadata().statistics_for_snapshot(*id).is_some() {
                builder = builder.remove_statistics(*id);
            }
        }
        if expired.is_empty() { builder } else { builder.remove_snapshots(expired) }
    }

    /// To add a snapshot to the base; its timestamp becomes that of the metadata.
    fn builder(&self) -> TableMetadataBuilder {
        let location = self.base.metadata_location().to_owned();
        self.base.metadata().as_ref().clone().into_builder(Some(location))
    }

    /// The base changed by `change`, which adds no snapshot.
    fn metadata_only(
        &self,
        unreachable: Vec<String>,
        change: impl FnOnce(TableMetadataBuilder) -> Result<TableMetadataBuilder>,
    ) -> Result<Proposal> {
        let base = self.base.metadata();
        let moved = dated(base, 0, -base.last_updated_ms())?;
        let builder = change(moved.into_builder(Some(self.base.metadata_location().to_owned())))?;
        let mut built = self.built(builder)?;
        built.metadata = dated(&built.metadata, self.now, base.last_updated_ms())?;
        Ok(Proposal::Metadata(Box::new(built), unreachable))
    }

    fn built(&self, builder: TableMetadataBuilder) -> Result<TableMetadataBuildResult> {
        builder.build().map_err(|e| internal(format!("could not build the metadata of `{}`", self.base.name()), e))
    }

    async fn stage_list(&self, manifests: &[ManifestFile], sequence_number: i64) -> Result<String> {
        let location = self.metadata_file(&format!("snap-{}", self.snapshot_id));
        let parent = self.base.metadata().current_snapshot_id();
        let mut list =
            ManifestListWriter::v2(self.stage.writer(location.clone()), self.snapshot_id, parent, sequence_number);
        let failed = |e| internal(format!("could not write a manifest list of `{}`", self.base.name()), e);
        list.add_manifests(manifests.iter().cloned()).map_err(failed)?;
        list.close().await.map_err(failed)?;
        Ok(location)
    }

    async fn stage_metadata(&self, metadata: &TableMetadata) -> Result<String> {
        let previous = self.tables.files().current(self.base.metadata_location());
        stage_metadata(self.stage, &previous, metadata).await
    }

    /// Name for a new Avro file in the metadata folder.
    pub(crate) fn metadata_file(&self, prefix: &str) -> String {
        let random = self.tables.world().random.u64();
        let folder = self.tables.files().current(self.base.metadata().location());
        format!("{folder}/metadata/{prefix}-{random:016x}.avro")
    }
}

/// `metadata` last updated at `now`, with its logs moved by `by` ms.
///
/// The library dates metadata without a new snapshot by the machine's clock, and refuses it when that is behind the
/// logs: a clock set back would stop upkeep. Everything here goes by the world's clock instead, so such metadata is
/// built with its logs moved into the distant past, and moved back after.
pub(crate) fn dated(metadata: &TableMetadata, now: TimestampMs, by: i64) -> Result<TableMetadata> {
    let unlikely = |e| internal(format!("could not date the metadata of `{}`", metadata.location()), e);
    let mut json = serde_json::to_value(metadata).map_err(unlikely)?;
    json["last-updated-ms"] = now.into();
    for log in ["snapshot-log", "metadata-log"] {
        for entry in json.get_mut(log).and_then(|log| log.as_array_mut()).into_iter().flatten() {
            if let Some(moment) = entry["timestamp-ms"].as_i64() {
                entry["timestamp-ms"] = (moment + by).into();
            }
        }
    }
    serde_json::from_value(json).map_err(unlikely)
}

/// Time between a file's becoming unreachable and its deletion, for readers that still use it.
pub(crate) const GRACE_PROPERTY: &str = "lakehead.delete-grace-ms";
pub(crate) const GRACE_MS: i64 = 15 * 60 * 1000;

/// Stages `metadata` as the successor of the file at `previous`, and returns its location.
pub(crate) async fn stage_metadata(stage: &Stage, previous: &str, metadata: &TableMetadata) -> Result<String> {
    let location = match previous.parse::<MetadataLocation>() {
        Ok(previous) => previous.with_next_version().with_new_metadata(metadata),
        // A file named by another engine: our numbering starts afresh.
        Err(_) => MetadataLocation::new_with_metadata(metadata.location(), metadata),
    };
    let io: FileIO = FileIOBuilder::new(Arc::new(stage.clone())).build();
    metadata
        .write_to(&io, &location)
        .await
        .map_err(|e| internal(format!("could not encode the metadata of `{}`", metadata.location()), e))?;
    Ok(location.to_string())
}
