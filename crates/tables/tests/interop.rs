//! Other engines read what we write, and we read what they write.
//!
//! Runs where `LAKEHEAD_INTEROP_PYTHON` names a Python with PyIceberg and DuckDB (see `tests/interop/read_iceberg.py`).

use std::{path::Path, process::Command, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit},
};
use catalog::Catalog;
use files::Files;
use model::TableName;
use tables::{
    Append, MaintenancePolicy, NewTable, Progress, RowDelta, SchemaChange, Table, Tables,
    iceberg::{DataContentType, Transform},
};
use world::World;

struct Lake {
    dir: tempfile::TempDir,
    tables: Tables,
    python: String,
}

async fn lake() -> Option<Lake> {
    let Ok(python) = std::env::var("LAKEHEAD_INTEROP_PYTHON") else {
        eprintln!("skipped: LAKEHEAD_INTEROP_PYTHON is not set");
        return None;
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    let world = World::real();
    let catalog = Catalog::open(&format!("sqlite://{}/catalog.db", dir.path().display()), world.clone()).await;
    let files = Files::open(&format!("file://{}/files", dir.path().display()), world.clone());
    let tables = Tables::new(catalog.expect("catalog"), files.expect("files"), world);
    Some(Lake { dir, tables, python })
}

impl Lake {
    /// What each reader saw.
    fn read(&self, name: &TableName, more: &[&str]) -> Vec<serde_json::Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/read_iceberg.py");
        let output = Command::new(&self.python)
            .arg(script)
            .arg(self.dir.path().join("catalog.db"))
            .arg(name.to_string())
            .args(more)
            .output()
            .expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("text");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn expect(&self, name: &TableName, more: &[&str], rows: i64, sums: &[(&str, f64)]) {
        let reports = self.read(name, more);
        assert_eq!(reports.len(), 2, "{reports:?}");
        for report in reports {
            assert_eq!(report["rows"], rows, "{report}");
            for (column, sum) in sums {
                let seen = report["sums"][column].as_f64().unwrap_or(f64::NAN);
                assert!((seen - sum).abs() < 1e-6, "sum of {column} should be {sum}: {report}");
            }
        }
    }

    async fn append(
        &self,
        name: &TableName,
        batch: RecordBatch,
        progress: Option<(Option<Progress>, Progress)>,
    ) -> Arc<Table> {
        let table = self.tables.get(name).await.expect("table");
        let mut writer = self.tables.writer(&table).expect("writer");
        writer.write(batch).await.expect("write");
        let mut append = Append::new(&table, writer.close().await.expect("close"));
        if let Some((expected, next)) = progress {
            append = append.with_progress(expected, next);
        }
        self.tables.append(name, append).await.expect("append")
    }

    async fn paths(&self, table: &Table) -> Vec<String> {
        let mut paths = Vec::new();
        for manifest in
            self.tables.manifests().list(table.current_snapshot().expect("snapshot")).await.expect("list").entries()
        {
            for entry in self.tables.manifests().entries(manifest).await.expect("entries").iter() {
                if entry.is_alive() && entry.content_type() == DataContentType::Data {
                    paths.push(entry.file_path().to_owned());
                }
            }
        }
        paths
    }
}

fn wide_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("l", DataType::Int64, false),
        Field::new("d", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("day", DataType::Date32, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("tz", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("dec", DataType::Decimal128(12, 2), true),
        Field::new("list", DataType::List(Arc::new(Field::new("item", DataType::Int32, true))), true),
    ]))
}

fn wide(range: std::ops::Range<i64>) -> RecordBatch {
    let n = range.clone().count();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter(range.clone().map(|i| (i % 3 != 0).then_some(i as i32)))),
        Arc::new(Int64Array::from_iter_values(range.clone())),
        Arc::new(Float64Array::from_iter_values(range.clone().map(|i| i as f64 / 2.0))),
        Arc::new(StringArray::from_iter_values(range.clone().map(|i| "ü".repeat((i % 100) as usize)))),
        Arc::new(BooleanArray::from_iter(range.clone().map(|i| Some(i % 2 == 0)))),
        Arc::new(Date32Array::from_iter_values(range.clone().map(|i| i as i32))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(range.clone().map(|i| i * 1_000_000))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(range.clone().map(|i| i * 1_000_000)).with_timezone("UTC"),
        ),
        Arc::new(
            Decimal128Array::from_iter_values(range.clone().map(|i| i128::from(i) - 50))
                .with_precision_and_scale(12, 2)
                .expect("fits"),
        ),
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>((0..n).map(|i| Some(vec![Some(i as i32), None])))),
    ];
    RecordBatch::try_new(wide_schema(), columns).expect("columns fit")
}

