//! What one statement may not do to the node.

use std::time::Duration;

use futures::StreamExt;

use crate::fixture::Node;

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
        "SELECT a.value, b.value, count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b GROUP BY 1, 2",
        "SELECT * FROM generate_series(1, 1000000000000) ORDER BY value DESC LIMIT 100000000",
        "SELECT array_agg(repeat('x', 1000)) FROM generate_series(1, 10000000)",
    ] {
        let code = tokio::time::timeout(Duration::from_secs(120), node.fails(sql)).await.expect("answers in time");
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
