//! What one statement may not do to the node.

use std::time::Duration;

use futures::StreamExt;

use crate::fixture::Node;

/// How long what should happen at once may take where many tests share few processors.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greedy_queries_are_refused_and_the_node_goes_on() {
    let node = Node::start_with(|settings| {
        settings.memory_bytes = 64 << 20;
        settings.spill_bytes_max = 64 << 20;
    })
    .await;
    for sql in [
        "SELECT repeat('x', 100000000000)",
        "SELECT repeat('x', 2000000000)",
        "SELECT length(repeat(repeat('x', 100000), 100000))",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT range(0, 100000000000)",
        "SELECT generate_series(1, 9223372036854775807)",
        "SELECT array_repeat('xxxxxxxx', 1000000000)",
        "SELECT a, b, count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b GROUP BY 1, 2",
        "SELECT * FROM generate_series(1, 1000000000000) ORDER BY value DESC LIMIT 100000000",
        "SELECT array_agg(repeat('x', 1000)) FROM generate_series(1, 10000000)",
    ] {
        let code = tokio::time::timeout(PATIENCE, node.fails(sql)).await.expect("answers in time");
        assert_eq!(code, "LH0506", "{sql}");
        assert_eq!(node.value("SELECT 1").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_queries_end_at_their_time_limit() {
    let node = Node::start().await;
    node.run("SET statement_timeout = '300ms'").await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b";
    assert_eq!(node.fails(endless).await, "LH0507");
    node.run("SET statement_timeout = 0").await;
    assert_eq!(node.value("SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stream_and_dropping_them_stops_the_query() {
    let node = Node::start().await;
    let outcome =
        node.session.run_one("SELECT * FROM generate_series(1, 1000000000000)", Vec::new()).await.expect("starts");
    let mut stream = outcome.stream.expect("rows");
    let first = stream.next().await.expect("a batch").expect("no error");
    assert!(first.num_rows() > 0);
    drop(stream);
    assert_eq!(node.value("SELECT 1").await, "1");
}

/// Each works for hours, and gives its reader nothing before it is done.
const BUSY: [&str; 4] = [
    "SELECT count(DISTINCT a % 7 + b % 11) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a + b < 0",
    "SELECT max(a) FROM generate_series(1, 1000000) a LEFT JOIN generate_series(1, 1000000) b ON a + b < 0",
    "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b \
     ON a % 2 = b % 2 AND a + b < 0",
];

fn memory_in_use(node: &Node) -> usize {
    node.engine.context().runtime_env().memory_pool.reserved()
}

async fn frees_its_memory(node: &Node, sql: &str) {
    let freed = async {
        while memory_in_use(node) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap_or_else(|_| panic!("{sql} goes on"));
}

#[tokio::test]
async fn a_busy_query_is_freed_when_nobody_waits_for_it() {
    let node = Node::start().await;
    for sql in BUSY {
        let rows = async { node.session.run_one(sql, Vec::new()).await.expect("starts").collect().await };
        assert!(tokio::time::timeout(Duration::from_millis(700), rows).await.is_err(), "{sql} is not done");
        frees_its_memory(&node, sql).await;
        // The same where no rows are on their way yet.
        let writes = format!(
            "CREATE TABLE t AS {}",
            sql.replacen("SELECT ", "SELECT 1 AS one, ", 1).replacen(") FROM", ") AS n FROM", 1)
        );
        let written = node.session.run(&writes);
        assert!(tokio::time::timeout(Duration::from_millis(700), written).await.is_err(), "{writes} is not done");
        frees_its_memory(&node, &writes).await;
    }
}

#[tokio::test]
async fn a_busy_query_hears_of_its_time_limit() {
    let node = Node::start_with(|settings| settings.target_partitions = 1).await;
    node.run("SET statement_timeout = '300ms'").await;
    for sql in BUSY {
        let code = tokio::time::timeout(PATIENCE, node.fails(sql)).await.expect("in time");
        assert_eq!(code, "LH0507", "{sql}");
        frees_its_memory(&node, sql).await;
    }
}

#[tokio::test]
async fn busy_queries_leave_room_for_others() {
    let node = Node::start().await;
    let mut busy = Vec::new();
    for sql in BUSY.iter().chain(&BUSY) {
        busy.push(node.session.run_one(sql, Vec::new()).await.expect("starts"));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..5 {
        let answer = tokio::time::timeout(PATIENCE, node.value("SELECT 1"));
        assert_eq!(answer.await.expect("in time"), "1");
    }
    drop(busy);
    frees_its_memory(&node, "all").await;
}

#[tokio::test]
async fn a_query_runs_ahead_of_its_reader_by_a_few_batches_only() {
    let node = Node::start().await;
    let sql = "SELECT value, repeat('x', 1000) FROM generate_series(1, 1000000000)";
    let mut rows = node.session.run_one(sql, Vec::new()).await.expect("starts").stream.expect("rows");
    let before = rows.next().await.expect("a batch").expect("no error").num_rows();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(before > 0);
    // What waits is a few batches; the rest is not made before it is asked for, in order.
    let mut last = 0;
    for _ in 0..10 {
        let batch = rows.next().await.expect("a batch").expect("no error");
        let values = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().expect("numbers");
        assert!(values.value(0) > last);
        last = values.value(batch.num_rows() - 1);
    }
}

#[tokio::test]
async fn long_statements_are_refused() {
    let node = Node::start().await;
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    assert_eq!(node.fails(&long).await, "LH0509");
    let many = format!("SELECT 1 WHERE 1 = 0{}", " OR 1 = 2".repeat(3_000));
    node.run(&many).await;
    let sums = format!("SELECT 1{}", " + 1".repeat(190));
    assert_eq!(node.value(&sums).await, "191");
    let unions = format!("SELECT count(*) FROM (SELECT 1{})", " UNION ALL SELECT 1".repeat(300));
    assert_eq!(node.value(&unions).await, "301");
}
