//! How fast a table scan answers: writes a table from a CSV of flights, or runs five aggregates over it.
//!
//! ```text
//! scan_rate DIR write flights.csv 20     # the CSV twenty times over
//! scan_rate DIR run                      # median of seven runs per query, in milliseconds
//! scan_rate DIR files                    # the table's Parquet files, for another engine to read
//! ```
//!
//! `VIEWS=1` reads text as Arrow's string views, as SQL does.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use model::TableName;
use tables::{Append, NewTable, Tables, Version, scan};
use world::World;

/// The queries of `benches/scan.py`.
const QUERIES: [&str; 5] = [
    "SELECT carrier, count(*), avg(dep_delay), max(arr_delay) FROM flights GROUP BY carrier ORDER BY carrier",
    "SELECT origin, dest, count(*), sum(distance) FROM flights GROUP BY origin, dest ORDER BY 3 DESC, 1, 2 LIMIT 20",
    "SELECT month, count(*) FILTER (WHERE dep_delay > 15), avg(air_time) FROM flights WHERE dep_time IS NOT NULL \
     GROUP BY month ORDER BY month",
    "SELECT count(DISTINCT tailnum), sum(dep_delay), min(time_hour), max(time_hour) FROM flights",
    "SELECT tailnum, count(*) AS n, sum(air_time) FROM flights WHERE carrier IN ('UA', 'DL', 'B6') AND distance > 500 \
     GROUP BY tailnum ORDER BY n DESC, tailnum LIMIT 10",
];

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [dir, "write", csv, times] => write(Path::new(dir), csv, times.parse()?).await,
        [dir, "run"] => run(Path::new(dir)).await,
        [dir, "files"] => files(Path::new(dir)).await,
        _ => bail!("usage: scan_rate DIR (write CSV TIMES | run | files)"),
    }
}

async fn open(dir: &Path) -> Result<(Tables, TableName)> {
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let world = World::real();
    let files = files::Files::open(&format!("file://{}", dir.join("files").display()), world.clone())?;
    let catalog =
        catalog::Catalog::open(&format!("sqlite://{}", dir.join("catalog.db").display()), world.clone()).await?;
    Ok((Tables::new(catalog, files, world), TableName::public("flights")))
}

fn schema() -> SchemaRef {
    let int = |name| Field::new(name, DataType::Int32, true);
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        int("year"),
        int("month"),
        int("day"),
        int("dep_time"),
        int("sched_dep_time"),
        int("dep_delay"),
        int("arr_time"),
        int("sched_arr_time"),
        int("arr_delay"),
        text("carrier"),
        int("flight"),
        text("tailnum"),
        text("origin"),
        text("dest"),
        int("air_time"),
        int("distance"),
        int("hour"),
        int("minute"),
        Field::new("time_hour", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

async fn write(dir: &Path, csv: &str, times: usize) -> Result<()> {
    let (tables, name) = open(dir).await?;
    let table = tables.create(&name, NewTable::new(schema())).await?;
    let context = SessionContext::new();
    let options =
        CsvReadOptions::new().schema(Box::leak(Box::new(Schema::clone(&schema())))).null_regex(Some("^(NA)?$".into()));
    let rows = context.read_csv(csv, options).await?.collect().await?;
    let mut writer = tables.writer(&table)?;
    let clock = World::real().clock;
    let started = clock.monotonic();
    for _ in 0..times {
        for batch in &rows {
            writer.write(batch.clone()).await?;
        }
    }
    let count = writer.rows();
    let files = writer.close().await?;
    tables.append(&name, Append::new(&table, files)).await?;
    println!("{count} rows written in {:?}", clock.monotonic() - started);
    Ok(())
}

async fn run(dir: &Path) -> Result<()> {
    let (tables, name) = open(dir).await?;
    let table = tables.get(&name).await?;
    let config = SessionConfig::new().with_target_partitions(std::thread::available_parallelism()?.get());
    let context = SessionContext::new_with_config(config);
    let provider = match std::env::var("VIEWS").as_deref() {
        Ok("1") => {
            scan::provider_as(&tables, table.clone(), Version::Current, scan::with_string_views(table.arrow_schema()))?
        }
        _ => scan::provider(&tables, table, Version::Current)?,
    };
    context.register_table("flights", provider)?;
    let clock = World::real().clock;
    for (number, sql) in QUERIES.iter().enumerate() {
        let mut took = Vec::new();
        for _ in 0..7 {
            let started = clock.monotonic();
            let mut rows = 0;
            let mut stream = context.sql(sql).await?.execute_stream().await?;
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
            took.push(((clock.monotonic() - started).as_secs_f64() * 1e3, rows));
        }
        took.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (median, rows) = took[took.len() / 2];
        println!("{}\t{median:.1}\t{rows} rows\t{sql}", number + 1);
    }
    Ok(())
}

async fn files(dir: &Path) -> Result<()> {
    let (tables, name) = open(dir).await?;
    let table = tables.get(&name).await?;
    let context = SessionContext::new();
    context.register_table("f", scan::provider_metadata(&tables, table, scan::MetadataTable::Files)?)?;
    let batches = context.sql("SELECT file_path FROM f").await?.collect().await?;
    for batch in batches {
        let paths = batch.column(0).as_any().downcast_ref::<arrow::array::StringArray>().context("paths are text")?;
        for path in paths.iter().flatten() {
            println!("{}", path.trim_start_matches("file://"));
        }
    }
    Ok(())
}
