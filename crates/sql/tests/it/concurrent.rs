//! Many statements on one table at the same time, and upkeep beside them.

use std::time::Duration;

use sql::SessionOptions;

use crate::fixture::Node;

/// Runs `statements` at the same time, each list in a session of its own, and returns their errors.
async fn at_once(node: &Node, statements: Vec<Vec<String>>) -> Vec<String> {
    let lists = statements.into_iter().map(|list| async {
        let session = node.engine.session(SessionOptions::default());
        let mut errors = Vec::new();
        for sql in list {
            if let Err(error) = session.run(&sql).await {
                errors.push(format!("{sql}: {error}"));
            }
        }
        errors
    });
    futures::future::join_all(lists).await.concat()
}

async fn eventually(node: &Node, sql: &str, is_right: impl Fn(i64) -> bool) {
    let mut last = 0;
    for _ in 0..600 {
        last = node.value(sql).await.parse().expect("a number");
        if is_right(last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{sql} stays at {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_of_many_at_once_all_happen_as_if_one_after_the_other() {
    let node = Node::start().await;
    node.run("CREATE TABLE t (id BIGINT, n BIGINT); INSERT INTO t SELECT value, 0 FROM generate_series(0, 11)").await;
    let mut statements = Vec::new();
    for id in 0..12 {
        // Rows of their own, and one row that all want.
        let own = format!("UPDATE t SET n = n + 1 WHERE id = {id}");
        statements.push(vec![own.clone(), "UPDATE t SET n = n + 100 WHERE id = 0".to_owned(), own]);
    }
    // What is added meanwhile is a conflict for those who look for rows to change.
    statements.push((0..12).map(|i| format!("INSERT INTO t VALUES ({}, -1)", 100 + i)).collect());
    statements.push((0..6).map(|i| format!("DELETE FROM t WHERE id >= {} AND n = -2", 100 + i)).collect());
    statements.push(vec!["OPTIMIZE t".to_owned(), "OPTIMIZE t".to_owned()]);
    assert_eq!(at_once(&node, statements).await, [""; 0]);
    assert_eq!(node.value("SELECT count(*) FROM t WHERE id BETWEEN 1 AND 11 AND n = 2").await, "11");
    assert_eq!(node.value("SELECT n FROM t WHERE id = 0").await, "1202");
    assert_eq!(node.value("SELECT count(*) FROM t WHERE n = -1").await, "12");
    assert_eq!(node.value("SELECT count(*) FROM t").await, "24");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_made_by_sql_are_looked_after_while_they_are_written_and_left_alone_when_they_rest() {
    let node = Node::start().await;
    node.lake.start_writer();
    node.run("CREATE TABLE t (id BIGINT, n BIGINT)").await;
    let statements = (0..3).map(|writer| {
        let statement = move |i: i64| match i % 3 {
            0 | 1 => format!("INSERT INTO t VALUES ({}, 0)", writer * 100 + i),
            _ => format!("UPDATE t SET n = n + 1 WHERE id = {}", writer * 100 + i - 1),
        };
        (0..24).map(statement).collect()
    });
    assert_eq!(at_once(&node, statements.collect()).await, [""; 0]);
    eventually(&node, "SELECT count(*) FROM \"t$files\"", |files| files < 16).await;
    assert_eq!(node.value("SELECT count(*) FROM t").await, "48");
    assert_eq!(node.value("SELECT sum(n) FROM t").await, "24");

    // An idle table has no upkeep: sooner or later several rounds find nothing to do.
    let mut snapshots = String::new();
    for _ in 0..50 {
        let before = std::mem::replace(&mut snapshots, node.value("SELECT count(*) FROM \"t$snapshots\"").await);
        if before == snapshots {
            return;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    panic!("upkeep goes on forever: {snapshots} snapshots");
}
