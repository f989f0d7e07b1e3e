//! `lakehead`: the commands, what they print and how they exit (0 done, 1 failed, 2 used wrongly).

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "`out` is the one way to print: a closed pipe is no panic"
)]

mod clients;
mod commands;
mod failure;
mod out;
mod table;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "lakehead", version, about = "Where streams become a lake: Kafka in, Iceberg kept, SQL out")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more: once for debug, twice for trace (or set LAKEHEAD_LOG, e.g. `broker=debug`).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Start a node and keep it up until it is interrupted.
    Up(commands::up::UpArgs),
    /// Show it on real data: a month of flights in through Kafka, five questions answered while they arrive.
    Demo(commands::demo::DemoArgs),
    /// Run SQL: a statement, a file, what comes in by a pipe, or a prompt.
    Sql(commands::sql::SqlArgs),
    /// List, create, describe and remove topics.
    Topics(commands::topics::TopicsArgs),
    /// Write lines from standard input to a topic.
    Produce(commands::produce::ProduceArgs),
    /// Print the records of a topic.
    Consume(commands::consume::ConsumeArgs),
    /// List, describe and look after Iceberg tables.
    Tables(commands::tables::TablesArgs),
    /// Explain an error code.
    Explain(commands::explain::ExplainArgs),
}

fn main() -> ExitCode {
    // Before anything asks for memory.
    let small_pages = world::small_pages();
    let cli = Cli::parse();
    start_log(cli.verbose, matches!(cli.command, Command::Up(_)));
    if let Err(error) = small_pages {
        tracing::debug!(%error, "huge pages stay on");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system can start threads");
    let done = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => commands::up::run(args).await,
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Sql(args) => commands::sql::run(args).await,
            Command::Topics(args) => commands::topics::run(args).await,
            Command::Produce(args) => commands::produce::run(args).await,
            Command::Consume(args) => commands::consume::run(args).await,
            Command::Tables(args) => commands::tables::run(args).await,
            Command::Explain(args) => commands::explain::run(&args),
        }
    });
    // What still runs (a prompt's reader, a cancelled query) must not keep the process alive.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // `lakehead consume … | head` is a fine way to stop.
        Err(error) if out::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format_args!("error: {}", failure::told(&error)));
            ExitCode::FAILURE
        }
    }
}

fn start_log(verbose: u8, serving: bool) {
    let default = match verbose {
        0 if serving => "info,datafusion=warn,sqlx=warn",
        0 => "error",
        1 => "debug,datafusion=info,sqlx=info,hyper=info",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LAKEHEAD_LOG").unwrap_or_else(|_| default.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(out::takes_colours(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .with_target(true)
        .init();
}
