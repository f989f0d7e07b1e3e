//! Equality deletes, which other engines write and we only read.

use bytes::Bytes;
use datafusion::execution::runtime_env::RuntimeEnv;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, ManifestEntry, ManifestStatus, Struct,
};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};

use super::*;
use crate::scan::{deletes::deleted_positions, plan::PlannedFile, reader::Reader};

fn with_id(name: &str, of: DataType, id: i32) -> Field {
    Field::new(name, of, true).with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
}

/// Writes `columns` as a Parquet file and says it is a data file or an equality delete on `ids`.
async fn file(t: &Fixture, name: &str, columns: Vec<(Field, ArrayRef)>, ids: Option<Vec<i32>>) -> DataFile {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = Bytes::from(writer.into_inner().unwrap());
    let location = format!("{}/equality/{name}.parquet", t.tables.files().base_url());
    t.tables.files().put(&location, bytes.clone()).await.unwrap();
    DataFileBuilder::default()
        .content(if ids.is_some() { DataContentType::EqualityDeletes } else { DataContentType::Data })
        .file_path(location)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(batch.num_rows() as u64)
        .file_size_in_bytes(bytes.len() as u64)
        .equality_ids(ids)
        .build()
        .unwrap()
}

fn entry(file: DataFile, sequence_number: i64) -> Arc<ManifestEntry> {
    Arc::new(
        ManifestEntry::builder().status(ManifestStatus::Added).sequence_number(sequence_number).data_file(file).build(),
    )
}

#[tokio::test]
async fn equality_deletes_name_rows_by_value_across_types_and_nulls() {
    let t = Fixture::new(NewTable::new(id_schema())).await; // id: 1, region: 2, n: 3
    let table = t.table().await;
    // Written when `id` was an int.
    let data = file(
        &t,
        "data",
        vec![
            (
                with_id("id", DataType::Int32, 1),
                Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(4), Some(2)])),
            ),
            (with_id("area", DataType::Utf8, 2), Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]))),
        ],
        None,
    )
    .await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None]));
    let by_id = file(&t, "by-id", vec![(with_id("id", DataType::Int64, 1), ids)], Some(vec![1])).await;
    let both = vec![
        (with_id("region", DataType::Utf8, 2), Arc::new(StringArray::from(vec!["a", "d"])) as ArrayRef),
        (with_id("id", DataType::Int64, 1), Arc::new(Int64Array::from(vec![9, 4])) as ArrayRef),
    ];
    let by_both = file(&t, "by-both", both, Some(vec![1, 2])).await;

    let planned = PlannedFile {
        entry: entry(data, 1),
        spec: table.metadata().default_partition_spec().clone(),
        deletes: vec![entry(by_id, 2), entry(by_both, 3)],
    };
    let reader = Reader::with_runtime(t.tables.files(), &t.name, &RuntimeEnv::default());
    let positions = deleted_positions(&reader, table.metadata(), &planned).await.unwrap();
    assert_eq!(*positions, [1, 2, 3, 4]);
}
