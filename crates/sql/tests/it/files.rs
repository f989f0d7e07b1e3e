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

fn put(node: &Node, name: &str, text: &str) {
    let path = node.dir.path().join("exports").join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
    std::fs::write(path, text).expect("the file is written");
}

#[tokio::test]
async fn files_are_read_as_they_are_written() {
    let node = Node::start().await;
    put(&node, "semi.csv", "id;name\n1;a\n2;\"b;c\"\n");
    put(&node, "bare.csv", "1,a\n2,b\n");
    put(&node, "array.json", " [{\"id\": 1, \"s\": \"a\"},\n {\"id\": 2}]\n");
    put(&node, "lines.json", "{\"id\": 1}\n{\"id\": 2}\n");
    let late = (0..5000).map(|n| format!("{n}\n")).collect::<String>();
    put(&node, "late.csv", &format!("n\n{late}NA\n"));
    for (folder, id) in [("y=1", 1), ("y=2", 2)] {
        put(&node, &format!("parts/{folder}/a.csv"), &format!("id\n{id}\n"));
    }
    put(&node, "parts/y=2/b.json", "{}");
    put(
        &node,
        "times.csv",
        "id,at,plain\n1,2024-06-01T10:00:00+02:00,2024-06-01 10:00:00\n2,2024-06-01T09:00:00Z,\n3,,\n",
    );
    node.run("COPY (SELECT TIMESTAMPTZ '2024-06-01 10:00:00+02' AS at, TIMESTAMP '2024-06-01 10:00:00' AS plain) TO 'back.csv'").await;
    node.run(
        "COPY (SELECT v AS id, 'x' || v AS s FROM generate_series(1, 3) AS v) TO 'zip.csv.gz';
         COPY (SELECT v AS id FROM generate_series(1, 3) AS v) TO 'zip.ndjson.gz'",
    )
    .await;
    all(
        &node,
        &[
            ("SELECT id + 1, name FROM 'semi.csv' ORDER BY id", "2|a;3|b;c"),
            ("SELECT column_1 + 1, column_2 FROM 'bare.csv' ORDER BY 1", "2|a;3|b"),
            ("SELECT id, s FROM 'array.json' ORDER BY id", "1|a;2|"),
            ("SELECT sum(id) FROM 'lines.json'", "3"),
            ("SELECT count(*), count(TRY_CAST(n AS INT)) FROM 'late.csv'", "5001|5000"),
            ("SELECT at FROM 'times.csv' ORDER BY id", "2024-06-01T08:00:00Z;2024-06-01T09:00:00Z;"),
            ("SELECT at, plain FROM 'back.csv'", "2024-06-01T08:00:00Z|2024-06-01T10:00:00"),
            ("SELECT sum(id) FROM 'parts/*/*.csv'", "3"),
            ("SELECT sum(id) FROM 'parts/y=?/a.csv'", "3"),
            ("SELECT id, s FROM 'zip.csv.gz' ORDER BY id", "1|x1;2|x2;3|x3"),
            ("SELECT sum(id) FROM 'zip.ndjson.gz'", "6"),
            ("SELECT sum(id) FROM '*.csv.gz'", "6"),
            ("DESCRIBE SELECT id, name FROM 'semi.csv'", "id|BIGINT|YES|query;name|VARCHAR|YES|query"),
            ("DESCRIBE 'bare.csv'", "column_1|BIGINT|YES|query;column_2|VARCHAR|YES|query"),
            ("DESCRIBE (SELECT 1 AS a)", "a|BIGINT|NO|query"),
            ("DESCRIBE WITH a AS (SELECT 1 AS x) SELECT * FROM a", "x|BIGINT|NO|query"),
        ],
    )
    .await;
    assert_eq!(node.fails("SELECT * FROM 'parts/*/*'").await, "LH0519");
    assert_eq!(node.fails("SELECT * FROM 'none/*.csv'").await, "LH0502");
    assert_eq!(node.fails("COPY (SELECT 1 AS a) TO 'a.parquet.gz'").await, "LH0508");
    assert_eq!(node.fails("SELECT * FROM '../*'").await, node.fails("SELECT * FROM '../x.csv'").await);
    let prepared = node.session.prepare("DESCRIBE SELECT 1 AS a", &[]).await.expect("it is checked");
    assert!(prepared.gives_rows());
}
