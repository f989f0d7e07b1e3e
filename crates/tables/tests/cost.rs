//! What commits cost. Not a test of anything: `cargo test -p tables --test cost -- --ignored --nocapture` prints figures.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use catalog::Catalog;
use files::Files;
use model::TableName;
use tables::{Append, NewTable, Tables};
use world::World;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn commits() {
    let dir = match std::env::var("LAKEHEAD_COST_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir),
        Err(_) => tempfile::tempdir(),
    };
    let dir = dir.expect("temporary directory");
    let world = World::real();
    let started = world.clock.monotonic();
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), world.clone()).await;
    println!("catalog opened in {:?}", world.clock.monotonic() - started);
    let files = Files::open(&format!("file://{}/files", dir.path().display()), world.clone()).expect("files");
    let tables = Tables::new(catalog.expect("catalog"), files, world.clone());

    let schema =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
    for (count, rounds) in [(1, 300), (100, 10)] {
        let names: Vec<TableName> = (0..count).map(|i| TableName::public(&format!("t{count}-{i}"))).collect();
        let clock = &world.clock;
        let started = clock.monotonic();
        futures::future::join_all(names.iter().map(|name| tables.create(name, NewTable::new(schema.clone())))).await;
        println!("{count} tables created in {:?}", clock.monotonic() - started);
        let (mut writing, mut committing) = (Duration::ZERO, Duration::ZERO);
        let started = clock.monotonic();
        for round in 0..rounds {
            let round = futures::future::join_all(names.iter().map(|name| one(&tables, name, round, &schema))).await;
            for (write, commit) in round {
                writing += write;
                committing += commit;
            }
        }
        let total = clock.monotonic() - started;
        let n = count * rounds;
        println!(
            "{count} tables at once: {n} commits in {total:?}, {:?} each (waiting: write {:?}, commit {:?})",
            total / n as u32,
            writing / n as u32,
            committing / n as u32
        );
    }
}

async fn one(tables: &Tables, name: &TableName, round: i64, schema: &Arc<Schema>) -> (Duration, Duration) {
    let clock = &tables.world().clock;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(round * 100..(round + 1) * 100)),
        Arc::new(StringArray::from_iter_values((0..100).map(|i| format!("row {i}")))),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns fit");
    let table = tables.get(name).await.expect("table");
    let started = clock.monotonic();
    let mut writer = tables.writer(&table).expect("writer");
    writer.write(batch).await.expect("write");
    let files = writer.close().await.expect("close");
    let written = clock.monotonic();
    let mark = |n: i64| [("0".to_owned(), n)].into_iter().collect();
    let expected = (round > 0).then(|| mark(round));
    tables.append(name, Append::new(&table, files).with_progress(expected, mark(round + 1))).await.expect("append");
    (written - started, clock.monotonic() - written)
}
