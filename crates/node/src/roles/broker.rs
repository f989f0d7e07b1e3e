//! Role `broker`: the Kafka door.

use std::sync::Arc;

use ::broker::{Broker, BrokerHandle, BrokerParts, BrokerSettings};
use gateway::MetricsSource;
use model::Result;

use crate::{House, Settings};

pub(crate) async fn start(settings: &Settings, house: &House) -> Result<BrokerHandle> {
    Broker::start(BrokerParts {
        log: house.log.clone(),
        groups: house.groups.clone(),
        world: house.world.clone(),
        listen: settings.kafka,
        settings: BrokerSettings {
            auto_create_topics: settings.auto_create_topics,
            partitions_default: settings.default_partitions,
            ..BrokerSettings::default()
        },
    })
    .await
}

/// The broker's counters, for `/metrics`.
pub(crate) fn metrics(broker: BrokerHandle) -> MetricsSource {
    Arc::new(move |out| broker.stats().write_prometheus(out))
}
