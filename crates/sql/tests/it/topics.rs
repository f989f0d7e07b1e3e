//! Topics as tables: the union of what is committed and what is in the log.

use expect_test::expect;

use crate::fixture::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_declared_written_and_read_with_its_pseudo_columns() {
    let node = Node::start().await;
    node.check(
        "CREATE STREAM orders (id INT, item VARCHAR, at TIMESTAMP) WITH (KAFKA_TOPIC='orders.v1', VALUE_FORMAT='JSON', PARTITIONS=1);
         INSERT INTO orders VALUES (1, 'pen', TIMESTAMP '2026-01-01 10:00:00'), (2, NULL, NULL);
         INSERT INTO orders (item, id, _key, _timestamp) VALUES ('ink', 3, 'k3', TIMESTAMP '2026-01-02 00:00:00');
         SELECT * FROM orders ORDER BY id;
         SELECT id, _partition, _offset FROM orders ORDER BY _offset;
         SELECT *, _offset FROM orders WHERE _offset >= 2;
         SELECT o.*, o._offset AS p FROM \"orders.v1\" o JOIN orders USING (id) WHERE o.id = 1;
         SELECT * FROM (SELECT id, _offset FROM orders) WHERE id = 2",
        expect![[r#"
            notice: topic `orders.v1` created
            CREATE STREAM
            INSERT 0 2
            INSERT 0 1
            +----+------+---------------------+
            | id | item | at                  |
            +----+------+---------------------+
            | 1  | pen  | 2026-01-01T10:00:00 |
            | 2  |      |                     |
            | 3  | ink  |                     |
            +----+------+---------------------+
            +----+------------+---------+
            | id | _partition | _offset |
            +----+------------+---------+
            | 1  | 0          | 0       |
            | 2  | 0          | 1       |
            | 3  | 0          | 2       |
            +----+------------+---------+
            +----+------+----+---------+
            | id | item | at | _offset |
            +----+------+----+---------+
            | 3  | ink  |    | 2       |
            +----+------+----+---------+
            +----+------+---------------------+---+
            | id | item | at                  | p |
            +----+------+---------------------+---+
            | 1  | pen  | 2026-01-01T10:00:00 | 0 |
            +----+------+---------------------+---+
            +----+---------+
            | id | _offset |
            +----+---------+
            | 2  | 1       |
            +----+---------+
        "#]],
    )
    .await;
    node.check(
        "SELECT *, a._offset FROM orders a JOIN (SELECT id, _offset AS o FROM orders) b ON a.id = b.id WHERE a.id = 2",
        expect![[r#"
            +----+------+----+------+---+---------+
            | id | item | at | id_1 | o | _offset |
            +----+------+----+------+---+---------+
            | 2  |      |    | 2    | 1 | 1       |
            +----+------+----+------+---+---------+
        "#]],
    )
    .await;
    node.check("DESCRIBE orders; SHOW STREAMS; SHOW TOPICS; SHOW CREATE STREAM orders", expect![[r#"
        +-------------+-----------------------------------------+-------------+-------------------------+
        | column_name | data_type                               | is_nullable | origin                  |
        +-------------+-----------------------------------------+-------------+-------------------------+
        | id          | INT                                     | YES         | declared                |
        | item        | VARCHAR                                 | YES         | declared                |
        | at          | TIMESTAMP                               | YES         | declared                |
        | _partition  | INT                                     | NO          | pseudo-column, not in * |
        | _offset     | BIGINT                                  | NO          | pseudo-column, not in * |
        | _timestamp  | TIMESTAMPTZ                             | YES         | pseudo-column, not in * |
        | _key        | VARCHAR                                 | YES         | pseudo-column, not in * |
        | _headers    | ARRAY<STRUCT<key VARCHAR, value BYTES>> | YES         | pseudo-column, not in * |
        +-------------+-----------------------------------------+-------------+-------------------------+
        +---------------+--------+-----------+------------+--------------+
        | name          | kind   | topic     | key_format | value_format |
        +---------------+--------+-----------+------------+--------------+
        | public.orders | stream | orders.v1 | KAFKA      | JSON         |
        +---------------+--------+-----------+------------+--------------+
        +-----------+------------+---------+--------------+
        | topic     | partitions | records | retention_ms |
        +-----------+------------+---------+--------------+
        | orders.v1 | 1          | 3       | 604800000    |
        +-----------+------------+---------+--------------+
        +---------------+-----------------------------------------------------------------------------------------------------------------------------+
        | name          | statement                                                                                                                   |
        +---------------+-----------------------------------------------------------------------------------------------------------------------------+
        | public.orders | CREATE STREAM orders (id INT, item VARCHAR, at TIMESTAMP) WITH (KAFKA_TOPIC='orders.v1', VALUE_FORMAT='JSON', PARTITIONS=1) |
        +---------------+-----------------------------------------------------------------------------------------------------------------------------+
    "#]]).await;
    node.check(
        "SELECT _timestamp FROM orders WHERE _timestamp >= TIMESTAMP '2026-01-02' AND id = 3",
        expect![[r#"
        +----------------------+
        | _timestamp           |
        +----------------------+
        | 2026-01-02T00:00:00Z |
        +----------------------+
    "#]],
    )
    .await;
    node.check(
        "INSERT INTO orders (_offset, id) VALUES (1, 1)",
        expect![[r#"
        LH0503 `orders` has no column `_offset` to write to
        hint: the log gives offsets itself
    "#]],
    )
    .await;
    node.check(
        "DELETE FROM orders WHERE id = 1",
        expect![[r#"
        LH0508 DELETE on topic `orders` is not offered
        records of a topic are what happened; they are not changed afterwards
        hint: CREATE TABLE name AS SELECT … makes a table of its own
    "#]],
    )
    .await;
    node.check(
        "CREATE STREAM orders (a INT) WITH (KAFKA_TOPIC='orders.v1', VALUE_FORMAT='JSON')",
        expect![[r#"
        LH0510 `public.orders` exists already
        hint: topics, streams, tables and views of a zone share their names
    "#]],
    )
    .await;
    node.check(
        "CREATE STREAM x (a INT) WITH (KAFKA_TOPIC='none', VALUE_FORMAT='JSON')",
        expect![[r#"
        LH0502 there is no topic `none`
        hint: add PARTITIONS=1 (or more) to WITH, and it is made
    "#]],
    )
    .await;
    node.check(
        "CREATE STREAM x (a INT) WITH (VALUE_FORMAT='JSON', PARTITIONS=1, WINDOW_TYPE='SESSION')",
        expect![[r#"
        LH0508 WITH (WINDOW_TYPE = …) is not offered
        it only has a meaning for continuous queries, which are not part of this release
        hint: the time a record carries is the pseudo-column _timestamp
    "#]],
    )
    .await;
    node.check(
        "DROP STREAM orders DELETE TOPIC; SELECT * FROM orders",
        expect![[r#"
        LH0502 there is no table, topic, stream or view `orders`
        hint: SHOW TABLES and SHOW TOPICS list what there is
    "#]],
    )
    .await;
}

#[tokio::test]
async fn what_a_deleted_topic_leaves_is_not_there_for_a_moment_either() {
    let node = Node::start().await;
    node.run("CREATE STREAM rr (v BIGINT) WITH (KAFKA_TOPIC='rr', VALUE_FORMAT='JSON', PARTITIONS=1)").await;
    node.run("INSERT INTO rr VALUES (1), (2)").await;
    node.run("DROP STREAM rr").await;
    node.lake.flush("rr").await.expect("flushes");
    assert_eq!(node.value("SELECT count(*) FROM rr").await, "2");
    // Nobody is there to drop its table.
    node.log.delete_topic("rr").await.expect("it is there");
    for sql in ["SELECT count(*) FROM rr", "SELECT * FROM \"rr$snapshots\"", "INSERT INTO rr VALUES (3)", "DESCRIBE rr"]
    {
        assert_eq!(node.fails(sql).await, "LH0502", "{sql}");
    }
    assert!(!node.shown("SELECT * FROM rr").await.contains("did you mean"));
}

/// The law of the union: whatever is committed in between, each row is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_read_once_wherever_the_commit_mark_is() {
    let node = Node::start().await;
    node.lake.start_writer();
    node.run("CREATE STREAM n (v BIGINT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=3)").await;
    let mut total = 0;
    for round in 0..6i64 {
        let (from, to) = (total + 1, total + 50 + round * 37);
        node.run(&format!(
            "INSERT INTO n (_key, v) SELECT CAST(value AS VARCHAR), value FROM generate_series({from}, {to})"
        ))
        .await;
        total = to;
        if round % 2 == 1 {
            node.lake.flush("n").await.expect("flushes");
        }
        let sums = format!("{total} {} {total}", total * (total + 1) / 2);
        let read = "SELECT count(*) || ' ' || sum(v) || ' ' || count(DISTINCT _partition || '-' || _offset) FROM n";
        assert_eq!(node.value(read).await, sums, "round {round}");
        let pruned =
            format!("SELECT count(*) FROM n WHERE v > {} AND _offset >= 0 AND _partition IN (0, 1, 2)", total - 10);
        assert_eq!(node.value(&pruned).await, "10", "round {round}");
        assert_eq!(node.value("SELECT count(*) FROM n a JOIN n b ON a.v = b.v").await, total.to_string());
    }
    // The history alone, by its snapshot.
    node.lake.flush("n").await.expect("flushes");
    node.run("INSERT INTO n VALUES (0)").await;
    let last = node.value("SELECT snapshot_id FROM \"n$snapshots\" ORDER BY committed_at DESC LIMIT 1").await;
    assert_eq!(node.value(&format!("SELECT count(*) FROM n FOR VERSION AS OF {last}")).await, total.to_string());
    assert_eq!(node.value("SELECT count(*) FROM n").await, (total + 1).to_string());
    assert_eq!(node.value("SELECT v FROM n ORDER BY v LIMIT 1").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_a_committing_writer_never_miss_or_double_a_row() {
    let node = Node::start().await;
    node.lake.start_writer();
    node.run("CREATE STREAM n (v BIGINT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=2)").await;
    node.run("INSERT INTO n SELECT value FROM generate_series(1, 2000)").await;
    let flushing = async {
        for round in 0..10i64 {
            let from = 2001 + round * 10;
            node.run(&format!("INSERT INTO n SELECT value FROM generate_series({from}, {})", from + 9)).await;
            node.lake.flush("n").await.expect("flushes");
        }
    };
    let reading = async {
        let mut last = 2000;
        while last < 2100 {
            let read = node.value("SELECT count(*) || ' ' || count(DISTINCT v) || ' ' || max(v) FROM n").await;
            let parts: Vec<i64> = read.split(' ').map(|n| n.parse().expect("a number")).collect();
            assert_eq!(parts[0], parts[1], "no row twice");
            assert_eq!(parts[0], parts[2], "none missing");
            assert!(parts[0] >= last, "never back");
            last = parts[0];
        }
    };
    tokio::join!(flushing, reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_nobody_declared_have_the_columns_of_their_records() {
    use commitlog::{
        Append, TopicSpec,
        record::{BatchBuilder, Codec},
    };
    use model::{TopicName, TopicPartition};
    let node = Node::start().await;
    let name = TopicName::new("clicks").expect("a name");
    node.log.create_topic(TopicSpec::new(name.clone(), 1), false).await.expect("a topic");
    let mut batch = BatchBuilder::new(Codec::None);
    for i in 0..3 {
        let json = format!("{{\"userId\": {i}, \"page\": {{\"url\": \"/p{i}\"}}}}");
        batch.push(1_700_000_000_000 + i, Some(b"k"), Some(json.as_bytes()), &[("h", b"1")]);
    }
    node.log.append(&TopicPartition::new(name, 0), batch.build(), Append::default()).await.expect("appended");
    node.check(
        "SELECT userId, page['url'] AS url, _key, _timestamp FROM clicks ORDER BY USERID",
        expect![[r#"
        +--------+-----+------+--------------------------+
        | userId | url | _key | _timestamp               |
        +--------+-----+------+--------------------------+
        | 0      | /p0 | k    | 2023-11-14T22:13:20Z     |
        | 1      | /p1 | k    | 2023-11-14T22:13:20.001Z |
        | 2      | /p2 | k    | 2023-11-14T22:13:20.002Z |
        +--------+-----+------+--------------------------+
    "#]],
    )
    .await;
    node.check(
        "DESCRIBE clicks",
        expect![[r#"
        +-------------+-----------------------------------------+-------------+-------------------------+
        | column_name | data_type                               | is_nullable | origin                  |
        +-------------+-----------------------------------------+-------------+-------------------------+
        | userId      | BIGINT                                  | YES         | inferred                |
        | page        | STRUCT<url VARCHAR>                     | YES         | inferred                |
        | _partition  | INT                                     | NO          | pseudo-column, not in * |
        | _offset     | BIGINT                                  | NO          | pseudo-column, not in * |
        | _timestamp  | TIMESTAMPTZ                             | YES         | pseudo-column, not in * |
        | _key        | VARCHAR                                 | YES         | pseudo-column, not in * |
        | _headers    | ARRAY<STRUCT<key VARCHAR, value BYTES>> | YES         | pseudo-column, not in * |
        +-------------+-----------------------------------------+-------------+-------------------------+
    "#]],
    )
    .await;
    node.check("EXPLAIN SELECT userid FROM clicks WHERE _offset > 1", expect![[r#"
        +---------------+-------------------------------------------------------------------------------------------------+
        | plan_type     | plan                                                                                            |
        +---------------+-------------------------------------------------------------------------------------------------+
        | logical_plan  | Projection: clicks.userId                                                                       |
        |               |   Filter: clicks._offset > Int64(1)                                                             |
        |               |     TableScan: clicks projection=[userId, _offset], partial_filters=[clicks._offset > Int64(1)] |
        | physical_plan | FilterExec: _offset@1 > 1, projection=[userId@0]                                                |
        |               |   RepartitionExec: partitioning=RoundRobinBatch(2), input_partitions=1                          |
        |               |     TailExec: topic=clicks, records<=3, offsets=2..                                             |
        |               |                                                                                                 |
        +---------------+-------------------------------------------------------------------------------------------------+
    "#]]).await;
    node.check(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'clicks'",
        expect![[r#"
        +-------------+
        | column_name |
        +-------------+
        | userId      |
        | page        |
        +-------------+
    "#]],
    )
    .await;
}
