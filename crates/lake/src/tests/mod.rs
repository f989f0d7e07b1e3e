//! Laws of the lake, on a real log, real tables and a real catalog in temporary directories.

mod exactly_once;
mod formats;
mod names;
mod nested;
mod shapes;

use std::{path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use catalog::Catalog;
use commitlog::{
    Append, Log, TopicSpec,
    embedded::{EmbeddedLog, LogSettings},
    record::{BatchBuilder, Codec},
};
use datafusion::prelude::SessionContext;
use files::Files;
use futures::TryStreamExt as _;
use model::{TopicName, TopicPartition};
use tables::{Tables, Version, scan};
use world::World;

use crate::{Lake, LakeParts, LakeSettings, TailFilter, columns::pseudo, registry::RegistryStore};

/// A node's stores and lake in `dir`.
pub(crate) struct House {
    pub lake: Arc<Lake>,
    pub log: Arc<EmbeddedLog>,
    pub registry: Arc<RegistryStore>,
    pub tables: Tables,
    pub world: World,
}

pub(crate) fn settings() -> LakeSettings {
    LakeSettings { commit_interval: Duration::from_millis(50), ..LakeSettings::default() }
}

impl House {
    pub(crate) async fn open(dir: &Path) -> Self {
        Self::with(dir, settings()).await
    }

    pub(crate) async fn with(dir: &Path, settings: LakeSettings) -> Self {
        let world = World::real();
        let log = EmbeddedLog::open(&dir.join("log"), LogSettings::default(), world.clone()).await.unwrap();
        let at = |name: &str| format!("{}/{name}", dir.display());
        let files = Files::open(&format!("file://{}", at("files")), world.clone()).unwrap();
        let catalog = Catalog::open(&format!("sqlite://{}", at("catalog.db")), world.clone()).await.unwrap();
        let tables = Tables::new(catalog.clone(), files, world.clone());
        let registry = RegistryStore::open(log.clone(), world.clone()).await.unwrap();
        let parts = LakeParts {
            log: log.clone(),
            tables: tables.clone(),
            catalog,
            registry: registry.clone(),
            world: world.clone(),
            settings,
        };
        Self { lake: Lake::open(parts).await.unwrap(), log, registry, tables, world }
    }

    pub(crate) async fn close(self) {
        assert!(self.world.tasks.stop(Duration::from_secs(20)).await, "the lake's tasks end in time");
        drop((self.lake, self.registry));
        self.log.close().await.unwrap();
    }

    pub(crate) async fn topic(&self, name: &str, partitions: i32) {
        self.log.create_topic(TopicSpec::new(TopicName::new(name).unwrap(), partitions), false).await.unwrap();
    }

    pub(crate) async fn produce<V: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V>,
    ) {
        self.produce_with_keys(topic, partition, values.into_iter().map(|value| (b"k", value))).await;
    }

    pub(crate) async fn produce_with_keys<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = (K, V)>,
    ) {
        let mut batch = BatchBuilder::new(Codec::Lz4);
        for (n, (key, value)) in records.into_iter().enumerate() {
            batch.push(1_700_000_000_000 + n as i64, Some(key.as_ref()), Some(value.as_ref()), &[("h", b"v")]);
        }
        let to = TopicPartition::new(TopicName::new(topic).unwrap(), partition);
        self.log.append(&to, batch.build(), Append::default()).await.unwrap();
    }

    /// Table and tail of a topic, as a query reads them.
    pub(crate) async fn rows(&self, topic: &str) -> Vec<RecordBatch> {
        let table = self.lake.topic_table(topic).await.unwrap().expect("the topic exists");
        self.rows_of(&table).await
    }

    pub(crate) async fn rows_of(&self, table: &Arc<crate::TopicTable>) -> Vec<RecordBatch> {
        let pin = self.lake.pin(table).await.unwrap();
        let mut rows = self.lake.tail(pin.clone(), TailFilter::default()).try_collect::<Vec<_>>().await.unwrap();
        if let Some(committed) = pin.table.clone() {
            let provider = scan::provider_as(&self.tables, committed, Version::Current, table.schema.clone()).unwrap();
            rows.extend(SessionContext::new().read_table(provider).unwrap().collect().await.unwrap());
        }
        rows
    }

    /// Rows of the table alone.
    pub(crate) async fn committed(&self, topic: &str) -> Vec<RecordBatch> {
        let Some(table) = self.tables.load(&model::TableName::public(topic)).await.unwrap() else { return Vec::new() };
        let provider = scan::provider(&self.tables, table, Version::Current).unwrap();
        SessionContext::new().read_table(provider).unwrap().collect().await.unwrap()
    }

    /// Sorted places of all rows.
    pub(crate) async fn places(&self, topic: &str) -> Vec<(i32, i64)> {
        places(&self.rows(topic).await)
    }
}

pub(crate) fn places(rows: &[RecordBatch]) -> Vec<(i32, i64)> {
    let mut places = Vec::new();
    for batch in rows {
        let partitions = batch.column_by_name(pseudo::PARTITION).unwrap().as_primitive::<Int32Type>();
        let offsets = batch.column_by_name(pseudo::OFFSET).unwrap().as_primitive::<Int64Type>();
        places.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
    }
    places.sort_unstable();
    places
}

/// Text of a column, row after row in order of partition and offset; `∅` for null.
pub(crate) fn column(rows: &[RecordBatch], name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for batch in rows {
        let (partitions, offsets) =
            (batch.column_by_name(pseudo::PARTITION).unwrap(), batch.column_by_name(pseudo::OFFSET).unwrap());
        let (partitions, offsets) = (partitions.as_primitive::<Int32Type>(), offsets.as_primitive::<Int64Type>());
        let options = arrow::util::display::FormatOptions::default().with_null("∅");
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name} in {}", batch.schema()));
        let text = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
        all.extend(
            (0..batch.num_rows()).map(|row| (partitions.value(row), offsets.value(row), text.value(row).to_string())),
        );
    }
    all.sort();
    all.into_iter().map(|(_, _, text)| text).collect()
}

/// Tries until `check` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    for _ in 0..400 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not in time: {what}");
}
