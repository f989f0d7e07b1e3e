//! `lakehead tables`: list, describe and look after Iceberg tables.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    clients::http,
    commands::topics::{quoted, show},
    out,
    target::Target,
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
    let address = args.target.http()?;
    let statement = match &args.action {
        Action::Ls => "SHOW TABLES".to_owned(),
        Action::Describe { name } => format!("DESCRIBE {}", quoted(name)),
        Action::History { name } => {
            let (zone, table) = name.split_once('.').unwrap_or(("public", name));
            format!("SELECT * FROM \"{zone}\".\"{}$snapshots\" ORDER BY committed_at", table.replace('"', "\"\""))
        }
        Action::Optimize { name } => return maintain(&address, "OPTIMIZE", name, args.json).await,
        Action::Expire { name } => return maintain(&address, "VACUUM", name, args.json).await,
    };
    show(&address, &statement, args.json).await
}

/// Has something done to a table and says what it was.
async fn maintain(address: &str, verb: &str, name: &str, json: bool) -> Result<()> {
    let outcome = http::sql(address, &format!("{verb} {}", quoted(name))).await?.outcome;
    if json {
        return out::line(serde_json::json!({"table": name, "done": outcome.tag, "notices": outcome.notices}));
    }
    out::line(format_args!("`{name}`: {}", outcome.notices.join("; ")))
}
