//! Skipping, splitting, deletes, limits, statistics, versions.

use arrow::{array::TimestampMicrosecondArray, datatypes::TimeUnit};
use datafusion::prelude::{col, lit};
use iceberg::spec::Transform;

use super::*;
use crate::scan::{MetadataTable, provider_metadata};

const DAY_US: i64 = 86_400_000_000;

#[tokio::test]
async fn an_empty_table_has_no_rows_and_can_be_counted() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    assert_eq!(rows(&t.query("SELECT count(*) FROM t").await), ["0"]);
    assert!(rows(&t.query("SELECT * FROM t").await).is_empty());
}

#[tokio::test]
async fn files_whose_bounds_exclude_the_filter_are_skipped() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    for file in 0..10 {
        t.append([ids(file * 100..(file + 1) * 100)]).await;
    }
    let all = t.explain(None).await;
    assert_eq!((all.manifests, all.files, all.files_skipped), (10, 10, 0));
    let kept = |s: PlanStats| s.files - s.files_skipped;
    assert_eq!(kept(t.explain(Some(col("id").eq(lit(250i64)))).await), 1);
    assert_eq!(kept(t.explain(Some(col("id").gt_eq(lit(700i64)))).await), 3);
    assert_eq!(kept(t.explain(Some(col("id").lt(lit(0i64)).or(col("id").gt(lit(950i64))))).await), 1);
    assert_eq!(kept(t.explain(Some(col("id").is_null())).await), 0);
    assert_eq!(kept(t.explain(Some(col("region").eq(lit("r9")))).await), 0);
    assert_eq!(kept(t.explain(Some(col("region").eq(lit("r1")))).await), 10);
    assert_eq!(rows(&t.query("SELECT id FROM t WHERE id = 250").await), ["250"]);
    let analyzed = t.query("EXPLAIN ANALYZE SELECT id FROM t WHERE id = 250").await;
    assert!(analyzed.contains("files_skipped=9"), "{analyzed}");
}

#[tokio::test]
async fn a_topics_offsets_and_partitions_prune_like_any_column() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Utf8, true),
        Field::new("_partition", DataType::Int32, true),
        Field::new("_offset", DataType::Int64, true),
        Field::new("_timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), true),
    ]));
    let t = Fixture::new(NewTable::new(schema.clone())).await;
    for partition in 0..2 {
        for file in 0..4i64 {
            let offsets = file * 50..(file + 1) * 50;
            let times = offsets.clone().map(|o| o * DAY_US);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(offsets.clone().map(|o| o.to_string()))),
                Arc::new(Int32Array::from_iter_values(offsets.clone().map(|_| partition))),
                Arc::new(Int64Array::from_iter_values(offsets)),
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00")),
            ];
            t.append([RecordBatch::try_new(schema.clone(), columns).unwrap()]).await;
        }
    }
    let kept = |s: PlanStats| s.files - s.files_skipped;
    assert_eq!(kept(t.explain(Some(col("_offset").gt_eq(lit(150i64)))).await), 2);
    let newest = col("_partition").eq(lit(1)).and(col("_offset").gt_eq(lit(150i64)));
    assert_eq!(kept(t.explain(Some(newest)).await), 1);
    let sql = "SELECT count(*) FROM t WHERE _timestamp < TIMESTAMP '1970-01-11T00:00:00Z'";
    assert_eq!(rows(&t.query(sql).await), ["20"]);
}

#[tokio::test]
async fn manifests_whose_partitions_exclude_the_filter_are_not_read() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("n", DataType::Int32, true),
    ]));
    let t = Fixture::new(partitioned(NewTable::new(schema.clone()), &[("at", Transform::Day)])).await;
    for day in -2..6 {
        let times = (0..10).map(|i| day * DAY_US + i * DAY_US / 10);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
            Arc::new(Int32Array::from_iter_values(0..10)),
        ];
        t.append([RecordBatch::try_new(schema.clone(), columns).unwrap()]).await;
    }
    let at = |day: i64| lit(datafusion::common::ScalarValue::TimestampMicrosecond(Some(day * DAY_US), None));
    let stats = t.explain(Some(col("at").gt_eq(at(4)))).await;
    assert_eq!((stats.manifests, stats.manifests_skipped, stats.files), (8, 6, 2));
    for (filter, count) in [
        ("at >= '1970-01-05T00:00:00'", 20),
        ("at < '1970-01-01T00:00:00'", 20),
        ("at = '1969-12-30T02:24:00'", 1),
        ("n = 3", 8),
    ] {
        assert_eq!(
            rows(&t.query(&format!("SELECT count(*) FROM t WHERE {filter}")).await),
            [count.to_string()],
            "{filter}"
        );
    }
}

