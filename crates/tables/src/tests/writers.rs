//! Writers: what their files hold and say.

use arrow::array::{ArrayRef, Float64Array, Int32Array};
use model::error::codes;

use super::*;
use crate::{WriterOptions, iceberg::Transform};

#[tokio::test]
async fn files_roll_at_their_target_size_and_hold_every_row() {
    let f = fixture().await;
    let table = f.create().await;
    let options = WriterOptions { target_file_bytes: 200_000, ..WriterOptions::default() };
    let mut writer = f.tables.writer_with(&table, options).expect("writer");
    for chunk in 0..10 {
        writer.write(rows(chunk * 50_000..(chunk + 1) * 50_000)).await.expect("write");
    }
    assert_eq!(writer.rows(), 500_000);
    let files = writer.close().await.expect("close");
    assert!(files.len() > 3, "{} files", files.len());
    f.tables.append(&name(), Append::new(&table, files)).await.expect("append");
    assert_eq!(f.ids().await, (0..500_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn metrics_enclose_the_rows() {
    let f = fixture().await;
    let fields = vec![
        Field::new("i", DataType::Int32, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("f", DataType::Float64, true),
        Field::new("n", DataType::Int32, true),
    ];
    f.tables.create(&name(), NewTable::new(Arc::new(Schema::new(fields)))).await.expect("create");
    let long = "z".repeat(1000);
    let columns: [(&str, ArrayRef); 4] = [
        ("i", Arc::new(Int32Array::from(vec![Some(5), None, Some(-7)]))),
        ("s", Arc::new(StringArray::from(vec![Some(long.as_str()), Some("a"), None]))),
        ("f", Arc::new(Float64Array::from(vec![f64::NAN, 1.5, -0.0]))),
        ("n", Arc::new(Int32Array::from(vec![None, None, None]))),
    ];
    let files = f.write(RecordBatch::try_from_iter(columns).expect("batch")).await;
    let [file] = &files[..] else { panic!("one file") };
    let show =
        |bounds: &std::collections::HashMap<i32, crate::iceberg::Datum>, id| bounds.get(&id).map(|b| b.to_string());
    assert_eq!(file.record_count(), 3);
    assert_eq!((show(file.lower_bounds(), 1), show(file.upper_bounds(), 1)), (Some("-7".into()), Some("5".into())));
    assert_eq!(show(file.lower_bounds(), 2), Some("\"a\"".into()));
    assert_eq!(show(file.upper_bounds(), 2), Some(format!("\"{}{}\"", "z".repeat(15), "{")));
    assert_eq!(show(file.upper_bounds(), 3), Some("1.5".into()));
    assert_eq!(file.nan_value_counts().get(&3), Some(&1));
    assert_eq!((file.null_value_counts()[&1], file.null_value_counts()[&4]), (1, 3));
    assert_eq!(show(file.lower_bounds(), 4), None);
}

#[tokio::test]
async fn a_writer_that_failed_takes_nothing_more_and_closes_with_its_error() {
    let f = fixture().await;
    let table = f.create().await;
    let bad = RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).expect("batch");
    let mut writer = f.tables.writer(&table).expect("writer");
    writer.write(rows(0..3)).await.expect("write");
    writer.write(bad).await.expect("is found when it is encoded");
    assert!(writer.write(rows(3..4)).await.expect_err("failed").is(codes::ROWS_UNWRITABLE));
    assert!(writer.close().await.expect_err("failed").is(codes::ROWS_UNWRITABLE));
    assert_eq!(f.stored().await.len(), 1, "only the table's metadata is there");

    let options = WriterOptions { target_file_bytes: 1, ..WriterOptions::default() };
    let mut writer = f.tables.writer_with(&table, options).expect("writer");
    writer.write(rows(0..100_000)).await.expect("write");
    drop(writer);
    while f.stored().await.len() > 1 {
        tokio::task::yield_now().await;
    }

    assert!(f.tables.writer(&table).expect("writer").close().await.expect("no rows, no files").is_empty());
}

#[tokio::test]
async fn rows_of_a_partitioned_table_lie_in_their_partitions() {
    let f = fixture().await;
    let new = NewTable::new(schema())
        .partitioned_by("id", Transform::Truncate(10))
        .partitioned_by("name", Transform::Bucket(2));
    f.tables.create(&name(), new).await.expect("create");
    f.append(0..100).await;
    f.append(50..60).await;
    let mut expected: Vec<i64> = (0..100).chain(50..60).collect();
    expected.sort_unstable();
    assert_eq!(f.ids().await, expected);
    let live = f.live(DataContentType::Data).await;
    assert!(live.len() > 10);
    assert!(live.keys().all(|path| path.contains("/id_trunc=") && path.contains("/name_bucket=")), "{live:?}");
}

#[tokio::test]
async fn partition_values_never_leave_their_folder() {
    let f = fixture().await;
    f.tables
        .create(&name(), NewTable::new(schema()).partitioned_by("name", Transform::Identity))
        .await
        .expect("create");
    let long = "x/".repeat(500);
    let values = ["../../../../etc", "/", "a=b", "ü %2F", "", ".", long.as_str()];
    let ids = Int64Array::from_iter_values(0..values.len() as i64 + 1);
    let names: StringArray = values.iter().map(|value| Some(*value)).chain([None]).collect();
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names)]).expect("columns fit");
    let files = f.write(batch).await;
    assert_eq!(files.len(), values.len() + 1);
    f.tables.append(&name(), Append::new(&*f.table().await, files)).await.expect("append");
    assert_eq!(f.ids().await, (0..values.len() as i64 + 1).collect::<Vec<_>>());
    let data = format!("{}/data/", f.table().await.metadata().location());
    for path in f.live(DataContentType::Data).await.into_keys() {
        let below = path.strip_prefix(&data).expect("in the table's folder");
        assert_eq!(below.split('/').count(), 2, "{below}");
    }
    assert_eq!(f.stored().await.len(), values.len() + 1 + 4);
}
