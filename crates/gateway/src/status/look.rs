//! One look at the node.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use commitlog::{Log, groups::Offsets, log::partitions};
use model::{TableName, TopicPartition};
use serde::Serialize;

use crate::app::App;

/// Most topics, tables and groups shown; what is more is counted only.
const SHOWN_MAX: usize = 500;

#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    now_ms: i64,
    uptime_seconds: u64,
    memory_bytes: Option<u64>,
    cluster_id: String,
    doors: Vec<Door>,
    totals: Totals,
    topics: Vec<Topic>,
    tables: Vec<Table>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Door {
    name: &'static str,
    address: String,
}

#[derive(Default, Serialize)]
struct Totals {
    topics: usize,
    tables: usize,
    groups: usize,
    records_per_second: f64,
    bytes_per_second: f64,
}

#[derive(Serialize)]
struct Topic {
    name: String,
    internal: bool,
    partitions: i32,
    /// Readable in the log.
    records: i64,
    bytes: u64,
    records_per_second: f64,
    bytes_per_second: f64,
    /// Where the columns come from: declared, registry, inferred, unknown.
    columns: Option<&'static str>,
    /// Records in the log that are not in the Iceberg table yet (SQL sees them all the same).
    lag: Option<u64>,
    rejected: u64,
    error: Option<String>,
}

#[derive(Serialize)]
struct Table {
    zone: String,
    name: String,
    rows: Option<u64>,
    files: Option<u64>,
    bytes: Option<u64>,
    last_commit_ms: Option<i64>,
    /// The topic it is filled from, if it is.
    topic: Option<String>,
    columns: Option<&'static str>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    state: &'static str,
    members: usize,
    topics: Vec<GroupTopic>,
    lag: i64,
}

#[derive(Serialize)]
struct GroupTopic {
    topic: String,
    lag: i64,
}

/// What the next look compares with.
#[derive(Default)]
pub(super) struct Rates(HashMap<String, (i64, u64)>);

/// A topic summed over its partitions.
pub(crate) struct TopicTotals {
    pub(crate) name: String,
    pub(crate) internal: bool,
    pub(crate) partitions: i32,
    /// Readable.
    pub(crate) records: i64,
    /// Sum of the ends: only grows.
    pub(crate) end: i64,
    pub(crate) bytes: u64,
}

pub(crate) fn topic_totals(log: &dyn Log) -> Vec<TopicTotals> {
    let of = |topic: Arc<commitlog::Topic>| {
        let mut totals = TopicTotals {
            name: topic.name.to_string(),
            internal: topic.name.is_internal(),
            partitions: topic.partitions,
            records: 0,
            end: 0,
            bytes: 0,
        };
        for partition in partitions(&topic) {
            // A topic deleted in between counts as empty.
            if let Ok(bounds) = log.bounds(&partition) {
                totals.records += bounds.high_watermark - bounds.log_start;
                totals.end += bounds.log_end;
            }
            totals.bytes += log.size(&partition).unwrap_or(0);
        }
        totals
    };
    log.topics().into_iter().map(of).collect()
}

/// Records between committed offsets and the end, by topic.
pub(crate) fn group_lag(log: &dyn Log, offsets: &Offsets) -> BTreeMap<String, i64> {
    let mut lags = BTreeMap::new();
    for ((topic, partition), committed) in offsets {
        let Some(topic) = log.topic(topic) else { continue };
        let at = TopicPartition::new(topic.name.clone(), *partition);
        if let Ok(bounds) = log.bounds(&at) {
            let next = committed.offset.max(bounds.log_start);
            *lags.entry(topic.name.to_string()).or_insert(0) += (bounds.high_watermark - next).max(0);
        }
    }
    lags
}

/// Looks at everything. `before` is the last look and how long ago it was.
pub(super) async fn take(app: &App, before: Option<(&Rates, Duration)>) -> (Status, Rates) {
    let parts = &app.parts;
    let lake: HashMap<String, lake::TopicStatus> =
        parts.lake.status().into_iter().map(|s| (s.topic.to_string(), s)).collect();

    let (topics, rates) = topics(parts.log.as_ref(), &lake, before);
    let visible = topics.iter().filter(|t| !t.internal);
    let mut totals = Totals { topics: visible.clone().count(), ..Totals::default() };
    for topic in visible {
        totals.records_per_second += topic.records_per_second;
        totals.bytes_per_second += topic.bytes_per_second;
    }
    let tables = tables(app, &lake, &mut totals).await;
    let groups = groups(app, &mut totals);
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        now_ms: parts.world.clock.now_ms(),
        uptime_seconds: parts.world.clock.monotonic().saturating_sub(app.opened).as_secs(),
        memory_bytes: crate::metrics::resident_bytes(),
        cluster_id: parts.log.cluster_id().to_owned(),
        doors: parts.doors.iter().map(|(name, address)| Door { name, address: address.clone() }).collect(),
        totals,
        topics,
        tables,
        groups,
    };
    (status, rates)
}

