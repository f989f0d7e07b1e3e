//! Files that SQL writes and reads.

use crate::{
    fixture::Node,
    idioms::{all, rows},
};

fn exported(node: &Node, name: &str) -> String {
    std::fs::read_to_string(node.dir.path().join("exports").join(name)).expect("it was written")
}

#[tokio::test]
async fn an_empty_text_and_null_are_two_things_in_csv() {
    let node = Node::start().await;
    node.run(
        "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a', 1.5), (2, '', NULL), (3, NULL, 3.5), (4, 'x,\"y\"', 4.5)) AS t(id, s, n);
         COPY (SELECT * FROM t ORDER BY id) TO 't.csv';
         COPY (SELECT * FROM t ORDER BY id) TO 't.csv.csv' WITH (FORMAT csv, COMPRESSION gzip, NULL 'NA', DELIMITER ';');
         COPY (SELECT * FROM t ORDER BY id) TO 't.tsv'",
    )
    .await;
    assert_eq!(exported(&node, "t.csv"), "id,s,n\n1,a,1.5\n2,\"\",\n3,,3.5\n4,\"x,\"\"y\"\"\",4.5\n");
    let read = "1|a|1.5;2||;3||3.5;4|x,\"y\"|4.5";
    for file in ["t.csv", "t.tsv"] {
        all(
            &node,
            &[
                (&format!("SELECT * FROM '{file}' ORDER BY id"), read),
                (&format!("SELECT id FROM '{file}' WHERE s = ''"), "2"),
                (&format!("SELECT id FROM '{file}' WHERE s IS NULL"), "3"),
                (&format!("SELECT length(s), id + 1 FROM '{file}' WHERE id IN (2, 3) ORDER BY id"), "0|3;|4"),
                (&format!("SELECT count(*), count(s) FROM '{file}'"), "4|3"),
            ],
        )
        .await;
    }
    // Large enough to be read from several places, and in folders.
    node.run(
        "COPY (SELECT v AS id, CASE v % 3 WHEN 0 THEN '' WHEN 1 THEN NULL ELSE repeat('x,', 30) END AS s, v % 2 AS k
                 FROM generate_series(1, 600000) AS v) TO 'big.csv';
         COPY (SELECT id, nullif(s, 'a') AS s, id % 2 AS k FROM t) TO 'parts/' STORED AS CSV PARTITIONED BY (k)",
    )
    .await;
    all(
        &node,
        &[
            (
                "SELECT count(*) FILTER (WHERE s = ''), count(*) FILTER (WHERE s IS NULL), sum(id) FROM 'big.csv'",
                "200000|200000|180000300000",
            ),
            ("SELECT id, k FROM 'parts' WHERE s = ''", "2|0"),
            ("SELECT id, k FROM 'parts' WHERE s IS NULL ORDER BY id", "1|1;3|1"),
        ],
    )
    .await;
    assert!(rows(&node, "SELECT sum(n) FROM 't.csv'").await.contains("9.5"));
}
