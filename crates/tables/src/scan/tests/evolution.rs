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
    MaintenancePolicy, SchemaChange,
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
        SchemaChange::add_column(Field::new("s", DataType::Utf8, true)),
        SchemaChange::Widen { path: vec!["n".into()], to: DataType::Int64 },
        SchemaChange::Widen { path: vec!["x".into()], to: DataType::Float64 },
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

/// A column of each kind that nests: `{s: {x}, l: [{x}], m: {key: {x}}}` with x INT and required.
fn nested_schema() -> SchemaRef {
    let point = || DataType::Struct(vec![Field::new("x", DataType::Int32, false)].into());
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", point(), true)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("s", point(), true),
        Field::new("l", DataType::List(Arc::new(Field::new("item", point(), true))), true),
        Field::new("m", DataType::Map(Arc::new(entries), false), true),
    ]))
}

fn path(dotted: &str) -> Vec<String> {
    dotted.split('.').map(str::to_owned).collect()
}

impl Fixture {
    /// One commit with the rows that `sql` gives.
    async fn append_rows(&self, sql: &str) {
        let rows = self.context.sql(sql).await.unwrap().collect().await.unwrap();
        self.append(rows).await;
    }
}

#[tokio::test]
async fn nested_fields_that_were_added_or_widened_read_right_in_old_files_and_after_compaction() {
    let t = Fixture::new(NewTable::new(nested_schema())).await;
    t.append_rows(
        "SELECT 1 AS id, named_struct('x', 1) AS s, [named_struct('x', 1), NULL] AS l, \
         map(['k'], [named_struct('x', 1)]) AS m",
    )
    .await;
    t.append_rows("SELECT 2 AS id").await;
    let changes = ["s", "l.element", "m.value"].into_iter().flat_map(|at| {
        let x = path(&format!("{at}.x"));
        [
            SchemaChange::AddColumn { parent: path(at), field: Field::new("y", DataType::Utf8, true) },
            SchemaChange::Widen { path: x.clone(), to: DataType::Int64 },
            SchemaChange::MakeNullable { path: x },
        ]
    });
    t.tables.evolve(&t.name, changes.collect()).await.unwrap();
    let all = "SELECT id, s, l, m FROM t ORDER BY id";
    let old = ["1,{x: 1, y: },[{x: 1, y: }, ],{k: {x: 1, y: }}", "2,,,"];
    assert_eq!(rows(&t.query(all).await), old, "visible before any row was written under the new schema");
    t.append_rows(
        "SELECT 3 AS id, named_struct('y', 'new', 'x', 10000000000) AS s, \
         [named_struct('x', NULL, 'y', 'only')] AS l, map(['k'], [named_struct('x', 3, 'y', 'z')]) AS m",
    )
    .await;
    let new = "3,{x: 10000000000, y: new},[{x: , y: only}],{k: {x: 3, y: z}}";
    for compacted in [false, true] {
        for late_filters in [false, true] {
            t.late_filters(late_filters);
            assert_eq!(rows(&t.query(all).await), [old[0], old[1], new]);
            for (sql, expected) in [
                ("SELECT s['x'], s['y'] FROM t ORDER BY id", vec!["1,", ",", "10000000000,new"]),
                ("SELECT s['y'] FROM t WHERE s['x'] > 5", vec!["new"]),
                ("SELECT id FROM t WHERE s['y'] IS NULL ORDER BY id", vec!["1", "2"]),
                ("SELECT id, l[1]['y'] FROM t WHERE s['y'] = 'new' OR l[1]['x'] = 1 ORDER BY id", vec!["1,", "3,only"]),
                ("SELECT sum(s['x']), count(s['y']), count(*) FROM t", vec!["10000000001,1,3"]),
            ] {
                assert_eq!(rows(&t.query(sql).await), expected, "{sql}, late: {late_filters}, {compacted}");
            }
        }
        let policy = MaintenancePolicy { small_files_min: 2, ..MaintenancePolicy::default() };
        let report = t.tables.maintain(&t.name, &policy, 0).await.unwrap();
        assert_eq!(report.files_compacted, if compacted { 0 } else { 3 });
    }
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
