//! Role `broker`: the Kafka door.

use std::{fmt::Write, sync::Arc};

use ::broker::{Broker, BrokerHandle, BrokerParts, BrokerSettings, StatsSnapshot};
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
