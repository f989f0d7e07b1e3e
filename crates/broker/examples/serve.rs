//! The Kafka door over a log and nothing else, for measurements: `serve DIR ADDRESS [relaxed]`.

use std::path::PathBuf;

use broker::{Broker, BrokerParts, BrokerSettings};
use commitlog::{
    embedded::{EmbeddedLog, LogSettings},
    groups::Groups,
};
use world::World;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let world = World::real();
    world::small_pages().expect("small pages");
    let settings = LogSettings {
        unsafe_ack_before_fsync: args.get(2).is_some_and(|how| how == "relaxed"),
        ..LogSettings::default()
    };
    let log = EmbeddedLog::open(&PathBuf::from(&args[0]), settings, world.clone()).await.expect("the log opens");
    let groups = Groups::open(log.clone(), world.clone()).await.expect("groups open");
    let listen = args[1].parse().expect("an address");
    let parts = BrokerParts { log, groups, world, listen, settings: BrokerSettings::default() };
    let _broker = Broker::start(parts).await.expect("listens");
    std::future::pending::<()>().await;
}
