//! Role `broker`: the Kafka door.

use std::{fmt::Write, sync::Arc};

use ::broker::{Broker, BrokerHandle, BrokerParts, BrokerSettings, StatsSnapshot};
use commitlog::{CompactionStats, Log};
use gateway::MetricsSource;
use model::Result;

use crate::{House, Settings};

pub(crate) async fn start(settings: &Settings, house: &House) -> Result<BrokerHandle> {
    Broker::start(BrokerParts {
        log: house.log.clone(),
        groups: house.groups.clone(),
        transactions: house.transactions.clone(),
        world: house.world.clone(),
        listen: settings.kafka,
        settings: BrokerSettings {
            auto_create_topics: settings.auto_create_topics,
            partitions_default: settings.default_partitions,
            security: settings.kafka_security.clone(),
            ..BrokerSettings::default()
        },
    })
    .await
}

/// The broker's counters, for `/metrics`.
pub(crate) fn metrics(broker: BrokerHandle) -> MetricsSource {
    Arc::new(move |out| {
        // Writing into a text in memory cannot fail.
        let _written = write(out, &broker.stats());
    })
}

fn write(out: &mut dyn Write, stats: &StatsSnapshot) -> std::fmt::Result {
    let counters = [
        ("lakehead_kafka_connections_total", stats.connections),
        ("lakehead_kafka_connections_refused_total", stats.connections_refused),
        ("lakehead_kafka_received_bytes_total", stats.bytes_in),
        ("lakehead_kafka_sent_bytes_total", stats.bytes_out),
        ("lakehead_kafka_produced_batches_total", stats.batches_in),
        ("lakehead_kafka_produced_records_total", stats.records_in),
        ("lakehead_kafka_bad_requests_total", stats.bad_requests),
        ("lakehead_kafka_errors_total", stats.errors),
        ("lakehead_kafka_throttled_total", stats.throttled),
    ];
    for (name, value) in counters {
        writeln!(out, "# TYPE {name} counter\n{name} {value}")?;
    }
    writeln!(out, "# TYPE lakehead_kafka_connections gauge\nlakehead_kafka_connections {}", stats.connections_open)?;
    writeln!(out, "# TYPE lakehead_kafka_requests_total counter")?;
    for (api, requests) in &stats.requests {
        writeln!(out, "lakehead_kafka_requests_total{{api=\"{api}\"}} {requests}")?;
    }
    Ok(())
}

/// What compaction does in the log, for `/metrics`.
pub(crate) fn compaction_metrics(log: Arc<dyn Log>) -> MetricsSource {
    Arc::new(move |out| {
        let _written = write_compaction(out, &log.compaction());
    })
}

fn write_compaction(out: &mut dyn Write, stats: &CompactionStats) -> std::fmt::Result {
    for (name, value) in [
        ("lakehead_log_compaction_runs_total", stats.runs),
        ("lakehead_log_compaction_failures_total", stats.failures),
        ("lakehead_log_compaction_read_bytes_total", stats.bytes_read),
        ("lakehead_log_compaction_written_bytes_total", stats.bytes_written),
        ("lakehead_log_compaction_kept_records_total", stats.records_kept),
        ("lakehead_log_compaction_dropped_records_total", stats.records_dropped),
    ] {
        writeln!(out, "# TYPE {name} counter\n{name} {value}")?;
    }
    writeln!(out, "# TYPE lakehead_log_compaction_dirty_ratio gauge")?;
    for partition in &stats.partitions {
        let (topic, number) = (&partition.partition.topic, partition.partition.partition);
        let labels = format!("topic=\"{topic}\",partition=\"{number}\"");
        writeln!(out, "lakehead_log_compaction_dirty_ratio{{{labels}}} {}", partition.dirty_ratio)?;
    }
    Ok(())
}