#[tokio::test]
async fn identity_partitions_decide_filters_without_reading_files() {
    let t = Fixture::new(partitioned(NewTable::new(id_schema()), &[("region", Transform::Identity)])).await;
    t.append([ids(0..90)]).await;
    let plan = t.query("EXPLAIN SELECT count(*) FROM t WHERE region IN ('r0', 'r2') AND region <> 'r0'").await;
    assert!(!plan.contains("DataSourceExec") && !plan.contains("FilterExec"), "{plan}");
    assert_eq!(rows(&t.query("SELECT count(*) FROM t WHERE region = 'r1'").await), ["30"]);
    assert_eq!(rows(&t.query("SELECT count(*) FROM t WHERE region || 'x' = 'r1x' AND n < 5").await), ["15"]);
    assert_eq!(
        rows(&t.query("SELECT region, count(*) FROM t WHERE upper(region) > 'R0' GROUP BY 1 ORDER BY 1").await),
        ["r1,30", "r2,30"]
    );
}

#[tokio::test]
async fn bucket_partitions_answer_equality() {
    let t = Fixture::new(partitioned(NewTable::new(id_schema()), &[("id", Transform::Bucket(8))])).await;
    t.append([ids(0..1000)]).await;
    let stats = t.explain(Some(col("id").eq(lit(77i64)))).await;
    assert_eq!((stats.files, stats.files - stats.files_skipped), (8, 1));
    assert_eq!(rows(&t.query("SELECT n FROM t WHERE id = 77").await), ["7"]);
    assert_eq!(rows(&t.query("SELECT count(*) FROM t WHERE id IN (1, 2, 999, 5000)").await), ["3"]);
}

#[tokio::test]
async fn deleted_rows_are_gone_and_the_count_knows_it() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    t.append([ids(0..1000)]).await;
    t.append([ids(1000..2000)]).await;
    let before = t.table().await;
    assert_eq!(t.delete(col("id").lt(lit(10i64)).or(col("id").eq(lit(1500i64)))).await, 11);
    assert_eq!(t.delete(col("n").eq(lit(3))).await, 199); // 3 itself is gone already
    assert_eq!(rows(&t.query("SELECT count(*), min(id), max(id) FROM t").await), ["1790,10,1999"]);
    assert_eq!(rows(&t.query("SELECT count(*) FROM t WHERE n = 3 OR id < 10").await), ["0"]);
    let plan = t.query("EXPLAIN SELECT count(*) FROM t").await;
    assert!(!plan.contains("DataSourceExec"), "deletes are counted, so the count needs no scan: {plan}");
    assert_eq!(t.explain(None).await.delete_files, 4);

    // Rows appended later are not hit, and the older version still has all of its own.
    t.append([ids(0..5)]).await;
    assert_eq!(rows(&t.query("SELECT count(*) FROM t WHERE id < 10").await), ["5"]);
    let old = Version::Snapshot(before.current_snapshot().unwrap().snapshot_id());
    assert_eq!(rows(&t.query_at(old, "SELECT count(*) FROM t").await), ["2000"]);
    // A file without a row left.
    assert_eq!(t.delete(col("id").lt(lit(5i64))).await, 5);
    assert_eq!(rows(&t.query("SELECT count(*), sum(id) FROM t WHERE id < 20").await), ["9,132"]);
}

#[tokio::test]
async fn a_file_read_in_pieces_gives_each_row_once() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    let options = WriterOptions { row_group_rows: 50_000, ..WriterOptions::default() };
    let scrambled = |from: i64| {
        let of = |i: i64| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values((from..from + 50_000).map(of))),
            Arc::new(StringArray::from_iter_values((from..from + 50_000).map(|i| format!("{:x}", of(i + 7))))),
            Arc::new(Int32Array::from_iter_values(from as i32..from as i32 + 50_000)),
        ];
        RecordBatch::try_new(id_schema(), columns).unwrap()
    };
    t.append_with(options, (0..8).map(|i| scrambled(i * 50_000))).await;
    let plan = t.query("EXPLAIN SELECT id FROM t WHERE id <> 0").await;
    assert!(plan.contains("4 groups"), "{plan}");
    let sum: i64 = (0..400_000).sum();
    let sql = "SELECT count(*), count(DISTINCT n), sum(n) FROM t WHERE id <> 0 OR n = 0";
    assert_eq!(rows(&t.query(sql).await), [format!("400000,400000,{sum}")]);
    assert_eq!(t.delete(col("n").gt_eq(lit(75_000)).and(col("n").lt(lit(225_001)))).await, 150_001);
    let sql = "SELECT count(*), count(DISTINCT n), min(n), max(n) FROM t WHERE id <> 0 OR n = 0";
    assert_eq!(rows(&t.query(sql).await), ["249999,249999,0,399999"]);
}