#[tokio::test(flavor = "multi_thread")]
async fn pyiceberg_and_duckdb_read_the_same_rows() {
    let Some(lake) = lake().await else { return };
    let name = TableName::public("wide");
    lake.tables.create(&name, NewTable::new(wide_schema())).await.expect("create");
    lake.append(&name, wide(0..1000), None).await;
    let first = lake.append(&name, wide(1000..1500), None).await;
    let sum = |range: std::ops::Range<i64>| range.sum::<i64>() as f64;
    lake.expect(&name, &[], 1500, &[("l", sum(0..1500)), ("d", sum(0..1500) / 2.0), ("s", 15.0 * sum(0..100))]);

    // Deleted rows are gone for them too.
    let paths = lake.paths(&first).await;
    let rows = paths.iter().map(|path| (path.clone(), vec![0, 10, 20])).collect();
    let deletes = lake.tables.write_position_deletes(&first, rows).await.expect("deletes");
    let delta = RowDelta {
        deletes,
        added: vec![],
        spec_id: 0,
        base_snapshot_id: first.metadata().current_snapshot_id().expect("snapshot"),
        serializable: true,
        properties: vec![],
    };
    lake.tables.row_delta(&name, delta).await.expect("delete");
    let gone = f64::from(10 + 20 + 1000 + 1010 + 1020);
    lake.expect(&name, &[], 1494, &[("l", sum(0..1500) - gone)]);
    let snapshot = first.metadata().current_snapshot_id().expect("snapshot").to_string();
    lake.expect(&name, &["--snapshot", &snapshot], 1500, &[("l", sum(0..1500))]);

    // So are new columns and wider ones there, and compaction changes nothing.
    let changes = vec![
        SchemaChange::Widen { path: vec!["i".into()], to: DataType::Int64 },
        SchemaChange::add_column(Field::new("note", DataType::Utf8, true)),
    ];
    lake.tables.evolve(&name, changes).await.expect("evolve");
    lake.append(&name, wide(1500..1600), None).await;
    lake.expect(&name, &[], 1594, &[("l", sum(0..1600) - gone)]);
    let policy = MaintenancePolicy { small_files_min: 2, snapshots_max: Some(2), ..MaintenancePolicy::default() };
    let report = lake.tables.maintain(&name, &policy, i64::MAX).await.expect("upkeep");
    assert_eq!(report.files_compacted, 3);
    let table = lake.tables.get(&name).await.expect("table");
    lake.expect(&name, &[table.metadata_location()], 1594, &[("l", sum(0..1600) - gone)]);
}

