//! `lakehead topics`: list, create, describe and remove.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Result;
use clap::{Args, Subcommand};
use model::{Error, error::codes};
use serde_json::{Map, Value, json};

use crate::{
    clients::{
        http::{self, Form},
        kafka::{KafkaClient, TopicSetting},
    },
    out::{self, Out, counted},
    table::{self, Shape},
    target::Target,
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
    /// Partitions with their offsets, settings, columns and where these come from.
    Describe { name: String },
    /// Remove a topic, its records and its table.
    Rm { name: String },
}

/// `ListOffsets` by these timestamps gives the first offset kept and the next to be written.
const START: i64 = -2;
const END: i64 = -1;
/// Settings worth showing even where they have their defaults.
const ALWAYS_SHOWN: [&str; 2] = ["retention.ms", "retention.bytes"];

pub async fn run(args: TopicsArgs) -> Result<()> {
    let mut kafka = KafkaClient::connect(&args.target.kafka()?).await?;
    match args.action {
        Action::Ls { all } => {
            let topics = kafka.topics(None, false).await?;
            let mut lines = String::new();
            for topic in topics.iter().filter(|topic| all || !(topic.is_internal || topic.name.starts_with('_'))) {
                if args.json {
                    writeln!(lines, "{}", json!({"name": topic.name, "partitions": topic.partitions}))?;
                } else {
                    writeln!(lines, "{}\t{}", topic.name, counted(u64::try_from(topic.partitions)?, "partition"))?;
                }
            }
            out::text(lines)
        }
        Action::Create { name, partitions, config } => {
            let config = config.iter().map(|setting| key_and_value(setting)).collect::<Result<BTreeMap<_, _>>>()?;
            kafka.create_topic(&name, partitions, &config).await?;
            out::note(format_args!("topic `{name}` is there"));
            Ok(())
        }
        Action::Describe { name } => {
            let description = Description::ask(&mut kafka, &args.target.http()?, &name).await?;
            if args.json { out::line(description.json()?) } else { out::text(description.text()?) }
        }
        Action::Rm { name } => {
            kafka.delete_topic(&name).await?;
            out::note(format_args!("topic `{name}` is gone"));
            Ok(())
        }
    }
}

fn key_and_value(setting: &str) -> Result<(String, String)> {
    let (key, value) = setting.split_once('=').ok_or_else(|| {
        Error::new(codes::INPUT_INVALID, format!("the setting `{setting}` is not KEY=VALUE"))
            .hint("for example `--config retention.ms=60000`")
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

/// All there is to say about a topic.
struct Description {
    name: String,
    /// First offset kept and next offset, by partition.
    offsets: Vec<(i64, i64)>,
    settings: Vec<TopicSetting>,
    /// `None` if SQL does not show the topic.
    columns: Option<http::Answer>,
}

impl Description {
    async fn ask(kafka: &mut KafkaClient, http: &str, name: &str) -> Result<Self> {
        let partitions = kafka.topics(Some(name), false).await?.first().map_or(0, |topic| topic.partitions);
        let mut offsets = Vec::new();
        for partition in 0..partitions {
            let start = kafka.offset_at(name, partition, START).await?;
            offsets.push((start, kafka.offset_at(name, partition, END).await?));
        }
        let settings = kafka.settings(name).await?;
        // Some of the topics that Lakehead keeps for itself are no tables.
        let columns = match http::sql(http, &format!("DESCRIBE {}", quoted(name))).await {
            Ok(answer) => Some(answer),
            Err(error) if name.starts_with('_') => {
                tracing::debug!(%error, "an internal topic has no columns");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { name: name.to_owned(), offsets, settings, columns })
    }

    fn text(&self) -> Result<String> {
        let records: i64 = self.offsets.iter().map(|(start, end)| end - start).sum();
        let mut text = format!(
            "{}: {}, {}\n\n",
            self.name,
            counted(self.offsets.len() as u64, "partition"),
            counted(u64::try_from(records)?, "record")
        );
        writeln!(text, "partition   first offset    next offset        records")?;
        for (partition, (start, end)) in self.offsets.iter().enumerate() {
            writeln!(text, "{partition:>9} {start:>14} {end:>14} {:>14}", end - start)?;
        }
        text.push('\n');
        for setting in self.settings.iter().filter(|s| s.is_set || ALWAYS_SHOWN.contains(&s.name.as_str())) {
            writeln!(text, "{} = {}{}", setting.name, setting.value, if setting.is_set { "" } else { "  (default)" })?;
        }
        if let Some(columns) = &self.columns {
            text.push('\n');
            text += &table::draw(&columns.schema, &columns.batches, &fitting_terminal())?;
        }
        Ok(text)
    }

    /// One object, on one line as with `ls`.
    fn json(&self) -> Result<Value> {
        let partitions = self.offsets.iter().enumerate();
        let partitions = partitions.map(|(partition, (start, end))| {
            json!({"partition": partition, "first_offset": start, "next_offset": end, "records": end - start})
        });
        let settings: Map<_, _> =
            self.settings.iter().map(|setting| (setting.name.clone(), json!(setting.value))).collect();
        Ok(json!({
            "name": self.name,
            "partitions": partitions.collect::<Vec<_>>(),
            "settings": settings,
            "columns": self.columns.as_ref().map(rows_as_json).transpose()?,
        }))
    }
}

fn rows_as_json(answer: &http::Answer) -> Result<Vec<Value>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let text = writer.into_inner();
    Ok(if text.is_empty() { Vec::new() } else { serde_json::from_slice(&text)? })
}

/// A name as a SQL identifier.
pub fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
}

fn fitting_terminal() -> Shape {
    Shape { width_max: out::terminal_width(), ..Shape::WHOLE }
}

/// Runs a statement and prints its rows as a table, or as one JSON object a row.
pub async fn show(address: &str, statement: &str, json: bool) -> Result<()> {
    if json {
        http::ask(address, statement, Form::Json).await?.copy(&mut Out::new()).await?;
        return Ok(());
    }
    let answer = http::sql(address, statement).await?;
    out::text(table::draw(&answer.schema, &answer.batches, &fitting_terminal())?)
}