#[tokio::test]
async fn a_limit_reads_no_more_files_than_it_needs() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    for file in 0..6 {
        t.append([ids(file * 10..(file + 1) * 10)]).await;
    }
    let provider = t.provider(Version::Current).await;
    let provider = provider.as_any().downcast_ref::<Provider>().unwrap();
    let stats = provider.explain(&t.context.state(), &[], Some(15)).await.unwrap();
    assert_eq!(stats.files - stats.files_skipped, 2);
    assert_eq!(rows(&t.query("SELECT id FROM t LIMIT 15").await).len(), 15);
    assert_eq!(rows(&t.query("SELECT id FROM t WHERE n = 3 LIMIT 4").await).len(), 4);
    t.delete(col("id").lt(lit(18i64))).await;
    assert_eq!(rows(&t.query("SELECT id FROM t LIMIT 15").await).len(), 15);
}

#[tokio::test]
async fn counts_and_extremes_come_from_statistics() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    t.append([ids(5..500)]).await;
    t.append([ids(500..900)]).await;
    let sql = "SELECT count(*), min(id), max(id), count(n) FROM t";
    assert_eq!(rows(&t.query(sql).await), ["895,5,899,895"]);
    let plan = t.query(&format!("EXPLAIN {sql}")).await;
    assert!(!plan.contains("DataSourceExec"), "{plan}");
    // Bounds of strings may be cut, so they do not answer.
    let plan = t.query("EXPLAIN SELECT max(region) FROM t").await;
    assert!(plan.contains("DataSourceExec"), "{plan}");
    assert_eq!(rows(&t.query("SELECT max(region) FROM t").await), ["r2"]);
}

#[tokio::test]
async fn each_version_shows_its_own_rows() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    let first = t.append([ids(0..10)]).await;
    t.append([ids(10..30)]).await;
    let snapshot = first.current_snapshot().unwrap();
    let count = "SELECT count(*) FROM t";
    assert_eq!(rows(&t.query(count).await), ["30"]);
    assert_eq!(rows(&t.query_at(Version::Snapshot(snapshot.snapshot_id()), count).await), ["10"]);
    assert_eq!(rows(&t.query_at(Version::AsOf(snapshot.timestamp_ms()), count).await), ["10"]);
    assert_eq!(rows(&t.query_at(Version::Ref("main".into()), count).await), ["30"]);
    let error = provider(&t.tables, t.table().await, Version::Snapshot(1)).unwrap_err();
    assert!(error.is(model::error::codes::VERSION_UNKNOWN));
}

#[tokio::test]
async fn a_provider_stays_at_its_snapshot() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    t.append([ids(0..10)]).await;
    let pinned = t.provider(Version::Current).await;
    t.append([ids(10..30)]).await;
    assert_eq!(rows(&t.run(pinned, "SELECT count(*) FROM t a JOIN t b ON a.id = b.id").await), ["10"]);
}

#[tokio::test]
async fn the_tables_bookkeeping_is_queryable() {
    let t = Fixture::new(partitioned(NewTable::new(id_schema()), &[("region", Transform::Identity)])).await;
    t.append([ids(0..30)]).await;
    t.append([ids(30..60)]).await;
    t.delete(col("id").eq(lit(7i64))).await;
    let table = t.table().await;
    let show = async |kind: &str, sql: &str| {
        let kind: MetadataTable = kind.parse().unwrap();
        rows(&t.run(provider_metadata(&t.tables, table.clone(), kind).unwrap(), sql).await)
    };
    assert_eq!(show("snapshots", "SELECT operation FROM t ORDER BY committed_at, sequence_number").await.len(), 3);
    assert_eq!(show("history", "SELECT count(*) FROM t WHERE is_current_ancestor").await, ["3"]);
    let files = "SELECT content, count(*), sum(record_count) FROM t GROUP BY 1 ORDER BY 1";
    assert_eq!(show("files", files).await, ["DATA,6,60", "POSITION_DELETES,1,1"]);
    assert_eq!(
        show("files", "SELECT DISTINCT partition FROM t ORDER BY 1").await,
        ["region=r0", "region=r1", "region=r2"]
    );
    assert_eq!(
        show("partitions", "SELECT partition, record_count, file_count FROM t ORDER BY 1").await,
        ["region=r0,20,2", "region=r1,20,2", "region=r2,20,2"]
    );
    assert_eq!(
        show("manifests", "SELECT content, count(*) FROM t GROUP BY 1 ORDER BY 1").await,
        ["DATA,2", "DELETES,1"]
    );
    assert_eq!(show("refs", "SELECT name, type FROM t").await, ["main,BRANCH"]);
    assert!("nonsense".parse::<MetadataTable>().is_err());
}