/// `{id, s: {x}, l: [{x}], m: {text: {x}}}`, all fields required but where they are in a list.
fn nested_schema() -> SchemaRef {
    let point = || DataType::Struct(vec![Field::new("x", DataType::Int32, false)].into());
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", point(), false)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("s", point(), true),
        Field::new("l", DataType::List(Arc::new(Field::new("item", point(), true))), true),
        Field::new("m", DataType::Map(Arc::new(entries), false), true),
    ]))
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_nested_fields_are_understood() {
    let Some(lake) = lake().await else { return };
    let name = TableName::public("nested");
    lake.tables.create(&name, NewTable::new(nested_schema())).await.expect("create");
    let rows = async |sql: &str| {
        let rows = datafusion::prelude::SessionContext::new().sql(sql).await.expect("plan").collect().await;
        let [batch] = <[RecordBatch; 1]>::try_from(rows.expect("rows")).expect("one batch");
        lake.append(&name, batch, None).await
    };
    rows(
        "SELECT 1 AS id, named_struct('x', 1) AS s, [named_struct('x', 2), NULL] AS l, \
         map(['k'], [named_struct('x', 3)]) AS m",
    )
    .await;
    rows("SELECT 2 AS id").await;
    let path = |dotted: &str| dotted.split('.').map(str::to_owned).collect::<Vec<_>>();
    let changes = ["s", "l.element", "m.value"].into_iter().flat_map(|at| {
        let x = path(&format!("{at}.x"));
        [
            SchemaChange::AddColumn { parent: path(at), field: Field::new("y", DataType::Utf8, true) },
            SchemaChange::Widen { path: x.clone(), to: DataType::Int64 },
            SchemaChange::MakeNullable { path: x },
        ]
    });
    lake.tables
        .evolve(&name, changes.chain([SchemaChange::MakeNullable { path: path("m.value") }]).collect())
        .await
        .expect("evolve");
    rows(
        "SELECT 3 AS id, named_struct('y', 'new', 'x', 10000000000) AS s, \
         [named_struct('x', NULL, 'y', 'only')] AS l, map(['k'], [named_struct('x', 5, 'y', 'z')]) AS m",
    )
    .await;
    let sums = [
        ("s.x", 10_000_000_001.0),
        ("s.y", 3.0),
        ("l.element.x", 2.0),
        ("l.element.y", 4.0),
        ("m.value.x", 8.0),
        ("m.value.y", 1.0),
    ];
    lake.expect(&name, &[], 3, &sums);
    let policy = MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() };
    assert_eq!(lake.tables.maintain(&name, &policy, 0).await.expect("upkeep").files_compacted, 3);
    lake.expect(&name, &[], 3, &sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_merged_manifests_are_understood() {
    let Some(lake) = lake().await else { return };
    let name = TableName::new("trusted", "parts");
    let new = NewTable::new(wide_schema())
        .partitioned_by("day", Transform::Month)
        .partitioned_by("l", Transform::Bucket(4))
        .with_property("commit.manifest.min-count-to-merge", "3");
    lake.tables.create(&name, new).await.expect("create");
    for i in 0..7 {
        lake.append(&name, wide(i * 20..(i + 1) * 20), None).await;
    }
    lake.expect(&name, &[], 140, &[("l", (0..140).sum::<i64>() as f64)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pyiceberg_commits_is_ours_to_read_and_progress_survives_it() {
    let Some(lake) = lake().await else { return };
    let name = TableName::public("shared");
    let schema =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
    lake.tables.create(&name, NewTable::new(schema.clone())).await.expect("create");
    let batch = |a: i64| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![a])), Arc::new(StringArray::from(vec!["ours"]))];
        RecordBatch::try_new(schema.clone(), columns).expect("columns fit")
    };
    let mark: Progress = [("0".to_owned(), 7)].into_iter().collect();
    lake.append(&name, batch(1), Some((None, mark.clone()))).await;
    lake.expect(
        &name,
        &["--append", r#"[{"a": 10, "b": "theirs"}, {"a": 20, "b": null}]"#],
        3,
        &[("a", 31.0), ("b", 10.0)],
    );

    let table = lake.tables.get(&name).await.expect("table");
    assert_eq!(table.progress().expect("mark"), Some(mark.clone()), "it walks past their snapshot");
    let next: Progress = [("0".to_owned(), 8)].into_iter().collect();
    lake.append(&name, batch(100), Some((Some(mark), next))).await;
    lake.expect(&name, &[], 4, &[("a", 131.0)]);
    let policy = MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() };
    assert_eq!(lake.tables.maintain(&name, &policy, 0).await.expect("upkeep").files_compacted, 3);
    lake.expect(&name, &[], 4, &[("a", 131.0)]);
}

/// The columns of a topic's table; some have names that Iceberg's readers use for columns of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_topic_is_understood_and_compacted() {
    let Some(lake) = lake().await else { return };
    let name = TableName::public("topic");
    let schema = Arc::new(Schema::new(vec![
        Field::new("amount", DataType::Int64, true),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("_key", DataType::Binary, true),
    ]));
    lake.tables.create(&name, NewTable::new(schema.clone())).await.expect("create");
    for round in 0..4 {
        let offsets = round * 10..(round + 1) * 10;
        let times = arrow::array::TimestampMillisecondArray::from_iter_values(offsets.clone()).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(offsets.clone().map(|offset| offset * 2))),
            Arc::new(Int32Array::from_iter_values(offsets.clone().map(|offset| (offset % 3) as i32))),
            Arc::new(Int64Array::from_iter_values(offsets.clone())),
            Arc::new(times),
            Arc::new(arrow::array::BinaryArray::from_iter_values(offsets.map(|offset| offset.to_string()))),
        ];
        lake.append(&name, RecordBatch::try_new(schema.clone(), columns).expect("columns fit"), None).await;
    }
    let sums = [("amount", 1560.0), ("_partition", 39.0), ("_offset", 780.0)];
    lake.expect(&name, &[], 40, &sums);
    let policy = MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() };
    assert_eq!(lake.tables.maintain(&name, &policy, 0).await.expect("upkeep").files_compacted, 4);
    lake.expect(&name, &[], 40, &sums);
}
