//! `/metrics`: counters and gauges in Prometheus' text format. Names are `lakehead_<noun>_<unit>[_total]`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;

use crate::app::Shared;

/// What this door counts itself.
#[derive(Default)]
pub(crate) struct Counters {
    /// Requests by route (as declared, so their number is bounded) and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    rows_sent: AtomicU64,
}

impl Counters {
    pub(crate) fn rows_sent(&self, rows: usize) {
        self.rows_sent.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

pub(crate) async fn count(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "other".to_owned(), |p| p.as_str().to_owned());
    let response = next.run(request).await;
    *app.counters.requests.lock().entry((route, response.status().as_u16())).or_default() += 1;
    response
}

pub(crate) async fn answer(State(app): State<Shared>) -> Response {
    let mut out = String::with_capacity(16 << 10);
    own(&app, &mut out);
    topics(&app, &mut out);
    groups(&app, &mut out);
    for source in &app.parts.metrics {
        source(&mut out);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out).into_response()
}

/// Begins a family of lines.
fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    put(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string grows as needed");
}

/// A label's value: `\`, `"` and line ends are escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn own(app: &Shared, out: &mut String) {
    family(out, "lakehead_build_info", "gauge", "Always 1; the version is the label.");
    put(out, format_args!("lakehead_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION")));
    let up = app.parts.world.clock.monotonic().saturating_sub(app.opened);
    family(out, "lakehead_uptime_seconds", "gauge", "Time since the HTTP door opened.");
    put(out, format_args!("lakehead_uptime_seconds {:.3}\n", up.as_secs_f64()));
    if let Some(bytes) = resident_bytes() {
        family(out, "process_resident_memory_bytes", "gauge", "Resident memory of the process.");
        put(out, format_args!("process_resident_memory_bytes {bytes}\n"));
    }
    family(out, "lakehead_http_requests_total", "counter", "Requests answered by the HTTP door.");
    for ((route, status), count) in app.counters.requests.lock().iter() {
        put(
            out,
            format_args!("lakehead_http_requests_total{{route=\"{}\",status=\"{status}\"}} {count}\n", label(route)),
        );
    }
    family(out, "lakehead_http_sql_rows_total", "counter", "Rows sent in answers to POST /sql.");
    put(out, format_args!("lakehead_http_sql_rows_total {}\n", app.counters.rows_sent.load(Ordering::Relaxed)));
}

/// Pages the process holds in memory, of 4 KiB each (the second field of `/proc/self/statm`).
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

fn topics(app: &Shared, out: &mut String) {
    let totals = crate::status::topic_totals(app.parts.log.as_ref());
    family(out, "lakehead_topic_appended_records_total", "counter", "Offsets given out, over all partitions.");
    for t in &totals {
        put(out, format_args!("lakehead_topic_appended_records_total{{topic=\"{}\"}} {}\n", t.name, t.end));
    }
    family(out, "lakehead_topic_records", "gauge", "Records readable in the log.");
    for t in &totals {
        put(out, format_args!("lakehead_topic_records{{topic=\"{}\"}} {}\n", t.name, t.records));
    }
    family(out, "lakehead_topic_bytes", "gauge", "Bytes of the topic's segments on disk.");
    for t in &totals {
        put(out, format_args!("lakehead_topic_bytes{{topic=\"{}\"}} {}\n", t.name, t.bytes));
    }
    let lake = app.parts.lake.status();
    family(out, "lakehead_lake_lag_records", "gauge", "Records in the log that are not in the Iceberg table yet.");
    for s in &lake {
        put(out, format_args!("lakehead_lake_lag_records{{topic=\"{}\"}} {}\n", s.topic, s.lag));
    }
    family(out, "lakehead_lake_rejected_records_total", "counter", "Records that could not be decoded.");
    for s in &lake {
        put(out, format_args!("lakehead_lake_rejected_records_total{{topic=\"{}\"}} {}\n", s.topic, s.rejected));
    }
}

fn groups(app: &Shared, out: &mut String) {
    let Some(groups) = &app.parts.groups else { return };
    family(out, "lakehead_group_members", "gauge", "Members of the consumer group.");
    for group in groups.list() {
        put(out, format_args!("lakehead_group_members{{group=\"{}\"}} {}\n", label(&group.group), group.members));
    }
    family(out, "lakehead_group_lag_records", "gauge", "Records between the group's committed offsets and the end.");
    for group in groups.list() {
        for (topic, lag) in crate::status::group_lag(app.parts.log.as_ref(), &groups.offsets(&group.group)) {
            put(
                out,
                format_args!(
                    "lakehead_group_lag_records{{group=\"{}\",topic=\"{}\"}} {lag}\n",
                    label(&group.group),
                    label(&topic)
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
