//! `lakehead tables`: list, describe and look after Iceberg tables.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    Target,
    clients::http,
    commands::topics::{print, quoted},
};

#[derive(Args)]
pub struct TablesArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// The tables there are, topics' tables included.
    Ls,
    /// Columns of a table.
    Describe { name: String },
    /// Snapshots of a table, oldest first.
    History { name: String },
    /// Merge small files into larger ones.
    Optimize { name: String },
    /// Drop old snapshots with the files only they need.
    Expire { name: String },
}

pub async fn run(args: TablesArgs) -> Result<()> {
    let statement = match &args.action {
        Action::Ls => "SHOW TABLES".to_owned(),
        Action::Describe { name } => format!("DESCRIBE {}", quoted(name)),
        Action::History { name } => {
            let (zone, table) = name.split_once('.').unwrap_or(("public", name));
            format!("SELECT * FROM \"{zone}\".\"{}$snapshots\" ORDER BY committed_at", table.replace('"', "\"\""))
        }
        Action::Optimize { name } => format!("OPTIMIZE {}", quoted(name)),
        Action::Expire { name } => format!("VACUUM {}", quoted(name)),
    };
    print(&http::sql(&args.target.http(), &statement).await?, args.json)
}
