//! `lakehead demo flights`: 27,004 flights in through Kafka, five questions answered while they arrive.

use std::{
    fmt::{Display, Write as _},
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use arrow::array::AsArray;
use clap::Args;
use flate2::read::GzDecoder;
use node::{Node, Settings};
use serde_json::{Map, Value};
use world::{Clock, SystemClock};

use crate::{
    clients::{http, kafka::KafkaDoor, producer::Producer},
    commands::up::{self, Doors},
    out, table,
};

const DECLARATIONS: &str = include_str!("../../../../../examples/flights/declare.sql");
const QUESTIONS: &str = include_str!("../../../../../examples/flights/questions.sql");
const FLIGHTS: &[u8] = include_bytes!("../../../../../examples/flights/flights-2013-01.csv.gz");
const WEATHER: &[u8] = include_bytes!("../../../../../examples/flights/weather-2013-01.csv.gz");
const TABLES: [(&str, &[u8]); 3] = [
    ("airlines", include_bytes!("../../../../../examples/flights/airlines.csv")),
    ("airports", include_bytes!("../../../../../examples/flights/airports.csv")),
    ("planes", include_bytes!("../../../../../examples/flights/planes.csv")),
];

/// Rows of one `INSERT … VALUES`.
const INSERT_ROWS: usize = 1_000;

#[derive(Args)]
pub struct FlightsArgs {
    /// Leave when done instead of staying up for exploring.
    #[arg(long)]
    exit: bool,
    /// An empty folder to keep it in [default: a new folder `lakehead-demo`, emptied first if a demo made it].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Flights sent per second; 0: as fast as they go.
    #[arg(long, default_value_t = 6_000, value_name = "N")]
    rate: u64,
    #[command(flatten)]
    doors: Doors,
}

#[expect(clippy::disallowed_methods, reason = "measured for people, decides nothing")]
pub async fn run(args: FlightsArgs) -> Result<()> {
    let began = Instant::now();
    let data = empty_folder(args.data.as_deref())?;
    let mut settings = Settings::load(&data)?;
    args.doors.overlay(&mut settings);
    settings.commit_interval_ms = 2_000;
    step("Start a node in an empty folder")?;
    let node = Node::start(settings).await?;
    let mut outcome = show(&args, &node, began).await;
    if outcome.is_ok() && !args.exit {
        outcome = explore(&node, &data).await;
    }
    node.stop().await?;
    outcome
}

/// The node stays up until it is interrupted.
async fn explore(node: &Node, data: &Path) -> Result<()> {
    out::line("\nThe node stays up. Try:")?;
    out::line(format_args!(
        "  lakehead sql --data {} \"SELECT dest, count(*) FROM flights GROUP BY dest ORDER BY 2 DESC LIMIT 5\"",
        data.display()
    ))?;
    if let Some(pg) = node.addresses().pg {
        out::line(format_args!("  psql -h {} -p {} -U lakehead lakehead", pg.ip(), pg.port()))?;
    }
    if let Some(http) = node.addresses().http {
        out::line(format_args!("  a browser at http://{http}/"))?;
    }
    out::line("Ctrl-C stops it.")?;
    up::interrupted().await
}

async fn show(args: &FlightsArgs, node: &Node, began: Instant) -> Result<()> {
    done(format_args!("all doors answer after {} ms", began.elapsed().as_millis()))?;
    out::text(up::doors(node.addresses()))?;
    let http = node.addresses().http.context("the demo needs the HTTP door")?.to_string();
    let address = node.addresses().kafka.context("the demo needs the Kafka door")?.to_string();
    let kafka = KafkaDoor { address, ..KafkaDoor::default() };

    step("Declare two topics and three tables (examples/flights/declare.sql)")?;
    for statement in sql::statements(DECLARATIONS)? {
        http::sql(&http, statement).await?;
    }
    for (name, csv) in TABLES {
        let rows = load_table(&http, name, csv).await?;
        done(format_args!("table `{name}` holds {rows} rows"))?;
    }

    step("Stream the weather and the flights through the Kafka door, as JSON")?;
    let weather = stream(&kafka, "weather", WEATHER, 0, None, &AtomicU64::new(0)).await?;
    done(format_args!("{weather} hours of weather acknowledged"))?;
    let sent = AtomicU64::new(0);
    let arriving = stream(&kafka, "flights", FLIGHTS, args.rate, Some("tailnum"), &sent);
    let (flights, answers) = tokio::try_join!(arriving, ask(&http, &sent))?;
    done(format_args!("{flights} flights acknowledged, each on disk before its acknowledgement"))?;

    step("Look at the end result")?;
    let counted = count(&http, "SELECT count(*) FROM flights").await?;
    // There is no table before the first commit, and then nothing is in it.
    let committed =
        count(&http, "SELECT coalesce(max(total_records), 0) FROM \"flights$snapshots\"").await.unwrap_or(0);
    done(format_args!("the topic `flights` is the table `flights`: {counted} rows, acknowledged {flights}"))?;
    done(format_args!("{committed} of them are in Iceberg already, the rest is read from the log's tail"))?;
    if counted != flights {
        bail!("{flights} flights were acknowledged, but SQL sees {counted}");
    }
    done(format_args!("{answers} questions answered; the whole took {:.1} s", began.elapsed().as_secs_f64()))?;
    Ok(())
}

/// Asks the five questions, each as soon as another fifth of the flights is there.
#[expect(clippy::disallowed_methods, reason = "measured for people, decides nothing")]
async fn ask(http: &str, sent: &AtomicU64) -> Result<usize> {
    const FLIGHTS_TOTAL: u64 = 27_004;
    let questions = questions();
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    for (number, (title, statement)) in (1u64..).zip(&questions) {
        while sent.load(Ordering::Relaxed) < FLIGHTS_TOTAL * number / (questions.len() as u64 + 1) {
            pause.tick().await;
        }
        let asked = Instant::now();
        let answer = http::sql(http, statement).await?;
        let took = asked.elapsed();
        let seen = count(http, "SELECT count(*) FROM flights").await?;
        step(&format!("{number}. {title}"))?;
        let shape = table::Shape { rows_max: 20, width_max: out::terminal_width() };
        out::text(table::draw(&answer.schema, &answer.batches, &shape)?)?;
        done(format_args!("answered in {:.0} ms over the {seen} flights there so far", took.as_secs_f64() * 1e3))?;
    }
    Ok(questions.len())
}

/// The questions: each comment is the title of the statement after it.
fn questions() -> Vec<(&'static str, &'static str)> {
    let parts = QUESTIONS.split(";\n").map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.trim_start_matches("-- ").split_once('\n').unwrap_or(("", part))).collect()
}

