//! Which snapshots go: those too old or too many, as in Java's `RemoveSnapshots`.

use std::{collections::HashSet, time::Duration};

use iceberg::spec::{MAIN_BRANCH, SnapshotRef, TableMetadata};
use model::{Result, TimestampMs};

use super::{Attempt, Proposal, reach};
use crate::table::{ancestors, mark, property};

/// How long a table's history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    age_max_ms: i64,
    /// Kept whatever their age.
    count_min: usize,
    count_max: usize,
    /// `gc.enabled=false`: somebody else looks after the files, so nothing expires.
    enabled: bool,
}

/// Java's names and defaults.
const AGE_MAX: &str = "history.expire.max-snapshot-age-ms";
const COUNT_MIN: &str = "history.expire.min-snapshots-to-keep";
/// Ours: Iceberg bounds the history by age alone.
const COUNT_MAX: &str = "lakehead.history.max-snapshots";
const AGE_MAX_DEFAULT_MS: i64 = 5 * 24 * 60 * 60 * 1000;
/// Of a table that a writer with progress commits to every second.
const COUNT_MAX_STREAMED: usize = 100;
const COUNT_MAX_BATCH: usize = 300;

impl Retention {
    /// What the table's properties say, else the defaults.
    pub(crate) fn of(metadata: &TableMetadata) -> Self {
        Self::or(metadata, Duration::from_millis(AGE_MAX_DEFAULT_MS.unsigned_abs()), None)
    }

    /// What the table's properties say, else the given age and count.
    pub(crate) fn or(metadata: &TableMetadata, age_max: Duration, count_max: Option<usize>) -> Self {
        let streamed = metadata.current_snapshot().is_some_and(|snapshot| mark(snapshot).is_some());
        let count_max = count_max.unwrap_or(if streamed { COUNT_MAX_STREAMED } else { COUNT_MAX_BATCH });
        let age_max_ms = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        Self {
            age_max_ms: property(metadata, AGE_MAX, age_max_ms),
            count_min: property(metadata, COUNT_MIN, 1).max(1),
            count_max: property(metadata, COUNT_MAX, count_max).max(1),
            enabled: property(metadata, "gc.enabled", true),
        }
    }

    /// Expiry reads manifests; commits do it only when the history is full, and then make room for a while.
    pub(super) fn due_in_commit(&self, metadata: &TableMetadata) -> bool {
        self.enabled && metadata.snapshots().len() > self.count_max
    }
}

/// The snapshots of `metadata` that go; never `always`.
pub(super) fn select(
    metadata: &TableMetadata,
    retention: &Retention,
    now: TimestampMs,
    always: Option<i64>,
) -> Vec<i64> {
    let Some(current) = metadata.current_snapshot().filter(|_| retention.enabled) else { return Vec::new() };
    let line: Vec<SnapshotRef> = ancestors(metadata, current).collect();
    let mut kept = protected(metadata);
    kept.extend(always);
    // Progress must survive: other engines do not carry it forward.
    kept.extend(line.iter().find(|snapshot| mark(snapshot).is_some()).map(|snapshot| snapshot.snapshot_id()));
    let room = match line.len() > retention.count_max {
        true => (retention.count_max * 4 / 5).max(retention.count_min),
        false => retention.count_max,
    };
    let young = |snapshot: &SnapshotRef| now.saturating_sub(snapshot.timestamp_ms()) <= retention.age_max_ms;
    for (index, snapshot) in line.iter().enumerate() {
        if index < retention.count_min || (index < room && young(snapshot)) {
            kept.insert(snapshot.snapshot_id());
        }
    }
    let on_line: HashSet<i64> = line.iter().map(|snapshot| snapshot.snapshot_id()).collect();
    let goes = |snapshot: &&SnapshotRef| {
        let id = snapshot.snapshot_id();
        // Staged or rolled back: nobody refers to it; age alone decides.
        !kept.contains(&id) && (on_line.contains(&id) || !young(snapshot))
    };
    metadata.snapshots().filter(goes).map(|snapshot| snapshot.snapshot_id()).collect()
}

/// Heads of all refs, and everything behind those other than `main`.
fn protected(metadata: &TableMetadata) -> HashSet<i64> {
    let mut protected = HashSet::new();
    for name in other_refs(metadata) {
        if let Some(head) = metadata.snapshot_for_ref(&name) {
            protected.extend(ancestors(metadata, head).map(|snapshot| snapshot.snapshot_id()));
        }
    }
    protected.extend(metadata.current_snapshot_id());
    protected
}

/// Branches and tags besides `main`. The library keeps them to itself, but its JSON does not.
pub(super) fn other_refs(metadata: &TableMetadata) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Refs {
        #[serde(default)]
        refs: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
    }
    let json = serde_json::to_vec(metadata).expect("metadata is JSON: it was read from it");
    let refs: Refs = serde_json::from_slice(&json).expect("just written");
    refs.refs.into_keys().filter(|name| name != MAIN_BRANCH).collect()
}

