//! A broker without the rest of the house: `serve PORT DIR` (port 0 picks a free one). For driving the Kafka door by hand
//! and for measuring it.

use commitlog::{
    embedded::{EmbeddedLog, LogSettings},
    groups::Groups,
    transactions::Transactions,
};
use world::World;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_else(|| "9092".to_owned()).parse()?;
    let dir = arguments.next().unwrap_or_else(|| "data".to_owned());
    let world = World::real();
    let log = EmbeddedLog::open(dir.as_ref(), LogSettings::default(), world.clone()).await?;
    let groups = Groups::open(log.clone(), world.clone()).await?;
    let transactions = Transactions::open(log.clone(), groups.clone(), world.clone()).await?;
    let handle = broker::Broker::start(broker::BrokerParts {
        log: log.clone(),
        groups,
        transactions,
        world: world.clone(),
        listen: (std::net::Ipv4Addr::LOCALHOST, port).into(),
        settings: broker::BrokerSettings::default(),
    })
    .await?;
    println!("kafka {}", handle.addr);
    tokio::signal::ctrl_c().await?;
    println!("{:#?}", handle.stats());
    world.tasks.stop(std::time::Duration::from_secs(5)).await;
    log.close().await?;
    Ok(())
}