/// Sends the rows of a CSV file as JSON records and counts those acknowledged.
#[expect(clippy::disallowed_methods, reason = "paces the demonstration")]
async fn stream(
    kafka: &KafkaDoor,
    topic: &str,
    csv_gz: &[u8],
    rate: u64,
    key: Option<&str>,
    sent: &AtomicU64,
) -> Result<u64> {
    let mut text = Vec::new();
    GzDecoder::new(csv_gz).read_to_end(&mut text)?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let headings = reader.headers()?.clone();
    let mut producer = Producer::connect(kafka, topic).await?;
    let (began, clock) = (Instant::now(), SystemClock::new());
    let mut total = 0;
    for row in reader.records() {
        let row = row?;
        let record: Map<String, Value> =
            headings.iter().zip(&row).map(|(name, text)| (name.to_owned(), json_value(text))).collect();
        let key = key.and_then(|key| record.get(key)).and_then(Value::as_str).map(str::as_bytes);
        let value = serde_json::to_vec(&record)?;
        producer.send(clock.now_ms(), key, Some(&value)).await?;
        total += 1;
        if total % 250 == 0 {
            producer.flush().await?;
            sent.store(total, Ordering::Relaxed);
            if let Some(due) = (total * 1_000).checked_div(rate) {
                tokio::time::sleep(Duration::from_millis(due).saturating_sub(began.elapsed())).await;
            }
        }
    }
    producer.flush().await?;
    sent.store(total, Ordering::Relaxed);
    Ok(total)
}