/// Expiry on its own, apart from a commit of data.
pub(crate) struct ExpireWork {
    pub(crate) age_max: Duration,
    pub(crate) count_max: Option<usize>,
    /// Set by the attempt that is committed.
    pub(crate) expired: usize,
    pub(crate) unreachable: usize,
}

impl ExpireWork {
    pub(super) async fn propose(&mut self, attempt: &Attempt<'_>) -> Result<Proposal> {
        let metadata = attempt.base.metadata();
        let expired = select(metadata, &Retention::or(metadata, self.age_max, self.count_max), attempt.now, None);
        self.expired = expired.len();
        self.unreachable = 0;
        if expired.is_empty() {
            return Ok(Proposal::Nothing);
        }
        let unreachable = reach::unreachable(attempt.tables, metadata, &expired, None).await?;
        self.unreachable = unreachable.len();
        attempt.metadata_only(unreachable, |builder| Ok(attempt.without(builder, &expired)))
    }
}

#[cfg(test)]
mod tests {
    use iceberg::{
        TableCreation,
        spec::{NestedField, Operation, PrimitiveType, Schema, Snapshot, Summary, TableMetadataBuilder, Type},
    };

    use super::*;
    use crate::Progress;

    /// Snapshots 1..=n in a line, one each 1,000 ms; `marked` ones carry progress.
    fn table(n: i64, marked: &[i64], properties: &[(&str, &str)]) -> TableMetadata {
        let id = NestedField::optional(1, "a", Type::Primitive(PrimitiveType::Int));
        let schema = Schema::builder().with_fields([id.into()]).build().expect("schema");
        let creation = TableCreation::builder()
            .name("t".into())
            .location("file:///t".into())
            .schema(schema)
            .properties(
                properties
                    .iter()
                    .map(|(k, v)| (k.to_string(), v.to_string()))
                    .collect::<std::collections::HashMap<_, _>>(),
            )
            .build();
        let mut builder = TableMetadataBuilder::from_table_creation(creation).expect("builder");
        for i in 1..=n {
            let mut summary = Summary { operation: Operation::Append, additional_properties: Default::default() };
            if marked.contains(&i) {
                summary.additional_properties.insert(Progress::PROPERTY.to_owned(), "{}".to_owned());
            }
            let snapshot = Snapshot::builder()
                .with_snapshot_id(i)
                .with_parent_snapshot_id((i > 1).then_some(i - 1))
                .with_sequence_number(i)
                .with_timestamp_ms(i * 1000)
                .with_manifest_list(format!("file:///t/{i}"))
                .with_summary(summary)
                .build();
            builder = builder.set_branch_snapshot(snapshot, MAIN_BRANCH).expect("snapshot");
        }
        builder.build().expect("metadata").metadata
    }

    fn expired(metadata: &TableMetadata, now: i64) -> Vec<i64> {
        let mut expired = select(metadata, &Retention::of(metadata), now, None);
        expired.sort_unstable();
        expired
    }

    #[test]
    fn a_full_history_makes_room_for_a_fifth() {
        let metadata = table(11, &[], &[(COUNT_MAX, "10")]);
        assert!(Retention::of(&metadata).due_in_commit(&metadata));
        assert_eq!(expired(&metadata, 11_000), [1, 2, 3]);
        let metadata = table(10, &[], &[(COUNT_MAX, "10")]);
        assert!(!Retention::of(&metadata).due_in_commit(&metadata));
        assert!(expired(&metadata, 11_000).is_empty());
    }

    #[test]
    fn age_expires_all_but_the_newest() {
        let metadata = table(5, &[], &[(AGE_MAX, "2000")]);
        assert_eq!(expired(&metadata, 5_000), [1, 2]);
        assert_eq!(expired(&metadata, 1_000_000), [1, 2, 3, 4]);
        let metadata = table(5, &[], &[(AGE_MAX, "2000"), (COUNT_MIN, "3")]);
        assert_eq!(expired(&metadata, 1_000_000), [1, 2]);
    }

    #[test]
    fn the_newest_mark_of_progress_never_expires() {
        let metadata = table(5, &[1, 2], &[(AGE_MAX, "1000")]);
        assert_eq!(expired(&metadata, 1_000_000), [1, 3, 4]);
    }

    #[test]
    fn tags_and_what_branches_stand_on_never_expire() {
        let metadata = table(5, &[], &[(AGE_MAX, "1000")]);
        let reference = serde_json::json!({"snapshot-id": 3, "type": "branch"});
        let reference = serde_json::from_value(reference).expect("reference");
        let metadata =
            metadata.into_builder(None).set_ref("audit", reference).expect("ref").build().expect("built").metadata;
        assert_eq!(expired(&metadata, 1_000_000), [4]);
    }

    #[test]
    fn nothing_expires_where_somebody_else_looks_after_the_files() {
        let metadata = table(5, &[], &[(AGE_MAX, "1000"), ("gc.enabled", "false")]);
        assert!(expired(&metadata, 1_000_000).is_empty());
    }
}
