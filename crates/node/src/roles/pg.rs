//! Role `gateway`, first half: the PostgreSQL door.

use std::net::SocketAddr;

use model::Result;
use pg::{Pg, PgParts, PgSettings};

use crate::{House, Settings};

pub(crate) async fn start(settings: &Settings, house: &House) -> Result<SocketAddr> {
    let door = Pg::start(PgParts {
        engine: house.engine.clone(),
        catalog: house.catalog.clone(),
        listen: settings.pg,
        settings: PgSettings::default(),
        world: house.world.clone(),
    })
    .await?;
    Ok(door.addr)
}