/// `NA` is missing; what reads as a number is one.
fn json_value(text: &str) -> Value {
    if text == "NA" {
        return Value::Null;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}

/// Fills a table with the rows of a CSV file.
async fn load_table(http: &str, name: &str, csv: &[u8]) -> Result<usize> {
    let mut reader = csv::Reader::from_reader(csv);
    let rows = reader.records().collect::<Result<Vec<_>, _>>()?;
    // A column with one text in it is a column of texts, even where a text reads as a number.
    let texts: Vec<bool> = (0..rows.first().map_or(0, csv::StringRecord::len))
        .map(|at| rows.iter().any(|row| json_value(&row[at]).is_string()))
        .collect();
    for rows in rows.chunks(INSERT_ROWS) {
        let mut statement = format!("INSERT INTO {name} VALUES ");
        for (at, row) in rows.iter().enumerate() {
            statement.push_str(if at == 0 { "(" } else { ", (" });
            for (at, text) in row.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                match json_value(text) {
                    Value::Null => write!(statement, "{comma}NULL")?,
                    _ if texts[at] => write!(statement, "{comma}'{}'", text.replace('\'', "''"))?,
                    number => write!(statement, "{comma}{number}")?,
                }
            }
            statement.push(')');
        }
        http::sql(http, &statement).await?;
    }
    Ok(rows.len())
}

async fn count(http: &str, statement: &str) -> Result<u64> {
    let answer = http::sql(http, statement).await?;
    let batch = answer.batches.first().context("a count has one row")?;
    let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::UInt64)?;
    Ok(column.as_primitive::<arrow::datatypes::UInt64Type>().value(0))
}

/// The folder to work in. A folder with anything but an earlier demo in it is refused.
fn empty_folder(wanted: Option<&Path>) -> Result<PathBuf> {
    const MARK: &str = "made-by-lakehead-demo";
    let folder = wanted.map_or_else(|| PathBuf::from("lakehead-demo"), PathBuf::from);
    if folder.exists() {
        let occupied = std::fs::read_dir(&folder)?.next().is_some();
        if occupied && !folder.join(MARK).exists() {
            bail!("{} is not empty; the demo wants a folder of its own (`--data DIR`)", folder.display());
        }
        if folder.join("run").join("ports.json").exists() && is_running(&folder) {
            bail!("a node is still up in {}; stop it first, or use another folder (`--data DIR`)", folder.display());
        }
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(MARK), "This folder belongs to `lakehead demo` and is emptied when it runs again.\n")?;
    Ok(folder)
}

/// Whether the node that published its doors in `folder` still answers.
fn is_running(folder: &Path) -> bool {
    let published = || -> Option<std::net::SocketAddr> {
        let text = std::fs::read_to_string(folder.join("run").join("ports.json")).ok()?;
        let ports: Value = serde_json::from_str(&text).ok()?;
        ports.as_object()?.values().find_map(Value::as_str)?.parse().ok()
    };
    published().is_some_and(|door| std::net::TcpStream::connect_timeout(&door, Duration::from_millis(500)).is_ok())
}

fn step(text: &str) -> Result<()> {
    out::line(format_args!("\n{}", bold(text)))
}

fn done(text: impl Display) -> Result<()> {
    out::line(format_args!("   {text}"))
}

fn bold(text: &str) -> String {
    if out::takes_colours(&std::io::stdout()) { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}
