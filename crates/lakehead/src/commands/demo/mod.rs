//! `lakehead demo`: a whole node at work on real data.

mod flights;

use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct DemoArgs {
    #[command(subcommand)]
    demo: Demo,
}

#[derive(Subcommand)]
enum Demo {
    /// Every flight that left New York in January 2013, with the weather.
    Flights(flights::FlightsArgs),
}

pub async fn run(args: DemoArgs) -> Result<()> {
    match args.demo {
        Demo::Flights(args) => flights::run(args).await,
    }
}
