//! `lakehead topics`: list, create, describe and remove.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};

use crate::{
    Target,
    clients::{http, kafka::KafkaClient},
    table,
};

#[derive(Args)]
pub struct TopicsArgs {
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
    /// The topics there are.
    Ls {
        /// Also those whose names start with `_`.
        #[arg(long)]
        all: bool,
    },
    /// Make a topic.
    Create {
        name: String,
        #[arg(short, long, default_value_t = -1, value_name = "N")]
        partitions: i32,
        /// A setting by Kafka's name, such as `retention.ms=60000`.
        #[arg(short, long = "config", value_name = "KEY=VALUE")]
        config: Vec<String>,
    },
    /// Columns of a topic and where they come from.
    Describe { name: String },
    /// Remove a topic, its records and its table.
    Rm { name: String },
}

pub async fn run(args: TopicsArgs) -> Result<()> {
    let mut kafka = match args.action {
        Action::Describe { .. } => None,
        _ => Some(KafkaClient::connect(&args.target.kafka()).await?),
    };
    let client = kafka.as_mut().ok_or_else(|| anyhow!("no Kafka door"));
    match args.action {
        Action::Ls { all } => {
            let topics = client?.topics(None, false).await?;
            for topic in topics.iter().filter(|topic| all || !(topic.is_internal || topic.name.starts_with('_'))) {
                if args.json {
                    println!("{}", serde_json::json!({"name": topic.name, "partitions": topic.partitions}));
                } else {
                    println!("{}\t{} partitions", topic.name, topic.partitions);
                }
            }
        }
        Action::Create { name, partitions, config } => {
            let config = config
                .iter()
                .map(|setting| {
                    let (key, value) =
                        setting.split_once('=').ok_or_else(|| anyhow!("`{setting}` is not KEY=VALUE"))?;
                    Ok((key.to_owned(), value.to_owned()))
                })
                .collect::<Result<BTreeMap<_, _>>>()?;
            client?.create_topic(&name, partitions, &config).await?;
            eprintln!("topic `{name}` is there");
        }
        Action::Describe { name } => {
            let answer = http::sql(&args.target.http(), &format!("DESCRIBE {}", quoted(&name))).await?;
            print(&answer, args.json)?;
        }
        Action::Rm { name } => {
            client?.delete_topic(&name).await?;
            eprintln!("topic `{name}` is gone");
        }
    }
    Ok(())
}

/// A name as a SQL identifier.
pub fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
}

/// Prints an answer as a table, or as one JSON object a row.
pub fn print(answer: &http::Answer, json: bool) -> Result<()> {
    if json {
        let mut writer = arrow::json::LineDelimitedWriter::new(std::io::stdout().lock());
        for batch in &answer.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
    } else {
        print!("{}", table::draw(&answer.schema, &answer.batches, usize::MAX)?);
    }
    Ok(())
}
