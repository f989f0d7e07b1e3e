//! What commits cost: small files written and committed, to one table after another and to a hundred at once.
//!
//! `commit_rate [DIR]` (a folder for the scratch files, to choose the disk)

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use catalog::Catalog;
use files::Files;
use futures::future::try_join_all;
use model::TableName;
use tables::{Append, NewTable, Tables};
use world::World;

/// Tables committed to at once, and how often.
const ROUNDS: [(u32, u32); 2] = [(1, 300), (100, 10)];
const ROWS: i64 = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = match std::env::args().nth(1) {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let world = World::real();
    let clock = world.clock.clone();
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), world.clone()).await?;
    let files = Files::open(&format!("file://{}/files", dir.path().display()), world.clone())?;
    let tables = Tables::new(catalog, files, world);
    let schema: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
    for (count, rounds) in ROUNDS {
        let names: Vec<TableName> = (0..count).map(|i| TableName::public(&format!("t{count}-{i}"))).collect();
        let started = clock.monotonic();
        try_join_all(names.iter().map(|name| tables.create(name, NewTable::new(schema.clone())))).await?;
        println!("{count} tables created in {:?}", clock.monotonic() - started);
        let (mut writing, mut committing) = (Duration::ZERO, Duration::ZERO);
        let started = clock.monotonic();
        for round in 0..rounds {
            let round = names.iter().map(|name| commit(&tables, name, i64::from(round), &schema));
            for (write, commit) in try_join_all(round).await? {
                writing += write;
                committing += commit;
            }
        }
        let (total, n) = (clock.monotonic() - started, count * rounds);
        println!(
            "{count} tables at once: {n} commits in {total:?}, {:?} each (waiting: write {:?}, commit {:?})",
            total / n,
            writing / n,
            committing / n
        );
    }
    Ok(())
}

/// One small file, one commit that moves the progress mark; how long each took.
async fn commit(tables: &Tables, name: &TableName, round: i64, schema: &SchemaRef) -> Result<(Duration, Duration)> {
    let clock = &tables.world().clock;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(round * ROWS..(round + 1) * ROWS)),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("row {i}")))),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    let table = tables.get(name).await?;
    let started = clock.monotonic();
    let mut writer = tables.writer(&table)?;
    writer.write(batch).await?;
    let files = writer.close().await?;
    let written = clock.monotonic();
    let mark = |n: i64| [("0".to_owned(), n)].into_iter().collect();
    let expected = (round > 0).then(|| mark(round));
    tables.append(name, Append::new(&table, files).with_progress(expected, mark(round + 1))).await?;
    Ok((written - started, clock.monotonic() - written))
}