fn topics(
    log: &dyn Log,
    lake: &HashMap<String, lake::TopicStatus>,
    before: Option<(&Rates, Duration)>,
) -> (Vec<Topic>, Rates) {
    let mut rates = Rates::default();
    let mut topics = Vec::new();
    for t in topic_totals(log) {
        let per_second = |now: f64, then: f64, elapsed: Duration| ((now - then) / elapsed.as_secs_f64()).max(0.0);
        let (records_per_second, bytes_per_second) = before
            .and_then(|(rates, elapsed)| rates.0.get(&t.name).map(|then| (then, elapsed)))
            .map_or((0.0, 0.0), |(then, elapsed)| {
                (per_second(t.end as f64, then.0 as f64, elapsed), per_second(t.bytes as f64, then.1 as f64, elapsed))
            });
        rates.0.insert(t.name.clone(), (t.end, t.bytes));
        let status = lake.get(&t.name);
        topics.push(Topic {
            internal: t.internal,
            partitions: t.partitions,
            records: t.records,
            bytes: t.bytes,
            records_per_second,
            bytes_per_second,
            columns: status.map(|s| s.origin.as_str()),
            lag: status.map(|s| s.lag),
            rejected: status.map_or(0, |s| s.rejected),
            error: status.and_then(|s| s.error.clone()),
            name: t.name,
        });
    }
    topics.sort_by(|a, b| (a.internal, &a.name).cmp(&(b.internal, &b.name)));
    topics.truncate(SHOWN_MAX);
    (topics, rates)
}

async fn tables(app: &App, lake: &HashMap<String, lake::TopicStatus>, totals: &mut Totals) -> Vec<Table> {
    let by_table: HashMap<&TableName, &lake::TopicStatus> = lake.values().map(|s| (&s.table, s)).collect();
    let mut tables = Vec::new();
    for zone in catalog::ZONES {
        match app.parts.catalog.tables(zone).await {
            Ok(names) => {
                totals.tables += names.len();
                for name in names.into_iter().take(SHOWN_MAX - tables.len()) {
                    let status = by_table.get(&name).copied();
                    tables.push(table(app, name, status).await);
                }
            }
            Err(error) => tracing::warn!(%error, zone, "could not list the tables of a zone"),
        }
    }
    tables
}

async fn table(app: &App, name: TableName, status: Option<&lake::TopicStatus>) -> Table {
    let mut shown = Table {
        zone: name.namespace.to_string(),
        name: name.name.to_string(),
        rows: None,
        files: None,
        bytes: None,
        last_commit_ms: None,
        topic: status.map(|s| s.topic.to_string()),
        columns: status.map(|s| s.origin.as_str()),
        error: None,
    };
    match app.parts.tables.load(&name).await {
        Ok(Some(table)) => {
            let Some(snapshot) = table.current_snapshot() else {
                (shown.rows, shown.files, shown.bytes) = (Some(0), Some(0), Some(0));
                return shown;
            };
            let summary = &snapshot.summary().additional_properties;
            let total = |key: &str| summary.get(key).and_then(|v| v.parse().ok());
            shown.rows = total("total-records");
            shown.files = total("total-data-files");
            shown.bytes = total("total-files-size");
            shown.last_commit_ms = Some(snapshot.timestamp_ms());
        }
        Ok(None) => shown.error = Some("dropped just now".to_owned()),
        Err(error) => shown.error = Some(error.to_string()),
    }
    shown
}

fn groups(app: &App, totals: &mut Totals) -> Vec<Group> {
    let Some(groups) = &app.parts.groups else { return Vec::new() };
    let all = groups.list();
    totals.groups = all.len();
    let describe = |summary: commitlog::groups::GroupSummary| {
        let lags = group_lag(app.parts.log.as_ref(), &groups.offsets(&summary.group));
        Group {
            name: summary.group.to_string(),
            state: summary.state.name(),
            members: summary.members,
            lag: lags.values().sum(),
            topics: lags.into_iter().map(|(topic, lag)| GroupTopic { topic, lag }).collect(),
        }
    };
    let mut shown: Vec<_> = all.into_iter().take(SHOWN_MAX).map(describe).collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    shown
}
