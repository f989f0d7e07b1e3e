//! One oracle: whatever the table's layout, a query over it answers as over the same rows in memory.

use arrow::{
    array::{BooleanArray, Date32Array, Float64Array},
    compute::concat_batches,
};
use datafusion::{catalog::MemTable, logical_expr::lit};
use proptest::prelude::*;

use super::*;

type Row = (Option<i32>, Option<i64>, Option<String>, Option<i32>, Option<bool>, Option<i32>);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("l", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("f", DataType::Float64, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("d", DataType::Date32, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter(rows.iter().map(|r| r.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.2.clone()))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.3.map(|f| f64::from(f) / 2.0)))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.4))),
        Arc::new(Date32Array::from_iter(rows.iter().map(|r| r.5))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn row() -> impl Strategy<Value = Row> {
    // The long strings share more than the sixteen characters bounds are cut to.
    let text = prop_oneof!["[a-c]{0,2}", "[a-c]".prop_map(|s| format!("a long common prefix {s}"))];
    use prop::option::of;
    (of(-5..15i32), of(-5..40i64), of(text), of(-9..9i32), of(any::<bool>()), of(-40..400i32))
}

fn leaf() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let text = prop_oneof!["[a-c]{0,2}", "[a-c]".prop_map(|s| format!("a long common prefix {s}"))];
    prop_oneof![
        (op.clone(), -6..16i32).prop_map(|(op, v)| format!("i {op} {v}")),
        (op.clone(), -6..42i64).prop_map(|(op, v)| format!("{v} {op} l")),
        (op.clone(), text.clone()).prop_map(|(op, v)| format!("s {op} '{v}'")),
        (op.clone(), -9..9i32).prop_map(|(op, v)| format!("f {op} {}", f64::from(v) / 2.0)),
        (op.clone(), -41..401i32).prop_map(|(op, v)| format!("d {op} DATE '1970-01-01' + INTERVAL '{v}' DAY")),
        (op, -6..16i32).prop_map(|(op, v)| format!("i + 1 {op} l - {v}")),
        prop::sample::select(vec![
            "b",
            "NOT b",
            "b IS NULL",
            "s IS NOT NULL",
            "i IS NULL",
            "d IS NOT NULL",
            "s LIKE 'a%'"
        ])
        .prop_map(str::to_owned),
        prop::collection::vec(-6..16i32, 1..4)
            .prop_map(|v| format!("i IN ({})", v.iter().map(i32::to_string).collect::<Vec<_>>().join(", "))),
        (text, -6..42i64, 0..9i64)
            .prop_map(|(s, low, more)| format!("s NOT IN ('{s}', 'x') AND l BETWEEN {low} AND {}", low + more)),
    ]
}

fn predicate() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) AND ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) OR ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn layout() -> impl Strategy<Value = Vec<(&'static str, Transform)>> {
    prop::sample::select(vec![
        vec![],
        vec![("i", Transform::Identity)],
        vec![("s", Transform::Identity)],
        vec![("l", Transform::Truncate(7))],
        vec![("s", Transform::Truncate(1)), ("b", Transform::Identity)],
        vec![("d", Transform::Month)],
        vec![("d", Transform::Year), ("i", Transform::Bucket(3))],
        vec![("d", Transform::Day)],
        vec![("l", Transform::Bucket(4)), ("s", Transform::Bucket(2))],
    ])
}

async fn check(
    layout: Vec<(&'static str, Transform)>,
    commits: Vec<Vec<Row>>,
    delete: Option<String>,
    predicates: Vec<String>,
    late_filters: bool,
) {
    let t = Fixture::new(partitioned(NewTable::new(schema()), &layout)).await;
    for commit in &commits {
        if !commit.is_empty() {
            t.append([batch(commit)]).await;
        }
    }
    let all: Vec<RecordBatch> = commits.iter().map(|rows| batch(rows)).collect();
    let memory = MemTable::try_new(schema(), vec![vec![concat_batches(&schema(), &all).unwrap()]]).unwrap();
    t.context.register_table("m", Arc::new(memory)).unwrap();
    let alive = match &delete {
        None => "true".to_owned(),
        Some(delete) => {
            let state = t.context.state();
            let df_schema = datafusion::common::DFSchema::try_from(schema()).unwrap();
            let filter = state.create_logical_expr(delete, &df_schema).unwrap();
            t.delete(filter.and(lit(true))).await;
            format!("({delete}) IS NOT TRUE")
        }
    };
    t.late_filters(late_filters);
    for predicate in predicates.iter().chain([&"true".to_owned()]) {
        let order = "ORDER BY 1, 2, 3, 4, 5, 6";
        let found = rows(&t.query(&format!("SELECT * FROM t WHERE {predicate} {order}")).await);
        let expected = rows(&t.query(&format!("SELECT * FROM m WHERE ({predicate}) AND {alive} {order}")).await);
        assert_eq!(found, expected, "WHERE {predicate}, deleted {delete:?}, by {layout:?}");
        let totals = "count(*), count(s), min(i), max(l), min(d), max(s), sum(f)";
        let found = rows(&t.query(&format!("SELECT {totals} FROM t WHERE {predicate}")).await);
        let expected = rows(&t.query(&format!("SELECT {totals} FROM m WHERE ({predicate}) AND {alive}")).await);
        assert_eq!(found, expected, "totals WHERE {predicate}, deleted {delete:?}, by {layout:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_layout_answers_as_memory_does(
        layout in layout(),
        commits in prop::collection::vec(prop::collection::vec(row(), 0..25), 1..5),
        delete in prop::option::of(predicate()),
        predicates in prop::collection::vec(predicate(), 1..8),
        late_filters in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(layout, commits, delete, predicates, late_filters));
    }
}
