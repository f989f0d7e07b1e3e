//! Files written under an older schema.

use arrow::array::{Array, Float32Array, Float64Array, StructArray};
use datafusion::{
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_expr_adapter::PhysicalExprAdapter,
};
use iceberg::spec::{ListType, NestedField, PrimitiveType, StructType, Type};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::*;
use crate::{
    SchemaChange,
    scan::{bounds::Columns, plain_schema, provider_as, resolve::Adapter},
};

#[tokio::test]
async fn added_columns_are_null_in_old_files_and_widened_ones_are_cast() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true), Field::new("x", DataType::Float32, true)]));
    let t = Fixture::new(NewTable::new(schema.clone())).await;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5])),
    ];
    let old = t.append([RecordBatch::try_new(schema, columns).unwrap()]).await;
    let changes = vec![
        SchemaChange::AddColumn(Field::new("s", DataType::Utf8, true)),
        SchemaChange::Widen { column: "n".into(), to: DataType::Int64 },
        SchemaChange::Widen { column: "x".into(), to: DataType::Float64 },
    ];
    t.tables.evolve(&t.name, changes).await.unwrap();

    // Visible before any row was written under the new schema.
    assert_eq!(rows(&t.query("SELECT n, x, s FROM t ORDER BY x").await), ["1,0.5,", ",1.5,", "3,2.5,"]);
    let schema = plain_schema(t.table().await.arrow_schema());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1 << 40])),
        Arc::new(Float64Array::from(vec![9.5])),
        Arc::new(StringArray::from(vec!["new"])),
    ];
    t.append([RecordBatch::try_new(schema, columns).unwrap()]).await;
    for late_filters in [false, true] {
        t.late_filters(late_filters);
        for (filter, expected) in [
            ("n > 2", vec!["3,2.5,", "1099511627776,9.5,new"]),
            ("n >= 2000000000000", vec![]),
            ("s IS NULL AND n IS NOT NULL", vec!["1,0.5,", "3,2.5,"]),
            ("s = 'new'", vec!["1099511627776,9.5,new"]),
            ("x < 1.0 OR n IS NULL", vec!["1,0.5,", ",1.5,"]),
            ("coalesce(s, 'none') = 'none' AND x > 2", vec!["3,2.5,"]),
        ] {
            let found = t.query(&format!("SELECT n, x, s FROM t WHERE {filter} ORDER BY x")).await;
            assert_eq!(rows(&found), expected, "{filter}, late: {late_filters}");
        }
    }
    assert_eq!(rows(&t.query("SELECT min(n), max(n), count(s) FROM t").await), ["1,1099511627776,1"]);

    // The old version has the old columns.
    let version = Version::Snapshot(old.current_snapshot().unwrap().snapshot_id());
    assert_eq!(t.provider(version.clone()).await.schema().fields().len(), 2);
    assert_eq!(rows(&t.query_at(version, "SELECT arrow_typeof(n), count(*) FROM t GROUP BY 1").await), ["Int32,3"]);
}

#[tokio::test]
async fn a_table_can_be_presented_in_another_schema() {
    let t = Fixture::new(NewTable::new(id_schema())).await;
    t.append([ids(0..9)]).await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("region", DataType::Utf8View, true),
        Field::new("absent", DataType::Date32, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let view = provider_as(&t.tables, t.table().await, Version::Current, schema).unwrap();
    let sql = "SELECT region, absent, n FROM t WHERE region = 'r1' AND n > 1 ORDER BY n";
    assert_eq!(rows(&t.run(view.clone(), sql).await), ["r1,,4", "r1,,7"]);
    assert_eq!(rows(&t.run(view, "SELECT count(*), count(absent), max(n) FROM t").await), ["9,0,8"]);
}

fn with_id(field: Field, id: i32) -> Field {
    field.with_metadata([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())].into())
}

fn evaluate(columns: Arc<Columns>, batch: &RecordBatch, name: &str) -> ArrayRef {
    let adapter = Adapter::new(columns.clone(), batch.schema());
    let column = Column::new(name, columns.schema.index_of(name).unwrap());
    let expr: Arc<dyn PhysicalExpr> = adapter.rewrite(Arc::new(column)).unwrap();
    expr.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap()
}

#[test]
fn names_that_were_swapped_follow_their_ids() {
    // Written as (a: 1, b: 2); since then a was renamed to b and b to a.
    let written = Schema::new(vec![
        with_id(Field::new("a", DataType::Int32, true), 1),
        with_id(Field::new("b", DataType::Int32, true), 2),
    ]);
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![10])), Arc::new(Int32Array::from(vec![20]))];
    let batch = RecordBatch::try_new(Arc::new(written), arrays).unwrap();
    let int = || Type::Primitive(PrimitiveType::Int);
    let now = iceberg::spec::Schema::builder()
        .with_fields([
            Arc::new(NestedField::optional(1, "b", int())),
            Arc::new(NestedField::optional(2, "a", int())),
            Arc::new(NestedField::optional(3, "c", int())),
        ])
        .build()
        .unwrap();
    let schema = plain_schema(&iceberg::arrow::schema_to_arrow_schema(&now).unwrap());
    let columns = Arc::new(Columns::new(schema, &now));
    let value =
        |name| evaluate(columns.clone(), &batch, name).as_any().downcast_ref::<Int32Array>().unwrap().iter().next();
    assert_eq!((value("a"), value("b"), value("c")), (Some(Some(20)), Some(Some(10)), Some(None)));
}

#[test]
fn structs_in_lists_are_rebuilt_field_by_field() {
    use arrow::{array::ListArray, buffer::OffsetBuffer};
    // Written as list<struct<x: int (3), gone: int (4)>>; now list<struct<added: string (6), y: long (3)>>.
    let item = vec![
        Arc::new(with_id(Field::new("x", DataType::Int32, true), 3)),
        Arc::new(with_id(Field::new("gone", DataType::Int32, true), 4)),
    ];
    let structs = StructArray::new(
        item.into(),
        vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(Int32Array::from(vec![7, 8, 9]))],
        None,
    );
    let element = Arc::new(with_id(Field::new("element", structs.data_type().clone(), true), 2));
    let list = ListArray::new(element, OffsetBuffer::from_lengths([2, 0, 1]), Arc::new(structs), None);
    let written = Schema::new(vec![with_id(Field::new("l", list.data_type().clone(), true), 1)]);
    let batch = RecordBatch::try_new(Arc::new(written), vec![Arc::new(list)]).unwrap();

    let inner = StructType::new(vec![
        Arc::new(NestedField::optional(6, "added", Type::Primitive(PrimitiveType::String))),
        Arc::new(NestedField::optional(3, "y", Type::Primitive(PrimitiveType::Long))),
    ]);
    let list = ListType::new(Arc::new(NestedField::list_element(2, Type::Struct(inner), false)));
    let now = iceberg::spec::Schema::builder()
        .with_fields([Arc::new(NestedField::optional(1, "l", Type::List(list)))])
        .build()
        .unwrap();
    let schema = plain_schema(&iceberg::arrow::schema_to_arrow_schema(&now).unwrap());
    let columns = Arc::new(Columns::new(schema.clone(), &now));
    let rebuilt = RecordBatch::try_new(schema, vec![evaluate(columns, &batch, "l")]).unwrap();
    let printed = pretty_format_batches(&[rebuilt]).unwrap().to_string();
    assert_eq!(rows(&printed), ["[{added: , y: 1}, {added: , y: 2}]", "[]", "[{added: , y: 3}]"]);
}
