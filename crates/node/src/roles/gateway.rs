//! Role `gateway`, second half: the HTTP door. Started last, since it shows all the others.

use std::net::SocketAddr;

use gateway::{Gateway, GatewayParts, GatewaySettings, MetricsSource};
use model::Result;

use crate::{Addresses, House, Settings};

pub(crate) async fn start(
    settings: &Settings,
    house: &House,
    others: &Addresses,
    metrics: Vec<MetricsSource>,
) -> Result<SocketAddr> {
    let doors = [("kafka", others.kafka), ("pg", others.pg)];
    let door = Gateway::start(GatewayParts {
        engine: house.engine.clone(),
        lake: house.lake.clone(),
        registry: house.registry.clone(),
        log: house.log.clone(),
        groups: Some(house.groups.clone()),
        tables: house.tables.clone(),
        catalog: house.catalog.clone(),
        doors: doors.into_iter().filter_map(|(name, address)| Some((name, address?.to_string()))).collect(),
        metrics,
        listen: settings.http,
        settings: GatewaySettings::default(),
        world: house.world.clone(),
    })
    .await?;
    Ok(door.addr)
}
